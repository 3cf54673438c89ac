use super::*;

use std::os::unix::fs::symlink;

use proptest::prelude::*;
use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;

const LONG_AGO: i64 = 1_000_000_000_000_000_000;
const ROOT: Root = Root::new([7; 32]);

fn stamp(length: u64) -> Stamp {
    Stamp {
        length,
        mtime: LONG_AGO / 1_000_000_000,
        mtime_nanos: 0,
        executable: false,
        ctime: LONG_AGO,
        inode: 5,
        device: 1,
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn open(dir: &TempDir, share: &str) -> Cache {
    let cache = Cache::default();
    cache
        .open(Some(dir.path()), Path::new(share))
        .expect("no warning");
    cache
}

fn root(cache: &Cache, text: &str, stamp: Stamp) -> Option<Root> {
    cache.roots(&[(name(text), stamp)])[0]
}

#[test]
fn what_is_kept_is_there_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = open(&dir, "/share");
    let layer = [[1; 32], [2; 32], [3; 32]];
    let length = 3 * 256 * 1024;
    let large = root_of_layer(Layout::of(length), &layer).expect("three pieces");
    cache
        .keep(&name("a"), &stamp(9), ROOT, &[*ROOT.as_bytes()])
        .expect("kept");
    cache
        .keep(&name("large"), &stamp(length), large, &layer)
        .expect("kept");
    let check = |cache: &Cache| {
        assert_eq!(root(cache, "a", stamp(9)), Some(ROOT));
        assert_eq!(
            cache.layer(&name("a"), &stamp(9), ROOT),
            Some(vec![[7; 32]])
        );
        let kept = cache.layer(&name("large"), &stamp(length), large);
        assert_eq!(kept.as_deref(), Some(&layer[..]));
        assert_eq!(cache.layer(&name("large"), &stamp(length), ROOT), None);
    };
    check(&cache);
    cache.close();
    check(&open(&dir, "/share"));
    assert_eq!(
        root(&open(&dir, "/other"), "a", stamp(9)),
        None,
        "another share"
    );
}

#[test]
fn another_stamp_is_another_file_but_another_device_number_is_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = open(&dir, "/share");
    cache.keep(&name("a"), &stamp(9), ROOT, &[]).expect("kept");
    let others = [
        Stamp {
            length: 8,
            ..stamp(9)
        },
        Stamp {
            mtime: 0,
            ..stamp(9)
        },
        Stamp {
            mtime_nanos: 1,
            ..stamp(9)
        },
        Stamp {
            ctime: 0,
            ..stamp(9)
        },
        Stamp {
            inode: 6,
            ..stamp(9)
        },
    ];
    for other in others {
        assert_eq!(root(&cache, "a", other), None, "{other:?}");
    }
    let device = Stamp {
        device: 2,
        ..stamp(9)
    };
    assert_eq!(root(&cache, "a", device), Some(ROOT));
    cache.forget(&name("a")).expect("forgotten");
    assert_eq!(root(&cache, "a", stamp(9)), None);
    cache.commit().expect("committed");
    assert_eq!(root(&cache, "a", stamp(9)), None);
}

#[test]
fn a_stamp_that_a_change_could_still_bear_is_not_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = open(&dir, "/share");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_nanos()).expect("before 2262");
    let hour = 3_600_000_000_000;
    let fresh = Stamp {
        mtime: (now + hour) / 1_000_000_000,
        ctime: now + hour,
        ..stamp(9)
    };
    cache
        .keep(&name("a"), &fresh, ROOT, &[])
        .expect("no warning");
    assert_eq!(root(&cache, "a", fresh), None);
    // A write would have set this one's mtime to now.
    let moved = Stamp {
        ctime: now,
        ..stamp(9)
    };
    cache.keep(&name("a"), &moved, ROOT, &[]).expect("kept");
    assert_eq!(root(&cache, "a", moved), Some(ROOT));
}

#[test]
fn a_damaged_file_is_set_aside_with_a_warning_and_made_anew() {
    type Damage = fn(&mut Vec<u8>);
    let dir = tempfile::tempdir().expect("a directory");
    let path = file_of(dir.path(), Path::new("/share"));
    let fill = |cache: &Cache| {
        for n in 0..5000 {
            let name = name(&format!("{n}"));
            cache.keep(&name, &stamp(9), ROOT, &[]).expect("kept");
        }
        cache.close();
    };
    fill(&open(&dir, "/share"));
    let whole = fs::read(&path).expect("read");
    let damages: [Damage; 4] = [
        |bytes| bytes[..64].fill(b'x'),
        |bytes| bytes.truncate(100),
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| {
            let keys = bytes.windows(4).position(|four| four == b"1234");
            let at = keys.expect("a key");
            bytes[at - 64..at + 64].fill(0xee);
        },
    ];
    for damage in damages {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::write(&path, &bytes).expect("written");
        let cache = Cache::default();
        let warning = cache.open(Some(dir.path()), Path::new("/share"));
        let warning = warning.expect_err("a warning");
        let aside = path.with_extension("damaged");
        assert!(
            matches!(&warning, ShareWarning::HashesDamaged { set_aside, .. } if *set_aside == aside),
            "{warning:?}"
        );
        assert_eq!(
            fs::read(path.with_extension("damaged")).expect("kept"),
            bytes
        );
        assert_eq!(root(&cache, "1", stamp(9)), None);
        fill(&cache);
        assert_eq!(root(&open(&dir, "/share"), "1", stamp(9)), Some(ROOT));
    }
}

#[test]
fn nothing_is_opened_or_removed_through_a_link_or_waited_for_at_a_pipe() {
    let long_ago = SystemTime::now() - FORGOTTEN_AFTER - Duration::from_mins(1);
    let share = Path::new("/share");
    let by_folder: fn(&Path, &Path, &Path) = |mine, folder, _| {
        symlink(mine, folder).expect("a link");
    };
    let by_file: fn(&Path, &Path, &Path) = |mine, folder, file| {
        fs::create_dir(folder).expect("is made");
        symlink(mine.join("thesis"), file).expect("a link");
    };
    let by_pipe: fn(&Path, &Path, &Path) = |_, folder, file| {
        fs::create_dir(folder).expect("is made");
        mkfifoat(CWD, file, Mode::RUSR | Mode::WUSR).expect("a pipe");
    };
    for make in [by_folder, by_file, by_pipe] {
        let dir = tempfile::tempdir().expect("a directory");
        let (mine, folder) = (dir.path().join("mine"), dir.path().join("hashes"));
        fs::create_dir(&mine).expect("is made");
        // A database could be made in an empty file.
        let thesis = fs::File::create(mine.join("thesis")).expect("is made");
        thesis.set_modified(long_ago).expect("is set");
        make(&mine, &folder, &file_of(&folder, share));
        let warning = Cache::default().open(Some(&folder), share);
        assert!(
            matches!(warning, Err(ShareWarning::HashesUnusable { .. })),
            "{warning:?}"
        );
        let there: Vec<_> = fs::read_dir(&mine).expect("reads").collect();
        assert_eq!(there.len(), 1, "{there:?}");
        assert_eq!(thesis.metadata().expect("is there").len(), 0);
        assert!(mine.join("thesis").exists());
    }
}

#[test]
fn a_folder_that_is_moved_takes_what_is_known_of_its_files_along_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = open(&dir, "/share");
    let keep = |text: &str| {
        let kept = cache.keep(&name(text), &stamp(9), ROOT, &[]);
        kept.expect("kept");
    };
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let knows = |text: &str| root(&cache, text, stamp(9)) == Some(ROOT);
    keep("a/one");
    keep("a/deep/two");
    keep("ab/three");
    cache.commit().expect("committed");
    keep("a/four");
    let hash = InfoHash::new([3; 20]);
    cache
        .keep_v1(&name("a/one"), &stamp(9), hash, &[[4; 20]])
        .expect("kept");
    let moves = [pair("none", "x"), pair("a", "b"), pair("b", "c/d")];
    cache.follow(&moves).expect("followed");
    assert!(
        ["c/d/one", "c/d/deep/two", "c/d/four"]
            .into_iter()
            .all(knows)
    );
    let torrents = cache.info_hashes(&[(name("c/d/one"), stamp(9))]);
    assert_eq!(torrents, [Some(hash)]);
    assert!(!["bb/three", "c/db/three", "x"].into_iter().any(knows));
    // A row is good for the file that had this stamp.
    let inode = 6;
    let other = Stamp { inode, ..stamp(9) };
    assert_eq!(root(&cache, "c/d/one", other), None);
    cache.close();
    cache.follow(&moves).expect("nothing to do");
}

#[test]
fn a_file_that_another_process_has_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = open(&dir, "/share");
    let second = Cache::default();
    second
        .open(Some(dir.path()), Path::new("/share"))
        .expect_err("a warning");
    second
        .keep(&name("a"), &stamp(9), ROOT, &[])
        .expect("nothing to say");
    assert_eq!(root(&second, "a", stamp(9)), None);
    first.keep(&name("a"), &stamp(9), ROOT, &[]).expect("kept");
    assert_eq!(root(&first, "a", stamp(9)), Some(ROOT));
}

#[test]
fn rows_of_files_that_are_gone_go_when_there_are_many() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = open(&dir, "/share");
    for n in 0..5000 {
        cache
            .keep(&name(&format!("{n}")), &stamp(9), ROOT, &[])
            .expect("kept");
    }
    cache.commit().expect("committed");
    let size = || {
        fs::metadata(file_of(dir.path(), Path::new("/share")))
            .expect("there")
            .len()
    };
    let before = size();
    cache.prune(4000, |_| false).expect("nothing to do");
    assert_eq!(
        root(&cache, "4999", stamp(9)),
        Some(ROOT),
        "few are left alone"
    );
    cache.prune(1, |name| name == "77").expect("pruned");
    assert_eq!(root(&cache, "77", stamp(9)), Some(ROOT));
    assert_eq!(root(&cache, "4999", stamp(9)), None);
    assert!(size() < before, "{} {before}", size());
}

proptest! {
    #[test]
    fn no_row_is_taken_for_another(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let row = value(&stamp(9), ROOT, &[]);
        if let Some((root, layer)) = fits(&bytes, &stamp(9)) {
            prop_assert_eq!(value(&stamp(9), root, &layer), bytes);
        }
        for end in 0..row.len() {
            prop_assert_eq!(fits(&row[..end], &stamp(9)), None);
        }
    }
}
