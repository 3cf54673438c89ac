//! Connections that others make, and which file they mean.
//!
//! Bounds: so many for each member and in all; the first words within
//! [`GREETING`]; those for the next file within [`IDLE`].

use std::sync::Arc;

use thorp_wire::PeerId;
use tokio::io::split;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use thorp_core::swarm::Have;

use super::files::Bytes;
use super::greeting::{self, GREETING, Greeting};
use super::line::{Inward, Outward};
use super::session::{self, Ended, IDLE, Opening};
use super::{Swarms, Transfer};
use crate::listener::Incoming;

/// Connections of one member, and of all.
const EACH: usize = 16;
const ALL: usize = 256;

/// A caller's place, given back when it is dropped.
struct Place {
    swarms: Swarms,
    member: PeerId,
}

impl Swarms {
    /// A member has connected, to be sent a file.
    pub fn called(&self, incoming: Incoming) {
        let member = incoming.member.id;
        let Some(place) = self.place(member) else {
            tracing::debug!(remote = %incoming.remote, "too many sessions: closed");
            return;
        };
        let swarms = self.clone();
        tokio::spawn(async move {
            let cut = swarms.cut(member, incoming.member.ends);
            swarms.attend(member, incoming.stream, cut).await;
            drop(place);
        });
    }

    /// Serves one file after the other, as it is asked for them.
    async fn attend(
        &self,
        member: PeerId,
        stream: TlsStream<TcpStream>,
        cut: impl Future<Output = String>,
    ) {
        let mut cut = std::pin::pin!(cut);
        let (read, write) = split(stream);
        let (mut inward, mut outward) = (Inward::new(read), Outward::new(write));
        let (mut earlier, mut patience) = (None, GREETING);
        loop {
            let heard = tokio::select! {
                heard = timeout(patience, greeting::hear(&mut inward, earlier)) => heard,
                why = &mut cut => return tracing::debug!(%why, "no session"),
            };
            let greeting = match heard {
                Ok(Ok(greeting)) => greeting,
                Ok(Err(why)) => return tracing::debug!(%why, "no session"),
                Err(_) => return tracing::debug!("no session: nothing was said for too long"),
            };
            let Some(transfer) = self.meant(&greeting).await else {
                return tracing::debug!("no session: the file is not here");
            };
            let said = greeting::say(&mut outward, transfer.content(), self.me(), self.0.port);
            if let Err(why) = said.await {
                return tracing::debug!(%why, "no session");
            }
            let opening = Opening {
                session: self.next_session(),
                peer: member,
                dialled: false,
                offer: greeting.offer,
            };
            let (line_in, line_out) = (&mut inward, &mut outward);
            let ended = session::run(line_in, line_out, &transfer, opening, &mut cut).await;
            self.left(&transfer);
            if ended == Ended::Gone {
                return;
            }
            (earlier, patience) = (Some(transfer.layout()), IDLE);
        }
    }

    /// The file that somebody means: one that is on its way, or of the share.
    async fn meant(&self, greeting: &Greeting) -> Option<Arc<Transfer>> {
        let Greeting { name, length, .. } = *greeting;
        if let Some(transfer) = self.under_way(name, length) {
            return Some(transfer);
        }
        let share = self.0.share.clone()?;
        let opened = tokio::task::spawn_blocking(move || {
            let contents = share.contents_named(&name).into_iter();
            let mut meant = contents.filter(|content| {
                length.is_none_or(|length| length == content.length) && content.length > 0
            });
            meant.find_map(|content| Some((content, Bytes::open(&share, content)?)))
        });
        let (content, opened) = opened.await.ok().flatten()?;
        // Somebody else may have been as fast.
        if let Some(transfer) = self.under_way(name, Some(content.length)) {
            return Some(transfer);
        }
        let (nobody, _) = mpsc::unbounded_channel();
        let have = Have::Everything {
            layer: opened.layer().to_vec(),
        };
        let bytes = Bytes::Shared(opened);
        let transfer = self.start(content, bytes, have, nobody).ok()?;
        let mut table = self.table();
        let there = table.transfers.entry(content);
        Some(Arc::clone(there.or_insert(transfer)))
    }

    fn place(&self, member: PeerId) -> Option<Place> {
        let mut table = self.table();
        let all: usize = table.callers.values().sum();
        let each = table.callers.entry(member).or_default();
        if *each >= EACH || all >= ALL {
            if *each == 0 {
                table.callers.remove(&member);
            }
            return None;
        }
        *each += 1;
        Some(Place {
            swarms: self.clone(),
            member,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.swarms.table();
        if let Some(each) = table.callers.get_mut(&self.member) {
            *each -= 1;
            if *each == 0 {
                table.callers.remove(&self.member);
            }
        }
    }
}
