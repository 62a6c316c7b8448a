//! What an error of the cloud says to people.

use rolling_provider::ProviderError;

/// Returns what went wrong, and what to do about it.
pub(super) fn with_remedy(error: &ProviderError) -> String {
    let remedy = error.remedy.as_ref().map_or(String::new(), |remedy| format!(" ({remedy})"));
    format!("{error}{remedy}")
}
