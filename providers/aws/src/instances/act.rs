//! Carries out one action on unmanaged instances.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use aws_sdk_ec2::types::Tag;
use aws_sdk_elasticloadbalancingv2::types::Tag as ElbTag;
use rolling_provider::{Action, InstanceId, ProviderError};

use super::convert::revision;
use super::elsewhere;
use super::fleet::InstancesFleet;
use super::keys::{LAUNCHED_FROM, MEMBER, PORTS, STANDS_FOR};
use crate::error::done;
use crate::in_place;
use crate::instances::keys::NOT_FOUND;

/// How many instances one call tags at most; EC2 takes 1000.
const TAGGED_A_CALL: usize = 500;

impl InstancesFleet {
    pub(super) async fn perform(&self, action: &Action) -> Result<(), ProviderError> {
        let (ec2, elb, arn) = (&self.aws.ec2, &self.aws.elb, self.primary_arn());
        match action {
            Action::WriteRecord { tags } => {
                let tags =
                    tags.iter().map(|(key, value)| ElbTag::builder().key(key).value(value).build());
                let call = elb.add_tags().resource_arns(arn).set_tags(Some(tags.collect()));
                done("elasticloadbalancing", "AddTags", call.send().await)
            }
            Action::EraseRecord { keys } => {
                let call = elb.remove_tags().resource_arns(arn);
                let call = call.set_tag_keys(Some(keys.iter().cloned().collect()));
                done("elasticloadbalancing", "RemoveTags", call.send().await)
            }
            Action::TagMember { instances } => self.own(instances).await,
            Action::UntagMember { instances } => self.untag_member(instances).await,
            // The instance is out of the target group; only its mark is left.
            Action::Detach { instance, .. } => {
                self.untag_member(&BTreeSet::from([instance.clone()])).await
            }
            Action::Launch { revision, source_instance, token } => {
                self.launch(revision, source_instance, token).await
            }
            Action::Tag { instance, key, value } => {
                let call = ec2.create_tags().resources(instance.as_str()).tags(tag(key, value));
                done("ec2", "CreateTags", call.send().await)
            }
            Action::Deregister { target_group, instances } => {
                let targets = self.targets_of(target_group, instances);
                self.aws.deregister(target_group.as_str(), &targets).await
            }
            Action::Register { target_group, instances } => {
                let targets = self.targets_of(target_group, instances);
                self.aws.register(target_group.as_str(), &targets).await
            }
            Action::Terminate { instance, .. } => {
                let call = ec2.terminate_instances().instance_ids(instance.as_str());
                unless_gone(done("ec2", "TerminateInstances", call.send().await))
            }
            Action::Update { .. } | Action::Confirm { .. } => {
                in_place::perform(&self.aws, self.updates.as_ref(), action).await
            }
            Action::Release { .. }
            | Action::Discard { .. }
            | Action::SuspendProcesses { .. }
            | Action::ResumeProcesses { .. }
            | Action::MoveTemplate { .. }
            | Action::SetCapacity { .. }
            | Action::SetRollout { .. }
            | Action::Shift { .. }
            | Action::ApplyScheduledAction { .. } => {
                let message = format!("no group looks after these instances: cannot {action}");
                Err(ProviderError::invalid("act", "", message))
            }
        }
    }

    async fn own(&self, instances: &BTreeSet<InstanceId>) -> Result<(), ProviderError> {
        let mut by_tags: BTreeMap<BTreeMap<String, String>, Vec<String>> = BTreeMap::new();
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            for id in instances {
                let tags = known.get(id).map(|known| self.marks(known)).unwrap_or_default();
                by_tags.entry(tags).or_default().push(id.to_string());
            }
        }
        for (tags, ids) in &by_tags {
            let tags: Vec<Tag> = tags.iter().map(|(key, value)| tag(key, value)).collect();
            for ids in ids.chunks(TAGGED_A_CALL) {
                let call = self.aws.ec2.create_tags().set_resources(Some(ids.to_vec()));
                let call = call.tags(tag(MEMBER, self.primary_arn()));
                let call = tags.iter().fold(call, |call, tag| call.tags(tag.clone()));
                done("ec2", "CreateTags", call.send().await)?;
            }
        }
        Ok(())
    }

    async fn untag_member(&self, instances: &BTreeSet<InstanceId>) -> Result<(), ProviderError> {
        let ids: Vec<String> = instances.iter().map(ToString::to_string).collect();
        for ids in ids.chunks(TAGGED_A_CALL) {
            let Err(error) = self.untag(ids).await else { continue };
            if error.code.as_deref() != Some(NOT_FOUND) {
                return Err(error);
            }
            // If one instance is gone, the call fails for all.
            for id in ids {
                unless_gone(self.untag(std::slice::from_ref(id)).await)?;
            }
        }
        Ok(())
    }

    /// Whether the cloud does not note for each of these instances what it was launched from.
    fn lacks_a_version(&self, ids: &[String]) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let all = known.iter().filter(|(id, _)| ids.iter().any(|each| each == id.as_str()));
        all.into_iter().any(|(_, known)| {
            known.tags.contains_key(LAUNCHED_FROM) && revision(&known.tags).is_none()
        })
    }

    async fn untag(&self, ids: &[String]) -> Result<(), ProviderError> {
        let elsewhere = self.groups.get().map_or(&[][..], |arns| &arns[1..]);
        let mut keys: Vec<String> = elsewhere.iter().map(|arn| elsewhere::key(arn)).collect();
        keys.extend([MEMBER, PORTS, STANDS_FOR].map(str::to_owned));
        // Where the cloud notes nothing itself, only this tag shows what an instance runs.
        if !self.lacks_a_version(ids) {
            keys.push(LAUNCHED_FROM.to_owned());
        }
        let keys = keys.into_iter().map(|key| Tag::builder().key(key).build()).collect();
        let call = self.aws.ec2.delete_tags().set_resources(Some(ids.to_vec()));
        done("ec2", "DeleteTags", call.set_tags(Some(keys)).send().await)
    }
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

fn unless_gone(result: Result<(), ProviderError>) -> Result<(), ProviderError> {
    result.or_else(|error| match error.code.as_deref() {
        Some(NOT_FOUND) => Ok(()),
        _ => Err(error),
    })
}
