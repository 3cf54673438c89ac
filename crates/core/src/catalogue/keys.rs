//! Under which names an entry is found in the indices, the rows that are found
//! there, and an estimate of what all that takes.

use std::collections::BTreeSet;

use thorp_wire::Name;

use super::slots::Slot;
use crate::matching::{is_nfc, nfc};

/// Rows of an index: which peers list a name, in the order of the names.
pub(super) type Rows<'a> = Box<dyn Iterator<Item = (&'a Name, Slot)> + 'a>;

/// Which peers list exactly this name.
pub(super) fn rows_of<'a>(index: &'a BTreeSet<(Name, Slot)>, name: &Name) -> Rows<'a> {
    let rows = index.range((name.clone(), 0)..=(name.clone(), Slot::MAX));
    Box::new(rows.map(|(name, slot)| (name, *slot)))
}

/// Which peers list the names under this key, behind `after`.
pub(super) fn rows_under<'a>(
    index: &'a BTreeSet<(Name, Option<Name>, Slot)>,
    key: &Name,
    after: Option<&Name>,
) -> Rows<'a> {
    let key = key.clone();
    let start = match after {
        Some(after) => (key.clone(), Some(after.clone()), Slot::MAX),
        None => (key.clone(), None, 0),
    };
    let rows = index
        .range(start..)
        .take_while(move |(found, _, _)| *found == key)
        .filter_map(|(_, name, slot)| Some((name.as_ref()?, *slot)));
    Box::new(rows)
}

/// All of these rows, in the order of their names.
pub(super) fn merged(sources: Vec<Rows<'_>>) -> impl Iterator<Item = (&Name, Slot)> {
    let mut sources: Vec<_> = sources.into_iter().map(Iterator::peekable).collect();
    std::iter::from_fn(move || {
        let first = sources
            .iter_mut()
            .filter_map(|source| Some((*source.peek()?, source)))
            .min_by_key(|(row, _)| *row);
        first.and_then(|(_, source)| source.next())
    })
}

/// The key of `by_base`, for names that have a folder.
pub(super) fn base_key(name: &Name) -> Option<Name> {
    name.folder()?;
    name.base().parse().ok()
}

/// The keys of `by_nfc`: none for a name in form C, as nearly all are.
pub(super) fn nfc_keys(name: &Name) -> impl Iterator<Item = Name> {
    let path = (!is_nfc(name.as_str())).then(|| nfc(name.as_str()));
    let base = (name.folder().is_some() && !is_nfc(name.base())).then(|| nfc(name.base()));
    path.into_iter()
        .chain(base)
        .filter_map(|key| key.parse().ok())
}

/// A name that does not sort behind any name with this prefix, and sorts close
/// before the first.
pub(super) fn first_name(prefix: &str) -> Option<Name> {
    // No character of a name sorts before this one.
    const FIRST: char = '\u{1}';
    if let Ok(name) = prefix.parse() {
        return Some(name);
    }
    // `dir/` and `dir/.` are no names, yet names can start so.
    let folder = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
    format!("{folder}{FIRST}").parse().ok()
}

/// An estimate of the memory that every entry takes besides its text, for its
/// rows in the maps.
pub(crate) const ROWS: u64 = 256;
/// The same for each further key under which it is found.
pub(super) const KEY: u64 = 112;

/// An estimate of what an entry takes: its rows in the maps, its other keys,
/// and the texts.
pub(super) fn cost_of(name: &Name) -> u64 {
    let keys = base_key(name).into_iter().chain(nfc_keys(name));
    let keys = keys.map(|key| KEY + key.as_str().len() as u64);
    ROWS + name.as_str().len() as u64 + keys.sum::<u64>()
}
