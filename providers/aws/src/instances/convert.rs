//! Converts EC2's terms to the port's.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Instance as Ec2Instance, InstanceStateName};
use rolling_provider::{Lifecycle, Revision};

use crate::convert;

/// Converts an instance's state. A stopped instance counts as set aside.
pub(super) fn lifecycle(described: &Ec2Instance) -> Lifecycle {
    match described.state().and_then(|state| state.name()) {
        Some(InstanceStateName::Running) => Lifecycle::InService,
        Some(InstanceStateName::Stopped | InstanceStateName::Stopping) => Lifecycle::Standby,
        Some(InstanceStateName::Pending) => Lifecycle::Pending,
        _ => Lifecycle::Terminating,
    }
}

pub(super) fn tags(described: &Ec2Instance) -> BTreeMap<String, String> {
    let tags = described.tags().iter();
    tags.filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
        .collect()
}

/// Returns the revision that EC2 itself notes on what is launched from a launch template.
pub(super) fn revision(tags: &BTreeMap<String, String>) -> Option<Revision> {
    let template = tags.get("aws:ec2launchtemplate:id")?;
    Some(convert::revision(template, tags.get("aws:ec2launchtemplate:version")?))
}
