//! A document: what is wanted, in Terraform's JSON syntax, literals only, so that one file serves
//! both `rolling apply` and `terraform apply`.

mod check;
pub mod config;
mod convert;
mod diagnostic;
mod unknown;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub(crate) use check::fits;
pub use check::{check_against, missing_name, normalise as normalised, resolve, schema, types};
pub use convert::{deployment, provider};
pub(crate) use diagnostic::step;
pub use diagnostic::{Diagnostic, Severity};
pub use unknown::partial;

use self::check::nearest;
use self::config::{ProviderConfig, RollingDeploymentConfig};
use crate::spec::RollingDeployment;

/// Where the provider's configuration stands in a document.
pub const PROVIDER: &str = "/provider/rolling";

/// A checked document.
#[derive(Clone, Debug)]
pub struct Document {
    /// How the clouds are reached.
    pub provider: ProviderConfig,
    /// The deployments, in order of their names.
    pub resources: Vec<Resource>,
    /// What is worth knowing of the document itself.
    pub warnings: Vec<Diagnostic>,
}

/// One `rolling_deployment` of a document.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its name in the document.
    pub name: String,
    /// Where it stands.
    pub pointer: String,
    /// What the document says.
    pub config: RollingDeploymentConfig,
    /// What that means.
    pub spec: RollingDeployment,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// Every finding, each with its place. No cloud is asked.
    pub fn parse(text: &str) -> Result<Document, Vec<Diagnostic>> {
        let root: Value = serde_json::from_str(text).map_err(|error| {
            let words = format!("this is not JSON: {error}");
            vec![Diagnostic::error("", words).with_remedy("a document is a JSON object")]
        })?;
        let mut reader = Reader { found: Vec::new(), warnings: Vec::new() };
        let document = reader.document(&root);
        match document {
            Some(document) if reader.found.is_empty() => Ok(document),
            _ => Err(reader.found),
        }
    }
}

struct Reader {
    found: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Reader {
    fn document(&mut self, root: &Value) -> Option<Document> {
        let root = self.object(root, "")?;
        let known = ["terraform", "provider", "resource", "//"];
        for key in root.keys().filter(|key| !known.contains(&key.as_str())) {
            let place = format!("/{}", step(key));
            let remedy = match key.as_str() {
                "variable" | "locals" | "data" | "module" | "output" => {
                    "a document holds literals only; let Terraform run this one".to_owned()
                }
                _ => nearest(key, known.into_iter().take(3)),
            };
            let words = format!("there is no block {key:?} in a document");
            self.found.push(Diagnostic::error(place, words).with_remedy(remedy));
        }

        let mut provider = ProviderConfig::default();
        if let Some(providers) = root.get("provider") {
            let providers = self.object(providers, "/provider")?;
            if let Some(rolling) = providers.get("rolling") {
                match convert::provider(rolling, PROVIDER) {
                    Ok(config) => provider = config,
                    Err(found) => self.found.extend(found),
                }
            }
        }

        let Some(resources) = root.get("resource") else {
            self.found.push(
                Diagnostic::error("", "there is no resource to roll")
                    .with_remedy("add \"resource\": {\"rolling_deployment\": {\"NAME\": {...}}}"),
            );
            return None;
        };
        let resources = self.object(resources, "/resource")?;
        for kind in resources.keys().filter(|kind| *kind != "rolling_deployment") {
            let place = format!("/resource/{}", step(kind));
            if strsim::jaro_winkler(kind, "rolling_deployment") > 0.9 {
                let words = format!("there is no resource type {kind:?}");
                let remedy = "did you mean \"rolling_deployment\"?";
                self.found.push(Diagnostic::error(place, words).with_remedy(remedy));
            } else {
                self.warnings.push(Diagnostic::warning(place, "left to Terraform"));
            }
        }
        let empty = Map::new();
        let deployments = match resources.get("rolling_deployment") {
            Some(deployments) => self.object(deployments, "/resource/rolling_deployment")?,
            None => &empty,
        };
        let mut read = Vec::new();
        for (name, config) in deployments {
            let pointer = format!("/resource/rolling_deployment/{}", step(name));
            match deployment(config, &pointer) {
                Ok((config, spec)) => {
                    read.push(Resource { name: name.clone(), pointer, config, spec });
                }
                Err(found) => self.found.extend(found),
            }
        }
        if deployments.is_empty() && self.found.is_empty() {
            let words = "there is no rolling_deployment to roll";
            self.found.push(Diagnostic::error("/resource", words));
        }
        self.refuse_shared_targets(&read);
        Some(Document { provider, resources: read, warnings: std::mem::take(&mut self.warnings) })
    }

    /// Two deployments on one target would undo each other's work.
    fn refuse_shared_targets(&mut self, resources: &[Resource]) {
        let mut owners: BTreeMap<(&str, &str), &Resource> = BTreeMap::new();
        for resource in resources {
            let group = resource.config.auto_scaling_group.as_ref();
            let fleet = resource.config.simulated_fleet.as_ref();
            let target = group.map(|group| ("auto_scaling_group", group.name.as_str()));
            let target = target.or(fleet.map(|fleet| ("simulated_fleet", fleet.name.as_str())));
            let Some(target) = target else { continue };
            if let Some(first) = owners.insert(target, resource) {
                let place = format!("{}/{}/name", resource.pointer, target.0);
                let words = format!("{:?} is already the target of {}", target.1, first.pointer);
                let remedy = "one target has one rolling_deployment: remove one of them";
                self.found.push(Diagnostic::error(place, words).with_remedy(remedy));
            }
        }
    }

    fn object<'v>(&mut self, value: &'v Value, pointer: &str) -> Option<&'v Map<String, Value>> {
        if value.is_null() && !pointer.is_empty() {
            self.found.push(Diagnostic::error(pointer, "must be an object, is null"));
        } else if !value.is_object() {
            self.found.push(Diagnostic::error(pointer, "must be an object"));
        }
        value.as_object()
    }
}
