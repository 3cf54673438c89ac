//! Writes the seeds of a target as files: `seeds TARGET DIRECTORY`. Without either,
//! names all targets, each with the longest input that is worth trying.

#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::{env, fs, io};

use thorp_fuzzing::{TARGETS, seeds};

fn main() -> io::Result<()> {
    let mut words = env::args().skip(1);
    let (Some(wanted), Some(directory)) = (words.next(), words.next()) else {
        for target in &TARGETS {
            println!("{} {}", target.name, target.longest);
        }
        return Ok(());
    };
    let directory = PathBuf::from(directory);
    fs::create_dir_all(&directory)?;
    let of_it = seeds().into_iter().filter(|(target, _)| *target == wanted);
    for (number, (_, seed)) in of_it.enumerate() {
        fs::write(directory.join(format!("seed-{number:02}")), seed)?;
    }
    Ok(())
}
