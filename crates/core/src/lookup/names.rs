//! The names that are looked up: what is known of each, and which of them the
//! name of a file fits.

use std::collections::{BTreeMap, BTreeSet};

use thorp_wire::frame::{Holder, Variant};
use thorp_wire::{Name, PeerId};

use super::outcome::{Answer, Source, merge};
use crate::matching::{Fit, Likeness, fit, likeness, nfc};

/// Files in other letters that are offered for one name.
const MOST_ALIKE: usize = 20;

/// How many claims of one neighbour are kept. Three are as good as any number: a claim names two
/// members, so one of three holders is none of them.
const MOST_KEPT: usize = 3;

/// One of the names, as it was typed.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) typed: String,
    answer: Option<Known>,
    /// What differs from the name only in Unicode normalisation.
    alike: Vec<Variant>,
    /// What differs from it only in small and large letters.
    other_case: Vec<Variant>,
    /// Whether there are files in a folder that is called so.
    is_folder: bool,
    /// Whether the tracker was asked about it.
    is_asked_of_tracker: bool,
}

/// What is known of a name: all of it fits equally well.
#[derive(Clone, Debug)]
struct Known {
    source: Source,
    fit: Fit,
    variants: Vec<Variant>,
    /// Which neighbours have said so, and of which holders each: of itself, if it lists
    /// one of these. At most [`MOST_KEPT`] of each.
    claims: BTreeMap<PeerId, BTreeSet<PeerId>>,
    /// Whether it is taken without asking the tracker.
    is_vouched_for: bool,
}

/// Finds the names that a file's name fits, without trying them all.
#[derive(Debug)]
pub(super) struct Index {
    typed: BTreeMap<String, Vec<usize>>,
    normalised: BTreeMap<String, Vec<usize>>,
}

impl Named {
    /// A name of which nothing is known yet.
    pub(super) fn new(typed: String) -> Self {
        Self {
            typed,
            answer: None,
            alike: Vec::new(),
            other_case: Vec::new(),
            is_folder: false,
            is_asked_of_tracker: false,
        }
    }

    /// The tracker is asked about it.
    pub(super) fn on_asked_of_tracker(&mut self) {
        self.is_asked_of_tracker = true;
    }

    /// Whether it was found without the tracker.
    pub(super) fn is_spared(&self) -> bool {
        self.answer.is_some() && !self.is_asked_of_tracker
    }

    /// Takes a file that fits. A better fit displaces a worse one; an equal one is
    /// another choice, or adds its holders. Whether it counts.
    pub(super) fn take(&mut self, source: Source, fit: Fit, variant: Variant) -> bool {
        if fit == Fit::Normalised {
            merge(&mut self.alike, variant);
            return false;
        }
        match &mut self.answer {
            Some(known) if known.fit < fit => return false,
            Some(known) if known.fit == fit => merge(&mut known.variants, variant),
            answer => {
                *answer = Some(Known {
                    source,
                    fit,
                    variants: vec![variant],
                    claims: BTreeMap::new(),
                    is_vouched_for: false,
                });
            }
        }
        true
    }

    /// A neighbour has said that this holder, maybe itself, has what was just taken.
    /// One that this peer has chosen stands for what it lists itself. Two claims of the
    /// same content stand for it together if they have no member in common: no member
    /// can make both.
    pub(super) fn vouch(&mut self, neighbour: PeerId, holder: PeerId, is_chosen: bool) {
        let Some(known) = &mut self.answer else {
            return;
        };
        if known.is_vouched_for {
            return;
        }
        if is_chosen && neighbour == holder {
            known.is_vouched_for = true;
            return;
        }
        let claims = known.claims.entry(neighbour).or_default();
        if claims.len() >= MOST_KEPT || !claims.insert(holder) {
            return;
        }
        let is_other = |member: &PeerId| *member != neighbour && *member != holder;
        let mut others = known.claims.iter().filter(|(other, _)| is_other(other));
        let is_seconded = others.any(|(_, holders)| holders.iter().any(is_other));
        known.is_vouched_for = is_seconded && are_one_content(&known.variants);
    }

    /// Takes what neighbours have said in advance, if it settles the name: if all of it that fits
    /// best is one content, and no other one than what is listed.
    pub(super) fn hear(&mut self, said: Vec<(PeerId, Variant)>, base_counts: bool) {
        let mut heard = self.clone();
        for (teller, variant) in said {
            let Some(fit) = fit(&variant.entry.name, &self.typed) else {
                continue;
            };
            let holders: Vec<PeerId> = variant.holders.iter().map(|holder| holder.id).collect();
            if heard.take(Source::Neighbour(teller), fit, variant) && base_counts {
                for holder in holders {
                    heard.vouch(teller, holder, false);
                }
            }
        }
        let is_one = |known: &Known| are_one_content(&known.variants);
        if !heard.is_open() && heard.answer.as_ref().is_some_and(is_one) {
            *self = heard;
        }
    }

    /// Takes a file that only resembles the name.
    pub(super) fn resembles(&mut self, variant: Variant) {
        match likeness(&variant.entry.name, &self.typed) {
            Some(Likeness::InFolder) => self.is_folder = true,
            Some(Likeness::OtherCase) if self.other_case.len() < MOST_ALIKE => {
                merge(&mut self.other_case, variant);
            }
            Some(Likeness::OtherCase) | None => {}
        }
    }

    /// Takes a holder's answer about a file that had no root: the file's old
    /// entry goes.
    pub(super) fn hashed(&mut self, variant: Variant) {
        let Some(known) = &mut self.answer else {
            return;
        };
        let had_none =
            |old: &Variant| old.entry.root.is_none() && old.entry.name == variant.entry.name;
        if !known.variants.iter().any(had_none) {
            return;
        }
        let answered = |holder: &Holder| variant.holders.iter().any(|new| new.id == holder.id);
        if variant.entry.root.is_none() {
            // Not hashed yet: the holder says how far it is.
            let asked = |old: &&mut Variant| had_none(old) && old.holders.iter().any(answered);
            for old in known.variants.iter_mut().filter(asked) {
                old.hashed = old.hashed.max(variant.hashed);
            }
            return;
        }
        for old in known.variants.iter_mut().filter(|old| had_none(old)) {
            old.holders.retain(|holder| !answered(holder));
        }
        known.variants.retain(|variant| !variant.holders.is_empty());
        merge(&mut known.variants, variant);
    }

    /// What was found for it in the end.
    pub(super) fn into_answer(self) -> (String, Answer) {
        let answer = match self.answer {
            Some(known) => Answer::Found(known.source, known.variants),
            None if !self.alike.is_empty() => Answer::Alike(self.alike),
            None if self.is_folder => Answer::Folder,
            None if !self.other_case.is_empty() => Answer::OtherCase(self.other_case),
            None => Answer::Nobody,
        };
        (self.typed, answer)
    }

    /// Whether nothing fits it so far, but for normalisation.
    pub(super) fn is_unanswered(&self) -> bool {
        self.answer.is_none()
    }

    /// Whether others are to be asked too. A path is taken from any holder. Of a file
    /// in some folder, a neighbour that this peer has not chosen is no witness: any
    /// member becomes a neighbour by dialling.
    pub(super) fn is_open(&self) -> bool {
        let is_good = |known: &Known| known.fit == Fit::Path || known.is_vouched_for;
        !self.answer.as_ref().is_some_and(is_good)
    }

    /// Whether nothing at all was found for it.
    pub(super) fn is_missed(&self) -> bool {
        self.answer.is_none() && self.alike.is_empty()
    }

    /// Whether something that resembles it was found.
    pub(super) fn has_likeness(&self) -> bool {
        self.is_folder || !self.other_case.is_empty()
    }

    /// The files without a root, where there are no others.
    pub(super) fn unhashed(&self) -> impl Iterator<Item = &Variant> {
        let variants = match &self.answer {
            Some(known) if known.variants.iter().all(|v| v.entry.root.is_none()) => {
                &known.variants[..]
            }
            _ => &[],
        };
        variants.iter()
    }
}

impl Index {
    /// Of these names, each called by its place.
    pub(super) fn new(names: &[String]) -> Self {
        let mut index = Self {
            typed: BTreeMap::new(),
            normalised: BTreeMap::new(),
        };
        for (i, name) in names.iter().enumerate() {
            index.typed.entry(name.clone()).or_default().push(i);
            index.normalised.entry(nfc(name)).or_default().push(i);
        }
        index
    }

    /// The names that this one fits, and how well: what
    /// [`fit`](crate::matching::fit) says of each.
    pub(super) fn fitting(&self, name: &Name) -> BTreeMap<usize, Fit> {
        let mut fitting = BTreeMap::new();
        for (names, text, fit) in [
            (&self.typed, name.as_str().to_owned(), Fit::Path),
            (&self.typed, name.base().to_owned(), Fit::Base),
            (&self.normalised, nfc(name.as_str()), Fit::Normalised),
            (&self.normalised, nfc(name.base()), Fit::Normalised),
        ] {
            for i in names.get(&text).into_iter().flatten() {
                fitting.entry(*i).or_insert(fit);
            }
        }
        fitting
    }
}

/// Whether all of these are the same file. Of what is not hashed yet nobody can say that.
fn are_one_content(variants: &[Variant]) -> bool {
    let content = |variant: &Variant| variant.entry.content();
    let first = variants.first().and_then(content);
    first.is_some() && variants.iter().all(|variant| content(variant) == first)
}

#[cfg(test)]
mod tests {
    use thorp_wire::{Entry, Root};

    use super::*;

    fn id(n: u16) -> PeerId {
        let [high, low] = n.to_be_bytes();
        let mut id = [high; 32];
        id[31] = low;
        PeerId::new(id)
    }

    fn in_folder(n: u16, holder: u16) -> Variant {
        Variant {
            entry: Entry {
                name: format!("{n}/a").parse().expect("a name"),
                length: 7,
                mtime: 0,
                root: Some(Root::new([1; 32])),
                partial: false,
                nanos: 0,
                executable: false,
                v1: None,
            },
            holders: vec![Holder::bare(id(holder))],
            hashed: None,
        }
    }

    #[test]
    fn however_many_holders_a_neighbour_names_a_few_are_remembered_and_another_can_agree() {
        let (one, two) = (id(1), id(2));
        let mut named = Named::new("a".to_owned());
        for holder in 0..1000 {
            assert!(named.take(Source::Neighbour(one), Fit::Base, in_folder(holder, holder)));
            named.vouch(one, id(holder), false);
        }
        let claims = |named: &Named| {
            let known = named.answer.as_ref().expect("it is found");
            known.claims.values().map(BTreeSet::len).sum::<usize>()
        };
        assert_eq!(claims(&named), MOST_KEPT);
        assert!(named.is_open(), "one neighbour is not enough");
        // Whomever another one names, one of those that are remembered is a third.
        for holder in [id(0), id(2), id(999)] {
            named.vouch(two, holder, false);
        }
        assert!(!named.is_open());
        let before = claims(&named);
        named.vouch(id(3), id(4), false);
        assert_eq!(claims(&named), before, "nothing is left to be said");
    }
}
