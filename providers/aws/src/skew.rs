//! How far EC2's clock is from the host's. EC2 dates launches, and the engine compares them with
//! the host's time: if that is off, an instance that is still booting seems to have had its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::UNIX_EPOCH;

use aws_sdk_ec2::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::BoxError;
use aws_sdk_ec2::primitives::{DateTime, DateTimeFormat};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use rolling_provider::Timestamp;

/// Smaller differences count as none.
const NO_DIFFERENCE_MS: i64 = 5000;

/// An answer that took longer says too little: it was dated at any time meanwhile.
const LONGEST_ANSWER_MS: i64 = 5000;

/// Answers are dated by the second.
const DATE_PRECISION_MS: i64 = 1000;

/// By how many milliseconds EC2's clock is ahead of the host's, according to its latest answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Skew(Arc<AtomicI64>);

/// When an attempt of a request was sent, in milliseconds of the host's clock.
#[derive(Clone, Copy, Debug)]
struct SentAt(i64);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

impl Skew {
    /// Converts a time of EC2's clock to the host's.
    pub fn ours(&self, cloud: Timestamp) -> Timestamp {
        let ahead = self.0.load(Ordering::Relaxed);
        Timestamp(cloud.0.saturating_add_signed(ahead.saturating_neg()))
    }

    /// Learns from an answer that EC2 dated between two times of the host's clock. Of the
    /// differences that are possible, the smallest counts: what the network and a busy host take
    /// is no difference.
    fn note(&self, date: i64, sent: i64, received: i64) {
        if received.saturating_sub(sent) > LONGEST_ANSWER_MS {
            return;
        }
        let least = date.saturating_sub(received);
        let most = date.saturating_add(DATE_PRECISION_MS).saturating_sub(sent);
        let ahead = 0.max(least).min(most);
        let ahead = if ahead.abs() < NO_DIFFERENCE_MS { 0 } else { ahead };
        self.0.store(ahead, Ordering::Relaxed);
    }
}

/// Returns the host's time in milliseconds.
fn now(components: &RuntimeComponents) -> Option<i64> {
    let now = components.time_source()?.now().duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(now.as_millis()).ok()
}

impl Intercept for Skew {
    fn name(&self) -> &'static str {
        "Skew"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        attempt: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(now) = now(components) {
            attempt.interceptor_state().store_put(SentAt(now));
        }
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        attempt: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        let date = date.and_then(|date| date.to_millis().ok());
        let sent = attempt.load::<SentAt>().map(|sent| sent.0);
        if let (Some(date), Some(sent), Some(received)) = (date, sent, now(components)) {
            self.note(date, sent, received);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reckoned(date: i64, sent: i64, received: i64) -> i64 {
        let skew = Skew::default();
        skew.note(date, sent, received);
        skew.0.load(Ordering::Relaxed)
    }

    #[test]
    fn a_clock_that_is_minutes_off_is_reckoned_with_and_seconds_are_not() {
        let skew = Skew::default();
        let at = Timestamp(1_800_000_000_000);
        for (ahead, ours) in [(0, 0), (4_000, 0), (-4_999, 0), (300_000, 300), (-91_000, -90)] {
            skew.note(1_000_000 + ahead, 1_000_000, 1_000_000);
            assert_eq!(skew.ours(at), Timestamp(at.0.saturating_add_signed(-ours * 1000)));
        }
    }

    /// On a busy host an answer of the same clock is read seconds after it was dated. Launches
    /// would seem later by that, and a restart would leave those of the seconds before it.
    #[test]
    fn what_an_answer_takes_is_no_difference() {
        for took in (0..60_000).step_by(500) {
            for dated in (0..=took).step_by(500) {
                let (sent, date) = (1_000_300, (1_000_300 + dated) / 1000 * 1000);
                assert_eq!(reckoned(date, sent, sent + took), 0, "took {took}, dated at {dated}");
            }
        }
    }

    #[test]
    fn an_answer_that_took_long_leaves_what_is_known() {
        let skew = Skew::default();
        skew.note(1_300_000, 1_000_000, 1_000_100);
        let known = skew.0.load(Ordering::Relaxed);
        skew.note(1_300_000, 1_000_000, 1_030_000);
        assert_eq!((known, skew.0.load(Ordering::Relaxed)), (299_900, known));
    }
}
