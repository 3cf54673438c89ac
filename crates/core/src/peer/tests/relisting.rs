//! Neighbours that say again and again that they have lost their copies of a listing.

use std::collections::BTreeMap;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const FILES: usize = 10_000;

/// A peer, and how many entries it has sent on each link.
struct Sharer {
    peer: Peer,
    now: Instant,
    sent: BTreeMap<LinkId, usize>,
}

impl Sharer {
    fn new() -> Self {
        let now = Instant::default();
        let config = Config {
            remembered: Vec::new(),
            has_tracker: false,
            max_neighbours: 500,
            ..config()
        };
        let mut sharer = Self {
            peer: Peer::new(now, config),
            now,
            sent: BTreeMap::new(),
        };
        sharer.give(Input::ShareChanged {
            added: (0..FILES).map(|n| unhashed(&format!("{n}"))).collect(),
            removed: Vec::new(),
        });
        sharer.wait(SECOND);
        sharer
    }

    /// A member comes, and is a neighbour.
    fn meets(&mut self, number: u16) -> LinkId {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&number.to_be_bytes());
        let link = LinkId(number.into());
        let connected = links::Input::Connected {
            link,
            member: Party {
                id: PeerId::new(key),
                name: None,
                tracker: false,
            },
            dialled: false,
            remote: remote(),
        };
        self.give(connected.into());
        self.hears(link, hello(true));
        link
    }

    fn hears(&mut self, link: LinkId, body: impl Into<Body>) {
        let frame = Frame::plain(body);
        self.give(links::Input::Frame { link, frame }.into());
    }

    fn give(&mut self, input: Input) {
        self.peer.handle(self.now, input);
        let mut have_room = Vec::new();
        loop {
            while let Some(output) = self.peer.poll_output() {
                match output {
                    Output::Link(links::Output::Send(link, frame)) => {
                        if let Body::Update(update) = frame.body {
                            *self.sent.entry(link).or_default() += update.added.len();
                        }
                    }
                    Output::Link(links::Output::AwaitRoom(link)) => have_room.push(link),
                    _ => {}
                }
            }
            let Some(link) = have_room.pop() else { break };
            self.peer
                .handle(self.now, links::Input::Room { link }.into());
        }
    }

    /// Time passes, and the peer does what is due.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.peer.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.give(Input::Link(links::Input::Tick));
        }
        self.now = until;
    }

    fn sent(&self, link: LinkId) -> usize {
        self.sent.get(&link).copied().unwrap_or(0)
    }
}

#[test]
fn neighbours_that_lose_their_copies_without_end_leave_time_to_others() {
    const NEIGHBOURS: u16 = 100;
    const SECONDS: usize = 4;
    let lost = Ack {
        seq: None,
        interval: None,
        unlisted: false,
        record: None,
    };
    let mut sharer = Sharer::new();
    let first = sharer.meets(500);
    sharer.wait(2 * SECOND);
    assert_eq!(sharer.sent(first), FILES);
    let all: Vec<LinkId> = (1..=NEIGHBOURS).map(|n| sharer.meets(n)).collect();
    for _ in 0..SECONDS {
        for link in &all {
            sharer.hears(*link, lost.clone());
        }
        sharer.wait(SECOND);
    }
    let sent: usize = all.iter().map(|link| sharer.sent(*link)).sum();
    // Two fifths of the time, what may be used at once, and one listing too many for each.
    let most = SECONDS * 400_000 + 200_000 + FILES;
    assert!(sent <= most, "{sent} entries in {SECONDS} s");
    assert!(sent > most / 2, "{sent}: and this time is used");
    let least = all.iter().map(|link| sharer.sent(*link)).min();
    assert!(least >= Some(FILES), "all have it: {least:?}");

    // One that has cost little has its part still.
    let newcomer = sharer.meets(600);
    for link in &all {
        sharer.hears(*link, lost.clone());
    }
    sharer.wait(SECOND + SECOND / 10);
    assert_eq!(sharer.sent(newcomer), FILES);
    // What changes is news to those that have all else, whatever others ask for.
    let added = vec![unhashed("new")];
    sharer.give(Input::ShareChanged {
        added,
        removed: Vec::new(),
    });
    sharer.wait(SECOND / 5);
    assert_eq!(sharer.sent(first), FILES + 1);
    assert_eq!(sharer.sent(newcomer), FILES + 1);
    sharer.peer.check();
}
