//! A simulated instance, its life and its health.

use std::collections::BTreeMap;
use std::time::Duration;

use rolling_provider::{
    InstanceId, Lifecycle, Revision, Tags, TargetGroupId, TargetHealth, TargetState, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::config::{Behaviour, FleetConfig, SimulatedTargetGroup};

/// How long a flapping instance keeps one state.
const FLAP: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SimulatedInstance {
    pub revision: Revision,
    pub zone: String,
    pub launched_at: Timestamp,
    /// When it is in service; `None` for never.
    pub in_service_at: Option<Timestamp>,
    /// From when until when a hook holds it while it launches or terminates.
    #[serde(default)]
    pub in_lifecycle_hook: Option<(Timestamp, Timestamp)>,
    pub targets: BTreeMap<TargetGroupId, Registration>,
    /// When it is gone; set once it terminates.
    pub gone_at: Option<Timestamp>,
    #[serde(default)]
    pub tags: Tags,
    #[serde(default)]
    pub protected: bool,
    #[serde(default)]
    pub standby: bool,
    /// Whether it fails its health checks although its revision is good.
    #[serde(default)]
    pub broken: bool,
    #[serde(default)]
    pub number: u64,
    /// The instance it was launched in place of.
    #[serde(default)]
    pub stands_for: Option<InstanceId>,
    /// Its current update in place.
    #[serde(default)]
    pub update: Option<SimulatedUpdate>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SimulatedUpdate {
    pub to: Revision,
    pub token: String,
    /// When it ends; `None` for never.
    pub ends_at: Option<Timestamp>,
    pub fails: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Registration {
    pub since: Timestamp,
    pub deregistered_at: Option<Timestamp>,
}

impl SimulatedInstance {
    /// Whether a hook holds it while it launches or terminates.
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.in_lifecycle_hook.is_some_and(|(from, until)| from <= now && now < until)
    }

    pub fn lifecycle(&self, now: Timestamp) -> Lifecycle {
        match (self.gone_at, self.in_service_at) {
            (Some(_), _) => Lifecycle::Terminating,
            (None, _) if self.standby => Lifecycle::Standby,
            (None, Some(at)) if at <= now => Lifecycle::InService,
            (None, _) => Lifecycle::Pending,
        }
    }

    /// Returns its health in `group`; `None` while it is not listed there.
    pub fn health(
        &self,
        config: &FleetConfig,
        group: &SimulatedTargetGroup,
        now: Timestamp,
    ) -> Option<TargetHealth> {
        let registration = self.targets.get(&group.id()).filter(|r| r.since <= now)?;
        let health = |state, reason: Option<&str>, description: Option<&str>| {
            let (reason, description) = (reason.map(String::from), description.map(String::from));
            Some(TargetHealth { state, reason, description })
        };
        if let Some(at) = registration.deregistered_at {
            return if at + group.drain > now {
                health(TargetState::Draining, Some("Target.DeregistrationInProgress"), None)
            } else {
                None
            };
        }
        let up = registration.since + group.register;
        if now < up {
            return health(TargetState::Initial, Some("Elb.RegistrationInProgress"), None);
        }
        let flapped = now.since(up).as_millis() / FLAP.as_millis() % 2 == 1;
        let behaviour = config.bad_revisions.get(&self.revision);
        match behaviour.filter(|_| !self.broken).or(self.broken.then_some(&Behaviour::Unhealthy)) {
            Some(Behaviour::Flap) if !flapped => health(TargetState::Healthy, None, None),
            Some(Behaviour::Unhealthy | Behaviour::Flap) => health(
                TargetState::Unhealthy,
                Some("Target.ResponseCodeMismatch"),
                Some("Health checks failed with these codes: [502]"),
            ),
            _ => health(TargetState::Healthy, None, None),
        }
    }
}

impl SimulatedTargetGroup {
    pub(crate) fn id(&self) -> TargetGroupId {
        TargetGroupId::new(self.name.as_str())
    }
}
