//! One setting of the input: its name, its value and its place.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::draft::Draft;
use crate::document::{shortened, step};

/// A setting that is given.
#[derive(Clone, Debug)]
pub(super) struct Setting<'v> {
    /// Its name, for people.
    pub(super) name: String,
    /// Its value, never null.
    pub(super) value: &'v Value,
    /// Its place, as a JSON Pointer.
    pub(super) place: String,
}

/// Returns the ways to write a name of AWS: `BakeTime` as its API has it, `bakeTime` and `bake_time`.
pub(super) fn spellings(name: &str) -> [String; 3] {
    let lower = |text: &str| {
        let (first, others) = text.split_at(text.len().min(1));
        first.to_lowercase() + others
    };
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    [name.to_owned(), lower(name), snake]
}

/// Returns the member `name` of an object at `place`, however it is spelt. Null and empty text are as
/// good as nothing.
pub(super) fn field<'v>(object: &'v Value, place: &str, name: &str) -> Option<Setting<'v>> {
    let is_given = |value: &&Value| !value.is_null() && value.as_str() != Some("");
    spellings(name).into_iter().find_map(|name| {
        let value = object.get(&name).filter(is_given)?;
        let place = format!("{place}/{}", step(&name));
        Some(Setting { name, value, place })
    })
}

/// Returns the block in `value`: it, or the only item of a list, as Terraform's JSON has both.
pub(super) fn block<'v>(value: &'v Value, place: &str) -> (&'v Value, String) {
    match value {
        Value::Array(items) if items.len() == 1 => (&items[0], format!("{place}/0")),
        other => (other, place.to_owned()),
    }
}

impl<'v> Setting<'v> {
    /// Returns the member `name` of this one, which is an object or a block.
    pub(super) fn field(&self, name: &str) -> Option<Setting<'v>> {
        let (value, place) = block(self.value, &self.place);
        field(value, &place, name)
    }

    /// Returns its value as text, also that of a number or a boolean.
    pub(super) fn text(&self) -> Option<String> {
        match self.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(self.value.to_string()),
            _ => None,
        }
    }

    /// Whether its value is known only to the tool that evaluates it.
    pub(super) fn is_expression(&self) -> bool {
        let intrinsic = |object: &serde_json::Map<String, Value>| {
            object.keys().any(|key| key == "Ref" || key.starts_with("Fn::"))
        };
        let is_template = |text: &str| ["${", "%{", "{{"].iter().any(|mark| text.contains(mark));
        self.value.as_str().is_some_and(is_template)
            || self.value.as_object().is_some_and(intrinsic)
    }

    /// Returns its value as a whole number within `range`.
    pub(super) fn integer(&self, range: RangeInclusive<u64>, draft: &mut Draft) -> Option<u64> {
        let number = self.text().and_then(|text| text.trim().parse::<u64>().ok());
        let number = number.or_else(|| {
            let whole = self.value.as_f64().filter(|it| it.fract() == 0.0);
            // In that range the conversion is exact.
            whole.filter(|it| (0.0..1e15).contains(it)).map(|it| it as u64)
        });
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(number);
        }
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let remedy = match self.value.as_str().and_then(|text| text.strip_suffix('%')) {
            Some(number) => format!("write {number:?}, without %"),
            // A percentage at an end of its range is rarely what is meant.
            None if *range.end() == 100 => "write for instance 50".to_owned(),
            None => format!("write for instance {}", range.start().max(&1)),
        };
        self.refuse(&wanted, &remedy, draft);
        None
    }

    /// Returns its value as a boolean.
    pub(super) fn boolean(&self, draft: &mut Draft) -> Option<bool> {
        self.choice(&[("true", true), ("false", false)], draft)
    }

    /// Returns what its value stands for, one of `choices`.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)], draft: &mut Draft) -> Option<T> {
        let text = self.text().unwrap_or_default();
        let is_it = |(name, _): &&(&str, T)| text.eq_ignore_ascii_case(name);
        if let Some((_, chosen)) = choices.iter().find(is_it) {
            return Some(*chosen);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let wanted = match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        };
        let example = names.first().copied().unwrap_or_default();
        self.refuse(&wanted, &format!("write for instance {example}"), draft);
        None
    }

    /// Refuses its value, which is not `wanted`.
    pub(super) fn refuse(&self, wanted: &str, remedy: &str, draft: &mut Draft) {
        let shown = shortened(self.value.to_string());
        let summary = format!("{} must be {wanted}, is {shown}", self.name);
        let remedy = match self.is_expression() {
            true => "write the value itself: only the tool that evaluates this expression knows it",
            false => remedy,
        };
        draft.refuse(&self.place, summary, remedy);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<T>(value: &Value, read: impl Fn(&Setting<'_>, &mut Draft) -> T) -> (T, Vec<String>) {
        let mut draft = Draft::new(&[]);
        let setting = Setting { name: "BatchSize".into(), value, place: "/0/Value".into() };
        let result = read(&setting, &mut draft);
        (result, draft.errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_name_is_known_in_each_spelling() {
        assert_eq!(spellings("BakeTime"), ["BakeTime", "bakeTime", "bake_time"]);
        let object = json!({ "bake_time": 5, "AutoRollback": "", "SkipMatching": null });
        let found = field(&object, "/x", "BakeTime").expect("a member");
        assert_eq!((found.name.as_str(), found.place.as_str()), ("bake_time", "/x/bake_time"));
        assert!(field(&object, "", "AutoRollback").is_none());
        assert!(field(&object, "", "SkipMatching").is_none());
    }

    #[test]
    fn a_number_may_be_text_and_is_within_its_range() {
        let number = |value| read(&value, |setting, draft| setting.integer(1..=100, draft));
        for value in [json!(30), json!("30"), json!(30.0), json!(" 30 ")] {
            assert_eq!(number(value).0, Some(30));
        }
        for value in [json!(0), json!("0"), json!(101), json!("-1"), json!("x"), json!(1.5)] {
            let (found, errors) = number(value.clone());
            let message = format!(
                "error at /0/Value: BatchSize must be a whole number from 1 to 100, is {value}"
            );
            assert!(found.is_none() && errors[0].starts_with(&message), "{errors:?}");
        }
        assert!(number(json!("30%")).1[0].ends_with("help: write \"30\", without %"));
        let told = "only the tool that evaluates this expression knows it";
        for value in [json!({ "Ref": "Size" }), json!("${var.size}"), json!("{{ .size }}")] {
            assert!(number(value).1[0].ends_with(told));
        }
    }

    #[test]
    fn a_choice_is_one_of_its_names() {
        let choices = [("Fixed", 1), ("Percentage", 2)];
        let choice = |value| read(&value, |setting, draft| setting.choice(&choices, draft));
        assert_eq!(choice(json!("Percentage")).0, Some(2));
        let (found, errors) = choice(json!("Percent"));
        assert!(
            found.is_none() && errors[0].contains("must be Fixed or Percentage, is \"Percent\"")
        );
        let boolean = |value| read(&value, |setting, draft| setting.boolean(draft)).0;
        assert_eq!([boolean(json!("True")), boolean(json!(false))], [Some(true), Some(false)]);
        assert_eq!(boolean(json!(1)), None);
    }
}
