//! Connections that this end makes, and those kept for the next file.
//!
//! A thousand files of one member do not cost a thousand TLS handshakes: when
//! a file is done, its connection waits a while for another.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thorp_core::bound::Account;
use thorp_core::swarm::{NamedSource, Offer, SessionId};
use thorp_group::certificate::Certified;
use thorp_wire::PeerId;
use thorp_wire::frame::Holder;
use thorp_wire::layout::Layout;
use thorp_wire::session::handshake::name_of;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf, split};
use tokio::time::{sleep, timeout};

use super::greeting::{self, GREETING, GreetingError};
use super::line::{Inward, Outward};
use super::session::{self, Answers, Ended, Opening};
use super::{Transfer, Transfers};
use crate::net::dial::{self, Expected};
use crate::net::{MemberStream, for_files};

/// How long a connection waits for the next file: the other end lets it go a
/// little later.
const KEPT: Duration = Duration::from_secs(20);
/// How many wait for one member, and in all.
const KEPT_EACH: usize = 8;
const KEPT_ALL: usize = 32;

/// A connection that is about no file at the moment.
pub(super) struct Idle {
    inward: Inward<ReadHalf<MemberStream>>,
    outward: Outward<WriteHalf<MemberStream>>,
    /// The file it was about.
    earlier: Option<Layout>,
    /// When the first of the certificates ends that it was made with.
    ends: SystemTime,
    number: u64,
}

/// A connection on which both ends have said that it is about this file.
struct Met {
    line: Idle,
    session: SessionId,
    offer: Offer,
    answers: Answers,
}

/// Why there is no session with a holder.
enum Unreached {
    /// It has no place for one more.
    Busy,
    /// For the user.
    Failed(String),
}

impl Transfers {
    /// Connects to a source for this file, and stays until it is done.
    pub fn call(&self, transfer: &Arc<Transfer>, source: NamedSource) {
        let (transfers, transfer) = (self.clone(), Arc::clone(transfer));
        tokio::spawn(async move {
            match source {
                NamedSource::Member(holder) => transfers.visit(&transfer, holder).await,
                NamedSource::Client(client) => transfers.visit_client(&transfer, client).await,
            }
        });
    }

    async fn visit(&self, transfer: &Arc<Transfer>, holder: Holder) {
        let met = match self.reach(transfer, &holder).await {
            Ok(met) => met,
            Err(Unreached::Busy) => {
                tracing::debug!(holder = %holder.id, "it has no place for one more now");
                return transfer.holder_busy(holder.id.into());
            }
            Err(Unreached::Failed(reason)) => {
                tracing::debug!(%reason, "no session");
                return transfer.dial_failed(holder.id.into(), reason);
            }
        };
        if transfer.is_over() {
            return;
        }
        let mut line = met.line;
        let opening = Opening {
            session: met.session,
            source: holder.id.into(),
            account: Account::Member(holder.id),
            dialled: true,
            offer: met.offer,
            answers: met.answers,
            client: None,
        };
        let (inward, outward) = (&mut line.inward, &mut line.outward);
        let cut = self.cut(holder.id, line.ends);
        let ended = session::run(inward, outward, transfer, opening, cut).await;
        self.on_session_ended(transfer);
        if ended == Ended::Kept {
            line.earlier = Some(transfer.layout());
            self.keep(holder.id, line);
        }
    }

    async fn reach(&self, transfer: &Transfer, holder: &Holder) -> Result<Met, Unreached> {
        // The other end may have let go of it at this very moment.
        while let Some(kept) = self.take_kept(holder.id) {
            match self.greet(kept, transfer, holder).await {
                Err(Unreached::Failed(why)) => {
                    tracing::debug!(%why, "a kept connection was of no use");
                }
                met => return met,
            }
        }
        let expected = Expected::Peer(holder.id);
        let Transfers(shared) = self;
        let dialled =
            dial::dial_session(&holder.addresses, expected, &shared.tls, shared.source).await;
        let connected = dialled.map_err(|error| Unreached::Failed(error.to_string()))?;
        let ends = self.first_to_end(&connected.member);
        let (read, write) = split(for_files(connected.stream));
        let line = Idle {
            inward: Inward::new(read),
            outward: Outward::new(write),
            earlier: None,
            ends,
            number: 0,
        };
        self.greet(line, transfer, holder).await
    }

    async fn greet(
        &self,
        mut line: Idle,
        transfer: &Transfer,
        holder: &Holder,
    ) -> Result<Met, Unreached> {
        let (session, answers) = (self.next_session(), self.answers());
        let Idle {
            inward,
            outward,
            earlier,
            ..
        } = &mut line;
        let ends = (inward, outward);
        let said = self.exchange(
            ends,
            *earlier,
            transfer,
            holder.partial,
            (session, &answers),
        );
        let said = timeout(GREETING, said).await;
        if said.is_ok() {
            // Whatever it has answered, or if it hangs up: one that is silent may have the file.
            transfer.was_reached();
        }
        let unreached = match said {
            Ok(Ok(offer)) => {
                return Ok(Met {
                    line,
                    session,
                    offer,
                    answers,
                });
            }
            Ok(Err(GreetingError::Busy)) => Unreached::Busy,
            Ok(Err(why)) => Unreached::Failed(why.to_string()),
            Err(_) => {
                let silence = format!("it has said nothing for {} s", GREETING.as_secs());
                Unreached::Failed(silence)
            }
        };
        transfer.closed(session, "it was never opened".to_owned());
        Err(unreached)
    }

    /// The words that a session begins with, on a connection that was about an `earlier` file. A
    /// holder that has not only a part of it is asked for hashes before it has answered.
    pub(super) async fn exchange<R, W>(
        &self,
        (inward, outward): (&mut Inward<R>, &mut Outward<W>),
        earlier: Option<Layout>,
        transfer: &Transfer,
        partial: bool,
        (session, answers): (SessionId, &Answers),
    ) -> Result<Offer, GreetingError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (content, who) = (transfer.content(), (self.me(), self.0.port));
        greeting::send(outward, content, who, answers.longest()).await?;
        if !partial {
            outward.say(&transfer.call(session)).await?;
        }
        let greeting = greeting::read(inward, earlier).await?;
        let same = greeting.name == name_of(&content.root)
            && greeting
                .length
                .is_none_or(|length| length == content.length);
        if same {
            Ok(greeting.offer)
        } else {
            Err(GreetingError::OtherFile)
        }
    }

    /// Keeps a connection for the next file, if there is room.
    fn keep(&self, member: PeerId, mut line: Idle) {
        line.number = self.next_session().0;
        let number = line.number;
        let mut table = self.table();
        let all: usize = table.idle.values().map(Vec::len).sum();
        let each = table.idle.entry(member).or_default();
        if each.len() >= KEPT_EACH || all >= KEPT_ALL {
            return;
        }
        each.push(line);
        drop(table);
        let (transfers, mut closing) = (self.clone(), self.0.closing.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                () = sleep(KEPT) => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
            transfers.let_go(member, number);
        });
    }

    /// A connection to a member that waits for the next file. By now it may no
    /// longer be a member's: then there is none.
    fn take_kept(&self, member: PeerId) -> Option<Idle> {
        if !self.0.tls.records().allows(&member) {
            self.table().idle.remove(&member);
            return None;
        }
        let mut table = self.table();
        let line = table.idle.get_mut(&member)?.pop();
        if table.idle.get(&member).is_some_and(Vec::is_empty) {
            table.idle.remove(&member);
        }
        line
    }

    fn let_go(&self, member: PeerId, number: u64) {
        let mut table = self.table();
        if let Some(lines) = table.idle.get_mut(&member) {
            lines.retain(|line| line.number != number);
            if lines.is_empty() {
                table.idle.remove(&member);
            }
        }
    }

    /// When the first certificate ends of a connection that is made now.
    pub(super) fn first_to_end(&self, other: &Certified) -> SystemTime {
        other.ends.min(self.0.tls.member().ends)
    }

    /// Waits until a connection must end, and says why: this peer stops, one of the
    /// certificates it was made with has ended (by this peer's own clock), or the
    /// other end is no member any more.
    pub(super) fn cut(
        &self,
        member: PeerId,
        ends: SystemTime,
    ) -> impl Future<Output = String> + Send + use<> {
        let clock = self.0.clock.clone();
        let mut closing = self.0.closing.subscribe();
        let records = self.0.tls.records().clone();
        async move {
            let mut changes = records.changes();
            let removed =
                async { while records.allows(&member) && changes.changed().await.is_ok() {} };
            tokio::select! {
                () = clock.reaches(ends) => "the certificate it stood on has ended".to_owned(),
                () = removed => "it was removed from the group".to_owned(),
                _ = closing.wait_for(|closing| *closing) => "this peer stops".to_owned(),
            }
        }
    }
}
