//! A whole document: its provider and its deployments.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::block::{COMMENT, as_written, bodies, members, without_blocks};
use super::config::{ProviderConfig, RollingDeploymentConfig, TARGET_KINDS};
use super::convert::deployment;
use super::diagnostic::{Diagnostic, step};
use super::places::named_target;
use super::positions::duplicates;
use super::provider_block;
use super::schema_check::nearest;
use super::similarity::similarity;
use super::source::looks_like;
use crate::model::spec::RollingDeployment;

/// A checked document.
#[derive(Clone, Debug)]
pub struct Document {
    /// How the clouds are reached.
    pub(crate) provider: ProviderConfig,
    /// The deployments, in order of their names.
    pub resources: Vec<Resource>,
    /// Warnings about the document itself.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// One `rolling_deployment` of a document.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its name in the document.
    pub(crate) name: String,
    /// Its place in the document.
    pub(crate) pointer: String,
    /// What the document says.
    pub(crate) config: RollingDeploymentConfig,
    /// The checked deployment that this describes.
    pub(crate) spec: RollingDeployment,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// Every finding, each with its place. No cloud is asked.
    pub fn parse(text: &str) -> Result<Document, Vec<Diagnostic>> {
        let root: Value =
            serde_json::from_str(text).map_err(|error| vec![no_json(text, &error)])?;
        let twice: Vec<Diagnostic> = duplicates(text)
            .iter()
            .map(|found| Diagnostic::error(&found.pointer, found.to_string()))
            .map(|found| found.with_remedy("keep one of them"))
            .collect();
        if !twice.is_empty() {
            return Err(twice);
        }
        let mut reader = DocumentReader { found: Vec::new(), warnings: Vec::new() };
        let document = reader.document(&root);
        match document {
            Some(document) if reader.found.is_empty() => Ok(document),
            _ => Err(reader.found),
        }
    }
}

fn no_json(text: &str, error: &serde_json::Error) -> Diagnostic {
    if let Some(syntax) = looks_like(text) {
        let (name, remedy) = syntax.name_and_remedy();
        let message = format!("this looks like {name}; rolling reads Terraform's JSON syntax");
        return Diagnostic::error("", message).with_remedy(remedy);
    }
    let remedy = "a document is Terraform's JSON syntax (NAME.tf.json), a JSON object";
    Diagnostic::error("", format!("this is not JSON: {error}")).with_remedy(remedy)
}

struct DocumentReader {
    found: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl DocumentReader {
    fn document(&mut self, root: &Value) -> Option<Document> {
        let Some(root) = root.as_object() else {
            self.found.push(Diagnostic::error("", "must be an object"));
            return None;
        };
        self.refuse_other_blocks(root);
        let provider = provider_block::read(root.get("provider"));
        self.found.extend(provider.found);
        self.warnings.extend(provider.warnings);
        let Some(resources) = root.get("resource") else {
            self.found.push(
                Diagnostic::error("", "there is no resource to roll")
                    .with_remedy("add \"resource\": {\"rolling_deployment\": {\"NAME\": {...}}}"),
            );
            return None;
        };
        let read = self.resources(resources);
        self.refuse_shared_targets(&read);
        let needs_cloud = read.iter().any(|resource| {
            let config = json!(resource.config);
            let mut kinds = TARGET_KINDS.iter().filter(|kind| kind.provider.is_some());
            kinds.any(|kind| kind.is_given(&config))
        });
        if needs_cloud && !provider.is_there {
            self.warnings.push(provider_block::missing());
        }
        let warnings = std::mem::take(&mut self.warnings);
        Some(Document { provider: provider.config, resources: read, warnings })
    }

    fn refuse_other_blocks(&mut self, root: &Map<String, Value>) {
        let known = ["terraform", "provider", "resource", COMMENT];
        for key in root.keys().filter(|key| !known.contains(&key.as_str())) {
            let place = format!("/{}", step(key));
            let remedy = match key.as_str() {
                "variable" | "locals" | "data" | "module" | "output" => {
                    "a document may contain only literals; use Terraform for this one".to_owned()
                }
                _ => nearest(key, known.into_iter().take(3)),
            };
            let message = format!("there is no block {key:?} in a document");
            self.found.push(Diagnostic::error(place, message).with_remedy(remedy));
        }
    }

    /// Reads the block `resource`. A key may be in several objects of a list, a name in one only.
    fn resources(&mut self, resources: &Value) -> Vec<Resource> {
        let mut read = BTreeMap::new();
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for (kinds, place) in self.bodies(resources, "/resource") {
            for (kind, deployments) in members(kinds) {
                let place = format!("{place}/{}", step(kind));
                if kind != "rolling_deployment" {
                    self.tell_of_other_kind(kind, place);
                    continue;
                }
                for (named, place) in self.bodies(deployments, &place) {
                    for (name, written) in members(named) {
                        let pointer = format!("{place}/{}", step(name));
                        if let Some(first) = names.insert(name.clone(), pointer.clone()) {
                            let message = format!(
                                "there is a rolling_deployment {name:?} already, at {first}"
                            );
                            let found = Diagnostic::error(pointer, message);
                            self.found.push(found.with_remedy("keep one of them, or rename one"));
                            continue;
                        }
                        read.extend(self.deployment(name, written, pointer));
                    }
                }
            }
        }
        if names.is_empty() && self.found.is_empty() {
            let message = "there is no rolling_deployment to roll";
            self.found.push(Diagnostic::error("/resource", message));
        }
        read.into_values().collect()
    }

    fn tell_of_other_kind(&mut self, kind: &str, place: String) {
        if similarity(kind, "rolling_deployment") > 0.9 {
            let message = format!("there is no resource type {kind:?}");
            let remedy = "did you mean \"rolling_deployment\"?";
            self.found.push(Diagnostic::error(place, message).with_remedy(remedy));
        } else {
            self.warnings.push(Diagnostic::warning(place, "left to Terraform"));
        }
    }

    fn deployment(
        &mut self,
        name: &str,
        written: &Value,
        pointer: String,
    ) -> Option<(String, Resource)> {
        match deployment(&without_blocks::<RollingDeploymentConfig>(written), &pointer) {
            Ok((config, spec)) => {
                let name = name.to_owned();
                Some((name.clone(), Resource { name, pointer, config, spec }))
            }
            Err(found) => {
                self.found.extend(as_written(found, written, &pointer));
                None
            }
        }
    }

    /// Returns the objects at `pointer`, one or a list of them, each with its place.
    fn bodies<'v>(
        &mut self,
        value: &'v Value,
        pointer: &str,
    ) -> Vec<(&'v Map<String, Value>, String)> {
        bodies(value, pointer, &mut self.found)
    }

    /// Refuses two deployments on one target, which would undo each other's work, and two with one
    /// object for their records, which could not begin.
    fn refuse_shared_targets(&mut self, resources: &[Resource]) {
        let mut objects = BTreeMap::new();
        for resource in resources {
            let Some(record) = &resource.config.record else { continue };
            if let Some(first) = objects.insert((&record.s3.bucket, &record.s3.key), resource) {
                let place = format!("{}/record/s3/key", resource.pointer);
                let message =
                    format!("{:?} is already the record of {}", record.s3.key, first.pointer);
                let remedy = "choose another key: one object is for one target";
                self.found.push(Diagnostic::error(place, message).with_remedy(remedy));
            }
        }
        let mut owners: BTreeMap<(&str, String), &Resource> = BTreeMap::new();
        for resource in resources {
            let config = serde_json::json!(resource.config);
            let Some((place, name)) = named_target(&config) else { continue };
            if let Some(first) = owners.insert((place, name.clone()), resource) {
                let place = format!("{}{place}", resource.pointer);
                let message = format!("{name:?} is already the target of {}", first.pointer);
                let remedy = "one target has one rolling_deployment: remove one of them";
                self.found.push(Diagnostic::error(place, message).with_remedy(remedy));
            }
        }
    }
}
