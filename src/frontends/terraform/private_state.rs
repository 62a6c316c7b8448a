//! What the last refresh saw of a fleet, kept beside the state.
//!
//! Terraform plans twice: when it shows the plan, and again when it applies it, in another process
//! and maybe hours later. All known values must be the same both times, although the fleet may have
//! grown meanwhile. So the figures of a plan come from what the refresh before it saw, which
//! Terraform keeps, and not from a look at the fleet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling_provider::{
    Capacity, Instance, InstanceId, Observation, Restart, Revision, Target, TargetGroup,
    TargetGroupId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::engine::Rollout;
use crate::model::event::{InstanceReport, Outcome, Report, is_zero};
use crate::model::preview::Preview;
use crate::model::spec::RollingDeployment;
use crate::rollout::planner::{Input, preview};
use crate::rollout::state::RolloutState;

/// What the last refresh saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PrivateState {
    /// The revision that the state's configuration asked for, with its alias resolved.
    pub(crate) wanted: Revision,
    /// The time before which that configuration had instances replaced although they run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart: Option<Timestamp>,
    /// How many instances ran that revision and had to be replaced for that.
    #[serde(default, skip_serializing_if = "is_zero")]
    to_restart: u32,
    /// Whether a rollout to it had anything to do.
    pub(crate) changes: bool,
    /// The revision that the fleet launches.
    #[serde(default)]
    template: Option<Revision>,
    size: u32,
    /// How many instances ran each revision; `None` stands for an unknown revision.
    fleet: Vec<(Option<Revision>, u32)>,
    /// In seconds, like the two fields below.
    drain: u64,
    register: u64,
    boot: Option<u64>,
}

impl PrivateState {
    /// Returns what `rollout`, looked up from its state, shows of the fleet.
    pub(crate) fn of(rollout: &Rollout) -> PrivateState {
        let target = rollout.target();
        PrivateState {
            wanted: rollout.wanted().clone(),
            restart: rollout.restart(),
            to_restart: rollout.to_restart(),
            changes: rollout.preview().changes || rollout.under_way().is_some(),
            template: rollout.preview().from.map(|found| target.resolve(&found).clone()),
            size: rollout.size(),
            fleet: fleet(&rollout.instances()),
            drain: target.drain().as_secs(),
            register: target.register().as_secs(),
            boot: target.boot.map(|boot| boot.as_secs()),
        }
    }

    /// Returns the same after a rollout that ended with `report`.
    #[must_use]
    pub(crate) fn after(mut self, report: &Report) -> PrivateState {
        self.changes = report.outcome != Outcome::Succeeded;
        if report.outcome == Outcome::Succeeded {
            self.template = Some(report.to.clone());
        }
        self.fleet = fleet(&report.instances);
        self.to_restart = report.to_restart;
        if report.outcome == Outcome::Succeeded {
            self.size = self.fleet.iter().map(|(_, count)| count).sum();
        }
        self
    }

    /// Returns the same fleet with every instance on `wanted`, and launched since `restart`.
    #[must_use]
    pub(crate) fn of_nothing_to_do(
        &self,
        wanted: &Revision,
        restart: Option<Timestamp>,
    ) -> PrivateState {
        let wanted = wanted.clone();
        PrivateState { wanted, restart, to_restart: 0, changes: false, ..self.clone() }
    }

    /// Whether it was seen with this revision and this restart in the configuration.
    pub(crate) fn is_of(&self, wanted: &Revision, restart: Option<Timestamp>) -> bool {
        self.wanted == *wanted && self.restart == restart
    }

    /// Reads the kept bytes; returns `None` if another version of the provider wrote them.
    pub(crate) fn read(private: &[u8]) -> Option<PrivateState> {
        serde_json::from_slice(private).ok()
    }

    /// Returns the bytes to keep.
    pub(crate) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Previews a rollout to `revision`, on a fleet that is as it was seen and serves.
    pub(crate) fn preview(&self, spec: &RollingDeployment, revision: &Revision) -> Preview {
        let group = TargetGroupId::new("seen");
        // A refresh counts what the restart of its own configuration has to replace. Another one may
        // have to replace all.
        let is_known = self.restart == spec.restart && self.wanted == *revision;
        let to_restart = if is_known { self.to_restart } else { u32::MAX };
        let instance = |(runs, index): (&Option<Revision>, u32)| Instance {
            launched_at: Some(Timestamp(if index < to_restart { 0 } else { u64::MAX })),
            ..Instance::serving(runs.clone(), [group.clone()])
        };
        let all = self.fleet.iter();
        let all = all.flat_map(|(runs, count)| (0..*count).map(move |index| (runs, index)));
        let named = |(index, it)| (InstanceId::new(format!("{index:06}")), instance(it));
        let look = Observation {
            controller: None,
            at: Timestamp(0),
            instances: all.enumerate().map(named).collect(),
            capacity: Some(Capacity { min: 0, max: self.size, desired: self.size, units: None }),
            template: self.template.clone(),
            shifted: None,
            reserve: BTreeMap::new(),
            suspended: BTreeSet::new(),
            record: BTreeMap::new(),
        };
        let target = Target {
            target_groups: vec![TargetGroup {
                id: group,
                name: String::new(),
                drain: Duration::from_secs(self.drain),
                register: Duration::from_secs(self.register),
                slow_start: Duration::ZERO,
                stops_routing: Duration::ZERO,
                warnings: Vec::new(),
            }],
            boot: self.boot.map(Duration::from_secs),
            restart: spec.restart.map(Restart::before),
            ..Target::new("", "", "", revision.clone())
        };
        let mut progress = RolloutState::new("", look.at);
        progress.observe(&target, &spec.health, &look);
        preview(&Input { spec, target: &target, look: &look, state: &progress, now: look.at })
    }
}

fn fleet(instances: &[InstanceReport]) -> Vec<(Option<Revision>, u32)> {
    let mut fleet: BTreeMap<Option<Revision>, u32> = BTreeMap::new();
    for instance in instances {
        *fleet.entry(instance.revision.clone()).or_default() += 1;
    }
    fleet.into_iter().collect()
}
