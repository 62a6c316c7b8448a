//! What an action leads to that the cloud refuses for good.

use std::mem::discriminant;

use rolling_provider::Action;

use super::check::{instances_of, violations};
use super::failure::unrestored;
use super::input::Input;
use super::{Plan, Step, Verdict, deadlines};
use crate::model::event::Cause;
use crate::model::spec::OnFailure;
use crate::model::wait::{Wait, WaitKind};
use crate::record::Ending;
use crate::rollout::rollback_reason::unfinished;
use crate::rollout::state::{Halt, is_marked_for};

/// Returns how a rollout ends whose `action` the cloud refuses with `message`. None where the rest
/// goes on without it: while things are put back, and after a missing tag, or an instance that is not
/// kept, which do no harm.
pub(crate) fn refused(input: &Input<'_>, action: &Action, message: &str) -> Option<Verdict> {
    let is_back = input.state.direction.rolls_back.is_some();
    // What is to be looked at later is no reason to stay with a revision that fails.
    let only_keeps = matches!(action, Action::Detach { .. }) && is_back;
    if input.state.direction.halt.is_some() || matches!(action, Action::Tag { .. }) || only_keeps {
        return None;
    }
    let reason = format!("the cloud refused to {}: {message}", input.named(action));
    if let Some(end) = unrestored(input, &reason) {
        return Some(end);
    }
    let reason = match &input.state.direction.rolls_back {
        Some(first) => unfinished(&reason, first),
        None => reason,
    };
    // The revision is not at fault.
    let cause = Some(Cause::Call);
    let halt = |reason| Halt { fault: false, cause, ..Halt::failed(reason, input.now) };
    Some(match input.spec.on_failure {
        OnFailure::Rollback if is_half_way(input) => {
            Verdict::RollBack { reason, cause, asked: false }
        }
        OnFailure::Pause if is_half_way(input) => {
            Verdict::Halt(Halt { ending: Ending::Paused, ..halt(reason) })
        }
        OnFailure::Rollback | OnFailure::Pause | OnFailure::Stop => Verdict::Halt(halt(reason)),
    })
}

/// Whether to carry out `step` although calls fail that were planned before it. It must be another
/// kind of call, for other instances, and safe by what is so now; and none of the failed ones may
/// concern the whole fleet.
pub(crate) fn may_act_beside(input: &Input<'_>, step: &Step) -> bool {
    let own = instances_of(&step.action);
    let is_apart = |failing: &Action| {
        let others = instances_of(failing);
        discriminant(failing) != discriminant(&step.action)
            && !others.is_empty()
            && !others.iter().any(|id| own.contains(id))
    };
    let alone = Plan { actions: vec![step.clone()], ..Plan::waiting() };
    let mut failing = input.state.failures.calls.iter();
    step.record.is_none()
        && !own.is_empty()
        && failing.all(|(failing, _)| is_apart(failing))
        && violations(input, &alone).is_empty()
}

/// Returns what `plan` waits for, with the calls that the cloud does not take.
pub(crate) fn waits_of(input: &Input<'_>, plan: &Plan) -> Vec<Wait> {
    let planned = |action: &Action| plan.actions.iter().any(|step| step.action == *action);
    let is_forward = input.state.direction.halt.is_none();
    let is_due =
        |action: &Action| planned(action) || (is_forward && is_marked_for(input.look, action));
    let failing = input.state.failures.calls.iter().filter(|(action, _)| is_due(action));
    let calls = failing.map(|(action, error)| Wait {
        kind: WaitKind::Call,
        instances: Vec::new(),
        detail: Some(format!("{}: {error}", input.named(action))),
        deadline: deadlines::progress_deadline(input),
    });
    calls.chain(plan.waiting_on.iter().cloned()).collect()
}

/// Whether an end now would leave two revisions, and there is a completed revision to go back to.
fn is_half_way(input: &Input<'_>) -> bool {
    let Input { target, look, state, .. } = *input;
    let wanted = &target.revision;
    let completed = state.record.as_ref().and_then(|record| record.completed.as_ref());
    let mut live = look.instances.values().filter(|instance| instance.lifecycle.is_live());
    state.direction.rolls_back.is_none()
        && completed.is_some_and(|completed| completed != wanted)
        && live.any(|instance| target.wants(instance))
}

#[cfg(test)]
mod tests {
    use rolling_provider::{Observation, Revision, Timestamp};

    use super::*;
    use crate::record::Record;
    use crate::rollout::example::{look, spec, target, with_instance};
    use crate::rollout::state::RolloutState;

    /// Returns what a refused size leads to with this `on_failure`, where the fleet has run
    /// `completed`.
    fn refused_with(
        on_failure: &str,
        completed: Option<&str>,
        look: &Observation,
        change: impl Fn(&mut RolloutState),
    ) -> Option<Verdict> {
        let spec = spec(&serde_json::json!({ "on_failure": on_failure }));
        let target = target();
        let mut state = RolloutState::new("r", Timestamp(0));
        let completed = completed.map(Revision::from);
        state.record = Some(Record { completed, ..Record::example() });
        change(&mut state);
        let input = Input { spec: &spec, target: &target, look, state: &state, now: Timestamp(5) };
        let action = Action::SuspendProcesses { processes: ["AZRebalance".to_owned()].into() };
        refused(&input, &action, "no permission")
    }

    #[test]
    fn half_way_it_goes_back_or_pauses_as_on_failure_says_and_else_it_ends() {
        let before = with_instance(look("lt-1:1"), "i-1", "lt-1:1");
        let half_way = with_instance(before.clone(), "i-2", "lt-1:2");
        let same = |_: &mut RolloutState| ();
        for (on_failure, completed, look, wanted) in [
            ("rollback", Some("lt-1:1"), &half_way, None),
            ("pause", Some("lt-1:1"), &half_way, Some(Ending::Paused)),
            ("stop", Some("lt-1:1"), &half_way, Some(Ending::Failed)),
            ("rollback", Some("lt-1:1"), &before, Some(Ending::Failed)),
            ("pause", Some("lt-1:1"), &before, Some(Ending::Failed)),
            ("rollback", Some("lt-1:2"), &half_way, Some(Ending::Failed)),
            ("rollback", None, &half_way, Some(Ending::Failed)),
        ] {
            let case = format!("{on_failure} {completed:?} {}", look.instances.len());
            match refused_with(on_failure, completed, look, same).expect("an end") {
                Verdict::RollBack { reason, cause, asked } => {
                    assert!(wanted.is_none() && !asked, "{case}");
                    assert_eq!(cause, Some(Cause::Call), "{case}");
                    assert!(reason.ends_with(": no permission"), "{reason}");
                }
                Verdict::Halt(halt) => {
                    assert_eq!(Some(halt.ending), wanted, "{case}");
                    assert!(!halt.fault && halt.at == Timestamp(5), "{case}");
                }
                other => panic!("{case}: {other:?}"),
            }
        }
    }

    #[test]
    fn while_it_goes_back_there_is_no_other_way_back_and_a_halt_goes_on() {
        let half_way = with_instance(look("lt-1:1"), "i-2", "lt-1:2");
        let back = |state: &mut RolloutState| state.direction.rolls_back = Some("why".into());
        let verdict = refused_with("rollback", Some("lt-1:1"), &half_way, back);
        assert!(matches!(verdict, Some(Verdict::Halt(_))), "{verdict:?}");
        let halting = |state: &mut RolloutState| {
            state.begin_halt(Halt::failed("why".into(), Timestamp(1)));
        };
        assert_eq!(refused_with("rollback", Some("lt-1:1"), &half_way, halting), None);
    }
}
