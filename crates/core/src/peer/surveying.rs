//! Lists all files or members, for this peer's user or for a get.
//!
//! What to ask and for how long is decided by [`Survey`]. A user's wish may take several surveys:
//! a name may be a member's or a folder's, and if nothing is found, it must be known whether there
//! is anything at all.

use std::collections::VecDeque;

use thorp_wire::frame::{Holder, MemberRow, Variant};
use thorp_wire::{Name, PeerId};

use super::wanted::{Asker, Surveyor};
use super::{Output, Peer, SurveyId, Unanswered, Wish};
use crate::catalogue::{File, Listing};
use crate::get;
use crate::lookup::{Only, TrackerState, is_called};
use crate::matching::{Pattern, PatternError};
use crate::survey::{Coverage, Findings, MOST_AT_ONCE, Subject, Survey, SurveyAction, Territory};
use crate::time::Instant;

/// A user's wish that is being answered.
#[derive(Debug)]
pub(super) struct Wished {
    wish: Wish,
    /// This peer as other members see it, if its own files are wanted too.
    itself: Option<Box<Holder>>,
    step: Step,
    /// Whether the user was told nothing yet.
    nothing: bool,
}

/// What is being surveyed for a user's wish.
#[derive(Debug)]
enum Step {
    /// Whether a member with the given name is present.
    Whose { is_here: bool },
    /// The files of a folder, since no member has the name.
    Folder,
    /// The wanted files; of a member, if it is present.
    Files { is_here: bool },
    /// Whether there is any file at all, since nothing matches in what was covered.
    Anything { matching: Coverage, is_any: bool },
    /// The members.
    Members,
}

/// What follows when a survey for a user's wish is over.
enum Next {
    /// Survey this as well.
    Survey(Step),
    /// This is the answer.
    Over(Result<Coverage, Unanswered>),
}

impl Peer {
    /// Starts to answer a user's wish.
    pub(super) fn on_wish(
        &mut self,
        now: Instant,
        id: SurveyId,
        wish: Wish,
        itself: Option<Box<Holder>>,
    ) {
        if self.removed {
            let answer = Err(Unanswered::Removed);
            self.out.push_back(Output::SurveyOver(id, answer));
            return;
        }
        let step = match &wish {
            Wish::Members => Step::Members,
            Wish::Files(_) | Wish::Listing { whose: None, .. } => Step::Files { is_here: false },
            Wish::Listing {
                whose: Some(whose), ..
            } => Step::Whose {
                is_here: itself.as_deref().is_some_and(|me| is_called(me, whose)),
            },
        };
        let nothing = true;
        let wished = Wished {
            wish,
            itself,
            step,
            nothing,
        };
        self.take_step(now, id, wished);
    }

    fn take_step(&mut self, now: Instant, id: SurveyId, wished: Wished) {
        let (subject, only) = match wished.question() {
            Ok(question) => question,
            Err((folder, why)) => {
                let answer = Err(Unanswered::NoPattern { folder, why });
                self.out.push_back(Output::SurveyOver(id, answer));
                return;
            }
        };
        self.wishes.insert(id, wished);
        self.survey(now, Surveyor::Shell(id), subject, only);
    }

    /// Handles findings of a survey for a user: passes them on if they were asked for, or notes
    /// what to survey next.
    fn on_wish_part(&mut self, id: SurveyId, part: Findings) {
        let Some(wished) = self.wishes.get_mut(&id) else {
            return;
        };
        let rows = match &part {
            Findings::Members(rows) => &rows[..],
            Findings::Files(_) => &[],
        };
        match &mut wished.step {
            Step::Whose { is_here } => {
                if let Wish::Listing {
                    whose: Some(whose), ..
                } = &wished.wish
                {
                    *is_here |= rows.iter().any(|row| is_called(&row.member, whose));
                }
            }
            Step::Anything { is_any, .. } => *is_any |= rows.iter().any(|row| row.files > 0),
            Step::Folder | Step::Files { .. } | Step::Members => {
                wished.nothing = false;
                self.out.push_back(Output::Surveyed(id, part));
                return;
            }
        }
        self.on_taken(Surveyor::Shell(id));
    }

    fn on_wish_surveyed(&mut self, now: Instant, id: SurveyId, coverage: Coverage) {
        let Some(mut wished) = self.wishes.remove(&id) else {
            return;
        };
        let nothing = wished.nothing;
        let is_sure = coverage == Coverage::Whole;
        let next = match (&wished.wish, wished.step) {
            (Wish::Listing { folder, .. }, Step::Whose { is_here }) => {
                if is_here || folder.is_some() {
                    Next::Survey(Step::Files { is_here })
                } else {
                    Next::Survey(Step::Folder)
                }
            }
            // Without the tracker, members are known only by their files.
            (_, Step::Folder) if nothing => Next::Survey(Step::Files { is_here: false }),
            (Wish::Files(_), Step::Files { .. }) if nothing => Next::Survey(Step::Anything {
                matching: coverage,
                is_any: false,
            }),
            // It may be in the part that was not searched.
            (_, Step::Files { .. }) if nothing && !is_sure => Next::Over(Ok(coverage)),
            (Wish::Listing { whose, folder }, Step::Files { is_here }) if nothing => {
                let why = not_listed(whose.clone(), folder.clone(), is_here);
                Next::Over(why.map_or(Ok(coverage), Err))
            }
            (_, Step::Anything { matching, is_any }) => {
                let own = self.links.catalogue().listing(self.config.me.id);
                let is_empty = own.is_none_or(Listing::is_empty) && !is_any;
                if is_empty && is_sure && matching == Coverage::Whole {
                    Next::Over(Err(Unanswered::NoFiles))
                } else {
                    Next::Over(Ok(matching))
                }
            }
            _ => Next::Over(Ok(coverage)),
        };
        match next {
            Next::Survey(step) => {
                wished.step = step;
                self.take_step(now, id, wished);
            }
            Next::Over(answer) => self.out.push_back(Output::SurveyOver(id, answer)),
        }
    }

    /// Starts a survey of memory and of other members; also of this peer's own files if the user
    /// wants them.
    pub(super) fn survey(
        &mut self,
        now: Instant,
        surveyor: Surveyor,
        subject: Subject,
        only: Only,
    ) {
        let mut survey = Survey::new(now, subject, only);
        if self.config.me.visitor {
            survey = survey.by_visitor();
        }
        self.surveys.insert(surveyor, survey);
    }

    /// The last findings were taken.
    pub(super) fn on_taken(&mut self, surveyor: Surveyor) {
        if let Some(survey) = self.surveys.get_mut(&surveyor) {
            survey.taken();
        }
    }

    /// The user does not wait for this survey any more.
    pub(super) fn abandon_survey(&mut self, id: SurveyId) {
        self.wishes.remove(&id);
        let surveyor = Surveyor::Shell(id);
        self.surveys.remove(&surveyor);
        self.questions.retain(
            |_, question| !matches!(question.errand.asker(), Asker::Survey(of) if of == surveyor),
        );
    }

    pub(super) fn advance_surveys(&mut self, now: Instant) {
        let mut surveyors: VecDeque<Surveyor> = self.surveys.keys().copied().collect();
        while let Some(surveyor) = surveyors.pop_front() {
            // Taken out of the map, because `SurveyView` borrows the whole peer.
            let Some(mut survey) = self.surveys.remove(&surveyor) else {
                continue;
            };
            let me = Holder::bare(self.config.me.id);
            let itself = match surveyor {
                Surveyor::Shell(id) => self.wishes.get(&id).and_then(|it| it.itself.as_deref()),
                Surveyor::Get(inquiry) => self.gets.copies(inquiry.get).then_some(&me),
            };
            let around = SurveyView { peer: self, itself };
            let actions = survey.advance(now, &around);
            let coverage = survey.coverage();
            self.surveys.insert(surveyor, survey);
            if !actions.is_empty() {
                surveyors.push_front(surveyor);
            }
            for action in actions {
                match action {
                    SurveyAction::Ask(member, find) => {
                        self.ask(now, member, Asker::Survey(surveyor), find);
                    }
                    SurveyAction::Tell(part) => self.on_survey_part(now, surveyor, part, coverage),
                    SurveyAction::Finish(coverage) => {
                        self.surveys.remove(&surveyor);
                        self.on_survey_over(now, surveyor, coverage);
                    }
                }
            }
        }
    }

    fn on_survey_part(
        &mut self,
        now: Instant,
        surveyor: Surveyor,
        part: Findings,
        so_far: Coverage,
    ) {
        match (surveyor, part) {
            (Surveyor::Get(inquiry), Findings::Files(files)) => {
                let files = self.without_itself(files);
                if files.is_empty() {
                    return self.on_taken(surveyor);
                }
                let input = get::Input::Surveyed(inquiry, files, so_far);
                self.gets.handle(now, input);
            }
            // A get only surveys files.
            (Surveyor::Get(_), Findings::Members(_)) => {}
            (Surveyor::Shell(id), part) => self.on_wish_part(id, part),
        }
    }

    /// Takes this peer out of the holders. A file without a holder is then one of its own.
    fn without_itself(&self, mut files: Vec<Variant>) -> Vec<Variant> {
        let me = self.config.me.id;
        files.retain_mut(|file| {
            file.holders.retain(|holder| holder.id != me);
            !file.holders.is_empty() || self.own_entry(&file.entry.name).is_some()
        });
        files
    }

    fn on_survey_over(&mut self, now: Instant, surveyor: Surveyor, coverage: Coverage) {
        match surveyor {
            Surveyor::Get(inquiry) => {
                let input = get::Input::SurveyOver(inquiry, coverage);
                self.gets.handle(now, input);
            }
            Surveyor::Shell(id) => self.on_wish_surveyed(now, id, coverage),
        }
    }

    /// Ends all surveys of the user without an answer.
    pub(super) fn end_surveys(&mut self) {
        let why = if self.removed {
            Unanswered::Removed
        } else {
            Unanswered::Stopping
        };
        self.surveys.clear();
        for id in std::mem::take(&mut self.wishes).into_keys() {
            let answer = Err(why.clone());
            self.out.push_back(Output::SurveyOver(id, answer));
        }
    }
}

/// What a survey sees of the peer.
struct SurveyView<'a> {
    peer: &'a Peer,
    /// This peer as other members see it, if its own files are wanted too.
    itself: Option<&'a Holder>,
}

impl Territory for SurveyView<'_> {
    fn tracker(&self) -> TrackerState {
        self.peer.home.tracker()
    }

    fn neighbours(&self) -> Vec<PeerId> {
        self.peer.neighbours.ids().collect()
    }

    fn heard(&self, member: PeerId) -> Option<Instant> {
        Some(self.peer.links.to(member)?.1.liveness.last_heard())
    }

    fn remembered(&self, pattern: &Pattern, behind: Option<&Name>) -> Vec<Variant> {
        let me = self.peer.config.me.id;
        let among = |peer| peer != me;
        let library = self.peer.links.library(me, &among);
        let catalogue = self.peer.links.catalogue();
        let files = some(catalogue.matching(pattern, behind, &among));
        files
            .into_iter()
            .map(|file| library.variant(file))
            .collect()
    }

    fn own(&self, pattern: &Pattern, behind: Option<&Name>) -> Vec<Variant> {
        let Some(itself) = self.itself else {
            return Vec::new();
        };
        let (catalogue, me) = (self.peer.links.catalogue(), self.peer.config.me.id);
        let own = |peer| peer == me;
        let variant = |file: File| Variant {
            holders: vec![Holder {
                partial: catalogue.has_a_part(me, &file.entry.name),
                ..itself.clone()
            }],
            entry: file.entry,
            hashed: None,
        };
        let files = some(catalogue.matching(pattern, behind, &own));
        files.into_iter().map(variant).collect()
    }

    fn members(&self) -> Vec<MemberRow> {
        self.peer.neighbours().collect()
    }
}

/// Returns the first of these files, but always all files of one name.
fn some(files: impl Iterator<Item = File>) -> Vec<File> {
    let mut some: Vec<File> = Vec::new();
    for file in files {
        let is_new = some
            .last()
            .is_some_and(|last| last.entry.name != file.entry.name);
        if is_new && some.len() >= MOST_AT_ONCE {
            break;
        }
        some.push(file);
    }
    some
}

impl Wished {
    /// Returns the subject of the survey and the restriction on its results.
    fn question(&self) -> Result<(Subject, Only), (String, PatternError)> {
        let everything = Only::default();
        Ok(match (&self.wish, &self.step) {
            (Wish::Members, _)
            | (_, Step::Whose { .. } | Step::Anything { .. } | Step::Members) => {
                (Subject::Members, everything)
            }
            (Wish::Files(pattern), _) => (Subject::Files(pattern.clone()), everything),
            (Wish::Listing { whose, .. }, Step::Folder) => {
                (Subject::Files(beneath(whose.as_deref())?), everything)
            }
            (Wish::Listing { whose, folder }, Step::Files { .. }) => {
                let only = Only {
                    from: whose.clone(),
                    root: None,
                };
                (Subject::Files(beneath(folder.as_deref())?), only)
            }
        })
    }
}

/// Returns the pattern of all files in a folder, or of all files.
fn beneath(folder: Option<&str>) -> Result<Pattern, (String, PatternError)> {
    let made = folder.map_or_else(|| Pattern::new("**"), Pattern::beneath);
    made.map_err(|why| (folder.unwrap_or_default().to_owned(), why))
}

/// Returns why a listing has no files; `None` if the member is present and shares none.
fn not_listed(whose: Option<String>, folder: Option<String>, is_here: bool) -> Option<Unanswered> {
    match (whose, folder) {
        (None, None) => None,
        (Some(_), None) if is_here => None,
        (Some(called), None) => Some(Unanswered::NoPeerOrFolderCalled(called)),
        (Some(who), Some(_)) if !is_here => Some(Unanswered::NoPeerCalled(who)),
        (_, Some(folder)) => Some(Unanswered::NoFolderCalled(folder)),
    }
}
