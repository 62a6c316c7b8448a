//! What a lease leads to that cannot be renewed.

/// What follows when a lease cannot be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusedRenewal {
    /// Nothing: looks tell whether another engine takes the rollout over.
    GoOn,
    /// Put back what can be put back while the lease stands.
    PutBack,
    /// Look, and try again for a while.
    TryAgain,
    /// End at once: another engine may be at work by now.
    End,
}

/// Returns what follows when a lease cannot be renewed: `guards` says whether engines write a record
/// only over the one that they have seen, `is_retryable` whether another try may help, and
/// `is_believed` whether no other engine can be at work by now.
pub(crate) fn refused_renewal(
    guards: bool,
    is_retryable: bool,
    is_believed: bool,
) -> RefusedRenewal {
    match (guards, is_retryable, is_believed) {
        (false, ..) => RefusedRenewal::GoOn,
        // Somebody may have written the record since the last look.
        (true, true, _) => RefusedRenewal::TryAgain,
        (true, false, true) => RefusedRenewal::PutBack,
        (true, false, false) => RefusedRenewal::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_guarded_lease_that_cannot_be_written_any_more_ends_the_rollout() {
        for (guards, is_retryable, is_believed, wanted) in [
            (false, false, false, RefusedRenewal::GoOn),
            (false, true, true, RefusedRenewal::GoOn),
            (true, true, true, RefusedRenewal::TryAgain),
            (true, true, false, RefusedRenewal::TryAgain),
            (true, false, true, RefusedRenewal::PutBack),
            (true, false, false, RefusedRenewal::End),
        ] {
            let found = refused_renewal(guards, is_retryable, is_believed);
            assert_eq!(found, wanted, "{guards} {is_retryable} {is_believed}");
        }
    }
}
