//! Time spans: read as ISO 8601 writes them, written as a document has them.

/// Returns the seconds of a time span such as `PT5M` or `P1DT12H`; `None` when it is none.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let text = text.trim().strip_prefix('P')?;
    let (days, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (text, ""),
    };
    let days = parts(days, &[('D', 86_400)])?;
    let time = parts(time, &[('H', 3600), ('M', 60), ('S', 1)])?;
    (!text.is_empty()).then(|| days.checked_add(time)).flatten()
}

/// Adds up numbers that have each of `units` at most once, in that order.
fn parts(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut sum: u64 = 0;
    for (unit, seconds) in units {
        if let Some((number, after)) = text.split_once(*unit) {
            if !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(*seconds)?)?;
            text = after;
        }
    }
    text.is_empty().then_some(sum)
}

/// Returns a time span as a document has it: `14m`, `1h4m`.
pub(super) fn span(seconds: u64) -> String {
    let units = [("h", seconds / 3600), ("m", seconds / 60 % 60), ("s", seconds % 60)];
    let given = units.iter().filter(|(_, number)| *number > 0);
    let text: String = given.map(|(unit, number)| format!("{number}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_iso_8601_is_read_and_written_for_a_document() {
        for (text, wanted) in [
            ("PT5M", "5m"),
            ("PT1H30M", "1h30m"),
            ("PT90S", "1m30s"),
            ("PT0S", "0s"),
            ("P1D", "24h"),
            ("P1DT12H", "36h"),
            ("PT3600S", "1h"),
        ] {
            assert_eq!(seconds(text).map(span).as_deref(), Some(wanted), "{text}");
        }
        for text in ["", "P", "PT", "5M", "PT5", "PT5X", "PTM", "PT5M5H", "PT-5M", "P5M", "P1DT"] {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert_eq!(seconds("PT99999999999999999999H"), None);
    }
}
