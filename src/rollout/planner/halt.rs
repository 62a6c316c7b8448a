//! Plans the way to a safe point after a failure, a pause or a stop.
//!
//! Victims go back into rotation, what is borrowed is restored, and nothing is left draining.

mod restore;

use std::collections::BTreeSet;

use rolling_provider::{Action, InstanceId, Timestamp};

use self::restore::{give_back_surge, leaving, register_again, resume, template_back};
use super::check::instances_of;
use super::deadlines::UNLAUNCHED_AFTER;
use super::input::Input;
use super::{Member, Plan, Step, Verdict, View, borrow, hook, in_place, launch, shift};
use crate::model::event::Outcome;
use crate::model::wait::{Wait, WaitKind};
use crate::record::{Borrowed, Ending, HookRecord, InstanceSet, Phase, Record};
use crate::rollout::control::CommandEffect;
use crate::rollout::state::{Halt, LOOKS_LAG};

pub(super) use self::restore::{give_back, resume_scaling, unsettled};

/// Why an instance that was registered again lately, and serves, does not count yet.
pub(super) const NOT_YET_SURE: &str =
    "registered again so lately that a look may be from before it was taken out";

/// The input of every step of a halt.
struct HaltContext<'a> {
    input: &'a Input<'a>,
    view: &'a View<'a>,
    halt: &'a Halt,
    record: &'a Record,
    /// Whether surge stays for the decision that a pause waits for.
    keeps_surge: bool,
    /// Whether the time limit of a stop has passed.
    out_of_time: bool,
    /// When waiting for instances ends.
    deadline: Timestamp,
    /// Whether requests have yet to come back to the first target group.
    away: bool,
}

pub(super) fn plan(input: &Input<'_>, view: &View<'_>, halt: &Halt) -> Plan {
    let Input { state, now, .. } = *input;
    let mut plan = Plan::waiting();
    let record = state.record.as_ref().filter(|record| !is_halted(record, halt));
    let Some(record) = record else {
        plan.verdict = Verdict::Halted;
        return plan;
    };
    let way = HaltContext {
        input,
        view,
        halt,
        record,
        keeps_surge: halt.ending == Ending::Paused,
        out_of_time: halt.until.is_some_and(|until| now >= until),
        // Whoever goes back into rotation has its time to serve, and a look its time to be believed.
        deadline: halt.at + input.spec.health.healthy_timeout + LOOKS_LAG,
        away: !shift::stays(halt) && !shift::is_back(input),
    };
    let leaving = leaving(input, view, record, way.keeps_surge);
    let to_suspend = way.to_suspend(&leaving);
    way.note(&to_suspend, &mut plan);
    if way.set_size_right(&mut plan) || way.shift_back(&mut plan) {
        return plan;
    }
    plan.actions.extend(template_back(input, record, halt));
    register_again(input, view, &leaving, &mut plan);
    in_place::settle(input, view, &mut plan);
    plan.actions.extend(launch::register_newcomers(input, view, &leaving));
    match to_suspend.is_empty() {
        true => way.give_back(&leaving, &mut plan),
        false => plan.actions.push(Step::new(suspend(to_suspend))),
    }
    plan.actions.retain(|step| !way.is_refused(&step.action));

    wait_for_returned(input, view, &leaving, &mut plan);
    wait_for_launches(input, view, way.keeps_surge, &mut plan);
    launch::wait_for_newcomers(input, view, &leaving, way.deadline, &mut plan);
    way.wait_for_floor(&leaving, &mut plan);
    way.wait_for_hook(&leaving, &mut plan);
    way.end(&mut plan);
    plan.wake_at(halt.until, now);
    plan
}

/// Returns `record` with the halt, and with the command that it acknowledges; `None` where it says all
/// of that, and `has_more` does not say that there is more to write.
pub(super) fn noted(
    input: &Input<'_>,
    record: &Record,
    halt: &Halt,
    has_more: bool,
) -> Option<Record> {
    let state = input.state;
    let phase = Phase::Halting(halt.ending);
    // A command that changes nothing is acknowledged, too, so that it is not obeyed later.
    let control = state.control.as_ref();
    let control = control.filter(|it| state.effect(it.command) != CommandEffect::Later);
    let unanswered = control.is_some_and(|control| !control.is_acknowledged(Some(record)));
    if record.phase == phase && !unanswered && !has_more {
        return None;
    }
    let passes = halt.at_checkpoint && record.phase != phase;
    let record = if passes { record.clone().past_checkpoint() } else { record.clone() };
    Some(Record {
        phase,
        fault: halt.fault,
        acknowledged: record.acknowledge(control.map(|control| control.id.as_str())),
        reason: Some(halt.reason.clone()),
        // Instances go back into rotation: whoever is chosen again is prepared again.
        hooks: record.hooks.clone().map(HookRecord::unprepared),
        ..record
    })
}

/// Returns how a rollout that halts is reported once it is over; `None` where it is not over yet.
pub(super) fn outcome(input: &Input<'_>, ending: Ending, is_settled: bool) -> Option<Outcome> {
    match ending {
        Ending::Failed => Some(Outcome::Failed),
        Ending::Aborted => Some(Outcome::Aborted),
        Ending::Unrestored if is_settled => Some(input.outcome_when_done()),
        // The rollout is not over.
        Ending::Paused | Ending::Interrupted | Ending::Unrestored => None,
    }
}

/// Whether the cloud has refused `action` for good.
pub(super) fn is_refused(input: &Input<'_>, action: &Action) -> bool {
    input.state.failures.refused.iter().any(|(refused, _)| refused == action)
}

/// Whether `record` says that this halt is over.
pub(super) fn is_halted(record: &Record, halt: &Halt) -> bool {
    let has_ended = matches!(record.phase, Phase::Halted(ending) if ending != Ending::Paused);
    has_ended || record.phase == Phase::Halted(halt.ending)
}

impl HaltContext<'_> {
    fn is_refused(&self, action: &Action) -> bool {
        is_refused(self.input, action)
    }

    /// Returns the processes to suspend before surge leaves.
    ///
    /// A pause, or a stop that ran out of time, has resumed them, and left surge. Its removal could
    /// make the group rebalance its zones, or scale.
    fn to_suspend(&self, leaving: &BTreeSet<InstanceId>) -> BTreeSet<String> {
        let Input { spec, look, state, .. } = *self.input;
        let is_due = !leaving.is_empty() && !self.out_of_time;
        if !is_due || state.suspended || look.is_unmanaged() {
            return BTreeSet::new();
        }
        let running: BTreeSet<String> =
            spec.suspend_processes.difference(&look.suspended).cloned().collect();
        match self.is_refused(&suspend(running.clone())) {
            true => BTreeSet::new(),
            false => running,
        }
    }

    /// Writes the halt, what it suspends, and the command that it acknowledges, into the record.
    fn note(&self, to_suspend: &BTreeSet<String>, plan: &mut Plan) {
        let HaltContext { input, halt, record, .. } = *self;
        let is_noted = to_suspend.is_subset(&record.borrowed.suspended);
        if let Some(mut noted) = noted(input, record, halt, !is_noted) {
            noted.borrowed.suspended.extend(to_suspend.iter().cloned());
            plan.actions.push(Step::record(borrow::with_surge(input, &noted)));
        }
    }

    /// Takes surge that was not launched off the size, and corrects a size that we lowered by
    /// mistake (see `state::sizes`). Returns whether that comes first.
    ///
    /// With the template back, the group could still launch such surge, and a lower size would then
    /// cost instances of the group's choice.
    fn set_size_right(&self, plan: &mut Plan) -> bool {
        let Input { look, state, .. } = *self.input;
        let unlaunched = if self.keeps_surge { 0 } else { self.view.unlaunched(self.input) };
        let right = state.desired(look).max(state.size(look)).saturating_sub(unlaunched);
        let set_right = borrow::set_size(self.input, right);
        if right == state.desired(look) || look.is_unmanaged() || self.is_refused(&set_right.action)
        {
            return false;
        }
        match unsettled(self.input) {
            Some(wait) => plan.wait(wait),
            None => plan.actions.push(set_right),
        }
        true
    }

    /// Shifts the requests back. Returns whether that comes first.
    fn shift_back(&self, plan: &mut Plan) -> bool {
        let too_late = self.out_of_time || self.input.now >= self.deadline;
        let back = shift::halt(self.input, self.view, self.halt, too_late);
        let back = back.filter(|back| self.away && !self.is_refused(&back.action));
        let comes_first = back.is_some();
        plan.actions.extend(back);
        comes_first
    }

    /// Removes surge and restores what else is borrowed, as far as possible now.
    fn give_back(&self, leaving: &BTreeSet<InstanceId>, plan: &mut Plan) {
        let HaltContext { input, view, record, .. } = *self;
        // The group must not replace an instance that reboots, or is out of rotation, for an
        // update: what is borrowed is restored once the updates are over.
        let updates = view.members.iter().any(|member| in_place::is_at_work(input, member));
        if updates && !self.out_of_time {
            return;
        }
        if self.keeps_surge {
            plan.actions.extend(resume(input, record, shift::stays(self.halt)));
            return;
        }
        if self.away {
            let until = if self.out_of_time { input.now } else { self.deadline };
            wait_for_primary(input, view, plan, until);
            return;
        }
        if self.out_of_time && input.state.surge() > 0 {
            // Surge that still drains stays in the record. The group can at least run on its own
            // again, and the next run suspends it before that surge goes.
            plan.actions.extend(resume(input, record, false));
            return;
        }
        // Instances that get requests stay.
        if shift::is_back(input) {
            plan.actions.extend(shift::register_in_primary(input, view, leaving));
            give_back_surge(input, view, leaving, plan);
            plan.actions.extend(shift::leave(input, view, leaving));
        }
        if input.state.surge() == 0 {
            match unsettled(input) {
                Some(wait) if !self.out_of_time => plan.wait(wait),
                _ => plan.actions.extend(give_back(input, record, shift::stays(self.halt))),
            }
        } else if self.are_stuck(leaving) {
            // Surge that the floor needs, or that cannot be removed, stays.
            plan.actions.extend(resume(input, record, false));
        }
    }

    /// Whether no surge goes any more: the cloud refuses to remove all that is to go, or none may go
    /// until the time is over.
    fn are_stuck(&self, leaving: &BTreeSet<InstanceId>) -> bool {
        let refused = &self.input.state.failures.refused;
        let is_stuck =
            |id: &InstanceId| refused.iter().any(|(action, _)| instances_of(action).contains(id));
        match leaving.is_empty() {
            true => self.input.now >= self.deadline,
            false => leaving.iter().all(is_stuck),
        }
    }

    /// Waits with surge that cannot leave yet, since too few serve.
    fn wait_for_floor(&self, leaving: &BTreeSet<InstanceId>, plan: &mut Plan) {
        let (view, Input { state, now, .. }) = (self.view, *self.input);
        if self.keeps_surge || leaving.len() >= state.surge() as usize || now >= self.deadline {
            return;
        }
        let back = state.put_back_until();
        let detail = match back.filter(|_| view.serving() > view.window.floor() as usize) {
            Some(_) => NOT_YET_SURE.into(),
            None => {
                let aside = view.members.iter().find(|m| m.not_surplus && m.instance.protected);
                let aside = aside.map(|m| format!("; {} is protected from scale-in", m.id));
                view.at_floor() + &aside.unwrap_or_default()
            }
        };
        plan.wake_at(back, now);
        let (kind, instances, deadline) = (WaitKind::Floor, Vec::new(), self.deadline);
        plan.wait(Wait { kind, instances, detail: Some(detail), deadline });
    }

    /// Waits for the hook that prepares surge to leave.
    fn wait_for_hook(&self, leaving: &BTreeSet<InstanceId>, plan: &mut Plan) {
        if !self.out_of_time {
            hook::keep_running_for(self.input, leaving, plan);
        }
    }

    /// Ends the halt where nothing is left to do or to wait for.
    fn end(&self, plan: &mut Plan) {
        if !plan.actions.is_empty() || !(plan.waiting_on.is_empty() || self.out_of_time) {
            return;
        }
        let state = self.input.state;
        let is_shifted = self.halt.is_unrestored() && !shift::is_back(self.input);
        let has_surge = state.surge() > 0 && !self.keeps_surge;
        let is_settled =
            !has_surge && !is_shifted && !self.away && state.failures.refused.is_empty();
        let outcome = outcome(self.input, self.halt.ending, is_settled);
        let outcome = outcome.filter(|_| !self.out_of_time);
        if outcome.is_some_and(|outcome| hook::after_rollout(self.input, outcome, plan)) {
            return;
        }
        match is_settled {
            true => plan.actions.extend(end(self.input, self.view, self.record, self.halt)),
            false => plan.verdict = Verdict::Halted,
        }
    }
}

fn suspend(processes: BTreeSet<String>) -> Action {
    Action::SuspendProcesses { processes }
}

/// Waits until the requests can come back to the first target group.
///
/// Registers there the instances that can take them. When it is too late for that, the group can at
/// least run on its own again, and registers there what it launches.
fn wait_for_primary(input: &Input<'_>, view: &View<'_>, plan: &mut Plan, deadline: Timestamp) {
    plan.actions.extend(shift::register_in_primary(input, view, &BTreeSet::new()));
    if input.now < deadline {
        let detail = "requests return when enough instances serve in the first target group";
        let (kind, instances, detail) = (WaitKind::Floor, Vec::new(), Some(detail.into()));
        plan.wait(Wait { kind, instances, detail, deadline });
    } else if let Some(record) = &input.state.record {
        plan.actions.extend(resume(input, record, false));
    }
}

/// Plans the last step: the final record, or its removal when it has nothing left to say.
fn end(input: &Input<'_>, view: &View<'_>, record: &Record, halt: &Halt) -> Vec<Step> {
    let phase = Phase::Halted(halt.ending);
    if halt.ending == Ending::Paused {
        let pause_changed_at = Some(input.now);
        let mut borrowed = record.borrowed.clone();
        let shifted = borrowed.shifts.is_some() && shift::stays(halt) && !shift::is_back(input);
        let registers = input.target.processes.registers;
        borrowed.suspended.retain(|process| shifted && registers == Some(process.as_str()));
        let record =
            Record { victims: InstanceSet::default(), ..borrow::with_surge(input, record) };
        return vec![Step::record(Record { phase, pause_changed_at, borrowed, ..record })];
    }
    // A fleet that runs only the completed revision is as it was before.
    // A restart that has replaced some of it is not undone by that.
    let is_on = |member: &Member<'_>| {
        let is_restarted = record.only_restarts() && record.brings(member.instance);
        member.instance.revision == record.completed && !is_restarted
    };
    let says = record.failures > 0 || record.checkpoints_passed > 0 || record.retained_failed > 0;
    let continues = halt.ending == Ending::Interrupted && says;
    // One that is marked as failed says so with this record, or with none.
    let is_marked = |id: &InstanceId| input.state.failures.failed.contains_key(id);
    let is_as_before = record.completed.is_some()
        && view.members.iter().all(|member| is_on(member) && !is_marked(member.id));
    if (is_as_before && !continues) || halt.is_unrestored() {
        return launch::erase(input, record);
    }
    let borrowed = Borrowed::default();
    // Should the rollout be taken up again, its next end has a hook of its own.
    let hooks = record.hooks.clone().map(HookRecord::next);
    let victims = InstanceSet::default();
    let nothing =
        Record { surge: 0, surge_before: 0, gives_back: false, victims, ..record.clone() };
    vec![Step::record(Record { phase, borrowed, hooks, ..nothing })]
}

/// Waits for surge that is not there yet: it comes, or goes off the size once it is late.
fn wait_for_launches(input: &Input<'_>, view: &View<'_>, keeps_surge: bool, plan: &mut Plan) {
    if keeps_surge || input.state.surge() == 0 || view.missing == 0 {
        return;
    }
    // If none will be late any more, the cloud has refused a smaller size. That is reported, not
    // waited for.
    let late = input.state.launches.missing.next_late(UNLAUNCHED_AFTER, input.now);
    let Some(deadline) = late else { return };
    let detail = Some(format!("{} to go", view.missing));
    let (kind, instances) = (WaitKind::Launch, Vec::new());
    plan.wait(Wait { kind, instances, detail, deadline });
}

/// Waits for those put back into rotation that are not to go.
fn wait_for_returned(
    input: &Input<'_>,
    view: &View<'_>,
    leaving: &BTreeSet<InstanceId>,
    plan: &mut Plan,
) {
    let Input { spec, state, now, .. } = *input;
    let returned = state.rotation.returned.iter().filter(|(id, _)| !leaving.contains(*id));
    for (id, at) in returned {
        let deadline = *at + spec.health.healthy_timeout;
        let member = view.members.iter().find(|member| member.id == id);
        let waits = |m: &Member<'_>| !m.serves || (shift::is_back(input) && !m.in_primary);
        if member.is_some_and(waits) && now < deadline {
            let detail = state.history.get(id).and_then(|history| history.trouble.clone());
            let instances = vec![id.clone()];
            plan.wait(Wait { kind: WaitKind::Return, instances, detail, deadline });
        }
    }
}
