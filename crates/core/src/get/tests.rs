//! Whatever is told to gets, and in whatever order: each ends once, and leaves
//! nothing behind.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use thorp_wire::frame::Variant;
use thorp_wire::{Attributes, Entry, Name, Root};

use super::*;
use crate::lookup::{Answer, Source, TrackerUse};
use crate::survey::Coverage;
use crate::swarm::{Contact, Stuck, Unfit};

const LENGTHS: [u64; 4] = [0, 5, 6, MAX_INLINE + 1];

/// A shell and a peer that answer as chance will have it.
struct World {
    gets: Gets,
    now: Instant,
    requests: u64,
    owed: Vec<Owed>,
    ended: BTreeMap<GetId, u32>,
    /// Files of each that are there or missed, as was told last.
    over: BTreeMap<GetId, u64>,
    abandoned: BTreeSet<GetId>,
}

/// What the gets wait for.
#[derive(Clone, Debug)]
enum Owed {
    LookUp(Inquiry, Vec<String>),
    Survey(Inquiry),
    Look(GetId, usize),
    Make(FetchId),
    Small(FetchId, WantedFile),
    Begun(FetchId),
    Gathered(FetchId),
    Kept(FetchId),
    Released(FetchId),
}

#[derive(Clone, Debug)]
enum Op {
    Begin(Vec<usize>, u8, bool, bool),
    /// One of the questions is answered.
    Answer(usize, u8),
    /// What was never asked is answered.
    Wild(u64, u8),
    Abandon(u64),
    Wait(u64),
    Stop,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (vec(0..NAMES.len(), 0..4), 0..3u8, any::<bool>(), any::<bool>())
            .prop_map(|(names, existing, elsewhere, rename)| {
                Op::Begin(names, existing, elsewhere, rename)
            }),
        20 => (any::<usize>(), any::<u8>()).prop_map(|(which, how)| Op::Answer(which, how)),
        4 => (0..20u64, any::<u8>()).prop_map(|(which, how)| Op::Wild(which, how)),
        1 => (0..9u64).prop_map(Op::Abandon),
        3 => (0..40_000u64).prop_map(Op::Wait),
        1 => Just(Op::Stop),
    ];
    vec(op, 1..120)
}

const NAMES: [&str; 6] = ["a", "d/b", "thorp-state", "*", "[c", "/"];

fn holder(n: u8) -> Holder {
    Holder::bare(PeerId::new([n; 32]))
}

/// A file called so, as chance will have it.
fn variant(name: &str, how: u8) -> Option<Variant> {
    let length = LENGTHS[usize::from(how % 4)];
    let root = match length {
        0 => Some(Root::EMPTY),
        _ => (how & 64 == 0).then(|| Root::new([how % 4; 32])),
    };
    Some(Variant {
        entry: Entry {
            name: name.parse().ok()?,
            length,
            mtime: 0,
            root,
            partial: false,
            nanos: 0,
            executable: false,
            v1: None,
        },
        holders: vec![holder(how % 5)],
        hashed: (how & 128 == 0).then(|| u64::from(how)),
    })
}

fn not_stored(how: u8) -> NotStored {
    match how % 4 {
        0 => NotStored::Exists,
        1 => NotStored::InTheWay(DiskError(0)),
        2 => NotStored::Full(DiskError(0)),
        _ => NotStored::Other(DiskError(0)),
    }
}

fn looked(how: u8) -> Looked {
    match how % 4 {
        0 => Looked::Free,
        1 => Looked::SameName,
        2 => Looked::Equal,
        _ => Looked::Blocked(not_stored(how)),
    }
}

fn outcome(names: Vec<String>, how: u8) -> Outcome {
    let answer = |name: String| {
        let variants = [variant(&name, how), variant(&name, how / 7)];
        let variants = variants.into_iter().flatten().take(usize::from(how % 3));
        let variants: Vec<Variant> = variants.collect();
        let answer = match how % 5 {
            _ if variants.is_empty() && how > 127 => Answer::Folder,
            _ if variants.is_empty() => Answer::Nobody,
            0 if how > 127 => Answer::OtherCase(variants),
            0 => Answer::Alike(variants),
            1 => Answer::Found(Source::Neighbour(holder(1).id), variants),
            _ => Answer::Found(Source::Tracker, variants),
        };
        (name, answer)
    };
    Outcome {
        names: names.into_iter().map(answer).collect(),
        tracker: [TrackerUse::Asked, TrackerUse::Unreachable][usize::from(how % 2)],
        spared: 0,
    }
}

fn event(how: u8) -> LargeEvent {
    match how % 9 {
        0 => LargeEvent::Begun { there: how.into() },
        1 => LargeEvent::Unfit(Unfit::TooLong),
        2 => LargeEvent::NotStored(not_stored(how)),
        3 => LargeEvent::WantsHolders,
        4 => LargeEvent::Lied(holder(how % 5).id.into()),
        5 => LargeEvent::Stuck(Stuck {
            reason: String::new(),
            there: u64::from(how % 2),
            contact: [Contact::None, Contact::Reached, Contact::Session][usize::from(how % 3)],
            sources: vec![holder(how % 4).id.into()],
            changed: (how > 200).then(|| holder(how % 4).id.into()),
        }),
        6 => LargeEvent::Complete {
            sources: vec![holder(how % 5).id.into()],
        },
        7 => LargeEvent::Kept {
            received: how.into(),
        },
        _ => LargeEvent::Released,
    }
}

impl World {
    fn new() -> Self {
        Self {
            gets: Gets::default(),
            now: Instant::default(),
            requests: 0,
            owed: Vec::new(),
            ended: BTreeMap::new(),
            over: BTreeMap::new(),
            abandoned: BTreeSet::new(),
        }
    }

    fn give(&mut self, input: Input) {
        self.gets.handle(self.now, input);
        while let Some(action) = self.gets.poll_output() {
            self.take(action);
        }
        assert!(self.gets.next_deadline().is_none_or(|at| at > self.now));
    }

    fn take(&mut self, action: Action) {
        match action {
            Action::LookUp(inquiry, names, _) | Action::LookUpAgain(inquiry, names, _) => {
                self.owed.push(Owed::LookUp(inquiry, names));
            }
            Action::Survey(inquiry, ..) | Action::GoOn(inquiry) => {
                self.owed.push(Owed::Survey(inquiry));
            }
            Action::Fetch(fetch, wanted) => self.owed.push(Owed::Small(fetch, wanted)),
            Action::NoRoomFor(fetches) => {
                for fetch in fetches {
                    let is_it = |owed: &Owed| matches!(owed, Owed::Small(its, _) if *its == fetch);
                    if let Some(at) = self.owed.iter().position(is_it) {
                        self.owed.remove(at);
                        self.give(Input::NoRoomFor(fetch));
                    }
                }
            }
            Action::Seek(fetch, wanted) => {
                self.owed.push(Owed::Gathered(fetch));
                self.give(Input::Named(fetch, wanted.holders));
            }
            Action::Enough(inquiry) => self
                .owed
                .retain(|owed| !matches!(owed, Owed::Survey(its) if *its == inquiry)),
            Action::Forget(id, _) => {
                assert!(self.abandoned.contains(&id), "nobody has abandoned it");
            }
            Action::Widen(_) | Action::DoNotSeek(_) | Action::Gathered(..) | Action::Lied(_) => {}
            Action::Tell(id, output) => {
                assert!(!self.ended.contains_key(&id), "it has ended: {output:?}");
                assert!(!self.abandoned.contains(&id), "nobody waits: {output:?}");
                match output {
                    Output::Do(Chore::Look(looks)) => self.owed.push(Owed::Look(id, looks.len())),
                    Output::Make(fetch, _) | Output::Copy(fetch, _) => {
                        self.owed.push(Owed::Make(fetch));
                    }
                    Output::Begin(fetch, _) => {
                        self.owed.push(Owed::Begun(fetch));
                        self.owed.push(Owed::Released(fetch));
                    }
                    Output::Do(Chore::Finish(fetch)) => self.owed.push(Owed::Kept(fetch)),
                    Output::Tell(News::Fetched { over, .. } | News::Lost { over, .. }) => {
                        let before = self.over.insert(id, over);
                        assert!(before.is_none_or(|before| before < over), "{over} files");
                    }
                    Output::Ended(_) => {
                        *self.ended.entry(id).or_default() += 1;
                    }
                    _ => {}
                }
            }
        }
    }

    fn answer(&mut self, owed: Owed, how: u8) {
        let known = BTreeMap::from([(holder(1).id, holder(1))]);
        match owed {
            Owed::LookUp(inquiry, names) => {
                let outcome = outcome(names, how);
                let own = names_of_own(&outcome, how);
                self.give(Input::LookedUp {
                    inquiry,
                    outcome,
                    known,
                    own,
                });
            }
            Owed::Survey(inquiry) => {
                let names = NAMES.iter().take(usize::from(how % 7));
                let files: Vec<_> = names.filter_map(|name| variant(name, how)).collect();
                let coverage = match how % 5 {
                    0 => Coverage::Whole,
                    1 => Coverage::TrackerInPart,
                    2 => Coverage::TrackerBusy,
                    3 => Coverage::NeighboursOnly,
                    _ => Coverage::NoAnswer,
                };
                let is_over = files.is_empty() || how.is_multiple_of(3);
                if !files.is_empty() {
                    self.give(Input::Surveyed(inquiry, files, coverage));
                }
                if is_over {
                    self.give(Input::SurveyOver(inquiry, coverage));
                }
            }
            Owed::Look(get, number) => {
                let looked = (0..number).map(|n| looked(how.wrapping_add(n.to_le_bytes()[0])));
                self.give(Input::Looked(get, looked.collect()));
            }
            Owed::Make(fetch) => {
                let storage = match how % 4 {
                    0 => Storage::Failed(not_stored(how)),
                    1 => Storage::Mismatch,
                    2 => Storage::NotNow,
                    _ => Storage::Kept,
                };
                self.give(Input::Stored(fetch, None, storage));
            }
            Owed::Small(fetch, wanted) => match how % 4 {
                0 => self.give(Input::Failed(fetch, NotSent::Silent(holder(how % 3).id))),
                1 => {
                    let from = wanted.holders.first().cloned();
                    self.give(Input::Stored(fetch, from, Storage::Failed(not_stored(how))));
                }
                2 => {
                    let from = wanted.holders.first().cloned();
                    self.give(Input::Stored(fetch, from, Storage::Kept));
                }
                _ => {
                    let from = wanted.holders.first().cloned();
                    self.give(Input::Stored(fetch, from, Storage::Mismatch));
                    self.owed.push(Owed::Small(fetch, wanted));
                }
            },
            Owed::Begun(fetch) => {
                let event = match how % 4 {
                    0 => LargeEvent::Unfit(Unfit::TooLong),
                    1 => LargeEvent::NotStored(not_stored(how)),
                    _ => LargeEvent::Begun { there: how.into() },
                };
                self.give(Input::Large(fetch, event));
            }
            Owed::Gathered(fetch) => {
                let event = event(3 + how % 4);
                let goes_on = matches!(event, LargeEvent::WantsHolders | LargeEvent::Lied(_));
                self.give(Input::Large(fetch, event));
                if goes_on {
                    self.owed.push(Owed::Gathered(fetch));
                }
            }
            Owed::Kept(fetch) => {
                let event = match how % 2 {
                    0 => LargeEvent::NotStored(not_stored(how)),
                    _ => LargeEvent::Kept { received: 1 },
                };
                self.give(Input::Large(fetch, event));
            }
            Owed::Released(fetch) => self.give(Input::Large(fetch, LargeEvent::Released)),
        }
    }

    /// Something that was not asked for, or not now.
    fn wild(&mut self, which: u64, how: u8) {
        let (get, fetch) = (GetId(which), FetchId(which));
        let storage = Storage::Failed(not_stored(how));
        let inquiry = Inquiry {
            get,
            number: how.into(),
        };
        self.give(match how % 7 {
            0 => Input::Looked(get, vec![looked(how)]),
            1 => Input::LookedUp {
                inquiry,
                outcome: outcome(vec!["a".to_owned()], how),
                known: BTreeMap::new(),
                own: BTreeMap::new(),
            },
            2 => Input::Stored(fetch, None, storage),
            3 => Input::Named(fetch, vec![holder(how)]),
            4 => Input::SurveyOver(inquiry, Coverage::Whole),
            5 => Input::Surveyed(inquiry, Vec::new(), Coverage::Whole),
            _ => Input::Tick,
        });
    }

    fn op(&mut self, op: Op) {
        match op {
            Op::Begin(names, existing, elsewhere, rename) => {
                let get = GetId(self.requests);
                self.requests += 1;
                let request = Request {
                    names: names.iter().map(|n| NAMES[*n].to_owned()).collect(),
                    only: Only::default(),
                    rename: rename.then(|| "new".to_owned()),
                    existing: [Existing::Keep, Existing::Replace, Existing::SetAside]
                        [usize::from(existing)],
                    elsewhere,
                    patience: Patience::default(),
                    hidden: existing == 1,
                    folders: if elsewhere { Folders::All } else { Folders::No },
                    executable: true,
                    exact: false,
                    is_read: false,
                };
                self.give(Input::Begin(get, request));
            }
            Op::Answer(which, how) => {
                if !self.owed.is_empty() {
                    let owed = self.owed.swap_remove(which % self.owed.len());
                    self.answer(owed, how);
                }
            }
            Op::Wild(which, how) => self.wild(which, how),
            Op::Abandon(get) => {
                let get = GetId(get);
                if get.0 < self.requests && !self.ended.contains_key(&get) {
                    self.abandoned.insert(get);
                }
                self.give(Input::Abandon(get));
            }
            Op::Wait(millis) => {
                self.now = self.now + Duration::from_millis(millis);
                self.give(Input::Tick);
            }
            Op::Stop => self.give(Input::Stop(Missed::Stopping)),
        }
    }
}

proptest! {
    #![proptest_config(crate::testing::cases(400))]

    #[test]
    fn each_get_ends_once_and_leaves_nothing_behind(ops in ops()) {
        let mut world = World::new();
        for op in ops {
            world.op(op);
        }
        // Now all that is owed comes, and it is hashed.
        for how in 0..20_000u32 {
            let how = (how % 64).to_le_bytes()[0];
            if let Some(owed) = world.owed.pop() {
                world.answer(owed, how);
            } else if let Some(at) = world.gets.next_deadline() {
                world.now = at;
                world.give(Input::Tick);
            } else {
                break;
            }
        }
        prop_assert!(world.gets.is_idle(), "{:?}", world.gets);
        for get in (0..world.requests).map(GetId) {
            let ended = world.ended.get(&get).copied().unwrap_or(0);
            prop_assert_eq!(ended, u32::from(!world.abandoned.contains(&get)), "{:?}", get);
        }
    }
}

#[test]
fn of_many_files_no_more_than_some_are_known_at_a_time() {
    let (pages, each) = (200, 1000);
    let mut gets = Gets::default();
    let request = Request {
        names: vec!["*".to_owned(), "*1".to_owned()],
        only: Only::default(),
        rename: None,
        existing: Existing::Keep,
        elsewhere: false,
        patience: Patience::default(),
        hidden: false,
        folders: Folders::No,
        executable: true,
        exact: false,
        is_read: false,
    };
    let now = Instant::default();
    gets.handle(now, Input::Begin(GetId(0), request));
    let (mut parts, mut fetched, mut end) = (0, 0, None);
    let mut coming = VecDeque::new();
    let mut patterns = 0;
    while end.is_none() {
        let Some(action) = gets.poll_output() else {
            let fetch = coming.pop_front().expect("something comes");
            gets.handle(now, Input::Stored(fetch, Some(holder(1)), Storage::Kept));
            continue;
        };
        match action {
            Action::Survey(inquiry, ..) | Action::GoOn(inquiry) => {
                let files = (0..each).filter_map(|n| {
                    let file = variant(&format!("{:06}", parts * each + n), 1);
                    file.filter(|file| patterns == 0 || file.entry.name.as_str().ends_with('1'))
                });
                let files = files.collect();
                gets.handle(now, Input::Surveyed(inquiry, files, Coverage::Whole));
                parts += 1;
                if parts == pages {
                    gets.handle(now, Input::SurveyOver(inquiry, Coverage::Whole));
                    parts = 0;
                    patterns += 1;
                }
            }
            Action::Tell(id, Output::Do(Chore::Look(looks))) => {
                let looked = vec![Looked::Free; looks.len()];
                gets.handle(now, Input::Looked(id, looked));
            }
            Action::Fetch(fetch, _) => coming.push_back(fetch),
            Action::Tell(_, Output::Tell(News::Fetched { .. })) => fetched += 1,
            Action::Tell(_, Output::Ended(ending)) => end = Some(ending),
            _ => {}
        }
        let get = gets.requests.values().next();
        let planned = get.map_or(0, |get| get.planned.len() + get.targets.len());
        assert!(gets.fetches.len() + planned <= 2 * AT_ONCE);
    }
    let files = u64::try_from(pages * each).expect("small");
    assert_eq!((patterns, fetched), (2, files), "each once");
    let bytes = 5 * files;
    assert_eq!(
        end,
        Some(Ending::Done {
            files,
            bytes,
            left_out: 0
        })
    );
    assert!(gets.is_idle());
}

/// The large file with this number, which is its content too.
fn large(n: u8) -> (Item, WantedFile) {
    let content = Content {
        length: MAX_INLINE + 1,
        root: Root::new([n; 32]),
    };
    let name: Name = format!("f{n}").parse().expect("a name");
    let item = Item {
        listed: name.clone(),
        target: name,
        attributes: Attributes::default(),
        content,
        v1: None,
    };
    let wanted = WantedFile {
        content,
        holders: Vec::new(),
        widen: true,
    };
    (item, wanted)
}

/// Which large files begin now.
fn begun(files: &mut LargeFiles) -> Vec<u64> {
    let mut out = VecDeque::new();
    files.begin_next(&mut out);
    let begun = out.into_iter().map(|action| match action {
        Action::Tell(_, Output::Begin(fetch, _)) => fetch.0,
        action => panic!("{action:?}"),
    });
    begun.collect()
}

#[test]
fn files_of_one_content_wait_for_one_another_and_no_more_than_eight_run() {
    let mut files = LargeFiles::default();
    let want = |files: &mut LargeFiles, fetch: u64, n: u8| {
        let (item, wanted) = large(n);
        let get = (GetId(0), false);
        files.want(FetchId(fetch), get, item, wanted, &mut VecDeque::new());
    };
    let released = |files: &mut LargeFiles, fetch: u64| {
        let end = files.on_event(FetchId(fetch), LargeEvent::Released, &mut VecDeque::new());
        assert!(end.is_none());
    };
    // Twelve contents, the first of them three times.
    for fetch in 0..3 {
        want(&mut files, fetch, 0);
    }
    for n in 3..14 {
        want(&mut files, n.into(), n);
    }
    assert_eq!(begun(&mut files), [0, 3, 4, 5, 6, 7, 8, 9]);
    // Its turn is free at once, its content once nothing is written to it.
    files.drop(FetchId(0));
    assert_eq!(begun(&mut files), [10]);
    files.drop(FetchId(1));
    released(&mut files, 0);
    files.drop(FetchId(3));
    assert_eq!(begun(&mut files), [11]);
    for fetch in 4..12 {
        files.drop(FetchId(fetch));
    }
    assert_eq!(begun(&mut files), [12, 13, 2]);
    for fetch in [2, 12, 13] {
        files.drop(FetchId(fetch));
    }
    for fetch in 0..14 {
        released(&mut files, fetch);
    }
    assert!(files.is_idle());
}

/// What this peer shares itself of what no other member has.
fn names_of_own(outcome: &Outcome, how: u8) -> BTreeMap<String, Entry> {
    let missed = outcome
        .names
        .iter()
        .filter(|(_, answer)| !matches!(answer, Answer::Found(..)));
    let own = missed.filter_map(|(name, _)| Some((name.clone(), variant(name, how)?.entry)));
    own.filter(|_| how.is_multiple_of(2)).collect()
}

#[test]
fn a_name_whose_patience_ends_while_it_is_looked_up_is_missed_at_the_end_of_that() {
    let at = |seconds| Instant::after_start(Duration::from_secs(seconds));
    let mut gets = Gets::default();
    let request = Request {
        names: vec!["a".to_owned()],
        only: Only::default(),
        rename: None,
        existing: Existing::Replace,
        elsewhere: false,
        patience: Patience::For(Some(Duration::from_secs(20))),
        hidden: false,
        folders: Folders::No,
        executable: true,
        exact: false,
        is_read: false,
    };
    gets.handle(at(0), Input::Begin(GetId(1), request));
    for (again, answered, goes_on) in [(0, 1, true), (6, 30, false)] {
        gets.handle(at(again), Input::Tick);
        let mut actions = std::iter::from_fn(|| gets.poll_output());
        let inquiry = actions.find_map(|action| match action {
            Action::LookUp(inquiry, ..) | Action::LookUpAgain(inquiry, ..) => Some(inquiry),
            _ => None,
        });
        let looked_up = Input::LookedUp {
            inquiry: inquiry.expect("it is looked up"),
            outcome: Outcome {
                names: vec![("a".to_owned(), Answer::Nobody)],
                tracker: TrackerUse::Asked,
                spared: 0,
            },
            known: BTreeMap::new(),
            own: BTreeMap::new(),
        };
        gets.handle(at(answered), looked_up);
        assert_eq!(gets.next_deadline(), goes_on.then(|| at(6)));
    }
    let told: Vec<Action> = std::iter::from_fn(|| gets.poll_output()).collect();
    let is_missed = |action: &Action| {
        matches!(action, Action::Tell(_, Output::Ended(Ending::Missed { why, .. }))
            if matches!(why, Missed::NobodyShares(_)))
    };
    assert!(told.iter().any(is_missed), "{told:?}");
}
