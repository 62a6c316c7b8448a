//! Has the hook run that a plan names, and takes in how it ends.

use super::hook_runner::HookEnd;
use super::rolling::RollingExecutor;
use super::session::Session;
use crate::model::event::Event;
use crate::model::spec::Hook;
use crate::rollout::gate_failure::GateFailure;
use crate::rollout::hooks::finished;
use crate::rollout::planner::Plan;
use crate::rollout::state::{HookRun, RunningHook};

impl RollingExecutor {
    /// Runs what `plan` names, and nothing else, and takes in its end. Returns whether a hook has
    /// ended: what waited for it needs a look that was taken afterwards.
    pub(super) fn run_hook(&mut self, plan: &Plan, session: &mut Session<'_>) -> bool {
        let Some(run) = plan.hook.as_ref().filter(|_| self.lease.is_believed()) else {
            self.stop_hook();
            return false;
        };
        let Some(hook) = self.context.spec.hooks.at(run.point).cloned() else { return false };
        // Without it in the state, the rollout has turned since this hook began.
        let running = self.context.state.hooks.running.as_ref().map(|running| &running.run);
        if running != Some(run) || self.hook_runner.running() != Some(run) {
            self.stop_hook();
            self.begin_hook(run, hook, session);
            return false;
        }
        if let Some(running) = &mut self.context.state.hooks.running {
            running.last_try = self.hook_runner.last_try();
        }
        let Some(end) = self.hook_runner.end().or_else(|| self.overdue(&hook)) else {
            return false;
        };
        let now = self.clock.now();
        if let Some(warning) = end.warning {
            let warning = format!("hook {}: {warning}", run.point.name());
            session.send(now, Event::Warned { warning });
        }
        let event = finished(&mut self.context.state, &hook, run, end.result, now);
        session.send(now, event);
        true
    }

    fn begin_hook(&mut self, run: &HookRun, hook: Hook, session: &mut Session<'_>) {
        let now = self.clock.now();
        let (id, point) = (run.id.clone(), run.point);
        let instances = run.instances.iter().map(|(id, _)| id.clone()).collect();
        session
            .send(now, Event::HookStarted { hook: point, id, call: hook.to_string(), instances });
        self.context.state.hooks.running =
            Some(RunningHook { run: run.clone(), since: now, last_try: None });
        let target = self.context.target.name.clone();
        let revision = self.context.target.revision.to_string();
        self.hook_runner.begin(run.clone(), hook, target, revision);
    }

    /// Ends a hook that has had all of its time, whatever runs it.
    fn overdue(&mut self, hook: &Hook) -> Option<HookEnd> {
        let since = self.context.state.hooks.running.as_ref()?.since;
        let longest = hook.longest();
        if self.clock.now() <= since + longest {
            return None;
        }
        self.hook_runner.stop();
        Some(HookEnd { result: Err(GateFailure::NotEnded(longest)), warning: None })
    }

    /// Ends the hook under way. Should it be due again, it is run again.
    pub(super) fn stop_hook(&mut self) {
        self.hook_runner.stop();
        self.context.state.hooks.running = None;
    }
}
