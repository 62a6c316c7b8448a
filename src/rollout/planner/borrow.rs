//! What must be in place before a rollout replaces anything: the record, then what it borrows.

use std::collections::BTreeSet;

use rolling_provider::{Action, InstanceId};

use super::input::Input;
use super::{BatchStart, Plan, Step, View, gate, hook, launch, pace, shift};
use crate::model::spec::Pacing;
use crate::record::command::Command;
use crate::record::{
    Borrowed, BorrowedMax, Ending, FAILED, InstanceSet, Phase, Record, routing_fingerprint,
};

/// Plans what must be in place and is not yet. Returns the record that stands after this plan.
pub(crate) fn borrow(input: &Input<'_>, view: &View<'_>, plan: &mut Plan) -> Record {
    let Input { target, look, state, .. } = *input;
    let mut record = standing(input, view);
    let was_meant = record.size;
    record.hooks = hook::standing(input, record.hooks.take());
    if hook::before_rollout(input, &record) {
        hook::ask_before_rollout(input, &record, plan);
        return record;
    }
    let turns = hook::before_rollback(input, &record);
    record.promoted |= shift::has_all(input);
    let failed = count_failure(input, &mut record);
    let mut record = at_checkpoint(input, view, record);
    // Another process may scale the fleet meanwhile, which changes the size that surge adds to.
    record.size = state.size(look);

    if look.is_unmanaged() && !record.owned {
        launch::mark(input, &record, plan);
        return record;
    }

    let moves = moves_template(input);
    // A failure counted now may end the rollout of this revision.
    let (raise, cut) = change_of_size(input, view, moves, failed.is_some() || turns);
    // Restores a size that we lowered by mistake (see `state::sizes`) before adding to it.
    let desired = state.desired(look).max(state.size(look)) + raise - cut;
    let (ends, begins) = batch_turns(input, view, raise);
    hook::begin_launches(input, record.hooks.as_mut().filter(|_| begins));
    record_surge(input, raise, cut, was_meant, &mut record);
    borrow_max(input, desired, &mut record);
    if state.record.as_ref() != Some(&record) {
        plan.actions.push(Step::record(record.clone()));
    }
    plan.actions.extend(failed);
    let back = shift::back(input, view);
    if turns || back.is_some() {
        // The requests return before anything else is restored.
        plan.actions.extend(back);
        return record;
    }
    plan.actions.extend(suspend(input, view, &record));
    if cut > 0 {
        // Surge that was never launched for a failed revision, or that is no longer needed.
        plan.actions.push(set_size(input, desired));
    }
    if moves {
        plan.actions.push(Step::new(Action::MoveTemplate { to: target.revision.clone() }));
    }
    plan.actions.extend(discard(input));
    if !look.is_unmanaged() && desired > state.desired(look) {
        plan.actions.push(set_size(input, desired));
    }
    if begins {
        plan.batch_ends = ends;
        let number = hook::batch_number(input, Some(&record));
        plan.begins = Some(BatchStart::of(input, number, BTreeSet::new(), raise));
    }
    record
}

/// Returns whether the open batch ends, and whether one begins, where the size is raised.
fn batch_turns(input: &Input<'_>, view: &View<'_>, raise: u32) -> (bool, bool) {
    let is_open = input.state.batch.open;
    let is_continuous = input.spec.pacing == Pacing::Continuous;
    // What this batch has launched serves, so more of it begins the next one.
    let ends = raise > 0 && !is_continuous && is_open && has_launched(input, view);
    (ends, raise > 0 && (!is_open || ends || is_continuous))
}

/// Whether all surge that was asked for is there and has soaked.
fn has_launched(input: &Input<'_>, view: &View<'_>) -> bool {
    let surge = input.state.surge() as usize;
    surge > 0 && view.busy() == 0 && view.updated() >= surge
}

/// Returns by how much to raise the size, for surge, and by how much to lower it, by surge that does
/// not come.
fn change_of_size(input: &Input<'_>, view: &View<'_>, moves: bool, waits: bool) -> (u32, u32) {
    let Input { look, state, .. } = *input;
    let unlaunched = view.unlaunched(input);
    let complete = view.old().next().is_none() && view.is_complete();
    let cuts = unlaunched > 0 && (complete || (state.direction.rolls_back.is_some() && moves));
    let waits = waits
        || gate::is_closed(input, view)
        || hook::is_due_in_batch(input, view)
        || state.size_is_known_at(look).is_some();
    match (waits, cuts) {
        (true, _) => (0, 0),
        (false, true) => (0, unlaunched),
        (false, false) => (pace::launches(input, view), 0),
    }
}

/// Whether the fleet has yet to launch the target's revision.
pub(super) fn moves_template(input: &Input<'_>) -> bool {
    let Input { target, look, state, .. } = *input;
    input.launches()
        && match state.direction.rolls_back {
            None => look.template.as_ref() != Some(&target.revision),
            // A late look may still show the template from before the rollback.
            Some(_) => !state.launches(&target.revision, look),
        }
}

/// Notes the maximum size to restore, where `desired` needs a higher one.
fn borrow_max(input: &Input<'_>, desired: u32, record: &mut Record) {
    let Input { look, state, .. } = *input;
    let before = state.max(look);
    if look.is_unmanaged() || before >= desired {
        return;
    }
    // A maximum that another process has set is the one to restore.
    let found = state.record.as_ref().and_then(|record| record.max_before(before));
    let found = found.unwrap_or(before);
    record.borrowed.max = Some(BorrowedMax { found, before, ours: desired });
}

/// Whether nothing is left to replace, to launch or to remove.
pub(super) fn replaces_nothing(input: &Input<'_>, view: &View<'_>) -> bool {
    input.state.surge() == 0 && view.is_all(|member| member.is_new)
}

/// Suspends the processes of the record that run, once.
fn suspend(input: &Input<'_>, view: &View<'_>, record: &Record) -> Option<Step> {
    let Input { look, state, .. } = *input;
    let running = record.borrowed.suspended.difference(&look.suspended);
    // In the bake time, which watches the new instances under load, the fleet may follow its load.
    let scales = |process: &&String| input.bakes() && input.target.processes.resizes(process);
    let processes: BTreeSet<String> = running.filter(|it| !scales(it)).cloned().collect();
    let is_due = !processes.is_empty() && !state.suspended && !replaces_nothing(input, view);
    is_due.then(|| Step::new(Action::SuspendProcesses { processes }))
}

/// Sets the desired size, and the maximum where that must be higher.
pub(super) fn set_size(input: &Input<'_>, desired: u32) -> Step {
    let max = (input.state.max(input.look) < desired).then_some(desired);
    Step::new(Action::SetCapacity { desired: Some(desired), max })
}

/// Writes a size that we are about to set into the record, with the size that holds until then.
///
/// An engine that takes over thus knows that both are ours, and that another process has set any
/// other. The record does not list each removal of surge; see [`Record::gives_back`].
fn record_surge(input: &Input<'_>, raise: u32, cut: u32, was_meant: u32, record: &mut Record) {
    let surge = input.state.surge();
    let is_resized = record.size != was_meant || (!record.gives_back && record.surge > surge);
    let is_written = raise > 0 || cut > 0 || (is_resized && !input.look.is_unmanaged());
    if is_written {
        (record.surge, record.surge_before) = (surge + raise - cut, surge);
        record.gives_back = false;
    }
}

/// Returns the record with the actual surge, where the record does not know it.
///
/// That is the case when an interrupted end has removed some of the surge.
pub(super) fn with_surge(input: &Input<'_>, record: &Record) -> Record {
    let surge = input.state.surge();
    let is_known = record.gives_back || [record.surge, record.surge_before].contains(&surge);
    match is_known || input.look.is_unmanaged() {
        true => record.clone(),
        false => Record { surge, surge_before: surge, ..record.clone() },
    }
}

/// Discards what the fleet keeps in reserve on another revision, before anything is replaced.
///
/// The fleet would launch it, and the rollout would have to replace it again.
fn discard(input: &Input<'_>) -> Option<Step> {
    let Input { target, look, state, .. } = *input;
    let old = look.reserve.iter().filter(|(id, revision)| {
        revision.as_ref() != Some(&target.revision) && !state.removed.discarded.contains(*id)
    });
    let instances: BTreeSet<_> = old.map(|(id, _)| id.clone()).collect();
    (!instances.is_empty()).then(|| Step::new(Action::Discard { instances }))
}

/// Returns the record of this rollout: the one found, brought up to date, or a new one.
pub(super) fn standing(input: &Input<'_>, view: &View<'_>) -> Record {
    let Input { target, state, .. } = *input;
    let Some(found) = &state.record else { return begin(input, view, None) };
    let mut record = found.clone();
    record.acknowledged =
        record.acknowledge(state.control.as_ref().map(|control| control.id.as_str()));
    if let Some(reason) = &state.direction.rolls_back {
        if !record.rolls_back {
            // The circuit breaker counts only failures of the restored revision from here on.
            (record.rolls_back, record.failures, record.last_failed) = (true, 0, None);
            record.reason = Some(reason.clone());
            record.hooks = record.hooks.map(|hooks| hook::going_back(input, hooks));
        }
    } else if !found.leads_to(&target.goal()) {
        return begin(input, view, Some(found));
    }
    match found.phase {
        Phase::Rolling => record,
        _ if state.direction.resume || state.direction.rolls_back.is_some() => {
            let mut record = record.resumed(input.now);
            // The pause has resumed these processes.
            let running = input.spec.suspend_processes.difference(&input.look.suspended);
            record.borrowed.suspended.extend(running.cloned());
            // The ended rollout had sent all requests back.
            record.borrowed.shifts =
                input.spec.policy.shifts().then(|| routing_fingerprint(target));
            if state.direction.rolls_back.is_none() {
                (record.failures, record.last_failed, record.fault) = (0, None, false);
                record.reason = None;
            }
            record
        }
        Phase::Halting(Ending::Interrupted | Ending::Unrestored)
        | Phase::Halted(Ending::Interrupted) => continue_record(input, view, found),
        _ => begin(input, view, Some(found)),
    }
}

/// Returns the record of an interrupted rollout that continues.
///
/// Passed checkpoints, failures and kept instances stay valid. What was restored is borrowed again.
fn continue_record(input: &Input<'_>, view: &View<'_>, found: &Record) -> Record {
    Record {
        phase: Phase::Rolling,
        acknowledged: found
            .acknowledge(input.state.control.as_ref().map(|control| control.id.as_str())),
        reason: None,
        borrowed: borrowed(input, view, Some(found)),
        ..found.clone()
    }
}

/// Returns what is borrowed, with the original values of what an earlier rollout still borrows.
fn borrowed(input: &Input<'_>, view: &View<'_>, previous: Option<&Record>) -> Borrowed {
    let Input { spec, target, look, .. } = *input;
    let mut borrowed = previous.map(|record| record.borrowed.clone()).unwrap_or_default();
    let running = spec.suspend_processes.difference(&look.suspended);
    if !replaces_nothing(input, view) {
        borrowed.suspended.extend(running.cloned());
    }
    borrowed.shifts = spec.policy.shifts().then(|| routing_fingerprint(target));
    if !still_borrows(previous) {
        // By number: an alias may stand for another version by the time it is restored.
        borrowed.template = look.template.as_ref().map(|template| target.resolve(template).clone());
    }
    borrowed
}

/// Returns the record of a rollout that begins.
fn begin(input: &Input<'_>, view: &View<'_>, previous: Option<&Record>) -> Record {
    let Input { target, look, state, .. } = *input;
    Record {
        id: state.rollout_id.clone(),
        generation: previous.map_or(0, |record| record.generation) + 1,
        to: target.revision.clone(),
        restart: target.restart,
        zone: None,
        started: state.started,
        phase: Phase::Rolling,
        rolls_back: false,
        fault: false,
        size: state.size(look),
        surge: state.surge(),
        surge_before: state.surge(),
        gives_back: false,
        failures: 0,
        last_failed: None,
        retained_failed: 0,
        last_retained: None,
        checkpoints_passed: 0,
        reached: None,
        paused: std::time::Duration::ZERO,
        pause_changed_at: None,
        acknowledged: Vec::new(),
        owned: false,
        promoted: false,
        released: None,
        victims: InstanceSet::default(),
        hooks: hook::begin(input, previous),
        borrowed: borrowed(input, view, previous),
        completed: super::run_by::when_it_begins(input, view, previous),
        reason: None,
    }
}

/// Whether an earlier rollout has set the template that the target has.
fn still_borrows(previous: Option<&Record>) -> bool {
    previous.is_some_and(|record| match record.phase {
        Phase::Rolling | Phase::Halting(_) => record.borrowed.template.is_some(),
        Phase::Halted(ending) => ending == Ending::Paused && record.borrowed.template.is_some(),
    })
}

/// Counts one failure that is not counted yet.
///
/// The record names the instance, so that a crash before it is tagged does not count it again. Once
/// it is tagged, the record may forget it.
pub(super) fn count_failure(input: &Input<'_>, record: &mut Record) -> Option<Step> {
    let id = count_failed(input, record)?;
    let is_there = input.look.instances.contains_key(&id);
    is_there.then(|| {
        let (key, value) = (FAILED.to_owned(), record.id.clone());
        Step::new(Action::Tag { instance: id, key, value })
    })
}

/// Counts one failure that is not counted yet, in the record alone. Returns which one.
pub(super) fn count_failed(input: &Input<'_>, record: &mut Record) -> Option<InstanceId> {
    let state = input.state;
    let (id, reason) =
        state.failures.failed.iter().find(|(id, _)| !state.failures.counted.contains(*id))?;
    record.failures += 1;
    record.last_failed = Some(id.clone());
    record.reason = Some(super::stop_conditions::failure(1, id, &input.target.revision, reason));
    Some(id.clone())
}

/// Passes the checkpoint when its time is over, or when the operator resumes the rollout.
///
/// Resuming does not wait until the gates have been checked. What the record says counts: after a
/// pause or a crash instances soak again, and the checkpoint is reached all the same.
fn at_checkpoint(input: &Input<'_>, view: &View<'_>, record: Record) -> Record {
    let Some(ahead) = pace::checkpoint(input) else { return record };
    let resumed =
        input.state.control.as_ref().is_some_and(|control| control.command == Command::Resume);
    let reached = pace::reached(input, view).is_some();
    let at_checkpoint = reached || record.reached_at().is_some();
    let expired = pace::expired(input).is_some_and(|expiry| !expiry.rolls_back) && reached;
    if expired || (resumed && at_checkpoint) {
        return record.past_checkpoint();
    }
    // A fleet that has grown has more to replace before it.
    let is_ahead = !reached && pace::allowance(input, view, Some(ahead)) > 0;
    Record { reached: record.reached.filter(|_| !is_ahead), ..record }
}
