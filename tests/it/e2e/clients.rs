//! The clients, the Pulumi provider and the pipelines in `examples/`, run on the simulator.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::process::{Ran, rolling, run, write};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns a program that runs in `folder` and finds this `rolling`.
fn program(name: impl Into<OsString>, folder: &Path) -> Command {
    let rolling = Path::new(env!("CARGO_BIN_EXE_rolling")).parent().expect("a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(rolling.to_owned()).chain(std::env::split_paths(&path));
    let mut command = Command::new(name.into());
    command
        .env("PATH", std::env::join_paths(path).expect("a path"))
        .env("PYTHONPATH", root().join("examples/clients/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// Writes a document with a fleet of ten, of which version 3 is bad. At this speed an hour takes
/// two seconds, which a busy machine may need for a boot.
fn document(folder: &Path, speed: u32, revision: &str, more: &Value) -> PathBuf {
    let mut config = json!({
        "policy": "rolling", "batch_size_type": "percentage", "batch_size": 30,
        "health": { "healthy_timeout": "1h" },
        "simulated_fleet": {
            "name": "web", "revision": revision, "bad_revisions": { "v3": "unhealthy" },
        },
    });
    let more = more.as_object().cloned().unwrap_or_default();
    config.as_object_mut().expect("an object").extend(more);
    let document = json!({
        "provider": { "rolling": { "simulator": { "speed": speed } } },
        "resource": { "rolling_deployment": { "web": config } },
    });
    write(folder, &document)
}

/// Returns the one revision that all ten instances run and serve, or the status if there is none.
fn deployed(file: &Path) -> Result<String, Value> {
    let folder = file.parent().expect("a folder");
    let ran = run(rolling().current_dir(folder).args(["status", "--output", "json"]).arg(file));
    let status = ran.lines()[0].clone();
    let instances = status["resources"][0]["instances"].as_array().map_or(&[][..], |all| all);
    let runs = |revision| move |i: &Value| i["revision"] == revision && i["serves"] == true;
    match instances.first().and_then(|first| first["revision"].as_str()) {
        Some(revision) if instances.len() == 10 && instances.iter().all(runs(revision)) => {
            Ok(revision.to_owned())
        }
        _ => Err(status),
    }
}

/// Checks what `deploy` of both clients must do; `deploy` is the command without the document.
fn deploys(deploy: impl Fn(&Path) -> Command) {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let with = |revision: &str, more: Value| {
        let file = document(folder, 2000, revision, &more);
        (run(deploy(folder).arg(&file)), deployed(&file))
    };

    let (ran, fleet) = with("v2", json!({}));
    assert_eq!((ran.code, fleet), (0, Ok("v2".into())), "{ran:?}");
    assert!(ran.stdout.starts_with("web: batches of 3, 3, 3, 1\n"), "{ran:?}");
    assert!(ran.stdout.contains("\nbatch 4: 1\n"), "{ran:?}");
    assert!(ran.stdout.ends_with("\n10 of 10 updated, 10 serving\nweb: succeeded\n"), "{ran:?}");
    let (ran, _) = with("v2", json!({}));
    assert_eq!((ran.code, &*ran.stdout), (0, "web: up to date\nweb: succeeded\n"), "{ran:?}");

    let (ran, fleet) = with("v3", json!({}));
    assert_eq!((ran.code, fleet), (3, Ok("v2".into())), "{ran:?}");
    assert!(ran.stdout.contains("\nrolling back: instance i-0021 of v3"), "{ran:?}");
    assert!(ran.stderr.contains("correct the revision, then apply again"), "{ran:?}");
    let (ran, _) = with("v3", json!({ "on_failure": "pause" }));
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.ends_with("\nweb: paused\n"), "{ran:?}");
    let (ran, fleet) = with("v4", json!({}));
    assert_eq!((ran.code, fleet), (0, Ok("v4".into())), "{ran:?}");
    let (ran, _) = with("v3", json!({ "on_failure": "stop" }));
    assert_eq!(ran.code, 1, "{ran:?}");
    let (ran, _) = with("v2", json!({}));
    assert_eq!(ran.code, 0, "{ran:?}");

    let (ran, _) = with("v4", json!({ "policy": "rollin" }));
    assert_eq!((ran.code, &*ran.stdout), (2, ""), "{ran:?}");
    assert!(ran.stderr.contains("error at /policy: "), "{ran:?}");
    assert!(ran.stderr.contains("did you mean \"rolling\"?"), "{ran:?}");

    // While one is at work another is refused, and the first stops when it is told to.
    for interrupts in [1, 2] {
        let slow = document(folder, 5, "v4", &json!({}));
        let mut first = deploy(folder)
            .arg(&slow)
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a start");
        let mut lines = BufReader::new(first.stdout.take().expect("a pipe")).lines();
        let mut next = || lines.next().map(|line| line.expect("a line"));
        while next().expect("a first batch") != "batch 1: 3" {}
        let second = run(deploy(folder).arg(&slow));
        assert_eq!(second.code, 5, "{second:?}");
        assert!(second.stderr.contains("is at work on this target"), "{second:?}");
        // The server is in another process group, so that only its client gets Ctrl-C.
        let id = first.id().to_string();
        let group = run(Command::new("ps").args(["-o", "pgid=", "--ppid", &id])).stdout;
        assert!(!group.trim().is_empty() && group.trim() != id, "{group} of {id}");
        for number in 0..interrupts {
            // As a terminal does it: every process of the group gets the signal.
            let kill = Command::new("kill").args(["-INT", "--", &format!("-{id}")]).status();
            assert!(kill.expect("kill").success());
            // The run may be over before the second signal.
            while number == 0 && next().expect("an answer to the interrupt") != "stopping" {}
        }
        let last = std::iter::from_fn(next).last();
        let ended = first.wait_with_output().expect("an end");
        let stderr = String::from_utf8(ended.stderr).expect("UTF-8");
        assert_eq!((ended.status.code(), last.as_deref()), (Some(4), Some("web: aborted")));
        // After one signal it ends at a safe point. The second may come too late to make a
        // difference.
        let safe = stderr.contains("all temporary changes are undone");
        assert!(safe || interrupts == 2, "{stderr}");
    }
    let (ran, fleet) = with("v4", json!({}));
    assert_eq!((ran.code, fleet), (0, Ok("v4".into())), "{ran:?}");
}

fn succeeds(command: &mut Command) -> Ran {
    let ran = run(command);
    assert_eq!(ran.code, 0, "{command:?}\n{}\n{}", ran.stdout, ran.stderr);
    ran
}

#[test]
fn the_python_client_deploys() {
    let script = root().join("examples/clients/python/deploy.py");
    deploys(|folder| {
        let mut command = program("python3", folder);
        command.arg(&script);
        command
    });
}

#[test]
fn the_lines_of_python_in_the_readme_work() {
    let readme = root().join("examples/clients/README.md");
    let readme = std::fs::read_to_string(readme).expect("a README");
    let code =
        readme.split("```python\n").nth(1).and_then(|remaining| remaining.split("```").next());
    let folder = tempfile::tempdir().expect("a folder");
    let mut python = program("python3", folder.path());
    let ran = succeeds(python.args(["-c", code.expect("some Python")]));
    assert!(ran.stdout.ends_with("\nsucceeded v2\n"), "{ran:?}");
}

#[test]
fn the_python_client_is_safe_to_call_from_threads_and_leaves_nothing_unattended() {
    let folder = tempfile::tempdir().expect("a folder");
    succeeds(program("python3", folder.path()).arg(root().join("tests/clients/client.py")));
}

#[test]
fn the_python_client_needs_no_more_than_python_3_9() {
    let check = "import ast, sys\nfor file in sys.argv[1:]:\n \
                 ast.parse(open(file).read(), feature_version=(3, 9))";
    let python = root().join("examples/clients/python");
    let files = ["rolling_client.py", "deploy.py"].map(|name| python.join(name));
    succeeds(program("python3", root()).args(["-c", check]).args(files));
}

/// Compiles the TypeScript client below `target/`, once a run, and returns its path.
fn compiled() -> &'static Path {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let source = root().join("examples/clients/typescript");
        let folder = root().join("target/clients/typescript");
        std::fs::create_dir_all(&folder).expect("a folder");
        // Another run of the tests may compile it at the same time.
        let lock = std::fs::File::create(folder.join("lock")).expect("a file");
        lock.lock().expect("a lock");
        let installed = folder.join("node_modules/.package-lock.json");
        let name = "package-lock.json";
        let same = std::fs::read(source.join(name)).ok() == std::fs::read(folder.join(name)).ok();
        for entry in std::fs::read_dir(&source).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.path().is_file() {
                std::fs::copy(entry.path(), folder.join(entry.file_name())).expect("a copy");
            }
        }
        if !same || !installed.exists() {
            succeeds(program("npm", &folder).args(["ci", "--no-audit", "--no-fund"]));
        }
        succeeds(program("npm", &folder).args(["run", "build"]));
        folder.join("dist")
    })
}

#[test]
fn the_typescript_client_deploys() {
    let script = compiled().join("deploy.js");
    deploys(|folder| {
        let mut command = program("node", folder);
        command.arg(&script);
        command
    });
}

#[test]
fn the_typescript_client_keeps_calls_apart_and_leaves_nothing_unattended() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = root().join("tests/clients/client.mjs");
    succeeds(program("node", folder.path()).arg(script).arg(compiled().join("rolling.js")));
}

/// Returns a Python with Pulumi and PyYAML, installed once below `target/`.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let ran = succeeds(
            program("python3", root())
                .args(["tests/localstack/environment.py", "Pulumi"])
                .args(["tests/clients/requirements.txt", "target/clients"]),
        );
        root().join(ran.stdout.trim_end())
    })
}

/// Runs a part of what Pulumi would do, with a copy of the example.
fn pulumi(part: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    for example in ["pulumi", "clients/python"] {
        let copy = folder.path().join(example);
        std::fs::create_dir_all(&copy).expect("a folder");
        let entries = std::fs::read_dir(root().join("examples").join(example)).expect("a folder");
        for entry in entries.map(|entry| entry.expect("an entry")) {
            if entry.path().is_file() {
                std::fs::copy(entry.path(), copy.join(entry.file_name())).expect("a copy");
            }
        }
    }
    let script = root().join("tests/clients/pulumi_provider.py");
    let mut command = program(python(), &folder.path().join("pulumi"));
    succeeds(command.env_remove("PYTHONPATH").arg(script).arg(part));
}

#[test]
fn pulumi_rolls_by_its_program_and_a_failed_create_is_resumed() {
    pulumi("roll");
}

#[test]
fn pulumi_plans_with_what_is_not_known_yet() {
    pulumi("unknown");
}

#[test]
fn pulumi_gives_a_deployment_up_without_touching_an_instance() {
    pulumi("delete");
}

#[test]
fn the_pipelines_plan_apply_and_tell_exit_codes_by_name() {
    for file in ["github-actions.yml", "gitlab-ci.yml"] {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let job = |job: &str, revision: &str, more: Value| {
            let document = document(folder, 2000, revision, &more);
            let pipeline = root().join("examples/pipelines").join(file);
            let mut command = program(python(), folder);
            command.arg(root().join("tests/clients/pipelines.py")).arg(pipeline).arg(job);
            (run(&mut command), deployed(&document))
        };
        let assert_prints = |ran: &Ran, code: i32, message: &str| {
            assert_eq!(ran.code, code, "{file}: {ran:?}");
            assert!(ran.stdout.contains(message), "{file}: {ran:?}");
        };

        let (ran, _) = job("plan", "v2", json!({}));
        assert_prints(&ran, 0, "Merging this rolls the fleet");
        let plan = std::fs::read_to_string(folder.join("plan.txt")).expect("a plan");
        assert!(plan.contains("batches    3, 3, 3, 1"), "{plan}");
        let (ran, fleet) = job("apply", "v2", json!({}));
        assert_prints(&ran, 0, "The fleet runs what the document says.");
        assert_eq!(fleet, Ok("v2".into()));
        let (ran, _) = job("plan", "v2", json!({}));
        assert_prints(&ran, 0, "Nothing to roll.");

        let (ran, fleet) = job("apply", "v3", json!({}));
        assert_prints(&ran, 3, "Rolled back: the new revision failed");
        assert_eq!(fleet, Ok("v2".into()));
        let (ran, _) = job("apply", "v3", json!({ "on_failure": "stop" }));
        assert_prints(&ran, 1, "The rollout failed");
        let (ran, _) = job("apply", "v3", json!({ "on_failure": "pause" }));
        assert_prints(&ran, 4, "Paused or aborted");
        for name in ["plan", "apply"] {
            let (ran, _) = job(name, "v2", json!({ "policy": "rollin" }));
            assert_prints(&ran, 2, "The document cannot be carried out");
        }
        if file.starts_with("github") {
            let summary = std::fs::read_to_string(folder.join("summary.md")).expect("a summary");
            assert!(summary.starts_with(&format!("```\n{plan}")), "{summary}");
        }
    }
}
