//! Why a rollback was begun, and how that is told when it does not get to its end.

use crate::record::Record;

const BEGUN_FOR: &str = "it was begun because of this: ";
const SAME_AGAIN: &str = "for the reason that began it: ";

/// Returns why a rollback was begun. One that was paused, or did not get to its end, has that in the
/// reason of its own end.
pub(crate) fn first_reason(reason: &str) -> &str {
    let first = |before: &str| reason.rsplit_once(before).map(|(_, first)| first);
    first(BEGUN_FOR).or_else(|| first(SAME_AGAIN)).unwrap_or(reason)
}

/// Returns why the rollback was begun that `record` tells of.
pub(crate) fn recorded(record: &Record) -> String {
    record.reason.as_deref().map_or("the rollout was rolling back", first_reason).to_owned()
}

/// Says why a rollback does not get to its end, and what it was begun for.
pub(crate) fn unfinished(reason: &str, first: &str) -> String {
    let first = first_reason(first);
    match reason == first {
        true => format!("the rollback is not complete, {SAME_AGAIN}{reason}"),
        false => {
            format!("the rollback is not complete: {reason}; {BEGUN_FOR}{first}")
        }
    }
}
