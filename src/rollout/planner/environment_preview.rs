//! Preview of an update of an Elastic Beanstalk environment: the options that it changes first, the
//! batches, and what this program has to be there for.

use std::time::Duration;

use super::View;
use super::deadlines::ASSUMED_BOOT;
use super::delegated_preview::unplanned;
use super::input::Input;
use super::shortfall::{idle_now, missing_now};
use crate::model::preview::{AtWorst, BatchPreview, DelegatedPreview, Preview};
use crate::model::spec::{Executor, OnFailure, Policy};
use crate::rollout::delegated::{
    batch_sizes, changed_options, environment_phrases, environment_settings, is_done, old,
    rolls_back_here,
};

/// The default of the option `Timeout` of a command on an instance, and what Elastic Beanstalk adds to it
/// (<https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/command-options-general.html>).
const COMMAND_TIMEOUT: Duration = Duration::from_secs(600);
const BEYOND_TIMEOUT: Duration = Duration::from_secs(240);

/// Previews what an update would do now, where none is under way.
pub(super) fn preview(input: &Input<'_>) -> Preview {
    let Input { spec, target, look, .. } = *input;
    let view = View::new(input);
    let (size, window) = (view.window.size, view.window);
    let changes = !is_done(spec, target, look);
    let settings = environment_settings(spec).ok();
    let sizes = if changes { batch_sizes(spec.policy, size) } else { Vec::new() };
    let mut phrases = settings.as_ref().map(environment_phrases).unwrap_or_default();
    let changed: Vec<String> =
        settings.iter().flat_map(|settings| changed_options(target, settings)).collect();
    let sets_options = !changed.is_empty();
    phrases.extend(changed);
    let mut warnings = target.warnings.clone();
    if changes {
        warnings.extend(self::warnings(input, &view, sets_options));
    }
    Preview {
        at_worst: changes.then(|| at_worst(input, sizes.first().copied().unwrap_or_default())),
        changes,
        delegated_rollout: Some(DelegatedPreview { kind: "environment update", settings: phrases }),
        batches: sizes.iter().enumerate().map(|(at, size)| batch(spec.policy, at, *size)).collect(),
        floor: window.floor(),
        ceiling: window.ceiling(),
        expected_seconds: expected(input, sizes.len()).as_secs(),
        boot_assumed: target.boot.is_none() && changes,
        warnings,
        ..unplanned(input)
    }
}

fn batch(policy: Policy, at: usize, size: u32) -> BatchPreview {
    let launches = match policy {
        Policy::Immutable | Policy::TrafficSplitting => size,
        Policy::RollingWithAdditionalBatch(_) if at == 0 => size,
        _ => 0,
    };
    BatchPreview { launches, replaces: Vec::new(), at_most: Some(size) }
}

fn expected(input: &Input<'_>, batches: usize) -> Duration {
    let one = input.target.boot.unwrap_or(ASSUMED_BOOT);
    let split = match input.spec.policy {
        Policy::TrafficSplitting => {
            input.spec.traffic_steps.iter().map(|it| it.evaluation_time).sum()
        }
        _ => Duration::ZERO,
    };
    one * u32::try_from(batches).unwrap_or(u32::MAX) + split
}

/// Returns the worst case: a command that hangs is ended by its timeout.
fn at_worst(input: &Input<'_>, first: u32) -> AtWorst {
    let Input { spec, target, look, state, .. } = *input;
    let given = match spec.engine {
        Executor::Environment { timeout } => timeout,
        _ => None,
    };
    let own = target.options.get("Timeout").and_then(|seconds| seconds.parse().ok());
    let own = own.map(Duration::from_secs);
    let notice = given.or(own).unwrap_or(COMMAND_TIMEOUT) + BEYOND_TIMEOUT;
    let window = crate::model::spec::Window::resolve(spec.policy, state.size(look));
    AtWorst {
        out: window.unavailable,
        out_seconds: notice.as_secs(),
        exposed: first,
        exposed_seconds: notice.as_secs(),
        recovers: spec.on_failure == OnFailure::Rollback,
    }
}

fn warnings(input: &Input<'_>, view: &View<'_>, sets_options: bool) -> Vec<String> {
    let Input { spec, target, look, .. } = *input;
    let mut warnings = Vec::new();
    if sets_options {
        warnings.push(
            "the options are set first, by an update of their own, and stay: they are the \
             environment's configuration"
                .to_owned(),
        );
    }
    if rolls_back_here(spec) {
        warnings.push(
            "the way back needs a run of rolling that follows: without one a failed deployment \
             leaves the environment with mixed versions"
                .to_owned(),
        );
    }
    if view.window.size > 0 && view.window.floor() == 0 {
        warnings.push("no instance has to serve while the version is deployed: an outage".into());
    }
    let is_mixed = look.template.as_ref() == Some(&target.revision)
        && old(spec, target, look).next().is_some();
    if is_mixed {
        warnings.push(format!(
            "the environment says that it runs {}, but not all of its instances do",
            target.revision
        ));
    }
    warnings.extend(idle_now(input, view));
    warnings.extend(missing_now(input, view));
    warnings
}
