//! moto, and LocalStack, which is built on it, report the default version of a group's launch
//! template for every instance, whatever it was launched from: `InstanceState.launch_template` in
//! moto's `autoscaling/models.py`, from which the instance's tags are made, too. They are
//! recognized by not knowing instance refreshes. There, what an instance shows of its launch
//! decides: its image, its type and its user data.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use aws_sdk_autoscaling::types::AutoScalingGroup as SdkGroup;
use aws_sdk_ec2::types::InstanceAttributeName;
use rolling_provider::{InstanceId, ProviderError, Revision};

use super::shape::number;
use crate::convert::{self, parts, revision};
use crate::emulator::Shape;
use crate::emulator::shape::{CandidateVersions, Learned, decide, same_shape};
use crate::error::from_sdk;
use crate::group::AutoScalingGroupFleet;
use crate::mixed;

impl AutoScalingGroupFleet {
    /// Returns what instances of `group` were launched from, where the group's report is in doubt.
    pub(crate) async fn launched_from(
        &self,
        group: &SdkGroup,
    ) -> Result<BTreeMap<InstanceId, Option<Revision>>, ProviderError> {
        let Some((template, own)) = self.doubted_template(group).await? else {
            return Ok(BTreeMap::new());
        };
        let wanted = self.resolved.wanted.get().and_then(|wanted| number(wanted, &template));
        self.learn_versions(group, &template, &[own, wanted]).await?;
        let mut found = BTreeMap::new();
        for (id, shape, reported) in self.shown(group) {
            let launched_from = self.versions.learned().launched.get(&id).cloned();
            let launched_from = match launched_from {
                Some(launched_from) => launched_from,
                None => {
                    let user_data = Some(self.user_data(&id).await?);
                    let shape = Shape { user_data, ..shape };
                    let mut learned = self.versions.learned();
                    let number = decide(
                        &shape,
                        &learned.versions,
                        CandidateVersions { wanted, own, reported },
                    );
                    let launched_from =
                        number.map(|number| revision(&template, &number.to_string()));
                    learned.launched.insert(id.clone(), launched_from.clone());
                    launched_from
                }
            };
            found.insert(id, launched_from);
        }
        Ok(found)
    }

    /// Returns why nothing shows which instances run the wanted version, if nothing does.
    pub(crate) async fn undecidable(
        &self,
        group: &SdkGroup,
        wanted: &Revision,
    ) -> Result<Option<ProviderError>, ProviderError> {
        let host = self.aws.reached.other("autoscaling");
        let Some(host) = host else { return Ok(None) };
        let Some((template, _)) = self.doubted_template(group).await? else { return Ok(None) };
        let Some(number) = number(wanted, &template) else { return Ok(None) };
        self.learn_versions(group, &template, &[Some(number)]).await?;
        let learned = self.versions.learned();
        let others = same_shape(number, &learned.versions);
        let Some(other) = others.last() else { return Ok(None) };
        let message = format!(
            "{host} does not tell which version an instance was launched from: it reports the \
             template's default version for each, as moto does. Their image, type and user data \
             would tell, but versions {number} and {other} of {template} have the same"
        );
        let error = ProviderError::invalid("check the group", crate::keys::TEMPLATE, message);
        Ok(Some(error.with_remedy(
            "give the version another image or other user data: a comment in it is enough",
        )))
    }

    /// Returns what is done about a doubtful report, if there was one.
    pub(crate) fn doubt(&self) -> Option<String> {
        self.versions.is_doubted.get().filter(|is_doubted| **is_doubted)?;
        let host = self.aws.reached.other("autoscaling")?;
        Some(format!(
            "{host} reports the template's default version for every instance, as moto does: their \
             image, type and user data tell instead what they were launched from"
        ))
    }

    /// Returns what instances of `group` show, and the version that the group reports for them.
    fn shown(&self, group: &SdkGroup) -> Vec<(InstanceId, Shape, Option<u64>)> {
        let details = self.details.lock().unwrap_or_else(PoisonError::into_inner);
        let instances = group.instances().iter().filter_map(|instance| {
            let id = InstanceId::new(instance.instance_id()?);
            let shape = details.get(&id)?.shape.clone();
            let reported = instance.launch_template().and_then(|template| template.version());
            let reported = reported.and_then(|version| version.parse().ok());
            Some((id, shape, reported))
        });
        instances.collect()
    }

    /// Returns the group's template, and its version where that is a number; `None` where the
    /// group's report for its instances is trusted.
    async fn doubted_template(
        &self,
        group: &SdkGroup,
    ) -> Result<Option<(String, Option<u64>)>, ProviderError> {
        // An instance that was updated in place has another image, and its tags say so.
        if self.updates.is_some() || self.aws.reached.other("autoscaling").is_none() {
            return Ok(None);
        }
        let is_doubted = || async {
            let began = self.clock.0.now();
            let instance_refreshes = self.instance_refreshes().await?;
            self.lately.instance_refreshes_are(instance_refreshes.clone(), began);
            Ok(instance_refreshes.is_none())
        };
        if !*self.versions.is_doubted.get_or_try_init(is_doubted).await? {
            return Ok(None);
        }
        let Some(own) = mixed::template(group).and_then(convert::specified) else {
            return Ok(None);
        };
        let own = self.resolved.aliases.get().and_then(|known| known.get(&own)).unwrap_or(&own);
        Ok(parts(own).map(|(template, version)| (template.to_owned(), version.parse().ok())))
    }

    /// Fetches all versions of `template`, unless those in `needed` are known.
    async fn learn_versions(
        &self,
        group: &SdkGroup,
        template: &str,
        needed: &[Option<u64>],
    ) -> Result<(), ProviderError> {
        {
            let learned = self.versions.learned();
            let mut needed = needed.iter().flatten();
            if learned.template == template && needed.all(|it| learned.versions.contains_key(it)) {
                return Ok(());
            }
        }
        let call = self.aws.ec2.describe_launch_template_versions().launch_template_id(template);
        let mut pages = call.into_paginator().items().send();
        let mut versions = BTreeMap::new();
        while let Some(version) = pages.next().await {
            let version = version
                .map_err(|error| from_sdk("ec2", "DescribeLaunchTemplateVersions", &error))?;
            let number = version.version_number().and_then(|number| u64::try_from(number).ok());
            versions.extend(number.map(|number| (number, Shape::of(&version, group))));
        }
        let mut learned = self.versions.learned();
        *learned = Learned { template: template.to_owned(), versions, ..Learned::default() };
        Ok(())
    }

    async fn user_data(&self, id: &InstanceId) -> Result<String, ProviderError> {
        let call = self.aws.ec2.describe_instance_attribute().instance_id(id.as_str());
        let answer = call
            .attribute(InstanceAttributeName::UserData)
            .send()
            .await
            .map_err(|error| from_sdk("ec2", "DescribeInstanceAttribute", &error))?;
        let user_data = answer.user_data.and_then(|user_data| user_data.value);
        Ok(user_data.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(image: &str, user_data: &str) -> Shape {
        let some = |it: &str| Some(it.to_owned());
        Shape { image: some(image), kind: some("t3.micro"), user_data: some(user_data) }
    }

    #[test]
    fn what_an_instance_shows_decides_and_nothing_is_guessed_of_what_is_wanted() {
        let versions = BTreeMap::from([
            (1, shape("ami-a", "")),
            (2, shape("ami-b", "")),
            (3, shape("ami-a", "")),
            (4, shape("ami-b", "x")),
        ]);
        let with = |wanted, own| CandidateVersions {
            wanted: Some(wanted),
            own: Some(own),
            reported: Some(1),
        };
        // By image, and where images are the same, by user data.
        assert_eq!(decide(&shape("ami-b", ""), &versions, with(2, 1)), Some(2));
        assert_eq!(decide(&shape("ami-b", "x"), &versions, with(2, 1)), Some(4));
        // Which of the old ones it is matters little: the group's own, or else the reported one.
        assert_eq!(decide(&shape("ami-a", ""), &versions, with(2, 3)), Some(3));
        assert_eq!(decide(&shape("ami-a", ""), &versions, with(2, 2)), Some(1));
        // It may run the wanted version, or not.
        assert_eq!(decide(&shape("ami-a", ""), &versions, with(3, 1)), None);
        // Launched from none of these.
        assert_eq!(decide(&shape("ami-c", ""), &versions, with(2, 1)), None);
        assert_eq!(same_shape(3, &versions), [1]);
        assert_eq!(same_shape(2, &versions), Vec::<u64>::new());
    }

    #[test]
    fn what_is_not_known_of_a_version_rules_nothing_out() {
        let open = Shape { image: None, ..shape("", "") };
        let versions = BTreeMap::from([(1, open), (2, shape("ami-b", "x"))]);
        assert_eq!(decide(&shape("ami-a", ""), &versions, CandidateVersions::default()), Some(1));
    }
}
