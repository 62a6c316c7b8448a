//! Terraform's schemas, generated from the JSON Schemas of this crate's types.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::proto;
use crate::deployment::resource_state::Computed;
use crate::deployment::schema::VERSION;
use crate::document::config::{ProviderConfig, RollingDeploymentConfig};
use crate::document::{is_sensitive, resolve, schema, types};

/// The block that says how long an operation may take.
pub(crate) const TIMEOUTS: &str = "timeouts";

/// Computed attributes that Terraform does not get as they are: a plan would show every instance
/// with all its attributes. [`INSTANCE_IDS`] has the ids of the instances instead.
const HIDDEN: [&str; 1] = ["instances"];

/// The attribute with the ids of all instances.
pub(crate) const INSTANCE_IDS: &str = "instance_ids";

/// The type of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// Text.
    Text,
    /// A number of instances, or text such as `25%`. Terraform has no such choice of types; there
    /// it is text, and Terraform converts numbers to it.
    CountOrText,
    /// A list of values of one kind.
    List(Box<Kind>),
    /// A map of names to values of one kind.
    Map(Box<Kind>),
    /// Attributes that the provider computes.
    Object(Vec<Attribute>),
    /// A list of such objects.
    Objects(Vec<Attribute>),
    /// Attributes that the configuration sets: a nested block. In a block, Terraform refuses an
    /// unknown name and shows its line; in a nested attribute, it drops an unknown name silently
    /// (hashicorp/terraform#33570).
    Block(Vec<Attribute>),
    /// A list of such blocks. Terraform has no absent list of blocks, only an empty one.
    Blocks(Vec<Attribute>),
}

/// An attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// The type of its value.
    pub kind: Kind,
    /// Who sets it.
    pub presence: Presence,
    /// Whether Terraform shows it as `(sensitive value)`.
    pub(crate) sensitive: bool,
    /// Its description, in Markdown.
    pub description: String,
}

/// Who sets an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The configuration.
    Required,
    /// The configuration, or nobody.
    Optional,
    /// The provider.
    Computed,
}

/// The schemas of a resource's configuration and state, and of the provider's configuration.
pub struct Schemas {
    /// The schema of `rolling_deployment`: an object with the block `TIMEOUTS` in it.
    pub resource: Kind,
    /// The schema of the provider: an object.
    pub provider: Kind,
}

/// Returns the schemas, which never change and are made once.
pub fn schemas() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let config = schema::<RollingDeploymentConfig>();
        let mut resource = attributes(&config, &config, None);
        let state = schema::<Computed>();
        let computed = attributes(&state, &state, Some(Presence::Computed));
        resource
            .extend(computed.into_iter().filter(|attribute| !HIDDEN.contains(&&*attribute.name)));
        resource.push(Attribute {
            name: INSTANCE_IDS.into(),
            kind: Kind::List(Box::new(Kind::Text)),
            presence: Presence::Computed,
            sensitive: false,
            description: "The ids of all instances.".into(),
        });
        resource.push(timeouts());
        let config = schema::<ProviderConfig>();
        Schemas {
            resource: Kind::Object(resource),
            provider: Kind::Object(attributes(&config, &config, None)),
        }
    })
}

fn attributes(root: &Value, object: &Value, presence: Option<Presence>) -> Vec<Attribute> {
    let required = object["required"].as_array();
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|required| required == name));
    let attribute = |(name, schema): (&String, &Value)| {
        let of_itself = if is_required(name) { Presence::Required } else { Presence::Optional };
        Attribute {
            name: name.clone(),
            kind: kind(root, schema, presence),
            presence: presence.unwrap_or(of_itself),
            sensitive: is_sensitive(root, schema),
            description: description(root, schema),
        }
    };
    object["properties"].as_object().into_iter().flatten().map(attribute).collect()
}

fn kind(root: &Value, schema: &Value, presence: Option<Presence>) -> Kind {
    let schema = resolve(root, schema);
    match types(schema).as_slice() {
        ["boolean"] => Kind::Bool,
        ["integer" | "number"] => Kind::Number,
        ["integer", "string"] => Kind::CountOrText,
        ["array"] => match kind(root, &schema["items"], presence) {
            Kind::Object(attributes) => Kind::Objects(attributes),
            Kind::Block(attributes) => Kind::Blocks(attributes),
            element => Kind::List(Box::new(element)),
        },
        ["object"] if schema["additionalProperties"].is_object() => {
            Kind::Map(Box::new(kind(root, &schema["additionalProperties"], presence)))
        }
        ["object"] => match presence {
            Some(Presence::Computed) => Kind::Object(attributes(root, schema, presence)),
            _ => Kind::Block(attributes(root, schema, presence)),
        },
        _ => Kind::Text,
    }
}

/// Returns the description of the attribute, then that of its type, then the choices.
fn description(root: &Value, schema: &Value) -> String {
    let resolved = resolve(root, schema);
    let element = resolve(root, &resolved["items"]);
    let message = |schema: &Value| schema["description"].as_str().map(one_line);
    let mut sentences: Vec<String> = message(schema).into_iter().collect();
    let of_type = message(resolved).filter(|_| resolved.get("properties").is_none());
    if let Some(sentence) = of_type {
        // A type's description may begin with the attribute's.
        if sentences.iter().any(|described| sentence.starts_with(described.as_str())) {
            sentences.clear();
        }
        sentences.push(sentence);
    }
    let choices = [resolved, element].into_iter().find_map(|schema| schema["enum"].as_array());
    let choices: Vec<&str> = choices.into_iter().flatten().filter_map(Value::as_str).collect();
    let described = sentences.join(" ");
    if choices.iter().any(|choice| !described.contains(&format!("`{choice}`"))) {
        let all: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
        sentences.push(format!("One of {}.", all.join(", ")));
    }
    sentences.join(" ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn timeouts() -> Attribute {
    let limit = |name: &str, description: &str| Attribute {
        name: name.into(),
        kind: Kind::Text,
        presence: Presence::Optional,
        sensitive: false,
        description: description.into(),
    };
    let attributes = vec![
        limit("create", "How long the first rollout may take. Default: no limit."),
        limit("delete", "How long the end of a rollout in progress may take. Default: no limit."),
        limit("update", "How long a rollout may take. Default: no limit."),
    ];
    Attribute {
        name: TIMEOUTS.into(),
        kind: Kind::Block(attributes),
        presence: Presence::Optional,
        sensitive: false,
        description: "How long operations may take. At the end of that time a rollout stops at \
                      the next safe point, restores what is borrowed, and the operation fails; \
                      the next apply continues. Each is a time span: `30s`, `10m`, `1h30m`; `365d` \
                      at most. A rollout that makes no progress ends by `progress_deadline` anyway. A \
                      change here rolls nothing."
            .into(),
    }
}

impl Kind {
    /// Returns the attributes within; empty for a kind that can have none.
    pub fn attributes(&self) -> &[Attribute] {
        match self {
            Kind::Object(attributes)
            | Kind::Objects(attributes)
            | Kind::Block(attributes)
            | Kind::Blocks(attributes) => attributes,
            _ => &[],
        }
    }

    /// Whether it is one block or a list of blocks.
    pub fn is_block(&self) -> bool {
        matches!(self, Kind::Block(_) | Kind::Blocks(_))
    }

    /// Returns the type as the protocol writes it; null for nested attributes.
    fn type_name(&self) -> Value {
        match self {
            Kind::Bool => json!("bool"),
            Kind::Number => json!("number"),
            Kind::Text | Kind::CountOrText => json!("string"),
            Kind::List(element) => json!(["list", element.type_name()]),
            Kind::Map(element) => json!(["map", element.type_name()]),
            Kind::Object(_) | Kind::Objects(_) | Kind::Block(_) | Kind::Blocks(_) => Value::Null,
        }
    }

    /// Returns the schema in its wire form.
    pub(crate) fn to_proto(&self) -> proto::Schema {
        let version = i64::from(VERSION);
        proto::Schema { version, block: Some(block(self.attributes(), "")) }
    }
}

fn block(attributes: &[Attribute], description: &str) -> proto::Block {
    let (blocks, attributes): (Vec<_>, Vec<_>) =
        attributes.iter().partition(|attribute| attribute.kind.is_block());
    proto::Block {
        version: 0,
        attributes: attributes.into_iter().map(Attribute::to_proto).collect(),
        block_types: blocks.into_iter().map(Attribute::to_block).collect(),
        description: description.to_owned(),
        description_kind: proto::MARKDOWN,
    }
}

impl Attribute {
    fn to_block(&self) -> proto::NestedBlock {
        let is_list = matches!(self.kind, Kind::Blocks(_));
        let least = i64::from(self.presence == Presence::Required);
        proto::NestedBlock {
            type_name: self.name.clone(),
            block: Some(block(self.kind.attributes(), &self.description)),
            nesting: if is_list { proto::LIST } else { proto::SINGLE },
            min_items: least,
            // A required single block has both bounds at 1; 0 means no bound.
            max_items: if is_list { 0 } else { least },
        }
    }

    fn to_proto(&self) -> proto::Attribute {
        let nesting = match self.kind {
            Kind::Object(_) => Some(proto::SINGLE),
            Kind::Objects(_) => Some(proto::LIST),
            _ => None,
        };
        let attributes = || self.kind.attributes().iter().map(Attribute::to_proto).collect();
        proto::Attribute {
            name: self.name.clone(),
            r#type: match nesting {
                None => self.kind.type_name().to_string().into_bytes(),
                Some(_) => Vec::new(),
            },
            nested_type: nesting.map(|nesting| proto::Object { attributes: attributes(), nesting }),
            description: self.description.clone(),
            required: self.presence == Presence::Required,
            optional: self.presence == Presence::Optional,
            computed: self.presence == Presence::Computed,
            sensitive: self.sensitive,
            description_kind: proto::MARKDOWN,
        }
    }

    #[cfg(test)]
    pub(super) fn for_test(name: &str, kind: Kind) -> Attribute {
        let presence = Presence::Optional;
        let (name, description) = (name.into(), String::new());
        Attribute { name, kind, presence, sensitive: false, description }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A type that [`kind`] does not know would become text.
    #[test]
    fn every_type_of_our_schemas_is_known() {
        fn walk(root: &Value, schema: &Value) {
            let schema = resolve(root, schema);
            let known: [&[&str]; 7] = [
                &["boolean"],
                &["integer"],
                &["number"],
                &["integer", "string"],
                &["array"],
                &["object"],
                &["string"],
            ];
            assert!(known.contains(&types(schema).as_slice()), "{schema}");
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties.for_each(|(_, schema)| walk(root, schema));
            for within in ["items", "additionalProperties"] {
                if schema[within].is_object() {
                    walk(root, &schema[within]);
                }
            }
        }
        for root in
            [schema::<RollingDeploymentConfig>(), schema::<ProviderConfig>(), schema::<Computed>()]
        {
            walk(&root, &root);
        }
    }

    #[test]
    fn every_attribute_says_what_it_is() {
        fn walk(attributes: &[Attribute]) {
            for attribute in attributes {
                assert!(!attribute.description.is_empty(), "{attribute:?}");
                walk(attribute.kind.attributes());
            }
        }
        walk(schemas().resource.attributes());
        walk(schemas().provider.attributes());
    }
}
