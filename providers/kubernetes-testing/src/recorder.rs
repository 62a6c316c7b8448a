//! Events (`k8s.io/client-go/tools/record`): the same one again is counted.

use serde_json::{Value, json};

use super::cluster_state::ClusterState;
use super::instant;
use super::json_pointer::{int, set, text};
use super::managed_fields::Manager;
use super::object_kind::ObjectKind;
use super::object_store::Key;

/// Records that nothing is wrong.
pub fn normal(
    state: &mut ClusterState,
    about: &Value,
    component: &str,
    reason: &str,
    message: &str,
) {
    record(state, about, component, ("Normal", reason), message);
}

/// Records that something is wrong.
pub fn warning(
    state: &mut ClusterState,
    about: &Value,
    component: &str,
    reason: &str,
    message: &str,
) {
    record(state, about, component, ("Warning", reason), message);
}

fn record(
    state: &mut ClusterState,
    about: &Value,
    component: &str,
    what: (&str, &str),
    message: &str,
) {
    let (kind, reason) = what;
    let uid = text(about, "/metadata/uid");
    let same = [uid.to_owned(), reason.to_owned(), message.to_owned()];
    let now = instant::seconds(state.now);
    let manager = Manager::update(component);
    if let Some(key) = state.events.get(&same).cloned() {
        let counted = state.update(&key, &manager, |event| {
            set(event, "/count", int(event, "/count", 1) + 1);
            set(event, "/lastTimestamp", now.clone());
        });
        if counted.is_some() {
            return;
        }
    }
    let (namespace, name) = (text(about, "/metadata/namespace"), text(about, "/metadata/name"));
    let unique = format!("{name}.{:016x}", state.random.next());
    let host = if component == "kubelet" { text(about, "/spec/nodeName") } else { "" };
    let mut source = json!({"component": component});
    if !host.is_empty() {
        source["host"] = host.into();
    }
    let event = json!({
        "metadata": {"name": unique, "namespace": namespace},
        "involvedObject": {
            "kind": about["kind"], "apiVersion": about["apiVersion"], "namespace": namespace,
            "name": name, "uid": uid, "resourceVersion": about["metadata"]["resourceVersion"],
        },
        "type": kind, "reason": reason, "message": message, "source": source, "count": 1,
        "firstTimestamp": now, "lastTimestamp": now, "eventTime": null,
        "reportingComponent": component, "reportingInstance": host,
    });
    state.events.insert(same, Key::new(ObjectKind::Event, namespace, unique));
    state.create(ObjectKind::Event, event, &manager);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster_settings::Settings;

    #[test]
    fn the_same_event_is_counted() {
        let mut state = ClusterState::new(Settings::default(), Duration::from_secs(100));
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "shop", "uid": "u"}});
        warning(&mut state, &pod, "kubelet", "BackOff", "Back-off");
        state.now += Duration::from_secs(5);
        warning(&mut state, &pod, "kubelet", "BackOff", "Back-off");
        normal(&mut state, &pod, "kubelet", "Pulled", "Pulled");
        let events = state.store.list(ObjectKind::Event, Some("shop"));
        let counts: Vec<i64> = events.iter().map(|event| int(event, "/count", 0)).collect();
        assert_eq!(counts.iter().sum::<i64>(), 3);
        assert_eq!(events.len(), 2);
        let counted = events.iter().find(|event| event["count"] == 2).expect("the counted one");
        assert_eq!(counted["lastTimestamp"], "1970-01-01T00:01:45Z");
    }
}
