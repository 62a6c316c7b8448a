//! What ends a rollout in which nothing gets better any more, and what that is blamed on.

use rolling_provider::Lifecycle;

use super::failure::{class_of_launch, fail, is_in_launch_hook, some_of, unrestored};
use super::input::Input;
use super::{Member, Verdict, View, launch, preflight};
use crate::model::event::Cause;
use crate::rollout::serving::is_healthy_in_primary;
use crate::rollout::state::Halt;

fn instances_to_come(count: u32) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} instance{plural} to be launched")
}

/// Blames the last call that the cloud did not take, if one failed since there was progress.
fn removal_fails(input: &Input<'_>, blockers: &[String]) -> (Cause, String) {
    let names = some_of(blockers);
    let since = input.state.waits.least_remaining.map_or(input.state.started, |least| least.at);
    match &input.state.failures.last_call {
        Some((at, action, error)) if *at >= since => {
            (Cause::Call, format!("{names}; a call failed: {}: {error}", input.named(action)))
        }
        _ => (Cause::Others, names),
    }
}

/// Counts the instances that get requests, victims that are still registered included.
fn served(input: &Input<'_>, view: &View<'_>) -> usize {
    view.members.iter().filter(|member| member.serves || is_served(input, member)).count()
}

fn is_served(input: &Input<'_>, member: &Member<'_>) -> bool {
    member.instance.lifecycle == Lifecycle::InService
        && member.instance.healthy
        && is_healthy_in_primary(input.target, member.instance)
}

/// Adds why the platform's controller cannot go on, where it says so.
fn with_refusal(input: &Input<'_>, names: String) -> String {
    let refused = input.look.controller.as_ref().and_then(|status| status.refused.as_ref());
    match refused.filter(|why| !names.contains(*why)) {
        Some(why) => format!("{names}; {why}"),
        None => names,
    }
}

/// Ends a rollout in which nothing has got better for as long as it may.
pub(super) fn no_progress(input: &Input<'_>, view: &View<'_>) -> Verdict {
    let Input { spec, now, .. } = *input;
    let limit = humantime::format_duration(spec.progress_deadline(input.drain()));
    let idle = || view.members.iter().filter(|m| !m.serves || (m.is_new && !m.soaked));
    let taken_out = |member: &&Member<'_>| member.history.is_some_and(|history| history.taken_out);
    let blockers: Vec<String> = idle()
        .map(|member| {
            let why = member.history.and_then(|history| history.trouble.as_deref());
            let by = if member.serves { " until just now" } else { "" };
            format!("{} ({}{by})", member.id, why.unwrap_or("does not serve"))
        })
        .collect();
    let suspended = launch::suspended(input);
    let cause = input.state.launches.activities.iter().find(|activity| activity.failed);
    let (class, names) = match (input.state.failures.calls.first(), blockers.is_empty(), cause) {
        (Some((action, error)), ..) => {
            (Cause::Call, format!("{}, which fails: {error}", input.named(action)))
        }
        // What was so before the rollback says nothing about the revision that it restores.
        (None, false, _) if idle().all(|m| m.not_blamed || taken_out(&m)) => {
            (Cause::Others, some_of(&blockers))
        }
        (None, false, _) if idle().all(|member| is_in_launch_hook(input, member.id)) => {
            (Cause::LifecycleHook, some_of(&blockers))
        }
        // Nothing of the wanted revision is in the way.
        (None, false, _) if !idle().any(|member| member.is_new) => removal_fails(input, &blockers),
        (None, false, _) => (Cause::Revision, some_of(&blockers)),
        (None, true, _) if suspended.is_some() => (Cause::Others, suspended.unwrap_or_default()),
        (None, true, Some(activity)) => (
            class_of_launch(&activity.cause),
            format!("launches, of which the last failed: {}", activity.cause),
        ),
        (None, true, None) if view.missing > 0 => {
            let to_come = instances_to_come(view.missing);
            (Cause::Others, format!("{to_come}, for which the cloud gives no reason"))
        }
        (None, true, None) if view.spare().is_none() => (Cause::Others, view.at_floor()),
        (None, true, None) => (Cause::Others, "an unknown cause: the fleet shows none".into()),
    };
    let (class, names) = match preflight::no_place(input) {
        Some(found) => (Cause::Others, found.message),
        None => (class, names),
    };
    let names = with_refusal(input, names);
    let reason = format!(
        "no progress for {limit}: {} updated, {} of {} serving; blocked by: {names}",
        view.updated(),
        served(input, view),
        view.window.size,
    );
    // If another process keeps the rollout from ending, the revision is not at fault.
    if !blockers.is_empty() && idle().all(|member| taken_out(&member)) {
        return Verdict::Halt(Halt { fault: false, ..Halt::failed(reason, now) });
    }
    // What runs and serves everywhere is not at fault, whatever keeps the rollout from its end.
    unrestored(input, &reason).unwrap_or_else(|| fail(input, class, reason))
}

#[cfg(test)]
mod tests {
    use rolling_provider::{Action, TargetState, Timestamp};

    use super::*;
    use crate::rollout::example::{look, spec, target, with_instance};
    use crate::rollout::state::{LeastRemaining, RolloutState};

    /// Returns what is blamed where only an old instance is in the way, which the rollout has taken
    /// out and could not remove; `failed` says when a call failed last.
    fn blamed(failed: Option<u64>) -> Halt {
        let (spec, target) = (spec(&serde_json::json!({ "on_failure": "stop" })), target());
        let mut look = with_instance(look("lt-1:2"), "i-1", "lt-1:1");
        look.at = Timestamp(1_000);
        let mut state = RolloutState::new("r", Timestamp(0));
        state.observe(&target, &spec.health, &look);
        state.choose(&["i-1".into()].into());
        for health in look.instances.values_mut().flat_map(|it| it.targets.values_mut()) {
            health.state = TargetState::Draining;
        }
        look.at = Timestamp(2_000);
        state.observe(&target, &spec.health, &look);
        if let Some(at) = failed {
            let action = Action::Terminate { instance: "i-1".into(), decrement: false };
            state.call_failed(&action, "Throttling".into(), Timestamp(at));
            state.forget_calls(&look, |_| false);
        }
        state.waits.least_remaining = Some(LeastRemaining::none(Timestamp(10_000)));
        let now = Timestamp(100_000_000);
        let input = Input { spec: &spec, target: &target, look: &look, state: &state, now };
        match no_progress(&input, &View::new(&input)) {
            Verdict::Halt(halt) => halt,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_old_instance_that_is_not_removed_is_no_fault_of_the_revision() {
        let halt = blamed(Some(50_000));
        assert_eq!(halt.cause, Some(Cause::Call), "{halt:?}");
        assert!(halt.reason.ends_with("a call failed: terminate i-1: Throttling"), "{halt:?}");
        // None failed, or before there was progress last.
        for failed in [None, Some(9_000)] {
            assert_eq!(blamed(failed).cause, Some(Cause::Others), "{failed:?}");
        }
    }
}
