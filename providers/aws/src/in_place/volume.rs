//! Root volumes, replaced by tasks of EC2.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    Filter, ReplaceRootVolumeTask, ReplaceRootVolumeTaskState, ResourceType, Tag, TagSpecification,
};
use rolling_provider::{InstanceId, ProviderError, Revision, UpdateState};

use crate::connect::Aws;
use crate::error::from_sdk;
use crate::observe::IDS_A_CALL;

pub(super) const IMAGE: &str = "replacement/replace_root_volume/image_id";
/// Tag of a task, with the token of the update that it is of.
const TOKEN: &str = "rolling:token";

/// Has the root volumes of `ids` replaced, and notes whose are. A task that was asked for already is
/// not asked for again.
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

/// How the tasks of these updates are.
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
