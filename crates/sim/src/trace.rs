//! What happens in a run from outside: machines come and go, files appear and
//! retire, users ask. Recorded once, so that every arm of a comparison plays the
//! same.
//!
//! A trace names machines and files by number. What they are called and where they
//! are follows from the number and is not part of it.

use std::time::Duration;

use thorp_wire::{Content, Entry, MemberName, Name, Root};

/// A machine with a peer on it. The tracker is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Machine(pub u32);

/// A file that exists at some time in a run, wherever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// What the number of a forged file has, and no other.
const FORGED: u32 = 1 << 31;

/// A part of the network whose machines are near to one another, and whose users
/// ask for the same files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(pub u16);

/// All that happens from outside.
#[derive(Clone, Debug)]
pub struct Trace {
    /// By machine: where it is, and whether it shares what it has.
    pub machines: Vec<Settled>,
    /// By file.
    pub files: Vec<Origin>,
    /// In the order of time.
    pub events: Vec<(Duration, Incident)>,
    /// How long it lasts.
    pub length: Duration,
    /// For how long online a machine keeps what it has fetched.
    pub keep: Duration,
}

/// A machine of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Where it is.
    pub region: Region,
    /// It fetches, and lists nothing.
    pub is_free_rider: bool,
}

/// A file of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Where it is asked for most.
    pub region: Region,
    /// The one that has it first.
    pub owner: Machine,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// Its peer is started.
    Online(Machine),
    /// Its peer ends.
    Offline(Machine, Departure),
    /// Its owner has a new file.
    Appears(FileId),
    /// The file is deleted wherever it is.
    Retires(FileId),
    /// The user of a machine wants a file.
    Asks(Machine, FileId, Wording),
    /// Nothing goes into this region or out of it from now on.
    CutOff(Region),
    /// That is over.
    Joined(Region),
    /// A machine begins to poison a file: it is no honest holder of it.
    Poisons(Machine, FileId, Poison),
    /// The tracker loses its power.
    TrackerGone,
    /// The tracker is back, and has forgotten all.
    TrackerBack,
}

/// How a peer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It says goodbye.
    Goodbye,
    /// The machine loses its power: no other one is told.
    Crash,
}

/// How a machine that lists a file deceives those that want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poison {
    /// It does not have the file.
    Absent,
    /// It sends other bytes.
    Corrupt,
    /// It lists another file by its name, which it has.
    Forged,
}

/// How a file is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// By its full path.
    Path,
    /// By the last part of it.
    BaseName,
    /// Everything in its folder, by a pattern.
    Folder,
}

impl Machine {
    /// Its place in a list of machines.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// What its peer is called.
    pub fn name(self) -> MemberName {
        MemberName::nearest(&format!("peer-{}", self.0))
    }
}

impl FileId {
    /// Its place in a list of files.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The file that a poisoner has by the name of this one.
    #[must_use]
    pub fn forged(self) -> Self {
        Self(self.0 | FORGED)
    }

    /// The file whose name this one has: itself, if it is not forged.
    #[must_use]
    pub fn honest(self) -> Self {
        Self(self.0 & !FORGED)
    }

    /// Whether it is a poisoner's, by the name of another one.
    pub fn is_forged(self) -> bool {
        self.0 & FORGED != 0
    }

    /// Its path in the share of its holders: about as long as people's are.
    pub fn path(self, region: Region) -> Name {
        let path = format!("{}/{}", folder(self, region), self.base_name());
        path.parse().expect("a name")
    }

    /// The last part of its path.
    pub fn base_name(self) -> String {
        format!("img-{:07}.jpg", self.honest().0)
    }

    /// A pattern for all files of its folder.
    pub fn pattern(self, region: Region) -> String {
        format!("{}/*", folder(self, region))
    }

    /// What it is. No file has another one's root.
    pub fn content(self) -> Content {
        let mut root = [0x5a; 32];
        root[..4].copy_from_slice(&self.0.to_be_bytes());
        Content {
            length: 40_000 + u64::from(self.0 % 97) * 1000,
            root: Root::new(root),
        }
    }

    /// The file that is this, if a trace has it.
    pub fn of(content: Content) -> Self {
        let root = content.root.as_bytes();
        Self(u32::from_be_bytes([root[0], root[1], root[2], root[3]]))
    }

    /// How its holders list it.
    pub fn entry(self, region: Region) -> Entry {
        let content = self.content();
        Entry {
            name: self.path(region),
            length: content.length,
            mtime: 1_700_000_000 + i64::from(self.0),
            root: Some(content.root),
            partial: false,
            nanos: 0,
            executable: false,
            v1: None,
        }
    }
}

/// Twenty files to a folder.
fn folder(file: FileId, region: Region) -> String {
    format!("photos/region-{}/{:05}", region.0, file.honest().0 / 20)
}
