//! Connections that open and close.

use thorp_wire::ClientId;
use thorp_wire::session::Message;

use crate::bound::Account;
use crate::time::Instant;

use super::io::{Offer, Output, SessionId, SourceId, Why};
use super::pieces::Pieces;
use super::session::Session;
use super::sources::Was;
use super::twins::{GreetedClient, Remains};
use super::{Piece, Swarm};

impl Swarm {
    pub(super) fn opened(
        &mut self,
        now: Instant,
        id: SessionId,
        source: SourceId,
        account: Account,
        dialled: bool,
        mut offer: Offer,
    ) {
        // A torrent's pieces are verified as a whole.
        offer.hashes &= self.torrent.is_none();
        self.sources.on_session();
        if self.sources.is_liar(source) {
            let why = "it has sent what is not of this file".into();
            return self.refuse(now, (id, source, dialled), Why::Fault(why));
        }
        if dialled && self.sources.is_a_member(source) {
            // It was dialled before that was known.
            self.sources.forget_dialled(source);
            let why = Why::Useless("it is a member, which is asked as one".into());
            return self.refuse(now, (id, source, dialled), why);
        }
        if source == SourceId::Member(self.me) {
            let why = Why::Useless("it is this end itself".into());
            return self.refuse(now, (id, source, dialled), why);
        }
        if let Some(other) = self.by_source.get(&source).copied() {
            let second = || Why::Useless("there are two connections".into());
            if self.is_better(other, dialled) {
                return self.refuse(now, (id, source, dialled), second());
            }
            self.drop_session(now, other, second());
        }
        if self.is_full_for(offer.member) {
            self.make_room_for(now, offer.member);
        }
        let places = if offer.member {
            &mut self.places
        } else {
            &mut self.client_places
        };
        let Ok(gave_way) = places.ask(id, account, 1) else {
            let full = "there are connections enough for this file";
            return self.refuse(now, (id, source, dialled), Why::Useless(full.into()));
        };
        for other in gave_way {
            let why = "others have no place at all";
            self.drop_session(now, other, Why::Useless(why.into()));
        }
        let session = Session::new(now, source, dialled, offer, self.pieces.count());
        self.sessions.insert(id, session);
        self.by_source.insert(source, id);
        self.sources.connected(now, source, dialled);
        self.turn = None;
        if let Some(message) = first_message(&self.pieces, &offer) {
            self.send(id, message);
        }
    }

    /// This peer dials a member that has all of the file, and has named the file to it. Returns
    /// what to say at once, so that the answer comes with the member's own first words: which
    /// hashes are asked for. [`Input::Opened`](super::Input::Opened) or
    /// [`Input::Closed`](super::Input::Closed) follows.
    pub fn call(&mut self, now: Instant, id: SessionId) -> Vec<Message> {
        if self.stopped || self.can_verify() {
            return Vec::new();
        }
        let asked = self.hashes.ask(now, &[id]).into_iter();
        asked
            .map(|(_, range)| Message::HashRequest(range))
            .collect()
    }

    /// A client has said who it is, to which this peer has said `ours`. Returns whether the
    /// connection stays: [`Input::Opened`](super::Input::Opened) or
    /// [`Input::Closed`](super::Input::Closed) follows then, and neither if it does not. Drain
    /// [`poll_output`](Self::poll_output) afterwards.
    pub fn greeted(
        &mut self,
        now: Instant,
        id: SessionId,
        client: GreetedClient,
        ours: ClientId,
    ) -> bool {
        match self.twins.greeted(id, client, ours) {
            Remains::All => true,
            Remains::New(old) => {
                let why = "there are two connections";
                self.drop_session(now, old, Why::Useless(why.into()));
                true
            }
            Remains::Old(old) => {
                self.sources
                    .set_aside(now, SourceId::Client(client.at), old);
                false
            }
        }
    }

    fn is_full_for(&self, member: bool) -> bool {
        if member {
            self.places.total() >= self.limits.sessions as u64
        } else {
            self.client_places.total() >= self.limits.clients as u64
        }
    }

    /// Whether an existing connection is kept instead of a new one to the same peer. If they were
    /// dialled by different ends, both peers keep the one that the peer with the lower id dialled.
    /// If the same end dialled both, they keep the new one, because that end has lost the old one.
    fn is_better(&self, standing: SessionId, new_dialled: bool) -> bool {
        let Some(standing) = self.sessions.get(&standing) else {
            return false;
        };
        let by_the_lower = |dialled: bool| dialled == (SourceId::Member(self.me) < standing.source);
        standing.dialled != new_dialled && by_the_lower(standing.dialled)
    }

    fn refuse(
        &mut self,
        now: Instant,
        (id, source, dialled): (SessionId, SourceId, bool),
        why: Why,
    ) {
        if dialled {
            let (Why::Fault(reason) | Why::Useless(reason) | Why::Stopping(reason)) = &why;
            self.sources.dial_failed(now, source, reason);
        }
        self.outputs.push_back(Output::Close(id, Some(why)));
    }

    pub(super) fn closed(&mut self, now: Instant, id: SessionId, reason: &str) {
        self.forget_session(now, id, None, reason);
        // It may never have been opened.
        self.hashes.closed(id);
        self.part(now, id);
        if let Some((_, blocks)) = self.ended.remove(&id) {
            for block in blocks {
                self.pieces.unclaim(block);
            }
            self.wake = true;
        }
    }

    /// Ends a connection because of a fault, or because it is of no use.
    pub(super) fn drop_session(&mut self, now: Instant, id: SessionId, why: Why) {
        let reason = match &why {
            Why::Fault(reason) | Why::Useless(reason) | Why::Stopping(reason) => reason.clone(),
        };
        let mocking = self
            .sessions
            .get(&id)
            .is_some_and(Session::refuses_too_often);
        let bad = mocking || matches!(why, Why::Fault(_));
        let was = bad.then_some(Was::Bad);
        if self.forget_session(now, id, was, &reason) {
            self.outputs.push_back(Output::Close(id, Some(why)));
        }
    }

    /// Ends a connection that is not needed any more.
    pub(super) fn end_session(&mut self, now: Instant, id: SessionId) {
        if self.forget_session(now, id, None, "all is well") {
            self.outputs.push_back(Output::Close(id, None));
        }
    }

    /// Releases the outstanding requests of this session, so that they can be made elsewhere, and
    /// removes the session from all tables.
    pub(super) fn forget_session(
        &mut self,
        now: Instant,
        id: SessionId,
        was: Option<Was>,
        reason: &str,
    ) -> bool {
        let Some(mut session) = self.sessions.remove(&id) else {
            return false;
        };
        self.places.give_back(id);
        self.client_places.give_back(id);
        let owed = session.forget_asked();
        if !session.silent {
            for block in owed {
                self.pieces.release(block);
            }
        }
        self.pieces.abandon_all(id);
        let writing: std::collections::BTreeSet<_> = session.claimed().collect();
        if !writing.is_empty() {
            self.ended.insert(id, (session.source, writing));
        }
        if session.counted {
            for piece in session.has.iter() {
                self.picker.fewer(piece, &mut self.rng);
            }
        }
        self.hashes.closed(id);
        self.suggesting.closed(id);
        self.doubts.closed(id);
        self.readers.closed(id);
        let unproven = self.suspects.closed(id);
        if self.by_source.get(&session.source) == Some(&id) {
            self.by_source.remove(&session.source);
        }
        let fruit = if session.received > 0 {
            Was::Useful
        } else {
            Was::Fruitless
        };
        let was = was.unwrap_or(fruit);
        self.sources.disconnected(now, session.source, was, reason);
        self.part(now, id);
        self.turn = None;
        self.wake = true;
        for (piece, source) in unproven {
            self.cannot_prove(now, piece, source);
        }
        if session.is_interested && !session.choking {
            self.rechoke(now, None);
        }
        true
    }

    /// A client's session is over. Where there is another one with it, its address is not dialled.
    fn part(&mut self, now: Instant, id: SessionId) {
        if let Some((source, other)) = self.twins.closed(id) {
            self.sources.parted(now, id);
            if let Some(other) = other {
                self.sources.set_aside(now, source, other);
            }
        }
    }

    /// Excludes a source that sent data or hashes that are not of this file.
    pub(super) fn blame(&mut self, now: Instant, source: SourceId) {
        self.sources.lied(now, source);
        self.outputs.push_back(Output::Blame(source));
        if let Some(id) = self.by_source.get(&source).copied() {
            let why = "it has sent what is not of this file".into();
            self.drop_session(now, id, Why::Fault(why));
        }
    }

    /// Records pieces that the other end has announced.
    pub(super) fn on_have(&mut self, now: Instant, id: SessionId, pieces: &[u32]) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let news = pieces.iter().filter(|piece| self.pieces.lacks(**piece));
        let news = news.count();
        session.lacking_here += u32::try_from(news).unwrap_or(u32::MAX);
        if session.is_whole() {
            self.turn = None;
        }
        // A peer that had the whole file from the start does not change the order of rarity.
        session.counted |= !session.is_whole();
        if session.counted {
            for piece in pieces {
                self.picker.more(*piece, &mut self.rng);
                self.suggesting.on_asked(id, *piece);
            }
        }
        if session.is_whole() && self.pieces.is_complete() {
            return self.end_session(now, id);
        }
        self.show_interest(id);
        self.fill(now, id);
    }

    /// Tells the other end whether this peer is interested, if that has changed.
    pub(super) fn show_interest(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let interested = session.lacking_here > 0;
        if session.am_interested != interested {
            session.am_interested = interested;
            let message = if interested {
                Message::Interested
            } else {
                Message::NotInterested
            };
            self.send(id, message);
        }
    }

    /// Announces a verified piece to all peers that may want it.
    pub(super) fn tell_verified(&mut self, piece: Piece) {
        let number = piece.number();
        self.readers.resolved(number);
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            if session.has.has(number) {
                session.on_piece_had(number);
                self.show_interest(id);
            } else {
                self.send(id, Message::Have(number));
            }
        }
    }
}

fn first_message(pieces: &Pieces, offer: &Offer) -> Option<Message> {
    let had = pieces.had();
    match (had.count(), offer.fast) {
        (0, true) => Some(Message::HaveNone),
        (0, false) => None,
        (_, true) if had.is_full() => Some(Message::HaveAll),
        _ => Some(Message::Bitfield(had.to_bitfield())),
    }
}
