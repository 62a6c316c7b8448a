//! Asks the cloud before a rollout begins, while the user waits for the answer.

use std::collections::BTreeSet;
use std::time::Duration;

use rolling_provider::{Alarm, Clock, ErrorKind, Fleet, Observation, ProviderError, Target};

use super::caller::{Caller, RETRY_BUDGET};
use super::retry::Retry;

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
    let Caller { jitter, not_found_retry_for, tell, .. } = *caller;
    let target =
        retry_until_seen(clock, jitter, (not_found_retry_for, tell), || fleet.resolve()).await?;
    let look = with_retries(clock, jitter, || fleet.observe()).await?;
    Ok((target, look))
}

/// Asks until an answer comes, or until another try is not worth the wait for the user.
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
    (not_found_retry_for, tell): (Duration, fn(&str)),
    ask: impl Fn() -> F,
) -> Result<T, ProviderError> {
    let mut retry = Retry::new(jitter);
    loop {
        let error = match ask().await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let pause = if error.kind == ErrorKind::Unseen {
            let pause = retry.failed(clock.now(), not_found_retry_for);
            if retry.failures() == 1 && pause.is_some() {
                let limit = humantime::format_duration(not_found_retry_for);
                tell(&format!(
                    "{error}: it may have been created just now; waiting for up to {limit}"
                ));
            }
            pause
        } else {
            let pause = retry.failed(clock.now(), first_retry_budget(&error));
            let again = (retry.failures() < FIRST_TRIES).then(|| retry.pause());
            pause.or(again).filter(|_| error.is_retryable())
        };
        let Some(pause) = pause else { return Err(error) };
        tracing::debug!(%error, "trying again");
        clock.sleep(pause).await;
    }
}

/// Returns how long to retry before anything was begun: the user is watching and can try again. A
/// throttled call is not a reason to give up, though.
fn first_retry_budget(error: &ProviderError) -> Duration {
    match error.kind {
        ErrorKind::Throttled => RETRY_BUDGET,
        _ => Duration::from_secs(2),
    }
}

/// How often a call is tried before anything was begun, even if one try takes longer than the retry
/// time.
const FIRST_TRIES: u32 = 3;
