//! Holes: zeros in a file that were never written, and take no place on the disk.
//!
//! Owns how they are found, so that they are neither read nor hashed byte by byte. A
//! file system that does not tell of them has none.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use cap_std::fs::{File, FileExt};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// Some of a file's bytes.
pub(crate) enum Run<'a> {
    /// These.
    Bytes(&'a [u8]),
    /// So many zeros, which were not read.
    Zeros(u64),
}

/// Reads a file of this length from its beginning, and passes over holes. `take`
/// is given the runs and says whether to go on. Returns how many bytes were taken; fewer than
/// `length` where the file is shorter by now, or where that was enough.
pub(crate) fn read(
    file: &File,
    length: u64,
    buffer: &mut [u8],
    mut take: impl FnMut(Run<'_>) -> io::Result<bool>,
) -> io::Result<u64> {
    let mut at = 0;
    while at < length {
        let data = data_from(file, at)?.unwrap_or(length).min(length);
        if data > at {
            if !take(Run::Zeros(data - at))? {
                return Ok(at);
            }
            at = data;
            continue;
        }
        let end = hole_from(file, at)?.min(length);
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(buffer.len());
            let most = most.min(buffer.len());
            let read = match file.read_at(&mut buffer[..most], at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 || !take(Run::Bytes(&buffer[..read]))? {
                return Ok(at);
            }
            at += read as u64;
        }
    }
    Ok(at)
}

/// Whether all of this is a hole.
pub(crate) fn is_hole(file: impl AsFd, offset: u64, length: u64) -> io::Result<bool> {
    let data = data_from(file, offset)?;
    Ok(data.is_none_or(|data| data >= offset.saturating_add(length)))
}

/// Where the next byte is that was ever written, at or behind this offset. `None` if
/// there is none. It moves the file's own position.
pub(crate) fn data_from(file: impl AsFd, offset: u64) -> io::Result<Option<u64>> {
    match sought(file.as_fd(), SeekFrom::Data(offset)) {
        Err(Errno::NXIO) => Ok(None),
        found => Ok(Some(found?.unwrap_or(offset))),
    }
}

/// Where the next hole begins, behind data at this offset: at the end of the file, if
/// not before.
fn hole_from(file: impl AsFd, offset: u64) -> io::Result<u64> {
    match sought(file.as_fd(), SeekFrom::Hole(offset)) {
        // It has become shorter: reading will tell.
        Err(Errno::NXIO) => Ok(u64::MAX),
        // A file system that answers with what was asked for has told nothing.
        found => Ok(found?.filter(|hole| *hole > offset).unwrap_or(u64::MAX)),
    }
}

/// `None` where the file system does not tell: all of the file may be written.
fn sought(file: BorrowedFd<'_>, from: SeekFrom) -> rustix::io::Result<Option<u64>> {
    match rustix::fs::seek(file, from) {
        Ok(at) => Ok(Some(at)),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: u64 = 10_000_000;

    /// Sparse, with data at these places.
    fn sparse(data: &[u64]) -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("f");
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .expect("is made");
        file.set_len(LENGTH).expect("is sparse");
        for at in data {
            std::os::unix::fs::FileExt::write_all_at(&file, b"data", *at).expect("is written");
        }
        (dir, File::from_std(file))
    }

    #[test]
    fn a_file_comes_in_order_and_its_holes_are_only_counted() {
        let (_dir, file) = sparse(&[4_000_000, LENGTH - 4]);
        let (mut bytes, mut zeros, mut all) = (0, 0, Vec::new());
        let taken = read(&file, LENGTH, &mut [0; 1000], |run| {
            match run {
                Run::Bytes(some) => {
                    bytes += some.len();
                    all.extend(some);
                }
                Run::Zeros(number) => {
                    zeros += number;
                    all.resize(all.len() + usize::try_from(number).expect("small"), 0);
                }
            }
            Ok(true)
        });
        assert_eq!(taken.expect("is read"), LENGTH);
        let mut expected = vec![0; usize::try_from(LENGTH).expect("small")];
        file.read_exact_at(&mut expected, 0).expect("is read");
        assert!(all == expected, "other bytes");
        assert_eq!(&expected[4_000_000..4_000_004], b"data");
        // A file system of tests that has no holes would not show anything.
        let written = cap_std::fs::MetadataExt::blocks(&file.metadata().expect("is there")) * 512;
        assert!(written > 1_000_000 || bytes < 200_000, "{bytes} bytes read");
        assert_eq!(bytes as u64 + zeros, LENGTH);
    }

    #[test]
    fn a_file_that_is_shorter_than_it_was_ends_where_it_ends() {
        let (_dir, file) = sparse(&[0]);
        file.set_len(3).expect("is cut");
        let taken = read(&file, LENGTH, &mut [0; 1000], |_| Ok(true));
        // The rest may pass for a hole: its stamp tells.
        let taken = taken.expect("is read");
        assert!(taken == 3 || taken == LENGTH, "{taken}");
    }
}
