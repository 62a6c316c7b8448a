//! Waiting for word of the end.

use tokio::sync::watch;

/// Returns when it is so, or never will be.
pub async fn until(told: &mut watch::Receiver<bool>) {
    told.wait_for(|told| *told).await.map(drop).unwrap_or_default();
}
