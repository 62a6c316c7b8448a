//! Target groups: what they are, and what their attributes mean for a rollout.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::types::{
    ProtocolEnum, TargetGroup as SdkTargetGroup, TargetGroupAttribute, TargetTypeEnum,
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

/// How long a Network Load Balancer may send to a target that is deregistered. AWS recommends a
/// deregistration delay of at least that, "to ensure that requests are completed":
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-target-groups.html#deregistration-delay>.
const NETWORK_STOPS_ROUTING: Duration = Duration::from_secs(120);

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
        let attributes = RoutingAttributes::of(answer.attributes(), group.protocol());
        let drain = attributes.drain.ok_or_else(|| {
            let message = format!("target group {name:?} does not tell its {DRAIN}");
            ProviderError::invalid("DescribeTargetGroupAttributes", &place, message)
        })?;
        let seconds = |value: Option<i32>| u64::try_from(value.unwrap_or_default()).unwrap_or(0);
        let checks = seconds(group.health_check_interval_seconds())
            * seconds(group.healthy_threshold_count());
        Ok(TargetGroup {
            id: TargetGroupId::new(arn),
            warnings: attributes.warnings(&name, drain),
            name,
            drain: Duration::from_secs(drain),
            register: Duration::from_secs(checks),
            slow_start: Duration::from_secs(attributes.slow_start),
            stops_routing: attributes.stops_routing,
        })
    }
}

/// What the attributes of a target group say about its targets.
struct RoutingAttributes {
    /// Seconds.
    drain: Option<u64>,
    /// Seconds.
    slow_start: u64,
    stops_routing: Duration,
    /// Connections that are open at the end of the drain stay so, and end with the instance.
    cuts: bool,
    /// Requests stay in the zone in which they arrive.
    keeps_zones: bool,
}

impl RoutingAttributes {
    fn of(found: &[TargetGroupAttribute], protocol: Option<&ProtocolEnum>) -> RoutingAttributes {
        let value = |key: &str| {
            let found = found.iter().find(|attribute| attribute.key() == Some(key));
            found.and_then(|attribute| attribute.value())
        };
        let is_one_of = |some: &[ProtocolEnum]| protocol.is_some_and(|it| some.contains(it));
        let stops_routing = match is_one_of(&OF_NETWORK) {
            true => NETWORK_STOPS_ROUTING,
            false => Duration::ZERO,
        };
        RoutingAttributes {
            drain: value(DRAIN).and_then(|value| value.parse().ok()),
            slow_start: value(SLOW_START).and_then(|value| value.parse().ok()).unwrap_or(0),
            stops_routing,
            cuts: is_one_of(&OF_CONNECTIONS) && value(TERMINATES) == Some("false"),
            keeps_zones: value(CROSS_ZONE) == Some("false"),
        }
    }

    /// Returns warnings for readers of the plan.
    fn warnings(&self, name: &str, drain: u64) -> Vec<String> {
        let mut messages = Vec::new();
        if self.slow_start > 0 {
            messages.push(format!(
                "target group {name} starts targets slowly: a new one gets its full share of the \
                 requests only after {} s",
                self.slow_start
            ));
        }
        if self.cuts {
            messages.push(format!(
                "target group {name} leaves connections open after its deregistration delay of \
                 {drain} s: what is open then is cut when the instance is terminated"
            ));
        }
        if self.keeps_zones {
            messages.push(format!(
                "target group {name} keeps requests in their zone (cross-zone load balancing is \
                 off): while a zone has nobody who serves, its requests fail"
            ));
        }
        messages
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What a target group of this protocol says, whose attributes are those that AWS sets where
    /// nobody does, but for `changed`.
    fn attributes(protocol: &str, changed: &[(&str, &str)]) -> RoutingAttributes {
        let mut all = BTreeMap::from([
            ("deregistration_delay.timeout_seconds", "300"),
            ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
        ]);
        match protocol {
            "HTTP" => all.insert("slow_start.duration_seconds", "0"),
            _ => all.insert("deregistration_delay.connection_termination.enabled", "false"),
        };
        all.extend(changed.iter().copied());
        let attribute = |(key, value): (&str, &str)| {
            TargetGroupAttribute::builder().key(key).value(value).build()
        };
        let all: Vec<_> = all.into_iter().map(attribute).collect();
        RoutingAttributes::of(&all, Some(&ProtocolEnum::from(protocol)))
    }

    #[test]
    fn attributes_that_cost_requests_are_told_and_no_others() {
        let told = |protocol: &str, changed: &[(&str, &str)]| {
            attributes(protocol, changed).warnings("web", 300)
        };
        assert_eq!(told("HTTP", &[]), Vec::<String>::new());
        let slow = told("HTTP", &[("slow_start.duration_seconds", "30")]);
        assert!(slow.len() == 1 && slow[0].contains("only after 30 s"), "{slow:?}");
        let zones = told("HTTP", &[("load_balancing.cross_zone.enabled", "false")]);
        assert!(zones.len() == 1 && zones[0].contains("cross-zone"), "{zones:?}");
        for protocol in ["TCP", "TLS"] {
            let cut = told(protocol, &[]);
            assert!(cut.len() == 1 && cut[0].contains("delay of 300 s"), "{protocol}: {cut:?}");
        }
        let ended = ("deregistration_delay.connection_termination.enabled", "true");
        assert_eq!(told("TCP", &[ended]), Vec::<String>::new());
        // Datagrams have no connections that could be cut.
        assert_eq!(told("UDP", &[]), Vec::<String>::new());
    }

    #[test]
    fn a_network_load_balancer_stops_routing_late_whatever_its_protocol() {
        for protocol in ["TCP", "TLS", "UDP", "TCP_UDP"] {
            assert_eq!(attributes(protocol, &[]).stops_routing.as_secs(), 120, "{protocol}");
        }
        assert_eq!(attributes("HTTPS", &[]).stops_routing, Duration::ZERO);
    }
}
