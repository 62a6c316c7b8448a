//! A deployment with another revision than its document names.

use serde_json::{Value, json};

use super::config::TARGET_KINDS;
use super::convert::deployment;
use super::diagnostic::Diagnostic;
use super::places::launch_template;
use super::read::Resource;

/// Returns the deployment as a rollback to `revision`: to that revision, and without soak, pauses,
/// checkpoints, gates and a restart. `revision` is written as `status` shows it, or is the number of a version
/// of the launch template that the document names.
///
/// # Errors
/// When the document names its revision by something else, or `revision` is none.
pub(crate) fn rolled_back_to(
    resource: &Resource,
    revision: &str,
) -> Result<Resource, Vec<Diagnostic>> {
    let refuse = |message: String, remedy: &str| {
        Err(vec![Diagnostic::error(&resource.pointer, message).with_remedy(remedy)])
    };
    let mut config = json!(resource.config);
    if let Some((attribute, _)) = resource.config.workload() {
        let Some(parts) = super::kubernetes::parts_of(revision, &config[attribute]) else {
            let message = format!("{revision:?} is no revision of this target");
            let remedy = "write it as status shows it, for instance app=images.example.com/web:1.0";
            return refuse(message, remedy);
        };
        for name in ["images", "annotations"] {
            config[attribute][name] = parts[name].clone();
        }
        return with(config, resource);
    }
    let named = TARGET_KINDS.iter().find(|kind| {
        // A target without a launch template names its revision itself.
        kind.is_given(&config) && kind.launch_template.is_none()
    });
    let named = named.and_then(|kind| kind.revision.first());
    if let Some(place) = named.and_then(|place| config.pointer_mut(place)) {
        *place = json!(revision);
    } else if let Some(template) =
        launch_template(&config).and_then(|place| config.pointer_mut(place))
    {
        let (id, version) = match revision.rsplit_once(':') {
            Some((id, version)) => (Some(id), version),
            None => (None, revision),
        };
        if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
            let message = format!("{revision:?} is no version of a launch template");
            let remedy = "give a number, or a template's id and a number such as lt-0abc:7";
            return refuse(message, remedy);
        }
        match id {
            Some(id) => *template = json!({ "id": id, "version": version }),
            None => template["version"] = Value::from(version),
        }
    } else {
        let message = "--to needs a deployment with a launch template; this one has none";
        return refuse(message.into(), "write the revision into the document, and apply it");
    }
    with(config, resource)
}

/// Returns `resource` with this configuration, as a rollback.
fn with(mut config: Value, resource: &Resource) -> Result<Resource, Vec<Diagnostic>> {
    // What ran before is good whenever it was launched.
    if let Some(config) = config.as_object_mut() {
        config.remove("restart");
    }
    let (config, mut spec) = deployment(&config, &resource.pointer)?;
    spec.skip_waits();
    Ok(Resource { config, spec, ..resource.clone() })
}
