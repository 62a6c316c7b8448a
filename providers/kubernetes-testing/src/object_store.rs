//! Objects and their history, as etcd keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::json_pointer::{set, text};
use super::object_kind::ObjectKind;

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace; empty for those of the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// Names an object.
    pub fn new(kind: ObjectKind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// Returns the key of an object by its metadata.
    pub fn of(kind: ObjectKind, object: &Value) -> Self {
        Self::new(kind, text(object, "/metadata/namespace"), text(object, "/metadata/name"))
    }
}

/// What happened to an object, in the word of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeType {
    /// It is new.
    Added,
    /// It differs.
    Modified,
    /// It is gone.
    Deleted,
}

impl ChangeType {
    /// Returns the word of a watch.
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One change.
#[derive(Clone, Debug)]
pub struct StoreChange {
    /// When.
    pub at: Duration,
    /// The version of the store after it.
    pub version: u64,
    /// What happened.
    pub change: ChangeType,
    /// To which object.
    pub key: Key,
    /// The object after it; for one that is gone, as it was.
    pub object: Arc<Value>,
}

/// The objects and each change of them.
#[derive(Clone, Debug)]
pub struct ObjectStore {
    objects: BTreeMap<Key, Arc<Value>>,
    version: u64,
    changes: Vec<StoreChange>,
}

impl Default for ObjectStore {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), version: 1000, changes: Vec::new() }
    }
}

impl ObjectStore {
    /// Returns the version: that of the last change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns an object.
    pub fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// Returns the objects of a kind, in one namespace or in all.
    pub fn list(&self, kind: ObjectKind, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let first = Key::new(kind, namespace.unwrap_or_default(), "");
        self.objects
            .range(first..)
            .take_while(|(key, _)| {
                key.kind == kind && namespace.is_none_or(|namespace| key.namespace == namespace)
            })
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// Returns the objects of a kind as they were at a time, with the version of then.
    pub fn list_as_of(
        &self,
        kind: ObjectKind,
        namespace: Option<&str>,
        at: Duration,
    ) -> (Vec<Arc<Value>>, u64) {
        let version = self.changes.iter().take_while(|change| change.at <= at).last();
        let version = version.map_or(1000, |change| change.version);
        (self.list_at_version(kind, namespace, version), version)
    }

    /// Returns the objects of a kind as they were at a version.
    pub fn list_at_version(
        &self,
        kind: ObjectKind,
        namespace: Option<&str>,
        version: u64,
    ) -> Vec<Arc<Value>> {
        let mut then = BTreeMap::new();
        for change in self.changes.iter().take_while(|change| change.version <= version) {
            let key = &change.key;
            if key.kind != kind || namespace.is_some_and(|name| key.namespace != name) {
                continue;
            }
            match change.change {
                ChangeType::Deleted => then.remove(key),
                _ => then.insert(key, Arc::clone(&change.object)),
            };
        }
        then.into_values().collect()
    }

    /// Returns the changes after a version.
    pub fn since(&self, version: u64) -> &[StoreChange] {
        let first = self.changes.partition_point(|change| change.version <= version);
        &self.changes[first..]
    }

    /// Keeps an object, with the next version as its `resourceVersion`.
    pub fn put(&mut self, at: Duration, key: Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        set(&mut object, "/metadata/resourceVersion", self.version.to_string());
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), Arc::clone(&object));
        let change = if before.is_some() { ChangeType::Modified } else { ChangeType::Added };
        let stored = Arc::clone(&object);
        self.changes.push(StoreChange { at, version: self.version, change, key, object: stored });
        object
    }

    /// Takes an object away.
    pub fn delete(&mut self, at: Duration, key: &Key) -> Option<Arc<Value>> {
        let gone = self.objects.remove(key)?;
        self.version += 1;
        let mut last = (*gone).clone();
        set(&mut last, "/metadata/resourceVersion", self.version.to_string());
        let object = Arc::new(last);
        self.changes.push(StoreChange {
            at,
            version: self.version,
            change: ChangeType::Deleted,
            key: key.clone(),
            object: Arc::clone(&object),
        });
        Some(object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_past_can_be_read() {
        let mut store = ObjectStore::default();
        let key = Key::new(ObjectKind::Lease, "shop", "a");
        let at = Duration::from_secs;
        store.put(at(1), key.clone(), json!({"metadata": {"name": "a"}, "spec": 1}));
        store.put(at(2), key.clone(), json!({"metadata": {"name": "a"}, "spec": 2}));
        store.delete(at(3), &key);
        let then = |seconds| {
            let (list, _) = store.list_as_of(ObjectKind::Lease, Some("shop"), at(seconds));
            list.iter().map(|object| object["spec"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            [then(0), then(1), then(2), then(3)],
            [vec![], vec![json!(1)], vec![json!(2)], vec![]]
        );
        assert_eq!(store.since(1001).len(), 2);
        assert!(store.list(ObjectKind::Lease, None).is_empty());
    }
}
