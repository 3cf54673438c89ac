use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use thorp_disk::testing::DISK;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").permissions().mode() & 0o777
}

#[test]
fn files_are_replaced_whole_and_secrets_are_secret() {
    let temporary = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(DISK, temporary.path().join("a/b")).expect("opens");
    assert_eq!(mode(state.path()), 0o700);
    assert_eq!(state.read(DISK, "x").expect("reads"), None);
    state.write_secret(DISK, "x", b"one").expect("writes");
    state.write_secret(DISK, "x", b"two").expect("writes");
    assert_eq!(
        state.read(DISK, "x").expect("reads").as_deref(),
        Some(&b"two"[..])
    );
    assert_eq!(mode(&state.file("x")), 0o600);
    state.remove(DISK, "x").expect("removes");
    state.remove(DISK, "x").expect("is no error");
    let names = fs::read_dir(state.path()).expect("lists").count();
    assert_eq!(names, 2, "version and lock, no left-overs");
}

#[test]
fn a_second_owner_is_told_who_the_first_is() {
    let temporary = tempfile::tempdir().expect("a directory");
    let path = temporary.path().join("state");
    let first = StateDir::open(DISK, &path).expect("opens");
    let error = StateDir::open(DISK, &path).expect_err("is locked");
    let text = error.to_string();
    assert!(
        text.contains(&format!("in use by process {}", std::process::id())),
        "{text}"
    );
    drop(first);
    StateDir::open(DISK, &path).expect("opens again");
}

#[test]
fn newer_state_is_refused_unharmed() {
    let temporary = tempfile::tempdir().expect("a directory");
    let path = temporary.path().join("state");
    drop(StateDir::open(DISK, &path).expect("opens"));
    fs::write(path.join(VERSION_FILE), "2\n").expect("writes");
    let error = StateDir::open(DISK, &path).expect_err("is newer");
    assert!(
        matches!(error, StateError::Newer { found: 2, .. }),
        "{error}"
    );
    assert_eq!(fs::read(path.join(VERSION_FILE)).expect("reads"), b"2\n");
}

#[test]
fn a_directory_with_other_things_in_it_is_left_alone() {
    let temporary = tempfile::tempdir().expect("a directory");
    fs::write(temporary.path().join("thesis.tex"), "").expect("writes");
    let error = StateDir::open(DISK, temporary.path()).expect_err("is foreign");
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    assert_eq!(fs::read_dir(temporary.path()).expect("lists").count(), 1);
}

#[test]
fn a_damaged_file_is_named() {
    let temporary = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(DISK, temporary.path().join("state")).expect("opens");
    state.write(DISK, "x.json", b"{\"a\":").expect("writes");
    let error = state
        .read_json::<Vec<u8>>(DISK, "x.json")
        .expect_err("is damaged");
    assert!(error.to_string().contains("x.json is damaged"), "{error}");
}

/// Returns a state directory that another user could write to before: its file `lock` leads to a
/// file of this user.
fn with_lock(make: impl Fn(&Path, &Path)) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let temporary = tempfile::tempdir().expect("a directory");
    let (path, thesis) = (
        temporary.path().join("state"),
        temporary.path().join("thesis"),
    );
    fs::create_dir(&path).expect("is made");
    fs::write(&thesis, "forty pages").expect("writes");
    make(&thesis, &path.join(LOCK_FILE));
    (temporary, path, thesis)
}

#[test]
fn a_lock_that_leads_to_another_file_is_refused_and_that_file_unharmed() {
    let by_link: fn(&Path, &Path) = |thesis, lock| symlink(thesis, lock).expect("a link");
    let by_name: fn(&Path, &Path) = |thesis, lock| fs::hard_link(thesis, lock).expect("a name");
    let by_pipe: fn(&Path, &Path) = |_, lock| {
        rustix::fs::mkfifoat(rustix::fs::CWD, lock, Mode::RUSR | Mode::WUSR).expect("a pipe");
    };
    for make in [by_link, by_name, by_pipe] {
        let (_temporary, path, thesis) = with_lock(make);
        let error = StateDir::open(DISK, &path).expect_err("is refused");
        assert!(
            matches!(&error, StateError::NotPlain { path: at } if *at == path.join(LOCK_FILE)),
            "{error}"
        );
        assert_eq!(fs::read(&thesis).expect("reads"), b"forty pages");
        assert_eq!(mode(&path), 0o755 & mode(&path), "nothing else was changed");
    }
}

#[test]
fn a_file_is_neither_read_nor_written_through_a_link() {
    let temporary = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(DISK, temporary.path().join("state")).expect("opens");
    let thesis = temporary.path().join("thesis");
    fs::write(&thesis, "forty pages").expect("writes");
    symlink(&thesis, state.file("key.p8")).expect("a link");
    symlink(&thesis, state.file(&StateDir::temporary("key.p8"))).expect("a link");
    let error = state.read(DISK, "key.p8").expect_err("is a link");
    assert!(matches!(error, StateError::NotPlain { .. }), "{error}");
    let error = StateDir::peek(DISK, state.path(), "key.p8").expect_err("is a link");
    assert!(matches!(error, StateError::NotPlain { .. }), "{error}");
    state
        .write_secret(DISK, "key.p8", b"mine")
        .expect("takes its place");
    assert_eq!(fs::read(&thesis).expect("reads"), b"forty pages");
    assert_eq!(
        fs::metadata(state.file("key.p8"))
            .expect("is there")
            .nlink(),
        1
    );
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let temporary = tempfile::tempdir().expect("a directory");
    let path = temporary.path().join("state");
    drop(StateDir::open(DISK, &path).expect("opens"));
    if std::os::unix::fs::chown(&path, Some(4242), None).is_err() {
        return skip("a_directory_of_another_user_is_refused");
    }
    let before = fs::metadata(path.join(LOCK_FILE))
        .expect("is there")
        .ctime_nsec();
    let error = StateDir::open(DISK, &path).expect_err("is refused");
    assert!(
        matches!(error, StateError::OtherUser { owner: 4242, .. }),
        "{error}"
    );
    for refused in [
        StateDir::is_there(DISK, &path).map(drop),
        StateDir::peek(DISK, &path, VERSION_FILE).map(drop),
    ] {
        assert!(matches!(refused, Err(StateError::OtherUser { .. })));
    }
    let after = fs::metadata(path.join(LOCK_FILE))
        .expect("is there")
        .ctime_nsec();
    assert_eq!(before, after);
}

#[test]
fn a_key_that_another_user_has_put_there_is_not_used() {
    let temporary = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(DISK, temporary.path().join("state")).expect("opens");
    state.write_secret(DISK, "key.p8", b"mine").expect("writes");
    assert!(state.read(DISK, "key.p8").is_ok());
    let path = state.file("key.p8");
    if std::os::unix::fs::chown(&path, Some(4242), None).is_err() {
        return skip("a_key_that_another_user_has_put_there_is_not_used");
    }
    for read in [
        state.read(DISK, "key.p8"),
        StateDir::peek(DISK, state.path(), "key.p8"),
    ] {
        assert!(
            matches!(&read, Err(StateError::NotPlain { path: at }) if *at == path),
            "{read:?}"
        );
    }
}

/// Says that a test needs root's powers, or fails where all tests are required.
fn skip(test: &str) {
    let required = std::env::var_os("THORP_REQUIRE_ALL").is_some();
    assert!(!required, "needs root's powers");
    let line = format!("skipped: {test}: needs root's powers\n");
    // Standard error is written to directly, since the test harness captures `eprintln!`.
    let _ = io::stderr().write_all(line.as_bytes());
}
