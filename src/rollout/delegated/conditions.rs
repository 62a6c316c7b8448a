//! What keeps a rollout of the platform's own from beginning.

use rolling_provider::{Observation, ProviderError, Target};

use super::environment_settings::environment_settings;
use super::follow::old;
use super::instance_refresh::preferences;
use crate::model::spec::{Executor, OnFailure, Policy, RollingDeployment};

/// Refuses what stands in the way of a rollout of a fleet of `size`.
///
/// # Errors
/// Names the attribute that asks for what the platform does not do, and what to do about it.
pub(crate) fn refuse(
    spec: &RollingDeployment,
    target: &Target,
    look: &Observation,
    size: u32,
) -> Result<(), ProviderError> {
    match spec.engine {
        Executor::Environment { .. } => refuse_update(spec, target),
        Executor::Rolling | Executor::Controller { .. } | Executor::InstanceRefresh { .. } => {
            refuse_refresh(spec, target, look, size)
        }
    }
}

/// Refuses a policy that an environment of this kind does not have
/// (<https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/using-features.rolling-version-deploy.html>).
fn refuse_update(spec: &RollingDeployment, target: &Target) -> Result<(), ProviderError> {
    environment_settings(spec)?;
    let is = |name: &str, value: &str| {
        target.options.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    let has_balancer = is("LoadBalancerType", "application");
    let why = match spec.policy {
        Policy::AllAtOnce | Policy::Immutable => None,
        _ if is("EnvironmentType", "SingleInstance") => {
            Some(("a single instance", "choose all_at_once or immutable"))
        }
        Policy::TrafficSplitting if is("Tier", "Worker") => {
            Some(("the worker tier", "choose another policy: workers take no requests"))
        }
        Policy::TrafficSplitting if !has_balancer => {
            Some(("no Application Load Balancer", "choose immutable"))
        }
        _ => None,
    };
    let Some((kind, remedy)) = why else { return Ok(()) };
    let message =
        format!("the environment has {kind}, and no policy {} for it", spec.policy.name());
    Err(ProviderError::invalid("check the environment", "policy", message).with_remedy(remedy))
}

/// Refuses what stands in the way of a refresh of a group of `size`.
fn refuse_refresh(
    spec: &RollingDeployment,
    target: &Target,
    look: &Observation,
    size: u32,
) -> Result<(), ProviderError> {
    preferences(spec, size)?;
    let refuse = |attribute: &str, message: String, remedy: &str| {
        let error = ProviderError::invalid("check the group", attribute, message);
        Err(error.with_remedy(remedy))
    };
    if let Some((id, _)) = old(spec, target, look).find(|(_, instance)| instance.ignored) {
        let message =
            format!("{id} is tagged rolling:ignore, but an instance refresh would replace it");
        let remedy = "remove the tag, protect it from scale-in with scale_in_protected_instances = \
                      \"ignore\", or roll with engine rolling";
        return refuse("engine", message, remedy);
    }
    if spec.on_failure != OnFailure::Rollback {
        return Ok(());
    }
    let template = look.template.as_ref();
    if let Some(alias) = template.filter(|found| target.aliases.contains_key(found)) {
        let message = format!(
            "the group launches {alias}, and an instance refresh cannot roll back to an alias"
        );
        let remedy = "set the group's launch template to a version by number, or choose \
                      on_failure stop";
        return refuse("on_failure", message, remedy);
    }
    if let Some(why) = &target.no_auto_rollback {
        let message = format!("{why}, so AWS cannot roll the refresh back");
        let remedy = "name the image by its id, choose on_failure stop, or roll with engine \
                      rolling";
        return refuse("on_failure", message, remedy);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::rollout::example::{look, target, with_instance};

    #[test]
    fn what_aws_does_not_heed_or_could_not_take_back_is_refused_by_name() {
        let (spec, target) = (example::spec(), target());
        let stays = RollingDeployment { on_failure: OnFailure::Stop, ..spec.clone() };
        let attribute = |spec: &RollingDeployment, target: &Target, look: &Observation| {
            let refused = refuse(spec, target, look, 4).err();
            refused.map(|error| error.attribute.unwrap_or_default())
        };
        let old = with_instance(look("lt-1:1"), "i-1", "lt-1:1");
        assert_eq!(attribute(&spec, &target, &old), None);

        let mut ignored = old.clone();
        ignored.instances.values_mut().for_each(|instance| instance.ignored = true);
        assert_eq!(attribute(&spec, &target, &ignored).as_deref(), Some("engine"));

        let alias = Observation { template: Some("lt-1:$Latest".into()), ..old.clone() };
        assert_eq!(attribute(&spec, &target, &alias).as_deref(), Some("on_failure"));
        assert_eq!(attribute(&stays, &target, &alias), None);

        let no_way_back = Some("the image is a parameter".to_owned());
        let target = Target { no_auto_rollback: no_way_back, ..target };
        assert_eq!(attribute(&spec, &target, &old).as_deref(), Some("on_failure"));
        assert_eq!(attribute(&stays, &target, &old), None);
    }
}
