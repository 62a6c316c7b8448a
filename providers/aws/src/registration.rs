//! Lists, registers and deregisters targets of target groups, in calls of a size that AWS accepts.

use aws_sdk_elasticloadbalancingv2::types::{TargetDescription, TargetHealthDescription};
use rolling_provider::{Effect, ErrorKind, ProviderError};

use crate::connect::Aws;
use crate::error::{INVALID_TARGET, from_sdk};

/// How many targets one call names. AWS documents no limit, and sometimes refuses large calls:
/// Kubernetes' cloud provider has settled on this number (kubernetes/kubernetes#101592).
const MOST_TARGETS: usize = 100;

impl Aws {
    /// Returns the targets of each of the target groups `arns`, with all calls made at once.
    ///
    /// # Errors
    /// Those of `DescribeTargetHealth`.
    pub(crate) async fn target_healths(
        &self,
        arns: &[String],
    ) -> Result<Vec<Vec<TargetHealthDescription>>, ProviderError> {
        let mut calls = tokio::task::JoinSet::new();
        for (index, arn) in arns.iter().enumerate() {
            let call = self.elb.describe_target_health().target_group_arn(arn);
            calls.spawn(async move { (index, call.send().await) });
        }
        let mut found = vec![Vec::new(); arns.len()];
        while let Some(done) = calls.join_next().await {
            let (index, answer) = done.map_err(|error| ProviderError {
                operation: "DescribeTargetHealth".into(),
                kind: ErrorKind::Transient,
                effect: Effect::NotApplied,
                code: None,
                message: error.to_string(),
                attribute: None,
                remedy: None,
            })?;
            let answer = answer.map_err(|error| {
                from_sdk("elasticloadbalancing", "DescribeTargetHealth", &error)
            })?;
            found[index] = answer.target_health_descriptions.unwrap_or_default();
        }
        Ok(found)
    }

    /// # Errors
    /// Those of `RegisterTargets`. A refused target keeps none of the others out.
    pub(crate) async fn register(
        &self,
        arn: &str,
        targets: &[TargetDescription],
    ) -> Result<(), ProviderError> {
        for chunk in targets.chunks(MOST_TARGETS) {
            match self.register_at_once(arn, chunk).await {
                // AWS does not say which target it refuses, and has registered none.
                Err(error) if is_of_one(&error) && chunk.len() > 1 => {
                    let mut refused = None;
                    for one in chunk {
                        match self.register_at_once(arn, std::slice::from_ref(one)).await {
                            Err(error) if is_of_one(&error) => refused = Some(error),
                            done => done?,
                        }
                    }
                    refused.map_or(Ok(()), Err)?;
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// # Errors
    /// Those of `DeregisterTargets`.
    pub(crate) async fn deregister(
        &self,
        arn: &str,
        targets: &[TargetDescription],
    ) -> Result<(), ProviderError> {
        for chunk in targets.chunks(MOST_TARGETS) {
            let call = self.elb.deregister_targets().target_group_arn(arn);
            let sent = call.set_targets(Some(chunk.to_vec())).send().await;
            sent.map_err(|error| from_sdk("elasticloadbalancing", "DeregisterTargets", &error))?;
        }
        Ok(())
    }

    async fn register_at_once(
        &self,
        arn: &str,
        targets: &[TargetDescription],
    ) -> Result<(), ProviderError> {
        let call = self.elb.register_targets().target_group_arn(arn);
        let sent = call.set_targets(Some(targets.to_vec())).send().await;
        sent.map(drop).map_err(|error| from_sdk("elasticloadbalancing", "RegisterTargets", &error))
    }
}

/// Whether the error is about one target, not the call: for example, a target that is not running.
fn is_of_one(error: &ProviderError) -> bool {
    error.code.as_deref().is_some_and(|code| code.starts_with(INVALID_TARGET))
}
