//! Large files: when each begins, who has it, and what became of it.
//!
//! Owns whose turn it is, who was named as a holder and who lied, and what it
//! means when nothing comes any more. Which piece to ask of which session, and
//! which holder to dial, is the business of the file's [`swarm`](crate::swarm), which has
//! a lock of its own: only what is not a session's business is told here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use thorp_wire::frame::Holder;
use thorp_wire::{Content, PeerId};

use super::Action;
use super::io::{Chore, FetchId, GetId, Item, Missed, News, NotStored, Output};
use super::small::WantedFile;
use crate::swarm::{Contact, SourceId, Stuck, Unfit};

/// Files that are fetched at once, at most; others wait for their turn.
pub(super) const AT_ONCE: usize = 8;

/// What becomes of a large file that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LargeEvent {
    /// There is a place for it, with so many bytes of it from an earlier fetch.
    Begun {
        /// Bytes that need not come again.
        there: u64,
    },
    /// It cannot be fetched from any peer.
    Unfit(Unfit),
    /// The disk does not take it.
    NotStored(NotStored),
    /// Those named as holders are not enough.
    WantsHolders,
    /// This source sent what is not of the file.
    Lied(SourceId),
    /// No source is left for the rest.
    Stuck(Stuck),
    /// All of it is verified.
    Complete {
        /// Who sent some of it, who sent most first.
        sources: Vec<SourceId>,
    },
    /// It has its name.
    Kept {
        /// Bytes that came over the network for it.
        received: u64,
    },
    /// Nothing is written to it any more: the same content may be fetched again.
    /// The last word on every file that was begun, whatever became of it.
    Released,
}

/// All large files that are wanted.
#[derive(Debug, Default)]
pub(super) struct LargeFiles {
    turns: Turns,
    fetches: BTreeMap<FetchId, LargeFetch>,
}

#[derive(Debug)]
struct LargeFetch {
    get: GetId,
    item: Item,
    wanted: WantedFile,
    stage: Stage,
    /// All who were named as holders.
    known: BTreeMap<PeerId, Holder>,
    liars: Vec<SourceId>,
    sources: Vec<Holder>,
    clients: Vec<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Beginning,
    Gathering,
    Finishing,
}

/// A large file that has arrived.
#[derive(Debug)]
pub(super) struct Arrived {
    pub sources: Vec<Holder>,
    pub clients: Vec<SocketAddr>,
    pub received: u64,
}

impl LargeFiles {
    /// A file is wanted. It begins when it is its [turn](Self::begin_next).
    /// At once, where a reader waits for it and no other fetch has its content.
    pub fn want(
        &mut self,
        fetch: FetchId,
        (get, is_read): (GetId, bool),
        item: Item,
        wanted: WantedFile,
        out: &mut VecDeque<Action>,
    ) {
        if !is_read
            && let Some(reader) = self.turns.read_now(wanted.content)
            && let Some(file) = self.fetches.get(&reader)
        {
            file.tell(out, News::IsWanted(reader));
        }
        self.turns.want(fetch, wanted.content, is_read);
        let file = LargeFetch {
            get,
            item,
            wanted,
            stage: Stage::Waiting,
            known: BTreeMap::new(),
            liars: Vec::new(),
            sources: Vec::new(),
            clients: Vec::new(),
        };
        self.fetches.insert(fetch, file);
    }

    /// A file is wanted no more.
    pub fn drop(&mut self, fetch: FetchId) {
        if self.fetches.remove(&fetch).is_some() {
            self.turns.over(fetch);
        }
    }

    /// Begins those whose turn it is, once all that an input drops is dropped.
    pub fn begin_next(&mut self, out: &mut VecDeque<Action>) {
        while let Some(fetch) = self.turns.next() {
            if let Some(file) = self.fetches.get_mut(&fetch) {
                file.stage = Stage::Beginning;
                file.tell(out, Output::Begin(fetch, file.item.clone()));
            }
        }
    }

    /// These have a file that is sought.
    pub fn on_named(&mut self, fetch: FetchId, holders: Vec<Holder>, out: &mut VecDeque<Action>) {
        if let Some(file) = self.fetches.get_mut(&fetch) {
            file.know(&holders);
            file.tell(out, Chore::Holders(fetch, holders));
        }
    }

    /// Something has become of a file. Returns how its fetch has ended, if that
    /// was the end.
    pub fn on_event(
        &mut self,
        fetch: FetchId,
        event: LargeEvent,
        out: &mut VecDeque<Action>,
    ) -> Option<Result<Arrived, Missed>> {
        if event == LargeEvent::Released {
            self.turns.released(fetch);
            return None;
        }
        let file = self.fetches.get_mut(&fetch)?;
        let end = match (file.stage, event) {
            (Stage::Waiting, _) => return None,
            (_, LargeEvent::Unfit(why)) => Err(Missed::Unfit(why)),
            (_, LargeEvent::NotStored(why)) => Err(Missed::NotStored(why)),
            (Stage::Gathering, LargeEvent::Stuck(stuck)) => {
                file.tell(out, Chore::GiveUp(fetch));
                Err(file.stuck(stuck))
            }
            (Stage::Finishing, LargeEvent::Kept { received }) => Ok(Arrived {
                sources: std::mem::take(&mut file.sources),
                clients: std::mem::take(&mut file.clients),
                received,
            }),
            (_, event) => {
                file.go_on(fetch, event, out);
                return None;
            }
        };
        out.push_back(Action::DoNotSeek(fetch));
        self.drop(fetch);
        Some(end)
    }

    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.fetches.is_empty() && self.turns.is_idle()
    }
}

impl LargeFetch {
    /// What does not end it; what comes too late, or too early, is no news.
    fn go_on(&mut self, fetch: FetchId, event: LargeEvent, out: &mut VecDeque<Action>) {
        match (self.stage, event) {
            (Stage::Beginning, LargeEvent::Begun { there }) => {
                self.stage = Stage::Gathering;
                if there > 0 {
                    let (item, bytes) = (self.item.clone(), there);
                    self.tell(out, News::Resumed { item, bytes });
                }
                out.push_back(Action::Seek(fetch, self.wanted.clone()));
            }
            (Stage::Gathering, LargeEvent::WantsHolders) => out.push_back(Action::Widen(fetch)),
            (Stage::Gathering, LargeEvent::Lied(liar)) => {
                self.liars.push(liar);
                out.extend(self.holder(liar).map(Action::Lied));
            }
            (Stage::Gathering, LargeEvent::Complete { sources }) => {
                self.stage = Stage::Finishing;
                (self.sources, self.clients) = self.honest(&sources);
                out.push_back(Action::Gathered(fetch, self.sources.clone()));
                self.tell(out, Chore::Finish(fetch));
            }
            _ => {}
        }
    }

    fn tell(&self, out: &mut VecDeque<Action>, output: impl Into<Output>) {
        out.push_back(Action::Tell(self.get, output.into()));
    }

    fn know(&mut self, holders: &[Holder]) {
        for holder in holders {
            self.known.insert(holder.id, holder.clone());
        }
    }

    /// What it means that nothing comes any more.
    fn stuck(&self, stuck: Stuck) -> Missed {
        let Stuck {
            reason,
            there,
            contact,
            sources,
            changed,
        } = stuck;
        if let Some(at) = changed.and_then(|at| self.holder(at)) {
            return Missed::Changed(at);
        }
        let only_liars = sources.iter().all(|id| self.liars.contains(id));
        let liar = self.liars.iter().find_map(|id| self.holder(*id));
        match (liar, contact) {
            (Some(liar), _) if only_liars => Missed::Mismatch(liar),
            _ if there > 0 => self.unfinished(reason, there),
            (Some(liar), _) => Missed::Mismatch(liar),
            (None, Contact::Session) => self.unfinished(reason, there),
            (None, Contact::None) if !self.known.is_empty() => Missed::Unreachable(reason),
            (None, Contact::None | Contact::Reached) => Missed::not_here(),
        }
    }

    fn unfinished(&self, reason: String, there: u64) -> Missed {
        Missed::Unfinished {
            reason,
            there,
            of: self.wanted.content.length,
        }
    }

    /// The members and the clients among these sources, without liars.
    fn honest(&self, sources: &[SourceId]) -> (Vec<Holder>, Vec<SocketAddr>) {
        let honest = || sources.iter().filter(|id| !self.liars.contains(id));
        let members = honest().filter_map(|id| self.holder(*id));
        let clients = honest().filter_map(|id| id.client());
        (members.collect(), clients.collect())
    }

    /// A source that has connected by itself may never have been named. `None` for a client.
    fn holder(&self, id: SourceId) -> Option<Holder> {
        let id = id.member()?;
        Some(
            self.known
                .get(&id)
                .cloned()
                .unwrap_or_else(|| Holder::bare(id)),
        )
    }
}

/// Whose turn it is. One fetch of a content at a time, for what one has left is
/// the beginning of the next; and no more than [`AT_ONCE`] in all.
///
/// A fetch first waits for its content, then for its turn. Its turn is free when
/// it is over, its content when nothing is written to it any more.
#[derive(Debug, Default)]
struct Turns {
    all: BTreeMap<FetchId, (Content, Turn)>,
    /// Those of readers, which do not wait and do not count.
    read: BTreeSet<FetchId>,
    /// Contents that are being fetched, or about to be, and who waits for each.
    /// (Queues may hold fetches that were dropped; they are passed over.)
    taken: BTreeMap<Content, VecDeque<FetchId>>,
    /// Who has its content to itself and waits for its turn.
    ready: VecDeque<FetchId>,
    running: BTreeSet<FetchId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Another fetch has its content.
    Behind,
    Ready,
    Running,
    /// It runs, and will not write any more.
    Released,
    /// It does not run, and may still write.
    Over,
}

impl Turns {
    fn want(&mut self, fetch: FetchId, content: Content, is_read: bool) {
        if is_read {
            self.read.insert(fetch);
        }
        let turn = if let Some(behind) = self.taken.get_mut(&content) {
            behind.push_back(fetch);
            Turn::Behind
        } else {
            self.taken.insert(content, VecDeque::new());
            self.on_turn(fetch);
            Turn::Ready
        };
        self.all.insert(fetch, (content, turn));
    }

    /// A fetch for readers that has this content to itself.
    fn read_now(&self, content: Content) -> Option<FetchId> {
        let mut read = self.read.iter().copied();
        read.find(|fetch| {
            let row = self.all.get(fetch);
            row.is_some_and(|(of, turn)| *of == content && *turn != Turn::Behind)
        })
    }

    /// The next that may begin.
    fn next(&mut self) -> Option<FetchId> {
        loop {
            let next = self.ready.front()?;
            if self.running.len() >= AT_ONCE && !self.read.contains(next) {
                return None;
            }
            let fetch = self.ready.pop_front()?;
            if let Some((_, turn)) = self.all.get_mut(&fetch) {
                *turn = Turn::Running;
                if !self.read.contains(&fetch) {
                    self.running.insert(fetch);
                }
                return Some(fetch);
            }
        }
    }

    /// It has its content to itself.
    fn on_turn(&mut self, fetch: FetchId) {
        if self.read.contains(&fetch) {
            self.ready.push_front(fetch);
        } else {
            self.ready.push_back(fetch);
        }
    }

    /// This one does not go on.
    fn over(&mut self, fetch: FetchId) {
        self.read.remove(&fetch);
        let Some((content, turn)) = self.all.get_mut(&fetch) else {
            return;
        };
        let content = *content;
        match *turn {
            Turn::Behind => {
                self.all.remove(&fetch);
            }
            Turn::Ready => {
                self.all.remove(&fetch);
                self.free(content);
            }
            Turn::Running => {
                *turn = Turn::Over;
                self.running.remove(&fetch);
            }
            Turn::Released => {
                self.all.remove(&fetch);
                self.running.remove(&fetch);
            }
            Turn::Over => {}
        }
    }

    /// This one writes nothing any more.
    fn released(&mut self, fetch: FetchId) {
        let Some((content, turn)) = self.all.get_mut(&fetch) else {
            return;
        };
        let content = *content;
        match *turn {
            Turn::Running => *turn = Turn::Released,
            Turn::Over => {
                self.all.remove(&fetch);
            }
            // It has not begun, or it was said before.
            Turn::Behind | Turn::Ready | Turn::Released => return,
        }
        self.free(content);
    }

    /// The next one that waits for this content may have it.
    fn free(&mut self, content: Content) {
        let Some(behind) = self.taken.get_mut(&content) else {
            return;
        };
        while let Some(next) = behind.pop_front() {
            if let Some((_, turn)) = self.all.get_mut(&next) {
                *turn = Turn::Ready;
                self.on_turn(next);
                return;
            }
        }
        self.taken.remove(&content);
    }

    #[cfg(test)]
    fn is_idle(&self) -> bool {
        self.all.is_empty()
            && self.taken.is_empty()
            && self.running.is_empty()
            && self.read.is_empty()
    }
}
