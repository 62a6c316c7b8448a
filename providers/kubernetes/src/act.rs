//! What a rollout changes: the record, and what the workload tells its controller.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{Patch, PatchParams};
use rolling_provider::{
    Action, ControllerSettings, Effect, ErrorKind, Extent, ProviderError, Revision, Share,
};
use serde_json::{Value, json};

use crate::error::{from_kube, is_conflict};
use crate::fleet::WorkloadFleet;
use crate::lease_record::{self, MANAGER};
use crate::pod_revision::{HASH, RevisionNames};
use crate::stateful_set::rolling_update;
use crate::workload_kind::WorkloadKind;
use crate::workload_look::WorkloadLook;
use crate::workload_object::Workload;

/// How often a change is tried again where only the status of the workload has changed.
const TRIES: usize = 5;

impl WorkloadFleet {
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
            Action::SetRollout { to, settings, extent } => {
                let look = self.seen()?;
                let spec = self.spec(&look, to.as_ref(), settings.as_ref(), *extent)?;
                self.change(&look, spec, false).await
            }
            Action::Terminate { instance, decrement: false } => {
                self.remove(&self.seen()?, instance).await
            }
            Action::Detach { instance, decrement: false } => {
                self.set_apart(&self.seen()?, instance).await
            }
            _ => Err(self.unsupported(action)),
        }
    }

    /// Returns the last look, on which every change is based.
    fn seen(&self) -> Result<WorkloadLook, ProviderError> {
        self.last()
            .ok_or_else(|| ProviderError::invalid("act", "", "the workload was not looked at yet"))
    }

    async fn write_record(
        &self,
        changes: &[(String, Option<String>)],
    ) -> Result<(), ProviderError> {
        let look = self.seen()?;
        let metadata = look.workload.metadata();
        let owner = json!({
            "apiVersion": "apps/v1", "kind": self.target.kind.name(),
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

    /// Returns the part of the workload that is set.
    pub(crate) fn spec(
        &self,
        look: &WorkloadLook,
        to: Option<&Revision>,
        settings: Option<&ControllerSettings>,
        extent: Option<Extent>,
    ) -> Result<Value, ProviderError> {
        let mut spec = json!({});
        if let Some(to) = to {
            spec["template"] = self.template(look, to)?;
        }
        let changed = match &look.workload {
            Workload::Deployment(_) => of_deployment(settings, extent),
            Workload::StatefulSet(set) => of_stateful_set(set, settings, extent)?,
        };
        merge(&mut spec, changed);
        Ok(spec)
    }

    /// Returns what the template becomes: the wanted images and annotations, or all of the template of
    /// the ReplicaSet that the revision names.
    fn template(&self, look: &WorkloadLook, to: &Revision) -> Result<Value, ProviderError> {
        if *to == self.target.revision() {
            return Ok(self.wanted_template(look));
        }
        let (name, keeper) = (RevisionNames::keeper_of(to), self.target.kind.keeper());
        let stored = name.and_then(|name| look.templates.iter().find(|stored| stored.name == name));
        let Some(stored) = stored else {
            let message = match name {
                Some(name) => format!(
                    "{keeper} {name} is gone, and with it the template of {to}: \
                     revisionHistoryLimit keeps only the latest"
                ),
                None => format!("{to} names no {keeper}"),
            };
            return Err(ProviderError {
                kind: ErrorKind::Refused,
                effect: Effect::NotApplied,
                ..ProviderError::invalid(
                    self.operation("PATCH"),
                    self.target.kind.attribute(),
                    message,
                )
            });
        };
        let mut value = serde_json::to_value(&stored.template).unwrap_or_default();
        if let Some(labels) = value.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove(HASH);
        }
        // All of it: what is not in that template goes.
        value["$patch"] = json!("replace");
        Ok(value)
    }

    fn wanted_template(&self, look: &WorkloadLook) -> Value {
        let template = look.workload.template();
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

    /// Sets `spec`, where nobody has changed what the workload asks for since `look`.
    ///
    /// The controller writes the status of a workload all the time, which changes its version, too:
    /// what counts is its generation, which only a change of what it asks for does.
    pub(crate) async fn change(
        &self,
        look: &WorkloadLook,
        spec: Value,
        dry_run: bool,
    ) -> Result<(), ProviderError> {
        let operation = self.operation("PATCH");
        let before = look.workload.metadata();
        let mut version = before.resource_version.clone();
        let parameters =
            PatchParams { field_manager: Some(MANAGER.into()), dry_run, ..PatchParams::default() };
        let mut tries = 0;
        loop {
            let body = json!({ "metadata": { "resourceVersion": version }, "spec": spec });
            let sent = self.patch(&parameters, &body).await;
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
                return Err(self.placed(from_kube(&operation, &error, true)));
            }
            let now = self.get().await?;
            let now = now.metadata();
            if now.generation != before.generation || now.uid != before.uid {
                return Err(from_kube(&operation, &error, true));
            }
            version = now.resource_version.clone();
        }
    }

    async fn patch(&self, parameters: &PatchParams, body: &Value) -> Result<Workload, kube::Error> {
        let (name, body) = (&self.target.name, Patch::Strategic(body));
        match self.target.kind {
            WorkloadKind::Deployment => {
                let written = self.api.deployments.patch(name, parameters, &body).await?;
                Ok(Workload::Deployment(Box::new(written)))
            }
            WorkloadKind::StatefulSet => {
                let written = self.api.stateful_sets.patch(name, parameters, &body).await?;
                Ok(Workload::StatefulSet(Box::new(written)))
            }
        }
    }

    /// Remembers the workload as it was written.
    fn noted(&self, written: Workload) {
        self.saw(|last| {
            if let Some(last) = last {
                last.workload = written;
            }
        });
    }

    /// The error of an action that has no meaning for a workload.
    fn unsupported(&self, action: &Action) -> ProviderError {
        let controller = self.target.kind.controller();
        let message = format!("{controller} looks after the pods: cannot {action}");
        ProviderError { effect: Effect::NotApplied, ..ProviderError::invalid("act", "", message) }
    }

    /// Says which attribute the server refuses, where that is one of the document's.
    fn placed(&self, error: ProviderError) -> ProviderError {
        let places: [(&str, String); 5] = [
            ("image", self.place("images")),
            ("annotations", self.place("annotations")),
            ("progressDeadlineSeconds", "progress_deadline".into()),
            ("maxSurge", "max_surge".into()),
            ("maxUnavailable", "max_unavailable".into()),
        ];
        let place = places.into_iter().find(|(word, _)| error.message.contains(word));
        match (error.kind, place) {
            (ErrorKind::Invalid, Some((_, place))) => {
                ProviderError { attribute: Some(place), ..error }
            }
            _ => error,
        }
    }
}

/// Returns what a Deployment is told.
fn of_deployment(settings: Option<&ControllerSettings>, extent: Option<Extent>) -> Value {
    let mut spec = json!({});
    if let Some(settings) = settings {
        spec["strategy"] = json!({
            "type": "RollingUpdate",
            "rollingUpdate": {
                "maxSurge": share(settings.surge),
                "maxUnavailable": share(settings.unavailable),
            },
        });
        spec["minReadySeconds"] = json!(settings.min_ready_seconds);
        let deadline = settings.deadline_seconds.and_then(|seconds| i32::try_from(seconds).ok());
        spec["progressDeadlineSeconds"] = json!(deadline.unwrap_or(i32::MAX));
    }
    if let Some(extent) = extent {
        // As kubectl does: what is false is not there.
        spec["paused"] = if extent == Extent::All { Value::Null } else { json!(true) };
    }
    spec
}

/// Returns what a StatefulSet is told. How many pods may be unavailable is only changed where it says
/// so itself: few clusters know that setting.
fn of_stateful_set(
    set: &StatefulSet,
    settings: Option<&ControllerSettings>,
    extent: Option<Extent>,
) -> Result<Value, ProviderError> {
    let mut spec = json!({});
    let rolling = rolling_update(set);
    if let Some(settings) = settings {
        spec["minReadySeconds"] = json!(settings.min_ready_seconds);
        if rolling.is_some_and(|rolling| rolling.max_unavailable.is_some()) {
            spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = share(settings.unavailable);
        }
    }
    if let Some(extent) = extent {
        let partition = match extent {
            Extent::All => 0,
            Extent::AllBut(unchanged) => unchanged,
            Extent::Paused => {
                let message = "a StatefulSet is not paused: its partition says how far it goes";
                return Err(ProviderError::invalid("act", "", message));
            }
        };
        spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(partition);
    }
    if !spec["updateStrategy"].is_null() {
        spec["updateStrategy"]["type"] = json!("RollingUpdate");
    }
    Ok(spec)
}

fn merge(spec: &mut Value, changed: Value) {
    if let (Some(spec), Value::Object(changed)) = (spec.as_object_mut(), changed) {
        spec.extend(changed);
    }
}

fn share(share: Share) -> Value {
    match share {
        Share::Count(count) => json!(count),
        Share::Percent(_) => json!(share.to_string()),
    }
}
