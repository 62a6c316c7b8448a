//! The calls of Terraform's plugin protocol.

mod change;
mod fixed;
mod intent;
mod plan;
mod request;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rolling_provider::{ErrorKind, ProviderError};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::request::{TYPE, all, check_type, computed, known, ours, provider_config, to_json};
use super::private_state::PrivateState;
use super::schema::schemas;
use super::value::Raw;
use super::{convert, proto as p};
use crate::deployment::resource_state::{self, KnownBy};
use crate::deployment::{self, OpenError, config_to_look_with};
use crate::document::{self, Diagnostic, launch_template, normalised};
use crate::engine::{Caller, NOT_FOUND_RETRY_FOR, Rollout, Stop};
use crate::host::process_context::ProcessContext;
use crate::providers::Providers;
use crate::record::Record;

pub(crate) use self::fixed::{metadata, schema, upgrade, validate, validate_provider};

/// What the calls of one process share.
pub(crate) struct Provider {
    context: ProcessContext,
    progress_folder: Option<PathBuf>,
    /// Whether this process serves one host only.
    has_one_host: bool,
    /// `None` while the provider's configuration is not known.
    configured: Mutex<Option<Configured>>,
    operations: AtomicU64,
    stop: watch::Sender<Stop>,
    ended: watch::Sender<bool>,
    closing: watch::Sender<bool>,
    /// The number of rollouts under way.
    busy: watch::Sender<usize>,
    connections: watch::Sender<usize>,
}

#[derive(Clone)]
struct Configured {
    providers: Arc<Providers>,
    /// The provider's configuration as the user wrote it.
    config: Value,
}

/// A guard that counts something for as long as it lives.
pub(crate) struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(count: &watch::Sender<usize>) -> Counted {
        count.send_modify(|count| *count += 1);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Provider {
    /// Makes a provider; with `has_one_host`, the process serves one host, whose stop is final.
    pub(crate) fn new(
        context: &ProcessContext,
        progress_folder: Option<PathBuf>,
        has_one_host: bool,
    ) -> Provider {
        let providers = Arc::new(Providers::new(Default::default(), &context.clock));
        let configured = Configured { providers, config: json!({}) };
        Provider {
            context: context.clone(),
            progress_folder,
            has_one_host,
            configured: Mutex::new(Some(configured)),
            operations: AtomicU64::new(0),
            stop: watch::Sender::new(Stop::No),
            ended: watch::Sender::new(false),
            closing: watch::Sender::new(false),
            busy: watch::Sender::new(0),
            connections: watch::Sender::new(0),
        }
    }

    /// Whether the host has asked this process to end.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// Whether connections must end.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Ends connections.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Counts a connection.
    pub(crate) fn open(&self) -> Counted {
        Counted::new(&self.connections)
    }

    /// Returns when no rollout is under way.
    pub(crate) async fn idle(&self) {
        // `self` holds the sender, so the wait ends only when the count is zero.
        self.busy.subscribe().wait_for(|count| *count == 0).await.map(drop).unwrap_or_default();
    }

    /// Returns when no connection is open.
    pub(crate) async fn disconnected(&self) {
        let mut connections = self.connections.subscribe();
        connections.wait_for(|count| *count == 0).await.map(drop).unwrap_or_default();
    }

    /// Handles `GRPCController.Shutdown`.
    pub(crate) fn shut_down(&self) {
        self.ended.send_replace(true);
    }

    /// Handles `StopProvider`.
    ///
    /// Rollouts under way stop and still answer; a second call stops them sooner.
    pub(crate) fn stop(&self) {
        let urgency = *self.stop.borrow();
        self.ask_to_stop(if urgency == Stop::No { Stop::Gracefully } else { Stop::Now });
    }

    /// Asks rollouts under way, and those that would begin, to stop.
    pub(crate) fn ask_to_stop(&self, urgency: Stop) {
        self.stop.send_modify(|stop| *stop = urgency.max(*stop));
    }

    /// Handles `ConfigureProvider`.
    pub(crate) async fn configure(&self, asked: p::ConfigureRequest) -> p::Diagnostics {
        if !self.has_one_host {
            // This is another host than the one that asked to stop.
            self.stop.send_replace(Stop::No);
        }
        let (configured, diagnostics) = match provider_config(asked.config.as_ref()) {
            Ok(read) if !read.unknown.is_empty() => (None, Vec::new()),
            Ok(read) => match document::provider(&read.value, "") {
                Ok(config) => {
                    let providers = Arc::new(Providers::new(config, &self.context.clock));
                    let found = providers.check(None).await.err();
                    let found = found.map(|error| Diagnostic::from_provider(&error, "", ""));
                    let config = normalised(&read.value);
                    let diagnostics = all(found.as_slice(), &schemas().provider);
                    (Some(Configured { providers, config }), diagnostics)
                }
                Err(found) => (None, all(&found, &schemas().provider)),
            },
            Err(found) => (None, found),
        };
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner) = configured;
        p::Diagnostics { diagnostics }
    }

    /// Handles `ReadResource`.
    pub(crate) async fn read(&self, asked: p::ReadRequest) -> p::ReadResponse {
        let kind = &schemas().resource;
        let keep = |diagnostics| p::ReadResponse {
            new_state: asked.current_state.clone(),
            diagnostics,
            private: asked.private.clone(),
        };
        let (raw, prior) = match known(&asked.type_name, asked.current_state.as_ref()) {
            Ok(Some(prior)) => prior,
            Ok(None) => return keep(Vec::new()),
            Err(found) => return keep(found),
        };
        let Some(Configured { providers, .. }) = self.configured() else {
            return keep(Vec::new());
        };
        let config = config_to_look_with(&resource_state::config_of(&to_json(&prior)));
        let rollout = match deployment::look(&providers, &config, &self.looker(&prior)).await {
            Ok(rollout) => rollout,
            Err(OpenError::Provider(error)) if error.kind == ErrorKind::Missing => {
                return p::ReadResponse { new_state: Raw::null().send(), ..keep(Vec::new()) };
            }
            // A missing template version, for example, must not keep the user from choosing
            // another.
            Err(OpenError::Provider(error)) if is_about_the_state(&error) => {
                let mut found = Diagnostic::from_provider(&error, "", "");
                found.severity = document::Severity::Warning;
                return keep(all(&[found], kind));
            }
            Err(looked) => return keep(all(&looked.into_diagnostics(), kind)),
        };
        let now = refreshed(&prior, &rollout);
        let changes = ours().map(|name| (name, Some(now[name].clone())));
        let new_state = raw.with(&changes, kind.attributes()).send();
        let private = PrivateState::of(&rollout).write();
        p::ReadResponse { new_state, private, ..keep(Vec::new()) }
    }

    /// Handles `ImportResourceState`.
    pub(crate) async fn import(&self, asked: p::ImportRequest) -> p::ImportResponse {
        let kind = &schemas().resource;
        let refuse =
            |diagnostics| p::ImportResponse { imported_resources: Vec::new(), diagnostics };
        if let Err(found) = check_type(&asked.type_name) {
            return refuse(found);
        }
        let Some(Configured { providers, .. }) = self.configured() else {
            let message = "The provider's configuration is not known";
            return refuse(vec![convert::error(message, "")]);
        };
        // A name alone means an Auto Scaling group.
        let id = match asked.id.contains('/') {
            true => asked.id.clone(),
            false => format!("auto_scaling_group/{}", asked.id),
        };
        let found = match providers.import(&id).await {
            Ok(mut config) => {
                // Completes the configuration, so that Terraform can write it, with the most
                // careful policy.
                config["policy"] = json!("rolling");
                config["batch_size_type"] = json!("fixed");
                config["batch_size"] = json!(1);
                let looked =
                    deployment::look(&providers, &config, &self.looker(&Value::Null)).await;
                let state = |rollout: &Rollout| {
                    let mut state = config.clone();
                    for (name, value) in
                        computed(&resource_state::current(&config, rollout)).as_object()?
                    {
                        state[name] = value.clone();
                    }
                    Some(state)
                };
                looked.map(|rollout| {
                    (state(&rollout).unwrap_or_default(), PrivateState::of(&rollout))
                })
            }
            Err(error) => Err(OpenError::Provider(error)),
        };
        match found {
            Ok((state, private_state)) => p::ImportResponse {
                imported_resources: vec![p::ImportedResource {
                    type_name: TYPE.into(),
                    state: Raw::from_json(&state, kind).send(),
                    private: private_state.write(),
                }],
                diagnostics: Vec::new(),
            },
            Err(looked) => refuse(all(&looked.into_diagnostics(), kind)),
        }
    }

    fn configured(&self) -> Option<Configured> {
        self.configured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns a caller that only looks and begins nothing.
    fn looker(&self, prior: &Value) -> Caller {
        let (completed, previous) = resource_state::stored_revisions(prior);
        Caller { completed, previous, ..self.context.caller(&self.context.rollout_id) }
    }

    /// Returns a caller that rolls, with a lease that differs from others in this process.
    fn worker(&self, prior: &Value) -> Caller {
        let number = self.operations.fetch_add(1, Ordering::Relaxed);
        let rollout = match number {
            0 => self.context.rollout_id.clone(),
            number => format!("{}-{number}", self.context.rollout_id),
        };
        let owner = format!("{}.{number}", self.context.owner);
        let (completed, previous) = resource_state::stored_revisions(prior);
        let not_found_retry_for = NOT_FOUND_RETRY_FOR;
        Caller { completed, previous, owner, not_found_retry_for, ..self.context.caller(&rollout) }
    }
}

/// Returns the state as it is now.
///
/// Figures of a plan stay as planned. How the last rollout ended, and its target revision, stay
/// until the fleet, or a record on it, shows otherwise.
fn refreshed(prior: &Value, rollout: &Rollout) -> Value {
    let mut now = computed(&resource_state::current(&json!({}), rollout));
    for name in resource_state::computed(KnownBy::Plan) {
        now[name] = prior[name].clone();
    }
    let sought = &prior["target_revision"];
    if sought.is_null() {
        return now;
    }
    now["target_revision"] = sought.clone();
    let before = prior["status"].as_str().unwrap_or_default();
    if let Some((status, reason)) = rollout.status() {
        if is_told_already(prior, rollout, status, reason.as_deref()) {
            now["status"] = prior["status"].clone();
            now["last_error"] = prior["last_error"].clone();
        }
        return now;
    }
    let is_as_sought = now["deployed_revision"] == *sought;
    let is_back = !rollout.preview().changes;
    let has_moved = now["deployed_revision"] != prior["deployed_revision"];
    let somebody_has = |what: &str| json!(format!("somebody else has {what}"));
    let unproven = rollout.unproven();
    let (status, error) = match before {
        // All instances run it, but the fleet is not known to have served with it.
        "failed" | "aborted" if unproven.is_some() => (before, prior["last_error"].clone()),
        _ if unproven.is_some() => ("pending", prior["last_error"].clone()),
        // The latest version has changed since: the next plan rolls to the new one.
        _ if is_as_sought && has_alias(prior) && !is_back => ("pending", Value::Null),
        _ if is_as_sought => ("succeeded", Value::Null),
        "rolled_back" => (before, prior["last_error"].clone()),
        "failed" | "aborted" if !(is_back && has_moved) => (before, prior["last_error"].clone()),
        "succeeded" | "pending" => ("pending", prior["last_error"].clone()),
        // Without a record, no rollout is under way.
        _ if is_back => ("rolled_back", somebody_has("rolled it back")),
        _ => ("aborted", somebody_has("given it up")),
    };
    if is_as_sought && unproven.is_none() {
        // The state may hold an older configuration, which does not know a newer revision.
        now["completed_revision"] = sought.clone();
        now["previous_revision"] = resource_state::previous_after(prior, sought);
    }
    now["status"] = json!(status);
    now["last_error"] = error;
    now
}

/// Whether a state already reports the end that a record reports, in more detail.
///
/// For a stopped apply the state says that it is over, and why; the record says that it can go on.
fn is_told_already(prior: &Value, rollout: &Rollout, status: &str, reason: Option<&str>) -> bool {
    let before = prior["status"].as_str().unwrap_or_default();
    if before == "aborted" && status == "interrupted" {
        let to = rollout.record().map(|record| record.to.as_str());
        return to == prior["target_revision"].as_str();
    }
    let error = prior["last_error"].as_str().map(Record::reason_of);
    before == status && error == reason.map(Record::reason_of)
}

/// Whether a configuration asks for the latest or the default version, whichever that is.
fn has_alias(config: &Value) -> bool {
    let command = &config["replacement"]["run_command"];
    if command.is_object() {
        return command["version"].as_str().is_none_or(|version| version.starts_with('$'));
    }
    // The template version for this image has no number yet.
    if config["auto_scaling_group"]["image_id"].is_string() {
        return true;
    }
    let template = launch_template(config).and_then(|place| config.pointer(place));
    let version = template.and_then(|template| template["version"].as_str());
    version.is_some_and(|version| version.starts_with('$'))
}

/// Returns the launch template of a configuration or state, without its null attributes.
fn template(config: &Value) -> Option<Value> {
    launch_template(config).and_then(|place| config.pointer(place)).map(normalised)
}

/// Whether what the state asks for is gone, and the cloud is not merely out of reach.
fn is_about_the_state(error: &ProviderError) -> bool {
    let place = error.attribute.as_deref().unwrap_or_default();
    matches!(error.kind, ErrorKind::Invalid | ErrorKind::Unseen | ErrorKind::Conflict)
        && !place.starts_with("provider:")
}
