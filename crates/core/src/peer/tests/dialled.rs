//! At which addresses a peer dials members that its tracker names.

use std::net::SocketAddr;

use super::*;

const LINK: LinkId = LinkId(1);
const OWN: &str = "10.0.0.9:3334";

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

fn says(peer: &mut Peer, frame: Frame) {
    let frame = links::Input::Frame { link: LINK, frame };
    peer.handle(Instant::default(), frame.into());
    peer.check();
}

/// The questions to the tracker and the members to dial, since this was called last.
fn wants(peer: &mut Peer) -> (Vec<(RequestId, Query)>, Vec<Target>) {
    let (mut asked, mut dialled) = (Vec::new(), Vec::new());
    while let Some(output) = peer.poll_output() {
        match output {
            Output::Link(links::Output::Send(LINK, frame)) => {
                if let (Body::Find(find), Some(request)) = (frame.body, frame.request) {
                    asked.push((request, find.query));
                }
            }
            Output::Dial(target) if target != Target::Tracker => dialled.push(target),
            _ => {}
        }
    }
    (asked, dialled)
}

/// A peer that has asked its tracker for a file, and the number of that question.
fn asks_its_tracker() -> (Peer, RequestId) {
    let now = Instant::default();
    let mut config = config();
    config.remembered.clear();
    config.me.claimed.push(at(OWN));
    let mut peer = Peer::new(now, config);
    peer.handle(now, connected(LINK.0, TRACKER, true));
    says(&mut peer, Frame::plain(hello(false)));
    let wanted = Op::Want(vec!["a".parse().expect("a name")], false);
    let mut gets = 0;
    peer.handle(now, get_input(wanted, &mut gets));
    peer.handle(now, get_input(Op::Looked(gets, vec![true]), &mut gets));
    match &wants(&mut peer).0[..] {
        [(request, Query::Names(_))] => (peer, *request),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_that_the_tracker_names_is_dialled_at_few_addresses_and_at_none_that_mean_another() {
    let odd = [at("127.0.0.1:22"), at("169.254.1.1:80"), at(OWN)];
    let good: Vec<SocketAddr> = (1..=9).map(|n| at(&format!("10.0.0.{n}:22"))).collect();
    let both = [&odd[..], &good[..6]].concat();
    for (named, believed) in [
        (both, &good[..6]),
        (good.clone(), &good[..8]),
        (odd.to_vec(), &good[..0]),
    ] {
        let (mut peer, request) = asks_its_tracker();
        let unlisted = Holder {
            addresses: named,
            ..holder(1)
        };
        let found = Found {
            unlisted: vec![unlisted],
            ..Found::default()
        };
        says(&mut peer, Frame::with_request(request, found));
        let (asked, dialled) = wants(&mut peer);
        if believed.is_empty() {
            assert_eq!(dialled, []);
            let goes_on = matches!(&asked[..], [(_, Query::Pattern(_)), ..]);
            assert!(goes_on, "it is not waited for: {asked:?}");
        } else {
            let addresses = believed.to_vec();
            assert_eq!(
                dialled,
                [Target::Member {
                    id: id(1),
                    addresses
                }]
            );
            assert_eq!(asked, []);
        }
    }
}
