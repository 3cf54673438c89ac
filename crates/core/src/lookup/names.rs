//! The names that are looked up: what is known of each, and which of them the
//! name of a file fits.

use std::collections::BTreeMap;

use thorp_wire::Name;
use thorp_wire::frame::{Holder, Variant};

use super::outcome::{Answer, Source, merge};
use crate::matching::{Fit, nfc};

/// One of the names, as it was typed.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) typed: String,
    answer: Option<Known>,
    /// What differs from the name only in Unicode normalisation.
    alike: Vec<Variant>,
}

/// What is known of a name: all of it fits equally well.
#[derive(Debug)]
struct Known {
    source: Source,
    fit: Fit,
    variants: Vec<Variant>,
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
        }
    }

    /// Takes a file that fits. A better fit displaces a worse one; an equal
    /// one is another choice, or adds its holders.
    pub(super) fn take(&mut self, source: Source, fit: Fit, variant: Variant) {
        if fit == Fit::Normalised {
            merge(&mut self.alike, variant);
            return;
        }
        match &mut self.answer {
            Some(known) if known.fit < fit => {}
            Some(known) if known.fit == fit => merge(&mut known.variants, variant),
            answer => {
                *answer = Some(Known {
                    source,
                    fit,
                    variants: vec![variant],
                });
            }
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
            None if self.alike.is_empty() => Answer::Nobody,
            None => Answer::Alike(self.alike),
        };
        (self.typed, answer)
    }

    /// Whether nothing fits it so far, but for normalisation.
    pub(super) fn is_unanswered(&self) -> bool {
        self.answer.is_none()
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
