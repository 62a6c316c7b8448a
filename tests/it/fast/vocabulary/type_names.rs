//! Types that share a name share its meaning.

use std::collections::BTreeMap;

use syn::visit::Visit;

use super::{assert_only_shared, crates, root};

/// The names that several types have, with why.
const SHARED: &[(&str, &str)] = &[
    (
        "Attribute",
        "the protocol's own name; the other is what the schema of the provider is made of",
    ),
    (
        "Diagnostic",
        "the protocol's own name, and a finding about a document: the one becomes the other",
    ),
    ("Diagnostics", "findings as the answer to a call, in either protocol"),
    ("Empty", "an answer without content, in either protocol"),
    ("Object", "the protocol's own name for nested attributes, and a JSON object"),
    ("ServerCapabilities", "what a server can do, in either protocol"),
    ("Severity", "how bad a finding is, in the protocol and in a document"),
    ("Step", "the protocol's own name for a part of a path, and a step of a plan"),
];

/// The types that a file defines, tests left out.
#[derive(Default)]
struct Types(Vec<String>);

/// Whether `#[cfg(test)]` is among the attributes.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

impl<'a> Visit<'a> for Types {
    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        if !is_test(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item(&mut self, item: &'a syn::Item) {
        let (attributes, name) = match item {
            syn::Item::Struct(item) => (&item.attrs, &item.ident),
            syn::Item::Enum(item) => (&item.attrs, &item.ident),
            syn::Item::Union(item) => (&item.attrs, &item.ident),
            syn::Item::Trait(item) => (&item.attrs, &item.ident),
            syn::Item::Type(item) => (&item.attrs, &item.ident),
            _ => return syn::visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            self.0.push(name.to_string());
        }
    }
}

/// Files that the crate compiles for tests alone: `#[cfg(test)] mod NAME;`.
fn is_of_tests(place: &str) -> bool {
    ["tests", "http_tests", "example"]
        .iter()
        .any(|name| place.ends_with(&format!("/{name}.rs")) || place.contains(&format!("/{name}/")))
}

#[test]
fn types_of_one_name_are_of_one_meaning() {
    let files = crates();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in &files {
        let place = file.strip_prefix(root()).expect("below").display().to_string();
        if is_of_tests(&place) {
            continue;
        }
        let text = std::fs::read_to_string(file).expect("a source");
        let mut types = Types::default();
        types
            .visit_file(&syn::parse_file(&text).unwrap_or_else(|error| panic!("{place}: {error}")));
        for name in types.0 {
            found.entry(name).or_default().push(place.clone());
        }
    }
    assert!(found.len() > 400, "{}", found.len());
    assert_only_shared(found, SHARED);
}
