//! Tries a probe: a GET request, or a command. Reports its answer whether it passes or not.

use std::collections::BTreeMap;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rolling_provider::Clock;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::retry::Retry;
use crate::model::spec::{Probe, Secret};
use crate::rollout::gate_failure::{AddressFailure, GateFailure};

/// How long one answer to a request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How much of a command's output is reported: its end, in characters.
const OUTPUT_CHARS: usize = 500;
/// How much of each stream is kept for that, in bytes: a character has at most four.
const LONGEST_OUTPUT: usize = 4 * OUTPUT_CHARS;
/// How long the last output of a command may take to arrive once the command has ended.
const LAST_OUTPUT_WITHIN: Duration = Duration::from_millis(500);

/// What a command finds in its environment.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The fleet's name for people.
    pub(crate) target: String,
    /// The revision that is rolled out.
    pub(crate) revision: String,
    /// The number of the last finished batch.
    pub(crate) batch: u32,
}

/// Tries `probe` within its timeout.
///
/// # Errors
/// Why it does not pass.
pub(crate) async fn attempt(
    probe: &Probe,
    context: &Context,
    clock: &Arc<dyn Clock>,
) -> Result<String, GateFailure> {
    match probe {
        Probe::Http { url, status, timeout } => ask(url, *status, *timeout, clock).await,
        Probe::Command { run, environment, timeout } => {
            execute((run, environment), context, *timeout, clock).await
        }
    }
}

/// Asks until the answer has the expected status.
async fn ask(
    url: &str,
    status: u16,
    timeout: Duration,
    clock: &Arc<dyn Clock>,
) -> Result<String, GateFailure> {
    let mut retry = Retry::new(0.0).since(clock.now());
    let limit = clock.now() + timeout;
    let mut before = None;
    loop {
        let left = limit.since(clock.now());
        let message = tokio::select! {
            message = get(url) => message,
            () = clock.sleep(ANSWER_WITHIN.min(left)) => Err(AddressFailure::NoAnswer),
        };
        let failure = match message {
            Ok(found) if found == status => return Ok(format!("{found}")),
            Ok(found) => AddressFailure::Status { found, expected: status },
            Err(failure) => failure,
        };
        // The last try is cut short, and says less than the one before.
        let failure = if left < ANSWER_WITHIN { before.unwrap_or(failure) } else { failure };
        before = Some(failure.clone());
        let Some(pause) = retry.failed(clock.now(), timeout) else {
            return Err(GateFailure::Address { failure, timeout });
        };
        clock.sleep(pause.min(limit.since(clock.now()))).await;
    }
}

/// Asks once. Returns the status of the answer.
async fn get(url: &str) -> Result<u16, AddressFailure> {
    let uri = url
        .parse::<hyper::Uri>()
        .map_err(|error| AddressFailure::Invalid { url: url.to_owned(), why: error.to_string() })?;
    let crypto = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(crypto)
        .map_err(|error| AddressFailure::NoCertificates(error.to_string()))?
        .https_or_http()
        .enable_http1()
        .build();
    let client: Client<_, String> = Client::builder(TokioExecutor::new()).build(connector);
    let answer = client.get(uri).await.map_err(|error| {
        let causes = std::iter::successors(std::error::Error::source(&error), |e| e.source());
        let why = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
        AddressFailure::Request(why)
    })?;
    Ok(answer.status().as_u16())
}

/// Runs a command once, in its own process group, which ends with it.
async fn execute(
    (run, environment): (&[String], &BTreeMap<String, Secret>),
    context: &Context,
    timeout: Duration,
    clock: &Arc<dyn Clock>,
) -> Result<String, GateFailure> {
    let (program, arguments) = run.split_first().ok_or(GateFailure::NoProgram)?;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, &value.0)))
        .env("ROLLING_TARGET", &context.target)
        .env("ROLLING_REVISION", &context.revision)
        .env("ROLLING_BATCH", context.batch.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| GateFailure::NotStarted {
            program: program.clone(),
            why: error.to_string(),
        })?;
    let _group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let reading =
            async { tokio::join!(keep_end(stdout, &mut out), keep_end(stderr, &mut err)) };
        end(&mut child, reading, clock.sleep(timeout)).await
    };
    let ended = ended.ok_or(GateFailure::NotEnded(timeout))?;
    let ended = ended.map_err(|error| GateFailure::NotFollowed {
        program: program.clone(),
        why: error.to_string(),
    })?;
    let printed = [out, err].concat();
    let printed = without(environment, &String::from_utf8_lossy(&printed));
    let printed: Vec<char> = printed.trim().chars().collect();
    let output: String = printed[printed.len().saturating_sub(OUTPUT_CHARS)..].iter().collect();
    let how = match ended.code() {
        Some(code) => format!("exit code {code}"),
        None => ended.to_string(),
    };
    let message = if output.is_empty() { how } else { format!("{how}: {output}") };
    if ended.success() { Ok(message) } else { Err(GateFailure::Unsuccessful(message)) }
}

/// Returns a command's output without its secrets. Keeps those shorter than four letters: they are
/// too much like anything else.
fn without(secrets: &BTreeMap<String, Secret>, printed: &str) -> String {
    let secrets = secrets.values().map(|secret| secret.0.trim()).filter(|text| text.len() > 3);
    secrets.fold(printed.to_owned(), |output, secret| output.replace(secret, "(sensitive)"))
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

/// Reads to the end, and keeps the part that may be reported.
async fn keep_end(from: Option<impl AsyncRead + Unpin>, tail: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut some = [0; 8192];
    // Output that cannot be read counts as not printed.
    while let Ok(count @ 1..) = from.read(&mut some).await {
        tail.extend_from_slice(&some[..count]);
        let excess = tail.len().saturating_sub(LONGEST_OUTPUT);
        tail.drain(..excess);
    }
}

/// A process group that is killed when the engine no longer waits for it.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may be gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_OUTPUT, keep_end};

    #[tokio::test]
    async fn of_much_that_is_printed_the_end_is_kept_and_no_more() {
        let printed = [vec![b'x'; 10_000_000], b"the end".to_vec()].concat();
        let mut tail = Vec::new();
        keep_end(Some(&printed[..]), &mut tail).await;
        assert!(tail.ends_with(b"xthe end"));
        assert!(tail.len() == LONGEST_OUTPUT && tail.capacity() < 50_000, "{}", tail.capacity());
    }
}
