//! The rows of answers and screens: files, members, peers, figures.
//!
//! Their fields are named as in `--json`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thorp_core::peer::Tally;
use thorp_core::spared::Spared;
use thorp_core::swarms::SwarmTotals;
use thorp_core::tracker::Counts;
use thorp_files::share::{ShareState, Totals};
use thorp_group::authority::Tracks;

/// A file that peers list: one row for each name and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    /// Its path in the share.
    pub name: String,
    /// The length in bytes.
    pub length: u64,
    /// The time of the last modification, in seconds since 1970.
    pub mtime: i64,
    /// The nanoseconds beyond that second.
    #[serde(default)]
    pub mtime_ns: u32,
    /// Whether its owner may execute it, on the machine that lists it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// The root, 64 hexadecimal digits, once the file has been hashed.
    pub root: Option<String>,
    /// The peers that list it.
    pub holders: Vec<HolderRow>,
}

/// A peer that lists a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderRow {
    /// The peer.
    #[serde(flatten)]
    pub member: Member,
    /// Whether the peer is still fetching the file and has only a part of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// A member and its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its key, 52 characters of base32.
    pub id: String,
    /// Its human name.
    pub name: Option<String>,
    /// Its IP address.
    pub address: String,
    /// Its port; 0 if its address is not known.
    pub port: u16,
}

/// A peer that is present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRow {
    /// The member.
    #[serde(flatten)]
    pub member: Member,
    /// The number of files that it lists.
    pub files: u64,
    /// The bytes in these files.
    pub bytes: u64,
    /// The addresses of its neighbours, or ids where no address is known.
    pub neighbours: Vec<String>,
}

/// A torrent of a shared file or folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeTorrent {
    /// The path of the file or folder in the share.
    pub name: String,
    /// The number of files.
    #[serde(default = "one")]
    pub files: u64,
    /// The bytes in them.
    pub length: u64,
    /// The info-hash, in hexadecimal: 40 digits of v1, 64 of v2.
    pub info_hash: String,
    /// The magnet link.
    pub magnet: String,
    /// The torrent itself in base64, if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torrent: Option<String>,
}

/// A peer of an older version makes torrents of one file only.
fn one() -> u64 {
    1
}

/// A member of the group, present or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// Its key, 52 characters of base32.
    pub id: String,
    /// Its human name.
    pub name: String,
    /// Its role in the group.
    pub role: MemberRole,
    /// When it joined, in seconds since 1970.
    pub since: u64,
    /// Whether it has been removed.
    pub removed: bool,
    /// Whether it is present; `None` if the tracker does not run.
    pub present: Option<bool>,
    /// When the tracker last saw it, in seconds since 1970, if that is known. For a present
    /// member this is exact to some minutes.
    #[serde(default)]
    pub last_seen: Option<u64>,
}

/// The role of a member in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberRole {
    /// The tracker itself.
    Tracker,
    /// The peer that contains the tracker.
    Host,
    /// Any other machine.
    Member,
}

/// The state of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its key, 52 characters of base32.
    pub id: String,
    /// Its human name.
    pub name: Option<String>,
    /// The shared directory; `None` for a visitor.
    #[serde(default, with = "super::path::optional")]
    pub share: Option<PathBuf>,
    /// The address at which it listens.
    pub listen: Option<String>,
    /// Its tracker's address.
    pub tracker: Option<String>,
    /// Whether it has a link to the tracker.
    pub tracker_connected: bool,
    /// Whether there may be one soon: it is dialled, or was not dialled yet.
    #[serde(default)]
    pub tracker_dialled: bool,
    /// The key of the group's CA.
    pub ca: String,
    /// What it shares.
    #[serde(flatten)]
    pub offered: Offered,
    /// What interrupted fetches have left in the share. It is counted only for `status`, so it is
    /// missing in a snapshot.
    #[serde(default)]
    pub partial: Option<PartialFiles>,
    /// The number of neighbours.
    pub neighbours: u64,
    /// Bytes of large files sent since the start.
    pub sent: u64,
    /// Bytes of large files received since the start.
    pub received: u64,
    /// The lookups since the start, by which member answered.
    pub lookups: Tally,
    /// How many of them did without the tracker.
    #[serde(default)]
    pub spared: Spared,
    /// When its certificate ends, in seconds since 1970.
    pub certificate_ends: i64,
    /// Whether that is in less than ten days, although certificates are renewed daily.
    pub certificate_ends_soon: bool,
    /// The address of its page, without a secret, if it serves one. It is missing in a snapshot.
    #[serde(default)]
    pub page: Option<String>,
    /// The file with the token by which programs of its user read `/get` and `/metrics` there.
    #[serde(default, with = "super::path::optional")]
    pub token_file: Option<PathBuf>,
    /// The program's version.
    pub version: String,
}

/// The figures of a share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The number of listed files.
    pub files: u64,
    /// The bytes in these files.
    pub bytes: u64,
    /// How many of these files are symbolic links to others of them.
    #[serde(default)]
    pub links: u64,
    /// How many of these files are still to be hashed.
    pub unhashed: u64,
    /// The number of files and folders that are left out.
    pub skipped: u64,
    /// How many of these are symbolic links.
    #[serde(default)]
    pub skipped_links: u64,
    /// The number of files opened since the start, to be hashed or sent. Hashes remembered from
    /// an earlier start are not computed again.
    pub opened: u64,
    /// What is known of the directory.
    #[serde(default)]
    pub look: ShareLook,
}

/// What is known of a shared directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShareLook {
    /// It is looked through for the first time, or for the first time since it is back.
    First,
    /// It was looked through.
    #[default]
    Done,
    /// It is not where it was.
    Away,
}

/// Partial files that no fetch is writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialFiles {
    /// Their number.
    pub files: u64,
    /// Their size on the disk, in bytes.
    pub bytes: u64,
    /// Whether there may be more, because counting them took too long.
    pub in_part: bool,
}

/// The state of a tracker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerStatus {
    /// Its key, 52 characters of base32.
    pub id: String,
    /// The address at which it listens.
    pub listen: String,
    /// The key of the group's CA.
    pub ca: String,
    /// Whether the group admits every machine that asks.
    pub open: bool,
    /// Which torrents are tracked for ordinary BitTorrent clients.
    #[serde(default)]
    pub bittorrent: Tracks,
    /// What is counted of these torrents.
    #[serde(default)]
    pub swarms: SwarmTotals,
    /// The number of present peers.
    pub peers: u64,
    /// The number of listed files; a file counts once for each peer that lists it.
    pub entries: u64,
    /// Its counters since the start.
    #[serde(flatten)]
    pub counts: Counts,
    /// The address of its page, without a secret, if it serves one. It is missing in a snapshot.
    #[serde(default)]
    pub page: Option<String>,
    /// The file with the token by which programs of its user read `/get` and `/metrics` there.
    #[serde(default, with = "super::path::optional")]
    pub token_file: Option<PathBuf>,
    /// The program's version.
    pub version: String,
}

/// The progress of hashing a wanted file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashing {
    /// The name as the user gave it.
    pub name: String,
    /// The file's length in bytes.
    pub length: u64,
    /// Bytes hashed so far.
    pub hashed: u64,
    /// The holder that hashes it.
    pub by: Option<Member>,
}

/// The progress of a get.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The number of files that have arrived or failed.
    pub files: u64,
    /// The number of wanted files.
    pub of_files: u64,
    /// Bytes that have arrived and been verified.
    pub bytes: u64,
    /// The bytes in the wanted files.
    pub of_bytes: u64,
    /// Bytes per second, over the last seconds.
    pub rate: u64,
    /// Seconds that the rest will take at this rate; `None` if nothing arrives.
    pub eta: Option<u64>,
    /// The number of members from which pieces of large files arrive.
    pub sources: u32,
    /// The number of members that are too busy to send pieces now and will be asked again.
    #[serde(default)]
    pub busy: u32,
    /// Where nothing comes: seconds since the last byte.
    #[serde(default)]
    pub silent: Option<u64>,
    /// The first holders that it waits for then; none, where a holder is to come back.
    #[serde(default)]
    pub waiting_for: Vec<Member>,
}

impl Progress {
    /// The most members that [`waiting_for`](Self::waiting_for) names.
    pub const MOST_NAMED: usize = 8;
}

/// A file that has arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fetched {
    /// The name as it is listed.
    pub name: String,
    /// Its path on this machine.
    #[serde(with = "super::path")]
    pub path: PathBuf,
    /// The length in bytes.
    pub length: u64,
    /// The root, 64 hexadecimal digits.
    pub root: String,
    /// The peer that sent all or most of it; `None` for an empty file or one that was there
    /// already.
    pub from: Option<Member>,
    /// Every peer that sent a part of it, the one that sent most first.
    pub sources: Vec<Member>,
    /// The first of the ordinary BitTorrent clients that sent a part of it, or of its torrent, by
    /// their addresses, the one that sent most first.
    #[serde(default)]
    pub clients: Vec<String>,
    /// Bytes of it that came over the network: fewer than its length if a part was there before,
    /// more if some came twice.
    pub received: u64,
    /// Which member found it.
    pub answer: Provenance,
    /// The time from the request to the end, in milliseconds.
    pub ms: f64,
}

/// Which member found a file, and whether the tracker was asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The stage of the lookup that found it.
    pub source: AnswerSource,
    /// The neighbour that found it when it was asked; otherwise `None`.
    pub via: Option<Member>,
    /// Whether the tracker was asked.
    pub tracker_asked: bool,
}

/// A stage of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerSource {
    /// This peer's memory of a neighbour's listing: no member was asked.
    Memory,
    /// A neighbour that was asked.
    Neighbour,
    /// The tracker.
    Tracker,
    /// None: the file was there already.
    Local,
    /// None: the file was copied from this peer's own share.
    Own,
    /// None: the user has given its torrent, which names trackers and clients.
    Torrent,
}

/// The end of a successful answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The number of files fetched, or of rows listed.
    pub count: u64,
    /// The bytes in these files.
    pub bytes: u64,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// The number of files that a pattern matched and that were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<Totals> for Offered {
    fn from(totals: Totals) -> Self {
        Self {
            files: totals.files,
            bytes: totals.bytes,
            links: totals.links,
            unhashed: totals.unhashed,
            skipped: totals.skipped.total(),
            skipped_links: totals.skipped.symlinks,
            opened: totals.opened,
            look: totals.state.into(),
        }
    }
}

impl From<ShareState> for ShareLook {
    fn from(state: ShareState) -> Self {
        match state {
            ShareState::FirstLook => Self::First,
            ShareState::Kept => Self::Done,
            ShareState::Away => Self::Away,
        }
    }
}
