//! What changes in the listings of some peers, for an index that is kept elsewhere: which files
//! with a root they list.

use thorp_wire::{Content, InfoHash, Name, PeerId};

use super::Catalogue;
use super::listings::At;

/// Entries of a content that are looked at for another name of the same torrent.
const MOST_ALIKE: usize = 256;

/// A change in the listing of a peer that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// The peer lists this content by names with this base name, or does not any more.
    Listing {
        /// The peer.
        peer: PeerId,
        /// One of the names.
        name: Name,
        /// The content.
        content: Content,
        /// Whether the peer has all of the file, if it lists it.
        has: Option<bool>,
        /// The info-hash of its v1 torrent, if the peer says one, and the same of that.
        v1: Option<(InfoHash, Option<bool>)>,
    },
    /// The peer names other torrents beside its entries.
    Torrents {
        /// The peer.
        peer: PeerId,
        /// Those that it did not name before.
        come: Vec<InfoHash>,
        /// Those that it does not name any more.
        gone: Vec<InfoHash>,
    },
    /// Nothing that the peer has listed is listed any more.
    Forgotten(PeerId),
}

impl Catalogue {
    /// Tells of all that a peer lists, and of its changes from now on. Nothing changes if it is
    /// watched already.
    pub(crate) fn watch(&mut self, peer: PeerId) {
        if !self.watched.insert(peer) {
            return;
        }
        if let Some((slot, listing)) = self.listings.of(peer) {
            let all = listing.numbers().map(|row| At { slot, row });
            let all: Vec<Watched> = all.filter_map(|at| self.listed_at(at)).collect();
            let torrents = listing.torrents().to_vec();
            self.changed.extend(all);
            self.on_torrents_changed(peer, torrents, Vec::new());
        }
    }

    /// Tells of this peer's changes no more.
    pub(crate) fn unwatch(&mut self, peer: PeerId) {
        self.watched.remove(&peer);
    }

    /// Returns what has changed, in order.
    pub(crate) fn take_watched(&mut self) -> Vec<Watched> {
        std::mem::take(&mut self.changed)
    }

    /// How many changes of contents were told so far: for each of them info-hashes are computed.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    /// A peer names other torrents.
    pub(super) fn on_torrents_changed(
        &mut self,
        peer: PeerId,
        come: Vec<InfoHash>,
        gone: Vec<InfoHash>,
    ) {
        let is_news = !come.is_empty() || !gone.is_empty();
        if is_news && self.watched.contains(&peer) {
            self.changed.push(Watched::Torrents { peer, come, gone });
        }
    }

    /// Nothing of a listing is found any more.
    pub(super) fn on_listing_forgotten(&mut self, peer: PeerId) {
        if self.watched.contains(&peer) {
            self.changed.push(Watched::Forgotten(peer));
        }
    }

    /// An entry has got its content.
    pub(super) fn on_content_listed(&mut self, at: At) {
        if self.is_watched(at) {
            let listed = self.listed_at(at);
            self.told += u64::from(listed.is_some());
            self.changed.extend(listed);
        }
    }

    /// An entry is about to lose its content, which is in no index any more.
    pub(super) fn on_content_unlisted(&mut self, at: At) {
        if !self.is_watched(at) {
            return;
        }
        let Some(Watched::Listing {
            peer,
            mut name,
            content,
            v1,
            ..
        }) = self.listed_at(at)
        else {
            return;
        };
        // The same file by another path, with the same last part, is the same torrent.
        let rows = self.indices.of_content(&self.listings, content);
        let (mut has, mut v1) = (None, v1.map(|(v1, _)| (v1, None)));
        for (other, at) in rows.take(MOST_ALIKE) {
            if self.listings.peer(at) != peer || other.base() != name.base() {
                continue;
            }
            let is_whole = Some(!self.listings.facts(at).partial);
            has = is_whole;
            name = other.clone();
            if let (Some((v1, has_v1)), said) = (&mut v1, self.listings.v1(at))
                && said == Some(*v1)
            {
                *has_v1 = is_whole;
            }
        }
        self.told += 1;
        self.changed.push(Watched::Listing {
            peer,
            name,
            content,
            has,
            v1,
        });
    }

    /// A listing that is being forgotten has been told of as a whole.
    fn is_watched(&self, at: At) -> bool {
        !self.watched.is_empty()
            && !self.listings.is_leaving(at)
            && self.watched.contains(&self.listings.peer(at))
    }

    fn listed_at(&self, at: At) -> Option<Watched> {
        let row = self.listings.row(at);
        let has = Some(!row.facts.partial);
        Some(Watched::Listing {
            peer: self.listings.peer(at),
            name: row.name.clone(),
            content: row.facts.content()?,
            has,
            v1: self.listings.v1(at).map(|v1| (v1, has)),
        })
    }
}
