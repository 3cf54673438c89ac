//! What is asked of a client of which only an info-hash is known: the info dictionary (BEP 9), and
//! of a v2 torrent the hashes of its files' pieces (BEP 52), which a magnet link has not.
//!
//! Owns one conversation for this alone, which has a bound in time and in bytes: with a client that
//! is dialled, or with one that calls meanwhile. What comes is compared with the info-hash, and
//! with the roots of the files.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thorp_core::dialled::{HeardOver, may_be_dialled};
use thorp_wire::layout::{Layout, MOST_PIECES};
use thorp_wire::merkle::{self, Hash};
use thorp_wire::session::extended::number_after;
use thorp_wire::session::message::{LONGEST_REQUEST, MessageLimits};
use thorp_wire::session::metadata::{LONGEST_METADATA, METADATA_BLOCK, metadata_block_length};
use thorp_wire::session::{
    ExtendedHandshake, Handshake, HashRange, Head, Message, MetadataMessage,
};
use thorp_wire::torrent::{Info, info_hash_v1, info_hash_v2};
use thorp_wire::{InfoHash, Root};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::Transfers;
use super::greeting::{self, GREETING};
use super::line::{Broken, Inward, Outward};
use super::talk::Talk;
use crate::net::dial;
use crate::net::listener::Client;

/// How long a client may take for the first answer, and how much longer for each other one: of 16
/// KiB mostly, so that a thin line will do. Whatever else it says meanwhile, this moves no further.
const ANSWERS: Duration = Duration::from_secs(20);
const EACH: Duration = Duration::from_secs(1);
/// How many clients that have called are asked at a time.
const CALLERS_AT_ONCE: usize = 4;

/// The info-hash by which a torrent is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sought {
    V1(InfoHash),
    /// The first 20 bytes.
    V2(InfoHash),
}

/// What a client has said of a torrent, and is right.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub info: Info,
    /// The hashes of the pieces of its files, where a file has several and the torrent is of v2
    /// only.
    pub layers: BTreeMap<Root, Vec<Hash>>,
}

impl Transfers {
    /// Asks a client for what a torrent is.
    pub async fn metadata_from(
        &self,
        client: SocketAddr,
        sought: Sought,
    ) -> Result<Metadata, String> {
        let stream = dial::dial_client(client, self.0.source).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let mut asking = Asking::new(stream, sought);
        asking.converse(self, client, None).await
    }

    /// Asks clients that call for what a torrent is, until what this returns is dropped. Where they
    /// are asked already, only who began it is told.
    pub fn ask_callers(&self, sought: &[Sought]) -> AskedCallers {
        let (told, told_in) = mpsc::channel(1);
        let places = Arc::new(Semaphore::new(CALLERS_AT_ONCE));
        let mut table = self.table();
        for of in sought {
            let row = SoughtRow {
                sought: *of,
                told: told.clone(),
                places: Arc::clone(&places),
            };
            table.sought.entry(of.info_hash()).or_insert(row);
        }
        AskedCallers {
            transfers: self.clone(),
            told: told_in,
            tells: told,
        }
    }

    /// Asks a client that has called, if it is not known what the torrent is for which it has.
    /// `None` if that is not so.
    pub(super) async fn ask_caller(&self, client: Client) -> Option<Result<(), String>> {
        let torrent = InfoHash::new(client.handshake.name);
        let row = self.table().sought.get(&torrent).cloned()?;
        Some(self.ask_caller_for(client, row).await)
    }

    async fn ask_caller_for(&self, client: Client, row: SoughtRow) -> Result<(), String> {
        let Ok(_place) = row.places.try_acquire() else {
            return Err("others are being asked".to_owned());
        };
        let mut asking = Asking::new(client.stream, row.sought);
        let theirs = Some(client.handshake);
        let metadata = asking.converse(self, client.remote, theirs).await?;
        let ip = client.remote.ip().to_canonical();
        let listens = asking.port.map(|port| SocketAddr::new(ip, port));
        let listens = listens.filter(|at| may_be_dialled(*at, HeardOver::of(ip)));
        // Another one may have been faster.
        let _ = row.told.try_send((metadata, row.sought, listens));
        Ok(())
    }
}

/// What a client has told that has called, of which torrent, and where it listens, if that is
/// known.
type ToldByCaller = (Metadata, Sought, Option<SocketAddr>);

/// A torrent of which clients that call are asked what it is.
#[derive(Clone, Debug)]
pub(super) struct SoughtRow {
    sought: Sought,
    told: mpsc::Sender<ToldByCaller>,
    places: Arc<Semaphore>,
}

/// Clients that call are asked until it is dropped.
pub(crate) struct AskedCallers {
    transfers: Transfers,
    told: mpsc::Receiver<ToldByCaller>,
    /// So that it is never closed.
    tells: mpsc::Sender<ToldByCaller>,
}

impl AskedCallers {
    /// What the first of them has told.
    pub async fn told(&mut self) -> ToldByCaller {
        match self.told.recv().await {
            Some(told) => told,
            None => std::future::pending().await,
        }
    }
}

impl Drop for AskedCallers {
    fn drop(&mut self) {
        let mut table = self.transfers.table();
        let is_another = |row: &SoughtRow| !row.told.same_channel(&self.tells);
        table.sought.retain(|_, row| is_another(row));
    }
}

struct Asking {
    inward: Inward<OwnedReadHalf>,
    outward: Outward<OwnedWriteHalf>,
    sought: Sought,
    /// When what it was asked last must have been answered.
    until: Instant,
    /// Where it listens, as it says.
    port: Option<u16>,
}

impl Asking {
    fn new(stream: TcpStream, sought: Sought) -> Self {
        let (read, write) = stream.into_split();
        Self {
            inward: Inward::new(read),
            outward: Outward::new(write),
            sought,
            until: Instant::now() + GREETING + ANSWERS,
            port: None,
        }
    }

    /// All of it, to the end of the connection. Of a client that has called its words are there.
    async fn converse(
        &mut self,
        transfers: &Transfers,
        client: SocketAddr,
        theirs: Option<Handshake>,
    ) -> Result<Metadata, String> {
        let greeted = timeout(GREETING, self.greet(transfers, client, theirs));
        let greeted = greeted.await.unwrap_or(Err(Broken::Idle));
        greeted.map_err(|why| why.to_string())?;
        let metadata = self.ask().await;
        self.outward.shut_down().await;
        metadata
    }

    async fn greet(
        &mut self,
        transfers: &Transfers,
        client: SocketAddr,
        theirs: Option<Handshake>,
    ) -> Result<(), Broken> {
        let mut ours = Handshake::of_client(self.sought.info_hash(), transfers.0.client_id);
        ours.extensions.v2 = matches!(self.sought, Sought::V2(_));
        greeting::say(&mut self.outward, &ours, None).await?;
        let theirs = match theirs {
            Some(theirs) => theirs,
            None => self.inward.handshake().await?,
        };
        let is_itself = theirs.peer == ours.peer;
        if theirs.name != ours.name || !theirs.extensions.extended || is_itself {
            return Err(Broken::Closed);
        }
        let talk = Talk::new(self.sought.info_hash(), None);
        let words = talk.handshake(transfers.0.port, client.ip());
        greeting::say_extended(&mut self.outward, &words).await
    }

    async fn ask(&mut self) -> Result<Metadata, String> {
        let raw = self.dictionary().await?;
        if !self.sought.is_of(&raw) {
            return Err("it has sent another info dictionary".to_owned());
        }
        let info = Info::decode(&raw).map_err(|why| why.to_string())?;
        let mut layers = BTreeMap::new();
        if info.v1().is_none() {
            for file in info.files() {
                let (Some(root), Some(layout)) =
                    (file.root, Layout::cut(file.length, info.piece_length()))
                else {
                    continue;
                };
                if layout.pieces().is_some_and(|pieces| pieces > 1) && !layers.contains_key(&root) {
                    layers.insert(root, self.layer(root, layout).await?);
                }
            }
        }
        Ok(Metadata { info, layers })
    }

    /// The info dictionary, block by block.
    async fn dictionary(&mut self) -> Result<Vec<u8>, String> {
        let refused = || "it does not send the info dictionary".to_owned();
        let (number, total) = loop {
            let Message::Extended { number, payload } = self.next().await? else {
                continue;
            };
            if number == ExtendedHandshake::NUMBER {
                let said = ExtendedHandshake::decode(&payload).map_err(|why| why.to_string())?;
                self.port = said.port.or(self.port);
                let length = said.metadata_length;
                let length = length.filter(|length| (1..=LONGEST_METADATA).contains(length));
                let number = number_after(None, said.metadata);
                break number.zip(length).ok_or_else(refused)?;
            }
        };
        let mut raw = Vec::new();
        for block in 0..total.div_ceil(METADATA_BLOCK) {
            let payload = MetadataMessage::Request(block).encode();
            self.say(&Message::Extended { number, payload }).await?;
            let bytes = self.block(block).await?.ok_or_else(refused)?;
            if metadata_block_length(total, block) != u32::try_from(bytes.len()).ok() {
                return Err(refused());
            }
            raw.extend(bytes);
        }
        Ok(raw)
    }

    /// A block that was asked for. `None` if it is refused.
    async fn block(&mut self, wanted: u32) -> Result<Option<Vec<u8>>, String> {
        loop {
            let Message::Extended { number, payload } = self.next().await? else {
                continue;
            };
            if number != MetadataMessage::NUMBER {
                continue;
            }
            match MetadataMessage::decode(&payload) {
                Ok(MetadataMessage::Block { number, bytes, .. }) if number == wanted => {
                    self.was_answered();
                    return Ok(Some(bytes));
                }
                Ok(MetadataMessage::Reject(number)) if number == wanted => return Ok(None),
                _ => {}
            }
        }
    }

    /// The hashes of a file's pieces.
    async fn layer(&mut self, root: Root, layout: Layout) -> Result<Vec<Hash>, String> {
        let mut layer = Vec::new();
        for range in merkle::layer_ranges_in(layout, root) {
            self.say(&Message::HashRequest(range)).await?;
            let answer = self.hashes(range).await?;
            let hashes = merkle::verify_in(layout, root, &range, &answer);
            layer.extend_from_slice(hashes.map_err(|why| why.to_string())?);
        }
        Ok(layer)
    }

    async fn hashes(&mut self, wanted: HashRange) -> Result<Vec<Hash>, String> {
        loop {
            match self.next().await? {
                Message::Hashes(range, hashes) if range == wanted => {
                    self.was_answered();
                    return Ok(hashes);
                }
                Message::HashReject(range) if range == wanted => {
                    return Err("it does not send the hashes of a file".to_owned());
                }
                _ => {}
            }
        }
    }

    /// The next message. Blocks of files are not asked for, and passed over.
    async fn next(&mut self) -> Result<Message, String> {
        let limits = MessageLimits::of_pieces(MOST_PIECES, LONGEST_REQUEST);
        let next = timeout_at(self.until, async {
            loop {
                match self.inward.head(limits).await? {
                    Head::Handshake => return Err(Broken::SecondHandshake),
                    head @ Head::Piece(span) => self.inward.begin_block(head, span.length),
                    head @ (Head::KeepAlive | Head::Message(_)) => {
                        if let Some(message) = self.inward.message(head).await? {
                            return Ok(message);
                        }
                    }
                }
            }
        });
        let next = next.await.unwrap_or(Err(Broken::Idle));
        next.map_err(|why| why.to_string())
    }

    fn was_answered(&mut self) {
        self.until = (self.until + EACH).min(Instant::now() + ANSWERS);
    }

    async fn say(&mut self, message: &Message) -> Result<(), String> {
        let mut words = Vec::new();
        message.encode(&mut words);
        let said = self.outward.send(&words).await;
        let said = match said {
            Ok(()) => self.outward.flush().await,
            Err(why) => Err(why),
        };
        said.map_err(|why| why.to_string())
    }
}

impl Sought {
    pub fn info_hash(self) -> InfoHash {
        match self {
            Self::V1(info_hash) | Self::V2(info_hash) => info_hash,
        }
    }

    fn is_of(self, raw: &[u8]) -> bool {
        match self {
            Self::V1(info_hash) => info_hash_v1(raw) == info_hash,
            Self::V2(info_hash) => info_hash_v2(raw).truncated() == info_hash,
        }
    }
}
