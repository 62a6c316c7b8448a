//! Times as Kubernetes writes them.
//!
//! A time is the duration since 1970. `metav1.Time` keeps whole seconds and cuts the rest off, so
//! that a pod that becomes ready at 0.9 s has been ready since 0 s; `metav1.MicroTime` (leases)
//! keeps microseconds.

use std::time::Duration;

use serde_json::Value;

use super::json_pointer::text;

const DAY: u64 = 86_400;

/// Returns a time as `metav1.Time` does: `2026-11-26T10:00:00Z`.
pub fn seconds(at: Duration) -> String {
    let (year, month, day) = civil(at.as_secs() / DAY);
    let remainder = at.as_secs() % DAY;
    let (hour, minute, second) = (remainder / 3600, remainder / 60 % 60, remainder % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Returns the time that a text stands for, with the part below a second where it has one.
pub fn parse(written: &str) -> Option<Duration> {
    let (date, remainder) = written.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let clock = remainder.strip_suffix('Z')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let nanos: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let days = days(year, month, day)?;
    Some(Duration::new(days * DAY + hour * 3600 + minute * 60 + second, nanos))
}

/// Returns the time at a pointer of an object, if there is one.
pub fn read(object: &Value, pointer: &str) -> Option<Duration> {
    parse(text(object, pointer))
}

/// Days since 1970 of a date, after Howard Hinnant's `days_from_civil`.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1970 {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    days.checked_sub(719_468)
}

/// The date of a number of days since 1970, after `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_cut_to_seconds() {
        let at = Duration::from_millis(1_795_687_384_999);
        assert_eq!(seconds(at), "2026-11-26T10:03:04Z");
        assert_eq!(parse(&seconds(at)), Some(Duration::from_secs(1_795_687_384)));
        let micro = parse("2026-11-26T10:03:04.250000Z");
        assert_eq!(micro, Some(Duration::from_millis(1_795_687_384_250)));
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn each_day_of_some_years_is_its_own() {
        for day in 0..40_000 {
            let at = Duration::from_secs(day * DAY);
            assert_eq!(parse(&seconds(at)), Some(at));
        }
    }
}
