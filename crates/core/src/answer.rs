//! Answers to `Find`, from a catalogue. The same for tracker and peer.

use std::collections::{BTreeMap, BTreeSet};

use thorp_wire::frame::{
    Find, Found, Holder, MAX_FRAME, MemberRow, NameFilter, Query, Reason, Refused, Told, ToldFile,
    Variant,
};
use thorp_wire::{Entry, Name, PeerId, Root};

use crate::budget::Work;
use crate::catalogue::{Among, Catalogue, File, Listing};
use crate::matching::{Fit, Pattern, PatternError};
use crate::presence::{Presence, Presences};

/// Bytes of variants in one answer: with their frame they stay below its limit.
const ROOM: usize = MAX_FRAME - 64 * 1024;

/// How many holders are named of a file that the asker did not ask for by name: in variants, and
/// in a table, where one more takes a byte.
const FEW_HOLDERS: usize = 2;
const FEW_TOLD: usize = 3;

/// Where the answers come from.
pub struct Library<'a> {
    /// The listings.
    pub catalogue: &'a Catalogue,
    /// The members that are present.
    pub present: &'a Presences,
    /// The node that answers.
    pub me: PeerId,
    /// The peers whose files may be named.
    pub among: Among<'a>,
    /// The member that asks.
    pub asker: PeerId,
    /// Members that answer for themselves, as there is no room for their listings. They are
    /// looked for only where the catalogue is not enough.
    pub unlisted: &'a dyn Fn() -> Unlisted,
    /// How much one answer may cost, about.
    pub most: u64,
}

/// Some members for whose listings there is no room, and whether there are others.
#[derive(Clone, Debug, Default)]
pub struct Unlisted {
    /// These are named.
    pub members: Vec<Holder>,
    /// These are not all.
    pub are_more: bool,
    /// How many were looked at for that.
    pub looked_at: u64,
}

impl Library<'_> {
    /// The answer to a question about files, and what it has cost.
    pub fn files(&self, find: &Find) -> (Result<Found, PatternError>, Work) {
        let mut work = Work::QUESTION;
        let found = match &find.query {
            Query::Names(names) => Ok(self.names(find, names, &mut work)),
            Query::Pattern(text) => {
                let mut steps = 0;
                let pattern = Pattern::counted(text, &mut steps);
                // It costs this also if it turns out to be no pattern.
                work = work.plus(steps.div_ceil(Work::STEPS));
                pattern.map(|pattern| {
                    let after = find.after.as_ref();
                    let files = self.catalogue.matching(&pattern, after, self.among);
                    let mut files = files.taking(work.remaining(self.most) * Work::STEPS);
                    let mut found = self.page(&mut files, find.most_variants(), &mut work);
                    work = work.plus(files.steps() / Work::STEPS);
                    if !found.more {
                        found.behind = files.behind();
                        found.more = found.behind.is_some();
                    }
                    // The asker puts their files in order with ours, from the first on.
                    if find.after.is_none() {
                        self.name_unlisted(&mut found, &mut work);
                    }
                    found
                })
            }
            Query::Content(content) => {
                let mut names: BTreeMap<&Name, Vec<PeerId>> = BTreeMap::new();
                for (peer, name) in self.catalogue.holders_of(*content) {
                    work = work.plus(1);
                    if (self.among)(peer) {
                        names.entry(name).or_default().push(peer);
                    }
                }
                let entry = |name: &Name| Entry {
                    name: name.clone(),
                    length: content.length,
                    mtime: 0,
                    root: Some(content.root),
                    partial: false,
                    nanos: 0,
                    executable: false,
                    v1: None,
                };
                let files = names.into_iter().map(|(name, holders)| File {
                    entry: entry(name),
                    holders,
                });
                Ok(self.page(files, find.most_variants(), &mut work))
            }
            Query::Beyond(known, told) => Ok(self.beyond(find, known, *told, &mut work)),
            Query::Members(_) => Ok(Found::default()),
        };
        (found, work)
    }

    /// Files that the asker does not know of, and members that have all of them: a table, if the
    /// asker takes one. The asker has this node's own listing.
    fn beyond(&self, find: &Find, known: &NameFilter, told: Option<u32>, work: &mut Work) -> Found {
        let among = |peer| peer != self.me && (self.among)(peer);
        let few_holders = if told.is_some() {
            FEW_TOLD
        } else {
            FEW_HOLDERS
        };
        let (after, until) = (find.after.as_ref(), find.until.as_ref());
        let files = self.catalogue.beyond(known, after, until, &among);
        let mut files = files.taking(work.remaining(self.most) * Work::STEPS);
        let few = files.by_ref().filter_map(|mut file| {
            file.entry.root?;
            let turn = self.turn(file.entry.root);
            let first = turn.checked_rem(file.holders.len()).unwrap_or(0);
            file.holders.rotate_left(first);
            let name = &file.entry.name;
            let is_told = |peer: &PeerId| {
                !known.contains_holder(name, *peer) && !self.catalogue.has_a_part(*peer, name)
            };
            let holders = file.holders.iter().copied().filter(is_told);
            file.holders = holders.take(few_holders).collect();
            (!file.holders.is_empty()).then_some(file)
        });
        let found = match told {
            Some(most) => self.table(few, usize::try_from(most).unwrap_or(usize::MAX), work),
            None => self.page(few, find.most_variants(), work),
        };
        *work = work.plus(files.steps() / Work::STEPS);
        found
    }

    /// As many files as fit, and their holders once.
    fn table(&self, files: impl Iterator<Item = File>, most: usize, work: &mut Work) -> Found {
        let mut told = Told::default();
        let mut places: BTreeMap<PeerId, u8> = BTreeMap::new();
        let mut room = ROOM;
        let mut more = false;
        for mut file in files {
            *work = work.plus(cost_of(&file));
            let size = size_of_entry(&file.entry) + file.holders.len();
            if told.files.len() == most.min(Told::MAX_FILES) || size > room {
                more = true;
                break;
            }
            room -= size;
            let mut holders = Vec::with_capacity(file.holders.len());
            for peer in file.holders {
                let place = match places.get(&peer) {
                    Some(place) => *place,
                    None => match (u8::try_from(told.holders.len()), self.holder(peer)) {
                        (Ok(place), Some(holder)) => {
                            room = room.saturating_sub(size_of_holder(&holder));
                            told.holders.push(holder);
                            places.insert(peer, place);
                            place
                        }
                        _ => continue,
                    },
                };
                holders.push(place);
            }
            file.entry.partial = false;
            let entry = file.entry;
            told.files.push(ToldFile { entry, holders });
        }
        Found {
            more,
            told: Some(told),
            ..Found::default()
        }
    }

    /// One file as a variant with all its holders, those first that have all of
    /// it. If there are too many holders, different askers are told of
    /// different ones.
    pub fn variant(&self, file: File) -> Variant {
        let has_a_part = |peer: &PeerId| self.catalogue.has_a_part(*peer, &file.entry.name);
        let (mut parts, mut wholes): (Vec<PeerId>, Vec<PeerId>) =
            file.holders.iter().copied().partition(has_a_part);
        if file.holders.len() > Variant::MAX_HOLDERS {
            let turn = self.turn(file.entry.root);
            for holders in [&mut wholes, &mut parts] {
                let first = turn.checked_rem(holders.len()).unwrap_or(0);
                holders.rotate_left(first);
            }
        }
        let wholes = wholes.into_iter().filter_map(|peer| self.holder(peer));
        let parts = parts.into_iter().filter_map(|peer| {
            Some(Holder {
                partial: true,
                ..self.holder(peer)?
            })
        });
        let holders = wholes.chain(parts).take(Variant::MAX_HOLDERS).collect();
        Variant {
            entry: file.entry,
            holders,
            hashed: None,
        }
    }

    /// With which holder of a content the answer to this asker begins. Keys and
    /// roots are as good as random numbers.
    fn turn(&self, root: Option<Root>) -> usize {
        let (id, root) = (self.asker.as_bytes(), root.unwrap_or(Root::EMPTY));
        let pairs = id.iter().zip(root.as_bytes()).take(4);
        pairs.fold(0, |turn, (id, root)| turn << 8 | usize::from(id ^ root))
    }

    /// This node itself is named without an address: the asker knows it already.
    fn holder(&self, peer: PeerId) -> Option<Holder> {
        if peer == self.me {
            return Some(Holder::bare(peer));
        }
        Some(self.present.get(peer)?.holder())
    }

    /// Names are answered in the order of the question, each of them once. If
    /// there is more than fits, or more than one question may cost, the asker
    /// has to ask again for those left out.
    fn names(&self, find: &Find, names: &[String], work: &mut Work) -> Found {
        let most_variants = find.most_variants();
        let mut found = Found::default();
        let mut room = ROOM;
        let mut seen = BTreeSet::new();
        let mut is_missed = false;
        for (at, name) in (0..).zip(names) {
            if !seen.insert(name) {
                continue;
            }
            if at > 0 && work.remaining(self.most) == 0 {
                return cut(found, at, None);
            }
            *work = work.plus(Work::NAME);
            let after = find.after.as_ref().filter(|_| at == 0);
            let most = work.remaining(self.most) * Work::ROWS;
            let part = self.catalogue.named_within(name, after, most, self.among);
            *work = work.plus(part.looked_at / Work::ROWS);
            if part.found.is_none() && part.behind.is_none() && !is_missed {
                is_missed = true;
                self.name_unlisted(&mut found, work);
            }
            let (_, files) = part.found.unwrap_or((Fit::Path, Vec::new()));
            *work = work.plus(files.iter().map(cost_of).sum());
            let start = found.variants.len();
            for file in files.into_iter().take(most_variants) {
                let variant = self.variant(file);
                let size = size_of(&variant);
                if found.variants.len() == most_variants || size > room {
                    // The files of one name come in one answer, unless they alone are
                    // too many.
                    if start > 0 {
                        found.variants.truncate(start);
                        return cut(found, at, None);
                    }
                    break;
                }
                room -= size;
                found.variants.push(variant);
            }
            if part.behind.is_some() {
                return cut(found, at, part.behind);
            }
        }
        found
    }

    /// The asker is told of members that may have what is not known here.
    fn name_unlisted(&self, found: &mut Found, work: &mut Work) {
        let unlisted = (self.unlisted)();
        let named = unlisted.members.len() as u64;
        *work = work.plus(named).plus(unlisted.looked_at / Work::LINKS);
        found.unlisted = unlisted.members;
        found.more_unlisted = unlisted.are_more;
    }

    /// As many files as fit, but never a part of those that share a name
    /// (unless it is the only name).
    fn page(&self, files: impl Iterator<Item = File>, most: usize, work: &mut Work) -> Found {
        let mut found = Found::default();
        let mut room = ROOM;
        for file in files {
            *work = work.plus(cost_of(&file));
            let variant = self.variant(file);
            let size = size_of(&variant);
            if found.variants.len() == most || size > room {
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

/// An answer that ends before the end of the question: it covers the first
/// `answered` names, and the next one up to `behind`.
fn cut(found: Found, answered: u32, behind: Option<Name>) -> Found {
    Found {
        more: true,
        answered: Some(answered),
        behind,
        ..found
    }
}

/// What it costs to gather a file's holders and to name some of them.
fn cost_of(file: &File) -> u64 {
    1 + file.holders.len() as u64 / 4
}

/// At least as many bytes as a variant takes in a frame.
fn size_of(variant: &Variant) -> usize {
    let holders = variant.holders.iter();
    size_of_entry(&variant.entry) + holders.map(size_of_holder).sum::<usize>()
}

fn size_of_holder(holder: &Holder) -> usize {
    const HOLDER: usize = 96;
    const ADDRESS: usize = 20;
    HOLDER + ADDRESS * holder.addresses.len()
}

fn size_of_entry(entry: &Entry) -> usize {
    const ENTRY: usize = 96;
    ENTRY + entry.name.as_str().len()
}

/// A page of these members, and what it has cost.
pub fn members<'a>(
    present: impl Iterator<Item = &'a Presence>,
    catalogue: &Catalogue,
) -> (Found, Work) {
    let mut found = Found::default();
    let mut looked_at = 0;
    for presence in present {
        looked_at += 1;
        if found.members.len() == Found::MAX_MEMBERS {
            found.more = true;
            break;
        }
        found.members.push(member_row(presence, catalogue));
    }
    let named = found.members.len() as u64;
    let work = Work::QUESTION.plus(named).plus(looked_at / Work::LINKS);
    (found, work)
}

/// The answer to a member whose questions have cost too much.
pub fn too_busy() -> Refused {
    Refused {
        reason: Reason::Busy,
        text: "too many questions, or too large ones: ask again in a few seconds".into(),
    }
}

/// One member that is present.
pub fn member_row(presence: &Presence, catalogue: &Catalogue) -> MemberRow {
    let listing = catalogue.listing(presence.id);
    let neighbours = listing.map_or(&[][..], |listing| listing.neighbours());
    MemberRow {
        member: presence.holder(),
        files: listing.map_or(0, |listing| listing.len() as u64),
        bytes: listing.map_or(0, Listing::bytes),
        neighbours: neighbours[..neighbours.len().min(MemberRow::MAX_NEIGHBOURS)].to_vec(),
    }
}

#[cfg(test)]
mod tests;
