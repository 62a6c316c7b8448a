//! The platforms are listed in two places: the table of targets with what each does not support, and
//! the registry that opens them. Whatever else has to know them all goes by these.

use std::path::Path;

use super::invariants::{root, sources};

/// Where several kinds of targets may be named, and why.
const LISTS: &[(&str, &str)] = &[
    ("src/document/config.rs", "the attributes themselves"),
    ("src/document/config/", "the table of targets, and that of what each does not support"),
    ("src/providers.rs", "the registry"),
    ("src/providers/", "the registry"),
    ("src/document/targets.rs", "rules of single kinds"),
    ("src/foreign_settings/", "what settings of another tool are for, where nobody says it"),
];

/// Returns the attributes of the kinds of targets.
fn kinds() -> Vec<String> {
    let file = root().join("src/document/config/target_kind.rs");
    let text = std::fs::read_to_string(file).expect("the table");
    let attributes = text.lines().filter_map(|line| {
        let name = line.trim().strip_prefix("attribute: \"")?.strip_suffix("\",")?;
        Some(name.to_owned())
    });
    attributes.collect()
}

/// Returns the kinds that the code of a file names, without its tests.
fn named<'k>(text: &str, kinds: &'k [String]) -> Vec<&'k str> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: Vec<&str> = lines.collect();
    let is_named = |kind: &&String| code.iter().any(|line| has_word(line, kind));
    kinds.iter().filter(is_named).map(String::as_str).collect()
}

/// Whether `line` has `word`, and not as a part of another.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

fn may_list(path: &Path) -> bool {
    LISTS.iter().any(|(place, _)| path.starts_with(place) || path == Path::new(place))
}

#[test]
fn platforms_are_listed_in_the_registry_and_the_tables_alone() {
    let kinds = kinds();
    assert!(kinds.len() >= 6, "{kinds:?}");
    let mut lists = Vec::new();
    for (path, text) in sources(&root().join("src")) {
        let path = path.strip_prefix(root()).expect("below the root").to_owned();
        let named = named(&text, &kinds);
        if named.len() > 1 && !may_list(&path) {
            lists.push(format!("{}: {}", path.display(), named.join(", ")));
        }
    }
    assert_eq!(lists, Vec::<String>::new());
}

#[test]
fn a_list_is_found() {
    let kinds = ["auto_scaling_group".to_owned(), "simulated_fleet".to_owned()];
    let list = "let all = [\"auto_scaling_group\", \"simulated_fleet\"];\n";
    assert_eq!(named(list, &kinds).len(), 2);
    let in_tests = format!("fn one() {{}}\n#[cfg(test)]\nmod tests {{ {list} }}");
    assert_eq!(named(&in_tests, &kinds).len(), 0);
    assert_eq!(named(&format!("// {list}"), &kinds).len(), 0);
}
