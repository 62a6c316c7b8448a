//! Which target groups send an instance requests, and why an instance does not serve.

use rolling_provider::{
    Instance, Lifecycle, LifecycleHook, Observation, Target, TargetGroup, TargetState, UpdateState,
};

/// Whether `instance` is healthy where all requests go in the end.
pub(crate) fn is_healthy_in_primary(target: &Target, instance: &Instance) -> bool {
    target.target_groups.iter().all(|group| is_healthy_in(instance, group))
}

/// Whether an `instance` that serves does so where requests go, or can return to at once.
///
/// One that serves only in the second target group is of no use while no requests go there.
pub(crate) fn gets_requests(target: &Target, look: &Observation, instance: &Instance) -> bool {
    let second_gets_some = look.shifted.iter().flatten().any(|percent| *percent > 0);
    let in_second = || target.second.iter().any(|group| is_healthy_in(instance, group));
    is_healthy_in_primary(target, instance)
        || look.shifted.is_none()
        || second_gets_some && in_second()
}

/// Whether `group` says that `instance` takes requests.
pub(crate) fn is_healthy_in(instance: &Instance, group: &TargetGroup) -> bool {
    let health = instance.targets.get(&group.id);
    health.is_some_and(|health| health.state == TargetState::Healthy)
}

/// Describes a hook: `lifecycle hook drain (heartbeat 5m)`.
pub(crate) fn hook_told(hook: &LifecycleHook) -> String {
    format!(
        "lifecycle hook {} (heartbeat {})",
        hook.name,
        humantime::format_duration(hook.heartbeat)
    )
}

/// Says which hooks hold a launch or a termination.
pub(crate) fn held_by_hooks(target: &Target, launches: bool) -> String {
    let hooks: Vec<String> = target.hooks_of(launches).map(hook_told).collect();
    match hooks.is_empty() {
        true => "held by a lifecycle hook".into(),
        false => format!("held by {}", hooks.join(" and ")),
    }
}

/// Returns why an instance does not serve, in the cloud's own words.
pub(crate) fn trouble(target: &Target, instance: &Instance) -> String {
    if let Some(update) = &instance.update {
        return match &update.state {
            UpdateState::Failed(why) => format!("its update to {} failed: {why}", update.to),
            UpdateState::Marked => format!("marked for its update in place to {}", update.to),
            UpdateState::Running | UpdateState::Done => {
                format!("being updated in place to {}", update.to)
            }
        };
    }
    if let Some(trouble) = &instance.trouble {
        return trouble.message.clone();
    }
    if instance.lifecycle != Lifecycle::InService {
        return out_of_service(target, instance);
    }
    // Where requests are shifted, one of the groups is enough.
    let is_in = |group: &&TargetGroup| instance.targets.contains_key(&group.id);
    let somewhere = target.second.is_some() && target.rotation().any(|group| is_in(&group));
    if !somewhere && target.second.is_some() {
        return "not registered in any target group".into();
    }
    let message: Vec<String> = target
        .rotation()
        .filter(|group| is_in(group) || !somewhere)
        .filter_map(|group| match instance.targets.get(&group.id) {
            None => Some(format!("not registered in target group {}", group.name)),
            Some(health) if health.state == TargetState::Healthy => None,
            Some(health) => {
                let mut message = format!("{} in target group {}", state(health.state), group.name);
                let reasons = [&health.reason, &health.description];
                for word in reasons.into_iter().flatten().filter(|word| !word.is_empty()) {
                    message.push_str(": ");
                    message.push_str(word);
                }
                Some(message)
            }
        })
        .collect();
    match (message.is_empty(), instance.healthy) {
        (true, false) => "reported as unhealthy by its group".into(),
        (true, true) => match target.second.as_ref().filter(|group| is_in(group)) {
            Some(second) if !is_healthy_in_primary(target, instance) => {
                format!("healthy in target group {} only", second.name)
            }
            _ => "deregistering from the load balancer".into(),
        },
        (false, _) => message.join("; "),
    }
}

fn out_of_service(target: &Target, instance: &Instance) -> String {
    /// The names that say no more than `Lifecycle` does.
    const PLAIN: [&str; 2] = ["Pending", "Terminating"];
    let name = instance.lifecycle_name.as_deref().filter(|name| !PLAIN.contains(name));
    match (instance.lifecycle, name) {
        (Lifecycle::Pending, _) if instance.in_lifecycle_hook => held_by_hooks(target, true),
        (Lifecycle::Pending, Some(name)) => format!("in state {name}, not in service"),
        (Lifecycle::Pending, None) => "still pending, not in service".into(),
        (Lifecycle::Standby, _) => "in standby".into(),
        (_, Some(name)) => format!("terminating (in state {name})"),
        (_, None) => "terminating".into(),
    }
}

fn state(state: TargetState) -> &'static str {
    match state {
        TargetState::Initial => "initial",
        TargetState::Healthy => "healthy",
        TargetState::Unhealthy => "unhealthy",
        TargetState::Draining => "draining",
        TargetState::Unused => "unused",
        TargetState::Unavailable => "unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::example::target;

    #[test]
    fn what_is_not_in_service_is_told_as_the_cloud_names_it() {
        for (lifecycle, name, message) in [
            (Lifecycle::Pending, None, "still pending, not in service"),
            (Lifecycle::Pending, Some("Pending"), "still pending, not in service"),
            (
                Lifecycle::Pending,
                Some("ReplacingRootVolume"),
                "in state ReplacingRootVolume, not in service",
            ),
            (Lifecycle::Terminating, Some("Terminating"), "terminating"),
            (
                Lifecycle::Terminating,
                Some("Terminating:Retained"),
                "terminating (in state Terminating:Retained)",
            ),
        ] {
            let lifecycle_name = name.map(str::to_owned);
            let instance = Instance { lifecycle, lifecycle_name, ..Instance::serving(None, []) };
            assert_eq!(trouble(&target(), &instance), message);
        }
    }
}
