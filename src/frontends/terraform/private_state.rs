//! What the last refresh saw of a fleet, kept beside the state.
//!
//! Terraform plans twice: when it shows the plan, and again when it applies that, in another
//! process and maybe hours later. Both times everything that is known must come out alike, although
//! the fleet may have grown meanwhile. So a plan's figures are made of what the refresh before it
//! saw, which Terraform keeps, and not of a look at the fleet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rolling_provider::{
    Capacity, Instance, InstanceId, Lifecycle, Observation, Revision, Target, TargetGroup,
    TargetGroupId, TargetHealth, TargetState, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::engine::Rollout;
use crate::model::event::{InstanceReport, Outcome, Report};
use crate::model::preview::Preview;
use crate::model::spec::RollingDeployment;
use crate::rollout::planner::{Input, preview};
use crate::rollout::state::RolloutState;

/// What the last refresh saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateState {
    /// What the state's configuration came to, its alias resolved.
    pub wanted: Revision,
    /// Whether there was anything to do for it.
    pub changes: bool,
    /// What the fleet launches.
    #[serde(default)]
    template: Option<Revision>,
    size: u32,
    /// How many ran each revision; none for what nobody knows.
    fleet: Vec<(Option<Revision>, u32)>,
    /// All in seconds.
    drain: u64,
    register: u64,
    boot: Option<u64>,
}

impl PrivateState {
    /// What there is to see of a deployment that was looked up by its state.
    pub fn of(rollout: &Rollout) -> PrivateState {
        let target = rollout.target();
        PrivateState {
            wanted: rollout.wanted().clone(),
            changes: rollout.preview().changes || rollout.under_way().is_some(),
            template: rollout.preview().from.map(|found| target.resolve(&found).clone()),
            size: rollout.size(),
            fleet: fleet(&rollout.instances()),
            drain: target.drain().as_secs(),
            register: target.register().as_secs(),
            boot: target.boot.map(|boot| boot.as_secs()),
        }
    }

    /// The same after a rollout.
    #[must_use]
    pub fn after(mut self, report: &Report) -> PrivateState {
        self.changes = report.outcome != Outcome::Succeeded;
        if report.outcome == Outcome::Succeeded {
            self.template = Some(report.to.clone());
        }
        self.fleet = fleet(&report.instances);
        if report.outcome == Outcome::Succeeded {
            self.size = self.fleet.iter().map(|(_, count)| count).sum();
        }
        self
    }

    /// The same fleet, of which all runs `wanted`.
    #[must_use]
    pub fn of_nothing_to_do(&self, wanted: &Revision) -> PrivateState {
        PrivateState { wanted: wanted.clone(), changes: false, ..self.clone() }
    }

    /// As it was kept; `None` for what another version has kept.
    pub fn read(private: &[u8]) -> Option<PrivateState> {
        serde_json::from_slice(private).ok()
    }

    /// To be kept.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A rollout to `revision`, on a fleet that is as it was seen and serves.
    pub fn preview(&self, spec: &RollingDeployment, revision: &Revision) -> Preview {
        let group = TargetGroupId::new("seen");
        let healthy = TargetHealth { state: TargetState::Healthy, reason: None, description: None };
        let instance = |revision: &Option<Revision>| Instance {
            revision: revision.clone(),
            zone: String::new(),
            lifecycle: Lifecycle::InService,
            in_lifecycle_hook: false,
            healthy: true,
            launched_at: None,
            protected: false,
            ignored: false,
            failed_in: None,
            owned: true,
            stands_for: None,
            ended: None,
            update: None,
            targets: BTreeMap::from([(group.clone(), healthy.clone())]),
        };
        let all =
            self.fleet.iter().flat_map(|(revision, count)| (0..*count).map(move |_| revision));
        let named =
            |(index, revision)| (InstanceId::new(format!("{index:06}")), instance(revision));
        let look = Observation {
            at: Timestamp(0),
            instances: all.enumerate().map(named).collect(),
            capacity: Some(Capacity { min: 0, max: self.size, desired: self.size }),
            template: self.template.clone(),
            shifted: None,
            reserve: BTreeMap::new(),
            suspended: BTreeSet::new(),
            record: BTreeMap::new(),
        };
        let target = Target {
            id: String::new(),
            name: String::new(),
            kind: "",
            revision: revision.clone(),
            target_groups: vec![TargetGroup {
                id: group,
                name: String::new(),
                drain: Duration::from_secs(self.drain),
                register: Duration::from_secs(self.register),
                slow_start: Duration::ZERO,
                warnings: Vec::new(),
            }],
            second: None,
            shifted_by: BTreeSet::new(),
            aliases: BTreeMap::new(),
            boot: self.boot.map(Duration::from_secs),
            scheduled: Vec::new(),
            no_surge: None,
            hindrances: Vec::new(),
            no_auto_rollback: None,
            warnings_of_long: Vec::new(),
            warnings: Vec::new(),
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
