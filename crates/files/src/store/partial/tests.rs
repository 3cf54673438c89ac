use std::fs;
use std::time::{Duration, SystemTime};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;
use thorp_wire::merkle::content_of;
use tokio::time::timeout;

use super::super::KEPT;
use super::*;
use crate::leftovers::Leftovers;
use thorp_disk::testing::DISK;

const LENGTH: usize = 3 * 256 * 1024 + 1;

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

fn name() -> Name {
    "folder/f".parse().expect("a name")
}

fn bytes() -> Vec<u8> {
    (0..=250).cycle().take(LENGTH).collect()
}

fn rechecked(partial: &Partial) -> Vec<(u32, usize)> {
    let mut left = Vec::new();
    let all = partial.recheck(DISK, |piece, leaves| {
        left.push((piece.number(), leaves.len()));
        true
    });
    all.expect("reads");
    left
}

fn parts(dir: &TempDir) -> usize {
    let folder = fs::read_dir(dir.path().join("folder")).expect("lists");
    folder.count()
}

#[test]
fn what_was_written_before_an_interruption_is_found_again_and_the_rest_passed_over() {
    let (_dir, store) = store();
    let (bytes, content) = (bytes(), content_of(&bytes()));
    let partial = store.partial(DISK, &name(), content).expect("a file");
    assert!(rechecked(&partial).is_empty());
    let piece = 256 * 1024;
    let last = 3 * piece;
    for at in [piece, last] {
        let end = (at + piece).min(LENGTH);
        partial
            .write(DISK, &bytes[at..end], at as u64)
            .expect("is written");
    }
    drop(partial);
    let again = store.partial(DISK, &name(), content).expect("a file");
    assert_eq!(rechecked(&again), [(1, 16), (3, 1)]);
}

#[test]
fn what_is_left_is_taken_up_while_others_look_for_leftovers() {
    let (dir, store) = store();
    let bytes = bytes();
    let content = content_of(&bytes);
    let begun = store.partial(DISK, &name(), content).expect("a file");
    begun.write(DISK, &bytes, 0).expect("is written");
    drop(begun);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let look = || {
            while !is_over.load(Ordering::Relaxed) {
                Leftovers::find(DISK, dir.path(), None).expect("looks");
            }
        };
        scope.spawn(look);
        scope.spawn(look);
        for _ in 0..1000 {
            let again = store.partial(DISK, &name(), content).expect("a file");
            let is_first = again.0.part == large_part_of(content, 0);
            is_over.store(!is_first, Ordering::Relaxed);
            assert!(is_first, "{}", again.0.part);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(parts(&dir), 1);
}

#[test]
fn a_file_has_its_name_and_its_time_when_it_is_finished_and_its_part_is_gone() {
    let (dir, store) = store();
    let (bytes, content) = (bytes(), content_of(&bytes()));
    let partial = store.partial(DISK, &name(), content).expect("a file");
    partial.write(DISK, &bytes, 0).expect("is written");
    let stored = store
        .finish(DISK, &partial, Some(at(1_000_000)), Replace::No, None)
        .expect("is there");
    assert_eq!(fs::read(&stored.path).expect("reads"), bytes);
    assert_eq!(stored.stamp.mtime, 1_000_000);
    drop(partial);
    assert_eq!(parts(&dir), 1);
}

#[test]
fn what_came_to_be_in_the_way_is_not_replaced_and_the_part_stays() {
    let (dir, store) = store();
    let (bytes, content) = (bytes(), content_of(&bytes()));
    let partial = store.partial(DISK, &name(), content).expect("a file");
    partial.write(DISK, &bytes, 0).expect("is written");
    fs::write(dir.path().join("folder/f"), b"mine").expect("is written");
    let refused = store.finish(DISK, &partial, None, Replace::No, None);
    assert!(matches!(refused, Err(StoreError::Exists { .. })));
    assert_eq!(
        fs::read(dir.path().join("folder/f")).expect("reads"),
        b"mine"
    );
    store
        .finish(DISK, &partial, None, Replace::No, Some("old"))
        .expect("is there");
    assert_eq!(
        fs::read(dir.path().join("folder/old")).expect("reads"),
        b"mine"
    );
    assert_eq!(fs::read(dir.path().join("folder/f")).expect("reads"), bytes);
}

#[test]
fn a_file_whose_folder_was_moved_replaced_or_removed_gets_its_name_once_that_is_back() {
    let (_dir, store) = store();
    let (bytes, content) = (bytes(), content_of(&bytes()));
    let partial = store.partial(DISK, &name(), content).expect("a file");
    partial.write(DISK, &bytes, 0).expect("is written");
    let (folder, away) = (store.path().join("folder"), store.path().join("away"));
    let part = folder.join(&partial.0.part);
    let finish = || store.finish(DISK, &partial, None, Replace::No, None);
    let is_refused_for = |moved: &Path| {
        let refused = finish();
        assert!(
            matches!(&refused, Err(StoreError::FolderMoved { path }) if path == moved),
            "{refused:?}"
        );
    };
    fs::rename(&folder, &away).expect("is moved");
    is_refused_for(&folder);
    fs::create_dir(&folder).expect("is made anew");
    is_refused_for(&folder);
    fs::write(&part, b"another").expect("is written");
    is_refused_for(&folder);
    fs::remove_dir_all(&folder).expect("is removed");
    fs::rename(&away, &folder).expect("is moved back");
    fs::rename(&part, &away).expect("is moved");
    is_refused_for(&part);
    fs::rename(&away, &part).expect("is moved back");
    let stored = finish().expect("is there");
    assert_eq!(stored.path, folder.join("f"));
    assert_eq!(fs::read(&stored.path).expect("reads"), bytes);
}

#[tokio::test]
async fn whoever_writes_for_long_is_told_when_the_directory_is_moved_or_the_folder_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("to");
    fs::create_dir(&to).expect("is made");
    let store = Arc::new(Store::open(DISK, &to).expect("a store"));
    let begin = || {
        let partial = store.partial(DISK, &name(), content_of(&bytes()));
        Arc::new(partial.expect("a file"))
    };
    let is_told = async |partial: &Arc<Partial>, moved: PathBuf| {
        let told = timeout(Duration::from_secs(30), store.moved(partial)).await;
        assert!(
            matches!(&told, Ok(StoreError::FolderMoved { path }) if *path == moved),
            "{told:?}"
        );
    };
    let partial = begin();
    fs::remove_dir_all(to.join("folder")).expect("is removed");
    is_told(&partial, store.path().join("folder")).await;
    let partial = begin();
    fs::rename(&to, dir.path().join("away")).expect("is moved");
    is_told(&partial, store.path().to_owned()).await;
}

#[test]
fn two_who_fetch_the_same_write_to_two_files() {
    let (dir, store) = store();
    let content = content_of(&bytes());
    let one = store.partial(DISK, &name(), content).expect("a file");
    let two = store.partial(DISK, &name(), content).expect("a file");
    one.write(DISK, b"one", 0).expect("is written");
    two.write(DISK, b"two", 0).expect("is written");
    let mut there = [0; 3];
    one.read(DISK, &mut there, 0).expect("reads");
    assert_eq!(&there, b"one");
    assert_eq!(parts(&dir), 2);
}

#[test]
fn another_length_listed_with_the_same_root_takes_nothing_from_what_is_there() {
    let (_dir, store) = store();
    let (bytes, content) = (bytes(), content_of(&bytes()));
    let partial = store.partial(DISK, &name(), content).expect("a file");
    partial.write(DISK, &bytes, 0).expect("is written");
    drop(partial);
    for length in [content.length / 2, content.length + 1] {
        let lie = Content { length, ..content };
        drop(store.partial(DISK, &name(), lie).expect("a file"));
    }
    let again = store.partial(DISK, &name(), content).expect("a file");
    assert_eq!(rechecked(&again), [(0, 16), (1, 16), (2, 16), (3, 1)]);
    let mut there = vec![0; LENGTH];
    again.read(DISK, &mut there, 0).expect("reads");
    assert!(there == bytes);
}

#[test]
fn a_part_that_another_program_has_cut_gets_no_name() {
    let (dir, store) = store();
    let (bytes, content) = (bytes(), content_of(&bytes()));
    let partial = store.partial(DISK, &name(), content).expect("a file");
    partial.write(DISK, &bytes, 0).expect("is written");
    let part = dir.path().join("folder").join(large_part_of(content, 0));
    let cut = File::options().write(true).open(part).expect("opens");
    cut.set_len(1).expect("is cut");
    let refused = store.finish(DISK, &partial, None, Replace::No, None);
    let why = refused.expect_err("is not the file").to_string();
    assert!(why.contains("another program"), "{why}");
    assert!(!dir.path().join("folder/f").exists());
}

#[test]
fn a_fetch_that_never_began_leaves_nothing() {
    let (dir, store) = store();
    drop(
        store
            .partial(DISK, &name(), content_of(&bytes()))
            .expect("a file"),
    );
    assert_eq!(parts(&dir), 0);
}

#[test]
fn a_young_part_is_kept_when_the_directory_is_swept_and_an_old_one_is_not() {
    let (dir, store) = store();
    let name: Name = "f".parse().expect("a name");
    let content = content_of(&bytes());
    let partial = store.partial(DISK, &name, content).expect("a file");
    partial.write(DISK, b"something", 0).expect("is written");
    drop(partial);
    store.sweep(DISK);
    let count = || fs::read_dir(dir.path()).expect("lists").count();
    assert_eq!(count(), 1);
    store.sweep_at(SystemTime::now() + KEPT + Duration::from_mins(1));
    assert_eq!(count(), 0);
}

#[test]
fn a_part_of_which_all_is_here_is_as_old_as_it_was_written_and_not_as_its_file_is() {
    let (dir, store) = store();
    let name: Name = "f".parse().expect("a name");
    let content = content_of(&bytes());
    let partial = store.partial(DISK, &name, content).expect("a file");
    partial.write(DISK, &bytes(), 0).expect("is written");
    // As if it was ended right before it got its name.
    let of_2019 = at(1_550_000_000);
    attributes::give(&partial.0.file, Some(of_2019));
    drop(partial);
    store.sweep(DISK);
    let there = || dir.path().join(large_part_of(content, 0)).exists();
    assert!(there());
    let left = Leftovers::find(DISK, dir.path(), None)
        .expect("looks")
        .files;
    assert!(left[0].written > of_2019.mtime, "{left:?}");

    let partial = store.partial(DISK, &name, content).expect("a file");
    fs::write(dir.path().join("f"), b"mine").expect("is written");
    let refused = store.finish(DISK, &partial, Some(of_2019), Replace::No, None);
    assert!(matches!(refused, Err(StoreError::Exists { .. })));
    // There are file systems without a time of change of their own.
    assert!(partial.stamp(DISK).expect("is there").mtime > of_2019.mtime);
    drop(partial);
    store.sweep(DISK);
    assert!(there());
    store.sweep_at(SystemTime::now() + KEPT + Duration::from_mins(1));
    assert!(!there(), "it is old then");
}

#[test]
fn a_link_in_the_place_of_a_part_is_not_followed() {
    let (dir, store) = store();
    let content = content_of(&bytes());
    fs::write(dir.path().join("mine"), b"mine").expect("is written");
    let part = large_part_of(content, 0);
    std::os::unix::fs::symlink("mine", dir.path().join(part)).expect("links");
    let name: Name = "f".parse().expect("a name");
    let partial = store.partial(DISK, &name, content).expect("a file");
    partial.write(DISK, b"else", 0).expect("is written");
    assert_eq!(fs::read(dir.path().join("mine")).expect("reads"), b"mine");
}

#[test]
fn leaves_of_zeros_stay_holes_unless_something_else_was_there() {
    use std::os::unix::fs::MetadataExt;
    let (dir, store) = store();
    let mut bytes = vec![0; 64 * LEAF];
    bytes[0] = 1;
    bytes[40 * LEAF + 5] = 2;
    let content = content_of(&bytes);
    let partial = store.partial(DISK, &name(), content).expect("a file");
    partial
        .write(DISK, &[9; LEAF], 8 * LEAF as u64)
        .expect("a wrong leaf");
    for (number, block) in bytes.chunks(16 * LEAF).enumerate() {
        let offset = (number * 16 * LEAF) as u64;
        partial.write(DISK, block, offset).expect("is written");
    }
    let stored = store.finish(DISK, &partial, None, Replace::No, None);
    let path = stored.expect("is there").path;
    assert_eq!(fs::read(&path).expect("reads"), bytes);
    let taken = fs::metadata(&path).expect("is there").blocks() * 512;
    assert!(taken <= 4 * LEAF as u64, "{taken} bytes of {}", bytes.len());
    drop(dir);
}

#[test]
fn a_fetch_that_never_began_leaves_nothing_where_files_cannot_be_made_longer() {
    let (dir, store) = store();
    let partial = store.partial(DISK, &name(), content_of(&bytes()));
    let partial = partial.expect("a file");
    partial.0.file.set_len(0).expect("as it was made");
    partial.fill_up(0).expect("there is room");
    assert!(
        rechecked(&partial).is_empty(),
        "zeros that were never fetched"
    );
    drop(partial);
    assert_eq!(parts(&dir), 0);
}

#[test]
fn room_that_is_taken_already_is_not_asked_for_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    if mount("small", dir.path(), "tmpfs", flags, c"size=1m").is_err() {
        return; // Only root mounts.
    }
    let store = Store::open(DISK, dir.path()).expect("a store");
    let partial = store.partial(DISK, &name(), content_of(&bytes()));
    let partial = partial.expect("a file");
    partial.fill_up(0).expect("there is room");
    let to_come = LENGTH as u64;
    let has_room = [0, 100, 400].map(|kib| partial.must_have_room(DISK, to_come, kib * 1024));
    drop(partial);
    unmount(dir.path(), UnmountFlags::DETACH).expect("unmounted");
    assert!(
        matches!(has_room, [Ok(()), Ok(()), Err(StoreError::Full { .. })]),
        "{has_room:?}"
    );
}

#[test]
fn where_a_file_cannot_be_made_longer_nothing_is_written_that_has_no_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    if mount("small", dir.path(), "tmpfs", flags, c"size=1m").is_err() {
        return; // Only root mounts.
    }
    let store = Store::open(DISK, dir.path()).expect("a store");
    fs::write(dir.path().join("taken"), vec![0; 512 * 1024]).expect("is written");
    let partial = store.partial(DISK, &name(), content_of(&bytes()));
    let partial = partial.expect("a file");
    partial.0.file.set_len(0).expect("as it was made");
    let before = partial.stamp(DISK).expect("is there");
    let refused = partial.fill_up(0);
    let untouched = partial.stamp(DISK).expect("is there") == before;
    drop(partial);
    let left = parts(&dir);
    unmount(dir.path(), UnmountFlags::DETACH).expect("unmounted");
    assert!(
        matches!(refused, Err(StoreError::Full { .. })),
        "{refused:?}"
    );
    assert!(untouched);
    assert_eq!(left, 0);
}

#[test]
fn whether_room_can_be_given_back_depends_on_the_file_system_and_asking_changes_nothing() {
    let (dir, store) = store();
    let asked = |store: &Store| {
        let partial = store.partial(DISK, &name(), content_of(&bytes()));
        let partial = partial.expect("a file");
        partial.write(DISK, &bytes(), 0).expect("is written");
        let before = partial.0.file.metadata().expect("is there").blocks();
        let can = partial.can_give_back(DISK);
        let taken = |partial: &Partial| partial.0.file.metadata().expect("is there").blocks();
        let mut read = vec![0; LENGTH];
        partial.read(DISK, &mut read, 0).expect("is there");
        assert_eq!((taken(&partial), read), (before, bytes()));
        let did = partial.give_back(DISK, 0, 256 * 1024);
        (can, did.is_ok() && taken(&partial) < before)
    };
    let (can, did) = asked(&store);
    assert_eq!(can, did, "{}", dir.path().display());
    let dir = tempfile::tempdir().expect("a directory");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    for (kind, makes_holes) in [("tmpfs", true), ("ramfs", false)] {
        if mount("small", dir.path(), kind, flags, None::<&std::ffi::CStr>).is_err() {
            return; // Only root mounts.
        }
        let result = Store::open(DISK, dir.path()).map(|store| asked(&store));
        unmount(dir.path(), UnmountFlags::DETACH).expect("unmounted");
        let result = result.expect("a store");
        assert_eq!(result, (makes_holes, makes_holes), "{kind}");
    }
}
