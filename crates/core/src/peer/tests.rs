//! Whatever members send, a peer and a tracker do not panic, do not loop endlessly, and send
//! nothing that does not fit into a frame.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use thorp_wire::frame::{
    Ack, Body, Find, Found, GroupRecord, Hello, Join, Joined, Leave, NameFilter, Position, Query,
    Reason, Record, Refused, SignedRecord, Told, ToldFile, Update, Variant,
};
use thorp_wire::{Content, Frame, Remark, Root};

use super::*;
use crate::get::{Existing, FetchId, Folders, GetId, Looked, Storage};
use crate::links::{self, Me, Party};
use crate::lookup::Only;
use crate::matching::Pattern;
use crate::remembered::Known;
use crate::tracker;

const ME: u8 = 3;
const TRACKER: u8 = 9;

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

fn me() -> Me {
    Me {
        id: id(ME),
        epoch: 7,
        port: Some(3334),
        claimed: Vec::new(),
        visitor: false,
        bittorrent: false,
        advertised: 0,
    }
}

fn peer() -> Peer {
    Peer::new(Instant::default(), config())
}

fn config() -> Config {
    Config {
        me: me(),
        has_tracker: true,
        hops: 1,
        hearing: Hearing {
            every: Duration::ZERO,
            ..Hearing::default()
        },
        tracker_interval: Duration::from_secs(5),
        neighbour_interval: Duration::from_secs(15),
        max_neighbours: 2,
        rules: Rules::default(),
        remembered: (1..6).map(known).collect(),
        seed: 1,
    }
}

fn trouble() -> Unreached {
    Unreached {
        cause: Cause::Certificate,
        reason: String::new(),
    }
}

fn known(n: u8) -> Known {
    Known {
        member: holder(n),
        away: Duration::ZERO,
        chosen: false,
    }
}

fn member(n: u8) -> Party {
    Party {
        id: id(n),
        name: None,
        tracker: n == TRACKER,
    }
}

fn holder(n: u8) -> Holder {
    Holder::bare(id(n))
}

fn names() -> impl Strategy<Value = Name> {
    proptest::sample::select(&["a", "b", "d/a", "\u{fc}", "u\u{308}"][..])
        .prop_map(|name| name.parse().expect("a name"))
}

fn roots() -> impl Strategy<Value = Option<Root>> {
    option::of((0..3u8).prop_map(|n| Root::new([n; 32])))
}

fn entries() -> impl Strategy<Value = Entry> {
    let lengths = prop_oneof![0..3u64, Just(u64::MAX)];
    (names(), lengths, roots()).prop_map(|(name, length, root)| Entry {
        name,
        length,
        mtime: 0,
        // The codec rejects everything else.
        root: root.filter(|root| (*root == Root::EMPTY) == (length == 0)),
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    })
}

fn members() -> impl Strategy<Value = u8> {
    prop_oneof![1..6u8, Just(TRACKER)]
}

fn hellos() -> impl Strategy<Value = Hello> {
    let applied = option::of((6..9u64, 0..4u64).prop_map(|(epoch, seq)| Position { epoch, seq }));
    let mostly = || prop_oneof![5 => Just(true), 1 => Just(false)];
    (0..3u64, applied, mostly(), mostly(), mostly(), any::<u16>()).prop_map(
        |(epoch, applied, neighbour, stays, listens, interval)| Hello {
            oldest: 1,
            newest: 1,
            port: listens.then_some(1),
            claimed: Vec::new(),
            epoch,
            applied,
            neighbour,
            visitor: !stays,
            interval: interval.into(),
            record: None,
            bittorrent: false,
            advertised: 0,
        },
    )
}

/// What a tracker says first, and a neighbour that has no copy of the listing.
fn hello(neighbour: bool) -> Hello {
    Hello {
        oldest: 1,
        newest: 1,
        port: Some(1),
        claimed: Vec::new(),
        epoch: 1,
        applied: None,
        neighbour,
        visitor: false,
        interval: 5000,
        record: None,
        bittorrent: false,
        advertised: 0,
    }
}

/// A file of the share that nobody has hashed yet.
fn unhashed(name: &str) -> Entry {
    Entry {
        name: name.parse().expect("a name"),
        length: 1,
        mtime: 0,
        root: None,
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    }
}

fn updates() -> impl Strategy<Value = Update> {
    (
        (0..4u64, option::of(0..4u64), any::<bool>(), any::<bool>()),
        vec(entries(), 0..4),
        vec(names(), 0..3),
        option::of(vec(members().prop_map(id), 0..4)),
    )
        .prop_map(
            |((seq, since, first, last), added, removed, neighbours)| Update {
                seq,
                since,
                first,
                last,
                added,
                removed,
                neighbours,
                lookups: 3,
                spared: 2,
                ..Update::heartbeat(0)
            },
        )
}

fn finds() -> impl Strategy<Value = Find> {
    let typed = || names().prop_map(|name| name.to_string());
    let query = prop_oneof![
        vec(typed(), 0..4).prop_map(Query::Names),
        proptest::sample::select(&["*", "d/*", "d/.*", "[", "**"][..])
            .prop_map(|pattern| Query::Pattern(pattern.to_owned())),
        Just(Query::Content(Content::EMPTY)),
        option::of(members().prop_map(id)).prop_map(Query::Members),
        option::of(0..3u32).prop_map(|told| Query::Beyond(NameFilter::new(7, 4), told)),
    ];
    (query, any::<(u8, bool)>(), option::of(names())).prop_map(
        |(query, (hops, hash_now), after)| Find {
            hash_now,
            after,
            ..Find::new(query, hops)
        },
    )
}

fn founds() -> impl Strategy<Value = Found> {
    let variant =
        (entries(), vec(members().prop_map(holder), 0..3)).prop_map(|(entry, holders)| Variant {
            entry,
            holders,
            hashed: None,
        });
    let come_to = (option::of(names()), option::of(0..4u32));
    let unlisted = (vec(members().prop_map(holder), 0..3), any::<bool>());
    let file = (entries(), vec(0..2u8, 0..3)).prop_map(|(entry, holders)| ToldFile {
        entry: Entry {
            length: 7,
            root: Some(Root::new([1; 32])),
            partial: false,
            ..entry
        },
        holders,
    });
    let holders = vec(members().prop_map(holder), 2..4);
    let told = (holders, vec(file, 0..3)).prop_map(|(holders, files)| Told { holders, files });
    let told = option::of(told);
    (vec(variant, 0..4), any::<bool>(), come_to, unlisted, told).prop_map(
        |(variants, more, (behind, answered), (unlisted, more_unlisted), told)| Found {
            variants,
            more,
            members: Vec::new(),
            behind,
            answered,
            unlisted,
            more_unlisted,
            told,
        },
    )
}

fn records() -> impl Strategy<Value = SignedRecord> {
    let removed = proptest::sample::subsequence(vec![1, 2, ME, 4, 5], 0..3);
    (1..6u64, removed).prop_map(|(number, removed)| {
        let record = GroupRecord {
            number,
            open: false,
            bittorrent: false,
            removed: removed.into_iter().map(id).collect(),
        };
        SignedRecord::sign(record, |_| Some([0; 64]))
            .expect("is within bounds")
            .expect("is signed")
    })
}

fn frames() -> impl Strategy<Value = Frame> {
    let body = prop_oneof![
        3 => hellos().prop_map(Body::Hello),
        4 => updates().prop_map(Body::Update),
        2 => (option::of(0..4u64), option::of(any::<u32>()), any::<bool>()).prop_map(
            |(seq, interval, unlisted)| Body::Ack(Ack { seq, interval, unlisted, record: None })
        ),
        3 => finds().prop_map(Body::Find),
        4 => founds().prop_map(Body::Found),
        2 => Just(Body::Refused(Refused { reason: Reason::NotHere, text: Remark::default() })),
        1 => Just(Body::Leave(Leave { reason: Remark::default() })),
        2 => records().prop_map(|record| Body::Record(Record { record })),
        1 => Just(Body::Joined(Joined { certificate: Vec::new(), record: None, time: 0 })),
        1 => Just(Body::Join(Join { token: None, request: Vec::new(), name: None })),
    ];
    (option::of(0..6u32), body).prop_map(|(request, body)| Frame {
        request: request.map(RequestId),
        body,
    })
}

#[derive(Clone, Debug)]
enum Op {
    Connect(u64, u8, bool),
    Disconnect(u64),
    Frame(u64, Frame),
    /// A link that comes up regularly.
    Up(u64, u8, Hello),
    DialFailed(u8),
    TurnedAway(u64),
    Change(Vec<Entry>, Vec<Name>),
    Survey(u64, bool),
    /// The bytes of a file arrive on a link.
    Content(u64, u32),
    Stored(u64, bool),
    Want(Vec<Name>, bool),
    Looked(u64, Vec<bool>),
    Large(u64, u8),
    AbandonGet(u64),
    Readdress(u8),
    Adopt(SignedRecord),
    Forged(u64),
    Expiring(u64),
    Renew,
    Wait(u64),
    Tick,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let link = || 0..6u64;
    let op = prop_oneof![
        3 => (link(), members(), any::<bool>()).prop_map(|(l, m, d)| Op::Connect(l, m, d)),
        6 => (link(), members(), hellos()).prop_map(|(l, m, h)| Op::Up(l, m, h)),
        2 => link().prop_map(Op::Disconnect),
        16 => (link(), frames()).prop_map(|(l, f)| Op::Frame(l, f)),
        2 => members().prop_map(Op::DialFailed),
        1 => link().prop_map(Op::TurnedAway),
        2 => (vec(entries(), 0..3), vec(names(), 0..2)).prop_map(|(a, r)| Op::Change(a, r)),
        1 => (4..8u64, any::<bool>()).prop_map(|(survey, files)| Op::Survey(survey, files)),
        3 => (link(), 0..9u32).prop_map(|(l, r)| Op::Content(l, r)),
        2 => (0..9u64, any::<bool>()).prop_map(|(f, v)| Op::Stored(f, v)),
        3 => (vec(names(), 0..3), any::<bool>()).prop_map(|(n, all)| Op::Want(n, all)),
        3 => (0..9u64, vec(any::<bool>(), 0..4)).prop_map(|(g, free)| Op::Looked(g, free)),
        2 => (0..9u64, any::<u8>()).prop_map(|(f, what)| Op::Large(f, what)),
        1 => (0..9u64).prop_map(Op::AbandonGet),
        1 => (0..3u8).prop_map(Op::Readdress),
        1 => records().prop_map(Op::Adopt),
        1 => link().prop_map(Op::Forged),
        2 => link().prop_map(Op::Expiring),
        1 => Just(Op::Renew),
        4 => (0..12_000u64).prop_map(Op::Wait),
        4 => Just(Op::Tick),
    ];
    vec(op, 1..80)
}

fn remote() -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 1).into()
}

fn connected(n: u64, who: u8, dialled: bool) -> Input {
    Input::Link(links::Input::Connected {
        link: LinkId(n),
        member: member(who),
        dialled,
        remote: remote(),
    })
}

fn target(who: u8) -> Target {
    match who {
        TRACKER => Target::Tracker,
        who => Target::Member {
            id: id(who),
            addresses: Vec::new(),
        },
    }
}

/// Returns the input for an operation of gets by name.
fn get_input(op: Op, wants: &mut u64) -> Input {
    match op {
        Op::Want(names, all) => {
            *wants += 1;
            let mut names: Vec<_> = names.iter().map(ToString::to_string).collect();
            names.extend(all.then(|| "**".to_owned()));
            Input::Get {
                get: GetId(*wants),
                request: get::Request {
                    names,
                    only: Only::default(),
                    rename: None,
                    existing: Existing::Keep,
                    elsewhere: false,
                    patience: get::Patience::default(),
                    hidden: false,
                    folders: Folders::Small,
                    executable: true,
                    exact: false,
                    is_read: false,
                },
            }
        }
        Op::Looked(n, free) => Input::Looked {
            get: GetId(n),
            looked: free
                .into_iter()
                .map(|free| if free { Looked::Free } else { Looked::SameName })
                .collect(),
        },
        Op::Large(n, what) => Input::Large {
            fetch: FetchId(n),
            event: match what % 6 {
                0 => get::LargeEvent::WantsHolders,
                1 => get::LargeEvent::Lied(id(what % 5).into()),
                2 => get::LargeEvent::Complete {
                    sources: vec![id(what % 5).into()],
                },
                3 => get::LargeEvent::Kept { received: 0 },
                4 => get::LargeEvent::Released,
                _ => get::LargeEvent::Begun { there: 1 },
            },
        },
        Op::AbandonGet(n) => Input::AbandonGet { get: GetId(n) },
        other => panic!("{other:?}"),
    }
}

fn inputs(op: Op, taken: &mut BTreeMap<u64, u64>, wants: &mut u64) -> Vec<Input> {
    // An id belongs to one connection only, as the shell guarantees.
    let mut link = |n: u64, fresh: bool| {
        let generation = taken.entry(n).or_default();
        *generation += u64::from(fresh);
        LinkId(*generation * 100 + n)
    };
    match op {
        Op::Connect(n, who, dialled) => vec![connected(link(n, true).0, who, dialled)],
        Op::Up(n, who, hello) => {
            let link = link(n, true);
            let frame = Frame::plain(hello);
            let frame = links::Input::Frame { link, frame };
            vec![connected(link.0, who, false), frame.into()]
        }
        Op::Disconnect(n) => vec![
            links::Input::Disconnected {
                link: link(n, false),
                reason: String::new(),
            }
            .into(),
        ],
        Op::Frame(n, frame) => {
            let link = link(n, false);
            vec![links::Input::Frame { link, frame }.into()]
        }
        Op::DialFailed(who) => vec![Input::DialFailed {
            target: target(who),
            trouble: trouble(),
        }],
        Op::TurnedAway(n) => vec![Input::TurnedAway {
            link: link(n, false),
            trouble: trouble(),
        }],
        Op::Change(added, removed) => vec![Input::ShareChanged { added, removed }],
        Op::Survey(survey, files) => vec![Input::Survey {
            survey: SurveyId(survey),
            wish: match survey {
                4 => Wish::Members,
                5 => Wish::Files(Pattern::new("**").expect("a pattern")),
                6 => Wish::Listing {
                    whose: None,
                    folder: Some("d".to_owned()),
                },
                _ => Wish::Listing {
                    whose: Some("d".to_owned()),
                    folder: None,
                },
            },
            itself: files.then(|| Box::new(holder(0))),
        }],
        Op::Stored(fetch, verified) => {
            let storage = if verified {
                Storage::Kept
            } else {
                Storage::Mismatch
            };
            vec![Input::Stored(vec![(FetchId(fetch), storage)])]
        }
        Op::Content(n, _) => vec![
            links::Input::Heard {
                link: link(n, false),
                content: u32::try_from(n).unwrap_or(0),
            }
            .into(),
        ],
        op @ (Op::Want(..) | Op::Looked(..) | Op::Large(..) | Op::AbandonGet(_)) => {
            vec![get_input(op, wants)]
        }
        Op::Readdress(n) => vec![Input::Readdressed {
            claimed: vec![(Ipv4Addr::new(10, 0, 0, n), 3334).into()],
            advertised: n % 2,
        }],
        Op::Adopt(record) => vec![links::Input::Adopted { record }.into()],
        Op::Forged(n) => vec![
            links::Input::Forged {
                link: link(n, false),
            }
            .into(),
        ],
        Op::Expiring(n) => vec![
            links::Input::Expiring {
                link: link(n, false),
            }
            .into(),
        ],
        Op::Renew => vec![Input::Renew {
            join: Join {
                token: None,
                request: Vec::new(),
                name: None,
            },
        }],
        Op::Tick | Op::Wait(_) => vec![links::Input::Tick.into()],
    }
}

fn to_tracker(input: Input) -> Option<tracker::Input> {
    match input {
        Input::Link(input) => Some(input),
        _ => None,
    }
}

#[test]
fn the_reason_of_a_tracker_that_turns_this_peer_away_is_told_once() {
    let mut peer = Peer::new(
        Instant::default(),
        Config {
            remembered: Vec::new(),
            ..config()
        },
    );
    let (mut lost, mut reasons, mut link) = (0, 0, 0);
    while link < 3 {
        let now = peer.next_deadline().expect("it is tried for ever");
        peer.handle(now, links::Input::Tick.into());
        while let Some(output) = peer.poll_output() {
            match output {
                Output::Dial(Target::Tracker) => {
                    link += 1;
                    peer.handle(now, connected(link, TRACKER, true));
                    let link = LinkId(link);
                    let trouble = trouble();
                    peer.handle(now, Input::TurnedAway { link, trouble });
                }
                Output::NoTracker(why) if why == trouble() => reasons += 1,
                Output::Notice(Notice::TrackerLost(why)) if why == trouble() => lost += 1,
                Output::Notice(other) => panic!("{other:?}"),
                _ => {}
            }
        }
    }
    assert_eq!((lost, reasons), (1, 3));
    assert_eq!(peer.tracker(), TrackerState::Down);
}

proptest! {
    #![proptest_config(crate::testing::cases(160))]

    #[test]
    fn a_peer_survives_whatever_members_send(ops in ops()) {
        let mut peer = peer();
        let mut now = Instant::default();
        let (mut taken, mut wants) = (BTreeMap::new(), 0);
        for op in ops {
            if let Op::Wait(millis) = op {
                now = now + Duration::from_millis(millis);
            }
            if let Op::Content(n, request) = op {
                let link = LinkId(taken.get(&n).copied().unwrap_or_default() * 100 + n);
                peer.claim_contents(now, &[(link, RequestId(request))]);
                peer.check();
            }
            for input in inputs(op, &mut taken, &mut wants) {
                peer.handle(now, input);
                peer.check();
                while let Some(output) = peer.poll_output() {
                    if let Output::Link(links::Output::Send(_, frame)) = output {
                        frame.encode(&mut Vec::new()).expect("it fits");
                    }
                }
                prop_assert!(peer.next_deadline().is_none_or(|at| at > now));
            }
        }
        // Left alone, the peer comes to rest: all questions end, all links are lost.
        for _ in 0..500 {
            let Some(at) = peer.next_deadline() else {
                break;
            };
            peer.handle(at, links::Input::Tick.into());
            while let Some(output) = peer.poll_output() {
                match output {
                    Output::Dial(target) => {
                        let trouble = trouble();
                        peer.handle(at, Input::DialFailed { target, trouble });
                    }
                    Output::Surveyed(survey, _) => peer.handle(at, Input::Taken { survey }),
                    _ => {}
                }
            }
            prop_assert!(peer.next_deadline().is_none_or(|next| next > at));
        }
        peer.check();
        prop_assert!(peer.lookups.is_empty() && peer.surveys.is_empty());
        prop_assert!(peer.wishes.is_empty());
        prop_assert!(peer.questions.is_empty() && peer.hashing.is_empty());
        prop_assert_eq!(peer.links.len(), 0);
    }

    #[test]
    fn a_tracker_survives_whatever_members_send(ops in ops()) {
        let interval = Duration::from_secs(5);
        let config = tracker::Config { me: me(), interval, small_group: 2, longest_interval: interval, bittorrent: false, room: 4096 };
        let mut tracker = tracker::Tracker::new(config);
        let mut now = Instant::default();
        let (mut taken, mut wants) = (BTreeMap::new(), 0);
        for op in ops {
            if let Op::Wait(millis) = op {
                now = now + Duration::from_millis(millis);
            }
            for input in inputs(op, &mut taken, &mut wants).into_iter().filter_map(to_tracker) {
                tracker.handle(now, input);
                tracker.check();
                while tracker.poll_output().is_some() {}
                prop_assert!(tracker.next_deadline().is_none_or(|at| at > now));
                let present: Vec<PeerId> = tracker.present().listed().map(|presence| presence.id).collect();
                for (peer, _) in tracker.catalogue().listings() {
                    prop_assert!(present.contains(&peer));
                }
            }
        }
        while let Some(at) = tracker.next_deadline() {
            tracker.handle(at, links::Input::Tick);
        }
        prop_assert_eq!(tracker.present().listed().count(), 0);
        prop_assert_eq!(tracker.catalogue().entries(), 0);
    }
}

mod dialled;
mod relisting;
mod uplink;
