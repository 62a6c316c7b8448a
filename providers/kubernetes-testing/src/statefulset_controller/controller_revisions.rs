//! The revisions of a StatefulSet (`pkg/controller/history`, `stateful_set_control.go`).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster_state::ClusterState;
use crate::json_pointer::{at, copy, int, text};
use crate::managed_fields::Manager;
use crate::object_kind::ObjectKind;
use crate::object_store::Key;
use crate::random;
use crate::workload::{CONTROLLER_MANAGER, controller_reference, name, owned};

/// The label with the revision of a pod.
pub const REVISION_LABEL: &str = "controller-revision-hash";

/// The revision that pods have, and the one that they are to have.
pub struct Revisions {
    /// `status.currentRevision`.
    pub current: Arc<Value>,
    /// `status.updateRevision`.
    pub update: Arc<Value>,
}

/// Returns the template of a revision.
pub fn template(revision: &Value) -> &Value {
    at(revision, "/data/spec/template")
}

/// Finds or makes the revision of the template (`getStatefulSetRevisions`). One that is there with
/// the same template is taken up again, with the next number.
pub fn sync(state: &mut ClusterState, set: &Value) -> Revisions {
    let mut all = owned(&state.store, ObjectKind::ControllerRevision, set);
    all.sort_by_key(|revision| int(revision, "/revision", 0));
    let next = all.last().map_or(0, |last| int(last, "/revision", 0)) + 1;
    let wanted = data(set);
    let equal = all.iter().rposition(|revision| revision["data"] == wanted);
    let update = match equal {
        Some(index) if index + 1 == all.len() => Arc::clone(&all[index]),
        Some(index) => {
            let key = Key::of(ObjectKind::ControllerRevision, &all[index]);
            let manager = Manager::update(CONTROLLER_MANAGER);
            let raised =
                state.update(&key, &manager, |revision| revision["revision"] = next.into());
            raised.unwrap_or_else(|| Arc::clone(&all[index]))
        }
        None => made(state, set, wanted, next),
    };
    let current = text(set, "/status/currentRevision");
    let current = all.iter().find(|revision| name(revision) == current);
    Revisions { current: current.map_or_else(|| Arc::clone(&update), Arc::clone), update }
}

/// What a revision keeps: the template, as a patch that replaces it (`getPatch`).
fn data(set: &Value) -> Value {
    let mut template = set["spec"]["template"].clone();
    template["$patch"] = "replace".into();
    json!({"spec": {"template": template}})
}

fn made(state: &mut ClusterState, set: &Value, data: Value, number: i64) -> Arc<Value> {
    let hash = random::hash(&data, int(set, "/status/collisionCount", 0));
    let mut revision = json!({
        "metadata": {
            "name": format!("{}-{hash}", name(set)),
            "namespace": set["metadata"]["namespace"],
            "ownerReferences": [controller_reference(set)],
        },
        "data": data, "revision": number,
    });
    copy(&mut revision["metadata"], at(set, "/spec/template/metadata"), "labels");
    revision["metadata"]["labels"]["controller.kubernetes.io/hash"] = hash.into();
    state.create(ObjectKind::ControllerRevision, revision, &Manager::update(CONTROLLER_MANAGER))
}

/// Deletes revisions beyond `revisionHistoryLimit` that no pod has (`truncateHistory`).
pub fn truncate(state: &mut ClusterState, set: &Value, revisions: &Revisions, pods: &[Arc<Value>]) {
    let live = |revision: &Value| {
        let name = name(revision);
        name == self::name(&revisions.current)
            || name == self::name(&revisions.update)
            || pods.iter().any(|pod| pod["metadata"]["labels"][REVISION_LABEL] == name)
    };
    let mut history = owned(&state.store, ObjectKind::ControllerRevision, set);
    history.retain(|revision| !live(revision));
    history.sort_by_key(|revision| int(revision, "/revision", 0));
    let limit = usize::try_from(int(set, "/spec/revisionHistoryLimit", 10)).unwrap_or(0);
    for revision in history.iter().take(history.len().saturating_sub(limit)) {
        state.delete(&Key::of(ObjectKind::ControllerRevision, revision));
    }
}
