//! Connections that other members make, and which file each of them means.
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

use super::files::FileBytes;
use super::greeting::{self, GREETING, Greeting};
use super::line::{Inward, Outward};
use super::session::{self, Ended, IDLE, Opening};
use super::{Swarms, Transfer, alone};
use crate::net::listener::Incoming;

/// Connections of one member, and of all.
const EACH: usize = 16;
const ALL: usize = 256;

/// A caller's seat, given back when it is dropped.
struct Seat {
    swarms: Swarms,
    member: PeerId,
}

impl Swarms {
    /// A member has connected, to be sent a file.
    pub fn on_caller(&self, incoming: Incoming) {
        let member = incoming.member.id;
        let Some(seat) = self.seat(member) else {
            tracing::debug!(remote = %incoming.remote, "too many sessions: closed");
            return;
        };
        let swarms = self.clone();
        tokio::spawn(async move {
            let ends = swarms.first_to_end(&incoming.member);
            let cut = swarms.cut(member, ends);
            swarms.attend(member, incoming.stream, cut).await;
            drop(seat);
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
                heard = timeout(patience, greeting::read(&mut inward, earlier)) => heard,
                why = &mut cut => return tracing::debug!(%why, "no session"),
            };
            let greeting = match heard {
                Ok(Ok(greeting)) => greeting,
                Ok(Err(why)) => return tracing::debug!(%why, "no session"),
                Err(_) => return tracing::debug!("no session: nothing was said for too long"),
            };
            let meant = tokio::select! {
                meant = self.transfer_of(&greeting) => meant,
                why = &mut cut => return tracing::debug!(%why, "no session"),
            };
            let Some(transfer) = meant else {
                return tracing::debug!("no session: the file is not here");
            };
            let said = greeting::send(&mut outward, transfer.content(), self.me(), self.0.port);
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
            self.on_session_ended(&transfer);
            if ended == Ended::Gone {
                return;
            }
            (earlier, patience) = (Some(transfer.layout()), IDLE);
        }
    }

    /// The file that a caller means: one that is on its way, or of the share.
    async fn transfer_of(&self, greeting: &Greeting) -> Option<Arc<Transfer>> {
        let Greeting { name, length, .. } = *greeting;
        if let Some(transfer) = self.under_way(name, length) {
            return Some(transfer);
        }
        let share = self.0.share.clone()?;
        // To open it may be to read it all: once for all callers.
        let lock = alone(&mut self.table().opened, name);
        let _alone = lock.acquire_owned().await.ok()?;
        if let Some(transfer) = self.under_way(name, length) {
            return Some(transfer);
        }
        let opened = thorp_disk::spawn(move |disk| {
            let contents = share.contents_named(&name).into_iter();
            let mut meant = contents.filter(|content| {
                length.is_none_or(|length| length == content.length) && content.length > 0
            });
            meant.find_map(|content| Some((content, FileBytes::open(disk, &share, content)?)))
        });
        let (content, opened) = opened.await.ok().flatten()?;
        // It may be on its way here by now.
        if let Some(transfer) = self.under_way(name, Some(content.length)) {
            return Some(transfer);
        }
        // No fetch here has to see to it.
        let (no_fetch, _) = mpsc::unbounded_channel();
        let have = Have::Everything {
            layer: opened.layer().to_vec(),
        };
        let bytes = FileBytes::Shared(opened);
        let transfer = self.start(content, bytes, have, no_fetch).ok()?;
        let mut table = self.table();
        let there = table.transfers.entry(content);
        Some(Arc::clone(there.or_insert(transfer)))
    }

    fn seat(&self, member: PeerId) -> Option<Seat> {
        let (each, all) = {
            let callers = &self.table().callers;
            let each = callers.get(&member).copied().unwrap_or(0);
            (each, callers.values().sum::<usize>())
        };
        // A session that is asked to end for this one gives its seat back soon.
        if each >= EACH || (all >= ALL && !self.make_room()) {
            return None;
        }
        *self.table().callers.entry(member).or_default() += 1;
        Some(Seat {
            swarms: self.clone(),
            member,
        })
    }
}

impl Swarms {
    fn make_room(&self) -> bool {
        let transfers: Vec<_> = self.table().transfers.values().cloned().collect();
        transfers.iter().any(|transfer| transfer.make_room())
    }
}

impl Drop for Seat {
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

#[cfg(test)]
mod tests {
    use thorp_core::swarm::Offer;
    use thorp_disk::testing::DISK;
    use thorp_files::share::{Options, Share};
    use thorp_group::clock::Clock;
    use thorp_group::testing::Group;
    use thorp_wire::merkle::content_of;
    use thorp_wire::session::handshake::name_of;
    use tokio::task::JoinSet;

    use super::*;
    use crate::sessions::Setup;

    #[tokio::test]
    async fn a_file_that_many_ask_for_at_once_is_opened_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let bytes: Vec<u8> = (0..=250).cycle().take(300_000).collect();
        std::fs::write(dir.path().join("f"), &bytes).expect("is written");
        let content = content_of(&bytes);
        let (share, mut events) =
            Share::open(DISK, dir.path(), Options::default()).expect("a share");
        while share.contents_named(&name_of(&content.root)).is_empty() {
            events.recv().await.expect("the share is open");
        }
        let group = Group::new();
        let swarms = Swarms::new(Setup {
            tls: group.member("oak"),
            clock: Clock::system(),
            source: None,
            port: None,
            share: Some(share.clone()),
            fed: mpsc::channel(1).0,
        });
        let greeting = Greeting {
            name: name_of(&content.root),
            length: Some(content.length),
            offer: Offer {
                fast: true,
                longest_request: 16_384,
                most_requests: None,
                member: true,
            },
        };
        let before = share.totals().opened;
        let mut asking = JoinSet::new();
        for _ in 0..8 {
            let (swarms, greeting) = (swarms.clone(), greeting.clone());
            asking.spawn(async move { swarms.transfer_of(&greeting).await.is_some() });
        }
        assert_eq!(asking.join_all().await, [true; 8]);
        assert_eq!(share.totals().opened - before, 1);
    }
}
