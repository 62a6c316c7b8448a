//! The methods that work on deployments.

mod apply;
mod control;
mod look;
mod rollback;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::messages as m;
use super::openrpc::check_names;
use super::transport::Outbox;
use super::wire::{RpcError, code};
use crate::deployment::stop::stopped;
use crate::deployment::{self, OpenError, resource_state, schema};
use crate::document::config::RollingDeploymentConfig;
use crate::document::{self, Diagnostic};
use crate::engine::clock::TokioClock;
use crate::engine::{Caller, Rollout, Stop};
use crate::host::process_context::ProcessContext;
use crate::providers::Providers;

/// The one resource type.
pub(crate) const TYPE: &str = "rolling_deployment";

/// The settings of the peer.
#[derive(Clone)]
pub(crate) struct PeerSettings {
    providers: Arc<Providers>,
    caller: Caller,
    /// Whether gates and hooks may run commands on this host.
    runs_commands: bool,
}

/// A request that a worker handles.
pub(crate) struct RequestJob {
    /// The name of the rollout, if one begins and the peer does not name it.
    pub(crate) name: String,
    /// Distinguishes this operation's lease from those of others in this process.
    pub(crate) owner: String,
    /// How urgently the operation must stop.
    pub(crate) stop: watch::Receiver<Stop>,
    /// Where progress goes.
    pub(crate) out: Outbox,
}

impl PeerSettings {
    /// Creates a session whose provider only the environment configures.
    pub(crate) fn new(runs_commands: bool, context: &ProcessContext) -> Self {
        let providers = Arc::new(Providers::new(Default::default(), &context.clock));
        Self { providers, caller: context.caller(&context.rollout_id), runs_commands }
    }

    /// Refuses a deployment that would run a command on this host, where none may run.
    fn check_commands(&self, config: &Value) -> Result<(), OpenError> {
        match command_refused(self.runs_commands, config) {
            None => Ok(()),
            Some(found) => Err(OpenError::Document(vec![found])),
        }
    }

    /// Handles `provider.configure`. Work in flight keeps the configuration that it began with.
    pub(crate) fn configure(
        &mut self,
        params: Value,
        clock: &Arc<TokioClock>,
    ) -> Result<Value, RpcError> {
        let params: m::ConfigureParams = read("provider.configure", params)?;
        let diagnostics = match document::provider(&Value::Object(params.config), "") {
            Ok(config) => {
                self.providers = Arc::new(Providers::new(config, clock));
                Vec::new()
            }
            Err(found) => found,
        };
        write(&m::Diagnostics { diagnostics })
    }

    /// Handles a request that calls a cloud, and stops early where that is harmless.
    pub(crate) async fn work(
        self,
        method: &str,
        params: Value,
        work: RequestJob,
    ) -> Result<Value, RpcError> {
        match method {
            "resource.apply" => return self.apply(read(method, params)?, work).await,
            "resource.delete" => return self.delete(read(method, params)?, work).await,
            "resource.control" => return self.control(read(method, params)?, work).await,
            _ => {}
        }
        let looking = async {
            match method {
                "resource.plan" => self.plan(read(method, params)?).await,
                "resource.read" => self.read(read(method, params)?).await,
                "resource.import" => self.import(read(method, params)?).await,
                _ => self.status(read(method, params)?).await,
            }
        };
        let mut stop = work.stop;
        unless_stopped(&mut stop, looking).await?
    }

    /// Returns the caller of an operation, with what it knows from the `prior` state.
    fn caller(&self, work: &RequestJob, name: Option<&str>, prior: &Value) -> Caller {
        let (completed, previous) = resource_state::stored_revisions(prior);
        Caller {
            rollout_id: name.unwrap_or(&work.name).to_owned(),
            owner: work.owner.clone(),
            completed,
            previous,
            ..self.caller.clone()
        }
    }

    async fn look(&self, config: &Value, caller: &Caller) -> Result<Rollout, OpenError> {
        deployment::look(&self.providers, config, caller).await
    }

    /// Looks up the target, to plan or begin a rollout.
    async fn prepare(&self, config: &Value, caller: &Caller) -> Result<Rollout, OpenError> {
        self.check_commands(config)?;
        deployment::prepare(&self.providers, config, caller).await
    }
}

/// Cancels `looking` as soon as the peer asks to stop, since it has changed nothing yet.
async fn unless_stopped<T>(
    stop: &mut watch::Receiver<Stop>,
    looking: impl Future<Output = T>,
) -> Result<T, RpcError> {
    tokio::select! {
        biased;
        () = stopped(stop) => Err(cancelled()),
        looked = looking => Ok(looked),
    }
}

/// Handles `provider.schema`.
pub(crate) fn schema() -> Result<Value, RpcError> {
    let config = schema::of::<RollingDeploymentConfig>();
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect()
    };
    let required = list(&config["required"]);
    let names = config["properties"].as_object().into_iter().flat_map(|known| known.keys());
    let optional = names.filter(|name| !required.contains(name)).cloned().collect();
    let attributes = m::Attributes {
        required,
        optional,
        computed: resource_state::COMPUTED.map(Into::into).into(),
        sensitive: Vec::new(),
        force_new: crate::document::target_names().map(Into::into).collect(),
    };
    let state = schema::of::<schema::DeploymentState>();
    let resource = m::ResourceSchema { version: schema::VERSION, config, state, attributes };
    write(&m::SchemaResult {
        provider: schema::of::<document::config::ProviderConfig>(),
        resource_types: BTreeMap::from([(TYPE, resource)]),
    })
}

/// Returns a finding about a deployment that would run a command on this host, unless the server
/// `runs_commands`.
fn command_refused(runs_commands: bool, config: &Value) -> Option<Diagnostic> {
    let config = document::normalised(config);
    let hooks = config["hooks"].as_object().into_iter().flat_map(|hooks| hooks.keys());
    let hooks = hooks.map(|point| format!("/hooks/{point}/command"));
    let mut places = std::iter::once("/gates/command".to_owned()).chain(hooks);
    let is_given = |place: &String| config.pointer(place).is_some_and(|it| !it.is_null());
    let place = places.find(is_given).filter(|_| !runs_commands)?;
    let message = "this server runs no commands: it was started with --no-commands";
    let remedy =
        "use alarms or a URL as a gate and a URL as a hook, or start the server without it";
    Some(Diagnostic::error(place, message).with_remedy(remedy))
}

/// Handles `resource.validate`.
pub(crate) fn validate(params: Value, runs_commands: bool) -> Result<Value, RpcError> {
    let params: m::ValidateParams = read("resource.validate", params)?;
    check_type(&params.kind)?;
    check_unknown(&params.unknown)?;
    let config = Value::Object(params.config);
    let mut diagnostics = match params.unknown.is_empty() {
        true => document::deployment(&config, "").err().unwrap_or_default(),
        false => document::partial(&config, &params.unknown),
    };
    diagnostics.extend(command_refused(runs_commands, &config));
    write(&m::Diagnostics { diagnostics })
}

/// Handles `resource.upgrade_state`.
pub(crate) fn upgrade(params: Value) -> Result<Value, RpcError> {
    let params: m::UpgradeParams = read("resource.upgrade_state", params)?;
    check_type(&params.kind)?;
    write(&match deployment::upgrade(params.version, &Value::Object(params.state)) {
        Ok((state, diagnostics)) => m::StateResult { state, diagnostics },
        Err(diagnostics) => m::StateResult { state: Value::Null, diagnostics },
    })
}

/// Returns the target that a request needs exclusively, if it is a request that changes something.
pub(crate) fn target_key(method: &str, params: &Value) -> Option<String> {
    let config = match method {
        "resource.apply" | "resource.control" => &params["config"],
        "resource.delete" => &params["prior"],
        _ => return None,
    };
    crate::document::named_target(config).map(|(place, name)| format!("{place} {name}"))
}

/// Reads the parameters of `method`.
pub(crate) fn read<P: DeserializeOwned + JsonSchema>(
    method: &str,
    params: Value,
) -> Result<P, RpcError> {
    check_names(method, &params)?;
    let params = if params.is_null() { json!({}) } else { params };
    serde_json::from_value(params).map_err(|error| {
        let message = format!("{method} does not take these parameters: {}", plainly(&error));
        RpcError::new(code::INVALID_PARAMS, message)
    })
}

/// Returns what serde says in the terms of JSON.
fn plainly(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let Some((before, expected)) = message.rsplit_once("expected ") else { return message };
    let expected = match expected {
        "a map" => "an object",
        "a sequence" => "a list",
        "unit" => "null",
        _ if expected.starts_with("struct ") => "an object",
        _ if ["u8", "u16", "u32", "u64", "usize"].contains(&expected) => "a whole number",
        _ => expected,
    };
    let before =
        before.replace("type: map", "type: object").replace("type: sequence", "type: list");
    format!("{before}expected {expected}")
}

/// Writes a result.
pub(crate) fn write(result: &impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(result)
        .map_err(|error| RpcError::new(code::INTERNAL, format!("no answer: {error}")))
}

fn check_type(kind: &str) -> Result<(), RpcError> {
    if kind == TYPE {
        return Ok(());
    }
    let message = format!("there is no resource type {kind:?}; there is {TYPE:?}");
    Err(RpcError::new(code::TYPE, message))
}

/// Checks the peer's name for an operation, which also names the rollout in the record.
fn check_operation(id: Option<&str>) -> Result<(), RpcError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match id {
        Some(id) if !(1..=64).contains(&id.len()) || !id.chars().all(allowed) => {
            let message = "\"operation_id\" must be up to 64 letters, digits, '-', '_' or '.'";
            Err(RpcError::new(code::INVALID_PARAMS, message))
        }
        _ => Ok(()),
    }
}

/// Checks a state, or none, that the peer hands back in a parameter of this name.
fn check_state<T: JsonSchema>(name: &str, state: &Value) -> Result<(), RpcError> {
    if state.is_null() {
        return Ok(());
    }
    let found = document::fits::<T>(&document::normalised(state));
    let Some(first) = found.first() else { return Ok(()) };
    let place = format!("/{name}{}", first.pointer);
    let message = format!(
        "{place} is not as this server writes a state: {}; resource.upgrade_state reads states of \
         other versions",
        first.summary
    );
    let data = Some(json!({ "pointer": place }));
    Err(RpcError { data, ..RpcError::new(code::INVALID_PARAMS, message) })
}

/// Checks what a request about the target of a state needs of it: not the policy, which a later
/// version may refuse.
fn check_target_of(prior: &Value) -> Result<(), RpcError> {
    let mut needed = document::target_of(prior, &[]);
    let computed = resource_state::computed_of(prior);
    if let (Value::Object(needed), Value::Object(computed)) = (&mut needed, computed) {
        needed.extend(computed);
    }
    check_state::<schema::DeploymentState>("prior", &needed)
}

/// Checks the places that the peer does not know yet.
fn check_unknown(unknown: &[String]) -> Result<(), RpcError> {
    let has_none = |place: &&String| !document::has_place::<RollingDeploymentConfig>(place);
    let Some(place) = unknown.iter().find(has_none) else { return Ok(()) };
    let message = format!(
        "{place:?} in \"unknown\" is no place in a configuration; write for instance \
         \"/simulated_fleet/revision\""
    );
    Err(RpcError::new(code::INVALID_PARAMS, message))
}

fn cancelled() -> RpcError {
    RpcError::new(code::CANCELLED, "cancelled before anything was done")
}

/// Returns the changed paths that mean another target, which no rollout can lead to.
fn replaced_paths(prior: &Value, config: &Value, unknown: &BTreeSet<&str>) -> Vec<String> {
    if prior.is_null() {
        return Vec::new();
    }
    crate::document::target_names()
        .filter(|path| !unknown.contains(path) && prior.pointer(path) != config.pointer(path))
        .map(str::to_owned)
        .collect()
}
