//! What a get is doing, as values: what is still to be found, what was planned, what it waits for.

use thorp_wire::Name;
use thorp_wire::frame::{Holder, Variant};

use super::wait::Wait;
use super::{Answered, Doubt, GetId, Inquiry, Item, Missed};
use crate::matching::Pattern;
use crate::survey::Coverage;
use crate::time::Instant;

#[derive(Debug)]
pub(super) enum Task {
    Pattern(Pattern),
    /// All that is in a folder.
    Folder(String),
    /// As they were asked for.
    Names(Vec<String>),
    /// A pattern that no file matches: a folder may be called so, or the last part of a path.
    Unmatched(String),
    /// Files that match a pattern and have no root: asked for by name they are hashed
    /// first.
    Unhashed(Vec<String>),
    /// What did not come before.
    Again(Vec<String>),
}

/// A pattern whose files are told part by part.
#[derive(Debug)]
pub(super) struct Listed {
    pub pattern: Pattern,
    /// That was asked for by its name.
    pub folder: Option<Folder>,
    pub inquiry: Inquiry,
    /// Whether nothing was told yet.
    pub nothing: bool,
    /// Whether the next part was asked for, or will come by itself.
    pub is_asked: bool,
    pub over: Option<Coverage>,
}

/// A folder that was asked for by its name.
#[derive(Debug)]
pub(super) struct Folder {
    pub name: String,
    /// What is known of it by now.
    pub files: u64,
    pub bytes: u64,
    pub last: Option<Name>,
    /// What is held back until all is known.
    pub held: Vec<Variant>,
}

impl Folder {
    pub fn new(name: String) -> Self {
        Self {
            name,
            files: 0,
            bytes: 0,
            last: None,
            held: Vec::new(),
        }
    }
}

/// What a name was asked for as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AskedAs {
    Pattern,
    Name,
    /// A pattern that no file matches. As a name it is not waited for.
    Unmatched,
    Unhashed,
    /// It did not come before.
    Again,
}

/// What a request waits for.
#[derive(Debug)]
pub(super) enum Step {
    /// Whether something goes by the one name that was typed.
    TypedName(String),
    /// The next part of what matches a pattern.
    Survey,
    LookUp {
        asked: AskedAs,
        since: Instant,
        /// Once something is being hashed.
        wait: Option<Wait>,
    },
    /// Whether these fit where they are to go.
    Places(AskedAs, Vec<Candidate>),
    /// Room for more files.
    Room,
    /// All is found.
    Files,
}

/// What a name comes to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// This file is meant.
    Take(Planned),
    /// One of these is meant.
    Choose {
        variants: Vec<Variant>,
        doubt: Doubt,
    },
    /// All that is in the folder of that name.
    Folder,
    Miss(Missed),
}

/// A file of which it is known where to get it and where to put it.
#[derive(Debug)]
pub(super) struct Planned {
    pub item: Item,
    pub holders: Vec<Holder>,
    pub answer: Answered,
    /// Whether others may be looked for when none of these delivers.
    pub widen: bool,
    /// It is there already, and need not be fetched.
    pub is_there: bool,
    /// Since when it does not come, where it did not before.
    pub late: Option<Instant>,
    /// It is copied from this peer's own share.
    pub is_own: bool,
}

/// A name, and what it comes to.
#[derive(Debug)]
pub(super) struct Candidate {
    pub asked: String,
    pub verdict: Verdict,
    /// Whether what is in its place is being looked at.
    pub is_looked_at: bool,
}

#[derive(Debug)]
pub(super) struct OnItsWay {
    pub get: GetId,
    pub item: Item,
    /// Who had it when it was planned.
    pub holders: Vec<Holder>,
    pub answer: Answered,
    /// Its bytes are made here.
    pub is_made: bool,
    /// They are copied from this peer's own share.
    pub is_own: bool,
    /// Since when it does not come.
    pub late: Option<Instant>,
}

impl Candidate {
    pub fn new(asked: String, verdict: Verdict) -> Self {
        Self {
            asked,
            verdict,
            is_looked_at: false,
        }
    }
}
