//! Carries out actions: one call for one action.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use aws_sdk_autoscaling::operation::update_auto_scaling_group::builders::UpdateAutoScalingGroupFluentBuilder;
use aws_sdk_autoscaling::types::{LaunchTemplateSpecification, Tag};
use aws_sdk_elasticloadbalancingv2::types::TargetDescription;
use rolling_provider::{Action, Done, InstanceId, ProviderError, Revision, Tags};

use crate::convert::parts;
use crate::error::{done, from_sdk};
use crate::group::AutoScalingGroupFleet;
use crate::in_place;

const TAGGED: &str = "auto-scaling-group";
const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

impl AutoScalingGroupFleet {
    pub(crate) async fn perform(&self, action: &Action) -> Result<Done, ProviderError> {
        match action {
            Action::Terminate { instance, decrement } => {
                self.remove(instance, false, *decrement).await
            }
            Action::Detach { instance, decrement } => self.remove(instance, true, *decrement).await,
            other => self.change(other).await.map(|()| Done::default()),
        }
    }

    async fn change(&self, action: &Action) -> Result<(), ProviderError> {
        // Auto Scaling takes an empty list of processes for all of them, Launch and Terminate
        // included.
        if is_empty(action) {
            return Ok(());
        }
        match action {
            Action::WriteRecord { tags } => self.write_tags(tags).await,
            Action::EraseRecord { keys } => self.delete_tags(keys).await,
            Action::SuspendProcesses { processes } => self.suspend(processes).await,
            Action::ResumeProcesses { processes } => self.resume(processes).await,
            Action::MoveTemplate { to } => self.move_template(to).await,
            Action::SetCapacity { desired, max } => {
                let call = self.update_group().set_desired_capacity(desired.map(size));
                update(call.set_max_size(max.map(size))).await
            }
            Action::ApplyScheduledAction { min, max, desired, .. } => {
                let call = self.update_group().set_min_size(min.map(size));
                let call = call.set_max_size(max.map(size));
                update(call.set_desired_capacity(desired.map(size))).await
            }
            Action::Release { instance } => self.release(instance).await,
            Action::Discard { instances } => self.discard(instances).await,
            Action::Tag { instance, key, value } => self.tag_instance(instance, key, value).await,
            Action::Deregister { target_group, instances } => {
                let targets: Vec<_> = instances.iter().map(target).collect();
                self.aws.deregister(target_group.as_str(), &targets).await
            }
            Action::Register { target_group, instances } => {
                let targets: Vec<_> = instances.iter().map(target).collect();
                self.aws.register(target_group.as_str(), &targets).await
            }
            Action::Update { .. } | Action::Confirm { .. } => {
                in_place::perform(&self.aws, self.updates.as_ref(), action).await
            }
            Action::Shift { percent } => self.shift(*percent, action).await,
            Action::TagMember { .. }
            | Action::UntagMember { .. }
            | Action::Launch { .. }
            | Action::SetRollout { .. } => {
                let name = &self.group.name;
                let message = format!("group {name:?} looks after its instances: cannot {action}");
                Err(ProviderError::invalid("act", "", message))
            }
            Action::Detach { .. } | Action::Terminate { .. } => {
                unreachable!("removals have an answer: see `AutoScalingGroupFleet::remove`")
            }
        }
    }

    fn update_group(&self) -> UpdateAutoScalingGroupFluentBuilder {
        self.aws.autoscaling.update_auto_scaling_group().auto_scaling_group_name(&self.group.name)
    }

    async fn write_tags(&self, tags: &Tags) -> Result<(), ProviderError> {
        let tags = tags.iter().map(|(key, value)| {
            tag(&self.group.name, key).value(value).propagate_at_launch(false).build()
        });
        let call = self.aws.autoscaling.create_or_update_tags().set_tags(Some(tags.collect()));
        done("autoscaling", "CreateOrUpdateTags", call.send().await)
    }

    async fn delete_tags(&self, keys: &BTreeSet<String>) -> Result<(), ProviderError> {
        let tags = keys.iter().map(|key| tag(&self.group.name, key).build()).collect();
        let call = self.aws.autoscaling.delete_tags().set_tags(Some(tags));
        done("autoscaling", "DeleteTags", call.send().await)
    }

    async fn suspend(&self, processes: &BTreeSet<String>) -> Result<(), ProviderError> {
        let processes = processes.iter().cloned().collect();
        let call = self.aws.autoscaling.suspend_processes();
        let call = call.auto_scaling_group_name(&self.group.name);
        let sent = call.set_scaling_processes(Some(processes)).send().await;
        done("autoscaling", "SuspendProcesses", sent)
    }

    async fn resume(&self, processes: &BTreeSet<String>) -> Result<(), ProviderError> {
        let processes = processes.iter().cloned().collect();
        let call = self.aws.autoscaling.resume_processes();
        let call = call.auto_scaling_group_name(&self.group.name);
        let sent = call.set_scaling_processes(Some(processes)).send().await;
        done("autoscaling", "ResumeProcesses", sent)
    }

    async fn move_template(&self, to: &Revision) -> Result<(), ProviderError> {
        let Some((template, version)) = parts(to) else {
            let message = format!("{to} is not a launch template version");
            return Err(ProviderError::invalid("UpdateAutoScalingGroup", "", message));
        };
        let template = LaunchTemplateSpecification::builder()
            .launch_template_id(template)
            .version(version)
            .build();
        let mixed = self.mixed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match mixed {
            // The whole policy: AWS does not say whether it keeps what a call leaves out.
            Some(policy) => {
                let policy = crate::mixed::with(policy, template);
                update(self.update_group().mixed_instances_policy(policy)).await
            }
            None => update(self.update_group().launch_template(template)).await,
        }
    }

    async fn discard(&self, instances: &BTreeSet<InstanceId>) -> Result<(), ProviderError> {
        let call = self.aws.ec2.terminate_instances();
        let ids = instances.iter().map(ToString::to_string).collect();
        let sent = call.set_instance_ids(Some(ids)).send().await;
        match done("ec2", "TerminateInstances", sent) {
            // One instance that is gone fails the call for all.
            Err(error) if is_not_found(&error) => self.discard_each(instances).await,
            sent => sent,
        }
    }

    async fn tag_instance(
        &self,
        instance: &InstanceId,
        key: &str,
        value: &str,
    ) -> Result<(), ProviderError> {
        let tag = aws_sdk_ec2::types::Tag::builder().key(key).value(value).build();
        let call = self.aws.ec2.create_tags().resources(instance.as_str()).tags(tag);
        done("ec2", "CreateTags", call.send().await)
    }

    async fn shift(&self, percent: u32, action: &Action) -> Result<(), ProviderError> {
        let first = self.target_groups.get().and_then(|arns| arns.first());
        let (Some(traffic), Some(first)) = (&self.group.traffic, first) else {
            let message = format!("no listener rules are given: cannot {action}");
            return Err(ProviderError::invalid("act", "traffic", message));
        };
        self.aws.shift(traffic, first, self.rules(), percent).await
    }

    /// Terminates or detaches `instance`. An instance that is already gone is a success.
    async fn remove(
        &self,
        instance: &InstanceId,
        detach: bool,
        decrement: bool,
    ) -> Result<Done, ProviderError> {
        let client = &self.aws.autoscaling;
        let activity = if detach {
            let call = client.detach_instances().auto_scaling_group_name(&self.group.name);
            let call = call.instance_ids(instance.as_str());
            let sent = call.should_decrement_desired_capacity(decrement).send().await;
            let sent = sent.map_err(|error| from_sdk("autoscaling", "DetachInstances", &error));
            sent.map(|answer| answer.activities.unwrap_or_default().into_iter().next())
        } else {
            let call = client.terminate_instance_in_auto_scaling_group();
            let call = call.instance_id(instance.as_str());
            let sent = call.should_decrement_desired_capacity(decrement).send().await;
            let operation = "TerminateInstanceInAutoScalingGroup";
            let sent = sent.map_err(|error| from_sdk("autoscaling", operation, &error));
            sent.map(|answer| answer.activity)
        };
        match activity {
            Ok(activity) => {
                let cause = activity.as_ref().and_then(|activity| activity.cause());
                let lowered_from = cause.filter(|_| decrement).and_then(lowered_from);
                Ok(Done { lowered_from, was_gone: false })
            }
            Err(error) if is_gone(&error) => Ok(Done { was_gone: true, ..Done::default() }),
            Err(error) => Err(error),
        }
    }
}

impl AutoScalingGroupFleet {
    async fn discard_each(&self, instances: &BTreeSet<InstanceId>) -> Result<(), ProviderError> {
        for id in instances {
            let sent = self.aws.ec2.terminate_instances().instance_ids(id.as_str()).send().await;
            let sent = sent.map(drop).map_err(|e| from_sdk("ec2", "TerminateInstances", &e));
            sent.or_else(|error| if is_not_found(&error) { Ok(()) } else { Err(error) })?;
        }
        Ok(())
    }

    /// Completes every lifecycle hook of the transition that `instance` is in.
    async fn release(&self, instance: &InstanceId) -> Result<(), ProviderError> {
        let (client, name) = (&self.aws.autoscaling, self.group.name.as_str());
        let call = client.describe_lifecycle_hooks().auto_scaling_group_name(name);
        let answer = call
            .send()
            .await
            .map_err(|error| from_sdk("autoscaling", "DescribeLifecycleHooks", &error))?;
        let goes = self.going.lock().unwrap_or_else(PoisonError::into_inner).contains(instance);
        let transition = if goes { TERMINATING } else { LAUNCHING };
        let hooks = answer.lifecycle_hooks().iter();
        let hooks = hooks.filter(|hook| hook.lifecycle_transition() == Some(transition));
        for hook in hooks.filter_map(|hook| hook.lifecycle_hook_name()) {
            let call = client.complete_lifecycle_action().auto_scaling_group_name(name);
            let sent = call
                .lifecycle_hook_name(hook)
                .instance_id(instance.as_str())
                .lifecycle_action_result("CONTINUE")
                .send()
                .await;
            let sent = sent.map(drop);
            sent.map_err(|error| from_sdk("autoscaling", "CompleteLifecycleAction", &error))
                .or_else(|error| if is_not_held(&error) { Ok(()) } else { Err(error) })?;
        }
        Ok(())
    }
}

fn is_not_found(error: &ProviderError) -> bool {
    error.code.as_deref() == Some("InvalidInstanceID.NotFound")
}

/// Whether no hook holds the instance any more, as a release wants it.
///
/// AWS says so only in the message.
fn is_not_held(error: &ProviderError) -> bool {
    error.message.contains("No active Lifecycle Action found")
}

/// Whether the action names nothing to change.
fn is_empty(action: &Action) -> bool {
    match action {
        Action::WriteRecord { tags } => tags.is_empty(),
        Action::EraseRecord { keys: names }
        | Action::SuspendProcesses { processes: names }
        | Action::ResumeProcesses { processes: names } => names.is_empty(),
        Action::Deregister { instances, .. }
        | Action::Register { instances, .. }
        | Action::Discard { instances } => instances.is_empty(),
        Action::MoveTemplate { .. }
        | Action::SetCapacity { .. }
        | Action::ApplyScheduledAction { .. }
        | Action::TagMember { .. }
        | Action::UntagMember { .. }
        | Action::Launch { .. }
        | Action::Release { .. }
        | Action::Tag { .. }
        | Action::Detach { .. }
        | Action::Update { .. }
        | Action::Confirm { .. }
        | Action::Shift { .. }
        | Action::SetRollout { .. }
        | Action::Terminate { .. } => false,
    }
}

async fn update(
    call: aws_sdk_autoscaling::operation::update_auto_scaling_group::builders::UpdateAutoScalingGroupFluentBuilder,
) -> Result<(), ProviderError> {
    let sent = call.send().await.map(drop);
    sent.map_err(|error| from_sdk("autoscaling", "UpdateAutoScalingGroup", &error))
}

/// Returns the desired size before an activity lowered it.
///
/// The cause reads `... in response to a user request, shrinking the capacity from 9 to 8.` (the
/// text of Auto Scaling, also in its user guide).
fn lowered_from(cause: &str) -> Option<u32> {
    let (_, sizes) = cause.split_once("shrinking the capacity from ")?;
    let (from, to) = sizes.split_once(" to ")?;
    let from: u32 = from.trim().parse().ok()?;
    let to: u32 = to.trim_end().trim_end_matches('.').parse().ok()?;
    (to + 1 == from).then_some(from)
}

/// Whether the instance is already gone, as a removal wants it.
///
/// AWS says so only in the message.
fn is_gone(error: &ProviderError) -> bool {
    let message = error.message.to_lowercase();
    message.contains("instance id not found")
        || message.contains("not part of an auto scaling group")
        || message.contains("not part of auto scaling group")
}

fn tag(group: &str, key: &str) -> aws_sdk_autoscaling::types::builders::TagBuilder {
    Tag::builder().resource_id(group).resource_type(TAGGED).key(key)
}

/// Returns a target without a port: the target group's port applies.
fn target(id: &InstanceId) -> TargetDescription {
    TargetDescription::builder().id(id.as_str()).build()
}

fn size(size: u32) -> i32 {
    i32::try_from(size).unwrap_or(i32::MAX)
}
