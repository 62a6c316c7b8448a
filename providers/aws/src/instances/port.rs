//! Implements the port for unmanaged instances.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use aws_sdk_ec2::types::{Filter, InstanceAttributeName};
use aws_sdk_elasticloadbalancingv2::types::TargetTypeEnum;
use rolling_provider::{
    Action, Activity, Alarm, Clock, Done, Examination, Fleet, InstanceId, Observation, Processes,
    ProviderError, Revision, Target, TargetGroup, TerminatedInstance, Timestamp,
};
use tokio::sync::OnceCell;

use super::keys::{GROUP, MEMBER, NOT_FOUND};
use crate::clock::ClockRef;
use crate::connect::Aws;
use crate::error::from_sdk;
use crate::in_place::Updates;
use crate::instances::keys::{ARN, TEMPLATE};
use crate::keys::IGNORE;
use crate::{InstancesFleet, TargetGroupInstances};

impl Aws {
    /// Returns the fleet of the instances behind one target group, on `clock`.
    pub fn target_group_instances(
        &self,
        instances: TargetGroupInstances,
        clock: Arc<dyn Clock>,
    ) -> InstancesFleet {
        let updates = instances.in_place.clone().map(Updates::new);
        InstancesFleet {
            updates,
            aws: self.clone(),
            instances,
            clock: ClockRef(clock),
            target: OnceCell::new(),
            groups: OnceLock::new(),
            by_address: Mutex::default(),
            launched: Mutex::default(),
            known: Mutex::default(),
            templates: Mutex::default(),
        }
    }
}

#[async_trait]
impl Fleet for InstancesFleet {
    async fn resolve(&self) -> Result<Target, ProviderError> {
        self.target.get_or_try_init(|| self.look_up()).await.cloned()
    }

    async fn observe(&self) -> Result<Observation, ProviderError> {
        tracing::debug!(target_group = self.instances.arn, "looking");
        self.look().await
    }

    async fn activities(&self, _: Timestamp) -> Result<Vec<Activity>, ProviderError> {
        // Unmanaged instances do nothing by themselves.
        Ok(Vec::new())
    }

    async fn examine(&self) -> Examination {
        let mut found = Examination::default();
        let arn = &self.instances.arn;
        match self.target_groups(std::slice::from_ref(arn)).await {
            Ok(_) => found.errors.extend(self.aws.may_deregister(arn).await),
            Err(error) => found.errors.push(error),
        }
        let wanted = self.wanted().await;
        let looked = self.look().await;
        let one = || {
            let known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            known.iter().next().map(|(id, known)| (id.to_string(), known.subnet.clone()))
        };
        let one = one();
        match wanted {
            Ok(_) if self.updates.is_some() => found.errors.extend(self.look_up().await.err()),
            Ok(revision) => {
                found.errors.extend(self.usable_template(&revision).await.err());
                let subnet = one.as_ref().and_then(|(_, subnet)| subnet.as_deref());
                found.errors.extend(self.aws.may_launch(&revision, subnet).await);
            }
            Err(error) => found.errors.push(error),
        }
        found.errors.extend(looked.err());
        let id = one.as_ref().map(|(id, _)| id.as_str());
        found.errors.extend(self.aws.may_tag(id).await);
        found.untried = vec![
            "ec2:DeleteTags",
            "ec2:TerminateInstances",
            "elasticloadbalancing:AddTags",
            "elasticloadbalancing:RegisterTargets",
            "elasticloadbalancing:RemoveTags",
        ];
        found.untried.extend(self.updates.iter().flat_map(Updates::untried));
        found
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
        let filter = Filter::builder().name(format!("tag:{MEMBER}"));
        self.aws.terminated(filter.values(self.primary_arn()).build()).await
    }

    async fn may_roll(&self, begins: bool) -> Result<(), ProviderError> {
        match &self.updates {
            Some(updates) if begins => updates.refuse(&self.aws, &self.look().await?).await,
            None if begins => self.refuse_protected().await,
            _ => Ok(()),
        }
    }

    async fn act(&self, action: &Action) -> Result<Done, ProviderError> {
        tracing::debug!(target_group = self.instances.arn, %action, "acting");
        self.perform(action).await.map(|()| Done::default())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock.0)
    }
}

impl InstancesFleet {
    /// Returns the ARN of the target group that has the record.
    pub(crate) fn primary_arn(&self) -> &str {
        self.groups.get().and_then(|arns| arns.first()).unwrap_or(&self.instances.arn)
    }

    /// Returns the target groups `arns`, and notes which have addresses as targets.
    async fn target_groups(&self, arns: &[String]) -> Result<Vec<TargetGroup>, ProviderError> {
        let kinds = [TargetTypeEnum::Instance, TargetTypeEnum::Ip];
        let found = self.aws.target_groups_of(&kinds, arns, |_| ARN.into()).await?;
        self.note_by_address(found.by_address, found.vpc);
        Ok(found.groups)
    }

    /// Returns the revision that every instance is to run.
    async fn wanted(&self) -> Result<Revision, ProviderError> {
        self.aws.wanted_revision(&self.instances.launch_template, TEMPLATE, &self.updates).await
    }

    async fn look_up(&self) -> Result<Target, ProviderError> {
        let arn = self.instances.arn.clone();
        let groups = self.target_groups(std::slice::from_ref(&arn));
        let wanted = self.wanted();
        let (groups, revision) = tokio::try_join!(groups, wanted)?;
        let Some(group) = groups.first() else {
            let message = format!("target group {arn} does not exist in {}", self.aws.region);
            return Err(ProviderError::invalid("DescribeTargetGroups", ARN, message));
        };
        let found = self.find_groups(&group.name).await?;
        let others: Vec<String> = found.arns.iter().filter(|it| **it != arn).cloned().collect();
        self.groups.get_or_init(|| found.arns);
        let other_groups = self.target_groups(&others).await?;
        // Looks again, now that all target groups are known.
        self.look().await?;
        self.refuse_groups_instances(&group.name)?;
        let mut warnings = found.warnings;
        warnings.extend(self.other_addresses());
        if self.updates.is_none() {
            self.usable_template(&revision).await?;
            warnings.extend(self.left_behind());
        }
        let name = group.name.clone();
        let mut groups = groups;
        groups.extend(other_groups);
        Ok(Target {
            id: self.primary_arn().to_owned(),
            name,
            kind: "target group",
            revision,
            restart: None,
            target_groups: groups,
            second: None,
            shifted_by: BTreeSet::new(),
            aliases: BTreeMap::new(),
            boot: None,
            scheduled: Vec::new(),
            hooks: Vec::new(),
            processes: Processes::default(),
            protects_new: false,
            no_surge: None,
            protected_by: None,
            blockers: found.blockers,
            no_auto_rollback: None,
            controller: None,
            options: BTreeMap::new(),
            warnings,
            warnings_of_long: self.aws.ends.warning(self.clock.0.wall()).into_iter().collect(),
        })
    }

    /// Refuses instances with termination protection. Otherwise the rollout would find it out only
    /// once an instance has drained and its replacement serves.
    async fn refuse_protected(&self) -> Result<(), ProviderError> {
        let ids: Vec<InstanceId> = {
            let known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let ours = known.iter().filter(|(_, known)| !known.tags.contains_key(IGNORE));
            ours.map(|(id, _)| id.clone()).collect()
        };
        let mut protected = Vec::new();
        for id in ids {
            let call = self.aws.ec2.describe_instance_attribute().instance_id(id.as_str());
            let sent = call.attribute(InstanceAttributeName::DisableApiTermination).send().await;
            let sent = sent.map_err(|error| from_sdk("ec2", "DescribeInstanceAttribute", &error));
            match sent {
                Ok(answer) => {
                    let value = answer.disable_api_termination.and_then(|value| value.value);
                    protected.extend((value == Some(true)).then(|| id.to_string()));
                }
                // The instance is gone, or does not show yet.
                Err(error) if error.code.as_deref() == Some(NOT_FOUND) => {}
                Err(error) => return Err(error),
            }
        }
        if protected.is_empty() {
            return Ok(());
        }
        let message = format!("protected from termination: {}", protected.join(", "));
        let error = ProviderError::invalid("check the instances", ARN, message).as_conflict();
        Err(error.with_remedy(
            "end their termination protection (ModifyInstanceAttribute), or tag them rolling:ignore",
        ))
    }

    /// Warns of what replacements do not get.
    fn left_behind(&self) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let all = known.iter().filter(|(_, known)| !known.stays.is_empty());
        let all = all.map(|(id, known)| format!("{id} ({})", known.stays.join(", ")));
        let all: Vec<String> = all.collect();
        let message = || {
            format!(
                "replacements get nothing of what these instances have for themselves: {}",
                all.join(", ")
            )
        };
        (!all.is_empty()).then(message).into_iter().collect()
    }

    /// Refuses instances of an Auto Scaling group: the group would launch another for each that is
    /// terminated.
    fn refuse_groups_instances(&self, name: &str) -> Result<(), ProviderError> {
        let known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let of_group = known.iter().find_map(|(id, known)| Some((id, known.tags.get(GROUP)?)));
        let Some((id, group)) = of_group else { return Ok(()) };
        let message = format!(
            "instance {id} of target group {name:?} belongs to auto scaling group {group:?}"
        );
        let error = ProviderError::invalid("check the instances", ARN, message);
        Err(error.with_remedy("roll the group instead: use auto_scaling_group as the target"))
    }
}
