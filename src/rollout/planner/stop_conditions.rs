//! What ends a forward rollout: commands from other processes, the circuit breaker, deadlines.

use std::collections::BTreeMap;

use rolling_provider::{InstanceId, Revision, Target};

use super::deadlines::{self, SET_ASIDE_FOR, launch_deadline, progress_deadline};
use super::failure::{class_of_launch, fail, is_in_launch_hook, some_of, start_rollback};
use super::input::Input;
use super::no_progress::no_progress;
use super::set_aside::{Aside, reasons};
use super::{Verdict, View, launch};
use crate::model::event::Cause;
use crate::model::spec::{HookPoint, OnHookFailure, Pacing};
use crate::record::command::Command;
use crate::record::{Ending, Phase, Record};
use crate::rollout::control::CommandEffect;
use crate::rollout::rollback_reason::{first_reason, unfinished};
use crate::rollout::state::Halt;

/// Returns what another process's command leads to, by the table of [`crate::rollout::control`].
pub(crate) fn apply_command(input: &Input<'_>) -> Option<Verdict> {
    let Input { state, now: at, .. } = *input;
    let control = state.control.as_ref()?;
    let by = &control.by;
    let is_back = state.record.as_ref().is_some_and(|record| record.rolls_back);
    match state.effect(control.command) {
        CommandEffect::Halt(ending) => {
            let what = match control.command {
                Command::Pause => "paused",
                Command::Rollback => "rolled back",
                Command::Abort | Command::Resume => "aborted",
            };
            let when = if state.record.is_none() { " before anything was begun" } else { "" };
            let (reason, cause) = match &control.supersedes_with {
                Some(to) => {
                    let reason = format!("superseded by the rollout to {to} of {by}{when}");
                    (reason, Some(Cause::Superseded))
                }
                None => (format!("{what} by {by}{when}"), None),
            };
            // Whoever reads why a rollback ended early wants to know what it was begun for.
            let reason = match &state.direction.rolls_back {
                Some(first) => unfinished(&reason, first),
                None => reason,
            };
            let halt = Halt { ending, fault: false, cause, ..Halt::failed(reason.clone(), at) };
            // A halt that is already under way keeps its bounds.
            let begun = state.direction.halt.clone();
            Some(Verdict::Halt(begun.map_or(halt, |begun| Halt { reason, ending, cause, ..begun })))
        }
        CommandEffect::RollBack if is_back || state.direction.rolls_back.is_some() => {
            Some(Verdict::Resume)
        }
        CommandEffect::RollBack => {
            // Whoever decides after a failure has the revision to correct all the same.
            let failed = state.record.as_ref().is_some_and(|record| record.fault);
            let cause = (!failed).then_some(Cause::Command);
            let reason = format!("rolled back by {by}");
            let verdict = start_rollback(input, reason, cause, true);
            // Without a way back, a halt that is already in progress continues.
            let is_way =
                state.direction.halt.is_none() || matches!(verdict, Verdict::RollBack { .. });
            is_way.then_some(verdict)
        }
        CommandEffect::Resume if state.direction.halt.is_some() => Some(Verdict::Resume),
        CommandEffect::Resume
        | CommandEffect::Later
        | CommandEffect::Already
        | CommandEffect::TooLate
        | CommandEffect::Absent => None,
    }
}

/// Returns the pause at a checkpoint that waits for the operator.
pub(crate) fn checkpoint(input: &Input<'_>, message: String) -> Halt {
    let halt = Halt::failed(message, input.now);
    Halt { ending: Ending::Paused, fault: false, at_checkpoint: true, ..halt }
}

/// Whether `record` is of a rollout to `target` that was interrupted or paused.
fn continues(record: &Record, target: &Target) -> bool {
    let half_way = matches!(
        record.phase,
        Phase::Halting(Ending::Interrupted | Ending::Paused)
            | Phase::Halted(Ending::Interrupted | Ending::Paused)
    );
    record.leads_to(&target.goal()) && half_way
}

/// Returns why the rollout cannot continue, if it cannot.
pub(crate) fn check_failure(input: &Input<'_>, view: &View<'_>) -> Option<Verdict> {
    too_many_failures(input)
        .or_else(|| gates_failed(input))
        .or_else(|| hook_failed(input))
        .or_else(|| unlaunchable(input))
        .or_else(|| came_wrong(input, view).map(|message| fail(input, Cause::Others, message)))
        .or_else(|| launched_too_late(input))
        .or_else(|| set_aside_too_long(input, view))
        .or_else(|| (input.now >= progress_deadline(input)).then(|| no_progress(input, view)))
}

/// The circuit breaker. The failures in the record count: they are the same before and after a
/// crash.
pub(super) fn too_many_failures(input: &Input<'_>) -> Option<Verdict> {
    let Input { spec, target, state, .. } = *input;
    let record =
        state.standing(target).filter(|record| record.failures >= spec.failure_threshold)?;
    let of_this: BTreeMap<&InstanceId, &String> = state
        .failures
        .failed
        .iter()
        .filter(|(id, _)| !state.failures.earlier.contains(*id))
        .filter(|(id, _)| state.history.get(*id).is_none_or(|history| history.is_new))
        .collect();
    let to = &target.revision;
    let known = of_this.iter().find(|(id, _)| !state.failures.adopted.contains(**id));
    let reason = match (known, &record.reason) {
        (Some((id, why)), _) => failure(of_this.len(), id, to, why),
        (None, Some(reason)) => first_reason(reason).to_owned(),
        (None, None) if record.failures == 1 => format!("an instance of {to} failed"),
        (None, None) => format!("{} instances of {to} failed", record.failures),
    };
    let in_hook = !of_this.is_empty() && of_this.keys().all(|id| is_in_launch_hook(input, id));
    let cause = if in_hook { Cause::LifecycleHook } else { Cause::Revision };
    Some(fail(input, cause, reason))
}

pub(super) fn gates_failed(input: &Input<'_>) -> Option<Verdict> {
    let Input { target, state, now, .. } = *input;
    let message = state.gates.failed.as_ref()?;
    let is_half_way = state.record.as_ref().is_some_and(|record| continues(record, target));
    if state.standing(target).is_some() || is_half_way {
        return Some(fail(input, Cause::Revision, message.clone()));
    }
    // There is no revision yet that could be at fault.
    let message = format!("{message}, before anything was begun");
    Some(Verdict::Halt(Halt { fault: false, ..Halt::failed(message, now) }))
}

/// What the failure of a hook on the way forward leads to, as the document says.
pub(super) fn hook_failed(input: &Input<'_>) -> Option<Verdict> {
    let failed = input.state.hooks.failed.as_ref()?;
    let cause = Some(Cause::Hook);
    let halt = Halt { cause, ..Halt::failed(failed.reason.clone(), input.now) };
    match failed.meaning {
        OnHookFailure::Ignore => None,
        OnHookFailure::Pause => {
            Some(Verdict::Halt(Halt { ending: Ending::Paused, fault: false, ..halt }))
        }
        // Nothing of the revision has been tried yet.
        OnHookFailure::Fail if failed.point == HookPoint::BeforeRollout => {
            Some(Verdict::Halt(Halt { fault: false, ..halt }))
        }
        OnHookFailure::Fail => Some(fail(input, Cause::Hook, failed.reason.clone())),
    }
}

fn unlaunchable(input: &Input<'_>) -> Option<Verdict> {
    let trouble = input.state.unmanaged.trouble.as_ref()?;
    let deadline = deadlines::launch_deadline_since(input, trouble.since);
    if !trouble.is_final && input.now < deadline {
        return None;
    }
    let revision = &input.target.revision;
    let message = format!("{revision} cannot be launched: {}", trouble.cause);
    Some(fail(input, trouble.class, message))
}

fn launched_too_late(input: &Input<'_>) -> Option<Verdict> {
    let Input { spec, state, now, .. } = *input;
    state.launches.missing.oldest().filter(|_| now >= launch_deadline(input))?;
    let limit = humantime::format_duration(spec.health.healthy_timeout);
    let failed = state.launches.activities.iter().find(|activity| activity.failed);
    let failed = failed.map(|activity| activity.cause.as_str());
    let tried = state.unmanaged.trouble.as_ref().map(|trouble| trouble.cause.as_str());
    let call = state.failures.calls.first().map(|(_, error)| error.as_str());
    let late = state.launches.missing.unserved(spec.health.healthy_timeout, now).max(1);
    let suspended = launch::suspended(input);
    if let Some(why) = &suspended {
        // A rollback could not launch anything either, and no revision is at fault.
        let message = format!("{} not launched within {limit}: {why}", instances(late));
        let cause = Some(Cause::Others);
        return Some(Verdict::Halt(Halt { fault: false, cause, ..Halt::failed(message, now) }));
    }
    let cause = call.or(tried).or(failed).unwrap_or("the cloud gives no reason");
    let before = state.launches.missing.before().min(late);
    let lacks = class_of_launch(cause) == Cause::Capacity;
    // No revision of ours is at fault where the cloud could launch nothing before either.
    if before == late || (before > 0 && lacks) {
        let more = match late - before {
            0 => "not".to_owned(),
            more => format!("{more} more not"),
        };
        let message = format!(
            "{} already missing before the rollout, and {more} launched within {limit}: {cause}",
            instances(before)
        );
        let cause = lacks.then_some(Cause::Capacity);
        return Some(Verdict::Halt(Halt { fault: false, cause, ..Halt::failed(message, now) }));
    }
    let message = format!("{} not launched within {limit}: {cause}", instances(late - before));
    let class = match &state.unmanaged.trouble {
        _ if call.is_some() => Cause::Call,
        Some(trouble) => trouble.class,
        None => class_of_launch(cause),
    };
    Some(fail(input, class, message))
}

fn set_aside_too_long(input: &Input<'_>, view: &View<'_>) -> Option<Verdict> {
    input.state.waits.set_aside_since.filter(|since| input.now >= *since + SET_ASIDE_FOR)?;
    let limit = humantime::format_duration(SET_ASIDE_FOR);
    let set_aside = view.old().filter(|member| member.set_aside).map(|member| member.id);
    let set_aside: Vec<String> =
        set_aside.chain(view.standby.iter().copied()).map(ToString::to_string).collect();
    let reasons = reasons(view);
    let all =
        |of: fn(&Aside) -> &'static str| reasons.iter().map(of).collect::<Vec<_>>().join(" or ");
    let message = format!(
        "{} still {} after {limit}: {}, or set {} to refresh or ignore",
        some_of(&set_aside),
        all(|aside| aside.what),
        all(|aside| aside.remedy),
        all(|aside| aside.attribute)
    );
    Some(Verdict::Halt(stopped_by_others(input, message)))
}

/// Halts a rollout that is done except for surge that has to stay.
///
/// Either no surplus instance may be scaled in, or some that may not do not serve, and without the
/// others too few would.
pub(crate) fn surge_stays(input: &Input<'_>, view: &View<'_>) -> Verdict {
    let (surge, size) = (input.state.surge(), view.window.size);
    let not_surplus = || view.members.iter().filter(|member| member.not_surplus);
    let idle: Vec<String> = not_surplus()
        .filter(|member| !member.serves)
        .map(|member| {
            let why = member.history.and_then(|history| history.trouble.as_deref());
            format!("{} ({})", member.id, why.unwrap_or("does not serve"))
        })
        .collect();
    let why = match idle.is_empty() {
        true => {
            let not_surplus: Vec<String> =
                not_surplus().map(|member| member.id.to_string()).collect();
            format!("{} may not be scaled in", some_of(&not_surplus))
        }
        false => format!(
            "{} may not be scaled in, and if another one went instead, fewer than {} would serve",
            some_of(&idle),
            view.window.floor()
        ),
    };
    let message = format!("the fleet keeps {surge} more than its size of {size}: {why}");
    Verdict::Halt(stopped_by_others(input, message))
}

/// Returns the end of a rollout that somebody else keeps from ending. Where it rolls back, the reason
/// for that is not forgotten.
pub(super) fn stopped_by_others(input: &Input<'_>, message: String) -> Halt {
    let reason = match &input.state.direction.rolls_back {
        Some(first) => unfinished(&message, first),
        None => message,
    };
    Halt { fault: false, cause: Some(Cause::Others), ..Halt::failed(reason, input.now) }
}

/// Returns what is wrong with a template that does not stay, or with the instances of a batch.
///
/// A batch is wrong when it brought only instances of another revision. To continue would replace
/// them for ever.
fn came_wrong(input: &Input<'_>, view: &View<'_>) -> Option<String> {
    let Input { target, look, state, .. } = *input;
    let template = look.template.as_ref();
    if let Some(message) =
        state.launches.launched.template_message(&target.revision, template, input.now)
    {
        return Some(message);
    }
    let is_batch = state.launches.launched.wrong() >= view.window.slots() as usize
        || (input.spec.pacing == Pacing::Batch
            && view.missing == 0
            && view.victims().next().is_none());
    let message = state.launches.launched.wrong_message(&target.revision, template)?;
    is_batch.then_some(message)
}

/// Describes the failure of `count` instances, `id` among them.
pub(crate) fn failure(count: usize, id: &InstanceId, revision: &Revision, why: &str) -> String {
    match count {
        1 => format!("instance {id} of {revision} failed: {why}"),
        more => format!("instance {id} of {revision} and {} more failed: {why}", more - 1),
    }
}

fn instances(count: usize) -> String {
    if count == 1 { "1 instance was".into() } else { format!("{count} instances were") }
}
