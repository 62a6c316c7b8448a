//! Invariants of the code itself; see ARCHITECTURE.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source file");
            found.push((path, text));
        }
    }
    found
}

#[test]
fn without_default_features_there_is_no_sdk() {
    let listed = packages(&["-p", "rolling", "--no-default-features", "--edges", "normal"]);
    // The library of ciphers below rustls is named after AWS, and is no SDK.
    let is_sdk = |line: &&String| line.starts_with("aws-") && !line.starts_with("aws-lc-");
    let sdk: Vec<&String> = listed.iter().filter(is_sdk).collect();
    assert!(sdk.is_empty(), "{sdk:?}");
}

/// Returns what `cargo tree` lists with these arguments, a package and its features a line.
fn packages(arguments: &[&str]) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--prefix", "none", "--format", "{p} [{f}]"])
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("cargo");
    let listed = String::from_utf8(tree.stdout).expect("UTF-8");
    assert!(listed.contains("rolling-simulator"), "{}", String::from_utf8_lossy(&tree.stderr));
    listed.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

/// What a newcomer's first command builds is not built again by the second: that happens to a
/// dependency with other features under test, and to all that depend on it.
#[test]
fn one_build_serves_run_and_test() {
    let run = packages(&["-p", "rolling", "--edges", "normal,build"]);
    let test = packages(&["--workspace", "--edges", "normal,build,dev"]);
    let built_twice: Vec<&String> = run.difference(&test).collect();
    assert_eq!(built_twice, Vec::<&String>::new(), "name its features in Cargo.toml");
}

#[test]
fn the_planner_knows_neither_io_nor_time() {
    let mut planner = Vec::new();
    for module in ["model", "record", "rollout"] {
        planner.extend(sources(&root().join("src").join(module)));
    }
    assert!(planner.len() > 60);
    for file in ["tick", "retry", "shown", "message"] {
        let path = root().join("src/engine").join(file).with_extension("rs");
        let text = std::fs::read_to_string(&path).expect("a source file");
        planner.push((path, text));
    }
    let banned = [
        "async", "tokio", "std::io", "std::fs", "std::env", "Instant", "rand", "tracing", "HashMap",
    ];
    for (path, text) in planner {
        for name in banned {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let found = code.filter(|line| line.contains(name)).collect::<Vec<_>>();
            assert!(found.is_empty(), "{} has {name}: {found:?}", path.display());
        }
    }
}

/// The modules that hold a fleet, and so may call the cloud: the registry makes it, `deployment/open`
/// and some front-ends hand it on, and the engine uses it. A module need not write the type: it may
/// get a fleet from `Providers::open`.
#[test]
fn only_the_listed_modules_may_call_the_cloud() {
    let architecture = root().join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(architecture).expect("ARCHITECTURE.md");
    let (_, list) = text.split_once("```may-call-the-cloud\n").expect("the list");
    let (list, _) = list.split_once("```").expect("its end");
    let listed: BTreeSet<String> =
        list.split_whitespace().map(|name| format!("{name}.rs")).collect();
    let source = root().join("src");
    let holds = |(path, text): (PathBuf, String)| {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = code.collect::<Vec<_>>().join("\n");
        let is_engine = path.starts_with(source.join("engine"));
        let holds = ["dyn Fleet", "impl Fleet", "providers.open(", ".examine("]
            .iter()
            .any(|way| code.contains(way));
        let holds = holds || (is_engine && code.contains("self.fleet"));
        holds.then(|| path.strip_prefix(&source).expect("below src").display().to_string())
    };
    let found: BTreeSet<String> = sources(&source).into_iter().filter_map(holds).collect();
    assert_eq!(found, listed);
}

/// `clippy.toml` does not see the environment that the SDK hands out.
#[test]
fn only_credentials_ask_the_sdk_for_the_environment() {
    let mut found = BTreeSet::new();
    for folder in ["src", "providers"] {
        for (path, text) in sources(&root().join(folder)) {
            if text.contains("Env::real()") {
                found.insert(path.strip_prefix(root()).expect("below").display().to_string());
            }
        }
    }
    assert_eq!(found, BTreeSet::from(["providers/aws/src/credentials.rs".to_owned()]));
}

/// What a cloud calls its own processes comes from its adapter, in `Target`.
#[test]
fn the_planner_knows_no_process_of_a_cloud_by_name() {
    let names = ["AddToLoadBalancer", "AlarmNotification", "AZRebalance", "ScheduledActions"];
    let mut read = 0;
    for module in ["model", "record", "rollout", "engine"] {
        for (path, text) in sources(&root().join("src").join(module)) {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let found: Vec<&&str> = names.iter().filter(|name| code.contains(*name)).collect();
            assert!(found.is_empty(), "{} names {found:?}", path.display());
            read += 1;
        }
    }
    assert!(read > 80, "{read} files were read");
}

#[test]
fn only_the_registry_names_adapters() {
    let adapters = adapters();
    assert!(adapters.len() >= 2, "{adapters:?}");
    let mut named = BTreeSet::new();
    for (path, text) in sources(&root().join("src")) {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code: String = code.collect();
        let names: Vec<_> = adapters.iter().filter(|name| code.contains(*name)).collect();
        let path = path.strip_prefix(root().join("src")).expect("below src");
        let registry = path.starts_with("providers") || path.ends_with("providers.rs");
        assert!(names.is_empty() || registry, "{} names {names:?}", path.display());
        named.extend(names);
    }
    assert_eq!(named.len(), adapters.len(), "some adapter is opened by nobody: {named:?}");
}

/// Returns the names of the crates below `providers` that are adapters, as code writes them: all but
/// the port and what tests put around an adapter.
fn adapters() -> Vec<String> {
    let folders = std::fs::read_dir(root().join("providers")).expect("the providers");
    let names = folders.map(|entry| entry.expect("an entry").file_name().into_string());
    let names = names.map(|name| name.expect("UTF-8"));
    let adapters = names.filter(|name| name != "api" && !name.ends_with("testing"));
    adapters.map(|name| format!("rolling_{name}")).collect()
}

#[test]
fn the_readme_has_the_commands_that_the_gate_runs() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let gate = std::fs::read_to_string(root().join(".ci/run")).expect(".ci/run");
    assert!(readme.contains("\ncargo test\n"));
    assert!(gate.ends_with("\ncargo test\n"));
    assert!(readme.contains("\ncargo run -- apply examples/quickstart/web.tf.json\n"));
}

/// The names in the table of promises are those of the tests, in order.
#[test]
fn the_table_of_promises_and_the_tests_agree() {
    let document = std::fs::read_to_string(root().join("docs/SEMANTICS.md")).expect("the table");
    let read = |name: &str| std::fs::read_to_string(root().join("tests/it/fast").join(name));
    let files = [
        "properties.rs",
        "properties/decisions.rs",
        "properties/endings.rs",
        "properties/hooks.rs",
        "properties/one_by_one.rs",
        "sizes.rs",
        "meanwhile/commands.rs",
    ];
    let source = files.map(|name| read(name).expect("tests")).concat();
    let rows = document.lines().filter_map(|line| {
        let (number, remaining) = line.strip_prefix("| ")?.split_once(" |")?;
        let number: usize = number.parse().ok()?;
        let (_, name) = remaining.rsplit_once("| `")?;
        Some((number, name.strip_suffix("` |")?.to_owned()))
    });
    let rows: Vec<(usize, String)> = rows.collect();
    let tests = source.lines().filter_map(|line| {
        let name = line.trim_start().strip_prefix("fn p")?;
        let (number, _) = name.split_once('_')?;
        let (name, _) = name.split_once('(')?;
        Some((number.parse().ok()?, format!("p{name}")))
    });
    let mut tests: Vec<(usize, String)> = tests.collect();
    tests.sort();
    assert_eq!(rows, tests);
    let numbers: Vec<usize> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=29).collect::<Vec<usize>>());
}

/// The lines that the mutants replace are in the source.
#[test]
fn every_mutant_fits_the_source() {
    let script = root().join("tests/mutants.py");
    let done = Command::new("python3").arg(script).arg("--check").output().expect("Python");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

/// What the table of ARCHITECTURE.md names as enforcing an invariant exists: a test by its name (up
/// to `...`), or a file.
#[test]
fn what_enforces_an_invariant_is_there() {
    let document = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the table");
    let (_, table) = document.split_once("## Invariants").expect("the table");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| "));
    let enforcers = rows.filter_map(|row| row.trim_end_matches(" |").rsplit_once(" | "));
    let names = enforcers.flat_map(|(_, cell)| cell.split('`').skip(1).step_by(2));
    let mut read = 0;
    let mut missing = Vec::new();
    for name in names {
        let class = name.split("::").next().unwrap_or_default();
        let there = match class {
            "fast" | "lab" | "e2e" => is_test(name),
            _ if name.contains('/') => {
                ["", "src", "tests"].iter().any(|place| root().join(place).join(name).exists())
            }
            _ => continue,
        };
        read += 1;
        if !there {
            missing.push(name);
        }
    }
    assert_eq!(missing, Vec::<&str>::new());
    assert!(read > 30, "{read} names were read");
}

/// Who has to learn more words than these does not read on.
#[test]
fn the_glossary_has_at_most_twenty_five_rows() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the glossary");
    let (_, rows) = text.split_once("| term | meaning |\n").expect("the glossary");
    let rows = rows.lines().skip(1).take_while(|line| line.starts_with("| ")).count();
    assert!((20..=25).contains(&rows), "{rows}");
}

/// Whether `class::module::...::function` is below `tests/it`; the last may be a module, too.
fn is_test(name: &str) -> bool {
    let folder = root().join("tests/it");
    let path = name.replace("::", "/");
    if folder.join(&path).with_extension("rs").exists() {
        return true;
    }
    let Some((module, function)) = name.rsplit_once("::") else { return false };
    let file = folder.join(module.replace("::", "/")).with_extension("rs");
    let source = std::fs::read_to_string(file).unwrap_or_default();
    let (start, end) = match function.strip_suffix("...") {
        Some(start) => (start, ""),
        None => (function, "("),
    };
    source.contains(&format!("fn {start}{end}"))
}
