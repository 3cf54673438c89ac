use super::*;
use crate::authority::INVITE_VALIDITY;
use crate::identity::Identity;
use crate::record;
use std::os::unix::fs::PermissionsExt;
use thorp_disk::testing::DISK;
use thorp_wire::frame::{Join, SignedRecord};

/// A group with its tracker, a member, and an invite.
fn group() -> (tempfile::TempDir, Arc<StateDir>, Authority) {
    let (temporary, state) = crate::testing::state();
    let state = Arc::new(state);
    let tracker = Identity::load_or_create(DISK, &state).expect("a key");
    let authority = Authority::load_or_create(DISK, Arc::clone(&state)).expect("a CA");
    let now = SystemTime::now();
    let name = "hall".parse().expect("a name");
    authority
        .tracker_certificate(DISK, &tracker, &name, now)
        .expect("is signed");
    let token = authority
        .invite(DISK, 2, INVITE_VALIDITY, now)
        .expect("made");
    let join = Join {
        token: Some(token),
        request: Identity::generate()
            .and_then(|key| key.certificate_request())
            .expect("a request"),
        name: "oak".parse().ok(),
    };
    authority.admit(DISK, &join, now).expect("is invited");
    (temporary, state, authority)
}

fn backup() -> (tempfile::TempDir, Backup, Authority) {
    let (temporary, state, authority) = group();
    let backup = Backup::of(DISK, &state, &authority).expect("copied");
    (temporary, backup, authority)
}

#[test]
fn a_group_comes_back_as_it_was_in_a_directory_of_its_own() {
    let (temporary, backup, authority) = backup();
    let read = Backup::parse(backup.to_text().as_bytes()).expect("whole");
    assert_eq!(read, backup);
    let path = temporary.path().join("other");
    assert_eq!(read.restore(DISK, &path).expect("restored"), 2);
    let state = Arc::new(StateDir::open(DISK, &path).expect("opens"));
    let again = Authority::load_or_create(DISK, Arc::clone(&state)).expect("is there");
    assert_eq!(again.ca(), authority.ca());
    assert_eq!(again.members(), authority.members());
    // Only the group record differs: the restored one has a higher number than any signed since.
    let mut copy = Backup::of(DISK, &state, &again).expect("copied");
    let mut original = backup.clone();
    let [restored, saved] = [&mut copy, &mut original].map(|backup| {
        let record = backup.files.remove(record::FILE);
        let record = SignedRecord::read(&record.expect("every group has one"));
        record.expect("is one").record().clone()
    });
    assert!(restored.number > saved.number + 1_000_000);
    assert_eq!(restored.removed, saved.removed);
    assert_eq!(copy, original);
    let key = fs::metadata(state.file(identity::KEY_FILE)).expect("is there");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    assert!(!state.file(STAGING).exists());
}

#[test]
fn nothing_is_put_over_another_group() {
    let (temporary, backup, _) = backup();
    let other = temporary.path().join("other");
    backup.restore(DISK, &other).expect("restored");
    let before = fs::read(other.join("members.json")).expect("is there");
    let error = backup.restore(DISK, &other).expect_err("is taken");
    assert!(matches!(error, BackupError::NotEmpty { .. }), "{error}");
    assert_eq!(
        fs::read(other.join("members.json")).expect("is there"),
        before
    );
    // A directory with members but without a key belongs to a group as well.
    let half = temporary.path().join("half");
    drop(StateDir::open(DISK, &half).expect("made"));
    fs::write(half.join("members.json"), "[]").expect("written");
    let error = backup.restore(DISK, &half).expect_err("is taken");
    assert!(
        error.to_string().contains("members.json is there"),
        "{error}"
    );
}

#[test]
fn where_a_group_is_kept_already_is_known() {
    let (temporary, backup, _) = backup();
    let (_other_temporary, other, _) = self::backup();
    let (peer, empty) = (temporary.path().join("peer"), temporary.path().join("none"));
    drop(StateDir::open(DISK, &peer).expect("made"));
    let inside = peer.join(EMBEDDED);
    backup.restore(DISK, &inside).expect("restored");
    let states = [empty, inside.clone()];
    assert_eq!(backup.kept_in(DISK, &states).expect("reads"), Some(&inside));
    assert_eq!(other.kept_in(DISK, &states).expect("reads"), None);
    let twice = BackupError::twice(DISK, &inside);
    assert!(
        matches!(&twice, BackupError::Twice { path, owner } if *path == inside && *owner == peer),
        "{twice:?}"
    );
}

#[test]
fn what_was_broken_off_is_done_again() {
    let (temporary, backup, authority) = backup();
    for kept in 0..names().count() - 1 {
        let path = temporary.path().join(format!("{kept}"));
        backup.restore(DISK, &path).expect("restored");
        for name in names().skip(kept) {
            let _ = fs::remove_file(path.join(name));
        }
        DirBuilder::new().create(path.join(STAGING)).expect("made");
        backup.restore(DISK, &path).expect("restored again");
        let state = Arc::new(StateDir::open(DISK, &path).expect("opens"));
        let again = Authority::load_or_create(DISK, state).expect("is there");
        assert_eq!(again.members(), authority.members());
    }
}

#[test]
fn a_damaged_backup_is_refused_and_nothing_written() {
    let (temporary, backup, _) = backup();
    let text = backup.to_text();
    for end in 0..text.len() - 1 {
        Backup::parse(&text.as_bytes()[..end]).expect_err("is cut");
    }
    for at in (0..text.len() - 1).step_by(7) {
        let mut bad = text.clone().into_bytes();
        bad[at] ^= 1;
        if let Ok(read) = Backup::parse(&bad) {
            assert_eq!(read, backup, "byte {at}: a blank says nothing");
        }
    }
    // A checksum that fits does not make the content valid.
    let mut nonsense = backup.clone();
    nonsense.files.insert("members.json".into(), b"{".to_vec());
    let target = temporary.path().join("target");
    let nonsense = Backup::parse(nonsense.to_text().as_bytes()).expect("whole");
    nonsense.restore(DISK, &target).expect_err("is damaged");
    let mut left: Vec<_> = fs::read_dir(&target)
        .expect("lists")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["lock", VERSION_FILE]);
    let mut climbing = backup.clone();
    climbing.files.insert("../oops".into(), Vec::new());
    let error = Backup::parse(climbing.to_text().as_bytes()).expect_err("is none of ours");
    assert!(matches!(error, BackupError::Damaged(_)), "{error}");
    let mut keyless = backup;
    keyless.files.remove(authority::KEY_FILE);
    Backup::parse(keyless.to_text().as_bytes()).expect_err("no key");
}

#[test]
fn a_newer_backup_is_refused() {
    let (_temporary, mut backup, _) = backup();
    backup.version = state::VERSION + 1;
    let error = Backup::parse(backup.to_text().as_bytes()).expect_err("is newer");
    assert!(matches!(error, BackupError::Newer(_)), "{error}");
    let other = format!("{{\"thorp-backup\":{},\"rest\":1}}", state::VERSION + 1);
    let error = Backup::parse(other.as_bytes()).expect_err("is newer");
    assert!(matches!(error, BackupError::Newer(_)), "{error}");
}

#[test]
fn a_backup_is_secret_and_overwrites_nothing() {
    let (temporary, backup, _) = backup();
    let path = temporary.path().join("group.backup");
    let is_private = write_new(DISK, &path, &backup.to_text()).expect("written");
    assert!(is_private);
    let mode = fs::metadata(&path).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let error = write_new(DISK, &path, "other").expect_err("is there");
    assert!(matches!(error, BackupError::Exists(_)), "{error}");
    assert_eq!(Backup::read(DISK, &path).expect("whole"), backup);
}
