//! What a file is given besides its bytes: its time, and whether its owner may
//! execute it.
//!
//! Whether it may is decided by the caller. Owns what that comes to here: this
//! machine's umask has the last word, and no other bit of a mode is ever set.

use std::fs;
use std::os::fd::AsFd;
use std::sync::LazyLock;

use rustix::fs::{Mode, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use thorp_wire::Attributes;

/// The bits of a mode by which a file may be executed.
const EXECUTE: u32 = 0o111;

/// Gives an open file what it is to have. A file system that has no such times or
/// modes loses nothing else.
pub(crate) fn give(file: impl AsFd, attributes: Option<Attributes>) {
    if let Some(attributes) = attributes {
        let _ = make_executable(&file, attributes.executable);
    }
    give_time(file, attributes);
}

/// The bits that a new file is to be made with: the umask has the last word.
pub(crate) fn mode_of_new(attributes: Option<Attributes>) -> Mode {
    let is_executable = attributes.is_some_and(|attributes| attributes.executable);
    let execute = if is_executable { EXECUTE } else { 0 };
    Mode::from_raw_mode(0o666 | execute)
}

/// Gives an open file its time alone.
pub(crate) fn give_time(file: impl AsFd, attributes: Option<Attributes>) {
    let Some(attributes) = attributes else { return };
    let keep = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    };
    let times = Timestamps {
        last_access: keep,
        last_modification: Timespec {
            tv_sec: attributes.mtime,
            tv_nsec: attributes.nanos.into(),
        },
    };
    let _ = rustix::fs::futimens(&file, &times);
}

/// Gives an open file the time that it is.
pub(crate) fn give_time_of_now(file: impl AsFd) {
    let [keep, now] = [UTIME_OMIT, UTIME_NOW].map(|tv_nsec| Timespec { tv_sec: 0, tv_nsec });
    let times = Timestamps {
        last_access: keep,
        last_modification: now,
    };
    let _ = rustix::fs::futimens(&file, &times);
}

/// For those who could execute a file that was made with all of these bits, or for
/// nobody: an earlier fetch may have left it as another place had it.
fn make_executable(file: impl AsFd, executable: bool) -> rustix::io::Result<()> {
    let mode = rustix::fs::fstat(&file)?.st_mode & 0o777;
    let execute = if executable { EXECUTE & !*UMASK } else { 0 };
    let wanted = (mode & !EXECUTE) | execute;
    if wanted == mode {
        return Ok(());
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(wanted))
}

/// The bits that files do not get here. Asking for them is setting them, for all
/// threads; so they are read. Where they cannot be, only the owner gets any.
static UMASK: LazyLock<u32> = LazyLock::new(|| {
    let status = fs::read_to_string("/proc/self/status").ok();
    let umask = status.as_deref().and_then(umask_in);
    umask.unwrap_or(0o077)
});

fn umask_in(status: &str) -> Option<u32> {
    let mut lines = status.lines();
    let umask = lines.find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(umask.trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn the_umask_is_what_the_system_says() {
        assert_eq!(umask_in("Name:\tx\nUmask:\t0027\nState:\tR\n"), Some(0o027));
        assert_eq!(umask_in("Name:\tx\n"), None);
    }

    #[test]
    fn an_executable_file_gets_the_bits_that_a_new_one_could_have_and_no_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = File::create(dir.path().join("f")).expect("is made");
        let attributes = Attributes {
            mtime: -7,
            nanos: 123_456_789,
            executable: true,
        };
        give(&file, Some(attributes));
        let meta = file.metadata().expect("is there");
        // What a program would get that is made with all bits.
        let mut options = File::options();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o7777);
        let all = options.write(true).create_new(true);
        let all = all.open(dir.path().join("g")).expect("is made");
        let all = all.metadata().expect("is there").permissions().mode();
        assert_eq!(meta.mode() & 0o7111, all & EXECUTE);
        assert_eq!(meta.mode() & 0o100, 0o100);
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (-7, 123_456_789));
    }

    #[test]
    fn a_file_that_was_executable_elsewhere_is_not_where_it_must_not_be() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = File::create(dir.path().join("f")).expect("is made");
        let plain = file.metadata().expect("is there").mode();
        for executable in [true, false] {
            let attributes = Attributes {
                executable,
                ..Attributes::default()
            };
            give(&file, Some(attributes));
            let mode = file.metadata().expect("is there").mode();
            assert_eq!(mode & 0o100 != 0, executable);
            assert_eq!(mode & !EXECUTE, plain, "nothing else is changed");
        }
    }

    #[test]
    fn times_beyond_those_that_64_bits_of_nanoseconds_can_say_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = File::create(dir.path().join("f")).expect("is made");
        // The years 2300 and 1901, which every file system of today has.
        for (mtime, nanos) in [(10_413_792_000, 1), (-2_147_483_000, 999_999_999)] {
            let attributes = Attributes {
                mtime,
                nanos,
                executable: false,
            };
            give(&file, Some(attributes));
            let meta = file.metadata().expect("is there");
            assert_eq!((meta.mtime(), meta.mtime_nsec()), (mtime, i64::from(nanos)));
            assert_eq!(meta.mode() & EXECUTE, 0);
        }
    }
}
