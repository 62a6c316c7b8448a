//! Moments as text.

use std::time::{Duration, UNIX_EPOCH};

use rolling_provider::Timestamp;

/// The last second of the year 9999.
const LAST: u64 = 253_402_300_799_000;

/// Returns `at` as RFC 3339 writes it, to the second where it is whole: `2026-07-01T12:00:00Z`.
pub(crate) fn moment(at: Timestamp) -> String {
    let millis = at.0.min(LAST);
    let time = UNIX_EPOCH + Duration::from_millis(millis);
    match millis % 1000 {
        0 => humantime::format_rfc3339_seconds(time).to_string(),
        _ => humantime::format_rfc3339_millis(time).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_moment_has_a_text() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_782_907_200_000, "2026-07-01T12:00:00Z"),
            (1_782_907_200_250, "2026-07-01T12:00:00.250Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(moment(Timestamp(millis)), text);
        }
    }
}
