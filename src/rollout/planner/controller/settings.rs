//! The bounds that a controller is given: for a rollout that it carries out at its own pace, and for
//! one step.

use rolling_provider::{ControllerSettings, ControllerStatus, Share};

use super::super::View;
use super::super::input::Input;
use super::step;
use crate::model::spec::{BatchSize, Bound, Policy};
use crate::record::Record;

/// Returns the surge and the share of unavailable instances by which the controller itself keeps what
/// `policy` promises, at its own pace.
///
/// Percentages stay percentages where Kubernetes rounds them as this program does, so that they hold
/// when the fleet is scaled meanwhile; numbers are of the size now. Sources: `RollingUpdateDeployment`
/// in the API reference of Kubernetes, and its `ResolveFenceposts`.
pub(crate) fn at_own_pace(policy: Policy, size: u32) -> (Share, Share) {
    let none = Share::Count(0);
    let share = |bound: Bound| match bound {
        Bound::Count(count) => Share::Count(count.min(size)),
        Bound::Percent(percent) => Share::Percent(percent),
    };
    match policy {
        Policy::AllAtOnce => (none, Share::Percent(100)),
        Policy::Rolling(BatchSize::Percentage(percent)) => (none, Share::Percent(percent)),
        Policy::Rolling(batch) => (none, Share::Count(batch.of(size))),
        // As a percentage it would be rounded up.
        Policy::RollingWithAdditionalBatch(batch) => (Share::Count(batch.of(size)), none),
        Policy::RollingWithin { surge, unavailable } => match (share(surge), share(unavailable)) {
            // Kubernetes refuses a literal nothing of both.
            (Share::Count(0) | Share::Percent(0), Share::Count(0) | Share::Percent(0)) => {
                (none, Share::Count(1))
            }
            shares => shares,
        },
        Policy::Immutable | Policy::TrafficSplitting | Policy::BlueGreen { .. } => {
            (Share::Percent(100), none)
        }
    }
}

/// Returns the bounds of a controller with a partition: those that it has, as far as `policy` allows
/// them. Each step ends where the partition says, whatever the bounds.
pub(super) fn by_partition(policy: Policy, found: ControllerSettings, size: u32) -> (Share, Share) {
    let (surge, unavailable) = at_own_pace(policy, size);
    let allowed = ControllerSettings { surge, unavailable, ..found };
    match allowed.unavailable_of(size) < found.unavailable_of(size) {
        true => (found.surge, unavailable),
        false => (found.surge, found.unavailable),
    }
}

/// Returns the bounds for what `record` has released.
pub(super) fn released_settings(
    input: &Input<'_>,
    view: &View<'_>,
    record: &Record,
    status: &ControllerStatus,
) -> ControllerSettings {
    let spec = input.spec;
    let size = view.window.size;
    let found = record.borrowed.controller.map_or(status.settings, |borrowed| borrowed.found);
    let is_stepped = step::is_stepped(input) && record.released.is_some();
    let goal = is_stepped.then(|| step::goal_of(input, view, status, record));
    let (surge, unavailable) = match goal {
        // Nothing is replaced, and Kubernetes refuses a literal nothing of both.
        _ if size == 0 => (found.surge, found.unavailable),
        _ if status.partition.is_some() => by_partition(spec.policy, found, size),
        None => at_own_pace(spec.policy, size),
        Some(goal) => of_step(spec.policy, view, step::there(input, view, status), goal),
    };
    let min_ready = spec.health.min_healthy_time;
    let whole = min_ready.as_secs() + u64::from(min_ready.subsec_nanos() > 0);
    let min_ready_seconds = u32::try_from(whole).unwrap_or(u32::MAX);
    let asked = spec.progress_deadline.map(|time| time.as_secs().max(1));
    let asked = asked.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
    let deadline_seconds = asked.or(found.deadline_seconds);
    // Kubernetes refuses a deadline that is not longer than the time in which an instance counts.
    let deadline_seconds =
        deadline_seconds.map(|seconds| seconds.max(min_ready_seconds.saturating_add(1)));
    ControllerSettings { surge, unavailable, min_ready_seconds, deadline_seconds }
}

/// Returns surge and unavailable instances that make the window just as wide as the way from `there`
/// instances of the revision to `goal`.
fn of_step(policy: Policy, view: &View<'_>, there: u32, goal: u32) -> (Share, Share) {
    let window = view.window;
    let width = goal.saturating_sub(there).max(1);
    if policy.keeps_old() {
        // For each new instance that is available one of the old ones goes, and no other.
        return (Share::Count(width), Share::Count(0));
    }
    let unavailable = window.unavailable.min(width);
    let surge = window.surge.min(width - unavailable);
    (Share::Count(surge), Share::Count(unavailable))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every policy keeps its floor and its ceiling by the rules of Kubernetes, at any size.
    #[test]
    fn what_the_controller_is_given_is_what_the_policy_promises() {
        let mut policies = vec![Policy::AllAtOnce, Policy::Immutable];
        for percent in [1, 25, 30, 50, 99, 100] {
            let batch = BatchSize::Percentage(percent);
            policies.extend([Policy::Rolling(batch), Policy::RollingWithAdditionalBatch(batch)]);
            let (surge, unavailable) = (Bound::Percent(percent), Bound::Percent(100 - percent));
            policies.push(Policy::RollingWithin { surge, unavailable });
        }
        for count in [1, 2, 7] {
            let batch = BatchSize::Fixed(count);
            policies.extend([Policy::Rolling(batch), Policy::RollingWithAdditionalBatch(batch)]);
            let (surge, unavailable) = (Bound::Count(count), Bound::Count(0));
            policies.push(Policy::RollingWithin { surge, unavailable });
        }
        let (surge, unavailable) = (Bound::Count(0), Bound::Count(0));
        policies.push(Policy::RollingWithin { surge, unavailable });
        for policy in policies {
            for size in (1..30).chain([100, 1000]) {
                let window = crate::model::spec::Window::resolve(policy, size);
                let (surge, unavailable) = at_own_pace(policy, size);
                let given = ControllerSettings {
                    surge,
                    unavailable,
                    min_ready_seconds: 0,
                    deadline_seconds: None,
                };
                let bounds = (given.surge_of(size), given.unavailable_of(size));
                assert_eq!(bounds, (window.surge, window.unavailable), "{policy:?} of {size}");
            }
        }
    }
}
