//! Images: whether one is usable, and the launch template version for one.
//!
//! That version differs from the group's own only in its image. A rollout to it makes it at the
//! start, and finds it by its description from then on.

use aws_sdk_autoscaling::types::AutoScalingGroup as SdkGroup;
use aws_sdk_ec2::types::{Filter, LaunchTemplateVersion, RequestLaunchTemplateData};
use rolling_provider::{ErrorKind, ProviderError, Revision};

use crate::connect::Aws;
use crate::convert::{self, parts, revision};
use crate::error::from_sdk;
use crate::group::AutoScalingGroupFleet;
use crate::mixed;

/// The attribute of a document that names the image of a group.
const IMAGE: &str = "auto_scaling_group/image_id";
const DESCRIBE: &str = "DescribeLaunchTemplateVersions";
const CREATE: &str = "CreateLaunchTemplateVersion";

impl Aws {
    /// Checks that the image exists and is usable.
    ///
    /// # Errors
    /// When there is no such image, or it is not usable; at `attribute`.
    pub(crate) async fn usable_image(
        &self,
        image_id: &str,
        attribute: &str,
    ) -> Result<(), ProviderError> {
        let refuse = |message: String| {
            let error = ProviderError::invalid("DescribeImages", attribute, message);
            Err(error.with_remedy("check the id, the region, and who the image is shared with"))
        };
        let missing = || refuse(format!("image {image_id} does not exist in {}", self.region));
        let sent = self.ec2.describe_images().image_ids(image_id).send().await;
        let answer = match sent.map_err(|error| from_sdk("ec2", "DescribeImages", &error)) {
            Ok(answer) => answer,
            Err(error) if error.code.as_deref().is_some_and(is_about_image) => return missing(),
            Err(error) => return Err(error),
        };
        let Some(image) = answer.images().first() else { return missing() };
        let state = image.state().map_or("available", |state| state.as_str());
        if state != "available" {
            return refuse(format!("image {image_id} is {state}"));
        }
        Ok(())
    }
}

fn is_about_image(code: &str) -> bool {
    code.starts_with("InvalidAMIID")
}

impl AutoScalingGroupFleet {
    /// Returns the version of the group's template that has `image`.
    ///
    /// This is the group's own version, a version made from it, or else a version still to be made.
    pub(crate) async fn version_with(
        &self,
        group: &SdkGroup,
        image: &str,
    ) -> Result<Revision, ProviderError> {
        self.aws.usable_image(image, IMAGE).await?;
        let own = mixed::template(group).and_then(convert::specified);
        let Some((template, version)) = own.as_ref().and_then(parts) else {
            let message =
                format!("auto scaling group {:?} has no launch template", self.group.name);
            let error =
                ProviderError::invalid("check the group", "auto_scaling_group/name", message);
            return Err(error.with_remedy("give it one, of which versions can be made"));
        };
        let call = self.aws.ec2.describe_launch_template_versions();
        let call = call.launch_template_id(template).versions(version);
        let answer = call.send().await.map_err(|error| from_sdk("ec2", DESCRIBE, &error))?;
        let own = answer.launch_template_versions().first();
        let number = own.and_then(LaunchTemplateVersion::version_number).unwrap_or_default();
        let data = own.and_then(|own| own.launch_template_data());
        if data.and_then(|data| data.image_id()) == Some(image) {
            return Ok(revision(template, &number.to_string()));
        }
        let made = self.made(template, number, image).await?;
        Ok(made.unwrap_or_else(|| revision(template, &format!("{number}+{image}"))))
    }

    /// Returns the latest version that was made from version `number` with `image`.
    async fn made(
        &self,
        template: &str,
        number: i64,
        image: &str,
    ) -> Result<Option<Revision>, ProviderError> {
        let with_it = Filter::builder().name("image-id").values(image).build();
        let call = self.aws.ec2.describe_launch_template_versions();
        let call = call.launch_template_id(template).filters(with_it);
        let mut pages = call.into_paginator().items().send();
        let mut latest = None;
        let message = description(number, image);
        while let Some(version) = pages.next().await {
            let version = version.map_err(|error| from_sdk("ec2", DESCRIBE, &error))?;
            let image_of = version.launch_template_data().and_then(|data| data.image_id());
            if version.version_description() == Some(&message) && image_of == Some(image) {
                latest = latest.max(version.version_number());
            }
        }
        Ok(latest.map(|number| revision(template, &number.to_string())))
    }

    /// Makes the version that `wanted` describes, if `wanted` is only a description.
    pub(crate) async fn make_version(&self, wanted: &Revision) -> Result<Revision, ProviderError> {
        let Some((template, number, image)) = described(wanted) else { return Ok(wanted.clone()) };
        // The answer to an earlier call may have been lost.
        if let Some(made) = self.made(template, number, image).await? {
            return Ok(made);
        }
        let data = RequestLaunchTemplateData::builder().image_id(image).build();
        let call = self.aws.ec2.create_launch_template_version().launch_template_id(template);
        let call = call.source_version(number.to_string()).launch_template_data(data);
        let call = call.version_description(description(number, image));
        let answer = call
            .client_token(format!("rolling-{template}-{number}-{image}"))
            .send()
            .await
            .map_err(|error| from_sdk("ec2", CREATE, &error))?;
        let made = answer.launch_template_version().and_then(|version| version.version_number());
        made.map(|made| revision(template, &made.to_string())).ok_or_else(|| {
            let error = ProviderError::invalid(CREATE, IMAGE, "it answers without a version");
            ProviderError { kind: ErrorKind::Transient, ..error }
        })
    }
}

/// Returns the description of a version that is made for a rollout.
fn description(number: i64, image: &str) -> String {
    format!("rolling: version {number} with {image}")
}

/// Returns the template, the version and the image of a revision that is still to be made.
pub(crate) fn described(revision: &Revision) -> Option<(&str, i64, &str)> {
    let (template, version) = parts(revision)?;
    let (number, image) = version.split_once('+')?;
    Some((template, number.parse().ok()?, image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_that_is_to_be_made_is_told_from_one_that_is() {
        assert_eq!(described(&"lt-1:7+ami-0a".into()), Some(("lt-1", 7, "ami-0a")));
        assert_eq!(described(&"lt-1:7".into()), None);
    }
}
