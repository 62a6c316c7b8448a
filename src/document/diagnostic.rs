//! Findings about a document: what is wrong, where, and what to do about it.

use std::fmt;

use rolling_provider::ProviderError;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::printable;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The place, as a JSON Pointer (RFC 6901); empty for the whole.
    pub pointer: String,
    /// What is wrong.
    pub summary: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing was or will be done.
    Error,
    /// Worth knowing.
    Warning,
}

impl Diagnostic {
    /// Creates an error at a place.
    pub(crate) fn error(pointer: impl Into<String>, summary: impl Into<String>) -> Self {
        let (pointer, summary) = (shortened(pointer.into()), shortened(summary.into()));
        Self { severity: Severity::Error, pointer, summary, remedy: None }
    }

    /// Creates a warning at a place.
    pub(crate) fn warning(pointer: impl Into<String>, summary: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(pointer, summary) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Converts a cloud's error about the resource at `resource`, placed at the attribute at fault.
    /// `provider` is the place of the provider's configuration.
    pub(crate) fn from_provider(error: &ProviderError, resource: &str, provider: &str) -> Self {
        let pointer = match error.attribute.as_deref() {
            None | Some("") => resource.to_owned(),
            Some(attribute) => match attribute.strip_prefix("provider:") {
                Some(attribute) => format!("{provider}/{attribute}"),
                None => format!("{resource}/{attribute}"),
            },
        };
        let summary = error.to_string();
        Self { severity: Severity::Error, pointer, summary, remedy: error.remedy.clone() }
    }
}

/// More than this many bytes of a finding are not shown: what it quotes may be of any length.
const LONGEST: usize = 8192;

/// Returns `text`, or its beginning and how long it is.
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > LONGEST {
        let all = text.len();
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push_str(&format!("... ({all} bytes)"));
    }
    text
}

impl Diagnostic {
    /// Returns it as text for people. `written` is the file, line and column of its place.
    pub(crate) fn text(&self, written: Option<&str>) -> String {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let pointer = match self.pointer.as_str() {
            "" => String::new(),
            pointer => format!(" at {}", printable::line(pointer)),
        };
        let written = written.map(|written| format!(" ({})", printable::line(written)));
        let summary = printable::line(&self.summary);
        let remedy = self.remedy.as_ref();
        let remedy = remedy.map(|remedy| format!("\n  help: {}", printable::line(remedy)));
        let [written, remedy] = [written, remedy].map(Option::unwrap_or_default);
        format!("{severity}{pointer}{written}: {summary}{remedy}")
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(None))
    }
}

/// Returns `key` as one step of a JSON Pointer.
pub(crate) fn step(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
