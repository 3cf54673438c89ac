//! Requests that were cancelled, and whose bytes are wanted after all; and whose bytes count.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use thorp_wire::PeerId;
use thorp_wire::frame::Holder;
use thorp_wire::session::{Message, Span};

use super::world::File;
use crate::bound::Account;
use crate::swarm::{Config, Have, Input, Offer, Output, SessionId, SourceId, Swarm, SwarmLimits};
use crate::time::Instant;

const LEAF: u32 = 16 * 1024;
/// How often a swarm looks at its sessions.
const LOOK: u64 = 250;

/// The swarm of a file of one piece, and what it wants of its two sources.
struct Fetching {
    file: File,
    swarm: Swarm,
    now: Instant,
    asked: Vec<(u64, Span)>,
    cancelled: Vec<(u64, Span)>,
    /// How many bytes were written.
    there: u32,
    dialled: Vec<SourceId>,
    /// The sessions that may ask for bytes, as a member's may from its start on.
    served: BTreeSet<u64>,
}

impl Fetching {
    fn begin() -> Self {
        Self::with(SwarmLimits::default())
    }

    fn with(limits: SwarmLimits) -> Self {
        let file = File::of(16 * u64::from(LEAF));
        let config = Config {
            content: file.content,
            me: PeerId::new([0; 32]),
            seed: 1,
            have: Have::Nothing,
            limits,
        };
        let now = Instant::default();
        let mut fetching = Self {
            file,
            swarm: Swarm::new(now, config).expect("it has a piece"),
            now,
            asked: Vec::new(),
            cancelled: Vec::new(),
            there: 0,
            dialled: Vec::new(),
            served: BTreeSet::new(),
        };
        fetching.handle(Input::Holders(Vec::new()));
        fetching
    }

    fn handle(&mut self, input: Input) {
        self.swarm.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            match output {
                Output::Send(session, Message::Request(span)) => {
                    self.asked.push((session.0, span));
                }
                Output::Send(session, Message::Cancel(span)) => {
                    self.asked.retain(|asked| *asked != (session.0, span));
                    self.cancelled.push((session.0, span));
                }
                Output::Send(session, Message::Choke) => {
                    self.served.remove(&session.0);
                }
                Output::Send(session, Message::Unchoke) => {
                    self.served.insert(session.0);
                }
                Output::Dial(source) => self.dialled.push(source.id()),
                _ => {}
            }
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.handle(Input::Tick);
    }

    /// A member that has all of it connects.
    fn come(&mut self, number: u8) {
        self.come_with(number, Message::HaveAll);
    }

    fn come_with(&mut self, number: u8, message: Message) {
        let session = SessionId(number.into());
        let peer = PeerId::new([number; 32]);
        self.served.insert(session.0);
        self.handle(Input::Opened {
            session,
            source: peer.into(),
            account: Account::Member(peer),
            dialled: false,
            offer: Offer {
                fast: true,
                longest_request: 2 * LEAF,
                most_requests: None,
                member: true,
                hashes: true,
            },
        });
        self.handle(Input::Message { session, message });
    }

    /// What is asked of a source and has not come.
    fn owed(&self, session: u64) -> Vec<Span> {
        let owed = self.asked.iter().filter(|(of, _)| *of == session);
        owed.map(|(_, span)| *span).collect()
    }

    /// All bytes of a block come. Returns whether they are to be written.
    fn bring(&mut self, session: u64, span: Span) -> bool {
        self.asked.retain(|asked| *asked != (session, span));
        let id = SessionId(session);
        let Some(block) = self.swarm.on_piece(self.now, id, span) else {
            self.drain();
            return false;
        };
        let claimed = self.swarm.claim(self.now, id, block);
        self.drain();
        claimed
    }

    /// A source brings what it is asked for, until it is asked for nothing.
    fn bring_all_of(&mut self, session: u64) {
        loop {
            self.wait(LOOK);
            let Some(span) = self.owed(session).first().copied() else {
                return;
            };
            assert!(self.bring(session, span));
            self.written(session, span);
        }
    }

    fn written(&mut self, session: u64, span: Span) {
        let layout = thorp_wire::layout::Layout::of(self.file.content.length);
        let block = layout.block(span.piece, span.begin, span.length);
        let block = block.expect("is one of this file");
        let leaves = self.file.leaves_in(block);
        self.there += span.length;
        self.handle(Input::Written {
            session: SessionId(session),
            block,
            leaves,
        });
    }
}

/// A slow source was asked for some bytes first; a fast one, asked for these as well, has brought
/// the first of them, and is lost before they are written, with others that it alone was asked for.
/// Returns what was cancelled at the slow one.
fn lost_what_was_cancelled() -> (Fetching, Span) {
    let mut fetching = Fetching::begin();
    fetching.come(1);
    fetching.come(2);
    let slow = fetching.owed(1);
    let mut last = None;
    while fetching.cancelled.is_empty() {
        fetching.wait(1);
        let owed = fetching.owed(2);
        let of_both = owed.iter().find(|span| slow.contains(span));
        let span = *of_both.unwrap_or(&owed[0]);
        assert!(fetching.bring(2, span));
        if slow.contains(&span) {
            last = Some(span);
        } else {
            fetching.written(2, span);
        }
    }
    let span = last.expect("it was asked of both");
    assert_eq!(fetching.cancelled, [(1, span)]);
    assert!(!fetching.owed(2).iter().all(|span| slow.contains(span)));
    let session = SessionId(2);
    let reason = "gone".to_owned();
    fetching.handle(Input::Closed { session, reason });
    (fetching, span)
}

#[test]
fn bytes_whose_cancelled_request_was_answered_are_asked_for_again_at_once() {
    let mut asked = Vec::new();
    for is_rejected in [true, false] {
        let (mut fetching, span) = lost_what_was_cancelled();
        fetching.wait(LOOK);
        assert!(
            !fetching.owed(1).contains(&span),
            "its answer may be on its way"
        );
        if is_rejected {
            let (session, message) = (SessionId(1), Message::Reject(span));
            fetching.handle(Input::Message { session, message });
        } else {
            assert!(!fetching.bring(1, span), "nobody waits for it any more");
        }
        asked.push(fetching.owed(1));
        fetching.bring_all_of(1);
        assert!(fetching.swarm.is_complete(), "{is_rejected}");
    }
    assert_eq!(
        asked[0], asked[1],
        "no sooner for the one than for the other"
    );
}

#[test]
fn the_rest_of_a_piece_does_not_wait_for_the_answer_to_a_cancelled_request() {
    let (mut fetching, span) = lost_what_was_cancelled();
    // All else comes from the slow source, which says nothing to the cancelled request.
    let began = fetching.now;
    fetching.bring_all_of(1);
    assert!(fetching.now - began < Duration::from_secs(5));
    assert_eq!(fetching.there, 16 * LEAF - span.length);
    // Nor does that one take longer than any silent request.
    while fetching.owed(1).is_empty() {
        fetching.wait(LOOK);
        assert!(fetching.now - began < Duration::from_secs(11));
    }
    assert!(fetching.owed(1)[0].begin < span.begin + span.length);
    fetching.bring_all_of(1);
    assert!(fetching.swarm.is_complete());
}

#[test]
fn bytes_count_as_given_once_they_are_verified_each_for_its_sender() {
    let mut fetching = Fetching::begin();
    fetching.come(1);
    let source = |n: u8| SourceId::from(PeerId::new([n; 32]));
    for _ in 0..4 {
        let span = fetching.owed(1)[0];
        fetching.wait(1);
        assert!(fetching.bring(1, span));
        fetching.written(1, span);
    }
    assert_eq!(fetching.swarm.sources(), [], "nothing is verified yet");
    assert_eq!(fetching.swarm.senders(), [(source(1), 8 * u64::from(LEAF))]);
    fetching.come(2);
    let mut first = 4 * 2 * LEAF;
    while !fetching.swarm.is_complete() {
        fetching.wait(1);
        for number in [1, 2] {
            let Some(span) = fetching.owed(number).first().copied() else {
                continue;
            };
            if fetching.bring(number, span) {
                first += if number == 1 { span.length } else { 0 };
                fetching.written(number, span);
            }
        }
    }
    let second = 16 * LEAF - first;
    let mut given = vec![(source(1), first.into()), (source(2), second.into())];
    given.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    given.retain(|(_, bytes): &(_, u64)| *bytes > 0);
    assert_eq!(fetching.swarm.sources(), given);
    assert_eq!(fetching.swarm.senders(), given);
}

#[test]
fn a_source_that_is_lost_within_its_first_piece_is_dialled_again_as_soon_as_any_that_gave() {
    let mut fetching = Fetching::begin();
    let member = PeerId::new([1; 32]);
    fetching.handle(Input::Holders(vec![Holder {
        id: member,
        name: None,
        addresses: vec!["10.0.0.1:1".parse().expect("an address")],
        partial: false,
    }]));
    for round in 0..6 {
        let lost_at = fetching.now;
        while !fetching.dialled.contains(&member.into()) {
            fetching.wait(LOOK);
            assert!(fetching.now - lost_at < Duration::from_secs(3), "{round}");
        }
        fetching.dialled.clear();
        fetching.come(1);
        let span = fetching.owed(1)[0];
        assert!(fetching.bring(1, span));
        fetching.written(1, span);
        fetching.asked.clear();
        let (session, reason) = (SessionId(1), "gone".to_owned());
        fetching.handle(Input::Closed { session, reason });
    }
    assert_eq!(fetching.swarm.sources(), [], "nothing is verified yet");
}

#[test]
fn a_source_that_sends_all_the_time_is_served_before_any_piece_of_it_is_whole() {
    let mut fetching = Fetching::with(SwarmLimits {
        uploads: 2,
        ..SwarmLimits::default()
    });
    fetching.come(1);
    for number in 2..=6 {
        fetching.come_with(number, Message::HaveNone);
    }
    for number in 1..=6 {
        let (session, message) = (SessionId(number), Message::Interested);
        fetching.handle(Input::Message { session, message });
    }
    let mut rounds = 0;
    for _ in 0..7 {
        let span = fetching.owed(1)[0];
        assert!(fetching.bring(1, span));
        fetching.written(1, span);
        for _ in 0..20 {
            fetching.wait(LOOK);
        }
        if fetching.now - Instant::default() > Duration::from_secs(11) {
            assert!(fetching.served.contains(&1), "{:?}", fetching.served);
            rounds += 1;
        }
    }
    assert!(rounds >= 4);
    assert_eq!(fetching.swarm.sources(), [], "nothing is verified yet");
}

#[test]
fn clients_that_have_come_themselves_keep_no_member_from_being_dialled() {
    let mut fetching = Fetching::begin();
    let limits = SwarmLimits::default();
    for number in 1..=u16::try_from(limits.clients).expect("few") {
        let client = SocketAddr::from(([10, 0, 0, 1], number));
        let session = SessionId(u64::from(number));
        fetching.handle(Input::Opened {
            session,
            source: SourceId::Client(client),
            account: Account::Address(client.ip()),
            dialled: false,
            offer: Offer {
                fast: true,
                longest_request: LEAF,
                most_requests: None,
                member: false,
                hashes: true,
            },
        });
    }
    let member = PeerId::new([7; 32]);
    fetching.handle(Input::Holders(vec![Holder {
        id: member,
        name: None,
        addresses: Vec::new(),
        partial: false,
    }]));
    assert_eq!(fetching.dialled, [SourceId::Member(member)]);
}
