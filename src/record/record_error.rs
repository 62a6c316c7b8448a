//! Why a tag of ours cannot be read.

use std::fmt;

/// Why a tag of ours cannot be read: which tag, which field of it, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// A tag of the record is missing although others are there.
    MissingTag {
        /// The key of the tag.
        tag: &'static str,
        /// The key of a tag that is there.
        beside: &'static str,
    },
    /// The tag is of a version that this program does not read.
    OtherVersion {
        /// The key of the tag.
        tag: &'static str,
        /// The tag's version.
        found: String,
        /// The version that this program reads.
        known: &'static str,
    },
    /// A field is missing.
    MissingField {
        /// The key of the tag.
        tag: &'static str,
        /// The name of the field.
        field: &'static str,
    },
    /// A field's value is not of the field's type.
    InvalidField {
        /// The key of the tag.
        tag: &'static str,
        /// The name of the field.
        field: &'static str,
        /// The field's value.
        value: String,
    },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::MissingTag { tag, beside } => {
                write!(f, "tag {tag} is missing beside {beside}")
            }
            RecordError::OtherVersion { tag, found, known } => {
                write!(f, "tag {tag} is of version {found}, this program reads version {known}")
            }
            RecordError::MissingField { tag, field } => write!(f, "tag {tag} has no {field}="),
            RecordError::InvalidField { tag, field, value } => {
                write!(f, "tag {tag} has an unreadable {field}={value}")
            }
        }
    }
}

impl std::error::Error for RecordError {}
