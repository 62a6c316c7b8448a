//! Groups that belong to another controller, as their tags show.
//!
//! A rollout that bypasses the controller is undone, or loses what only the controller knows how to
//! move: pods, jobs, tasks.

use aws_sdk_autoscaling::types::AutoScalingGroup as SdkGroup;

/// The tag of an EKS node group:
/// <https://docs.aws.amazon.com/eks/latest/userguide/eks-using-tags.html>.
const EKS: &str = "eks:nodegroup-name";
/// The prefix of the tags of an Elastic Beanstalk environment:
/// <https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/using-features.tagging.html>.
const BEANSTALK: &str = "elasticbeanstalk:";
/// The tag of a managed compute environment, as AWS's policy `BatchServiceRolePolicy` names it.
const BATCH: &str = "AWSBatchServiceTag";
/// The tag of what a CloudFormation stack has made:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-resource-tags.html>.
const STACK: &str = "aws:cloudformation:stack-name";
/// The tag of the group of an ECS capacity provider:
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/asg-capacity-providers.html>.
const ECS: &str = "AmazonECSManaged";
/// The prefix of the tag of Kubernetes nodes that are managed without EKS's node groups.
const KUBERNETES: &str = "kubernetes.io/cluster/";

/// Returns which controller replaces the instances of `group` by itself, and what to do instead.
pub(crate) fn refused(group: &SdkGroup) -> Option<(String, String)> {
    if let Some((_, name)) = tag(group, |key| key == EKS) {
        return Some((
            format!("is that of the EKS node group {name:?}, which replaces its nodes by itself"),
            format!(
                "update the node group: aws eks update-nodegroup-version --nodegroup-name {name}"
            ),
        ));
    }
    let environment = |key: &str| key == "elasticbeanstalk:environment-name";
    let of_beanstalk = || tag(group, |key| key.starts_with(BEANSTALK));
    if let Some((_, name)) = tag(group, environment).or_else(of_beanstalk) {
        return Some((
            format!(
                "is that of the Elastic Beanstalk environment {name:?}, which deploys by itself"
            ),
            "deploy a version to the environment: aws elasticbeanstalk update-environment".into(),
        ));
    }
    tag(group, |key| key == BATCH)?;
    Some((
        "is that of a compute environment of AWS Batch, which launches and terminates by itself"
            .to_owned(),
        "update the compute environment: aws batch update-compute-environment".to_owned(),
    ))
}

/// Returns what protects every instance of `group` from scale-in, if a controller does, and ends
/// that only for an instance on which nothing runs.
pub(crate) fn protected_by(group: &SdkGroup) -> Option<&'static str> {
    tag(group, |key| key == ECS)?;
    let protects = group.new_instances_protected_from_scale_in() == Some(true);
    protects.then_some("the managed termination protection of the ECS capacity provider")
}

/// Returns warnings about what a controller of `group` does with a rollout.
pub(crate) fn warnings(group: &SdkGroup) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some((_, stack)) = tag(group, |key| key == STACK) {
        warnings.push(format!(
            "the group is of the CloudFormation stack {stack:?}: its next update may set the launch \
             template back to what the stack says; change it there, too"
        ));
    }
    if tag(group, |key| key == ECS).is_some() {
        warnings.push(
            "the group is of an ECS capacity provider: tasks are not moved before their instance \
             goes, unless it drains them (managed draining)"
                .to_owned(),
        );
    }
    if let Some((key, _)) = tag(group, |key| key.starts_with(KUBERNETES)) {
        let cluster = key.trim_start_matches(KUBERNETES);
        warnings.push(format!(
            "the group has nodes of the Kubernetes cluster {cluster:?}: pods are not moved before \
             their node goes, unless something drains it"
        ));
    }
    warnings
}

fn tag(group: &SdkGroup, is_it: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
    let mut tags = group.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?)));
    tags.find(|(key, _)| is_it(key))
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::types::TagDescription;

    use super::*;

    fn group(tags: &[(&str, &str)]) -> SdkGroup {
        let tags =
            tags.iter().map(|(key, value)| TagDescription::builder().key(*key).value(*value));
        SdkGroup::builder().set_tags(Some(tags.map(|tag| tag.build()).collect())).build()
    }

    #[test]
    fn who_rolls_a_group_by_itself_is_named_with_its_own_tool() {
        for (key, value, what, remedy) in [
            (EKS, "workers", "EKS node group \"workers\"", "update-nodegroup-version"),
            ("elasticbeanstalk:environment-name", "web-prod", "\"web-prod\"", "update-environment"),
            ("elasticbeanstalk:environment-id", "e-1", "\"e-1\"", "update-environment"),
            (BATCH, "batch", "AWS Batch", "update-compute-environment"),
        ] {
            let (message, way_out) = refused(&group(&[("Name", "x"), (key, value)])).expect(key);
            assert!(message.contains(what) && way_out.contains(remedy), "{message} {way_out}");
        }
    }

    #[test]
    fn an_ecs_capacity_provider_protects_a_group_where_it_manages_termination() {
        let protects = |tags: &[(&str, &str)], protects| {
            let mut group = group(tags);
            group.new_instances_protected_from_scale_in = protects;
            protected_by(&group)
        };
        let managed = protects(&[(ECS, "true")], Some(true)).expect("a protector");
        assert!(managed.contains("ECS capacity provider"), "{managed}");
        assert_eq!(protects(&[(ECS, "true")], Some(false)), None);
        assert_eq!(protects(&[("Name", "web")], Some(true)), None);
    }

    #[test]
    fn who_only_made_it_or_places_on_it_is_warned_of() {
        for (key, value, message) in [
            (STACK, "prod", "CloudFormation stack \"prod\""),
            (ECS, "", "ECS capacity provider"),
            ("kubernetes.io/cluster/blue", "owned", "Kubernetes cluster \"blue\""),
        ] {
            let group = group(&[(key, value)]);
            assert_eq!(refused(&group), None);
            let [found] = &warnings(&group)[..] else { panic!("{key}") };
            assert!(found.contains(message), "{found}");
        }
        let uncontrolled = group(&[("Name", "web"), ("eks", "no"), ("cloudformation", "no")]);
        assert_eq!((refused(&uncontrolled), warnings(&uncontrolled)), (None, Vec::new()));
    }
}
