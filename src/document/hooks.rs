//! Converts the hooks of a document: their rules and defaults.

use std::collections::BTreeMap;

use super::config::{
    HookConfig, HookFailureName, HooksConfig, RollingDeploymentConfig, seconds_or,
};
use super::diagnostic::Diagnostic;
use crate::model::spec::{Hook, HookCall, HookPoint, Hooks, OnHookFailure, Secret};

/// How long one try may take unless the document says so, in seconds.
const TIMEOUT: u64 = 300;
/// How often a hook is tried unless the document says so.
const TRIES: u32 = 3;

pub(super) fn hooks(
    config: &RollingDeploymentConfig,
    pointer: &str,
    found: &mut Vec<Diagnostic>,
) -> Hooks {
    let given = config.hooks.clone().unwrap_or_default();
    let mut all = BTreeMap::new();
    for point in HookPoint::ALL {
        let Some(hook) = at(&given, point) else { continue };
        let place = format!("{pointer}/hooks/{}", point.name());
        all.extend(call(hook, &place, found).map(|call| {
            let on_failure = on_failure(hook, point, &place, found);
            let (timeout, tries) = (seconds_or(&hook.timeout, TIMEOUT), hook.tries);
            (point, Hook { call, timeout, tries: tries.unwrap_or(TRIES), on_failure })
        }));
    }
    Hooks(all)
}

fn at(given: &HooksConfig, point: HookPoint) -> Option<&HookConfig> {
    let hook = match point {
        HookPoint::BeforeRollout => &given.before_rollout,
        HookPoint::BeforeDeregister => &given.before_deregister,
        HookPoint::AfterHealthy => &given.after_healthy,
        HookPoint::AfterBatch => &given.after_batch,
        HookPoint::BeforeRollback => &given.before_rollback,
        HookPoint::AfterRollout => &given.after_rollout,
    };
    hook.as_ref()
}

/// Returns what the hook at `place` runs, if it says one thing.
fn call(hook: &HookConfig, place: &str, found: &mut Vec<Diagnostic>) -> Option<HookCall> {
    if hook.timeout.as_ref().is_some_and(|timeout| timeout.get().is_zero()) {
        found.push(Diagnostic::error(format!("{place}/timeout"), "must be above 0s"));
    }
    match (&hook.command, &hook.http) {
        (Some(command), None) => {
            if command.run.first().is_none_or(String::is_empty) {
                let remedy = "write for instance [\"./drain\", \"--quick\"]";
                let place = format!("{place}/command/run");
                found.push(Diagnostic::error(place, "the command is empty").with_remedy(remedy));
            }
            let environment = command.environment.iter().flatten();
            let environment =
                environment.map(|(name, value)| (name.clone(), Secret(value.0.clone()))).collect();
            Some(HookCall::Command { run: command.run.clone(), environment })
        }
        (None, Some(http)) => {
            if http.url.parse::<hyper::Uri>().is_err() {
                let message = format!("{:?} is not a URL", http.url);
                found.push(Diagnostic::error(format!("{place}/http/url"), message));
            }
            Some(HookCall::Http { url: http.url.clone() })
        }
        (both, _) => {
            let message = match both {
                Some(_) => "both command and http are set",
                None => "neither command nor http is set",
            };
            let remedy = "give exactly one of command and http";
            found.push(Diagnostic::error(place, message).with_remedy(remedy));
            None
        }
    }
}

fn on_failure(
    hook: &HookConfig,
    point: HookPoint,
    place: &str,
    found: &mut Vec<Diagnostic>,
) -> OnHookFailure {
    if !point.only_reports() {
        return match hook.on_failure {
            None | Some(HookFailureName::Fail) => OnHookFailure::Fail,
            Some(HookFailureName::Pause) => OnHookFailure::Pause,
            Some(HookFailureName::Ignore) => OnHookFailure::Ignore,
        };
    }
    if hook.on_failure.is_some_and(|given| given != HookFailureName::Ignore) {
        let message = match point {
            HookPoint::BeforeRollback => "a hook cannot prevent a rollback",
            _ => "a hook cannot change the outcome",
        };
        let remedy = "remove it, or choose ignore";
        let place = format!("{place}/on_failure");
        found.push(Diagnostic::error(place, message).with_remedy(remedy));
    }
    OnHookFailure::Ignore
}
