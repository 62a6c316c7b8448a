//! How far EC2's clock is from the host's. EC2 dates launches, and the engine compares them with
//! the host's time: if that is off, an instance that is still booting seems to have had its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::UNIX_EPOCH;

use aws_sdk_ec2::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::BoxError;
use aws_sdk_ec2::primitives::{DateTime, DateTimeFormat};
use rolling_provider::Timestamp;

/// Smaller differences count as none: answers are dated by the second, and take time to arrive.
const NO_DIFFERENCE_MS: i64 = 5000;

/// By how many milliseconds EC2's clock is ahead of the host's, according to its latest answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Skew(Arc<AtomicI64>);

impl Skew {
    /// Converts a time of EC2's clock to the host's.
    pub fn ours(&self, cloud: Timestamp) -> Timestamp {
        let ahead = self.0.load(Ordering::Relaxed);
        Timestamp(cloud.0.saturating_add_signed(ahead.saturating_neg()))
    }

    fn note(&self, cloud_ms: i64, our_ms: i64) {
        let ahead = cloud_ms.saturating_sub(our_ms);
        let ahead = if ahead.abs() < NO_DIFFERENCE_MS { 0 } else { ahead };
        self.0.store(ahead, Ordering::Relaxed);
    }
}

impl Intercept for Skew {
    fn name(&self) -> &'static str {
        "Skew"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        let now = components.time_source().map(|time| time.now());
        let now = now.and_then(|now| now.duration_since(UNIX_EPOCH).ok());
        if let (Some(date), Some(now)) = (date, now)
            && let (Ok(date), Ok(now)) = (date.to_millis(), i64::try_from(now.as_millis()))
        {
            self.note(date, now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_minutes_off_is_reckoned_with_and_seconds_are_not() {
        let skew = Skew::default();
        let at = Timestamp(1_800_000_000_000);
        for (ahead, ours) in [(0, 0), (4_000, 0), (-4_999, 0), (300_000, 300), (-90_000, -90)] {
            skew.note(1_000_000 + ahead, 1_000_000);
            assert_eq!(skew.ours(at), Timestamp(at.0.saturating_add_signed(-ours * 1000)));
        }
    }
}
