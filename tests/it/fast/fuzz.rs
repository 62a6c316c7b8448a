//! A short run of each fuzz target, on the stable toolchain: its corpus, and changes to it.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("a corpus").map(|e| e.expect("a file").path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("an input")).collect()
}

/// Overwrites, cuts out, doubles and mixes pieces of the corpus.
fn run(name: &str, target: fn(&[u8])) {
    let corpus = corpus(name);
    assert!(corpus.len() >= 2, "{}", corpus.len());
    corpus.iter().for_each(|input| target(input));
    let changes = proptest::collection::vec((any::<u16>(), 0..=24usize, 0..5u8, any::<u8>()), 1..6);
    let settings = Config {
        cases: 4000,
        rng_seed: RngSeed::Fixed(7),
        // The seed is always the same; an input that fails belongs into the corpus, whatever found
        // it.
        failure_persistence: None,
        ..Config::default()
    };
    let strategy = (0..corpus.len(), 0..corpus.len(), changes);
    let ran = TestRunner::new(settings).run(&strategy, |(one, other, changes)| {
        let mut input = corpus[one].clone();
        for (place, length, how, byte) in changes {
            let from = usize::from(place) % (input.len() + 1);
            let to = (from + length).min(input.len());
            match how {
                0 => input[from..to].fill(byte),
                1 => drop(input.drain(from..to)),
                2 => input.extend_from_within(from..to),
                3 => input.insert(from, b"{}[]\",:0\n\r-\\"[usize::from(byte) % 12]),
                _ => {
                    let other = &corpus[other];
                    let from = from % (other.len() + 1);
                    input.extend_from_slice(&other[from..(from + length).min(other.len())]);
                }
            }
        }
        target(&input);
        Ok(())
    });
    ran.expect("holds for any input");
}

#[test]
fn any_bytes_are_lines_and_any_line_is_answered() {
    run("lines", targets::lines);
}

#[test]
fn any_document_is_read_or_refused_with_reasons() {
    run("document", targets::document);
}

#[test]
fn any_state_is_brought_up_to_date_or_refused() {
    run("state", targets::state);
}
