//! Bytes from a stranger, a member, a disk or a user.
//!
//! Beyond not panicking: what is read can be written and is the same when it is read
//! again, and what costs is bounded by what was read.

use std::hint::black_box;

use rustls::pki_types::CertificateDer;
use thorp_core::matching::{Pattern, fit, looks_like_a_pattern, nfc};
use thorp_files::share::{KeptTorrent, cached as cached_in};
use thorp_files::stamp::Stamp;
use thorp_group::address::{ListenAddress, NetAddress};
use thorp_group::backup::Backup;
use thorp_group::certificate;
use thorp_group::invite::Invite;
use thorp_node::api::{Event, command_of, event_of, line_of, line_of_command};
use thorp_node::config::{Config, Setting};
use thorp_wire::announce::http::{AnswerHead, RequestHead, RequestTarget, head_length};
use thorp_wire::announce::query::{read_announce, read_scrape, write_announce, write_scrape};
use thorp_wire::announce::{
    Announced, MOST_PEERS, MOST_SCRAPED, Stride, TrackerUrl, UdpAnswer, UdpRequest, answer,
};
use thorp_wire::bencode::Value;
use thorp_wire::frame::{
    FrameError, MAX_FRAME, MAX_JOIN_FRAME, PREFIX, SignedRecord, announced_length,
};
use thorp_wire::layout::Layout;
use thorp_wire::merkle::{self, HashReply, Tree};
use thorp_wire::session::exchange::MOST_EXCHANGED;
use thorp_wire::session::{
    ExtendedHandshake, Handshake, HashRange, Head, Message, MessageLimits, MetadataMessage,
    PeerExchange,
};
use thorp_wire::torrent::{Info, MOST_TRACKERS, Magnet, Torrent};
use thorp_wire::{Content, Frame, MemberName, Name, PeerId, Root, printable};

use crate::source::Source;

/// The most of a file that a name, a text or a frame may become in memory, for each
/// byte of it: a list of names of one letter grows most.
const GROWTH: usize = 64;

pub(crate) fn frame(bytes: &[u8]) {
    if let Some(prefix) = bytes.first_chunk::<PREFIX>() {
        for limit in [MAX_JOIN_FRAME, MAX_FRAME] {
            if let Ok(length) = announced_length(*prefix, limit) {
                assert!(length <= limit);
            }
        }
    }
    let memory = Frame::memory(bytes);
    black_box(Frame::brings_content(bytes));
    match Frame::decode(bytes) {
        Ok(frame) => {
            assert!(frame.size() <= memory.max(bytes.len() * GROWTH) + 1024);
            let mut again = Vec::new();
            frame.encode(&mut again).expect("what was read can be said");
            assert_eq!(Frame::decode(&again[PREFIX..]), Ok(frame));
        }
        Err(FrameError::Malformed(why)) => assert!(why.len() < 1024, "{}", why.len()),
        Err(_) => {}
    }
}

pub(crate) fn record(bytes: &[u8]) {
    if let Ok(record) = SignedRecord::read(bytes) {
        assert_eq!(record.as_bytes(), bytes);
        let (signature, message) = record.signature_and_message();
        assert_eq!(signature.len(), 64);
        assert!(message.starts_with(SignedRecord::CONTEXT));
        assert!(record.record().removed.is_sorted());
    }
}

pub(crate) fn handshake(bytes: &[u8]) {
    if let Some(bytes) = bytes.first_chunk()
        && let Ok(handshake) = Handshake::decode(bytes)
    {
        let again = Handshake::decode(&handshake.encode());
        assert!(again.is_ok_and(|again| again == handshake));
    }
}

pub(crate) fn extended(bytes: &[u8]) {
    if let Ok(handshake) = ExtendedHandshake::decode(bytes) {
        let again = ExtendedHandshake::decode(&handshake.encode());
        assert!(again.is_ok_and(|again| again == handshake));
    }
}

pub(crate) fn metadata(bytes: &[u8]) {
    if let Ok(message) = MetadataMessage::decode(bytes) {
        assert!(MetadataMessage::decode(&message.encode()).is_ok_and(|again| again == message));
    }
}

pub(crate) fn exchange(bytes: &[u8]) {
    if let Ok(exchange) = PeerExchange::decode(bytes) {
        assert!(exchange.added.len() <= MOST_EXCHANGED);
        assert!(exchange.dropped.len() <= MOST_EXCHANGED);
        let again = PeerExchange::decode(&exchange.encode()).expect("what was read can be said");
        assert_eq!(again.added.len(), exchange.added.len());
    }
}

pub(crate) fn message(bytes: &[u8]) {
    let mut source = Source::of(bytes);
    let layout = Layout::of(source.long());
    if let Some(limits) = MessageLimits::of(layout, u32::from(source.short())) {
        let rest = source.bytes();
        if let Ok(Some(head)) = Head::parse(rest, limits) {
            assert!(head.length() <= rest.len());
        }
    }
    if let Ok(message) = Message::decode(bytes) {
        let mut again = Vec::new();
        message.encode(&mut again);
        assert!(Message::decode(&again[4..]).is_ok_and(|again| again == message));
    }
}

pub(crate) fn bencode(bytes: &[u8]) {
    if let Ok(value) = Value::parse(bytes) {
        assert_eq!(value.raw(), bytes);
        look_at(value);
    }
    if let Ok((value, rest)) = Value::first_of(bytes) {
        assert_eq!([value.raw(), rest].concat(), bytes);
    }
    if let Ok(value) = Value::parse_in_any_order(bytes) {
        assert_eq!(value.raw(), bytes);
        look_at(value);
    }
}

fn look_at(value: Value<'_>) {
    black_box((value.integer(), value.string(), value.get("v")));
    for inner in value.list() {
        look_at(inner);
    }
    for (_, inner) in value.dictionary() {
        look_at(inner);
    }
}

pub(crate) fn torrent(bytes: &[u8]) {
    let info = match Torrent::decode(bytes) {
        Ok(torrent) => {
            assert!(torrent.tiers().iter().map(Vec::len).sum::<usize>() <= MOST_TRACKERS);
            Ok(torrent.info().clone())
        }
        Err(_) => Info::decode(bytes),
    };
    let Ok(info) = info else { return };
    assert!(!info.files().is_empty() && info.info_hashes().count() > 0);
    for file in info.files() {
        assert!(file.name.as_str().starts_with(info.name().as_str()));
        assert!(
            !file
                .name
                .as_str()
                .split('/')
                .any(|part| matches!(part, "" | "." | ".."))
        );
    }
    black_box(info.length());
}

pub(crate) fn magnet(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(magnet) = text.parse::<Magnet>() {
        assert!(magnet.trackers.len() <= MOST_TRACKERS);
        assert_eq!(magnet.to_string().parse(), Ok(magnet));
    }
}

/// The query that a client's request to a tracker ends with.
pub(crate) fn announce(bytes: &[u8]) {
    if let Ok(announce) = read_announce(bytes) {
        assert_ne!(announce.port, 0);
        let again = read_announce(write_announce(&announce, None).as_bytes());
        assert_eq!(again.map(|again| again.torrent), Ok(announce.torrent));
    }
    if let Ok(torrents) = read_scrape(bytes) {
        assert!(torrents.len() <= MOST_SCRAPED);
        assert_eq!(
            read_scrape(write_scrape(&torrents).as_bytes()),
            Ok(torrents)
        );
    }
}

/// What a client sends to a tracker over HTTP.
pub(crate) fn request(bytes: &[u8]) {
    let Some(length) = head_length(bytes, 0) else {
        return;
    };
    assert!(bytes[..length].ends_with(b"\r\n\r\n"));
    let cut = length / 2;
    assert_eq!(head_length(bytes, cut), Some(length), "it comes in two");
    if let Ok(RequestHead {
        target: RequestTarget::Announce(query) | RequestTarget::Scrape(query),
        ..
    }) = RequestHead::parse(&bytes[..length])
    {
        announce(query);
    }
}

/// What a tracker answers over HTTP, its head included.
pub(crate) fn reply(bytes: &[u8]) {
    let whole = AnswerHead::parse(bytes);
    if let Ok(Some(head)) = whole {
        assert!(head.length <= bytes.len());
        let first = AnswerHead::parse(&bytes[..head.length]);
        assert_eq!(first, whole, "nothing of the body counts");
        announced(&bytes[head.length..]);
    }
}

/// The body of what a tracker answers over HTTP.
pub(crate) fn announced(bytes: &[u8]) {
    if let Ok(announced) = Announced::decode(bytes) {
        assert!(announced.peers.len() <= MOST_PEERS);
    }
    if let Ok(scraped) = answer::decode_scrape(bytes) {
        assert!(scraped.len() <= MOST_SCRAPED);
    }
}

/// A datagram to a tracker, or from one.
pub(crate) fn datagram(bytes: &[u8]) {
    if let Ok(request) = UdpRequest::decode(bytes) {
        let again = request.encode();
        assert!(again.len() <= bytes.len(), "options are left out");
        assert_eq!(UdpRequest::decode(&again), Ok(request));
    }
    for stride in [Stride::V4, Stride::V6] {
        if let Ok(answer) = UdpAnswer::decode(bytes, stride) {
            black_box((answer.transaction(), answer.encode()));
        }
    }
}

pub(crate) fn tracker_url(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(url) = text.parse::<TrackerUrl>() {
        assert_eq!(url.to_string().parse(), Ok(url.clone()));
        let target = url.target("a=b");
        assert!(target.starts_with('/') && target.ends_with("a=b"));
        assert!(target.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

/// A member asks for hashes of a file that is here, and answers such questions.
pub(crate) fn hashes(bytes: &[u8]) {
    let mut source = Source::of(bytes);
    let leaves = 1 + source.below(64);
    let length = (leaves as u64 - 1) * 16_384 + 1 + u64::from(source.short() & 0x3fff);
    let layout = Layout::of(length);
    let made = |number: usize| merkle::leaf_hash(&number.to_be_bytes());
    let pieces = layout.pieces().unwrap_or(0) as usize;
    let layer: Vec<_> = (0..pieces).map(made).collect();
    let root = merkle::root_of_layer(layout, &layer);
    let content = Content {
        length,
        root: root.unwrap_or(Root::EMPTY),
    };
    let tree = Tree::of(content, layer).expect("it makes the root");
    let range = HashRange {
        root: content.root,
        base: u32::from(source.byte()),
        index: source.short().into(),
        length: source.short().into(),
        proofs: u32::from(source.byte()),
    };
    match tree.answer(&range) {
        Ok(HashReply::Hashes(hashes)) => {
            assert!(hashes.len() <= 1024);
            black_box(merkle::verify(content, &range, &hashes).is_ok());
        }
        Ok(HashReply::AfterHashing(pieces)) => {
            let number = pieces.len() << layout.piece_height();
            assert!(number * 16_384 <= 8 * 1024 * 1024);
            black_box(
                tree.answer_with(&range, vec![[0; 32]; number.min(leaves)])
                    .is_ok(),
            );
        }
        Err(_) => {}
    }
    let (told, _) = source.bytes().as_chunks();
    black_box(merkle::verify(content, &range, told).is_ok());
    if let Some(piece) = layout.piece(0) {
        black_box(merkle::piece_hash(layout, piece, told));
    }
}

pub(crate) fn name(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let shown = printable(text).to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    if let Ok(id) = text.parse::<PeerId>() {
        assert_eq!(id.to_string(), text);
    }
    assert!(
        MemberName::nearest(text)
            .to_string()
            .parse::<MemberName>()
            .is_ok()
    );
    if let Ok(name) = text.parse::<Name>() {
        assert!(!text.split('/').any(|part| matches!(part, "" | "." | "..")));
        assert!(!text.contains('\0') && text.len() <= Name::MAX);
        black_box((name.base(), name.folder(), nfc(text)));
        assert!(fit(&name, text).is_some());
        black_box(name.with_base("b").is_ok());
        let folder = Pattern::beneath(text);
        assert!(folder.is_err() || folder.is_ok_and(|folder| !folder.matches(&name)));
    }
}

/// A pattern of any member, and a name that it is compared with.
pub(crate) fn pattern(bytes: &[u8]) {
    let mut source = Source::of(bytes);
    let (text, compared) = (source.text(), source.text());
    black_box(looks_like_a_pattern(&text));
    let mut made_in = 0;
    let made = Pattern::counted(&text, &mut made_in);
    // What bounds the work of a tracker: some thirty thousand states to begin with,
    // and no step that is not counted, also where it is no pattern.
    assert!(made_in <= 128 * 256 * 1024);
    let Ok(pattern) = made else {
        return;
    };
    if let Ok(name) = compared.parse::<Name>() {
        assert!(pattern.steps(&name) <= made_in * (compared.len() as u64 + 2));
        let matches = pattern.matches(&name);
        assert!(!matches || compared == text || compared.starts_with(pattern.prefix()));
    }
    if let Ok(name) = text.parse::<Name>() {
        assert!(pattern.matches(&name), "a name that is the text");
    }
}

pub(crate) fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(address) = NetAddress::parse(text, 3333) {
        let again = NetAddress::parse(&address.to_string(), 1);
        assert!(again.is_ok_and(|again| again == address), "{text:?}");
    }
    black_box(text.parse::<ListenAddress>().is_ok());
}

pub(crate) fn invite(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    black_box((Invite::may_go_on(text), Invite::may_give_away(text)));
    if let Ok(invite) = text.parse::<Invite>() {
        assert!(invite.trackers.len() <= Invite::MAX_TRACKERS);
        let again = invite.to_string().parse::<Invite>();
        assert!(again.is_ok_and(|again| again == invite));
    }
}

pub(crate) fn backup(bytes: &[u8]) {
    if let Ok(backup) = Backup::parse(bytes) {
        assert!(Backup::parse(backup.to_text().as_bytes()).is_ok());
    }
}

pub(crate) fn certificate(bytes: &[u8]) {
    let certificate = CertificateDer::from(bytes);
    black_box(certificate::member_of(&certificate).is_ok());
    black_box(certificate::begins(&certificate));
}

/// What stands in the cache of roots, for a file with some stamp.
pub(crate) fn cached(bytes: &[u8]) {
    let mut source = Source::of(bytes);
    let stamp = Stamp {
        length: source.long(),
        mtime: source.long().cast_signed(),
        mtime_nanos: 0,
        executable: false,
        ctime: source.long().cast_signed(),
        inode: source.long(),
        device: 0,
    };
    // Mostly of this very file.
    let value = if source.flag() { bytes } else { source.bytes() };
    if let Some((root, layer)) = cached_in(value, &stamp) {
        let pieces = Layout::of(stamp.length).pieces().unwrap_or(0);
        assert_eq!(layer.len(), pieces as usize);
        black_box(root);
    }
}

/// A torrent that is kept on disk.
pub(crate) fn kept(bytes: &[u8]) {
    KeptTorrent::check(bytes);
}

pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    black_box(Config::parse(text, "a file").is_ok());
    if let Some((name, value)) = text.split_once('=') {
        black_box(Setting::new(name, value, "a flag").is_ok());
    }
}

/// A line that a process of this machine says to a node.
pub(crate) fn command(bytes: &[u8]) {
    let Ok(line) = std::str::from_utf8(bytes) else {
        return;
    };
    match command_of(line) {
        Ok(command) => {
            black_box(command.asked_of());
            let again = line_of_command(&command).expect("what was read can be said");
            let again = one_line(&again);
            assert_eq!(command_of(again), Ok(command));
        }
        Err(failure) => answer(&line_of(&Event::Error(failure)).expect("it can be said")),
    }
}

/// A line that a node of some version answers.
pub(crate) fn answer(bytes: &[u8]) {
    let Ok(line) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Some(event) = event_of(line) {
        let again = line_of(&event).expect("what was read can be said");
        assert_eq!(event_of(one_line(&again)), Some(event));
    }
}

/// No text in it ends the line before its end.
fn one_line(bytes: &[u8]) -> &str {
    let line = std::str::from_utf8(bytes).expect("JSON is text");
    let line = line.strip_suffix('\n').expect("a line has an end");
    assert!(!line.contains('\n'), "{line:?}");
    line
}
