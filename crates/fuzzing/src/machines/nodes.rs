//! A peer and a tracker, and members that say anything.
//!
//! They never panic, never spin, say only what fits in a frame; and left alone they
//! come to rest with no link and no listing of another member.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use thorp_core::get::{Chore, Existing, FetchId, Folders, GetId, LargeEvent, Looked};
use thorp_core::get::{NotStored, Output as Told, Patience, Request, Storage};
use thorp_core::links::{self, LinkId, Me, Party};
use thorp_core::lookup::Only;
use thorp_core::matching::Pattern;
use thorp_core::peer::{self, Cause, Input, Output, Peer, SurveyId, Target, Unreached, Wish};
use thorp_core::time::Instant;
use thorp_core::tracker::{self, Tracker};
use thorp_wire::frame::{Join, SignedRecord};
use thorp_wire::{Body, Entry, Frame, MemberName, Name, PeerId, Root};

use crate::source::Source;

const ME: u8 = 3;
const TRACKER: u8 = 9;
const NAMES: [&str; 8] = [
    "a",
    "b",
    "d/a",
    "d/.hidden",
    "\u{fc}",
    "u\u{308}",
    "e/.git/c",
    "e/big",
];
const TYPED: [&str; 9] = ["a", "d/a", "*", "d/*", "**", "[a", "d", "e", ".hidden"];
/// Inputs that one run takes at most.
const MOST_STEPS: usize = 200;
/// Deadlines until a machine that is left alone has to be at rest.
const MOST_DEADLINES: usize = 20_000;

pub(crate) fn peer(bytes: &[u8]) {
    let mut source = Source::of(bytes);
    let settings = source.byte();
    let config = peer::Config {
        me: me(settings & 1 == 1),
        has_tracker: settings & 2 == 0,
        hops: settings >> 2 & 1,
        hearing: peer::Hearing {
            every: Duration::from_mins(u64::from(settings >> 5 & 1)),
            ..peer::Hearing::default()
        },
        tracker_interval: Duration::from_secs(5),
        neighbour_interval: Duration::from_secs(15),
        max_neighbours: usize::from(settings >> 3 & 3),
        rules: peer::Rules::default(),
        remembered: Vec::new(),
        seed: settings.into(),
    };
    let mut run = Run::new(Node::Peer(Box::new(Peer::new(Instant::default(), config))));
    run.play(&mut source);
}

pub(crate) fn tracker(bytes: &[u8]) {
    let config = tracker::Config {
        me: me(false),
        interval: Duration::from_secs(5),
        small_group: 2,
        // A few names: so there is soon no room for a listing.
        room: 2048,
        longest_interval: Duration::from_mins(1),
        bittorrent: true,
    };
    let mut run = Run::new(Node::Tracker(Box::new(Tracker::new(config))));
    run.play(&mut Source::of(bytes));
}

enum Node {
    Peer(Box<Peer>),
    Tracker(Box<Tracker>),
}

/// A machine, and what its shell has in hand.
struct Run {
    node: Node,
    now: Instant,
    /// Numbers that were given away.
    numbers: u64,
    open: Vec<LinkId>,
    dials: Vec<Target>,
    gets: Vec<GetId>,
    surveys: Vec<SurveyId>,
    looks: Vec<(GetId, usize)>,
    storing: Vec<FetchId>,
    begun: Vec<FetchId>,
    stopped: bool,
}

impl Run {
    fn new(node: Node) -> Self {
        Self {
            node,
            now: Instant::default(),
            numbers: 0,
            open: Vec::new(),
            dials: Vec::new(),
            gets: Vec::new(),
            surveys: Vec::new(),
            looks: Vec::new(),
            storing: Vec::new(),
            begun: Vec::new(),
            stopped: false,
        }
    }

    fn play(&mut self, source: &mut Source<'_>) {
        for _ in 0..MOST_STEPS {
            if source.is_empty() {
                break;
            }
            self.step(source);
        }
        self.come_to_rest();
    }

    fn step(&mut self, source: &mut Source<'_>) {
        let kind = source.byte();
        match kind % 32 {
            0..3 => self.connect(source),
            3 => {
                if let Some(link) = self.link(source) {
                    self.open.retain(|open| *open != link);
                    let reason = "gone".to_owned();
                    self.on_link(links::Input::Disconnected { link, reason });
                }
            }
            4..16 => self.hear(source),
            16 | 17 => {
                self.now = self.now + Duration::from_millis(source.short().into());
                self.on_link(links::Input::Tick);
            }
            18 => {
                if let (Some(link), Ok(record)) =
                    (self.link(source), SignedRecord::read(source.bytes()))
                {
                    let input = if source.flag() {
                        links::Input::Adopted { record }
                    } else {
                        links::Input::Forged { link }
                    };
                    self.on_link(input);
                }
            }
            19 => {
                if let Some(link) = self.link(source) {
                    self.on_link(links::Input::Expiring { link });
                }
            }
            20 => {
                if let Some(link) = self.link(source) {
                    let content = source.short().into();
                    self.on_link(links::Input::Heard { link, content });
                }
            }
            21 if source.flag() => {
                if let Some(link) = self.link(source) {
                    self.on_link(if source.flag() {
                        links::Input::Room { link }
                    } else {
                        links::Input::Reads { link }
                    });
                }
            }
            21 if source.byte() == 0xff => {
                self.stopped = true;
                let reason = "stopped".to_owned();
                self.on_link(links::Input::Stop { reason });
            }
            other => self.step_of_peer(other, source),
        }
    }

    fn step_of_peer(&mut self, kind: u8, source: &mut Source<'_>) {
        let input = match kind {
            22 => self.fails_to_dial(source),
            23 => Some(share_changed(source)),
            24 => {
                let get = GetId(self.number());
                self.gets.push(get);
                let request = request(source);
                Some(Input::Get { get, request })
            }
            25 => {
                let survey = SurveyId(self.number());
                self.surveys.push(survey);
                let wish = match source.below(3) {
                    0 => Wish::Members,
                    1 => Wish::Files(Pattern::new("**").expect("a pattern")),
                    _ => Wish::Listing {
                        whose: source.flag().then(|| "oak".to_owned()),
                        folder: source.flag().then(|| "d".to_owned()),
                    },
                };
                let itself = None;
                Some(Input::Survey {
                    survey,
                    wish,
                    itself,
                })
            }
            26 => take(source, &mut self.looks).map(|(get, places)| {
                let looked = (0..places).map(|_| match source.below(4) {
                    0 => Looked::SameName,
                    1 => Looked::Equal,
                    2 => Looked::Blocked(NotStored::Exists),
                    _ => Looked::Free,
                });
                let looked = looked.collect();
                Input::Looked { get, looked }
            }),
            27 => take(source, &mut self.storing).map(|fetch| {
                let storage = match source.below(3) {
                    0 => Storage::Mismatch,
                    1 => Storage::Failed(NotStored::Exists),
                    _ => Storage::Kept,
                };
                Input::Stored(vec![(fetch, storage)])
            }),
            28 => source.one(&self.begun).copied().map(|fetch| {
                let event = large_event(source);
                Input::Large { fetch, event }
            }),
            29 => take(source, &mut self.gets).map(|get| Input::AbandonGet { get }),
            30 if !self.surveys.is_empty() && source.flag() => {
                let survey = self.surveys[source.below(self.surveys.len())];
                Some(if source.flag() {
                    Input::Taken { survey }
                } else {
                    Input::AbandonSurvey { survey }
                })
            }
            30 => Some(match source.below(4) {
                0 => Input::InUse(id(source.byte() % 10)),
                1 => Input::Readdressed {
                    claimed: vec![(Ipv4Addr::new(10, 0, 0, source.byte()), 3334).into()],
                    advertised: 0,
                },
                2 => Input::Hashed {
                    name: name(source),
                    bytes: source.flag().then(|| source.long()),
                },
                _ => Input::Renew { join: join() },
            }),
            _ => self.link(source).map(|link| Input::Served { link }),
        };
        if let (Some(input), Node::Peer(peer)) = (input, &mut self.node) {
            peer.handle(self.now, input);
            self.drain();
        }
    }

    fn connect(&mut self, source: &mut Source<'_>) {
        if self.stopped {
            return;
        }
        let link = LinkId(self.number());
        let who = 1 + source.byte() % TRACKER;
        let dialled = source.flag() && matches!(self.node, Node::Peer(_));
        if dialled {
            let target = |dialled: &Target| match dialled {
                Target::Tracker => who == TRACKER,
                Target::Member { id: wanted, .. } => *wanted == id(who),
            };
            // A shell only says so where it was to dial.
            let Some(at) = self.dials.iter().position(target) else {
                return;
            };
            self.dials.remove(at);
        }
        self.open.push(link);
        let member = Party {
            id: id(who),
            name: source.flag().then(|| MemberName::nearest("oak")),
            tracker: who == TRACKER,
        };
        let remote = IpAddr::from(Ipv4Addr::new(192, 0, 2, source.byte() & 3));
        self.on_link(links::Input::Connected {
            link,
            member,
            dialled,
            remote,
        });
    }

    /// A member says something.
    fn hear(&mut self, source: &mut Source<'_>) {
        let Some(link) = self.link(source) else {
            return;
        };
        let Ok(frame) = Frame::decode(source.bytes()) else {
            return;
        };
        let content = matches!(frame.body, Body::Content(_));
        match (&mut self.node, frame.request) {
            // The shell keeps these, and says only that something came.
            (Node::Peer(peer), Some(request)) if content => {
                peer.handle(self.now, links::Input::Heard { link, content: 0 }.into());
                let claimed = peer.claim_contents(self.now, &[(link, request)]);
                let claimed = claimed.into_iter().flatten();
                self.storing.extend(claimed.map(|claimed| claimed.fetch));
                self.drain();
            }
            _ if content => {}
            _ => self.on_link(links::Input::Frame { link, frame }),
        }
    }

    fn fails_to_dial(&mut self, source: &mut Source<'_>) -> Option<Input> {
        let target = take(source, &mut self.dials)?;
        Some(dial_failed(target))
    }

    fn on_link(&mut self, input: links::Input) {
        match &mut self.node {
            Node::Peer(peer) => peer.handle(self.now, input.into()),
            Node::Tracker(tracker) => tracker.handle(self.now, input),
        }
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            let output = match &mut self.node {
                Node::Peer(peer) => peer.poll_output(),
                Node::Tracker(tracker) => tracker.poll_output().map(|output| match output {
                    tracker::Output::Link(output) => Output::Link(output),
                    _ => Output::Removed,
                }),
            };
            match output {
                None => break,
                Some(Output::Link(links::Output::Send(_, frame))) => {
                    frame.encode(&mut Vec::new()).expect("it fits in a frame");
                }
                Some(Output::Link(links::Output::Close(link, _))) => {
                    self.open.retain(|open| *open != link);
                }
                Some(Output::Dial(target)) => self.dials.push(target),
                Some(Output::Get(get, told)) => self.on_told(get, told),
                Some(_) => {}
            }
        }
        assert!(self.deadline().is_none_or(|at| at > self.now), "it spins");
        match &self.node {
            Node::Peer(peer) => peer.check(),
            Node::Tracker(tracker) => tracker.check(),
        }
    }

    fn on_told(&mut self, get: GetId, told: Told) {
        match told {
            Told::Do(Chore::Look(places)) => self.looks.push((get, places.len())),
            Told::Make(fetch, _) => self.storing.push(fetch),
            Told::Begin(fetch, _) => self.begun.push(fetch),
            Told::Ended(_) => self.gets.retain(|open| *open != get),
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.node {
            Node::Peer(peer) => peer.next_deadline(),
            Node::Tracker(tracker) => tracker.next_deadline(),
        }
    }

    /// Everybody is gone and the disk is done: all ends.
    fn come_to_rest(&mut self) {
        for get in std::mem::take(&mut self.gets) {
            if let Node::Peer(peer) = &mut self.node {
                peer.handle(self.now, Input::AbandonGet { get });
                self.drain();
            }
        }
        for survey in std::mem::take(&mut self.surveys) {
            if let Node::Peer(peer) = &mut self.node {
                peer.handle(self.now, Input::AbandonSurvey { survey });
                self.drain();
            }
        }
        for _ in 0..MOST_DEADLINES {
            while let Some(target) = self.dials.pop() {
                if let Node::Peer(peer) = &mut self.node {
                    peer.handle(self.now, dial_failed(target));
                    self.drain();
                }
            }
            let is_at_rest = match &self.node {
                Node::Peer(peer) => peer.present().count() == 0 && self.open.is_empty(),
                Node::Tracker(tracker) => tracker.present().count() == 0 && self.open.is_empty(),
            };
            if is_at_rest {
                break;
            }
            let Some(at) = self.deadline() else {
                break;
            };
            self.now = at;
            self.on_link(links::Input::Tick);
        }
        assert!(self.open.is_empty(), "links of members that are gone");
        let catalogue = match &self.node {
            Node::Peer(peer) => peer.catalogue(),
            Node::Tracker(tracker) => tracker.catalogue(),
        };
        let others = catalogue.listings().filter(|(owner, _)| *owner != id(ME));
        assert_eq!(others.count(), 0, "listings of members that are gone");
    }

    fn link(&self, source: &mut Source<'_>) -> Option<LinkId> {
        source.one(&self.open).copied()
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

/// Takes one of these out.
fn take<T>(source: &mut Source<'_>, of: &mut Vec<T>) -> Option<T> {
    let number = source.below(of.len());
    (number < of.len()).then(|| of.swap_remove(number))
}

fn dial_failed(target: Target) -> Input {
    let trouble = Unreached {
        cause: Cause::Network,
        reason: "no answer".to_owned(),
    };
    Input::DialFailed { target, trouble }
}

fn request(source: &mut Source<'_>) -> Request {
    let names = 1 + source.below(3);
    let names = (0..names).filter_map(|_| source.one(&TYPED));
    Request {
        names: names.map(ToString::to_string).collect(),
        only: Only {
            from: source.flag().then(|| "oak".to_owned()),
            root: source.flag().then(|| "01".to_owned()),
        },
        rename: source.flag().then(|| "new".to_owned()),
        existing: match source.below(3) {
            0 => Existing::Replace,
            1 => Existing::SetAside,
            _ => Existing::Keep,
        },
        elsewhere: source.flag(),
        patience: match source.below(3) {
            0 => Patience::For(Some(Duration::from_secs(20))),
            _ => Patience::None,
        },
        hidden: source.flag(),
        folders: match source.below(3) {
            0 => Folders::No,
            1 => Folders::Small,
            _ => Folders::All,
        },
        executable: source.flag(),
        exact: false,
        is_read: false,
    }
}

fn large_event(source: &mut Source<'_>) -> LargeEvent {
    let who = id(source.byte() % 10);
    match source.below(7) {
        0 => LargeEvent::WantsHolders,
        1 => LargeEvent::Lied(who.into()),
        2 => LargeEvent::Complete {
            sources: vec![who.into()],
        },
        3 => LargeEvent::Kept { received: 1 },
        4 => LargeEvent::Released,
        5 => LargeEvent::NotStored(NotStored::Exists),
        _ => LargeEvent::Begun { there: 1 },
    }
}

fn share_changed(source: &mut Source<'_>) -> Input {
    let (added, removed) = (source.below(4), source.below(3));
    let mut entry = || {
        // Some are more than is taken of a folder unasked.
        let length = u64::from(source.byte());
        let length = length << (length >> 6 << 3);
        Entry {
            name: name(source),
            length,
            mtime: 0,
            root: (length > 0).then(|| Root::new([source.byte() | 1; 32])),
            partial: false,
            nanos: 0,
            executable: false,
            v1: None,
        }
    };
    let added = (0..added).map(|_| entry()).collect();
    let removed = (0..removed).map(|_| name(source)).collect();
    Input::ShareChanged { added, removed }
}

fn name(source: &mut Source<'_>) -> Name {
    let name = source.one(&NAMES).expect("there are some");
    name.parse().expect("a name")
}

fn me(visitor: bool) -> Me {
    Me {
        id: id(ME),
        epoch: 7,
        port: Some(3334),
        claimed: Vec::new(),
        visitor,
        bittorrent: false,
        advertised: 0,
    }
}

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

fn join() -> Join {
    Join {
        token: None,
        request: Vec::new(),
        name: None,
    }
}
