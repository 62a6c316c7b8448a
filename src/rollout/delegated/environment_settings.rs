//! How Elastic Beanstalk is told to deploy a version to an environment.

use std::time::Duration;

use rolling_provider::{DeploymentPolicy, EnvironmentSettings, ProviderError, Share, Target};

use crate::model::spec::{BatchSize, Executor, Policy, RollingDeployment, Window};

/// Returns the settings of an update of an environment.
///
/// # Errors
/// When Elastic Beanstalk has no such policy. Documents are checked for that without a cloud.
pub(crate) fn environment_settings(
    spec: &RollingDeployment,
) -> Result<EnvironmentSettings, ProviderError> {
    let (policy, batch) = match spec.policy {
        Policy::AllAtOnce => (DeploymentPolicy::AllAtOnce, None),
        Policy::Rolling(batch) => (DeploymentPolicy::Rolling, Some(share(batch))),
        Policy::RollingWithAdditionalBatch(batch) => {
            (DeploymentPolicy::RollingWithAdditionalBatch, Some(share(batch)))
        }
        Policy::Immutable => (DeploymentPolicy::Immutable, None),
        Policy::TrafficSplitting => (DeploymentPolicy::TrafficSplitting, None),
        Policy::RollingWithin { .. } | Policy::BlueGreen { .. } => {
            let message = format!("Elastic Beanstalk has no policy {}", spec.policy.name());
            return Err(ProviderError::invalid("translate the policy", "policy", message));
        }
    };
    let timeout = match spec.engine {
        Executor::Environment { timeout } => timeout,
        Executor::Rolling | Executor::Controller { .. } | Executor::InstanceRefresh { .. } => None,
    };
    let step = spec.traffic_steps.first().filter(|_| spec.policy == Policy::TrafficSplitting);
    let split = step.map(|step| (step.percent, step.evaluation_time));
    Ok(EnvironmentSettings { policy, batch, timeout, split })
}

fn share(batch: BatchSize) -> Share {
    match batch {
        BatchSize::Fixed(count) => Share::Count(count),
        BatchSize::Percentage(percent) => Share::Percent(percent),
    }
}

/// Returns the sizes of the batches in which an environment of `size` is updated. How Elastic Beanstalk
/// rounds a percentage is not documented: down, and at least one, as this program does.
pub(crate) fn batch_sizes(policy: Policy, size: u32) -> Vec<u32> {
    let window = Window::resolve(policy, size);
    let one = match policy {
        Policy::Immutable if size > 1 => return vec![1, size - 1],
        _ => window.slots().clamp(1, size.max(1)),
    };
    let whole = (size / one) as usize;
    let mut sizes = vec![one; whole];
    let last = size % one;
    sizes.extend((last > 0).then_some(last));
    sizes
}

/// Returns the options that `settings` change on `target`, as phrases.
pub(crate) fn changed_options(target: &Target, settings: &EnvironmentSettings) -> Vec<String> {
    let options = settings.options().into_iter().filter_map(|option| {
        let found = target.options.get(option.name);
        (found != Some(&option.value)).then(|| {
            let was = found.map_or("not set", String::as_str);
            format!("sets {} to {} (is {was})", option.name, option.value)
        })
    });
    options.collect()
}

/// Returns the settings as phrases.
pub(crate) fn environment_phrases(settings: &EnvironmentSettings) -> Vec<String> {
    let batch = settings.batch.map(|batch| match batch {
        Share::Count(count) => format!(" of {count}"),
        Share::Percent(percent) => format!(" of {percent} %"),
    });
    let minutes = |time: Duration| humantime::format_duration(time);
    let mut phrases = vec![format!(
        "DeploymentPolicy {}{}",
        settings.policy.name(),
        batch.map_or(String::new(), |batch| format!(", batches{batch}"))
    )];
    phrases.extend(settings.split.map(|(percent, time)| {
        format!("{percent} % of the requests to the new version for {}", minutes(time))
    }));
    phrases.extend(
        settings
            .timeout
            .map(|timeout| format!("a command on an instance may take {}", minutes(timeout))),
    );
    phrases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::example::target;

    fn spec(policy: Policy) -> RollingDeployment {
        let engine = Executor::Environment { timeout: Some(Duration::from_secs(360)) };
        RollingDeployment { engine, policy, ..RollingDeployment::default() }
    }

    #[test]
    fn every_policy_has_its_options() {
        for (policy, wanted) in [
            (Policy::AllAtOnce, "DeploymentPolicy=AllAtOnce"),
            (
                Policy::Rolling(BatchSize::Percentage(30)),
                "DeploymentPolicy=Rolling BatchSizeType=Percentage BatchSize=30",
            ),
            (
                Policy::RollingWithAdditionalBatch(BatchSize::Fixed(2)),
                "DeploymentPolicy=RollingWithAdditionalBatch BatchSizeType=Fixed BatchSize=2",
            ),
            (Policy::Immutable, "DeploymentPolicy=Immutable"),
            (Policy::TrafficSplitting, "DeploymentPolicy=TrafficSplitting"),
        ] {
            let settings = environment_settings(&spec(policy)).expect("settings");
            let options = settings.options().into_iter();
            let written: Vec<String> =
                options.map(|option| format!("{}={}", option.name, option.value)).collect();
            let split = if settings.split.is_some() {
                " NewVersionPercent=10 EvaluationTime=5"
            } else {
                ""
            };
            assert_eq!(written.join(" "), format!("{wanted} Timeout=360{split}"));
        }
        let blue_green = Policy::BlueGreen { terminate_after: Duration::ZERO };
        let error = environment_settings(&spec(blue_green)).expect_err("no such policy");
        assert_eq!(error.attribute.as_deref(), Some("policy"));
    }

    #[test]
    fn batches_cover_the_fleet() {
        let rolling = Policy::Rolling(BatchSize::Percentage(30));
        assert_eq!(batch_sizes(rolling, 10), [3, 3, 3, 1]);
        assert_eq!(batch_sizes(Policy::AllAtOnce, 4), [4]);
        assert_eq!(batch_sizes(Policy::Immutable, 4), [1, 3]);
        for size in 0..40 {
            for percent in 1..=100 {
                let sizes = batch_sizes(Policy::Rolling(BatchSize::Percentage(percent)), size);
                assert_eq!(sizes.iter().sum::<u32>(), size, "{percent} % of {size}");
            }
        }
    }

    #[test]
    fn only_options_that_differ_are_changed() {
        let settings =
            environment_settings(&spec(Policy::Rolling(BatchSize::Fixed(1)))).expect("settings");
        let mut target = target();
        let known =
            [("DeploymentPolicy", "AllAtOnce"), ("BatchSizeType", "Fixed"), ("BatchSize", "1")];
        target.options =
            known.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(
            changed_options(&target, &settings),
            ["sets DeploymentPolicy to Rolling (is AllAtOnce)", "sets Timeout to 360 (is not set)"]
        );
    }
}
