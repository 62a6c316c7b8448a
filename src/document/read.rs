//! A whole document: its provider and its deployments.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::block::{as_written, without_blocks};
use super::check::nearest;
use super::config::{ProviderConfig, RollingDeploymentConfig};
use super::convert::{self, deployment};
use super::diagnostic::{Diagnostic, step};
use super::places::target_names;
use super::positions::duplicates;
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
        let mut reader = Reader { found: Vec::new(), warnings: Vec::new() };
        let document = reader.document(&root);
        match document {
            Some(document) if reader.found.is_empty() => Ok(document),
            _ => Err(reader.found),
        }
    }
}

/// Whether a provider's name is meant to be ours, and is not.
fn is_misspelt(name: &str) -> bool {
    name != "rolling" && strsim::jaro_winkler(name, "rolling") > 0.9
}

fn no_json(text: &str, error: &serde_json::Error) -> Diagnostic {
    let remedy = "a document is Terraform's JSON syntax (NAME.tf.json), a JSON object";
    let message = match looks_like(text) {
        Some(other) => format!("this looks like {other} and is not JSON: {error}"),
        None => format!("this is not JSON: {error}"),
    };
    Diagnostic::error("", message).with_remedy(remedy)
}

struct Reader {
    found: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Reader {
    fn document(&mut self, root: &Value) -> Option<Document> {
        let (root, _) = self.object(root, "")?;
        self.refuse_other_blocks(root);
        let provider = self.provider(root)?;
        let Some(resources) = root.get("resource") else {
            self.found.push(
                Diagnostic::error("", "there is no resource to roll")
                    .with_remedy("add \"resource\": {\"rolling_deployment\": {\"NAME\": {...}}}"),
            );
            return None;
        };
        let (resources, of_resources) = self.object(resources, "/resource")?;
        self.refuse_other_kinds(resources, &of_resources);
        let read = self.deployments(resources, &of_resources)?;
        self.refuse_shared_targets(&read);
        Some(Document { provider, resources: read, warnings: std::mem::take(&mut self.warnings) })
    }

    fn refuse_other_blocks(&mut self, root: &Map<String, Value>) {
        let known = ["terraform", "provider", "resource", "//"];
        for key in root.keys().filter(|key| !known.contains(&key.as_str())) {
            let place = format!("/{}", step(key));
            let remedy = match key.as_str() {
                "variable" | "locals" | "data" | "module" | "output" => {
                    "a document holds literals only; let Terraform run this one".to_owned()
                }
                _ => nearest(key, known.into_iter().take(3)),
            };
            let message = format!("there is no block {key:?} in a document");
            self.found.push(Diagnostic::error(place, message).with_remedy(remedy));
        }
    }

    fn provider(&mut self, root: &Map<String, Value>) -> Option<ProviderConfig> {
        let mut provider = ProviderConfig::default();
        if let Some(providers) = root.get("provider") {
            let (providers, place) = self.object(providers, "/provider")?;
            for name in providers.keys().filter(|name| is_misspelt(name)) {
                let at = format!("{place}/{}", step(name));
                let found = Diagnostic::error(at, format!("there is no provider {name:?} here"));
                self.found.push(found.with_remedy("did you mean \"rolling\"?"));
            }
            if let Some(written) = providers.get("rolling") {
                let place = format!("{place}/rolling");
                match convert::provider(&without_blocks::<ProviderConfig>(written), &place) {
                    Ok(config) => provider = config,
                    Err(found) => self.found.extend(as_written(found, written, &place)),
                }
            }
        }
        Some(provider)
    }

    fn refuse_other_kinds(&mut self, resources: &Map<String, Value>, of_resources: &str) {
        for kind in resources.keys().filter(|kind| *kind != "rolling_deployment") {
            let place = format!("{of_resources}/{}", step(kind));
            if strsim::jaro_winkler(kind, "rolling_deployment") > 0.9 {
                let message = format!("there is no resource type {kind:?}");
                let remedy = "did you mean \"rolling_deployment\"?";
                self.found.push(Diagnostic::error(place, message).with_remedy(remedy));
            } else {
                self.warnings.push(Diagnostic::warning(place, "left to Terraform"));
            }
        }
    }

    fn deployments(
        &mut self,
        resources: &Map<String, Value>,
        of_resources: &str,
    ) -> Option<Vec<Resource>> {
        let empty = Map::new();
        let of_deployments = format!("{of_resources}/rolling_deployment");
        let (deployments, of_deployments) = match resources.get("rolling_deployment") {
            Some(deployments) => self.object(deployments, &of_deployments)?,
            None => (&empty, of_deployments),
        };
        let mut read = Vec::new();
        for (name, written) in deployments {
            let pointer = format!("{of_deployments}/{}", step(name));
            match deployment(&without_blocks::<RollingDeploymentConfig>(written), &pointer) {
                Ok((config, spec)) => {
                    read.push(Resource { name: name.clone(), pointer, config, spec });
                }
                Err(found) => self.found.extend(as_written(found, written, &pointer)),
            }
        }
        if deployments.is_empty() && self.found.is_empty() {
            let message = "there is no rolling_deployment to roll";
            self.found.push(Diagnostic::error("/resource", message));
        }
        Some(read)
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
            let named =
                |place: &'static str| Some((place, config.pointer(place)?.as_str()?.to_owned()));
            let Some((place, name)) = target_names().find_map(named) else { continue };
            if let Some(first) = owners.insert((place, name.clone()), resource) {
                let place = format!("{}{place}", resource.pointer);
                let message = format!("{name:?} is already the target of {}", first.pointer);
                let remedy = "one target has one rolling_deployment: remove one of them";
                self.found.push(Diagnostic::error(place, message).with_remedy(remedy));
            }
        }
    }

    /// Returns the object at `pointer`, or the only object of the list there, with its place.
    fn object<'v>(
        &mut self,
        value: &'v Value,
        pointer: &str,
    ) -> Option<(&'v Map<String, Value>, String)> {
        if let Some([Value::Object(only)]) = value.as_array().map(Vec::as_slice)
            && !pointer.is_empty()
        {
            return Some((only, format!("{pointer}/0")));
        }
        if value.is_null() && !pointer.is_empty() {
            self.found.push(Diagnostic::error(pointer, "must be an object, is null"));
        } else if !value.is_object() {
            self.found.push(Diagnostic::error(pointer, "must be an object"));
        }
        value.as_object().map(|object| (object, pointer.to_owned()))
    }
}
