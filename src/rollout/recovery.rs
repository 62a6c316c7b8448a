//! What an engine begins with: everything it knows is in the record and in the fleet.

use rolling_provider::{Goal, Observation, Restart, Revision, Target, Timestamp};

use super::control::{self, RecordDisposition};
use super::state::{Halt, RolloutState, ignored_in, members};
use crate::model::spec::{RollingDeployment, SetAside};
use crate::record::command::{Command, Control};
use crate::record::lease::Lease;
use crate::record::{Record, RecordError};
use crate::rollout::rollback_reason;

/// What is known before the look from which an engine begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RestoreInput<'a> {
    /// What the document says.
    pub(crate) asked: &'a RollingDeployment,
    /// The target as the adapter resolved it.
    pub(crate) target: &'a Target,
    /// What the document wants.
    pub(crate) wanted: &'a Goal,
    /// The name of the rollout, if one begins.
    pub(crate) rollout_id: &'a str,
    /// The last revision that the whole fleet ran, if a front-end that stores state knows it.
    pub(crate) completed: Option<&'a Revision>,
    /// The lease with which this engine began, if it holds one.
    pub(crate) lease: Option<&'a Lease>,
    /// This process's own command for the rollout that is found.
    pub(crate) command: Option<&'a Control>,
}

/// What an engine begins with.
#[derive(Clone, Debug)]
pub(crate) struct Restored {
    /// The deployment that applies now.
    pub(crate) spec: RollingDeployment,
    /// The target, with the revision that the rollout leads to.
    pub(crate) target: Target,
    /// The look, folded into `state`.
    pub(crate) look: Observation,
    /// The state.
    pub(crate) state: RolloutState,
}

impl RestoreInput<'_> {
    /// Starts over from `look`. What the record says is in progress continues.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(crate) fn restore(&self, look: Observation) -> Result<Restored, RecordError> {
        let record = Record::from_tags(&look.record)?;
        let ignored = ignored_in(&look);
        let look = members(look, record.as_ref());
        let (mut spec, mut target) = (self.asked.clone(), self.target.clone());
        target.revision = self.wanted.revision.clone();
        target.restart = self.restart(record.as_ref(), &look);
        let mut state = self.begin(&look);
        state.unmanaged.ignored = ignored;
        let look = state.in_place(look);
        let look = state.without_departed(look);
        if let Some(record) = &record {
            self.continue_from(record, &look, &mut state, &mut spec, &mut target);
        }
        state.record = record;
        state.observe(&target, &spec.health, &look);
        // This process's own command always comes first: a command that ends a rollout never begins
        // one.
        state.control = self.command.cloned().or(state.control);
        Ok(Restored { spec, target, look, state })
    }

    /// Returns the restart with the time that launches are compared with: that of the record where
    /// it has begun, so that what it has launched is not old.
    fn restart(&self, record: Option<&Record>, look: &Observation) -> Option<Restart> {
        let wanted = self.wanted.restart?;
        let begun = record.filter(|record| record.leads_to(self.wanted));
        begun.and_then(|record| record.restart).or_else(|| Some(begin(wanted, look)))
    }

    /// Returns the initial state, in which only the existing instances are known.
    fn begin(&self, look: &Observation) -> RolloutState {
        let mut state = RolloutState::new(self.rollout_id, look.at);
        state.known_completed = self.completed.cloned();
        state.lease = self.lease.cloned();
        state.in_place.within = self.asked.replacement.within();
        state.spares_protected =
            self.asked.protected != SetAside::Refresh && state.in_place.within.is_none();
        if state.in_place.within.is_some() {
            // A completed revision from before instances were updated in place is nothing to go
            // back to.
            let runs = |known: &Revision| {
                look.instances.values().any(|i| i.revision.as_ref() == Some(known))
            };
            state.known_completed = state.known_completed.take().filter(runs);
        }
        state.direction.resume =
            self.command.is_some_and(|control| control.command == Command::Resume);
        state
    }

    /// Continues what `record` says is in progress: rolling, rolling back, or halting.
    fn continue_from(
        &self,
        record: &Record,
        look: &Observation,
        state: &mut RolloutState,
        spec: &mut RollingDeployment,
        target: &mut Target,
    ) {
        let command = self.command.map(|control| control.command);
        let found = control::found(record, self.wanted, command);
        let back = record.completed.clone().filter(|_| record.rolls_back);
        if found == RecordDisposition::GoesOn && back.is_some() {
            state.direction.rolls_back = Some(rollback_reason::recorded(record));
        }
        if let RecordDisposition::Ending(ending) = found {
            let reason = record.reason.clone().unwrap_or_else(|| "the rollout was ending".into());
            let (fault, at) = (record.fault, look.at);
            state.direction.halt = Some(Halt { ending, fault, ..Halt::failed(reason, at) });
        }
        if let Some(completed) = back.filter(|_| found != RecordDisposition::Over) {
            retarget(spec, target, completed);
        }
        let mut live = look.instances.values().filter(|instance| instance.lifecycle.is_live());
        if found == RecordDisposition::GoesOn
            && record.only_restores()
            && live.all(|instance| target.wants(instance))
        {
            // Everything was waited for, and the gates have passed.
            spec.skip_waits();
        }
    }
}

/// Returns a restart that begins with what `look` shows. What is launched later is not old.
fn begin(restart: Restart, look: &Observation) -> Restart {
    let launches = look.instances.values().map(|instance| instance.launched_at);
    let after = |at: Timestamp| Timestamp(at.0.saturating_add(1));
    // Nothing can be said of later ones while the time of one launch is not read yet.
    let known: Option<Vec<Timestamp>> = launches.collect();
    let since = known.map_or(restart.before, |known| {
        known.into_iter().max().map(after).unwrap_or_default().min(restart.before)
    });
    Restart { since, ..restart }
}

/// Sets what applies during a rollback to `completed`: no soak, pauses, checkpoints or gates.
pub(crate) fn retarget(spec: &mut RollingDeployment, target: &mut Target, completed: Revision) {
    (target.revision, target.restart) = (completed, None);
    spec.skip_waits();
}
