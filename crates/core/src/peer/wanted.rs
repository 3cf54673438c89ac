//! Links to members that are wanted, and what is to be done on them.

use std::collections::BTreeMap;

use thorp_wire::frame::Find;
use thorp_wire::{Content, PeerId};

use super::SurveyId;
use crate::get::{FetchId, Inquiry};
#[cfg(any(test, feature = "testing"))]
use crate::links;

/// What is to be done on a link.
#[derive(Debug)]
pub(super) enum Errand {
    Ask(Asker, Find),
    Get(FetchId, Content),
    /// Only establish the link.
    Meet,
}

/// What the answer to a question is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    Lookup(Inquiry, u32),
    Survey(Surveyor),
    /// Other holders of a small file.
    HoldersOfSmall(FetchId),
    Fetch(FetchId),
    /// Other holders of a large file.
    HoldersOfLarge(FetchId),
    Hearsay,
    /// The link alone was wanted.
    Nobody,
}

/// Who runs a survey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Surveyor {
    Shell(SurveyId),
    Get(Inquiry),
}

/// The members to which links are wanted, and what for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    links: BTreeMap<PeerId, WantedLink>,
}

#[derive(Debug, Default)]
struct WantedLink {
    /// Whether the shell is dialling and has not reported the result. No member is dialled twice
    /// at the same time.
    dialling: bool,
    errands: Vec<Errand>,
}

impl Errand {
    pub(super) fn asker(&self) -> Asker {
        match self {
            Self::Ask(asker, _) => *asker,
            Self::Get(fetch, _) => Asker::Fetch(*fetch),
            Self::Meet => Asker::Nobody,
        }
    }
}

impl Wanted {
    /// Asserts that every link that is waited for is being made.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn check(&self, links: &links::Links) {
        for (id, wanted) in &self.links {
            assert!(wanted.dialling || links.is_opening(*id), "no way there");
        }
    }

    /// Adds an errand for a member, to be run once there is a link.
    pub(super) fn add(&mut self, id: PeerId, errand: Errand) {
        self.links.entry(id).or_default().errands.push(errand);
    }

    /// Notes that a link to this member is wanted. Returns whether to dial it.
    pub(super) fn dial(&mut self, id: PeerId) -> bool {
        let wanted = self.links.entry(id).or_default();
        !std::mem::replace(&mut wanted.dialling, true)
    }

    /// The shell has finished dialling this member.
    pub(super) fn dialled(&mut self, id: PeerId) {
        if let Some(wanted) = self.links.get_mut(&id) {
            wanted.dialling = false;
            if wanted.errands.is_empty() {
                self.links.remove(&id);
            }
        }
    }

    pub(super) fn is_dialling(&self, id: PeerId) -> bool {
        self.links.get(&id).is_some_and(|wanted| wanted.dialling)
    }

    /// Takes the errands for this member.
    pub(super) fn errands(&mut self, id: PeerId) -> Vec<Errand> {
        let Some(wanted) = self.links.get_mut(&id) else {
            return Vec::new();
        };
        let errands = std::mem::take(&mut wanted.errands);
        if !wanted.dialling {
            self.links.remove(&id);
        }
        errands
    }
}
