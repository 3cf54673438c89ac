//! Connections with clients of BitTorrent, where both this peer's share and its group serve them.
//!
//! Owns from what a client has said to which file it gets, how one is called that may have a
//! file, and when a connection ends whatever the client does. A client that means no torrent of
//! the share, and none that is sought or fetched, is closed without a word, as it is where no
//! client is served.

use std::net::SocketAddr;
use std::sync::Arc;

use thorp_core::bound::Account;
use thorp_core::swarm::{GreetedClient, Have, Offer, SourceId};
use thorp_files::share::SharedTorrent;
use thorp_wire::session::Handshake;
use thorp_wire::session::handshake::name_of;
use thorp_wire::session::message::ORDINARY_REQUEST;
use thorp_wire::torrent::build::Privacy;
use thorp_wire::{ClientId, InfoHash};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::callers::{Attended, Meant};
use super::files::FileBytes;
use super::greeting::{self, GREETING};
use super::kept::KeptBytes;
use super::line::{Broken, Inward, Outward};
use super::seats::{LastUse, Seat};
use super::session::{self, Answers, Ended, Opening};
use super::talk::Talk;
use super::{Transfer, Transfers, alone};
use crate::net::listener::Client;
use crate::net::{dial, keep_few_unsent};

/// Why a connection ends before it is used.
const ITSELF: &str = "it is this peer itself";
const TWICE: &str = "there is another connection with it";

impl Transfers {
    /// A client has connected.
    pub fn on_client(&self, client: Client) {
        let Some(seat) = self.client_seat(client.remote.ip()) else {
            return tracing::debug!(remote = %client.remote, "there is no place for this client");
        };
        let transfers = self.clone();
        tokio::spawn(async move {
            let remote = client.remote;
            if let Err(why) = transfers.attend_client(client, &seat).await {
                tracing::debug!(%remote, %why, "no session with a client");
            }
        });
    }

    async fn attend_client(&self, client: Client, seat: &Seat) -> Result<(), String> {
        let info_hash = InfoHash::new(client.handshake.name);
        let mut cut = std::pin::pin!(self.cut_client(seat.wanted.notified()));
        let meant = tokio::select! {
            meant = self.torrent(info_hash) => meant,
            why = &mut cut => return Err(why),
        };
        let (info, version, transfer) = match meant {
            Ok(meant) => meant,
            Err(why) => {
                return tokio::select! {
                    asked = self.ask_caller(client) => asked.unwrap_or(Err(why)),
                    why = &mut cut => Err(why),
                };
            }
        };
        let Client {
            stream,
            handshake,
            remote,
        } = client;
        keep_few_unsent(&stream);
        let (read, write) = stream.into_split();
        let (mut inward, mut outward) = (Inward::new(read), Outward::new(write));
        let talk = Talk::new(info_hash, Some(info));
        let understands = handshake.extensions.extended;
        let extended = understands.then(|| talk.handshake(self.0.port, remote.ip()));
        let answer = Handshake::of_client(info_hash, self.0.client_id);
        greeting::say(&mut outward, &answer, extended.as_ref())
            .await
            .map_err(|why| why.to_string())?;
        // Only now, so that the end that has dialled knows as well.
        if handshake.peer == *self.0.client_id.as_bytes() {
            return Err(ITSELF.to_owned());
        }
        let session = self.next_session();
        let greeted = greeted(&handshake, remote, false);
        if !transfer.greeted(session, greeted, self.0.client_id) {
            return Err(TWICE.to_owned());
        }
        let opening = Opening {
            session,
            source: SourceId::Client(remote),
            account: Account::Address(remote.ip()),
            dialled: false,
            offer: offer_of(&handshake, version),
            answers: Answers::default(),
            client: Some((talk, seat.used.clone())),
        };
        // Whatever the swarm thinks of it, a client's connection is for one torrent.
        let ended = session::run(&mut inward, &mut outward, &transfer, opening, &mut cut).await;
        outward.shut_down().await;
        if let Ended::NotGiven(block) = ended
            && transfer.kept().is_none()
        {
            self.on_not_given(name_of(&transfer.content().root), block);
        }
        Ok(())
    }

    /// Connects to a client for this file, and stays until it is done.
    pub(super) async fn visit_client(&self, transfer: &Arc<Transfer>, client: SocketAddr) {
        if let Err(why) = self.call_client(transfer, client).await {
            tracing::debug!(%client, %why, "no session with a client");
            transfer.dial_failed(SourceId::Client(client), why);
        }
    }

    async fn call_client(
        &self,
        transfer: &Arc<Transfer>,
        client: SocketAddr,
    ) -> Result<(), String> {
        let asked = transfer.torrent_of(client).ok_or("it is of no torrent")?;
        let torrent = asked.torrent;
        let version = if asked.is_v1 {
            Version::V1
        } else {
            Version::V2
        };
        let stream = dial::dial_client(client, self.0.source).await;
        let stream = stream.map_err(|error| error.to_string())?;
        transfer.was_reached();
        keep_few_unsent(&stream);
        let (read, write) = stream.into_split();
        let (mut inward, mut outward) = (Inward::new(read), Outward::new(write));
        let info = transfer.torrent().map(|fetched| Arc::clone(&fetched.raw));
        let talk = Talk::new(torrent, info).or_public(asked.is_public);
        let greeting = timeout(GREETING, async {
            let mut ours = Handshake::of_client(torrent, self.0.client_id);
            // A client that has a v1 torrent takes a peer that offers v2 to mean another one.
            ours.extensions.v2 = match transfer.torrent() {
                Some(fetched) => fetched.is_v2(torrent),
                None => version == Version::V2,
            };
            greeting::say(&mut outward, &ours, None).await?;
            let theirs = inward.handshake().await?;
            if theirs.extensions.extended {
                let words = talk.handshake(self.0.port, client.ip());
                greeting::say_extended(&mut outward, &words).await?;
            }
            Ok::<_, Broken>(theirs)
        });
        let theirs = match greeting.await {
            Ok(Ok(theirs)) => theirs,
            Ok(Err(why)) => return Err(why.to_string()),
            Err(_) => return Err(format!("it has said nothing for {} s", GREETING.as_secs())),
        };
        if theirs.name != *torrent.as_bytes() {
            return Err("it speaks of another torrent".to_owned());
        }
        if theirs.peer == *self.0.client_id.as_bytes() {
            transfer.is_itself(client);
            return Err(ITSELF.to_owned());
        }
        if transfer.is_over() {
            return Ok(());
        }
        let session = self.next_session();
        if !transfer.greeted(session, greeted(&theirs, client, true), self.0.client_id) {
            return Err(TWICE.to_owned());
        }
        let opening = Opening {
            session,
            source: SourceId::Client(client),
            account: Account::Address(client.ip()),
            dialled: true,
            offer: offer_of(&theirs, version),
            answers: Answers::default(),
            client: Some((talk, LastUse::now())),
        };
        let cut = self.cut_client(std::future::pending());
        session::run(&mut inward, &mut outward, transfer, opening, cut).await;
        outward.shut_down().await;
        self.on_session_ended(transfer);
        Ok(())
    }

    /// The info dictionary that has this info-hash, and the file of the share that it describes.
    async fn torrent(&self, info_hash: InfoHash) -> Result<(Arc<[u8]>, Version, Attended), String> {
        if let Some(transfer) = self.torrent_under_way(info_hash)
            && let Some(torrent) = transfer.torrent()
        {
            let info = Arc::clone(&torrent.raw);
            return Ok((info, Version::V1, self.attended(transfer)));
        }
        let share = self.0.share.as_ref();
        if share.is_some_and(|share| share.has_kept(info_hash)) {
            let transfer = self.kept(info_hash).await?;
            let kept = transfer.kept().ok_or("it is being fetched")?;
            // Whoever has the hashes of its pieces needs no others.
            return Ok((kept.info(), Version::V1, transfer));
        }
        let torrent = share.and_then(|share| share.torrent(info_hash));
        let torrent = torrent.ok_or_else(|| format!("{info_hash} is not shared"))?;
        let content = torrent.content;
        let version = match torrent.info {
            Some(_) => Version::V2,
            None => Version::V1,
        };
        let info = self.info_of(torrent).await?;
        match self.meant(content).await {
            Meant::File(transfer) => Ok((info, version, transfer)),
            Meant::NotNow => Err("the file is not to be had now".to_owned()),
            Meant::Nothing => Err("the file is not here any more".to_owned()),
        }
    }

    /// The kept torrent with this info-hash, ready to be served.
    async fn kept(&self, info_hash: InfoHash) -> Result<Attended, String> {
        let Some(share) = self.0.share.clone() else {
            return Err("nothing is shared".to_owned());
        };
        // To read an info dictionary may take long: once for all clients.
        let lock = alone(&mut self.table().opened, *info_hash.as_bytes());
        let Ok(_alone) = lock.acquire_owned().await else {
            return Err("this peer stops".to_owned());
        };
        if let Some(served) = self.served_kept(info_hash) {
            return Ok(self.attended(served));
        }
        let read = thorp_disk::spawn(move |disk| {
            let kept = share.kept_torrent(disk, info_hash);
            let kept = kept.ok_or("it is not kept any more")?;
            let bytes = KeptBytes::new(share, kept).map_err(|_| "it cannot be served")?;
            // All of the info dictionary is hashed for it.
            let content = bytes.content();
            Ok::<_, &str>((Arc::new(bytes), content))
        });
        let (bytes, content) = match read.await {
            Ok(read) => read?,
            Err(_) => return Err("this peer stops".to_owned()),
        };
        // No fetch here has to see to it.
        let (no_fetch, _) = mpsc::unbounded_channel();
        let have = Have::Torrent(bytes.layout());
        let transfer = self.start(content, FileBytes::Kept(bytes), have, no_fetch);
        let transfer = transfer.map_err(|why| why.to_string())?;
        let mut table = self.table();
        table.transfers.insert(content, Arc::clone(&transfer));
        Ok(self.attended(transfer))
    }

    fn served_kept(&self, info_hash: InfoHash) -> Option<Arc<Transfer>> {
        let table = self.table();
        let mut served = table.transfers.values().filter(|transfer| {
            let is_it = transfer.kept().is_some_and(|kept| kept.has(info_hash));
            is_it && !transfer.is_over()
        });
        served.next().cloned()
    }

    async fn info_of(&self, torrent: SharedTorrent) -> Result<Arc<[u8]>, String> {
        if let Some(info) = torrent.info {
            return Ok(info.into());
        }
        let Some(share) = self.0.share.clone() else {
            return Err("nothing is shared".to_owned());
        };
        // Where its hashes are not remembered, the whole file is read, though its client may leave.
        let place = Arc::clone(&self.0.hashers).acquire_owned().await;
        let info = thorp_disk::spawn(move |disk| {
            let _place = place;
            share.v1_info(disk, &torrent.name, Privacy::Private)
        });
        match info.await {
            Ok(Ok(Some(info))) => Ok(info.into()),
            Ok(Ok(None)) | Err(_) => Err("the file is not hashed for v1 any more".to_owned()),
            Ok(Err(why)) => Err(why.to_string()),
        }
    }

    /// Waits until a client's connection must end, and says why.
    async fn cut_client(&self, wanted: impl Future<Output = ()>) -> String {
        let records = self.0.tls.records().clone();
        let mut changes = records.changes();
        let mut closing = self.0.closing.subscribe();
        let refused =
            async { while records.serves_clients() && changes.changed().await.is_ok() {} };
        tokio::select! {
            () = refused => "the group serves clients no more".to_owned(),
            () = wanted => "others wait for its place".to_owned(),
            _ = closing.wait_for(|closing| *closing) => "this peer stops".to_owned(),
        }
    }
}

/// Of which version the torrent of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// Who a client is, as far as its handshake says.
fn greeted(handshake: &Handshake, at: SocketAddr, dialled: bool) -> GreetedClient {
    GreetedClient {
        client: ClientId::new(handshake.peer),
        torrent: InfoHash::new(handshake.name),
        at,
        dialled,
    }
}

/// What a client supports, as far as its handshake says. Of a torrent of version 1 it knows no
/// hashes that it could be asked for.
fn offer_of(handshake: &Handshake, version: Version) -> Offer {
    Offer {
        fast: handshake.extensions.fast,
        longest_request: ORDINARY_REQUEST,
        most_requests: None,
        member: false,
        hashes: version == Version::V2,
    }
}

#[cfg(test)]
mod tests;
