//! Finds the holders of files that are fetched in pieces, and rewards those that were useful.
//!
//! Which files are sought, and which holders were named for each, is kept in
//! [`get::sought`](crate::get::sought).

use thorp_wire::PeerId;
use thorp_wire::frame::{Found, Holder};

use super::asking::ASKED_NEIGHBOURS;
use super::wanted::{Asker, Errand};
use super::{Notice, Output, Peer};
use crate::get::small::WantedFile;
use crate::get::{self, FetchId};
use crate::lookup::TrackerState;
use crate::time::Instant;

impl Peer {
    pub(super) fn seek(&mut self, now: Instant, fetch: FetchId, wanted: WantedFile) {
        let known = self.sought.seek(fetch, wanted);
        self.name_holders(now, fetch, known);
    }

    /// Asks for more holders of a file: the tracker, or the neighbours if there is no link to it.
    pub(super) fn widen(&mut self, now: Instant, fetch: FetchId) {
        let Some(find) = self.sought.question(fetch) else {
            return;
        };
        let errand = || Errand::Ask(Asker::HoldersOfLarge(fetch), find.clone());
        if let (TrackerState::Up(_), Some(tracker)) = (self.home.tracker(), self.home.link()) {
            self.run(now, tracker, errand());
            return;
        }
        let best = self.neighbours.best(now).into_iter().take(ASKED_NEIGHBOURS);
        let links: Vec<_> = best.filter_map(|id| Some(self.links.to(id)?.0)).collect();
        for link in links {
            self.run(now, link, errand());
        }
    }

    /// A member has answered which holders a file has.
    pub(super) fn named(&mut self, now: Instant, fetch: FetchId, found: Found) {
        let named = self.sought.found(fetch, found);
        self.name_holders(now, fetch, named);
    }

    /// Tells the gets which members hold a large file.
    fn name_holders(&mut self, now: Instant, fetch: FetchId, mut holders: Vec<Holder>) {
        let me = self.config.me.id;
        holders.retain(|holder| holder.id != me);
        if holders.is_empty() {
            return;
        }
        self.gets.handle(now, get::Input::Named(fetch, holders));
    }

    pub(super) fn look_for_sources(&mut self, now: Instant) {
        let (catalogue, me) = (self.links.catalogue(), self.config.me.id);
        if !self.sought.is_look_due(catalogue.holder_changes()) {
            return;
        }
        let listing = |content| {
            let holders = catalogue.holders_of(content);
            holders
                .filter(|(peer, _)| *peer != me)
                .map(|(peer, name)| (peer, catalogue.has_a_part(peer, name)))
                .collect()
        };
        for (fetch, new) in self.sought.look(listing) {
            let holder = |(id, partial): (PeerId, bool)| {
                let known = self.links.to(id)?.1.holder();
                Some(Holder { partial, ..known })
            };
            let new = new.into_iter().filter_map(holder).collect();
            self.name_holders(now, fetch, new);
        }
    }

    /// A file has arrived in pieces. The holder that sent most of it should become a neighbour.
    pub(super) fn gathered(&mut self, now: Instant, fetch: FetchId, sources: Vec<Holder>) {
        self.sought.drop(fetch);
        for source in &sources {
            self.on_delivered(now, source.id);
            self.remembered.chose(now, source.id);
        }
        let best = sources.into_iter().next();
        let worth_meeting =
            |best: &Holder| !best.addresses.is_empty() && !self.fetches.is_liar(best.id);
        if let Some(best) = best.filter(worth_meeting)
            && !self.config.me.visitor
            && self.links.to(best.id).is_none()
        {
            self.send_to(now, best, Errand::Meet);
        }
    }

    /// A member has sent what it had listed.
    pub(super) fn on_delivered(&mut self, now: Instant, holder: PeerId) {
        let rtt = self.links.to(holder).and_then(|(_, link)| link.rtt);
        self.neighbours.was_useful(now, holder, rtt);
        self.neighbours.on_use(now, holder);
    }

    /// A member sent something other than it had listed. It is not asked again.
    pub(super) fn lied(&mut self, now: Instant, liar: Holder) {
        self.fetches.lied(liar.id);
        self.remembered.forget(now, liar.id);
        let link = self.links.to(liar.id).map(|(link, _)| link);
        self.out.push_back(Output::Notice(Notice::Liar(liar)));
        if let Some(link) = link {
            self.close(now, link, "what it sent is not what it listed");
        }
    }
}
