//! Resolves the target, once per rollout.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_autoscaling::types::{
    AutoScalingGroup as SdkGroup, LifecycleState, ScalingActivityStatusCode,
};
use rolling_provider::{
    InstanceId, LifecycleHook, Processes, ProviderError, Revision, ScheduledAction, Target,
    TargetGroup,
};

use crate::convert::{self, revision};
use crate::error::from_sdk;
use crate::group::AutoScalingGroupFleet;
use crate::keys::TEMPLATE;
use crate::traffic::Second;
use crate::{controllers, image, mixed};

/// The processes of Auto Scaling that the planner has to know apart.
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html>
const PROCESSES: Processes = Processes {
    launches: Some("Launch"),
    registers: Some("AddToLoadBalancer"),
    scales: Some("AlarmNotification"),
    schedules: Some("ScheduledActions"),
};

/// A lease in tags rewrites them every ten seconds; see the lease's module.
pub(crate) const RECORD_IN_TAGS: &str = "the record is kept in tags of the group, which change every 10 \
     s: AWS Config may note each of them, and record.s3 costs less";
const RECORD_IS_LONG: Duration = Duration::from_secs(3600);
const ARNS: &str = "auto_scaling_group/target_group_arns";

impl AutoScalingGroupFleet {
    pub(crate) async fn look_up(&self) -> Result<Target, ProviderError> {
        let began = self.clock.0.now();
        let group = self.describe().await?;
        self.lately.resolved_with(&group, began);
        let known = &self.resolved;
        self.refuse(&group)?;
        let (arns, mut blockers) = self.wanted_arns(&group);
        let (wanted, aliases, target_groups, boot, scheduled, hooks) = tokio::join!(
            known.wanted.get_or_try_init(|| self.wanted(&group)),
            known.aliases.get_or_try_init(|| self.aliases(&group)),
            known.target_groups.get_or_try_init(|| self.look_up_target_groups(&arns)),
            known.boot.get_or_try_init(|| self.boot_time()),
            known.scheduled.get_or_try_init(|| self.scheduled()),
            known.hooks.get_or_try_init(|| self.hooks()),
        );
        let (wanted, aliases) = (wanted?.clone(), aliases?.clone());
        let (target_groups, boot) = (target_groups?.clone(), *boot?);
        let (scheduled, hooks) = (scheduled?.clone(), hooks?.clone());
        let mut warnings = self.warnings(&group, &target_groups, &wanted, &aliases);
        blockers.extend(self.undecidable(&group, &wanted).await?);
        warnings.extend(self.doubt());
        warnings.extend(mixed::weights_differ(&group));
        let is_there = |arn: &&String| target_groups.iter().any(|group| group.id.as_str() == *arn);
        blockers.extend(arns.iter().filter(|arn| !is_there(arn)).map(|arn| self.missing(arn)));
        let arns: Vec<String> = arns.iter().filter(is_there).cloned().collect();
        let second = self.second(&group, &target_groups, &mut blockers).await?;
        warnings.extend(second.iter().flat_map(|found| found.warnings.iter().cloned()));
        let traffic = self.group.traffic.iter();
        // A retry may resolve this fleet again; its groups are then the same.
        self.target_groups.get_or_init(|| arns);
        warnings.extend(self.aws.reached.warnings());
        Ok(Target {
            id: group.auto_scaling_group_arn().unwrap_or(&self.group.name).to_owned(),
            name: self.group.name.clone(),
            kind: "auto scaling group",
            revision: wanted.clone(),
            restart: None,
            target_groups,
            second: second.map(|found| found.group.clone()),
            shifted_by: traffic.flat_map(|it| it.listener_rule_arns.clone()).collect(),
            aliases,
            // An update in place launches nothing.
            boot: boot.filter(|_| self.updates.is_none()),
            scheduled,
            hooks,
            processes: PROCESSES,
            protects_new: group.new_instances_protected_from_scale_in().unwrap_or_default(),
            no_surge: mixed::is_weighted(&group)
                .then(|| format!("group {:?} counts its instances by weights", self.group.name)),
            protected_by: controllers::protected_by(&group),
            blockers,
            controller: self.group.is_instance_refresh.then_some("EC2 Auto Scaling"),
            options: BTreeMap::new(),
            no_auto_rollback: self.no_auto_rollback(&wanted).await?,
            warnings,
            warnings_of_long: std::iter::once((RECORD_IS_LONG, RECORD_IN_TAGS.to_owned()))
                .chain(self.aws.ends.warning(self.clock.0.wall()))
                .collect(),
        })
    }

    /// Returns what the operator should know of the group before it rolls.
    fn warnings(
        &self,
        group: &SdkGroup,
        target_groups: &[TargetGroup],
        wanted: &Revision,
        aliases: &BTreeMap<Revision, Revision>,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        if target_groups.is_empty() {
            warnings.push(
                "the group has no target group: serving means in service and healthy".to_owned(),
            );
        } else if group.health_check_type().is_none_or(|kind| !kind.contains("ELB")) {
            warnings.push(match self.group.is_instance_refresh {
                false => "the group's health check type is EC2: by itself it keeps instances that \
                          fail their load balancer's health check"
                    .to_owned(),
                true => "the group's health check type is EC2: its instance refresh does not wait \
                         until new instances are healthy in their target groups, and may replace \
                         all of them before one serves; set the type to ELB"
                    .to_owned(),
            });
        }
        warnings.extend(controllers::warnings(group));
        warnings.extend(retained(group));
        let images = mixed::images(group);
        if !images.is_empty() {
            warnings.push(format!(
                "types of the group's mixed instances policy have images of their own ({}), which \
                 no version changes",
                images.join(", ")
            ));
        }
        // An update in place leaves the template as it is.
        if let Some((alias, number)) = aliases.iter().next().filter(|_| self.updates.is_none()) {
            warnings.push(format!(
                "the group launches {alias}, which is {number} now: what it launches before the \
                 rollout runs that already, and the rollout leaves the group at a number"
            ));
        }
        if group.capacity_rebalance() == Some(true) {
            warnings.push(
                "the group rebalances capacity: it may replace spot instances meanwhile, and live \
                 above its ceiling for that"
                    .to_owned(),
            );
        }
        if let Some((template, number, image)) = image::described(wanted) {
            warnings.push(format!(
                "a version of launch template {template} is made of version {number} with {image}"
            ));
        }
        warnings
    }

    fn missing(&self, arn: &str) -> ProviderError {
        let message = format!("target group {arn} does not exist in {}", self.aws.region);
        let error = ProviderError::invalid("check the group", ARNS, message);
        error.with_remedy("detach it from the group, or make it again")
    }

    /// Looks up the second target group, where requests are shifted, with what stands in the way.
    async fn second(
        &self,
        group: &SdkGroup,
        target_groups: &[TargetGroup],
        blockers: &mut Vec<ProviderError>,
    ) -> Result<Option<&Second>, ProviderError> {
        let Some(traffic) = &self.group.traffic else { return Ok(None) };
        let attached = group.target_group_arns();
        let look = || self.aws.second_target_group(traffic, attached, target_groups);
        let found = self.resolved.second.get_or_try_init(look).await?;
        blockers.extend(found.blockers.iter().cloned());
        if found.is_there {
            let ids = group.instances().iter().filter_map(|instance| instance.instance_id());
            let members = ids.map(InstanceId::new).collect();
            blockers.extend(self.aws.others_targets_in(&found.group, &members).await?);
        }
        Ok(Some(found))
    }

    /// Returns why a refresh to `wanted` cannot roll back automatically: AWS does not do that where
    /// the image is a parameter (StartInstanceRefresh, `AutoRollback`).
    pub(crate) async fn no_auto_rollback(
        &self,
        wanted: &Revision,
    ) -> Result<Option<String>, ProviderError> {
        let parts = convert::parts(wanted).filter(|_| self.group.is_instance_refresh);
        let Some((template, version)) = parts.filter(|(_, version)| !version.contains('+')) else {
            return Ok(None);
        };
        let call = self.aws.ec2.describe_launch_template_versions().launch_template_id(template);
        let answer = call
            .versions(version)
            .send()
            .await
            .map_err(|error| from_sdk("ec2", "DescribeLaunchTemplateVersions", &error))?;
        let data = answer.launch_template_versions().first().and_then(|v| v.launch_template_data());
        let image = data.and_then(|data| data.image_id()).filter(|it| it.starts_with("resolve:"));
        Ok(image.map(|image| format!("{wanted} names its image as {image}")))
    }

    /// Returns the revision that every instance is to run.
    pub(crate) async fn wanted(&self, group: &SdkGroup) -> Result<Revision, ProviderError> {
        if let Some(image) = &self.group.image_id {
            return self.version_with(group, image).await;
        }
        self.aws.wanted_revision(&self.group.launch_template, TEMPLATE, &self.updates).await
    }

    /// Returns the next time of each of the group's scheduled actions.
    async fn scheduled(&self) -> Result<Vec<ScheduledAction>, ProviderError> {
        let call = self.aws.autoscaling.describe_scheduled_actions();
        let mut pages =
            call.auto_scaling_group_name(&self.group.name).into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(entry) = pages.next().await {
            let reached = &self.aws.reached;
            match reached.checked("autoscaling", "DescribeScheduledActions", entry)? {
                Some(entry) => found.extend(convert::scheduled(&entry)),
                None => break,
            }
        }
        Ok(found)
    }

    /// Returns the group's lifecycle hooks.
    async fn hooks(&self) -> Result<Vec<LifecycleHook>, ProviderError> {
        let call = self.aws.autoscaling.describe_lifecycle_hooks();
        let answer = call.auto_scaling_group_name(&self.group.name).send().await;
        let reached = &self.aws.reached;
        let found = reached.checked("autoscaling", "DescribeLifecycleHooks", answer)?;
        let hooks = found.as_ref().map(|found| found.lifecycle_hooks()).unwrap_or_default();
        Ok(hooks.iter().filter_map(convert::lifecycle_hook).collect())
    }

    /// Returns the attached target groups that count, and errors for those named but not attached.
    pub(crate) fn wanted_arns(&self, group: &SdkGroup) -> (Vec<String>, Vec<ProviderError>) {
        let attached: BTreeSet<&str> =
            group.target_group_arns().iter().map(String::as_str).collect();
        let Some(wanted) = &self.group.target_group_arns else {
            return (attached.into_iter().map(str::to_owned).collect(), Vec::new());
        };
        let is_attached = |arn: &String| attached.contains(arn.as_str());
        let others = wanted.iter().enumerate().filter(|(_, arn)| !is_attached(arn));
        let blockers = others.map(|(index, arn)| {
            let place = format!("{ARNS}/{index}");
            let message = format!("target group {arn} is not attached to the group");
            let known: Vec<&str> = attached.iter().copied().collect();
            let remedy = format!("attached are {}", known.join(", "));
            ProviderError::invalid("check the group", place, message).with_remedy(remedy)
        });
        let blockers = blockers.collect();
        (wanted.iter().filter(|arn| is_attached(arn)).cloned().collect(), blockers)
    }

    /// Returns what `$Latest` or `$Default` stands for, where the group's own template uses it.
    async fn aliases(
        &self,
        group: &SdkGroup,
    ) -> Result<BTreeMap<Revision, Revision>, ProviderError> {
        let own = mixed::template(group).and_then(convert::specified);
        let Some((own, template, alias)) = own.as_ref().and_then(|own| {
            let (template, version) = convert::parts(own)?;
            version.starts_with('$').then_some((own, template, version))
        }) else {
            return Ok(BTreeMap::new());
        };
        let call = self.aws.ec2.describe_launch_template_versions();
        let answer = call
            .launch_template_id(template)
            .versions(alias)
            .send()
            .await
            .map_err(|error| from_sdk("ec2", "DescribeLaunchTemplateVersions", &error))?;
        let number = answer.launch_template_versions().first().and_then(|v| v.version_number());
        Ok(number
            .map(|number| (own.clone(), revision(template, &number.to_string())))
            .into_iter()
            .collect())
    }

    pub(crate) async fn look_up_target_groups(
        &self,
        arns: &[String],
    ) -> Result<Vec<TargetGroup>, ProviderError> {
        let place = |arn: &str| {
            // A target group that the document does not name was found through the group's name.
            let given = self.group.target_group_arns.iter().flatten().position(|g| g == arn);
            given.map_or("auto_scaling_group/name".into(), |index| format!("{ARNS}/{index}"))
        };
        self.aws.target_groups_there(arns, place).await
    }

    /// Returns the median time of the latest launches, from the group's own activities.
    async fn boot_time(&self) -> Result<Option<Duration>, ProviderError> {
        let call = self.aws.autoscaling.describe_scaling_activities();
        let answer = call.auto_scaling_group_name(&self.group.name).max_records(50).send().await;
        let answer =
            self.aws.reached.checked("autoscaling", "DescribeScalingActivities", answer)?;
        let Some(answer) = answer else { return Ok(None) };
        let mut times: Vec<Duration> = answer
            .activities()
            .iter()
            .filter(|a| a.status_code() == Some(&ScalingActivityStatusCode::Successful))
            .filter(|a| a.description().is_some_and(|message| message.starts_with("Launching")))
            .filter_map(|activity| {
                let start = convert::timestamp(activity.start_time())?;
                Some(convert::timestamp(activity.end_time())?.since(start))
            })
            .take(10)
            .collect();
        times.sort_unstable();
        Ok(times.get(times.len() / 2).copied())
    }
}

/// Warns of instances that the group keeps after they have left it (`InstanceLifecyclePolicy`):
/// nothing terminates them, and they cost money.
fn retained(group: &SdkGroup) -> Option<String> {
    let state = LifecycleState::TerminatingRetained;
    let matching = group.instances().iter().filter(|i| i.lifecycle_state() == Some(&state));
    let ids: Vec<&str> = matching.filter_map(|instance| instance.instance_id()).collect();
    (!ids.is_empty()).then(|| {
        format!(
            "the group retains instances that have left it; they keep running, and cost, until somebody \
             terminates them: {}",
            ids.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::types::Instance;

    use super::*;

    #[test]
    fn instances_that_are_retained_are_told() {
        let one = |id: &str, state| Instance::builder().instance_id(id).lifecycle_state(state);
        let group = SdkGroup::builder()
            .instances(one("i-1", LifecycleState::InService).build())
            .instances(one("i-2", LifecycleState::TerminatingRetained).build());
        let message = retained(&group.build()).expect("a message");
        assert!(message.ends_with(": i-2"), "{message}");
    }
}
