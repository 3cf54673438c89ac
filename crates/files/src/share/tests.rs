//! A real directory, a real watcher, and a listener that follows the events.

mod alone;
mod clients;
mod failing;
mod ignoring;
mod kept;
mod linking;
mod mounts;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thorp_disk::testing::DISK;
use thorp_wire::Attributes;
use thorp_wire::merkle::{Hashed, content_of};
use tokio::time::timeout;

use super::locks::write;
use super::*;
use crate::store::{Replace, SmallFile};

/// What only tests ask a share.
impl Share {
    fn find(&self, content: Content) -> Option<Name> {
        read(&self.shared.index).names(content).next().cloned()
    }

    fn contains(&self, name: &Name) -> bool {
        read(&self.shared.index).record(name).is_some()
    }
}

/// A share, and its listing as the events tell it.
struct Follower {
    share: Share,
    events: mpsc::Receiver<ShareEvent>,
    listing: BTreeMap<String, Entry>,
    deltas: Vec<(usize, usize)>,
    scans: usize,
    warnings: Vec<ShareWarning>,
    /// The kept torrents, as they were told last.
    torrents: Vec<InfoHash>,
    /// Every root ever told for a name, and every time without one.
    history: Vec<(String, bool)>,
}

impl Follower {
    /// As a peer that ends does.
    fn end(self) {
        self.share.close_cache(DISK);
    }

    async fn of(dir: &TempDir) -> Self {
        Self::with(dir, Options::default()).await
    }

    async fn with(dir: &TempDir, options: Options) -> Self {
        Self::at(dir.path(), options).await
    }

    async fn at(dir: &Path, options: Options) -> Self {
        let quiet = if options.quiet == Options::default().quiet {
            Duration::from_millis(200)
        } else {
            options.quiet
        };
        let (share, events) =
            Share::open(DISK, dir, Options { quiet, ..options }).expect("a share");
        let mut follower = Self {
            share,
            events,
            listing: BTreeMap::new(),
            deltas: Vec::new(),
            scans: 0,
            warnings: Vec::new(),
            torrents: Vec::new(),
            history: Vec::new(),
        };
        follower.until(|f| f.scans == 1).await;
        follower
    }

    /// Follows until something has come about.
    async fn until(&mut self, mut there: impl FnMut(&Self) -> bool) {
        let followed = timeout(Duration::from_secs(30), async {
            while !there(self) {
                let event = self.events.recv().await.expect("the share is open");
                self.apply(event);
            }
        });
        let came = followed.await.is_ok();
        assert!(
            came,
            "it never came about: {:?} {:?}",
            self.listing, self.warnings
        );
    }

    async fn until_hashed(&mut self) {
        self.until(|f| f.listing.values().all(|entry| entry.root.is_some()))
            .await;
    }

    fn apply(&mut self, event: ShareEvent) {
        match event {
            ShareEvent::Delta { added, removed } => {
                self.deltas.push((added.len(), removed.len()));
                for name in removed {
                    assert!(
                        self.listing.remove(name.as_str()).is_some(),
                        "{name} was not told"
                    );
                }
                for entry in added {
                    let name = entry.name.to_string();
                    self.history.push((name.clone(), entry.root.is_some()));
                    let before = self.listing.insert(name, entry.clone());
                    assert_ne!(before, Some(entry), "nothing new");
                }
            }
            ShareEvent::Torrents(torrents) => {
                assert_ne!(self.torrents, torrents, "nothing new");
                self.torrents = torrents;
            }
            ShareEvent::Scanned { .. } => self.scans += 1,
            ShareEvent::Progress(_) => {}
            ShareEvent::Warning(warning) => self.warnings.push(warning),
        }
    }

    fn names(&self) -> Vec<&str> {
        self.listing.keys().map(String::as_str).collect()
    }

    fn has(&self, name: &str, bytes: &[u8]) -> bool {
        let entry = self.listing.get(name);
        entry.and_then(Entry::content) == Some(content_of(bytes))
    }
}

/// Last modified then.
fn at(mtime: i64) -> Attributes {
    Attributes {
        mtime,
        ..Attributes::default()
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn tempdir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn put(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, bytes).expect("written");
}

#[tokio::test]
async fn odd_names_are_listed_hashed_found_and_read() {
    let dir = tempdir();
    let longest = "x".repeat(255);
    let nested = format!("{}/deep", vec!["d"; 20].join("/"));
    let names = [
        "a b",
        "-rf",
        "ü-nfc",
        "u\u{308}-nfd",
        "line\nbreak",
        "\u{202e}x",
        "...",
        &longest,
        &nested,
    ];
    // Three dots are a name, and a hidden one.
    let options = Options {
        hidden: true,
        ..Options::default()
    };
    for name in names {
        put(&dir, name, name);
    }
    let mut follower = Follower::with(&dir, options).await;
    assert_eq!(follower.listing.len(), names.len(), "visible at once");
    follower.until_hashed().await;
    for text in names {
        let content = content_of(text.as_bytes());
        assert!(follower.has(text, text.as_bytes()));
        assert_eq!(follower.share.find(content), Some(name(text)));
        assert_eq!(
            follower.share.read(DISK, content).expect("here"),
            text.as_bytes()
        );
    }
}

#[tokio::test]
async fn sizes_around_every_boundary_are_read_back() {
    let dir = tempdir();
    let sizes = [0, 1, 16_383, 16_384, 16_385, 262_144, 262_145];
    let bytes = |size: usize| (0..=250).cycle().take(size).collect::<Vec<u8>>();
    for size in sizes {
        put(&dir, &format!("{size}"), bytes(size));
    }
    let mut follower = Follower::of(&dir).await;
    follower.until_hashed().await;
    for size in sizes {
        let bytes = bytes(size);
        assert!(follower.has(&format!("{size}"), &bytes));
        match follower.share.read(DISK, content_of(&bytes)) {
            Ok(read) => assert_eq!(read, bytes),
            Err(ReadError::TooLarge { length }) => assert_eq!(length, 262_145),
            Err(error) => panic!("{error}"),
        }
    }
    let totals = follower.share.totals();
    let bytes = sizes.iter().sum::<usize>() as u64;
    assert_eq!((totals.files, totals.bytes, totals.unhashed), (7, bytes, 0));
}

#[tokio::test]
async fn what_does_not_belong_to_the_share_is_counted_and_not_listed() {
    let (dir, outside) = (tempdir(), tempdir());
    put(&dir, "shown", "1");
    put(&dir, ".hidden", "2");
    put(&dir, ".folder/in", "3");
    put(&dir, ".gitignore", "shown");
    put(&dir, ".thorpignore", "*.log\nbuild/\n");
    put(&dir, "x.log", "4");
    put(&dir, "build/out", "5");
    put(&dir, ".thorp-0123456789abcdef.part", "6");
    put(&outside, "secret", "7");
    put(&dir, "state/thorp-state", "1");
    put(&dir, "state/tracker/ca.p8", "a key");
    symlink(outside.path().join("secret"), dir.path().join("link")).expect("linked");
    symlink(outside.path(), dir.path().join("folder-link")).expect("linked");
    #[expect(
        clippy::disallowed_types,
        reason = "it is a file that is none, and speaks with nobody"
    )]
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).expect("bound");
    let latin1 = PathBuf::from(OsStr::from_bytes(b"caf\xe9"));
    fs::write(dir.path().join(&latin1), "8").expect("written");

    let mut follower = Follower::of(&dir).await;
    follower.until(|f| !f.warnings.is_empty()).await;
    assert_eq!(follower.names(), ["shown"]);
    let expected = Skipped {
        hidden: 4,
        ignored: 2,
        unnameable: 1,
        unreadable: 0,
        ignore_files: 0,
        symlinks: 2,
        special: 1,
        keys: 1,
    };
    assert_eq!(follower.share.totals().skipped, expected);
    assert!(
        matches!(&follower.warnings[0], ShareWarning::Unnameable { path, count: 1 } if *path == latin1),
        "{:?}",
        follower.warnings
    );
    assert!(
        !dir.path().join(".thorp-0123456789abcdef.part").exists(),
        "swept"
    );

    // The watcher goes by the same rules, and by new ones at once.
    put(&dir, "new.log", "9");
    put(&dir, "build/new", "10");
    put(&dir, ".new", "11");
    put(&dir, "new", "12");
    follower.until(|f| f.has("new", b"12")).await;
    assert_eq!(follower.names(), ["new", "shown"]);
    put(&dir, ".thorpignore", "/new");
    follower.until(|f| f.scans == 2).await;
    assert_eq!(
        follower.names(),
        ["build/new", "build/out", "new.log", "shown", "x.log"]
    );
}

#[tokio::test]
async fn a_file_is_followed_through_its_life() {
    let dir = tempdir();
    let mut follower = Follower::of(&dir).await;
    put(&dir, "a", "first");
    follower.until(|f| f.has("a", b"first")).await;
    let old = content_of(b"first");

    put(&dir, "a", "second");
    follower.until(|f| f.has("a", b"second")).await;
    assert_eq!(follower.share.find(old), None);
    let read = follower.share.read(DISK, old);
    assert!(matches!(read, Err(ReadError::Changed { .. })), "{read:?}");

    fs::rename(dir.path().join("a"), dir.path().join("b")).expect("renamed");
    follower
        .until(|f| f.names() == ["b"] && f.has("b", b"second"))
        .await;

    fs::remove_file(dir.path().join("b")).expect("removed");
    follower.until(|f| f.listing.is_empty()).await;
    assert!(!follower.share.contains(&name("b")));
}

#[tokio::test]
async fn a_folder_that_is_renamed_is_not_read_again_now_or_after_a_restart() {
    let (dir, cache) = (tempdir(), tempdir());
    let options = || Options {
        cache: Some(cache.path().to_owned()),
        ..Options::default()
    };
    let bytes = large(2 * PIECE);
    put(&dir, "old/small", "small");
    put(&dir, "old/deep/large", &bytes);
    let mut follower = Follower::with(&dir, options()).await;
    follower.until_hashed().await;
    let opened = follower.share.totals().opened;
    let moved = |from: &str, to: &str| {
        fs::rename(dir.path().join(from), dir.path().join(to)).expect("renamed");
    };
    moved("old", "new");
    let is_there = |f: &Follower| {
        f.listing.len() == 2 && f.has("new/small", b"small") && f.has("new/deep/large", &bytes)
    };
    follower.until(is_there).await;
    assert_eq!(follower.share.totals().opened, opened);
    follower.end();

    let mut follower = Follower::with(&dir, options()).await;
    follower.until(is_there).await;
    assert_eq!(follower.share.totals().opened, 0);
    let content = content_of(&bytes);
    let read = follower.share.open_content(DISK, content).expect("here");
    assert_eq!(read.layer().len(), 2);

    // What is another file by then is read.
    fs::write(dir.path().join("new/small"), "other").expect("written");
    moved("new", "old");
    follower.until(|f| f.has("old/small", b"other")).await;
}

#[tokio::test]
async fn a_file_that_is_still_being_written_is_listed_and_hashed_when_that_ends() {
    use std::io::Write;
    let dir = tempdir();
    let mut follower = Follower::of(&dir).await;
    let mut file = fs::File::create(dir.path().join("a")).expect("made");
    file.write_all(b"one ").expect("written");
    file.flush().expect("written");
    follower.until(|f| f.listing.contains_key("a")).await;
    assert_eq!(
        follower.listing["a"].root, None,
        "visible, and not hashed yet"
    );
    file.write_all(b"two").expect("written");
    drop(file);
    follower.until(|f| f.has("a", b"one two")).await;
    let roots = follower.history.iter().filter(|(_, root)| *root).count();
    assert_eq!(roots, 1, "no root of half a file was ever told");
}

#[tokio::test]
async fn a_file_that_keeps_growing_is_not_told_at_every_step() {
    use std::io::Write;
    let dir = tempdir();
    let quiet = Duration::from_hours(1);
    let mut follower = Follower::with(
        &dir,
        Options {
            quiet,
            ..Options::default()
        },
    )
    .await;
    let mut file = fs::File::create(dir.path().join("a")).expect("made");
    for step in 0..5 {
        file.write_all(b"more").expect("written");
        // Seen by the watcher after the step.
        let marker = format!("marker {step}");
        put(&dir, &marker, "x");
        follower.until(|f| f.has(&marker, b"x")).await;
    }
    let told = |f: &Follower| f.history.iter().filter(|(name, _)| name == "a").count();
    assert!(
        told(&follower) <= 2,
        "once when it was made, once when it had a length"
    );
    drop(file);
    follower.until(|f| f.has("a", &b"more".repeat(5))).await;
}

#[tokio::test]
async fn ten_thousand_files_moved_in_are_one_delta_and_so_is_their_leaving() {
    let (dir, elsewhere) = (tempdir(), tempdir());
    let before = elsewhere.path().join("many");
    for folder in 0..10 {
        let folder = before.join(folder.to_string());
        fs::create_dir_all(&folder).expect("made");
        for file in 0..1000 {
            fs::write(folder.join(file.to_string()), file.to_string()).expect("written");
        }
    }
    let mut follower = Follower::of(&dir).await;
    let moved = Instant::now();
    fs::rename(&before, dir.path().join("many")).expect("moved");
    follower.until(|f| !f.listing.is_empty()).await;
    assert_eq!(
        follower.deltas,
        [(10_000, 0)],
        "after {:?}",
        moved.elapsed()
    );
    follower.until_hashed().await;
    assert!(follower.has("many/9/999", b"999"));

    follower.deltas.clear();
    fs::rename(dir.path().join("many"), elsewhere.path().join("gone")).expect("moved");
    follower.until(|f| f.listing.is_empty()).await;
    assert_eq!(follower.deltas, [(0, 10_000)]);
}

#[tokio::test]
async fn what_is_put_into_a_new_folder_is_found_and_followed() {
    let dir = tempdir();
    let mut follower = Follower::of(&dir).await;
    for number in 0..50 {
        put(&dir, &format!("new/{number}/deep/file"), "1");
    }
    follower.until(|f| f.listing.len() == 50).await;
    follower.until_hashed().await;
    put(&dir, "new/7/deep/file", "changed");
    follower
        .until(|f| f.has("new/7/deep/file", b"changed"))
        .await;
    fs::remove_dir_all(dir.path().join("new")).expect("removed");
    follower.until(|f| f.listing.is_empty()).await;
}

#[tokio::test]
async fn a_file_becomes_a_folder_and_a_file_again() {
    let dir = tempdir();
    put(&dir, "a", "file");
    let mut follower = Follower::of(&dir).await;
    fs::remove_file(dir.path().join("a")).expect("removed");
    put(&dir, "a/b", "inside");
    follower.until(|f| f.names() == ["a/b"]).await;
    fs::remove_dir_all(dir.path().join("a")).expect("removed");
    put(&dir, "a", "file again");
    follower
        .until(|f| f.names() == ["a"] && f.has("a", b"file again"))
        .await;
}

#[tokio::test]
async fn without_a_watcher_changes_are_found_by_looking() {
    let dir = tempdir();
    put(&dir, "goes", "1");
    let poll = Duration::from_millis(100);
    let mut follower = Follower::with(
        &dir,
        Options {
            watch: false,
            poll,
            ..Options::default()
        },
    )
    .await;
    fs::remove_file(dir.path().join("goes")).expect("removed");
    put(&dir, "comes", "2");
    follower
        .until(|f| f.names() == ["comes"] && f.has("comes", b"2"))
        .await;
}

#[tokio::test]
async fn where_the_watcher_gives_up_the_share_is_looked_through_instead() {
    let dir = tempdir();
    let poll = Duration::from_millis(100);
    let mut follower = Follower::with(
        &dir,
        Options {
            poll,
            ..Options::default()
        },
    )
    .await;
    let limit = watch::WatchError::Limit.to_string();
    follower.share.shared.inbox.blind(&limit);
    follower
        .until(|f| !f.warnings.is_empty() && f.scans > 3)
        .await;
    assert!(
        matches!(&follower.warnings[0], ShareWarning::Unwatched { why, every, .. }
            if *why == limit && *every == poll),
        "{:?}",
        follower.warnings
    );
    assert_eq!(follower.warnings.len(), 1, "said once");
}

#[tokio::test]
async fn after_an_overflow_the_share_is_looked_through_once() {
    let dir = tempdir();
    let mut follower = Follower::of(&dir).await;
    follower.share.shared.inbox.overflow();
    follower.until(|f| f.scans == 2).await;
}

#[tokio::test]
async fn a_change_that_leaves_the_stamp_as_it_was_is_seen_by_the_watcher() {
    let dir = tempdir();
    put(&dir, "a", "first");
    let mut follower = Follower::of(&dir).await;
    follower.until_hashed().await;
    let before = follower.history.len();
    // As two writes within one tick of the clock would look.
    follower.share.shared.inbox.written("a");
    follower
        .until(|f| f.history.len() > before && f.has("a", b"first"))
        .await;
    assert!(!follower.history[before].1, "doubted first");
}

#[tokio::test]
async fn a_folder_brings_its_own_rules_whatever_was_there_before() {
    let (dir, elsewhere) = (tempdir(), tempdir());
    put(&dir, "folder/a.log", "1");
    put(&elsewhere, "folder/.thorpignore", "*.log");
    put(&elsewhere, "folder/b.log", "2");
    put(&elsewhere, "folder/c", "3");
    let mut follower = Follower::of(&dir).await;
    fs::rename(dir.path().join("folder"), elsewhere.path().join("old")).expect("moved");
    fs::rename(elsewhere.path().join("folder"), dir.path().join("folder")).expect("moved");
    follower.until(|f| f.names() == ["folder/c"]).await;
}

#[tokio::test]
async fn one_file_is_hashed_on_demand() {
    let dir = tempdir();
    put(&dir, "a", "bytes");
    let follower = Follower::of(&dir).await;
    let entry = follower.share.hash_now(&name("a")).await.expect("hashed");
    assert_eq!(entry.content(), Some(content_of(b"bytes")));
    let again = follower.share.hash_now(&name("a")).await.expect("known");
    assert_eq!(again, entry);
    let missing = follower.share.hash_now(&name("b")).await;
    assert!(matches!(missing, Err(HashError::Gone { .. })));
}

#[tokio::test]
async fn a_file_that_is_not_the_hashed_one_any_more_is_not_handed_out() {
    let dir = tempdir();
    put(&dir, "a", "first");
    // The watcher does not report this: the share notices when it reads the
    // file.
    let mut follower = Follower::with(
        &dir,
        Options {
            watch: false,
            ..Options::default()
        },
    )
    .await;
    follower.until_hashed().await;
    put(&dir, "a", "other");
    let read = follower.share.read(DISK, content_of(b"first"));
    assert!(matches!(read, Err(ReadError::Changed { .. })), "{read:?}");
    assert_eq!(follower.share.find(content_of(b"first")), None, "delisted");
    follower.until(|f| f.has("a", b"other")).await;

    fs::remove_file(dir.path().join("a")).expect("removed");
    let read = follower.share.read(DISK, content_of(b"other"));
    assert!(matches!(read, Err(ReadError::Changed { .. })), "{read:?}");
    follower.until(|f| f.listing.is_empty()).await;
}

#[tokio::test]
async fn of_files_that_are_read_together_each_is_handed_out_or_not_as_if_it_were_read_alone() {
    let dir = tempdir();
    for file in ["a", "b", "c", "d", "d too"] {
        put(&dir, file, &file[..1]);
    }
    let options = Options {
        watch: false,
        ..Options::default()
    };
    let mut follower = Follower::with(&dir, options).await;
    follower.until_hashed().await;
    put(&dir, "b", "B");
    put(&dir, "d", "D");
    let contents = ["a", "b", "", "c", "d", "z"].map(|bytes| content_of(bytes.as_bytes()));
    let all = follower.share.reading().read_all(DISK, &contents);
    let told: Vec<String> = all
        .into_iter()
        .map(|read| match read {
            Ok(bytes) => String::from_utf8(bytes).expect("is text"),
            Err(ReadError::Changed { .. }) => "changed".into(),
            Err(ReadError::NotHere) => "not here".into(),
            Err(other) => panic!("{other}"),
        })
        .collect();
    assert_eq!(told, ["a", "changed", "", "c", "d", "not here"]);
    follower
        .until(|f| f.has("b", b"B") && f.has("d", b"D"))
        .await;
}

#[tokio::test]
async fn a_file_that_is_touched_or_grows_still_has_what_was_listed() {
    for watch in [false, true] {
        let dir = tempdir();
        put(&dir, "a", "first");
        let options = Options {
            watch,
            ..Options::default()
        };
        let mut follower = Follower::with(&dir, options).await;
        follower.until_hashed().await;
        let content = content_of(b"first");
        let touched = fs::File::options().append(true).open(dir.path().join("a"));
        let touched = touched.expect("opened");
        touched
            .set_modified(std::time::SystemTime::UNIX_EPOCH)
            .expect("touched");
        for more in ["", " and more", " and more"] {
            (&touched).write_all(more.as_bytes()).expect("written");
            assert_eq!(
                follower.share.read(DISK, content).expect("still there"),
                b"first"
            );
        }
        follower
            .until(|f| f.has("a", b"first and more and more"))
            .await;
        // It is listed otherwise by now.
        assert_eq!(
            follower.share.read(DISK, content).expect("still there"),
            b"first"
        );
        put(&dir, "a", "FIRST and more");
        let read = follower.share.read(DISK, content);
        assert!(matches!(read, Err(ReadError::Changed { .. })), "{read:?}");
        fs::remove_file(dir.path().join("a")).expect("removed");
        let read = follower.share.read(DISK, content_of(b"FIRST and more"));
        assert!(read.is_err(), "which has it looked at again");
        follower.until(|f| f.listing.is_empty()).await;
        let read = follower.share.read(DISK, content);
        assert!(matches!(read, Err(ReadError::NotHere)), "{read:?}");
    }
}

#[tokio::test]
async fn another_holder_of_the_same_content_in_the_share_steps_in() {
    let dir = tempdir();
    put(&dir, "a", "same");
    put(&dir, "b", "same");
    let mut follower = Follower::with(
        &dir,
        Options {
            watch: false,
            ..Options::default()
        },
    )
    .await;
    follower.until_hashed().await;
    put(&dir, "a", "different");
    assert_eq!(
        follower
            .share
            .read(DISK, content_of(b"same"))
            .expect("b has it"),
        b"same"
    );
}

#[tokio::test]
async fn a_fetched_file_is_listed_with_its_root_and_never_without() {
    let dir = tempdir();
    let mut follower = Follower::of(&dir).await;
    let content = content_of(b"fetched");
    let share = follower.share.clone();
    let store = |name: &Name, replace| {
        share.store(
            DISK,
            SmallFile {
                name,
                content,
                attributes: Some(at(1_000)),
                came: Hashed::of(b"fetched"),
                replace,
                set_aside: None,
            },
        )
    };
    store(&name("new/folder/a"), Replace::No).expect("stored");
    assert_eq!(
        follower.share.find(content),
        Some(name("new/folder/a")),
        "at once"
    );
    // This one is only seen by the watcher, after all reports about the other.
    put(&dir, "later", "1");
    follower.until(|f| f.has("later", b"1")).await;
    assert!(follower.has("new/folder/a", b"fetched"));
    assert_eq!(follower.listing["new/folder/a"].mtime, 1_000);
    let told: Vec<_> = follower
        .history
        .iter()
        .filter(|(n, _)| n == "new/folder/a")
        .collect();
    assert_eq!(told.len(), 1, "told once, with its root");

    // Over one that is listed: never a moment without either.
    put(&dir, "a", "old");
    follower.until(|f| f.has("a", b"old")).await;
    store(&name("a"), Replace::Yes).expect("replaced");
    put(&dir, "latest", "2");
    follower.until(|f| f.has("latest", b"2")).await;
    assert!(follower.has("a", b"fetched"));

    // What the rules leave out is stored and not listed.
    store(&name(".hidden"), Replace::No).expect("stored");
    assert!(dir.path().join(".hidden").exists());
    assert!(!follower.share.contains(&name(".hidden")));
}

#[tokio::test]
async fn what_is_in_the_way_of_a_fetched_file_stays_listed() {
    let dir = tempdir();
    put(&dir, "a", "mine");
    let mut follower = Follower::of(&dir).await;
    follower.until_hashed().await;
    let content = content_of(b"theirs");
    let stored = follower.share.store(
        DISK,
        SmallFile {
            name: &name("a"),
            content,
            attributes: None,
            came: Hashed::of(b"theirs"),
            replace: Replace::No,
            set_aside: None,
        },
    );
    assert!(
        matches!(stored, Err(StoreError::Exists { .. })),
        "{stored:?}"
    );
    put(&dir, "later", "1");
    follower.until(|f| f.has("later", b"1")).await;
    assert!(follower.has("a", b"mine"));
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_left_out_with_a_warning_until_it_may() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempdir();
    put(&dir, "a", "secret");
    let path = dir.path().join("a");
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
    mode(0o000);
    if fs::File::open(&path).is_ok() {
        return; // Root reads everything.
    }
    let mut follower = Follower::of(&dir).await;
    follower
        .until(|f| f.listing.is_empty() && !f.warnings.is_empty())
        .await;
    assert_eq!(follower.share.totals().skipped.unreadable, 1);
    mode(0o644);
    follower.until(|f| f.has("a", b"secret")).await;
}

#[tokio::test]
async fn a_share_that_may_not_be_entered_for_a_while_is_all_there_again_afterwards() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempdir();
    put(&dir, "a", "1");
    put(&dir, "b/c", "2");
    let mut follower = Follower::of(&dir).await;
    follower.until_hashed().await;
    let mode = |mode| {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).expect("set");
    };
    mode(0o000);
    if fs::read_dir(dir.path()).is_ok() {
        return mode(0o755); // Root enters everything.
    }
    // A caller asks for it meanwhile, and it is looked at.
    let read = follower.share.read(DISK, content_of(b"1"));
    assert!(read.is_err(), "{read:?}");
    let is_told = |warning: &ShareWarning| matches!(warning, ShareWarning::NotNow { path, .. } if path == dir.path());
    follower.until(|f| f.warnings.iter().any(is_told)).await;
    assert!(follower.has("a", b"1") && follower.has("b/c", b"2"));
    let scans = follower.scans;
    mode(0o755);
    follower.until(|f| f.scans > scans).await;
    assert!(follower.has("a", b"1") && follower.has("b/c", b"2"));
    let read = follower.share.read(DISK, content_of(b"1"));
    assert_eq!(read.expect("it may be entered"), b"1");
}

#[tokio::test]
async fn the_share_closes_with_its_last_clone() {
    let dir = tempdir();
    let follower = Follower::of(&dir).await;
    let Follower {
        share, mut events, ..
    } = follower;
    let weak = Arc::downgrade(&share.shared);
    drop(share);
    let ended = timeout(Duration::from_secs(30), async {
        while events.recv().await.is_some() {}
    });
    ended.await.expect("the keeper ends");
    // The last thread may hold on for a moment longer than the channel.
    let freed = timeout(Duration::from_secs(30), async {
        while weak.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    });
    freed.await.expect("no thread outlives the share");
}

#[test]
fn what_cannot_or_should_not_be_shared_is_refused_with_a_reason() {
    let dir = tempdir();
    put(&dir, "file", "1");
    let open = |path: &Path| Share::open(DISK, path, Options::default()).map(|_| ());
    let missing = open(&dir.path().join("missing"));
    assert!(
        matches!(missing, Err(ShareError::NotFound { .. })),
        "{missing:?}"
    );
    let file = open(&dir.path().join("file"));
    assert!(
        matches!(file, Err(ShareError::NotADirectory { .. })),
        "{file:?}"
    );
    let all = open(Path::new("/"));
    assert!(matches!(all, Err(ShareError::TooBroad { .. })), "{all:?}");
}

#[test]
fn homes_and_what_is_above_them_are_too_broad() {
    let village = tempdir();
    let home = village.path().canonicalize().expect("a path").join("ann");
    fs::create_dir(&home).expect("made");
    let broad = |path: &Path| Broad::of(DISK, path, Some(&home)).is_some();
    assert!(broad(&home) && broad(home.parent().expect("the village")) && broad(Path::new("/")));
    assert!(!broad(&home.join("share")) && !broad(&home.with_file_name("bob")));
    assert!(
        broad(Path::new("/home")) && broad(Path::new("/home/bob")) && broad(Path::new("/root"))
    );
    assert!(!broad(Path::new("/home/bob/share")) && !broad(Path::new("/srv")));
}

/// A user who works in the share: writes, removes and renames files and
/// folders, the same ones each time for the same seed.
fn rummage(root: &Path, seed: u64, steps: u64) {
    let mut state = seed | 1;
    let mut any = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for step in 0..steps {
        let mut place = || {
            let outer = root.join(format!("d{}", any(8)));
            let inner = outer.join(format!("e{}", any(4)));
            let file = inner.join(format!("f{}", any(30)));
            [outer, inner, file]
        };
        let ([outer, inner, file], [outer_2, inner_2, file_2]) = (place(), place());
        // Many of them fail, as they would for a person in a hurry.
        let _ = match any(60) {
            0..=29 => fs::create_dir_all(&inner).and_then(|()| fs::write(&file, format!("{step}"))),
            30..=39 => fs::remove_file(&file),
            40..=54 => fs::rename(&file, &file_2),
            55..=56 => fs::rename(&inner, &inner_2),
            57..=58 => fs::rename(&outer, &outer_2),
            _ => fs::remove_dir_all(&outer),
        };
    }
}

/// What is on the disk, read without the code of shares.
fn truth(root: &Path) -> BTreeMap<String, Option<Content>> {
    let files = ignore::WalkBuilder::new(root)
        .standard_filters(false)
        .build();
    let files = files.map(|entry| entry.expect("readable").into_path());
    files
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path
                .strip_prefix(root)
                .expect("beneath")
                .to_str()
                .expect("UTF-8");
            let content = content_of(&fs::read(&path).expect("read"));
            (name.to_owned(), Some(content))
        })
        .collect()
}

#[tokio::test]
async fn after_any_turmoil_the_listing_is_what_is_there() {
    for seed in [1, 77, 4_711] {
        let dir = tempdir();
        let mut follower = Follower::of(&dir).await;
        let path = dir.path().to_owned();
        let work = tokio::task::spawn_blocking(move || rummage(&path, seed, 4_000));
        work.await.expect("done");
        // In two rounds: the second shows that every folder is still watched.
        for round in 0..2 {
            let truth = truth(dir.path());
            follower
                .until(|f| {
                    let told = f.listing.iter().map(|(name, e)| (name, e.content()));
                    told.eq(truth.iter().map(|(name, content)| (name, *content)))
                })
                .await;
            let folders = ignore::WalkBuilder::new(dir.path())
                .standard_filters(false)
                .build();
            for folder in folders.map(|entry| entry.expect("readable")) {
                if folder.path().is_dir() {
                    fs::write(folder.path().join("new"), format!("{round}")).expect("written");
                }
            }
        }
    }
}

#[tokio::test]
async fn where_thorp_keeps_its_keys_is_never_shared() {
    let dir = tempdir();
    put(&dir, "state/thorp-state", "1");
    put(&dir, "state/tracker/ca.p8", "a key");
    for inside in ["state", "state/tracker"] {
        let options = Options {
            broad: true,
            ..Options::default()
        };
        let refused = Share::open(DISK, &dir.path().join(inside), options).err();
        assert!(
            matches!(refused, Some(ShareError::Keys { .. })),
            "{refused:?}"
        );
    }
    // One that is made while the directory around it is shared.
    let mut follower = Follower::of(&dir).await;
    put(&dir, "late/thorp-state", "1");
    put(&dir, "late/key.p8", "a key");
    put(&dir, "after", "that");
    follower.until(|f| f.names() == ["after"]).await;
    assert!(follower.share.find(content_of(b"a key")).is_none());
}

#[tokio::test]
async fn a_directory_that_is_moved_away_is_no_longer_shared_nor_written_to() {
    let base = tempdir();
    let dir = base.path().join("share");
    fs::create_dir(&dir).expect("made");
    fs::write(dir.join("shown"), "1").expect("written");
    let mut follower = Follower::at(&dir, Options::default()).await;
    follower.until_hashed().await;
    fs::rename(&dir, base.path().join("private")).expect("moved");
    fs::create_dir(&dir).expect("made anew");
    let read = follower.share.read(DISK, content_of(b"1"));
    assert!(matches!(read, Err(ReadError::NotHere)), "{read:?}");
    let name = "new".parse().expect("a name");
    let stored = follower.share.store(
        DISK,
        SmallFile {
            name: &name,
            content: content_of(b"2"),
            attributes: None,
            came: Hashed::of(b"2"),
            replace: Replace::No,
            set_aside: None,
        },
    );
    assert!(
        matches!(stored, Err(StoreError::Moved { .. })),
        "{stored:?}"
    );
    follower.until(|f| f.names().is_empty()).await;
    follower.until(|f| f.warnings.iter().any(is_moved)).await;
    assert!(!base.path().join("private/new").exists());
}

#[tokio::test]
async fn a_directory_that_is_moved_away_is_not_listed_until_it_is_back_though_nobody_asks() {
    let base = tempdir();
    let above = base.path().join("above");
    let dir = above.join("share");
    fs::create_dir_all(&dir).expect("made");
    fs::write(dir.join("shown"), "1").expect("written");
    let mut follower = Follower::at(&dir, Options::default()).await;
    follower.until_hashed().await;
    let elsewhere = base.path().join("elsewhere");
    for moved in [&dir, &above] {
        fs::rename(moved, &elsewhere).expect("moved");
        follower.until(|f| f.names().is_empty()).await;
        follower.until(|f| f.warnings.iter().any(is_moved)).await;
        fs::rename(&elsewhere, moved).expect("moved back");
        follower.until(|f| f.names() == ["shown"]).await;
    }
}

#[tokio::test]
async fn whoever_writes_for_long_is_told_when_a_directory_above_is_moved() {
    let base = tempdir();
    let above = base.path().join("above");
    let dir = above.join("share");
    fs::create_dir_all(&dir).expect("made");
    let mut follower = Follower::at(&dir, Options::default()).await;
    let partial = begun(&follower.share, "f");
    fs::rename(&above, base.path().join("elsewhere")).expect("moved");
    let moved = timeout(Duration::from_secs(30), follower.share.moved(&partial)).await;
    assert!(matches!(moved, Ok(StoreError::Moved { .. })), "{moved:?}");
    // And so are all other callers.
    follower.until(|f| f.warnings.iter().any(is_moved)).await;
}

#[tokio::test]
async fn a_large_file_whose_folder_is_moved_out_or_removed_is_told_of_and_not_listed() {
    let (dir, outside) = (tempdir(), tempdir());
    let follower = Follower::of(&dir).await;
    let folder = dir.path().join("folder");
    for is_removed in [false, true] {
        let partial = begun(&follower.share, "folder/f");
        if is_removed {
            fs::remove_dir_all(&folder).expect("removed");
        } else {
            fs::rename(&folder, outside.path().join("folder")).expect("moved");
        }
        let moved = timeout(Duration::from_secs(30), follower.share.moved(&partial)).await;
        assert!(
            matches!(moved, Ok(StoreError::FolderMoved { .. })),
            "{moved:?}"
        );
        let finished = follower
            .share
            .finish(DISK, &partial, &[], None, Replace::No, None);
        assert!(
            matches!(finished, Err(StoreError::FolderMoved { .. })),
            "{finished:?}"
        );
        assert_eq!(follower.share.listed(&name("folder/f")), None);
    }
    assert!(!outside.path().join("folder/f").exists());
}

/// A large file, some of which has come.
fn begun(share: &Share, text: &str) -> Arc<Partial> {
    let content = content_of(&large(3 * PIECE));
    let partial = share.partial(DISK, &name(text), content).expect("a file");
    partial.write(DISK, b"the first", 0).expect("written");
    Arc::new(partial)
}

fn is_moved(warning: &ShareWarning) -> bool {
    matches!(warning, ShareWarning::Moved { .. })
}

/// Bytes that differ from piece to piece.
fn large(length: usize) -> Vec<u8> {
    let mut number = 0u32;
    let next = std::iter::repeat_with(|| {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        number.to_le_bytes()[3]
    });
    next.take(length).collect()
}

#[tokio::test]
async fn a_large_file_is_read_in_pieces_as_long_as_it_is_what_was_hashed() {
    let dir = tempdir();
    let bytes = large(3 * PIECE + 1);
    put(&dir, "a", &bytes);
    put(&dir, "b", &bytes);
    put(&dir, "one piece", &bytes[..PIECE]);
    let mut follower = Follower::of(&dir).await;
    follower.until_hashed().await;
    let one = content_of(&bytes[..PIECE]);
    let opened = follower.share.open_content(DISK, one).expect("here");
    assert_eq!(opened.layer(), [*one.root.as_bytes()]);

    let content = content_of(&bytes);
    let opened = follower.share.open_content(DISK, content).expect("here");
    let layer: Vec<[u8; 32]> = bytes
        .chunks(PIECE)
        .map(|piece| {
            // A short piece is padded to the height of a whole one.
            let mut leaves: Vec<_> = piece
                .chunks(16_384)
                .map(thorp_wire::merkle::leaf_hash)
                .collect();
            leaves.resize(16, [0; 32]);
            let layout = thorp_wire::layout::Layout::of(PIECE as u64 * 4);
            let piece = layout.piece(0).expect("the first");
            thorp_wire::merkle::piece_hash(layout, piece, &leaves).expect("all leaves")
        })
        .collect();
    assert_eq!(opened.layer(), layer);
    for offset in [0, 1, PIECE - 1, 3 * PIECE - 10] {
        let mut read = [0; 11];
        opened
            .read(DISK, &mut read, offset as u64)
            .expect("unchanged");
        assert_eq!(read, bytes[offset..offset + 11]);
    }
    assert_eq!(
        follower
            .share
            .contents_named(&content.root.as_bytes()[..20].try_into().expect("20")),
        [content]
    );

    // Not a byte of what is written over it, even in the same second and length.
    put(&dir, "a", large(3 * PIECE + 2).split_off(1));
    assert!(matches!(
        opened.read(DISK, &mut [0; 16], 0),
        Err(ReadError::Changed { .. })
    ));
    // Its other name will do.
    let other = follower
        .share
        .open_content(DISK, content)
        .expect("b is the same");
    other.read(DISK, &mut [0; 16], 0).expect("unchanged");
    fs::remove_file(dir.path().join("b")).expect("removed");
    follower.until(|f| !f.listing.contains_key("b")).await;
    assert!(matches!(
        other.read(DISK, &mut [0; 16], 0),
        Err(ReadError::Changed { .. })
    ));
    assert!(follower.share.open_content(DISK, content).is_err());
    follower.until_hashed().await;
    assert!(
        follower.has("a", &large(3 * PIECE + 2)[1..]),
        "looked at anew"
    );
}

const PIECE: usize = 256 * 1024;

#[tokio::test]
async fn of_a_large_file_that_changes_the_pieces_that_are_what_they_were_are_served() {
    let dir = tempdir();
    let bytes = large(3 * PIECE + 1);
    put(&dir, "a", &bytes);
    let mut follower = Follower::of(&dir).await;
    follower.until_hashed().await;
    let content = content_of(&bytes);
    let opened = follower.share.open_content(DISK, content).expect("here");
    let file = fs::File::options().write(true).open(dir.path().join("a"));
    let mut file = file.expect("opened");
    let read = |offset: usize| {
        let mut some = vec![0; 1000];
        let read = opened.read(DISK, &mut some, offset as u64);
        read.map(|()| assert_eq!(some, bytes[offset..offset + 1000]))
    };
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .expect("touched");
    for offset in [0, PIECE, 2 * PIECE + 7, 5] {
        read(offset).expect("it was only touched");
    }
    file.seek(SeekFrom::End(0)).expect("sought");
    file.write_all(b"more").expect("written");
    for offset in [3 * PIECE - 999, PIECE - 1000, 0] {
        read(offset).expect("something was added behind");
    }
    file.seek(SeekFrom::Start(PIECE as u64 + 5))
        .expect("sought");
    file.write_all(b"other").expect("written");
    read(0).expect("this piece is what it was");
    let changed = read(PIECE + 100_000);
    assert!(matches!(changed, Err(ReadError::Changed { .. })));
    read(2 * PIECE).expect("and so is this one");
    follower.until_hashed().await;
    fs::remove_file(dir.path().join("a")).expect("removed");
    follower.until(|f| f.listing.is_empty()).await;
    assert!(read(0).is_err(), "what is not listed is not served");
}

#[tokio::test]
async fn that_a_file_was_written_through_a_mapping_is_noticed_when_its_leaves_are_asked_for() {
    let dir = tempdir();
    let bytes = large(3 * PIECE + 1);
    put(&dir, "a", &bytes);
    let mut options = fs::File::options();
    let file = options.read(true).write(true).open(dir.path().join("a"));
    let file = file.expect("opened");
    #[expect(unsafe_code, reason = "no other program shortens the file")]
    let mut mapping = unsafe { memmap2::MmapMut::map_mut(&file) }.expect("mapped");
    // What is written to first shows in the stamp; what follows only once it is on disk.
    for page in mapping.chunks_mut(4096) {
        page[0] = std::hint::black_box(page[0]);
    }
    let mut follower = Follower::of(&dir).await;
    follower.until_hashed().await;
    let content = content_of(&bytes);
    let opened = follower.share.open_content(DISK, content).expect("here");
    mapping[PIECE + 5] ^= 1;
    let layout = thorp_wire::layout::Layout::of(content.length);
    let leaves = |piece| opened.leaves(DISK, layout.piece(piece).expect("a piece"));
    assert_eq!(
        leaves(0).expect("this one is as it was").len(),
        PIECE / thorp_wire::merkle::LEAF
    );
    assert!(matches!(leaves(1), Err(ReadError::Changed { .. })));
    // From now on no byte of it is handed out unproven.
    let mut some = [0; 11];
    assert!(opened.read(DISK, &mut some, PIECE as u64).is_err());
    opened.read(DISK, &mut some, 0).expect("as it was");
    let now = mapping.to_vec();
    follower.until(|f| f.has("a", &now)).await;
}

#[tokio::test]
async fn a_file_that_is_written_all_the_time_is_hashed_as_it_is_for_whoever_waits_for_it() {
    let dir = tempdir();
    let mut bytes = large(3 * PIECE + 1);
    put(&dir, "log", &bytes);
    let file = fs::File::options()
        .append(true)
        .open(dir.path().join("log"));
    let mut file = file.expect("opened");
    let mut follower = Follower::of(&dir).await;
    let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_over = Arc::clone(&ended);
    let writing = std::thread::spawn(move || {
        while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
            file.write_all(b"a line\n").expect("written");
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let entry = follower.share.hash_now(&name("log")).await.expect("a root");
    let content = entry.content().expect("a root");
    follower
        .until(|f| {
            f.listing
                .get("log")
                .is_some_and(|entry| entry.content() == Some(content))
        })
        .await;
    let opened = follower.share.open_content(DISK, content).expect("here");
    let mut read = vec![0; usize::try_from(content.length).expect("small")];
    opened.read(DISK, &mut read, 0).expect("as it was");
    bytes.extend(b"a line\n".iter().cycle().take(read.len() - bytes.len()));
    assert!(read == bytes);
    assert_eq!(content_of(&read), content);
    ended.store(true, std::sync::atomic::Ordering::Relaxed);
    writing.join().expect("ends");
    // At rest it is listed as it is.
    let now = fs::read(dir.path().join("log")).expect("read");
    follower.until(|f| f.has("log", &now)).await;
}

#[tokio::test]
async fn a_file_on_its_way_is_listed_as_a_part_and_then_whole_or_not_at_all() {
    let dir = tempdir();
    put(&dir, ".thorpignore", "*.log");
    let mut follower = Follower::of(&dir).await;
    let content = content_of(b"whole");
    let part = |f: &Follower| {
        f.listing
            .get("x")
            .map(|entry| (entry.partial, entry.content()))
    };

    let arriving = follower.share.arriving(DISK, &name("x"), content, at(7));
    follower
        .until(|f| part(f) == Some((true, Some(content))))
        .await;
    assert_eq!(
        follower.share.find(content),
        None,
        "not for those who want all"
    );
    drop(arriving);
    follower.until(|f| f.listing.is_empty()).await;

    let arriving = follower.share.arriving(DISK, &name("x"), content, at(7));
    let unlisted = follower
        .share
        .arriving(DISK, &name("x.log"), content, at(7));
    follower.until(|f| part(f).is_some()).await;
    let store = |follower: &Follower| {
        let share = &follower.share;
        share.store(
            DISK,
            SmallFile {
                name: &name("x"),
                content,
                attributes: Some(at(7)),
                came: Hashed::of(b"whole"),
                replace: Replace::No,
                set_aside: None,
            },
        )
    };
    store(&follower).expect("stored");
    drop((arriving, unlisted));
    follower
        .until(|f| part(f) == Some((false, Some(content))))
        .await;
    assert_eq!(follower.names(), ["x"]);
    assert!(!follower.history.iter().any(|(_, has_root)| !has_root));
}

/// Where it is remembered what was hashed.
fn remembering(folder: &TempDir) -> Options {
    Options {
        cache: Some(folder.path().join("hashes")),
        ..Options::default()
    }
}

#[tokio::test]
async fn after_a_restart_only_what_has_changed_is_read_again() {
    let (dir, state) = (tempdir(), tempdir());
    let bytes = large(300_000);
    put(&dir, "large", &bytes);
    for n in 0..100 {
        put(&dir, &format!("{n}/file"), n.to_string());
    }
    let mut follower = Follower::with(&dir, remembering(&state)).await;
    follower.until_hashed().await;
    assert_eq!(follower.share.totals().opened, 101);
    let before = follower.listing.clone();
    follower.end();

    let mut follower = Follower::with(&dir, remembering(&state)).await;
    assert_eq!(follower.listing, before, "with all roots, at once");
    assert_eq!(follower.share.totals().opened, 0);
    let content = content_of(&bytes);
    assert_eq!(
        follower
            .share
            .open_content(DISK, content)
            .expect("here")
            .layer()
            .len(),
        2
    );
    assert_eq!(follower.share.totals().opened, 1, "to be handed out");
    put(&dir, "7/file", "changed");
    follower.until(|f| f.has("7/file", b"changed")).await;
    follower.end();

    fs::remove_file(dir.path().join("8/file")).expect("removed");
    put(&dir, "9/file", "while nobody looked");
    put(&dir, "new", "new");
    let mut follower = Follower::with(&dir, remembering(&state)).await;
    follower.until_hashed().await;
    assert!(follower.has("9/file", b"while nobody looked") && follower.has("7/file", b"changed"));
    assert!(!follower.listing.contains_key("8/file"));
    assert_eq!(follower.share.totals().opened, 2);
}

#[tokio::test]
async fn what_was_hashed_on_a_disk_that_is_not_mounted_is_remembered_until_it_is() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "beside", "1");
    fs::create_dir(dir.path().join("disk")).expect("is made");
    let mut follower = Follower::with(&dir, remembering(&state)).await;
    follower.until_hashed().await;
    let mut stamp = read(&follower.share.shared.index)
        .record(&name("beside"))
        .expect("is listed")
        .stamp;
    (stamp.mtime, stamp.ctime) = (0, 0);
    let content = content_of(b"2");
    let on_disk: Vec<_> = (0..3000)
        .map(|number| (name(&format!("disk/d/{number}")), stamp))
        .collect();
    for (name, stamp) in &on_disk {
        let kept = follower
            .share
            .shared
            .cache
            .keep(name, stamp, content.root, &[]);
        kept.expect("is kept");
    }
    let remembered = |follower: &Follower| {
        let roots = follower.share.shared.cache.roots(&on_disk);
        roots.into_iter().flatten().count()
    };
    for scans in 2..4 {
        follower.share.shared.inbox.overflow();
        follower.until(|f| f.scans == scans).await;
        assert_eq!(remembered(&follower), on_disk.len());
    }
    // It is mounted, and they are not on it any more.
    put(&dir, "disk/other", "3");
    follower.until(|f| f.has("disk/other", b"3")).await;
    let scans = follower.scans;
    follower.share.shared.inbox.overflow();
    follower.until(|f| f.scans > scans).await;
    assert_eq!(remembered(&follower), 0);
}

#[tokio::test]
async fn the_pieces_of_a_file_that_says_it_is_from_the_future_are_hashed_once_and_remembered() {
    let (dir, state) = (tempdir(), tempdir());
    let follower = Follower::with(&dir, remembering(&state)).await;
    let bytes = large(300_000);
    let (content, far) = (content_of(&bytes), 10_000_000_000 - 1);
    let share = &follower.share;
    let stored = share.store(
        DISK,
        SmallFile {
            name: &name("x"),
            content,
            attributes: Some(at(far)),
            came: Hashed::of(&bytes),
            replace: Replace::No,
            set_aside: None,
        },
    );
    let stamp = stored.expect("stored").stamp;
    let cache = &share.shared.cache;
    let remembered = || cache.layer(&name("x"), &stamp, content.root);
    assert_eq!(remembered(), None, "it could be changed still");
    while !stamp.is_settled(std::time::SystemTime::now()) {
        tokio::task::yield_now().await;
    }
    let opened = share.open_content(DISK, content).expect("here");
    assert_eq!(remembered().as_deref(), Some(opened.layer()));
}

#[tokio::test]
async fn a_fetched_file_is_not_read_after_a_restart_either() {
    let (dir, state) = (tempdir(), tempdir());
    let follower = Follower::with(&dir, remembering(&state)).await;
    let content = content_of(b"fetched");
    let share = &follower.share;
    share
        .store(
            DISK,
            SmallFile {
                name: &name("a"),
                content,
                attributes: Some(at(7)),
                came: Hashed::of(b"fetched"),
                replace: Replace::No,
                set_aside: None,
            },
        )
        .expect("stored");
    follower.end();
    let follower = Follower::with(&dir, remembering(&state)).await;
    assert!(follower.has("a", b"fetched"));
    assert_eq!(follower.share.totals().opened, 0);
}

#[tokio::test]
async fn what_was_written_to_is_forgotten_even_where_its_stamp_is_the_same() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "a", "1");
    let options = Options {
        quiet: Duration::from_mins(1),
        ..remembering(&state)
    };
    let mut follower = Follower::with(&dir, options).await;
    follower.until_hashed().await;
    let shared = Arc::clone(&follower.share.shared);
    let stamp = read(&shared.index)
        .record(&name("a"))
        .expect("listed")
        .stamp;
    let remembered = || shared.cache.roots(&[(name("a"), stamp)])[0];
    assert_eq!(remembered(), Some(content_of(b"1").root));
    shared
        .inbox
        .report(vec![("a".into(), inbox::Report::Written)]);
    follower.until(|f| f.listing["a"].root.is_none()).await;
    assert_eq!(remembered(), None);
}

#[tokio::test]
async fn where_nothing_can_be_remembered_a_person_is_told_and_all_goes_on() {
    let (dir, state) = (tempdir(), tempdir());
    put(&dir, "a", "1");
    put(&state, "hashes", "a file where the folder should be");
    let mut follower = Follower::with(&dir, remembering(&state)).await;
    follower.until(|f| !f.warnings.is_empty()).await;
    assert!(
        matches!(follower.warnings[0], ShareWarning::HashesUnusable { .. }),
        "{:?}",
        follower.warnings
    );
    follower.until_hashed().await;
    assert!(follower.has("a", b"1"));
}

#[tokio::test]
async fn what_is_left_out_is_counted_as_it_comes_and_goes() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempdir();
    put(&dir, "a", "1");
    let mut follower = Follower::of(&dir).await;
    assert_eq!(follower.share.totals().skipped, Skipped::default());
    put(&dir, ".hidden", "2");
    put(&dir, "papers/.hidden", "3");
    put(&dir, "papers/.git/object", "4");
    symlink("/etc/passwd", dir.path().join("papers/link")).expect("linked");
    let latin1 = dir.path().join(OsStr::from_bytes(b"caf\xe9"));
    fs::write(&latin1, "5").expect("written");
    put(&dir, "seen", "6");
    follower
        .until(|f| f.has("seen", b"6") && !f.warnings.is_empty())
        .await;
    let expected = Skipped {
        hidden: 3,
        symlinks: 1,
        unnameable: 1,
        ..Skipped::default()
    };
    assert_eq!(follower.share.totals().skipped, expected);
    let warning = &follower.warnings[0];
    assert!(
        matches!(warning, ShareWarning::Unnameable { path, count: 1 } if latin1.ends_with(path)),
        "{warning:?}"
    );
    put(&dir, "papers/.git/another", "7");
    put(&dir, ".thorpignore", "*.o\n");
    put(&dir, "b.o", "8");
    put(&dir, "more", "9");
    follower.until(|f| f.has("more", b"9")).await;
    let expected = Skipped {
        hidden: 4,
        ignored: 1,
        ..expected
    };
    assert_eq!(follower.share.totals().skipped, expected);
    fs::remove_dir_all(dir.path().join("papers")).expect("removed");
    fs::remove_file(&latin1).expect("removed");
    put(&dir, "last", "10");
    follower.until(|f| f.has("last", b"10")).await;
    let expected = Skipped {
        hidden: 2,
        ignored: 1,
        ..Skipped::default()
    };
    assert_eq!(follower.share.totals().skipped, expected);
}

#[tokio::test]
async fn one_folder_that_may_not_be_read_does_not_blind_the_watcher() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempdir();
    put(&dir, "closed/in", "1");
    put(&dir, "open/in", "2");
    let path = dir.path().join("closed");
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
    mode(0o000);
    if fs::read_dir(&path).is_ok() {
        mode(0o755);
        return; // Root reads everything.
    }
    let mut follower = Follower::of(&dir).await;
    assert_eq!(follower.share.totals().skipped.unreadable, 1);
    put(&dir, "open/new", "3");
    follower.until(|f| f.has("open/new", b"3")).await;
    mode(0o755);
    follower.until(|f| f.has("closed/in", b"1")).await;
    put(&dir, "closed/new", "4");
    follower.until(|f| f.has("closed/new", b"4")).await;
    assert_eq!(follower.scans, 1, "looked through once only");
    let blind = |warning: &ShareWarning| matches!(warning, ShareWarning::Unwatched { .. });
    assert!(
        !follower.warnings.iter().any(blind),
        "{:?}",
        follower.warnings
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_opened_for_lack_of_descriptors_is_shared_a_moment_later() {
    let test = "a_folder_that_cannot_be_opened_for_lack_of_descriptors_is_shared_a_moment_later";
    let few = ["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"];
    if !alone::is_alone(test, &few) {
        return;
    }
    let (dir, elsewhere) = (tempdir(), tempdir());
    put(&elsewhere, "folder/file", "1");
    put(&elsewhere, "with/rules", "2");
    put(&elsewhere, "with/.thorpignore", "");
    let options = Options {
        poll: Duration::from_millis(200),
        ..Options::default()
    };
    let mut follower = Follower::with(&dir, options).await;
    let opened = std::iter::repeat_with(|| fs::File::open("/dev/null"));
    let held: Vec<_> = opened.map_while(Result::ok).collect();
    for folder in ["folder", "with"] {
        let (from, to) = (elsewhere.path().join(folder), dir.path().join(folder));
        fs::rename(from, to).expect("moved");
    }
    follower.until(|f| f.warnings.len() >= 2).await;
    assert!(follower.listing.is_empty());
    let refused = Share::check(DISK, dir.path(), &Options::default());
    let refused = refused.expect_err("too many are open").to_string();
    assert!(refused.ends_with("(ulimit -n)"), "{refused}");
    drop(held);
    follower
        .until(|f| f.has("folder/file", b"1") && f.has("with/rules", b"2"))
        .await;
    let expected = Skipped {
        hidden: 1,
        ..Skipped::default()
    };
    assert_eq!(follower.share.totals().skipped, expected);
}
