//! One tag's value: `key=value` pairs separated by spaces.
//!
//! ELBv2 allows letters, digits, spaces and `_ . : / = + - @` in a tag, 255 characters at most.
//! Values are percent-encoded with `@` in place of `%`, which that alphabet lacks: `$Latest` is
//! `@24Latest`. The format is versioned: `v=2`. Unknown keys are ignored, so that a later minor
//! version may add some.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::record_error::RecordError;

/// The longest value a tag may have.
pub(super) const LONGEST: usize = 255;
const VERSION: &str = "2";

/// The pairs of one tag.
pub(crate) struct TagFields<'a> {
    tag: &'static str,
    pairs: BTreeMap<&'a str, Cow<'a, str>>,
}

impl<'a> TagFields<'a> {
    /// # Errors
    /// When the value is of another version, or of none.
    pub(crate) fn parse(tag: &'static str, value: &'a str) -> Result<Self, RecordError> {
        let pairs = value.split(' ').filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(key, value)| (key, decode(value))).collect();
        let fields = TagFields { tag, pairs };
        match fields.text("v")? {
            VERSION => Ok(fields),
            other => {
                Err(RecordError::OtherVersion { tag, found: other.to_owned(), known: VERSION })
            }
        }
    }

    pub(crate) fn optional(&self, key: &str) -> Option<&str> {
        self.pairs.get(key).map(Cow::as_ref)
    }

    /// # Errors
    /// When there is no such field.
    pub(crate) fn text(&self, key: &'static str) -> Result<&str, RecordError> {
        self.optional(key).ok_or(RecordError::MissingField { tag: self.tag, field: key })
    }

    /// # Errors
    /// When there is no such field, or it is no number.
    pub(crate) fn number<T: std::str::FromStr>(&self, key: &'static str) -> Result<T, RecordError> {
        let value = self.text(key)?;
        value.parse().map_err(|_| self.invalid(key, value))
    }

    /// # Errors
    /// When the field is no number.
    pub(crate) fn optional_number<T: std::str::FromStr>(
        &self,
        key: &'static str,
    ) -> Result<Option<T>, RecordError> {
        let value = self.optional(key);
        value.map(|value| value.parse().map_err(|_| self.invalid(key, value))).transpose()
    }

    /// Returns the error for a field whose value is not of the field's type.
    pub(crate) fn invalid(&self, key: &'static str, value: &str) -> RecordError {
        RecordError::InvalidField { tag: self.tag, field: key, value: value.to_owned() }
    }
}

/// A value under construction.
pub(crate) struct Line(String);

impl Line {
    pub(crate) fn new() -> Self {
        Line(format!("v={VERSION}"))
    }

    pub(crate) fn with(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.0.push_str(&format!(" {key}={}", encode(&value.to_string())));
        self
    }

    /// Adds a pair where the value then is at most `longest` long.
    pub(crate) fn with_room(
        &self,
        key: &str,
        value: impl std::fmt::Display,
        longest: usize,
    ) -> Option<Self> {
        let line = Line(self.0.clone()).with(key, value);
        (line.0.len() <= longest).then_some(line)
    }

    pub(crate) fn with_some(self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub(crate) fn with_flag(self, key: &str, set: bool) -> Self {
        self.with_some(key, set.then_some(1))
    }

    pub(crate) fn done(self) -> String {
        self.0
    }
}

/// Returns `text` in letters that a tag can hold and that do not separate pairs.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'.' | b':' | b'/' | b'+' | b'-' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("@{other:02X}")),
        }
    }
    encoded
}

/// Reverses [`encode`]. An `@` without two digits stands for itself.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut remaining = text.as_bytes();
    while let Some((first, after)) = remaining.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|_| *first == b'@') {
            Some(byte) => {
                bytes.push(byte);
                remaining = &after[2..];
            }
            None => {
                bytes.push(*first);
                remaining = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns free text in letters that a tag can hold, truncated to what fits; spaces are kept.
pub(crate) fn encode_text(text: &str) -> String {
    const CUT: &str = " ...";
    let mut message = String::new();
    for word in text.split_whitespace() {
        let word = encode_word(word);
        if message.len() + word.len() + 1 > LONGEST - CUT.len() {
            return message + CUT;
        }
        if !message.is_empty() {
            message.push(' ');
        }
        message.push_str(&word);
    }
    message
}

/// Encodes as little as possible of a word, so that people can read the tag.
fn encode_word(word: &str) -> String {
    word.split('=').map(encode).collect::<Vec<_>>().join("=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_comes_back_from_a_tag() {
        for value in ["lt-1:$Latest", "app@sha256:1f", "a b=c", "100 %", "\u{fc}ber", "@", "@4", ""]
        {
            let line = Line::new().with("key", value).with("after", 1).done();
            let allowed = |c: char| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c);
            assert!(line.chars().all(allowed), "{line}");
            let fields = TagFields::parse("rolling:test", &line).expect("fields");
            assert_eq!(fields.text("key"), Ok(value), "{line}");
            assert_eq!(fields.number("after"), Ok(1), "{line}");
        }
    }

    #[test]
    fn text_comes_back_from_a_tag_as_far_as_it_fits() {
        let text = "i-1 failed: codes [502], \"why\"; a=b (100 %)";
        let encoded = encode_text(text);
        let allowed = |c: char| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c);
        assert!(encoded.chars().all(allowed), "{encoded}");
        assert_eq!(decode(&encoded), text);
        let long = encode_text(&"word, ".repeat(100));
        assert!(long.len() <= LONGEST && decode(&long).ends_with("word, ..."), "{long}");
    }
}
