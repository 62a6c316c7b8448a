//! The generated part of `docs/terraform.md`: the schemas, in the form of Terraform's registry.

use super::schema::{Attribute, Kind, Presence, schemas};

/// Documents the attributes of the resource.
pub fn resource() -> String {
    object(schemas().resource.attributes())
}

/// Documents the attributes of the provider.
pub fn provider() -> String {
    object(schemas().provider.attributes())
}

fn object(attributes: &[Attribute]) -> String {
    let mut text = lists(attributes, "###", "");
    nested(attributes, "", &mut text);
    text
}

/// Lists the attributes, grouped by who sets them.
fn lists(attributes: &[Attribute], heading: &str, path: &str) -> String {
    let kinds = [
        (Presence::Required, "Required"),
        (Presence::Optional, "Optional"),
        (Presence::Computed, "Read-Only"),
    ];
    let mut text = String::new();
    for (presence, title) in kinds {
        let those: Vec<&Attribute> =
            attributes.iter().filter(|attribute| attribute.presence == presence).collect();
        if those.is_empty() {
            continue;
        }
        let title =
            if heading.is_empty() { format!("{title}:") } else { format!("{heading} {title}") };
        text += &format!("{title}\n\n");
        for attribute in those {
            let Attribute { name, description, .. } = attribute;
            let see = match attribute.kind.attributes().is_empty() {
                true => String::new(),
                false => format!(" (see [below for nested schema](#{}))", anchor(path, name)),
            };
            let message = match attribute.sensitive {
                true => format!("{}, Sensitive", message(attribute)),
                false => message(attribute),
            };
            text += &format!("- `{name}` ({message}) {description}{see}\n");
        }
        text.push('\n');
    }
    text
}

/// Appends a section for each attribute that has attributes.
fn nested(attributes: &[Attribute], path: &str, text: &mut String) {
    for attribute in attributes.iter().filter(|attribute| !attribute.kind.attributes().is_empty()) {
        let name = &attribute.name;
        let within = attribute.kind.attributes();
        let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let anchor = anchor(path, name);
        *text += &format!("<a id=\"{anchor}\"></a>\n### Nested Schema for `{full}`\n\n");
        *text += &lists(within, "", &full);
        nested(within, &full, text);
    }
}

fn anchor(path: &str, name: &str) -> String {
    let prefix = if path.is_empty() { "nested--".into() } else { format!("nested--{path}--") };
    format!("{prefix}{name}").replace('.', "--")
}

/// Returns the name of the attribute's type in the documentation.
fn message(attribute: &Attribute) -> String {
    match &attribute.kind {
        Kind::Bool => "Boolean".to_owned(),
        Kind::Number => "Number".to_owned(),
        Kind::Text | Kind::CountOrText => "String".to_owned(),
        Kind::List(element) => format!("List of {}", element_type(element)),
        Kind::Map(element) => format!("Map of {}", element_type(element)),
        Kind::Object(_) => "Attributes".to_owned(),
        Kind::Objects(_) => "Attributes List".to_owned(),
        Kind::Block(_) => "Block".to_owned(),
        Kind::Blocks(_) => "Block List".to_owned(),
    }
}

fn element_type(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "Boolean",
        Kind::Number => "Number",
        _ => "String",
    }
}
