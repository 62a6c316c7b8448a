//! Converts how requests are shifted: its rules and defaults.

use super::config::{DurationText, RollingDeploymentConfig, TrafficConfig, seconds_or};
use super::diagnostic::Diagnostic;
use crate::model::spec::TrafficStep;

/// Returns the shares of the requests that the new instances get before all, in ascending order.
pub(crate) fn steps(traffic: &TrafficConfig) -> Vec<TrafficStep> {
    let by_default = || traffic.evaluation_time.clone();
    let step = |percent: u32, time: Option<DurationText>| {
        let evaluation_time =
            seconds_or(&time.or_else(by_default), TrafficStep::DEFAULT.evaluation_time.as_secs());
        TrafficStep { percent, evaluation_time }
    };
    if let Some(steps) = traffic.steps.as_ref().filter(|steps| !steps.is_empty()) {
        return steps.iter().map(|it| step(it.percent, it.evaluation_time.clone())).collect();
    }
    let by = traffic.step_percent.filter(|by| *by > 0);
    let first = traffic.new_version_percent.or(by).unwrap_or(TrafficStep::DEFAULT.percent);
    let percents = std::iter::successors(Some(first), |last| by.map(|by| last.saturating_add(by)));
    percents.take_while(|percent| *percent < 100).map(|percent| step(percent, None)).collect()
}

/// Checks that `traffic` has what the policy needs on this target, and defines its steps once.
pub(super) fn check(config: &RollingDeploymentConfig, pointer: &str, found: &mut Vec<Diagnostic>) {
    if !config.policy.shifts() {
        return;
    }
    check_needed(config, pointer, found);
    let Some(traffic) = &config.traffic else { return };
    let Some(steps) = &traffic.steps else { return };
    for (name, given) in [
        ("new_version_percent", traffic.new_version_percent.is_some()),
        ("step_percent", traffic.step_percent.is_some()),
    ] {
        if given {
            let place = format!("{pointer}/traffic/{name}");
            let message = format!("steps and {name} cannot be used together");
            found.push(Diagnostic::error(place, message).with_remedy("keep one of the two"));
        }
    }
    for (index, pair) in steps.windows(2).enumerate() {
        if pair[1].percent <= pair[0].percent {
            let place = format!("{pointer}/traffic/steps/{}/percent", index + 1);
            let message = format!("must be greater than {}, the previous step", pair[0].percent);
            found.push(Diagnostic::error(place, message));
        }
    }
}

fn check_needed(config: &RollingDeploymentConfig, pointer: &str, found: &mut Vec<Diagnostic>) {
    let traffic = config.traffic.clone().unwrap_or_default();
    let rules = traffic.listener_rule_arns.as_ref();
    let needs = config.auto_scaling_group.is_some();
    for (name, given) in [
        ("second_target_group_arn", traffic.second_target_group_arn.is_some()),
        ("listener_rule_arns", rules.is_some_and(|rules| !rules.is_empty())),
    ] {
        if needs && !given {
            let remedy = "name the target group that new instances serve in first, and the rules \
                          that forward to both";
            let message = super::schema_check::missing(name);
            let at = if config.traffic.is_some() {
                format!("{pointer}/traffic")
            } else {
                pointer.to_owned()
            };
            found.push(Diagnostic::error(at, message).with_remedy(remedy));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::steps;
    use crate::document::config::TrafficConfig;

    #[test]
    fn equal_steps_begin_with_the_first_share_and_end_below_all() {
        let percents = |new_version_percent, step_percent| {
            let traffic =
                TrafficConfig { new_version_percent, step_percent, ..TrafficConfig::default() };
            steps(&traffic).iter().map(|step| step.percent).collect::<Vec<u32>>()
        };
        assert_eq!(percents(None, None), [10]);
        assert_eq!(percents(Some(1), None), [1]);
        assert_eq!(percents(None, Some(25)), [25, 50, 75]);
        assert_eq!(percents(None, Some(30)), [30, 60, 90]);
        assert_eq!(percents(Some(5), Some(40)), [5, 45, 85]);
        assert_eq!(percents(None, Some(99)), [99]);
    }
}
