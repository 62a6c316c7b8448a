//! What every front-end that keeps state does with a deployment: look at it, and end it.

use std::sync::Arc;
use std::time::Duration;

use rolling_provider::{Fleet, ProviderError};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::deployment::stop::stopped;
use crate::document::{self, Diagnostic};
use crate::engine::retry::Retry;
use crate::engine::{Caller, ControlOutcome, Rollout, Stop};
use crate::model::event::{Envelope, Outcome};
use crate::model::spec::RollingDeployment;
use crate::providers::Providers;
use crate::record::Phase;
use crate::record::command::Command;

/// How long the end of a deployment waits for another engine to obey the command to abort.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(600);

/// The interval of looks meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a target could not be looked at.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The configuration is wrong; no cloud was asked.
    Document(Vec<Diagnostic>),
    /// The error of the cloud.
    Provider(ProviderError),
}

impl OpenError {
    /// Returns the error as findings about a configuration that stands at the root.
    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        match self {
            OpenError::Document(found) => found,
            OpenError::Provider(error) => vec![Diagnostic::from_provider(&error, "", "")],
        }
    }
}

/// Looks at the target of `config`, to show its rollout or to end it.
///
/// # Errors
/// See [`OpenError`].
pub(crate) async fn look(
    providers: &Providers,
    config: &Value,
    caller: &Caller,
) -> Result<Rollout, OpenError> {
    let (fleet, spec) = open(providers, config).await?;
    Rollout::look_up(fleet, spec, caller).await.map_err(OpenError::Provider)
}

/// Looks at the target of `config`, to plan or begin a rollout.
///
/// # Errors
/// See [`OpenError`]; also what would keep a rollout from beginning.
pub(crate) async fn prepare(
    providers: &Providers,
    config: &Value,
    caller: &Caller,
) -> Result<Rollout, OpenError> {
    let (fleet, spec) = open(providers, config).await?;
    Rollout::prepare(fleet, spec, caller).await.map_err(OpenError::Provider)
}

/// Looks at the target of `config`, to roll it back to `revision`, whatever `config` names.
///
/// # Errors
/// See [`OpenError`]; also what would keep a rollout from beginning, and that `revision` is none.
pub(crate) async fn prepare_rollback(
    providers: &Providers,
    config: &Value,
    revision: &str,
    caller: &Caller,
) -> Result<Rollout, OpenError> {
    let (config, spec) = document::deployment(config, "").map_err(OpenError::Document)?;
    let (name, pointer) = Default::default();
    let resource = document::Resource { name, pointer, config, spec };
    let back = document::rolled_back_to(&resource, revision).map_err(OpenError::Document)?;
    let fleet = providers.open(&back.config).await.map_err(OpenError::Provider)?;
    Rollout::prepare(fleet, back.spec, caller).await.map_err(OpenError::Provider)
}

async fn open(
    providers: &Providers,
    config: &Value,
) -> Result<(Arc<dyn Fleet>, RollingDeployment), OpenError> {
    let (config, spec) = document::deployment(config, "").map_err(OpenError::Document)?;
    let fleet = providers.open(&config).await.map_err(OpenError::Provider)?;
    Ok((fleet, spec))
}

/// Returns a configuration to look with. A look needs the target: the policy may be missing after
/// an import, and what a later version refuses of the policy is left out.
pub(crate) fn config_to_look_with(config: &Value) -> Value {
    let with_policy = |mut config: Value| {
        if config["policy"].is_null() {
            config["policy"] = json!("all_at_once");
        }
        config
    };
    let whole = with_policy(config.clone());
    let shifting = with_policy(document::target_of(config, &["policy", "traffic"]));
    let target = with_policy(document::target_of(config, &[]));
    let valid = [&whole, &shifting, &target]
        .into_iter()
        .find(|candidate| document::deployment(candidate, "").is_ok());
    valid.unwrap_or(&whole).clone()
}

/// The result of the end of a deployment.
#[derive(Debug)]
pub(crate) enum DeleteOutcome {
    /// Nothing of it is left on the target. The only instances touched are those that a rollout in
    /// progress had chosen.
    Gone,
    /// An engine is at work and does not react.
    TimedOut(String),
    /// An engine has the command to abort and has not reacted yet.
    AbortSent(String),
    /// Another engine has taken the target over.
    Locked(String),
}

impl DeleteOutcome {
    /// Says why something is left on the target called `name`, if so.
    pub(crate) fn message(&self, name: &str) -> Option<String> {
        match self {
            DeleteOutcome::Gone => None,
            DeleteOutcome::TimedOut(owner) => {
                Some(format!("{owner} is at work on {name} but does not respond"))
            }
            DeleteOutcome::AbortSent(owner) => {
                Some(format!("{owner} has a command to abort and has not responded yet"))
            }
            DeleteOutcome::Locked(message) => Some(message.clone()),
        }
    }
}

/// Aborts a rollout in progress and removes the record from the target.
///
/// # Errors
/// See [`OpenError`].
pub(crate) async fn end(
    providers: &Providers,
    config: &Value,
    caller: &Caller,
    stop: watch::Receiver<Stop>,
    emit: &mut (dyn FnMut(Envelope) + Send),
) -> Result<DeleteOutcome, OpenError> {
    let rollout = look(providers, config, caller).await?;
    // A refresh that an earlier configuration has begun would go on unattended.
    if let Some(message) = rollout.foreign_rollout() {
        return Ok(DeleteOutcome::Locked(message));
    }
    if rollout.under_way().is_some() {
        let done = rollout.command(Command::Abort, stop.clone(), emit).await;
        match done.map_err(OpenError::Provider)? {
            ControlOutcome::TimedOut(owner) => return Ok(DeleteOutcome::TimedOut(owner)),
            ControlOutcome::Sent(owner) => return Ok(DeleteOutcome::AbortSent(owner)),
            ControlOutcome::RanHere(report) if report.outcome == Outcome::Locked => {
                return Ok(DeleteOutcome::Locked(report.reason.clone().unwrap_or_default()));
            }
            ControlOutcome::RanHere(report)
                if report.delegated_rollout.as_ref().is_some_and(|it| it.still_running) =>
            {
                return Ok(DeleteOutcome::Locked(report.reason.clone().unwrap_or_default()));
            }
            ControlOutcome::RanHere(_)
            | ControlOutcome::NoOp(_)
            | ControlOutcome::Acknowledged(..) => {}
        }
    }
    forget(providers, config, caller, stop).await.map(|()| DeleteOutcome::Gone)
}

/// Removes the record once its rollout has ended.
async fn forget(
    providers: &Providers,
    config: &Value,
    caller: &Caller,
    mut stop: watch::Receiver<Stop>,
) -> Result<(), OpenError> {
    let mut rollout = look(providers, config, caller).await?;
    let clock = rollout.clock();
    let mut retry = Retry::every(LOOK_EVERY).since(clock.now());
    // The engine that obeyed the command is still putting things back.
    while rollout.record().is_some_and(|record| matches!(record.phase, Phase::Halting(_)))
        && *stop.borrow() == Stop::No
        && let Some(pause) = retry.failed(clock.now(), GIVES_UP_WITHIN)
    {
        tokio::select! {
            () = clock.sleep(pause) => {}
            () = stopped(&mut stop) => {}
        }
        rollout.look_again().await.map_err(OpenError::Provider)?;
    }
    loop {
        let Err(error) = rollout.forget().await else { return Ok(()) };
        // The engine that ended it is just releasing the lease.
        let pause = retry.failed(clock.now(), GIVES_UP_WITHIN);
        let Some(pause) = pause.filter(|_| error.is_retryable()) else {
            return Err(OpenError::Provider(error));
        };
        tracing::warn!(%error, "cannot remove the record yet");
        clock.sleep(pause).await;
        rollout.look_again().await.map_err(OpenError::Provider)?;
    }
}
