//! `PlanResourceChange`.

use rolling_provider::{ErrorKind, ProviderError, Revision};
use serde_json::{Value, json};

use super::super::private_state::PrivateState;
use super::super::schema::schemas;
use super::super::value::Raw;
use super::super::{convert, proto as p};
use super::intent::{Intent, Rolls, of_creation};
use super::request::{Config, HostDiagnostics, all, known, ours, to_json, unreadable};
use super::{Configured, Provider};
use crate::deployment::resource_state;
use crate::deployment::{self, OpenError, config_to_look_with};
use crate::document::config::TimeText;
use crate::document::{self, Diagnostic};
use crate::engine::{Rollout, UnderWay};
use crate::providers::Providers;
use crate::record::lease::LEASE_DURATION;
use crate::report::text;

/// One change to plan.
struct Change {
    config: Config,
    prior_raw: Raw,
    /// Null to create.
    prior: Value,
    /// The paths whose change means another target.
    replaces: Vec<String>,
    /// What the last refresh saw, if this is an update.
    private_state: Option<PrivateState>,
}

impl Change {
    fn is_update(&self) -> bool {
        !self.prior.is_null() && self.replaces.is_empty()
    }
}

/// What a look at the target shows. None of it decides which values the plan makes known: it may
/// differ when the plan is applied.
enum TargetLook {
    /// The target exists; with what would keep an apply from beginning just now.
    Rollout(Box<Rollout>, Vec<Diagnostic>),
    /// There is nothing to look at, or not yet, for these reasons.
    Unseen(Vec<Diagnostic>),
}

impl Provider {
    /// Handles `PlanResourceChange`.
    pub(crate) async fn plan(&self, asked: p::PlanRequest) -> p::PlanResponse {
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
            Err(error) => return refuse(unreadable(error)),
        }
        let config = match Config::receive(asked.config.as_ref()) {
            Ok(config) => config,
            Err(found) => return refuse(found),
        };
        let (prior_raw, prior) = prior.unwrap_or((Raw::null(), Value::Null));
        let replaces = replaced_paths(&prior, &config);
        let private_state = PrivateState::read(&asked.prior_private);
        let private_state = private_state.filter(|_| !prior.is_null() && replaces.is_empty());
        let change = Change { config, prior_raw, prior, replaces, private_state };
        let live = match self.look_for(&change).await {
            Ok(live) => live,
            Err(found) => return refuse(all(&found, kind)),
        };
        let Settled { planned, private_state, diagnostics } = settle(&change, &live);
        let replaces = change.replaces.iter().map(|place| convert::path(place, kind)).collect();
        p::PlanResponse {
            planned_state: planned.send(),
            requires_replace: replaces,
            planned_private: private_state
                .map_or_else(|| asked.prior_private.clone(), |private_state| private_state.write()),
            diagnostics: all(&diagnostics, kind),
        }
    }

    /// Looks at the target, as far as the configuration is known.
    async fn look_for(&self, change: &Change) -> Result<TargetLook, Vec<Diagnostic>> {
        let Change { config, prior, .. } = change;
        if !config.unknown.is_empty() {
            let found = document::partial(&config.value, &config.unknown);
            if !found.is_empty() {
                return Err(found);
            }
        }
        let Some(Configured { providers, .. }) = self.configured() else {
            return Ok(TargetLook::Unseen(Vec::new()));
        };
        if !config.unknown.is_empty() {
            // Fails before the apply makes anything that would be rolled with other credentials
            // than these.
            let checked = providers.check(Some(&config.value)).await;
            checked.map_err(|error| OpenError::Provider(error).into_diagnostics())?;
            // The unknown attributes do not change who is at work on the target.
            let obstacles = match change.is_update() {
                true => self.at_work_on(&providers, prior).await,
                false => Vec::new(),
            };
            return Ok(TargetLook::Unseen(obstacles));
        }
        // What is known of one target says nothing about another.
        let from = if change.is_update() { prior } else { &Value::Null };
        let looked = deployment::look(&providers, &config.value, &self.looker(from)).await;
        match looked {
            Ok(rollout) => {
                let mut obstacles = at_work(&rollout);
                match rollout.may_begin().await {
                    Ok(()) => {}
                    Err(error) if error.kind == ErrorKind::Conflict => {
                        obstacles.push(as_warning(&error));
                    }
                    Err(error) if may_be_created_later(&error) => {
                        return Ok(TargetLook::Unseen(vec![as_warning(&error)]));
                    }
                    Err(error) => return Err(OpenError::Provider(error).into_diagnostics()),
                }
                Ok(TargetLook::Rollout(Box::new(rollout), obstacles))
            }
            Err(OpenError::Provider(error))
                if may_be_created_later(&error) || error.kind == ErrorKind::Conflict =>
            {
                Ok(TargetLook::Unseen(vec![as_warning(&error)]))
            }
            Err(looked) => Err(looked.into_diagnostics()),
        }
    }

    /// Returns who is at work on the target of a state. A failed look is reported elsewhere.
    async fn at_work_on(&self, providers: &Providers, prior: &Value) -> Vec<Diagnostic> {
        let config = config_to_look_with(&resource_state::config_of(&to_json(prior)));
        let looked = deployment::look(providers, &config, &self.looker(prior)).await;
        let Ok(rollout) = looked else { return Vec::new() };
        let conflict = rollout.conflict().await;
        at_work(&rollout).into_iter().chain(conflict.as_ref().map(as_warning)).collect()
    }

    /// Warns of what a destruction would do to a rollout in progress.
    async fn warn_of_the_end(&self, prior: Option<&(Raw, Value)>) -> HostDiagnostics {
        let (Some((_, prior)), Some(configured)) = (prior, self.configured()) else {
            return Vec::new();
        };
        let config = config_to_look_with(&resource_state::config_of(&to_json(prior)));
        let looked = deployment::look(&configured.providers, &config, &self.looker(prior)).await;
        // The destruction itself reports a failed look.
        let Ok(rollout) = looked else { return Vec::new() };
        let Some(UnderWay { id, to, status }) = rollout.under_way() else { return Vec::new() };
        let name = &rollout.target().name;
        let message = format!(
            "rollout {id} to {to} is {status} on {name}; destroying this resource aborts it"
        );
        let remedy = "what is borrowed is restored, and the instances stay as they are then";
        let found = Diagnostic::warning("", message).with_remedy(remedy);
        all(&[found], &schemas().resource)
    }
}

/// The result of planning.
struct Settled {
    /// The planned state.
    planned: Raw,
    /// What the refresh after the apply will see, if that is known.
    private_state: Option<PrivateState>,
    diagnostics: Vec<Diagnostic>,
}

fn settle(change: &Change, live: &TargetLook) -> Settled {
    let Change { config, prior_raw, prior, private_state, .. } = change;
    let attributes = schemas().resource.attributes();
    let (rollout, obstacles) = match live {
        TargetLook::Rollout(rollout, obstacles) => (Some(rollout), obstacles.clone()),
        TargetLook::Unseen(obstacles) => (None, obstacles.clone()),
    };
    let preview = rollout.map(|rollout| rollout.preview());
    let name = match rollout {
        Some(rollout) => rollout.target().name.clone(),
        None => resource_state::target_name(&config.value),
    };
    let wanted = rollout.map(|rollout| rollout.wanted());
    let intent = Intent::of(config, prior, private_state.as_ref(), wanted);
    let is_update = change.is_update();
    if is_update && matches!(intent.rolls, Rolls::Nothing) {
        let planned = config.raw.with_those_of(prior_raw, &ours());
        let planned = planned.with(&succeeded(prior, intent.wanted.as_ref()), attributes);
        let diagnostics = match planned == *prior_raw {
            true => Vec::new(),
            false => vec![intent.diagnostic(&name, preview.as_ref())],
        };
        let of = |(private_state, wanted): (&PrivateState, &Revision)| {
            let restart = config.value["restart"].as_str().and_then(TimeText::parse);
            private_state.of_nothing_to_do(wanted, restart)
        };
        let private_state = private_state.as_ref().zip(intent.wanted.as_ref()).map(of);
        return Settled { planned, private_state, diagnostics };
    }
    let figures = match &intent.rolls {
        Rolls::Fleet(preview) => Some(resource_state::figures(preview).collect::<Vec<_>>()),
        _ => None,
    };
    let value = |attribute: &'static str| {
        let figure = figures.iter().flatten().find(|(known, _)| *known == attribute);
        let known = match attribute {
            // A target that the same apply makes anew has another id.
            "id" => is_update.then(|| prior["id"].clone()),
            "target_revision" => intent.wanted.as_ref().map(|wanted| json!(wanted)),
            _ => figure.map(|(_, value)| value.clone()),
        };
        (attribute, known)
    };
    let mut diagnostics = obstacles;
    let paused = rollout.filter(|rollout| rollout.waits_for_operator());
    let of_fleet = match (&preview, paused) {
        (_, Some(rollout)) => Some(paused_message(rollout)),
        (Some(preview), _) if !is_update => Some(of_creation(&name, preview)),
        (_, None) if is_update || !config.unknown.is_empty() => {
            Some(intent.diagnostic(&name, preview.as_ref()))
        }
        _ => None,
    };
    diagnostics.splice(0..0, of_fleet);
    let planned = config.raw.with(&ours().map(value), attributes);
    Settled { planned, private_state: None, diagnostics }
}

/// Returns the attributes of a state whose fleet runs the wanted revision. It leaves out what
/// `prior` says already, so that those attributes stay the same to the byte.
fn succeeded(prior: &Value, wanted: Option<&Revision>) -> Vec<(&'static str, Option<Value>)> {
    let after = [
        ("status", json!("succeeded")),
        ("target_revision", json!(wanted)),
        ("completed_revision", json!(wanted)),
        ("previous_revision", resource_state::previous_after(prior, &json!(wanted))),
        ("last_error", Value::Null),
    ];
    let differs = after.into_iter().filter(|(name, value)| prior[*name] != *value);
    differs.map(|(name, value)| (name, Some(value))).collect()
}

/// Warns of what is at work on a target and keeps an apply from beginning.
fn at_work(rollout: &Rollout) -> Vec<Diagnostic> {
    let name = &rollout.target().name;
    if let Some(message) = rollout.foreign_rollout() {
        let remedy = "an apply is refused until it ends";
        return vec![Diagnostic::warning("", message).with_remedy(remedy)];
    }
    if rollout.lease().is_none() {
        return Vec::new();
    }
    let what = match rollout.under_way() {
        Some(UnderWay { id, to, status }) => format!("rollout {id} to {to} is {status}"),
        None => "a rollout is about to begin".to_owned(),
    };
    let message = format!("{what} on {name}; at work: {}", text::at_work(rollout));
    let remedy = format!(
        "an apply waits for a sign of life, for {} at most, and is refused while there is one",
        text::span(LEASE_DURATION)
    );
    vec![Diagnostic::warning("", message).with_remedy(remedy)]
}

/// Warns that a plan rolls nothing, since the operator has to decide first.
fn paused_message(rollout: &Rollout) -> Diagnostic {
    let record = rollout.record();
    let why = record.and_then(|record| record.reason.as_deref()).unwrap_or("paused");
    let id = record.map_or("", |record| record.id.as_str());
    let message = format!("this plan rolls nothing: rollout {id} is paused ({why})");
    let remedy = "an apply fails and leaves it paused; `rolling resume` continues it, `rolling \
                  rollback` rolls it back, `rolling abort` ends it";
    Diagnostic::warning("", message).with_remedy(remedy)
}

/// Returns a warning of what stands in the way of an apply now, and may be gone by then.
fn as_warning(error: &ProviderError) -> Diagnostic {
    let mut found = Diagnostic::from_provider(error, "", "");
    found.severity = document::Severity::Warning;
    let unless = match may_be_created_later(error) {
        true => "the apply fails unless it creates this first",
        false => "an apply is refused until this changes",
    };
    found.remedy = Some(match found.remedy {
        Some(remedy) => format!("{unless}; {remedy}"),
        None => unless.to_owned(),
    });
    found
}

/// Returns the paths whose change means another target, which no rollout can lead to. An unknown
/// value counts as changed.
fn replaced_paths(prior: &Value, config: &Config) -> Vec<String> {
    if prior.is_null() {
        return Vec::new();
    }
    let is_unknown = |path: &str| {
        config.unknown.iter().any(|place| {
            path.strip_prefix(place.as_str())
                .is_some_and(|remaining| remaining.is_empty() || remaining.starts_with('/'))
        })
    };
    let name = |of: &Value, path: &str| of.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let differs = |path: &&str| is_unknown(path) || name(prior, path) != name(&config.value, path);
    crate::document::target_names().filter(differs).map(str::to_owned).collect()
}

/// Whether the same apply may make what is missing now, before it reaches this resource.
fn may_be_created_later(error: &ProviderError) -> bool {
    let place = error.attribute.as_deref().unwrap_or_default();
    error.kind == ErrorKind::Missing
        || place.ends_with("/launch_template/name")
        || place.starts_with("auto_scaling_group/target_group_arns")
}
