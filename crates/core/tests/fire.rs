//! A village under fire: a tenth of its members list what is false, ask without end
//! and say what makes no sense, and the others hardly notice. Whole peers and a whole
//! tracker, in virtual time.

mod support;

use std::net::Ipv4Addr;
use std::time::Duration;

use support::{Manner, Node, TRACKER, Village, content, entry, id, name_of, request};
use thorp_core::catalogue::Catalogue;
use thorp_core::get::{Ending, GetId};
use thorp_core::peer::{Input, Wish};
use thorp_core::presence::Presences;
use thorp_core::survey::Coverage;
use thorp_core::time::Instant;
use thorp_wire::frame::{
    Ack, Body, Bytes, Find, Found, Hello, Holder, Joined, Query, Reason, Refused, RequestId,
    Update, Variant,
};
use thorp_wire::{Entry, Frame, PeerId};

const SECOND: Duration = Duration::from_secs(1);
const MEMBERS: usize = 30;
const HOSTILE: usize = MEMBERS / 10;
const FILES: usize = 54;
/// Members that have a file.
const HOLDERS: usize = 3;
/// Files that each member gets, one after the other.
const GETS: usize = 3;
/// What a get takes whose holder the tracker names and which has to be dialled. Where
/// neighbours lie, it comes to that.
const BY_TRACKER: Duration = Duration::from_millis(12);
/// How often hostile members say, on each of their links, all that they had better not.
const NUISANCE: Duration = Duration::from_secs(1);
/// How often they say one thing after the other: sixty times a second.
const WITHOUT_END: Duration = Duration::from_micros(16_667);
/// Files that a hostile member lists and nobody wants.
const MANY: usize = 2000;
/// Between two gets.
const PAUSE: Duration = Duration::from_millis(200);
/// A holder that says nothing costs a second, also where it is the only one that the
/// asked neighbours have named: then the tracker is asked for others.
const LONGEST: Duration = Duration::from_millis(1500);
/// All that is listed at once, by whomever, and what is fetched meanwhile.
const LISTED: usize = (HOLDERS + HOSTILE + 1) * FILES + MANY + GETS * MEMBERS + 10;
/// What that takes at the most, as the machines estimate it.
const MEMORY: u64 = 1024 * 1024;

/// A village, its honest members and those that will be hostile.
struct Fire {
    village: Village,
    honest: Vec<Node>,
    hostile: Vec<Node>,
    /// Rounds of hostile frames so far.
    rounds: u32,
    next_round: Instant,
    /// The time between two rounds.
    every: Duration,
}

/// What the honest members have seen.
struct Seen {
    /// How long each get took, in order.
    took: Vec<Duration>,
    /// How long a question for all there is took.
    surveyed: Duration,
}

fn name(file: usize) -> String {
    format!("d{}/f{file}", file % 6)
}

fn text(file: usize) -> String {
    format!("the text of {file}")
}

fn has(member: usize, file: usize) -> bool {
    let groups = (MEMBERS - HOSTILE) / HOLDERS;
    member % groups == file % groups
}

impl Fire {
    fn new() -> Self {
        let mut village = Village::new();
        let mut nodes = (0..MEMBERS).map(|member| {
            // Those that will be hostile list all there is.
            let all = member < HOSTILE;
            let files = (0..FILES).filter(|file| all || has(member, *file));
            let files: Vec<_> = files.map(|file| (name(file), text(file))).collect();
            let files: Vec<_> = files
                .iter()
                .map(|(name, text)| (&**name, &**text))
                .collect();
            let address = u8::try_from(member).expect("few members");
            village.peer([10, 0, 0, address], &files)
        });
        let hostile = nodes.by_ref().take(HOSTILE).collect();
        let honest = nodes.collect();
        village.run(SECOND * 2);
        Self {
            village,
            honest,
            hostile,
            rounds: 0,
            next_round: Instant::default(),
            every: NUISANCE,
        }
    }

    /// From now on a tenth of the members is hostile.
    fn begin(&mut self) {
        let [mute, liar, refuser] = self.hostile[..] else {
            panic!("{:?}", self.hostile);
        };
        self.village.host(liar).manner = Manner::Lying;
        self.village.host(mute).manner = Manner::Mute;
        self.village.host(refuser).manner = Manner::Without;
        // Names that do harm where they are fetched, and contents under names that
        // others have, in another folder.
        let mut false_ones: Vec<Entry> = (0..FILES)
            .map(|file| entry(&format!("evil/f{file}"), "something else"))
            .collect();
        false_ones.extend(["d0/.git/config", ".bash_profile"].map(|name| entry(name, "harm")));
        self.list(liar, false_ones);
        // A question by one of these names is costly.
        let many = (0..MANY).map(|file| entry(&format!("many/{file}/x{}", file % 8), "same"));
        self.list(refuser, many.collect());
    }

    fn list(&mut self, node: Node, added: Vec<Entry>) {
        let removed = Vec::new();
        self.village
            .give(node, Input::ShareChanged { added, removed });
    }

    /// Time passes, and again and again each hostile member says to each node that it
    /// has a link with what it had better not say.
    fn burn(&mut self, time: Duration) {
        let end = self.village.now + time;
        while self.village.now < end {
            if self.village.now >= self.next_round {
                self.next_round = self.village.now + self.every;
                self.annoy();
            }
            let until = self.next_round.min(end);
            self.village.run(until - self.village.now);
            self.check_memory();
        }
    }

    /// However many rounds there were, no machine holds more than is listed now.
    fn check_memory(&mut self) {
        let of = |node, catalogue: &Catalogue, present: &Presences| {
            (node, catalogue.entries(), catalogue.cost(), present.count())
        };
        let tracker = self.village.tracker();
        let mut held = vec![of(TRACKER, tracker.catalogue(), tracker.present())];
        for node in self.honest.clone() {
            let peer = &self.village.host(node).peer;
            held.push(of(node, peer.catalogue(), peer.present()));
        }
        for (node, entries, cost, present) in held {
            assert!(entries <= LISTED, "{node} keeps {entries} entries");
            assert!(cost <= MEMORY, "{node} keeps {cost} bytes of listings");
            assert!(present <= MEMBERS, "{node} knows {present} members");
        }
    }

    fn annoy(&mut self) {
        for from in self.hostile.clone() {
            self.rounds += 1;
            let mut frames = nuisances(self.rounds, from == self.hostile[HOSTILE - 1]);
            if self.every < NUISANCE {
                let turn = self.rounds as usize / HOSTILE % frames.len();
                frames = vec![frames.swap_remove(turn)];
            }
            for to in std::iter::once(TRACKER).chain(self.honest.clone()) {
                for frame in &frames {
                    // The last one may have ended the link.
                    if self.village.links_between(from, to) > 0 {
                        self.village.say(from, to, frame);
                    }
                }
            }
        }
    }

    /// Each honest member gets files that others have, each by its name; then one asks
    /// for all there is.
    fn live(&mut self, under_fire: bool) -> Seen {
        let mut took = Vec::new();
        for round in 0..GETS {
            for (member, node) in self.honest.clone().into_iter().enumerate() {
                let file = (member * 7 + round * 5) % FILES;
                if self
                    .village
                    .host(node)
                    .files
                    .contains_key(&name_of(&name(file)))
                {
                    continue;
                }
                let begun = self.village.now;
                let get = self.village.want(node, request(&[&name(file)]));
                let end = self.end_of(node, get, under_fire);
                took.push(self.village.now - begun);
                assert!(matches!(end, Ending::Done { files: 1, .. }), "{end:?}");
                let stored = &self.village.host(node).files[&name_of(&name(file))];
                assert_eq!(*stored, text(file), "a wrong byte");
                if under_fire {
                    self.burn(PAUSE);
                } else {
                    self.village.run(PAUSE);
                }
            }
        }
        let begun = self.village.now;
        let pattern = thorp_core::matching::Pattern::new("d*/f*").expect("a pattern");
        let findings = self.village.survey(self.honest[0], Wish::Files(pattern));
        assert_eq!(findings.coverage, Coverage::Whole);
        let found = findings.files.iter().filter(|file| {
            let number = (0..FILES).find(|number| file.entry.name == name_of(&name(*number)));
            number.is_some_and(|number| file.entry.root == Some(content(&text(number)).root))
        });
        assert_eq!(found.count(), FILES, "all that there is");
        Seen {
            took,
            surveyed: self.village.now - begun,
        }
    }

    fn end_of(&mut self, node: Node, get: GetId, under_fire: bool) -> Ending {
        loop {
            if let Some(end) = self.village.ended(node, get) {
                return end;
            }
            let next = self.village.next_event().expect("it goes on");
            if under_fire && next >= self.next_round {
                let until_then = self.next_round - self.village.now;
                self.burn(until_then.max(Duration::from_micros(1)));
            } else {
                self.village.step(next);
            }
        }
    }
}

/// Frames that no honest member says, or not so often, or not then. Some of them cost
/// who says them their listing, or the link.
fn nuisances(round: u32, at_any_price: bool) -> Vec<Frame> {
    let request = RequestId(round);
    let holder = Holder {
        id: PeerId::new([9; 32]),
        name: None,
        addresses: vec!["10.9.9.9:1".parse().expect("an address")],
        partial: false,
    };
    let lie = Found {
        variants: vec![Variant {
            entry: entry("d0/f0", "a lie"),
            holders: vec![holder],
            hashed: None,
        }],
        ..Found::default()
    };
    let find = |query| Find {
        hash_now: true,
        ..Find::new(query, 1)
    };
    let costly = "[x]".repeat(50) + &"{a,b}".repeat(5);
    let moved = Hello {
        oldest: 1,
        newest: 1,
        port: Some(1),
        claimed: vec![(Ipv4Addr::from_bits(0x0a09_0000 + round), 1).into()],
        epoch: 1,
        applied: None,
        neighbour: true,
        visitor: false,
        interval: 1,
        record: None,
        bittorrent: false,
        advertised: 0,
    };
    let mut all: Vec<Body> = vec![
        lie.into(),
        find(Query::Pattern(costly)).into(),
        find(Query::Pattern("**".to_owned())).into(),
        find(Query::Names(vec!["f0".to_owned(); 100])).into(),
        find(Query::Names((0..8).map(|n| format!("x{n}")).collect())).into(),
        Refused {
            reason: Reason::NotHere,
            text: "no".to_owned().into(),
        }
        .into(),
        Bytes {
            bytes: vec![0; 1000],
        }
        .into(),
    ];
    if at_any_price {
        all.push(
            Update {
                since: Some(u64::from(round)),
                added: vec![entry("late", "late")],
                ..Update::heartbeat(u64::from(round) + 1)
            }
            .into(),
        );
        all.push(
            Ack {
                seq: Some(u64::MAX),
                interval: Some(1),
                unlisted: true,
                record: None,
            }
            .into(),
        );
        all.push(
            Joined {
                certificate: vec![0; 100],
                record: None,
                time: 0,
            }
            .into(),
        );
        all.extend((round.is_multiple_of(8)).then(|| Body::from(moved)));
    }
    let frame = |body| Frame::with_request(request, body);
    all.into_iter().map(frame).collect()
}

fn median(mut of: Vec<Duration>) -> Duration {
    of.sort_unstable();
    of[of.len() / 2]
}

/// Plays a village in peace and under fire, and returns what is left of the latter.
fn play(every: Duration) -> Fire {
    let usual = Fire::new().live(false);
    let mut fire = Fire::new();
    fire.every = every;
    fire.begin();
    fire.burn(SECOND * 5);
    let seen = fire.live(true);
    assert_eq!(usual.took.len(), seen.took.len());
    let (with, without) = (median(seen.took.clone()), median(usual.took));
    assert!(with <= 2 * without.max(BY_TRACKER), "{with:?}, {without:?}");
    assert!(seen.took.iter().all(|took| *took < LONGEST));
    // Each member meets the one that says nothing once.
    let waited = seen.took.iter().filter(|took| **took >= SECOND).count();
    assert!(waited <= fire.honest.len(), "{waited}");
    let others = seen.took.iter().filter(|took| **took < SECOND);
    let slowest = others.max().expect("most gets");
    assert!(*slowest <= 2 * BY_TRACKER, "{slowest:?}");
    assert!(seen.surveyed <= usual.surveyed * 2);
    fire
}

#[test]
fn what_a_tenth_of_the_members_list_falsely_and_ask_without_end_slows_no_other_down() {
    let mut fire = play(NUISANCE);
    // What was asked without end was refused, and nothing of it is left behind.
    for node in fire.hostile.clone() {
        fire.village.kill(node);
    }
    fire.village.run(SECOND * 20);
    let left = fire.village.tracker().catalogue();
    let hostile: Vec<_> = fire.hostile.iter().map(|node| id(*node)).collect();
    assert!(left.listings().all(|(owner, _)| !hostile.contains(&owner)));
}

#[test]
fn sixty_hostile_questions_a_second_on_each_link_slow_no_other_member_down() {
    let fire = play(WITHOUT_END);
    assert!(fire.rounds > 1000, "{}", fire.rounds);
}
