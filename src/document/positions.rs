//! Where keys and values stand in a JSON text, and which keys an object has twice.

use std::collections::BTreeMap;
use std::fmt;

use super::diagnostic::step;

/// A place in a text: line and column, in characters, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A key that an object has twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Duplicate {
    /// Its place, as a JSON Pointer.
    pub(crate) pointer: String,
    /// The key.
    pub(crate) key: String,
    /// Where it stands first.
    pub(crate) first: Position,
    /// Where it stands again.
    pub(crate) second: Position,
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Duplicate { key, first, second, .. } = self;
        write!(f, "the key {key:?} is there twice: at {first} and at {second}")
    }
}

/// How deep JSON may be nested: `serde_json` reads no deeper. A pointer is as long as it is deep.
const DEEPEST: usize = 128;

/// The position of every key and of every item of a list, by its JSON Pointer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Positions(BTreeMap<String, Position>);

impl Positions {
    /// Reads `text`. What is no JSON has positions as far as it was understood.
    pub(crate) fn of(text: &str) -> Positions {
        let mut found = BTreeMap::new();
        scan(text, &mut |stack, here| {
            if stack.len() <= DEEPEST {
                found.insert(pointer(stack), here);
            }
        });
        Positions(found)
    }

    /// Returns where the value at `pointer` is written, or what is nearest around it, as for an
    /// attribute that is missing. The only block of a list may be named without the list.
    pub(crate) fn nearest(&self, pointer: &str) -> Option<Position> {
        let mut at = String::new();
        let mut found = None;
        for step in pointer.split('/').skip(1) {
            let written = [format!("{at}/{step}"), format!("{at}/0/{step}")];
            let Some(next) = written.into_iter().find(|place| self.0.contains_key(place)) else {
                break;
            };
            found = self.0.get(&next).copied();
            at = next;
        }
        found
    }
}

/// Returns every key that an object of `text` has twice. `text` is known to be JSON.
pub(crate) fn duplicates(text: &str) -> Vec<Duplicate> {
    scan(text, &mut |_, _| {})
}

/// What the scanner is in.
enum Inside {
    Object { keys: BTreeMap<String, Position>, key: String, before_value: bool },
    Array { index: usize, before_item: bool },
}

/// Reads `text`, calls `note` at each key and at each item of a list, and returns the keys that an
/// object has twice.
fn scan(text: &str, note: &mut dyn FnMut(&[Inside], Position)) -> Vec<Duplicate> {
    let mut found = Vec::new();
    let mut stack: Vec<Inside> = Vec::new();
    let mut at = Position { line: 1, column: 1 };
    let mut characters = text.char_indices();
    while let Some((start, character)) = characters.next() {
        let here = at;
        advance(&mut at, character);
        if begins_item(&mut stack, character) {
            note(&stack, here);
        }
        match character {
            '{' => stack.push(Inside::Object {
                keys: BTreeMap::new(),
                key: String::new(),
                before_value: false,
            }),
            '[' => stack.push(Inside::Array { index: 0, before_item: true }),
            '}' | ']' => {
                stack.pop();
            }
            ':' => value_follows(&mut stack, true),
            ',' => value_follows(&mut stack, false),
            '"' => {
                let mut escaped = false;
                let mut end = start + 1;
                for (index, inner) in characters.by_ref() {
                    advance(&mut at, inner);
                    end = index + inner.len_utf8();
                    match inner {
                        '"' if !escaped => break,
                        '\\' => escaped = !escaped,
                        _ => escaped = false,
                    }
                }
                if is_before_key(&stack) {
                    let key = serde_json::from_str(&text[start..end]).unwrap_or_default();
                    found.extend(note_key(&mut stack, key, here));
                    note(&stack, here);
                }
            }
            _ => {}
        }
    }
    found
}

fn advance(at: &mut Position, character: char) {
    match character {
        '\n' => *at = Position { line: at.line + 1, column: 1 },
        _ => at.column += 1,
    }
}

/// Whether `character` is the first one of an item of a list.
fn begins_item(stack: &mut [Inside], character: char) -> bool {
    match stack.last_mut() {
        Some(Inside::Array { before_item, .. })
            if !character.is_whitespace() && !matches!(character, ',' | ']') =>
        {
            std::mem::replace(before_item, false)
        }
        _ => false,
    }
}

fn value_follows(stack: &mut [Inside], follows: bool) {
    match stack.last_mut() {
        Some(Inside::Object { before_value, .. }) => *before_value = follows,
        Some(Inside::Array { index, before_item }) if !follows => {
            *index += 1;
            *before_item = true;
        }
        _ => {}
    }
}

fn is_before_key(stack: &[Inside]) -> bool {
    matches!(stack.last(), Some(Inside::Object { before_value: false, .. }))
}

/// Notes a key. Returns it if it is there already.
fn note_key(stack: &mut [Inside], text: String, here: Position) -> Option<Duplicate> {
    let Some(Inside::Object { keys, key, .. }) = stack.last_mut() else { return None };
    key.clone_from(&text);
    let first = keys.get(&text).copied();
    keys.entry(text.clone()).or_insert(here);
    Some(Duplicate { pointer: pointer(stack), key: text, first: first?, second: here })
}

fn pointer(stack: &[Inside]) -> String {
    stack.iter().fold(String::new(), |pointer, inside| match inside {
        Inside::Object { key, .. } => format!("{pointer}/{}", step(key)),
        Inside::Array { index, .. } => format!("{pointer}/{index}"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn of_what_is_nested_deeper_than_json_is_read_no_position_is_kept() {
        let Positions(found) = Positions::of(&"[".repeat(DEEPEST * 100));
        assert!(found.len() <= DEEPEST, "{}", found.len());
    }

    #[test]
    fn a_key_that_is_there_twice_is_found_with_both_places() {
        let text =
            "{\n  \"a\": [{\"x\": \"a\\\"b\", \"x\\u0079\": 1,\n \"xy\": 2}],\n  \"a\": {}\n}";
        let found: Vec<String> =
            duplicates(text).iter().map(|found| format!("{} {found}", found.pointer)).collect();
        assert_eq!(
            found,
            [
                "/a/0/xy the key \"xy\" is there twice: at 2:23 and at 3:2",
                "/a the key \"a\" is there twice: at 2:3 and at 4:3",
            ]
        );
        let fine =
            "{\"a\": {\"a\": [\"a\", \"a\"], \"b\": \"a:{,\"}, \"b\": [{\"a\": 1}, {\"a\": 1}]}";
        assert_eq!(duplicates(fine), []);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let text = "[a-c\"\\\\/~:,{}\\[\\]\n\u{e4}]{0,3}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(|number| json!(number)),
            text.prop_map(|text| json!(text)),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map(text, inner, 0..4)
                    .prop_map(|object| Value::Object(object.into_iter().collect())),
            ]
        })
    }

    /// Returns the place of everything in `value`, and the text that is written there.
    fn written(value: &Value, at: &str, found: &mut Vec<(String, String)>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    let place = format!("{at}/{}", step(key));
                    found.push((place.clone(), json!(key).to_string()));
                    written(value, &place, found);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let place = format!("{at}/{index}");
                    let begin = item.to_string().chars().take(1).collect();
                    found.push((place.clone(), begin));
                    written(item, &place, found);
                }
            }
            _ => {}
        }
    }

    proptest! {
        /// However a document is written, each position is where its key or item is.
        #[test]
        fn every_position_is_where_the_key_or_the_item_is_written(value in any_value()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON")] {
                let mut expected = Vec::new();
                written(&value, "", &mut expected);
                let positions = Positions::of(&text);
                prop_assert_eq!(positions.0.len(), expected.len());
                for (place, begin) in expected {
                    let at = positions.nearest(&place).expect("a position");
                    let line = text.split('\n').nth(at.line - 1).expect("a line");
                    let found: String = line.chars().skip(at.column - 1).collect();
                    prop_assert!(found.starts_with(&begin), "{}: {} {}", place, found, begin);
                }
                prop_assert_eq!(duplicates(&text), []);
            }
        }

        /// A member that is written a second time is found, wherever its object stands.
        #[test]
        fn a_member_that_is_written_again_is_found(value in any_value(), nth in any::<usize>()) {
            let text = serde_json::to_string_pretty(&value).expect("JSON");
            let mut members = Vec::new();
            written(&value, "", &mut members);
            members.retain(|(_, begin)| begin.len() > 1);
            prop_assume!(!members.is_empty());
            let (place, key) = &members[nth % members.len()];
            let at = Positions::of(&text).nearest(place).expect("a position");
            let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
            lines.insert(at.line - 1, format!("{key}: [{{}}],"));
            let found = duplicates(&lines.join("\n"));
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(&found[0].pointer, place);
            prop_assert_eq!((found[0].first.line, found[0].second.line), (at.line, at.line + 1));
        }
    }
}
