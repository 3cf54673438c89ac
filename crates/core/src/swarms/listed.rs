//! What the catalogue's feed changes in a store: which members have which torrents.
//!
//! A member that has a torrent appears in its swarm without announcing itself, and only once. Where
//! it is reached is kept in [`members`](super::members).

use thorp_wire::{InfoHash, Name};

use super::Swarms;
use super::feed::MemberChange;
use super::members::{Has, MemberNumber};
use super::peers::{Peers, Torrent};

impl Swarms {
    /// Takes a change of what members have. Of changes about a torrent each store is told its own,
    /// of others all.
    pub fn on_member(&mut self, change: &MemberChange) {
        match change {
            MemberChange::Reached(member, addresses) => self.members.set(*member, addresses),
            MemberChange::Lists(member, torrent, is_whole, name) => {
                self.list(*torrent, *member, |has| has.listed = Some(*is_whole));
                self.name(torrent, name);
            }
            MemberChange::Names(member, torrent) => {
                self.list(*torrent, *member, |has| has.is_named = true);
            }
            MemberChange::Unlists(member, torrent) => {
                self.unlist(torrent, *member, |has| has.listed = None);
            }
            MemberChange::Unnames(member, torrent) => {
                self.unlist(torrent, *member, |has| has.is_named = false);
            }
            MemberChange::Left(member) => self.unlist_all(*member),
        }
    }

    /// A member has a torrent now.
    fn list(&mut self, torrent: InfoHash, member: MemberNumber, set: impl FnOnce(&mut Has)) {
        self.members.torrents_mut(member).insert(torrent);
        let torrent = self.find(&torrent).unwrap_or_else(|| self.add(torrent));
        let mut members = self.torrents[torrent].take_members();
        let has = match members.iter().position(|has| has.member == member) {
            Some(at) => {
                self.count(members[at].is_whole(), -1);
                &mut members[at]
            }
            None => members.push_mut(Has {
                member,
                listed: None,
                is_named: false,
            }),
        };
        set(has);
        self.count(has.is_whole(), 1);
        self.torrents[torrent].set_members(members);
        // From now on it appears as a member, also where it has announced itself before.
        let v4 = self.members.v4(member).copied();
        let v6 = self.members.v6(member).copied();
        self.forget_client(torrent, v4, |torrent| &mut torrent.v4);
        self.forget_client(torrent, v6, Torrent::v6_mut);
    }

    /// A member lists a torrent by this name. Of several the shortest is kept: one that no member
    /// lists any more is then no longer than one that a member does list.
    fn name(&mut self, torrent: &InfoHash, name: &Name) {
        let Some(at) = self.find(torrent) else {
            return;
        };
        let torrent = &mut self.torrents[at];
        let is_shorter = |kept: &Name| name.as_str().len() < kept.as_str().len();
        if torrent.name().is_none_or(is_shorter) {
            torrent.set_name(Some(name.clone()));
        }
    }

    fn forget_client<const N: usize>(
        &mut self,
        torrent: usize,
        at: Option<[u8; N]>,
        peers_of: fn(&mut Torrent) -> &mut Peers<N>,
    ) {
        let Some(at) = at else {
            return;
        };
        let key = self.key;
        let peers = peers_of(&mut self.torrents[torrent]);
        if let Some(row) = peers.find(key, &at) {
            let was_seeder = peers.is_seeder(row);
            let removed = peers.remove(key, row);
            self.on_removed(&removed, was_seeder);
            self.on_fewer(torrent);
        }
    }

    /// A member does not have a torrent any more, or only for another reason than before.
    fn unlist(&mut self, torrent: &InfoHash, member: MemberNumber, unset: impl FnOnce(&mut Has)) {
        let Some(number) = self.find(torrent) else {
            return;
        };
        let mut members = self.torrents[number].take_members();
        if let Some(at) = members.iter().position(|has| has.member == member) {
            let has = &mut members[at];
            self.count(has.is_whole(), -1);
            unset(has);
            if has.listed.is_some() || has.is_named {
                self.count(has.is_whole(), 1);
            } else {
                members.swap_remove(at);
                self.members.torrents_mut(member).remove(torrent);
            }
        }
        if !members.iter().any(|has| has.listed.is_some()) {
            self.torrents[number].set_name(None);
        }
        self.torrents[number].set_members(members);
        self.drop_if_empty(number);
    }

    /// A member has no torrent any more.
    fn unlist_all(&mut self, member: MemberNumber) {
        for torrent in std::mem::take(self.members.torrents_mut(member)) {
            self.unlist(&torrent, member, |has| {
                (has.listed, has.is_named) = (None, false);
            });
        }
    }
}
