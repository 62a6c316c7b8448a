//! One look at plain instances: one call for the record, one for the target group's health, one
//! for the marked instances, and, before they are marked, one for every hundred others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use aws_sdk_ec2::types::{Filter, Instance as Ec2Instance, InstanceStateName};
use aws_sdk_elasticloadbalancingv2::types::TargetHealthDescription;
use rolling_provider::{
    Instance, InstanceId, Lifecycle, Observation, ProviderError, Revision, Tags, TargetGroupId,
    TargetHealth,
};

use super::{InstancesFleet, Known, MEMBER, PORTS, STANDS_FOR};
use crate::convert;
use crate::error::from_sdk;
use crate::in_place::Shown;
use crate::observe::{FAILED, IDS_A_CALL, IGNORE, OURS};

/// Instances that one answer holds at most.
const A_PAGE: i32 = 1000;
/// Why an instance ended that somebody ended.
const BY_A_USER: &str = "Client.UserInitiatedShutdown";

impl InstancesFleet {
    pub(super) async fn look(&self) -> Result<Observation, ProviderError> {
        let at = self.clock.0.now();
        let arn = &self.instances.arn;
        let marked = Filter::builder().name(format!("tag:{MEMBER}")).values(arn).build();
        let (record, targets, mut found) =
            tokio::try_join!(self.record(), self.targets(), self.instances(marked))?;
        let healths = convert::health(&targets);
        let ports = ports(&targets);
        let seen: BTreeSet<&str> = found.iter().filter_map(|i| i.instance_id()).collect();
        let others = healths.keys().map(ToString::to_string);
        let others: Vec<String> = others.filter(|id| !seen.contains(id.as_str())).collect();
        for ids in others.chunks(IDS_A_CALL) {
            // A filter and not a list of ids: a target may be long gone from EC2.
            let these = Filter::builder().name("instance-id").set_values(Some(ids.to_vec()));
            found.extend(self.instances(these.build()).await?);
        }

        let group = TargetGroupId::new(arn.as_str());
        let mut instances = BTreeMap::new();
        let mut known = BTreeMap::new();
        let mut shown = BTreeMap::new();
        for described in &found {
            let Some(id) = described.instance_id().map(InstanceId::new) else { continue };
            let tags = tags(described);
            let health = healths.get(&id).cloned();
            shown.insert(id.clone(), Shown::of(described));
            known.insert(
                id.clone(),
                Known {
                    subnet: described.subnet_id().map(str::to_owned),
                    ports: ports.get(&id).cloned().unwrap_or_else(|| noted_ports(&tags)),
                    tags: tags.clone(),
                },
            );
            let targets = health.map(|health| (group.clone(), health)).into_iter().collect();
            let mut made = instance(described, &tags, arn, targets);
            made.launched_at = made.launched_at.map(|at| self.aws.skew.ours(at));
            instances.insert(id, made);
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        let mut look = Observation {
            at,
            instances,
            capacity: None,
            template: None,
            shifted: None,
            reserve: BTreeMap::new(),
            suspended: BTreeSet::new(),
            record,
        };
        if let Some(updates) = &self.updates {
            updates.show(&self.aws, &shown, &mut look).await?;
        }
        Ok(look)
    }

    async fn record(&self) -> Result<Tags, ProviderError> {
        let call = self.aws.elb.describe_tags().resource_arns(&self.instances.arn);
        let answer = call
            .send()
            .await
            .map_err(|error| from_sdk("elasticloadbalancing", "DescribeTags", &error))?;
        let tags = answer.tag_descriptions().iter().flat_map(|described| described.tags());
        let tags = tags.filter_map(|tag| {
            Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))
        });
        Ok(tags.filter(|(key, _)| key.starts_with(OURS)).collect())
    }

    async fn targets(&self) -> Result<Vec<TargetHealthDescription>, ProviderError> {
        let call = self.aws.elb.describe_target_health().target_group_arn(&self.instances.arn);
        let answer = call
            .send()
            .await
            .map_err(|error| from_sdk("elasticloadbalancing", "DescribeTargetHealth", &error))?;
        Ok(answer.target_health_descriptions.unwrap_or_default())
    }

    async fn instances(&self, filter: Filter) -> Result<Vec<Ec2Instance>, ProviderError> {
        let call = self.aws.ec2.describe_instances().filters(filter).max_results(A_PAGE);
        let mut pages = call.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| from_sdk("ec2", "DescribeInstances", &error))?;
            let reservations = page.reservations.unwrap_or_default().into_iter();
            found.extend(reservations.flat_map(|r| r.instances.unwrap_or_default()));
        }
        Ok(found)
    }
}

fn instance(
    described: &Ec2Instance,
    tags: &BTreeMap<String, String>,
    arn: &str,
    targets: BTreeMap<TargetGroupId, TargetHealth>,
) -> Instance {
    let lifecycle = lifecycle(described);
    let zone = described.placement().and_then(|placement| placement.availability_zone());
    let reason = described
        .state_reason()
        .filter(|reason| lifecycle == Lifecycle::Terminating && reason.code() != Some(BY_A_USER));
    Instance {
        revision: revision(tags),
        zone: zone.unwrap_or_default().to_owned(),
        lifecycle,
        held: false,
        healthy: true,
        launched_at: convert::timestamp(described.launch_time()),
        protected: false,
        ignored: tags.contains_key(IGNORE),
        failed_in: tags.get(FAILED).cloned(),
        owned: tags.get(MEMBER).is_some_and(|of| of == arn),
        stands_for: tags.get(STANDS_FOR).map(InstanceId::new),
        ended: reason.and_then(|reason| reason.message()).map(str::to_owned),
        update: None,
        targets,
    }
}

/// A stopped instance has been set aside by somebody.
fn lifecycle(described: &Ec2Instance) -> Lifecycle {
    match described.state().and_then(|state| state.name()) {
        Some(InstanceStateName::Running) => Lifecycle::InService,
        Some(InstanceStateName::Stopped | InstanceStateName::Stopping) => Lifecycle::Standby,
        Some(InstanceStateName::Pending) => Lifecycle::Pending,
        _ => Lifecycle::Terminating,
    }
}

/// What EC2 itself notes on what is launched from a launch template.
pub(super) fn revision(tags: &BTreeMap<String, String>) -> Option<Revision> {
    let template = tags.get("aws:ec2launchtemplate:id")?;
    Some(convert::revision(template, tags.get("aws:ec2launchtemplate:version")?))
}

fn tags(described: &Ec2Instance) -> BTreeMap<String, String> {
    let tags = described.tags().iter();
    tags.filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
        .collect()
}

fn ports(targets: &[TargetHealthDescription]) -> BTreeMap<InstanceId, BTreeSet<i32>> {
    let mut ports: BTreeMap<InstanceId, BTreeSet<i32>> = BTreeMap::new();
    for target in targets.iter().filter_map(|described| described.target()) {
        if let (Some(id), Some(port)) = (target.id(), target.port()) {
            ports.entry(InstanceId::new(id)).or_default().insert(port);
        }
    }
    ports
}

fn noted_ports(tags: &BTreeMap<String, String>) -> BTreeSet<i32> {
    let noted = tags.get(PORTS).map(String::as_str).unwrap_or_default();
    noted.split('+').filter_map(|port| port.parse().ok()).collect()
}
