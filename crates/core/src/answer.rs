//! Answers to `Find`, from a catalogue. The same for tracker and peer.

use std::collections::BTreeMap;

use thorp_wire::frame::{Find, Found, Holder, MAX_FRAME, MemberRow, Query, Variant};
use thorp_wire::{Entry, Name, PeerId};

use crate::catalogue::{Among, Catalogue, File, Listing};
use crate::links::{Link, Links};
use crate::matching::{Pattern, PatternError};

/// Bytes of variants in one answer: with their frame they stay below its limit.
const ROOM: usize = MAX_FRAME - 64 * 1024;

/// Where the answers come from.
pub struct Library<'a> {
    /// Who has what.
    pub catalogue: &'a Catalogue,
    /// Who they are and where.
    pub links: &'a Links,
    /// Whose files may be named.
    pub among: Among<'a>,
}

impl Library<'_> {
    /// The answer to a question about files.
    pub fn files(&self, find: &Find) -> Result<Found, PatternError> {
        match &find.query {
            Query::Names(names) => Ok(self.names(names)),
            Query::Pattern(pattern) => {
                let pattern = Pattern::new(pattern)?;
                let files = self
                    .catalogue
                    .matching(&pattern, find.after.as_ref(), self.among);
                Ok(self.page(files))
            }
            Query::Content(content) => {
                let mut names: BTreeMap<&Name, Vec<PeerId>> = BTreeMap::new();
                for (peer, name) in self.catalogue.holders_of(*content) {
                    if (self.among)(peer) {
                        names.entry(name).or_default().push(peer);
                    }
                }
                let entry = |name: &Name| Entry {
                    name: name.clone(),
                    length: content.length,
                    mtime: 0,
                    root: Some(content.root),
                };
                Ok(self.page(names.into_iter().map(|(name, holders)| File {
                    entry: entry(name),
                    holders,
                })))
            }
            Query::Members(_) => Ok(Found::default()),
        }
    }

    /// One file as a variant with everybody who holds it.
    pub fn variant(&self, file: File) -> Variant {
        let holders = file
            .holders
            .into_iter()
            .filter_map(|peer| self.holder(peer));
        Variant {
            entry: file.entry,
            holders: holders.take(Variant::MAX_HOLDERS).collect(),
            hashed: None,
        }
    }

    /// Oneself is named without an address: whoever asks knows it already.
    fn holder(&self, peer: PeerId) -> Option<Holder> {
        if peer == self.links.me().id {
            return Some(Holder {
                id: peer,
                name: None,
                addresses: Vec::new(),
                partial: false,
            });
        }
        Some(self.links.to(peer)?.1.holder())
    }

    /// Names are answered in the order of the question. Where there is more
    /// than fits, those left out are to be asked again.
    fn names(&self, names: &[String]) -> Found {
        let mut found = Found::default();
        let mut room = ROOM;
        for name in names {
            let Some((_, files)) = self.catalogue.named(name, self.among) else {
                continue;
            };
            let start = found.variants.len();
            for file in files.into_iter().take(Found::MAX_VARIANTS) {
                let variant = self.variant(file);
                let size = size_of(&variant);
                if found.variants.len() == Found::MAX_VARIANTS || size > room {
                    // The files of one name come together, unless they alone are too many.
                    if start > 0 {
                        found.variants.truncate(start);
                        found.more = true;
                        return found;
                    }
                    break;
                }
                room -= size;
                found.variants.push(variant);
            }
        }
        found
    }

    /// As many files as fit, but never a part of those that share a name
    /// (unless it is the only name).
    fn page(&self, files: impl Iterator<Item = File>) -> Found {
        let mut found = Found::default();
        let mut room = ROOM;
        for file in files {
            let variant = self.variant(file);
            let size = size_of(&variant);
            if found.variants.len() == Found::MAX_VARIANTS || size > room {
                found.more = true;
                let cut = &variant.entry.name;
                let several = found
                    .variants
                    .first()
                    .is_some_and(|first| first.entry.name != *cut);
                if several {
                    found.variants.retain(|variant| variant.entry.name != *cut);
                }
                break;
            }
            room -= size;
            found.variants.push(variant);
        }
        found
    }
}

/// At least as many bytes as a variant takes in a frame.
fn size_of(variant: &Variant) -> usize {
    const ENTRY: usize = 96;
    const HOLDER: usize = 96;
    const ADDRESS: usize = 20;
    let holder = |holder: &Holder| HOLDER + ADDRESS * holder.addresses.len();
    ENTRY + variant.entry.name.as_str().len() + variant.holders.iter().map(holder).sum::<usize>()
}

/// A page of the members that are present, behind `after`.
pub fn members<'a>(
    present: impl Iterator<Item = &'a Link>,
    after: Option<PeerId>,
    catalogue: &Catalogue,
) -> Found {
    let mut found = Found::default();
    let behind = |link: &&Link| after.is_none_or(|after| link.member.id > after);
    for link in present.filter(behind) {
        if found.members.len() == Found::MAX_MEMBERS {
            found.more = true;
            break;
        }
        found.members.push(member_row(link, catalogue));
    }
    found
}

/// One member that is present.
pub fn member_row(link: &Link, catalogue: &Catalogue) -> MemberRow {
    let listing = catalogue.listing(link.member.id);
    let neighbours = listing.map_or(&[][..], |listing| listing.neighbours());
    MemberRow {
        member: link.holder(),
        files: listing.map_or(0, |listing| listing.len() as u64),
        bytes: listing.map_or(0, Listing::bytes),
        neighbours: neighbours[..neighbours.len().min(MemberRow::MAX_NEIGHBOURS)].to_vec(),
    }
}

#[cfg(test)]
mod tests;
