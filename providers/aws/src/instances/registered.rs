//! The one place that translates between instances and the targets of a target group: their ids, or
//! in a target group of type `ip` their primary private addresses.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use aws_sdk_ec2::types::{Filter, Instance as Ec2Instance};
use aws_sdk_elasticloadbalancingv2::types::{TargetDescription, TargetHealthDescription};
use rolling_provider::{InstanceId, ProviderError, TargetGroupId};

use super::by_address::inside;
use super::fleet::InstancesFleet;
use super::keys::ARN;
use crate::keys::IDS_A_CALL;

impl InstancesFleet {
    /// Notes which of the target groups that are looked up are of type `ip`.
    pub(super) fn note_by_address(&self, groups: BTreeSet<String>, vpc: Option<String>) {
        let mut known = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        known.groups.extend(groups);
        known.vpc = vpc.or(known.vpc.take());
    }

    /// Returns the `targets` of the target group `arn` by the ids of their instances. `found` are the
    /// instances that are known so far; those that are not are added.
    pub(super) async fn targets_by_id(
        &self,
        arn: &str,
        targets: Vec<TargetHealthDescription>,
        found: &mut Vec<Ec2Instance>,
    ) -> Result<Vec<TargetHealthDescription>, ProviderError> {
        let mut known = self.by_address.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !known.groups.contains(arn) {
            return Ok(targets);
        }
        known.note(found);
        for addresses in known.unknown(&targets).chunks(IDS_A_CALL) {
            let these = Filter::builder().name("private-ip-address");
            let these = these.set_values(Some(addresses.to_vec())).build();
            let of_vpc = |it: &Ec2Instance| known.vpc.is_none() || it.vpc_id == known.vpc;
            found.extend(self.instances(these).await?.into_iter().filter(of_vpc));
        }
        known.note(found);
        let outside = targets.iter().filter(|it| inside(it).is_none());
        let outside = outside.filter_map(|it| it.target()?.id().map(str::to_owned));
        known.others = outside.chain(known.unknown(&targets)).collect();
        let named = known.with_ids(targets);
        *self.by_address.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(named)
    }

    /// Notes the addresses of `found`, which are all instances of the fleet.
    pub(super) fn note_addresses(&self, found: &[Ec2Instance]) {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner).note(found);
    }

    /// Returns the `targets` of the target group `arn` by the ids of the instances whose addresses
    /// are noted.
    pub(super) fn targets_noted(
        &self,
        arn: &str,
        targets: Vec<TargetHealthDescription>,
    ) -> Vec<TargetHealthDescription> {
        let known = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        match known.groups.contains(arn) {
            true => known.with_ids(targets),
            false => targets,
        }
    }

    /// Returns the targets of one target group by the ids of the instances that the last look
    /// showed.
    ///
    /// # Errors
    /// Those of `DescribeTargetHealth`.
    pub(super) async fn targets_known(
        &self,
        arn: &str,
    ) -> Result<Vec<TargetHealthDescription>, ProviderError> {
        let mut found = self.aws.target_healths(&[arn.to_owned()]).await?;
        Ok(self.targets_noted(arn, found.pop().unwrap_or_default()))
    }

    /// Returns each instance as a target of `group`, on each of its ports. Without ports AWS takes
    /// the target group's own, and leaves a target that is registered on another port alone. An
    /// instance without an address is left out: it is no target.
    pub(super) fn targets_of(
        &self,
        group: &TargetGroupId,
        instances: &BTreeSet<InstanceId>,
    ) -> Vec<TargetDescription> {
        let by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let by_address = by_address.groups.contains(group.as_str());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut targets = Vec::new();
        for id in instances {
            let known = known.get(id);
            let name = match by_address {
                true => known.and_then(|known| known.address.as_deref()),
                false => Some(id.as_str()),
            };
            let Some(name) = name else { continue };
            let target = || TargetDescription::builder().id(name);
            let ports = known.and_then(|known| known.ports.get(group.as_str()));
            match ports.filter(|ports| !ports.is_empty()) {
                Some(ports) => {
                    targets.extend(ports.iter().map(|port| target().port(*port).build()))
                }
                None => targets.push(target().build()),
            }
        }
        targets
    }

    /// Warns of targets that no instance stands for.
    pub(super) fn other_addresses(&self) -> Option<String> {
        let known = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let others: Vec<&str> = known.others.iter().map(String::as_str).collect();
        (!others.is_empty()).then(|| {
            format!(
                "{ARN}: no instance of the VPC has these targets as its primary private address, and \
                 they are left alone: {}",
                others.join(", ")
            )
        })
    }
}
