//! `ApplyResourceChange`: rolls a target, or ends its deployment.

mod rollout;

use std::sync::Arc;

use rolling_provider::ErrorKind;
use serde_json::Value;
use tokio::sync::oneshot;

use self::rollout::{
    as_promised, explain, header, keeps_state, open, pinned, run, settled, warnings,
};
use super::super::private_state::PrivateState;
use super::super::schema::{TIMEOUTS, schemas};
use super::super::value::{Raw, Read};
use super::super::{convert, proto as p};
use super::request::{Config, HostDiagnostics, all, computed, known, ours, to_json, unreadable};
use super::{Configured, Counted, Provider};
use crate::deployment::resource_state::{self, KnownBy};
use crate::deployment::stop::Stopping;
use crate::deployment::{self, OpenError, config_to_look_with};
use crate::document::config::DurationText;
use crate::engine::UnderWay;
use crate::model::event::Outcome;
use crate::report::progress_file::ProgressFile;
use crate::report::text;

impl Provider {
    /// Handles `ApplyResourceChange`.
    ///
    /// The work runs on a separate task, since the host may leave. A rollout that the host no
    /// longer waits for stops at the next safe point.
    pub(crate) async fn apply(self: Arc<Self>, asked: p::ApplyRequest) -> p::ApplyResponse {
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
            let message = format!("Internal error in the provider: {error}");
            let detail = "The record on the target has the rollout's state; run this again.";
            let diagnostics = vec![convert::error(message, detail)];
            p::ApplyResponse { new_state: prior, private: Vec::new(), diagnostics }
        })
    }

    /// Returns what the refresh of a state with this configuration sees and keeps.
    ///
    /// Terraform treats it as a part of the state: the refresh would report a different value as
    /// drift.
    async fn see(
        &self,
        configured: &Configured,
        config: &Value,
        state: &Value,
    ) -> Option<PrivateState> {
        let looker = self.looker(state);
        let looked =
            deployment::look(&configured.providers, &config_to_look_with(config), &looker).await;
        looked.ok().map(|rollout| PrivateState::of(&rollout))
    }

    /// Checks that there is still nothing to roll, as planned.
    async fn still_nothing(
        &self,
        configured: &Configured,
        prior: &Value,
        planned: &Value,
        config: &Config,
    ) -> Result<(), HostDiagnostics> {
        let kind = &schemas().resource;
        let value = pinned(&config.value, planned["target_revision"].as_str());
        let looker = self.looker(prior);
        let looked = deployment::look(&configured.providers, &value, &looker).await;
        let rollout = looked.map_err(|looked| all(&looked.into_diagnostics(), kind))?;
        if !rollout.preview().changes {
            return Ok(());
        }
        let name = &rollout.target().name;
        let fleet = text::fleet(&rollout.instances());
        let message = match rollout.under_way() {
            Some(UnderWay { id, to, status }) => format!("rollout {id} to {to} is {status} on it"),
            None => format!("now {fleet}"),
        };
        let message = format!("The plan rolls nothing, but {name} has changed since: {message}");
        Err(vec![convert::error(message, "Nothing was done. Plan again.")])
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
            Err(error) => return keep(unreadable(error)),
        };
        let Some(configured) = self.configured() else {
            let message = "The provider's configuration is not known";
            return keep(vec![convert::error(message, "")]);
        };
        let left = async move {
            // The sender never sends: this ends when the sender is dropped.
            attended.await.unwrap_or_default();
        };
        let operation = ApplyOperation { provider: self, configured, left: Box::pin(left) };
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
        let Rolled { state, private_state, found } =
            operation.roll(prior.as_ref(), &planned, &config).await;
        let private = private_state
            .map_or_else(|| asked.planned_private.clone(), |private_state| private_state.write());
        p::ApplyResponse { new_state: state.send(), private, diagnostics: found }
    }
}

/// One change under way.
struct ApplyOperation<'a> {
    provider: &'a Provider,
    configured: Configured,
    /// Ends when the host no longer waits for the answer.
    left: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// The result of a change.
struct Rolled {
    state: Raw,
    /// `Some` if the provider has looked at the fleet.
    private_state: Option<PrivateState>,
    found: HostDiagnostics,
}

impl Rolled {
    /// Returns the result of a change that left the fleet alone.
    fn not(state: Raw, found: HostDiagnostics) -> Rolled {
        Rolled { state, private_state: None, found }
    }
}

impl ApplyOperation<'_> {
    /// Changes settings in the state alone.
    async fn settle(
        self,
        prior: &Value,
        before: Raw,
        planned: &Value,
        planned_raw: &Raw,
        config: &Config,
    ) -> Rolled {
        match self.provider.still_nothing(&self.configured, prior, planned, config).await {
            Ok(()) => Rolled { state: planned_raw.clone(), private_state: None, found: Vec::new() },
            Err(found) => Rolled::not(before, found),
        }
    }

    /// Creates or updates.
    async fn roll(
        self,
        prior: Option<&(Raw, Value)>,
        planned_raw: &Raw,
        config: &Config,
    ) -> Rolled {
        // A deployment that was not created leaves nothing in the state: the record on the target
        // tells the next apply how far the rollout got.
        let before = prior.map_or(Raw::null(), |(raw, _)| raw.clone());
        let prior = prior.map_or(&Value::Null, |(_, prior)| prior);
        let earlier = resource_state::config_of(&to_json(prior));
        let Read { value: planned, unknown } = match planned_raw.to_json(&schemas().resource) {
            Ok(read) => read,
            Err(error) => return Rolled::not(before, unreadable(error)),
        };
        if unknown.is_empty() {
            return self.settle(prior, before, &planned, planned_raw, config).await;
        }
        let is_unknown = |name: &str| unknown.contains(&format!("/{name}"));
        let target = planned["target_revision"].as_str();
        let promised = target.filter(|_| !is_unknown("target_revision"));
        let value = pinned(&config.value, promised);
        self.configured.providers.keep_in_mind(prior);
        let ApplyOperation { provider, configured, left } = self;
        let operation = if prior.is_null() { "create" } else { "update" };
        let limit = config.timeouts[operation].as_str().and_then(DurationText::parse);
        let stopping = Stopping::listen(provider.stop.subscribe(), limit, left);
        let limit = &config.timeouts[operation];
        let opened =
            open(&configured, &value, &provider.worker(prior), &stopping, (operation, limit)).await;
        let rollout = match opened.and_then(|rollout| as_promised(rollout, promised)) {
            Ok(rollout) => rollout,
            Err(found) => return Rolled::not(before, found),
        };
        let as_planned = resource_state::computed(KnownBy::Plan).filter(|name| !is_unknown(name));
        let figures = resource_state::planned(&config.value, &rollout);
        let settled = settled(figures, &planned, as_planned);
        let id = rollout.target().id.clone();
        let seen_before = PrivateState::of(&rollout);
        let folder = provider.progress_folder.as_deref();
        let header = header(provider, &configured, &rollout.target().name, &value);
        let report = run(rollout, &stopping, folder, &header, (operation, limit)).await;
        let after = computed(&resource_state::after(&config.value, &id, &settled, &report));
        let succeeded = report.outcome == Outcome::Succeeded;
        if !succeeded && keeps_state(prior, &report) {
            return Rolled::not(before, vec![explain(&report, folder)]);
        }
        let names = ours().into_iter().filter(|name| !succeeded || is_unknown(name));
        let changes: Vec<_> = names.map(|name| (name, Some(after[name].clone()))).collect();
        // Where the fleet is not as configured, the state keeps its earlier configuration, so that
        // the next plan shows what is left, beside what the fleet really runs.
        let (state, config, found) = match succeeded {
            true => (planned_raw, config.value.clone(), warnings(&report)),
            false => (&before, earlier, vec![explain(&report, folder)]),
        };
        let state = state.with(&changes, schemas().resource.attributes());
        let private_state = provider.see(&configured, &config, &after).await;
        Rolled { state, private_state: private_state.or(Some(seen_before.after(&report))), found }
    }

    /// Ends a rollout in progress, and removes its record from the target.
    async fn end(self, prior: &Value) -> Result<(), HostDiagnostics> {
        let kind = &schemas().resource;
        let config = config_to_look_with(&resource_state::config_of(&to_json(prior)));
        let caller = self.provider.worker(prior);
        let limit = prior[TIMEOUTS]["delete"].as_str().and_then(DurationText::parse);
        let stopping = Stopping::listen(self.provider.stop.subscribe(), limit, self.left);
        let providers = &self.configured.providers;
        let name = resource_state::target_name(&config);
        let header = header(self.provider, &self.configured, &name, &config);
        // Without a rollout in progress there is nothing to report.
        let mut progress = None;
        let folder = self.provider.progress_folder.as_deref();
        let stop = stopping.stop.clone();
        let mut tell = |envelope| {
            let begin = || ProgressFile::begin(folder, &name, &header);
            progress.get_or_insert_with(begin).tell(&envelope);
        };
        let again = "Destroy again. No instance was touched.";
        match deployment::end(providers, &config, &caller, stop, &mut tell).await {
            Ok(outcome) => match outcome.message(&name) {
                None => Ok(()),
                Some(message) => Err(vec![convert::error(text::capital(&message), again)]),
            },
            Err(OpenError::Provider(error)) if error.kind == ErrorKind::Missing => Ok(()),
            Err(looked) => Err(all(&looked.into_diagnostics(), kind)),
        }
    }
}
