//! Looks a workload up, and refuses what a rollout of it cannot be.

use std::time::Duration;

use k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler;
use kube::Api;
use kube::api::ListParams;
use rolling_provider::{ProviderError, Target};

use crate::fleet::WorkloadFleet;
use crate::managers;
use crate::pod_revision::images;
use crate::pods::boots;
use crate::workload_kind::WorkloadKind;
use crate::workload_look::WorkloadLook;
use crate::workload_object::Workload;

/// The key by which a record names its rollout.
const ROLLOUT: &str = "rolling:rollout";

impl WorkloadFleet {
    pub(crate) async fn look_up(&self) -> Result<Target, ProviderError> {
        let look = self.look().await?;
        self.refuse(&look.workload)?;
        let (metadata, kind) = (look.workload.metadata(), self.target.kind);
        let name = format!("{}/{}", self.api.namespace, self.target.name);
        let id = metadata.uid.clone().unwrap_or_else(|| name.clone());
        let mut target = Target::new(&id, &name, kind.shown(), self.target.revision());
        target.boot = median(boots(&look.pods)).map(Duration::from_millis);
        target.controller = Some(kind.controller());
        target.warnings = self.warnings_of(&look).await;
        target.no_auto_rollback = (look.workload.history_limit() == Some(0)).then(|| {
            format!(
                "revisionHistoryLimit of the {} is 0: the template of the old pods is lost as soon as \
                 none of them is left",
                kind.name()
            )
        });
        Ok(target)
    }

    /// Refuses what the document asks for and the workload does not have.
    pub(crate) fn refuse(&self, workload: &Workload) -> Result<(), ProviderError> {
        let (operation, kind) = (self.operation("GET"), self.target.kind.name());
        let there = images(&workload.template());
        if let Some(missing) = self.target.images.keys().find(|name| !there.contains_key(*name)) {
            let known: Vec<&str> = there.keys().map(String::as_str).collect();
            let message = format!("the {kind} has no container {missing:?}");
            let place = self.place(&format!("images/{missing}"));
            let error = ProviderError::invalid(operation, place, message);
            return Err(error.with_remedy(format!("it has {}", known.join(", "))));
        }
        let (message, remedy) = match (workload, workload.strategy()) {
            (Workload::Deployment(_), Some("Recreate")) => (
                "the Deployment's strategy is Recreate: all pods end before one begins",
                "set spec.strategy.type to RollingUpdate",
            ),
            (Workload::StatefulSet(_), Some("OnDelete")) => (
                "the StatefulSet's update strategy is OnDelete: its controller replaces no pod",
                "set spec.updateStrategy.type to RollingUpdate",
            ),
            _ => return Ok(()),
        };
        let error = ProviderError::invalid(operation, self.place("name"), message);
        Err(error.with_remedy(remedy))
    }

    /// Refuses a workload that somebody else has stopped.
    pub(crate) async fn refuse_foreign_pause(&self) -> Result<(), ProviderError> {
        let look = match self.last() {
            Some(look) => look,
            None => self.look().await?,
        };
        if look.record.tags.contains_key(ROLLOUT) {
            return Ok(());
        }
        let name = &self.target.name;
        let status = look.status();
        let (message, remedy) = match status.partition {
            None if status.paused => (
                "somebody has paused the Deployment".to_owned(),
                format!("`kubectl rollout resume deployment/{name}` ends the pause"),
            ),
            Some(count) if count > 0 => (
                format!("somebody has set the partition of the StatefulSet to {count}"),
                format!(
                    "`kubectl patch statefulset/{name} --patch \
                     '{{\"spec\":{{\"updateStrategy\":{{\"rollingUpdate\":{{\"partition\":0}}}}}}}}'` \
                     sets it back"
                ),
            ),
            _ => return Ok(()),
        };
        let message = format!("{message}, and no record of a rollout says why, or it was deleted");
        let error = ProviderError::invalid(self.operation("GET"), self.place("name"), message);
        Err(error.as_conflict().with_remedy(format!("ask who did; {remedy}")))
    }

    async fn warnings_of(&self, look: &WorkloadLook) -> Vec<String> {
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
        let fields = look.workload.metadata().managed_fields.as_deref().unwrap_or_default();
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
            let what = match self.target.kind {
                WorkloadKind::Deployment => {
                    "what it adds while the controller is paused is spread over old and new pods"
                }
                WorkloadKind::StatefulSet => "what it adds is of the new revision",
            };
            warnings.push(format!(
                "HorizontalPodAutoscaler {name} sets the size: {what}, so a step may replace more \
                 than planned"
            ));
        }
        let unguarded = self.unguarded_bindings(look).await;
        if !unguarded.is_empty() {
            warnings.push(format!(
                "TargetGroupBinding {} sends requests to the pods, and they have no readiness gate \
                 for it: a pod counts before the target group calls it healthy. Label namespace {} \
                 elbv2.k8s.aws/pod-readiness-gate-inject=enabled",
                unguarded.join(", "),
                self.api.namespace
            ));
        }
        warnings
    }

    /// Returns the autoscaler of the workload, where it may be read.
    async fn autoscaler(&self) -> Option<String> {
        let api: Api<HorizontalPodAutoscaler> =
            Api::namespaced(self.api.client.clone(), &self.api.namespace);
        let listed = api.list(&ListParams::default()).await.ok()?;
        let of_this = listed.items.into_iter().find(|autoscaler| {
            let target = autoscaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
            target
                .is_some_and(|it| it.kind == self.target.kind.name() && it.name == self.target.name)
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
