//! Refuses groups that cannot be rolled, ever or just now, with the reason, before any change.

use std::sync::PoisonError;

use aws_sdk_autoscaling::types::{
    AutoScalingGroup as SdkGroup, InstanceRefresh, InstanceRefreshStatus,
};
use rolling_provider::ProviderError;

use crate::group::AutoScalingGroupFleet;
use crate::observe::record;
use crate::{controllers, mixed};

/// Processes that a rollout needs: without them it would wait for what never comes.
const NEEDED: [&str; 2] = ["Launch", "Terminate"];
/// Needed, too, unless the engine registers the instances itself.
const REGISTERING: &str = "AddToLoadBalancer";
/// Needed where the group refreshes itself.
const INSTANCE_REFRESH: &str = "InstanceRefresh";

impl AutoScalingGroupFleet {
    /// # Errors
    /// The first reason why a group like `group` can never be rolled.
    pub(crate) fn refuse(&self, group: &SdkGroup) -> Result<(), ProviderError> {
        self.refuse_for(controllers::refused(group).or_else(|| unsupported(group)))?;
        let images = mixed::images(group);
        if self.group.image_id.is_none() || images.is_empty() {
            return Ok(());
        }
        let what = format!(
            "has a mixed instances policy whose types have images of their own ({}), which would be \
             launched whatever version the group has",
            images.join(", ")
        );
        let remedy =
            "take ImageId out of the policy's overrides, or give a launch template version";
        self.refuse_for(Some((what, remedy.to_owned())))
    }

    /// # Errors
    /// The first reason why `group` cannot be rolled in its present state.
    pub(crate) async fn refuse_now(&self, group: &SdkGroup) -> Result<(), ProviderError> {
        self.refuse_for(suspended(group, self.group.traffic.is_some()))
            .map_err(ProviderError::as_conflict)?;
        if self.group.is_instance_refresh {
            return self.refuse_suspended_instance_refresh(group);
        }
        let instance_refreshes = match self.lately.instance_refreshes(self.clock.0.now()) {
            Some(instance_refreshes) => instance_refreshes,
            None => self.instance_refreshes().await?,
        };
        let Some(instance_refreshes) = instance_refreshes else { return Ok(()) };
        let running = instance_refreshes.iter().find(|instance_refresh| {
            !matches!(
                instance_refresh.status(),
                None | Some(
                    InstanceRefreshStatus::Successful
                        | InstanceRefreshStatus::Failed
                        | InstanceRefreshStatus::Cancelled
                        | InstanceRefreshStatus::RollbackFailed
                        | InstanceRefreshStatus::RollbackSuccessful
                )
            )
        });
        let Some(instance_refresh) = running else { return Ok(()) };
        let id = instance_refresh.instance_refresh_id().unwrap_or_default();
        let what = format!("has an instance refresh running ({id})");
        let remedy = "wait for it to end, or cancel it with CancelInstanceRefresh";
        self.refuse_for(Some((what, remedy.to_owned()))).map_err(ProviderError::as_conflict)
    }

    /// Refuses a zonal shift: AWS reports its instances healthy, which get no requests, and they
    /// would count as serving.
    pub(crate) fn refuse_zonal_shift(&self) -> Result<(), ProviderError> {
        let away = self.shifted_away.lock().unwrap_or_else(PoisonError::into_inner);
        let ids: Vec<String> = away.iter().map(ToString::to_string).collect();
        let what = (!ids.is_empty()).then(|| {
            format!(
                "has instances in a zone that requests are shifted away from (zonal shift), which \
                 are called healthy and get none: {}",
                ids.join(", ")
            )
        });
        let remedy = "wait until the shift expires, or cancel it with CancelZonalShift";
        self.refuse_for(what.map(|what| (what, remedy.to_owned())))
            .map_err(ProviderError::as_conflict)
    }

    /// Returns the latest instance refresh of the group, if any; `None` on an emulator that knows
    /// no refreshes.
    pub(crate) async fn instance_refreshes(
        &self,
    ) -> Result<Option<Vec<InstanceRefresh>>, ProviderError> {
        let call = self.aws.autoscaling.describe_instance_refreshes();
        let answer = call.auto_scaling_group_name(&self.group.name).max_records(1).send().await;
        let answer =
            self.aws.reached.checked("autoscaling", "DescribeInstanceRefreshes", answer)?;
        Ok(answer.map(|answer| answer.instance_refreshes.unwrap_or_default()))
    }

    fn refuse_for(&self, reason: Option<(String, String)>) -> Result<(), ProviderError> {
        let Some((what, remedy)) = reason else { return Ok(()) };
        let message = format!("auto scaling group {:?} {what}", self.group.name);
        let error = ProviderError::invalid("check the group", "auto_scaling_group/name", message);
        Err(error.with_remedy(remedy))
    }

    /// Refuses a group whose instance refreshes are suspended: a refresh would stand still.
    fn refuse_suspended_instance_refresh(&self, group: &SdkGroup) -> Result<(), ProviderError> {
        let mut suspended = group.suspended_processes().iter().filter_map(|p| p.process_name());
        if suspended.all(|name| name != INSTANCE_REFRESH) {
            return Ok(());
        }
        let what = format!("has suspended {INSTANCE_REFRESH}, without which no refresh goes on");
        self.refuse_for(Some((what, format!("resume {INSTANCE_REFRESH} first"))))
            .map_err(ProviderError::as_conflict)
    }
}

/// Returns what is unsupported about the group, and what to do about it.
fn unsupported(group: &SdkGroup) -> Option<(String, String)> {
    let no = |what: &str, remedy: &str| Some((what.to_owned(), remedy.to_owned()));
    if let Some(status) = group.status() {
        return Some((
            format!("is being deleted (status {status:?})"),
            "choose another group".to_owned(),
        ));
    }
    let templates = mixed::templates(group);
    if !templates.is_empty() {
        return Some((
            format!(
                "has a mixed instances policy whose types have launch templates of their own ({}), \
                 which is not supported: a revision is one version of one template, and it is not \
                 said which version each of these types is to run",
                templates.join(", ")
            ),
            "use one launch template for all types of the policy (an override may have an image of \
             its own, for another architecture), or a group for each template"
                .to_owned(),
        ));
    }
    if group.launch_configuration_name().is_some() || mixed::template(group).is_none() {
        return no(
            "has a launch configuration, which is not supported",
            "move the group to a launch template; AWS has retired launch configurations",
        );
    }
    if group.desired_capacity_type().is_some_and(|kind| kind != "units") {
        return no(
            "counts its capacity in vCPUs or memory, which is not supported yet",
            "set the group's desired capacity type to units",
        );
    }
    if let Some(name) = group.load_balancer_names().first() {
        return Some((
            format!("is attached to the classic load balancer {name:?}, which is not supported"),
            "move it to a target group of an Application or Network Load Balancer".to_owned(),
        ));
    }
    for source in group.traffic_sources() {
        let kind = source.r#type().unwrap_or("elbv2");
        if kind != "elbv2" {
            let name = source.identifier().unwrap_or_default();
            return Some((
                format!("has the traffic source {name:?} of type {kind:?}, which is not supported"),
                "detach it; target groups of type elbv2 are supported".to_owned(),
            ));
        }
    }
    None
}

/// Returns which suspended processes of the group a rollout needs, and what to do about them.
fn suspended(group: &SdkGroup, shifts: bool) -> Option<(String, String)> {
    let suspended = group.suspended_processes().iter().filter_map(|p| p.process_name());
    // If a rollout that shifts requests has suspended it, a later check reports that.
    let ours = || record(group).values().any(|value| value.contains(REGISTERING));
    let needed =
        |name: &&str| NEEDED.contains(name) || (*name == REGISTERING && !shifts && !ours());
    let missing: Vec<&str> = suspended.filter(needed).collect();
    if !missing.is_empty() {
        return Some((
            format!("has suspended {}, without which nothing can be replaced", missing.join(", ")),
            format!("resume {} first", missing.join(", ")),
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::types::builders::AutoScalingGroupBuilder;
    use aws_sdk_autoscaling::types::{
        LaunchTemplate, LaunchTemplateOverrides, LaunchTemplateSpecification, MixedInstancesPolicy,
        SuspendedProcess, TrafficSourceIdentifier,
    };

    use super::*;

    fn supported() -> AutoScalingGroupBuilder {
        let template = LaunchTemplateSpecification::builder().launch_template_id("lt-1").build();
        SdkGroup::builder().launch_template(template)
    }

    #[test]
    fn a_plain_group_is_not_refused_and_every_unsupported_one_is_by_name() {
        assert_eq!(unsupported(&supported().build()), None);
        let lattice = TrafficSourceIdentifier::builder().identifier("x").r#type("vpc-lattice");
        let own = LaunchTemplateSpecification::builder().launch_template_id("lt-2").version("7");
        let own = LaunchTemplateOverrides::builder().launch_template_specification(own.build());
        let own = own.instance_type("c7g.large").build();
        let mixed = LaunchTemplate::builder().overrides(own).build();
        let mixed = MixedInstancesPolicy::builder().launch_template(mixed).build();
        let cases = [
            (
                "templates of their own (c7g.large: lt-2:7)",
                SdkGroup::builder().mixed_instances_policy(mixed),
            ),
            ("launch configuration", SdkGroup::builder().launch_configuration_name("lc")),
            ("launch configuration", SdkGroup::builder()),
            ("vCPUs", supported().desired_capacity_type("vcpu")),
            ("classic load balancer", supported().load_balancer_names("old")),
            ("vpc-lattice", supported().traffic_sources(lattice.build())),
            ("being deleted", supported().status("Delete in progress")),
        ];
        for (message, group) in cases {
            let (what, remedy) = unsupported(&group.build()).expect(message);
            assert!(what.contains(message), "{what}");
            assert!(!remedy.is_empty());
        }
    }

    #[test]
    fn a_process_that_a_rollout_needs_is_named() {
        let without = |name: &str| {
            let process = SuspendedProcess::builder().process_name(name).build();
            supported().suspended_processes(process).build()
        };
        for (name, shifts, is_needed) in [
            ("Launch", false, true),
            ("Terminate", true, true),
            ("AddToLoadBalancer", false, true),
            ("AddToLoadBalancer", true, false),
            ("AZRebalance", false, false),
        ] {
            let found = suspended(&without(name), shifts);
            assert_eq!(found.is_some(), is_needed, "{name}");
            assert!(
                found.is_none_or(|(what, remedy)| what.contains(name) && remedy.contains(name))
            );
        }
    }
}
