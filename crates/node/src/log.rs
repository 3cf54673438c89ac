//! What a node without a terminal says, kept in its state directory.
//!
//! Owns the two files and their bound: what is said in months fits on the disk, and the
//! last of it is there. Only the owner may read them, and nothing is written through a link. What
//! is said is the program's.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thorp_disk::DiskThread;
use thorp_group::state::{StateDir, StateError};

/// What is said now.
pub const FILE: &str = "log";
/// What was said before that.
pub(crate) const OLD_FILE: &str = "log.old";
/// The most bytes in each of them.
const MOST: u64 = 1024 * 1024;

/// A log in the state directory of a node.
#[derive(Debug)]
pub struct LogFile {
    directory: PathBuf,
    file: File,
    length: u64,
}

impl LogFile {
    /// Goes on with the log of this state directory, or begins one.
    pub fn open(disk: DiskThread, state: &Path) -> io::Result<Self> {
        let file = open(disk, state)?;
        let length = file.metadata()?.len();
        Ok(Self {
            directory: state.to_owned(),
            file,
            length,
        })
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Adds a line, with its end. A full log is set aside, in place of the one before. After a
    /// failure the line is lost, and the next one tries the same again.
    pub fn add(&mut self, disk: DiskThread, line: &[u8]) -> io::Result<()> {
        if self.length > 0 && self.length + line.len() as u64 > MOST {
            self.begin_anew(disk)?;
        }
        self.file.write_all(line)?;
        self.length += line.len() as u64;
        Ok(())
    }

    fn begin_anew(&mut self, disk: DiskThread) -> io::Result<()> {
        match fs::rename(self.path(), self.directory.join(OLD_FILE)) {
            // A user has removed it, or it was set aside before and no new one could be opened.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        self.file = open(disk, &self.directory)?;
        self.length = 0;
        Ok(())
    }
}

fn open(disk: DiskThread, state: &Path) -> io::Result<File> {
    StateDir::append(disk, state, FILE).map_err(|error| match error {
        StateError::Io { error, .. } => error,
        other => io::Error::other(other),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::{CWD, Mode, mkfifoat};
    use thorp_disk::testing::DISK;

    use super::*;

    #[test]
    fn a_log_goes_on_and_never_grows_beyond_its_bound() {
        let state = tempfile::tempdir().expect("a directory");
        let mut number = 0;
        for _ in 0..3 {
            let mut log = LogFile::open(DISK, state.path()).expect("opened");
            for _ in 0..40_000 {
                number += 1;
                let line = format!("{number} and what else there is to say in a line\n");
                log.add(DISK, line.as_bytes()).expect("added");
            }
        }
        let [new, old] = [FILE, OLD_FILE].map(|name| state.path().join(name));
        for path in [&new, &old] {
            let meta = fs::metadata(path).expect("it is there");
            assert!(meta.len() <= MOST, "{}", meta.len());
            assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        }
        let text = fs::read_to_string(new).expect("text");
        let last = text.lines().last().expect("a line");
        assert!(last.starts_with(&format!("{number} ")), "{last}");
        assert_eq!(fs::read_dir(state.path()).expect("read").count(), 2);
    }

    #[test]
    fn a_log_that_was_removed_begins_anew_when_it_is_full() {
        let state = tempfile::tempdir().expect("a directory");
        let mut log = full(state.path());
        fs::remove_file(log.path()).expect("removed");
        log.add(DISK, b"next\n").expect("added");
        assert_eq!(fs::read(log.path()).expect("is there"), b"next\n");
    }

    #[test]
    fn a_log_that_could_not_be_begun_anew_is_when_that_can_be_done_again() {
        let temporary = tempfile::tempdir().expect("a directory");
        let (state, away) = (temporary.path().join("s"), temporary.path().join("away"));
        fs::create_dir(&state).expect("is made");
        let mut log = full(&state);
        // As after a failure between setting the old one aside and opening the new one.
        fs::rename(&state, &away).expect("moved");
        fs::remove_file(away.join(FILE)).expect("removed");
        for _ in 0..2 {
            log.add(DISK, b"lost\n").expect_err("has no directory");
        }
        fs::rename(&away, &state).expect("moved back");
        for line in [b"one\n", b"two\n"] {
            log.add(DISK, line).expect("added");
        }
        assert_eq!(fs::read(log.path()).expect("is there"), b"one\ntwo\n");
    }

    /// A log that is as long as it may be.
    fn full(state: &Path) -> LogFile {
        let mut log = LogFile::open(DISK, state).expect("opened");
        let line = vec![b'x'; usize::try_from(MOST).expect("fits")];
        log.add(DISK, &line).expect("added");
        log
    }

    #[test]
    fn no_log_is_written_through_a_link_or_into_a_pipe() {
        let by_link: fn(&Path, &Path) = |thesis, log| symlink(thesis, log).expect("a link");
        let by_name: fn(&Path, &Path) = |thesis, log| fs::hard_link(thesis, log).expect("a name");
        // Whoever opens it to write waits for a reader.
        let by_pipe: fn(&Path, &Path) = |_, log| {
            mkfifoat(CWD, log, Mode::RUSR | Mode::WUSR).expect("a pipe");
        };
        for make in [by_link, by_name, by_pipe] {
            let temporary = tempfile::tempdir().expect("a directory");
            let (state, thesis) = (temporary.path().join("s"), temporary.path().join("thesis"));
            fs::create_dir(&state).expect("is made");
            fs::write(&thesis, "forty pages").expect("is written");
            make(&thesis, &state.join(FILE));
            LogFile::open(DISK, &state).expect_err("is refused");
            assert_eq!(fs::read(&thesis).expect("reads"), b"forty pages");
        }
    }
}
