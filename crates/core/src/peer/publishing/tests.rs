//! One share and its readers, of which each takes frames as it likes.

use thorp_wire::frame::{Body, Update};
use thorp_wire::{Entry, Name, PeerId};

use super::*;
use crate::catalogue::{Applied, Bounds};
use crate::gather::Gathering;
use crate::publisher::GATHER;

const LINK: LinkId = LinkId(1);
const EPOCH: u64 = 9;
const BOUNDS: Bounds = Bounds {
    entries: 1 << 20,
    bytes: 1 << 40,
};

fn at(millis: u64) -> Instant {
    Instant::after_start(Duration::from_millis(millis))
}

fn me() -> PeerId {
    PeerId::new([1; 32])
}

/// The share that is published.
struct Own {
    catalogue: Catalogue,
    publisher: Publisher,
    now: Instant,
}

impl Own {
    /// A share of so many files, published in one state.
    fn with(files: usize) -> Self {
        let mut catalogue = Catalogue::default();
        let publisher = Publisher::new(me(), EPOCH, &mut catalogue);
        let mut own = Self {
            catalogue,
            publisher,
            now: at(0),
        };
        own.change((0..files).map(|n| entry(n, 1)).collect(), Vec::new());
        own
    }

    fn change(&mut self, added: Vec<Entry>, removed: Vec<Name>) {
        let catalogue = &mut self.catalogue;
        self.publisher
            .share_changed(self.now, catalogue, added, removed);
        self.now = self.now + GATHER;
        assert!(self.publisher.publish(self.now, catalogue));
    }

    fn seq(&self) -> u64 {
        self.publisher.seq()
    }

    /// What is sent on a link until there is no room there, or no more to be sent.
    fn sent(&self, publishing: &mut Publishing, link: LinkId) -> (Vec<Update>, bool) {
        let mut sent = Vec::new();
        loop {
            let reader = (BOUNDS.entries, Reader::Tracker);
            match publishing.next(link, reader, &self.publisher, &self.catalogue) {
                Next::Send(frame) => match frame.body {
                    Body::Update(update) => sent.push(update),
                    other => panic!("{other:?}"),
                },
                Next::AwaitRoom => return (sent, true),
                Next::Nothing => return (sent, false),
            }
        }
    }
}

fn entry(n: usize, length: u64) -> Entry {
    Entry {
        name: format!("{n:06}").parse().expect("a name"),
        length,
        mtime: 0,
        root: None,
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    }
}

/// What the member at the other end of a link keeps.
#[derive(Default)]
struct Copy {
    catalogue: Catalogue,
    gathering: Gathering,
}

impl Copy {
    fn take(&mut self, frames: Vec<Update>) {
        for frame in frames {
            let gathered = self.gathering.push(frame, BOUNDS).expect("frames in order");
            if let Some(whole) = gathered {
                let applied = self.catalogue.apply(me(), EPOCH, whole.update);
                assert_eq!(applied, Applied::Yes);
            }
        }
    }

    fn at(&self) -> Option<u64> {
        let position = self.catalogue.position(me());
        position.map(|position| position.seq)
    }

    fn is_as(&self, own: &Own) -> bool {
        let (copy, original) = (self.catalogue.listing(me()), own.catalogue.listing(me()));
        let (copy, original) = (copy.expect("a copy"), original.expect("an original"));
        copy.entries().eq(original.entries())
    }
}

#[test]
fn each_reader_is_due_until_it_is_told_and_again_when_the_share_changes() {
    let mut own = Own::with(1);
    own.change(vec![entry(1, 1)], Vec::new());
    let mut publishing = Publishing::default();
    let (second, third) = (LinkId(2), LinkId(3));
    publishing.begin(LINK, Some(1), None);
    publishing.begin(second, Some(2), None);
    publishing.begin(third, None, None);
    assert_eq!(publishing.due(at(0), 2), [LINK, third]);
    assert_eq!(
        publishing.due(at(0), 2),
        [LINK, third],
        "they were not told"
    );
    assert_eq!(own.sent(&mut publishing, LINK).0[0].since, Some(1));
    publishing.end(third);
    assert_eq!(publishing.due(at(0), 2), []);
    assert!(publishing.stop(second));
    own.change(vec![entry(2, 1)], Vec::new());
    assert_eq!(publishing.due(at(0), 3), [LINK]);
    assert_eq!(own.sent(&mut publishing, LINK).0[0].since, Some(2));
    publishing.start_over(at(0), LINK);
    assert_eq!(publishing.due(at(0), 3), [LINK], "at once");
    assert_eq!(own.sent(&mut publishing, LINK).0[0].since, None);
    publishing.start_over(at(0), LINK);
    assert_eq!(publishing.due(at(999), 3), [], "not at once again");
    assert_eq!(publishing.next_release(), Some(at(1000)));
    assert_eq!(publishing.due(at(1000), 3), [LINK]);
    assert_eq!(own.sent(&mut publishing, LINK).0[0].since, None);
}

#[test]
fn a_reader_that_keeps_no_copy_gets_no_entries_until_it_asks() {
    let own = Own::with(1);
    let mut publishing = Publishing::default();
    publishing.begin(LINK, Some(0), None);
    assert!(publishing.stop(LINK) && publishing.is_stopped(LINK));
    assert_eq!(publishing.due(at(0), own.seq()), []);
    publishing.start_over(at(0), LINK);
    assert_eq!(publishing.due(at(0), own.seq()), [LINK]);
    own.sent(&mut publishing, LINK);
    assert!(!publishing.stop(LINK), "the user knows");
}

#[test]
fn a_reader_that_came_for_a_file_gets_the_listing_after_it() {
    for served in [true, false] {
        let mut publishing = Publishing::default();
        publishing.begin(LINK, None, Some(at(0)));
        assert_eq!(publishing.due(at(1), 1), []);
        assert_eq!(publishing.next_release(), Some(at(1000)));
        let then = if served { at(2) } else { at(1000) };
        if served {
            publishing.release(LINK);
        }
        assert_eq!(publishing.due(then, 1), [LINK]);
        assert_eq!(publishing.next_release(), None);
    }
}

#[test]
fn of_a_long_listing_a_few_frames_wait_and_the_next_are_made_when_there_is_room() {
    let own = Own::with(10_000);
    let mut publishing = Publishing::default();
    publishing.begin(LINK, None, None);
    let (mut copy, mut steps) = (Copy::default(), 0);
    loop {
        assert_eq!(publishing.due(own.now, own.seq()), [LINK]);
        let (frames, awaits_room) = own.sent(&mut publishing, LINK);
        let bytes = frames
            .iter()
            .map(|update| Frame::plain(update.clone()).size());
        assert!(bytes.sum::<usize>() <= AT_ONCE + publisher::FRAME);
        copy.take(frames);
        if !awaits_room {
            break;
        }
        steps += 1;
        assert!(copy.at().is_none() && publishing.is_under_way(LINK));
        assert_eq!(publishing.due(own.now, own.seq()), [], "there is no room");
        assert_eq!(own.sent(&mut publishing, LINK).0, [], "nor if it is asked");
        publishing.on_room(LINK);
    }
    assert!(steps > 5, "{steps}");
    assert!(copy.is_as(&own) && !publishing.is_under_way(LINK));
    assert_eq!(publishing.position(LINK), Some(own.seq()));
}

#[test]
fn what_changes_while_a_long_listing_is_sent_is_not_lost() {
    let mut own = Own::with(10_000);
    let begun_at = own.seq();
    let mut publishing = Publishing::default();
    publishing.begin(LINK, None, None);
    let mut copy = Copy::default();
    copy.take(own.sent(&mut publishing, LINK).0);
    // Of what was sent and of what was not: one is new, one is another, one is gone.
    let name = |n| entry(n, 0).name;
    own.change(
        vec![entry(20_000, 1), entry(0, 7), entry(9_000, 7)],
        vec![name(1), name(9_001)],
    );
    own.change(vec![entry(1, 8)], vec![name(0), name(9_999)]);
    let mut whole_at = Vec::new();
    while copy.at() != Some(own.seq()) {
        publishing.on_room(LINK);
        assert_eq!(publishing.due(own.now, own.seq()), [LINK]);
        for frame in own.sent(&mut publishing, LINK).0 {
            copy.take(vec![frame]);
            if whole_at.last() != copy.at().as_ref() {
                whole_at.extend(copy.at());
            }
        }
    }
    assert_eq!(whole_at, [begun_at, own.seq()], "each says what it changes");
    assert!(copy.is_as(&own));
}

#[test]
fn a_long_change_comes_as_several_of_which_each_leaves_a_whole_listing() {
    let mut own = Own::with(100);
    let mut publishing = Publishing::default();
    publishing.begin(LINK, None, None);
    let mut copy = Copy::default();
    copy.take(own.sent(&mut publishing, LINK).0);
    for first in [0, 5, 10, 15] {
        own.change(
            (first..first + 5).map(|n| entry(n, 9)).collect(),
            Vec::new(),
        );
    }
    publishing.due(own.now, own.seq());
    let (frames, _) = own.sent(&mut publishing, LINK);
    let ends: Vec<_> = frames
        .iter()
        .map(|frame| (frame.since, frame.seq))
        .collect();
    assert_eq!(ends, [(Some(1), 3), (Some(3), 5)], "ten names each");
    copy.take(frames);
    assert!(copy.is_as(&own));
}

#[test]
fn a_reader_that_keeps_no_copy_any_more_is_sent_no_more_of_a_listing() {
    let own = Own::with(10_000);
    let mut publishing = Publishing::default();
    publishing.begin(LINK, None, None);
    let mut gathering = Gathering::default();
    let mut take = |frames: Vec<Update>| {
        let gathered = frames
            .into_iter()
            .map(|frame| gathering.push(frame, BOUNDS));
        let whole = gathered.filter_map(|whole| whole.expect("frames in order"));
        whole.count()
    };
    assert_eq!(take(own.sent(&mut publishing, LINK).0), 0);
    publishing.stop(LINK);
    publishing.on_room(LINK);
    assert_eq!(publishing.due(own.now, own.seq()), [LINK]);
    let (frames, _) = own.sent(&mut publishing, LINK);
    assert!(frames.len() == 1 && frames[0].added.is_empty());
    assert_eq!(
        take(frames),
        1,
        "the update has an end, so another may follow"
    );
    assert_eq!(publishing.due(own.now, own.seq()), []);
    assert_eq!(publishing.position(LINK), None);
}

#[test]
fn a_reader_that_asks_for_all_in_the_middle_of_it_gets_all_again_behind_it() {
    let own = Own::with(10_000);
    let mut publishing = Publishing::default();
    publishing.begin(LINK, None, None);
    let mut copy = Copy::default();
    copy.take(own.sent(&mut publishing, LINK).0);
    publishing.start_over(own.now, LINK);
    publishing.on_room(LINK);
    let mut begun = 1;
    while !publishing.due(own.now, own.seq()).is_empty() {
        let (frames, _) = own.sent(&mut publishing, LINK);
        begun += frames.iter().filter(|frame| frame.first).count();
        copy.take(frames);
        publishing.on_room(LINK);
    }
    assert_eq!((begun, copy.at()), (2, Some(own.seq())));
    assert!(copy.is_as(&own));
}
