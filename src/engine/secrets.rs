//! Hides the secrets of a program in what it prints.

use std::collections::BTreeMap;

use crate::model::spec::Secret;

/// What stands in place of secrets.
const HIDDEN: &[u8] = b"(sensitive)";

/// The end of what a program has printed.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The last bytes.
    pub(super) bytes: Vec<u8>,
    /// Whether there were others before them.
    pub(super) is_cut: bool,
}

/// The secrets of a program. Those shorter than four letters are shown: they are too much like
/// anything else.
pub(super) struct Secrets<'a>(Vec<&'a [u8]>);

impl<'a> Secrets<'a> {
    /// Returns the secrets in a program's `environment`.
    pub(super) fn of(environment: &'a BTreeMap<String, Secret>) -> Secrets<'a> {
        let trimmed = environment.values().map(|secret| secret.0.trim().as_bytes());
        Secrets(trimmed.filter(|text| text.len() > 3).collect())
    }

    /// The length of the longest one, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.0.iter().map(|secret| secret.len()).max().unwrap_or(0)
    }

    /// Returns `tail` with each stretch of secrets, which may overlap, replaced. Its first bytes are
    /// left out where they may be the end of a secret that was cut.
    pub(super) fn hidden(&self, tail: &Tail) -> Vec<u8> {
        let printed = &tail.bytes;
        let mut is_secret = vec![false; printed.len()];
        for secret in &self.0 {
            for (at, found) in printed.windows(secret.len()).enumerate() {
                if found == *secret {
                    is_secret[at..at + secret.len()].fill(true);
                }
            }
        }
        let unsure = if tail.is_cut { self.longest().saturating_sub(1) } else { 0 };
        let mut shown = Vec::with_capacity(printed.len());
        let mut before = false;
        for (at, (byte, hides)) in printed.iter().zip(is_secret).enumerate() {
            if hides && !before {
                shown.extend_from_slice(HIDDEN);
            } else if !hides && at >= unsure {
                shown.push(*byte);
            }
            before = hides;
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(secrets: &[&str], printed: &str, is_cut: bool) -> String {
        let named = secrets.iter().enumerate();
        let all = named.map(|(index, text)| (index.to_string(), Secret((*text).to_owned())));
        let all: BTreeMap<String, Secret> = all.collect();
        let tail = Tail { bytes: printed.into(), is_cut };
        String::from_utf8(Secrets::of(&all).hidden(&tail)).expect("text")
    }

    #[test]
    fn secrets_that_are_parts_of_others_or_overlap_are_hidden_as_a_whole() {
        assert_eq!(
            hidden(&["open", "open sesame"], "it is open sesame", false),
            "it is (sensitive)"
        );
        assert_eq!(hidden(&["abcdef", "defghi"], "<abcdefghi>", false), "<(sensitive)>");
        assert_eq!(hidden(&["abc"], "abc", false), "abc", "too short");
    }

    #[test]
    fn the_end_of_a_secret_that_was_cut_is_left_out() {
        assert_eq!(hidden(&["open sesame"], "pen sesame is the key", true), " is the key");
        assert_eq!(hidden(&["open sesame"], "n sesame is the key", false), "n sesame is the key");
        let twice = "n sesame open sesame!";
        assert_eq!(hidden(&["open sesame"], twice, true), "(sensitive)!");
    }
}
