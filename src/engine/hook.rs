//! Has the hook run that a plan names, and takes in how it ends.

use super::rolling::RollingExecutor;
use super::session::Session;
use crate::model::event::Event;
use crate::rollout::hooks::finished;
use crate::rollout::planner::Plan;

impl RollingExecutor {
    /// Runs what `plan` names, and nothing else, and takes in its end. Returns whether a hook has
    /// ended: what waited for it goes by a look from after that.
    pub(super) fn run_hook(&mut self, plan: &Plan, session: &mut Session<'_>) -> bool {
        if self.context.state.hooks.asked.is_none() {
            // The rollout has changed its direction.
            self.hook_runner.stop();
        }
        let Some(run) = &plan.hook else {
            // Actions that come first are no reason to begin anew.
            if plan.actions.is_empty() {
                self.hook_runner.stop();
                self.context.state.hooks.asked = None;
            }
            return false;
        };
        let Some(hook) = self.context.spec.hooks.at(run.point) else { return false };
        let now = self.clock.now();
        if self.hook_runner.running() != Some(run) {
            let (id, point) = (run.id.clone(), run.point);
            let instances = run.instances.iter().map(|(id, _)| id.clone()).collect();
            let event = Event::HookStarted { hook: point, id, call: hook.to_string(), instances };
            session.send(now, event);
            self.context.state.hooks.asked = Some(now);
            let (target, revision) =
                (self.context.target.name.clone(), self.context.target.revision.to_string());
            self.hook_runner.begin(run.clone(), hook.clone(), target, revision);
            return false;
        }
        let Some(result) = self.hook_runner.result() else { return false };
        let event = finished(&mut self.context.state, hook, run, result);
        session.send(now, event);
        true
    }
}
