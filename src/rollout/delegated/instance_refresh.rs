//! Translates a deployment into the preferences of an instance refresh.

use std::time::Duration;

use rolling_provider::{InstanceRefreshPreferences, ProviderError, SetAside};

use crate::model::limits::WIDEST;
use crate::model::spec::{BatchSize, Executor, OnFailure, Policy, RollingDeployment, Window};

/// Returns the preferences of an instance refresh for a fleet of `size`.
///
/// Documents are checked for the rest of `spec` without a cloud.
///
/// # Errors
/// Fails when minimum and maximum are further apart than AWS allows.
pub(crate) fn preferences(
    spec: &RollingDeployment,
    size: u32,
) -> Result<InstanceRefreshPreferences, ProviderError> {
    let window = Window::resolve(spec.policy, size);
    let min_healthy = min_healthy(spec.policy, window);
    let max_healthy = max_healthy(window, min_healthy);
    if max_healthy.is_some_and(|max| max - min_healthy > WIDEST) {
        let message = format!(
            "max_surge and max_unavailable are {} % of {size} instances, and an instance refresh \
             has a minimum and a maximum at most {WIDEST} percent apart",
            max_healthy.unwrap_or_default() - min_healthy
        );
        let error = ProviderError::invalid("translate the policy", "max_surge", message);
        return Err(error.with_remedy("lower one of them, or roll with engine rolling"));
    }
    let mut checkpoints: Vec<u32> = spec.checkpoints.iter().map(|at| at.percentage).collect();
    let delay = spec.checkpoints.first().and_then(|at| at.pause).unwrap_or_default();
    if !checkpoints.is_empty() {
        // Without this the refresh ends at the last checkpoint.
        checkpoints.push(100);
    }
    Ok(InstanceRefreshPreferences {
        min_healthy,
        max_healthy,
        warmup: match spec.engine {
            Executor::InstanceRefresh { warmup } => warmup.map(whole_seconds),
            Executor::Rolling | Executor::Controller { .. } | Executor::Environment { .. } => None,
        },
        checkpoints,
        checkpoint_delay: whole_seconds(delay),
        bake_time: whole_seconds(spec.gates.bake_time),
        alarms: spec.gates.alarms.clone(),
        rolls_back: spec.on_failure == OnFailure::Rollback,
        protected: spec.protected,
        standby: spec.standby,
    })
}

/// Returns the least whole percentage that keeps the floor. AWS rounds up to whole instances.
///
/// 30 % of 7 make batches of 2, and 70 % of 7 are 4.9, so 5 stay, as asked. Batches of 3 of 7 leave
/// 4, which are 57.1 %; 57 % are 3.99, so 4 stay. Batches of 11 of 1000 leave 989, which are 98.9
/// %; 98 % would be 980, so the result is 99 %, which are 990.
fn min_healthy(policy: Policy, window: Window) -> u32 {
    let (floor, size) = (window.floor(), window.size);
    let keeps = |percent: u32| rounded_up(size, percent) >= floor;
    if let Policy::Rolling(BatchSize::Percentage(batch)) = policy
        && rounded_up(size, 100 - batch) == floor
    {
        return 100 - batch;
    }
    match share(floor, size) {
        percent if keeps(percent) => percent,
        percent => percent + 1,
    }
}

/// Returns the greatest whole percentage that keeps the ceiling; 101 where that allows no surge.
fn max_healthy(window: Window, min_healthy: u32) -> Option<u32> {
    let max = share(window.ceiling(), window.size).min(200);
    match window.surge {
        // With a maximum, AWS would launch beside the fleet now. Without one it replaces in place.
        0 if min_healthy == 100 && window.unavailable > 0 => None,
        0 => Some(100),
        _ => Some(max.max(101)),
    }
}

fn share(part: u32, whole: u32) -> u32 {
    match whole {
        0 => 100,
        _ => u32::try_from(u64::from(part) * 100 / u64::from(whole)).unwrap_or(u32::MAX),
    }
}

fn rounded_up(size: u32, percent: u32) -> u32 {
    let hundredths = u64::from(size) * u64::from(percent);
    u32::try_from(hundredths.div_ceil(100)).unwrap_or(u32::MAX)
}

fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

/// Percentages as numbers of instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// At least this many stay healthy.
    pub(crate) floor: u32,
    /// At most this many live.
    pub(crate) ceiling: u32,
}

/// Returns what `preferences` amounts to for a fleet of `size`.
pub(crate) fn bounds(preferences: &InstanceRefreshPreferences, size: u32) -> Bounds {
    match preferences.max_healthy {
        // One instance at a time goes in any case.
        None => Bounds { floor: size.saturating_sub(1), ceiling: size },
        Some(max) => {
            let share = u64::from(size) * u64::from(max) / 100;
            let share = u32::try_from(share).unwrap_or(u32::MAX);
            // A share of less than one instance still counts as one.
            let least = size.saturating_add(u32::from(max > 100 && size > 0));
            Bounds { floor: rounded_up(size, preferences.min_healthy), ceiling: share.max(least) }
        }
    }
}

/// Returns the preferences that EC2 Auto Scaling gets, as phrases.
pub(crate) fn phrases(preferences: &InstanceRefreshPreferences) -> Vec<String> {
    let span = humantime::format_duration;
    let max = match preferences.max_healthy {
        Some(max) => format!("max {max} %"),
        None => "one at a time".to_owned(),
    };
    let mut phrases = vec![
        format!("min {} %, {max} healthy", preferences.min_healthy),
        match preferences.warmup {
            Some(time) => format!("a new instance counts after {} in service", span(time)),
            None => "a new instance counts after the group's own warm-up".to_owned(),
        },
    ];
    if !preferences.checkpoints.is_empty() {
        let at: Vec<String> = preferences.checkpoints.iter().map(|at| format!("{at} %")).collect();
        phrases.push(format!(
            "checkpoints at {}, {} each",
            at.join(", "),
            span(preferences.checkpoint_delay)
        ));
    }
    if !preferences.alarms.is_empty() {
        let names: Vec<&str> = preferences.alarms.iter().map(String::as_str).collect();
        phrases.push(format!("fails when alarm {} is raised", names.join(" or ")));
    }
    if !preferences.bake_time.is_zero() {
        phrases.push(format!("bakes for {}", span(preferences.bake_time)));
    }
    let rolls_back = "rolls back to the group's current template when it fails";
    let stays = "leaves the instances as they are when it fails";
    phrases.push(if preferences.rolls_back { rolls_back } else { stays }.to_owned());
    for (what, rule, replaced) in [
        ("protected from scale-in", preferences.protected, "replaced"),
        ("in standby", preferences.standby, "terminated"),
    ] {
        let rule = match rule {
            SetAside::Wait => continue,
            SetAside::Refresh => replaced,
            SetAside::Ignore => "left alone",
        };
        phrases.push(format!("instances {what} are {rule}"));
    }
    phrases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;
    use crate::model::spec::Bound;

    fn translated(attributes: serde_json::Value, size: u32) -> InstanceRefreshPreferences {
        let mut config = serde_json::json!({
            "engine": "instance_refresh",
            "auto_scaling_group": {
                "name": "web", "launch_template": { "id": "lt-1", "version": "2" },
            },
        });
        for (name, value) in attributes.as_object().expect("attributes") {
            config[name] = value.clone();
        }
        let (_, spec) = document::deployment(&config, "").expect("a deployment");
        preferences(&spec, size).expect("preferences")
    }

    fn percentages(policy: Policy, size: u32) -> (u32, Option<u32>) {
        let window = Window::resolve(policy, size);
        let min = min_healthy(policy, window);
        (min, max_healthy(window, min))
    }

    #[test]
    fn each_policy_has_its_percentages() {
        let percent = BatchSize::Percentage;
        let fixed = BatchSize::Fixed;
        let within = |surge, unavailable| Policy::RollingWithin { surge, unavailable };
        let extra = Policy::RollingWithAdditionalBatch;
        for (policy, size, wanted) in [
            (Policy::AllAtOnce, 10, (0, Some(100))),
            (Policy::Immutable, 10, (100, Some(200))),
            (Policy::Rolling(percent(30)), 10, (70, Some(100))),
            // 2.1 of 7, so batches of 2: 4.9 stay, which AWS rounds up to 5.
            (Policy::Rolling(percent(30)), 7, (70, Some(100))),
            (Policy::Rolling(percent(100)), 4, (0, Some(100))),
            // Less than one instance of 2 counts as one.
            (Policy::Rolling(percent(30)), 2, (50, Some(100))),
            (Policy::Rolling(fixed(3)), 7, (57, Some(100))),
            (Policy::Rolling(fixed(11)), 1000, (99, Some(100))),
            // Less than one percent: none can be spared, and one instance at a time is replaced in
            // place.
            (Policy::Rolling(fixed(5)), 1000, (100, None)),
            (extra(percent(30)), 10, (100, Some(130))),
            (extra(percent(30)), 7, (100, Some(128))),
            (extra(fixed(1)), 200, (100, Some(101))),
            (within(Bound::Count(1), Bound::Count(0)), 4, (100, Some(125))),
            (within(Bound::Percent(25), Bound::Percent(25)), 10, (80, Some(130))),
            (within(Bound::Count(0), Bound::Count(0)), 4, (75, Some(100))),
            (Policy::Rolling(fixed(1)), 0, (100, Some(100))),
        ] {
            assert_eq!(percentages(policy, size), wanted, "{policy:?} of {size}");
        }
    }

    #[test]
    fn what_it_comes_to_is_never_below_the_floor_and_above_the_ceiling_only_for_want_of_a_percent()
    {
        let remaining = translated(serde_json::json!({ "policy": "immutable" }), 1);
        for size in 1..=400 {
            for batch in 1..=size.min(40) {
                for policy in [
                    Policy::Rolling(BatchSize::Fixed(batch)),
                    Policy::Rolling(BatchSize::Percentage(batch)),
                    Policy::RollingWithAdditionalBatch(BatchSize::Fixed(batch)),
                    Policy::RollingWithAdditionalBatch(BatchSize::Percentage(batch)),
                ] {
                    let window = Window::resolve(policy, size);
                    let (min_healthy, max_healthy) = percentages(policy, size);
                    let preferences = InstanceRefreshPreferences {
                        min_healthy,
                        max_healthy,
                        ..remaining.clone()
                    };
                    let Bounds { floor, ceiling } = bounds(&preferences, size);
                    assert!(floor >= window.floor(), "{policy:?} of {size}");
                    let exact = ceiling <= window.ceiling();
                    assert!(exact || max_healthy == Some(101), "{policy:?} of {size}: {ceiling}");
                    assert!(ceiling > floor, "something can be replaced: {policy:?} of {size}");
                }
            }
        }
    }

    #[test]
    fn every_setting_finds_its_place() {
        let preferences = translated(
            serde_json::json!({
                "policy": "rolling", "batch_size_type": "percentage", "batch_size": 25,
                "health": { "min_healthy_time": "1500ms" }, "on_failure": "stop",
                "checkpoints": [
                    { "percentage": 20, "pause": "10m" }, { "percentage": 50, "pause": "10m" },
                ],
                "gates": { "alarms": ["web-5xx"], "bake_time": "1h" },
                "scale_in_protected_instances": "refresh", "standby_instances": "ignore",
                // A setting that asks for nothing is not a reason to refuse.
                "suspend_processes": [], "failure_threshold": 1, "keep_failed_instances": 0,
                "lifecycle_hooks": "wait", "pause_between_batches": "0s",
            }),
            8,
        );
        let wanted = InstanceRefreshPreferences {
            min_healthy: 75,
            max_healthy: Some(100),
            warmup: Some(Duration::from_secs(2)),
            checkpoints: vec![20, 50, 100],
            checkpoint_delay: Duration::from_secs(600),
            bake_time: Duration::from_secs(3600),
            alarms: ["web-5xx".to_owned()].into(),
            rolls_back: false,
            protected: SetAside::Refresh,
            standby: SetAside::Ignore,
        };
        assert_eq!(preferences, wanted);
        let message = phrases(&preferences).join("; ");
        assert_eq!(
            message,
            "min 75 %, max 100 % healthy; a new instance counts after 2s in service; checkpoints \
             at 20 %, 50 %, 100 %, 10m each; fails when alarm web-5xx is raised; bakes for 1h; \
             leaves the instances as they are when it fails; instances protected from scale-in \
             are replaced; instances in standby are left alone"
        );
    }

    #[test]
    fn bounds_too_far_apart_for_aws_are_refused_by_name() {
        let (surge, unavailable) = (Bound::Count(4), Bound::Count(1));
        let (_, spec) = document::deployment(
            &serde_json::json!({
                "policy": "immutable", "engine": "instance_refresh",
                "auto_scaling_group": {
                    "name": "web", "launch_template": { "id": "lt-1", "version": "2" },
                },
            }),
            "",
        )
        .expect("a deployment");
        let spec =
            RollingDeployment { policy: Policy::RollingWithin { surge, unavailable }, ..spec };
        let error = preferences(&spec, 4).expect_err("125 percent");
        assert_eq!(error.attribute.as_deref(), Some("max_surge"));
        assert!(error.message.contains("125 % of 4 instances"), "{error}");
        assert!(preferences(&spec, 5).is_ok(), "4 and 1 of 5 are 100 percent");
    }
}
