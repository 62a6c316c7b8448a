//! Shifts requests by the weights of listener rules.

use std::collections::BTreeSet;

use aws_sdk_elasticloadbalancingv2::types::{Action as RuleAction, Rule, TargetGroupTuple};
use rolling_provider::{
    InstanceId, ProviderError, TargetGroup, TargetGroupId, TargetHealth, TargetState,
};

use crate::connect::Aws;
use crate::convert;
use crate::error::from_sdk;
use crate::keys::MOST_ARNS;

const RULES: &str = "traffic/listener_rule_arns";
const SECOND: &str = "traffic/second_target_group_arn";
const CHECK_ARN: &str = "check the ARN, the region and the account";
/// Error code of AWS for rules that do not exist.
const NO_RULE: &str = "RuleNotFound";

/// Where requests are shifted to, and by which rules.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// The target group that new instances serve in first.
    pub second_target_group_arn: String,
    /// The listener rules that forward to both target groups.
    pub listener_rule_arns: Vec<String>,
    /// The shares of the requests that go there before all, in percent.
    pub percents: Vec<u32>,
}

/// The second target group, and the rules by which requests are shifted to it.
#[derive(Clone, Debug)]
pub(crate) struct Second {
    pub group: TargetGroup,
    /// Whether the target group exists.
    pub is_there: bool,
    /// The rules that forward to both target groups.
    pub rules: Vec<String>,
    /// Warnings for readers of the plan.
    pub warnings: Vec<String>,
    /// What does not exist, or cannot be used to shift requests.
    pub blockers: Vec<ProviderError>,
}

impl Aws {
    /// Returns the second target group, to which `traffic` shifts requests from the one target
    /// group that counts. Problems with it are no errors here: an abort goes on without a rule that
    /// is gone.
    pub(crate) async fn second_target_group(
        &self,
        traffic: &Traffic,
        attached: &[String],
        counted: &[TargetGroup],
    ) -> Result<Second, ProviderError> {
        let second = &traffic.second_target_group_arn;
        let mut blockers = Vec::new();
        let mut hinders = |place: &str, message: String, remedy: &str| {
            let error = ProviderError::invalid("check the listener rules", place, message);
            blockers.push(error.with_remedy(remedy));
        };
        if attached.contains(second) {
            let message = format!("target group {second} is attached to the group");
            let remedy = "detach it: the group registers its instances in all that are attached, \
                          and new ones are to be in the second only";
            hinders(SECOND, message, remedy);
        }
        let found =
            self.target_groups_there(std::slice::from_ref(second), |_| SECOND.into()).await?;
        let is_there = !found.is_empty();
        let group = found.into_iter().next().unwrap_or_else(|| {
            let message = format!("target group {second} does not exist in {}", self.region);
            hinders(SECOND, message, CHECK_ARN);
            let name = second.rsplit('/').nth(1).unwrap_or(second).to_owned();
            let (drain, register, slow_start, stops_routing) = Default::default();
            let (id, warnings) = (TargetGroupId::new(second), Vec::new());
            TargetGroup { id, name, drain, register, slow_start, stops_routing, warnings }
        });
        let (mut rules, mut warnings) = (Vec::new(), Vec::new());
        if let [first] = counted {
            let there = self.rules(&traffic.listener_rule_arns).await?;
            for (index, arn) in traffic.listener_rule_arns.iter().enumerate() {
                let rule = there.iter().find(|rule| rule.rule_arn() == Some(arn.as_str()));
                match self.usable(arn, rule, traffic, first, &group) {
                    Ok(stickiness) => {
                        rules.push(arn.clone());
                        warnings.extend(stickiness);
                    }
                    Err((message, remedy)) => {
                        hinders(&format!("{RULES}/{index}"), message, &remedy);
                    }
                }
            }
        } else {
            let message = format!(
                "requests are shifted from one target group, and {} of the group count",
                counted.len()
            );
            let remedy = "name one with auto_scaling_group.target_group_arns, or attach one";
            hinders(SECOND, message, remedy);
        }
        Ok(Second { group, is_there, rules, warnings, blockers })
    }

    /// Returns why nothing can be shifted to a target group that holds targets other than
    /// `members`: these would get a part of the share.
    pub(crate) async fn others_targets_in(
        &self,
        second: &TargetGroup,
        members: &BTreeSet<InstanceId>,
    ) -> Result<Option<ProviderError>, ProviderError> {
        let arn = second.id.to_string();
        let healths = convert::health(&self.target_healths(&[arn]).await?[0]);
        let gets = |health: &TargetHealth| health.state != TargetState::Draining;
        let others = healths.iter().filter(|(id, health)| gets(health) && !members.contains(*id));
        let others: Vec<String> = others.map(|(id, _)| id.to_string()).collect();
        if others.is_empty() {
            return Ok(None);
        }
        let message = format!(
            "target group {} has targets that are not of the group, which would get requests of the \
             new revision: {}",
            second.name,
            others.join(", ")
        );
        let error =
            ProviderError::invalid("check the target groups", SECOND, message).as_conflict();
        Ok(Some(error.with_remedy("deregister them, or name an empty target group")))
    }

    /// Returns what to warn of where `rule` can shift requests; otherwise why not and what to do.
    fn usable(
        &self,
        arn: &str,
        rule: Option<&Rule>,
        traffic: &Traffic,
        first: &TargetGroup,
        second: &TargetGroup,
    ) -> Result<Option<String>, (String, String)> {
        let Some(rule) = rule else {
            let message = format!("listener rule {arn} does not exist in {}", self.region);
            return Err((message, CHECK_ARN.to_owned()));
        };
        let weights = weights(rule, first.id.as_str(), second.id.as_str()).map_err(|why| {
            let remedy = format!(
                "have it forward to the target groups {} and {} and to no other, with the weights \
                 100 and 0",
                first.name, second.name
            );
            (format!("listener rule {arn} {why}"), remedy)
        })?;
        let cannot = |percent: &&u32| with_share(weights, **percent).is_none();
        if let Some(percent) = traffic.percents.iter().find(cannot) {
            let message = format!(
                "listener rule {arn} has the weights {} and {}, of which {percent} % cannot be made",
                weights.0, weights.1
            );
            return Err((message, "give it the weights 100 and 0".to_owned()));
        }
        Ok(sticks(rule).map(|seconds| {
            format!(
                "listener rule {arn} has clients stick to a target group: for up to {seconds} s \
                 those who came before a shift go where they went, whatever the weights"
            )
        }))
    }

    /// Returns how many percent of the requests each of `rules` sends to the second target group.
    pub(crate) async fn shares(
        &self,
        traffic: &Traffic,
        first: &str,
        rules: &[String],
    ) -> Result<BTreeSet<u32>, ProviderError> {
        let rules = self.rules(rules).await?;
        let share = |rule: &Rule| {
            let arn = rule.rule_arn().unwrap_or_default();
            match weights(rule, first, &traffic.second_target_group_arn) {
                Ok(weights) => Ok(share(weights)),
                Err(why) => {
                    let message = format!("listener rule {arn} {why}");
                    Err(ProviderError::invalid("DescribeRules", RULES, message))
                }
            }
        };
        rules.iter().map(share).collect()
    }

    /// Has each of `rules` send `percent` of the requests to the second target group, if it does
    /// not.
    pub(crate) async fn shift(
        &self,
        traffic: &Traffic,
        first: &str,
        rules: &[String],
        percent: u32,
    ) -> Result<(), ProviderError> {
        // Based on the rules as they are now: all other changes to them stay.
        for rule in self.rules(rules).await? {
            let arn = rule.rule_arn().unwrap_or_default();
            let second = &traffic.second_target_group_arn;
            let found = weights(&rule, first, second).map_err(|why| {
                let message = format!("listener rule {arn} {why}");
                ProviderError::invalid("DescribeRules", RULES, message)
            })?;
            let Some(wanted) = with_share(found, percent) else {
                let message = format!(
                    "listener rule {arn} has the weights {} and {}, of which {percent} % cannot be \
                     made",
                    found.0, found.1
                );
                return Err(ProviderError::invalid("check the listener rules", RULES, message));
            };
            if wanted == found {
                continue;
            }
            let actions = with_weights(&rule, first, wanted);
            // AWS changes the default rule only through its listener.
            if rule.is_default() == Some(true) {
                let call = self.elb.modify_listener().listener_arn(listener(arn));
                let sent = call.set_default_actions(Some(actions)).send().await;
                sent.map_err(|error| from_sdk("elasticloadbalancing", "ModifyListener", &error))?;
            } else {
                let call = self.elb.modify_rule().rule_arn(arn);
                let sent = call.set_actions(Some(actions)).send().await;
                sent.map_err(|error| from_sdk("elasticloadbalancing", "ModifyRule", &error))?;
            }
        }
        Ok(())
    }

    /// Returns those of `arns` that exist.
    async fn rules(&self, arns: &[String]) -> Result<Vec<Rule>, ProviderError> {
        match self.describe_rules(arns).await {
            // If one of them is gone, AWS describes none.
            Err(error) if error.code.as_deref() == Some(NO_RULE) => {}
            found => return found,
        }
        let mut found = Vec::new();
        for arn in arns {
            match self.describe_rules(std::slice::from_ref(arn)).await {
                Err(error) if error.code.as_deref() == Some(NO_RULE) => {}
                rule => found.extend(rule?),
            }
        }
        Ok(found)
    }

    async fn describe_rules(&self, arns: &[String]) -> Result<Vec<Rule>, ProviderError> {
        let mut found = Vec::new();
        // A call without ARNs would describe all rules.
        for chunk in arns.chunks(MOST_ARNS) {
            let sent = self.elb.describe_rules().set_rule_arns(Some(chunk.to_vec())).send().await;
            let answer = sent.map_err(|error| {
                let error = from_sdk("elasticloadbalancing", "DescribeRules", &error);
                let attribute = error.attribute.clone().or(Some(RULES.into()));
                ProviderError { attribute, ..error }
            })?;
            found.extend(answer.rules.unwrap_or_default());
        }
        Ok(found)
    }
}

/// Returns the target groups that `rule` forwards to.
fn forwards(rule: &Rule) -> &[TargetGroupTuple] {
    let mut configs = rule.actions().iter().filter_map(|action| action.forward_config());
    configs.next().map_or(&[], |config| config.target_groups())
}

/// Returns the weights of `first` and `second` in `rule`, or why it does not forward to these two.
fn weights(rule: &Rule, first: &str, second: &str) -> Result<(i32, i32), String> {
    let found = forwards(rule);
    let weight = |arn: &str| {
        let found = found.iter().find(|group| group.target_group_arn() == Some(arn));
        found.map(|found| found.weight().unwrap_or(1))
    };
    match (weight(first), weight(second)) {
        (None, None) => Err("forwards to neither of the two target groups".into()),
        (None, _) => Err(format!("does not forward to target group {first}")),
        (_, None) => Err(format!("does not forward to target group {second}")),
        _ if found.len() > 2 => {
            Err(format!("forwards to {} target groups, and not only to the two", found.len()))
        }
        (Some(0), Some(0)) => Err("forwards to nobody: both weights are 0".into()),
        (Some(first), Some(second)) => Ok((first, second)),
    }
}

/// Returns how many percent go to the second; 0 and 100 only where it is exactly none or all.
fn share((first, second): (i32, i32)) -> u32 {
    let percent = match (first, second) {
        (_, 0) => 0,
        (0, _) => 100,
        (first, second) => (100 * second / (first + second)).clamp(1, 99),
    };
    percent.unsigned_abs()
}

/// Returns the weights that send `percent` to the second. Their sum stays, so that a shift back to
/// 0 % restores the original weights; `None` where no such whole numbers exist.
fn with_share((first, second): (i32, i32), percent: u32) -> Option<(i32, i32)> {
    let (sum, percent) = (first + second, i32::try_from(percent).ok()?);
    (sum * percent % 100 == 0).then(|| (sum - sum * percent / 100, sum * percent / 100))
}

/// Returns the actions of `rule` with other weights, and all else unchanged.
fn with_weights(rule: &Rule, first: &str, weights: (i32, i32)) -> Vec<RuleAction> {
    let mut actions = rule.actions().to_vec();
    for action in &mut actions {
        if let Some(config) = &mut action.forward_config {
            // AWS refuses an action that names the target group twice.
            action.target_group_arn = None;
            for group in config.target_groups.iter_mut().flatten() {
                let is_first = group.target_group_arn() == Some(first);
                group.weight = Some(if is_first { weights.0 } else { weights.1 });
            }
        }
        // AWS does not return the client secret, and keeps it only when asked to.
        if let Some(oidc) = &mut action.authenticate_oidc_config {
            oidc.use_existing_client_secret = Some(true);
        }
    }
    actions
}

/// Returns how long clients stay with the target group that they reached first, in seconds.
fn sticks(rule: &Rule) -> Option<i32> {
    let mut configs = rule.actions().iter().filter_map(|action| action.forward_config());
    let config = configs.next()?.target_group_stickiness_config()?;
    config.enabled().unwrap_or_default().then(|| config.duration_seconds().unwrap_or_default())
}

/// Returns the ARN of the listener of a rule, from the rule's ARN:
/// `...:listener-rule/app/NAME/LOAD-BALANCER/LISTENER/RULE`.
fn listener(rule: &str) -> String {
    let listener = rule.rsplit_once('/').map_or(rule, |(listener, _)| listener);
    listener.replacen(":listener-rule/", ":listener/", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_keep_their_sum_and_come_back() {
        assert_eq!(with_share((100, 0), 10), Some((90, 10)));
        assert_eq!(with_share((90, 10), 100), Some((0, 100)));
        assert_eq!(with_share((0, 100), 0), Some((100, 0)));
        assert_eq!(with_share((1, 0), 100), Some((0, 1)));
        assert_eq!(with_share((10, 0), 30), Some((7, 3)));
        assert_eq!(with_share((1, 0), 10), None);
        assert_eq!(with_share((999, 0), 50), None);
    }

    #[test]
    fn a_share_is_never_called_none_or_all_where_it_is_not() {
        assert_eq!([(100, 0), (0, 5), (999, 1), (1, 999), (3, 1)].map(share), [0, 100, 1, 99, 25]);
    }

    #[test]
    fn the_listener_is_in_the_arn_of_its_rule() {
        let arn = "arn:aws:elasticloadbalancing:eu-west-1:1:listener-rule/app/a/b/c/d";
        assert_eq!(listener(arn), "arn:aws:elasticloadbalancing:eu-west-1:1:listener/app/a/b/c");
    }
}
