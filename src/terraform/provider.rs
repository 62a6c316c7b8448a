//! The calls of Terraform's plugin protocol.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rolling_provider::{ErrorKind, ProviderError, Revision};
use serde_json::{Map, Value, json};
use tokio::sync::{oneshot, watch};

use super::convert::{self, diagnostic};
use super::progress::{self, Header, Progress};
use super::proto as p;
use super::schema::{Kind, TIMEOUTS, schemas};
use super::seen::Seen;
use super::value::{Raw, Read};
use crate::cli::{Edge, text};
use crate::deployment::{self, Ended, Looked, lookable};
use crate::document::config::DurationText;
use crate::document::{self, Diagnostic, normalised};
use crate::engine::{Caller, NOTHING_DONE, Rollout, Stop};
use crate::event::{Outcome, Report};
use crate::providers::Providers;
use crate::state::{self, COMPUTED, FORCE_NEW, PLANNED};
use crate::stopping::{Stopping, stopped};

/// The one resource type.
const TYPE: &str = "rolling_deployment";

const TEMPLATE: &str = "/auto_scaling_group/launch_template";

/// What the calls of one process share.
pub struct Provider {
    edge: Edge,
    progress_folder: Option<PathBuf>,
    /// Whether one host has this process for itself.
    has_one_host: bool,
    /// `None` while the provider's configuration is not known.
    configured: Mutex<Option<Configured>>,
    operations: AtomicU64,
    stop: watch::Sender<Stop>,
    ended: watch::Sender<bool>,
    closing: watch::Sender<bool>,
    /// Rollouts under way.
    busy: watch::Sender<usize>,
    connections: watch::Sender<usize>,
}

#[derive(Clone)]
struct Configured {
    providers: Arc<Providers>,
    /// As the user wrote it.
    config: Value,
}

/// Something that is counted for as long as it lives.
pub struct Counted(watch::Sender<usize>);

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

type Found = Vec<p::Diagnostic>;

/// A configuration as it came, and what it says.
struct Config {
    raw: Raw,
    /// Without timeouts.
    value: Value,
    unknown: Vec<String>,
    timeouts: Value,
}

impl Provider {
    /// `has_one_host`: the process is for one host, which tells it to stop for good.
    pub fn new(edge: &Edge, progress_folder: Option<PathBuf>, has_one_host: bool) -> Provider {
        let providers = Arc::new(Providers::new(Default::default(), edge.now));
        let configured = Configured { providers, config: json!({}) };
        Provider {
            edge: edge.clone(),
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

    /// Whether the host has said that this process is to end.
    pub fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// Whether connections are to end.
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Ends connections.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Counts a connection.
    pub fn open(&self) -> Counted {
        Counted::new(&self.connections)
    }

    /// Returns when no rollout is under way.
    pub async fn idle(&self) {
        // This holds the sender, so waiting ends only in time.
        self.busy.subscribe().wait_for(|count| *count == 0).await.map(drop).unwrap_or_default();
    }

    /// Returns when no connection is open.
    pub async fn disconnected(&self) {
        let mut connections = self.connections.subscribe();
        connections.wait_for(|count| *count == 0).await.map(drop).unwrap_or_default();
    }

    /// `GRPCController.Shutdown`.
    pub fn shut_down(&self) {
        self.ended.send_replace(true);
    }

    /// `StopProvider`: what is under way stops and still answers; the second time it stops sooner.
    pub fn stop(&self) {
        let urgency = *self.stop.borrow();
        self.ask_to_stop(if urgency == Stop::No { Stop::Gracefully } else { Stop::Now });
    }

    /// What is under way, and what would begin.
    pub fn ask_to_stop(&self, urgency: Stop) {
        self.stop.send_modify(|stop| *stop = urgency.max(*stop));
    }

    /// `ConfigureProvider`.
    pub fn configure(&self, asked: p::ConfigureRequest) -> p::Diagnostics {
        let mut configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.has_one_host {
            // Another host than the one that said stop.
            self.stop.send_replace(Stop::No);
        }
        let diagnostics = match provider_config(asked.config.as_ref()) {
            Ok(read) if !read.unknown.is_empty() => {
                *configured = None;
                Vec::new()
            }
            Ok(read) => match document::provider(&read.value, "") {
                Ok(config) => {
                    let providers = Arc::new(Providers::new(config, self.edge.now));
                    let config = normalised(&read.value);
                    *configured = Some(Configured { providers, config });
                    Vec::new()
                }
                Err(found) => all(&found, &schemas().provider),
            },
            Err(found) => found,
        };
        p::Diagnostics { diagnostics }
    }

    /// `ReadResource`.
    pub async fn read(&self, asked: p::ReadRequest) -> p::ReadResponse {
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
        let config = lookable(&state::config_of(&without_timeouts(&prior)));
        let rollout = match deployment::look(&providers, &config, &self.looker(&prior)).await {
            Ok(rollout) => rollout,
            Err(Looked::Provider(error)) if error.kind == ErrorKind::Missing => {
                return p::ReadResponse { new_state: Raw::null().send(), ..keep(Vec::new()) };
            }
            // A template version that is gone, say, must not keep the user from choosing another.
            Err(Looked::Provider(error)) if error.kind == ErrorKind::Invalid => {
                let mut found = Diagnostic::from_provider(&error, "", "");
                found.severity = document::Severity::Warning;
                return keep(all(&[found], kind));
            }
            Err(looked) => return keep(all(&looked.into_diagnostics(), kind)),
        };
        let now = refreshed(&prior, &rollout);
        let changes: Vec<(&str, Option<Value>)> =
            COMPUTED.iter().map(|name| (*name, Some(now[*name].clone()))).collect();
        let new_state = raw.with(&changes, kind.attributes()).send();
        let private = Seen::of(&rollout).write();
        p::ReadResponse { new_state, private, ..keep(Vec::new()) }
    }

    /// `PlanResourceChange`.
    pub async fn plan(&self, asked: p::PlanRequest) -> p::PlanResponse {
        let kind = &schemas().resource;
        let refuse = |diagnostics| p::PlanResponse {
            planned_state: asked.proposed_new_state.clone(),
            requires_replace: Vec::new(),
            planned_private: asked.prior_private.clone(),
            diagnostics,
        };
        let prior = match known(&asked.type_name, asked.prior_state.as_ref()) {
            Ok(prior) => prior,
            Err(found) => return refuse(found),
        };
        match Raw::receive(asked.proposed_new_state.as_ref(), kind) {
            Ok(proposed) if proposed.is_null() => {
                return refuse(self.warn_of_the_end(prior.as_ref()).await);
            }
            Ok(_) => {}
            Err(error) => return refuse(vec![convert::error(error, "")]),
        }
        let config = match Config::receive(asked.config.as_ref()) {
            Ok(config) => config,
            Err(found) => return refuse(found),
        };
        let (prior_raw, prior) = prior.unwrap_or((Raw::null(), Value::Null));
        let replaces = moved(&prior, &config);
        let answer = |changes: &[(&str, Option<Value>)], diagnostics| p::PlanResponse {
            planned_state: config.raw.with(changes, kind.attributes()).send(),
            requires_replace: replaces.iter().map(|place| convert::path(place, kind)).collect(),
            planned_private: asked.prior_private.clone(),
            diagnostics,
        };
        let in_the_dark = || {
            let of_prior = |name: &str| {
                (name == "id" && replaces.is_empty() && !prior.is_null())
                    .then(|| prior["id"].clone())
            };
            answer(&COMPUTED.map(|name| (name, of_prior(name))), Vec::new())
        };
        let configured = self.configured();
        if !config.unknown.is_empty() || configured.is_none() {
            let found = document::partial(&config.value, &config.unknown);
            return if found.is_empty() { in_the_dark() } else { refuse(all(&found, kind)) };
        }
        let Some(Configured { providers, .. }) = configured else { return in_the_dark() };
        // What is known of one target says nothing of another.
        let from = if replaces.is_empty() { &prior } else { &Value::Null };
        let rollout = match deployment::look(&providers, &config.value, &self.looker(from)).await {
            Ok(rollout) => rollout,
            Err(Looked::Provider(error)) if may_come(&error) => return in_the_dark(),
            Err(looked) => return refuse(all(&looked.into_diagnostics(), kind)),
        };
        let live = rollout.preview();
        let mut warnings: Vec<Diagnostic> =
            live.warnings.iter().map(|words| Diagnostic::warning("", words)).collect();
        let is_update = !prior.is_null() && replaces.is_empty();
        if !is_update && live.changes {
            // The figures of it are not known to be the same when this is applied.
            let words = format!("to create this rolls {}", text::intent(&live));
            warnings.insert(0, Diagnostic::warning("", words));
        }
        let warnings = all(&warnings, kind);
        let seen = Seen::read(&asked.prior_private).filter(|_| is_update);
        let wanted = promise(&config.value, &prior, seen.as_ref(), rollout.wanted());
        let changes = match (&seen, &wanted) {
            (Some(seen), Some(wanted)) if seen.wanted == *wanted => seen.changes,
            (Some(_), _) => true,
            (None, _) => live.changes,
        };
        let old_config = state::config_of(&without_timeouts(&prior));
        let is_same = is_update && normalised(&old_config) == normalised(&config.value);
        let is_aimed_there =
            wanted.as_ref().is_some_and(|wanted| prior["target_revision"] == json!(wanted));
        if is_same && is_aimed_there && !changes {
            let planned = config.raw.with_those_of(&prior_raw, &COMPUTED);
            return p::PlanResponse { planned_state: planned.send(), ..answer(&[], warnings) };
        }
        let spec = document::deployment(&config.value, "").map(|(_, spec)| spec);
        let figures = match (seen, &wanted, spec) {
            (Some(seen), Some(wanted), Ok(spec)) => {
                Some(state::figures(&seen.preview(&spec, wanted)))
            }
            _ => None,
        };
        let value = |name: &'static str| {
            let figure = figures.iter().flatten().find(|(known, _)| *known == name);
            let known = match name {
                // A target that the same apply makes anew has another one.
                "id" => is_update.then(|| prior["id"].clone()),
                "target_revision" => wanted.as_ref().map(|wanted| json!(wanted)),
                _ => figure.map(|(_, value)| value.clone()),
            };
            (name, known)
        };
        answer(&COMPUTED.map(value), warnings)
    }

    /// What a destruction would do to a rollout in progress.
    async fn warn_of_the_end(&self, prior: Option<&(Raw, Value)>) -> Found {
        let (Some((_, prior)), Some(configured)) = (prior, self.configured()) else {
            return Vec::new();
        };
        let config = lookable(&state::config_of(&without_timeouts(prior)));
        let looked = deployment::look(&configured.providers, &config, &self.looker(prior)).await;
        // Whether it can be looked at is for the destruction to say.
        let Ok(rollout) = looked else { return Vec::new() };
        let Some(record) = rollout.record().filter(|record| !deployment::is_over(record)) else {
            return Vec::new();
        };
        let words = format!(
            "rollout {} to {} is {} on {}: to destroy this resource gives it up",
            record.id,
            record.to,
            record.status(),
            rollout.target().name
        );
        let remedy = "what is borrowed is put back, and the instances stay as they are then";
        let found = Diagnostic::warning("", words).with_remedy(remedy);
        all(&[found], &schemas().resource)
    }

    /// `ApplyResourceChange`. The work is done on a task of its own, since the host may leave; a
    /// rollout that nobody waits for any more stops at the next safe point.
    pub async fn apply(self: Arc<Self>, asked: p::ApplyRequest) -> p::ApplyResponse {
        let (attend, attended) = oneshot::channel::<()>();
        let busy = Counted::new(&self.busy);
        let prior = asked.prior_state.clone();
        let work = async move {
            let done = self.carry_out(asked, attended).await;
            drop(busy);
            done
        };
        let done = tokio::spawn(work).await;
        drop(attend);
        done.unwrap_or_else(|error| {
            let words = format!("The provider broke: {error}");
            let detail = "The record on the target tells how far it was; run this again.";
            let diagnostics = vec![convert::error(words, detail)];
            p::ApplyResponse { new_state: prior, private: Vec::new(), diagnostics }
        })
    }

    async fn carry_out(
        &self,
        asked: p::ApplyRequest,
        attended: oneshot::Receiver<()>,
    ) -> p::ApplyResponse {
        let kind = &schemas().resource;
        let keep = |diagnostics| p::ApplyResponse {
            new_state: asked.prior_state.clone(),
            private: asked.planned_private.clone(),
            diagnostics,
        };
        let prior = match known(&asked.type_name, asked.prior_state.as_ref()) {
            Ok(prior) => prior,
            Err(found) => return keep(found),
        };
        let planned = match Raw::receive(asked.planned_state.as_ref(), kind) {
            Ok(planned) => planned,
            Err(error) => return keep(vec![convert::error(error, "")]),
        };
        let Some(configured) = self.configured() else {
            let words = "The provider's configuration is not known";
            return keep(vec![convert::error(words, "")]);
        };
        let left = async move {
            // Nothing is ever sent: it ends when the other side is dropped.
            attended.await.unwrap_or_default();
        };
        let operation = Operation { provider: self, configured, left: Box::pin(left) };
        if planned.is_null() {
            return match prior {
                Some((_, prior)) => match operation.end(&prior).await {
                    Ok(()) => {
                        p::ApplyResponse { new_state: Raw::null().send(), ..keep(Vec::new()) }
                    }
                    Err(found) => keep(found),
                },
                None => keep(Vec::new()),
            };
        }
        let config = match Config::receive(asked.config.as_ref()) {
            Ok(config) => config,
            Err(found) => return keep(found),
        };
        let Rolled { state, seen, found } = operation.roll(prior.as_ref(), &planned, &config).await;
        let private = seen.map_or_else(|| asked.planned_private.clone(), |seen| seen.write());
        p::ApplyResponse { new_state: state.send(), private, diagnostics: found }
    }

    /// `ImportResourceState`.
    pub async fn import(&self, asked: p::ImportRequest) -> p::ImportResponse {
        let kind = &schemas().resource;
        let refuse =
            |diagnostics| p::ImportResponse { imported_resources: Vec::new(), diagnostics };
        if let Err(found) = check_type(&asked.type_name) {
            return refuse(found);
        }
        let Some(Configured { providers, .. }) = self.configured() else {
            let words = "The provider's configuration is not known";
            return refuse(vec![convert::error(words, "")]);
        };
        // By name alone it is a group of AWS.
        let id = match asked.id.contains('/') {
            true => asked.id.clone(),
            false => format!("auto_scaling_group/{}", asked.id),
        };
        let found = match providers.import(&id).await {
            Ok(mut config) => {
                // A configuration that is whole, so that Terraform can write it, and the most
                // careful there is.
                config["policy"] = json!("rolling");
                config["batch_size_type"] = json!("fixed");
                config["batch_size"] = json!(1);
                let looked =
                    deployment::look(&providers, &config, &self.looker(&Value::Null)).await;
                looked.map(|rollout| (state::current(&config, &rollout), Seen::of(&rollout)))
            }
            Err(error) => Err(Looked::Provider(error)),
        };
        match found {
            Ok((state, seen)) => p::ImportResponse {
                imported_resources: vec![p::ImportedResource {
                    type_name: TYPE.into(),
                    state: Raw::from_json(&state, kind).send(),
                    private: seen.write(),
                }],
                diagnostics: Vec::new(),
            },
            Err(looked) => refuse(all(&looked.into_diagnostics(), kind)),
        }
    }

    fn configured(&self) -> Option<Configured> {
        self.configured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Somebody who will begin nothing.
    fn looker(&self, prior: &Value) -> Caller {
        let completed = prior["completed_revision"].as_str().map(Into::into);
        Caller { completed, ..self.edge.caller(&self.edge.rollout_id) }
    }

    /// Somebody at work, whose lease differs from those of others in this process.
    fn worker(&self, prior: &Value) -> Caller {
        let number = self.operations.fetch_add(1, Ordering::Relaxed);
        let rollout = match number {
            0 => self.edge.rollout_id.clone(),
            number => format!("{}-{number}", self.edge.rollout_id),
        };
        let owner = format!("{}.{number}", self.edge.owner);
        let completed = prior["completed_revision"].as_str().map(Into::into);
        Caller { completed, owner, ..self.edge.caller(&rollout) }
    }
}

/// One change under way.
struct Operation<'a> {
    provider: &'a Provider,
    configured: Configured,
    /// Ends when nobody waits for the answer any more.
    left: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What a change has led to.
struct Rolled {
    state: Raw,
    /// Where the fleet was looked at.
    seen: Option<Seen>,
    found: Found,
}

impl Rolled {
    /// The fleet was left alone.
    fn not(state: Raw, found: Found) -> Rolled {
        Rolled { state, seen: None, found }
    }
}

impl Operation<'_> {
    /// Creates or updates.
    async fn roll(
        self,
        prior: Option<&(Raw, Value)>,
        planned_raw: &Raw,
        config: &Config,
    ) -> Rolled {
        let kind = &schemas().resource;
        // A deployment that was not created leaves nothing in the state: the record on the target
        // tells the next apply how far it was.
        let before = prior.map_or(Raw::null(), |(raw, _)| raw.clone());
        let prior = prior.map_or(&Value::Null, |(_, prior)| prior);
        let Read { value: planned, unknown } = match planned_raw.to_json(kind) {
            Ok(read) => read,
            Err(error) => return Rolled::not(before, vec![convert::error(error, "")]),
        };
        if unknown.is_empty() {
            // Nothing was planned but to remember other timeouts.
            return Rolled::not(planned_raw.clone(), Vec::new());
        }
        let is_unknown =
            |name: &str| unknown.iter().any(|place| place.strip_prefix('/') == Some(name));
        let promised =
            planned["target_revision"].as_str().filter(|_| !is_unknown("target_revision"));
        let value = pinned(&config.value, promised);
        let caller = self.provider.worker(prior);
        let operation = if prior.is_null() { "create" } else { "update" };
        let limit = config.timeouts[operation].as_str().and_then(DurationText::parse);
        let stopping = Stopping::listen(self.provider.stop.subscribe(), limit, self.left);
        let mut stop = stopping.stop.clone();
        let looked = tokio::select! {
            looked = deployment::look(&self.configured.providers, &value, &caller) => looked,
            () = stopped(&mut stop) => {
                let words = "Stopped before anything was done";
                return Rolled::not(before, vec![convert::error(words, "Apply again.")]);
            }
        };
        let rollout = match looked {
            Ok(rollout) => rollout,
            Err(looked) => return Rolled::not(before, all(&looked.into_diagnostics(), kind)),
        };
        let wanted = rollout.wanted().to_string();
        if let Some(promised) = promised.filter(|promised| *promised != wanted) {
            let words = format!("The plan is to roll to {promised}, and now it would be {wanted}");
            let found = vec![convert::error(words, "Nothing was done. Plan again.")];
            return Rolled::not(before, found);
        }
        // What was planned stays, to the letter; the rest is planned now.
        let mut settled = state::planned(&config.value, &rollout);
        for name in PLANNED.iter().filter(|name| !is_unknown(name)) {
            settled[*name] = planned[*name].clone();
        }
        let id = rollout.target().id.clone();
        let seen = Seen::of(&rollout);
        let name = rollout.target().name.clone();
        let header = header(self.provider, &self.configured, &name, &value);
        let folder = self.provider.progress_folder.as_deref();
        let mut progress = Progress::begin(folder, &name, &header);
        let report =
            rollout.run(stopping.stop.clone(), &mut |envelope| progress.tell(&envelope)).await;
        let after = state::after(&config.value, &id, &settled, &report);
        if report.outcome == Outcome::Succeeded {
            let found = COMPUTED.iter().filter(|name| is_unknown(name));
            let changes: Vec<(&str, Option<Value>)> =
                found.map(|name| (*name, Some(after[*name].clone()))).collect();
            let state = planned_raw.with(&changes, kind.attributes());
            return Rolled { state, seen: Some(seen.after(&report)), found: Vec::new() };
        }
        let expired = stopping.has_expired().then(|| (operation, &config.timeouts[operation]));
        let found = vec![explain(&report, expired, folder)];
        // What the configuration asks for is not so. What it said before stays, so that the next
        // plan shows what is left, beside what the fleet really runs.
        let was_left_alone =
            report.outcome == Outcome::Locked || report.reason.as_deref() == Some(NOTHING_DONE);
        let keep = prior.is_null() || was_left_alone;
        let changes: Vec<(&str, Option<Value>)> =
            COMPUTED.iter().map(|name| (*name, Some(after[*name].clone()))).collect();
        let state = if keep { before } else { before.with(&changes, kind.attributes()) };
        Rolled { state, seen: Some(seen.after(&report)), found }
    }

    /// Ends a rollout in progress, and takes its record off the target.
    async fn end(self, prior: &Value) -> Result<(), Found> {
        let kind = &schemas().resource;
        let config = lookable(&state::config_of(&without_timeouts(prior)));
        let caller = self.provider.worker(prior);
        let limit = prior[TIMEOUTS]["delete"].as_str().and_then(DurationText::parse);
        let stopping = Stopping::listen(self.provider.stop.subscribe(), limit, self.left);
        let providers = &self.configured.providers;
        let name = target_name(&config);
        let header = header(self.provider, &self.configured, &name, &config);
        // Without a rollout in progress there is nothing to tell.
        let mut progress = None;
        let folder = self.provider.progress_folder.as_deref();
        let stop = stopping.stop.clone();
        let mut tell = |envelope| {
            let begin = || Progress::begin(folder, &name, &header);
            progress.get_or_insert_with(begin).tell(&envelope);
        };
        let again = "Destroy again. No instance was touched.";
        match deployment::end(providers, &config, &caller, stop, &mut tell).await {
            Ok(Ended::Gone) => Ok(()),
            Ok(Ended::Unheard(owner)) => {
                let words = format!("{owner} is at work on {name} and does not react");
                Err(vec![convert::error(convert::capital(&words), again)])
            }
            Ok(Ended::Left(owner)) => {
                let words = format!("{owner} was told to abort and has not reacted yet");
                Err(vec![convert::error(convert::capital(&words), again)])
            }
            Ok(Ended::Locked(words)) => Err(vec![convert::error(convert::capital(&words), again)]),
            Err(Looked::Provider(error)) if error.kind == ErrorKind::Missing => Ok(()),
            Err(looked) => Err(all(&looked.into_diagnostics(), kind)),
        }
    }
}

fn header(provider: &Provider, configured: &Configured, name: &str, config: &Value) -> Header {
    let document = json!({
        "provider": { "rolling": configured.config },
        "resource": { "rolling_deployment": { name: normalised(config) } },
    });
    // The process, not the operation: whether it lives is asked of this one.
    Header { document, owner: provider.edge.owner.clone() }
}

/// Why a rollout did not succeed, what is left, and what to do.
fn explain(
    report: &Report,
    expired: Option<(&str, &Value)>,
    folder: Option<&Path>,
) -> p::Diagnostic {
    let (what, mut sentences) = text::ended(report);
    if let Some((operation, limit)) = expired {
        let limit = limit.as_str().unwrap_or_default();
        sentences.insert(0, format!("It took longer than {limit} (timeouts.{operation})"));
    }
    sentences.push(match (report.outcome, folder) {
        (Outcome::Succeeded, _) => String::new(),
        (Outcome::RolledBack, _) => "Correct the revision, then apply again".into(),
        (Outcome::Failed, _) => "Correct the cause, then apply again".into(),
        (Outcome::Aborted, _) => "Apply again to finish".into(),
        (Outcome::Locked, _) => "Wait for it to end, then apply again".into(),
        (Outcome::Paused, Some(folder)) => format!(
            "To apply again leaves it so. Go on with `rolling resume {}`; `rollback` and `abort` \
             are the other ways",
            progress::path(folder, &report.target).display()
        ),
        (Outcome::Paused, None) => "To apply again leaves it so. `rolling resume`, `rolling \
                                    rollback` and `rolling abort` decide; they take the file that \
                                    an apply with ROLLING_PROGRESS_DIR set leaves there"
            .into(),
    });
    // A name stays as it is.
    let begins_with_name = what.starts_with(&report.target);
    let what = if begins_with_name { what } else { convert::capital(&what) };
    convert::error(what, sentences.join(".\n") + ".")
}

/// The state now, which keeps what the last rollout was to bring, and how that went, until the
/// fleet is as the configuration of that rollout said.
fn refreshed(prior: &Value, rollout: &Rollout) -> Value {
    let mut now = state::refreshed(&without_timeouts(prior), rollout);
    let sought = &prior["target_revision"];
    if sought.is_null() {
        return now;
    }
    if now["status"] == "succeeded" && *sought != now["target_revision"] {
        now["status"] = prior["status"].clone();
        now["last_error"] = prior["last_error"].clone();
    }
    now["target_revision"] = sought.clone();
    if !rollout.preview().changes {
        // Terraform hides what stays as it was: batches that are over would hide those to come.
        now["batches"] = json!([]);
        now["expected_duration"] = json!("0s");
    }
    now
}

/// The configuration with the version that was planned, where it asks for the latest one: a plan
/// says what is rolled out, whatever has been made since.
fn pinned(config: &Value, promised: Option<&str>) -> Value {
    let mut config = config.clone();
    if let Some((id, version)) = promised.and_then(|revision| revision.rsplit_once(':'))
        && has_alias(&config)
        && let Some(template) = config.pointer_mut(TEMPLATE)
    {
        *template = json!({ "id": id, "version": version });
    }
    config
}

/// What a plan may say is rolled out: what comes out the same whenever it is asked. `live` is what
/// it comes to now.
fn promise(
    config: &Value,
    prior: &Value,
    seen: Option<&Seen>,
    live: &Revision,
) -> Option<Revision> {
    let Some(wanted) = template(config) else { return Some(live.clone()) };
    let has_id = wanted["id"].is_string();
    if has_id && !has_alias(config) {
        return Some(live.clone());
    }
    // A name, or the latest version, may stand for something else when this is applied.
    let (seen, before) = (seen?, template(prior)?);
    if wanted == before {
        return Some(seen.wanted.clone());
    }
    let is_same_template = wanted["name"] == before["name"] && wanted["id"] == before["id"];
    let (id, _) = seen.wanted.as_str().rsplit_once(':')?;
    let version = wanted["version"].as_str()?;
    (is_same_template && !has_alias(config)).then(|| Revision::new(format!("{id}:{version}")))
}

/// Whether a configuration asks for the latest or the default version, whatever that is.
fn has_alias(config: &Value) -> bool {
    let version = config.pointer(TEMPLATE).and_then(|template| template["version"].as_str());
    version.is_some_and(|version| version.starts_with('$'))
}

/// The launch template of a configuration or state, without what is null in it.
fn template(config: &Value) -> Option<Value> {
    config.pointer(TEMPLATE).map(normalised)
}

/// Paths whose change means another target, which no rollout can lead to; one that is not known
/// yet counts as changed.
fn moved(prior: &Value, config: &Config) -> Vec<String> {
    if prior.is_null() {
        return Vec::new();
    }
    let is_unknown = |path: &str| {
        config.unknown.iter().any(|place| {
            path.strip_prefix(place.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let name = |of: &Value, path: &str| of.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let differs = |path: &&str| is_unknown(path) || name(prior, path) != name(&config.value, path);
    FORCE_NEW.into_iter().filter(differs).map(str::to_owned).collect()
}

impl Config {
    fn receive(value: Option<&p::DynamicValue>) -> Result<Config, Found> {
        let kind = &schemas().resource;
        let fail = |error: String| vec![convert::error(error, "")];
        let raw = Raw::receive(value, kind).map_err(fail)?;
        let read = raw.to_json(kind).map_err(fail)?;
        let mut value = read.value;
        let timeouts = match &mut value {
            Value::Object(attributes) => attributes.remove(TIMEOUTS).unwrap_or_default(),
            _ => return Err(fail("The host sent no configuration".into())),
        };
        for name in COMPUTED {
            value.as_object_mut().map(|attributes| attributes.remove(name));
        }
        let is_of_config = |place: &String| !place.starts_with(&format!("/{TIMEOUTS}"));
        let unknown = read.unknown.into_iter().filter(is_of_config).collect();
        Ok(Config { raw, value: normalised(&value), unknown, timeouts })
    }
}

/// Whether what is missing now may be made by the same apply, before its turn comes.
fn may_come(error: &ProviderError) -> bool {
    let place = error.attribute.as_deref().unwrap_or_default();
    error.kind == ErrorKind::Missing
        || place == "auto_scaling_group/launch_template/name"
        || place.starts_with("auto_scaling_group/target_group_arns")
}

/// The target of `config`, as a person calls it.
fn target_name(config: &Value) -> String {
    let name = FORCE_NEW.iter().find_map(|path| config.pointer(path)?.as_str());
    name.unwrap_or_default().to_owned()
}

fn without_timeouts(state: &Value) -> Value {
    let mut state = state.clone();
    state.as_object_mut().map(|attributes| attributes.remove(TIMEOUTS));
    state
}

/// A state in which everything is known, if there is one.
fn known(type_name: &str, value: Option<&p::DynamicValue>) -> Result<Option<(Raw, Value)>, Found> {
    check_type(type_name)?;
    let kind = &schemas().resource;
    let fail = |error: String| vec![convert::error(error, "")];
    let raw = Raw::receive(value, kind).map_err(fail)?;
    if raw.is_null() {
        return Ok(None);
    }
    let read = raw.to_json(kind).map_err(fail)?;
    Ok(Some((raw, read.value)))
}

fn check_type(type_name: &str) -> Result<(), Found> {
    if type_name == TYPE {
        return Ok(());
    }
    let words = format!("There is no resource type {type_name:?}; there is {TYPE:?}");
    Err(vec![convert::error(words, "")])
}

fn all(found: &[Diagnostic], kind: &Kind) -> Found {
    found.iter().map(|finding| diagnostic(finding, kind)).collect()
}

fn provider_config(value: Option<&p::DynamicValue>) -> Result<Read, Found> {
    let kind = &schemas().provider;
    let fail = |error: String| vec![convert::error(error, "")];
    let raw = Raw::receive(value, kind).map_err(fail)?;
    let mut read = raw.to_json(kind).map_err(fail)?;
    if read.value.is_null() {
        read.value = Value::Object(Map::new());
    }
    Ok(read)
}

fn capabilities() -> Option<p::ServerCapabilities> {
    Some(p::ServerCapabilities { plan_destroy: true, get_provider_schema_optional: true })
}

/// `GetMetadata`.
pub fn metadata() -> p::Metadata {
    let resources = vec![p::ResourceMetadata { type_name: TYPE.into() }];
    p::Metadata { server_capabilities: capabilities(), resources }
}

/// `GetProviderSchema`.
pub fn schema() -> p::ProviderSchema {
    let schemas = schemas();
    p::ProviderSchema {
        provider: Some(p::Schema { version: 0, ..schemas.provider.to_proto() }),
        resource_schemas: [(TYPE.to_owned(), schemas.resource.to_proto())].into(),
        server_capabilities: capabilities(),
    }
}

/// `ValidateProviderConfig`.
pub fn validate_provider(asked: p::ProviderConfigRequest) -> p::ProviderConfigResponse {
    let kind = &schemas().provider;
    let diagnostics = match provider_config(asked.config.as_ref()) {
        Ok(read) => {
            let found = document::provider(&read.value, "").err().unwrap_or_default();
            all(&found, kind)
        }
        Err(found) => found,
    };
    p::ProviderConfigResponse { diagnostics }
}

/// `ValidateResourceConfig`.
pub fn validate(asked: p::ResourceConfigRequest) -> p::Diagnostics {
    let kind = &schemas().resource;
    let checked =
        check_type(&asked.type_name).and_then(|()| Config::receive(asked.config.as_ref()));
    let diagnostics = match checked {
        Ok(config) => {
            let mut found = match config.unknown.is_empty() {
                true => document::deployment(&config.value, "").err().unwrap_or_default(),
                false => document::partial(&config.value, &config.unknown),
            };
            found.extend(check_timeouts(&config.timeouts));
            all(&found, kind)
        }
        Err(found) => found,
    };
    p::Diagnostics { diagnostics }
}

fn check_timeouts(timeouts: &Value) -> Vec<Diagnostic> {
    let given = timeouts.as_object().into_iter().flatten();
    let texts = given.filter_map(|(name, value)| Some((name, value.as_str()?)));
    let wrong = texts
        .filter(|(_, text)| DurationText::parse(text).is_none_or(|limit| limit == Duration::ZERO));
    wrong
        .map(|(name, text)| {
            Diagnostic::error(
                format!("/{TIMEOUTS}/{name}"),
                format!("{text:?} is not a time span longer than nothing"),
            )
            .with_remedy("write for instance 30s, 10m or 1h30m")
        })
        .collect()
}

/// `UpgradeResourceState`.
pub fn upgrade(asked: p::UpgradeRequest) -> p::UpgradeResponse {
    let refuse = |diagnostics| p::UpgradeResponse { upgraded_state: None, diagnostics };
    if let Err(found) = check_type(&asked.type_name) {
        return refuse(found);
    }
    let kind = &schemas().resource;
    let json = asked.raw_state.map(|state| state.json).unwrap_or_default();
    let state: Value = match serde_json::from_slice(&json) {
        Ok(state) => state,
        Err(error) => {
            let words = format!("The saved state is no JSON: {error}");
            return refuse(vec![convert::error(words, "")]);
        }
    };
    let timeouts = state[TIMEOUTS].clone();
    // Terraform writes some numbers as text; ours are read through its schema. What that does not
    // know is left for the upgrade to judge.
    let read = Raw::from_json(&state, kind).to_json(kind).map(|read| read.value);
    let mut ours = without_timeouts(&state);
    for (name, value) in read.as_ref().ok().and_then(Value::as_object).into_iter().flatten() {
        if name != TIMEOUTS && !ours[name].is_null() {
            ours[name] = value.clone();
        }
    }
    let version = u64::try_from(asked.version).unwrap_or_default();
    match state::upgrade(version, &ours) {
        Ok((mut state, warnings)) => {
            state[TIMEOUTS] = timeouts;
            let upgraded_state = Raw::from_json(&state, kind).send();
            p::UpgradeResponse { upgraded_state, diagnostics: all(&warnings, kind) }
        }
        Err(found) => refuse(all(&found, kind)),
    }
}
