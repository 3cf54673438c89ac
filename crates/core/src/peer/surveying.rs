//! All there is, for this peer's user or for a get: which members are asked, and
//! what becomes of the answers.
//!
//! What to ask and for how long is decided by [`Survey`]. Here it is decided
//! what a user's wish comes to, which may take more than one of them: a name may be
//! a member's or a folder's, and where nothing is found there may be nothing at all.

use std::collections::VecDeque;

use thorp_wire::frame::{Found, Holder, Variant};

use super::asking::{Asker, Errand, Surveyor};
use super::{AskId, Output, Peer, Unanswered, Wish};
use crate::catalogue::{File, Listing};
use crate::get;
use crate::get::small::NotSent;
use crate::lookup::{Only, is_called};
use crate::matching::{Pattern, PatternError};
use crate::survey::{Coverage, Findings, Subject, Survey, SurveyAction};
use crate::time::Instant;

/// What a user wants to know, in progress.
#[derive(Debug)]
pub(super) struct Wished {
    wish: Wish,
    /// This peer as others see it, where its own files are wanted too.
    itself: Option<Box<Holder>>,
    step: Step,
}

/// What is being surveyed for a user.
#[derive(Debug)]
enum Step {
    /// Whether a member is here that is called so.
    Whose,
    /// The files of a folder, no member being called so.
    Folder,
    /// The files that were asked for; of a member, if it was seen here.
    Files { is_here: bool },
    /// Whether there is any file at all, as nothing matches.
    Anything(Findings),
    /// The members.
    Members,
}

impl Peer {
    /// The user wants to know all there is of something.
    pub(super) fn on_wish(
        &mut self,
        now: Instant,
        ask: AskId,
        wish: Wish,
        itself: Option<Box<Holder>>,
    ) {
        if self.removed {
            let answer = Err(Unanswered::Removed);
            self.out.push_back(Output::Surveyed(ask, answer));
            return;
        }
        let step = match &wish {
            Wish::Members => Step::Members,
            Wish::Files(_) | Wish::Listing { whose: None, .. } => Step::Files { is_here: false },
            Wish::Listing { whose: Some(_), .. } => Step::Whose,
        };
        self.take_step(now, ask, Wished { wish, itself, step });
    }

    fn take_step(&mut self, now: Instant, ask: AskId, wished: Wished) {
        let (subject, only) = match wished.question() {
            Ok(question) => question,
            Err((folder, why)) => {
                let answer = Err(Unanswered::NoPattern { folder, why });
                self.out.push_back(Output::Surveyed(ask, answer));
                return;
            }
        };
        let itself = wished.itself.clone();
        self.wishes.insert(ask, wished);
        self.survey(now, Surveyor::Shell(ask), subject, only, itself.as_deref());
    }

    fn on_wish_surveyed(&mut self, now: Instant, ask: AskId, findings: Findings) {
        let Some(Wished { wish, itself, step }) = self.wishes.remove(&ask) else {
            return;
        };
        let nothing = findings.files.is_empty();
        let next = match (&wish, step) {
            (Wish::Listing { whose, folder }, Step::Whose) => {
                let whose = whose.as_deref().unwrap_or_default();
                let members = findings.members.iter().map(|row| &row.member);
                let is_here = members
                    .chain(itself.as_deref())
                    .any(|member| is_called(member, whose));
                if is_here || folder.is_some() {
                    Ok(Step::Files { is_here })
                } else {
                    Ok(Step::Folder)
                }
            }
            // Without the tracker, members are known by their files alone.
            (_, Step::Folder) if nothing => Ok(Step::Files { is_here: false }),
            (Wish::Files(_), Step::Files { .. }) if nothing => Ok(Step::Anything(findings)),
            (Wish::Listing { whose, folder }, Step::Files { is_here }) if nothing => {
                Err(not_listed(whose.clone(), folder.clone(), is_here).map_or(Ok(findings), Err))
            }
            (_, Step::Anything(matching)) => {
                let own = self.links.catalogue().listing(self.config.me.id);
                let is_empty = own.is_none_or(Listing::is_empty)
                    && findings.members.iter().all(|row| row.files == 0);
                let is_sure = [matching.coverage, findings.coverage] == [Coverage::Whole; 2];
                if is_empty && is_sure {
                    Err(Err(Unanswered::NoFiles))
                } else {
                    Err(Ok(matching))
                }
            }
            _ => Err(Ok(findings)),
        };
        match next {
            Ok(step) => self.take_step(now, ask, Wished { wish, itself, step }),
            Err(answer) => self.out.push_back(Output::Surveyed(ask, answer)),
        }
    }

    /// Surveys what memory has and others know, and what this peer has itself
    /// where it says how others see it.
    pub(super) fn survey(
        &mut self,
        now: Instant,
        ask: Surveyor,
        subject: Subject,
        only: Only,
        itself: Option<&Holder>,
    ) {
        let me = self.config.me.id;
        let remembered = match &subject {
            Subject::Files(pattern) => {
                let among = |peer| peer != me;
                let library = self.links.library(me, &among);
                let files = self.links.catalogue().matching(pattern, None, &among);
                Found {
                    variants: files.map(|file| library.variant(file)).collect(),
                    ..Found::default()
                }
            }
            Subject::Members => Found {
                members: self.neighbours().collect(),
                ..Found::default()
            },
        };
        let own = match (&subject, itself) {
            (Subject::Files(pattern), Some(itself)) => self.own_files(pattern, itself),
            _ => Vec::new(),
        };
        let mut survey = Survey::new(now, subject, only, remembered).with_own(own.into_iter());
        if self.config.me.visitor {
            survey = survey.by_visitor();
        }
        self.surveys.insert(ask, survey);
    }

    fn own_files(&self, pattern: &Pattern, itself: &Holder) -> Vec<Variant> {
        let (catalogue, me) = (self.links.catalogue(), self.config.me.id);
        let own = |peer| peer == me;
        let files = catalogue.matching(pattern, None, &own);
        let variant = |file: File| Variant {
            holders: vec![Holder {
                partial: catalogue.has_a_part(me, &file.entry.name),
                ..itself.clone()
            }],
            entry: file.entry,
            hashed: None,
        };
        files.map(variant).collect()
    }

    pub(super) fn advance_surveys(&mut self, now: Instant) {
        let mut surveyors: VecDeque<Surveyor> = self.surveys.keys().copied().collect();
        while let Some(ask) = surveyors.pop_front() {
            let tracker = self.home.tracker();
            let Some(survey) = self.surveys.get_mut(&ask) else {
                continue;
            };
            let actions = survey.advance(now, tracker, self.neighbours.ids());
            if !actions.is_empty() {
                surveyors.push_front(ask);
            }
            for action in actions {
                match action {
                    SurveyAction::Ask(member, find) => match self.links.to(member) {
                        Some((link, _)) => {
                            self.run(now, link, Errand::Ask(Asker::Survey(ask), find));
                        }
                        None => self.no_answer(Asker::Survey(ask), member, NotSent::NotHere),
                    },
                    SurveyAction::Finish(findings) => {
                        self.surveys.remove(&ask);
                        self.on_surveyed(now, ask, findings);
                        if let Surveyor::Shell(_) = ask {
                            surveyors.push_front(ask);
                        }
                    }
                }
            }
        }
    }

    fn on_surveyed(&mut self, now: Instant, ask: Surveyor, findings: Findings) {
        match ask {
            Surveyor::Get(inquiry) => {
                let input = get::Input::Surveyed(inquiry, findings);
                self.gets.handle(now, input);
            }
            Surveyor::Shell(ask) => self.on_wish_surveyed(now, ask, findings),
        }
    }

    /// No survey of the user comes to an end any more.
    pub(super) fn end_surveys(&mut self) {
        let why = if self.removed {
            Unanswered::Removed
        } else {
            Unanswered::Stopping
        };
        self.surveys.clear();
        for ask in std::mem::take(&mut self.wishes).into_keys() {
            let answer = Err(why.clone());
            self.out.push_back(Output::Surveyed(ask, answer));
        }
    }
}

impl Wished {
    /// What is to be surveyed, and what of it counts.
    fn question(&self) -> Result<(Subject, Only), (String, PatternError)> {
        let everything = Only::default();
        Ok(match (&self.wish, &self.step) {
            (Wish::Members, _) | (_, Step::Whose | Step::Anything(_) | Step::Members) => {
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

/// The files of a folder, or all.
fn beneath(folder: Option<&str>) -> Result<Pattern, (String, PatternError)> {
    let made = folder.map_or_else(|| Pattern::new("**"), Pattern::beneath);
    made.map_err(|why| (folder.unwrap_or_default().to_owned(), why))
}

/// What it means that a listing has no files; nothing, where a member shares none.
fn not_listed(whose: Option<String>, folder: Option<String>, is_here: bool) -> Option<Unanswered> {
    match (whose, folder) {
        (None, None) => None,
        (Some(_), None) if is_here => None,
        (Some(called), None) => Some(Unanswered::NoPeerOrFolderCalled(called)),
        (Some(who), Some(_)) if !is_here => Some(Unanswered::NoPeerCalled(who)),
        (_, Some(folder)) => Some(Unanswered::NoFolderCalled(folder)),
    }
}
