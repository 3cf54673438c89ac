//! What users ask for, and what becomes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use thorp_core::catalogue::Listing;
use thorp_core::get::{Ending, Existing, Folders, GetId, Missed, Patience, Request};
use thorp_core::lookup::{Only, Source};
use thorp_core::matching::Pattern;
use thorp_core::peer::{self, SurveyId, Unanswered, Wish};
use thorp_core::survey::Coverage;
use thorp_core::time::Instant;
use thorp_wire::Content;
use thorp_wire::frame::Found;

use super::{World, node};
use crate::host::Errand;
use crate::network::{Node, TRACKER, id_of, node_of};
use crate::trace::{FileId, Machine, Wording};
use crate::truth::Available;

/// A request of a user, and what has become of it.
#[derive(Clone, Debug)]
pub struct Requested {
    pub at: Instant,
    pub file: FileId,
    pub wording: Wording,
    /// Where it could have been had when it was asked for.
    pub available: Available,
    /// Whether a cache of the tracker's answers would have known a holder.
    pub is_cached: bool,
    /// What its machine could have known of it.
    pub vicinity: Vicinity,
    pub fate: Fate,
}

/// What a machine that asks for a file could know, if its neighbours had told it all that they
/// know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vicinity {
    /// Its neighbours and their neighbours, it among them.
    pub members: usize,
    /// Those of them that list the file and are online.
    pub holders: usize,
}

impl Vicinity {
    /// Whether that is as much as the program wants to hear of a name: of a base name, that two
    /// members have it.
    pub fn is_enough_for(self, wording: Wording) -> bool {
        self.holders >= if wording == Wording::Path { 1 } else { 2 }
    }
}

/// What has become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing yet.
    Open,
    /// The file is there.
    Fetched {
        /// Who has said where it is.
        source: Source,
        /// Whether the tracker was asked on the way.
        tracker_asked: bool,
        /// Whether it is a poisoner's file by that name.
        is_forged: bool,
        /// How long it took.
        after: Duration,
    },
    /// A pattern was answered.
    Listed {
        /// With so many files.
        files: usize,
        /// Whether that is all that the tracker knows.
        is_whole: bool,
        /// How long it took.
        after: Duration,
    },
    /// No member that could be asked has it.
    Nobody {
        /// Whether the tracker could not be asked.
        without_tracker: bool,
    },
    /// Several contents go by the name, and the user has to choose.
    Ambiguous,
    /// It was found, and not fetched.
    Failed,
    /// Its machine went away first.
    Left,
}

impl World {
    /// A user asks for a file.
    pub(super) fn ask(&mut self, machine: Machine, file: FileId, wording: Wording) {
        let request = self.requests.len();
        let vicinity = self.vicinity(machine, file);
        self.requests.push(Requested {
            at: self.now,
            file,
            wording,
            available: self.truth.available(machine, file),
            is_cached: self.is_cached(machine, file),
            vicinity,
            fate: Fate::Open,
        });
        if wording != Wording::Folder && self.oracle.samples(machine) {
            let holders = self.truth.holders(file, machine).collect();
            self.oracle.on_asked(self.now, machine, holders);
        }
        let number = self.number();
        let region = self.files[file.index()].region;
        let node = node(machine);
        let Some(household) = self.hosts[node].peer() else {
            self.requests[request].fate = Fate::Left;
            return;
        };
        let name = match wording {
            Wording::Path => file.path(region).to_string(),
            Wording::BaseName => file.base_name(),
            Wording::Folder => {
                let survey = SurveyId(number);
                household.surveys.insert(survey, request);
                let pattern = Pattern::new(&file.pattern(region)).expect("a glob");
                let wished = peer::Input::Survey {
                    survey,
                    wish: Wish::Files(pattern),
                    itself: None,
                };
                self.give(node, wished);
                return;
            }
        };
        let get = GetId(number);
        household.gets.insert(get, request);
        let request = Request {
            names: vec![name],
            only: Only::default(),
            rename: None,
            existing: Existing::Keep,
            elsewhere: false,
            patience: Patience::None,
            hidden: false,
            folders: Folders::No,
            executable: true,
            exact: false,
            is_read: false,
        };
        self.give(node, peer::Input::Get { get, request });
    }

    fn vicinity(&mut self, machine: Machine, file: FileId) -> Vicinity {
        let holders = self.truth.holders(file, machine);
        let holders: Vec<_> = holders.map(|at| id_of(node(at))).collect();
        let Some(household) = self.hosts[node(machine)].peer() else {
            return Vicinity::default();
        };
        let peer = &household.peer;
        let mut near: BTreeSet<_> = peer.present().listed().map(|at| at.id).collect();
        let listings = near.iter().filter_map(|id| peer.catalogue().listing(*id));
        let beyond: Vec<_> = listings.flat_map(Listing::neighbours).copied().collect();
        near.extend(beyond);
        Vicinity {
            members: near.len(),
            holders: holders.iter().filter(|id| near.contains(id)).count(),
        }
    }

    /// Where the tracker says that files are is kept for ever: what a cache of its
    /// answers is worth. Only where there is nothing else to ask.
    pub(super) fn cache(&mut self, node: Node, link: u64, found: &Found) {
        if self.arm.neighbours > 0 || self.far_end(node, link) != Some(TRACKER) {
            return;
        }
        for variant in &found.variants {
            let Some(root) = variant.entry.root else {
                continue;
            };
            let file = FileId::of(Content {
                length: variant.entry.length,
                root,
            });
            let holders = variant.holders.iter().filter_map(|at| node_of(at.id));
            self.cached[node].entry(file).or_default().extend(holders);
        }
    }

    /// Whether a machine has been told by the tracker of a holder that has the file now.
    pub(super) fn is_cached(&self, machine: Machine, file: FileId) -> bool {
        let holders = self.cached[node(machine)].get(&file).into_iter().flatten();
        holders
            .filter_map(|at| super::machine(*at))
            .any(|at| self.truth.is_online(at) && self.truth.has(at, file))
    }

    pub(super) fn on_survey_over(
        &mut self,
        node: Node,
        survey: SurveyId,
        end: &Result<Coverage, Unanswered>,
    ) {
        let Some(household) = self.hosts[node].peer() else {
            return;
        };
        let files = household.listed.remove(&survey).unwrap_or_default();
        if let Some(request) = household.surveys.remove(&survey) {
            self.requests[request].fate = Fate::Listed {
                files,
                is_whole: *end == Ok(Coverage::Whole),
                after: self.now - self.requests[request].at,
            };
        }
    }

    pub(super) fn for_user(&mut self, node: Node, errand: Errand) {
        match errand {
            Errand::Looked(get, looked) => {
                let now = self.now;
                if let Some(household) = self.hosts[node].peer() {
                    household
                        .peer
                        .handle(now, peer::Input::Looked { get, looked });
                }
            }
            Errand::Fetched {
                request,
                source,
                tracker_asked,
                told,
                bytes,
            } => {
                let asked = &mut self.requests[request];
                self.laws.on_fetched(self.now, asked.file, told, bytes);
                asked.fate = Fate::Fetched {
                    source,
                    tracker_asked,
                    is_forged: told.is_forged(),
                    after: self.now - asked.at,
                };
            }
            Errand::Ended(request, end) => {
                let asked = &mut self.requests[request];
                if asked.fate == Fate::Open {
                    asked.fate = outcome(&end);
                }
            }
            Errand::Nothing => {}
        }
    }
}

/// How a get has ended, where its file has not come.
pub(super) fn outcome(end: &Ending) -> Fate {
    match end {
        Ending::Missed {
            why: Missed::NobodyShares(_),
            ..
        } => Fate::Nobody {
            without_tracker: false,
        },
        Ending::Missed {
            why: Missed::TrackerUnreachable { .. },
            ..
        } => Fate::Nobody {
            without_tracker: true,
        },
        Ending::Missed {
            why: Missed::Ambiguous(_),
            ..
        } => Fate::Ambiguous,
        _ => Fate::Failed,
    }
}
