//! The methods that know deployments.

use std::sync::Arc;
use std::time::Duration;

use rolling_provider::{ErrorKind, ProviderError, Revision, Timestamp};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::wire::{RpcError, code};
use crate::cli::Edge;
use crate::document::config::RollingDeploymentConfig;
use crate::document::{self, Diagnostic};
use crate::engine::{Caller, Rollout, Stop};
use crate::event::{Envelope, Event, Outcome};
use crate::providers::Providers;
use crate::spec::RollingDeployment;
use crate::state;

/// The one resource type.
pub const TYPE: &str = "rolling_deployment";

/// Progress is told at most once in this time.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What the peer has set up.
#[derive(Clone)]
pub struct Session {
    providers: Arc<Providers>,
    caller: Caller,
}

impl Session {
    /// A provider that is configured by the environment alone.
    pub fn new(edge: &Edge) -> Self {
        let providers = Arc::new(Providers::new(Default::default(), edge.now));
        Self { providers, caller: edge.caller(&edge.rollout_id) }
    }

    /// `provider.configure`: {config} to {diagnostics}. Work in flight keeps what it began with.
    pub fn configure(&mut self, params: &Value, now: Timestamp) -> Result<Value, RpcError> {
        Ok(match document::provider(config(params)?, "") {
            Ok(config) => {
                self.providers = Arc::new(Providers::new(config, now));
                json!({ "diagnostics": [] })
            }
            Err(found) => json!({ "diagnostics": found }),
        })
    }

    /// `resource.plan`: {type, prior, config, private} to {action, planned, unknown,
    /// requires_replace, batches, private, plan_hash, diagnostics}.
    pub async fn plan(&self, params: &Value) -> Result<Value, RpcError> {
        check_type(params)?;
        let config = config(params)?;
        let prior = &params["prior"];
        let refused = |found: Vec<Diagnostic>| {
            json!({
                "action": "none", "planned": null, "unknown": [], "requires_replace": [],
                "batches": [], "private": null, "plan_hash": null, "diagnostics": found,
            })
        };
        let rollout = match self.look(config, self.caller("plan", prior)).await {
            Ok(rollout) => rollout,
            Err(looked) => return Ok(refused(looked.into_diagnostics())),
        };
        let preview = rollout.preview();
        let same = !prior.is_null() && unchanged(&state::config_of(prior), config);
        let action = match (prior.is_null(), same && !preview.changes) {
            (true, _) => "create",
            (false, true) => "none",
            (false, false) => "update",
        };
        let unknown: Vec<String> = if preview.changes {
            state::OUTCOME.iter().map(|name| format!("/{name}")).collect()
        } else {
            Vec::new()
        };
        let hash = state::plan_hash(config, rollout.wanted());
        let warnings: Vec<Diagnostic> =
            preview.warnings.iter().map(|words| Diagnostic::warning("", words)).collect();
        Ok(json!({
            "action": action,
            "planned": state::planned(config, &rollout),
            "unknown": unknown,
            "requires_replace": moved(prior, config),
            "batches": state::sizes(&preview),
            "private": { "plan_hash": hash },
            "plan_hash": hash,
            "diagnostics": warnings,
        }))
    }

    /// `resource.apply`: {type, prior, planned, config, private, operation_id, deadline_ms,
    /// progress_token} to {status, state, private, diagnostics}.
    pub async fn apply(
        &self,
        params: &Value,
        name: &str,
        mut stop: watch::Receiver<Stop>,
        notify: impl Fn(&str, &Value) + Send + 'static,
    ) -> Result<Value, RpcError> {
        check_type(params)?;
        let config = config(params)?;
        let name = operation_id(params)?.unwrap_or(name);
        let deadline = deadline(params)?;
        let rollout = match self.look(config, self.caller(name, &params["prior"])).await {
            Ok(rollout) => rollout,
            Err(looked) => {
                let found = looked.into_diagnostics();
                let state = params["prior"].clone();
                return Ok(json!({
                    "status": "failed", "state": state, "private": null, "diagnostics": found,
                }));
            }
        };
        let preview = rollout.preview();
        let hash = state::plan_hash(config, rollout.wanted());
        if let Some(planned) = params["private"]["plan_hash"].as_str()
            && planned != hash
        {
            let words = "the plan was made for another configuration or revision; plan again";
            let data = Some(json!({ "planned": planned, "current": hash }));
            return Err(RpcError { data, ..RpcError::new(code::STALE_PLAN, words) });
        }
        if *stop.borrow() != Stop::No {
            let words = "cancelled before anything was done";
            return Err(RpcError::new(code::CANCELLED, words));
        }
        let batches = match &params["planned"]["batches"] {
            Value::Array(batches) => json!(batches),
            _ => json!(state::sizes(&preview)),
        };
        let id = rollout.target().id.clone();

        let (send, events) = mpsc::unbounded_channel();
        let token = params["progress_token"].clone();
        let telling = tokio::spawn(tell(events, token, notify));
        let (urgency, own_stop) = watch::channel(Stop::No);
        let relay = tokio::spawn(async move {
            let limit = async {
                match deadline {
                    #[expect(clippy::disallowed_methods, reason = "the peer's time")]
                    Some(deadline) => tokio::time::sleep(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(limit);
            let mut expired = false;
            loop {
                tokio::select! {
                    changed = stop.changed() => match changed {
                        Ok(()) => {
                            let now = *stop.borrow();
                            urgency.send_modify(|stop| *stop = now.max(*stop));
                        }
                        Err(_) => return,
                    },
                    () = &mut limit, if !expired => {
                        expired = true;
                        urgency.send_modify(|stop| *stop = Stop::Gracefully.max(*stop));
                    }
                }
            }
        });
        let report = rollout
            .run(own_stop, &mut |envelope| {
                // Telling ends only after this sender is gone.
                send.send(envelope).unwrap_or_default();
            })
            .await;
        relay.abort();
        drop(send);
        if let Err(error) = telling.await {
            tracing::error!(%error, "progress broke");
        }

        if report.outcome == Outcome::Locked {
            let words = report.reason.clone().unwrap_or_default();
            return Err(RpcError::new(code::LOCKED, words));
        }
        let mut diagnostics = Vec::new();
        if report.outcome != Outcome::Succeeded {
            let reason = report.reason.clone().unwrap_or_else(|| "stopped".into());
            let words = format!("{}: {reason}", report.outcome.name());
            let remedy = match report.borrowed.as_slice() {
                [] => "nothing is borrowed any more; correct the cause and apply again".to_owned(),
                left => format!("apply again to finish; still borrowed: {}", left.join("; ")),
            };
            diagnostics.push(Diagnostic::error("", words).with_remedy(remedy));
        }
        Ok(json!({
            "status": report.outcome,
            "state": state::after(config, &id, batches, &report),
            "private": { "plan_hash": hash },
            "diagnostics": diagnostics,
        }))
    }

    /// `resource.read`: {type, prior} to {state, diagnostics}; the state is null when the target
    /// is gone.
    pub async fn read(&self, params: &Value) -> Result<Value, RpcError> {
        check_type(params)?;
        let prior = &params["prior"];
        if !prior.is_object() {
            return Err(RpcError::new(code::INVALID_PARAMS, "\"prior\" must be a state"));
        }
        let config = state::config_of(prior);
        match self.look(&config, self.caller("read", prior)).await {
            Ok(rollout) => {
                let mut state = state::current(&config, &rollout);
                // What a rollout was planned and ended with stays until the next one.
                for kept in ["batches", "last_error"] {
                    if let Some(value) = prior.get(kept) {
                        state[kept] = value.clone();
                    }
                }
                Ok(json!({ "state": state, "diagnostics": [] }))
            }
            Err(Looked::Provider(error)) if error.kind == ErrorKind::Missing => {
                Ok(json!({ "state": null, "diagnostics": [] }))
            }
            Err(looked) => Ok(json!({ "state": prior, "diagnostics": looked.into_diagnostics() })),
        }
    }

    /// Who asks, and what they know from before.
    fn caller(&self, name: &str, prior: &Value) -> Caller {
        let completed = prior["completed_revision"].as_str().map(Revision::new);
        Caller { rollout_id: name.to_owned(), completed, ..self.caller.clone() }
    }

    async fn look(&self, config: &Value, caller: Caller) -> Result<Rollout, Looked> {
        let (config, spec) = document::deployment(config, "").map_err(Looked::Document)?;
        self.open(&config, spec, &caller).await.map_err(Looked::Provider)
    }

    async fn open(
        &self,
        config: &RollingDeploymentConfig,
        spec: RollingDeployment,
        caller: &Caller,
    ) -> Result<Rollout, ProviderError> {
        let fleet = self.providers.open(config).await?;
        Rollout::prepare(fleet, spec, caller).await
    }
}

/// Why a target could not be looked at.
enum Looked {
    Document(Vec<Diagnostic>),
    Provider(ProviderError),
}

impl Looked {
    fn into_diagnostics(self) -> Vec<Diagnostic> {
        match self {
            Looked::Document(found) => found,
            Looked::Provider(error) => vec![Diagnostic::from_provider(&error, "", "")],
        }
    }
}

/// `resource.validate`: {type, config} to {diagnostics}.
pub fn validate(params: &Value) -> Result<Value, RpcError> {
    check_type(params)?;
    let found = document::deployment(config(params)?, "").err().unwrap_or_default();
    Ok(json!({ "diagnostics": found }))
}

/// Names the target of a configuration, to keep two operations off one target.
pub fn target_key(config: &Value) -> String {
    for kind in ["auto_scaling_group", "simulated_fleet"] {
        if let Some(name) = config[kind]["name"].as_str() {
            return format!("{kind} {name}");
        }
    }
    "no target".into()
}

/// Tells events to the peer, several at a time where they come fast; all are told before the
/// response.
async fn tell(
    mut events: mpsc::UnboundedReceiver<Envelope>,
    token: Value,
    notify: impl Fn(&str, &Value),
) {
    let mut told = Vec::new();
    let mut sequence = 0u64;
    let (mut updated, mut serving, mut size) = (0, 0, 0);
    while let Some(first) = events.recv().await {
        told.push(first);
        while let Ok(next) = events.try_recv() {
            told.push(next);
        }
        if token.is_null() {
            told.clear();
            continue;
        }
        for envelope in &told {
            if let Event::Progressed { updated: u, serving: s, size: n } = envelope.event {
                (updated, serving, size) = (u, s, n);
            }
        }
        let events: Vec<Envelope> = std::mem::take(&mut told);
        notify(
            "$/progress",
            &json!({
                "token": token, "sequence": sequence, "updated": updated, "serving": serving,
                "size": size, "events": events,
            }),
        );
        sequence += 1;
        #[expect(clippy::disallowed_methods, reason = "the peer's time, not the fleet's")]
        tokio::time::sleep(PROGRESS_EVERY).await;
    }
}

fn check_type(params: &Value) -> Result<(), RpcError> {
    match params["type"].as_str() {
        Some(TYPE) => Ok(()),
        Some(other) => {
            let words = format!("there is no resource type {other:?}; there is {TYPE:?}");
            Err(RpcError::new(code::TYPE, words))
        }
        None => Err(RpcError::new(code::INVALID_PARAMS, "\"type\" must be a string")),
    }
}

fn config(params: &Value) -> Result<&Value, RpcError> {
    match params.get("config") {
        Some(config) if config.is_object() => Ok(config),
        _ => Err(RpcError::new(code::INVALID_PARAMS, "\"config\" must be an object")),
    }
}

/// The peer's own name for the operation, which then names the rollout in the record.
fn operation_id(params: &Value) -> Result<Option<&str>, RpcError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match &params["operation_id"] {
        Value::Null => Ok(None),
        Value::String(id) if (1..=64).contains(&id.len()) && id.chars().all(allowed) => {
            Ok(Some(id))
        }
        _ => {
            let words = "\"operation_id\" must be up to 64 letters, digits, '-', '_' or '.'";
            Err(RpcError::new(code::INVALID_PARAMS, words))
        }
    }
}

fn deadline(params: &Value) -> Result<Option<Duration>, RpcError> {
    match &params["deadline_ms"] {
        Value::Null => Ok(None),
        value => match value.as_u64() {
            Some(millis) => Ok(Some(Duration::from_millis(millis))),
            None => {
                let words = "\"deadline_ms\" must be a whole number of milliseconds";
                Err(RpcError::new(code::INVALID_PARAMS, words))
            }
        },
    }
}

fn unchanged(prior: &Value, config: &Value) -> bool {
    document::normalised(prior) == document::normalised(config)
}

/// Paths whose change means another target, which no rollout can lead to.
fn moved(prior: &Value, config: &Value) -> Vec<String> {
    if prior.is_null() {
        return Vec::new();
    }
    ["/auto_scaling_group/name", "/simulated_fleet/name"]
        .into_iter()
        .filter(|path| prior.pointer(path) != config.pointer(path))
        .map(str::to_owned)
        .collect()
}
