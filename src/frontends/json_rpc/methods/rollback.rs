//! `resource.control` with the action `rollback`, once the rollout is over: back to the revision
//! before, by the state that the peer keeps.

use serde_json::Value;

use super::super::messages as m;
use super::super::wire::RpcError;
use super::apply::{Limit, Notifications, refuse_locked};
use super::{PeerSettings, RequestJob, unless_stopped};
use crate::deployment::{self, resource_state};
use crate::document::Diagnostic;
use crate::engine::{Caller, Rollout};
use crate::model::event::Outcome;
use crate::record::command::Command;
use crate::rollout::rollback_target::{Candidate, RollbackTarget};

/// Whether `rollout` is over, so that only a state that was kept says where a rollback goes.
pub(super) fn is_over(command: Command, rollout: &Rollout, prior: &Value) -> bool {
    let is_over = || rollout.record().is_none() && rollout.idle(command).is_some();
    command == Command::Rollback && !prior.is_null() && is_over()
}

impl PeerSettings {
    /// Rolls `config` back to the revision before the one that its fleet runs. `caller` knows the
    /// peer's state.
    pub(super) async fn roll_back(
        &self,
        (config, rollout): (&Value, &Rollout),
        caller: &Caller,
        operation: m::Operation,
        (mut work, limit): (RequestJob, Limit),
    ) -> Result<m::ControlResult, RpcError> {
        let known = match rollout.rollback_target(None, None).await {
            RollbackTarget::Known(known) => known,
            RollbackTarget::Done { from } => {
                let message = format!("the fleet runs the revision before {from} already");
                return Ok(nothing(message, Vec::new()));
            }
            RollbackTarget::Unknown(candidates) => return Ok(unknown(&candidates)),
        };
        let (revision, by) = (known.revision.as_str(), &known.shown_by);
        let prepare = deployment::prepare_rollback(&self.providers, config, revision, caller);
        let prepared = unless_stopped(&mut work.stop, prepare).await;
        let back = match prepared.map_err(|_| limit.cancelled())? {
            Ok(back) => back,
            Err(refused) => {
                let message = format!("the rollback to {revision} was not carried out");
                return Ok(nothing(message, refused.into_diagnostics()));
            }
        };
        let (id, planned) = (back.target().id.clone(), resource_state::planned(config, &back));
        let stop = work.stop.clone();
        let mut notifications = Notifications::begin(operation, work);
        let report = back.run(stop, &mut |envelope| notifications.send(envelope)).await;
        notifications.end().await;
        refuse_locked(&report)?;
        let (status, shown) = (report.outcome.name(), report.outcome.shown());
        Ok(m::ControlResult {
            message: format!("rolled back to {revision}, by {by}: {shown}"),
            acknowledged_by: None,
            status: Some(status.into()),
            record: None,
            state: resource_state::after(config, &id, &planned, &report),
            diagnostics: match report.outcome {
                Outcome::Succeeded => Vec::new(),
                _ => limit.explain(&report),
            },
        })
    }
}

/// The answer where nothing says for certain where to go.
fn unknown(candidates: &[Candidate]) -> m::ControlResult {
    let named = candidates.iter().map(|it| format!("{} ({})", it.revision, it.shown_by));
    let known = match named.collect::<Vec<_>>().join(", ") {
        named if named.is_empty() => "nothing at the target shows another one".to_owned(),
        named => format!("candidates: {named}"),
    };
    let message = "no rollout is recorded, and the state does not say which revision was before";
    let remedy = format!("apply the configuration with the revision to go back to ({known})");
    nothing(message.into(), vec![Diagnostic::error("/prior", message).with_remedy(remedy)])
}

/// The result of a command that changed nothing.
pub(super) fn nothing(message: String, diagnostics: Vec<Diagnostic>) -> m::ControlResult {
    let (acknowledged_by, status, record, state) = (None, None, None, Value::Null);
    m::ControlResult { message, acknowledged_by, status, record, state, diagnostics }
}
