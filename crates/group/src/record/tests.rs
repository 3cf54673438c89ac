use std::time::Duration;

use tempfile::TempDir;
use thorp_wire::FrameError;
use thorp_wire::frame::GroupRecord;

use super::*;
use crate::authority::Authority;
use crate::identity::Identity;
use crate::testing::{Group, state};
use thorp_disk::testing::DISK;

fn removal(group: &Group, name: &str) -> (PeerId, SignedRecord) {
    let id = group.member(name).member().id;
    assert!(group.authority.remove(DISK, id).expect("removes"));
    let record = group.authority.records().newest().expect("is made");
    (id, record)
}

/// Returns the CA as it was before it had any members, and its directory, which is removed when
/// dropped.
fn before_all(group: &Group) -> (Authority, TempDir) {
    let (temporary, dir) = state();
    let key = group.state().read(DISK, "ca.p8").expect("reads");
    let key = key.expect("is there");
    dir.write_secret(DISK, "ca.p8", &key).expect("writes");
    let authority = Authority::load_or_create(DISK, Arc::new(dir)).expect("a CA");
    (authority, temporary)
}

#[test]
fn the_highest_number_counts_and_older_ones_change_nothing() {
    let group = Group::new();
    let (ash, first) = removal(&group, "ash");
    let (elm, second) = removal(&group, "elm");
    assert!(first.record().number < second.record().number);
    let records = Records::new(group.authority.ca());
    let changes = records.changes();
    for (record, is_news) in [(&first, true), (&second, true), (&first, false)] {
        let adopted = records.adopt(record.clone()).expect("is signed");
        assert_eq!(adopted.is_some(), is_news);
    }
    assert!(!records.allows(&ash) && !records.allows(&elm));
    assert!(records.allows(&PeerId::new([7; 32])));
    assert_eq!(changes.borrow().as_ref(), Some(&second));
}

#[test]
fn without_a_record_a_group_may_be_open() {
    let group = Group::new();
    let records = Records::new(group.authority.ca());
    assert!(!records.is_by_invitation());
    for is_open in [true, false] {
        group.authority.set_open(DISK, is_open).expect("is decided");
        let record = group.authority.records().newest().expect("is made");
        records.adopt(record).expect("is signed");
        assert_eq!(records.is_by_invitation(), !is_open);
    }
}

#[test]
fn a_record_of_somebody_else_is_forged() {
    let group = Group::new();
    let (_, good) = removal(&group, "ash");
    let (_, other) = removal(&Group::new(), "elm");
    let records = Records::new(group.authority.ca());
    assert_eq!(records.adopt(other), Err(RecordError::Forged));
    let bytes = good.as_bytes();
    for at in 0..bytes.len() {
        let mut bad = bytes.to_vec();
        bad[at] ^= 1;
        // If the record can still be read, it is not what was signed.
        if let Ok(bad) = SignedRecord::read(&bad) {
            let answer = records.adopt(bad);
            assert!(
                matches!(answer, Err(RecordError::Forged) | Ok(None)),
                "{at}"
            );
        }
    }
    assert_eq!(records.newest(), None);
}

#[test]
fn it_is_kept_and_a_damaged_one_is_said() {
    let group = Group::new();
    let ca = group.authority.ca();
    let (ash, record) = removal(&group, "ash");
    let (_temporary, state) = state();
    let records = Records::load(DISK, &state, ca).expect("there is none");
    records
        .save(DISK, &state)
        .expect("there is nothing to save");
    assert_eq!(records.newest(), None);
    records.adopt(record.clone()).expect("is signed");
    for _ in 0..2 {
        records.save(DISK, &state).expect("saves");
    }
    let again = Records::load(DISK, &state, ca).expect("is there");
    assert_eq!(again.newest(), Some(record.clone()));
    assert!(!again.allows(&ash));

    let mut bytes = record.as_bytes().to_vec();
    bytes[0] ^= 1;
    state.write(DISK, FILE, &bytes).expect("writes");
    let error = Records::load(DISK, &state, ca)
        .expect_err("is damaged")
        .to_string();
    assert!(error.contains("group-record is damaged"), "{error}");
    assert!(error.contains("not signed"), "{error}");
    Records::forget(DISK, &state).expect("forgets");
    assert!(
        Records::load(DISK, &state, ca)
            .expect("is gone")
            .allows(&ash)
    );
}

#[test]
fn a_record_with_too_many_keys_is_not_made() {
    let removed = (0..=GroupRecord::MAX_REMOVED)
        .map(|n| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            PeerId::new(id)
        })
        .collect();
    let record = GroupRecord {
        number: 1,
        open: false,
        bittorrent: false,
        removed,
    };
    let made = SignedRecord::sign(record, |_| Some([0; 64]));
    assert!(matches!(made, Err(FrameError::Malformed(_))));
}

#[test]
fn the_authority_tells_what_it_decides_and_makes_up_for_a_lost_record() {
    let (temporary, dir) = state();
    let load = |dir| Authority::load_or_create(DISK, Arc::new(dir)).expect("a CA");
    let authority = load(dir);
    let said = |authority: &Authority| {
        let newest = authority.records().newest().expect("is made");
        newest.record().clone()
    };
    assert_eq!((said(&authority).number, said(&authority).open), (1, false));
    authority.set_open(DISK, true).expect("opens");
    assert_eq!((said(&authority).number, said(&authority).open), (2, true));
    authority.set_open(DISK, true).expect("is open");
    assert_eq!(said(&authority).number, 2, "nothing has changed");
    let ash = Identity::generate().expect("a key");
    let now = std::time::SystemTime::now();
    let join = thorp_wire::frame::Join {
        token: None,
        request: ash.certificate_request().expect("a request"),
        name: None,
    };
    authority.admit(DISK, &join, now).expect("is open");
    assert_eq!(said(&authority).number, 2, "who is in is nobody's business");
    authority.remove(DISK, ash.id()).expect("removes");
    let decided = said(&authority);
    assert_eq!((decided.number, &decided.removed[..]), (3, &[ash.id()][..]));
    drop(authority);

    let open = || StateDir::open(DISK, temporary.path().join("state")).expect("opens");
    let authority = load(open());
    assert_eq!(said(&authority), decided);
    drop(authority);
    let dir = open();
    Records::forget(DISK, &dir).expect("is lost");
    let authority = load(dir);
    assert_eq!(said(&authority).removed, decided.removed);
}

#[test]
fn a_restored_authority_learns_from_its_members_who_was_removed() {
    let group = Group::new();
    let (ash, _) = removal(&group, "ash");
    let (elm, newer) = removal(&group, "elm");
    let (restored, _dir) = before_all(&group);
    assert_eq!(restored.ca(), group.authority.ca());
    restored.learn(DISK, &newer).expect("is signed");
    assert_eq!(restored.records().newest(), Some(newer));
    for id in [ash, elm] {
        assert!(restored.is_removed(id));
    }
    assert!(restored.members().iter().all(|row| row.removed));
    let ticket = std::time::SystemTime::now() + Duration::from_secs(1);
    assert!(restored.renew(ash, ticket).is_err());
}

#[test]
fn whoever_joined_after_the_backup_is_removed_from_the_restored_group_as_well() {
    let group = Group::new();
    let (restored, dir) = before_all(&group);
    let ash = Identity::generate().expect("a key");
    group.admit(&ash, "ash");
    assert!(restored.members().is_empty(), "it does not know of it");
    for is_news in [true, false] {
        let removed = restored.remove(DISK, ash.id()).expect("removes");
        assert_eq!(removed, is_news);
    }
    let record = restored.records().newest().expect("is made");
    assert!(record.record().removes(&ash.id()));
    drop(restored);
    let state = StateDir::open(DISK, dir.path().join("state")).expect("opens again");
    let restored = Authority::load_or_create(DISK, Arc::new(state)).expect("is there");
    assert!(restored.is_removed(ash.id()));
    restored.set_open(DISK, true).expect("opens");
    let join = thorp_wire::frame::Join {
        token: None,
        request: ash.certificate_request().expect("a request"),
        name: None,
    };
    let again = restored.admit(DISK, &join, std::time::SystemTime::now());
    assert!(again.is_err(), "it stays removed");
}

#[test]
fn a_record_that_would_let_somebody_in_again_is_not_adopted() {
    let group = Group::new();
    let (ash, known) = removal(&group, "ash");
    let (restored, _dir) = before_all(&group);
    for turn in 0..=known.record().number {
        restored.set_open(DISK, turn % 2 == 0).expect("is told");
    }
    let ignorant = restored.records().newest().expect("is made");
    assert!(known.record().number < ignorant.record().number);
    let records = Records::new(group.authority.ca());
    records.adopt(known.clone()).expect("is signed");
    assert_eq!(records.adopt(ignorant.clone()), Ok(None));
    assert!(!records.allows(&ash));
    // Once it has learned what the members know, its record says all of it.
    restored.learn(DISK, &known).expect("is signed");
    let merged = restored.records().newest().expect("is made");
    assert!(merged.record().removes(&ash) && merged.record().removes_all_of(ignorant.record()));
    assert_eq!(records.adopt(merged.clone()), Ok(Some(merged)));
}

#[test]
fn the_machine_that_keeps_the_group_cannot_be_removed() {
    let group = Group::new();
    let own = Identity::generate().expect("a key");
    let now = std::time::SystemTime::now();
    let name = "hall".parse().expect("a name");
    let certificate = group.authority.tracker_certificate(DISK, &own, &name, now);
    certificate.expect("is signed");
    let error = group
        .authority
        .remove(DISK, own.id())
        .expect_err("is the tracker");
    assert!(error.to_string().contains("keeps the group"), "{error}");
}
