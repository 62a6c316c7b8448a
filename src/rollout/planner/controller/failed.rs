//! What becomes of instances that failed: the controller itself would keep each in its place, and try
//! for ever.

use std::time::Duration;

use rolling_provider::{Action, ControllerStatus};

use super::super::input::Input;
use super::super::{Plan, Step, View};
use crate::record::Record;

/// For how long a rollback tries to set failed instances apart before it goes on without.
const KEEPS_TRYING: Duration = Duration::from_secs(30);

/// Sets apart the instances that are to be kept, and below the threshold removes those that are not, so
/// that the controller creates others. Each was counted in the record before.
pub(super) fn retire(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) {
    let Input { spec, state, target, .. } = *input;
    let Some(record) = state.standing(target) else { return };
    let is_back = state.direction.rolls_back.is_some();
    let failed = view.members.iter().filter(|member| {
        let is_counted = state.failures.counted.contains(member.id)
            && !state.failures.earlier.contains(member.id);
        // On the way back those of the revision that is given up count no more.
        let is_of_this = if is_back { !member.is_new } else { is_counted };
        state.failures.failed.contains_key(member.id) && is_of_this && !member.serves
    });
    // What cannot be set apart does not keep the rollout from going back.
    let may_keep = !is_back || input.now < state.direction.rolls_back_since + KEEPS_TRYING;
    for member in failed {
        let record = plan.record(input).unwrap_or(record).clone();
        let is_begun = record.last_retained.as_ref() == Some(member.id);
        let instance = member.id.clone();
        if may_keep && (is_begun || record.retained_failed < spec.keep_failed_instances) {
            plan.actions.extend((!is_begun).then(|| {
                let last_retained = Some(instance.clone());
                let retained_failed = record.retained_failed + 1;
                Step::record(Record { retained_failed, last_retained, ..record })
            }));
            plan.actions.push(Step::new(Action::Detach { instance, decrement: false }));
        } else if !is_back && member.is_new && record.failures < spec.failure_threshold {
            plan.actions.push(Step::new(Action::Terminate { instance, decrement: false }));
        }
    }
    plan.actions.retain(|step| !super::super::halt::is_refused(input, &step.action));
}

/// Removes the instances that the controller waits for in vain: on the way back those of the revision
/// that is given up, and others once they have not served for as long as a new one may take.
pub(super) fn unblock(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
    record: &Record,
    plan: &mut Plan,
) {
    let is_back = input.state.direction.rolls_back.is_some();
    for member in view.members.iter().filter(|member| status.blocked_by.contains(member.id)) {
        let is_given_up = is_back && member.instance.revision.as_ref() == Some(&record.to);
        let since = member.history.map(|history| history.lost_at.unwrap_or(history.since));
        let due = since.map_or(input.now, |since| since + input.spec.health.healthy_timeout);
        if is_given_up || due <= input.now {
            let instance = member.id.clone();
            plan.actions.push(Step::new(Action::Terminate { instance, decrement: false }));
        } else {
            plan.wake_at(Some(due), input.now);
        }
    }
}
