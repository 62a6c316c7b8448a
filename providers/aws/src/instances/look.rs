//! One look at unmanaged instances: one call for the record, one for the target group's health, one
//! for the marked instances, and, before they are marked, one for every hundred others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use aws_sdk_ec2::types::{Filter, Instance as Ec2Instance};
use aws_sdk_elasticloadbalancingv2::types::TargetHealthDescription;
use rolling_provider::{
    Instance, InstanceId, Lifecycle, Observation, ProviderError, Revision, Tags, TargetGroupId,
    TargetHealth,
};

use super::convert::{lifecycle, revision};
use super::elsewhere;
use super::fleet::{InstanceDetails, InstancesFleet};
use super::keys::{LAUNCHED_FROM, MEMBER, PORTS, STANDS_FOR};
use crate::convert;
use crate::error::from_sdk;
use crate::in_place::InstanceDescription;
use crate::instances::convert::tags;
use crate::keys::{FAILED, IDS_A_CALL, IGNORE, OURS};

/// How many instances one answer holds at most.
const A_PAGE: i32 = 1000;
/// State reason of an instance that a user has ended.
const BY_A_USER: &str = "Client.UserInitiatedShutdown";

impl InstancesFleet {
    pub(super) async fn look(&self) -> Result<Observation, ProviderError> {
        let at = self.clock.0.now();
        let arn = self.primary_arn();
        let marked = Filter::builder().name(format!("tag:{MEMBER}")).values(arn).build();
        let arns = self.groups.get().cloned().unwrap_or_else(|| vec![arn.to_owned()]);
        let (record, targets, mut found) = tokio::try_join!(
            self.record(),
            self.aws.target_healths(&arns),
            self.instances(marked)
        )?;
        let mut targets = targets.into_iter();
        let first = targets.next().unwrap_or_default();
        let first = self.targets_by_id(arn, first, &mut found).await?;
        self.add_unmarked(&first, &mut found).await?;
        self.note_addresses(&found);
        let others = arns.iter().skip(1).zip(targets);
        let others = others.map(|(arn, targets)| self.targets_noted(arn, targets));
        let targets: Vec<_> = std::iter::once(first).chain(others).collect();
        let healths: Vec<_> = targets.iter().map(|targets| convert::health(targets)).collect();

        let mut instances = BTreeMap::new();
        let mut known = BTreeMap::new();
        let mut shown = BTreeMap::new();
        for described in &found {
            let Some(id) = described.instance_id().map(InstanceId::new) else { continue };
            let tags = tags(described);
            shown.insert(id.clone(), InstanceDescription::of(described));
            let of_groups = arns.iter().zip(&targets);
            known.insert(id.clone(), self.known(&id, described, &tags, of_groups));
            let targets = arns.iter().zip(&healths).filter_map(|(arn, health)| {
                Some((TargetGroupId::new(arn.as_str()), health.get(&id)?.clone()))
            });
            let mut made = instance(described, &tags, arn, targets.collect());
            made.launched_at = made.launched_at.map(|at| self.aws.skew.ours(at));
            if let Some(revision) = self.launched_from(&id, &tags) {
                made.revision = Some(revision);
            }
            instances.insert(id, made);
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        let mut look = Observation {
            controller: None,
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

    /// Adds the instances among `targets` that are not `found` yet.
    async fn add_unmarked(
        &self,
        targets: &[TargetHealthDescription],
        found: &mut Vec<Ec2Instance>,
    ) -> Result<(), ProviderError> {
        let seen: BTreeSet<&str> = found.iter().filter_map(|i| i.instance_id()).collect();
        let others = convert::health(targets).into_keys().map(|id| id.to_string());
        let others: Vec<String> = others.filter(|id| !seen.contains(id.as_str())).collect();
        for ids in others.chunks(IDS_A_CALL) {
            // A filter and not a list of ids: a target may be long gone from EC2.
            let these = Filter::builder().name("instance-id").set_values(Some(ids.to_vec()));
            found.extend(self.instances(these.build()).await?);
        }
        Ok(())
    }

    /// Returns what a replacement of this instance is to have.
    fn known<'a>(
        &self,
        id: &InstanceId,
        described: &Ec2Instance,
        tags: &BTreeMap<String, String>,
        of_groups: impl Iterator<Item = (&'a String, &'a Vec<TargetHealthDescription>)>,
    ) -> InstanceDetails {
        let ports = of_groups.map(|(arn, targets)| {
            let shown = Some(ports(targets, id)).filter(|ports| !ports.is_empty());
            (arn.clone(), shown.unwrap_or_else(|| self.noted_ports(tags, arn)))
        });
        InstanceDetails {
            subnet: described.subnet_id().map(str::to_owned),
            address: described.private_ip_address().map(str::to_owned),
            ports: ports.collect(),
            // Nothing takes the place of an instance that is left alone.
            stays: if tags.contains_key(IGNORE) { Vec::new() } else { stays(described) },
            tags: tags.clone(),
        }
    }

    async fn record(&self) -> Result<Tags, ProviderError> {
        let call = self.aws.elb.describe_tags().resource_arns(self.primary_arn());
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

    /// Returns what an instance was launched from, by this process, or by an earlier one where the
    /// cloud does not note it. What this process knows of its launches comes before what a look
    /// shows of them, which may be late.
    fn launched_from(&self, id: &InstanceId, tags: &BTreeMap<String, String>) -> Option<Revision> {
        let launched = self.launched.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = || tags.get(LAUNCHED_FROM).filter(|_| revision(tags).is_none());
        launched.get(id).cloned().or_else(|| noted().map(Revision::new))
    }

    /// Returns the ports that these tags note for a target group that the instance is not in now.
    fn noted_ports(&self, tags: &BTreeMap<String, String>, arn: &str) -> BTreeSet<i32> {
        let primary = arn == self.primary_arn();
        let noted = if primary { tags.get(PORTS) } else { tags.get(&elsewhere::key(arn)) };
        let noted = noted.map(String::as_str).unwrap_or_default();
        noted.split('+').filter_map(|port| port.parse().ok()).collect()
    }

    pub(super) async fn instances(
        &self,
        filter: Filter,
    ) -> Result<Vec<Ec2Instance>, ProviderError> {
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
        trouble: None,
        revision: revision(tags),
        zone: zone.unwrap_or_default().to_owned(),
        units: 1,
        lifecycle,
        in_lifecycle_hook: false,
        lifecycle_name: None,
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

/// Returns the ports that an instance is registered on.
fn ports(targets: &[TargetHealthDescription], id: &InstanceId) -> BTreeSet<i32> {
    let targets = targets.iter().filter_map(|described| described.target());
    targets.filter(|target| target.id() == Some(id.as_str())).filter_map(|t| t.port()).collect()
}

/// Returns what an instance has that its replacement does not get: addresses, network interfaces and
/// volumes that outlive it.
fn stays(described: &Ec2Instance) -> Vec<String> {
    let interfaces = described.network_interfaces();
    let elastic = interfaces.iter().filter_map(|interface| {
        let association = interface.association()?;
        // An address on loan from AWS has the owner "amazon", and each launch gets another one.
        let owner = association.ip_owner_id().filter(|owner| *owner != "amazon")?;
        let address = association.public_ip().filter(|_| !owner.is_empty())?;
        Some(format!("Elastic IP {address}"))
    });
    let attached = interfaces.iter().filter_map(|interface| {
        // One that AWS makes with the instance goes with it.
        let attachment = interface.attachment()?;
        let outlives = attachment.delete_on_termination() == Some(false);
        let id = interface.network_interface_id().filter(|_| outlives)?;
        Some(format!("network interface {id}"))
    });
    let secondary = interfaces.iter().flat_map(|interface| {
        let all = interface.private_ip_addresses().iter();
        let all = all.filter(|address| address.primary() == Some(false));
        all.filter_map(|it| Some(format!("secondary address {}", it.private_ip_address()?)))
    });
    let volumes = described.block_device_mappings().iter().filter_map(|device| {
        let volume = device.ebs().filter(|ebs| ebs.delete_on_termination() == Some(false))?;
        let is_root = device.device_name() == described.root_device_name();
        volume.volume_id().filter(|_| !is_root).map(|id| format!("volume {id}"))
    });
    elastic.chain(attached).chain(secondary).chain(volumes).collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{
        EbsInstanceBlockDevice, InstanceBlockDeviceMapping, InstanceNetworkInterface,
        InstanceNetworkInterfaceAssociation, InstanceNetworkInterfaceAttachment,
        InstancePrivateIpAddress,
    };

    use super::*;

    /// An instance with two interfaces and two volumes, which outlive it or go with it.
    fn described(owner: &str, outlives: bool) -> Ec2Instance {
        let association = InstanceNetworkInterfaceAssociation::builder()
            .public_ip("198.51.100.7")
            .ip_owner_id(owner);
        let address = |address: &str, primary| {
            let it = InstancePrivateIpAddress::builder().private_ip_address(address);
            it.primary(primary).build()
        };
        let addresses = [address("10.0.0.7", true), address("10.0.0.8", false)];
        let addresses = addresses.into_iter().take(1 + usize::from(outlives)).collect();
        let first = InstanceNetworkInterface::builder()
            .association(association.build())
            .set_private_ip_addresses(Some(addresses));
        let attachment = InstanceNetworkInterfaceAttachment::builder();
        let attachment = attachment.device_index(1).delete_on_termination(!outlives).build();
        let second = InstanceNetworkInterface::builder()
            .network_interface_id("eni-admin")
            .attachment(attachment)
            .private_ip_addresses(address("10.0.1.7", true));
        let device = |name: &str, volume: &str, goes: bool| {
            let ebs = EbsInstanceBlockDevice::builder();
            let ebs = ebs.volume_id(volume).delete_on_termination(goes).build();
            InstanceBlockDeviceMapping::builder().device_name(name).ebs(ebs).build()
        };
        Ec2Instance::builder()
            .network_interfaces(first.build())
            .network_interfaces(second.build())
            .root_device_name("/dev/xvda")
            .block_device_mappings(device("/dev/xvda", "vol-root", false))
            .block_device_mappings(device("/dev/sdf", "vol-data", !outlives))
            .build()
    }

    #[test]
    fn what_a_replacement_does_not_get_is_named_and_what_each_launch_gets_is_not() {
        assert_eq!(stays(&described("amazon", false)), Vec::<String>::new());
        let named = [
            "Elastic IP 198.51.100.7",
            "network interface eni-admin",
            "secondary address 10.0.0.8",
            "volume vol-data",
        ];
        assert_eq!(stays(&described("123456789012", true)), named);
    }
}
