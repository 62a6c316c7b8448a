//! Launches one instance like another: in its subnet, with its tags, from a launch template.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use aws_sdk_ec2::types::{
    InstanceNetworkInterfaceSpecification, LaunchTemplateInstanceNetworkInterfaceSpecification,
    LaunchTemplateSpecification, ResourceType, ResponseLaunchTemplateData, Tag, TagSpecification,
};
use rolling_provider::{Effect, ErrorKind, InstanceId, ProviderError, Revision};

use super::convert::revision;
use super::elsewhere;
use super::fleet::{InstanceDetails, InstancesFleet};
use super::keys::{LAUNCHED_FROM, MEMBER, PORTS, STANDS_FOR, TEMPLATE};
use crate::convert::parts;
use crate::error::from_sdk;
use crate::instances::fleet::Template;
use crate::keys::OURS;

/// Prefix of tags that belong to AWS and cannot be set.
const AWS: &str = "aws:";
const OPERATION: &str = "RunInstances";
/// Error code of EC2 where the instance of a token is gone.
const GONE: &str = "IdempotentInstanceTerminated";
/// Error code of EC2 where a token was used before with a slightly different request: the tags of
/// the source instance may have changed since. It only means that the launch took place.
const LAUNCHED: &str = "IdempotentParameterMismatch";

impl InstancesFleet {
    /// Returns the template version of `revision`, to launch from.
    ///
    /// # Errors
    /// When it has something that only one instance at a time can have.
    pub(super) async fn usable_template(
        &self,
        revision: &Revision,
    ) -> Result<Arc<Template>, ProviderError> {
        let template = self.template(revision).await?;
        let Some(what) = template.unsupported else { return Ok(template) };
        let message = format!("launch template version {revision} {what}");
        let error = ProviderError::invalid("check the template", TEMPLATE, message);
        Err(error.with_remedy("leave it out of the template"))
    }

    async fn template(&self, revision: &Revision) -> Result<Arc<Template>, ProviderError> {
        let known = self.known_template(revision);
        if let Some(template) = known {
            return Ok(template);
        }
        let (id, version) = split(revision)?;
        let call = self.aws.ec2.describe_launch_template_versions();
        let answer = call
            .launch_template_id(id)
            .versions(version)
            .send()
            .await
            .map_err(|error| from_sdk("ec2", "DescribeLaunchTemplateVersions", &error))?;
        let data = answer.launch_template_versions().first().and_then(|v| v.launch_template_data());
        let template = Arc::new(data.map_or_else(Template::default, template));
        let mut known = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(revision.clone(), Arc::clone(&template));
        Ok(template)
    }

    fn known_template(&self, revision: &Revision) -> Option<Arc<Template>> {
        let known = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(revision).map(Arc::clone)
    }

    pub(super) async fn launch(
        &self,
        revision: &Revision,
        source_instance: &InstanceId,
        token: &str,
    ) -> Result<(), ProviderError> {
        let template = self.usable_template(revision).await?;
        let known =
            self.known.lock().unwrap_or_else(PoisonError::into_inner).get(source_instance).cloned();
        let Some(known) = known else {
            let message =
                format!("{source_instance}, which the new instance is to be like, is not known");
            let error = ProviderError::invalid(OPERATION, "", message);
            return Err(ProviderError {
                kind: ErrorKind::Transient,
                effect: Effect::NotApplied,
                attribute: None,
                ..error
            });
        };
        let (id, version) = split(revision)?;
        let from =
            LaunchTemplateSpecification::builder().launch_template_id(id).version(version).build();
        let tags = self.tags(&template, &known, source_instance, revision).await?.into_iter();
        let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::Instance)
            .set_tags(Some(tags.collect()))
            .build();
        let call = self.aws.ec2.run_instances().min_count(1).max_count(1);
        let call = call.launch_template(from).client_token(token).tag_specifications(tags);
        let call = if template.interfaces.is_empty() {
            call.set_subnet_id(known.subnet.clone())
        } else {
            let interfaces = template.interfaces.iter().cloned().map(|mut interface| {
                interface.subnet_id.clone_from(&known.subnet);
                interface
            });
            call.set_network_interfaces(Some(interfaces.collect()))
        };
        let error = match call.send().await {
            Ok(answer) => {
                let id = answer.instances().first().and_then(|launched| launched.instance_id());
                let mut launched = self.launched.lock().unwrap_or_else(PoisonError::into_inner);
                launched.extend(id.map(|id| (InstanceId::new(id), revision.clone())));
                return Ok(());
            }
            Err(error) => error,
        };
        let error = from_sdk("ec2", OPERATION, &error);
        match error.code.as_deref() {
            Some(LAUNCHED) => Ok(()),
            Some(GONE) => Err(ProviderError { kind: ErrorKind::TokenAlreadyUsed, ..error }),
            _ => Err(error),
        }
    }

    /// Returns the tags that the owner gave `known`, and ours. Tags from its own
    /// launch template or from the new one are left out: the templates set them.
    async fn tags(
        &self,
        template: &Template,
        known: &InstanceDetails,
        source_instance: &InstanceId,
        from: &Revision,
    ) -> Result<BTreeMap<String, String>, ProviderError> {
        let own = match revision(&known.tags) {
            Some(revision) => self.template(&revision).await,
            None => Ok(Arc::default()),
        };
        let is_gone = |code: &str| code.starts_with("InvalidLaunchTemplate");
        let own = own.or_else(|error| match error.code.as_deref().is_some_and(is_gone) {
            true => Ok(Arc::default()),
            false => Err(error),
        })?;
        let mut tags = known.tags.clone();
        tags.retain(|key, _| {
            let is_ours = key.starts_with(AWS) || key.starts_with(OURS);
            !is_ours && !template.tags.contains(key) && !own.tags.contains(key)
        });
        for (key, value) in self.aws.default_tags.iter() {
            if !template.tags.contains(key) {
                tags.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        tags.extend(self.marks(known));
        tags.insert(MEMBER.into(), self.primary_arn().to_owned());
        tags.insert(STANDS_FOR.into(), source_instance.to_string());
        tags.insert(LAUNCHED_FROM.into(), from.to_string());
        Ok(tags)
    }
}

impl InstancesFleet {
    /// Returns the tags that note the ports of an instance, in each of its target groups.
    pub(super) fn marks(&self, known: &InstanceDetails) -> BTreeMap<String, String> {
        let primary = self.primary_arn();
        let key = |arn: &str| if arn == primary { PORTS.into() } else { elsewhere::key(arn) };
        known.ports.iter().map(|(arn, ports)| (key(arn), joined(ports))).collect()
    }
}

/// Formats ports for the tag.
fn joined(ports: &BTreeSet<i32>) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<_>>().join("+")
}

fn split(revision: &Revision) -> Result<(&str, &str), ProviderError> {
    parts(revision).ok_or_else(|| {
        let message = format!("{revision} is not a launch template version");
        ProviderError::invalid(OPERATION, TEMPLATE, message)
    })
}

fn template(data: &ResponseLaunchTemplateData) -> Template {
    let given = data.tag_specifications().iter();
    let given = given.filter(|given| given.resource_type() == Some(&ResourceType::Instance));
    let keys = given.flat_map(|given| given.tags()).filter_map(|tag| tag.key());
    Template {
        tags: keys.map(str::to_owned).collect(),
        interfaces: data.network_interfaces().iter().map(interface).collect(),
        unsupported: data.network_interfaces().iter().find_map(unsupported),
    }
}

/// Returns what a network interface of a template has that only one instance can have, or that a
/// launch that names the subnet could not carry over.
fn unsupported(
    given: &LaunchTemplateInstanceNetworkInterfaceSpecification,
) -> Option<&'static str> {
    let one = [
        (given.network_interface_id().is_some(), "names a network interface that exists"),
        (given.private_ip_address().is_some(), "fixes a private IP address"),
        (!given.private_ip_addresses().is_empty(), "fixes private IP addresses"),
        (!given.ipv6_addresses().is_empty(), "fixes IPv6 addresses"),
        (given.ipv4_prefixes.is_some(), "fixes IPv4 prefixes"),
        (given.ipv6_prefixes.is_some(), "fixes IPv6 prefixes"),
        (
            given.ena_srd_specification.is_some(),
            "sets ENA Express on a network interface, which is not supported",
        ),
        (
            given.connection_tracking_specification.is_some(),
            "sets connection tracking on a network interface, which is not supported",
        ),
    ];
    one.into_iter().find(|(has, _)| *has).map(|(_, what)| what)
}

/// Converts a network interface to that of a request; the subnet is set later.
fn interface(
    given: &LaunchTemplateInstanceNetworkInterfaceSpecification,
) -> InstanceNetworkInterfaceSpecification {
    InstanceNetworkInterfaceSpecification::builder()
        .set_associate_carrier_ip_address(given.associate_carrier_ip_address)
        .set_associate_public_ip_address(given.associate_public_ip_address)
        .set_delete_on_termination(given.delete_on_termination)
        .set_description(given.description.clone())
        .set_device_index(given.device_index)
        .set_ena_queue_count(given.ena_queue_count)
        .set_groups(given.groups.clone())
        .set_interface_type(given.interface_type.clone())
        .set_ipv4_prefix_count(given.ipv4_prefix_count)
        .set_ipv6_address_count(given.ipv6_address_count)
        .set_ipv6_prefix_count(given.ipv6_prefix_count)
        .set_network_card_index(given.network_card_index)
        .set_primary_ipv6(given.primary_ipv6)
        .set_secondary_private_ip_address_count(given.secondary_private_ip_address_count)
        .build()
}
