//! The behaviour of links that tracker and peer have in common, and where they differ.

use std::net::Ipv4Addr;
use std::time::Duration;

use thorp_wire::frame::{Ack, Get, GroupRecord, Hello, Join, Record, Update, VERSION};
use thorp_wire::{Content, Entry};

use super::table::millis;
use super::*;
use crate::budget::{Effort, Work};
use crate::liveness::INTERVALS_TO_LOSS;

const INTERVAL: Duration = Duration::from_secs(5);
const TRACKER: Role = Role::Tracker {
    interval: INTERVAL,
    room: 1024 * 1024,
};
const ME: u8 = 1;

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

fn party(n: u8) -> Party {
    Party {
        id: id(n),
        name: None,
        tracker: false,
    }
}

fn hello(epoch: u64) -> Hello {
    Hello {
        oldest: VERSION,
        newest: VERSION,
        port: Some(3334),
        claimed: Vec::new(),
        epoch,
        applied: None,
        neighbour: true,
        visitor: false,
        interval: millis(INTERVAL),
        record: None,
        bittorrent: false,
        advertised: 0,
    }
}

fn entry(name: &str) -> Entry {
    Entry {
        name: name.parse().expect("a name"),
        length: 3,
        mtime: 0,
        root: None,
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    }
}

fn listing(names: &[&str]) -> Update {
    Update {
        since: None,
        added: names.iter().map(|name| entry(name)).collect(),
        ..Update::heartbeat(1)
    }
}

/// A listing that exceeds what a peer keeps of a neighbour.
fn endless() -> Update {
    let name = "a".parse().expect("a name");
    Update {
        since: None,
        removed: vec![name; NEIGHBOUR_BOUNDS.entries + 1],
        ..Update::heartbeat(1)
    }
}

fn record(number: u64, removed: &[u8]) -> SignedRecord {
    let record = GroupRecord {
        number,
        open: false,
        bittorrent: false,
        removed: removed.iter().map(|n| id(*n)).collect(),
    };
    SignedRecord::sign(record, |_| Some([0; 64]))
        .expect("is within bounds")
        .expect("is signed")
}

/// A node's links, and what came of its inputs.
struct Node {
    links: Links,
    now: Instant,
}

impl Node {
    fn new(role: Role) -> Self {
        let me = Me {
            id: id(ME),
            epoch: 7,
            port: Some(3334),
            claimed: Vec::new(),
            visitor: false,
            bittorrent: false,
            advertised: 0,
        };
        Self {
            links: Links::new(me, role),
            now: Instant::default(),
        }
    }

    fn both() -> [Self; 2] {
        [TRACKER, Role::Peer].map(Self::new)
    }

    fn is_tracker(&self) -> bool {
        self.links.role == TRACKER
    }

    fn handle(&mut self, input: Input) -> Vec<Event> {
        let willing = !self.is_tracker();
        let offer = |_: &Table, _: &Party| Terms {
            willing,
            interval: INTERVAL,
        };
        let events = self.links.handle(self.now, input, &offer);
        self.links.check();
        events
    }

    fn connect(&mut self, link: u64, member: Party) -> Vec<Event> {
        self.connect_from(Ipv4Addr::new(192, 0, 2, 9), link, member)
    }

    fn connect_from(&mut self, remote: Ipv4Addr, link: u64, member: Party) -> Vec<Event> {
        self.handle(Input::Connected {
            link: LinkId(link),
            member,
            dialled: false,
            remote: remote.into(),
        })
    }

    /// Lets time pass to the next deadline, but not beyond `until`.
    fn advance(&mut self, until: Instant) -> Vec<Event> {
        let next = self.links.next_deadline().unwrap_or(until);
        self.now = next.max(self.now).min(until);
        let events = self.links.advance(self.now);
        self.links.check();
        events
    }

    fn hear(&mut self, link: u64, body: impl Into<Body>) -> Vec<Event> {
        self.handle(Input::Frame {
            link: LinkId(link),
            frame: Frame::plain(body),
        })
    }

    fn ask(&mut self, link: u64, body: impl Into<Body>) -> Vec<Event> {
        self.handle(Input::Frame {
            link: LinkId(link),
            frame: Frame::with_request(RequestId(1), body),
        })
    }

    /// Brings a link to this member up, and discards the resulting frames.
    fn up(&mut self, link: u64, member: u8, hello: Hello) -> Vec<Event> {
        self.connect(link, party(member));
        let events = self.hear(link, hello);
        self.said();
        events
    }

    /// Returns the outputs since the last call.
    fn said(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.links.poll_output()).collect()
    }

    /// Returns the body of the only frame sent since the last call.
    fn answer(&mut self) -> Body {
        let said = self.said();
        let [Output::Send(_, frame)] = &said[..] else {
            panic!("{said:?}");
        };
        frame.body.clone()
    }

    fn lists(&self, member: u8) -> Option<usize> {
        let listing = self.links.catalogue().listing(id(member))?;
        Some(listing.len())
    }
}

/// Asserts that a link was closed for this reason, after its other end was told.
fn assert_closed(said: &[Output], link: u64, reason: &str) {
    let leave = Leave {
        reason: reason.into(),
    };
    let link = LinkId(link);
    let goodbye = Output::Send(link, Frame::plain(leave));
    let closes = |output: &Output| matches!(output, Output::Close(closed, why) if *closed == link && why.to_string() == reason);
    assert!(
        said.windows(2)
            .any(|two| two[0] == goodbye && closes(&two[1])),
        "{reason}: {said:?}"
    );
}

fn downs(events: &[Event]) -> Vec<(u64, bool, bool)> {
    let downs = events.iter().filter_map(|event| match event {
        Event::Down(down) => Some((down.link.0, down.was_in_use, down.on_purpose)),
        _ => None,
    });
    downs.collect()
}

#[test]
fn links_to_itself_of_removed_members_and_of_a_crowd_are_closed_at_once() {
    for mut node in Node::both() {
        node.handle(Input::Adopted {
            record: record(1, &[3]),
        });
        for link in 0..8 {
            node.connect(link, party(4));
        }
        node.said();
        let itself = node.links.role.itself();
        let crowd = "too many links that say no hello";
        for (member, expected) in [(ME, itself), (3, REMOVED), (4, crowd)] {
            let events = node.connect(100, party(member));
            assert!(
                matches!(&events[..], [Event::TurnedAway { member: who, reason }]
                    if *who == id(member) && *reason == expected),
                "{events:?}"
            );
            let close = Output::Close(LinkId(100), expected.into());
            assert_eq!(node.said(), [close]);
        }
    }
}

#[test]
fn a_member_must_send_its_hello_before_all_but_a_record_or_a_goodbye() {
    for mut node in Node::both() {
        node.connect(1, party(2));
        assert!(matches!(node.answer(), Body::Hello(_)));
        let record = record(1, &[]);
        node.hear(1, Record { record });
        assert!(matches!(node.said()[..], [Output::Verify(LinkId(1), _)]));
        let events = node.hear(1, Update::heartbeat(0));
        assert_eq!(downs(&events), [(1, false, true)]);
        assert_closed(&node.said(), 1, "no hello first");
        assert!(node.hear(1, hello(1)).is_empty(), "it is gone");
        node.connect(2, party(2));
        let reason = "enough".into();
        assert_eq!(downs(&node.hear(2, Leave { reason })), [(2, false, true)]);
    }
}

#[test]
fn an_update_is_acknowledged_by_a_tracker_always_and_by_a_peer_if_it_was_not_taken() {
    for mut node in Node::both() {
        node.up(1, 2, hello(1));
        let events = node.hear(1, listing(&["a", "b"]));
        assert!(matches!(events[..], [Event::ListingChanged { .. }]));
        assert_eq!(node.lists(2), Some(2));
        let position = |node: &Node| node.links.present().get(id(2)).expect("there").position;
        assert_eq!(position(&node), Some(1));
        if node.is_tracker() {
            let ack = Ack {
                seq: Some(1),
                interval: Some(millis(INTERVAL)),
                unlisted: false,
                record: None,
            };
            assert_eq!(node.answer(), ack.into());
        } else {
            assert_eq!(node.said(), []);
        }
        assert!(node.hear(1, Update::heartbeat(1)).is_empty(), "no change");
        node.said();
        // A change relative to a state that is not known here.
        let change = Update {
            since: Some(5),
            ..Update::heartbeat(6)
        };
        node.hear(1, change);
        assert!(matches!(node.answer(), Body::Ack(ack) if ack.seq.is_none() && !ack.unlisted));
        assert_eq!(position(&node), Some(1), "as it was");
    }
}

#[test]
fn a_listing_that_is_too_long_is_not_kept_until_its_member_has_a_new_link() {
    let mut node = Node::new(Role::Peer);
    node.up(1, 2, hello(1));
    node.hear(1, listing(&["a"]));
    let events = node.hear(1, endless());
    assert!(
        matches!(&events[..], [Event::Unlisted(who), Event::ListingChanged { .. }] if who.id == id(2)),
        "{events:?}"
    );
    assert!(matches!(node.answer(), Body::Ack(ack) if ack.unlisted && ack.seq.is_none()));
    assert_eq!(node.lists(2), None);
    assert!(node.hear(1, listing(&["a"])).is_empty());
    assert_eq!((node.lists(2), node.said()), (None, Vec::new()));
    node.up(2, 2, hello(1));
    node.hear(2, listing(&["a"]));
    assert_eq!(node.lists(2), Some(1));
}

#[test]
fn frames_of_an_update_that_do_not_fit_together_end_the_link() {
    for mut node in Node::both() {
        node.up(1, 2, hello(1));
        let later = Update {
            first: false,
            ..listing(&["a"])
        };
        let events = node.hear(1, later);
        assert_eq!(downs(&events), [(1, true, true)]);
        assert_closed(&node.said(), 1, "an update without its beginning");
    }
}

#[test]
fn a_tracker_keeps_every_listing_but_visitors_and_a_peer_those_of_its_neighbours() {
    let visitor = || Hello {
        visitor: true,
        ..hello(1)
    };
    let distant = || Hello {
        neighbour: false,
        ..hello(1)
    };
    for mut node in Node::both() {
        let is_tracker = node.is_tracker();
        let whose = [(2, hello(1)), (3, distant()), (4, visitor())];
        for (member, hello) in whose {
            node.up(member.into(), member, hello);
            node.hear(member.into(), listing(&["a"]));
        }
        let kept = [2, 3, 4].map(|member| node.lists(member).is_some());
        assert_eq!(kept, [true, is_tracker, false]);
        let listed = node.links.present().listed();
        let listed: Vec<PeerId> = listed.map(|presence| presence.id).collect();
        let expected = if is_tracker {
            vec![id(2), id(3)]
        } else {
            vec![id(2)]
        };
        assert_eq!(listed, expected);
    }
}

#[test]
fn a_new_link_replaces_the_old_one_and_a_listing_outlives_it_but_not_a_restart() {
    for mut node in Node::both() {
        node.up(1, 2, hello(1));
        node.hear(1, listing(&["a"]));
        for (link, epoch, kept) in [(2, 1, Some(1)), (3, 2, None)] {
            node.now = node.now + HELLO_WITHIN;
            node.connect(link, party(2));
            node.said();
            let events = node.hear(link, hello(epoch));
            let [Event::Up { link: up, .. }, Event::Down(old)] = &events[..] else {
                panic!("{events:?}");
            };
            assert_eq!((up.0, old.link.0, old.was_in_use), (link, link - 1, false));
            assert_closed(&node.said(), link - 1, "replaced by a newer link");
            assert_eq!(node.lists(2), kept);
        }
    }
}

#[test]
fn a_member_is_present_from_its_hello_until_its_link_is_gone() {
    for mut node in Node::both() {
        node.connect(1, party(2));
        assert!(node.links.present().get(id(2)).is_none());
        node.hear(1, hello(4));
        node.hear(1, listing(&["a"]));
        node.now = node.now + Duration::from_secs(2);
        node.handle(Input::heard(LinkId(1)));
        let presence = node.links.present().get(id(2)).expect("is there");
        assert_eq!(presence.position, Some(1));
        let link = node.links.get(LinkId(1)).expect("is up");
        assert_eq!(link.lost_at(), node.now + INTERVAL * INTERVALS_TO_LOSS);
        let claimed = vec!["10.0.0.9:3334".parse().expect("an address")];
        let moved = Hello {
            claimed,
            ..hello(4)
        };
        let events = node.hear(1, moved);
        assert!(matches!(events[..], [Event::Moved { link: LinkId(1) }]));
        let addresses = |node: &Node| {
            let presence = node.links.present().get(id(2)).expect("is there");
            presence.holder().addresses
        };
        assert_eq!(addresses(&node).len(), 2);
        let reason = "a broken cable".to_owned();
        let events = node.handle(Input::Disconnected {
            link: LinkId(1),
            reason,
        });
        assert_eq!(downs(&events), [(1, true, false)]);
        assert!(node.links.present().get(id(2)).is_none());
        assert_eq!(node.lists(2), None);
    }
}

#[test]
fn a_member_whose_questions_cost_too_much_is_refused_at_no_further_cost() {
    for mut node in Node::both() {
        node.up(1, 2, hello(1));
        let find = || Find::new(Query::Members(None), 0);
        let events = node.ask(1, find());
        assert!(matches!(events[..], [Event::Asked { .. }]));
        let (now, account) = (node.now, node.links.account(LinkId(1)));
        let work = Work(2_000_000);
        node.links
            .budgets
            .on_answered(now, account, Effort::Named, work);
        assert!(node.ask(1, find()).is_empty());
        assert!(matches!(node.answer(), Body::Refused(no) if no.reason == Reason::Busy));
        node.now = node.now + Duration::from_mins(1);
        assert_eq!(node.ask(1, find()).len(), 1);
    }
}

#[test]
fn the_members_in_an_answer_include_the_asker_at_a_tracker_and_not_at_a_peer() {
    for mut node in Node::both() {
        for member in [2, 3] {
            node.up(member.into(), member, hello(1));
        }
        let find = Find::new(Query::Members(None), 0);
        let now = node.now;
        node.links
            .answer(now, LinkId(2), RequestId(1), &find, |_| {});
        let Body::Found(found) = node.answer() else {
            panic!("no answer");
        };
        let told: Vec<PeerId> = found.members.iter().map(|row| row.member.id).collect();
        let expected = if node.is_tracker() {
            vec![id(2), id(3)]
        } else {
            vec![id(3)]
        };
        assert_eq!(told, expected);
    }
}

#[test]
fn an_invalid_question_is_refused_and_charged() {
    for mut node in Node::both() {
        node.up(1, 2, hello(1));
        let find = Find {
            query: Query::Pattern("[".to_owned()),
            hops: 0,
            hash_now: false,
            after: None,
            most: None,
            until: None,
        };
        let now = node.now;
        let account = node.links.account(LinkId(1));
        let work = Work(1_000_000 - Work::QUESTION.0);
        let budgets = &mut node.links.budgets;
        budgets.on_answered(now, account, Effort::Named, work);
        assert!(!budgets.has_asked_enough(now, account));
        node.links
            .answer(now, LinkId(1), RequestId(1), &find, |_| {});
        assert!(matches!(node.answer(), Body::Refused(no) if no.reason == Reason::NotServed));
        assert!(node.links.budgets.has_asked_enough(now, account));
    }
}

#[test]
fn a_tracker_refuses_files_and_issues_certificates_and_a_peer_leaves_both_to_others() {
    for mut node in Node::both() {
        node.up(1, 2, hello(1));
        let content = Content::EMPTY;
        let join = Join {
            token: None,
            request: Vec::new(),
            name: None,
        };
        assert!(node.ask(1, Get { content }).is_empty());
        if node.is_tracker() {
            assert!(matches!(node.answer(), Body::Refused(no) if no.reason == Reason::NotServed));
            let events = node.ask(1, join);
            assert!(
                matches!(&events[..], [Event::RenewalAsked { member, .. }] if *member == id(2))
            );
        } else {
            assert!(node.ask(1, join).is_empty());
            assert_eq!(node.said(), []);
        }
    }
}

#[test]
fn a_record_crosses_each_link_once_and_removed_members_get_it_before_their_links_close() {
    for mut node in Node::both() {
        for member in [2, 3, 4] {
            let hello = Hello {
                record: (member == 4).then_some(9),
                ..hello(1)
            };
            node.up(member.into(), member, hello);
        }
        let events = node.handle(Input::Adopted {
            record: record(2, &[3]),
        });
        assert!(matches!(&events[0], Event::Adopted { removed } if removed == &[id(3)]));
        assert_eq!(downs(&events), [(3, true, true)]);
        let said = node.said();
        let told = |link: u64| {
            let is_record = |output: &&Output| {
                matches!(output, Output::Send(to, frame)
                    if to.0 == link && matches!(frame.body, Body::Record(_)))
            };
            said.iter().filter(is_record).count()
        };
        assert_eq!([2, 3, 4].map(told), [1, 1, 0], "one has a newer one");
        assert_closed(&said, 3, REMOVED);
        let again = Input::Adopted {
            record: record(2, &[3]),
        };
        assert!(node.handle(again).is_empty());
        assert_eq!(node.said(), []);
    }
}

#[test]
fn a_removed_node_reports_its_own_removal_last() {
    for mut node in Node::both() {
        node.up(1, 3, hello(1));
        let record = record(1, &[ME, 3]);
        let events = node.handle(Input::Adopted { record });
        let [Event::Adopted { .. }, Event::Down(_), Event::Expelled] = &events[..] else {
            panic!("{events:?}");
        };
    }
}

#[test]
fn a_tracker_learns_from_a_record_that_lets_a_member_in_again_and_a_peer_objects() {
    for mut node in Node::both() {
        node.up(1, 2, hello(1));
        node.handle(Input::Adopted {
            record: record(2, &[5]),
        });
        node.said();
        for is_first in [true, false] {
            let record = record(3, &[6]);
            node.hear(1, Record { record });
            let said = node.said();
            if node.is_tracker() {
                assert!(matches!(said[..], [Output::Verify(LinkId(1), _)]));
            } else if is_first {
                let [Output::Send(_, frame)] = &said[..] else {
                    panic!("{said:?}");
                };
                assert!(
                    matches!(&frame.body, Body::Record(told) if told.record.record().number == 2)
                );
            } else {
                assert_eq!(said, [], "it was told once");
            }
        }
        let events = node.handle(Input::Forged { link: LinkId(1) });
        assert_eq!(downs(&events), [(1, true, true)]);
        let forged = "its group record is not signed by this group's CA";
        assert_closed(&node.said(), 1, forged);
    }
}

#[test]
fn a_sign_of_life_is_due_before_a_silent_member_is_given_up_but_not_for_good() {
    for mut node in Node::both() {
        node.up(1, 2, hello(1));
        let mut silences = 0;
        let lost = loop {
            node.now = node.links.next_deadline().expect("one link");
            let events = node.links.advance(node.now);
            node.links.check();
            silences += events
                .iter()
                .filter(|e| matches!(e, Event::Silent { .. }))
                .count();
            if let Some(down) = downs(&events).pop() {
                break down;
            }
        };
        assert_eq!((lost, silences), ((1, true, false), 2));
        assert_closed(&node.said(), 1, "nothing heard for 15 s");
        assert_eq!(node.links.next_deadline(), None);
    }
}

#[test]
fn a_node_that_slept_still_counts_its_members_as_present() {
    for mut node in Node::both() {
        node.up(1, 2, hello(1));
        node.now = node.now + Duration::from_hours(8);
        let events = node.links.advance(node.now);
        assert_eq!(downs(&events), []);
        node.links.check();
        assert!(node.links.present().get(id(2)).is_some());
        let link = node.links.get(LinkId(1)).expect("is up");
        assert!(link.lost_at() > node.now);
    }
}

#[test]
fn at_the_end_every_member_is_told_why() {
    for mut node in Node::both() {
        node.up(1, 2, hello(1));
        node.connect(2, party(3));
        node.said();
        let reason = "its user stopped it".to_owned();
        let events = node.handle(Input::Stop { reason });
        assert_eq!(downs(&events), [(1, true, true), (2, false, true)]);
        let said = node.said();
        for link in [1, 2] {
            assert_closed(&said, link, "its user stopped it");
        }
        assert_eq!(node.links.len(), 0);
    }
}

#[test]
fn the_end_that_dialled_is_told_that_a_link_expires() {
    for mut node in Node::both() {
        for (link, dialled) in [(1, true), (2, false)] {
            node.handle(Input::Connected {
                link: LinkId(link),
                member: party(2),
                dialled,
                remote: Ipv4Addr::new(192, 0, 2, 9).into(),
            });
            let expiring = Input::Expiring { link: LinkId(link) };
            assert_eq!(node.handle(expiring).len(), usize::from(dialled));
        }
    }
}

#[test]
fn both_ends_keep_the_interval_that_a_tracker_grants() {
    let mut node = Node::new(Role::Peer);
    let tracker = Party {
        tracker: true,
        ..party(9)
    };
    node.connect(1, tracker);
    node.hear(1, hello(1));
    let ack = |interval| Ack {
        seq: Some(1),
        interval,
        unlisted: false,
        record: None,
    };
    node.hear(1, ack(Some(2000)));
    let liveness = |node: &Node| node.links.get(LinkId(1)).expect("is up").liveness;
    let two = Duration::from_secs(2);
    assert_eq!(
        (liveness(&node).ours(), liveness(&node).theirs()),
        (two, two)
    );
    // A neighbour does not grant an interval.
    node.up(2, 3, hello(1));
    node.hear(2, ack(Some(2000)));
    let link = node.links.get(LinkId(2)).expect("is up");
    assert_eq!(link.liveness.theirs(), INTERVAL);
}

#[test]
fn a_node_that_moves_tells_all_members_once() {
    for mut node in Node::both() {
        node.up(1, 2, hello(1));
        node.up(2, 3, hello(1));
        let claimed = || vec!["10.0.0.1:3334".parse().expect("an address")];
        let now = node.now;
        assert!(node.links.readdress(now, claimed(), 0));
        assert_eq!(node.said().len(), 2);
        assert!(!node.links.readdress(now, claimed(), 0));
        assert_eq!(node.said(), []);
    }
}

mod fairness;
