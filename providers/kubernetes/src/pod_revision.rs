//! Revisions of a workload: what of a pod template makes one, and how it is named.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use rolling_provider::Revision;
use serde_json::Value;

use crate::workload_target::WorkloadTarget;

/// The label by which the controller tells the pods of its ReplicaSets apart.
pub(crate) const HASH: &str = "pod-template-hash";
/// What stands for the object with the template where the controller has not made it yet.
const NO_KEEPER: &str = "no set yet";

impl WorkloadTarget {
    /// Returns the name of the wanted revision: `app=images.example.com/shop/web:2.1`.
    pub fn revision(&self) -> Revision {
        let parts = self.images.iter().chain(&self.annotations);
        let parts: Vec<String> = parts.map(|(name, value)| format!("{name}={value}")).collect();
        parts.join(" ").as_str().into()
    }

    /// Returns what the template of `found` becomes.
    pub(crate) fn applied_to(&self, found: &PodTemplateSpec) -> PodTemplateSpec {
        let mut wanted = found.clone();
        if let Some(spec) = &mut wanted.spec {
            let init = spec.init_containers.iter_mut().flatten();
            for container in spec.containers.iter_mut().chain(init) {
                if let Some(image) = self.images.get(&container.name) {
                    container.image = Some(image.clone());
                }
            }
        }
        if !self.annotations.is_empty() {
            let metadata = wanted.metadata.get_or_insert_default();
            metadata.annotations.get_or_insert_default().extend(self.annotations.clone());
        }
        wanted
    }

    /// Returns the name of the revision of `template`, without saying of which ReplicaSet.
    fn name_of(&self, template: &PodTemplateSpec) -> String {
        let images = images(template);
        let named = self.images.keys().filter_map(|name| Some((name, images.get(name)?.clone())));
        let given = template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
        let annotations = self
            .annotations
            .keys()
            .filter_map(|key| Some((key, given?.get(key).cloned().unwrap_or_default())));
        let parts: Vec<String> =
            named.chain(annotations).map(|(name, value)| format!("{name}={value}")).collect();
        parts.join(" ")
    }
}

/// Returns the image of each container, those that run before the others included.
pub(crate) fn images(template: &PodTemplateSpec) -> BTreeMap<String, String> {
    let Some(spec) = &template.spec else { return BTreeMap::new() };
    let init = spec.init_containers.iter().flatten();
    let all = spec.containers.iter().chain(init);
    all.map(|container| (container.name.clone(), container.image.clone().unwrap_or_default()))
        .collect()
}

/// Names the revisions of a workload.
///
/// The wanted one is named by what the document gives; any other by the same and the ReplicaSet or
/// ControllerRevision that has its template, since templates that differ elsewhere may have the same
/// images.
pub(crate) struct RevisionNames<'a> {
    target: &'a WorkloadTarget,
    wanted: Value,
}

impl<'a> RevisionNames<'a> {
    /// `template` is what the workload has now.
    pub fn new(target: &'a WorkloadTarget, template: &PodTemplateSpec) -> Self {
        let wanted = comparable(&target.applied_to(template));
        Self { target, wanted }
    }

    /// Returns the revision of `template`, which the object `keeper` has, where there is one.
    pub fn of(&self, template: &PodTemplateSpec, keeper: Option<&str>) -> Revision {
        if comparable(template) == self.wanted {
            return self.target.revision();
        }
        let name = self.target.name_of(template);
        let keeper = keeper.unwrap_or(NO_KEEPER);
        format!("{name} in {keeper}").as_str().into()
    }

    /// Returns the name of the object with the template of a revision.
    pub fn keeper_of(revision: &Revision) -> Option<&str> {
        revision.as_str().rsplit_once(" in ").map(|(_, keeper)| keeper)
    }
}

/// Whether two templates make the same pods: the rule of the Deployment controller
/// (`EqualIgnoreHash` in its `util`).
pub(crate) fn is_same(one: &PodTemplateSpec, other: &PodTemplateSpec) -> bool {
    comparable(one) == comparable(other)
}

/// Returns a template in a form that can be compared: without the label of its ReplicaSet, and with
/// nothing for what is empty.
fn comparable(template: &PodTemplateSpec) -> Value {
    let mut value = serde_json::to_value(template).unwrap_or_default();
    if let Some(labels) = value.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    without_empty(value).unwrap_or_default()
}

fn without_empty(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Array(items) => {
            let items: Vec<Value> = items.into_iter().filter_map(without_empty).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let fields: serde_json::Map<String, Value> =
                fields.filter_map(|(key, value)| Some((key, without_empty(value)?))).collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(image: &str, variable: &str, hash: Option<&str>) -> PodTemplateSpec {
        let mut labels = json!({ "app": "web" });
        if let Some(hash) = hash {
            labels[HASH] = json!(hash);
        }
        serde_json::from_value(json!({
            "metadata": { "labels": labels, "annotations": {} },
            "spec": { "containers": [
                { "name": "app", "image": image, "env": [{ "name": "MODE", "value": variable }] },
                { "name": "proxy", "image": "proxy:1" },
            ] },
        }))
        .expect("a template")
    }

    #[test]
    fn the_wanted_revision_is_named_as_the_document_does_and_others_with_their_set() {
        let target = WorkloadTarget {
            name: "web".into(),
            images: [("app".to_owned(), "web:2".to_owned())].into(),
            ..WorkloadTarget::default()
        };
        let now = template("web:1", "a", None);
        let names = RevisionNames::new(&target, &now);
        let of = |image, variable, name| {
            names.of(&template(image, variable, Some("5d9c")), Some(name)).to_string()
        };
        assert_eq!(of("web:2", "a", "web-2"), "app=web:2");
        assert_eq!(of("web:1", "a", "web-1"), "app=web:1 in web-1");
        // The same image with other settings is another revision.
        assert_eq!(of("web:2", "b", "web-3"), "app=web:2 in web-3");
        let revision = "app=web:1 in web-1".into();
        assert_eq!(RevisionNames::keeper_of(&revision), Some("web-1"));
        assert_eq!(RevisionNames::keeper_of(&target.revision()), None);
    }

    #[test]
    fn annotations_make_a_revision_of_the_same_images() {
        let target = WorkloadTarget {
            name: "web".into(),
            annotations: [("checksum/config".to_owned(), "abc".to_owned())].into(),
            ..WorkloadTarget::default()
        };
        assert_eq!(target.revision().as_str(), "checksum/config=abc");
        let now = template("web:1", "a", None);
        assert!(!is_same(&target.applied_to(&now), &now));
        assert_eq!(
            RevisionNames::new(&target, &now).of(&now, None).as_str(),
            "checksum/config= in no set yet"
        );
    }
}
