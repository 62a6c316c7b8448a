//! Waits for a flag.

use tokio::sync::watch;

/// Returns when the flag is true, or can no longer become true.
pub(crate) async fn until(flag: &mut watch::Receiver<bool>) {
    flag.wait_for(|flag| *flag).await.map(drop).unwrap_or_default();
}
