//! What fuzzing has found to be interesting is played again, and so are the seeds.

#![allow(clippy::print_stdout)]

use std::fs;
use std::path::Path;

use thorp_fuzzing::{TARGETS, named, seeds};

#[test]
fn every_corpus_is_played_and_small() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for target in &TARGETS {
        let corpus = corpora.join(target.name);
        let mut bytes = 0;
        for file in fs::read_dir(&corpus).expect("each target has a corpus") {
            let path = file.expect("an entry").path();
            let input = fs::read(&path).expect("a file");
            bytes += input.len();
            println!("{}", path.display());
            (target.run)(&input);
        }
        assert!(bytes > 0, "{} is empty", corpus.display());
        assert!(bytes <= 16 * 1024, "{}: {bytes} bytes", corpus.display());
    }
}

#[test]
fn seeds_are_taken_by_all_targets() {
    let seeds = seeds();
    for target in &TARGETS {
        let has_seed = seeds.iter().any(|(name, _)| *name == target.name);
        assert!(has_seed, "{} has no seed", target.name);
    }
    for (name, seed) in seeds {
        (named(name).expect("a target").run)(&seed);
    }
}
