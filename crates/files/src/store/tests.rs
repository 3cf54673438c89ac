use super::*;
use naming::Way;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Barrier;
use tempfile::TempDir;
use thorp_disk::testing::DISK;
use thorp_wire::merkle::{Hashed, content_of};

fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(DISK, dir.path()).expect("a store");
    (dir, store)
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

fn put(store: &Store, to: &str, bytes: &[u8], replace: Replace) -> Result<Stored, StoreError> {
    store.put(
        DISK,
        SmallFile {
            name: &name(to),
            content: content_of(bytes),
            attributes: None,
            came: Hashed::of(bytes),
            replace,
            set_aside: None,
        },
    )
}

/// For good, as if another file had taken its name.
fn set_aside(store: &Store, from: &str, base: &str) -> Result<(), StoreError> {
    let aside = store.set_aside(DISK, &name(from), Some(base))?;
    Aside::stays(aside);
    Ok(())
}

/// Every file and folder beneath, names in order.
fn everything(dir: &Path) -> Vec<String> {
    let walk = ignore::WalkBuilder::new(dir)
        .standard_filters(false)
        .build();
    let paths = walk.filter_map(Result::ok).map(ignore::DirEntry::into_path);
    let mut paths: Vec<_> = paths
        .filter_map(|path| Some(path.strip_prefix(dir).ok()?.to_string_lossy().into_owned()))
        .filter(|path| !path.is_empty())
        .collect();
    paths.sort();
    paths
}

#[test]
fn files_of_every_size_and_name_arrive_whole() {
    let (dir, store) = store();
    let longest = "x".repeat(255);
    let names = [
        "a b",
        "-rf",
        "ü",
        "u\u{308}",
        "line\nbreak",
        &longest,
        "deep/er/and deeper",
    ];
    let sizes = [0, 1, 16_383, 16_384, 16_385, 262_144, 262_145];
    for (to, size) in names.iter().zip(sizes) {
        let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
        let content = content_of(&bytes);
        let stored = store.put(
            DISK,
            SmallFile {
                name: &name(to),
                content,
                attributes: Some(at(-7)),
                came: Hashed::of(&bytes),
                replace: Replace::No,
                set_aside: None,
            },
        );
        let stored = stored.expect("stored");
        assert_eq!(fs::read(&stored.path).expect("there"), bytes);
        assert_eq!(stored.stamp.mtime, -7, "the holder's time");
        let now = store.dir.metadata(to).expect("there");
        assert_eq!(
            stored.stamp,
            Stamp::new(&now),
            "nothing changes it afterwards"
        );
        assert!(
            store
                .holds(DISK, &name(to), content, || true)
                .expect("read")
        );
        assert!(
            !store
                .holds(DISK, &name(to), content_of(b"no"), || true)
                .expect("read")
        );
    }
    assert_eq!(
        everything(dir.path()).len(),
        names.len() + 2,
        "no temporary file is left"
    );
}

#[test]
fn bytes_that_are_not_the_content_leave_no_trace() {
    let (dir, store) = store();
    let wrong = store.put(
        DISK,
        SmallFile {
            name: &name("a/b"),
            content: content_of(b"right"),
            attributes: None,
            came: Hashed::of(b"wrong"),
            replace: Replace::Yes,
            set_aside: None,
        },
    );
    assert!(
        matches!(wrong, Err(StoreError::Mismatch { .. })),
        "{wrong:?}"
    );
    // A root alone is not enough: the length is part of what was promised.
    let mut longer = content_of(b"right");
    longer.length += 1;
    let wrong = store.put(
        DISK,
        SmallFile {
            name: &name("a/b"),
            content: longer,
            attributes: None,
            came: Hashed::of(b"right"),
            replace: Replace::Yes,
            set_aside: None,
        },
    );
    assert!(
        matches!(wrong, Err(StoreError::Mismatch { .. })),
        "{wrong:?}"
    );
    assert_eq!(everything(dir.path()), [""; 0]);
}

#[test]
fn nothing_is_replaced_unless_asked() {
    let (dir, store) = store();
    fs::write(dir.path().join("a"), "mine").expect("written");
    symlink("nowhere", dir.path().join("dangling")).expect("linked");
    for taken in ["a", "dangling"] {
        assert!(matches!(
            store.check(DISK, &name(taken)),
            Ok(Destination::Exists { .. })
        ));
        let kept = put(&store, taken, b"theirs", Replace::No);
        assert!(matches!(kept, Err(StoreError::Exists { .. })), "{kept:?}");
    }
    assert_eq!(fs::read(dir.path().join("a")).expect("there"), b"mine");
    assert_eq!(
        store.check(DISK, &name("free/b")).expect("free"),
        Destination::Free
    );
    put(&store, "a", b"theirs", Replace::Yes).expect("replaced");
    put(&store, "dangling", b"theirs", Replace::Yes).expect("replaced");
    assert_eq!(fs::read(dir.path().join("a")).expect("there"), b"theirs");
    assert_eq!(everything(dir.path()), ["a", "dangling"]);
}

#[test]
fn of_many_that_store_at_once_one_wins_and_the_others_are_told() {
    let (dir, store) = store();
    for round in 0..20 {
        let to = format!("{round}");
        let start = Barrier::new(4);
        // Two of them with equal content, and so with equal temporary names.
        let results: Vec<_> = std::thread::scope(|scope| {
            let put = |bytes: &'static [u8]| {
                let (store, to, start) = (&store, &to, &start);
                scope.spawn(move || {
                    start.wait();
                    put(store, to, bytes, Replace::No).map(|_| bytes)
                })
            };
            let threads = [put(b"same"), put(b"same"), put(b"another"), put(b"third")];
            threads
                .map(|thread| thread.join().expect("no panic"))
                .into_iter()
                .collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "{won:?} {lost:?}");
        for error in lost {
            assert!(matches!(error, Err(StoreError::Exists { .. })), "{error:?}");
        }
        let bytes = fs::read(dir.path().join(&to)).expect("there");
        assert_eq!(won[0].as_ref().ok(), Some(&&*bytes));
    }
    assert_eq!(everything(dir.path()).len(), 20);
}

#[test]
fn no_link_leads_out_of_the_directory() {
    let (dir, store) = store();
    let outside = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("inside")).expect("made");
    symlink(outside.path(), dir.path().join("absolute")).expect("linked");
    symlink("../..", dir.path().join("relative")).expect("linked");
    symlink("inside", dir.path().join("fine")).expect("linked");
    for to in ["absolute/a", "absolute/b/c", "relative/a", "relative/tmp/a"] {
        for replace in [Replace::No, Replace::Yes] {
            let refused = put(&store, to, b"x", replace);
            assert!(
                matches!(refused, Err(StoreError::LeadsOutside { .. })),
                "{to}: {refused:?}"
            );
        }
    }
    assert_eq!(everything(outside.path()), [""; 0]);
    put(&store, "fine/a", b"x", Replace::No).expect("stays inside");
    assert!(dir.path().join("inside/a").exists());
}

#[test]
fn what_is_in_the_way_is_named() {
    let (dir, store) = store();
    fs::write(dir.path().join("file"), "").expect("written");
    fs::create_dir_all(dir.path().join("folder/below")).expect("made");
    for to in ["file/a", "file/a/b"] {
        for error in [
            put(&store, to, b"x", Replace::Yes).err(),
            store.check(DISK, &name(to)).err(),
        ] {
            let Some(StoreError::FileInTheWay { path }) = error else {
                panic!("{error:?}")
            };
            assert!(path.ends_with("file"), "{}", path.display());
        }
    }
    for replace in [Replace::No, Replace::Yes] {
        let error = put(&store, "folder/below", b"x", replace);
        assert!(
            matches!(error, Err(StoreError::FolderInTheWay { .. })),
            "{error:?}"
        );
    }
    assert_eq!(everything(dir.path()), ["file", "folder", "folder/below"]);
}

#[test]
fn the_system_s_refusals_are_told_apart() {
    let error = |errno: Errno| failed(PathBuf::from("a\u{1b}b"), errno.into());
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        assert!(matches!(error(errno), StoreError::Full { .. }));
    }
    assert!(matches!(error(Errno::ROFS), StoreError::ReadOnly { .. }));
    for errno in [Errno::ACCESS, Errno::PERM] {
        assert!(matches!(error(errno), StoreError::Denied { .. }));
    }
    let too_long = error(Errno::NAMETOOLONG);
    assert!(matches!(too_long, StoreError::NameTooLong { .. }));
    let other = error(Errno::IO).to_string();
    assert!(other.starts_with("a\\u{1b}b cannot be written"), "{other}");
}

#[test]
fn a_name_that_the_file_system_refuses_is_told_from_other_refusals() {
    let (dir, store) = store();
    let failed = |text: &str, errno: Errno| store.failed(&name(text), errno.into());
    for odd in ["12:30", "a:b/c", "what?"] {
        for errno in [Errno::INVAL, Errno::ILSEQ] {
            let refused = failed(odd, errno);
            assert!(matches!(&refused, StoreError::NameRefused { path } if path.ends_with(odd)));
        }
        assert!(matches!(failed(odd, Errno::IO), StoreError::Io { .. }));
    }
    assert!(matches!(
        failed("1230", Errno::INVAL),
        StoreError::Io { .. }
    ));
    // Where it takes such names, nothing is left of what was tried.
    let partial = store.partial(DISK, &name("12:30"), content_of(b"x"));
    partial.expect("it takes all names");
    assert!(everything(dir.path()).is_empty());
}

#[test]
fn a_path_too_long_for_the_system_is_said_to_be_so() {
    let (_dir, store) = store();
    // A name of its own right, but for the directory before it.
    let long = format!(
        "{}/{}",
        vec!["d".repeat(255); 15].join("/"),
        "f".repeat(255)
    );
    let stored = put(&store, &long, b"x", Replace::No);
    assert!(
        matches!(stored, Ok(_) | Err(StoreError::NameTooLong { .. })),
        "{stored:?}"
    );
}

#[test]
fn leftovers_are_swept_and_running_fetches_are_not() {
    let (dir, store) = store();
    let content = content_of(b"x");
    fs::write(dir.path().join(".thorp-0000000000000000.part"), "old").expect("written");
    fs::write(dir.path().join("thorp-0.part"), "mine").expect("written");
    let (open, running) = Part::create(&store.dir, content).expect("made");
    store.sweep(DISK);
    assert_eq!(
        everything(dir.path()),
        [running.name.clone(), "thorp-0.part".into()]
    );

    let (also_open, second) = Part::create(&store.dir, content).expect("made");
    assert_ne!(running.name, second.name);
    let name = running.name.clone();
    drop((running, second, open, also_open));
    assert_eq!(everything(dir.path()), ["thorp-0.part"]);

    // What a crash left under that very name is taken over.
    fs::write(dir.path().join(&name), "old").expect("written");
    let (_, again) = Part::create(&store.dir, content).expect("made");
    assert_eq!(again.name, name);
}

#[test]
fn what_is_set_aside_takes_the_other_name_and_replaces_nothing() {
    let (dir, store) = store();
    for existing in ["a.txt", "deep/b", "taken"] {
        put(&store, existing, existing.as_bytes(), Replace::No).expect("stored");
    }
    for (from, base, to) in [("a.txt", "old.txt", "old.txt"), ("deep/b", "c", "deep/c")] {
        set_aside(&store, from, base).expect("set aside");
        assert_eq!(
            store.check(DISK, &name(from)).expect("free"),
            Destination::Free
        );
        let there = fs::read(dir.path().join(to)).expect("there");
        assert_eq!(there, from.as_bytes());
    }
    let refused = set_aside(&store, "old.txt", "taken");
    assert!(
        matches!(refused, Err(StoreError::Exists { .. })),
        "{refused:?}"
    );
    assert!(set_aside(&store, "old.txt", "../out").is_err());
    assert!(set_aside(&store, "old.txt", "deep/in").is_err());
    let kept = fs::read(dir.path().join("old.txt")).expect("still there");
    assert_eq!(kept, b"a.txt");
    set_aside(&store, "missing", "x").expect("nothing in the way");
}

#[test]
fn what_was_set_aside_has_its_name_back_where_nothing_took_it_unless_another_file_has() {
    let (dir, store) = store();
    let read = |name: &str| fs::read(dir.path().join(name)).expect("there");
    put(&store, "f", b"mine", Replace::No).expect("stored");
    let aside = store.set_aside(DISK, &name("f"), Some("old"));
    assert_eq!(everything(dir.path()), ["old"]);
    drop(aside);
    assert_eq!(everything(dir.path()), ["f"]);
    let aside = store.set_aside(DISK, &name("f"), Some("old"));
    put(&store, "f", b"another program's", Replace::No).expect("stored");
    drop(aside);
    assert_eq!(read("f"), b"another program's");
    assert_eq!(read("old"), b"mine");
}

#[test]
fn a_file_keeps_its_name_where_the_disk_has_no_room_for_what_it_is_to_make_way_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    if mount("small", dir.path(), "tmpfs", flags, c"size=256k").is_err() {
        return; // Only root mounts.
    }
    let mut store = Store::open(DISK, dir.path()).expect("a store");
    let (bytes, elsewhere) = (vec![7; 200_000], tempfile::tempdir());
    let content = content_of(&bytes);
    let from = elsewhere.expect("a directory");
    fs::write(from.path().join("f"), &bytes).expect("is written");
    let from = fs::File::open(from.path().join("f")).expect("opens");
    let from = File::from_std(from);
    fs::write(dir.path().join("f"), vec![1; 100_000]).expect("is written");
    let mut refused = Vec::new();
    let ways = [Naming::default(), Naming::by(&[Way::Link])];
    for naming in ways {
        store.naming = naming;
        let stored = store.put(
            DISK,
            SmallFile {
                name: &name("f"),
                content,
                attributes: None,
                came: Hashed::of(&bytes),
                replace: Replace::No,
                set_aside: Some("old"),
            },
        );
        refused.push(stored);
        let place = (Replace::No, Some("old"));
        refused.push(store.copy(DISK, &name("f"), content, None, &from, place));
    }
    let there = everything(dir.path());
    unmount(dir.path(), UnmountFlags::DETACH).expect("unmounted");
    for stored in refused {
        assert!(matches!(stored, Err(StoreError::Full { .. })), "{stored:?}");
    }
    assert_eq!(there, ["f"]);
}

#[test]
fn where_renaming_cannot_refuse_to_replace_linking_does() {
    let (dir, store) = store();
    let linking = Naming::by(&[Way::Link]);
    fs::write(dir.path().join("from"), "new").expect("written");
    fs::write(dir.path().join("taken"), "old").expect("written");
    let taken = linking
        .rename_new(&store.dir, "from", "taken")
        .map_err(|error| error.kind());
    assert_eq!(taken, Err(io::ErrorKind::AlreadyExists));
    linking
        .rename_new(&store.dir, "from", "free")
        .expect("renamed");
    assert_eq!(everything(dir.path()), ["free", "taken"]);
    assert_eq!(fs::read(dir.path().join("taken")).expect("there"), b"old");
}

#[test]
fn a_store_needs_a_directory() {
    let (dir, _) = store();
    let open = |path: &str| Store::open(DISK, &dir.path().join(path)).map(|_| ());
    fs::write(dir.path().join("file"), "").expect("written");
    assert!(matches!(
        open("missing"),
        Err(StoreError::NoDirectory { .. })
    ));
    assert!(matches!(open("file"), Err(StoreError::FileInTheWay { .. })));
}

#[test]
fn a_pipe_in_the_way_is_told_and_not_waited_for() {
    let (dir, store) = store();
    let pipe = dir.path().join("x.txt");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).expect("a pipe");
    let content = content_of(b"x");
    for refused in [
        store.check(DISK, &name("x.txt")).map(drop),
        store
            .holds(DISK, &name("x.txt"), content, || true)
            .map(drop),
        store
            .put(
                DISK,
                SmallFile {
                    name: &name("x.txt"),
                    content,
                    attributes: None,
                    came: Hashed::of(b"x"),
                    replace: Replace::No,
                    set_aside: None,
                },
            )
            .map(drop),
    ] {
        let error = refused.expect_err("is in the way");
        assert!(
            matches!(&error, StoreError::SpecialInTheWay { path } if *path == pipe.canonicalize().expect("is there")),
            "{error}"
        );
    }
    // One that takes the file's place after the look is no more waited for.
    let none = store.content(&name("x.txt"), 0, || true).expect("opens");
    assert_eq!(none, None);
}

#[test]
fn a_file_is_read_no_further_once_its_reader_is_gone() {
    let (dir, store) = store();
    let bytes = vec![7; 1024 * 1024];
    fs::write(dir.path().join("f"), &bytes).expect("writes");
    let (content, asked) = (content_of(&bytes), std::cell::Cell::new(0));
    let holds = |patience| {
        let go_on = || asked.replace(asked.get() + 1) < patience;
        store
            .holds(DISK, &name("f"), content, go_on)
            .expect("reads")
    };
    assert!(holds(usize::MAX));
    let all = asked.replace(0);
    assert!(!holds(1), "it is not known");
    assert!(asked.get() < all, "{all}");
}

#[test]
fn where_nothing_can_be_renamed_without_replacing_thorp_looks_first_and_replaces_nothing() {
    let ways: [&'static [Way]; 3] = [&[Way::NoReplace], &[Way::Link], &[Way::Look]];
    for ways in ways {
        let (dir, mut store) = store();
        store.naming = Naming::by(ways);
        let content = content_of(b"new");
        let put = |at: &str| {
            store.put(
                DISK,
                SmallFile {
                    name: &name(at),
                    content,
                    attributes: None,
                    came: Hashed::of(b"new"),
                    replace: Replace::No,
                    set_aside: None,
                },
            )
        };
        put("f").expect("is free");
        assert_eq!(store.has_looked_first(), ways == [Way::Look]);
        fs::write(dir.path().join("mine"), "mine").expect("writes");
        assert!(matches!(put("mine"), Err(StoreError::Exists { .. })));
        set_aside(&store, "mine", "old").expect("is free");
        let taken = set_aside(&store, "f", "old");
        assert!(matches!(taken, Err(StoreError::Exists { .. })), "{taken:?}");
        assert_eq!(fs::read(dir.path().join("old")).expect("reads"), b"mine");
        assert_eq!(fs::read(dir.path().join("f")).expect("reads"), b"new");
        assert_eq!(
            fs::read_dir(dir.path()).expect("lists").count(),
            2,
            "{ways:?}"
        );
    }
}

#[test]
fn of_many_who_look_and_then_rename_one_gets_the_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let won = std::thread::scope(|scope| {
        let putting: Vec<_> = (0..8_u8)
            .map(|number| {
                let path = dir.path();
                scope.spawn(move || {
                    let mut store = Store::open(DISK, path).expect("a store");
                    store.naming = Naming::by(&[Way::Look]);
                    let content = content_of(&[number]);
                    store
                        .put(
                            DISK,
                            SmallFile {
                                name: &name("f"),
                                content,
                                attributes: None,
                                came: Hashed::of(&[number]),
                                replace: Replace::No,
                                set_aside: None,
                            },
                        )
                        .is_ok()
                })
            })
            .collect();
        putting
            .into_iter()
            .map(|put| put.join().expect("ends"))
            .filter(|won| *won)
            .count()
    });
    assert_eq!(won, 1);
}
