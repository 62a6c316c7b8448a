//! Rules of an Elastic Beanstalk environment as a target, where they span attributes. What it does not
//! support stands in [`super::config::UNSUPPORTED`].

use std::time::Duration;

use super::config::target::ElasticBeanstalkEnvironmentConfig as EnvironmentConfig;
use super::config::{
    DurationText, HealthConfig, OnFailureName, PolicyName, RollingDeploymentConfig,
};
use super::diagnostic::Diagnostic;

/// What Elastic Beanstalk waits beyond the option `Timeout`, which is from 1 s to an hour
/// (<https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/command-options-general.html>).
const BEYOND_TIMEOUT: Duration = Duration::from_secs(240);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);
/// How long requests may be split: from 3 minutes to ten hours.
const EVALUATION: std::ops::RangeInclusive<u64> = 3..=600;

/// Returns how long a command on an instance may take, of what the document says about health.
pub(super) fn command_timeout(health: &HealthConfig) -> Option<Duration> {
    let given = health.healthy_timeout.as_ref().map(DurationText::get)?;
    Some(Duration::from_secs(given.saturating_sub(BEYOND_TIMEOUT).as_secs()))
}

pub(super) fn check(config: &RollingDeploymentConfig, pointer: &str, found: &mut Vec<Diagnostic>) {
    let Some(environment) = &config.elastic_beanstalk_environment else { return };
    let place = format!("{pointer}/elastic_beanstalk_environment");
    let EnvironmentConfig { name, version_label } = environment;
    if !is_name(name) {
        let message = format!("{name:?} is no name of an environment");
        let remedy = "it has 4 to 40 letters, digits and hyphens, and no hyphen at either end";
        let at = format!("{place}/name");
        found.push(Diagnostic::error(at, message).with_remedy(remedy));
    }
    let is_label = (1..=100).contains(&version_label.chars().count())
        && !version_label.contains(char::is_control);
    if !is_label {
        let message = format!("{version_label:?} is no version label");
        let at = format!("{place}/version_label");
        found.push(Diagnostic::error(at, message).with_remedy("it has 1 to 100 characters"));
    }
    let timeout = config.health.as_ref().and_then(|health| health.healthy_timeout.as_ref());
    let limits = BEYOND_TIMEOUT + Duration::from_secs(1)..=BEYOND_TIMEOUT + LONGEST_TIMEOUT;
    if timeout.is_some_and(|timeout| !limits.contains(&timeout.get())) {
        let message = "Elastic Beanstalk waits for a command on an instance for 4m1s to 1h4m";
        let at = format!("{pointer}/health/healthy_timeout");
        found.push(Diagnostic::error(at, message).with_remedy("choose a time between them"));
    }
    let goes_back = matches!(config.policy, PolicyName::Immutable | PolicyName::TrafficSplitting);
    if goes_back && config.on_failure == Some(OnFailureName::Stop) {
        let message = "Elastic Beanstalk goes back by itself with this policy";
        let at = format!("{pointer}/on_failure");
        let remedy = "remove it, or choose a policy that deploys in place";
        found.push(Diagnostic::error(at, message).with_remedy(remedy));
    }
    let time = config.traffic.as_ref().and_then(|traffic| traffic.evaluation_time.as_ref());
    let is_whole = |time: Duration| {
        time.as_secs().is_multiple_of(60) && time.subsec_nanos() == 0 && {
            EVALUATION.contains(&(time.as_secs() / 60))
        }
    };
    if time.is_some_and(|time| !is_whole(time.get())) {
        let message = "Elastic Beanstalk splits requests for whole minutes, from 3m to 10h";
        let at = format!("{pointer}/traffic/evaluation_time");
        found.push(Diagnostic::error(at, message).with_remedy("choose such a time"));
    }
}

/// Whether `name` is one that an environment may have
/// (<https://docs.aws.amazon.com/elasticbeanstalk/latest/api/API_CreateEnvironment.html>).
fn is_name(name: &str) -> bool {
    (4..=40).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::convert::deployment;
    use crate::model::spec::Executor;

    fn refused(more: &Value) -> Vec<String> {
        let mut config = json!({
            "policy": "Rolling", "batch_size_type": "Percentage", "batch_size": 30,
            "elastic_beanstalk_environment": { "name": "web-prod", "version_label": "v42" },
        });
        for (key, value) in more.as_object().expect("attributes") {
            config[key] = value.clone();
        }
        let found = deployment(&config, "").err().unwrap_or_default();
        found.into_iter().map(|finding| finding.pointer).collect()
    }

    #[test]
    fn what_elastic_beanstalk_does_not_do_is_refused_by_name() {
        assert_eq!(refused(&json!({})), Vec::<String>::new());
        for (more, at) in [
            (json!({ "health": { "healthy_timeout": "4m" } }), "/health/healthy_timeout"),
            (json!({ "health": { "healthy_timeout": "2h" } }), "/health/healthy_timeout"),
            (json!({ "health": { "min_healthy_time": "10s" } }), "/health/min_healthy_time"),
            (json!({ "engine": "rolling" }), "/engine"),
            (json!({ "on_failure": "pause" }), "/on_failure"),
            (json!({ "gates": { "bake_time": "5m" } }), "/gates/bake_time"),
            (
                json!({
                    "policy": "Immutable", "batch_size_type": null, "batch_size": null,
                    "on_failure": "stop",
                }),
                "/on_failure",
            ),
            (
                json!({
                    "policy": "TrafficSplitting", "batch_size_type": null, "batch_size": null,
                    "traffic": { "evaluation_time": "90s" },
                }),
                "/traffic/evaluation_time",
            ),
        ] {
            assert_eq!(refused(&more), [at], "{more}");
        }
    }

    #[test]
    fn a_timeout_is_what_elastic_beanstalk_adds_to() {
        let config = json!({
            "policy": "AllAtOnce", "health": { "healthy_timeout": "10m" },
            "elastic_beanstalk_environment": { "name": "web-prod", "version_label": "v42" },
        });
        let (_, spec) = deployment(&config, "").expect("a deployment");
        let timeout = Some(std::time::Duration::from_secs(360));
        assert_eq!(spec.engine, Executor::Environment { timeout });
    }
}
