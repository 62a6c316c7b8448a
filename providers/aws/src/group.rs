//! An Auto Scaling group as a fleet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_autoscaling::types::MixedInstancesPolicy;
use aws_sdk_ec2::types::Filter;
use rolling_provider::{
    Action, Activity, Alarm, Clock, Done, Examination, Fleet, InstanceId, LifecycleHook,
    Observation, ProviderError, Revision, RolloutController, ScheduledAction, Target, TargetGroup,
    TerminatedInstance, Timestamp,
};
use tokio::sync::OnceCell;

use crate::clock::ClockRef;
use crate::connect::Aws;
use crate::emulator::{Shape, Versions};
use crate::in_place::{InPlaceMethod, InstanceDescription, Updates};
use crate::lately::Lately;
use crate::traffic::{Second, Traffic};

/// An Auto Scaling group and what it should run.
#[derive(Clone, Debug)]
pub struct AutoScalingGroup {
    /// The group's name.
    pub name: String,
    /// What it should launch; `None` where instances are updated in place.
    pub launch_template: Option<LaunchTemplate>,
    /// Instead of a template: the image that the group's own template should have.
    pub image_id: Option<String>,
    /// How to update its instances in place, if at all.
    pub in_place: Option<InPlaceMethod>,
    /// The attached target groups that count; `None` for all of them.
    pub target_group_arns: Option<Vec<String>>,
    /// Whether the group rolls by itself, with instance refreshes.
    pub is_instance_refresh: bool,
    /// How to shift requests, if at all.
    pub traffic: Option<Traffic>,
}

/// A launch template version. The caller gives exactly one of `id` and `name`.
#[derive(Clone, Debug)]
pub struct LaunchTemplate {
    /// The template's id.
    pub id: Option<String>,
    /// The template's name.
    pub name: Option<String>,
    /// A number, `$Latest` or `$Default`.
    pub version: String,
}

/// See [`Aws::auto_scaling_group`].
#[derive(Debug)]
pub struct AutoScalingGroupFleet {
    pub(crate) aws: Aws,
    pub(crate) group: AutoScalingGroup,
    pub(crate) clock: ClockRef,
    /// The target groups' ARNs, known once the target is resolved.
    pub(crate) target_groups: OnceLock<Vec<String>>,
    pub(crate) resolved: Resolved,
    /// The mixed instances policy that the last look showed.
    pub(crate) mixed: Mutex<Option<MixedInstancesPolicy>>,
    /// The instances that the last look showed as terminating.
    pub(crate) going: Mutex<BTreeSet<InstanceId>>,
    /// The instances that got no requests at the last look because of a zonal shift.
    pub(crate) shifted_away: Mutex<BTreeSet<InstanceId>>,
    /// What only EC2 reports of an instance, and what never changes: read once.
    pub(crate) details: Mutex<BTreeMap<InstanceId, Details>>,
    /// What instances were launched from, where the group reports it wrongly.
    pub(crate) versions: Versions,
    /// What was read a moment ago.
    pub(crate) lately: Lately,
    /// Updates in place, if the group is rolled that way.
    pub(crate) updates: Option<Updates>,
}

/// What the adapter has looked up of the target so far.
///
/// The lookup takes a dozen calls. When one of them fails, the next lookup does not repeat those
/// that were answered.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub wanted: OnceCell<Revision>,
    pub aliases: OnceCell<BTreeMap<Revision, Revision>>,
    pub target_groups: OnceCell<Vec<TargetGroup>>,
    pub second: OnceCell<Second>,
    pub boot: OnceCell<Option<Duration>>,
    pub scheduled: OnceCell<Vec<ScheduledAction>>,
    pub hooks: OnceCell<Vec<LifecycleHook>>,
}

/// What EC2 reports of an instance beyond the group's answer.
#[derive(Clone, Debug)]
pub(crate) struct Details {
    pub launched_at: Option<Timestamp>,
    pub ignored: bool,
    pub failed_in: Option<String>,
    pub shown: InstanceDescription,
    pub shape: Shape,
}

impl AutoScalingGroupFleet {
    pub(crate) fn new(aws: Aws, group: AutoScalingGroup, clock: Arc<dyn Clock>) -> Self {
        let updates = group.in_place.clone().map(Updates::new);
        Self {
            aws,
            group,
            updates,
            clock: ClockRef(clock),
            target_groups: OnceLock::new(),
            resolved: Resolved::default(),
            mixed: Mutex::default(),
            going: Mutex::default(),
            shifted_away: Mutex::default(),
            details: Mutex::default(),
            versions: Versions::default(),
            lately: Lately::default(),
        }
    }
}

#[async_trait]
impl Fleet for AutoScalingGroupFleet {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        self.look_up().await
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        tracing::debug!(group = self.group.name, "looking");
        self.look().await
    }

    async fn activities(&self, since: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        self.activities_since(since).await
    }

    async fn examine(&self) -> Examination {
        self.look_for_trouble().await
    }

    async fn alarms(&self, names: &BTreeSet<String>) -> Result<Vec<Alarm>, ProviderError> {
        self.aws.alarms(names).await
    }

    async fn addresses(
        &self,
        instances: &BTreeSet<InstanceId>,
    ) -> Result<BTreeMap<InstanceId, String>, ProviderError> {
        self.aws.addresses(instances).await
    }

    async fn terminated(&self) -> Result<Vec<TerminatedInstance>, ProviderError> {
        let filter = Filter::builder().name("tag:aws:autoscaling:groupName");
        self.aws.terminated(filter.values(&self.group.name).build()).await
    }

    async fn may_roll(&self, begins: bool) -> Result<(), ProviderError> {
        let group = match self.lately.to_check(self.clock.0.now()) {
            Some(group) => group,
            None => self.describe().await?,
        };
        self.refuse_now(&group).await?;
        if begins {
            self.refuse_zonal_shift()?;
        }
        match &self.updates {
            Some(updates) if begins => updates.refuse(&self.aws, &self.look().await?).await,
            _ => Ok(()),
        }
    }

    async fn make_revision(&self, wanted: &Revision) -> Result<Revision, ProviderError> {
        self.make_version(wanted).await
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        tracing::debug!(group = self.group.name, %action, "acting");
        self.lately.forget();
        self.perform(action).await
    }

    fn rollout_controller(&self) -> Option<&dyn RolloutController> {
        self.group.is_instance_refresh.then_some(self as &dyn RolloutController)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock.0)
    }
}

impl Aws {
    /// Returns the fleet of one Auto Scaling group, on `clock`.
    pub fn auto_scaling_group(
        &self,
        group: AutoScalingGroup,
        clock: Arc<dyn Clock>,
    ) -> AutoScalingGroupFleet {
        AutoScalingGroupFleet::new(self.clone(), group, clock)
    }
}
