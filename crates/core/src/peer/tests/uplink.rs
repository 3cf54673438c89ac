//! A listing whose sending takes far longer than a member may be silent.

use super::*;

const LINK: LinkId = LinkId(1);
const SECOND: Duration = Duration::from_secs(1);
/// How long the connection takes for a frame of the listing.
const A_FRAME: Duration = Duration::from_secs(4);
/// Of so many frames no more are made until others are written.
const MOST_WAITING: usize = 8;

/// A peer with a long listing, and its connection to the tracker.
struct Uplink {
    peer: Peer,
    now: Instant,
    /// Frames of the listing that wait to be written.
    waiting: VecDeque<Update>,
    written: Vec<Update>,
    awaits_room: bool,
    is_closed: bool,
}

impl Uplink {
    fn new(files: usize) -> Self {
        let now = Instant::default();
        let mut config = config();
        config.remembered.clear();
        let mut uplink = Self {
            peer: Peer::new(now, config),
            now,
            waiting: VecDeque::new(),
            written: Vec::new(),
            awaits_room: false,
            is_closed: false,
        };
        let added = (0..files).map(|n| unhashed(&format!("{n:0200}")));
        uplink.give(Input::ShareChanged {
            added: added.collect(),
            removed: Vec::new(),
        });
        uplink.wait(SECOND);
        uplink.give(connected(LINK.0, TRACKER, true));
        uplink.hears(hello(false));
        uplink
    }

    fn hears(&mut self, body: impl Into<Body>) {
        let frame = Frame::plain(body);
        self.give(links::Input::Frame { link: LINK, frame }.into());
    }

    fn give(&mut self, input: Input) {
        self.peer.handle(self.now, input);
        self.peer.check();
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Link(links::Output::Send(LINK, frame)) => {
                    if let Body::Update(update) = frame.body {
                        self.waiting.push_back(update);
                    }
                }
                Output::Link(links::Output::AwaitRoom(LINK)) => self.awaits_room = true,
                Output::Link(links::Output::Close(LINK, _)) => self.is_closed = true,
                _ => {}
            }
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

    /// The connection takes one more frame.
    fn write(&mut self) {
        self.written.extend(self.waiting.pop_front());
        self.give(links::Input::Reads { link: LINK }.into());
        if self.waiting.len() < MOST_WAITING && std::mem::take(&mut self.awaits_room) {
            self.give(links::Input::Room { link: LINK }.into());
        }
    }
}

#[test]
fn a_listing_that_takes_minutes_to_send_arrives_whole_at_a_tracker_that_says_nothing_meanwhile() {
    let mut uplink = Uplink::new(2000);
    let began = uplink.now;
    while !uplink.written.last().is_some_and(|update| update.last) {
        uplink.wait(A_FRAME);
        assert!(!uplink.is_closed, "after {} frames", uplink.written.len());
        uplink.write();
    }
    assert!(uplink.now - began > Duration::from_mins(1));
    let all = uplink.written.iter();
    let entries: usize = all.map(|update| update.added.len()).sum();
    assert_eq!(entries, 2000, "in one update");
    // From then on the tracker has to speak again.
    uplink.hears(Ack {
        seq: uplink.written.last().map(|update| update.seq),
        interval: Some(5000),
        unlisted: false,
        record: None,
    });
    uplink.wait(14 * SECOND);
    assert!(!uplink.is_closed);
    uplink.wait(2 * SECOND);
    assert!(uplink.is_closed);
}

#[test]
fn a_tracker_that_reads_nothing_more_is_given_up_in_the_middle_of_a_listing() {
    let mut uplink = Uplink::new(2000);
    uplink.wait(A_FRAME);
    uplink.write();
    uplink.wait(14 * SECOND);
    assert!(!uplink.is_closed);
    uplink.wait(2 * SECOND);
    assert!(uplink.is_closed);
}
