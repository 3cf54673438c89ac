//! Under which other names an entry is found, and an estimate of what it takes.

use thorp_wire::{InfoHash, Name};

use crate::matching::{is_nfc, nfc};

/// The names in form C under which a name is found too: none for a name in form C, as
/// nearly all are.
pub(super) fn nfc_keys(name: &Name) -> impl Iterator<Item = Name> {
    let path = (!is_nfc(name.as_str())).then(|| nfc(name.as_str()));
    let base = (name.folder().is_some() && !is_nfc(name.base())).then(|| nfc(name.base()));
    path.into_iter()
        .chain(base)
        .filter_map(|key| key.parse().ok())
}

/// An estimate of the memory that every entry takes besides its text: its row, and its
/// places in the indices.
pub(crate) const ROWS: u64 = 112;
/// The same for each further name under which it is found.
pub(super) const KEY: u64 = 56;

/// An estimate of what an entry takes: its row and its places, its other keys,
/// and the texts.
pub(super) fn cost_of(name: &Name) -> u64 {
    let keys = nfc_keys(name).map(|key| KEY + cost_of_text(&key));
    ROWS + cost_of_text(name) + keys.sum::<u64>()
}

/// An estimate of what the info-hash of an entry's v1 torrent takes.
const V1: u64 = 64;

/// An estimate of what an entry takes with the info-hash of its v1 torrent, if it has one.
pub(crate) fn cost_of_entry(name: &Name, has_v1: bool) -> u64 {
    cost_of(name) + if has_v1 { V1 } else { 0 }
}

/// An estimate of what torrents take that a peer names beside its entries.
pub(crate) fn cost_of_torrents(torrents: &[InfoHash]) -> u64 {
    size_of_val(torrents) as u64
}

/// What a name's text takes, with the two numbers before it: allocators have sizes of
/// four steps from one power of two to the next.
pub(crate) fn cost_of_text(name: &Name) -> u64 {
    let size = name.as_str().len() + 2 * size_of::<usize>();
    let step = (size.next_power_of_two() / 8).max(8);
    size.next_multiple_of(step) as u64
}
