//! The text of a document or a message: how it is encoded, and which keys it has twice.

use std::collections::BTreeMap;
use std::fmt;

use super::diagnostic::step;

/// A place in a text: line and column, in characters, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    line: usize,
    column: usize,
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

/// Returns the text in `bytes`: UTF-8, or UTF-16 with a byte order mark, as PowerShell writes it. A
/// byte order mark is no part of the text.
///
/// # Errors
/// Why it is no text, as a sentence.
pub(crate) fn decode(bytes: &[u8]) -> Result<String, &'static str> {
    let utf_16 = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> =
            bytes.chunks(2).map(|pair| read([pair[0], *pair.get(1).unwrap_or(&0)])).collect();
        String::from_utf16(&units).map_err(|_| "it begins as UTF-16 and is none")
    };
    match bytes {
        [0xff, 0xfe, text @ ..] => utf_16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => utf_16(text, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] => utf_8(text),
        text => utf_8(text),
    }
}

fn utf_8(bytes: &[u8]) -> Result<String, &'static str> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "it is neither UTF-8 nor UTF-16")
}

/// Says what a text that is no JSON looks like, if that is known.
pub(crate) fn looks_like(text: &str) -> Option<&'static str> {
    let line =
        text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let block = ["resource ", "provider ", "terraform ", "variable ", "locals ", "module "];
    if block.iter().any(|word| line.starts_with(word)) && line.ends_with('{') {
        return Some("HCL");
    }
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-./".contains(c))
    };
    let (name, value) = line.split_once(':').unwrap_or_default();
    (line == "---" || (is_name(name) && (value.is_empty() || value.starts_with(' '))))
        .then_some("YAML")
}

/// What the scanner is in.
enum Inside {
    Object { keys: BTreeMap<String, Position>, key: String, before_value: bool },
    Array { index: usize },
}

/// Returns every key that an object of `text` has twice. `text` is known to be JSON.
pub(crate) fn duplicates(text: &str) -> Vec<Duplicate> {
    let mut found = Vec::new();
    let mut stack: Vec<Inside> = Vec::new();
    let mut at = Position { line: 1, column: 1 };
    let mut characters = text.char_indices();
    while let Some((start, character)) = characters.next() {
        let here = at;
        advance(&mut at, character);
        match character {
            '{' => stack.push(Inside::Object {
                keys: BTreeMap::new(),
                key: String::new(),
                before_value: false,
            }),
            '[' => stack.push(Inside::Array { index: 0 }),
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
                    end = index + 1;
                    match inner {
                        '"' if !escaped => break,
                        '\\' => escaped = !escaped,
                        _ => escaped = false,
                    }
                }
                let text = serde_json::from_str(&text[start..end]).unwrap_or_default();
                found.extend(note_key(&mut stack, text, here));
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

fn value_follows(stack: &mut [Inside], follows: bool) {
    match stack.last_mut() {
        Some(Inside::Object { before_value, .. }) => *before_value = follows,
        Some(Inside::Array { index }) => *index += usize::from(!follows),
        None => {}
    }
}

/// Notes a text, where it is a key. Returns it if it is there already.
fn note_key(stack: &mut [Inside], text: String, here: Position) -> Option<Duplicate> {
    let Some(Inside::Object { keys, key, before_value: false }) = stack.last_mut() else {
        return None;
    };
    key.clone_from(&text);
    let first = keys.get(&text).copied();
    keys.entry(text.clone()).or_insert(here);
    let first = first?;
    let pointer = stack.iter().fold(String::new(), |pointer, inside| match inside {
        Inside::Object { key, .. } => format!("{pointer}/{}", step(key)),
        Inside::Array { index } => format!("{pointer}/{index}"),
    });
    Some(Duplicate { pointer, key: text, first, second: here })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_found_with_both_places() {
        let text =
            "{\n  \"a\": [{\"x\": \"a\\\"b\", \"x\\u0079\": 1,\n \"xy\": 2}],\n  \"a\": {}\n}";
        let told: Vec<String> =
            duplicates(text).iter().map(|found| format!("{} {found}", found.pointer)).collect();
        assert_eq!(
            told,
            [
                "/a/0/xy the key \"xy\" is there twice: at 2:23 and at 3:2",
                "/a the key \"a\" is there twice: at 2:3 and at 4:3",
            ]
        );
        let fine =
            "{\"a\": {\"a\": [\"a\", \"a\"], \"b\": \"a:{,\"}, \"b\": [{\"a\": 1}, {\"a\": 1}]}";
        assert_eq!(duplicates(fine), []);
    }

    #[test]
    fn a_text_is_read_as_it_is_written() {
        let utf_16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}{\"ä\": 1}".encode_utf16().flat_map(bytes).collect()
        };
        for bytes in [
            utf_16(u16::to_le_bytes),
            utf_16(u16::to_be_bytes),
            "\u{feff}{\"ä\": 1}".as_bytes().to_vec(),
            "{\"ä\": 1}".as_bytes().to_vec(),
        ] {
            assert_eq!(decode(&bytes).as_deref(), Ok("{\"ä\": 1}"));
        }
        assert!(decode(&[0xff, 0xfe, 0x00, 0xd8]).is_err() && decode(&[0x80]).is_err());
        assert_eq!(looks_like("# c\nresource \"rolling_deployment\" \"web\" {\n}"), Some("HCL"));
        assert_eq!(looks_like("---\nresource:\n"), Some("YAML"));
        assert_eq!(looks_like("resource:\n  a: 1\n"), Some("YAML"));
        assert_eq!(looks_like("{\"a\": 1,}"), None);
    }
}
