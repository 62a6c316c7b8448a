//! Replaces root volumes, by tasks of EC2.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    DeviceType, Filter, Image, Instance, ProductCode, ReplaceRootVolumeTask,
    ReplaceRootVolumeTaskState, ResourceType, Tag, TagSpecification,
};
use rolling_provider::{InstanceId, ProviderError, Revision, UpdateState};

use crate::connect::Aws;
use crate::error::from_sdk;
use crate::keys::IDS_A_CALL;

pub(super) const IMAGE: &str = "replacement/replace_root_volume/image_id";
/// Tag of a task, with the token of its update.
const TOKEN: &str = "rolling:token";

/// Requests new root volumes for `ids`, and adds each instance to `begun`. A task that was
/// requested before is not requested again.
pub(super) async fn replace(
    aws: &Aws,
    ids: &[String],
    (to, token): (&Revision, &str),
    begun: &mut BTreeSet<String>,
) -> Result<(), ProviderError> {
    for id in ids {
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::ReplaceRootVolumeTask)
            .tags(Tag::builder().key(TOKEN).value(token).build())
            .build();
        let call = aws.ec2.create_replace_root_volume_task().instance_id(id);
        let call = call.image_id(to.as_str()).delete_replaced_root_volume(true);
        // At most 64 characters.
        let sent = call.client_token(format!("{token}-{id}")).tag_specifications(tags).send().await;
        sent.map_err(|error| from_sdk("ec2", "CreateReplaceRootVolumeTask", &error))?;
        begun.insert(id.clone());
    }
    Ok(())
}

/// Refuses instances whose root volume EC2 would not replace from `image`: EC2 finds that out only
/// when it is asked to, with the instance out of rotation.
///
/// # Errors
/// Those of the calls, and an error that names an instance and what it differs in.
pub(super) async fn refuse_other_kinds(
    aws: &Aws,
    ids: &[String],
    image: &str,
) -> Result<(), ProviderError> {
    let sent = aws.ec2.describe_images().image_ids(image).send().await;
    let answer = sent.map_err(|error| from_sdk("ec2", "DescribeImages", &error))?;
    let Some(image) = answer.images().first() else { return Ok(()) };
    for ids in ids.chunks(IDS_A_CALL) {
        let these = Filter::builder().name("instance-id").set_values(Some(ids.to_vec()));
        let mut pages = aws.ec2.describe_instances().filters(these.build()).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| from_sdk("ec2", "DescribeInstances", &error))?;
            for instance in page.reservations().iter().flat_map(|r| r.instances()) {
                let Some(why) = differs(image, instance) else { continue };
                let (id, name) = (instance.instance_id(), image.image_id());
                let message = format!(
                    "the root volume of {} cannot be replaced from image {}: {why}",
                    id.unwrap_or_default(),
                    name.unwrap_or_default()
                );
                let error = ProviderError::invalid("check the instances", IMAGE, message);
                return Err(error.with_remedy(
                    "use an image like the instances' own, or replace the instances",
                ));
            }
        }
    }
    Ok(())
}

/// Returns why EC2 would not take the image. "The AMI must have the same product code, billing
/// information, architecture type, and virtualization type as the instance", and a root volume is
/// of EBS: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/replace-root.html>.
fn differs(image: &Image, instance: &Instance) -> Option<String> {
    let pair = |what: &str, image: Option<&str>, own: Option<&str>| {
        let (image, own) = image.zip(own).filter(|(image, own)| image != own)?;
        Some(format!("its {what} is {image}, and the instance's {own}"))
    };
    let codes = |codes: &[ProductCode]| {
        let codes = codes.iter().filter_map(|code| code.product_code_id());
        codes.map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let (of_image, own) = (codes(image.product_codes()), codes(instance.product_codes()));
    let root = |root: Option<&DeviceType>| root.is_some_and(|root| *root != DeviceType::Ebs);
    pair(
        "architecture",
        image.architecture().map(|it| it.as_str()),
        instance.architecture().map(|it| it.as_str()),
    )
    .or_else(|| {
        pair(
            "virtualization type",
            image.virtualization_type().map(|it| it.as_str()),
            instance.virtualization_type().map(|it| it.as_str()),
        )
    })
    .or_else(|| root(image.root_device_type()).then(|| "it is not backed by EBS".to_owned()))
    .or_else(|| {
        root(instance.root_device_type()).then(|| "the instance's own is no volume".to_owned())
    })
    .or_else(|| {
        (of_image != own).then(|| format!("its product codes are {of_image:?}, and not {own:?}"))
    })
}

/// Returns the states of the tasks of these updates.
pub(super) async fn tasks(
    aws: &Aws,
    marked: &BTreeMap<&str, BTreeSet<InstanceId>>,
) -> Result<BTreeMap<InstanceId, UpdateState>, ProviderError> {
    let mut states = BTreeMap::new();
    for (token, ids) in marked {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        for ids in ids.chunks(IDS_A_CALL) {
            let these = Filter::builder().name("instance-id").set_values(Some(ids.to_vec()));
            let call = aws.ec2.describe_replace_root_volume_tasks().filters(these.build());
            let mut pages = call.into_paginator().items().send();
            while let Some(task) = pages.next().await {
                let task =
                    task.map_err(|e| from_sdk("ec2", "DescribeReplaceRootVolumeTasks", &e))?;
                let is_it = task
                    .tags()
                    .iter()
                    .any(|tag| tag.key() == Some(TOKEN) && tag.value() == Some(token));
                if let Some(id) = task.instance_id().filter(|_| is_it) {
                    states.insert(InstanceId::new(id), state(&task));
                }
            }
        }
    }
    Ok(states)
}

fn state(task: &ReplaceRootVolumeTask) -> UpdateState {
    use ReplaceRootVolumeTaskState as State;
    match task.task_state() {
        Some(State::Succeeded) => UpdateState::Done,
        Some(State::Failed) => failed(task, "its old one is back"),
        Some(State::FailedDetached) => failed(task, "it has none now"),
        _ => UpdateState::Running,
    }
}

fn failed(task: &ReplaceRootVolumeTask, left: &str) -> UpdateState {
    let id = task.replace_root_volume_task_id().unwrap_or_default();
    UpdateState::Failed(format!("EC2 could not replace its root volume (task {id}), and {left}"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{ArchitectureValues, VirtualizationType};

    use super::*;

    #[test]
    fn an_image_that_ec2_would_not_take_for_an_instance_is_told_by_what_it_differs_in() {
        let image = || {
            Image::builder()
                .architecture(ArchitectureValues::X8664)
                .virtualization_type(VirtualizationType::Hvm)
                .root_device_type(DeviceType::Ebs)
        };
        let instance = || {
            Instance::builder()
                .architecture(ArchitectureValues::X8664)
                .virtualization_type(VirtualizationType::Hvm)
                .root_device_type(DeviceType::Ebs)
        };
        let code = ProductCode::builder().product_code_id("abc").build();
        let store = DeviceType::InstanceStore;
        let arm = ArchitectureValues::Arm64;
        assert_eq!(differs(&image().build(), &instance().build()), None);
        for (image, instance, message) in [
            (image().architecture(arm), instance(), "architecture is arm64"),
            (
                image().virtualization_type(VirtualizationType::Paravirtual),
                instance(),
                "virtualization type is paravirtual",
            ),
            (image().root_device_type(store.clone()), instance(), "not backed by EBS"),
            (image(), instance().root_device_type(store), "no volume"),
            (image().product_codes(code), instance(), "product codes"),
        ] {
            let why = differs(&image.build(), &instance.build()).expect(message);
            assert!(why.contains(message), "{why}");
        }
    }
}
