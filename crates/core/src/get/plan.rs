//! What a name comes to: the one content that goes by it, a choice, or nothing.
//!
//! Owns which names are taken and which are left out, and whether a file fits
//! where it is to go. What is there already it is told: it reads no disk.

use std::collections::{BTreeMap, BTreeSet};

use thorp_wire::frame::{Holder, Variant};
use thorp_wire::{Name, PeerId};

use super::{Answered, Existing, Item, Look, Looked, Missed, Request};
use crate::lookup::{Answer, Only, Source, TrackerUse};
use crate::matching::{Pattern, looks_like_a_pattern};

/// On what terms files are fetched: the same for all files of a request.
#[derive(Debug)]
pub(super) struct Terms {
    /// The name for the one file, where it is not the listed one.
    rename: Option<Name>,
    only: Only,
    /// Whether what goes by a target's name stays where it is.
    keeps: bool,
    /// Whether equal content that is there already counts as fetched.
    equal_will_do: bool,
    /// Whether one file was asked for by its name, so that its failure is the
    /// failure of the request.
    pub(super) is_single: bool,
}

/// What a name comes to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// This file is meant.
    Take(Planned),
    /// One of these is meant. They may look like the name without being called so.
    Choose {
        variants: Vec<Variant>,
        look_alike: bool,
    },
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
}

impl Terms {
    /// The terms of a request, if it can be served at all.
    pub fn new(request: &Request) -> Result<Self, Missed> {
        let is_single = match &request.names[..] {
            [name] => pattern(name).is_none(),
            _ => false,
        };
        let for_one = request.rename.is_some() || request.existing == Existing::SetAside;
        if for_one && !is_single {
            return Err(Missed::OneNameOnly);
        }
        if request.names.is_empty() {
            return Err(Missed::NoNames);
        }
        let rename = request.rename.as_ref().map(|text| {
            text.parse().map_err(|why| Missed::BadName {
                text: text.clone(),
                why,
            })
        });
        Ok(Self {
            rename: rename.transpose()?,
            only: request.only.clone(),
            keeps: request.existing == Existing::Keep,
            equal_will_do: request.elsewhere || !is_single,
            is_single,
        })
    }

    /// Where to look before any peer is asked: a file that has no place need not
    /// be looked for.
    pub fn target_of(&self, typed: &str) -> Option<Name> {
        if !self.is_single || !self.keeps || self.equal_will_do {
            return None;
        }
        self.rename.clone().or_else(|| typed.parse().ok())
    }

    /// What an answer comes to.
    pub fn verdict(
        &self,
        answer: Answer,
        tracker: TrackerUse,
        known: &BTreeMap<PeerId, Holder>,
    ) -> Verdict {
        let tracker_asked = tracker == TrackerUse::Asked;
        match answer {
            Answer::Found(source, variants) => {
                let via = match source {
                    Source::Neighbour(id) => known.get(&id).cloned(),
                    Source::Memory | Source::Tracker => None,
                };
                let answer = Answered {
                    source,
                    via,
                    tracker_asked,
                };
                self.choose(variants, answer)
            }
            Answer::Alike(variants) => {
                let answer = Answered {
                    source: Source::Tracker,
                    via: None,
                    tracker_asked,
                };
                self.choose_alike(variants, answer)
            }
            Answer::Nobody => Verdict::Miss(self.nobody(tracker)),
        }
    }

    /// The one content that goes by a name, or the choice between several.
    pub fn choose(&self, variants: Vec<Variant>, answer: Answered) -> Verdict {
        let is_hashed = |variant: &Variant| variant.entry.root.is_some();
        let (hashed, unhashed): (Vec<_>, Vec<_>) = variants.into_iter().partition(is_hashed);
        let first = hashed.iter().min_by_key(|variant| &variant.entry.name);
        let content = first.and_then(|first| first.entry.content());
        let (Some(first), Some(content)) = (first, content) else {
            let by = unhashed.into_iter().flat_map(|v| v.holders).next();
            return Verdict::Miss(Missed::StillHashing { by });
        };
        let is_other = |variant: &Variant| variant.entry.content() != Some(content);
        if hashed.iter().any(is_other) {
            return several(hashed, false);
        }
        let listed = first.entry.name.clone();
        let item = Item {
            target: self.rename.clone().unwrap_or_else(|| listed.clone()),
            listed,
            mtime: first.entry.mtime,
            content,
        };
        let mut known = BTreeSet::new();
        let holders = hashed.into_iter().flat_map(|variant| variant.holders);
        Verdict::Take(Planned {
            item,
            holders: holders.filter(|holder| known.insert(holder.id)).collect(),
            answer,
            widen: self.only.from.is_none(),
            is_there: false,
        })
    }

    /// Names that differ from the typed one in Unicode normalisation only are
    /// offered, not taken, unless the person has said by its root which one is meant.
    fn choose_alike(&self, variants: Vec<Variant>, answer: Answered) -> Verdict {
        if self.only.root.is_some() {
            return self.choose(variants, answer);
        }
        several(variants, true)
    }

    /// No peer has it, as far as could be asked.
    pub fn nobody(&self, tracker: TrackerUse) -> Missed {
        match tracker {
            TrackerUse::Unreachable => Missed::TrackerUnreachable { listing: false },
            TrackerUse::Spared | TrackerUse::Asked => Missed::NobodyShares(self.only.clone()),
        }
    }

    /// Whether to look at what is where a file is to go, and how closely.
    pub fn look(&self, planned: &Planned) -> Option<Look> {
        let content = self.equal_will_do.then_some(planned.item.content);
        (self.keeps || self.equal_will_do).then(|| Look {
            target: planned.item.target.clone(),
            content,
        })
    }

    /// Whether a file fits where it is to go, now that it is known what is there.
    pub fn fits(&self, planned: &mut Planned, looked: Looked) -> Result<(), Missed> {
        match looked {
            Looked::Equal if self.equal_will_do => {
                planned.is_there = true;
                Ok(())
            }
            Looked::Equal | Looked::SameName if self.keeps => Err(Missed::exists()),
            Looked::Free | Looked::Equal | Looked::SameName => Ok(()),
            Looked::Blocked(why) => Err(Missed::NotStored(why)),
        }
    }
}

/// The pattern that a text is. What looks like one and is none (`photo [1`) can
/// still be a file's name.
pub(super) fn pattern(text: &str) -> Option<Pattern> {
    looks_like_a_pattern(text)
        .then(|| Pattern::new(text).ok())
        .flatten()
}

fn several(mut variants: Vec<Variant>, look_alike: bool) -> Verdict {
    variants.sort_by_key(|variant| std::cmp::Reverse(variant.holders.len()));
    Verdict::Choose {
        variants,
        look_alike,
    }
}
