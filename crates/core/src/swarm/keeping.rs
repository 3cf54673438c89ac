//! What is done by time: silent and slow sessions, and dialling more holders.

use std::time::Duration;

use crate::time::Instant;

use super::Swarm;
use super::choke;
use super::io::{Output, SessionId, SourceId, Stuck, Why};
use super::session::{SILENT, Session};
use super::sources::PATIENCE;

/// How often the sessions are checked while pieces are missing.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A source that was silent for this long is dropped.
const SILENT_FOR_LONG: Duration = Duration::from_secs(30);
/// A member is dropped after this long where nothing is to be hoped of any other source: in time to
/// be dialled anew before the fetch is given up, and not while a thin line sends to others first.
const LAST_HOPE_SILENT: Duration = Duration::from_secs(15);
/// A source that has choked this peer for this long does not count as hope.
const CHOKED_FOR_LONG: Duration = Duration::from_mins(2);
/// Clients that have what is missing and let this peer wait for its turn are waited for, without a
/// byte from anywhere, for this long.
const CLIENTS_TAKE_TURNS: Duration = Duration::from_mins(15);
/// A session that neither end uses may be closed after this long to make room.
const IDLE: Duration = Duration::from_secs(30);
/// A fetch of which no source has a piece any more, and no known holder is left to be dialled, is
/// given up after this long: meanwhile another holder may be found.
const CHANGED: Duration = Duration::from_secs(3);
/// How often the slowest source is exchanged for a holder that was not tried yet.
pub const SWAP_EVERY: Duration = Duration::from_secs(30);
/// Why a fetch is stuck that only clients of v1 could go on with. Torrents of v1 have other hashes
/// than a group's files.
const UNPROVEN: &str = "BitTorrent clients have it, but only a member or a client of its v2 torrent \
                        knows the hashes by which it is verified, and none is online";
/// A piece that must come from one session alone may take this long, or this many times as long as
/// the best source would need.
const ALONE: Duration = Duration::from_secs(10);
const SLOWER: f64 = 4.0;
/// A source is slow if it gives less than the average divided by this.
const SLOW_PART: u64 = 8;

impl Swarm {
    /// Runs the periodic checks.
    pub(super) fn look_around(&mut self, now: Instant) {
        self.next_look = now + LOOK_EVERY;
        if now >= self.next_choke {
            self.next_choke = now + choke::EVERY;
            self.choke_anew(now);
        }
        if self.pieces.is_complete() {
            return;
        }
        self.mark_silent(now);
        self.judge_the_silent(now);
        self.reassign_slow_pieces(now);
        if now >= self.next_swap {
            self.next_swap = now + SWAP_EVERY;
            self.drop_slowest(now);
            for session in self.sessions.values_mut() {
                session.forgive();
            }
        }
        self.dial(now);
        let waited_for = self.count_clients_waited_for(now);
        let changed = self.changed_at(now);
        let (hope, patience) = if changed.is_some() && !self.may_another_have_it() {
            (false, CHANGED)
        } else {
            (self.has_hope(now), PATIENCE)
        };
        if let Some(reason) = self.sources.why_stuck(now, hope, patience) {
            let reason = match waited_for {
                _ if self.comes_unproven(now) => UNPROVEN.into(),
                0 => reason,
                1 => "one client has it and lets this peer wait".into(),
                more => format!("{more} clients have it and let this peer wait"),
            };
            self.outputs.push_back(Output::Stuck(Stuck {
                reason,
                there: self.pieces.verified(),
                contact: self.sources.contact(),
                sources: self.source_ids(),
                changed,
            }));
        }
        self.wake = true;
    }

    /// A source whose file has changed, where that takes a piece with it that no other
    /// session has: what is left to fetch would not make the file.
    fn changed_at(&self, now: Instant) -> Option<SourceId> {
        let comes = |piece: u32| {
            let mut sessions = self.sessions.values();
            sessions.any(|session| session.offers(piece) && self.is_hopeful(now, session))
        };
        let mut changed = self.suspects.changed();
        changed
            .find(|(source, piece)| {
                let is_missing = !self.pieces.had().has(*piece) && !comes(*piece);
                is_missing && !self.sources.is_liar(*source)
            })
            .map(|(source, _)| source)
    }

    /// Whether there is a holder without a session, perhaps because it does not answer just now,
    /// of which nothing says that its file has changed.
    fn may_another_have_it(&self) -> bool {
        let away = self.sources.without_session();
        away.iter()
            .any(|holder| !self.suspects.has_changed(SourceId::Member(holder.id)))
    }

    pub(super) fn dial(&mut self, now: Instant) {
        if self.pieces.is_complete() {
            return;
        }
        let holders = self.sources.dial(now, &self.limits);
        self.outputs.extend(holders.into_iter().map(Output::Dial));
    }

    /// Asks for clients of trackers, if there are not as many sources as may be dialled. Those with
    /// something that is missing count, and those that were not tried yet.
    pub(super) fn ask_for_clients(&mut self) {
        let sessions = self.sessions.values();
        let connected = sessions.filter(|session| session.am_interested).count();
        if connected + self.sources.untried() < self.limits.dialled {
            let has_none = connected == 0;
            self.outputs.push_back(Output::WantsClients { has_none });
        }
    }

    /// Whether missing bytes may come from any session.
    fn has_hope(&self, now: Instant) -> bool {
        let mut sessions = self.sessions.iter();
        sessions.any(|(id, session)| self.is_hopeful(now, session) && !self.hashes.has_failed(*id))
    }

    /// Whether missing bytes may come from this session.
    fn is_hopeful(&self, now: Instant, session: &Session) -> bool {
        let choked_for_long = session
            .choked_since
            .is_some_and(|since| now - since >= CHOKED_FOR_LONG);
        let proven = session.received > 0 || self.sources.failures(session.source) == 0;
        let takes_turns = lets_wait(session)
            && self
                .let_wait_since
                .is_none_or(|since| now - since < CLIENTS_TAKE_TURNS);
        // What cannot be verified is not asked for.
        let is_of_use = session.offer.hashes || self.can_verify();
        let may_send = proven && !choked_for_long || takes_turns;
        is_of_use && session.gives_hope(now) && !session.silent && may_send
    }

    /// Returns how many clients let this peer wait for what is missing, and remembers since when
    /// that is so without a byte that has come.
    fn count_clients_waited_for(&mut self, now: Instant) -> usize {
        let waited_for = self.sessions.values().filter(|session| lets_wait(session));
        let number = waited_for.count();
        // That one goes and another one comes begins no new time: strangers could go on so for
        // ever.
        let has_ended = self
            .let_wait_since
            .is_none_or(|since| since < self.received_at);
        if has_ended {
            self.let_wait_since = (number > 0).then_some(now);
        }
        number
    }

    /// Whether clients of v1 have what is missing, of which nobody says what it must hash to.
    fn comes_unproven(&self, now: Instant) -> bool {
        let mut sessions = self.sessions.values();
        !self.can_verify()
            && sessions.any(|session| !session.offer.hashes && session.gives_hope(now))
    }

    fn mark_silent(&mut self, now: Instant) {
        let mut gone = Vec::new();
        let has_hope = self.has_hope(now);
        for (id, session) in &mut self.sessions {
            session.sweep(now);
            let silence = now - session.heard;
            // One end may have another address by now: a new connection shows that.
            let is_last_hope = !has_hope && session.dialled && session.offer.member;
            let waited_for = if is_last_hope {
                LAST_HOPE_SILENT
            } else {
                SILENT_FOR_LONG
            };
            if session.silent {
                if session.choked && session.asked_number() == 0 {
                    // It owes nothing any more, and may send what it is asked for later.
                    session.silent = false;
                } else if silence >= waited_for {
                    gone.push((*id, silence));
                }
            } else if session.asked_number() > 0 && silence >= SILENT {
                session.silent = true;
                session.current = None;
                for block in session.asked() {
                    self.pieces.release(block);
                }
                self.pieces.abandon_all(*id);
            }
        }
        for (id, silence) in gone {
            let why = format!("it has sent nothing for {} seconds", silence.as_secs());
            self.drop_session(now, id, Why::Useless(why));
        }
    }

    /// Takes pieces that must come from one session alone away from sessions that are far slower
    /// than the best one; otherwise such a session could delay a piece without end.
    fn reassign_slow_pieces(&mut self, now: Instant) {
        let best = self
            .sessions
            .values()
            .map(|session| session.pipeline.rate(now));
        let best = best.fold(1.0, f64::max);
        let enough = ALONE.max(Duration::from_secs_f64(
            SLOWER * f64::from(self.layout.piece_length()) / best,
        ));
        let alone = self.pieces.alone();
        let late: Vec<(u32, SessionId)> = alone
            .filter(|(_, _, since)| now - *since > enough)
            .map(|(piece, owner, _)| (piece, owner))
            .collect();
        for (piece, owner) in late {
            self.take_away(now, piece, owner);
        }
    }

    /// Drops the slowest dialled source in favour of an untried holder, if no more may be dialled
    /// otherwise and it is far slower than the others.
    fn drop_slowest(&mut self, now: Instant) {
        let dialled = self.sessions.iter().filter(|(_, session)| session.dialled);
        let rates: Vec<(u64, SessionId)> = dialled
            .map(|(id, session)| (rate_of(now, session), *id))
            .collect();
        let full = rates.len() >= self.limits.dialled;
        if !full || !self.sources.has_fresh(now) {
            return;
        }
        let mean = rates.iter().map(|(rate, _)| rate).sum::<u64>() / rates.len() as u64;
        let slowest = rates.iter().min();
        if let Some((_, id)) = slowest.filter(|(rate, _)| *rate <= mean / SLOW_PART) {
            let why = Why::Useless("others are faster".into());
            self.drop_session(now, *id, why);
        }
    }

    /// Ends a connection with a member that neither end uses, because other members wait for its
    /// place. Returns whether there was one. Drain [`poll_output`](Swarm::poll_output) afterwards.
    pub fn make_room(&mut self, now: Instant) -> bool {
        self.make_room_for(now, true)
    }

    /// The same among the connections with members, or among those with clients.
    pub(super) fn make_room_for(&mut self, now: Instant, member: bool) -> bool {
        let alike = self.sessions.iter();
        let alike = alike.filter(|(_, session)| session.offer.member == member);
        let mut idle = alike.filter(|(_, session)| {
            let nothing_to_do = !session.is_interested && !session.am_interested;
            nothing_to_do && now - session.since >= IDLE || session.is_idle_for(now, IDLE)
        });
        let Some(id) = idle.next().map(|(id, _)| *id) else {
            return false;
        };
        let why = "nothing is asked for, and others wait";
        self.drop_session(now, id, Why::Useless(why.into()));
        true
    }
}

/// Whether it is a client that has something that is missing and does not send it yet: clients
/// serve a few others at a time, and take turns.
fn lets_wait(session: &Session) -> bool {
    !session.offer.member && session.choked && session.has_more_to_give()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative"
)]
fn rate_of(now: Instant, session: &Session) -> u64 {
    session.pipeline.rate(now) as u64
}
