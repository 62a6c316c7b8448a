//! Retries of reads.

use std::collections::BTreeSet;
use std::time::Duration;

use rolling_provider::{Alarm, Clock, ErrorKind, Fleet, Observation, ProviderError, Target};

use super::Caller;
use crate::engine::caller::RETRY_BUDGET;
use crate::engine::schedule::Schedule;

/// Returns the alarms of these names; makes no call for none.
pub(super) async fn alarms(
    fleet: &dyn Fleet,
    clock: &dyn Clock,
    names: &BTreeSet<String>,
    jitter: f64,
) -> Result<Vec<Alarm>, ProviderError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    with_retries(clock, jitter, || fleet.alarms(names)).await
}

/// Looks the target up, then looks at it, and retries either a few times.
pub(super) async fn look_up(
    fleet: &dyn Fleet,
    clock: &dyn Clock,
    caller: &Caller,
) -> Result<(Target, Observation), ProviderError> {
    let Caller { jitter, unseen_for, tell, .. } = *caller;
    let target = retry_until_seen(clock, jitter, (unseen_for, tell), || fleet.resolve()).await?;
    let look = with_retries(clock, jitter, || fleet.observe()).await?;
    Ok((target, look))
}

pub(super) async fn with_retries<T, F: Future<Output = Result<T, ProviderError>>>(
    clock: &dyn Clock,
    jitter: f64,
    ask: impl Fn() -> F,
) -> Result<T, ProviderError> {
    retry_until_seen(clock, jitter, (Duration::ZERO, |_| ()), ask).await
}

/// Does the same as [`with_retries`], and waits for what was created a moment ago.
async fn retry_until_seen<T, F: Future<Output = Result<T, ProviderError>>>(
    clock: &dyn Clock,
    jitter: f64,
    (unseen_for, tell): (Duration, fn(&str)),
    ask: impl Fn() -> F,
) -> Result<T, ProviderError> {
    let mut schedule = Schedule::retrying(jitter);
    let (mut failing_since, mut tries) = (None, 0);
    loop {
        let error = match ask().await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        tries += 1;
        let now = clock.now();
        // Counts from the first failure: the first try may have waited long for its turn.
        let since = *failing_since.get_or_insert(now);
        let is_unseen = error.kind == ErrorKind::Unseen;
        let retry_budget = if is_unseen { unseen_for } else { first_retry_budget(&error) };
        let is_over = now.since(since) >= retry_budget && (tries >= FIRST_TRIES || is_unseen);
        if !(error.is_retryable() || is_unseen) || is_over {
            return Err(error);
        }
        if is_unseen && tries == 1 {
            let limit = humantime::format_duration(unseen_for);
            tell(&format!("{error}: it may have been made a moment ago, waiting for {limit}"));
        }
        tracing::debug!(%error, "trying again");
        clock.sleep(schedule.pause()).await;
    }
}

/// Returns how long to retry before anything was begun: the user is watching and can try again. A
/// throttled call is no reason to give up, though.
fn first_retry_budget(error: &ProviderError) -> Duration {
    match error.kind {
        ErrorKind::Throttled => RETRY_BUDGET,
        _ => Duration::from_secs(2),
    }
}

/// How often a call is tried before anything was begun, even if one try takes longer than the retry
/// time.
const FIRST_TRIES: u32 = 3;

/// Returns what went wrong, and what to do about it.
pub(super) fn with_remedy(error: &ProviderError) -> String {
    let remedy = error.remedy.as_ref().map_or(String::new(), |remedy| format!(" ({remedy})"));
    format!("{error}{remedy}")
}
