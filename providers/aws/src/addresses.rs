//! Reads the private addresses of instances, for hooks of the user's that have to reach them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::Filter;
use rolling_provider::{InstanceId, ProviderError};

use crate::connect::Aws;
use crate::error::from_sdk;
use crate::keys::IDS_A_CALL;

impl Aws {
    /// Returns the primary private IPv4 addresses of these instances; none for those that EC2 does
    /// not know.
    pub(crate) async fn addresses(
        &self,
        instances: &BTreeSet<InstanceId>,
    ) -> Result<BTreeMap<InstanceId, String>, ProviderError> {
        let ids: Vec<String> = instances.iter().map(ToString::to_string).collect();
        let mut found = BTreeMap::new();
        for ids in ids.chunks(IDS_A_CALL) {
            // A filter and not a list of ids: one that is gone fails a call with a list.
            let these = Filter::builder().name("instance-id").set_values(Some(ids.to_vec()));
            let call = self.ec2.describe_instances().filters(these.build());
            let mut pages = call.into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| from_sdk("ec2", "DescribeInstances", &error))?;
                let described = page.reservations().iter().flat_map(|r| r.instances());
                let known = described.filter_map(|instance| {
                    let id = InstanceId::new(instance.instance_id()?);
                    Some((id, instance.private_ip_address()?.to_owned()))
                });
                found.extend(known);
            }
        }
        Ok(found)
    }
}
