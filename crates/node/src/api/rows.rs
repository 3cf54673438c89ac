//! What an answer and a screen are made of: files, members, peers, figures.
//!
//! Their field names are those of `--json`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thorp_core::peer::Tally;
use thorp_core::spared::Spared;
use thorp_core::tracker::Counts;
use thorp_files::share::Totals;

/// A file of some peer: one row for each (name, content).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    /// Its path in the share.
    pub name: String,
    /// In bytes.
    pub length: u64,
    /// Last modified, in seconds since 1970.
    pub mtime: i64,
    /// Nanoseconds beyond that second.
    #[serde(default)]
    pub mtime_ns: u32,
    /// Its owner may execute it, where it lies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// 64 hexadecimal digits, once it has been hashed.
    pub root: Option<String>,
    /// The peers that list it.
    pub holders: Vec<HolderRow>,
}

/// A peer that lists a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderRow {
    /// The member.
    #[serde(flatten)]
    pub member: Member,
    /// It is fetching the file, and has a part of it so far.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// A member, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// 52 characters of base32.
    pub id: String,
    /// Its human name.
    pub name: Option<String>,
    /// Its IP address.
    pub address: String,
    /// Its port; 0 where its address is not known.
    pub port: u16,
}

/// A peer that is present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRow {
    /// The member.
    #[serde(flatten)]
    pub member: Member,
    /// Files it lists.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// The addresses (or ids, where unknown) of its neighbours.
    pub neighbours: Vec<String>,
}

/// A member of the group, present or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// 52 characters of base32.
    pub id: String,
    /// Its human name.
    pub name: String,
    /// What it is to the group.
    pub role: MemberRole,
    /// When it joined, in seconds since 1970.
    pub since: u64,
    /// Whether it has been removed.
    pub removed: bool,
    /// Whether it is there now; unknown while the tracker does not run.
    pub present: Option<bool>,
    /// When the tracker saw it last, in seconds since 1970, if that is known: to
    /// some minutes for one that is there.
    #[serde(default)]
    pub last_seen: Option<u64>,
}

/// What a member is to the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberRole {
    /// The tracker itself.
    Tracker,
    /// The peer that the tracker is inside of.
    Host,
    /// Any other machine.
    Member,
}

/// How a peer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Itself.
    pub id: String,
    /// Its human name.
    pub name: Option<String>,
    /// The share; nothing for a visitor.
    pub share: Option<PathBuf>,
    /// Where it listens.
    pub listen: Option<String>,
    /// Its tracker's address.
    pub tracker: Option<String>,
    /// Whether there is a link to the tracker now.
    pub tracker_connected: bool,
    /// The key of the group's CA.
    pub ca: String,
    /// What it lists.
    #[serde(flatten)]
    pub offered: Offered,
    /// What interrupted fetches have left in the share. Counted when a user asks, so
    /// there is none in a snapshot.
    #[serde(default)]
    pub partial: Option<PartialFiles>,
    /// Number of neighbours.
    pub neighbours: u64,
    /// Bytes of large files that were sent since the start.
    pub sent: u64,
    /// Bytes of large files that were received since the start.
    pub received: u64,
    /// Lookups so far, by which member answered.
    pub lookups: Tally,
    /// How many of them the tracker was spared.
    #[serde(default)]
    pub spared: Spared,
    /// When its certificate ends, in seconds since 1970.
    pub certificate_ends: i64,
    /// Whether that is in less than ten days, though it is renewed daily.
    pub certificate_ends_soon: bool,
    /// The program's version.
    pub version: String,
}

/// A share in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// Files that are listed.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Of these files, symbolic links to others of them.
    #[serde(default)]
    pub links: u64,
    /// Of these files, still to be hashed.
    pub unhashed: u64,
    /// Files and folders that were left out.
    pub skipped: u64,
    /// Of these, symbolic links.
    #[serde(default)]
    pub skipped_links: u64,
    /// Files that were opened since the start, to be hashed or sent. What is
    /// remembered from an earlier start is not hashed again.
    pub opened: u64,
}

/// Partial files that no fetch writes at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialFiles {
    /// How many there are.
    pub files: u64,
    /// What they take on the disk, in bytes.
    pub bytes: u64,
    /// Whether there may be more: counting them took too long.
    pub in_part: bool,
}

/// How a tracker is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerStatus {
    /// Itself.
    pub id: String,
    /// Where it listens.
    pub listen: String,
    /// The key of the group's CA.
    pub ca: String,
    /// Whether it lets in any machine that asks.
    pub open: bool,
    /// Peers that are present.
    pub peers: u64,
    /// Files they list, each counted for each peer.
    pub entries: u64,
    /// What it has counted since it started.
    #[serde(flatten)]
    pub counts: Counts,
    /// The program's version.
    pub version: String,
}

/// How far the hashing of a wanted file has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashing {
    /// As it was asked for.
    pub name: String,
    /// Bytes in it.
    pub length: u64,
    /// Bytes that were hashed.
    pub hashed: u64,
    /// The holder that hashes it.
    pub by: Option<Member>,
}

/// How far a fetch has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Files that have arrived or failed.
    pub files: u64,
    /// Files wanted.
    pub of_files: u64,
    /// Bytes that are there and verified.
    pub bytes: u64,
    /// Bytes wanted.
    pub of_bytes: u64,
    /// Bytes a second, over the last seconds.
    pub rate: u64,
    /// Seconds that the rest takes at this rate; nothing where nothing comes.
    pub eta: Option<u64>,
    /// Members that pieces of large files are coming from.
    pub sources: u32,
    /// Members that have too much to do to send pieces now, and are asked again.
    #[serde(default)]
    pub busy: u32,
}

/// A file that has arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fetched {
    /// As it is listed.
    pub name: String,
    /// Where it is now.
    pub path: PathBuf,
    /// In bytes.
    pub length: u64,
    /// 64 hexadecimal digits.
    pub root: String,
    /// The peer that sent it, or most of it; none for an empty file or one that
    /// was there already.
    pub from: Option<Member>,
    /// Every peer that sent some of it, the one that sent most first.
    pub sources: Vec<Member>,
    /// Bytes of it that came over the network: fewer than its length where some
    /// were there before, more where some came twice.
    pub received: u64,
    /// Which member said where it is.
    pub answer: Provenance,
    /// From asking to having it, in milliseconds.
    pub ms: f64,
}

/// Which member said where a file is, and whether the tracker was asked on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Which stage of the lookup answered.
    pub source: AnswerSource,
    /// The neighbour that answered when it was asked; nothing otherwise.
    pub via: Option<Member>,
    /// Whether the tracker was asked.
    pub tracker_asked: bool,
}

/// A stage of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerSource {
    /// This peer's own memory of a neighbour's listing: no member was asked.
    Memory,
    /// A neighbour, when it was asked.
    Neighbour,
    /// The tracker.
    Tracker,
    /// It was there already.
    Local,
}

/// The end of an answer that went well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Files fetched, or rows listed.
    pub count: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// Files that a pattern matched and that were left out.
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
        }
    }
}
