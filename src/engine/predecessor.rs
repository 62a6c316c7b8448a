//! Waits until the engine of another rollout of the target is no longer at work: until its lease is
//! released or has expired.

use std::time::Duration;

use rolling_provider::ProviderError;
use tokio::sync::watch;

use super::caller::Stop;
use super::executor::RolloutExecutor;
use crate::record::lease::{Claim, LeaseWatch};

/// The interval of looks for the end of the engine that was at work.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Whether an engine is at work on a rollout to another revision, as far as the last look shows it.
pub(super) fn is_at_work(executor: &dyn RolloutExecutor) -> bool {
    let context = executor.context();
    let leads_elsewhere = context.record().is_some_and(|record| !record.leads_to(&context.goal()));
    leads_elsewhere && context.lease().is_some()
}

/// Waits until no engine is at work on a rollout to another revision. Returns whether that is so:
/// not when the caller is to end.
///
/// # Errors
/// The error of the cloud.
pub(super) async fn wait_for_end(
    executor: &mut dyn RolloutExecutor,
    stop: &watch::Receiver<Stop>,
) -> Result<bool, ProviderError> {
    let mut watch = LeaseWatch::default();
    while is_at_work(executor) {
        let context = executor.context();
        let (owner, is_gone) = (&context.caller.owner, context.caller.is_gone);
        let (lease, now) = (context.lease(), context.clock.now());
        match watch.judge(lease.as_ref(), owner, is_gone, now) {
            Claim::Take(_) => return Ok(true),
            // It lives. It may end before it has released the lease.
            Claim::Held(_) => watch = LeaseWatch::default(),
            Claim::Watch(_) => {}
        }
        let mut asked = stop.clone();
        tokio::select! {
            biased;
            _ = asked.wait_for(|stop| *stop != Stop::No) => return Ok(false),
            () = context.clock.sleep(LOOK_EVERY) => {}
        }
        executor.look_again().await?;
    }
    Ok(true)
}
