//! One tag's value: `key=value` pairs separated by spaces.
//!
//! ELBv2 allows letters, digits, spaces and `_ . : / = + - @` in a tag, 255 characters at most.
//! `$` (of `$Latest`) is outside that alphabet and is written `@`. The format is versioned: `v=1`.
//! Unknown keys are ignored, so that a later minor version may add some.

use std::collections::BTreeMap;

use rolling_provider::Revision;

/// The longest value a tag may have.
const LONGEST: usize = 255;

/// The pairs of one tag.
pub struct Fields<'a> {
    tag: &'static str,
    pairs: BTreeMap<&'a str, &'a str>,
}

impl<'a> Fields<'a> {
    /// # Errors
    /// When the value is of another version.
    pub fn parse(tag: &'static str, value: &'a str) -> Result<Self, String> {
        let pairs = value.split(' ').filter_map(|pair| pair.split_once('=')).collect();
        let fields = Fields { tag, pairs };
        match fields.text("v")? {
            "1" => Ok(fields),
            other => Err(format!("tag {tag} is of version {other}, this program reads version 1")),
        }
    }

    pub fn optional(&self, key: &str) -> Option<&'a str> {
        self.pairs.get(key).copied()
    }

    pub fn text(&self, key: &str) -> Result<&'a str, String> {
        self.optional(key).ok_or_else(|| format!("tag {} has no {key}=", self.tag))
    }

    pub fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T, String> {
        let value = self.text(key)?;
        value.parse().map_err(|_| self.unreadable(key, value))
    }

    pub fn optional_number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, String> {
        let value = self.optional(key);
        value.map(|value| value.parse().map_err(|_| self.unreadable(key, value))).transpose()
    }

    pub fn unreadable(&self, key: &str, value: &str) -> String {
        format!("tag {} has an unreadable {key}={value}", self.tag)
    }
}

/// A value under construction.
pub struct Line(String);

impl Line {
    pub fn new() -> Self {
        Line("v=1".into())
    }

    pub fn with(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.0.push_str(&format!(" {key}={value}"));
        self
    }

    pub fn with_some(self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub fn with_flag(self, key: &str, set: bool) -> Self {
        self.with_some(key, set.then_some(1))
    }

    pub fn done(self) -> String {
        self.0
    }
}

pub fn encode(revision: &Revision) -> String {
    revision.as_str().replace('$', "@")
}

pub fn decode(revision: &str) -> Revision {
    Revision::new(revision.replace('@', "$"))
}

/// Returns free text without what a tag cannot hold.
pub fn tag_safe(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c);
    let allowed = text.chars().map(|c| match c {
        ',' | ';' | '(' | ')' | '[' | ']' | '"' | '\'' | '\n' => ' ',
        other if allowed(other) => other,
        _ => '.',
    });
    let text: String = allowed.collect();
    let mut message = String::new();
    for word in text.split_whitespace() {
        if message.len() + word.len() + 1 > LONGEST {
            break;
        }
        if !message.is_empty() {
            message.push(' ');
        }
        message.push_str(word);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_held_to_the_alphabet_and_length_of_tags() {
        assert_eq!(tag_safe("i-1 failed: codes [502], \"why\"?"), "i-1 failed: codes 502 why .");
        assert!(tag_safe(&"word ".repeat(100)).len() <= LONGEST);
    }
}
