//! Looks a Deployment up, and refuses what a rollout of it cannot be.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler;
use kube::Api;
use kube::api::ListParams;
use rolling_provider::{ProviderError, Target};

use crate::deployment_look::DeploymentLook;
use crate::fleet::DeploymentFleet;
use crate::managers;
use crate::pod_revision::images;
use crate::pods::boots;

/// The key by which a record names its rollout.
const ROLLOUT: &str = "rolling:rollout";

impl DeploymentFleet {
    pub(crate) async fn look_up(&self) -> Result<Target, ProviderError> {
        let look = self.look().await?;
        self.refuse(&look.deployment)?;
        let metadata = &look.deployment.metadata;
        let name = format!("{}/{}", self.api.namespace, self.target.name);
        let id = metadata.uid.clone().unwrap_or_else(|| name.clone());
        let mut target = Target::new(&id, &name, "deployment", self.target.revision());
        target.boot = median(boots(&look.pods)).map(Duration::from_millis);
        target.controller = Some("the Deployment controller");
        target.warnings = self.warnings_of(&look).await;
        let history = look.deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit);
        target.no_auto_rollback = (history == Some(0)).then(|| {
            "revisionHistoryLimit of the Deployment is 0: the template of the old pods is lost as \
             soon as none of them is left"
                .to_owned()
        });
        Ok(target)
    }

    /// Refuses what the document asks for and the Deployment does not have.
    pub(crate) fn refuse(&self, deployment: &Deployment) -> Result<(), ProviderError> {
        let operation = || format!("GET deployments/{}", self.target.name);
        let spec = deployment.spec.clone().unwrap_or_default();
        let there = images(&spec.template);
        if let Some(missing) = self.target.images.keys().find(|name| !there.contains_key(*name)) {
            let known: Vec<&str> = there.keys().map(String::as_str).collect();
            let message = format!("the Deployment has no container {missing:?}");
            let place = format!("kubernetes_deployment/images/{missing}");
            let error = ProviderError::invalid(operation(), place, message);
            return Err(error.with_remedy(format!("it has {}", known.join(", "))));
        }
        let kind = spec.strategy.and_then(|strategy| strategy.type_);
        if kind.as_deref() == Some("Recreate") {
            let message = "the Deployment's strategy is Recreate: all pods end before one begins";
            let place = "kubernetes_deployment/name";
            let error = ProviderError::invalid(operation(), place, message);
            return Err(error.with_remedy("set spec.strategy.type to RollingUpdate"));
        }
        Ok(())
    }

    /// Refuses a Deployment that somebody else has paused.
    pub(crate) async fn refuse_foreign_pause(&self) -> Result<(), ProviderError> {
        let look = match self.last() {
            Some(look) => look,
            None => self.look().await?,
        };
        let paused = look.deployment.spec.as_ref().and_then(|spec| spec.paused);
        if paused != Some(true) || look.record.tags.contains_key(ROLLOUT) {
            return Ok(());
        }
        let name = &self.target.name;
        let message = "somebody has paused the Deployment, and no record of a rollout says why";
        let error = ProviderError::invalid(
            format!("GET deployments/{name}"),
            "kubernetes_deployment/name",
            message,
        );
        Err(error.as_conflict().with_remedy(format!(
            "ask who did; `kubectl rollout resume deployment/{name}` ends the pause"
        )))
    }

    async fn warnings_of(&self, look: &DeploymentLook) -> Vec<String> {
        let mut warnings: Vec<String> = self
            .target
            .images
            .iter()
            .filter(|(_, image)| is_floating(image))
            .map(|(name, image)| {
                format!(
                    "image {image} of container {name} has no fixed tag: the same name may be \
                     another image by the next pod"
                )
            })
            .collect();
        let fields = look.deployment.metadata.managed_fields.as_deref().unwrap_or_default();
        let others = managers::of_images(fields);
        if !others.is_empty() {
            warnings.push(format!(
                "{} sets the image as well, and may set it back: have it leave the image out \
                 (Terraform: ignore_changes; Argo CD: ignoreDifferences with \
                 RespectIgnoreDifferences=true)",
                others.join(" and ")
            ));
        }
        if let Some(name) = self.autoscaler().await {
            warnings.push(format!(
                "HorizontalPodAutoscaler {name} sets the size: what it adds while the controller is \
                 paused is spread over old and new pods, so a step may replace more than planned"
            ));
        }
        warnings
    }

    /// Returns the autoscaler of the Deployment, where it may be read.
    async fn autoscaler(&self) -> Option<String> {
        let api: Api<HorizontalPodAutoscaler> =
            Api::namespaced(self.api.client.clone(), &self.api.namespace);
        let listed = api.list(&ListParams::default()).await.ok()?;
        let of_this = listed.items.into_iter().find(|autoscaler| {
            let target = autoscaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
            target.is_some_and(|it| it.kind == "Deployment" && it.name == self.target.name)
        });
        of_this?.metadata.name
    }
}

/// Whether an image may be another one by the same name.
fn is_floating(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.contains('@') {
        true => false,
        false => name.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest"),
    }
}

fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fixed_tag_or_a_digest_is_one_image() {
        for image in ["web", "web:latest", "images.example.com:5000/shop/web"] {
            assert!(is_floating(image), "{image}");
        }
        for image in ["web:2.1", "web@sha256:ab", "images.example.com:5000/shop/web:2"] {
            assert!(!is_floating(image), "{image}");
        }
    }
}
