//! Has Elastic Beanstalk deploy a version, and follows that.

use std::slice;
use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_elasticbeanstalk::operation::RequestId as _;
use aws_sdk_elasticbeanstalk::types::{
    Deployment, EnvironmentDescription, EnvironmentStatus, EventDescription, SingleInstanceHealth,
};
use rolling_provider::{
    Cancellation, DelegatedRollout, DelegatedRolloutState, DelegatedSettings, EnvironmentSettings,
    ErrorKind, Preparation, ProviderError, Revision, RolloutController,
};

use super::check_options::setting;
use super::environment_look::{FoundEnvironment, is_deploying};
use super::events_before::{completed_before, is_of_another, taken_back};
use super::resolve::{ANOTHER, is_pending};
use super::verdict::{
    KIND, UpdateContext, is_completion, is_health_old, tell_of_abort, tell_of_end, tell_of_options,
};
use super::{EnvironmentFleet, KnownUpdate, SERVICE};
use crate::convert::timestamp;
use crate::error::from_sdk;

const UPDATE: &str = "UpdateEnvironment";
const ABORT: &str = "AbortEnvironmentUpdate";
const EVENTS: &str = "DescribeEvents";
/// What Elastic Beanstalk says of a request while the environment is busy.
const BUSY: &str = "Must be Ready";
/// What it says of an abort where there is nothing to abort, or nothing any more.
const NOTHING_TO_ABORT: &str = "Must be pending deployment";
/// How long an environment may stay busy after the event that calls its update completed.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How many of the newest events are looked through for an update.
const NEWEST: i32 = 100;

#[async_trait]
impl RolloutController for EnvironmentFleet {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn check(&self, settings: &DelegatedSettings) -> Result<(), ProviderError> {
        self.check_options(environment_settings(settings)?).await
    }

    async fn prepare(
        &self,
        settings: &DelegatedSettings,
        may_change: bool,
    ) -> Result<Preparation, ProviderError> {
        let settings = environment_settings(settings)?;
        let environment = self.describe().await?;
        let changed = self.options_to_set(&environment, settings).await?;
        let is_ready = environment.status() == Some(&EnvironmentStatus::Ready);
        let name = &self.environment.name;
        match (is_ready, changed.is_empty()) {
            (true, true) => return Ok(Preparation::Done),
            (false, true) => {
                let status = environment.status().map_or("busy", |status| status.as_str());
                return Ok(Preparation::Busy(format!("environment {name} is {status}")));
            }
            (false, false) => return Err(self.busy(&environment)),
            (true, false) => {}
        }
        let phrases = changed.iter().map(|it| format!("{} {}", it.name, it.value)).collect();
        if !may_change {
            return Ok(Preparation::Changed(phrases));
        }
        let call = self.aws.elasticbeanstalk.update_environment();
        let call = call
            .environment_name(&self.environment.name)
            .set_option_settings(Some(changed.iter().map(setting).collect()));
        call.send().await.map_err(|error| updating(from_sdk(SERVICE, UPDATE, &error)))?;
        Ok(Preparation::Changed(phrases))
    }

    async fn current(&self, id: Option<&str>) -> Result<Option<DelegatedRollout>, ProviderError> {
        let mut environment = self.describe().await?;
        if id.is_none() && environment.status() != Some(&EnvironmentStatus::Ready) {
            // Options that are being changed are no deployment.
            if self.has_pending_options(&environment).await? {
                return Ok(None);
            }
            // They may have been changed by now.
            environment = self.describe().await?;
        }
        let events = self.events(None).await?;
        if id.is_none() && environment.status() == Some(&EnvironmentStatus::Ready) {
            // The newest update may have begun since that was read.
            environment = self.describe().await?;
        }
        let is_followed = id.is_some();
        let newest = newest_update(&events);
        let Some(id) = id.or(newest).map(str::to_owned) else { return Ok(None) };
        let mut own = of_id(&events, &id);
        let is_ready = environment.status() == Some(&EnvironmentStatus::Ready);
        if !is_followed && !is_ready && tell_of_options(&own) {
            // They are changed already, or their change does not show any more.
            return Ok(None);
        }
        // Where ours do not show yet, the newest are those of an update before it.
        let is_newest = own.is_empty() || newest == Some(&id);
        if own.len() < 2 {
            own = self.events(Some(&id)).await?;
        }
        let found = self.find_in(environment).await?;
        let is_another = is_of_another(found.environment.version_label(), &own, &events, &id);
        if !is_followed && !is_ready && (is_another || is_long_completed(&found, &own)) {
            return Ok(Some(not_shown_yet(&found.environment)));
        }
        self.note_versions(&id, &found, &own, &events);
        let mut shown = self.shown(&id, &found, (&own, is_newest), is_followed);
        if shown.state == DelegatedRolloutState::Failed && self.is_aborted(&id, &own, &events) {
            shown.state = DelegatedRolloutState::Cancelled;
        }
        Ok(Some(shown))
    }

    async fn start(
        &self,
        to: &Revision,
        _settings: &DelegatedSettings,
    ) -> Result<String, ProviderError> {
        // Only the version: with options in the same request the policy may be left out of account.
        let call = self.aws.elasticbeanstalk.update_environment();
        let call = call.environment_name(&self.environment.name).version_label(to.as_str());
        let answer =
            call.send().await.map_err(|error| updating(from_sdk(SERVICE, UPDATE, &error)))?;
        let id = answer.request_id().unwrap_or_default().to_owned();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let to = Some(to.clone());
        let update = KnownUpdate { to, is_started_here: true, ..KnownUpdate::default() };
        known.insert(id.clone(), update);
        Ok(id)
    }

    async fn cancel(&self, id: &str) -> Result<Cancellation, ProviderError> {
        let environment = self.describe().await?;
        match environment.status() {
            Some(EnvironmentStatus::Ready) => return Ok(Cancellation::NotNow),
            // It is cleaning up, and completes that.
            _ if environment.abortable_operation_in_progress() == Some(false) => {
                return Ok(Cancellation::NotNow);
            }
            _ => {}
        }
        // The call names no update: what is under way may be somebody else's, whose events do not show
        // yet.
        let events = self.events(None).await?;
        let own = of_id(&events, id);
        let is_over =
            tell_of_end(&own) || is_of_another(environment.version_label(), &own, &events, id);
        if newest_update(&events) != Some(id) || is_over {
            return Ok(Cancellation::NotNow);
        }
        let call = self.aws.elasticbeanstalk.abort_environment_update();
        let sent = call.environment_name(&self.environment.name).send().await;
        match sent.map_err(|error| from_sdk(SERVICE, ABORT, &error)) {
            Ok(_) => {
                self.note(id, |update| update.is_aborted = true);
                Ok(Cancellation::Accepted)
            }
            // It is over, aborted, or cleans up, since the look a moment ago.
            Err(error) if error.message.contains(NOTHING_TO_ABORT) => Ok(Cancellation::NotNow),
            Err(error) => Err(error),
        }
    }

    /// Of updates that have the old instances beside the new ones: aborted, these go back.
    async fn roll_back(&self, id: &str) -> Result<Cancellation, ProviderError> {
        self.cancel(id).await
    }
}

impl EnvironmentFleet {
    /// Notes which version the update of this id deploys, what was completed before, and what it takes back,
    /// as far as `found`, its
    /// `own` events and all `events` tell.
    fn note_versions(
        &self,
        id: &str,
        found: &FoundEnvironment,
        own: &[EventDescription],
        events: &[EventDescription],
    ) {
        self.note(id, |update| {
            // What it deploys stays what it was when that was seen first: its last events may have the
            // label of before. What an instance is being given is surer than the first events.
            let is_known = update.to.is_some();
            let now = on_an_instance(found, own).map(Revision::new);
            let told = || told_version(found, own).map(Revision::new);
            if !update.is_started_here && (now.is_some() || !is_known) {
                update.to = now.or_else(told);
            }
            update.completed_before =
                completed_before(events, id).or(update.completed_before.take());
            let takes_back = update.to.as_ref().and_then(|to| taken_back(events, id, to));
            update.takes_back = takes_back.or(update.takes_back.take());
        });
    }

    /// Returns the update of this id as `found` and its `own` events show it.
    fn shown(
        &self,
        id: &str,
        found: &FoundEnvironment,
        (own, is_newest): (&[EventDescription], bool),
        is_followed: bool,
    ) -> DelegatedRollout {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let update = known.entry(id.to_owned()).or_default();
        // Whoever wants the same version, or is taken back, waits for what the instances run since it has
        // ended.
        let label = self.environment.version_label.as_deref();
        let back = update.takes_back.as_ref().map(|it| &it.to);
        let is_wanted = update.to.iter().chain(back).any(|it| Some(it.as_str()) == label);
        let is_followed = is_followed || (is_wanted && is_health_old(found, own));
        let context = UpdateContext { is_followed, is_newest };
        let shown = super::verdict::update(id, update.to.clone(), found, own, context);
        update.is_aborted |= shown.state == DelegatedRolloutState::Cancelling;
        let KnownUpdate { completed_before, takes_back, .. } = update.clone();
        DelegatedRollout { completed_before, takes_back, ..shown }
    }

    /// Remembers something of the update of this id.
    fn note(&self, id: &str, change: impl FnOnce(&mut KnownUpdate)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(known.entry(id.to_owned()).or_default());
    }

    /// Whether somebody has aborted the update of this id, which is over. An abort may begin and end
    /// between two looks, and its events may have an id of their own.
    fn is_aborted(&self, id: &str, own: &[EventDescription], events: &[EventDescription]) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = known.get(id).is_some_and(|update| update.is_aborted);
        let began = own.iter().filter_map(|event| event.event_date()).min();
        let is_since = |event: &&EventDescription| began.is_some() && event.event_date() >= began;
        let mut since = events.iter().filter(is_since);
        is_known || tell_of_abort(own) || since.any(|event| tell_of_abort(slice::from_ref(event)))
    }

    /// Returns the events of the update of this id, or the newest ones; the newest first.
    async fn events(&self, id: Option<&str>) -> Result<Vec<EventDescription>, ProviderError> {
        let (mut events, mut token) = (Vec::new(), None);
        loop {
            let call = self.aws.elasticbeanstalk.describe_events();
            let call = call
                .environment_name(&self.environment.name)
                .set_request_id(id.map(str::to_owned))
                .max_records(NEWEST)
                .set_next_token(token);
            let answer = call.send().await.map_err(|error| from_sdk(SERVICE, EVENTS, &error))?;
            events.extend_from_slice(answer.events());
            token = answer.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if token.is_none() || id.is_none() {
                return Ok(events);
            }
        }
    }

    /// Whether options of the environment are being changed.
    async fn has_pending_options(
        &self,
        environment: &EnvironmentDescription,
    ) -> Result<bool, ProviderError> {
        let settings = self.settings(environment).await?;
        Ok(settings.iter().any(is_pending))
    }

    fn busy(&self, environment: &EnvironmentDescription) -> ProviderError {
        let status = environment.status().map_or("busy", |status| status.as_str());
        let name = &self.environment.name;
        let message = format!("environment {name:?} is {status}, by somebody else");
        let at = "elastic_beanstalk_environment/name";
        let error = ProviderError::invalid(UPDATE, at, message).as_conflict();
        let is_going = matches!(
            environment.status(),
            Some(EnvironmentStatus::Terminating | EnvironmentStatus::Terminated)
        );
        error.with_remedy(if is_going { ANOTHER } else { "wait until it is Ready, and then apply" })
    }
}

/// Returns the id of the newest update. The event of an abort may have an id of its own.
fn newest_update(events: &[EventDescription]) -> Option<&str> {
    let mut updates = events.iter().filter(|event| !tell_of_abort(slice::from_ref(event)));
    updates.find_map(EventDescription::request_id)
}

/// Returns those of `events` that are of the update of `id`.
fn of_id(events: &[EventDescription], id: &str) -> Vec<EventDescription> {
    events.iter().filter(|event| event.request_id() == Some(id)).cloned().collect()
}

/// Returns the update that `environment` is under, and of which no event shows yet.
fn not_shown_yet(environment: &EnvironmentDescription) -> DelegatedRollout {
    let id = "(its events do not show yet)".to_owned();
    let state = DelegatedRolloutState::Rolling;
    let status = environment.status().map_or("busy", |status| status.as_str()).to_owned();
    let started = DelegatedRollout::started(KIND, id, Revision::new(""));
    DelegatedRollout { state, status, to: None, ..started }
}

/// Whether the update that `events` are of was completed so long ago that it is not what is under way.
fn is_long_completed(found: &FoundEnvironment, events: &[EventDescription]) -> bool {
    let completions = events.iter().filter(|event| is_completion(event));
    let completed = completions.filter_map(|event| timestamp(event.event_date())).max();
    let since = found.refreshed_at.zip(completed).map(|(health, at)| health.since(at));
    since.is_some_and(|since| since > READY_WITHIN)
}

/// Whether the instances were asked since the update has begun that `events` are of. What they were given
/// before says nothing of it.
fn is_health_of(found: &FoundEnvironment, events: &[EventDescription]) -> bool {
    let began = events.iter().filter_map(|event| timestamp(event.event_date())).min();
    began.is_none_or(|began| found.refreshed_at.is_some_and(|health| health > began))
}

/// Returns the version that an instance is being given by the update that `events` are of.
fn on_an_instance<'a>(found: &'a FoundEnvironment, events: &[EventDescription]) -> Option<&'a str> {
    let mut deploying = found.instances.iter().filter(|it| is_deploying(it));
    let label = deploying.find_map(|it| it.deployment()?.version_label());
    label.filter(|_| is_health_of(found, events))
}

/// Returns the version that an update deploys by its own `events`, or by its environment; `None` where
/// nothing tells it yet. The environment may have its label from the beginning or at the end only.
fn told_version<'a>(
    found: &'a FoundEnvironment,
    events: &'a [EventDescription],
) -> Option<&'a str> {
    let deployments = || found.instances.iter().filter_map(SingleInstanceHealth::deployment);
    let told = events.iter().find_map(|event| event.version_label());
    // Each deployment has a higher number than those before it.
    let newest = deployments().max_by_key(|deployment| deployment.deployment_id());
    let is_other = |label: &&str| deployments().any(|it| it.version_label() != Some(label));
    let newest = newest.and_then(Deployment::version_label).filter(is_other);
    let newest = newest.filter(|_| is_health_of(found, events));
    let is_over = found.environment.status() == Some(&EnvironmentStatus::Ready);
    // One that all instances have already may be that of before.
    let own = found.environment.version_label().filter(|label| is_over || is_other(label));
    told.or(newest).or(own)
}

fn environment_settings(
    settings: &DelegatedSettings,
) -> Result<&EnvironmentSettings, ProviderError> {
    match settings {
        DelegatedSettings::Environment(settings) => Ok(settings),
        DelegatedSettings::InstanceRefresh(_) => {
            let message = "these are no settings of an environment";
            Err(ProviderError::invalid(UPDATE, "", message))
        }
    }
}

/// An environment that is busy is a conflict, and not a mistake of the request.
fn updating(error: ProviderError) -> ProviderError {
    match error.message.contains(BUSY) {
        true => ProviderError { kind: ErrorKind::Conflict, ..error },
        false => error,
    }
}
