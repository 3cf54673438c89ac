//! An ordinary BitTorrent client that seeds a torrent which was made elsewhere, word by word.

use std::collections::BTreeMap;
use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use thorp_wire::announce::{Announce, AnnounceEvent, query};
use thorp_wire::torrent::build;
use thorp_wire::torrent::{Info, PieceHasher};
use thorp_wire::{ClientId, InfoHash};

use super::Node;

/// How the payload of a message of an info dictionary begins (BEP 9, 10).
const EXTENDED: u8 = 20;
const METADATA: u8 = 3;
const METADATA_BLOCK: usize = 16 * 1024;

/// A v1 torrent, and the bytes that it describes.
#[derive(Clone, Debug)]
pub struct Made {
    pub raw: Vec<u8>,
    /// Of all files, those that pad too.
    pub bytes: Vec<u8>,
    pub piece_length: u32,
}

impl Made {
    /// Makes a torrent of a folder. `attr` is what BEP 47 says of a file.
    pub fn folder(name: &str, files: &[(&str, &[u8], &str)], piece_length: u32) -> Self {
        let (mut list, mut bytes) = (Vec::new(), Vec::new());
        for (path, own, attr) in files {
            list.extend(b"d");
            if !attr.is_empty() {
                list.extend(format!("4:attr{}:{attr}", attr.len()).into_bytes());
            }
            list.extend(format!("6:lengthi{}e4:pathl", own.len()).into_bytes());
            for part in path.split('/') {
                list.extend(format!("{}:{part}", part.len()).into_bytes());
            }
            list.extend(b"ee");
            bytes.extend(*own);
        }
        let files = [b"5:filesl", &list[..], b"e"].concat();
        Self::with(name, &files, bytes, piece_length, false)
    }

    /// Makes a torrent of one file.
    pub fn file(name: &str, bytes: &[u8], piece_length: u32, private: bool) -> Self {
        let length = format!("6:lengthi{}e", bytes.len());
        Self::with(
            name,
            length.as_bytes(),
            bytes.to_vec(),
            piece_length,
            private,
        )
    }

    fn with(name: &str, files: &[u8], bytes: Vec<u8>, piece_length: u32, private: bool) -> Self {
        let mut hasher = PieceHasher::new(piece_length);
        hasher.update(&bytes);
        let pieces = hasher.finish();
        let mut raw = [b"d", files].concat();
        raw.extend(format!("4:name{}:{name}", name.len()).into_bytes());
        raw.extend(format!("12:piece lengthi{piece_length}e").into_bytes());
        raw.extend(format!("6:pieces{}:", pieces.len() * 20).into_bytes());
        raw.extend(pieces.as_flattened());
        if private {
            raw.extend(b"7:privatei1e");
        }
        raw.push(b'e');
        Self {
            raw,
            bytes,
            piece_length,
        }
    }

    pub fn info_hash(&self) -> InfoHash {
        thorp_wire::torrent::info_hash_v1(&self.raw)
    }

    /// Writes the torrent beside a node's share, with this tracker. Returns its path.
    pub fn write(&self, node: &Node, tracker: &str) -> PathBuf {
        Info::decode(&self.raw).expect("a torrent");
        let tiers = vec![vec![tracker.parse().expect("a URL")]];
        let torrent = build::torrent(&self.raw, &tiers, &BTreeMap::new());
        let path = node.state().with_file_name("given.torrent");
        std::fs::write(&path, torrent).expect("is written");
        path
    }
}

/// What a seeder does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Sends other bytes.
    Lies,
    /// Sends so many blocks, and nothing more.
    Stops(u64),
    /// Sends so many blocks, and the others once it is told to go on.
    Waits(u64),
}

/// Seeds until it is dropped.
pub struct Seeder {
    pub at: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    made: Made,
    torrent: InfoHash,
    manner: Manner,
    called: AtomicU64,
    sent: AtomicU64,
    is_gone: AtomicBool,
    /// Whether it was told to go on.
    goes_on: (Mutex<bool>, Condvar),
}

impl Seeder {
    pub fn start(made: &Made, manner: Manner) -> Self {
        Self::begin(made, made.info_hash(), manner)
    }

    fn begin(made: &Made, torrent: InfoHash, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let at = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            made: made.clone(),
            torrent,
            manner,
            called: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            is_gone: AtomicBool::new(false),
            goes_on: (Mutex::new(false), Condvar::new()),
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if own.is_gone.load(Ordering::Relaxed) {
                    return;
                }
                own.called.fetch_add(1, Ordering::Relaxed);
                let own = Arc::clone(&own);
                // The other end may leave at any time.
                std::thread::spawn(move || own.serve(stream));
            }
        });
        Self { at, shared }
    }

    /// Starts, and tells a tracker of it.
    pub fn announced(made: &Made, manner: Manner, tracker: &str) -> Self {
        Self::announced_as(made, made.info_hash(), manner, tracker)
    }

    /// The same with an info-hash that may be another torrent's.
    pub fn announced_as(made: &Made, torrent: InfoHash, manner: Manner, tracker: &str) -> Self {
        let seeder = Self::begin(made, torrent, manner);
        let said = Announce {
            torrent,
            client: ClientId::new([b's'; 20]),
            port: seeder.at.port(),
            uploaded: 0,
            downloaded: 0,
            left: 0,
            event: AnnounceEvent::Started,
            wanted: None,
            key: 1,
        };
        let mut stream = TcpStream::connect(tracker).expect("connects");
        let path = query::write_announce(&said, None);
        let request = format!("GET /announce?{path} HTTP/1.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("is read");
        let mut answer = String::new();
        // An answer need be no text.
        let _ = stream.read_to_string(&mut answer);
        seeder
    }

    /// How many connections were made to it.
    pub fn called(&self) -> u64 {
        self.shared.called.load(Ordering::Relaxed)
    }

    /// Lets one go on that [waits](Manner::Waits).
    pub fn go_on(&self) {
        let (goes_on, told) = &self.shared.goes_on;
        *goes_on.lock().expect("no session panics") = true;
        told.notify_all();
    }

    /// How many blocks it has sent.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Seeder {
    fn drop(&mut self) {
        self.shared.is_gone.store(true, Ordering::Relaxed);
        self.go_on();
        // So that it stops to listen.
        let _ = TcpStream::connect(self.at);
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let mut theirs = [0; 68];
        stream.read_exact(&mut theirs)?;
        if theirs[28..48] != *self.torrent.as_bytes() {
            return Ok(());
        }
        let mut ours = [0; 68];
        ours[..20].copy_from_slice(b"\x13BitTorrent protocol");
        ours[25] = 0x10;
        ours[28..48].copy_from_slice(&theirs[28..48]);
        ours[48..].fill(b's');
        stream.write_all(&ours)?;
        let length = self.made.raw.len();
        let words = format!("d1:md11:ut_metadatai{METADATA}ee13:metadata_sizei{length}ee");
        say(&mut stream, EXTENDED, &[&[0], words.as_bytes()].concat())?;
        let pieces = self
            .made
            .bytes
            .len()
            .div_ceil(self.made.piece_length as usize);
        let mut bitfield = vec![0xff; pieces.div_ceil(8)];
        if let Some(last) = bitfield.last_mut() {
            *last <<= (8 - pieces % 8) % 8;
        }
        say(&mut stream, 5, &bitfield)?;
        let mut their_metadata = 0;
        while !self.is_gone.load(Ordering::Relaxed) {
            let mut length = [0; 4];
            stream.read_exact(&mut length)?;
            let mut message = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut message)?;
            match message.first() {
                Some(2) => say(&mut stream, 1, &[])?,
                Some(6) => self.send_block(&mut stream, &message[1..])?,
                Some(&EXTENDED) if message.get(1) == Some(&0) => {
                    their_metadata = number_after(&message, b"11:ut_metadatai");
                }
                Some(&EXTENDED) if message.get(1) == Some(&METADATA) => {
                    let block = usize::from(number_after(&message, b"5:piecei"));
                    self.send_metadata(&mut stream, their_metadata, block)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn send_block(&self, stream: &mut TcpStream, request: &[u8]) -> Result<()> {
        let number = |at: usize| {
            let bytes = request[at..at + 4].try_into().expect("four bytes");
            u32::from_be_bytes(bytes) as usize
        };
        let (piece, begin, length) = (number(0), number(4), number(8));
        if matches!(self.manner, Manner::Stops(most) if self.sent.load(Ordering::Relaxed) >= most) {
            return Ok(());
        }
        if matches!(self.manner, Manner::Waits(most) if self.sent.load(Ordering::Relaxed) >= most) {
            let (goes_on, told) = &self.goes_on;
            let waits = told.wait_while(goes_on.lock().expect("no session panics"), |go| !*go);
            drop(waits.expect("no session panics"));
        }
        let begin = piece * self.made.piece_length as usize + begin;
        let mut bytes = self.made.bytes[begin..begin + length].to_vec();
        if self.manner == Manner::Lies {
            bytes[0] ^= 1;
        }
        say(stream, 7, &[&request[..8], &bytes].concat())?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn send_metadata(&self, stream: &mut TcpStream, number: u8, block: usize) -> Result<()> {
        let raw = &self.made.raw;
        let begin = block * METADATA_BLOCK;
        let end = raw.len().min(begin + METADATA_BLOCK);
        let total = raw.len();
        let head = format!("d8:msg_typei1e5:piecei{block}e10:total_sizei{total}ee");
        let bytes = [&[number], head.as_bytes(), &raw[begin..end]].concat();
        say(stream, EXTENDED, &bytes)
    }
}

fn say(stream: &mut TcpStream, kind: u8, body: &[u8]) -> Result<()> {
    let length = u32::try_from(body.len() + 1).expect("is short");
    let message = [&length.to_be_bytes()[..], &[kind], body].concat();
    stream.write_all(&message)
}

/// The number behind some text, in a message.
fn number_after(message: &[u8], text: &[u8]) -> u8 {
    let at = message
        .windows(text.len())
        .position(|window| window == text);
    let digits = at.map_or(&[][..], |at| &message[at + text.len()..]);
    let digits = digits.iter().take_while(|digit| digit.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + (digit - b'0'))
}
