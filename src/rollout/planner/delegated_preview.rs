//! Preview of a rollout that the platform itself carries out, and of an instance refresh.
//!
//! That one shows the preferences that EC2 Auto Scaling gets, what they amount to, and how the refresh
//! differs from a rollout of this program.

use std::time::Duration;

use rolling_provider::InstanceRefreshPreferences;

use super::View;
use super::deadlines::ASSUMED_BOOT;
use super::input::Input;
use super::preflight::{drains_short, span};
use super::set_aside::{left_alone, set_aside};
use super::shortfall::{idle_now, missing_now};
use crate::model::preview::{AtWorst, DelegatedPreview, Preview};
use crate::model::spec::{OnFailure, SetAside};
use crate::rollout::delegated::{self, Bounds, bounds, is_done, old, phrases};
use crate::rollout::serving::held_by_hooks;

/// How long EC2 Auto Scaling waits for progress before a refresh fails, by its documentation.
const GIVES_UP_AFTER: Duration = Duration::from_secs(3600);

/// Returns what is the same for every platform.
pub(super) fn unplanned(input: &Input<'_>) -> Preview {
    let Input { spec, target, look, .. } = *input;
    let names = target.target_groups.iter().map(|group| (group.id.clone(), group.name.clone()));
    let window = View::new(input).window;
    Preview {
        at_worst: None,
        may_wait: Vec::new(),
        left_alone: left_alone(input),
        at_work: None,
        paused: false,
        command: None,
        changes: false,
        target: target.name.clone(),
        kind: target.kind,
        from: look.template.clone(),
        to: target.revision.clone(),
        restart: None,
        target_groups: names.collect(),
        size: window.size,
        policy: spec.policy.name(),
        continuous: false,
        delegated_rollout: None,
        controller: Vec::new(),
        batches: Vec::new(),
        checkpoints: spec.checkpoints.iter().map(|checkpoint| checkpoint.percentage).collect(),
        requests: None,
        hooks: Vec::new(),
        gates: Vec::new(),
        rollout_hooks: Vec::new(),
        floor: window.floor(),
        units: None,
        sets_template: None,
        ceiling: window.ceiling(),
        borrows: Vec::new(),
        expected_seconds: 0,
        boot_assumed: false,
        warnings: Vec::new(),
    }
}

/// Previews what a refresh would do now, where none is under way.
pub(super) fn preview(input: &Input<'_>) -> Preview {
    let Input { spec, target, look, .. } = *input;
    let view = View::new(input);
    let (size, asked) = (view.window.size, view.window);
    let changes = !is_done(spec, target, look);
    let preferences = delegated::preferences(spec, size).ok();
    let comes_to = preferences
        .as_ref()
        .map_or(Bounds { floor: asked.floor(), ceiling: asked.ceiling() }, |preferences| {
            bounds(preferences, size)
        });
    let count = old(spec, target, look).count();
    let expected = if changes { expected(input, comes_to, count) } else { Duration::ZERO };
    let mut warnings = target.warnings.clone();
    if changes {
        warnings.extend(preferences.as_ref().map(differs));
        warnings.extend(self::warnings(input, &view, comes_to));
    }
    Preview {
        at_worst: (count > 0).then(|| at_worst(input, &view, comes_to)),
        may_wait: if changes { may_wait(input, &view) } else { Vec::new() },
        changes,
        delegated_rollout: preferences.as_ref().map(|preferences| DelegatedPreview {
            kind: "instance refresh",
            settings: phrases(preferences),
        }),
        hooks: hooks(input),
        floor: comes_to.floor,
        ceiling: comes_to.ceiling,
        expected_seconds: expected.as_secs(),
        boot_assumed: target.boot.is_none() && count > 0,
        warnings,
        ..unplanned(input)
    }
}

/// Returns the worst case: EC2 Auto Scaling gives a refresh up by its own rule.
fn at_worst(input: &Input<'_>, view: &View<'_>, comes_to: Bounds) -> AtWorst {
    let size = view.window.size;
    let idle = size.saturating_sub(u32::try_from(view.serving()).unwrap_or(u32::MAX));
    let launch = input.target.boot.unwrap_or(ASSUMED_BOOT) + input.target.register();
    let places = comes_to.ceiling.saturating_sub(comes_to.floor);
    AtWorst {
        out: size.saturating_sub(comes_to.floor).max(idle),
        out_seconds: (GIVES_UP_AFTER + launch).as_secs(),
        exposed: places.clamp(1, size.max(1)),
        exposed_seconds: GIVES_UP_AFTER.as_secs(),
        recovers: input.spec.on_failure == OnFailure::Rollback,
    }
}

/// Returns what EC2 Auto Scaling may wait for beyond the expected time, as phrases.
fn may_wait(input: &Input<'_>, view: &View<'_>) -> Vec<String> {
    let limit = span(GIVES_UP_AFTER);
    let protected = view.old().filter(|member| member.set_aside).count();
    let standby = match input.spec.standby {
        SetAside::Wait => view.standby.len(),
        SetAside::Refresh | SetAside::Ignore => 0,
    };
    let kinds = [(protected, "protected from scale-in"), (standby, "in standby")];
    let there = kinds.into_iter().filter(|(count, _)| *count > 0);
    there
        .map(|(count, what)| {
            let instances = if count == 1 { "instance" } else { "instances" };
            format!("up to {limit} for {count} {instances} {what}")
        })
        .collect()
}

/// Describes the lifecycle hooks of the group, which the refresh waits for.
fn hooks(input: &Input<'_>) -> Vec<String> {
    let kinds = [(true, "launches"), (false, "terminations")];
    let there = kinds.into_iter().filter(|(kind, _)| input.target.hooks_of(*kind).next().is_some());
    there
        .map(|(kind, what)| {
            let by = held_by_hooks(input.target, kind);
            format!("{what} {by}, and the refresh waits until somebody completes them")
        })
        .collect()
}

/// Returns how long it takes if every boot takes the median and every place is refilled at once.
fn expected(input: &Input<'_>, comes_to: Bounds, count: usize) -> Duration {
    let Input { spec, target, .. } = *input;
    let launch =
        target.boot.unwrap_or(ASSUMED_BOOT) + target.register() + spec.health.min_healthy_time;
    let places = comes_to.ceiling.saturating_sub(comes_to.floor).max(1);
    let rounds = u32::try_from(count).unwrap_or(u32::MAX).div_ceil(places);
    let waits: Duration = spec.checkpoints.iter().filter_map(|checkpoint| checkpoint.pause).sum();
    let waits = if count == 0 { Duration::ZERO } else { waits };
    (launch + target.drain()) * rounds + waits + spec.gates.bake_time
}

/// Returns what a reader who knows rollouts of this program would not expect.
fn differs(preferences: &InstanceRefreshPreferences) -> String {
    let warmup = preferences.warmup.map_or_else(
        || {
            "the warm-up of the group (its default instance warm-up, or else the grace period of \
            its health checks; min_healthy_time would set another)"
                .to_owned()
        },
        |time| humantime::format_duration(time).to_string(),
    );
    format!(
        "EC2 Auto Scaling rolls by its own rules, even when no client runs: a new instance counts \
         when the group's own health checks pass and it has been in service for {warmup}; it gives \
         up after an hour in which no instance becomes healthy; scaling continues"
    )
}

/// Warns of a slow start that lasts longer than what a new instance is given before the next goes.
fn slow_start(input: &Input<'_>) -> Option<String> {
    let (slow, health) = (input.target.slow_start(), &input.spec.health);
    let is_short = !health.soak_is_given || health.min_healthy_time < slow;
    (!slow.is_zero() && is_short).then(|| {
        format!(
            "a target group's slow start takes {0}, and a new instance counts when its warm-up is \
             over: set min_healthy_time to at least {0}, or old instances are terminated while new \
             ones still get few requests",
            span(slow)
        )
    })
}

fn warnings(input: &Input<'_>, view: &View<'_>, comes_to: Bounds) -> Vec<String> {
    let Input { spec, target, look, .. } = *input;
    let asked = view.window;
    let mut warnings = Vec::new();
    if comes_to.ceiling > asked.ceiling() {
        warnings.push(format!(
            "EC2 Auto Scaling counts in whole percent: up to {} live, where the policy has {}",
            comes_to.ceiling,
            asked.ceiling()
        ));
    }
    if asked.size > 0 && comes_to.floor == 0 {
        warnings.push("no instance has to serve during the refresh: an outage".to_owned());
    }
    if let Some(why) = &target.no_surge {
        warnings.push(format!("{why}: its percentages are of units"));
    }
    warnings.extend(idle_now(input, view));
    warnings.extend(missing_now(input, view));
    warnings.extend(slow_start(input));
    warnings.extend(drains_short(input, Duration::ZERO));
    warnings.extend(set_aside(input, view));
    let template = look.template.as_ref().map(|found| target.resolve(found));
    if spec.on_failure == OnFailure::Rollback && template == Some(&target.revision) {
        warnings.push(format!(
            "the group launches {} already: if the refresh fails, EC2 Auto Scaling has no other \
             template to roll back to",
            target.revision
        ));
    }
    warnings
}
