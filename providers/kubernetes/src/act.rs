//! What a rollout changes: the record, and what the Deployment tells its controller.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use rolling_provider::{
    Action, ControllerSettings, Effect, ErrorKind, ProviderError, Revision, Share,
};
use serde_json::{Value, json};

use crate::deployment_look::DeploymentLook;
use crate::error::{from_kube, is_conflict};
use crate::fleet::DeploymentFleet;
use crate::lease_record::{self, MANAGER};
use crate::pod_revision::{HASH, RevisionNames};

/// How often a change is tried again where only the status of the Deployment has changed.
const TRIES: usize = 5;

impl DeploymentFleet {
    pub(crate) async fn perform(&self, action: &Action) -> Result<(), ProviderError> {
        match action {
            Action::WriteRecord { tags } => {
                let tags = tags.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
                self.write_record(&tags.collect::<Vec<_>>()).await
            }
            Action::EraseRecord { keys } => {
                let keys = keys.iter().map(|key| (key.clone(), None));
                self.write_record(&keys.collect::<Vec<_>>()).await
            }
            Action::SetRollout { to, settings, paused } => {
                let look = self.seen()?;
                let spec = self.spec(&look, to.as_ref(), settings.as_ref(), *paused)?;
                self.change(&look, spec, false).await
            }
            _ => Err(unsupported(action)),
        }
    }

    /// Returns the last look, on which every change is based.
    fn seen(&self) -> Result<DeploymentLook, ProviderError> {
        self.last().ok_or_else(|| {
            ProviderError::invalid("act", "", "the Deployment was not looked at yet")
        })
    }

    async fn write_record(
        &self,
        changes: &[(String, Option<String>)],
    ) -> Result<(), ProviderError> {
        let look = self.seen()?;
        let metadata = &look.deployment.metadata;
        let owner = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "name": metadata.name, "uid": metadata.uid,
        });
        let written = lease_record::write(
            &self.api,
            &self.lease,
            &owner,
            changes,
            &look.record,
            self.clock.wall(),
        )
        .await?;
        self.saw(|last| {
            if let Some(last) = last {
                last.record = written;
            }
        });
        Ok(())
    }

    /// Returns the part of the Deployment that is set.
    pub(crate) fn spec(
        &self,
        look: &DeploymentLook,
        to: Option<&Revision>,
        settings: Option<&ControllerSettings>,
        paused: Option<bool>,
    ) -> Result<Value, ProviderError> {
        let mut spec = json!({});
        if let Some(to) = to {
            spec["template"] = self.template(look, to)?;
        }
        if let Some(settings) = settings {
            spec["strategy"] = json!({
                "type": "RollingUpdate",
                "rollingUpdate": {
                    "maxSurge": share(settings.surge),
                    "maxUnavailable": share(settings.unavailable),
                },
            });
            spec["minReadySeconds"] = json!(settings.min_ready_seconds);
            let deadline =
                settings.deadline_seconds.and_then(|seconds| i32::try_from(seconds).ok());
            spec["progressDeadlineSeconds"] = json!(deadline.unwrap_or(i32::MAX));
        }
        if let Some(paused) = paused {
            // As kubectl does: what is false is not there.
            spec["paused"] = if paused { json!(true) } else { Value::Null };
        }
        Ok(spec)
    }

    /// Returns what the template becomes: the wanted images and annotations, or all of the template of
    /// the ReplicaSet that the revision names.
    fn template(&self, look: &DeploymentLook, to: &Revision) -> Result<Value, ProviderError> {
        if *to == self.target.revision() {
            return Ok(self.wanted_template(look));
        }
        let name = RevisionNames::set_of(to);
        let set = name.and_then(|name| {
            look.sets.iter().find(|set| set.metadata.name.as_deref() == Some(name))
        });
        let template = set.and_then(|set| set.spec.as_ref()?.template.as_ref());
        let Some(template) = template else {
            let message = match name {
                Some(name) => format!(
                    "ReplicaSet {name} is gone, and with it the template of {to}: \
                     revisionHistoryLimit keeps only the latest"
                ),
                None => format!("{to} names no ReplicaSet"),
            };
            return Err(ProviderError {
                kind: ErrorKind::Refused,
                effect: Effect::NotApplied,
                ..ProviderError::invalid("PATCH deployments", "kubernetes_deployment", message)
            });
        };
        let mut value = serde_json::to_value(template).unwrap_or_default();
        if let Some(labels) = value.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove(HASH);
        }
        // All of it: what is not in that template goes.
        value["$patch"] = json!("replace");
        Ok(value)
    }

    fn wanted_template(&self, look: &DeploymentLook) -> Value {
        let template = look.template();
        let spec = template.spec.as_ref();
        let of = |names: Vec<&String>| -> Vec<Value> {
            let named = names.into_iter().filter_map(|name| {
                let image = self.target.images.get(name)?;
                Some(json!({ "name": name, "image": image }))
            });
            named.collect()
        };
        let own = spec.map(|spec| spec.containers.iter().map(|it| &it.name).collect());
        let init = spec.and_then(|spec| spec.init_containers.as_ref());
        let init = init.map(|init| init.iter().map(|container| &container.name).collect());
        let mut wanted = json!({ "spec": {} });
        for (place, names) in [("containers", own), ("initContainers", init)] {
            let changed = of(names.unwrap_or_default());
            if !changed.is_empty() {
                wanted["spec"][place] = json!(changed);
            }
        }
        if !self.target.annotations.is_empty() {
            wanted["metadata"] = json!({ "annotations": self.target.annotations });
        }
        wanted
    }

    /// Sets `spec`, where nobody has changed what the Deployment asks for since `look`.
    ///
    /// The controller writes the status of a Deployment all the time, which changes its version, too:
    /// what counts is its generation, which only a change of what it asks for does.
    pub(crate) async fn change(
        &self,
        look: &DeploymentLook,
        spec: Value,
        dry_run: bool,
    ) -> Result<(), ProviderError> {
        let name = &self.target.name;
        let operation = format!("PATCH deployments/{name}");
        let generation = look.deployment.metadata.generation;
        let mut version = look.deployment.metadata.resource_version.clone();
        let parameters =
            PatchParams { field_manager: Some(MANAGER.into()), dry_run, ..PatchParams::default() };
        let mut tries = 0;
        loop {
            let body = json!({ "metadata": { "resourceVersion": version }, "spec": spec });
            let sent =
                self.api.deployments.patch(name, &parameters, &Patch::Strategic(&body)).await;
            let error = match sent {
                Ok(_) if dry_run => return Ok(()),
                Ok(written) => {
                    self.noted(written);
                    return Ok(());
                }
                Err(error) => error,
            };
            tries += 1;
            if !is_conflict(&error) || tries >= TRIES {
                return Err(placed(from_kube(&operation, &error, true)));
            }
            let now = self.get().await?.metadata;
            if now.generation != generation || now.uid != look.deployment.metadata.uid {
                return Err(from_kube(&operation, &error, true));
            }
            version = now.resource_version;
        }
    }

    /// Remembers the Deployment as it was written.
    fn noted(&self, written: Deployment) {
        self.saw(|last| {
            if let Some(last) = last {
                last.deployment = written;
            }
        });
    }
}

/// The error of an action that has no meaning for a Deployment.
fn unsupported(action: &Action) -> ProviderError {
    let message = format!("a Deployment's own controller looks after its pods: cannot {action}");
    ProviderError { effect: Effect::NotApplied, ..ProviderError::invalid("act", "", message) }
}

/// Says which attribute the server refuses, where that is one of the document's.
fn placed(error: ProviderError) -> ProviderError {
    let places: BTreeMap<&str, &str> = [
        ("image", "kubernetes_deployment/images"),
        ("annotations", "kubernetes_deployment/annotations"),
        ("progressDeadlineSeconds", "progress_deadline"),
        ("maxSurge", "max_surge"),
        ("maxUnavailable", "max_unavailable"),
    ]
    .into();
    let attribute = places.iter().find(|(word, _)| error.message.contains(*word));
    match (error.kind, attribute) {
        (ErrorKind::Invalid, Some((_, place))) => {
            ProviderError { attribute: Some((*place).to_owned()), ..error }
        }
        _ => error,
    }
}

fn share(share: Share) -> Value {
    match share {
        Share::Count(count) => json!(count),
        Share::Percent(_) => json!(share.to_string()),
    }
}
