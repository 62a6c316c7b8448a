//! What validation finds, and the rules for names, labels and annotations
//! (`k8s.io/apimachinery/pkg/util/validation`).

use serde_json::Value;

use crate::api_error::FieldCause;
use crate::json_pointer::{at, text};

const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must \
     start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
     used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, \
     '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
     'my_value',  or '12345', regex used for validation is \
     '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
     characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
     regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
     '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex \
     used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
/// The bytes of all annotations together (`TotalAnnotationSizeLimitB`).
const ANNOTATIONS: usize = 256 * 1024;

/// The causes that are found.
#[derive(Default)]
pub struct FieldErrors {
    /// In the order in which they were found.
    pub causes: Vec<FieldCause>,
}

impl FieldErrors {
    /// Adds a cause.
    pub fn add(&mut self, reason: &'static str, field: impl Into<String>, message: String) {
        self.causes.push(FieldCause { reason, field: field.into(), message });
    }

    /// Adds a value that is not valid, as Go prints it.
    pub fn invalid(&mut self, field: impl Into<String>, value: &str, why: &str) {
        self.add("FieldValueInvalid", field, format!("Invalid value: {value}: {why}"));
    }

    /// Adds a field that is missing.
    pub fn required(&mut self, field: impl Into<String>, why: &str) {
        let message = if why.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {why}")
        };
        self.add("FieldValueRequired", field, message);
    }

    /// Adds a number below zero.
    pub fn not_negative(&mut self, field: &str, value: &Value) {
        if let Some(number) = value.as_i64().filter(|number| *number < 0) {
            let why = "must be greater than or equal to 0";
            self.invalid(field, &number.to_string(), why);
        }
    }
}

/// Checks labels and annotations, and the name where the metadata have one.
pub fn metadata(found: &mut FieldErrors, path: &str, metadata: &Value) {
    let name = text(metadata, "/name");
    if !name.is_empty() && !is_subdomain(name) {
        found.invalid(format!("{path}.name"), &format!("{name:?}"), SUBDOMAIN);
    }
    let none = serde_json::Map::new();
    let annotations = at(metadata, "/annotations").as_object().unwrap_or(&none);
    let field = format!("{path}.annotations");
    let mut size = 0;
    for (key, value) in annotations {
        qualified(found, &field, &key.to_lowercase());
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS {
        let message = format!("Too long: may not be more than {ANNOTATIONS} bytes");
        found.add("FieldValueTooLong", field, message);
    }
    let field = format!("{path}.labels");
    for (key, value) in at(metadata, "/labels").as_object().unwrap_or(&none) {
        qualified(found, &field, key);
        let value = value.as_str().unwrap_or_default();
        if value.len() > 63 {
            found.invalid(field.as_str(), &format!("{value:?}"), "must be no more than 63 bytes");
        } else if !value.is_empty() && !is_name(value) {
            found.invalid(field.as_str(), &format!("{value:?}"), LABEL_VALUE);
        }
    }
}

/// Checks a name that must be a DNS label, as that of a container.
pub fn label(found: &mut FieldErrors, field: &str, name: &str) {
    if !is_label(name) {
        found.invalid(field, &format!("{name:?}"), LABEL);
    } else if name.len() > 63 {
        found.invalid(field, &format!("{name:?}"), "must be no more than 63 bytes");
    }
}

/// `IsQualifiedName`: a name, with a subdomain and a slash before it or without.
fn qualified(found: &mut FieldErrors, field: &str, key: &str) {
    let mut parts = key.splitn(3, '/');
    let (first, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if third.is_some() {
        let why = "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must \
                   start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
                   '123-abc', regex used for validation is \
                   '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix \
                   and '/' (e.g. 'example.com/MyName')";
        return found.invalid(field, &format!("{key:?}"), why);
    }
    let (prefix, name) = second.map_or((None, first), |name| (Some(first), name));
    if prefix.is_some_and(|prefix| !is_subdomain(prefix)) {
        found.invalid(field, &format!("{key:?}"), &format!("prefix part {SUBDOMAIN}"));
    }
    if name.is_empty() {
        found.invalid(field, &format!("{key:?}"), "name part must be non-empty");
    } else if name.len() > 63 {
        let why = "name part must be no more than 63 bytes";
        found.invalid(field, &format!("{key:?}"), why);
    } else if !is_name(name) {
        found.invalid(field, &format!("{key:?}"), QUALIFIED);
    }
}

fn is_name(text: &str) -> bool {
    let ends = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    let inside = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    ends(text.chars().next()) && ends(text.chars().last()) && text.chars().all(inside)
}

fn is_label(text: &str) -> bool {
    let unlabelled = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    !text.is_empty()
        && text.chars().all(|letter| unlabelled(letter) || letter == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}
