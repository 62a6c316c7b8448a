//! What an update does, judged by what the refresh before it saw of the fleet, and how a plan says
//! it.
//!
//! All of it is a function of the configuration, the state and what that refresh saw. These are the
//! same whenever Terraform plans the change: when it shows the plan, and before it applies it.

use std::time::Duration;

use rolling_provider::Revision;
use serde_json::{Value, json};

use super::super::convert;
use super::super::private_state::PrivateState;
use super::request::Config;
use super::{has_alias, template};
use crate::document::config::TARGET_KINDS;
use crate::document::{self, Diagnostic, normalised};
use crate::model::preview::Preview;
use crate::model::printable;
use crate::model::spec::RollingDeployment;
use crate::report::text;

/// The intent of an update.
#[derive(Debug)]
pub(crate) struct Intent {
    /// The revision that it is about, if the plan can promise it.
    pub(crate) wanted: Option<Revision>,
    /// What it does to the fleet.
    pub(crate) rolls: Rolls,
}

/// What an update does to the fleet.
#[derive(Debug)]
pub(crate) enum Rolls {
    /// Nothing: the fleet runs the wanted revision already.
    Nothing,
    /// This rollout.
    Fleet(Preview),
    /// This rollout, if the version changes, which is known only when the plan is applied.
    IfVersionChanges(Preview),
    /// Known only when the plan is applied, because of these attributes.
    NotKnown(Vec<String>),
}

impl Intent {
    /// Returns the intent of an update to `config`, of which all or only a part is known.
    ///
    /// `live` is the revision that all of it resolves to now.
    pub(crate) fn of(
        config: &Config,
        prior: &Value,
        private_state: Option<&PrivateState>,
        live: Option<&Revision>,
    ) -> Self {
        if !config.unknown.is_empty() {
            return Intent { wanted: None, rolls: in_part(config, prior, private_state) };
        }
        // There is nothing to look at, or no way to look.
        let Some(live) = live else {
            return Intent { wanted: None, rolls: Rolls::NotKnown(Vec::new()) };
        };
        let wanted = planned_revision(&config.value, prior, private_state, live);
        let (Some(private_state), Some(spec)) = (private_state, spec(&config.value)) else {
            return Intent { wanted, rolls: Rolls::NotKnown(Vec::new()) };
        };
        let Some(wanted) = wanted else {
            let preview = private_state.preview(&spec, &another_version());
            return Intent { wanted: None, rolls: Rolls::IfVersionChanges(preview) };
        };
        let preview = private_state.preview(&spec, &wanted);
        // For the same revision, what the refresh itself found says more than its figures do.
        let is_same = private_state.is_of(&wanted, spec.restart);
        let changes = if is_same { private_state.changes } else { preview.changes };
        let rolls = if changes { Rolls::Fleet(preview) } else { Rolls::Nothing };
        Intent { wanted: Some(wanted), rolls }
    }

    /// Describes the intent for a plan.
    ///
    /// `live` is the preview as of now, if that is known; `name` is the target's.
    pub(crate) fn diagnostic(&self, name: &str, live: Option<&Preview>) -> Diagnostic {
        let of = |preview: &Preview| rolls(name, preview);
        // The fleet may have changed since the refresh.
        let live = live.filter(|live| self.wanted.as_ref().is_none_or(|to| *to == live.to));
        let (message, preview) = match (&self.rolls, live) {
            (Rolls::Nothing, Some(live)) if live.changes => {
                let message = "this plan rolls nothing, and is refused when it is applied";
                (format!("{message}: {name} has changed since it was refreshed"), None)
            }
            (Rolls::Nothing, _) => ("this plan rolls nothing".to_owned(), None),
            (Rolls::Fleet(_) | Rolls::NotKnown(_), Some(live)) if live.changes => {
                (format!("this plan rolls {}", of(live)), Some(live))
            }
            (Rolls::Fleet(preview), _) => (format!("this plan rolls {}", of(preview)), None),
            (Rolls::IfVersionChanges(preview), _) => {
                (format!("if the version changes, this plan rolls {}", of(preview)), None)
            }
            (Rolls::NotKnown(attributes), _) if attributes.is_empty() => {
                ("what this plan rolls is known only when it is applied".to_owned(), None)
            }
            (Rolls::NotKnown(attributes), _) => {
                let which = attributes.join(", ");
                let is = if attributes.len() == 1 { "is" } else { "are" };
                (format!("what this plan rolls is known only when {which} {is}"), None)
            }
        };
        with_warnings(Diagnostic::warning("", message), preview)
    }
}

/// Describes, for a plan, a deployment that it creates on an existing fleet.
pub(crate) fn of_creation(name: &str, live: &Preview) -> Diagnostic {
    let message = match live.changes {
        true => format!("this plan rolls {}", rolls(name, live)),
        false => format!("this plan rolls nothing: {name} runs {} already", live.to),
    };
    with_warnings(Diagnostic::warning("", message), Some(live).filter(|live| live.changes))
}

/// Adds what a reader should know before going on.
fn with_warnings(finding: Diagnostic, preview: Option<&Preview>) -> Diagnostic {
    let warnings = preview.map(|preview| preview.warnings.as_slice()).unwrap_or_default();
    if warnings.is_empty() {
        return finding;
    }
    let sentences: Vec<String> =
        warnings.iter().map(|message| convert::sentence(message)).collect();
    finding.with_remedy(printable::join(&sentences))
}

/// Describes what a rollout does; the text follows "rolls".
fn rolls(name: &str, preview: &Preview) -> String {
    let Preview { size, policy, .. } = preview;
    let time = text::span(Duration::from_secs(preview.expected_seconds));
    let from = preview.from.as_ref().filter(|from| **from != preview.to);
    let to = match (from, &preview.to) {
        (_, to) if *to == another_version() => String::new(),
        (None, to) if preview.restart.is_some() => format!(" again on {to}"),
        (Some(from), to) => format!(" from {from} to {to}"),
        (None, to) => format!(" to {to}"),
    };
    if !preview.changes || preview.size == 0 {
        return format!("{name}{to}: no instance has to be replaced");
    }
    let size = *size as usize;
    let which = match preview.replaced() {
        Some(replaced) => format!("{replaced} of {} of {name}", text::counted(size, "instance")),
        None => format!("{name}, {}", text::counted(size, "instance")),
    };
    format!(
        "{which}{to} ({policy}): {}, {}, about {time}",
        text::pace(preview),
        text::capacity(preview)
    )
}

/// Returns a placeholder for a revision that no instance runs yet.
fn another_version() -> Revision {
    Revision::new("(known after apply)")
}

fn spec(config: &Value) -> Option<RollingDeployment> {
    document::deployment(config, "").ok().map(|(_, spec)| spec)
}

/// Returns what a partly known configuration does to the fleet.
///
/// If only the revision is unknown, its attributes count as they were before.
fn in_part(config: &Config, prior: &Value, private_state: Option<&PrivateState>) -> Rolls {
    let (versions, others): (Vec<&String>, Vec<&String>) =
        config.unknown.iter().partition(|place| is_of_revision(place));
    let attribute = |place: &&String| place.trim_start_matches('/').replace('/', ".");
    if !others.is_empty() {
        return Rolls::NotKnown(others.iter().map(attribute).collect());
    }
    let mut filled = config.value.clone();
    for place in &versions {
        let before = prior.pointer(place).filter(|before| !before.is_null());
        // Any text will do: the preview does not ask which revision it names.
        put(&mut filled, place, before.cloned().unwrap_or_else(|| json!("1")));
    }
    match (private_state, spec(&normalised(&filled))) {
        (Some(private_state), Some(spec)) => {
            Rolls::IfVersionChanges(private_state.preview(&spec, &another_version()))
        }
        _ => Rolls::NotKnown(versions.iter().map(attribute).collect()),
    }
}

/// Whether the attribute at `place` says which revision is wanted, and nothing else.
fn is_of_revision(place: &str) -> bool {
    let mut places = TARGET_KINDS.iter().flat_map(|kind| kind.revision).chain(&["/replacement"]);
    places.any(|of| {
        place
            .strip_prefix(of)
            .is_some_and(|remaining| remaining.is_empty() || remaining.starts_with('/'))
    })
}

fn put(config: &mut Value, place: &str, value: Value) {
    let (parent, name) = place.rsplit_once('/').unwrap_or_default();
    if let Some(Value::Object(object)) = config.pointer_mut(parent) {
        object.insert(name.into(), value);
    }
}

/// Returns the revision that a plan may promise: one that is the same whenever Terraform plans.
/// `live` is the revision that the configuration resolves to now.
fn planned_revision(
    config: &Value,
    prior: &Value,
    private_state: Option<&PrivateState>,
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
        let private_state = private_state.filter(|_| of(config) == of(prior))?;
        // A template version that does not exist yet gets its number only when it is made.
        let is_made = !private_state.wanted.as_str().contains("+ami-");
        return is_made.then(|| private_state.wanted.clone());
    };
    let has_id = wanted["id"].is_string();
    if has_id && !has_alias(config) {
        return Some(live.clone());
    }
    // A name, or the latest version, may stand for something else when the plan is applied.
    let (private_state, before) = (private_state?, template(prior)?);
    if wanted == before {
        return Some(private_state.wanted.clone());
    }
    let is_same_template = wanted["name"] == before["name"] && wanted["id"] == before["id"];
    let (id, _) = private_state.wanted.as_str().rsplit_once(':')?;
    let version = wanted["version"].as_str()?;
    (is_same_template && !has_alias(config)).then(|| Revision::new(format!("{id}:{version}")))
}
