//! Preview of an instance refresh.
//!
//! It shows the preferences that EC2 Auto Scaling gets, what they amount to, and how the refresh
//! differs from a rollout of this program.

use std::time::Duration;

use rolling_provider::InstanceRefreshPreferences;

use super::View;
use super::deadlines::ASSUMED_BOOT;
use super::input::Input;
use super::set_aside::{left_alone, set_aside};
use crate::model::preview::{AtWorst, Preview};
use crate::model::spec::OnFailure;
use crate::rollout::instance_refresh::{self, Bounds, bounds, is_done, old, phrases};

/// How long EC2 Auto Scaling waits for progress before a refresh fails, by its documentation.
const GIVES_UP_AFTER: Duration = Duration::from_secs(3600);

/// Previews what a refresh would do now, where none is under way.
pub(super) fn preview(input: &Input<'_>) -> Preview {
    let Input { spec, target, look, .. } = *input;
    let view = View::new(input);
    let (size, asked) = (view.window.size, view.window);
    let changes = !is_done(spec, target, look);
    let preferences = instance_refresh::preferences(spec, size).ok();
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
    let names = target.target_groups.iter().map(|group| (group.id.clone(), group.name.clone()));
    Preview {
        at_worst: (count > 0).then(|| at_worst(input, comes_to, size)),
        may_wait: Vec::new(),
        left_alone: left_alone(input),
        changes,
        target: target.name.clone(),
        kind: target.kind,
        from: look.template.clone(),
        to: target.revision.clone(),
        restart: None,
        target_groups: names.collect(),
        size,
        policy: spec.policy.name(),
        continuous: false,
        instance_refresh: preferences.as_ref().map(phrases).unwrap_or_default(),
        batches: Vec::new(),
        checkpoints: spec.checkpoints.iter().map(|checkpoint| checkpoint.percentage).collect(),
        requests: None,
        hooks: Vec::new(),
        gates: Vec::new(),
        rollout_hooks: Vec::new(),
        floor: comes_to.floor,
        ceiling: comes_to.ceiling,
        borrows: Vec::new(),
        expected_seconds: expected.as_secs(),
        boot_assumed: target.boot.is_none() && count > 0,
        warnings,
    }
}

/// Returns the worst case: EC2 Auto Scaling gives a refresh up by its own rule.
fn at_worst(input: &Input<'_>, comes_to: Bounds, size: u32) -> AtWorst {
    let launch = input.target.boot.unwrap_or(ASSUMED_BOOT) + input.target.register();
    let places = comes_to.ceiling.saturating_sub(comes_to.floor);
    AtWorst {
        out: size.saturating_sub(comes_to.floor),
        out_seconds: (GIVES_UP_AFTER + launch).as_secs(),
        exposed: places.clamp(1, size.max(1)),
        exposed_seconds: GIVES_UP_AFTER.as_secs(),
        recovers: input.spec.on_failure == OnFailure::Rollback,
    }
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
    let idle = view.members.iter().filter(|member| !member.serves).count();
    if idle > 0 {
        warnings.push(format!("{idle} of {} instances do not serve now", view.members.len()));
    }
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
