//! Unmanaged instances as a fleet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use aws_sdk_ec2::types::InstanceNetworkInterfaceSpecification;
use rolling_provider::{InstanceId, Revision, Target};
use tokio::sync::OnceCell;

use super::by_address::ByAddress;
use crate::clock::ClockRef;
use crate::in_place::Updates;
use crate::{Aws, InPlaceMethod, LaunchTemplate};

/// The instances that are registered in a target group, and what they are to run.
#[derive(Clone, Debug)]
pub struct TargetGroupInstances {
    /// The target group's ARN.
    pub arn: String,
    /// What is launched in their place; `None` where they are updated in place.
    pub launch_template: Option<LaunchTemplate>,
    /// How they are updated in place, if they are.
    pub in_place: Option<InPlaceMethod>,
}

/// See [`Aws::target_group_instances`].
#[derive(Debug)]
pub struct InstancesFleet {
    pub(super) aws: Aws,
    pub(super) instances: TargetGroupInstances,
    pub(super) clock: ClockRef,
    pub(super) target: OnceCell<Target>,
    /// The target groups that the instances are in, known once the target is resolved. The first
    /// has the record, whichever of them a document names.
    pub(super) groups: OnceLock<Vec<String>>,
    /// Which of them have addresses as targets, and whose these are.
    pub(super) by_address: Mutex<ByAddress>,
    /// What this process launched instances from: their tags may show later than they do.
    pub(super) launched: Mutex<BTreeMap<InstanceId, Revision>>,
    /// What the last look showed of each instance beyond the port.
    pub(super) known: Mutex<BTreeMap<InstanceId, InstanceDetails>>,
    /// The template of each revision.
    pub(super) templates: Mutex<BTreeMap<Revision, Arc<Template>>>,
    /// Updates in place, if the instances are rolled that way.
    pub(super) updates: Option<Updates>,
}

/// What is known of an instance, to launch another like it.
#[derive(Clone, Debug, Default)]
pub(super) struct InstanceDetails {
    pub(super) subnet: Option<String>,
    /// Its primary private address.
    pub(super) address: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
    /// Its ports, by target group.
    pub(super) ports: BTreeMap<String, BTreeSet<i32>>,
    /// What its replacement does not get.
    pub(super) stays: Vec<String>,
}

/// What matters of a launch template version for a launch from it.
#[derive(Debug, Default)]
pub(super) struct Template {
    /// Keys of the tags it gives instances.
    pub(super) tags: BTreeSet<String>,
    /// Its network interfaces, beside which a request cannot name a subnet.
    pub(super) interfaces: Vec<InstanceNetworkInterfaceSpecification>,
    /// What keeps several instances from being launched from it.
    pub(super) unsupported: Option<&'static str>,
}
