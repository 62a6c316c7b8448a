//! Looks up launch template versions.

use rolling_provider::{ErrorKind, ProviderError, Revision};

use crate::connect::Aws;
use crate::convert::revision;
use crate::error::from_sdk;
use crate::group::LaunchTemplate;
use crate::in_place::Updates;

impl Aws {
    /// Returns the wanted revision: of the template, or of what instances are updated with.
    pub(crate) async fn wanted_revision(
        &self,
        template: &Option<LaunchTemplate>,
        base: &str,
        updates: &Option<Updates>,
    ) -> Result<Revision, ProviderError> {
        match (updates, template) {
            (Some(updates), _) => updates.wanted(self).await,
            (None, Some(template)) => self.wanted(template, base).await,
            (None, None) => {
                let message = "there is nothing that instances are to run";
                Err(ProviderError::invalid("look up the revision", base, message))
            }
        }
    }

    /// Returns the wanted launch template version, by number.
    pub(crate) async fn wanted(
        &self,
        template: &LaunchTemplate,
        base: &str,
    ) -> Result<Revision, ProviderError> {
        let call = self.ec2.describe_launch_template_versions();
        let answer = call
            .set_launch_template_id(template.id.clone())
            .set_launch_template_name(template.name.clone())
            .versions(&template.version)
            .send()
            .await;
        let version = match answer {
            Ok(answer) => answer.launch_template_versions.unwrap_or_default().into_iter().next(),
            Err(error) => {
                let error = from_sdk("ec2", "DescribeLaunchTemplateVersions", &error);
                // An error without a code means that there was no answer.
                return Err(if error.code.is_some() {
                    self.place(template, base, error).await
                } else {
                    error
                });
            }
        };
        // A version with another number does not answer the request.
        let asked = template.version.parse::<i64>().ok();
        let version =
            version.filter(|found| asked.is_none_or(|it| found.version_number() == Some(it)));
        let found = version.and_then(|found| {
            Some(revision(found.launch_template_id()?, &found.version_number()?.to_string()))
        });
        match found {
            Some(found) => Ok(found),
            None => {
                let error = ProviderError::invalid("DescribeLaunchTemplateVersions", "", "");
                Err(self.place(template, base, error).await)
            }
        }
    }

    /// Moves an error about the wanted template to the attribute that it is about.
    async fn place(
        &self,
        template: &LaunchTemplate,
        base: &str,
        error: ProviderError,
    ) -> ProviderError {
        let (by, name) = match (&template.id, &template.name) {
            (Some(id), _) => ("id", id.as_str()),
            (None, name) => ("name", name.as_deref().unwrap_or_default()),
        };
        let code = error.code.clone().unwrap_or_default();
        let is_about_template = code.starts_with("InvalidLaunchTemplate");
        if !code.is_empty() && !is_about_template {
            return error;
        }
        if is_about_template && !code.contains("Version") {
            let message = format!("launch template {name:?} does not exist in {}", self.region);
            let missing = ProviderError::invalid(
                "DescribeLaunchTemplateVersions",
                format!("{base}/{by}"),
                message,
            );
            return ProviderError { code: error.code, ..missing }
                .with_remedy("check it, the region, and the account of the credentials");
        }
        let message = format!("launch template {name:?} has no version {}", template.version);
        let known = self.known_versions(template).await;
        let remedy = match (known.iter().min(), known.iter().max()) {
            (Some(first), Some(last)) => format!("it has versions {first} to {last}"),
            _ => "see its versions with aws ec2 describe-launch-template-versions".to_owned(),
        };
        let place = format!("{base}/version");
        let error = ProviderError::invalid("DescribeLaunchTemplateVersions", place, message);
        let may_be_new = may_be_new(&template.version, &known);
        let kind = if may_be_new { ErrorKind::Unseen } else { error.kind };
        ProviderError { kind, ..error }.with_remedy(remedy)
    }

    /// Returns the versions that EC2 shows now, none if it does not answer.
    async fn known_versions(&self, template: &LaunchTemplate) -> Vec<i64> {
        let call = self.ec2.describe_launch_template_versions();
        let answer = call
            .set_launch_template_id(template.id.clone())
            .set_launch_template_name(template.name.clone())
            .send()
            .await;
        let versions = answer.ok().and_then(|answer| answer.launch_template_versions);
        versions.unwrap_or_default().iter().filter_map(|found| found.version_number()).collect()
    }
}

/// Whether `version`, which EC2 did not show, may have been created a moment ago, while EC2 shows
/// the `known` ones now.
///
/// EC2 is eventually consistent: it may be the next one, or one that began to show after it was
/// asked for.
fn may_be_new(version: &str, known: &[i64]) -> bool {
    let next = known.iter().max().map(|last| last + 1);
    version.parse().is_ok_and(|version| known.contains(&version) || next == Some(version))
}

#[cfg(test)]
mod tests {
    use super::may_be_new;

    #[test]
    fn the_next_version_and_one_that_shows_by_now_may_be_new() {
        assert!(may_be_new("3", &[1, 2]));
        assert!(may_be_new("3", &[3, 2, 1]), "it began to show between two calls");
        assert!(!may_be_new("7", &[1, 2]));
        assert!(!may_be_new("2", &[1, 3]), "it was deleted");
        assert!(!may_be_new("1", &[]), "EC2 did not answer");
        assert!(!may_be_new("$Latest", &[1]));
    }
}
