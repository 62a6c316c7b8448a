//! `resource.apply`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::super::messages as m;
use super::super::transport::Outbox;
use super::super::wire::{RpcError, code, notification};
use super::{
    PeerSettings, RequestJob, cancelled, check_operation, check_state, check_type, replaced_paths,
    unless_stopped, write,
};
use crate::deployment::resource_state::{self, Computed, KnownBy};
use crate::deployment::schema::DeploymentState;
use crate::deployment::stop::Stopping;
use crate::document::Diagnostic;
use crate::engine::{Caller, NOT_FOUND_RETRY_FOR, NOTHING_DONE};
use crate::model::event::{Envelope, Event, Outcome, Report};
use crate::report::text::{self, NextStep, Wording};

/// The server sends progress at most once in this time.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// How many of the latest events the server keeps for a peer that does not read.
const MAX_WAITING: usize = 1000;

impl PeerSettings {
    pub(super) async fn apply(
        &self,
        params: m::ApplyParams,
        mut work: RequestJob,
    ) -> Result<Value, RpcError> {
        check_type(&params.kind)?;
        let operation = params.operation;
        check_operation(operation.operation_id.as_deref())?;
        check_state::<DeploymentState>("prior", &params.prior)?;
        check_state::<Computed>("planned", &resource_state::computed_of(&params.planned))?;
        let limit = Limit::begin(&operation, &mut work);
        let config = Value::Object(params.config);
        let refuse = |diagnostics| {
            write(&m::ApplyResult {
                status: Outcome::Failed.name().into(),
                state: params.prior.clone(),
                private: params.private.clone(),
                diagnostics,
            })
        };
        if let Some(place) =
            replaced_paths(&params.prior, &config, &BTreeSet::new()).into_iter().next()
        {
            let message = "the target differs from the state's; a rollout cannot change the target";
            let remedy = "delete this deployment, then create the other one";
            return refuse(vec![Diagnostic::error(place, message).with_remedy(remedy)]);
        }
        self.providers.keep_in_mind(&params.prior);
        let caller = self.caller(&work, operation.operation_id.as_deref(), &params.prior);
        let caller = Caller { not_found_retry_for: NOT_FOUND_RETRY_FOR, ..caller };
        let looked = unless_stopped(&mut work.stop, self.prepare(&config, &caller)).await;
        let looked = looked.map_err(|_| limit.cancelled())?;
        let rollout = match looked {
            Ok(rollout) => rollout,
            Err(looked) => return refuse(looked.into_diagnostics()),
        };
        let hash = resource_state::plan_hash(&config, rollout.wanted());
        refuse_stale(params.private.as_ref(), &hash)?;
        let mut planned = resource_state::planned(&config, &rollout);
        for name in
            resource_state::computed(KnownBy::Plan).filter(|name| !params.planned[name].is_null())
        {
            planned[name] = params.planned[name].clone();
        }
        let id = rollout.target().id.clone();
        let stop = work.stop.clone();
        let mut notifications = Notifications::begin(operation, work);
        let report = rollout.run(stop, &mut |envelope| notifications.send(envelope)).await;
        notifications.end().await;
        refuse_locked(&report)?;
        if report.reason.as_deref() == Some(NOTHING_DONE) {
            return Err(limit.cancelled());
        }
        write(&m::ApplyResult {
            status: report.outcome.name().into(),
            state: resource_state::after(&config, &id, &planned, &report),
            private: Some(m::Private { plan_hash: Some(hash) }),
            diagnostics: limit.explain(&report),
        })
    }
}

/// Refuses a plan that was made for another configuration or revision.
fn refuse_stale(private: Option<&m::Private>, hash: &str) -> Result<(), RpcError> {
    let planned = private.and_then(|private| private.plan_hash.as_deref());
    let Some(planned) = planned.filter(|planned| *planned != hash) else { return Ok(()) };
    let message = "the plan was made for another configuration or revision; plan again";
    let data = Some(json!({ "planned": planned, "current": hash }));
    Err(RpcError { data, ..RpcError::new(code::STALE_PLAN, message) })
}

/// Returns an error when another engine holds the target, which this one then left alone.
pub(super) fn refuse_locked(report: &Report) -> Result<(), RpcError> {
    match report.outcome {
        Outcome::Locked => {
            let mut message = report.reason.clone().unwrap_or_default();
            if let Some(borrowed) = text::borrowed(report) {
                message = format!("{message}; {borrowed}");
            }
            Err(RpcError::new(code::LOCKED, message))
        }
        _ => Ok(()),
    }
}

/// Warns of instances that a rollout which succeeded has left alone, and of what else somebody should
/// know.
fn warnings(report: &Report) -> Vec<Diagnostic> {
    let (message, _) = text::ended(report);
    let left_alone = (!report.left_alone.is_empty()).then_some(message);
    let all = left_alone.into_iter().chain(text::besides(report));
    all.map(|message| Diagnostic::warning("", message)).collect()
}

/// How a program acts that speaks the protocol.
const WORDING: Wording<'static> = Wording {
    again: "apply again",
    decide: "resume, roll back or abort it with resource.control",
    roll_back: "roll it back with resource.control",
    follow: "apply again to follow it, or end it by resource.control with abort or rollback",
    wait: "wait for it to end, then apply again",
    look: "read again to see the current state",
};

/// Explains why a rollout did not succeed, and what to do.
pub(super) fn explain(report: &Report) -> Vec<Diagnostic> {
    if report.outcome == Outcome::Succeeded {
        return warnings(report);
    }
    let reason = report.reason.clone().unwrap_or_else(|| "stopped".into());
    let message = match report.outcome.shown() {
        name if reason.starts_with(&name) => reason,
        name => format!("{name}: {reason}"),
    };
    let next = NextStep::after(report).sentence(&WORDING);
    let remedy = match report.outcome {
        Outcome::Failed | Outcome::RolledBack | Outcome::Aborted => {
            [Some(next), text::borrowed(report)]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("; ")
        }
        _ => next,
    };
    vec![Diagnostic::error("", message).with_remedy(remedy)]
}

/// When an operation must stop: when the peer cancels it, or at its deadline.
///
/// The deadline counts from the request, so it includes the look-up of the target.
pub(super) struct Limit {
    stopping: Stopping,
    deadline: Option<u64>,
}

impl Limit {
    /// Makes `work` stop at the deadline, too.
    pub(super) fn begin(operation: &m::Operation, work: &mut RequestJob) -> Limit {
        let deadline = operation.deadline_ms;
        let time = deadline.map(Duration::from_millis);
        let stopping = Stopping::listen(work.stop.clone(), time, std::future::pending());
        work.stop = stopping.stop.clone();
        Limit { stopping, deadline }
    }

    /// Returns a message if the deadline has ended the operation.
    fn late(&self) -> Option<String> {
        let deadline = self.deadline.filter(|_| self.stopping.has_expired())?;
        Some(format!("it took longer than {deadline} ms (deadline_ms)"))
    }

    /// Returns the answer to an operation that stops before it does anything.
    pub(super) fn cancelled(&self) -> RpcError {
        match self.late() {
            Some(late) => {
                let message = format!("{late}, and ended before anything was done");
                RpcError { message, ..cancelled() }
            }
            None => cancelled(),
        }
    }

    /// Explains why a rollout did not succeed, and names the deadline first if that is the cause.
    pub(super) fn explain(&self, report: &Report) -> Vec<Diagnostic> {
        let mut found = explain(report);
        if let Some((late, first)) = self.late().zip(found.first_mut()) {
            first.summary = format!("{late}; {}", first.summary);
        }
        found
    }
}

/// The progress reports of a running operation.
pub(super) struct Notifications {
    events: mpsc::UnboundedSender<Envelope>,
    sending: tokio::task::JoinHandle<()>,
}

impl Notifications {
    pub(super) fn begin(operation: m::Operation, work: RequestJob) -> Notifications {
        let (events, received) = mpsc::unbounded_channel();
        let sending = tokio::spawn(send(received, operation.progress_token, work.out));
        Notifications { events, sending }
    }

    pub(super) fn send(&mut self, envelope: Envelope) {
        // The receiver lives until this sender is gone.
        self.events.send(envelope).unwrap_or_default();
    }

    /// Waits until all progress is sent: none may follow the answer.
    pub(super) async fn end(self) {
        drop(self.events);
        if let Err(error) = self.sending.await {
            tracing::error!(%error, "progress broke");
        }
    }
}

/// Sends events to the peer, several at a time when they come fast.
///
/// All are sent before the answer, except those that find no room because the peer does not read.
async fn send(mut events: mpsc::UnboundedReceiver<Envelope>, token: Value, out: Outbox) {
    let mut waiting = Vec::new();
    let mut sequence = 0u64;
    let (mut updated, mut serving, mut size) = (0, 0, 0);
    while let Some(first) = events.recv().await {
        waiting.push(first);
        while let Ok(next) = events.try_recv() {
            waiting.push(next);
        }
        if token.is_null() {
            waiting.clear();
            continue;
        }
        if !out.has_room() {
            waiting.drain(..waiting.len().saturating_sub(MAX_WAITING));
            continue;
        }
        for envelope in &waiting {
            if let Event::Progressed { updated: u, serving: s, size: n } = envelope.event {
                (updated, serving, size) = (u, s, n);
            }
        }
        let events = std::mem::take(&mut waiting);
        let token = token.clone();
        let params = m::ProgressParams { token, sequence, updated, serving, size, events };
        out.send(notification("$/progress", &json!(params)));
        sequence += 1;
        #[expect(clippy::disallowed_methods, reason = "the peer's time, not the fleet's")]
        tokio::time::sleep(PROGRESS_EVERY).await;
    }
}
