//! What one look at a workload shows, in the port's terms.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, StatefulSet};
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rolling_provider::{
    Capacity, ControllerSettings, ControllerStatus, Instance, InstanceId, Observation, Share,
    Timestamp,
};

use crate::lease_record::StoredRecord;
use crate::managers;
use crate::pod_revision::{RevisionNames, is_same};
use crate::pods::{id_of, instance};
use crate::stateful_set;
use crate::stored_template::StoredTemplate;
use crate::workload_object::Workload;
use crate::workload_target::WorkloadTarget;

/// Kubernetes' own defaults of a Deployment (`SetDefaults_Deployment` in `pkg/apis/apps/v1`).
const DEFAULT_SHARE: Share = Share::Percent(25);
const DEFAULT_DEADLINE: i32 = 600;

/// What a look reads.
#[derive(Clone, Debug)]
pub(crate) struct WorkloadLook {
    pub workload: Workload,
    /// The templates of its revisions.
    pub templates: Vec<StoredTemplate>,
    /// Its own, and no others.
    pub pods: Vec<Pod>,
    pub events: Vec<Event>,
    pub record: StoredRecord,
}

impl WorkloadLook {
    /// What has the template of the workload, once the controller has made it.
    pub fn keeper(&self) -> Option<&StoredTemplate> {
        if let Workload::StatefulSet(set) = &self.workload
            && self.workload.is_observed()
        {
            // Its controller says which one it is.
            let update = set.status.as_ref().and_then(|status| status.update_revision.as_ref());
            return self.templates.iter().find(|stored| Some(&stored.name) == update);
        }
        let template = self.workload.template();
        self.templates.iter().find(|stored| is_same(&stored.template, &template))
    }

    /// Returns the look in the port's terms.
    pub fn observation(&self, wanted: &WorkloadTarget, at: Timestamp) -> Observation {
        let template = self.workload.template();
        let names = RevisionNames::new(wanted, &template);
        let name_of = |stored: &StoredTemplate| names.of(&stored.template, Some(&stored.name));
        let instances = self.pods.iter().filter_map(|pod| {
            let stored = self.templates.iter().find(|stored| stored.has(pod));
            Some((id_of(wanted.kind, pod)?, instance(pod, stored.map(name_of), &self.events)))
        });
        let instances: BTreeMap<InstanceId, Instance> = instances.collect();
        let size = self.workload.size();
        let keeper = self.keeper().map(|stored| stored.name.as_str());
        Observation {
            at,
            instances,
            capacity: Some(Capacity { min: size, max: u32::MAX, desired: size, units: None }),
            template: Some(names.of(&template, keeper)),
            controller: Some(Box::new(self.status())),
            record: self.record.tags.clone(),
            ..Observation::default()
        }
    }

    /// Returns what the controller shows.
    pub fn status(&self) -> ControllerStatus {
        match &self.workload {
            Workload::Deployment(deployment) => self.of_deployment(deployment),
            Workload::StatefulSet(set) => self.of_stateful_set(set),
        }
    }

    fn of_deployment(&self, deployment: &Deployment) -> ControllerStatus {
        let status = deployment.status.clone().unwrap_or_default();
        let observed = self.workload.is_observed();
        let updated = [status.updated_replicas, status.replicas, status.available_replicas];
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
        let keeper = self.keeper();
        ControllerStatus {
            settings: settings(&self.workload),
            paused: deployment.spec.as_ref().and_then(|spec| spec.paused).unwrap_or_default(),
            partition: None,
            observed,
            asked: keeper.map_or(0, |set| set.asked),
            asked_in_all: self.templates.iter().map(|set| set.asked).sum(),
            available: keeper.map_or(0, |set| set.available),
            complete: observed && self.are_all(updated) && keeper.is_some(),
            exceeded: exceeded.filter(|_| observed).map(message),
            refused: refused.filter(|_| observed).map(message),
            places: BTreeMap::new(),
            blocked_by: Vec::new(),
            managers: managers::of_rollout(self.managed_fields()),
        }
    }

    fn of_stateful_set(&self, set: &StatefulSet) -> ControllerStatus {
        let status = set.status.clone().unwrap_or_default();
        let (size, observed) = (self.workload.size(), self.workload.is_observed());
        let partition = stateful_set::partition(set);
        // `readyReplicas` and not `availableReplicas`, which clusters before 1.22 do not have: the
        // engine itself waits until an instance has been ready for long enough.
        let updated = [status.updated_replicas, Some(status.replicas), status.ready_replicas];
        let is_current = status.current_revision == status.update_revision;
        ControllerStatus {
            settings: settings(&self.workload),
            paused: false,
            partition: Some(partition),
            observed,
            asked: size.saturating_sub(partition),
            asked_in_all: size,
            available: stateful_set::ready_of(self.keeper(), &self.pods),
            complete: observed && self.are_all(updated) && is_current && self.keeper().is_some(),
            exceeded: None,
            refused: stateful_set::refused(set, self.keeper(), &self.pods, &self.events),
            places: stateful_set::places(set, &self.pods),
            blocked_by: match observed {
                true => stateful_set::blocked_by(set, self.keeper(), &self.pods),
                false => Vec::new(),
            },
            managers: managers::of_rollout(self.managed_fields()),
        }
    }

    /// Whether each of these numbers of pods is the size.
    fn are_all(&self, counts: [Option<i32>; 3]) -> bool {
        let size = self.workload.size();
        counts.iter().all(|count| u32::try_from(count.unwrap_or_default()) == Ok(size))
    }

    fn managed_fields(
        &self,
    ) -> &[k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry] {
        self.workload.metadata().managed_fields.as_deref().unwrap_or_default()
    }
}

/// Returns the bounds that the workload gives its controller.
pub(crate) fn settings(workload: &Workload) -> ControllerSettings {
    let seconds = |seconds: Option<i32>| u32::try_from(seconds.unwrap_or_default()).unwrap_or(0);
    match workload {
        Workload::Deployment(deployment) => {
            let spec = deployment.spec.clone().unwrap_or_default();
            let rolling = spec.strategy.and_then(|strategy| strategy.rolling_update);
            let rolling = rolling.unwrap_or_default();
            let deadline = spec.progress_deadline_seconds.unwrap_or(DEFAULT_DEADLINE);
            let given = |given: Option<IntOrString>| {
                given.as_ref().and_then(share).unwrap_or(DEFAULT_SHARE)
            };
            ControllerSettings {
                surge: given(rolling.max_surge),
                unavailable: given(rolling.max_unavailable),
                min_ready_seconds: seconds(spec.min_ready_seconds),
                // The largest number stands for none.
                deadline_seconds: (deadline != i32::MAX).then(|| seconds(Some(deadline))),
            }
        }
        Workload::StatefulSet(set) => {
            let rolling = stateful_set::rolling_update(set);
            let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
            let min_ready = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
            ControllerSettings {
                surge: Share::Count(0),
                // One after the other, unless it says another number.
                unavailable: unavailable.and_then(share).unwrap_or(Share::Count(1)),
                min_ready_seconds: seconds(min_ready),
                deadline_seconds: None,
            }
        }
    }
}

fn share(given: &IntOrString) -> Option<Share> {
    match given {
        IntOrString::Int(count) => u32::try_from(*count).ok().map(Share::Count),
        IntOrString::String(text) => text.parse().ok(),
    }
}
