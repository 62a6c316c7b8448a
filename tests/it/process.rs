//! The program as a process, as its users run it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::wire;

/// What a run of the program printed.
#[derive(Debug)]
pub struct Ran {
    /// What was sent on standard input.
    pub sent: String,
    /// The subcommand, if it was run to its end here.
    pub subcommand: Option<String>,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Returns the program, without the surrounding AWS configuration and with no way to other
/// accounts.
pub fn rolling() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolling"));
    for (name, _) in std::env::vars() {
        if name.starts_with("AWS_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .stdin(Stdio::null());
    command
}

/// Runs `command` to its end.
pub fn run(command: &mut Command) -> Ran {
    let done = command.output().expect("the program starts");
    Ran {
        sent: String::new(),
        subcommand: command.get_args().next().map(|name| name.to_string_lossy().into_owned()),
        code: done.status.code().expect("an exit code"),
        stdout: String::from_utf8(done.stdout).expect("UTF-8"),
        stderr: String::from_utf8(done.stderr).expect("UTF-8"),
    }
}

/// Runs `command` with `input` on its standard input, which then ends.
pub fn run_with(command: &mut Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("the program reads");
    drop(stdin);
    let done = child.wait_with_output().expect("an end");
    Ran {
        sent: input.to_owned(),
        subcommand: None,
        code: done.status.code().expect("an exit code"),
        stdout: String::from_utf8(done.stdout).expect("UTF-8"),
        stderr: String::from_utf8(done.stderr).expect("UTF-8"),
    }
}

/// Waits for a fact, with a limit that is reached only if it never comes.
pub fn until(what: &str, fact: impl FnMut() -> bool) {
    until_within(Duration::from_secs(120), what, fact);
}

/// Waits for a fact that must come within so many real seconds.
pub fn until_within(limit: Duration, what: &str, mut fact: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !fact() {
        assert!(begin.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Sends a signal, written like `-INT`.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(sent.expect("kill").success());
}

/// Waits for the end of a program whose output is on pipes; its code is -1 if a signal ended it.
pub fn end(child: Child) -> Ran {
    let done = child.wait_with_output().expect("an end");
    Ran {
        sent: String::new(),
        subcommand: None,
        code: done.status.code().unwrap_or(-1),
        stdout: String::from_utf8(done.stdout).expect("UTF-8"),
        stderr: String::from_utf8(done.stderr).expect("UTF-8"),
    }
}

/// Writes a document and returns its path.
pub fn write(folder: &Path, document: &Value) -> std::path::PathBuf {
    let file = folder.join("web.tf.json");
    std::fs::write(&file, document.to_string()).expect("a document");
    file
}

impl Ran {
    /// Returns standard output as one JSON object a line. Anything else there, and what does not
    /// fit our own schemas, fails the test.
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let lines: Vec<Value> = self.stdout.lines().map(parse).collect();
        match self.sent.is_empty() {
            true => lines.iter().for_each(|line| match &self.subcommand {
                _ if line.get("event").is_some() => wire::event(line),
                Some(name) => wire::answer(name, line),
                None => {}
            }),
            false => wire::conversation(&self.sent, &lines),
        }
        lines
    }
}
