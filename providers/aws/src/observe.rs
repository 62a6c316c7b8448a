//! One look at a group.
//!
//! It takes one call for the group, one for each target group, and now and then one for instances
//! that are new to us.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use aws_sdk_autoscaling::types::{AutoScalingGroup as SdkGroup, Instance as SdkInstance};
use aws_sdk_ec2::types::{Filter, Instance as Ec2Instance};
use rolling_provider::{
    Activity, ActivityKind, Capacity, ErrorKind, Instance, InstanceId, Lifecycle, Observation,
    ProviderError, Revision, Tags, TargetGroupId, TargetHealth, Timestamp, Units,
};

use crate::emulator::Shape;
use crate::error::from_sdk;
use crate::group::{AutoScalingGroupFleet, Details};
use crate::in_place::InstanceDescription;
use crate::keys::{FAILED, IDS_A_CALL, IGNORE, OURS};
use crate::{convert, mixed};

impl AutoScalingGroupFleet {
    pub(crate) async fn look(&self) -> Result<Observation, ProviderError> {
        let at = self.clock.0.now();
        let primary = self.target_groups.get().cloned().unwrap_or_default();
        let shares = self.shares(&primary);
        let mut arns = primary.clone();
        let is_there = self.resolved.second.get().is_none_or(|second| second.is_there);
        let second = self.group.traffic.iter().filter(|_| is_there);
        arns.extend(second.map(|it| it.second_target_group_arn.clone()));
        let (group, healths, shifted) =
            tokio::try_join!(self.describe_to_look(), self.healths(&arns), shares)?;
        let (reserve, ()) = tokio::try_join!(self.reserve(&group), self.learn(&group))?;
        let launched_from = self.launched_from(&group).await?;
        self.remember(&group);
        self.lately.looked_at(&group, at);

        let details = self.details.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = |id: &InstanceId| (details.get(id), launched_from.get(id));
        let instances = group.instances().iter().filter_map(|described| {
            let id = InstanceId::new(described.instance_id().unwrap_or_default());
            let targets = healths
                .iter()
                .filter_map(|(group, health)| Some((group.clone(), health.get(&id)?.clone())));
            let instance = self.instance(described, known(&id), targets.collect())?;
            Some((id, instance))
        });
        let instances = instances.collect();
        let suspended = group.suspended_processes().iter();
        let mut look = Observation {
            controller: None,
            at,
            instances,
            capacity: Some(capacity(&group)),
            reserve,
            template: mixed::template(&group).and_then(convert::specified),
            shifted,
            suspended: suspended.filter_map(|p| p.process_name()).map(str::to_owned).collect(),
            record: record(&group),
        };
        if let Some(updates) = &self.updates {
            let shown = details.into_iter().map(|(id, details)| (id, details.shown)).collect();
            updates.show(&self.aws, &shown, &mut look).await?;
        }
        Ok(look)
    }

    fn instance(
        &self,
        described: &SdkInstance,
        (known, launched_from): (Option<&Details>, Option<&Option<Revision>>),
        targets: BTreeMap<TargetGroupId, TargetHealth>,
    ) -> Option<Instance> {
        Some(Instance {
            revision: match launched_from {
                Some(found) => found.clone(),
                None => convert::instance_revision(described),
            },
            zone: described.availability_zone().unwrap_or_default().to_owned(),
            units: mixed::weight(described),
            lifecycle: convert::lifecycle(described.lifecycle_state())?,
            in_lifecycle_hook: convert::is_held(described.lifecycle_state()),
            lifecycle_name: described.lifecycle_state().map(|state| state.as_str().to_owned()),
            healthy: described.health_status() == Some("Healthy"),
            launched_at: known.and_then(|k| k.launched_at).map(|at| self.aws.skew.ours(at)),
            protected: described.protected_from_scale_in().unwrap_or_default(),
            ignored: known.is_some_and(|known| known.ignored),
            failed_in: known.and_then(|known| known.failed_in.clone()),
            targets,
            ..Instance::serving(None, [])
        })
    }

    /// Returns the group as read a moment ago to resolve the target, or else reads it now.
    async fn describe_to_look(&self) -> Result<SdkGroup, ProviderError> {
        match self.lately.to_look(self.clock.0.now()) {
            Some(group) => Ok(group),
            None => self.describe().await,
        }
    }

    /// Reads the group as it is.
    pub(crate) async fn describe(&self) -> Result<SdkGroup, ProviderError> {
        let name = self.group.name.as_str();
        let call = self.aws.autoscaling.describe_auto_scaling_groups();
        let answer = call
            .auto_scaling_group_names(name)
            .send()
            .await
            .map_err(|error| from_sdk("autoscaling", "DescribeAutoScalingGroups", &error))?;
        let groups = answer.auto_scaling_groups.unwrap_or_default();
        groups.into_iter().next().ok_or_else(|| {
            let message =
                format!("auto scaling group {name:?} does not exist in {}", self.aws.region);
            let error = ProviderError {
                kind: ErrorKind::Missing,
                ..ProviderError::invalid(
                    "DescribeAutoScalingGroups",
                    "auto_scaling_group/name",
                    message,
                )
            };
            error.with_remedy("check the name, the region and the account of the credentials")
        })
    }

    /// Returns the listener rules that can shift requests, once the target is resolved.
    pub(crate) fn rules(&self) -> &[String] {
        self.resolved.second.get().map_or(&[][..], |second| &second.rules)
    }

    async fn shares(&self, arns: &[String]) -> Result<Option<BTreeSet<u32>>, ProviderError> {
        match (&self.group.traffic, arns) {
            (Some(traffic), [first, ..]) => {
                self.aws.shares(traffic, first, self.rules()).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Remembers what later calls need of the group.
    fn remember(&self, group: &SdkGroup) {
        let policy = group.mixed_instances_policy().cloned();
        *self.mixed.lock().unwrap_or_else(PoisonError::into_inner) = policy;
        let going = group.instances().iter().filter(|instance| {
            convert::lifecycle(instance.lifecycle_state()) == Some(Lifecycle::Terminating)
        });
        let going = going.filter_map(|i| i.instance_id()).map(InstanceId::new).collect();
        *self.going.lock().unwrap_or_else(PoisonError::into_inner) = going;
    }

    /// Returns the instances in the group's warm pool, if it has one, that are not terminating.
    async fn reserve(
        &self,
        group: &SdkGroup,
    ) -> Result<BTreeMap<InstanceId, Option<Revision>>, ProviderError> {
        let mut reserve = BTreeMap::new();
        if group.warm_pool_configuration().is_none() {
            return Ok(reserve);
        }
        let call = self.aws.autoscaling.describe_warm_pool();
        let mut pages =
            call.auto_scaling_group_name(&self.group.name).into_paginator().items().send();
        while let Some(instance) = pages.next().await {
            let instance =
                instance.map_err(|error| from_sdk("autoscaling", "DescribeWarmPool", &error))?;
            let state = instance.lifecycle_state().map_or("", |state| state.as_str());
            if let Some(id) = instance.instance_id().filter(|_| !state.contains("Terminat")) {
                reserve.insert(InstanceId::new(id), convert::instance_revision(&instance));
            }
        }
        Ok(reserve)
    }

    async fn healths(
        &self,
        arns: &[String],
    ) -> Result<Vec<(TargetGroupId, BTreeMap<InstanceId, TargetHealth>)>, ProviderError> {
        let found = self.aws.target_healths(arns).await?;
        let away = found.iter().flat_map(|targets| convert::shifted_away(targets)).collect();
        *self.shifted_away.lock().unwrap_or_else(PoisonError::into_inner) = away;
        let ids = arns.iter().map(TargetGroupId::new);
        Ok(ids.zip(found).map(|(id, targets)| (id, convert::health(&targets))).collect())
    }

    /// Asks EC2 about instances that are new to us.
    pub(crate) async fn learn(&self, group: &SdkGroup) -> Result<(), ProviderError> {
        let listed: BTreeSet<InstanceId> =
            group.instances().iter().filter_map(|i| i.instance_id()).map(InstanceId::new).collect();
        let new: Vec<String> = {
            let mut details = self.details.lock().unwrap_or_else(PoisonError::into_inner);
            // The state of updates is in tags that change.
            details.retain(|id, _| listed.contains(id) && self.updates.is_none());
            let unknown = listed.iter().filter(|id| !details.contains_key(*id));
            unknown.map(ToString::to_string).collect()
        };
        for ids in new.chunks(IDS_A_CALL) {
            // A filter and not a list of ids: EC2 may not know yet what the group has launched, or
            // no longer know what it still lists, and one such id in a list fails the whole call.
            // The next look asks again for those that are not found.
            let these = Filter::builder().name("instance-id").set_values(Some(ids.to_vec()));
            let call = self.aws.ec2.describe_instances().filters(these.build());
            // Filtered answers come in pages, and a page may be empty without being the last.
            let mut pages = call.into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| from_sdk("ec2", "DescribeInstances", &error))?;
                let mut details = self.details.lock().unwrap_or_else(PoisonError::into_inner);
                for instance in page.reservations().iter().flat_map(|r| r.instances()) {
                    if let Some(id) = instance.instance_id() {
                        details.insert(InstanceId::new(id), learned(instance));
                    }
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn activities_since(
        &self,
        since: Timestamp,
    ) -> Result<Vec<Activity>, ProviderError> {
        let call = self.aws.autoscaling.describe_scaling_activities();
        let answer =
            call.auto_scaling_group_name(&self.group.name)
                .max_records(100)
                .send()
                .await
                .map_err(|error| from_sdk("autoscaling", "DescribeScalingActivities", &error))?;
        let activities = answer.activities().iter().map(convert::activity);
        Ok(activities.filter(|a| a.at >= since || a.kind == ActivityKind::Launching).collect())
    }
}

/// Returns our tags of `group`.
pub(crate) fn record(group: &SdkGroup) -> Tags {
    group
        .tags()
        .iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
        .filter(|(key, _)| key.starts_with(OURS))
        .collect()
}

fn learned(instance: &Ec2Instance) -> Details {
    let failed = instance.tags().iter().find(|tag| tag.key() == Some(FAILED));
    Details {
        launched_at: convert::timestamp(instance.launch_time()),
        ignored: instance.tags().iter().any(|tag| tag.key() == Some(IGNORE)),
        failed_in: failed.and_then(|tag| tag.value()).map(str::to_owned),
        shown: InstanceDescription::of(instance),
        shape: Shape::of_instance(instance),
    }
}

fn size(size: Option<i32>) -> u32 {
    size.and_then(|size| u32::try_from(size).ok()).unwrap_or_default()
}

fn capacity(group: &SdkGroup) -> Capacity {
    let desired = size(group.desired_capacity());
    let is_weighted = mixed::is_weighted(group);
    Capacity {
        // The limits of a weighted group are in units, which do not compare to instances.
        min: if is_weighted { 0 } else { size(group.min_size()) },
        max: size(group.max_size()),
        desired: if is_weighted { mixed::instances(group, desired) } else { desired },
        units: is_weighted.then(|| Units { desired, heaviest: mixed::heaviest(group) }),
    }
}
