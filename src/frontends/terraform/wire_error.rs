//! What is wrong with a value that the host has sent.

use std::fmt;

/// What is wrong with a value that the host has sent.
#[derive(Debug)]
pub enum WireError {
    /// It is no JSON.
    Json(serde_json::Error),
    /// It is no MessagePack.
    MessagePack(rmpv::decode::Error),
    /// The part at this JSON Pointer is not of the type that the schema has there.
    OtherType(String),
    /// The part at this JSON Pointer is no object.
    NoObject(String),
    /// An object has an attribute that the schema does not have.
    UnknownAttribute {
        /// The attribute.
        name: String,
        /// A JSON Pointer to the object.
        pointer: String,
    },
    /// It is no configuration.
    NoConfiguration,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Json(error) => write!(f, "The host sent no JSON: {error}"),
            WireError::MessagePack(error) => write!(f, "The host sent no MessagePack: {error}"),
            WireError::OtherType(pointer) => {
                write!(f, "The host sent a value at {pointer:?} that does not match the schema")
            }
            WireError::NoObject(pointer) => write!(f, "The host sent no object at {pointer:?}"),
            WireError::UnknownAttribute { name, pointer } => {
                write!(f, "The host sent {name:?} at {pointer:?}")
            }
            WireError::NoConfiguration => f.write_str("The host sent no configuration"),
        }
    }
}

impl std::error::Error for WireError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WireError::Json(error) => Some(error),
            WireError::MessagePack(error) => Some(error),
            WireError::OtherType(_)
            | WireError::NoObject(_)
            | WireError::UnknownAttribute { .. }
            | WireError::NoConfiguration => None,
        }
    }
}
