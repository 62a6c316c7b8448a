//! How much a name that is not known looks like one that is.

/// No name that is known is near this length, in bytes. The comparison takes time that grows with the
/// square of the length, and a document may have a name of a megabyte.
const LONGEST: usize = 100;

/// Returns how much `name` looks like `known`: from 0, not at all, to 1, the same.
pub(super) fn similarity(name: &str, known: &str) -> f64 {
    if name.len() > LONGEST { 0.0 } else { strsim::jaro_winkler(name, known) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_near_and_an_endless_name_is_not() {
        assert!(similarity("batch_sise", "batch_size") > 0.9);
        assert!(similarity("batch_sise", "policy") < 0.8);
        assert!(similarity(&"batch_size".repeat(100_000), "batch_size") < 0.1);
    }
}
