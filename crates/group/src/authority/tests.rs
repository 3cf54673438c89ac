use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyUsagePurpose};
use thorp_wire::frame::Reason;

use super::*;
use crate::testing::{Group, state};
use thorp_disk::testing::DISK;

fn request(identity: &Identity) -> Vec<u8> {
    identity.certificate_request().expect("a request")
}

fn join(identity: &Identity, token: Option<&Token>) -> Join {
    Join {
        token: token.cloned(),
        request: request(identity),
        name: "oak".parse().ok(),
    }
}

fn authority() -> (tempfile::TempDir, Authority) {
    let (temporary, state) = state();
    let authority = Authority::load_or_create(DISK, Arc::new(state)).expect("a CA");
    (temporary, authority)
}

fn key() -> Identity {
    Identity::generate().expect("a key")
}

fn refused(authority: &Authority, join: &Join, now: SystemTime) -> NotInvited {
    match authority.admit(DISK, join, now) {
        Err(AuthorityError::NotInvited(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invite_lets_its_first_key_in_and_again_and_no_other() {
    let (_temporary, authority) = authority();
    let now = SystemTime::now();
    let token = authority
        .invite(DISK, 1, INVITE_VALIDITY, now)
        .expect("a token");
    let (first, second) = (key(), key());
    assert_eq!(
        refused(&authority, &join(&first, None), now),
        NotInvited::None
    );
    let wrong = Token([0; 16]);
    assert_eq!(
        refused(&authority, &join(&first, Some(&wrong)), now),
        NotInvited::Wrong
    );
    for _ in 0..2 {
        authority
            .admit(DISK, &join(&first, Some(&token)), now)
            .expect("is invited");
    }
    let why = refused(&authority, &join(&second, Some(&token)), now);
    assert_eq!(why, NotInvited::Used);
    // A member needs no token, and an expired one does no harm.
    authority
        .admit(DISK, &join(&first, None), now)
        .expect("is a member");
    let late = now + INVITE_VALIDITY;
    authority
        .admit(DISK, &join(&first, Some(&token)), late)
        .expect("is a member");
}

#[test]
fn an_invite_ends() {
    let (_temporary, authority) = authority();
    let now = SystemTime::now();
    let token = authority
        .invite(DISK, 2, Duration::from_mins(1), now)
        .expect("a token");
    let late = now + Duration::from_mins(1);
    let why = refused(&authority, &join(&key(), Some(&token)), late);
    assert_eq!(why, NotInvited::Expired);
    let refusal = AuthorityError::from(why).refusal();
    assert_eq!(refusal.reason, Reason::NotInvited);
    assert!(refusal.text.to_string().contains("expired"));
}

#[test]
fn a_thousand_invites_that_are_used_up_or_have_expired_leave_room_for_the_next_ones() {
    let now = SystemTime::now();
    let seconds = unix_seconds(now);
    let open = |number: u8| InviteRow {
        hash: tables::hash(&Token([number; 16])),
        uses: 1,
        ends: seconds + 60,
        used_by: Vec::new(),
    };
    let over = |number: usize| InviteRow {
        hash: format!("{number:064}"),
        uses: 1,
        // Every other one has just expired, and those between are used up.
        ends: seconds + 60 * (number as u64 % 2),
        used_by: vec!["oak".into(); number % 2],
    };
    let (_temporary, state) = state();
    let mut rows = vec![open(1)];
    rows.extend((0..MAX_INVITES - 2).map(over));
    rows.push(open(2));
    state.write_json(DISK, INVITES_FILE, &rows).expect("writes");
    let authority = Authority::load_or_create(DISK, Arc::new(state)).expect("a CA");
    let make = || authority.invite(DISK, 1, INVITE_VALIDITY, now);
    let mut tokens: Vec<_> = (0..3).map(|_| make().expect("there is room")).collect();
    // Whoever was invited before is let in, the first as well as the last.
    tokens.extend([Token([1; 16]), Token([2; 16])]);
    for token in tokens {
        authority
            .admit(DISK, &join(&key(), Some(&token)), now)
            .expect("is invited");
    }
}

#[test]
fn invites_that_can_still_be_used_are_bounded_and_none_of_them_gives_way() {
    let mut tables = Tables::default();
    let invite = |number: usize| InviteRow {
        hash: number.to_string(),
        uses: 2,
        ends: 100,
        used_by: vec!["oak".into()],
    };
    for number in 0..MAX_INVITES {
        tables
            .add_invite(invite(number), 99)
            .expect("there is room");
    }
    let full = tables.add_invite(invite(MAX_INVITES), 99);
    assert!(matches!(full, Err(AuthorityError::TooManyInvites)));
    assert_eq!(tables.invites.len(), MAX_INVITES);
    assert_eq!(tables.invites[0].hash, "0");
    // A second later all have expired.
    tables
        .add_invite(invite(MAX_INVITES), 100)
        .expect("the first one is forgotten");
    assert_eq!(tables.invites.len(), MAX_INVITES);
    assert_eq!(tables.invites[0].hash, "1");
}

#[test]
fn names_are_unique_kept_and_survive_a_restart() {
    let (temporary, state) = state();
    let authority = Authority::load_or_create(DISK, Arc::new(state)).expect("a CA");
    let now = SystemTime::now();
    authority.set_open(DISK, true).expect("opens");
    let keys = [key(), key(), key()];
    let name_of = |authority: &Authority, key: &Identity| {
        let der = authority
            .admit(DISK, &join(key, None), now)
            .expect("is open");
        let member = crate::tls::verify_member(&der, authority.ca(), now).expect("verifies");
        assert!(!member.tracker);
        assert_eq!(member.id, key.id());
        member.name.expect("has one").to_string()
    };
    for (key, name) in keys.iter().zip(["oak", "oak-2", "oak-3"]) {
        assert_eq!(name_of(&authority, key), name);
    }
    authority.remove(DISK, keys[2].id()).expect("removes");
    let token = authority
        .invite(DISK, 1, INVITE_VALIDITY, now)
        .expect("a token");
    let ca = authority.ca();
    drop(authority);

    let state = StateDir::open(DISK, temporary.path().join("state")).expect("opens again");
    let authority = Authority::load_or_create(DISK, Arc::new(state)).expect("is there");
    assert_eq!(authority.ca(), ca);
    assert!(authority.is_open());
    assert_eq!(name_of(&authority, &keys[1]), "oak-2");
    let removed: Vec<_> = authority.members().iter().map(|row| row.removed).collect();
    assert_eq!(removed.iter().filter(|removed| **removed).count(), 1);
    assert_eq!(removed.len(), 3);
    assert!(authority.is_removed(keys[2].id()));
    let back = authority.admit(DISK, &join(&keys[2], Some(&token)), now);
    assert!(matches!(back, Err(AuthorityError::Removed)));
    authority.set_open(DISK, false).expect("closes");
    authority
        .admit(DISK, &join(&key(), Some(&token)), now)
        .expect("is invited");
}

#[test]
fn only_the_key_is_taken_from_a_request() {
    let (_temporary, authority) = authority();
    authority.set_open(DISK, true).expect("opens");
    let now = SystemTime::now();
    let greedy = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let mut params =
        CertificateParams::new(vec!["tracker.thorp".into(), "x.thorp".into()]).expect("are names");
    params.distinguished_name = signing::common_name("thorp");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let asked = params.serialize_request(&greedy).expect("a request");
    let join = Join {
        token: None,
        request: asked.der().to_vec(),
        name: None,
    };
    let der = authority.admit(DISK, &join, now).expect("is open");
    let member = crate::tls::verify_member(&der, authority.ca(), now).expect("verifies");
    assert!(!member.tracker);
    assert_eq!(member.name, "peer".parse().ok());
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).expect("parses");
    assert!(!parsed.is_ca());
    assert_ne!(parsed.subject(), parsed.issuer());
}

#[test]
fn a_request_that_is_not_signed_by_its_key_is_refused() {
    let asker = key();
    let good = request(&asker);
    for (at, _) in good.iter().enumerate() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            // Where the changed bit has no meaning, the key must still be the signer's.
            if let Ok(id) = signing::requested_key(&bad) {
                assert_eq!(id, asker.id(), "byte {at}");
            }
        }
    }
    let other = request(&key());
    let half = good.len() / 2;
    assert!(signing::requested_key(&[&good[..half], &other[half..]].concat()).is_err());
    for end in 0..good.len() {
        assert!(signing::requested_key(&good[..end]).is_err());
    }
    assert!(signing::requested_key(&[&good[..], &[0]].concat()).is_err());
}

#[test]
fn a_lost_ca_key_is_not_replaced_silently() {
    let (temporary, authority) = authority();
    authority.set_open(DISK, true).expect("opens");
    authority
        .admit(DISK, &join(&key(), None), SystemTime::now())
        .expect("is open");
    drop(authority);
    let state = StateDir::open(DISK, temporary.path().join("state")).expect("opens");
    state.remove(DISK, KEY_FILE).expect("removes");
    let error = Authority::load_or_create(DISK, Arc::new(state)).expect_err("has members");
    assert!(matches!(error, AuthorityError::KeyMissing));
}

#[test]
fn a_disk_that_fails_is_no_refusal_for_good_and_the_tracker_learns_of_it() {
    let group = Group::new();
    let authority = &group.authority;
    let mut unsaved = authority.unsaved();
    // A directory of this name prevents the write.
    let blocked = group.state().file(&StateDir::temporary(MEMBERS_FILE));
    std::fs::create_dir(&blocked).expect("is made");
    authority
        .set_open(DISK, true)
        .expect("that is another file");
    let identity = Identity::generate().expect("a key");
    let join = Join {
        token: None,
        request: identity.certificate_request().expect("a request"),
        name: None,
    };
    let error = authority
        .admit(DISK, &join, SystemTime::now())
        .expect_err("is not kept");
    let refusal = error.refusal();
    assert_eq!(refusal.reason, Reason::NotServed);
    assert!(
        refusal.text.to_string().contains("try again later"),
        "{refusal:?}"
    );
    assert!(unsaved.has_changed().expect("is there"));
    assert!(unsaved.borrow_and_update().is_some());
    assert!(authority.is_newcomer(&join), "nothing was decided");

    std::fs::remove_dir(&blocked).expect("is removed");
    authority
        .admit(DISK, &join, SystemTime::now())
        .expect("there is room again");
    assert!(unsaved.has_changed().expect("is there"));
    assert_eq!(*unsaved.borrow_and_update(), None);
}

#[test]
fn whoever_finds_a_group_full_is_not_told_that_removals_make_room() {
    let refusal = AuthorityError::Full.refusal();
    assert_eq!(refusal.reason, Reason::NotServed);
    let text = refusal.text.to_string();
    assert!(
        text.contains("those that were removed stay in it"),
        "{text}"
    );
    assert!(!text.contains("have to be removed"), "{text}");
}

#[test]
fn members_learn_whether_ordinary_clients_are_served_and_the_tracker_remembers_which_torrents() {
    let (temporary, state) = state();
    let authority = Authority::load_or_create(DISK, Arc::new(state)).expect("a CA");
    let is_served = |authority: &Authority| {
        let newest = authority.records().newest().expect("a record");
        (newest.record().number, newest.record().bittorrent)
    };
    assert_eq!(authority.tracks(), Tracks::Off);
    let (before, false) = is_served(&authority) else {
        panic!("nobody has said so");
    };
    authority.set_tracks(DISK, Tracks::Group).expect("turns on");
    assert_eq!(is_served(&authority), (before + 1, true));
    authority.set_tracks(DISK, Tracks::Any).expect("any");
    authority.set_open(DISK, true).expect("opens");
    drop(authority);
    let state = StateDir::open(DISK, temporary.path().join("state")).expect("opens again");
    // As an older version writes it, which knows nothing of this.
    let state = Arc::new(state);
    let authority = Authority::load_or_create(DISK, Arc::clone(&state)).expect("is there");
    assert_eq!(authority.tracks(), Tracks::Any);
    assert!(is_served(&authority).1 && authority.is_open());
    drop(authority);
    state
        .write(DISK, POLICY_FILE, br#"{"open":true}"#)
        .expect("writes");
    let authority = Authority::load_or_create(DISK, state).expect("is there");
    assert_eq!(authority.tracks(), Tracks::Off);
    assert!(!is_served(&authority).1, "the members are told");
}
