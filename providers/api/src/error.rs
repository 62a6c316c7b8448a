//! What went wrong in the cloud, and what it left behind.

use std::fmt;

/// A failed call. Reads as a fragment that fits after "failed to".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderError {
    /// The call, in the cloud's spelling: `DescribeAutoScalingGroups`.
    pub operation: String,
    /// The kind of the error.
    pub kind: ErrorKind,
    /// Whether the call took effect.
    pub effect: Effect,
    /// The cloud's error code, if it gave one.
    pub code: Option<String>,
    /// The cloud's own text, or ours if the call did not reach the cloud.
    pub message: String,
    /// The attribute of the resource at fault, as a path: `auto_scaling_group/name`.
    pub attribute: Option<String>,
    /// What the reader can do.
    pub remedy: Option<String>,
}

/// The kind of a [`ProviderError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The document asks for something impossible: a part does not exist, or is not supported.
    Invalid,
    /// The target itself does not exist.
    Missing,
    /// A part does not exist, or was created a moment ago and does not show yet. Retrying may help
    /// for a while.
    Unseen,
    /// The target's current state does not allow the call: another process is at work there, for
    /// example. Nothing is wrong with the document.
    Conflict,
    /// Calls come too fast; retry more slowly.
    Throttled,
    /// A fault on the way or in the cloud; retrying may help.
    Transient,
    /// The cloud has no capacity for the request just now.
    NoCapacity,
    /// The token of a launch was already used, for an instance that is gone.
    TokenAlreadyUsed,
    /// The caller lacks the permission.
    Denied,
    /// The cloud refused, and will refuse again.
    Refused,
}

/// What a failed call left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing changed.
    NotApplied,
    /// It took effect despite the error.
    Applied,
    /// Unknown until the fleet is observed again.
    Unknown,
}

impl ProviderError {
    /// Returns the same error as a conflict with the target's current state.
    #[must_use]
    pub fn as_conflict(self) -> Self {
        Self { kind: ErrorKind::Conflict, ..self }
    }

    /// Creates an error of a call that changed nothing, at an attribute of the resource.
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

    /// Adds what the reader can do.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Whether retrying may help. The effect still decides whether retrying is safe.
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
