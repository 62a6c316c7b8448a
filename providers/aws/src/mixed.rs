//! Groups that choose among instance types, and groups that count by weights.

use std::collections::BTreeSet;

use aws_sdk_autoscaling::types::{
    AutoScalingGroup as SdkGroup, Instance as SdkInstance, LaunchTemplate, LaunchTemplateOverrides,
    LaunchTemplateSpecification, MixedInstancesPolicy,
};

use crate::convert;

/// Returns what a group launches: its own template, or that of its mixed instances policy.
pub(crate) fn template(group: &SdkGroup) -> Option<&LaunchTemplateSpecification> {
    let mixed =
        || group.mixed_instances_policy()?.launch_template()?.launch_template_specification();
    group.launch_template().or_else(mixed)
}

/// Returns `policy` with another template. Its overrides and its distribution stay.
pub(crate) fn with(
    policy: MixedInstancesPolicy,
    template: LaunchTemplateSpecification,
) -> MixedInstancesPolicy {
    let overrides = policy.launch_template().and_then(|known| known.overrides.clone());
    let launch_template = LaunchTemplate::builder()
        .launch_template_specification(template)
        .set_overrides(overrides)
        .build();
    MixedInstancesPolicy::builder()
        .launch_template(launch_template)
        .set_instances_distribution(policy.instances_distribution)
        .build()
}

/// Returns the types that the group's policy chooses among, if it has one.
fn overrides(group: &SdkGroup) -> impl Iterator<Item = &LaunchTemplateOverrides> {
    let templates = group.mixed_instances_policy().and_then(|policy| policy.launch_template());
    templates.into_iter().flat_map(|templates| templates.overrides())
}

/// Returns the types of the policy that have templates of their own, each with its template and
/// version.
pub(crate) fn templates(group: &SdkGroup) -> Vec<String> {
    let own = overrides(group).filter_map(|each| {
        let template = each.launch_template_specification()?;
        let named = template.launch_template_id().or(template.launch_template_name());
        let version = template.version().unwrap_or("$Default");
        let kind = each.instance_type().unwrap_or("types by requirements");
        Some(format!("{kind}: {}:{version}", named.unwrap_or_default()))
    });
    own.collect()
}

/// Whether the policy chooses among types, regardless of the template.
pub(crate) fn has_types(group: &SdkGroup) -> bool {
    overrides(group).next().is_some()
}

/// Returns the images that the policy sets for its types, regardless of the template.
pub(crate) fn images(group: &SdkGroup) -> Vec<&str> {
    overrides(group).filter_map(|each| each.image_id()).collect()
}

/// Whether the group counts its instances by weights.
pub(crate) fn is_weighted(group: &SdkGroup) -> bool {
    overrides(group).any(|each| each.weighted_capacity().is_some())
        || group.instances().iter().any(|instance| instance.weighted_capacity().is_some())
}

/// Warns of types whose weights differ: the number of instances then changes in a rollout.
pub(crate) fn weights_differ(group: &SdkGroup) -> Option<String> {
    let weights: BTreeSet<&str> =
        overrides(group).map(|each| each.weighted_capacity().unwrap_or("1")).collect();
    (weights.len() > 1).then(|| {
        "the group's types have different weights: for those that go it may launch more instances \
         or fewer, so that sizes of batches change on the way"
            .to_owned()
    })
}

/// Returns the weight of the group's heaviest type, or of its heaviest instance.
pub(crate) fn heaviest(group: &SdkGroup) -> u32 {
    let types = overrides(group).map(|each| units(each.weighted_capacity()));
    types.chain(group.instances().iter().map(weight)).max().unwrap_or(1)
}

/// Returns for how many units `instance` counts.
pub(crate) fn weight(instance: &SdkInstance) -> u32 {
    units(instance.weighted_capacity())
}

fn units(weight: Option<&str>) -> u32 {
    weight.and_then(|weight| weight.parse().ok()).unwrap_or(1)
}

/// Returns how many instances a weighted group should have.
///
/// These are the live instances, and as many more as its missing units need at the average weight
/// of the live instances.
pub(crate) fn instances(group: &SdkGroup, desired: u32) -> u32 {
    let live = group.instances().iter().filter(|instance| {
        convert::lifecycle(instance.lifecycle_state()).is_some_and(|state| state.is_live())
    });
    let (count, units) = live.fold((0, 0), |(count, units), i| (count + 1, units + weight(i)));
    match desired.saturating_sub(units) {
        0 => count,
        missing if units == 0 => missing,
        missing => count + (missing * count).div_ceil(units),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::types::LifecycleState;

    use super::*;

    fn group(weights: &[&str]) -> SdkGroup {
        let instance = |weight: &&str| {
            SdkInstance::builder()
                .lifecycle_state(LifecycleState::InService)
                .weighted_capacity(*weight)
                .build()
        };
        let members: Vec<_> = weights.iter().map(instance).collect();
        SdkGroup::builder().set_instances(Some(members)).build()
    }

    #[test]
    fn missing_units_are_worth_the_average_of_what_lives() {
        assert_eq!(instances(&group(&["2", "3", "2"]), 7), 3, "nothing is missing");
        assert_eq!(
            instances(&group(&["2", "3", "2"]), 6),
            3,
            "more than asked for is none too many"
        );
        assert_eq!(instances(&group(&["2", "2"]), 6), 3);
        assert_eq!(instances(&group(&["4"]), 6), 2, "half an instance is one");
        assert_eq!(instances(&group(&[]), 6), 6);
    }
}
