//! Time spans and moments, as people write them.

use std::time::{Duration, UNIX_EPOCH};

use rolling_provider::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A time span as people write it: `30s`, `10m`, `1h30m`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct DurationText(pub(crate) String);

impl DurationText {
    /// The longest time span, 365 days. Anything longer is a typing error, and sums of several of
    /// these still fit the type that keeps times.
    pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

    /// Returns the time span; `None` when the text is not one, or is longer than [`Self::LONGEST`].
    pub(crate) fn parse(text: &str) -> Option<Duration> {
        humantime::parse_duration(text)
            .ok()
            .filter(|span| *span <= Self::LONGEST && has_known_units(text))
    }

    /// Whether the text is a time span that is longer than [`Self::LONGEST`].
    pub(crate) fn is_too_long(text: &str) -> bool {
        humantime::parse_duration(text).is_ok_and(|span| span > Self::LONGEST)
    }

    /// Returns the time span. A checked document always has one.
    pub(crate) fn get(&self) -> Duration {
        Self::parse(&self.0).unwrap_or_default()
    }
}

/// Whether the units are those of the documentation. Others are too easily mistaken: `10M` would be
/// ten months.
fn has_known_units(text: &str) -> bool {
    let mut units = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|unit| !unit.is_empty());
    units.all(|unit| matches!(unit, "ms" | "s" | "m" | "h" | "d"))
}

impl JsonSchema for DurationText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "rolling-duration",
            "description": "A time span in ms, s, m, h and d: `30s`, `10m`, `1h30m`; `365d` at most.",
        })
    }
}

/// A moment as RFC 3339 writes it: `2026-07-01T12:00:00Z`, `2026-07-01T14:00:00+02:00`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct TimeText(pub(crate) String);

impl TimeText {
    /// Returns the moment; `None` when the text is not one, or is before 1970.
    pub(crate) fn parse(text: &str) -> Option<Timestamp> {
        let local = |text: &str| {
            let is_whole = text.len() >= 19;
            let at =
                humantime::parse_rfc3339_weak(&text.replace('t', "T")).ok().filter(|_| is_whole)?;
            let since = at.duration_since(UNIX_EPOCH).ok()?;
            u64::try_from(since.as_millis()).ok()
        };
        if let Some(utc) = text.strip_suffix(['Z', 'z']) {
            return local(utc).map(Timestamp);
        }
        let (time, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
        let (hours, minutes) = offset.get(1..)?.split_once(':')?;
        let is_number = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        let parse = |text: &str, limit| {
            text.parse::<u64>().ok().filter(|number| is_number(text) && *number < limit)
        };
        let ahead = (parse(hours, 24)? * 60 + parse(minutes, 60)?) * 60_000;
        let utc = match offset.as_bytes().first()? {
            b'+' => local(time)?.checked_sub(ahead),
            b'-' => local(time)?.checked_add(ahead),
            _ => None,
        };
        utc.map(Timestamp)
    }

    /// Returns the moment. A checked document always has one.
    pub(crate) fn get(&self) -> Timestamp {
        Self::parse(&self.0).unwrap_or_default()
    }
}

impl JsonSchema for TimeText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "A moment, as RFC 3339 writes it: `2026-07-01T12:00:00Z`.",
        })
    }
}

/// Returns the time span, or the default in seconds.
pub(crate) fn seconds_or(text: &Option<DurationText>, default_seconds: u64) -> Duration {
    text.as_ref().map_or(Duration::from_secs(default_seconds), DurationText::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_span_has_units_that_nobody_mistakes() {
        for text in ["500ms", "30s", "10m", "1h30m", "1h 30m", "2d", "365d", "0s"] {
            assert!(DurationText::parse(text).is_some(), "{text}");
        }
        for text in ["10M", "1month", "1y", "2w", "10", "1 year", "s", "", "366d"] {
            assert_eq!(DurationText::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_is_read_with_its_offset_and_anything_else_is_not() {
        let noon = Some(Timestamp(1_782_907_200_000));
        for text in [
            "2026-07-01T12:00:00Z",
            "2026-07-01t12:00:00z",
            "2026-07-01 12:00:00+00:00",
            "2026-07-01T14:00:00+02:00",
            "2026-07-01T06:30:00-05:30",
            "2026-07-01T12:00:00.000000Z",
        ] {
            assert_eq!(TimeText::parse(text), noon, "{text}");
        }
        for text in [
            "",
            "now",
            "2026-07-01",
            "2026-07-01T12:00:00",
            "2026-07-01T12:00Z",
            "2026-13-01T12:00:00Z",
            "2026-07-01T12:00:00+2:00",
            "2026-07-01T12:00:00+99:00",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "\u{fc}\u{fc}\u{fc}\u{fc}:\u{fc}",
        ] {
            assert_eq!(TimeText::parse(text), None, "{text}");
        }
    }
}
