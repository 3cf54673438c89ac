//! An update on its way into the listing it changes.
//!
//! A million entries take seconds to go in, and a node has other things to do
//! meanwhile. So an update goes in part by part. Until its end the listing has no
//! position, so that no other update can follow it; answers show what has come.

use std::cmp::Ordering;
use std::vec::IntoIter;

use thorp_wire::frame::{Position, Update};
use thorp_wire::{Entry, InfoHash, Name, PeerId};

use super::keys::{cost_of_entry, cost_of_torrents};
use super::{Catalogue, Listing, ListingSize};

/// An update that has begun to change a listing.
#[derive(Debug)]
pub struct Applying {
    peer: PeerId,
    to: Position,
    /// How far the listing that this one replaces has been compared with it.
    replaced: Option<Replaced>,
    removed: IntoIter<Name>,
    added: IntoIter<Entry>,
    neighbours: Option<Vec<PeerId>>,
    met: Vec<PeerId>,
    parted: Vec<PeerId>,
    torrents: Option<Vec<InfoHash>>,
    is_done: bool,
}

/// How far an old listing has been compared with the new one, from their ends on: what is listed
/// again stays where it is.
#[derive(Debug)]
struct Replaced {
    /// The names before this one have not been compared.
    before: Option<Name>,
    /// So many of the new entries have not.
    left: usize,
}

/// A full listing with no more entries than this is put in order at once.
const FEW: usize = 2000;

impl Applying {
    /// Whether all of it is in the catalogue.
    pub fn is_done(&self) -> bool {
        self.is_done
    }
}

impl Catalogue {
    /// Begins to take a whole update of `peer`'s listing, whose entries are in order or not; not,
    /// if it changes a state that is not here.
    pub fn begin(
        &mut self,
        peer: PeerId,
        epoch: u64,
        mut update: Update,
        in_order: bool,
    ) -> Option<Applying> {
        let mut replaced = None;
        match update.since {
            None => {
                update.removed = Vec::new();
                update.neighbours.get_or_insert_default();
                update.torrents.get_or_insert_default();
                if self.listings.get(peer).is_some() {
                    if !in_order && update.added.len() <= FEW {
                        // The last word on a name counts.
                        update.added.sort_by(|one, next| one.name.cmp(&next.name));
                    }
                    if in_order || update.added.len() <= FEW {
                        let left = update.added.len();
                        replaced = Some(Replaced { before: None, left });
                    } else {
                        // No program sends it so, and to put it in order could take seconds.
                        self.forget(peer);
                    }
                }
            }
            Some(since) => {
                if self.position(peer) != Some(Position { epoch, seq: since }) {
                    return None;
                }
            }
        }
        if self.listings.get(peer).is_none() {
            self.listings.begin(peer);
        }
        let listing = self.listings.get_mut(peer)?;
        listing.position = None;
        Some(Applying {
            peer,
            to: Position {
                epoch,
                seq: update.seq,
            },
            replaced,
            removed: update.removed.into_iter(),
            added: update.added.into_iter(),
            neighbours: update.neighbours,
            met: update.met,
            parted: update.parted,
            torrents: update.torrents,
            is_done: false,
        })
    }

    /// Takes the next `most` entries and names of it. Returns how many of these were
    /// changes.
    pub fn go_on(&mut self, applying: &mut Applying, most: u64) -> u64 {
        let peer = applying.peer;
        if applying.is_done || self.listings.get(peer).is_none() {
            applying.is_done = true;
            return 0;
        }
        let before = self.moved;
        let most = match applying.replaced.take() {
            Some(replaced) => self.take_out_replaced(applying, replaced, most),
            None => most,
        };
        for _ in 0..most {
            if let Some(name) = applying.removed.next() {
                self.remove(peer, &name);
            } else if let Some(entry) = applying.added.next() {
                self.insert(peer, entry);
            } else {
                self.finish(applying);
                break;
            }
        }
        self.moved - before
    }

    /// How large a listing is going to be with this update in it.
    pub fn size_after(&self, peer: PeerId, update: &Update) -> ListingSize {
        let listing = self.listings.get(peer);
        // What each name is going to take; nothing if it is removed.
        let mut changed: Vec<(&Name, Option<u64>)> = Vec::new();
        changed.extend(update.removed.iter().map(|name| (name, None)));
        changed.extend(update.added.iter().map(|entry| {
            let cost = cost_of_entry(&entry.name, entry.v1.is_some());
            (&entry.name, Some(cost))
        }));
        // The last word on a name counts, as where it is applied.
        changed.sort_by_key(|(name, _)| *name);
        let mut size = match (update.since, listing) {
            (Some(_), Some(listing)) => listing.size(),
            _ => ListingSize::default(),
        };
        if let Some(torrents) = &update.torrents {
            let before = listing.filter(|_| update.since.is_some());
            let before = before.map_or(&[][..], Listing::torrents);
            size.bytes += cost_of_torrents(torrents);
            size.bytes -= cost_of_torrents(before);
        }
        let known = listing.filter(|_| update.since.is_some());
        for (at, (name, cost)) in changed.iter().enumerate() {
            if changed.get(at + 1).is_some_and(|(next, _)| next == name) {
                continue;
            }
            let known = known.filter(|known| known.find(name).is_some());
            let before = known.map(|known| known.cost_of(name));
            size.entries += usize::from(cost.is_some());
            size.entries -= usize::from(before.is_some());
            size.bytes += cost.unwrap_or(0);
            size.bytes -= before.unwrap_or(0);
        }
        size
    }

    fn finish(&mut self, applying: &mut Applying) {
        applying.is_done = true;
        if let Some(torrents) = applying.torrents.take() {
            self.replace_torrents(applying.peer, torrents);
        }
        if let Some(listing) = self.listings.get_mut(applying.peer) {
            listing.position = Some(applying.to);
            if let Some(neighbours) = applying.neighbours.take() {
                listing.neighbours = neighbours;
            }
            if !applying.parted.is_empty() || !applying.met.is_empty() {
                let neighbours = &mut listing.neighbours;
                neighbours.retain(|id| !applying.parted.contains(id));
                neighbours.append(&mut applying.met);
                neighbours.sort_unstable();
                neighbours.dedup();
                neighbours.truncate(Update::MAX_NEIGHBOURS);
            }
        }
    }

    fn replace_torrents(&mut self, peer: PeerId, mut torrents: Vec<InfoHash>) {
        torrents.sort_unstable();
        torrents.dedup();
        let Some(listing) = self.listings.get_mut(peer) else {
            return;
        };
        self.cost += cost_of_torrents(&torrents);
        let before = listing.replace_torrents(torrents.clone());
        self.cost -= cost_of_torrents(&before);
        let is_new = |torrent: &&InfoHash| before.binary_search(torrent).is_err();
        let is_gone = |torrent: &&InfoHash| torrents.binary_search(torrent).is_err();
        let come: Vec<_> = torrents.iter().filter(is_new).copied().collect();
        let gone: Vec<_> = before.iter().filter(is_gone).copied().collect();
        self.moved += (come.len() + gone.len()) as u64;
        self.on_torrents_changed(peer, come, gone);
    }

    /// Takes names that are not listed again out of the listing, in at most so many steps. Returns
    /// how many are left once all have been compared.
    fn take_out_replaced(&mut self, applying: &mut Applying, from: Replaced, most: u64) -> u64 {
        let peer = applying.peer;
        let Some(listing) = self.listings.get(peer) else {
            return most;
        };
        let Replaced { before, mut left } = from;
        let added = applying.added.as_slice();
        let mut names = listing.names_before(before.as_ref()).peekable();
        let mut compared = None;
        let mut gone = Vec::new();
        let mut steps = most;
        while let Some(name) = names.peek().copied().filter(|_| steps > 0) {
            steps -= 1;
            let last = left.checked_sub(1).map(|last| added[last].name.cmp(name));
            if last == Some(Ordering::Greater) {
                left -= 1;
                continue;
            }
            if last != Some(Ordering::Equal) {
                gone.push(name.clone());
            }
            compared = Some(name.clone());
            names.next();
        }
        let is_over = names.peek().is_none();
        drop(names);
        if !is_over {
            let before = compared.or(before);
            applying.replaced = Some(Replaced { before, left });
        }
        // From the last one on: as a rule it has the last row, and no other one gets its number.
        for name in gone {
            self.remove(peer, &name);
        }
        steps
    }
}
