//! A group that rolls by itself: EC2 Auto Scaling's instance refreshes.

use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_autoscaling::types::{
    AlarmSpecification, DesiredConfiguration, InstanceRefresh as Described, InstanceRefreshStatus,
    LaunchTemplateSpecification, RefreshPreferences as SdkPreferences, ScaleInProtectedInstances,
    StandbyInstances,
};
use rolling_provider::{
    Cancellation, DelegatedRollout, DelegatedRolloutState, DelegatedSettings,
    InstanceRefreshPreferences, ProviderError, Revision, RolloutController, SetAside,
};

use crate::convert::{self, parts};
use crate::error::from_sdk;
use crate::group::AutoScalingGroupFleet;
use crate::mixed;

const KIND: &str = "instance refresh";
const DESCRIBE: &str = "DescribeInstanceRefreshes";
const START: &str = "StartInstanceRefresh";
const CANCEL: &str = "CancelInstanceRefresh";
const ROLL_BACK: &str = "RollbackInstanceRefresh";
/// AWS's code when there is nothing to cancel.
const NONE_ACTIVE: &str = "ActiveInstanceRefreshNotFound";
/// AWS's code when a refresh cannot roll back.
const IRREVERSIBLE: &str = "IrreversibleInstanceRefresh";

#[async_trait]
impl RolloutController for AutoScalingGroupFleet {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn current(&self, id: Option<&str>) -> Result<Option<DelegatedRollout>, ProviderError> {
        let call = self.aws.autoscaling.describe_instance_refreshes();
        let call = call.auto_scaling_group_name(&self.group.name);
        let call = match id {
            Some(id) => call.instance_refresh_ids(id),
            // The newest comes first.
            None => call.max_records(1),
        };
        let answer = call.send().await.map_err(|e| from_sdk("autoscaling", DESCRIBE, &e))?;
        Ok(answer.instance_refreshes().first().map(described))
    }

    async fn start(
        &self,
        to: &Revision,
        settings: &DelegatedSettings,
    ) -> Result<String, ProviderError> {
        let DelegatedSettings::InstanceRefresh(preferences) = settings else {
            return Err(ProviderError::invalid(
                START,
                "",
                "these are no settings of an instance refresh",
            ));
        };
        let Some((template, version)) = parts(to) else {
            let message = format!("{to} is not a launch template version");
            return Err(ProviderError::invalid(START, "", message));
        };
        let template = LaunchTemplateSpecification::builder()
            .launch_template_id(template)
            .version(version)
            .build();
        let known = self.mixed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let desired = match known {
            Some(policy) => {
                let policy = mixed::with(policy, template);
                DesiredConfiguration::builder().mixed_instances_policy(policy)
            }
            None => DesiredConfiguration::builder().launch_template(template),
        };
        let call = self.aws.autoscaling.start_instance_refresh();
        let answer = call
            .auto_scaling_group_name(&self.group.name)
            .desired_configuration(desired.build())
            .preferences(sdk_preferences(preferences))
            .send()
            .await
            .map_err(|error| from_sdk("autoscaling", START, &error))?;
        Ok(answer.instance_refresh_id().unwrap_or_default().to_owned())
    }

    async fn cancel(&self, _id: &str) -> Result<Cancellation, ProviderError> {
        let call = self.aws.autoscaling.cancel_instance_refresh();
        let sent = call.auto_scaling_group_name(&self.group.name).send().await;
        let sent = sent.map_err(|error| from_sdk("autoscaling", CANCEL, &error));
        sent.map(|_| Cancellation::Accepted).or_else(|error| match error.code.as_deref() {
            Some(code) if code.starts_with(NONE_ACTIVE) => Ok(Cancellation::NotNow),
            _ => Err(error),
        })
    }

    async fn roll_back(&self, _id: &str) -> Result<Cancellation, ProviderError> {
        let call = self.aws.autoscaling.rollback_instance_refresh();
        let sent = call.auto_scaling_group_name(&self.group.name).send().await;
        sent.map(|_| Cancellation::Accepted).map_err(|error| {
            let error = from_sdk("autoscaling", ROLL_BACK, &error);
            match error.code.as_deref() {
                Some(code) if code.starts_with(IRREVERSIBLE) => error
                    .with_remedy("end it with rolling abort, then apply the version to go back to"),
                _ => error,
            }
        })
    }
}

/// Converts preferences to the SDK's type.
fn sdk_preferences(preferences: &InstanceRefreshPreferences) -> SdkPreferences {
    let alarms = (!preferences.alarms.is_empty()).then(|| {
        let names = preferences.alarms.iter().cloned().collect();
        AlarmSpecification::builder().set_alarms(Some(names)).build()
    });
    let checkpoints: Vec<i32> = preferences.checkpoints.iter().copied().map(number).collect();
    let has_checkpoints = !checkpoints.is_empty();
    SdkPreferences::builder()
        .min_healthy_percentage(number(preferences.min_healthy))
        .set_max_healthy_percentage(preferences.max_healthy.map(number))
        .set_instance_warmup(preferences.warmup.map(seconds))
        .set_checkpoint_percentages(has_checkpoints.then_some(checkpoints))
        .set_checkpoint_delay(has_checkpoints.then(|| seconds(preferences.checkpoint_delay)))
        .set_bake_time((!preferences.bake_time.is_zero()).then(|| seconds(preferences.bake_time)))
        .set_alarm_specification(alarms)
        .auto_rollback(preferences.rolls_back)
        // Keeps instances that an earlier rollout has replaced.
        .skip_matching(true)
        .scale_in_protected_instances(match preferences.protected {
            SetAside::Refresh => ScaleInProtectedInstances::Refresh,
            SetAside::Ignore => ScaleInProtectedInstances::Ignore,
            SetAside::Wait => ScaleInProtectedInstances::Wait,
        })
        .standby_instances(match preferences.standby {
            SetAside::Refresh => StandbyInstances::Terminate,
            SetAside::Ignore => StandbyInstances::Ignore,
            SetAside::Wait => StandbyInstances::Wait,
        })
        .build()
}

fn described(instance_refresh: &Described) -> DelegatedRollout {
    let desired = instance_refresh.desired_configuration();
    let mixed = || desired?.mixed_instances_policy()?.launch_template();
    let mixed = || mixed()?.launch_template_specification();
    let template = desired.and_then(|desired| desired.launch_template()).or_else(mixed);
    let back = instance_refresh.rollback_details().and_then(|details| details.rollback_reason());
    let message =
        |message: Option<&str>| message.filter(|message| !message.is_empty()).map(str::to_owned);
    let percent = instance_refresh.percentage_complete().unwrap_or_default();
    DelegatedRollout {
        kind: KIND,
        id: instance_refresh.instance_refresh_id().unwrap_or_default().to_owned(),
        state: state(instance_refresh.status()),
        status: instance_refresh.status().map_or("Pending", |status| status.as_str()).to_owned(),
        reason: message(instance_refresh.status_reason()),
        rollback_reason: message(back),
        percent: u32::try_from(percent).unwrap_or_default(),
        started: convert::timestamp(instance_refresh.start_time()).unwrap_or_default(),
        to: template.and_then(convert::specified),
        completed_before: None,
        takes_back: None,
    }
}

/// Converts a status. An unknown status is not an end.
fn state(status: Option<&InstanceRefreshStatus>) -> DelegatedRolloutState {
    match status {
        None | Some(InstanceRefreshStatus::Pending) => DelegatedRolloutState::Pending,
        Some(InstanceRefreshStatus::Baking) => DelegatedRolloutState::Baking,
        Some(InstanceRefreshStatus::Cancelling) => DelegatedRolloutState::Cancelling,
        Some(InstanceRefreshStatus::RollbackInProgress) => DelegatedRolloutState::RollingBack,
        Some(InstanceRefreshStatus::Successful) => DelegatedRolloutState::Succeeded,
        Some(InstanceRefreshStatus::Failed) => DelegatedRolloutState::Failed,
        Some(InstanceRefreshStatus::Cancelled) => DelegatedRolloutState::Cancelled,
        Some(InstanceRefreshStatus::RollbackSuccessful) => DelegatedRolloutState::RolledBack,
        Some(InstanceRefreshStatus::RollbackFailed) => DelegatedRolloutState::RollbackFailed,
        Some(_) => DelegatedRolloutState::Rolling,
    }
}

fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::types::{LaunchTemplate, MixedInstancesPolicy, RollbackDetails};

    use super::*;

    #[test]
    fn a_refresh_is_told_with_its_state_its_target_and_its_reasons() {
        let template =
            LaunchTemplateSpecification::builder().launch_template_id("lt-1").version("2").build();
        let simple = DesiredConfiguration::builder().launch_template(template.clone()).build();
        let mixed = LaunchTemplate::builder().launch_template_specification(template).build();
        let mixed = MixedInstancesPolicy::builder().launch_template(mixed).build();
        let mixed = DesiredConfiguration::builder().mixed_instances_policy(mixed).build();
        for desired in [simple, mixed] {
            let details = RollbackDetails::builder().rollback_reason("alarm web-5xx").build();
            let found = described(
                &Described::builder()
                    .instance_refresh_id("r-1")
                    .status(InstanceRefreshStatus::RollbackInProgress)
                    .status_reason("")
                    .percentage_complete(40)
                    .rollback_details(details)
                    .desired_configuration(desired)
                    .build(),
            );
            assert_eq!((found.state, found.percent), (DelegatedRolloutState::RollingBack, 40));
            assert_eq!(found.to, Some("lt-1:2".into()));
            assert_eq!(found.reason, None);
            assert_eq!(found.rollback_reason.as_deref(), Some("alarm web-5xx"));
        }
        let bare = described(&Described::builder().build());
        assert_eq!((bare.state, bare.to), (DelegatedRolloutState::Pending, None));
        assert!(!state(Some(&InstanceRefreshStatus::from("NewInAWS"))).is_over());
    }

    #[test]
    fn what_is_not_asked_for_is_left_out() {
        let preferences = InstanceRefreshPreferences {
            min_healthy: 100,
            max_healthy: None,
            warmup: None,
            checkpoints: Vec::new(),
            checkpoint_delay: Duration::ZERO,
            bake_time: Duration::ZERO,
            alarms: Default::default(),
            rolls_back: true,
            protected: SetAside::Wait,
            standby: SetAside::Refresh,
        };
        let sdk_preferences = sdk_preferences(&preferences);
        assert_eq!(sdk_preferences.min_healthy_percentage(), Some(100));
        assert_eq!(sdk_preferences.max_healthy_percentage(), None);
        assert_eq!((sdk_preferences.checkpoint_delay(), sdk_preferences.bake_time()), (None, None));
        assert_eq!(sdk_preferences.instance_warmup(), None);
        assert!(
            sdk_preferences.checkpoint_percentages.is_none()
                && sdk_preferences.alarm_specification.is_none()
        );
        assert_eq!(sdk_preferences.standby_instances(), Some(&StandbyInstances::Terminate));
        assert_eq!(
            (sdk_preferences.auto_rollback(), sdk_preferences.skip_matching()),
            (Some(true), Some(true))
        );
    }
}
