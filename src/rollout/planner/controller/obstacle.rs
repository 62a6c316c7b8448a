//! What ends a rollout by a controller early: what fails, and what others do meanwhile.

use rolling_provider::ControllerStatus;

use super::super::deadlines::progress_deadline;
use super::super::input::Input;
use super::super::{Verdict, View, failure, no_progress, stop_conditions};
use super::phase::phase;
use super::step::ControllerPhase;
use crate::model::event::Cause;
use crate::record::{BorrowedSettings, Record};

/// Returns why the rollout cannot continue, if it cannot.
pub(super) fn check(
    input: &Input<'_>,
    view: &View<'_>,
    status: &ControllerStatus,
) -> Option<Verdict> {
    set_by_others(input, status)
        .map(|reason| Verdict::Halt(stop_conditions::stopped_by_others(input, reason)))
        .or_else(|| stop_conditions::too_many_failures(input))
        .or_else(|| stop_conditions::gates_failed(input))
        .or_else(|| stop_conditions::hook_failed(input))
        .or_else(|| exceeded(input, view, status))
        .or_else(|| {
            let is_late = input.now >= progress_deadline(input);
            is_late.then(|| {
                stopped(input, view, status)
                    .unwrap_or_else(|| no_progress::no_progress(input, view))
            })
        })
}

/// Returns the end of a rollout whose controller somebody else has stopped.
fn stopped(input: &Input<'_>, view: &View<'_>, status: &ControllerStatus) -> Option<Verdict> {
    let record = input.state.standing(input.target)?;
    let phase = phase(input, view, status, record);
    (phase == ControllerPhase::StoppedByOthers).then(|| {
        let limit = humantime::format_duration(input.spec.progress_deadline(input.drain()));
        let controller = input.target.controller.unwrap_or("the controller");
        let message =
            format!("no progress for {limit}: somebody has stopped {controller}, and it stays so");
        Verdict::Halt(stop_conditions::stopped_by_others(input, message))
    })
}

/// Says that somebody else rolls the fleet to something else, or within other bounds.
fn set_by_others(input: &Input<'_>, status: &ControllerStatus) -> Option<String> {
    let record = input.state.standing(input.target)?;
    let ours = input.state.rolled_to.as_ref() == Some(&input.target.revision);
    let by = match status.managers.as_slice() {
        [] => String::new(),
        managers => format!(" ({})", managers.join(", ")),
    };
    let template = input.look.template.as_ref();
    let wanted = Some(&input.target.revision);
    // What the rollout may find: what was there before, what it rolls to, and where it goes back.
    let found = [record.borrowed.template.as_ref(), Some(&record.to), record.completed.as_ref()];
    let is_foreign = record.released.is_some() && !found.contains(&template);
    // What this engine has had the controller roll to shows in every later look.
    if template != wanted && (ours || is_foreign) {
        let now = template.map_or("an unknown revision".to_owned(), ToString::to_string);
        return Some(format!(
            "somebody else has set the template to {now}{by}: the rollout to {} does not fight that",
            input.target.revision
        ));
    }
    let is_other = ours && !is_known(record, status);
    is_other.then(|| {
        let settings = &status.settings;
        format!(
            "somebody else has set the bounds to a surge of {} and {} unavailable{by}: the rollout \
             cannot keep its promises beside that",
            settings.surge, settings.unavailable
        )
    })
}

/// Whether the bounds are some that the record knows.
fn is_known(record: &Record, status: &ControllerStatus) -> bool {
    record.borrowed.controller.is_none_or(|BorrowedSettings { found, before, ours }| {
        [found, before, ours].iter().any(|known| {
            (known.surge, known.unavailable) == (status.settings.surge, status.settings.unavailable)
        })
    })
}

/// Returns what follows where the controller says that it is stuck, by what it waits for.
fn exceeded(input: &Input<'_>, view: &View<'_>, status: &ControllerStatus) -> Option<Verdict> {
    let message = status.exceeded.as_ref()?;
    let is_ours = input.look.template.as_ref() == Some(&input.target.revision)
        && input.state.standing(input.target).is_some_and(|record| record.released.is_some());
    if !is_ours || !status.observed || status.paused || status.complete {
        return None;
    }
    let mut idle = view.members.iter().filter(|member| member.is_new && !member.serves);
    let why = status.refused.clone().or_else(|| {
        let member = idle.next()?;
        let trouble = member.history.and_then(|history| history.trouble.clone())?;
        Some(format!("{}: {trouble}", member.id))
    });
    let (cause, why) = match (&status.refused, why) {
        (Some(_), Some(why)) => (Cause::Capacity, format!("; {why}")),
        (_, why) => (Cause::Revision, why.map_or(String::new(), |why| format!("; {why}"))),
    };
    Some(failure::fail(input, cause, format!("{message}{why}")))
}
