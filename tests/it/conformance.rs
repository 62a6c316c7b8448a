//! The conformance suite, driving this program; and the suite itself, driving broken ones.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{rolling, run};

fn suite() -> Command {
    // What the suite starts inherits its environment.
    let mut command = Command::new("python3");
    for (name, value) in rolling().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/run.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null());
    command
}

#[test]
fn this_program_conforms() {
    let ran = run(suite().args(["--", env!("CARGO_BIN_EXE_rolling"), "serve"]));
    let failed: Vec<&str> = ran.stdout.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert_eq!(ran.code, 0, "{}\n{}", failed.join("\n"), ran.stderr);
    let passed = ran.stdout.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(passed >= 50, "{passed} cases");
}

#[test]
fn the_suite_notices_servers_that_break_its_rules() {
    let ran = run(suite().arg("--self-test"));
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
}
