//! What becomes of instances that failed: the controller itself would keep each in its place, and try
//! for ever.

use rolling_provider::Action;

use super::super::input::Input;
use super::super::{Plan, Step, View};
use crate::record::Record;

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
        state.failures.failed.contains_key(member.id) && is_of_this
    });
    for member in failed {
        let record = plan.record(input).unwrap_or(record).clone();
        let is_begun = record.last_retained.as_ref() == Some(member.id);
        let instance = member.id.clone();
        if is_begun || record.retained_failed < spec.keep_failed_instances {
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
