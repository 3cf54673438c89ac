use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};

use super::*;
use crate::identity::Identity;
use crate::testing::Group;

#[test]
fn a_certificate_that_is_not_whole_is_nobody() {
    let identity = Identity::generate().expect("a key");
    let good = Group::new().admit(&identity, "oak").certificate;
    let member = |der: &[u8]| member_of(&CertificateDer::from(der));
    assert_eq!(member(&good).expect("is whole").id, identity.id());
    for end in 0..good.len() {
        assert!(member(&good[..end]).is_err(), "cut at {end}");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        // rustls verifies signatures; here a damaged certificate must only not be taken for
        // another key's.
        if let Ok(member) = member(&bad) {
            assert_eq!(member.id, identity.id(), "byte {at}");
        }
    }
}

#[test]
fn names_that_do_not_go_together_are_nobody() {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let id = PeerId::new(key.public_key_raw().try_into().expect("32 bytes"));
    let other = PeerId::new([7; 32]);
    let member = |names: &[String]| {
        let params = CertificateParams::new(names).expect("are names");
        member_of(params.self_signed(&key).expect("is signed").der())
    };
    let [id, other] = [id, other].map(id_name);
    let human = "oak.name.thorp".to_owned();
    let oak = member(&[id.clone(), human.clone()]).expect("go together");
    assert_eq!((oak.name, oak.tracker), ("oak".parse().ok(), false));
    for names in [
        vec![],
        vec![human.clone()],
        vec![other.clone()],
        vec![id.clone(), other],
        vec![id.clone(), "example.org".into()],
        vec![id.clone(), human.clone(), human],
        vec![id, "-.name.thorp".into()],
        vec!["127.0.0.1".into()],
    ] {
        let answer = member(&names);
        assert!(
            matches!(answer, Err(CertificateError::NotThorp(_))),
            "{names:?}"
        );
    }
}
