//! The templates of the revisions of a workload.

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};

use crate::pods::owner;

/// The label by which the controller tells the pods of a StatefulSet's revisions apart.
const REVISION_HASH: &str = "controller-revision-hash";

/// What makes the pods of one revision: a ReplicaSet, or a ControllerRevision.
#[derive(Clone, Debug)]
pub(crate) struct StoredTemplate {
    /// Its name.
    pub name: String,
    /// That of a ReplicaSet, by which its pods name it.
    pub uid: Option<String>,
    pub template: PodTemplateSpec,
    /// How many pods it asks for, and how many of them are available; of a ControllerRevision neither
    /// is known.
    pub asked: u32,
    pub available: u32,
}

impl StoredTemplate {
    pub fn of_replica_set(set: ReplicaSet) -> Option<Self> {
        let spec = set.spec?;
        let count = |count: Option<i32>| u32::try_from(count.unwrap_or_default()).ok();
        Some(Self {
            name: set.metadata.name?,
            uid: set.metadata.uid,
            template: spec.template?,
            asked: count(spec.replicas).unwrap_or_default(),
            available: count(set.status.and_then(|status| status.available_replicas))
                .unwrap_or_default(),
        })
    }

    /// The data of a ControllerRevision is a patch of the StatefulSet, with all of its template.
    pub fn of_controller_revision(revision: ControllerRevision) -> Option<Self> {
        let data = revision.data?;
        let template = data.0.pointer("/spec/template")?.clone();
        Some(Self {
            name: revision.metadata.name?,
            uid: None,
            template: serde_json::from_value(template).ok()?,
            asked: 0,
            available: 0,
        })
    }

    /// Whether `pod` was made by it.
    pub fn has(&self, pod: &Pod) -> bool {
        match &self.uid {
            Some(uid) => owner(&pod.metadata) == Some(uid.as_str()),
            None => {
                let labels = pod.metadata.labels.as_ref();
                labels.and_then(|labels| labels.get(REVISION_HASH)) == Some(&self.name)
            }
        }
    }
}
