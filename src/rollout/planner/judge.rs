//! Judges plans before they are carried out: a step that breaks a promise is not carried out.

use rolling_provider::Timestamp;

use super::input::Input;
use super::{Plan, Verdict, check, hook};
use crate::rollout::state::{Halt, LOOKS_LAG};

/// How often plans may break the same promise, with good plans in between, before the rollout is
/// halted.
const REJECTED_TIMES: u32 = 3;

/// The history of plans that broke a promise.
#[derive(Debug, Default)]
pub(crate) struct RejectedPlans {
    /// Since when every plan breaks one.
    since: Option<Timestamp>,
    /// What the last such plan broke, and how often that began.
    message: String,
    times: u32,
}

impl RejectedPlans {
    fn begin(&mut self, message: &str, now: Timestamp) {
        self.since = Some(now);
        self.times = if self.message == message { self.times + 1 } else { 1 };
        message.clone_into(&mut self.message);
    }

    /// Whether a late look may be the cause. What recurs again and again has another cause.
    fn may_pass(&self, now: Timestamp) -> bool {
        let is_late = self.since.is_none_or(|since| now.since(since) <= LOOKS_LAG);
        is_late && self.times <= REJECTED_TIMES
    }
}

/// Why a plan is not carried out as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Objection {
    /// The promises that it breaks, as sentences.
    pub(crate) message: String,
    /// What it was about to do, as phrases.
    pub(crate) planned: String,
    /// Whether it is the first of such plans, so that people should be warned.
    pub(crate) is_first: bool,
}

/// Returns what to carry out of `plan`, and what was wrong with it. A plan that breaks a promise may
/// come from a late look: nothing is done then but to look again. If that persists, the rollout
/// ends; while it ends, what breaks no promise is still done.
pub(crate) fn judge(
    input: &Input<'_>,
    plan: Plan,
    rejected: &mut RejectedPlans,
) -> (Plan, Option<Objection>) {
    let is_halting = input.state.direction.halt.is_some();
    let violations = |plan: &Plan| check::violations(input, plan);
    let (mut plan, objection) = judge_by(violations, plan, is_halting, input.now, rejected);
    if objection.is_some() {
        hook::keep_running(input, &mut plan);
    }
    (plan, objection)
}

fn judge_by(
    violations: impl Fn(&Plan) -> Vec<String>,
    mut plan: Plan,
    is_halting: bool,
    now: Timestamp,
    rejected: &mut RejectedPlans,
) -> (Plan, Option<Objection>) {
    let found = violations(&plan);
    if found.is_empty() {
        rejected.since = None;
        return (plan, None);
    }
    let message = found.join("; ");
    let planned: Vec<String> = plan.actions.iter().map(|step| step.action.to_string()).collect();
    let is_first = rejected.since.is_none();
    if is_first {
        rejected.begin(&message, now);
    }
    plan.begins = None;
    // What a bad plan knows of hooks is no better than the rest of it.
    plan.hook = None;
    plan.prepared.clear();
    plan.released.clear();
    if rejected.may_pass(now) {
        plan.actions.clear();
        plan.chosen.clear();
        plan.verdict = Verdict::Continue;
    } else if !is_halting {
        plan.actions.clear();
        let reason = format!("stopped by the safety check: {message}");
        plan.verdict = Verdict::Halt(Halt { fault: false, ..Halt::failed(reason, now) });
    } else {
        keep_what_breaks_nothing(violations, &mut plan);
    }
    (plan, Some(Objection { message, planned: planned.join("; "), is_first }))
}

fn keep_what_breaks_nothing(violations: impl Fn(&Plan) -> Vec<String>, plan: &mut Plan) {
    for step in std::mem::take(&mut plan.actions) {
        plan.actions.push(step);
        if !violations(plan).is_empty() {
            plan.actions.pop();
        }
    }
    if plan.actions.is_empty() {
        plan.chosen.clear();
        plan.verdict = Verdict::Halted;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rolling_provider::{Action, InstanceId};

    use super::super::Step;
    use super::*;

    fn plan(names: &[&str]) -> Plan {
        let suspend =
            |name: &&str| Action::SuspendProcesses { processes: [(*name).to_owned()].into() };
        let actions = names.iter().map(|name| Step::new(suspend(name))).collect();
        Plan { actions, ..Plan::waiting() }
    }

    /// The promise that no action is about `bad`.
    fn breaks(plan: &Plan) -> Vec<String> {
        let is_bad = |step: &&Step| step.action.to_string().contains("bad");
        plan.actions.iter().filter(is_bad).map(|_| "it is bad".to_owned()).collect()
    }

    fn at(second: u64) -> Timestamp {
        Timestamp(0) + Duration::from_secs(second)
    }

    #[test]
    fn a_bad_plan_is_dropped_while_looks_may_lag_and_then_ends_the_rollout() {
        let mut rejected = RejectedPlans::default();
        let lag = LOOKS_LAG.as_secs();
        for (second, first) in [(0, true), (1, false), (lag, false)] {
            let (left, why) =
                judge_by(breaks, plan(&["good", "bad"]), false, at(second), &mut rejected);
            assert!(left.actions.is_empty() && left.verdict == Verdict::Continue);
            let why = why.expect("an objection");
            assert_eq!((why.message.as_str(), why.is_first), ("it is bad", first));
            assert!(why.planned.contains("good") && why.planned.contains("bad"), "{why:?}");
        }
        let (left, _) = judge_by(breaks, plan(&["bad"]), false, at(lag + 1), &mut rejected);
        let Verdict::Halt(halt) = left.verdict else { panic!("{:?}", left.verdict) };
        assert!(halt.reason.ends_with("it is bad") && !halt.fault, "{halt:?}");
    }

    #[test]
    fn nothing_of_a_bad_plan_is_believed_about_hooks() {
        let of = || [InstanceId::new("i-1")].into();
        let bad = Plan { prepared: of(), released: of(), ..plan(&["bad"]) };
        let (left, _) = judge_by(breaks, bad, false, at(0), &mut RejectedPlans::default());
        assert!(left.prepared.is_empty() && left.released.is_empty() && left.hook.is_none());
    }

    #[test]
    fn what_recurs_with_good_plans_in_between_ends_the_rollout_too() {
        let mut rejected = RejectedPlans::default();
        for time in 0..=u64::from(REJECTED_TIMES) {
            let (left, _) = judge_by(breaks, plan(&["bad"]), false, at(time), &mut rejected);
            let ends = matches!(left.verdict, Verdict::Halt(_));
            assert_eq!(ends, time == u64::from(REJECTED_TIMES), "{time}");
            let (left, why) = judge_by(breaks, plan(&["good"]), false, at(time), &mut rejected);
            assert!(left.actions.len() == 1 && why.is_none());
        }
    }

    #[test]
    fn a_rollout_that_ends_does_what_breaks_nothing_and_is_halted_without_it() {
        let late = at(LOOKS_LAG.as_secs() + 1);
        for (names, left) in [(&["bad", "good"][..], 1), (&["bad"], 0)] {
            let mut rejected = RejectedPlans::default();
            let _ = judge_by(breaks, plan(names), true, at(0), &mut rejected);
            let (after, _) = judge_by(breaks, plan(names), true, late, &mut rejected);
            assert_eq!(after.actions.len(), left, "{names:?}");
            assert_eq!(after.verdict == Verdict::Halted, left == 0, "{names:?}");
        }
    }
}
