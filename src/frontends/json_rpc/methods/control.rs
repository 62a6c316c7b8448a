//! `resource.control` and `resource.delete`: commands to a rollout, and the end of a deployment.

use serde_json::Value;

use super::super::messages as m;
use super::super::wire::{RpcError, code};
use super::apply::{Limit, Notifications, refuse_locked};
use super::look::{unreachable_state, view, view_of};
use super::rollback;
use super::rollback::nothing;
use super::{
    PeerSettings, RequestJob, check_operation, check_state, check_target_of, check_type,
    unless_stopped, write,
};
use crate::deployment::schema::DeploymentState;
use crate::deployment::{self, DeleteOutcome, OpenError, config_to_look_with, resource_state};
use crate::document::Diagnostic;
use crate::engine::ControlOutcome;
use crate::model::event::{Outcome, Report};
use crate::record::command::Command;
use crate::rollout::control;

impl PeerSettings {
    pub(super) async fn control(
        &self,
        params: m::ControlParams,
        mut work: RequestJob,
    ) -> Result<Value, RpcError> {
        check_type(&params.kind)?;
        let (operation, command) = (params.operation, params.action);
        check_operation(operation.operation_id.as_deref())?;
        check_state::<DeploymentState>("prior", &params.prior)?;
        let limit = Limit::begin(&operation, &mut work);
        let config = Value::Object(params.config);
        let caller = self.caller(&work, operation.operation_id.as_deref(), &params.prior);
        let looked = unless_stopped(&mut work.stop, self.look(&config, &caller)).await;
        let looked = looked.map_err(|_| limit.cancelled())?;
        let allowed = self.check_commands(&config);
        let rollout = match allowed.and(looked) {
            Ok(rollout) => rollout,
            Err(looked) => {
                let message = format!("the command {} was not carried out", command.name());
                return write(&nothing(message, looked.into_diagnostics()));
            }
        };
        if rollback::is_over(command, &rollout, &params.prior) {
            let found = (&config, &rollout);
            let done = self.roll_back(found, &caller, operation, (work, limit)).await?;
            return write(&done);
        }
        let id = rollout.target().id.clone();
        let now = resource_state::current(&config, &rollout);
        let before = view(&rollout);
        let stop = work.stop.clone();
        let mut notifications = Notifications::begin(operation, work);
        let done =
            rollout.command(command, stop, &mut |envelope| notifications.send(envelope)).await;
        notifications.end().await;
        let answer = match done {
            Err(error) => {
                let found = Diagnostic::from_provider(&error, "", "");
                let message =
                    format!("the command {} could not be written to the target", command.name());
                m::ControlResult { record: before, ..nothing(message, vec![found]) }
            }
            Ok(ControlOutcome::Acknowledged(owner, answer, record)) => {
                let record = record.map(|record| view_of(&record, Some(owner.clone())));
                let acknowledged_by = (!owner.is_empty()).then_some(owner);
                m::ControlResult { acknowledged_by, record, ..nothing(answer.message, Vec::new()) }
            }
            Ok(ControlOutcome::RanHere(report)) => {
                refuse_locked(&report)?;
                let record = self.look(&config, &caller).await.ok().as_ref().and_then(view);
                let state = resource_state::after(&config, &id, &now, &report);
                m::ControlResult { record, state, ..ran_here(command, &report, &limit) }
            }
            Ok(other) => m::ControlResult { record: before, ..unanswered(&other, command) },
        };
        write(&answer)
    }

    pub(super) async fn delete(
        &self,
        params: m::DeleteParams,
        mut work: RequestJob,
    ) -> Result<Value, RpcError> {
        check_type(&params.kind)?;
        let operation = params.operation;
        check_operation(operation.operation_id.as_deref())?;
        let limit = Limit::begin(&operation, &mut work);
        let prior = Value::Object(params.prior);
        let config = config_to_look_with(&resource_state::config_of(&prior));
        check_target_of(&prior)?;
        let caller = self.caller(&work, operation.operation_id.as_deref(), &prior);
        let looked = unless_stopped(&mut work.stop, self.look(&config, &caller)).await;
        let looked = looked.map_err(|_| limit.cancelled())?;
        if let Err(looked) = looked {
            return write(&left(looked, prior));
        }
        let stop = work.stop.clone();
        let mut notifications = Notifications::begin(operation, work);
        let ended = deployment::end(&self.providers, &config, &caller, stop, &mut |e| {
            notifications.send(e)
        })
        .await;
        notifications.end().await;
        let name = resource_state::target_name(&config);
        write(&match ended {
            Ok(outcome) => match (&outcome, outcome.message(&name)) {
                (_, None) => m::DeleteResult {
                    status: Outcome::Succeeded.name().into(),
                    state: Value::Null,
                    diagnostics: Vec::new(),
                },
                (DeleteOutcome::AbortSent(_), Some(message)) => {
                    let found = Diagnostic::error("", message).with_remedy("delete again");
                    still_there(prior, vec![found])
                }
                (_, Some(message)) => return Err(RpcError::new(code::LOCKED, message)),
            },
            Err(looked) => left(looked, prior),
        })
    }
}

/// The result of a command that this server carried out.
fn ran_here(command: Command, report: &Report, limit: &Limit) -> m::ControlResult {
    let (status, shown) = (report.outcome.name(), report.outcome.shown());
    let message = format!("no engine was at work, so this server carried it out: {shown}");
    let as_asked = control::is_as_asked(command, report.outcome);
    let found = if as_asked { Vec::new() } else { limit.explain(report) };
    m::ControlResult { status: Some(status.into()), ..nothing(message, found) }
}

/// Returns the answer when a deployment cannot be ended: a success if its target is gone.
fn left(looked: OpenError, prior: Value) -> m::DeleteResult {
    let m::StateResult { state, diagnostics } = unreachable_state(looked, prior);
    if state.is_null() {
        return m::DeleteResult { status: Outcome::Succeeded.name().into(), state, diagnostics };
    }
    still_there(state, diagnostics)
}

fn still_there(state: Value, diagnostics: Vec<Diagnostic>) -> m::DeleteResult {
    m::DeleteResult { status: Outcome::Failed.name().into(), state, diagnostics }
}

/// The result of a command that changed nothing, or that no engine has acknowledged yet.
fn unanswered(outcome: &ControlOutcome, command: Command) -> m::ControlResult {
    let message = outcome.answer(command).map(|answer| answer.message).unwrap_or_default();
    let is_open = matches!(outcome, ControlOutcome::TimedOut(_) | ControlOutcome::Sent(_));
    let found = is_open.then(|| {
        let remedy = "give the command again, or check its result with resource.status";
        Diagnostic::error("", &message).with_remedy(remedy)
    });
    nothing(message, found.into_iter().collect())
}
