//! What is printed: nothing that commands a terminal, and progress on every kind of terminal.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::{self, Ran, run};

/// A document of one fleet of four, whose gate prints `output`.
fn document(output: &str) -> Value {
    json!({
        "provider": { "rolling": { "simulator": { "speed": 600 } } },
        "resource": { "rolling_deployment": { "web": {
            "policy": "rolling", "batch_size_type": "fixed", "batch_size": 2,
            "simulated_fleet": { "name": "web", "revision": "v2", "instances": 4 },
            "gates": { "command": { "run": ["printf", "%s", output], "timeout": "100m" } },
        } } },
    })
}

#[test]
fn what_a_gate_prints_commands_no_terminal_and_forges_no_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let output = "\u{1b}]52;c;eA==\u{7}ok\u{9b}2J\u{202e}\nweb: rolled back\r";
    let file = process::write(folder, &document(output));
    let apply = |more: &[&str], log: &str| {
        let mut command = process::rolling();
        command.arg("apply").arg(&file).args(more).env("RUST_LOG", log);
        run(command.current_dir(folder))
    };
    let ran = apply(&[], "rolling=trace");
    assert_eq!(ran.code, 0, "{ran:?}");
    let escaped = r"\u{1b}]52;c;eA==\u{7}ok\u{9b}2J\u{202e}\nweb: rolled back";
    assert!(ran.stdout.contains(escaped), "{ran:?}");
    for text in [&ran.stdout, &ran.stderr] {
        let is_harmful = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
        assert!(!text.contains(is_harmful), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("web: rolled back")), "{text}");
    }
    // JSON keeps the text as it is.
    std::fs::remove_dir_all(folder.join(".rolling")).expect("a fresh fleet");
    let ran = apply(&["--output", "json"], "error");
    let lines = ran.lines();
    let answer = lines.iter().find(|line| line["event"]["type"] == "gate_answered");
    let message = answer.and_then(|answer| answer["event"]["message"].as_str());
    assert!(message.is_some_and(|message| message.contains(output.trim())), "{message:?}");
}

/// Rolls on a terminal of this kind.
fn apply_on_terminal(term: Option<&str>, folder: &Path, file: &Path) -> Ran {
    const SCRIPT: &str = "import os, pty, sys\n\
                          sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let program = process::rolling();
    let mut command = Command::new("python3");
    command.args(["-c", SCRIPT]).arg(program.get_program()).arg("apply").arg(file);
    let term = (std::ffi::OsStr::new("TERM"), term.map(std::ffi::OsStr::new));
    for (name, value) in program.get_envs().chain([term]) {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    run(command.current_dir(folder).stdin(Stdio::null()))
}

#[test]
fn a_terminal_that_cannot_redraw_gets_lines_while_the_rollout_goes_on() {
    for (term, is_live) in [(Some("dumb"), false), (None, false), (Some("xterm"), true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = process::write(folder.path(), &document("ok"));
        let ran = apply_on_terminal(term, folder.path(), &file);
        assert_eq!(ran.code, 0, "{term:?}: {ran:?}");
        for message in ["batch 2", "waiting for", "web: succeeded, 4 instances on v2"] {
            assert!(ran.stdout.contains(message), "{term:?}: {ran:?}");
        }
        assert_eq!(ran.stdout.contains('\u{1b}'), is_live, "{term:?}: {ran:?}");
    }
}
