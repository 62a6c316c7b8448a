//! Instances that a fleet had, as long as EC2 describes them after their termination: for about an
//! hour, see <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/terminating-instances.html>.

use aws_sdk_ec2::primitives::{DateTime, DateTimeFormat};
use aws_sdk_ec2::types::{Filter, Instance as Ec2Instance};
use rolling_provider::{InstanceId, ProviderError, TerminatedInstance, Timestamp};

use crate::connect::Aws;
use crate::convert;
use crate::error::from_sdk;
use crate::keys::FAILED;

impl Aws {
    /// Returns the terminated instances that match `filter`.
    ///
    /// # Errors
    /// Those of `DescribeInstances`.
    pub(crate) async fn terminated(
        &self,
        filter: Filter,
    ) -> Result<Vec<TerminatedInstance>, ProviderError> {
        let gone = Filter::builder().name("instance-state-name");
        let gone = gone.values("shutting-down").values("terminated").build();
        let call = self.ec2.describe_instances().filters(filter).filters(gone);
        let mut pages = call.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| from_sdk("ec2", "DescribeInstances", &error))?;
            let described = page.reservations().iter().flat_map(|r| r.instances());
            found.extend(described.filter_map(|described| self.terminated_instance(described)));
        }
        Ok(found)
    }

    fn terminated_instance(&self, described: &Ec2Instance) -> Option<TerminatedInstance> {
        let tag = |key: &str| {
            let tag = described.tags().iter().find(|tag| tag.key() == Some(key));
            tag.and_then(|tag| tag.value())
        };
        let template = tag("aws:ec2launchtemplate:id");
        let noted = template.zip(tag("aws:ec2launchtemplate:version"));
        let launched = convert::timestamp(described.launch_time());
        Some(TerminatedInstance {
            id: InstanceId::new(described.instance_id()?),
            revision: noted.map(|(template, version)| convert::revision(template, version)),
            launched_at: launched.map(|at| self.skew.ours(at)),
            terminated_at: described.state_transition_reason().and_then(time_in),
            failed: tag(FAILED).is_some(),
        })
    }
}

/// Returns the time in a reason as EC2 writes it: `User initiated (2026-01-02 03:04:05 GMT)`.
fn time_in(reason: &str) -> Option<Timestamp> {
    let (_, time) = reason.split_once('(')?;
    let (date, time) = time.split_once(' ')?;
    let time = time.split([' ', ')']).next()?;
    let time = DateTime::from_str(&format!("{date}T{time}Z"), DateTimeFormat::DateTime).ok();
    convert::timestamp(time.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_termination_is_read_from_its_reason() {
        let at = time_in("User initiated (2026-01-02 03:04:05 GMT)");
        assert_eq!(at, Some(Timestamp(1_767_323_045_000)));
        for reason in ["", "Server.SpotInstanceTermination", "User initiated (soon)", "(x y z)"] {
            assert_eq!(time_in(reason), None, "{reason}");
        }
    }
}
