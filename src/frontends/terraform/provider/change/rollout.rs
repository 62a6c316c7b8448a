//! The rollout of an apply: to what it leads, how it is begun and run, and what its end means.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::super::super::schema::schemas;
use super::super::super::{convert, proto as p};
use super::super::request::all;
use super::super::{Configured, Provider, has_alias};
use crate::deployment;
use crate::deployment::stop::{Stopping, stopped};
use crate::document::config::{ProviderConfig, RollingDeploymentConfig};
use crate::document::{launch_template, normalised, without_secrets};
use crate::engine::{Caller, NOTHING_DONE, Rollout};
use crate::model::event::{Outcome, Report};
use crate::model::printable;
use crate::report::progress_file::{self, Header, ProgressFile};
use crate::report::text;

pub(super) fn header(
    provider: &Provider,
    configured: &Configured,
    name: &str,
    config: &Value,
) -> Header {
    // The file must hold no secrets: a reader that needs them has them elsewhere.
    let document = json!({
        "provider": { "rolling": without_secrets::<ProviderConfig>(&configured.config) },
        "resource": { "rolling_deployment": {
            name: without_secrets::<RollingDeploymentConfig>(&normalised(config)),
        } },
    });
    // The owner is the process, not the operation: readers ask whether this process lives.
    let owner = provider.context.owner.clone();
    Header { document, owner, environment: environment(config) }
}

/// Returns the variables that the document sets for commands: those of the gate and of the hooks.
fn environment(config: &Value) -> Vec<String> {
    let hooks = config["hooks"].as_object().into_iter().flat_map(|hooks| hooks.values());
    let commands = hooks.chain([&config["gates"]]).map(|holder| &holder["command"]["environment"]);
    let names = commands.filter_map(Value::as_object).flat_map(|names| names.keys().cloned());
    names.collect::<BTreeSet<String>>().into_iter().collect()
}

/// Returns `report`, with the time limit as the reason if the rollout stopped because of it.
fn timed_out(mut report: Report, operation: &str, limit: &Value) -> Report {
    if report.outcome == Outcome::Aborted {
        let limit = limit.as_str().unwrap_or_default();
        report.reason = Some(format!("timed out after {limit} (timeouts.{operation})"));
    }
    report
}

/// Warns of instances that a rollout which succeeded has left alone, and of what else somebody should
/// know.
pub(super) fn warnings(report: &Report) -> Vec<p::Diagnostic> {
    let (message, _) = text::ended(report);
    let detail = "They are tagged rolling:ignore, or protected from scale-in or in standby where \
                  the configuration ignores these. completed_revision stays as it was.";
    let left_alone =
        (!report.left_alone.is_empty()).then(|| convert::warning(text::capital(&message), detail));
    let besides = text::besides(report);
    let besides = besides.iter().map(|it| convert::warning(text::capital(it), ""));
    left_alone.into_iter().chain(besides).collect()
}

/// How somebody acts who runs Terraform.
const WORDING: text::Wording<'static> = text::Wording {
    again: "apply again",
    decide: "",
    roll_back: "`rolling rollback` goes back",
    follow: "apply again to follow it; `rolling abort` ends it, `rolling rollback` rolls it \
             back",
    wait: "wait for it to end, then apply again",
    look: "plan again to see the current state",
};

/// Explains why a rollout did not succeed, what is left, and what to do.
pub(super) fn explain(report: &Report, folder: Option<&Path>) -> p::Diagnostic {
    let (what, mut sentences) = text::ended(report);
    let decide = match folder {
        Some(folder) => format!(
            "another apply does not resume it. Use `rolling resume {}` to continue, or `rollback` \
             or `abort`",
            progress_file::path(folder, &report.target).display()
        ),
        None => "another apply does not resume it. Use `rolling resume`, `rolling rollback` or \
                 `rolling abort` with the file that an apply with ROLLING_PROGRESS_DIR writes"
            .into(),
    };
    let wording = text::Wording { decide: &decide, ..WORDING };
    sentences.push(text::capital(&text::NextStep::after(report).sentence(&wording)));
    // A name is not capitalized.
    let begins_with_name = what.starts_with(&report.target);
    let what = if begins_with_name { what } else { text::capital(&what) };
    let sentences: Vec<_> = sentences.iter().map(|sentence| printable::line(sentence)).collect();
    convert::error(what, sentences.join(".\n") + ".")
}

/// Returns the configuration with the planned version where it asks for the latest one.
///
/// A plan says what is rolled out, whatever versions have been made since.
pub(super) fn pinned(config: &Value, promised: Option<&str>) -> Value {
    let mut config = config.clone();
    let command = config["replacement"]["run_command"].is_object();
    if let Some(version) = promised.filter(|_| command && has_alias(&config)).and_then(version_of) {
        config["replacement"]["run_command"]["version"] = json!(version);
    } else if let Some((id, version)) = promised.and_then(|revision| revision.rsplit_once(':'))
        && has_alias(&config)
        && let Some(place) = launch_template(&config)
        && let Some(template) = config.pointer_mut(place)
    {
        *template = json!({ "id": id, "version": version });
    }
    config
}

/// Returns the version in a document's revision, `NAME:VERSION/PARAMETER=VALUE`.
fn version_of(revision: &str) -> Option<&str> {
    let (document, _) = revision.split_once('/').unwrap_or((revision, ""));
    Some(document.rsplit_once(':')?.1)
}

/// Looks the target up, unless the host stops that or it takes too long.
pub(super) async fn open(
    configured: &Configured,
    config: &Value,
    caller: &Caller,
    stopping: &Stopping,
    (operation, limit): (&str, &Value),
) -> Result<Rollout, Vec<p::Diagnostic>> {
    let mut stop = stopping.stop.clone();
    let looked = tokio::select! {
        looked = deployment::prepare(&configured.providers, config, caller) => looked,
        () = stopped(&mut stop) => {
            let message = match limit.as_str().filter(|_| stopping.has_expired()) {
                Some(limit) => format!(
                    "It took longer than {limit} (timeouts.{operation}), and ended before \
                     anything was done"
                ),
                None => "Stopped before anything was done".to_owned(),
            };
            return Err(vec![convert::error(&message, "Apply again.")]);
        }
    };
    looked.map_err(|error| all(&error.into_diagnostics(), &schemas().resource))
}

pub(super) async fn run(
    rollout: Rollout,
    stopping: &Stopping,
    folder: Option<&Path>,
    header: &Header,
    (operation, limit): (&str, &Value),
) -> Report {
    let mut progress = ProgressFile::begin(folder, &rollout.target().name, header);
    let stop = stopping.stop.clone();
    let report = rollout.run(stop, &mut |envelope| progress.tell(&envelope)).await;
    match stopping.has_expired() {
        true => timed_out(report, operation, limit),
        false => report,
    }
}

/// Returns what is planned now, with these values as the plan has them.
pub(super) fn settled(
    mut now: Value,
    planned: &Value,
    as_planned: impl Iterator<Item = &'static str>,
) -> Value {
    as_planned.for_each(|name| now[name] = planned[name].clone());
    now
}

/// Refuses a rollout to another revision than the plan promised.
pub(super) fn as_promised(
    rollout: Rollout,
    promised: Option<&str>,
) -> Result<Rollout, Vec<p::Diagnostic>> {
    let wanted = rollout.wanted().to_string();
    match promised.filter(|promised| *promised != wanted) {
        None => Ok(rollout),
        Some(promised) => {
            let message =
                format!("The plan rolls to {promised}, but the revision would now be {wanted}");
            Err(vec![convert::error(message, "Nothing was done. Plan again.")])
        }
    }
}

/// Whether a rollout that did not succeed leaves the state as it was: nothing is created yet, or
/// nothing was done.
pub(super) fn keeps_state(prior: &Value, report: &Report) -> bool {
    let was_left_alone = report.outcome == Outcome::Locked && !report.overtaken;
    prior.is_null() || was_left_alone || report.reason.as_deref() == Some(NOTHING_DONE)
}
