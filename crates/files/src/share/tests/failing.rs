//! A disk that gives errors and comes back: what is listed meanwhile. The disk is a FUSE
//! file system with one file, whose server is told what to answer.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Condvar;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::alone::skip;
use super::*;

const FILE: &[u8] = b"what is on the disk\n";

#[tokio::test]
async fn a_share_that_cannot_be_looked_at_stays_listed_for_a_while() {
    let test = "a_share_that_cannot_be_looked_at_stays_listed_for_a_while";
    let dir = tempdir();
    let Some(disk) = FailingDisk::mount(test, dir.path()) else {
        return;
    };
    let mut follower = looking_often(dir.path()).await;
    follower.until_hashed().await;
    assert!(follower.has("file", FILE));
    let told = follower.deltas.len();

    disk.answers(Errno::IO);
    follower.until(|f| f.warnings.iter().any(is_not_now)).await;
    let read = follower.share.read(DISK, content_of(FILE));
    assert!(matches!(read, Err(ReadError::NotNow { .. })), "{read:?}");
    let stored = follower.share.store(
        DISK,
        &name("new"),
        content_of(b"2"),
        None,
        b"2",
        Replace::No,
    );
    assert!(matches!(stored, Err(StoreError::Io { .. })), "{stored:?}");
    assert!(follower.has("file", FILE));

    disk.is_well();
    let scans = follower.scans;
    follower.until(|f| f.scans > scans).await;
    let read = follower.share.read(DISK, content_of(FILE));
    assert_eq!(read.expect("it is back"), FILE);
    assert_eq!(follower.deltas.len(), told, "nothing was told to members");
    assert_eq!(follower.warnings.len(), 1, "{:?}", follower.warnings);

    // One that does not come back, and then does after all.
    disk.answers(Errno::IO);
    follower.until(|f| f.names().is_empty()).await;
    disk.is_well();
    follower.until(|f| f.has("file", FILE)).await;
    // What it says is believed at once.
    disk.answers(Errno::NOENT);
    let asked = Instant::now();
    follower.until(|f| f.names().is_empty()).await;
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn a_share_that_cannot_be_looked_at_is_looked_at_from_time_to_time_only() {
    let test = "a_share_that_cannot_be_looked_at_is_looked_at_from_time_to_time_only";
    let dir = tempdir();
    let Some(disk) = FailingDisk::mount(test, dir.path()) else {
        return;
    };
    let mut follower = looking_often(dir.path()).await;
    follower.until_hashed().await;
    disk.answers(Errno::IO);
    follower.until(|f| f.warnings.iter().any(is_not_now)).await;
    // It stays listed for three seconds, in which the keeper looks every tenth of one.
    let asked = disk.asked();
    follower.until(|f| f.names().is_empty()).await;
    assert!(disk.asked() - asked < 150, "{}", disk.asked() - asked);
}

#[tokio::test]
async fn what_is_reported_while_the_share_cannot_be_looked_at_is_seen_to_afterwards() {
    let test = "what_is_reported_while_the_share_cannot_be_looked_at_is_seen_to_afterwards";
    let dir = tempdir();
    let Some(disk) = FailingDisk::mount(test, dir.path()) else {
        return;
    };
    let mut follower = looking_often(dir.path()).await;
    follower.until_hashed().await;
    for is_distrusted in [true, false] {
        disk.answers(Errno::IO);
        disk.is_asked_more_often(3);
        let shared = &follower.share.shared;
        if is_distrusted {
            shared.distrust(&name("file"));
        } else {
            shared
                .inbox
                .written(&shared.path, &shared.path.join("file"));
        }
        // The keeper comes by, and cannot look at it.
        disk.is_asked_more_often(5);
        let told = follower.history.len();
        disk.is_well();
        // It is hashed anew, though its stamp is the same.
        follower.until(|f| f.history.len() >= told + 2).await;
        assert!(follower.has("file", FILE));
    }
}

#[tokio::test]
async fn a_folder_of_a_share_that_cannot_be_looked_at_stays_listed_and_the_rest_goes_on() {
    let test = "a_folder_of_a_share_that_cannot_be_looked_at_stays_listed_and_the_rest_goes_on";
    let dir = tempdir();
    put(&dir, "here", "1");
    let inside = dir.path().join("disk");
    fs::create_dir(&inside).expect("made");
    let Some(disk) = FailingDisk::mount(test, &inside) else {
        return;
    };
    let mut follower = looking_often(dir.path()).await;
    follower.until_hashed().await;
    assert_eq!(follower.names(), ["disk/file", "here"]);

    disk.answers(Errno::IO);
    follower.until(|f| f.warnings.iter().any(is_not_now)).await;
    put(&dir, "new", "2");
    follower.until(|f| f.has("new", b"2")).await;
    assert!(follower.has("disk/file", FILE));
    disk.is_well();
    put(&dir, "newer", "3");
    follower.until(|f| f.has("newer", b"3")).await;
    assert!(follower.has("disk/file", FILE));
    let removed: usize = follower.deltas.iter().map(|(_, removed)| removed).sum();
    assert_eq!(removed, 0);

    disk.answers(Errno::IO);
    follower
        .until(|f| f.names() == ["here", "new", "newer"])
        .await;
    disk.is_well();
    follower.until(|f| f.has("disk/file", FILE)).await;
}

async fn looking_often(dir: &Path) -> Follower {
    let options = Options {
        poll: Duration::from_millis(100),
        ..Options::default()
    };
    Follower::at(dir, options).await
}

fn is_not_now(warning: &ShareWarning) -> bool {
    matches!(warning, ShareWarning::NotNow { .. })
}

/// A mounted file system with one file, until this is dropped. Needs root.
struct FailingDisk {
    at: PathBuf,
    told: Arc<Told>,
}

/// What the server of such a file system is told, and tells.
#[derive(Default)]
struct Told {
    /// What every question is answered with, if it is not 0.
    error: AtomicI32,
    /// How many questions have been.
    asked: Mutex<usize>,
    bell: Condvar,
}

impl FailingDisk {
    fn mount(test: &str, at: &Path) -> Option<Self> {
        let test = format!("failing::{test}");
        let Ok(device) = File::options().read(true).write(true).open("/dev/fuse") else {
            skip(&test, "root, and /dev/fuse");
            return None;
        };
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            device.as_raw_fd()
        );
        let options = CString::new(options).expect("no zero in it");
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        if mount("failing", at, "fuse", flags, &*options).is_err() {
            skip(&test, "root, and /dev/fuse");
            return None;
        }
        let told = Arc::<Told>::default();
        let server = Arc::clone(&told);
        // It ends when the file system is unmounted.
        thread::spawn(move || serve(device, &server));
        Some(Self {
            at: at.to_owned(),
            told,
        })
    }

    fn answers(&self, error: Errno) {
        self.told
            .error
            .store(error.raw_os_error(), Ordering::SeqCst);
    }

    fn is_well(&self) {
        self.told.error.store(0, Ordering::SeqCst);
    }

    /// Waits until it has been asked so many questions more.
    fn is_asked_more_often(&self, times: usize) {
        let asked = lock(&self.told.asked);
        let enough = *asked + times;
        let waited = self.told.bell.wait_while(asked, |asked| *asked < enough);
        drop(waited.expect("the server goes on"));
    }

    /// How many questions it has been asked.
    fn asked(&self) -> usize {
        *lock(&self.told.asked)
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.at, UnmountFlags::DETACH | UnmountFlags::FORCE);
    }
}

/// Answers the kernel's questions (`linux/fuse.h`, version 7.31). Nothing is to be
/// remembered, so each look at the disk is a question.
fn serve(mut device: File, told: &Told) {
    let mut question = vec![0; 1 << 20];
    while let Ok(length) = device.read(&mut question) {
        let question = &question[..length];
        let word = |at: usize| u32::from_ne_bytes(question[at..at + 4].try_into().expect("4"));
        let long = |at: usize| u64::from_ne_bytes(question[at..at + 8].try_into().expect("8"));
        let (opcode, node, arguments) = (word(4), long(16), &question[40..]);
        let fails = told.error.load(Ordering::SeqCst);
        *lock(&told.asked) += 1;
        told.bell.notify_all();
        let answer = match opcode {
            // To be forgotten: there is no answer.
            2 | 42 => continue,
            26 => Ok(words(&[7, 31, 0, 0, 0, 4096, 1]).resized(64)),
            _ if fails != 0 => Err(fails),
            1 if arguments == b"file\0" => Ok([longs(&[2, 0, 0, 0, 0]), attributes(2)].concat()),
            1 => Err(Errno::NOENT.raw_os_error()),
            3 => Ok([longs(&[0, 0]), attributes(node)].concat()),
            // Opened, without the kernel's cache.
            14 | 27 => Ok([longs(&[0]), words(&[1, 0])].concat()),
            15 => Ok(some_of(FILE, long(48), word(56))),
            17 => Ok(longs(&[9, 9, 9, 9, 9]).resized(80)),
            // Read, if it was not yet.
            28 if long(48) == 0 => {
                let name = [words(&[4, 8]), b"file\0\0\0\0".to_vec()].concat();
                Ok([longs(&[2, 1]), name].concat())
            }
            18 | 25 | 28 | 29 => Ok(Vec::new()),
            _ => Err(Errno::NOSYS.raw_os_error()),
        };
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(error) => (-error, Vec::new()),
        };
        let length = u32::try_from(16 + body.len()).expect("short");
        let mut answer = length.to_ne_bytes().to_vec();
        answer.extend(error.to_ne_bytes());
        answer.extend(long(8).to_ne_bytes());
        answer.extend(body);
        // One that was interrupted takes no answer.
        let _ = device.write_all(&answer);
    }
}

fn attributes(node: u64) -> Vec<u8> {
    let (mode, length) = match node {
        1 => (0o040_755, 0),
        _ => (0o100_644, FILE.len() as u64),
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
