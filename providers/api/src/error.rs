//! What went wrong in the cloud, and what it left behind.

use std::fmt;

/// A failed call. Reads as a fragment that fits after "failed to".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderError {
    /// The call, in the cloud's spelling: `DescribeAutoScalingGroups`.
    pub operation: String,
    /// What sort of trouble.
    pub kind: ErrorKind,
    /// Whether the call took effect.
    pub effect: Effect,
    /// The cloud's error code, if it gave one.
    pub code: Option<String>,
    /// The cloud's own words, or ours where the fault lies before the cloud.
    pub message: String,
    /// The attribute of the resource at fault, as a path: `auto_scaling_group/name`.
    pub attribute: Option<String>,
    /// What the reader can do.
    pub remedy: Option<String>,
}

/// What sort of trouble a [`ProviderError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The document asks for what cannot be: a part that is not there, or is not supported.
    Invalid,
    /// The target itself is not there.
    Missing,
    /// A part is not there, or was made a moment ago and does not show yet: asking again may help for
    /// a while.
    Unseen,
    /// The target is not in a state for it just now: somebody else is at work there, say. Nothing is
    /// wrong with the document.
    Conflict,
    /// Asked too fast; ask again, more slowly.
    Throttled,
    /// A fault on the way or in the cloud; asking again may help.
    Transient,
    /// The cloud has no room for what was asked for just now.
    NoCapacity,
    /// The token of a launch was used for an instance that is gone by now.
    TokenAlreadyUsed,
    /// The cloud refused, and will refuse again.
    Refused,
}

/// What a failed call left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing changed.
    NotApplied,
    /// It took effect in spite of the error.
    Applied,
    /// Nobody knows until the fleet is observed again.
    Unknown,
}

impl ProviderError {
    /// The same about the state that the target is in just now.
    #[must_use]
    pub fn as_conflict(self) -> Self {
        Self { kind: ErrorKind::Conflict, ..self }
    }

    /// An error that nothing changed, at an attribute of the resource.
    pub fn invalid(
        operation: impl Into<String>,
        attribute: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            operation: operation.into(),
            kind: ErrorKind::Invalid,
            effect: Effect::NotApplied,
            code: None,
            message: message.into(),
            attribute: Some(attribute.into()),
            remedy: None,
        }
    }

    /// The same error with something the reader can do.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Whether asking again may help. The effect still decides whether asking again is safe.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Throttled | ErrorKind::Transient)
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.operation.is_empty() {
            write!(f, "{}: ", self.operation)?;
        }
        if let Some(code) = &self.code {
            write!(f, "{code}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ProviderError {}
