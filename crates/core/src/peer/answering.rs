//! Answers questions of other members from memory, at once unless a file must be hashed first.
//!
//! The content of an answer is decided in [`answer`](crate::answer), what a member may ask for in
//! [`links`](crate::links).

use std::collections::BTreeMap;
use std::time::Duration;

use thorp_wire::frame::{Find, Found, Query, RequestId};
use thorp_wire::{Name, PeerId};

use super::{Output, Peer};
use crate::links::LinkId;
use crate::time::Instant;

/// How long a question for a file's root may wait for the hash. Then the answer says how much was
/// read, and the member may ask again.
const HASHING_WITHIN: Duration = Duration::from_secs(3);
/// The most questions of one member that may wait for a hash.
const HASHING_EACH: usize = 64;

/// A question of another member that waits for files to be hashed.
#[derive(Debug)]
pub(super) struct Hashing {
    pub(super) link: LinkId,
    until: Instant,
    request: RequestId,
    find: Find,
}

impl Peer {
    pub(super) fn on_asked(&mut self, now: Instant, id: LinkId, request: RequestId, find: Find) {
        let unhashed = self.own_unhashed(&find);
        let on_this_link = |hashing: &&Hashing| hashing.link == id;
        let waiting = self.hashing.iter().filter(on_this_link).count();
        if unhashed.is_empty() || waiting >= HASHING_EACH {
            self.answer(now, id, request, &find);
            return;
        }
        self.out.extend(unhashed.into_iter().map(Output::HashNow));
        self.hashing.push(Hashing {
            link: id,
            until: now + HASHING_WITHIN,
            request,
            find,
        });
    }

    /// Answers the questions that have waited too long, and those whose files are hashed now
    /// (which can only be so after the share has changed).
    pub(super) fn answer_hashed(&mut self, now: Instant, share_changed: bool) {
        let is_late = self
            .next_hashing_deadline()
            .is_some_and(|until| until <= now);
        if self.hashing.is_empty() || !(is_late || share_changed) {
            return;
        }
        for hashing in std::mem::take(&mut self.hashing) {
            let late = hashing.until <= now;
            if late || (share_changed && self.own_unhashed(&hashing.find).is_empty()) {
                self.answer(now, hashing.link, hashing.request, &hashing.find);
            } else {
                self.hashing.push(hashing);
            }
        }
    }

    /// Returns when the oldest waiting question has waited too long. All wait for the same time,
    /// so it is the first one.
    pub(super) fn next_hashing_deadline(&self) -> Option<Instant> {
        Some(self.hashing.first()?.until)
    }

    fn answer(&mut self, now: Instant, id: LinkId, request: RequestId, find: &Find) {
        let (me, hashed) = (self.config.me.id, &self.hashed);
        let finish = |found: &mut Found| tell_how_far(found, me, hashed);
        self.links.answer(now, id, request, find, finish);
        self.pass_on();
    }

    /// Records how much was read of a file that is to be hashed at once; `None` when the hashing
    /// has ended.
    pub(super) fn hashed_so_far(&mut self, name: Name, bytes: Option<u64>) {
        match bytes {
            Some(bytes) => self.hashed.insert(name, bytes),
            None => self.hashed.remove(&name),
        };
    }

    fn own_unhashed(&self, find: &Find) -> Vec<Name> {
        let (true, Query::Names(names)) = (find.hash_now, &find.query) else {
            return Vec::new();
        };
        let unhashed = names.iter().filter_map(|name| {
            let name: Name = name.parse().ok()?;
            self.own_entry(&name).filter(|entry| entry.root.is_none())?;
            Some(name)
        });
        unhashed.collect()
    }
}

/// Adds to files that are being hashed here how much was read.
fn tell_how_far(found: &mut Found, me: PeerId, hashed: &BTreeMap<Name, u64>) {
    for variant in &mut found.variants {
        let is_ours = variant.holders.iter().any(|holder| holder.id == me);
        if variant.entry.root.is_none() && is_ours {
            variant.hashed = hashed.get(&variant.entry.name).copied();
        }
    }
}
