//! The garbage collector (`pkg/controller/garbagecollector`): what has owners, none of which is
//! there any more, is deleted.

use std::collections::BTreeSet;

use super::cluster_state::ClusterState;
use super::json_pointer::{list, text};
use super::object_kind::ObjectKind;
use super::object_store::Key;

/// Deletes what has lost its owners.
pub fn collect(state: &mut ClusterState) {
    let all: Vec<_> = ObjectKind::ALL
        .into_iter()
        .flat_map(|kind| state.store.list(kind, None).into_iter().map(move |object| (kind, object)))
        .collect();
    let uids: BTreeSet<&str> =
        all.iter().map(|(_, object)| text(object, "/metadata/uid")).collect();
    for (kind, object) in &all {
        let owners = list(object, "/metadata/ownerReferences");
        let gone = |owner| !uids.contains(text(owner, "/uid"));
        if !owners.is_empty() && owners.iter().all(gone) {
            let key = Key::of(*kind, object);
            match kind {
                ObjectKind::Pod => state.delete_pod(&key, None),
                _ => state.delete(&key),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::cluster_settings::Settings;
    use crate::managed_fields::Manager;
    use crate::work_queue::WorkItem;

    #[test]
    fn what_is_owned_goes_with_its_owner() {
        let mut state = ClusterState::new(Settings::default(), Duration::ZERO);
        let manager = Manager::update("test");
        let named = |name: &str| json!({"metadata": {"name": name, "namespace": "shop"}});
        let owner = state.create(ObjectKind::Deployment, named("web"), &manager);
        let mut lease = named("rolling-web");
        lease["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": owner["metadata"]["uid"]}]);
        state.create(ObjectKind::Lease, lease, &manager);
        state.create(ObjectKind::Lease, named("other"), &manager);
        collect(&mut state);
        assert_eq!(state.store.list(ObjectKind::Lease, None).len(), 2);
        state.delete(&Key::new(ObjectKind::Deployment, "shop", "web"));
        let tasks: Vec<WorkItem> =
            std::iter::from_fn(|| state.queue.pop(Duration::MAX)).map(|(_, task)| task).collect();
        assert!(tasks.contains(&WorkItem::Collect));
        collect(&mut state);
        let left = state.store.list(ObjectKind::Lease, None);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0]["metadata"]["name"], "other");
    }
}
