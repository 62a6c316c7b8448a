//! Which instance a target is, in a target group of type `ip`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Instance as Ec2Instance, InstanceStateName};
use aws_sdk_elasticloadbalancingv2::types::TargetHealthDescription;
use rolling_provider::InstanceId;

/// The zone of a target outside the VPC of its target group.
const OUTSIDE: &str = "all";

/// What is known of target groups of type `ip`.
#[derive(Clone, Debug, Default)]
pub(super) struct ByAddress {
    /// Their ARNs.
    pub(super) groups: BTreeSet<String>,
    /// The VPC of the document's target group.
    pub(super) vpc: Option<String>,
    /// The instance that has an address, by the last look.
    instances: BTreeMap<String, InstanceId>,
    /// Addresses that no instance of the VPC has as its primary one, by the last look: they are
    /// left alone.
    pub(super) others: BTreeSet<String>,
}

impl ByAddress {
    /// Notes the addresses of these instances. An instance that ends may have lost its address to
    /// another one.
    pub(super) fn note(&mut self, instances: &[Ec2Instance]) {
        let ends = |it: &Ec2Instance| {
            let state = it.state().and_then(|state| state.name());
            matches!(state, Some(InstanceStateName::ShuttingDown | InstanceStateName::Terminated))
        };
        let lives = instances.iter().filter(|it| !ends(it));
        let known = lives.filter_map(|instance| {
            let address = instance.private_ip_address()?.to_owned();
            Some((address, InstanceId::new(instance.instance_id()?)))
        });
        self.instances = known.collect();
    }

    /// Returns the addresses among `targets` that are of no instance that is known yet.
    pub(super) fn unknown(&self, targets: &[TargetHealthDescription]) -> Vec<String> {
        let addresses = targets.iter().filter_map(inside);
        let unknown = addresses.filter(|address| !self.instances.contains_key(*address));
        unknown.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Returns `targets` with the ids of their instances, without those that are of none.
    pub(super) fn with_ids(
        &self,
        targets: Vec<TargetHealthDescription>,
    ) -> Vec<TargetHealthDescription> {
        let with_id = |mut described: TargetHealthDescription| {
            let id = self.instances.get(inside(&described)?)?.to_string();
            described.target.as_mut()?.id = Some(id);
            Some(described)
        };
        targets.into_iter().filter_map(with_id).collect()
    }
}

/// Returns the address of a target, if it is in the VPC of its target group.
pub(super) fn inside(described: &TargetHealthDescription) -> Option<&str> {
    let target = described.target()?;
    target.id().filter(|_| target.availability_zone() != Some(OUTSIDE))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::InstanceState;
    use aws_sdk_elasticloadbalancingv2::types::TargetDescription;

    use super::*;

    fn instance(id: &str, address: &str, state: InstanceStateName) -> Ec2Instance {
        let state = InstanceState::builder().name(state).build();
        let instance = Ec2Instance::builder().instance_id(id).state(state);
        instance.private_ip_address(address).build()
    }

    fn target(id: &str, port: i32, zone: Option<&str>) -> TargetHealthDescription {
        let target = TargetDescription::builder().id(id).port(port);
        let target = target.set_availability_zone(zone.map(str::to_owned)).build();
        TargetHealthDescription::builder().target(target).build()
    }

    #[test]
    fn a_target_is_the_instance_that_has_its_address_now() {
        let mut known = ByAddress::default();
        known.note(&[
            instance("i-1", "10.0.0.1", InstanceStateName::Running),
            instance("i-old", "10.0.0.2", InstanceStateName::Terminated),
            instance("i-2", "10.0.0.2", InstanceStateName::Pending),
        ]);
        let targets = vec![
            target("10.0.0.1", 80, Some("eu-west-1a")),
            target("10.0.0.1", 81, None),
            target("10.0.0.2", 80, None),
            target("10.0.0.9", 80, None),
            target("10.0.0.1", 80, Some(OUTSIDE)),
        ];
        assert_eq!(known.unknown(&targets), ["10.0.0.9"]);
        let named = known.with_ids(targets);
        let named: Vec<_> = named.iter().map(|it| it.target().expect("a target")).collect();
        let named: Vec<_> = named.iter().map(|it| (it.id().expect("an id"), it.port())).collect();
        assert_eq!(named, [("i-1", Some(80)), ("i-1", Some(81)), ("i-2", Some(80))]);
    }
}
