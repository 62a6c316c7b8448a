//! Watches: changes of objects from a version on.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::object_kind::ObjectKind;
use crate::object_store::{ChangeType, Key, ObjectStore, StoreChange};
use crate::selector::{fields_match, labels_match};

/// What a watch or a list selects.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The kind.
    pub kind: ObjectKind,
    /// The namespace, or none for all.
    pub namespace: Option<String>,
    /// The label selector.
    pub labels: String,
    /// The field selector.
    pub fields: String,
}

impl Selection {
    /// Returns whether an object is selected.
    pub fn selects(&self, object: &Value) -> bool {
        labels_match(&self.labels, object).unwrap_or(false) && fields_match(&self.fields, object)
    }

    fn covers(&self, key: &Key) -> bool {
        key.kind == self.kind && self.namespace.as_ref().is_none_or(|name| *name == key.namespace)
    }
}

/// A watch, and how far it has come.
#[derive(Clone, Debug)]
pub struct Watch {
    selection: Selection,
    version: u64,
    /// What the client knows: an object that is not selected any more is `DELETED` for it.
    known: BTreeSet<Key>,
    bookmarks: bool,
    /// Whether the objects that are there come first, and a bookmark after them
    /// (`sendInitialEvents`).
    initial: bool,
    marked: u64,
    /// After how many seconds it ends; 0 is never.
    pub seconds: u64,
}

impl Watch {
    /// Begins a watch. Without a version, or with version 0, the objects that are there come as
    /// `ADDED`.
    pub fn begin(store: &ObjectStore, selection: Selection, from: u64, bookmarks: bool) -> Self {
        let there = store.list_at_version(selection.kind, selection.namespace.as_deref(), from);
        let known = there
            .iter()
            .filter(|object| selection.selects(object))
            .map(|object| Key::of(selection.kind, object))
            .collect();
        Self {
            selection,
            version: from,
            known,
            bookmarks,
            initial: false,
            marked: from,
            seconds: 0,
        }
    }

    /// The objects that are there come first, and a bookmark that says so after them.
    pub fn with_initial_events(mut self) -> Self {
        self.initial = true;
        self.version = 0;
        self.known.clear();
        self
    }

    /// Returns what has happened since the last time.
    pub fn next(&mut self, store: &ObjectStore) -> Vec<Value> {
        let mut events = Vec::new();
        if self.version == 0 {
            let namespace = self.selection.namespace.as_deref();
            for object in store.list(self.selection.kind, namespace) {
                if self.selection.selects(&object) {
                    self.known.insert(Key::of(self.selection.kind, &object));
                    events.push(event(ChangeType::Added.word(), &object));
                }
            }
            self.version = store.version();
        }
        for change in store.since(self.version) {
            if self.selection.covers(&change.key) {
                events.extend(Self::seen(&self.selection, &mut self.known, change));
            }
        }
        self.version = store.version();
        let quiet = events.is_empty() && self.version > self.marked + 50;
        if self.bookmarks && (self.initial || quiet) {
            events.push(self.bookmark());
        }
        if !events.is_empty() {
            self.marked = self.version;
        }
        self.initial = false;
        events
    }

    fn seen(
        selection: &Selection,
        known: &mut BTreeSet<Key>,
        change: &StoreChange,
    ) -> Option<Value> {
        let selected = change.change != ChangeType::Deleted && selection.selects(&change.object);
        let word = match (known.contains(&change.key), selected) {
            (false, false) => return None,
            (false, true) => ChangeType::Added,
            (true, true) => ChangeType::Modified,
            (true, false) => ChangeType::Deleted,
        };
        if selected {
            known.insert(change.key.clone());
        } else {
            known.remove(&change.key);
        }
        Some(event(word.word(), &change.object))
    }

    fn bookmark(&self) -> Value {
        let kind = self.selection.kind;
        let mut metadata =
            json!({"resourceVersion": self.version.to_string(), "creationTimestamp": null});
        if self.initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({"kind": kind.info().name, "apiVersion": kind.api_version(), "metadata": metadata});
        json!({"type": "BOOKMARK", "object": object})
    }
}

fn event(word: &str, object: &Arc<Value>) -> Value {
    json!({"type": word, "object": **object})
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pod(name: &str, app: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": app}}})
    }

    #[test]
    fn an_object_that_is_not_selected_any_more_is_deleted() {
        let mut store = ObjectStore::default();
        let key = Key::new(ObjectKind::Pod, "shop", "a");
        store.put(Duration::ZERO, key.clone(), pod("a", "web"));
        let selection = Selection {
            kind: ObjectKind::Pod,
            namespace: Some("shop".to_owned()),
            labels: "app=web".to_owned(),
            fields: String::new(),
        };
        let mut watch = Watch::begin(&store, selection.clone(), store.version(), false);
        let reasons = |events: Vec<Value>| -> Vec<String> {
            events
                .iter()
                .map(|event| event["type"].as_str().unwrap_or_default().to_owned())
                .collect()
        };
        assert!(watch.next(&store).is_empty());
        store.put(Duration::ZERO, key.clone(), pod("a", "other"));
        store.put(Duration::ZERO, key.clone(), pod("a", "web"));
        store.put(Duration::ZERO, Key::new(ObjectKind::Pod, "other", "a"), pod("a", "web"));
        store.delete(Duration::ZERO, &key);
        assert_eq!(reasons(watch.next(&store)), ["DELETED", "ADDED", "DELETED"]);
        store.put(Duration::ZERO, key, pod("a", "web"));
        let mut whole = Watch::begin(&store, selection, 0, true).with_initial_events();
        assert_eq!(reasons(whole.next(&store)), ["ADDED", "BOOKMARK"]);
    }
}
