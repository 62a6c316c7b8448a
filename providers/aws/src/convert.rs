//! Converts the SDK's types to the port's, purely.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_autoscaling::types::{
    Activity as SdkActivity, Instance as SdkInstance, LaunchTemplateSpecification,
    LifecycleHook as SdkLifecycleHook, LifecycleState, ScalingActivityStatusCode,
    ScheduledUpdateGroupAction,
};
use aws_sdk_elasticloadbalancingv2::types::{
    TargetAdministrativeOverrideStateEnum, TargetHealth as SdkHealth, TargetHealthDescription,
    TargetHealthReasonEnum, TargetHealthStateEnum,
};
use rolling_provider::{
    Activity, ActivityKind, InstanceId, Lifecycle, LifecycleHook, Revision, ScheduledAction,
    TargetHealth, TargetState, Timestamp,
};

/// Returns the revision `LAUNCH_TEMPLATE_ID:VERSION`.
pub(crate) fn revision(template: &str, version: &str) -> Revision {
    Revision::new(format!("{template}:{version}"))
}

/// Returns the template and the version of a revision that [`revision`] made.
pub(crate) fn parts(revision: &Revision) -> Option<(&str, &str)> {
    revision.as_str().rsplit_once(':')
}

/// Returns the revision of a launch template specification, and keeps aliases.
pub(crate) fn specified(template: &LaunchTemplateSpecification) -> Option<Revision> {
    // A group that names no version launches the default one.
    let version = template.version().unwrap_or("$Default");
    Some(revision(template.launch_template_id()?, version))
}

/// Returns the revision that an instance runs; `None` without a numeric version.
pub(crate) fn instance_revision(instance: &SdkInstance) -> Option<Revision> {
    let template = instance.launch_template()?;
    let version = template.version().filter(|version| version.parse::<u64>().is_ok())?;
    Some(revision(template.launch_template_id()?, version))
}

/// Converts a lifecycle state; `None` in a warm pool, which is not part of the fleet.
pub(crate) fn lifecycle(state: Option<&LifecycleState>) -> Option<Lifecycle> {
    let state = state?;
    if state.as_str().starts_with("Warmed:") {
        return None;
    }
    Some(match state {
        LifecycleState::InService => Lifecycle::InService,
        LifecycleState::Standby | LifecycleState::EnteringStandby => Lifecycle::Standby,
        state if state.as_str().starts_with("Pending") => Lifecycle::Pending,
        state if state.as_str().starts_with("ReplacingRootVolume") => Lifecycle::Pending,
        LifecycleState::RootVolumeReplaced => Lifecycle::Pending,
        _ => Lifecycle::Terminating,
    })
}

/// Whether a lifecycle hook holds an instance in this state.
pub(crate) fn is_held(state: Option<&LifecycleState>) -> bool {
    state.is_some_and(|state| ["Pending:Wait", "Terminating:Wait"].contains(&state.as_str()))
}

/// Returns the next run of a scheduled action; `None` if it has none.
pub(crate) fn scheduled(action: &ScheduledUpdateGroupAction) -> Option<ScheduledAction> {
    let size = |size: Option<i32>| size.and_then(|size| u32::try_from(size).ok());
    Some(ScheduledAction {
        name: action.scheduled_action_name()?.to_owned(),
        at: timestamp(action.start_time())?,
        min: size(action.min_size()),
        max: size(action.max_size()),
        desired: size(action.desired_capacity()),
    })
}

/// Returns a lifecycle hook. A group gives both times in answers; the defaults are AWS's:
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_LifecycleHook.html>.
pub(crate) fn lifecycle_hook(hook: &SdkLifecycleHook) -> Option<LifecycleHook> {
    let seconds = |seconds: Option<i32>| {
        seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)
    };
    let heartbeat = seconds(hook.heartbeat_timeout()).unwrap_or(Duration::from_secs(3600));
    let two_days = Duration::from_secs(48 * 3600);
    Some(LifecycleHook {
        name: hook.lifecycle_hook_name()?.to_owned(),
        launches: hook.lifecycle_transition() == Some(LAUNCHING),
        heartbeat,
        longest: seconds(hook.global_timeout()).unwrap_or(two_days.min(heartbeat * 100)),
    })
}

const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";

/// Returns the targets that get no requests because of a zonal shift away from their zone.
///
/// An operator or AWS itself starts the shift. The targets are reported as healthy all the same.
pub(crate) fn shifted_away(described: &[TargetHealthDescription]) -> BTreeSet<InstanceId> {
    let away = |target: &&TargetHealthDescription| {
        let state = target.administrative_override().and_then(|it| it.state());
        state == Some(&TargetAdministrativeOverrideStateEnum::ZonalShiftActive)
    };
    let ids = described.iter().filter(away).filter_map(|target| target.target()?.id());
    ids.map(InstanceId::new).collect()
}

/// Returns the health by instance.
///
/// An instance that is registered on several ports has the worst health of them. An instance that
/// is not registered is left out.
pub(crate) fn health(
    descriptions: &[TargetHealthDescription],
) -> BTreeMap<InstanceId, TargetHealth> {
    let mut worst: BTreeMap<InstanceId, TargetHealth> = BTreeMap::new();
    for description in descriptions {
        let (Some(id), Some(health)) =
            (description.target().and_then(|target| target.id()), description.target_health())
        else {
            continue;
        };
        if health.reason() == Some(&TargetHealthReasonEnum::NotRegistered) {
            continue;
        }
        let health = target_health(health);
        worst
            .entry(InstanceId::new(id))
            .and_modify(|known| {
                if badness(health.state) > badness(known.state) {
                    known.clone_from(&health);
                }
            })
            .or_insert(health);
    }
    worst
}

/// Converts a scaling activity.
pub(crate) fn activity(activity: &SdkActivity) -> Activity {
    let code = activity.status_code();
    let failed = matches!(
        code,
        Some(ScalingActivityStatusCode::Failed | ScalingActivityStatusCode::Cancelled)
    );
    // Without the wait for capacity, which may last for hours.
    let is_under_way = matches!(
        code,
        Some(
            ScalingActivityStatusCode::InProgress
                | ScalingActivityStatusCode::PreInService
                | ScalingActivityStatusCode::WaitingForInstanceId
        )
    );
    let succeeded = code == Some(&ScalingActivityStatusCode::Successful);
    let ended = timestamp(activity.end_time()).filter(|_| succeeded);
    // https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-healthchecks.html
    let is_unhealthy = |cause: &str| cause.contains("ELB system health check failure");
    let is_launch = activity.description().is_some_and(|message| message.starts_with("Launching"));
    let kind = match ended {
        _ if is_launch && is_under_way => ActivityKind::Launching,
        Some(ended) if is_launch => ActivityKind::Launched(ended),
        _ if !is_launch && !failed && activity.cause().is_some_and(is_unhealthy) => {
            ActivityKind::RemovedUnhealthy
        }
        _ => ActivityKind::Other,
    };
    let message = activity.status_message().filter(|message| failed && !message.is_empty());
    let instance = activity.description().and_then(|description| {
        let message = description.split([' ', ':', ',']);
        message.filter(|word| word.starts_with("i-")).map(InstanceId::new).next()
    });
    Activity {
        at: timestamp(activity.start_time()).unwrap_or_default(),
        instance,
        failed,
        kind,
        cause: message.or(activity.cause()).unwrap_or_default().to_owned(),
    }
}

/// Converts a time to milliseconds since the epoch.
pub(crate) fn timestamp(
    time: Option<&aws_sdk_autoscaling::primitives::DateTime>,
) -> Option<Timestamp> {
    time?.to_millis().ok().and_then(|millis| u64::try_from(millis).ok()).map(Timestamp)
}

fn target_health(health: &SdkHealth) -> TargetHealth {
    let state = match health.state() {
        Some(TargetHealthStateEnum::Healthy) => TargetState::Healthy,
        Some(TargetHealthStateEnum::Initial) => TargetState::Initial,
        // A Network Load Balancer lets connections to an unhealthy target finish. The target stays
        // registered, and is healthy again when its checks pass.
        Some(TargetHealthStateEnum::Unhealthy | TargetHealthStateEnum::UnhealthyDraining) => {
            TargetState::Unhealthy
        }
        Some(TargetHealthStateEnum::Draining) => TargetState::Draining,
        Some(TargetHealthStateEnum::Unused) => TargetState::Unused,
        _ => TargetState::Unavailable,
    };
    TargetHealth {
        state,
        reason: health.reason().map(|reason| reason.as_str().to_owned()),
        description: health.description().map(str::to_owned),
    }
}

/// Returns the rank of a state among those of several ports.
///
/// Every other state hides healthy, and draining is not over while one port drains.
fn badness(state: TargetState) -> u8 {
    match state {
        TargetState::Healthy => 0,
        TargetState::Unused => 1,
        TargetState::Unavailable => 2,
        TargetState::Initial => 3,
        TargetState::Unhealthy => 4,
        TargetState::Draining => 5,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::types::TargetDescription;

    use super::*;

    fn described(
        id: &str,
        port: i32,
        state: TargetHealthStateEnum,
        reason: Option<TargetHealthReasonEnum>,
    ) -> TargetHealthDescription {
        TargetHealthDescription::builder()
            .target(TargetDescription::builder().id(id).port(port).build())
            .target_health(SdkHealth::builder().state(state).set_reason(reason).build())
            .build()
    }

    #[test]
    fn an_instance_on_two_ports_has_the_worse_health() {
        let found = health(&[
            described("i-1", 80, TargetHealthStateEnum::Healthy, None),
            described("i-1", 81, TargetHealthStateEnum::Initial, None),
            described("i-2", 80, TargetHealthStateEnum::Draining, None),
            described("i-2", 81, TargetHealthStateEnum::Healthy, None),
        ]);
        assert_eq!(found[&InstanceId::new("i-1")].state, TargetState::Initial);
        assert_eq!(found[&InstanceId::new("i-2")].state, TargetState::Draining);
    }

    #[test]
    fn one_that_a_network_load_balancer_drains_for_it_is_unhealthy_has_not_left() {
        let state = TargetHealthStateEnum::UnhealthyDraining;
        let found = health(&[described("i-1", 80, state, None)]);
        assert_eq!(found[&InstanceId::new("i-1")].state, TargetState::Unhealthy);
    }

    #[test]
    fn a_target_that_is_not_registered_is_left_out() {
        let reason = Some(TargetHealthReasonEnum::NotRegistered);
        assert!(health(&[described("i-1", 80, TargetHealthStateEnum::Unused, reason)]).is_empty());
    }

    #[test]
    fn lifecycle_states_fall_into_the_four_kinds_and_warm_ones_into_none() {
        let of = |state: &str| lifecycle(Some(&LifecycleState::from(state)));
        assert_eq!(of("Pending:Wait"), Some(Lifecycle::Pending));
        assert_eq!(of("InService"), Some(Lifecycle::InService));
        assert_eq!(of("EnteringStandby"), Some(Lifecycle::Standby));
        for state in ["Terminating:Wait", "Terminated", "Detaching", "Quarantined", "NewInAWS"] {
            assert_eq!(of(state), Some(Lifecycle::Terminating), "{state}");
        }
        assert_eq!(of("Warmed:Stopped"), None);
    }

    #[test]
    fn a_failed_activity_tells_its_status_message_and_others_their_cause() {
        let failed = SdkActivity::builder()
            .status_code(ScalingActivityStatusCode::Failed)
            .status_message("InsufficientInstanceCapacity")
            .description("Launching a new EC2 instance.  Status Reason: no capacity")
            .cause("a user request")
            .build();
        assert_eq!(activity(&failed).cause, "InsufficientInstanceCapacity");
        assert_eq!(
            (activity(&failed).instance, activity(&failed).kind),
            (None, ActivityKind::Other)
        );
        let launching = SdkActivity::builder()
            .status_code(ScalingActivityStatusCode::PreInService)
            .description("Launching a new EC2 instance: i-0def")
            .build();
        assert_eq!(activity(&launching).kind, ActivityKind::Launching);
        let launched = SdkActivity::builder()
            .status_code(ScalingActivityStatusCode::Successful)
            .end_time(aws_sdk_autoscaling::primitives::DateTime::from_secs(7))
            .description("Launching a new EC2 instance: i-0def")
            .build();
        assert_eq!(activity(&launched).kind, ActivityKind::Launched(Timestamp(7_000)));
        let ended = SdkActivity::builder()
            .status_code(ScalingActivityStatusCode::Successful)
            .description("Terminating EC2 instance: i-0abc")
            .cause("an instance was taken out of service in response to an ELB system health check failure")
            .build();
        assert_eq!(activity(&ended).kind, ActivityKind::RemovedUnhealthy);
        assert!(activity(&ended).cause.ends_with("an ELB system health check failure"));
        assert_eq!(activity(&ended).instance, Some("i-0abc".into()));
    }

    #[test]
    fn a_revision_is_split_at_its_last_colon() {
        assert_eq!(parts(&"lt-1:$Latest".into()), Some(("lt-1", "$Latest")));
    }
}
