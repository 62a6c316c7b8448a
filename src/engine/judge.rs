//! Judges plans before they are carried out: a plan that breaks a promise never is.

use rolling_provider::Timestamp;

use super::rolling::RollingExecutor;
use super::session::Session;
use crate::model::event::Event;
use crate::rollout::planner::{self, Plan, Verdict};
use crate::rollout::state::Halt;

impl RollingExecutor {
    /// Plans this tick, and judges the plan. A plan that breaks a promise may come from a late
    /// look: the engine then does nothing and looks again. If that persists, the rollout ends;
    /// while it ends, the engine still does what breaks no promise.
    pub(super) fn plan_judged(&mut self, now: Timestamp, session: &mut Session<'_>) -> Plan {
        let mut plan = self.plan(now);
        let violations = planner::check::violations(&self.input(now), &plan);
        if violations.is_empty() {
            self.condemned.since = None;
            return plan;
        }
        let message = violations.join("; ");
        let planned: Vec<String> =
            plan.actions.iter().map(|step| step.action.to_string()).collect();
        tracing::error!(message, plan = planned.join("; "), "a plan breaks a promise");
        if self.condemned.since.is_none() {
            self.condemned.begin(&message, now);
            let warning = format!("nothing is done for now, by the rollout's own check: {message}");
            session.send(now, Event::Warned { warning });
        }
        plan.begins = None;
        if self.condemned.may_pass(now) {
            plan.actions.clear();
            plan.chosen.clear();
            plan.verdict = Verdict::Continue;
        } else if self.context.state.direction.halt.is_none() {
            plan.actions.clear();
            let reason = format!("stopped by its own check: {message}");
            plan.verdict = Verdict::Halt(Halt { fault: false, ..Halt::failed(reason, now) });
        } else {
            self.keep_what_breaks_nothing(&mut plan, now);
        }
        plan
    }

    fn keep_what_breaks_nothing(&self, plan: &mut Plan, now: Timestamp) {
        let input = self.input(now);
        for step in std::mem::take(&mut plan.actions) {
            plan.actions.push(step);
            if !planner::check::violations(&input, plan).is_empty() {
                plan.actions.pop();
            }
        }
        if plan.actions.is_empty() {
            plan.chosen.clear();
            plan.verdict = Verdict::Halted;
        }
    }
}
