//! A deployment in the making: its attributes, and which setting each comes from.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::document::Diagnostic;

/// What was read of the settings of another tool.
#[derive(Debug)]
pub(super) struct Draft {
    /// The attributes of the deployment, without its target.
    pub(super) attributes: Value,
    /// The place in the input that each attribute comes from; both are JSON Pointers.
    origins: BTreeMap<String, String>,
    /// The kinds of targets that the settings are for, the first choice first.
    pub(super) kinds: &'static [&'static str],
    /// What the input says of the target's name: `name`, `namespace`.
    pub(super) names: Map<String, Value>,
    /// What the input says of the revision: `launch_template`, `images`, with its place.
    pub(super) revisions: BTreeMap<&'static str, (Value, String)>,
    /// One for each thing without an equivalent.
    pub(super) warnings: Vec<Diagnostic>,
    /// Values that cannot be converted.
    pub(super) errors: Vec<Diagnostic>,
}

impl Draft {
    /// Creates a draft for one of `kinds`.
    pub(super) fn new(kinds: &'static [&'static str]) -> Self {
        Self {
            attributes: json!({}),
            origins: BTreeMap::new(),
            kinds,
            names: Map::new(),
            revisions: BTreeMap::new(),
            warnings: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Sets the attribute at `pointer`, which comes from `origin` in the input.
    pub(super) fn set(&mut self, pointer: &str, value: impl Into<Value>, origin: &str) {
        let mut at = &mut self.attributes;
        for step in pointer.split('/').skip(1) {
            at = &mut at[step];
        }
        *at = value.into();
        self.origins.insert(pointer.to_owned(), origin.to_owned());
    }

    /// Says that what is at `pointer`, an item of a list for instance, comes from `origin`.
    pub(super) fn comes_from(&mut self, pointer: &str, origin: &str) {
        self.origins.insert(pointer.to_owned(), origin.to_owned());
    }

    /// Returns the place in the input that the attribute at `pointer` comes from: that of what is
    /// around it, or in it, where it has none itself.
    pub(super) fn origin(&self, pointer: &str) -> String {
        let is_below = |known: &str, place: &str| {
            place.strip_prefix(known).is_some_and(|more| more.is_empty() || more.starts_with('/'))
        };
        let around = self.origins.iter().filter(|(known, _)| is_below(known, pointer));
        let inside = self.origins.iter().find(|(known, _)| is_below(pointer, known));
        let found = around.max_by_key(|(known, _)| known.len()).or(inside);
        found.map(|(_, origin)| origin.clone()).unwrap_or_default()
    }

    /// Warns of something without an equivalent.
    pub(super) fn warn(&mut self, place: &str, summary: impl Into<String>, remedy: &str) {
        self.warnings.push(Diagnostic::warning(place, summary).with_remedy(remedy));
    }

    /// Refuses a value.
    pub(super) fn refuse(&mut self, place: &str, summary: impl Into<String>, remedy: &str) {
        self.errors.push(Diagnostic::error(place, summary).with_remedy(remedy));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_comes_from_the_nearest_known_place() {
        let mut draft = Draft::new(&[]);
        draft.set("/health/min_healthy_time", "10s", "/InstanceWarmup");
        draft.set("/checkpoints", json!([{}]), "/CheckpointPercentages");
        draft.comes_from("/checkpoints/0", "/CheckpointPercentages/0");
        assert_eq!(draft.attributes["health"]["min_healthy_time"], "10s");
        assert_eq!(draft.origin("/health"), "/InstanceWarmup");
        assert_eq!(draft.origin("/checkpoints/0/percentage"), "/CheckpointPercentages/0");
        assert_eq!(draft.origin("/checkpoints/1"), "/CheckpointPercentages");
        assert_eq!(draft.origin("/policy"), "");
    }
}
