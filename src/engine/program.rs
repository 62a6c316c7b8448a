//! Runs a program of the user's once: a gate or a hook.

use std::collections::BTreeMap;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rolling_provider::Clock;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::secrets::{Secrets, Tail};
use crate::model::spec::Secret;
use crate::rollout::gate_failure::GateFailure;

/// How much of a program's output is reported: its end, in characters.
const OUTPUT_CHARS: usize = 500;
/// How much of each stream is kept for that, in bytes: a character has at most four.
const LONGEST_OUTPUT: usize = 4 * OUTPUT_CHARS;
/// How long the last output of a program may take to arrive once the program has ended.
const LAST_OUTPUT_WITHIN: Duration = Duration::from_millis(500);

/// A program of the user's, and what it finds.
pub(super) struct UserProgram<'a> {
    /// The program and its arguments.
    pub(super) run: &'a [String],
    /// The variables of its environment that the user sets.
    pub(super) environment: &'a BTreeMap<String, Secret>,
    /// Those that we set.
    pub(super) variables: Vec<(&'static str, String)>,
    /// What it reads from its standard input.
    pub(super) input: Vec<u8>,
}

/// Runs a program once, in its own process group, which ends with it.
///
/// # Errors
/// Why it has not exited with 0 within `timeout`.
pub(super) async fn execute(
    program: &UserProgram<'_>,
    timeout: Duration,
    clock: &Arc<dyn Clock>,
) -> Result<String, GateFailure> {
    let UserProgram { run, environment, variables, input } = program;
    let (program, arguments) = run.split_first().ok_or(GateFailure::NoProgram)?;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, &value.0)))
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| GateFailure::NotStarted {
            program: program.clone(),
            why: error.to_string(),
        })?;
    let _group = ProcessGroup(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let secrets = Secrets::of(environment);
    let (mut out, mut err) = (Tail::default(), Tail::default());
    let ended = {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let stdin = child.stdin.take();
        let talking = async {
            let longest = LONGEST_OUTPUT + secrets.longest();
            let (out, err) =
                (keep_end(stdout, longest, &mut out), keep_end(stderr, longest, &mut err));
            tokio::join!(give(stdin, input), out, err)
        };
        end(&mut child, talking, clock.sleep(timeout)).await
    };
    let ended = ended.ok_or(GateFailure::NotEnded(timeout))?;
    let ended = ended.map_err(|error| GateFailure::NotFollowed {
        program: program.clone(),
        why: error.to_string(),
    })?;
    let printed = [secrets.hidden(&out), secrets.hidden(&err)].concat();
    let printed = String::from_utf8_lossy(&printed);
    let printed: Vec<char> = printed.trim().chars().collect();
    let output: String = printed[printed.len().saturating_sub(OUTPUT_CHARS)..].iter().collect();
    let how = match ended.code() {
        Some(code) => format!("exit code {code}"),
        None => ended.to_string(),
    };
    let message = if output.is_empty() { how } else { format!("{how}: {output}") };
    if ended.success() { Ok(message) } else { Err(GateFailure::Unsuccessful(message)) }
}

/// Waits until a command has ended, while `reading` reads its output. Returns `None` if it does not
/// end before `limit`. Does not wait for processes that the command leaves running: they may hold
/// the output open for as long as they like.
async fn end(
    child: &mut Child,
    reading: impl Future,
    limit: impl Future,
) -> Option<io::Result<ExitStatus>> {
    tokio::pin!(reading, limit);
    let mut is_read = false;
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended,
            _ = &mut reading, if !is_read => is_read = true,
            _ = &mut limit => return None,
        }
    };
    #[expect(clippy::disallowed_methods, reason = "a pipe's time, not the fleet's")]
    let enough = tokio::time::sleep(LAST_OUTPUT_WITHIN);
    tokio::select! {
        _ = &mut reading, if !is_read => {}
        () = enough, if !is_read => {}
        else => {}
    }
    Some(ended)
}

/// Writes all of `input`. A program that does not read it misses nothing.
async fn give(to: Option<impl AsyncWrite + Unpin>, input: &[u8]) {
    let Some(mut to) = to else { return };
    let _ = to.write_all(input).await;
    let _ = to.shutdown().await;
}

/// Reads to the end, and keeps the last bytes, `longest` at most.
async fn keep_end(from: Option<impl AsyncRead + Unpin>, longest: usize, tail: &mut Tail) {
    let Some(mut from) = from else { return };
    let mut some = [0; 8192];
    // Output that cannot be read counts as not printed.
    while let Ok(count @ 1..) = from.read(&mut some).await {
        tail.bytes.extend_from_slice(&some[..count]);
        let excess = tail.bytes.len().saturating_sub(longest);
        tail.is_cut |= excess > 0;
        tail.bytes.drain(..excess);
    }
}

/// A process group that is killed when the engine no longer waits for it.
struct ProcessGroup(Option<Pid>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may be gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_OUTPUT, Tail, keep_end};

    #[tokio::test]
    async fn of_much_that_is_printed_the_end_is_kept_and_no_more() {
        let printed = [vec![b'x'; 10_000_000], b"the end".to_vec()].concat();
        let mut tail = Tail::default();
        keep_end(Some(&printed[..]), LONGEST_OUTPUT, &mut tail).await;
        let Tail { bytes, is_cut } = tail;
        assert!(bytes.ends_with(b"xthe end") && is_cut);
        assert!(bytes.len() == LONGEST_OUTPUT && bytes.capacity() < 50_000, "{}", bytes.capacity());
    }
}
