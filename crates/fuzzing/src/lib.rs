//! What is fuzzed: a function of bytes for each decoder and each pure machine.
//!
//! Each panics where something is not as it must be, and does nothing otherwise. A
//! fuzzer makes up the bytes (`fuzz/` at the root of the repository); what it has
//! found to be interesting lies in `fuzz/corpus` and is played by an ordinary test.
//! No program ships with this crate.
//!
//! ```text
//! decoders   bytes from a stranger, a member, a disk or a user
//! machines   sequences of inputs to a peer, a tracker, a swarm of a file or a torrent, a store of
//!            swarms, and what a torrent's fetch has beside its swarm
//! source     values out of bytes
//! seeds      bytes to begin with
//! ```

mod decoders;
mod machines;
mod seeds;
mod source;

pub use seeds::seeds;

/// Something that takes any bytes there are.
pub struct FuzzTarget {
    /// What it is called, here and in `fuzz/`.
    pub name: &'static str,
    /// Takes them.
    pub run: fn(&[u8]),
    /// The most bytes that are worth trying.
    pub longest: usize,
}

/// All of them.
pub const TARGETS: [FuzzTarget; 36] = [
    target("frame", decoders::frame, 4096),
    target("record", decoders::record, 1024),
    target("handshake", decoders::handshake, 68),
    target("extended", decoders::extended, 512),
    target("metadata", decoders::metadata, 512),
    target("exchange", decoders::exchange, 512),
    target("message", decoders::message, 1024),
    target("bencode", decoders::bencode, 512),
    target("torrent", decoders::torrent, 2048),
    target("magnet", decoders::magnet, 512),
    target("announce", decoders::announce, 512),
    target("announced", decoders::announced, 512),
    target("request", decoders::request, 1024),
    target("reply", decoders::reply, 512),
    target("datagram", decoders::datagram, 512),
    target("tracker-url", decoders::tracker_url, 256),
    target("hashes", decoders::hashes, 2048),
    target("name", decoders::name, 512),
    target("pattern", decoders::pattern, 512),
    target("address", decoders::address, 256),
    target("invite", decoders::invite, 1024),
    target("backup", decoders::backup, 4096),
    target("certificate", decoders::certificate, 2048),
    target("cached", decoders::cached, 512),
    target("kept", decoders::kept, 2048),
    target("config", decoders::config, 1024),
    target("command", decoders::command, 1024),
    target("answer", decoders::answer, 2048),
    target("peer", machines::peer, 4096),
    target("tracker", machines::tracker, 4096),
    target("swarm", machines::swarm, 4096),
    target("torrent-swarm", machines::torrent_swarm, 4096),
    target("swarms", machines::swarms, 4096),
    target("announces", machines::announces, 1024),
    target("torrent-fetch", machines::torrent_fetch, 512),
    target("clients", machines::clients, 1024),
];

const fn target(name: &'static str, run: fn(&[u8]), longest: usize) -> FuzzTarget {
    FuzzTarget { name, run, longest }
}

/// The one of this name.
pub fn named(name: &str) -> Option<&'static FuzzTarget> {
    TARGETS.iter().find(|target| target.name == name)
}
