//! Values, their schemas, and findings about them.

use prost::{Enumeration, Message, Oneof};

/// A value in one of two encodings; the host sends the first.
#[derive(Clone, PartialEq, Message)]
pub struct DynamicValue {
    /// MessagePack; an extension type stands for an unknown value.
    #[prost(bytes = "vec", tag = "1")]
    pub msgpack: Vec<u8>,
    /// JSON.
    #[prost(bytes = "vec", tag = "2")]
    pub json: Vec<u8>,
}

/// One finding.
#[derive(Clone, PartialEq, Message)]
pub struct Diagnostic {
    /// Its severity.
    #[prost(enumeration = "Severity", tag = "1")]
    pub severity: i32,
    /// The summary, on one line.
    #[prost(string, tag = "2")]
    pub summary: String,
    /// The rest of the text.
    #[prost(string, tag = "3")]
    pub detail: String,
    /// The place that it is about.
    #[prost(message, optional, tag = "4")]
    pub attribute: Option<AttributePath>,
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum Severity {
    /// Not used.
    Invalid = 0,
    /// An error: the operation cannot go on.
    Error = 1,
    /// A warning: worth knowing.
    Warning = 2,
}

/// A place in a value.
#[derive(Clone, PartialEq, Message)]
pub struct AttributePath {
    /// The steps, from the outside in.
    #[prost(message, repeated, tag = "1")]
    pub steps: Vec<Step>,
}

/// One step of an [`AttributePath`].
#[derive(Clone, PartialEq, Message)]
pub struct Step {
    /// What it selects.
    #[prost(oneof = "Selector", tags = "1, 2, 3")]
    pub selector: Option<Selector>,
}

/// What a [`Step`] selects.
#[derive(Clone, PartialEq, Oneof)]
pub enum Selector {
    /// An attribute of an object.
    #[prost(string, tag = "1")]
    AttributeName(String),
    /// An element of a map.
    #[prost(string, tag = "2")]
    ElementKeyString(String),
    /// An element of a list.
    #[prost(int64, tag = "3")]
    ElementKeyInt(i64),
}

/// A schema.
#[derive(Clone, PartialEq, Message)]
pub struct Schema {
    /// The version of the state.
    #[prost(int64, tag = "1")]
    pub version: i64,
    /// Its attributes and blocks.
    #[prost(message, optional, tag = "2")]
    pub block: Option<Block>,
}

/// A block of attributes.
#[derive(Clone, PartialEq, Message)]
pub struct Block {
    /// The version, as in [`Schema::version`].
    #[prost(int64, tag = "1")]
    pub version: i64,
    /// Attributes.
    #[prost(message, repeated, tag = "2")]
    pub attributes: Vec<Attribute>,
    /// Blocks within.
    #[prost(message, repeated, tag = "3")]
    pub block_types: Vec<NestedBlock>,
    /// Its description.
    #[prost(string, tag = "4")]
    pub description: String,
    /// How the description is written: `MARKDOWN`.
    #[prost(int32, tag = "5")]
    pub description_kind: i32,
}

/// Descriptions are Markdown.
pub(crate) const MARKDOWN: i32 = 1;

/// An attribute.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type as JSON; empty if it has a nested type.
    #[prost(bytes = "vec", tag = "2")]
    pub r#type: Vec<u8>,
    /// Attributes within.
    #[prost(message, optional, tag = "10")]
    pub nested_type: Option<Object>,
    /// Its description.
    #[prost(string, tag = "3")]
    pub description: String,
    /// Whether it must be set.
    #[prost(bool, tag = "4")]
    pub required: bool,
    /// Whether it may be set.
    #[prost(bool, tag = "5")]
    pub optional: bool,
    /// Whether the provider sets it.
    #[prost(bool, tag = "6")]
    pub computed: bool,
    /// Whether its value is kept out of output.
    #[prost(bool, tag = "7")]
    pub sensitive: bool,
    /// How the description is written: `MARKDOWN`.
    #[prost(int32, tag = "8")]
    pub description_kind: i32,
}

/// Attributes within an attribute.
#[derive(Clone, PartialEq, Message)]
pub struct Object {
    /// The attributes.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<Attribute>,
    /// How many there may be: [`SINGLE`] or [`LIST`].
    #[prost(int32, tag = "3")]
    pub nesting: i32,
}

/// A block within a block.
#[derive(Clone, PartialEq, Message)]
pub struct NestedBlock {
    /// Its name.
    #[prost(string, tag = "1")]
    pub type_name: String,
    /// Its attributes and blocks.
    #[prost(message, optional, tag = "2")]
    pub block: Option<Block>,
    /// How many there may be: [`SINGLE`] or [`LIST`].
    #[prost(int32, tag = "3")]
    pub nesting: i32,
    /// How many there must be.
    #[prost(int64, tag = "4")]
    pub min_items: i64,
    /// How many there may be; 0 for any number.
    #[prost(int64, tag = "5")]
    pub max_items: i64,
}

/// At most one.
pub const SINGLE: i32 = 1;
/// Any number, in order.
pub const LIST: i32 = 2;

/// Answer to `ConfigureProvider` and `ValidateResourceConfig`.
#[derive(Clone, PartialEq, Message)]
pub struct Diagnostics {
    /// Findings.
    #[prost(message, repeated, tag = "1")]
    pub diagnostics: Vec<Diagnostic>,
}

/// A state as the host keeps it.
#[derive(Clone, PartialEq, Message)]
pub struct RawState {
    /// JSON.
    #[prost(bytes = "vec", tag = "1")]
    pub json: Vec<u8>,
}
