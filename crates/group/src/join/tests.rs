use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, PKCS_ED25519};

use super::*;
use crate::authority::INVITE_VALIDITY;
use crate::certificate::TRACKER_NAME;
use crate::testing::Group;
use thorp_disk::testing::DISK;

fn key() -> Identity {
    Identity::generate().expect("a key")
}

fn service(group: &Group, clock: Clock) -> JoinService {
    let identity = key();
    let membership = group.admit(&identity, "hall");
    let authority = group.authority.clone();
    JoinService::new(&identity, &membership, authority, clock).expect("fits")
}

#[tokio::test]
async fn a_request_for_more_than_a_membership_gets_a_membership() {
    let group = Group::new();
    group.authority.set_open(DISK, true).expect("opens");
    let clock = Clock::system();
    let hall = service(&group, clock.clone());
    let greedy = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let names = [TRACKER_NAME, "oak.name.thorp", "*.thorp"].map(String::from);
    let mut params = CertificateParams::new(names).expect("are names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let request = params.serialize_request(&greedy).expect("a request");
    let question = Join {
        token: None,
        request: request.der().to_vec(),
        name: None,
    };
    let (mut stream, far) = tokio::io::duplex(MAX_FRAME);
    let from = "127.0.0.1:1".parse().expect("an address");
    let asked = async {
        write(&mut stream, &Frame::with_request(RequestId(1), question))
            .await
            .expect("writes");
        read(&mut stream, MAX_FRAME).await.expect("reads").body
    };
    let (body, ()) = tokio::join!(asked, hall.serve(far, from));
    let Body::Joined(joined) = body else {
        panic!("the group is open");
    };
    let member = tls::verify_member(&joined.certificate, group.authority.ca(), clock.wall());
    let member = member.expect("is a member");
    assert!(!member.tracker && member.name != "oak".parse().ok());
    let (_, parsed) = x509_parser::parse_x509_certificate(&joined.certificate).expect("parses");
    assert!(!parsed.is_ca());

    // A certificate signed with that key is not believed.
    let issuer = rcgen::Issuer::new(CertificateParams::default(), &greedy);
    let child = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let id = PeerId::new(child.public_key_raw().try_into().expect("32 bytes"));
    let names = vec![certificate::id_name(id), TRACKER_NAME.into()];
    let params = CertificateParams::new(names).expect("are names");
    let forged = params.signed_by(&child, &issuer).expect("is signed");
    let verified = tls::verify_member(forged.der(), group.authority.ca(), clock.wall());
    verified.expect_err("is signed by no CA");
}

#[tokio::test]
async fn a_crowd_of_newcomers_is_told_to_wait_and_members_are_not() {
    let group = Group::new();
    group.authority.set_open(DISK, true).expect("opens");
    let clock = Clock::system();
    let (elm, member) = (key(), key());
    group.admit(&member, "ash");
    let service = service(&group, clock);
    let from: SocketAddr = "192.0.2.1:5".parse().expect("an address");
    let ask = |identity: &Identity| Join {
        token: None,
        request: identity.certificate_request().expect("a request"),
        name: None,
    };
    while service.pace(&ask(&elm), from).is_ok() {}
    let Body::Refused(refused) = service.answer(ask(&elm), from).await else {
        panic!("too many have come");
    };
    assert_eq!(refused.reason, Reason::Busy);
    let text = refused.text.to_string();
    assert!(text.contains("try again in"), "{text}");
    assert!(group.authority.is_newcomer(&ask(&elm)), "nothing was kept");
    let answer = service.answer(ask(&member), from).await;
    assert!(matches!(answer, Body::Joined(_)), "{answer:?}");
    // An invited newcomer does not have to queue.
    group.authority.set_open(DISK, false).expect("closes");
    let token = group
        .authority
        .invite(DISK, 1, INVITE_VALIDITY, SystemTime::now())
        .expect("a token");
    let invited = Join {
        token: Some(token),
        ..ask(&elm)
    };
    let answer = service.answer(invited, from).await;
    assert!(matches!(answer, Body::Joined(_)), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_newcomer_is_hung_up_on() {
    let group = Group::new();
    let service = service(&group, Clock::system());
    let (_silent, stream) = tokio::io::duplex(64);
    let before = tokio::time::Instant::now();
    service
        .serve(stream, "127.0.0.1:1".parse().expect("an address"))
        .await;
    assert_eq!(before.elapsed().as_secs(), LIMIT.as_secs());
}
