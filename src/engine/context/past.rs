//! Where a rollback of a rollout that is over goes: by what the caller keeps, or else by what the cloud
//! still knows of instances that are gone, in one more read.

use std::collections::BTreeSet;

use rolling_provider::{Lifecycle, Revision, TerminatedInstance};

use super::RolloutContext;
use crate::engine::look_up::with_retries;
use crate::rollout::planner;
use crate::rollout::rollback_target::{Past, RollbackTarget};

impl RolloutContext {
    /// Returns the revision to go back to from what the fleet runs. `completed` and `previous` are
    /// those of a stored state; the caller's own count where they are not given.
    pub(in crate::engine) async fn rollback_target(
        &self,
        completed: Option<&Revision>,
        previous: Option<&Revision>,
    ) -> RollbackTarget {
        let resolve = |revision: &Revision| self.target.resolve(revision).clone();
        let completed = completed.or(self.caller.completed.as_ref()).map(resolve);
        let previous = previous.or(self.caller.previous.as_ref()).map(resolve);
        let is_in_place = self.input(self.look.at).is_in_place();
        // A template says nothing of instances that are updated in place.
        let template = self.look.template.as_ref().filter(|_| !is_in_place).map(resolve);
        let mut past = Past {
            completed: completed.as_ref(),
            previous: previous.as_ref(),
            template: template.as_ref(),
            live: self.look.instances.values().filter(|it| stays(it.lifecycle)).collect(),
            terminated: Vec::new(),
            size: self.size() as usize,
        };
        let present = self.present();
        let known = past.rollback_target(&present);
        if !matches!(known, RollbackTarget::Unknown(_)) || is_in_place {
            return known;
        }
        let terminated = self.terminated().await;
        past.terminated = terminated.iter().collect();
        past.rollback_target(&present)
    }

    /// Returns the revision before `completed`: the one that the whole fleet ran when this process
    /// first looked at it, or else what the caller keeps.
    pub(in crate::engine) fn previous(&self, completed: Option<&Revision>) -> Option<Revision> {
        let caller = &self.caller;
        let known = [&self.ran, &caller.completed, &caller.previous];
        let mut known = known.into_iter().flatten();
        match completed {
            Some(completed) => known.find(|it| *it != completed).cloned(),
            None => caller.previous.clone(),
        }
    }

    /// Notes what the whole fleet ran before this process rolls it.
    pub(in crate::engine) fn note_what_ran(&mut self) {
        let recorded = self.record().and_then(|record| record.completed.clone());
        self.ran = recorded.or_else(|| planner::run_by_all(&self.input(self.look.at)));
    }

    /// Returns what the fleet runs: where it runs several revisions, the wanted one.
    fn present(&self) -> Revision {
        let live = self.look.instances.values().filter(|it| it.lifecycle.is_live());
        let run: BTreeSet<&Revision> = live.filter_map(|it| it.revision.as_ref()).collect();
        match Vec::from_iter(run).as_slice() {
            [one] => (*one).clone(),
            _ => self.wanted.clone(),
        }
    }

    /// Asks for the instances that are gone. An error loses only candidates.
    async fn terminated(&self) -> Vec<TerminatedInstance> {
        let asked = with_retries(&*self.clock, self.caller.jitter, || self.fleet.terminated());
        asked.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read the instances that were terminated");
            Vec::new()
        })
    }
}

fn stays(lifecycle: Lifecycle) -> bool {
    lifecycle.is_live() || lifecycle == Lifecycle::Standby
}
