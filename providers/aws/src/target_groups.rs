//! Target groups: what they are, and who is healthy in them.

use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::types::{TargetGroup as SdkTargetGroup, TargetTypeEnum};
use rolling_provider::{ProviderError, TargetGroup, TargetGroupId};

use crate::connect::Aws;
use crate::error::from_sdk;

/// What AWS says of target groups that are not there.
const NO_TARGET_GROUP: &str = "TargetGroupNotFound";
/// Elastic Load Balancing describes at most so many by name at once: "Maximum number of items: 20".
pub(crate) const MOST_ARNS: usize = 20;
const DRAIN: &str = "deregistration_delay.timeout_seconds";

impl Aws {
    /// The target groups `arns`; `place` says which attribute names one.
    pub(crate) async fn target_groups(
        &self,
        arns: &[String],
        place: impl Fn(&str) -> String,
    ) -> Result<Vec<TargetGroup>, ProviderError> {
        let mut groups = Vec::new();
        for chunk in arns.chunks(MOST_ARNS) {
            let call = self.elb.describe_target_groups();
            let sent = call.set_target_group_arns(Some(chunk.to_vec())).send().await;
            let answer = sent.map_err(|error| {
                from_sdk("elasticloadbalancing", "DescribeTargetGroups", &error)
            })?;
            for described in answer.target_groups() {
                let place = place(described.target_group_arn().unwrap_or_default());
                groups.push(self.target_group(described, place).await?);
            }
        }
        Ok(groups)
    }

    /// Those of the target groups `arns` that are there.
    pub(crate) async fn target_groups_there(
        &self,
        arns: &[String],
        place: impl Fn(&str) -> String,
    ) -> Result<Vec<TargetGroup>, ProviderError> {
        let is_gone = |error: &ProviderError| error.code.as_deref() == Some(NO_TARGET_GROUP);
        match self.target_groups(arns, &place).await {
            // One that is gone has AWS tell of none.
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
        place: String,
    ) -> Result<TargetGroup, ProviderError> {
        let name = group.target_group_name().unwrap_or_default().to_owned();
        let arn = group.target_group_arn().unwrap_or_default();
        if group.target_type().is_some_and(|kind| *kind != TargetTypeEnum::Instance) {
            let kind = group.target_type().map_or("", TargetTypeEnum::as_str);
            let words =
                format!("target group {name:?} has targets of type {kind:?}, not instances");
            let error = ProviderError::invalid("DescribeTargetGroups", place, words);
            return Err(error.with_remedy("use a target group of type instance"));
        }
        if group.load_balancer_arns().is_empty() {
            let words = format!("no listener uses target group {name:?}");
            let error = ProviderError::invalid("DescribeTargetGroups", place, words);
            return Err(error.with_remedy(
                "nothing would ever become healthy in it: forward to it from a listener, or roll \
                 without it",
            ));
        }
        let call = self.elb.describe_target_group_attributes();
        let answer = call.target_group_arn(arn).send().await.map_err(|error| {
            from_sdk("elasticloadbalancing", "DescribeTargetGroupAttributes", &error)
        })?;
        let drain = answer
            .attributes()
            .iter()
            .find(|attribute| attribute.key() == Some(DRAIN))
            .and_then(|attribute| attribute.value()?.parse().ok())
            .ok_or_else(|| {
                let words = format!("target group {name:?} does not tell its {DRAIN}");
                ProviderError::invalid("DescribeTargetGroupAttributes", &place, words)
            })?;
        let seconds = |value: Option<i32>| u64::try_from(value.unwrap_or_default()).unwrap_or(0);
        let checks = seconds(group.health_check_interval_seconds())
            * seconds(group.healthy_threshold_count());
        Ok(TargetGroup {
            id: TargetGroupId::new(arn),
            name,
            drain: Duration::from_secs(drain),
            register: Duration::from_secs(checks),
        })
    }
}
