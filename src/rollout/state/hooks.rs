//! What is known of hooks beyond the record.

use std::collections::BTreeSet;

use rolling_provider::{InstanceId, Timestamp};

use crate::model::event::Outcome;
use crate::model::spec::{HookPoint, OnHookFailure};

/// What this engine knows of hooks beyond the record: what has ended since it was last written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HookState {
    /// The hook that is run. A turn of the rollout ends it.
    pub(crate) running: Option<RunningHook>,
    /// The last hook that need not be run again.
    pub(crate) done: Option<DoneHook>,
    /// Instances for which `before_deregister` is done.
    pub(crate) prepared: BTreeSet<InstanceId>,
    /// Instances for which `after_healthy` is done.
    pub(crate) after_healthy_done: BTreeSet<InstanceId>,
    /// The batch under way, up to the record that says that it is over.
    pub(crate) batch: Option<OpenBatch>,
    /// The hook that ends the way forward.
    pub(crate) failed: Option<FailedHook>,
}

/// A hook that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunningHook {
    /// What it is about.
    pub(crate) run: HookRun,
    /// Since when it is run.
    pub(crate) since: Timestamp,
    /// What its last try came to, if that failed.
    pub(crate) last_try: Option<String>,
}

/// A hook that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DoneHook {
    /// The point at which it was run.
    pub(crate) point: HookPoint,
    /// Its number in the record.
    pub(crate) number: u32,
    /// Those of its instances for which it counts.
    pub(crate) instances: BTreeSet<InstanceId>,
    /// The outcome that it was told.
    pub(crate) outcome: Option<Outcome>,
}

/// A batch that hooks are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenBatch {
    /// Its number in the record.
    pub(crate) number: u32,
    /// Its victims, without those that were released.
    pub(crate) victims: BTreeSet<InstanceId>,
    /// The instances that were there when it began: none of them is launched by it.
    pub(crate) there: BTreeSet<InstanceId>,
    /// Whether the cloud has accepted a launch of it, beside the fleet.
    pub(crate) has_launched: bool,
    /// Whether an engine before this one, or before a pause, may have begun it.
    pub(crate) continues: bool,
}

/// A hook that ends the way forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedHook {
    /// The point at which it was run.
    pub(crate) point: HookPoint,
    /// What its failure means.
    pub(crate) meaning: OnHookFailure,
    /// Why it failed, as a sentence.
    pub(crate) reason: String,
}

/// A hook to run: what it is about, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HookRun {
    /// The point of the rollout.
    pub(crate) point: HookPoint,
    /// The id, by which a repetition is known.
    pub(crate) id: String,
    /// Its number in the record.
    pub(crate) number: u32,
    /// The id of the rollout.
    pub(crate) rollout: String,
    /// The number of the batch; 0 before the first.
    pub(crate) batch: u32,
    /// The instances that it is about, each with its zone.
    pub(crate) instances: Vec<(InstanceId, String)>,
    /// How the rollout is about to end.
    pub(crate) outcome: Option<Outcome>,
}

impl HookState {
    /// Whether a hook about the instances of a batch is run at its end.
    pub(crate) fn ends_batch(&self) -> bool {
        let point = self.running.as_ref().map(|running| running.run.point);
        matches!(point, Some(HookPoint::AfterHealthy | HookPoint::AfterBatch))
    }

    /// Notes that a batch begins, or continues, with these `victims`.
    pub(crate) fn begin_batch(
        &mut self,
        number: u32,
        victims: &BTreeSet<InstanceId>,
        there: impl IntoIterator<Item = InstanceId>,
        continues: bool,
    ) {
        // For an instance that is updated again it is run again.
        self.after_healthy_done.retain(|id| !victims.contains(id));
        let before = self.batch.take().filter(|batch| batch.number == number);
        let mut batch = before.unwrap_or_else(|| OpenBatch {
            number,
            victims: BTreeSet::new(),
            there: there.into_iter().collect(),
            has_launched: false,
            continues,
        });
        batch.victims.extend(victims.iter().cloned());
        self.batch = Some(batch);
    }

    /// Notes that the cloud has accepted to launch instances.
    pub(crate) fn launched(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.has_launched = true;
        }
    }

    /// Notes that these victims stay: whoever is chosen again is prepared again.
    pub(crate) fn released(&mut self, victims: &BTreeSet<InstanceId>) {
        self.prepared.retain(|id| !victims.contains(id));
        if let Some(batch) = &mut self.batch {
            batch.victims.retain(|id| !victims.contains(id));
        }
    }
}
