//! What instances that nobody asked for lead to.

use std::collections::BTreeSet;

use rolling_provider::{ErrorKind, InstanceId, Timestamp};

use super::state::Halt;

/// Returns the halt that follows `unexplained_launches`, which this rollout did not ask for, where the
/// cloud does not let the fleet be rolled, with an error of this kind and `message`. None where the
/// error says nothing about another rollout: the next look asks again.
pub(crate) fn rolled_by_another(
    unexplained_launches: &BTreeSet<InstanceId>,
    kind: ErrorKind,
    message: &str,
    now: Timestamp,
) -> Option<Halt> {
    let ids: Vec<String> = unexplained_launches.iter().map(ToString::to_string).collect();
    let reason = || {
        format!(
            "{} came up on a revision that is neither this rollout's nor one that the fleet had \
             before: {message}",
            ids.join(", "),
        )
    };
    // No revision of ours is at fault.
    (kind == ErrorKind::Conflict).then(|| Halt { fault: false, ..Halt::failed(reason(), now) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_conflict_halts_and_no_revision_is_at_fault() {
        let unexplained_launches = ["i-1".into(), "i-2".into()].into();
        let halt = |kind| {
            rolled_by_another(&unexplained_launches, kind, "a refresh is active", Timestamp(7))
        };
        assert_eq!(halt(ErrorKind::Throttled), None);
        let halt = halt(ErrorKind::Conflict).expect("a halt");
        assert!(halt.reason.starts_with("i-1, i-2 came up on a revision"), "{}", halt.reason);
        assert!(halt.reason.ends_with(": a refresh is active"), "{}", halt.reason);
        assert!(!halt.fault && halt.at == Timestamp(7));
    }
}
