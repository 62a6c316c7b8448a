//! Checks whether AWS allows what a rollout does, with calls that change nothing.
//!
//! These are dry runs where EC2 has them, and elsewhere calls whose effect already exists.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_autoscaling::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_autoscaling::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_autoscaling::error::BoxError;
use aws_sdk_ec2::types::{LaunchTemplateSpecification, Tag};
use aws_sdk_elasticloadbalancingv2::primitives::{DateTime, DateTimeFormat};
use aws_sdk_elasticloadbalancingv2::types::TargetDescription;
use rolling_provider::{Examination, ProviderError, Revision, Timestamp};

use crate::connect::Aws;
use crate::convert;
use crate::error::{PROVIDER, from_sdk, is_denied};
use crate::group::AutoScalingGroupFleet;
use crate::in_place::Updates;

/// The id of an instance that does not exist.
const NOBODY: &str = "i-00000000000000000";
/// The key of a tag that nothing has.
const NO_TAG: &str = "rolling:doctor";
/// The largest difference of clocks without a warning.
///
/// AWS refuses signatures beyond five minutes; well before that a clock is wrong.
const CLOCK_MAY_BE_OFF_BY: Duration = Duration::from_secs(60);

impl AutoScalingGroupFleet {
    pub(crate) async fn look_for_trouble(&self) -> Examination {
        let mut found = Examination::default();
        let dated = Dated::default();
        let name = self.group.name.as_str();
        let call = self.aws.autoscaling.describe_auto_scaling_groups();
        let asked = call.auto_scaling_group_names(name).customize().interceptor(dated.clone());
        // Only the date counts here. `describe` below asks again, and reports the error if there is
        // one.
        drop(asked.send().await);
        found.warnings.extend(dated.off_by(self.clock.0.now()).map(clock_is_off));

        let group = match self.describe().await {
            Ok(group) => group,
            Err(error) => {
                found.errors.push(error);
                return found;
            }
        };
        match self.refuse(&group) {
            Ok(()) => found.errors.extend(self.refuse_now(&group).await.err()),
            Err(error) => found.errors.push(error),
        }
        let wanted = self.wanted(&group).await;
        let (arns, _) = self.wanted_arns(&group);
        // One by one: each may have another error.
        for arn in &arns {
            let one = self.look_up_target_groups(std::slice::from_ref(arn)).await;
            found.errors.extend(one.err());
            if !self.group.is_instance_refresh {
                found.errors.extend(self.aws.may_deregister(arn).await);
            }
        }
        match self.look_up().await {
            Ok(target) => found.errors.extend(target.blockers),
            Err(error) if self.group.traffic.is_some() => found.errors.push(error),
            // The separate checks find these errors.
            Err(_) => {}
        }
        let subnet = group.vpc_zone_identifier().and_then(|ids| ids.split(',').next());
        match wanted {
            Ok(_) if self.updates.is_some() => found.errors.extend(self.look_up().await.err()),
            Ok(revision) => found.errors.extend(self.aws.may_launch(&revision, subnet).await),
            Err(error) => found.errors.push(error),
        }
        found.untried = self.untried();
        if !self.group.is_instance_refresh {
            let of_group = group.instances().first().and_then(|instance| instance.instance_id());
            found.errors.extend(self.aws.may_tag(of_group).await);
            found.errors.extend(self.may_change(&group).await);
        }
        found
    }

    /// Returns the actions that a rollout needs, and that to try would carry out.
    fn untried(&self) -> Vec<&'static str> {
        if self.group.is_instance_refresh {
            // The rollout makes no other calls.
            return vec![
                "autoscaling:StartInstanceRefresh",
                "autoscaling:CancelInstanceRefresh",
                "autoscaling:RollbackInstanceRefresh",
            ];
        }
        let mut untried = vec![
            "autoscaling:CreateOrUpdateTags",
            "autoscaling:DetachInstances",
            "autoscaling:SuspendProcesses",
            "autoscaling:TerminateInstanceInAutoScalingGroup",
            "elasticloadbalancing:RegisterTargets",
        ];
        if self.group.image_id.is_some() {
            untried.push("ec2:CreateLaunchTemplateVersion");
        }
        untried.extend(self.updates.iter().flat_map(Updates::untried));
        if self.group.traffic.is_some() {
            untried
                .extend(["elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyRule"]);
        }
        untried
    }

    /// Tries changes that leave the group as it is, and returns those that AWS denies.
    async fn may_change(
        &self,
        group: &aws_sdk_autoscaling::types::AutoScalingGroup,
    ) -> Vec<ProviderError> {
        let (client, name) = (&self.aws.autoscaling, self.group.name.as_str());
        let update = client.update_auto_scaling_group().auto_scaling_group_name(name);
        let updated = update.send().await;
        let updated = updated.map_err(|e| from_sdk("autoscaling", "UpdateAutoScalingGroup", &e));
        let tag = aws_sdk_autoscaling::types::Tag::builder()
            .resource_id(name)
            .resource_type("auto-scaling-group")
            .key(NO_TAG)
            .build();
        let deleted = client.delete_tags().tags(tag).send().await;
        let deleted = deleted.map_err(|error| from_sdk("autoscaling", "DeleteTags", &error));
        let mut found: Vec<ProviderError> =
            [updated.err(), deleted.err()].into_iter().flatten().collect();
        let suspended = || group.suspended_processes().iter().filter_map(|p| p.process_name());
        let runs = ["AZRebalance", "AlarmNotification", "InstanceRefresh", "ScheduledActions"];
        let runs = runs.into_iter().find(|process| suspended().all(|name| name != *process));
        if let Some(process) = runs {
            let call = client.resume_processes().auto_scaling_group_name(name);
            let resumed = call.scaling_processes(process).send().await;
            let resumed = resumed.map_err(|e| from_sdk("autoscaling", "ResumeProcesses", &e));
            found.extend(resumed.err());
        }
        found.retain(is_denied);
        found
    }
}

impl Aws {
    /// Tries to deregister an instance that does not exist, and returns the denial.
    pub(crate) async fn may_deregister(&self, arn: &str) -> Option<ProviderError> {
        let nobody = TargetDescription::builder().id(NOBODY).build();
        let call = self.elb.deregister_targets().target_group_arn(arn).targets(nobody);
        let sent = call.send().await;
        let error = from_sdk("elasticloadbalancing", "DeregisterTargets", &sent.err()?);
        is_denied(&error).then_some(error)
    }

    pub(crate) async fn may_launch(
        &self,
        revision: &Revision,
        subnet: Option<&str>,
    ) -> Option<ProviderError> {
        let (id, version) = convert::parts(revision)?;
        let known = self.ec2.describe_launch_template_versions().launch_template_id(id);
        let known = known.versions(version).send().await.ok();
        let known = known.and_then(|it| it.launch_template_versions.unwrap_or_default().pop());
        let data = known.and_then(|version| version.launch_template_data);
        let has_interfaces = data.is_some_and(|data| !data.network_interfaces().is_empty());
        let from =
            LaunchTemplateSpecification::builder().launch_template_id(id).version(version).build();
        let call = self.ec2.run_instances().min_count(1).max_count(1).launch_template(from);
        // A template with network interfaces excludes a subnet in the call.
        let subnet = subnet.filter(|_| !has_interfaces);
        let call = call.set_subnet_id(subnet.map(|id| id.trim().to_owned())).dry_run(true);
        let sent = call.send().await;
        let error = from_sdk("ec2", "RunInstances", &sent.err()?);
        if !is_denied(&error) {
            let remedy = "EC2 would not launch from this version as it is: correct the version";
            return (!would_have_done(&error)).then(|| error.with_remedy(remedy));
        }
        let remedy = "to launch from a template takes ec2:RunInstances for all that it uses, \
                      ec2:CreateTags where it tags what it launches, and iam:PassRole where it has \
                      an instance profile: allow them to these credentials";
        Some(error.with_remedy(remedy))
    }

    pub(crate) async fn may_tag(&self, instance: Option<&str>) -> Option<ProviderError> {
        let tag = Tag::builder().key("rolling:failed").value("").build();
        let call = self.ec2.create_tags().resources(instance?).tags(tag).dry_run(true);
        let sent = call.send().await;
        let error = from_sdk("ec2", "CreateTags", &sent.err()?);
        (!would_have_done(&error)).then_some(error)
    }
}

/// Whether a dry run answered that AWS would carry out the real call.
fn would_have_done(error: &ProviderError) -> bool {
    error.code.as_deref() == Some("DryRunOperation")
}

fn clock_is_off(by: Duration) -> ProviderError {
    let message = format!("this host's clock and AWS's differ by {} s", by.as_secs());
    let error = ProviderError::invalid("compare clocks", PROVIDER, message);
    error.with_remedy(
        "set the clock (chrony, systemd-timesyncd): AWS refuses signatures that are off by five \
         minutes",
    )
}

/// The date of the last answer.
#[derive(Clone, Debug, Default)]
struct Dated(Arc<Mutex<Option<Timestamp>>>);

impl Dated {
    /// Returns how far `now` is from that date, if that is too far.
    fn off_by(&self, now: Timestamp) -> Option<Duration> {
        let date = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let by = now.since(date).max(date.since(now));
        (by > CLOCK_MAY_BE_OFF_BY).then_some(by)
    }
}

impl Intercept for Dated {
    fn name(&self) -> &'static str {
        "Dated"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = convert::timestamp(date.as_ref());
        Ok(())
    }
}
