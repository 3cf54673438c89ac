//! Connections that other members make, and which file each of them means.
//!
//! Bounds: so many [`seats`](super::seats) for each member and in all; the first words within
//! [`GREETING`]; those for the next file within [`IDLE`]. A caller that gets no place is told so,
//! and comes again.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use thorp_core::bound::Account;
use thorp_wire::layout::Block;
use thorp_wire::session::handshake::name_of;
use thorp_wire::{Content, PeerId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, split};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use thorp_core::swarm::Have;
use thorp_files::share::ReadError;

use super::files::{self, FileBytes};
use super::greeting::{self, GREETING};
use super::line::{Broken, Inward, Outward};
use super::session::{self, Ended, IDLE, Opening};
use super::{Transfer, Transfers, alone};
use crate::net::for_files;
use crate::net::listener::Incoming;

/// Callers that are told at the same time that there is no place; the others are hung
/// up on.
pub(super) const TURNED_AWAY_AT_ONCE: usize = 64;
/// How long that may take, and how much of what a caller has said is read before the
/// connection is closed: the system would take one with unread bytes for a broken one,
/// and might throw our words away.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(5);
const MAX_UNREAD: u64 = 64 * 1024;
/// Of how many files it is remembered that the disk did not give them.
const NOT_GIVEN: usize = 1024;

/// What a caller means.
pub(super) enum Meant {
    File(Attended),
    /// A file that the disk does not give now.
    NotNow,
    /// None that is here.
    Nothing,
}

/// A transfer that a caller has asked for. When the last caller has gone, also before its session
/// began, the file is closed.
pub(super) struct Attended {
    transfers: Transfers,
    transfer: Arc<Transfer>,
}

impl Deref for Attended {
    type Target = Arc<Transfer>;

    fn deref(&self) -> &Arc<Transfer> {
        &self.transfer
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.transfers.on_session_ended(&self.transfer);
    }
}

impl Transfers {
    pub(super) fn attended(&self, transfer: Arc<Transfer>) -> Attended {
        Attended {
            transfers: self.clone(),
            transfer,
        }
    }

    /// A member has connected, to be sent a file.
    pub fn on_caller(&self, incoming: Incoming) {
        let member = incoming.member.id;
        let is_open = self.0.tls.records().is_open();
        let account = Account::of(member, incoming.remote.ip(), is_open);
        let Some(seat) = self.seat(member, account) else {
            tracing::debug!(remote = %incoming.remote, "there is no place for this session");
            self.turn_away(incoming.stream);
            return;
        };
        let transfers = self.clone();
        tokio::spawn(async move {
            let ends = transfers.first_to_end(&incoming.member);
            let ended = transfers.cut(member, ends);
            let wanted = Arc::clone(&seat.wanted);
            let cut = async move {
                tokio::select! {
                    why = ended => why,
                    () = wanted.notified() => "others have no place at all".to_owned(),
                }
            };
            let caller = (member, account);
            let stream = for_files(incoming.stream);
            transfers.attend(caller, stream, cut).await;
            drop(seat);
        });
    }

    /// Says that there is no place, and hangs up.
    fn turn_away<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        // One that has been idle for long goes, so that there is one next time.
        self.make_room();
        let turning_away = Arc::clone(&self.0.turning_away);
        let Ok(place) = turning_away.try_acquire_owned() else {
            return;
        };
        let me = self.me();
        tokio::spawn(async move {
            let said = timeout(TURNED_AWAY_WITHIN, say_busy(stream, me, place)).await;
            if !matches!(said, Ok(Ok(()))) {
                tracing::debug!("a caller was not told that there is no place");
            }
        });
    }

    /// Serves one file after the other, as it is asked for them.
    pub(super) async fn attend<S>(
        &self,
        (member, account): (PeerId, Account),
        stream: S,
        cut: impl Future<Output = String>,
    ) where
        S: AsyncRead + AsyncWrite,
    {
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
                meant = self.named(greeting.name, greeting.length) => meant,
                why = &mut cut => return tracing::debug!(%why, "no session"),
            };
            let transfer = match meant {
                Meant::File(transfer) => transfer,
                Meant::NotNow => {
                    // It comes again, or asks another holder meanwhile.
                    let said = greeting::send_busy(&mut outward, self.me()).await;
                    outward.shut_down().await;
                    return tracing::debug!(?said, "no session: the file is not to be had now");
                }
                Meant::Nothing => return tracing::debug!("no session: the file is not here"),
            };
            let answers = self.answers();
            let who = (self.me(), self.0.port);
            let said = greeting::send(&mut outward, transfer.content(), who, answers.longest());
            if let Err(why) = said.await {
                return tracing::debug!(%why, "no session");
            }
            let opening = Opening {
                session: self.next_session(),
                source: member.into(),
                account,
                dialled: false,
                offer: greeting.offer,
                answers,
                client: None,
            };
            let (line_in, line_out) = (&mut inward, &mut outward);
            let ended = session::run(line_in, line_out, &transfer, opening, &mut cut).await;
            let layout = transfer.layout();
            drop(transfer);
            match ended {
                Ended::Kept => {}
                Ended::Gone => return,
                Ended::NotGiven(block) => return self.on_not_given(greeting.name, block),
            }
            (earlier, patience) = (Some(layout), IDLE);
        }
    }

    /// The file with this content: one that is on its way, or of the share.
    pub(super) async fn meant(&self, content: Content) -> Meant {
        self.named(name_of(&content.root), Some(content.length))
            .await
    }

    /// The file that a caller means by the beginning of its root, and by its length if it knows.
    async fn named(&self, name: [u8; 20], length: Option<u64>) -> Meant {
        if let Some(transfer) = self.under_way(name, length) {
            return self.if_given(name, self.attended(transfer)).await;
        }
        let Some(share) = self.0.share.clone() else {
            return Meant::Nothing;
        };
        // To open it may be to read it all: once for all callers.
        let lock = alone(&mut self.table().opened, name);
        let Ok(_alone) = lock.acquire_owned().await else {
            return Meant::Nothing;
        };
        if let Some(transfer) = self.under_way(name, length) {
            return self.if_given(name, self.attended(transfer)).await;
        }
        let opened = thorp_disk::spawn(move |disk| {
            let contents = share.contents_named(&name).into_iter();
            let mut meant = contents.filter(|content| {
                length.is_none_or(|length| length == content.length) && content.length > 0
            });
            let mut is_not_now = false;
            let found = meant.find_map(|content| {
                let opened = FileBytes::open(disk, &share, content);
                is_not_now |= matches!(opened, Err(ReadError::NotNow { .. }));
                Some((content, opened.ok()?))
            });
            (found, is_not_now)
        });
        let (content, opened) = match opened.await {
            Ok((Some(found), _)) => found,
            Ok((None, true)) => return Meant::NotNow,
            Ok((None, false)) | Err(_) => return Meant::Nothing,
        };
        // It may be on its way here by now.
        if let Some(transfer) = self.under_way(name, Some(content.length)) {
            return Meant::File(self.attended(transfer));
        }
        // No fetch here has to see to it.
        let (no_fetch, _) = mpsc::unbounded_channel();
        let have = Have::Everything {
            layer: opened.layer().to_vec(),
        };
        let bytes = FileBytes::Shared(opened);
        let Ok(transfer) = self.start(content, bytes, have, no_fetch) else {
            return Meant::Nothing;
        };
        let transfer = {
            let mut table = self.table();
            let there = table.transfers.entry(content);
            Arc::clone(there.or_insert(transfer))
        };
        self.if_given(name, self.attended(transfer)).await
    }

    /// The disk did not give a block of this file to a session.
    pub(super) fn on_not_given(&self, name: [u8; 20], block: Block) {
        let not_given = &mut self.table().not_given;
        if not_given.len() < NOT_GIVEN {
            not_given.insert(name, block);
        }
    }

    /// This file, unless the disk does still not give what it did not give before.
    async fn if_given(&self, name: [u8; 20], transfer: Attended) -> Meant {
        let Some(block) = self.table().not_given.get(&name).copied() else {
            return Meant::File(transfer);
        };
        let reads = Arc::clone(&transfer);
        let read = thorp_disk::spawn(move |disk| {
            let mut bytes = vec![0; block.length() as usize];
            reads.read(disk, block, &mut bytes)
        })
        .await;
        if matches!(read, Ok(Err(error)) if files::is_not_now(&error)) {
            return Meant::NotNow;
        }
        self.table().not_given.remove(&name);
        Meant::File(transfer)
    }

    fn make_room(&self) {
        let transfers: Vec<_> = self.table().transfers.values().cloned().collect();
        transfers.iter().any(|transfer| transfer.make_room());
    }
}

async fn say_busy<S>(stream: S, me: PeerId, _place: OwnedSemaphorePermit) -> Result<(), Broken>
where
    S: AsyncRead + AsyncWrite,
{
    let (read, write) = split(stream);
    let mut outward = Outward::new(write);
    greeting::send_busy(&mut outward, me).await?;
    outward.shut_down().await;
    let mut rest = read.take(MAX_UNREAD);
    // What it says is not wanted, nor how it ends.
    let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use thorp_core::swarm::Offer;
    use thorp_disk::testing::DISK;
    use thorp_files::share::{Options, Share};
    use thorp_group::clock::Clock;
    use thorp_group::testing::Group;
    use thorp_wire::merkle::content_of;
    use tokio::task::JoinSet;

    use super::*;
    use crate::sessions::Setup;
    use crate::sessions::greeting::Greeting;

    /// A share with one file, which is hashed.
    async fn shared() -> (tempfile::TempDir, Share, Content) {
        let dir = tempfile::tempdir().expect("a directory");
        let bytes: Vec<u8> = (0..=250).cycle().take(300_000).collect();
        let path = dir.path().join("share");
        std::fs::create_dir(&path).expect("is made");
        std::fs::write(path.join("f"), &bytes).expect("is written");
        let content = content_of(&bytes);
        let (share, mut events) = Share::open(DISK, &path, Options::default()).expect("a share");
        while share.contents_named(&name_of(&content.root)).is_empty() {
            events.recv().await.expect("the share is open");
        }
        (dir, share, content)
    }

    fn transfers(share: &Share) -> Transfers {
        let group = Group::new();
        Transfers::new(Setup {
            tls: group.member("oak"),
            clock: Clock::system(),
            source: None,
            port: None,
            share: Some(share.clone()),
            serves_clients: false,
            in_use: mpsc::channel(1).0,
        })
    }

    fn greeting(content: Content) -> Greeting {
        Greeting {
            name: name_of(&content.root),
            length: Some(content.length),
            offer: Offer {
                fast: true,
                longest_request: 16_384,
                most_requests: None,
                member: true,
                hashes: true,
            },
        }
    }

    #[tokio::test]
    async fn a_file_that_many_ask_for_at_once_is_opened_once() {
        let (_dir, share, content) = shared().await;
        let (transfers, greeting) = (transfers(&share), greeting(content));
        let before = share.totals().opened;
        let mut asking = JoinSet::new();
        for _ in 0..8 {
            let (transfers, greeting) = (transfers.clone(), greeting.clone());
            asking.spawn(async move { transfers.named(greeting.name, greeting.length).await });
        }
        let meant = asking.join_all().await;
        assert!(meant.iter().all(|meant| matches!(meant, Meant::File(_))));
        assert_eq!(share.totals().opened - before, 1);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_looked_at_now_is_not_taken_for_one_that_is_not_here() {
        let (dir, share, content) = shared().await;
        let length = Some(content.length + 1);
        let (transfers, greeting) = (transfers(&share), greeting(content));
        let of_other = Greeting {
            length,
            ..greeting.clone()
        };
        // Looking at the share leads in a circle: no disk says so of what is gone.
        let (path, elsewhere) = (dir.path().join("share"), dir.path().join("elsewhere"));
        std::fs::rename(&path, &elsewhere).expect("is moved");
        std::os::unix::fs::symlink("share", &path).expect("links");
        let meant = transfers.named(greeting.name, greeting.length).await;
        assert!(matches!(meant, Meant::NotNow));
        let meant = transfers.named(of_other.name, of_other.length).await;
        assert!(matches!(meant, Meant::Nothing));
        std::fs::remove_file(&path).expect("is removed");
        std::fs::rename(&elsewhere, &path).expect("is back");
        let meant = transfers.named(greeting.name, greeting.length).await;
        assert!(matches!(meant, Meant::File(_)));
    }

    #[tokio::test]
    async fn no_file_stays_open_for_a_caller_that_has_gone_before_it_was_answered() {
        let (_dir, share, content) = shared().await;
        let transfers = transfers(&share);
        let (here, there) = tokio::io::duplex(4096);
        let mut caller = Outward::new(there);
        let asked = greeting::send(&mut caller, content, (PeerId::new([7; 32]), None), 16_384);
        asked.await.expect("is asked");
        drop(caller);
        let member = PeerId::new([7; 32]);
        let who = (member, Account::Member(member));
        let opened = share.totals().opened;
        transfers.attend(who, here, std::future::pending()).await;
        assert_eq!(share.totals().opened, opened + 1, "it was opened");
        assert!(transfers.table().transfers.is_empty());

        // Nor for one that goes while it is opened.
        let name = name_of(&content.root);
        let meant = transfers.named(name, None).await;
        assert!(matches!(meant, Meant::File(_)));
        assert_eq!(transfers.table().transfers.len(), 1);
        drop(meant);
        assert!(transfers.table().transfers.is_empty());
    }
}
