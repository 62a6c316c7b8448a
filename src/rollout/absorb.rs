//! Applies a look to the state, and says what to ask the fleet because of it.

use std::time::Duration;

use rolling_provider::{Observation, Target};

use super::planner::{Input, View};
use super::state::{LeastRemaining, RolloutState, ignored_in, members};
use crate::model::spec::RollingDeployment;

/// How long a launch is missing before the fleet is asked about it, and between two such calls.
const LAUNCH_IS_LATE: Duration = Duration::from_secs(5);

/// The time within which an engine that is awake looks again. The rest of a longer gap does not
/// count against instances: the engine could not see them then.
const LOOKS_WITHIN: Duration = Duration::from_secs(60);

/// The result of a look.
#[derive(Clone, Debug)]
pub(crate) struct Absorbed {
    /// The look, without what does not count.
    pub(crate) look: Observation,
    /// Whether the fleet differs from the look before.
    pub(crate) changed: bool,
    /// Whether to ask the fleet what it did on its own: an instance is missing or has failed, and
    /// only the fleet knows the cause.
    pub(crate) asks_activities: bool,
}

/// Folds `look` into `state`; `before` is the look before it.
pub(crate) fn absorb(
    spec: &RollingDeployment,
    target: &Target,
    state: &mut RolloutState,
    before: &Observation,
    look: Observation,
) -> Absorbed {
    state.unmanaged.ignored = ignored_in(&look);
    let look = members(look, state.record.as_ref());
    let look = state.in_place(look);
    let look = state.without_departed(look);
    let failed = state.failures.failed.len();
    let unseen = look.at.since(before.at).saturating_sub(LOOKS_WITHIN);
    if !unseen.is_zero() {
        state.not_looked(unseen);
    }
    state.observe(target, &spec.health, &look);
    let changed = look.instances != before.instances || look.capacity != before.capacity;
    if changed {
        state.waits.changed_at = look.at;
    }
    state.launches.coming = 0;
    let input = Input { spec, target, look: &look, state, now: look.at };
    let view = View::new(&input);
    let unlaunched = view.unlaunched(&input);
    let (size, updated, serving) = (view.window.size, view.updated(), view.serving());
    state
        .waits
        .least_remaining
        .get_or_insert(LeastRemaining::none(look.at))
        .find(size, updated, serving, look.at);
    // A size is lowered by missing instances only if these are not being launched. The activities
    // show that, so they are read each time.
    let asks_activities = launch_is_late(spec, state, &look)
        || unlaunched > 0
        || asks_who_removed(state, &look)
        || state.failures.failed.len() > failed;
    Absorbed { look, changed, asks_activities }
}

/// Whether an instance has been missing for so long that the fleet is asked about it.
fn launch_is_late(spec: &RollingDeployment, state: &RolloutState, look: &Observation) -> bool {
    state.launches.missing.oldest().is_some_and(|since| {
        let asked = state.launches.activities_asked.unwrap_or(since);
        // Early enough to know the cause before the launch is given up.
        let late = LAUNCH_IS_LATE.min(spec.health.healthy_timeout / 2);
        look.at.since(since) >= late && look.at.since(asked) >= late
    })
}

/// Whether it is time to ask the fleet if it removed an instance on its own.
fn asks_who_removed(state: &RolloutState, look: &Observation) -> bool {
    let is_old = |asked| look.at.since(asked) >= LAUNCH_IS_LATE;
    state.rotation.replaces.is_asked() && state.launches.activities_asked.is_none_or(is_old)
}
