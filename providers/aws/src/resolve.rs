//! Looking the target up, once a rollout.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_autoscaling::types::{AutoScalingGroup as SdkGroup, ScalingActivityStatusCode};
use aws_sdk_elasticloadbalancingv2::types::{TargetGroup as SdkTargetGroup, TargetTypeEnum};
use rolling_provider::{
    ProviderError, Revision, ScheduledAction, Target, TargetGroup, TargetGroupId,
};

use crate::convert::{self, revision};
use crate::error::from_sdk;
use crate::group::AutoScalingGroupFleet;

const DRAIN: &str = "deregistration_delay.timeout_seconds";
const ARNS: &str = "auto_scaling_group/target_group_arns";

impl AutoScalingGroupFleet {
    pub(crate) async fn look_up(&self) -> Result<Target, ProviderError> {
        let group = self.describe().await?;
        let known = &self.resolved;
        known.refused.get_or_try_init(|| self.refuse(&group)).await?;
        let arns = self.wanted_arns(&group)?;
        let (wanted, aliases, target_groups, boot, scheduled) = tokio::join!(
            known.wanted.get_or_try_init(|| self.wanted_revision()),
            known.aliases.get_or_try_init(|| self.aliases(&group)),
            known.target_groups.get_or_try_init(|| self.look_up_target_groups(&arns)),
            known.boot.get_or_try_init(|| self.boot_time()),
            known.scheduled.get_or_try_init(|| self.scheduled()),
        );
        let (wanted, aliases) = (wanted?.clone(), aliases?.clone());
        let (target_groups, boot) = (target_groups?.clone(), *boot?);
        let scheduled = scheduled?.clone();
        let mut warnings = Vec::new();
        if target_groups.is_empty() {
            warnings.push(
                "the group has no target group: serving means in service and healthy".to_owned(),
            );
        } else if group.health_check_type().is_none_or(|kind| !kind.contains("ELB")) {
            warnings.push(
                "the group's health check type is EC2: by itself it keeps instances that fail \
                 their load balancer's health check"
                    .to_owned(),
            );
        }
        // A fleet value may be resolved again by a retry; the groups are then the same.
        self.target_groups.get_or_init(|| arns);
        Ok(Target {
            id: group.auto_scaling_group_arn().unwrap_or(&self.group.name).to_owned(),
            name: self.group.name.clone(),
            kind: "auto scaling group",
            revision: wanted,
            target_groups,
            aliases,
            boot,
            scheduled,
            warnings,
        })
    }

    /// The next time of each of the group's scheduled actions.
    async fn scheduled(&self) -> Result<Vec<ScheduledAction>, ProviderError> {
        let call = self.aws.autoscaling.describe_scheduled_actions();
        let mut pages =
            call.auto_scaling_group_name(&self.group.name).into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(entry) = pages.next().await {
            let entry = entry
                .map_err(|error| from_sdk("autoscaling", "DescribeScheduledActions", &error))?;
            found.extend(convert::scheduled(&entry));
        }
        Ok(found)
    }

    /// The attached target groups that count.
    fn wanted_arns(&self, group: &SdkGroup) -> Result<Vec<String>, ProviderError> {
        let attached: BTreeSet<&str> =
            group.target_group_arns().iter().map(String::as_str).collect();
        let Some(wanted) = &self.group.target_group_arns else {
            return Ok(attached.into_iter().map(str::to_owned).collect());
        };
        for (index, arn) in wanted.iter().enumerate() {
            if !attached.contains(arn.as_str()) {
                let place = format!("{ARNS}/{index}");
                let words = format!("target group {arn} is not attached to the group");
                let known: Vec<&str> = attached.iter().copied().collect();
                let remedy = format!("attached are {}", known.join(", "));
                let error = ProviderError::invalid("check the group", place, words);
                return Err(error.with_remedy(remedy));
            }
        }
        Ok(wanted.clone())
    }

    /// The wanted launch template version, by number.
    async fn wanted_revision(&self) -> Result<Revision, ProviderError> {
        let template = &self.group.launch_template;
        let call = self.aws.ec2.describe_launch_template_versions();
        let answer = call
            .set_launch_template_id(template.id.clone())
            .set_launch_template_name(template.name.clone())
            .versions(&template.version)
            .send()
            .await;
        let version = match answer {
            Ok(answer) => answer.launch_template_versions.unwrap_or_default().into_iter().next(),
            Err(error) => {
                let error = from_sdk("ec2", "DescribeLaunchTemplateVersions", &error);
                // Without a code it never came to an answer.
                return Err(if error.code.is_some() { self.place(error).await } else { error });
            }
        };
        let found = version.and_then(|found| {
            Some(revision(found.launch_template_id()?, &found.version_number()?.to_string()))
        });
        match found {
            Some(found) => Ok(found),
            None => {
                let error = ProviderError::invalid("DescribeLaunchTemplateVersions", "", "");
                Err(self.place(error).await)
            }
        }
    }

    /// An error about the wanted template, at the attribute that it is about.
    async fn place(&self, error: ProviderError) -> ProviderError {
        let template = &self.group.launch_template;
        let base = "auto_scaling_group/launch_template";
        let (by, name) = match (&template.id, &template.name) {
            (Some(id), _) => ("id", id.as_str()),
            (None, name) => ("name", name.as_deref().unwrap_or_default()),
        };
        let code = error.code.clone().unwrap_or_default();
        let is_about_template = code.starts_with("InvalidLaunchTemplate");
        if !code.is_empty() && !is_about_template {
            return error;
        }
        if is_about_template && !code.contains("Version") {
            let words = format!("launch template {name:?} does not exist in {}", self.aws.region);
            let missing = ProviderError::invalid(
                "DescribeLaunchTemplateVersions",
                format!("{base}/{by}"),
                words,
            );
            return ProviderError { code: error.code, ..missing }
                .with_remedy("check it, the region, and the account of the credentials");
        }
        let words = format!("launch template {name:?} has no version {}", template.version);
        let remedy = match self.known_versions().await {
            Some((first, last)) => format!("it has versions {first} to {last}"),
            None => "see its versions with aws ec2 describe-launch-template-versions".to_owned(),
        };
        ProviderError::invalid("DescribeLaunchTemplateVersions", format!("{base}/version"), words)
            .with_remedy(remedy)
    }

    async fn known_versions(&self) -> Option<(i64, i64)> {
        let template = &self.group.launch_template;
        let call = self.aws.ec2.describe_launch_template_versions();
        let answer = call
            .set_launch_template_id(template.id.clone())
            .set_launch_template_name(template.name.clone())
            .send()
            .await
            .ok()?;
        let numbers =
            || answer.launch_template_versions().iter().filter_map(|v| v.version_number());
        Some((numbers().min()?, numbers().max()?))
    }

    /// What `$Latest` or `$Default` stands for, where the group's own template says so.
    async fn aliases(
        &self,
        group: &SdkGroup,
    ) -> Result<BTreeMap<Revision, Revision>, ProviderError> {
        let own = group.launch_template().and_then(convert::specified);
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

    async fn look_up_target_groups(
        &self,
        arns: &[String],
    ) -> Result<Vec<TargetGroup>, ProviderError> {
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let call = self.aws.elb.describe_target_groups();
        let answer =
            call.set_target_group_arns(Some(arns.to_vec())).send().await.map_err(|error| {
                from_sdk("elasticloadbalancing", "DescribeTargetGroups", &error)
            })?;
        let mut groups = Vec::new();
        for described in answer.target_groups() {
            groups.push(self.target_group(described).await?);
        }
        Ok(groups)
    }

    async fn target_group(&self, group: &SdkTargetGroup) -> Result<TargetGroup, ProviderError> {
        let name = group.target_group_name().unwrap_or_default().to_owned();
        let arn = group.target_group_arn().unwrap_or_default();
        // Where it was found, if the document does not name it.
        let given = self.group.target_group_arns.iter().flatten().position(|given| given == arn);
        let place = match given {
            Some(index) => format!("{ARNS}/{index}"),
            None => "auto_scaling_group/name".to_owned(),
        };
        if group.target_type().is_some_and(|kind| *kind != TargetTypeEnum::Instance) {
            let kind = group.target_type().map_or("", TargetTypeEnum::as_str);
            let words =
                format!("target group {name:?} has targets of type {kind:?}, not instances");
            let error = ProviderError::invalid("DescribeTargetGroups", place, words);
            return Err(error.with_remedy("attach a target group of type instance"));
        }
        if group.load_balancer_arns().is_empty() {
            let words = format!("no listener uses target group {name:?}");
            let error = ProviderError::invalid("DescribeTargetGroups", place, words);
            return Err(error.with_remedy(
                "nothing would ever become healthy in it: forward to it from a listener, or \
                 detach it from the group",
            ));
        }
        let call = self.aws.elb.describe_target_group_attributes();
        let answer = call.target_group_arn(arn).send().await.map_err(|error| {
            from_sdk("elasticloadbalancing", "DescribeTargetGroupAttributes", &error)
        })?;
        let drain = answer
            .attributes()
            .iter()
            .find(|attribute| attribute.key() == Some(DRAIN))
            .and_then(|attribute| attribute.value()?.parse().ok())
            .ok_or_else(|| {
                let words = format!("target group {name:?} does not tell its {DRAIN}");
                ProviderError::invalid("DescribeTargetGroupAttributes", &place, words)
            })?;
        let seconds = |value: Option<i32>| u64::try_from(value.unwrap_or_default()).unwrap_or(0);
        let checks = seconds(group.health_check_interval_seconds())
            * seconds(group.healthy_threshold_count());
        Ok(TargetGroup {
            id: TargetGroupId::new(arn),
            name,
            drain: Duration::from_secs(drain),
            register: Duration::from_secs(checks),
        })
    }

    /// Median time of the latest launches, as the group's own activities tell it.
    async fn boot_time(&self) -> Result<Option<Duration>, ProviderError> {
        let call = self.aws.autoscaling.describe_scaling_activities();
        let answer = call
            .auto_scaling_group_name(&self.group.name)
            .max_records(50)
            .send()
            .await
            .map_err(|error| from_sdk("autoscaling", "DescribeScalingActivities", &error))?;
        let mut times: Vec<Duration> = answer
            .activities()
            .iter()
            .filter(|a| a.status_code() == Some(&ScalingActivityStatusCode::Successful))
            .filter(|a| a.description().is_some_and(|words| words.starts_with("Launching")))
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
