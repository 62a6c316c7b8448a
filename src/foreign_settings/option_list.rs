//! Elastic Beanstalk's option settings as a list, in whichever form they are written.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::draft::Draft;
use super::known_shape::FoundSettings;
use super::setting::{Setting, field};
use crate::document::step;

/// The namespace of deployments.
pub(super) const COMMAND: &str = "aws:elasticbeanstalk:command";
/// The namespace of traffic splitting.
pub(super) const TRAFFIC: &str = "aws:elasticbeanstalk:trafficsplitting";
/// The namespace of health.
pub(super) const HEALTH: &str = "aws:elasticbeanstalk:healthreporting:system";
/// The namespace of updates that replace instances when the configuration changes.
pub(super) const UPDATES: &str = "aws:autoscaling:updatepolicy:rollingupdate";

/// The options that have a value.
#[derive(Debug)]
pub(super) struct OptionSettings<'v> {
    /// Each with its namespace; its name is the option's.
    all: Vec<(String, Setting<'v>)>,
    /// Those that were used, by namespace and name.
    used: RefCell<BTreeSet<(String, String)>>,
}

impl<'v> OptionSettings<'v> {
    /// Reads the options of `found`.
    pub(super) fn read(found: &FoundSettings<'v>) -> Self {
        let mut all = Vec::new();
        let (value, place) = (found.value, &found.place);
        match field(value, place, "OptionSettings") {
            Some(Setting { value: Value::Object(namespaces), place, .. }) => {
                for (namespace, options) in namespaces {
                    let place = format!("{place}/{}", step(namespace));
                    add_map(namespace, options, &place, &mut all);
                }
            }
            Some(list) => add_list(list.value, &list.place, &mut all),
            None => match value.get("setting") {
                Some(list) => add_list(list, &format!("{place}/setting"), &mut all),
                None => add_list(value, place, &mut all),
            },
        }
        Self { all, used: RefCell::default() }
    }

    /// Whether one of the options `names` is given.
    pub(super) fn has_any(&self, namespace: &str, names: &[&str]) -> bool {
        let mut all = self.all.iter();
        all.any(|(known, option)| known == namespace && names.contains(&option.name.as_str()))
    }

    /// Returns an option, which counts as used. One that is there twice with two values is refused.
    pub(super) fn get(
        &self,
        namespace: &str,
        name: &str,
        draft: &mut Draft,
    ) -> Option<Setting<'v>> {
        let is_it =
            |(known, option): &&(String, Setting<'v>)| known == namespace && option.name == name;
        let mut found = self.all.iter().filter(is_it).map(|(_, option)| option);
        let first = found.next()?;
        if let Some(other) = found.find(|other| other.value != first.value) {
            let summary = format!("{name} of {namespace} is given twice, first at {}", first.place);
            draft.refuse(&other.place, summary, "keep one of them");
        }
        self.used.borrow_mut().insert((namespace.to_owned(), name.to_owned()));
        Some(first.clone())
    }

    /// Returns how many options of each namespace were not used.
    pub(super) fn unused(&self) -> BTreeMap<&str, usize> {
        let used = self.used.borrow();
        let mut unused = BTreeMap::new();
        for (namespace, option) in &self.all {
            if !used.contains(&(namespace.clone(), option.name.clone())) {
                *unused.entry(namespace.as_str()).or_default() += 1;
            }
        }
        unused
    }
}

/// Adds the options of a namespace, by name.
fn add_map<'v>(
    namespace: &str,
    options: &'v Value,
    place: &str,
    all: &mut Vec<(String, Setting<'v>)>,
) {
    let options = options.as_object().into_iter().flatten();
    all.extend(options.filter(|(_, value)| !value.is_null()).map(|(name, value)| {
        let place = format!("{place}/{}", step(name));
        (namespace.to_owned(), Setting { name: name.clone(), value, place })
    }));
}

/// Adds the options of a list, or the only one.
fn add_list<'v>(value: &'v Value, place: &str, all: &mut Vec<(String, Setting<'v>)>) {
    let items: Vec<(&Value, String)> = match value {
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.map(|(index, item)| (item, format!("{place}/{index}"))).collect()
        }
        one => vec![(one, place.to_owned())],
    };
    for (item, place) in items {
        let text = |name| field(item, &place, name).and_then(|it| it.text());
        let name = text("OptionName").or_else(|| text("Name"));
        let value = field(item, &place, "Value");
        if let (Some(namespace), Some(name), Some(value)) = (text("Namespace"), name, value) {
            all.push((namespace, Setting { name, ..value }));
        }
    }
}
