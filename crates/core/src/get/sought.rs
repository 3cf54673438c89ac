//! Who has a large file that is being fetched.
//!
//! Owns which files are sought and which holders were named for each; from which to take
//! which piece is the business of that file's [`swarm`](crate::swarm). Holders
//! come from the lookup, from the neighbours' listings as they change, and
//! from the members that are asked when a swarm wants more of them.

use std::collections::{BTreeMap, BTreeSet};

use thorp_wire::frame::{Find, Found, Holder};
use thorp_wire::{Content, PeerId};

use super::io::FetchId;
use super::small::{WantedFile, who_else};

/// All files that holders are sought of.
#[derive(Debug, Default)]
pub struct SoughtFiles {
    sought: BTreeMap<FetchId, SoughtFile>,
    /// In which state the neighbours' listings were when they were last looked
    /// through for all that is sought.
    seen: Option<u64>,
}

#[derive(Debug)]
struct SoughtFile {
    content: Content,
    /// Whether others than those of the lookup may be asked too.
    widen: bool,
    /// Who of the neighbours listed it when they were last looked through, and
    /// whether as a part.
    listed: BTreeSet<(PeerId, bool)>,
}

impl SoughtFiles {
    /// Holders of a file are sought from now on. Returns those known already.
    pub fn seek(&mut self, id: FetchId, wanted: WantedFile) -> Vec<Holder> {
        let sought = SoughtFile {
            content: wanted.content,
            widen: wanted.widen,
            listed: BTreeSet::new(),
        };
        self.sought.insert(id, sought);
        self.seen = None;
        wanted.holders
    }

    /// They are not sought any more.
    pub fn drop(&mut self, id: FetchId) {
        self.sought.remove(&id);
    }

    /// Whether holders are sought for this fetch, whichever members they are.
    pub fn is_open(&self, id: FetchId) -> bool {
        self.sought.get(&id).is_some_and(|sought| sought.widen)
    }

    /// What to ask when more holders are wanted; nothing where no other member is.
    pub fn question(&self, id: FetchId) -> Option<Find> {
        let sought = self.sought.get(&id).filter(|sought| sought.widen)?;
        Some(who_else(sought.content))
    }

    /// A member has answered that question. Returns the holders it names.
    pub fn found(&self, id: FetchId, found: Found) -> Vec<Holder> {
        let Some(sought) = self.sought.get(&id) else {
            return Vec::new();
        };
        let meant = found
            .variants
            .into_iter()
            .filter(|variant| variant.entry.content() == Some(sought.content));
        let mut named = BTreeSet::new();
        meant
            .flat_map(|variant| variant.holders)
            .filter(|holder| named.insert(holder.id))
            .collect()
    }

    /// Whether [`look`](Self::look) may find other holders than the last time, the
    /// listings being in this state: the caller looks then.
    pub fn is_look_due(&mut self, state: u64) -> bool {
        !self.sought.is_empty() && self.seen.replace(state) != Some(state)
    }

    /// Looks through the neighbours' listings. Returns, for each fetch, those
    /// who have come to list its file, or all of it, since the last time; `true`
    /// stands for a part.
    pub fn look(
        &mut self,
        listing: impl Fn(Content) -> Vec<(PeerId, bool)>,
    ) -> Vec<(FetchId, Vec<(PeerId, bool)>)> {
        let mut news = Vec::new();
        for (id, sought) in self.sought.iter_mut().filter(|(_, sought)| sought.widen) {
            let now: BTreeSet<(PeerId, bool)> = listing(sought.content).into_iter().collect();
            let new: Vec<_> = now.difference(&sought.listed).copied().collect();
            sought.listed = now;
            if !new.is_empty() {
                news.push((*id, new));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use thorp_wire::frame::Variant;
    use thorp_wire::{Entry, Root};

    use super::*;

    const CONTENT: Content = Content {
        length: 1_000_000,
        root: Root::new([7; 32]),
    };

    fn id(n: u8) -> PeerId {
        PeerId::new([n; 32])
    }

    fn holder(n: u8) -> Holder {
        Holder::bare(id(n))
    }

    fn wanted(widen: bool) -> WantedFile {
        WantedFile {
            content: CONTENT,
            holders: vec![holder(1)],
            widen,
        }
    }

    fn variant(root: u8, holders: &[u8]) -> Variant {
        Variant {
            entry: Entry {
                name: "f".parse().expect("a name"),
                length: CONTENT.length,
                mtime: 0,
                root: Some(Root::new([root; 32])),
                partial: false,
                nanos: 0,
                executable: false,
                v1: None,
            },
            holders: holders.iter().copied().map(holder).collect(),
            hashed: None,
        }
    }

    #[test]
    fn a_neighbour_is_named_when_it_comes_to_list_the_file_and_when_it_has_all_of_it() {
        let mut sources = SoughtFiles::default();
        let fetch = FetchId(1);
        let (part, all) = (|n| (id(n), true), |n| (id(n), false));
        assert_eq!(sources.seek(fetch, wanted(true)), [holder(1)]);
        assert_eq!(sources.look(|_| vec![part(2)]), [(fetch, vec![part(2)])]);
        assert!(sources.look(|_| vec![part(2)]).is_empty());
        let news = sources.look(|_| vec![all(2), all(3)]);
        assert_eq!(news, [(fetch, vec![all(2), all(3)])]);
        // A holder that had lost it and has it again is news.
        assert!(sources.look(|_| vec![all(3)]).is_empty());
        let news = sources.look(|_| vec![all(2), all(3)]);
        assert_eq!(news, [(fetch, vec![all(2)])]);
        sources.drop(fetch);
        assert!(sources.look(|_| vec![all(4)]).is_empty());
    }

    #[test]
    fn listings_are_looked_through_when_they_change_or_another_file_is_sought() {
        let mut sources = SoughtFiles::default();
        assert!(!sources.is_look_due(0), "nothing is sought");
        sources.seek(FetchId(1), wanted(true));
        assert!(sources.is_look_due(0));
        assert!(!sources.is_look_due(0));
        assert!(sources.is_look_due(1));
        sources.seek(FetchId(2), wanted(true));
        assert!(sources.is_look_due(1));
        assert!(!sources.is_look_due(1));
    }

    #[test]
    fn with_one_peer_asked_for_nobody_else_is_looked_for() {
        let mut sources = SoughtFiles::default();
        let fetch = FetchId(1);
        sources.seek(fetch, wanted(false));
        assert!(sources.look(|_| vec![(id(2), false)]).is_empty());
        assert_eq!(sources.question(fetch), None);
    }

    #[test]
    fn an_answer_about_another_content_names_nobody() {
        let mut sources = SoughtFiles::default();
        let fetch = FetchId(1);
        sources.seek(fetch, wanted(true));
        let found = Found {
            variants: vec![variant(7, &[2, 3]), variant(8, &[4]), variant(7, &[3, 5])],
            ..Found::default()
        };
        let named = sources.found(fetch, found);
        assert_eq!(named, [holder(2), holder(3), holder(5)]);
    }
}
