//! The target groups that hold the same instances: a replaced instance leaves all of them, and a
//! new one joins all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use aws_sdk_ec2::types::{Filter, Instance as Ec2Instance};
use aws_sdk_elasticloadbalancingv2::types::{TargetGroup as SdkTargetGroup, TargetTypeEnum};
use rolling_provider::{
    InstanceId, Lifecycle, Observation, ProviderError, TargetHealth, TargetState,
};

use super::convert::{lifecycle, tags};
use super::fleet::InstancesFleet;
use super::keys::{ARN, MEMBER, PORTS};
use crate::convert;
use crate::error::from_sdk;
use crate::keys::{MOST_ARNS, OURS};

/// Where a target group's name and number begin in its ARN.
const RESOURCE: &str = ":targetgroup/";

/// The target groups of the fleet, and what there is to say of others.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// ARNs; the target group that has the record comes first.
    pub arns: Vec<String>,
    /// Those with the same members and no others: only they are another name of the same fleet.
    alike: BTreeSet<String>,
    pub warnings: Vec<String>,
    pub blockers: Vec<ProviderError>,
}

/// Returns the key of the tag with an instance's ports in a target group other than the record's.
pub(super) fn key(arn: &str) -> String {
    format!("{PORTS}/{}", arn.rsplit_once(RESOURCE).map_or(arn, |(_, name)| name))
}

/// Returns the other target groups that such tags name, with the ports; `primary` has the record.
pub(super) fn noted(tags: &BTreeMap<String, String>, primary: &str) -> BTreeMap<String, String> {
    let Some((account, _)) = primary.rsplit_once(RESOURCE) else { return BTreeMap::new() };
    let names = tags.iter().filter_map(|(key, ports)| {
        let name = key.strip_prefix(PORTS)?.strip_prefix('/')?;
        Some((format!("{account}{RESOURCE}{name}"), ports.clone()))
    });
    names.collect()
}

/// Whether a target group belongs to the fleet: whether it holds the members.
///
/// # Errors
/// Where some of them are in it and others are not.
fn belongs(
    name: &str,
    primary: &str,
    targets: &BTreeSet<InstanceId>,
    members: &BTreeSet<InstanceId>,
) -> Result<bool, ProviderError> {
    let (both, others): (Vec<_>, Vec<_>) = members.iter().partition(|id| targets.contains(*id));
    if both.is_empty() || others.is_empty() {
        return Ok(!both.is_empty());
    }
    let names = |ids: Vec<&InstanceId>| {
        let ids: Vec<String> = ids.into_iter().map(ToString::to_string).collect();
        ids.join(", ")
    };
    let message = format!(
        "{} of target group {primary:?} are in target group {name:?}, too, and {} are not: nothing says \
         which of the new ones belong there",
        names(both),
        names(others)
    );
    let error = ProviderError::invalid("check the instances", ARN, message);
    Err(error.with_remedy("register all of them there, or none"))
}

impl InstancesFleet {
    /// Returns the target groups of the fleet: those that the marks name, whichever of them that
    /// rollout's document named; without marks, those that hold all of its instances now.
    ///
    /// # Errors
    /// Those of the calls, and one where a target group holds only some of the instances.
    pub(super) async fn find_groups(&self, name: &str) -> Result<Groups, ProviderError> {
        let arn = &self.instances.arn;
        let through = Filter::builder().name("tag-key").values(key(arn)).build();
        let through = self.instances(through).await?;
        let lives = |instance: &&Ec2Instance| lifecycle(instance) != Lifecycle::Terminating;
        let primary =
            through.iter().filter(lives).find_map(|instance| tags(instance).remove(MEMBER));
        if let Some(primary) = primary {
            let noted = through.iter().filter(lives).flat_map(|it| noted(&tags(it), &primary));
            let arns: BTreeSet<String> = noted.map(|(arn, _)| arn).collect();
            let blockers = self.refuse_others(through, &primary).await?;
            let arns = [primary].into_iter().chain(arns).collect();
            return Ok(Groups { arns, blockers, ..Groups::default() });
        }
        let look = self.look().await?;
        if let Some(noted) = self.marked_groups(&look) {
            let arns = [arn.clone()].into_iter().chain(noted).collect();
            return Ok(Groups { arns, ..Groups::default() });
        }
        let mut groups = self.shared_groups(&look, name).await?;
        if !groups.alike.is_empty() {
            self.put_record_first(&mut groups).await?;
        }
        Ok(groups)
    }

    /// Returns why the document's target group is not rolled along with `primary`, which has the
    /// record: it holds instances other than `marked`.
    async fn refuse_others(
        &self,
        mut marked: Vec<Ec2Instance>,
        primary: &str,
    ) -> Result<Vec<ProviderError>, ProviderError> {
        let ids = marked.iter().filter_map(|it| it.instance_id()).map(InstanceId::new);
        let ids: BTreeSet<InstanceId> = ids.collect();
        let arn = self.instances.arn.clone();
        let targets = self.aws.target_healths(std::slice::from_ref(&arn)).await?;
        let targets = targets.into_iter().flatten().collect();
        let healths = convert::health(&self.targets_by_id(&arn, targets, &mut marked).await?);
        let is_other = |(id, health): &(&InstanceId, &TargetHealth)| {
            health.state != TargetState::Draining && !ids.contains(*id)
        };
        let others = healths.iter().filter(is_other).map(|(id, _)| id.to_string());
        let others: Vec<String> = others.collect();
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let message = format!(
            "a rollout of target group {primary} is under way, and {} are not of it",
            others.join(", ")
        );
        let error = ProviderError::invalid("check the instances", ARN, message).as_conflict();
        Ok(vec![error.with_remedy("finish it by the document that names that target group")])
    }

    /// Returns the target groups that hold all instances of the document's target group.
    async fn shared_groups(&self, look: &Observation, name: &str) -> Result<Groups, ProviderError> {
        let is_in = |instance: &rolling_provider::Instance| {
            let mut states = instance.targets.values().map(|health| health.state);
            !instance.ignored && states.any(|state| state != TargetState::Draining)
        };
        let members = look.instances.iter().filter(|(_, instance)| is_in(instance));
        let members: BTreeSet<InstanceId> = members.map(|(id, _)| id.clone()).collect();
        let mut groups = Groups { arns: vec![self.instances.arn.clone()], ..Groups::default() };
        for group in self.neighbours().await? {
            let (Some(arn), Some(other)) = (group.target_group_arn(), group.target_group_name())
            else {
                continue;
            };
            let healths = convert::health(&self.targets_known(arn).await?);
            let drains = |id: &InstanceId| healths[id].state == TargetState::Draining;
            let targets: BTreeSet<InstanceId> =
                healths.keys().filter(|id| !drains(id)).cloned().collect();
            let is_ignored = |id: &InstanceId| look.instances.get(id).is_some_and(|i| i.ignored);
            let is_alike = targets.iter().all(|id| members.contains(id) || is_ignored(id));
            if !belongs(other, name, &targets, &members)? {
                continue;
            }
            if group.load_balancer_arns().is_empty() {
                groups.warnings.push(format!(
                    "target group {other:?} holds the same instances and no listener uses it: new \
                     ones are not registered there"
                ));
            } else {
                groups.arns.push(arn.to_owned());
                groups.alike.extend(is_alike.then(|| arn.to_owned()));
            }
        }
        Ok(groups)
    }

    /// Puts the target group with the record first: the group with tags of ours, or else the first
    /// by name, so that it is the same whichever of them a document names.
    async fn put_record_first(&self, groups: &mut Groups) -> Result<(), ProviderError> {
        let own = &self.instances.arn;
        let same: Vec<String> = groups.alike.iter().cloned().chain([own.clone()]).collect();
        let mut with_record = BTreeSet::new();
        for arns in same.chunks(MOST_ARNS) {
            let call = self.aws.elb.describe_tags().set_resource_arns(Some(arns.to_vec()));
            let answer = call
                .send()
                .await
                .map_err(|error| from_sdk("elasticloadbalancing", "DescribeTags", &error))?;
            for described in answer.tag_descriptions() {
                let mut keys = described.tags().iter().filter_map(|tag| tag.key());
                if keys.any(|key| key.starts_with(OURS)) {
                    with_record.extend(described.resource_arn().map(str::to_owned));
                }
            }
        }
        let has_it = with_record.get(own).or_else(|| with_record.first());
        if let Some(primary) = has_it.or_else(|| same.iter().min()).cloned() {
            groups.arns.retain(|arn| *arn != primary);
            groups.arns.insert(0, primary);
        }
        if with_record.len() > 1 {
            let names: Vec<&str> = with_record.iter().map(String::as_str).collect();
            let message = format!(
                "the same instances have a record of a rollout in more than one target group: {}",
                names.join(", ")
            );
            let error = ProviderError::invalid("check the instances", ARN, message).as_conflict();
            let remedy = "abort one of the rollouts, by a document that names its target group";
            groups.blockers.push(error.with_remedy(remedy));
        }
        Ok(())
    }

    /// Returns the other target groups that the marks name; `None` where no marked instance lives.
    fn marked_groups(&self, look: &Observation) -> Option<BTreeSet<String>> {
        let primary = &self.instances.arn;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let lives = |id: &InstanceId| {
            let instance = look.instances.get(id);
            instance.is_some_and(|instance| instance.lifecycle != Lifecycle::Terminating)
        };
        let marked = known.iter().filter(|(id, _)| lives(id));
        let mut marked =
            marked.filter(|(_, known)| known.tags.get(MEMBER) == Some(primary)).peekable();
        marked.peek()?;
        Some(marked.flat_map(|(_, known)| noted(&known.tags, primary).into_keys()).collect())
    }

    /// Returns the other target groups of instances in the same VPC.
    async fn neighbours(&self) -> Result<Vec<SdkTargetGroup>, ProviderError> {
        let mut pages = self.aws.elb.describe_target_groups().into_paginator().items().send();
        let mut all = Vec::new();
        while let Some(group) = pages.next().await {
            all.push(group.map_err(|error| {
                from_sdk("elasticloadbalancing", "DescribeTargetGroups", &error)
            })?);
        }
        let primary =
            |group: &SdkTargetGroup| group.target_group_arn() == Some(self.instances.arn.as_str());
        let vpc = all.iter().find(|group| primary(group)).and_then(|group| group.vpc_id.clone());
        let kinds = [TargetTypeEnum::Instance, TargetTypeEnum::Ip];
        let has_instances =
            |group: &SdkTargetGroup| group.target_type().is_some_and(|kind| kinds.contains(kind));
        all.retain(|group| !primary(group) && group.vpc_id == vpc && has_instances(group));
        let by_address =
            all.iter().filter(|group| group.target_type() == Some(&TargetTypeEnum::Ip));
        let by_address = by_address.filter_map(|it| it.target_group_arn().map(str::to_owned));
        self.note_by_address(by_address.collect(), vpc);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/web/0a";

    #[test]
    fn what_a_tag_names_is_the_target_group_that_it_was_made_of() {
        let admin = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/admin/0b";
        let tags = BTreeMap::from([
            (PORTS.to_owned(), "80".to_owned()),
            (key(admin), "8080+8081".to_owned()),
        ]);
        assert_eq!(noted(&tags, PRIMARY), BTreeMap::from([(admin.into(), "8080+8081".into())]));
    }

    #[test]
    fn a_target_group_holds_all_of_them_or_none_or_is_refused_by_name() {
        let ids = |ids: &[&str]| ids.iter().map(|id| InstanceId::new(*id)).collect();
        let members: BTreeSet<InstanceId> = ids(&["i-1", "i-2"]);
        let targets = |targets: &[&str]| belongs("admin", "web", &ids(targets), &members);
        assert_eq!(targets(&["i-1", "i-2", "i-9"]).ok(), Some(true));
        assert_eq!(targets(&["i-9"]).ok(), Some(false));
        let error = targets(&["i-2"]).expect_err("one of two").to_string();
        assert!(error.contains("i-2 of target group \"web\"") && error.contains("\"admin\""));
    }
}
