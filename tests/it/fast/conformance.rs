//! Runs the conformance suite of the protocol against this program. The suite is a program of its
//! own, in Python, so that it can test other implementations, too.

use std::path::Path;
use std::process::Command;

fn suite() -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/run.py");
    let mut command = Command::new("python3");
    command.arg(script);
    command
}

fn must_pass(command: &mut Command) {
    let done = command.output().expect("these tests need Python 3.9 or newer as `python3`");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{}\n{out}{err}", done.status);
}

#[test]
fn the_program_conforms_to_its_protocol() {
    must_pass(suite().arg("--").arg(env!("CARGO_BIN_EXE_rolling")).arg("serve"));
}

#[test]
fn the_suite_finds_servers_that_break_a_rule() {
    must_pass(suite().arg("--self-test"));
}
