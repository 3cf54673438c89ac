//! Whatever the order of changes and readings, every copy ends as the original.

use proptest::collection::vec;
use proptest::prelude::*;
use thorp_wire::Frame;
use thorp_wire::frame::{MAX_FRAME, PREFIX};

use super::*;
use crate::catalogue::{Applied, Bounds};
use crate::gather::Gathering;

const EPOCH: u64 = 9;
const BOUNDS: Bounds = Bounds {
    entries: 1 << 20,
    bytes: 1 << 40,
};

#[derive(Clone, Debug)]
enum Op {
    Change(Vec<(u8, u8)>, Vec<u8>),
    Neighbours(Vec<u8>),
    Torrents(Vec<u8>),
    /// The first look begins, or ends.
    Look(bool),
    Wait(u64),
    Read(usize),
    /// A reader takes one frame.
    ReadAFrame(usize),
    /// A reader loses its copy.
    Lose(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (vec((0..30u8, any::<u8>()), 0..8), vec(0..30u8, 0..5))
            .prop_map(|(added, removed)| Op::Change(added, removed)),
        1 => vec(0..9u8, 0..4).prop_map(Op::Neighbours),
        1 => vec(0..9u8, 0..4).prop_map(Op::Torrents),
        1 => any::<bool>().prop_map(Op::Look),
        3 => (0..150u64).prop_map(Op::Wait),
        2 => (0..3usize).prop_map(Op::Read),
        6 => (0..3usize).prop_map(Op::ReadAFrame),
        1 => (0..3usize).prop_map(Op::Lose),
    ];
    vec(op, 1..40)
}

fn me() -> PeerId {
    PeerId::new([1; 32])
}

/// Names are so long that some five of them fill a frame.
fn entry(n: u8, length: u8) -> Entry {
    let folder = format!("{}/", "x".repeat(250)).repeat(12);
    Entry {
        name: format!("{folder}{n:03}").parse().expect("a name"),
        length: length.into(),
        mtime: 0,
        root: None,
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    }
}

/// All frames of an update, made at once.
fn frames_since(
    publisher: &Publisher,
    since: Option<u64>,
    most: usize,
    reader: Reader,
    catalogue: &Catalogue,
) -> Vec<Update> {
    let mut update = publisher.update_since(since, most, reader, catalogue);
    let mut frames = Vec::new();
    while let Some(under_way) = &mut update {
        let frame = publisher.next_frame(under_way, catalogue);
        if frame.last {
            assert_eq!(frame.seq, under_way.seq());
            update = None;
        }
        frames.push(frame);
    }
    frames
}

#[test]
fn neighbours_that_come_and_go_without_end_leave_a_bounded_history() {
    let mut catalogue = Catalogue::default();
    let mut publisher = Publisher::new(me(), EPOCH, &mut catalogue);
    let mut now = Instant::default();
    for n in (0..=u8::MAX).take(3 * HISTORY) {
        publisher.neighbours_changed(now, vec![PeerId::new([n; 32])], false);
        now = now + GATHER;
        assert!(publisher.publish(now, &mut catalogue));
        assert!(publisher.history.len() <= HISTORY);
    }
    let mut reader = Keeper::new(Reader::Tracker);
    reader.read(&publisher, &catalogue);
}

#[test]
fn other_neighbours_can_wait_unless_one_was_lost_and_for_a_tracker_in_any_case() {
    let mut catalogue = Catalogue::default();
    let mut publisher = Publisher::new(me(), EPOCH, &mut catalogue);
    let mut now = Instant::default();
    let mut urgent_after = |change: &dyn Fn(&mut Publisher, &mut Catalogue, Instant)| {
        let since = publisher.seq();
        change(&mut publisher, &mut catalogue, now);
        now = now + GATHER;
        assert!(publisher.publish(now, &mut catalogue));
        let is_urgent = |reader| publisher.is_urgent(Some(since), reader);
        assert!(publisher.is_urgent(None, Reader::Tracker));
        (is_urgent(Reader::Peer), is_urgent(Reader::Tracker))
    };
    let have = |neighbours: &'static [u8], is_lost| {
        move |publisher: &mut Publisher, _: &mut Catalogue, now| {
            let ids = neighbours.iter().map(|n| PeerId::new([*n; 32])).collect();
            publisher.neighbours_changed(now, ids, is_lost);
        }
    };
    assert_eq!(urgent_after(&have(&[3, 4], false)), (false, false));
    assert_eq!(urgent_after(&have(&[4, 5], false)), (false, false));
    assert_eq!(urgent_after(&have(&[5], true)), (true, false));
    let share = |publisher: &mut Publisher, catalogue: &mut Catalogue, now| {
        publisher.share_changed(now, catalogue, vec![entry(1, 1)], Vec::new());
    };
    assert_eq!(urgent_after(&share), (true, true));
}

#[test]
fn a_reader_that_takes_changes_is_told_of_the_neighbours_that_came_and_went() {
    let mut catalogue = Catalogue::default();
    let mut publisher = Publisher::new(me(), EPOCH, &mut catalogue);
    let mut now = Instant::default();
    let mut have = |neighbours: &[u8]| {
        let ids = neighbours.iter().map(|n| PeerId::new([*n; 32])).collect();
        publisher.neighbours_changed(now, ids, false);
        now = now + GATHER;
        publisher.publish(now, &mut catalogue);
        let told = |reader| {
            let seq = publisher.seq();
            let frames = frames_since(
                &publisher,
                Some(seq - 1),
                BOUNDS.entries,
                reader,
                &catalogue,
            );
            let [frame] = &frames[..] else {
                panic!("{frames:?}");
            };
            let first = |ids: &[PeerId]| ids.iter().map(|id| id.as_bytes()[0]).collect();
            let all: Option<Vec<u8>> = frame.neighbours.as_deref().map(first);
            let (met, parted): (Vec<u8>, Vec<u8>) = (first(&frame.met), first(&frame.parted));
            (all, met, parted)
        };
        (told(Reader::Peer), told(Reader::Tracker))
    };
    let all = |ids: &[u8]| (Some(ids.to_vec()), Vec::new(), Vec::new());
    assert_eq!(have(&[1, 2, 3]), (all(&[1, 2, 3]), all(&[1, 2, 3])));
    let changes = (None, vec![4], vec![1]);
    assert_eq!(have(&[2, 3, 4]), (changes, all(&[2, 3, 4])));
}

/// A peer that keeps a copy, and may take changes of the neighbours in place of all of them.
struct Keeper {
    copy: Catalogue,
    reader: Reader,
    under_way: Option<OutgoingUpdate>,
    gathering: Gathering,
}

impl Keeper {
    fn new(reader: Reader) -> Self {
        Self {
            copy: Catalogue::default(),
            reader,
            under_way: None,
            gathering: Gathering::default(),
        }
    }

    fn read(&mut self, publisher: &Publisher, catalogue: &Catalogue) {
        while self.read_a_frame(publisher, catalogue) {}
        assert_eq!(self.at(), Some(publisher.seq()));
    }

    /// Takes the next frame of the update that is under way, or of a new one. Returns whether there
    /// was one.
    fn read_a_frame(&mut self, publisher: &Publisher, catalogue: &Catalogue) -> bool {
        let update = match self.under_way.take() {
            None => publisher.update_since(self.at(), BOUNDS.entries, self.reader, catalogue),
            under_way => under_way,
        };
        let Some(mut update) = update else {
            return false;
        };
        let frame = publisher.next_frame(&mut update, catalogue);
        if !frame.last {
            self.under_way = Some(update);
        }
        let gathered = self.gathering.push(frame, BOUNDS);
        if let Some(whole) = gathered.expect("frames in order") {
            assert_eq!(self.copy.apply(me(), EPOCH, whole.update), Applied::Yes);
        }
        true
    }

    fn at(&self) -> Option<u64> {
        let position = self.copy.position(me());
        position.map(|position| position.seq)
    }
}

fn same(reader: &Keeper, original: &Catalogue) {
    let (copy, original) = (reader.copy.listing(me()), original.listing(me()));
    let (copy, original) = (copy.expect("a copy"), original.expect("an original"));
    assert!(copy.entries().eq(original.entries()));
    assert_eq!(copy.neighbours(), original.neighbours());
    // Only a tracker is told of torrents.
    let told = reader.reader == Reader::Tracker;
    let torrents = if told { original.torrents() } else { &[] };
    assert_eq!(copy.torrents(), torrents);
}

proptest! {
    #![proptest_config(crate::testing::cases(128))]

    #[test]
    fn every_copy_ends_as_the_original_wherever_it_stood(ops in ops()) {
        let mut catalogue = Catalogue::default();
        let mut publisher = Publisher::new(me(), EPOCH, &mut catalogue);
        let mut readers = [Reader::Peer, Reader::Peer, Reader::Tracker].map(Keeper::new);
        let mut now = Instant::default();
        for op in ops {
            match op {
                Op::Change(added, removed) => {
                    let added: Vec<Entry> = added.into_iter().map(|(n, length)| entry(n, length)).collect();
                    let removed = removed.into_iter().map(|n| entry(n, 0).name);
                    let removed = removed.filter(|name| added.iter().all(|a| a.name != *name));
                    let removed = removed.collect();
                    publisher.share_changed(now, &mut catalogue, added, removed);
                }
                Op::Neighbours(ids) => {
                    let ids: BTreeSet<_> = ids.into_iter().map(|n| PeerId::new([n; 32])).collect();
                    publisher.neighbours_changed(now, ids.into_iter().collect(), false);
                }
                Op::Torrents(torrents) => {
                    let torrents = torrents.into_iter().map(|n| InfoHash::new([n; 20]));
                    publisher.torrents_changed(now, torrents.collect());
                }
                Op::Look(true) => publisher.begin_look(now),
                Op::Look(false) => publisher.end_look(now),
                Op::Wait(millis) => {
                    now = now + Duration::from_millis(millis);
                    publisher.publish(now, &mut catalogue);
                    prop_assert!(publisher.publish_at().is_none_or(|at| at > now));
                }
                Op::Read(reader) => readers[reader].read(&publisher, &catalogue),
                Op::ReadAFrame(reader) => {
                    readers[reader].read_a_frame(&publisher, &catalogue);
                }
                Op::Lose(reader) => readers[reader] = Keeper::new(readers[reader].reader),
            }
        }
        publisher.publish(now + GATHER, &mut catalogue);
        for reader in &mut readers {
            reader.read(&publisher, &catalogue);
            same(reader, &catalogue);
            prop_assert!(publisher.update_since(Some(publisher.seq()), BOUNDS.entries, Reader::Tracker, &catalogue).is_none());
        }
        catalogue.check();
    }
}

#[test]
fn changes_within_a_tenth_of_a_second_are_one_state() {
    let mut catalogue = Catalogue::default();
    let mut publisher = Publisher::new(me(), EPOCH, &mut catalogue);
    let start = Instant::default();
    for n in 0..10 {
        let now = start + Duration::from_millis(u64::from(n) * 10);
        publisher.share_changed(now, &mut catalogue, vec![entry(n, 0)], Vec::new());
        assert!(!publisher.publish(now, &mut catalogue));
    }
    assert_eq!(publisher.publish_at(), Some(start + GATHER));
    assert!(publisher.publish(start + GATHER, &mut catalogue));
    assert_eq!(publisher.seq(), 1);
    let frames = frames_since(
        &publisher,
        Some(0),
        BOUNDS.entries,
        Reader::Tracker,
        &catalogue,
    );
    assert_eq!(
        frames.iter().map(|frame| frame.added.len()).sum::<usize>(),
        10
    );
}

#[test]
fn a_copy_from_before_the_history_gets_the_whole_listing() {
    let mut catalogue = Catalogue::default();
    let mut publisher = Publisher::new(me(), EPOCH, &mut catalogue);
    let mut now = Instant::default();
    for n in 0..=u8::try_from(HISTORY).expect("small in tests") {
        publisher.share_changed(now, &mut catalogue, vec![entry(n, 0)], Vec::new());
        now = now + GATHER;
        publisher.publish(now, &mut catalogue);
    }
    assert!(publisher.history_names <= HISTORY);
    assert_eq!(
        frames_since(
            &publisher,
            Some(0),
            BOUNDS.entries,
            Reader::Tracker,
            &catalogue
        )[0]
        .since,
        None
    );
    assert_eq!(
        frames_since(
            &publisher,
            Some(1),
            BOUNDS.entries,
            Reader::Tracker,
            &catalogue
        )[0]
        .since,
        Some(1)
    );
    let from_the_future = frames_since(
        &publisher,
        Some(publisher.seq() + 1),
        BOUNDS.entries,
        Reader::Tracker,
        &catalogue,
    );
    assert_eq!(from_the_future[0].since, None);
}

#[test]
fn frames_stay_far_below_the_limit_however_long_the_names() {
    let mut catalogue = Catalogue::default();
    let mut publisher = Publisher::new(me(), EPOCH, &mut catalogue);
    let long = format!("{}/", "x".repeat(250)).repeat(16);
    let added = (0..400).map(|n| Entry {
        name: format!("{long}{n}").parse().expect("a name"),
        length: u64::MAX,
        mtime: i64::MIN,
        root: Some(thorp_wire::Root::new([255; 32])),
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    });
    let start = Instant::default();
    publisher.share_changed(start, &mut catalogue, added.collect(), Vec::new());
    let ids = (0..2000u16).map(|n| PeerId::new([n.to_be_bytes()[1]; 32]));
    publisher.neighbours_changed(start, ids.collect(), false);
    publisher.publish(start + GATHER, &mut catalogue);
    let frames = frames_since(
        &publisher,
        None,
        BOUNDS.entries,
        Reader::Tracker,
        &catalogue,
    );
    assert!(frames.len() > 10);
    for (i, update) in frames.iter().enumerate() {
        assert_eq!((update.first, update.last), (i == 0, i == frames.len() - 1));
        let mut bytes = Vec::new();
        let frame = Frame::plain(update.clone());
        frame.encode(&mut bytes).expect("it fits");
        assert!(bytes.len() < MAX_FRAME / 4, "{}", bytes.len());
        assert_eq!(Frame::decode(&bytes[PREFIX..]), Ok(frame));
    }
}

#[test]
fn a_reader_that_keeps_fewer_entries_is_sent_one_too_many_and_no_more() {
    let mut catalogue = Catalogue::default();
    let mut publisher = Publisher::new(me(), EPOCH, &mut catalogue);
    let start = Instant::default();
    let added = (0..20).map(|n| entry(n, 1)).collect();
    publisher.share_changed(start, &mut catalogue, added, Vec::new());
    publisher.publish(start + GATHER, &mut catalogue);
    for (most, sent) in [(5, 6), (19, 20), (20, 20), (1000, 20)] {
        let frames = frames_since(&publisher, None, most, Reader::Tracker, &catalogue);
        let added: usize = frames.iter().map(|update| update.added.len()).sum();
        assert_eq!(added, sent);
        // So the reader knows that they are too many, and keeps none.
        let bounds = Bounds {
            entries: most,
            ..BOUNDS
        };
        let mut copy = Catalogue::default();
        let mut gathering = Gathering::default();
        let gathered = frames.into_iter().filter_map(|frame| {
            let whole = gathering.push(frame, bounds);
            whole.expect("frames in order")
        });
        let whole = gathered.last().expect("is whole");
        let listed = !whole.too_long && copy.apply(me(), EPOCH, whole.update) == Applied::Yes;
        assert_eq!(listed, most >= 20);
    }
}

#[test]
fn a_file_that_is_renamed_while_the_listing_is_sent_does_not_make_it_one_too_many() {
    const MOST: u8 = 20;
    let mut catalogue = Catalogue::default();
    let mut publisher = Publisher::new(me(), EPOCH, &mut catalogue);
    let mut now = Instant::default();
    let mut change = |publisher: &mut Publisher, catalogue: &mut Catalogue, added, removed| {
        publisher.share_changed(now, catalogue, added, removed);
        now = now + GATHER;
        assert!(publisher.publish(now, catalogue));
    };
    let added = (0..MOST).map(|n| entry(n, 1)).collect();
    change(&mut publisher, &mut catalogue, added, Vec::new());
    let most = usize::from(MOST);
    let update = publisher.update_since(None, most, Reader::Tracker, &catalogue);
    let mut update = update.expect("there is no copy");
    let bounds = Bounds {
        entries: most,
        ..BOUNDS
    };
    let (mut copy, mut gathering) = (Catalogue::default(), Gathering::default());
    for renamed in 0.. {
        let frame = publisher.next_frame(&mut update, &catalogue);
        assert!(frame.last || renamed < MOST);
        if let Some(whole) = gathering.push(frame, bounds).expect("frames in order") {
            assert!(!whole.too_long);
            let applied = copy.apply(me(), EPOCH, whole.update);
            assert_eq!(applied, Applied::Yes);
            break;
        }
        let (added, removed) = (vec![entry(100 + renamed, 1)], vec![entry(renamed, 1).name]);
        change(&mut publisher, &mut catalogue, added, removed);
    }
    let since = Some(update.seq());
    for frame in frames_since(&publisher, since, most, Reader::Tracker, &catalogue) {
        if let Some(whole) = gathering.push(frame, bounds).expect("frames in order") {
            let applied = copy.apply(me(), EPOCH, whole.update);
            assert_eq!(applied, Applied::Yes);
        }
    }
    let listed = |catalogue: &Catalogue| -> Vec<Entry> {
        let listing = catalogue.listing(me()).expect("is listed");
        listing.entries().collect()
    };
    assert_eq!(listed(&copy), listed(&catalogue));
}
