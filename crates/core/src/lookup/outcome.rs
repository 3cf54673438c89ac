//! What a caller limits its question to, what a lookup comes to, and how what
//! several members say of one file is put together.

use std::net::Ipv6Addr;

use thorp_wire::PeerId;
use thorp_wire::frame::{Holder, Variant};

/// What a caller limits its question to, if anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// Only holders called so (see [`is_called`]).
    pub from: Option<String>,
    /// Only contents with a root whose hexadecimal form starts like this.
    pub root: Option<String>,
}

impl Only {
    /// Drops the holders that do not count: all of them, if the content does
    /// not.
    pub fn keep(&self, variant: &mut Variant) {
        if let Some(from) = &self.from {
            variant.holders.retain(|holder| is_called(holder, from));
        }
        if let Some(prefix) = &self.root {
            let root = variant.entry.root;
            if !root.is_some_and(|root| root.has_hex_prefix(prefix)) {
                variant.holders.clear();
            }
        }
    }
}

/// What a lookup has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For each name, in the order they were given.
    pub names: Vec<(String, Answer)>,
    /// Whether the tracker was asked, or could not be.
    pub tracker: TrackerUse,
    /// How many names were found without asking the tracker about them.
    pub spared: usize,
}

/// What was found for one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These variants, as this source says. If they are of several contents,
    /// the user chooses.
    Found(Source, Vec<Variant>),
    /// Nothing by that name, but these differ in Unicode normalisation only.
    Alike(Vec<Variant>),
    /// Nothing by that name, but these differ in small and large letters only.
    OtherCase(Vec<Variant>),
    /// No file by that name, but a folder.
    Folder,
    /// No member that was asked knows the name.
    Nobody,
}

impl Answer {
    /// The file whose root is awaited, and how much of it was read; nothing where a
    /// file has a root already, or no holder reads it.
    pub fn being_hashed(&self) -> Option<(&Variant, u64)> {
        let Self::Found(_, variants) = self else {
            return None;
        };
        if variants.iter().any(|variant| variant.entry.root.is_some()) {
            return None;
        }
        let hashed = variants.iter().filter_map(|v| Some((v, v.hashed?)));
        hashed.max_by_key(|(_, hashed)| *hashed)
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The neighbours' listings in memory.
    Memory,
    /// A neighbour that was asked.
    Neighbour(PeerId),
    /// The tracker.
    Tracker,
}

/// Whether the tracker was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerUse {
    /// It was not needed.
    Spared,
    /// It was asked.
    Asked,
    /// It was asked. It has no room for the listings of some members, and not all of
    /// those have answered for themselves.
    AskedWithoutUnlisted,
    /// It was asked, and had too much to do to answer in full.
    InPart,
    /// It was needed and could not be asked.
    Unreachable,
}

impl TrackerUse {
    /// Whether it has told all that it knows.
    pub fn is_asked_in_full(self) -> bool {
        matches!(self, Self::Asked | Self::AskedWithoutUnlisted)
    }
}

/// Adds a variant to those known, or its holders to the one that it is.
pub(super) fn merge(known: &mut Vec<Variant>, variant: Variant) {
    let same = |v: &&mut Variant| {
        v.entry.name == variant.entry.name
            && v.entry.length == variant.entry.length
            && v.entry.root == variant.entry.root
    };
    match known.iter_mut().find(same) {
        Some(same) => {
            same.entry.v1 = same.entry.v1.or(variant.entry.v1);
            add_holders(same, variant.holders);
        }
        None => known.push(variant),
    }
}

/// Adds those holders that are not known yet. If one member says that a holder
/// has all of the file, it has all of it: a file that is being fetched only
/// grows.
pub fn add_holders(variant: &mut Variant, holders: Vec<Holder>) {
    for holder in holders {
        match variant.holders.iter_mut().find(|h| h.id == holder.id) {
            Some(known) => known.partial &= holder.partial,
            None => variant.holders.push(holder),
        }
    }
}

/// Whether a user may mean this member by `text`: its name, its address (with
/// or without the port), its id or the start of that.
pub fn is_called(holder: &Holder, text: &str) -> bool {
    const ENOUGH_OF_AN_ID: usize = 4;
    // A zone is of the machine where it is typed: no member is told of it.
    let text = match text.split_once('%') {
        Some((ip, _)) if ip.parse::<Ipv6Addr>().is_ok() => ip,
        _ => text,
    };
    holder
        .name
        .as_ref()
        .is_some_and(|name| name.as_str() == text)
        || holder
            .addresses
            .iter()
            .any(|address| address.ip().to_string() == text || address.to_string() == text)
        || (text.len() >= ENOUGH_OF_AN_ID && holder.id.to_string().starts_with(text))
}
