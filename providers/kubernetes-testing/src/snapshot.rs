//! The moments of the timeline: what the sets of each workload are now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::json_pointer::{at, flag, int, member, text};
use super::object_kind::ObjectKind;
use super::object_store::{Key, ObjectStore};
use super::timeline::{SetSize, Timeline, TimelineEntry};
use super::workload::{
    controller, controller_key, image, is_active, is_available, is_ready, is_terminating, name,
    owned, progress_reason, replicas, same_template,
};

/// Notes the workload to which a changed object belongs, if it differs from its last moment.
pub fn note(
    store: &ObjectStore,
    timeline: &mut Timeline,
    kind: ObjectKind,
    (old, new): (Option<&Value>, Option<&Value>),
    now: Duration,
) {
    let Some(changed) = new.or(old) else { return };
    // Most changes of a pod change no count.
    if kind == ObjectKind::Pod && old.map(pod_counts) == new.map(pod_counts) {
        return;
    }
    let Some(workload) = workload_of(store, changed, kind) else { return };
    if let Some(moment) = adjusted(timeline, kind, &workload, (old, new), now) {
        return timeline.note(moment);
    }
    let sets = match text(&workload, "/kind") {
        "Deployment" => of_deployment(store, &workload),
        _ => of_stateful_set(store, &workload, now),
    };
    let place = (text(&workload, "/metadata/namespace").to_owned(), name(&workload).to_owned());
    timeline.note(TimelineEntry {
        at: now,
        workload: place,
        replicas: replicas(&workload),
        paused: flag(&workload, "/spec/paused"),
        progressing: progress_reason(&workload).to_owned(),
        sets,
    });
}

/// For what a pod counts, and for whom: live, ready, terminating.
fn pod_counts(pod: &Value) -> ([i64; 3], Option<Key>) {
    let live = is_active(pod);
    let counts = [live, live && is_ready(pod), is_terminating(pod)];
    (counts.map(i64::from), controller_key(pod))
}

/// Returns the last moment of a Deployment with the counts that one pod changes, so that not every
/// pod is counted for each.
fn adjusted(
    timeline: &Timeline,
    kind: ObjectKind,
    workload: &Value,
    (old, new): (Option<&Value>, Option<&Value>),
    now: Duration,
) -> Option<TimelineEntry> {
    if kind != ObjectKind::Pod || text(workload, "/kind") != "Deployment" {
        return None;
    }
    let (old, new) = (old.map(pod_counts), new.map(pod_counts));
    let owner = old.as_ref().or(new.as_ref())?.1.clone()?;
    if [&old, &new].into_iter().flatten().any(|(_, other)| other.as_ref() != Some(&owner)) {
        return None;
    }
    let last = timeline.last_of(text(workload, "/metadata/namespace"), name(workload))?;
    let mut moment = TimelineEntry { at: now, ..last.clone() };
    let set = moment.sets.iter_mut().find(|set| set.name == owner.name)?;
    let before = old.map_or([0; 3], |(counts, _)| counts);
    let after = new.map_or([0; 3], |(counts, _)| counts);
    set.live += after[0] - before[0];
    set.ready += after[1] - before[1];
    set.terminating += after[2] - before[2];
    Some(moment)
}

/// Returns the Deployment or the StatefulSet of an object, as it is now.
fn workload_of(store: &ObjectStore, object: &Value, kind: ObjectKind) -> Option<Arc<Value>> {
    match kind {
        ObjectKind::Deployment | ObjectKind::StatefulSet => {
            store.get(&Key::of(kind, object)).map(Arc::clone)
        }
        ObjectKind::Pod | ObjectKind::ReplicaSet | ObjectKind::ControllerRevision => {
            let owner = controller_key(object)?;
            let owner_object = Arc::clone(store.get(&owner)?);
            workload_of(store, &owner_object, owner.kind)
        }
        _ => None,
    }
}

fn of_deployment(store: &ObjectStore, deployment: &Value) -> Vec<SetSize> {
    let pods = pods_by_owner(store, text(deployment, "/metadata/namespace"));
    let sets = owned(store, ObjectKind::ReplicaSet, deployment);
    let size = |set: &Arc<Value>| {
        let none = Vec::new();
        let pods = pods.get(text(set, "/metadata/uid")).unwrap_or(&none);
        SetSize {
            name: name(set).to_owned(),
            image: image(at(set, "/spec/template")).to_owned(),
            current: same_template(set, deployment),
            asked: replicas(set),
            available: int(set, "/status/availableReplicas", 0),
            ..counted(pods)
        }
    };
    sets.iter().map(size).collect()
}

/// A StatefulSet asks no revision for a number of pods: those that are there count as asked for.
fn of_stateful_set(store: &ObjectStore, set: &Value, now: Duration) -> Vec<SetSize> {
    let pods = owned(store, ObjectKind::Pod, set);
    let soak = int(set, "/spec/minReadySeconds", 0);
    let size = |revision: &Arc<Value>| {
        let of = |pod: &&Arc<Value>| {
            member(pod, "/metadata/labels", "controller-revision-hash") == Some(name(revision))
        };
        let pods: Vec<Arc<Value>> = pods.iter().filter(of).map(Arc::clone).collect();
        let available = pods.iter().filter(|pod| is_available(pod, soak, now)).count();
        let counted = counted(&pods);
        SetSize {
            name: name(revision).to_owned(),
            image: image(at(revision, "/data/spec/template")).to_owned(),
            current: text(set, "/status/updateRevision") == name(revision),
            asked: counted.live,
            available: available as i64,
            ..counted
        }
    };
    owned(store, ObjectKind::ControllerRevision, set).iter().map(size).collect()
}

fn pods_by_owner(store: &ObjectStore, namespace: &str) -> BTreeMap<String, Vec<Arc<Value>>> {
    let mut pods: BTreeMap<String, Vec<Arc<Value>>> = BTreeMap::new();
    for pod in store.list(ObjectKind::Pod, Some(namespace)) {
        if let Some(owner) = controller(&pod) {
            pods.entry(text(owner, "/uid").to_owned()).or_default().push(pod);
        }
    }
    pods
}

fn counted(pods: &[Arc<Value>]) -> SetSize {
    let count =
        |counts: &dyn Fn(&Value) -> bool| pods.iter().filter(|pod| counts(pod)).count() as i64;
    SetSize {
        name: String::new(),
        image: String::new(),
        current: false,
        asked: 0,
        live: count(&is_active),
        ready: count(&|pod| is_active(pod) && is_ready(pod)),
        available: 0,
        terminating: count(&is_terminating),
    }
}
