//! What one look at a Deployment shows, in the port's terms.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, ReplicaSet};
use k8s_openapi::api::core::v1::{Event, Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rolling_provider::{
    Capacity, ControllerSettings, ControllerStatus, Instance, InstanceId, Observation, Share,
    Timestamp,
};

use crate::lease_record::StoredRecord;
use crate::managers;
use crate::pod_revision::{RevisionNames, is_same};
use crate::pods::{instance, owner};
use crate::wanted::DeploymentTarget;

/// Kubernetes' own defaults of a Deployment (`SetDefaults_Deployment` in `pkg/apis/apps/v1`).
const DEFAULT_SHARE: Share = Share::Percent(25);
const DEFAULT_DEADLINE: i32 = 600;

/// What a look reads.
#[derive(Clone, Debug)]
pub(crate) struct DeploymentLook {
    pub deployment: Deployment,
    /// Those of the Deployment.
    pub sets: Vec<ReplicaSet>,
    /// Those of its ReplicaSets.
    pub pods: Vec<Pod>,
    pub events: Vec<Event>,
    pub record: StoredRecord,
}

impl DeploymentLook {
    /// The pod template of the Deployment.
    pub fn template(&self) -> PodTemplateSpec {
        self.deployment.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default()
    }

    /// How many pods are to run.
    pub fn size(&self) -> u32 {
        let replicas = self.deployment.spec.as_ref().and_then(|spec| spec.replicas);
        u32::try_from(replicas.unwrap_or(1)).unwrap_or_default()
    }

    /// The ReplicaSet of the template, once the controller has made it.
    pub fn new_set(&self) -> Option<&ReplicaSet> {
        let template = self.template();
        self.sets.iter().find(|set| has_template(set, &template))
    }

    /// Returns the look in the port's terms.
    pub fn observation(&self, wanted: &DeploymentTarget, at: Timestamp) -> Observation {
        let template = self.template();
        let names = RevisionNames::new(wanted, &template);
        let instances = self.pods.iter().filter_map(|pod| {
            let of = owner(&pod.metadata)?;
            let set = self.sets.iter().find(|set| set.metadata.uid.as_deref() == Some(of))?;
            let template = set.spec.as_ref()?.template.as_ref()?;
            let revision = names.of(template, Some(set));
            let name = InstanceId::new(pod.metadata.name.clone()?);
            Some((name, instance(pod, Some(revision), &self.events)))
        });
        let instances: BTreeMap<InstanceId, Instance> = instances.collect();
        let size = self.size();
        Observation {
            at,
            instances,
            capacity: Some(Capacity { min: size, max: u32::MAX, desired: size, units: None }),
            template: Some(names.of(&template, self.new_set())),
            controller: Some(Box::new(self.status())),
            record: self.record.tags.clone(),
            ..Observation::default()
        }
    }

    /// Returns what the controller shows.
    pub fn status(&self) -> ControllerStatus {
        let (size, deployment) = (self.size(), &self.deployment);
        let status = deployment.status.clone().unwrap_or_default();
        let count =
            |count: Option<i32>| u32::try_from(count.unwrap_or_default()).unwrap_or_default();
        let observed = status.observed_generation >= deployment.metadata.generation;
        let updated = [status.updated_replicas, status.replicas, status.available_replicas];
        let new = self.new_set();
        let condition = |kind: &str, value: &str| {
            let mut all = status.conditions.iter().flatten();
            all.find(|found| found.type_ == kind && found.status == value)
        };
        let exceeded = condition("Progressing", "False")
            .filter(|found| found.reason.as_deref() == Some("ProgressDeadlineExceeded"));
        let refused = condition("ReplicaFailure", "True");
        let message = |found: &DeploymentCondition| {
            let reason = found.reason.clone().unwrap_or_default();
            found.message.clone().map_or(reason.clone(), |message| format!("{reason}: {message}"))
        };
        let asked = |set: &ReplicaSet| count(set.spec.as_ref().and_then(|spec| spec.replicas));
        ControllerStatus {
            settings: settings(deployment),
            paused: deployment.spec.as_ref().and_then(|spec| spec.paused).unwrap_or_default(),
            observed,
            asked: new.map_or(0, asked),
            asked_in_all: self.sets.iter().map(asked).sum(),
            available: new
                .and_then(|set| set.status.as_ref())
                .map_or(0, |status| count(status.available_replicas)),
            complete: observed && updated.iter().all(|it| count(*it) == size) && new.is_some(),
            exceeded: exceeded.filter(|_| observed).map(message),
            refused: refused.filter(|_| observed).map(message),
            managers: managers::of_rollout(
                deployment.metadata.managed_fields.as_deref().unwrap_or_default(),
            ),
        }
    }
}

/// Whether `set` makes the pods of `template`.
pub(crate) fn has_template(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let own = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    own.is_some_and(|own| is_same(own, template))
}

/// Returns the bounds that the Deployment gives its controller.
pub(crate) fn settings(deployment: &Deployment) -> ControllerSettings {
    let spec = deployment.spec.as_ref();
    let rolling = spec
        .and_then(|spec| spec.strategy.as_ref())
        .and_then(|strategy| strategy.rolling_update.as_ref());
    let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref()).and_then(share);
    let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref()).and_then(share);
    let min_ready = spec.and_then(|spec| spec.min_ready_seconds).unwrap_or_default();
    let deadline = spec.and_then(|spec| spec.progress_deadline_seconds).unwrap_or(DEFAULT_DEADLINE);
    ControllerSettings {
        surge: surge.unwrap_or(DEFAULT_SHARE),
        unavailable: unavailable.unwrap_or(DEFAULT_SHARE),
        min_ready_seconds: u32::try_from(min_ready).unwrap_or_default(),
        // The largest number stands for none.
        deadline_seconds: (deadline != i32::MAX)
            .then(|| u32::try_from(deadline).unwrap_or_default()),
    }
}

fn share(given: &IntOrString) -> Option<Share> {
    match given {
        IntOrString::Int(count) => u32::try_from(*count).ok().map(Share::Count),
        IntOrString::String(text) => text.parse().ok(),
    }
}
