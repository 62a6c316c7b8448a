//! Tries a probe, a GET request or a command, until it passes or its time is over. Reports its last
//! answer whether it passes or not.

use std::sync::Arc;
use std::time::Duration;

use rolling_provider::Clock;

use super::address::get;
use super::background::LastTry;
use super::program::{UserProgram, execute};
use super::retry::Retry;
use crate::model::spec::Probe;
use crate::rollout::gate_failure::{AddressFailure, GateFailure};

/// How long one answer to a request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How much time the last try has at least.
const LAST_TRY: Duration = Duration::from_secs(1);

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
    last_try: &LastTry,
) -> Result<String, GateFailure> {
    match probe {
        Probe::Http { url, status, timeout } => ask(url, *status, *timeout, clock, last_try).await,
        Probe::Command { run, environment, timeout } => {
            let program =
                UserProgram { run, environment, variables: variables(context), input: Vec::new() };
            run_until(&program, *timeout, clock, last_try).await
        }
    }
}

/// Asks until the answer has the expected status.
async fn ask(
    url: &str,
    status: u16,
    timeout: Duration,
    clock: &Arc<dyn Clock>,
    last_try: &LastTry,
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
        let pause = retry.failed(clock.now(), timeout);
        last_try.failed(retry.failures(), &failure);
        let left = limit.since(clock.now());
        let Some(pause) = pause.and_then(|pause| before_next_try(pause, left)) else {
            return Err(GateFailure::Address { failure, timeout });
        };
        clock.sleep(pause).await;
    }
}

/// Returns what a command finds in its environment besides its own.
fn variables(context: &Context) -> Vec<(&'static str, String)> {
    vec![
        ("ROLLING_TARGET", context.target.clone()),
        ("ROLLING_REVISION", context.revision.clone()),
        ("ROLLING_BATCH", context.batch.to_string()),
    ]
}

/// Runs a command until it exits with 0. One that cannot be started is not tried again.
async fn run_until(
    program: &UserProgram<'_>,
    timeout: Duration,
    clock: &Arc<dyn Clock>,
    last_try: &LastTry,
) -> Result<String, GateFailure> {
    let mut retry = Retry::new(0.0).since(clock.now());
    let limit = clock.now() + timeout;
    let mut last = None;
    loop {
        match (execute(program, limit.since(clock.now()), clock).await, &last) {
            (Ok(message), _) => return Ok(message),
            // The last try is cut short, and says less than the one before.
            (Err(GateFailure::NotEnded(_)), Some(_)) => {}
            (Err(GateFailure::NotEnded(_)), None) => last = Some(GateFailure::NotEnded(timeout)),
            (Err(failure @ (GateFailure::NoProgram | GateFailure::NotStarted { .. })), _) => {
                return Err(failure);
            }
            (Err(failure), _) => last = Some(failure),
        }
        let pause = retry.failed(clock.now(), timeout);
        if let Some(failure) = &last {
            last_try.failed(retry.failures(), failure);
        }
        let left = limit.since(clock.now());
        let Some(pause) = pause.and_then(|pause| before_next_try(pause, left)) else {
            return Err(GateFailure::each_time(last, retry.failures()));
        };
        clock.sleep(pause).await;
    }
}

/// Returns how long to wait before the next try, where `pause` is due and this much time is `left`:
/// shorter before the last try, which still has a moment. `None` where there is none for another.
fn before_next_try(pause: Duration, left: Duration) -> Option<Duration> {
    let most = left.checked_sub(LAST_TRY).filter(|most| !most.is_zero())?;
    Some(pause.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_before_the_last_try_leaves_it_a_moment() {
        let seconds = Duration::from_secs;
        assert_eq!(before_next_try(seconds(2), seconds(60)), Some(seconds(2)));
        assert_eq!(before_next_try(seconds(10), seconds(6)), Some(seconds(5)));
        assert_eq!(before_next_try(seconds(10), seconds(1)), None);
    }
}
