//! What the tests of crates above this one need: a token, and a disk that fails.
//!
//! The disk is a FUSE file system with one file, whose server is told what to answer.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::DiskThread;

/// A test may always wait.
pub const DISK: DiskThread = DiskThread(PhantomData);

/// A mounted file system with one file, `file`, until this is dropped. It answers as it is told,
/// and takes small letters for the same as large ones.
pub struct FailingDisk {
    at: PathBuf,
    told: Arc<Told>,
}

/// What the server of such a file system is told, and tells.
#[derive(Default)]
struct Told {
    /// What every question is answered with, if it is not 0.
    error: AtomicI32,
    /// What a question for bytes is answered with, if it is not 0.
    read_error: AtomicI32,
    /// How many questions have been.
    asked: Mutex<usize>,
    bell: Condvar,
    /// What its file is called.
    called: Mutex<String>,
}

impl FailingDisk {
    /// Mounts one whose file has these bytes; `None` without root or `/dev/fuse`.
    pub fn mount(at: &Path, file: &[u8]) -> Option<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.ok()?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            device.as_raw_fd()
        );
        let options = CString::new(options).ok()?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("failing", at, "fuse", flags, &*options).ok()?;
        let told = Arc::<Told>::default();
        "file".clone_into(&mut told.called());
        let (server, file) = (Arc::clone(&told), file.to_vec());
        // It ends when the file system is unmounted.
        thread::spawn(move || serve(device, &file, &server));
        Some(Self {
            at: at.to_owned(),
            told,
        })
    }

    /// Every question is answered with this error from now on.
    pub fn answers(&self, error: Errno) {
        let all = &self.told.error;
        all.store(error.raw_os_error(), Ordering::SeqCst);
    }

    /// So is every question for bytes of the file.
    pub fn answers_reads(&self, error: Errno) {
        let reads = &self.told.read_error;
        reads.store(error.raw_os_error(), Ordering::SeqCst);
    }

    /// Its file has another name from now on.
    pub fn calls_its_file(&self, name: &str) {
        name.clone_into(&mut self.told.called());
    }

    /// It answers as a disk should.
    pub fn is_well(&self) {
        self.told.error.store(0, Ordering::SeqCst);
        self.told.read_error.store(0, Ordering::SeqCst);
    }

    /// Waits until it has been asked so many questions more.
    pub fn is_asked_more_often(&self, times: usize) {
        let asked = self.told.asked();
        let enough = *asked + times;
        let patience = Duration::from_mins(1);
        let is_less = |asked: &mut usize| *asked < enough;
        let waited = self.told.bell.wait_timeout_while(asked, patience, is_less);
        let (asked, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(*asked >= enough, "it is asked no more");
    }

    /// How many questions it has been asked.
    pub fn asked(&self) -> usize {
        *self.told.asked()
    }
}

impl Told {
    fn asked(&self) -> MutexGuard<'_, usize> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn called(&self) -> MutexGuard<'_, String> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.at, UnmountFlags::DETACH | UnmountFlags::FORCE);
    }
}

/// Answers the kernel's questions (`linux/fuse.h`, version 7.31). Nothing is to be
/// remembered, so each look at the disk is a question.
fn serve(mut device: File, file: &[u8], told: &Told) {
    let mut question = vec![0; 1 << 20];
    while let Ok(length) = device.read(&mut question) {
        let question = &question[..length];
        let word = |at: usize| question.get(at..)?.first_chunk().copied();
        let word = |at| word(at).map_or(0, u32::from_ne_bytes);
        let long = |at: usize| question.get(at..)?.first_chunk().copied();
        let long = |at| long(at).map_or(0, u64::from_ne_bytes);
        let (opcode, node, arguments) = (word(4), long(16), question.get(40..).unwrap_or_default());
        let fails = told.error.load(Ordering::SeqCst);
        let read_fails = told.read_error.load(Ordering::SeqCst);
        *told.asked() += 1;
        told.bell.notify_all();
        let called = told.called().clone();
        let answer = match opcode {
            // To be forgotten: there is no answer.
            2 | 42 => continue,
            26 => Ok(words(&[7, 31, 0, 0, 0, 4096, 1]).resized(64)),
            _ if fails != 0 => Err(fails),
            15 if read_fails != 0 => Err(read_fails),
            1 if arguments
                .strip_suffix(b"\0")
                .is_some_and(|name| name.eq_ignore_ascii_case(called.as_bytes())) =>
            {
                Ok([longs(&[2, 0, 0, 0, 0]), attributes(2, file)].concat())
            }
            1 => Err(Errno::NOENT.raw_os_error()),
            3 => Ok([longs(&[0, 0]), attributes(node, file)].concat()),
            // Opened, without the kernel's cache.
            14 | 27 => Ok([longs(&[0]), words(&[1, 0])].concat()),
            15 => Ok(some_of(file, long(48), word(56))),
            17 => Ok(longs(&[9, 9, 9, 9, 9]).resized(80)),
            // Read, if it was not yet.
            28 if long(48) == 0 => {
                let length = u32::try_from(called.len()).unwrap_or(0);
                let padded = called.len().next_multiple_of(8);
                let name = called.into_bytes().resized(padded);
                Ok([longs(&[2, 1]), words(&[length, 8]), name].concat())
            }
            18 | 25 | 28 | 29 => Ok(Vec::new()),
            _ => Err(Errno::NOSYS.raw_os_error()),
        };
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(error) => (-error, Vec::new()),
        };
        let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
        let mut answer = length.to_ne_bytes().to_vec();
        answer.extend(error.to_ne_bytes());
        answer.extend(long(8).to_ne_bytes());
        answer.extend(body);
        // One that was interrupted takes no answer.
        let _ = device.write_all(&answer);
    }
}

fn attributes(node: u64, file: &[u8]) -> Vec<u8> {
    let (mode, length) = match node {
        1 => (0o040_755, 0),
        _ => (0o100_644, file.len() as u64),
    };
    let of_times = [0, 0, 0];
    let rest = [mode, 1, 0, 0, 0, 4096, 0];
    [
        longs(&[node, length, 1, 1000, 1000, 1000]),
        words(&of_times),
        words(&rest),
    ]
    .concat()
}

fn some_of(bytes: &[u8], offset: u64, most: u32) -> Vec<u8> {
    let from = usize::try_from(offset).map_or(bytes.len(), |from| from.min(bytes.len()));
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    bytes[from..].iter().take(most).copied().collect()
}

fn longs(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_ne_bytes()).collect()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

trait Resized {
    fn resized(self, length: usize) -> Self;
}

impl Resized for Vec<u8> {
    fn resized(mut self, length: usize) -> Self {
        self.resize(length, 0);
        self
    }
}
