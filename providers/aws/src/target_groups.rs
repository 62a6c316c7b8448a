//! Target groups: what they are, and what their attributes mean for a rollout.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::types::{
    ProtocolEnum, TargetGroup as SdkTargetGroup, TargetTypeEnum,
};
use rolling_provider::{ProviderError, TargetGroup, TargetGroupId};

use crate::connect::Aws;
use crate::error::from_sdk;
use crate::keys::MOST_ARNS;

/// Error code of AWS for target groups that do not exist.
const NO_TARGET_GROUP: &str = "TargetGroupNotFound";
const DRAIN: &str = "deregistration_delay.timeout_seconds";
const SLOW_START: &str = "slow_start.duration_seconds";
const TERMINATES: &str = "deregistration_delay.connection_termination.enabled";
const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";
/// Protocols of Network Load Balancers, whose connections may live long.
const OF_CONNECTIONS: [ProtocolEnum; 2] = [ProtocolEnum::Tcp, ProtocolEnum::Tls];
/// Protocols of Network Load Balancers.
const OF_NETWORK: [ProtocolEnum; 4] =
    [ProtocolEnum::Tcp, ProtocolEnum::Tls, ProtocolEnum::Udp, ProtocolEnum::TcpUdp];

/// Target groups, and how their targets are named.
#[derive(Debug, Default)]
pub(crate) struct FoundGroups {
    pub groups: Vec<TargetGroup>,
    /// The ARNs of those whose targets are addresses.
    pub by_address: BTreeSet<String>,
    /// The VPC of the first.
    pub vpc: Option<String>,
}

impl Aws {
    /// Returns the target groups `arns`, whose targets are instances; `place` returns the attribute
    /// that names one.
    pub(crate) async fn target_groups(
        &self,
        arns: &[String],
        place: impl Fn(&str) -> String,
    ) -> Result<Vec<TargetGroup>, ProviderError> {
        let kinds = [TargetTypeEnum::Instance];
        self.target_groups_of(&kinds, arns, place).await.map(|found| found.groups)
    }

    /// Returns the target groups `arns`, whose targets are of these `kinds`.
    pub(crate) async fn target_groups_of(
        &self,
        kinds: &[TargetTypeEnum],
        arns: &[String],
        place: impl Fn(&str) -> String,
    ) -> Result<FoundGroups, ProviderError> {
        let mut found = FoundGroups::default();
        for chunk in arns.chunks(MOST_ARNS) {
            let call = self.elb.describe_target_groups();
            let sent = call.set_target_group_arns(Some(chunk.to_vec())).send().await;
            let answer = sent.map_err(|error| {
                from_sdk("elasticloadbalancing", "DescribeTargetGroups", &error)
            })?;
            for described in answer.target_groups() {
                let arn = described.target_group_arn().unwrap_or_default();
                found.groups.push(self.target_group(described, kinds, place(arn)).await?);
                if described.target_type() == Some(&TargetTypeEnum::Ip) {
                    found.by_address.insert(arn.to_owned());
                }
                found.vpc = found.vpc.or_else(|| described.vpc_id().map(str::to_owned));
            }
        }
        Ok(found)
    }

    /// Returns those of the target groups `arns` that exist.
    pub(crate) async fn target_groups_there(
        &self,
        arns: &[String],
        place: impl Fn(&str) -> String,
    ) -> Result<Vec<TargetGroup>, ProviderError> {
        let is_gone = |error: &ProviderError| error.code.as_deref() == Some(NO_TARGET_GROUP);
        match self.target_groups(arns, &place).await {
            // If one of them is gone, AWS describes none.
            Err(error) if is_gone(&error) => {}
            found => return found,
        }
        let mut found = Vec::new();
        for arn in arns {
            match self.target_groups(std::slice::from_ref(arn), &place).await {
                Err(error) if is_gone(&error) => {}
                group => found.extend(group?),
            }
        }
        Ok(found)
    }

    async fn target_group(
        &self,
        group: &SdkTargetGroup,
        kinds: &[TargetTypeEnum],
        place: String,
    ) -> Result<TargetGroup, ProviderError> {
        let name = group.target_group_name().unwrap_or_default().to_owned();
        let arn = group.target_group_arn().unwrap_or_default();
        refuse_kind(group, kinds, &place)?;
        if group.load_balancer_arns().is_empty() {
            let message = format!("no listener uses target group {name:?}");
            let error = ProviderError::invalid("DescribeTargetGroups", place, message);
            return Err(error.with_remedy(
                "nothing would ever become healthy in it: forward to it from a listener, or roll \
                 without it",
            ));
        }
        let call = self.elb.describe_target_group_attributes();
        let answer = call.target_group_arn(arn).send().await.map_err(|error| {
            from_sdk("elasticloadbalancing", "DescribeTargetGroupAttributes", &error)
        })?;
        let attribute = |key: &str| {
            let found = answer.attributes().iter().find(|attribute| attribute.key() == Some(key));
            found.and_then(|attribute| attribute.value())
        };
        let drain = attribute(DRAIN).and_then(|value| value.parse().ok()).ok_or_else(|| {
            let message = format!("target group {name:?} does not tell its {DRAIN}");
            ProviderError::invalid("DescribeTargetGroupAttributes", &place, message)
        })?;
        let slow_start = attribute(SLOW_START).and_then(|value| value.parse().ok()).unwrap_or(0);
        let cuts = group.protocol().is_some_and(|protocol| OF_CONNECTIONS.contains(protocol))
            && attribute(TERMINATES) == Some("false");
        let is_network = group.protocol().is_some_and(|protocol| OF_NETWORK.contains(protocol));
        let mut warnings = attribute_warnings(
            &name,
            drain,
            slow_start,
            cuts,
            attribute(CROSS_ZONE) == Some("false"),
        );
        warnings.extend((is_network && drain == 0).then(|| never_drains(&name)));
        let seconds = |value: Option<i32>| u64::try_from(value.unwrap_or_default()).unwrap_or(0);
        let checks = seconds(group.health_check_interval_seconds())
            * seconds(group.healthy_threshold_count());
        Ok(TargetGroup {
            id: TargetGroupId::new(arn),
            name,
            drain: Duration::from_secs(drain),
            register: Duration::from_secs(checks),
            slow_start: Duration::from_secs(slow_start),
            warnings,
        })
    }
}

/// Refuses a target group whose targets are of none of these `kinds`.
fn refuse_kind(
    group: &SdkTargetGroup,
    kinds: &[TargetTypeEnum],
    place: &str,
) -> Result<(), ProviderError> {
    let Some(kind) = group.target_type().filter(|kind| !kinds.contains(kind)) else {
        return Ok(());
    };
    let name = group.target_group_name().unwrap_or_default();
    let wanted: Vec<&str> = kinds.iter().map(TargetTypeEnum::as_str).collect();
    let wanted = wanted.join(" or ");
    let kind = kind.as_str();
    let message = format!("target group {name:?} has targets of type {kind:?}, not {wanted}");
    let error = ProviderError::invalid("DescribeTargetGroups", place, message);
    Err(error.with_remedy(format!("use a target group of type {wanted}")))
}

/// Warns of a target group of a Network Load Balancer without any deregistration delay.
fn never_drains(name: &str) -> String {
    format!(
        "target group {name} has a deregistration delay of 0 s: its Network Load Balancer may still \
         send flows to an instance that is terminated at once; set the delay, or \
         health.min_drain_time"
    )
}

/// Returns warnings about a target group's attributes, for readers of the plan.
fn attribute_warnings(
    name: &str,
    drain: u64,
    slow_start: u64,
    cuts: bool,
    keeps_zones: bool,
) -> Vec<String> {
    let mut message = Vec::new();
    if slow_start > 0 {
        message.push(format!(
            "target group {name} starts targets slowly: a new one gets its full share of the \
             requests only after {slow_start} s"
        ));
    }
    if cuts {
        message.push(format!(
            "target group {name} leaves connections open after its deregistration delay of {drain} \
             s: what is open then is cut when the instance is terminated"
        ));
    }
    if keeps_zones {
        message.push(format!(
            "target group {name} keeps requests in their zone (cross-zone load balancing is off): \
             while a zone has nobody who serves, its requests fail"
        ));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::attribute_warnings;

    #[test]
    fn attributes_that_cost_requests_are_told_and_no_others() {
        assert_eq!(attribute_warnings("web", 300, 0, false, false), Vec::<String>::new());
        let message = attribute_warnings("web", 300, 30, true, true);
        assert_eq!(message.len(), 3);
        assert!(message[0].contains("only after 30 s"), "{message:?}");
        assert!(message[1].contains("delay of 300 s"), "{message:?}");
        assert!(message[2].contains("cross-zone"), "{message:?}");
    }
}
