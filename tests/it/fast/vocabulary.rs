//! One vocabulary: names that the field's own terms have replaced, and that do not come back.

mod file_names;
mod type_names;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use rolling::frontends::terraform::docs;
use serde_json::Value;

/// Identifiers that are not used, with what replaces them.
const IDENTIFIERS: &[(&str, &str)] = &[
    ("held", "set_aside, in_lifecycle_hook"),
    ("plain", "unmanaged, log_lines"),
    ("Plain", "Unmanaged, LogLines"),
    ("kept", "retained_failed, old_set_retained"),
    ("Kept", "LeaseCheck, StateFile"),
    ("refresh", "instance_refresh, read"),
    ("Refresh", "InstanceRefresh"),
    ("Refresher", "RolloutController"),
    ("Seen", "InstanceHistory, PrivateState"),
    ("Progress", "RolloutState, ProgressFile"),
    ("Engine", "Executor"),
    ("Word", "Command"),
    ("heard", "acknowledged"),
    ("hearing", "acknowledge"),
    ("unheard", "pending"),
    ("heard_by", "acknowledged_by"),
    ("said", "message"),
    ("words", "message"),
    ("Commanded", "ControlOutcome"),
    ("turn_back", "start_rollback"),
    ("TurnBack", "RollBack"),
    ("face_back", "retarget"),
    ("turned", "pause_changed_at"),
    ("turned_back", "rolls_back"),
    ("strays", "deregistered_by_predecessor"),
    ("trip", "stop_conditions"),
    ("obey", "apply_command"),
    ("blocked", "check_failure"),
    ("outlook", "preflight"),
    ("Outlook", "Preflight"),
    ("take_up", "restore_from_record"),
    ("take_in", "absorb"),
    ("take_hold", "acquire_lease"),
    ("keep_hold", "renew_lease"),
    ("let_go", "release_lease"),
    ("take_off", "delete_tags"),
    ("hold_and_drive", "run_with_lease"),
    ("patiently", "with_retries"),
    ("patience", "retry_budget"),
    ("ways", "routing_fingerprint"),
    ("refuse_other_ways", "refuse_changed_routing"),
    ("Own", "TagMember"),
    ("Disown", "UntagMember"),
    ("CatchUp", "ApplyScheduledAction"),
    ("like", "source_instance"),
    ("at_home", "in_primary"),
    ("join_home", "register_in_primary"),
    ("gather", "fill_secondary"),
    ("stands", "hold_for"),
    ("go_on", "start_next, resume"),
    ("rest", "wait_deliberately"),
    ("fell_due", "missed_scheduled_action"),
    ("Looked", "OpenError"),
    ("Ended", "DeleteOutcome"),
    ("lookable", "with_default_policy"),
    ("in_the_dark", "all_unknown"),
    ("promise", "planned_revision"),
    ("moved", "replaced_paths"),
    ("may_come", "may_be_created_later"),
    ("Edge", "ProcessContext"),
    ("say", "print_line"),
    ("Asking", "GateRunner"),
    ("Said", "GateResult"),
    ("Gated", "GateState, GateAnswered"),
    ("goes_on", "still_running"),
    ("Spent", "TokenAlreadyUsed"),
    ("surely", "surely_serves"),
    ("spared", "not_surplus"),
    ("excused", "not_blamed"),
    ("greeted", "after_healthy_done"),
    ("strangers", "unexplained_launches"),
    ("Best", "LeastRemaining"),
    ("way_back", "rollback_target"),
    ("WayBack", "RollbackTarget"),
    ("hindrances", "blockers"),
    ("stood_still", "was_suspended"),
    ("stands_still", "note_suspension"),
    ("rests", "waits_deliberately"),
    ("paper", "dry_run"),
    ("UNSEEN_FOR", "NOT_FOUND_RETRY_FOR"),
];
/// Parts of identifiers that are not used, with what replaces them.
const PARTS: &[(&str, &str)] = &[
    ("dark", "unseen, unknown"),
    ("disown", "untag_member"),
    ("heard", "acknowledged"),
    ("home", "primary"),
    ("obey", "apply_command"),
    ("outlook", "preflight"),
    ("patience", "retry_budget"),
    ("stray", "deregistered_by_predecessor"),
    ("strays", "deregistered_by_predecessor"),
    ("words", "message"),
];
/// Names of files and modules that are not used.
const MODULES: &[&str] = &[
    "bed",
    "best",
    "control_word",
    "given",
    "host_of_terraform",
    "kept",
    "outlook",
    "paper",
    "plain",
    "progress",
    "refresh",
    "seen",
    "sidecar",
    "strangers",
    "trip",
    "way_back",
    "word",
    "words",
];
/// Names on the wire and in tags that are not used.
const WIRE: &[&str] = &[
    "gate",
    "goes_on",
    "heard",
    "heard_by",
    "held",
    "kept",
    "like",
    "own",
    "disown",
    "catch_up",
    "plain",
    "refresh",
    "said",
    "spent",
    "turned",
    "turned_back",
    "word",
    "words",
];
/// Exceptions: an identifier or a name on the wire, the end of the path that may have it (`wire`
/// for schemas), and why. At most fifteen.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("Refresh", ".rs", "AWS: ScaleInProtectedInstances=Refresh"),
    ("refresh", "wire", "AWS: ScaleInProtectedInstances=Refresh"),
    ("Engine", "host/handshake.rs", "base64's trait"),
    ("Engine", "tests/it/terraform_host/connection.rs", "base64's trait"),
    ("gate", "wire", "an event's gate: alarms, an address or a command"),
    ("home", "e2e/ansible/node.rs", "Ansible's folder, ANSIBLE_HOME"),
    ("home", "e2e/terraform/workspace.rs", "the user's folder, HOME"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every source file of the crates.
fn crates() -> Vec<PathBuf> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    for entry in std::fs::read_dir(root().join("providers")).expect("the providers") {
        sources(&entry.expect("a provider").path().join("src"), &mut files);
    }
    files
}

/// Checks that no name is `found` at several places but the `shared` ones, each with its meaning.
fn assert_only_shared(mut found: BTreeMap<String, Vec<String>>, shared: &[(&str, &str)]) {
    found.retain(|_, places| places.len() > 1);
    let new: Vec<String> = found
        .iter()
        .filter(|(name, _)| !shared.iter().any(|(known, _)| known == name))
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect();
    assert!(new.is_empty(), "name these apart, or say what they share:\n{}", new.join("\n"));
    let gone: Vec<&str> =
        shared.iter().map(|(name, _)| *name).filter(|name| !found.contains_key(*name)).collect();
    assert!(gone.is_empty(), "no longer shared: {}", gone.join(", "));
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn is_excepted(name: &str, place: &str) -> bool {
    EXCEPTIONS.iter().any(|(known, end, _)| *known == name && place.ends_with(end))
}

fn identifiers(tokens: TokenStream, found: &mut BTreeMap<String, usize>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => *found.entry(ident.to_string()).or_default() += 1,
            TokenTree::Group(group) => identifiers(group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The words of an identifier in lower case: `HeldBack`, `held_back` and `HELD_BACK` have two.
fn parts(identifier: &str) -> impl Iterator<Item = String> {
    let mut parts = vec![String::new()];
    let mut before = ' ';
    for character in identifier.chars() {
        if character == '_' || (character.is_uppercase() && before.is_lowercase()) {
            parts.push(String::new());
        }
        if character != '_' {
            parts.last_mut().expect("a part").extend(character.to_lowercase());
        }
        before = character;
    }
    parts.into_iter()
}

#[test]
fn no_name_that_was_given_up_is_an_identifier_or_a_module() {
    let mut files = Vec::new();
    for folder in ["src", "providers", "benches", "tests/it", "fuzz/src"] {
        sources(&root().join(folder), &mut files);
    }
    assert!(files.len() > 250, "{}", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let place = file.strip_prefix(root()).expect("below").display().to_string();
        let stem = file.file_stem().expect("a name").to_string_lossy();
        if MODULES.contains(&stem.as_ref()) {
            wrong.push(format!("{place}: a file of this name"));
        }
        let text = std::fs::read_to_string(&file).expect("a source file");
        // The file is parsed, so that no text is taken for code.
        syn::parse_file(&text).unwrap_or_else(|why| panic!("{place}: {why}"));
        let mut found = BTreeMap::new();
        identifiers(text.parse().expect("tokens"), &mut found);
        for (name, instead) in IDENTIFIERS {
            let times = found.get(*name).copied().unwrap_or_default();
            if times > 0 && !is_excepted(name, &place) {
                wrong.push(format!("{place}: {name}, {times} times; it is {instead}"));
            }
        }
        for (part, instead) in PARTS.iter().filter(|(part, _)| !is_excepted(part, &place)) {
            let whole = found.keys().filter(|name| parts(name).any(|found| found == *part));
            wrong.extend(whole.map(|name| format!("{place}: {name}; {part} is {instead}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Collects the names of properties, and the strings that are allowed.
fn names(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), value) {
                    ("properties", Value::Object(properties)) => {
                        found.extend(properties.keys().cloned());
                    }
                    ("enum" | "const", Value::Array(_) | Value::String(_)) => {
                        let one = std::slice::from_ref(value);
                        let all = value.as_array().map_or(one, Vec::as_slice);
                        found.extend(all.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    _ => {}
                }
                names(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        _ => {}
    }
}

#[test]
fn no_name_that_was_given_up_is_on_the_wire_or_in_a_tag() {
    let mut found = Vec::new();
    for (_, schema) in rolling::frontends::schemas::all() {
        names(&schema, &mut found);
    }
    assert!(found.len() > 500, "{}", found.len());
    // A tag is a line of `name=value`.
    let tags = std::fs::read_to_string(root().join("src/record/tags.rs")).expect("the record");
    let keys = tags.split('"').filter(|text| text.starts_with("rolling:"));
    found.extend(keys.map(|key| key.trim_start_matches("rolling:").to_owned()));
    for name in [".with(\"", ".with_some(\"", ".with_flag(\""] {
        let fields = tags.split(name).skip(1).filter_map(|text| text.split('"').next());
        found.extend(fields.map(str::to_owned));
    }
    let wrong =
        found.iter().filter(|name| WIRE.contains(&name.as_str()) && !is_excepted(name, "wire"));
    let wrong: Vec<&String> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// What is generated from documentation comments is for users of every language, so nothing in it is
/// a link of rustdoc or a path in Rust.
#[test]
fn no_schema_and_no_documentation_has_a_link_of_rustdoc() {
    let schemas = rolling::frontends::schemas::all();
    let mut texts: Vec<(&str, String)> =
        schemas.iter().map(|(name, schema)| (*name, schema.to_string())).collect();
    texts.push(("terraform.md", docs::provider() + &docs::resource()));
    texts.push(("ansible", rolling::frontends::ansible::arguments::schema().to_string()));
    for (name, text) in texts {
        for link in ["[`", "crate::", "Self::", "Event::"] {
            let at = text.find(link);
            let around = at.map(|at| text[at..].chars().take(80).collect::<String>());
            assert_eq!(around, None, "{name}");
        }
    }
}

#[test]
fn exceptions_are_few_and_needed() {
    assert!(EXCEPTIONS.len() <= 15);
    let mut files = Vec::new();
    for folder in ["src", "providers", "tests/it"] {
        sources(&root().join(folder), &mut files);
    }
    for (name, end, why) in EXCEPTIONS.iter().filter(|(_, end, _)| *end != "wire") {
        assert!(!why.is_empty(), "{name} {end}");
        let is_there = |file: &PathBuf| {
            let text = std::fs::read_to_string(file).expect("a source file");
            let mut found = BTreeMap::new();
            identifiers(text.parse().expect("tokens"), &mut found);
            found.keys().any(|known| known == name || parts(known).any(|part| part == *name))
        };
        let mut places = files.iter().filter(|file| file.display().to_string().ends_with(end));
        assert!(places.any(is_there), "no {name} in {end}: the exception is not needed");
    }
}
