//! Waits for a flag.

use tokio::sync::watch;

/// Returns when the flag is true, or can no longer become true.
pub(crate) async fn until(told: &mut watch::Receiver<bool>) {
    told.wait_for(|told| *told).await.map(drop).unwrap_or_default();
}
