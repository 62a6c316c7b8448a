//! `PlanResourceChange`.

use rolling_provider::{ErrorKind, ProviderError, Revision};
use serde_json::{Value, json};

use super::super::convert;
use super::super::proto as p;
use super::super::schema::schemas;
use super::super::seen::Seen;
use super::super::value::Raw;
use super::given::{Config, Found, all, known, without_timeouts};
use super::{Configured, Provider, has_alias, template};
use crate::cli::text;
use crate::deployment::{self, Looked, lookable};
use crate::document::{self, Diagnostic, normalised};
use crate::engine::UnderWay;
use crate::state::{self, COMPUTED, FORCE_NEW};

impl Provider {
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
        let rollout = match deployment::prepare(&providers, &config.value, &self.looker(from)).await
        {
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
        let Some(UnderWay { id, to, status }) = rollout.under_way() else { return Vec::new() };
        let name = &rollout.target().name;
        let words = format!(
            "rollout {id} to {to} is {status} on {name}: to destroy this resource gives it up"
        );
        let remedy = "what is borrowed is put back, and the instances stay as they are then";
        let found = Diagnostic::warning("", words).with_remedy(remedy);
        all(&[found], &schemas().resource)
    }
}

/// What a plan may say is rolled out: what comes out the same whenever it is asked. `live` is what
/// it comes to now.
fn promise(
    config: &Value,
    prior: &Value,
    seen: Option<&Seen>,
    live: &Revision,
) -> Option<Revision> {
    let Some(wanted) = template(config) else {
        if !has_alias(config) {
            return Some(live.clone());
        }
        let of = |value: &Value| {
            let image = value["auto_scaling_group"]["image_id"].clone();
            normalised(&json!({ "image": image, "replacement": value["replacement"] }))
        };
        let seen = seen.filter(|_| of(config) == of(prior))?;
        // One that is still to be made gets a number only then.
        let is_made = !seen.wanted.as_str().contains("+ami-");
        return is_made.then(|| seen.wanted.clone());
    };
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

/// Whether what is missing now may be made by the same apply, before its turn comes.
fn may_come(error: &ProviderError) -> bool {
    let place = error.attribute.as_deref().unwrap_or_default();
    error.kind == ErrorKind::Missing
        || place.ends_with("/launch_template/name")
        || place.starts_with("auto_scaling_group/target_group_arns")
}
