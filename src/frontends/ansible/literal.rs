//! Parses lists and dictionaries that arrive as text: JSON, or what Python prints for them.
//!
//! A template inside other text leaves what Python prints.

use std::fmt;

use serde_json::{Map, Value};

use crate::document::duplicates;

/// How deeply lists and dictionaries may nest.
const DEPTH: usize = 32;

/// What is wrong with text as a Python literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LiteralError {
    /// Lists and dictionaries nest too deeply.
    TooDeep,
    /// Text has no closing quote of this kind.
    Unclosed(char),
    /// A backslash stands before a character that it has no meaning for.
    InvalidEscape,
    /// No character has this code.
    NoCharacter(String),
    /// A dictionary has this name twice: it is not certain which one is meant.
    Twice(String),
    /// Something else stands where this is expected.
    Unexpected {
        /// What is expected.
        wanted: &'static str,
        /// The first characters of what stands there.
        found: String,
    },
    /// The text ends where this is expected.
    EndsBefore(&'static str),
}

impl fmt::Display for LiteralError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LiteralError::TooDeep => f.write_str("it is nested too deeply"),
            LiteralError::Unclosed(quote) => write!(f, "a closing {quote} is missing"),
            LiteralError::InvalidEscape => f.write_str("invalid escape sequence after a backslash"),
            LiteralError::NoCharacter(code) => write!(f, "{code:?} is not the code of a character"),
            LiteralError::Twice(name) => write!(f, "{name:?} is there twice"),
            LiteralError::Unexpected { wanted, found } => {
                write!(f, "{wanted} is expected at {found:?}")
            }
            LiteralError::EndsBefore(wanted) => write!(f, "it ends where {wanted} is expected"),
        }
    }
}

impl std::error::Error for LiteralError {}

/// Parses `text` as JSON or as a Python literal.
///
/// # Errors
/// What is wrong with `text` as a Python literal, a notation of which JSON is nearly a part.
pub(crate) fn parse(text: &str) -> Result<Value, LiteralError> {
    if let Ok(value) = serde_json::from_str(text) {
        return match duplicates(text).into_iter().next() {
            Some(twice) => Err(LiteralError::Twice(twice.pointer)),
            None => Ok(value),
        };
    }
    let mut reader = LiteralParser { text, at: 0 };
    let value = reader.value(DEPTH)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.unexpected("the end")),
    }
}

struct LiteralParser<'a> {
    text: &'a str,
    at: usize,
}

impl LiteralParser<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, LiteralError> {
        if depth == 0 {
            return Err(LiteralError::TooDeep);
        }
        match self.peek() {
            Some('{') => self.dictionary(depth),
            Some('[') => self.list(depth),
            Some(quote @ ('\'' | '"')) => self.string(quote).map(Value::String),
            _ => self.word(),
        }
    }

    fn dictionary(&mut self, depth: usize) -> Result<Value, LiteralError> {
        let mut object = Map::new();
        self.take('{');
        while !self.take('}') {
            let key = match self.peek() {
                Some(quote @ ('\'' | '"')) => self.string(quote)?,
                _ => return Err(self.unexpected("a name in quotes")),
            };
            if !self.take(':') {
                return Err(self.unexpected("a colon"));
            }
            let value = self.value(depth - 1)?;
            if object.contains_key(&key) {
                return Err(LiteralError::Twice(key));
            }
            object.insert(key, value);
            if !self.take(',') && self.peek() != Some('}') {
                return Err(self.unexpected("a comma or '}'"));
            }
        }
        Ok(Value::Object(object))
    }

    fn list(&mut self, depth: usize) -> Result<Value, LiteralError> {
        let mut items = Vec::new();
        self.take('[');
        while !self.take(']') {
            items.push(self.value(depth - 1)?);
            if !self.take(',') && self.peek() != Some(']') {
                return Err(self.unexpected("a comma or ']'"));
            }
        }
        Ok(Value::Array(items))
    }

    fn string(&mut self, quote: char) -> Result<String, LiteralError> {
        self.take(quote);
        let mut found = String::new();
        while let Some(next) = self.next() {
            match next {
                '\\' => found.push(self.escape()?),
                next if next == quote => return Ok(found),
                next => found.push(next),
            }
        }
        Err(LiteralError::Unclosed(quote))
    }

    fn escape(&mut self) -> Result<char, LiteralError> {
        let digits = match self.next() {
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some(same @ ('\\' | '\'' | '"')) => return Ok(same),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => return Err(LiteralError::InvalidEscape),
        };
        let code = self.text.get(self.at..self.at + digits).unwrap_or_default();
        let found = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
        self.at += code.len();
        found.ok_or_else(|| LiteralError::NoCharacter(code.to_owned()))
    }

    /// Reads a number, a boolean or null.
    fn word(&mut self) -> Result<Value, LiteralError> {
        let remaining = &self.text[self.at..];
        let end = remaining.find(|c: char| !c.is_ascii_alphanumeric() && !"+-._".contains(c));
        let word = &remaining[..end.unwrap_or(remaining.len())];
        let value = match word {
            "True" | "true" => Value::Bool(true),
            "False" | "false" => Value::Bool(false),
            "None" | "null" => Value::Null,
            _ => match serde_json::from_str(word) {
                Ok(Value::Number(number)) => Value::Number(number),
                _ => return Err(self.unexpected("a value (text stands in quotes)")),
            },
        };
        self.at += word.len();
        Ok(value)
    }

    /// Returns the next character that is not white space, without taking it.
    fn peek(&mut self) -> Option<char> {
        let remaining = &self.text[self.at..];
        self.at += remaining.len() - remaining.trim_start().len();
        remaining.trim_start().chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn next(&mut self) -> Option<char> {
        let next = self.text[self.at..].chars().next()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn unexpected(&mut self, wanted: &'static str) -> LiteralError {
        match self.peek() {
            Some(_) => {
                let found = self.text[self.at..].chars().take(12).collect();
                LiteralError::Unexpected { wanted, found }
            }
            None => LiteralError::EndsBefore(wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_and_what_python_prints_are_read_alike() {
        let wanted = json!({ "name": "web", "zones": 3, "boot_sigma": 0.2, "ok": true, "no": null,
                             "list": ["it's", "a\"b", "\u{e9}\n"], "empty": {}, "none": [] });
        assert_eq!(parse(&wanted.to_string()), Ok(wanted.clone()));
        let python = r#"{'name': 'web', 'zones': 3, 'boot_sigma': 0.2, 'ok': True, 'no': None,
            'list': ["it's", 'a"b', '\xe9\n'], 'empty': {}, 'none': [ ], }"#;
        assert_eq!(parse(python), Ok(wanted));
    }

    #[test]
    fn what_is_neither_is_told_with_its_place() {
        for (text, message) in [
            ("{name: web}", "a name in quotes is expected at \"name: web}\""),
            ("{'name': web}", "a value (text stands in quotes) is expected at \"web}\""),
            ("{'name' 'web'}", "a colon is expected"),
            ("['a' 'b']", "a comma or ']' is expected at \"'b']\""),
            ("{'name':", "it ends where a value"),
            ("{'name", "a closing ' is missing"),
            ("{'a': '\\xzz'}", "\"zz\" is not the code of a character"),
            ("{'a': 1, 'b': 2, 'a': 3}", "\"a\" is there twice"),
            (r#"{"a": {"b": 1, "b": 2}}"#, "\"/a/b\" is there twice"),
            ("{} {}", "the end is expected at \"{}\""),
            (&"[".repeat(100_000), "it is nested too deeply"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
