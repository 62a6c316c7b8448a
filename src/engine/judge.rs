//! Plans are judged before they are carried out: one that breaks a promise never is.

use rolling_provider::Timestamp;

use super::Rollout;
use super::report::Emitter;
use crate::event::Event;
use crate::plan::{self, Plan, Verdict};
use crate::progress::{Halt, LOOKS_LAG};

impl Rollout {
    /// Plans this tick, and has the plan judged. A plan that breaks a promise may come of a look
    /// that is late: nothing is done then, and looked again. Where that goes on the rollout ends;
    /// while it ends, what breaks none is still put back.
    pub(super) fn plan_judged(&mut self, now: Timestamp, emit: &mut Emitter<'_>) -> Plan {
        let mut plan = self.plan(now);
        let violations = plan::check::violations(&self.input(now), &plan);
        if violations.is_empty() {
            self.condemned_since = None;
            return plan;
        }
        let words = violations.join("; ");
        tracing::error!(words, "a plan breaks a promise");
        if self.condemned_since.is_none() {
            let warning = format!("nothing is done for now, by the rollout's own check: {words}");
            emit.send(now, Event::Warned { warning });
        }
        let since = *self.condemned_since.get_or_insert(now);
        plan.begins = None;
        if now.since(since) <= LOOKS_LAG {
            plan.actions.clear();
            plan.chosen.clear();
            plan.verdict = Verdict::Continue;
        } else if self.progress.halt.is_none() {
            plan.actions.clear();
            let reason = format!("stopped by its own check: {words}");
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
            if !plan::check::violations(&input, plan).is_empty() {
                plan.actions.pop();
            }
        }
        if plan.actions.is_empty() {
            plan.chosen.clear();
            plan.verdict = Verdict::Halted;
        }
    }
}
