//! How much room there is where a file is to go.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thorp_disk::DiskThread;

/// A file system, and how much it takes yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskRoom {
    /// Where it is mounted.
    pub file_system: PathBuf,
    /// Its number, as files on it say it.
    pub device: u64,
    /// Bytes that are free for users.
    pub free: u64,
}

impl DiskRoom {
    /// At this path, or at the nearest folder above that is there; nothing, where the
    /// file system does not say how large it is.
    pub fn at(_: DiskThread, path: &Path) -> Option<Self> {
        let (there, meta) = path
            .ancestors()
            .find_map(|above| Some((above, above.metadata().ok()?)))?;
        let disk = rustix::fs::statvfs(there).ok()?;
        let on_it = there.ancestors().take_while(|above| {
            let above = above.metadata();
            above.is_ok_and(|above| above.dev() == meta.dev())
        });
        (disk.f_blocks > 0).then(|| Self {
            file_system: on_it.last().unwrap_or(there).to_owned(),
            device: meta.dev(),
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
        })
    }
}

#[cfg(test)]
mod tests {
    use thorp_disk::testing::DISK;

    use super::*;

    #[test]
    fn a_file_that_is_not_there_yet_goes_where_its_folder_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |path: &str| DiskRoom::at(DISK, &dir.path().join(path)).expect("a file system");
        let (room, deeper) = (at(""), at("a/b/c"));
        assert_eq!(room.file_system, deeper.file_system);
        assert!(dir.path().starts_with(&room.file_system));
        assert!(room.free > 0);
        // Another file system is mounted there on every Linux.
        let proc = Path::new("/proc/sys");
        if let Ok(meta) = proc.metadata()
            && meta.dev() != dir.path().metadata().expect("is there").dev()
        {
            assert_eq!(DiskRoom::at(DISK, proc), None, "it has no size");
        }
    }
}
