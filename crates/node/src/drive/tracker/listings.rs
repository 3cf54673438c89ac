//! What a tracker's own user asks it: files, and the peers that are present.
//!
//! The pages are those that a member would be given; what they come to is decided in
//! [`thorp_core::survey`].

use std::time::Duration;

use thorp_core::lookup::{Only, TrackerState, is_called};
use thorp_core::matching::{Pattern, PatternError};
use thorp_core::survey::{Findings, Subject, Survey, SurveyAction, Territory};
use thorp_core::time::Instant;
use thorp_wire::frame::{MemberRow, Variant};
use thorp_wire::{Name, PeerId};

use super::Tracker;
use crate::api::{Command, Done, Event, Failure, Gap, Note};
use crate::drive::caller::{Events, tell};
use crate::rows;

/// Answers event by event, but for the last one.
pub(super) async fn answer(
    tracker: &Tracker,
    command: Command,
    events: &Events,
) -> Result<Done, Failure> {
    match command {
        Command::Peers => peers(tracker, events).await,
        Command::Find { pattern } => {
            let made = Pattern::new(&pattern);
            let made = made.map_err(|why| not_a_pattern(&pattern, &why))?;
            let done = files(tracker, made, Only::default(), events).await?;
            if done.count == 0 && is_empty(tracker).await? {
                tell(events, Event::Note(Note::NoFiles)).await;
            }
            Ok(done)
        }
        Command::Ls { peer, folder } => ls(tracker, peer, folder, events).await,
        _ => Err(Failure::NotAPeer),
    }
}

async fn peers(tracker: &Tracker, events: &Events) -> Result<Done, Failure> {
    let rows = rows::peers(members(tracker).await?, None);
    let count = rows.len() as u64;
    for row in rows {
        tell(events, Event::Peer(row)).await;
    }
    Ok(Done {
        count,
        ..Done::default()
    })
}

/// All files: of a peer, of a folder, or both. What is called like no peer may be a
/// folder.
async fn ls(
    tracker: &Tracker,
    whose: Option<String>,
    folder: Option<String>,
    events: &Events,
) -> Result<Done, Failure> {
    let is_here = match &whose {
        Some(whose) => {
            let members = members(tracker).await?;
            members.iter().any(|row| is_called(&row.member, whose))
        }
        None => false,
    };
    let (from, beneath, missing) = match (whose, folder) {
        (Some(who), Some(_)) if !is_here => return Err(Failure::NoPeerCalled { who }),
        (Some(called), None) if !is_here => {
            let missing = Failure::NoPeerOrFolderCalled {
                called: called.clone(),
            };
            (None, Some(called), Some(missing))
        }
        (whose, folder) => {
            let missing = folder.clone();
            let missing = missing.map(|folder| Failure::NoFolderCalled { folder });
            (whose, folder, missing)
        }
    };
    let made = beneath
        .as_deref()
        .map_or_else(|| Pattern::new("**"), Pattern::beneath);
    let made = made.map_err(|why| not_a_pattern(&beneath.unwrap_or_default(), &why))?;
    let done = files(tracker, made, Only { from, root: None }, events).await?;
    match missing {
        Some(missing) if done.count == 0 => Err(missing),
        _ => Ok(done),
    }
}

async fn files(
    tracker: &Tracker,
    pattern: Pattern,
    only: Only,
    events: &Events,
) -> Result<Done, Failure> {
    let mut done = Done::default();
    let mut asking = Asking::new(tracker, Subject::Files(pattern), only);
    while let Some(part) = asking.next().await? {
        let Findings::Files(files) = part else {
            continue;
        };
        for variant in &files {
            done.count += 1;
            done.bytes = done.bytes.saturating_add(variant.entry.length);
            tell(events, Event::File(rows::file(variant))).await;
        }
    }
    if asking.survey.coverage().is_cut() {
        tell(events, Event::Note(Note::TrackerInPart)).await;
        return Err(Failure::InPart { why: Gap::Cut });
    }
    Ok(done)
}

async fn members(tracker: &Tracker) -> Result<Vec<MemberRow>, Failure> {
    let mut members = Vec::new();
    let mut asking = Asking::new(tracker, Subject::Members, Only::default());
    while let Some(part) = asking.next().await? {
        if let Findings::Members(rows) = part {
            members.extend(rows);
        }
    }
    Ok(members)
}

async fn is_empty(tracker: &Tracker) -> Result<bool, Failure> {
    let members = members(tracker).await?;
    Ok(members.iter().all(|row| row.files == 0))
}

/// A survey of one tracker, page by page: in between it does other work.
struct Asking<'a> {
    tracker: &'a Tracker,
    survey: Survey,
    begun: tokio::time::Instant,
}

impl<'a> Asking<'a> {
    fn new(tracker: &'a Tracker, subject: Subject, only: Only) -> Self {
        Self {
            tracker,
            survey: Survey::new(Instant::after_start(Duration::ZERO), subject, only),
            begun: tokio::time::Instant::now(),
        }
    }

    /// The next part, until there is none.
    async fn next(&mut self) -> Result<Option<Findings>, Failure> {
        self.survey.taken();
        loop {
            let actions = self.survey.advance(self.now(), &Here);
            if actions.is_empty() {
                return Ok(None);
            }
            let mut part = None;
            for action in actions {
                match action {
                    // It dials no member.
                    SurveyAction::Ask(member, _) if member.id != HERE => {
                        self.survey.no_answer(member.id);
                    }
                    SurveyAction::Ask(_, find) => {
                        let found = self.tracker.find(find.clone()).await;
                        let found = found.ok_or(Failure::TrackerStopping)?;
                        let found = found.map_err(|why| not_a_pattern("", &why))?;
                        self.survey.found(self.now(), HERE, &find, found);
                    }
                    SurveyAction::Tell(findings) => part = Some(findings),
                    SurveyAction::Finish(_) => return Ok(None),
                }
            }
            if part.is_some() {
                return Ok(part);
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::after_start(self.begun.elapsed())
    }
}

/// As good an id as any: there is one tracker to be asked.
const HERE: PeerId = PeerId::new([0; 32]);

/// The surroundings of one who has the tracker, and nothing else.
struct Here;

impl Territory for Here {
    fn tracker(&self) -> TrackerState {
        TrackerState::Up(HERE)
    }

    fn neighbours(&self) -> Vec<PeerId> {
        Vec::new()
    }

    fn heard(&self, _: PeerId) -> Option<Instant> {
        None
    }

    fn remembered(&self, _: &Pattern, _: Option<&Name>) -> Vec<Variant> {
        Vec::new()
    }

    fn own(&self, _: &Pattern, _: Option<&Name>) -> Vec<Variant> {
        Vec::new()
    }

    fn members(&self) -> Vec<MemberRow> {
        Vec::new()
    }
}

fn not_a_pattern(pattern: &str, why: &PatternError) -> Failure {
    Failure::NotAPattern {
        pattern: pattern.to_owned(),
        why: why.to_string(),
    }
}
