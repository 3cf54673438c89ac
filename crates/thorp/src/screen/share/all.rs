//! What all peers have, as it was when it was asked for.

use std::task::{Context, Poll};
use std::time::Duration;

use thorp_node::api::{Command, Event, FileRow, Note};
use thorp_node::printable::printable;
use tokio::time::Instant;

use super::gets::SendCommand;
use crate::exit::{self, Complaint};
use crate::node::Answers;
use crate::{told, words};

/// How often it may be asked for.
const ASKED_EVERY: Duration = Duration::from_secs(30);
/// The most files that are kept of it.
const MOST: usize = 20_000;
/// The most events that are taken at once.
const EVENTS: usize = 500;

#[derive(Debug)]
pub struct AllFiles {
    rows: Vec<FileRow>,
    asked: Instant,
    /// Whether there was more than is kept.
    is_cut: bool,
    /// Why it may not be all.
    unfinished: Option<String>,
    /// What is still to come.
    answers: Option<Answers>,
}

impl AllFiles {
    /// Asks for it.
    pub fn asked(request: &SendCommand) -> Self {
        let everything = Command::Ls {
            peer: None,
            folder: None,
        };
        Self {
            rows: Vec::new(),
            asked: Instant::now(),
            is_cut: false,
            unfinished: None,
            answers: Some(request(everything)),
        }
    }

    /// Whether it is too early to ask again.
    pub fn is_fresh(&self) -> bool {
        self.asked.elapsed() < ASKED_EVERY
    }

    /// Whether some of it is still to come.
    pub fn is_asking(&self) -> bool {
        self.answers.is_some()
    }

    pub fn rows(&self) -> &[FileRow] {
        &self.rows
    }

    /// Returns the next events of the answer.
    pub fn poll_events(&mut self, context: &mut Context<'_>) -> Poll<Vec<Event>> {
        let Some(answers) = &mut self.answers else {
            return Poll::Pending;
        };
        let mut events = Vec::new();
        answers
            .poll_recv_many(context, &mut events, EVENTS)
            .map(|_| events)
    }

    /// Handles these events; without one the answer has ended too early.
    pub fn on_events(&mut self, events: Vec<Event>) {
        let is_lost = events.is_empty();
        for event in events {
            match event {
                Event::File(row) if self.rows.len() < MOST => self.rows.push(row),
                Event::File(_) => self.is_cut = true,
                Event::Note(Note::NoFiles) => {}
                Event::Note(note) => self.unfinished = Some(words::note(&note)),
                Event::Error(failure) => {
                    self.unfinished = Some(told::failure(&Complaint::from(&failure)));
                    self.answers = None;
                }
                Event::Done(_) => self.answers = None,
                _ => {}
            }
        }
        if is_lost {
            self.unfinished = Some(told::failure(&exit::broken_off()));
        }
        if is_lost || self.is_cut {
            self.answers = None;
        }
    }

    /// Returns what is to be known of the number of rows.
    pub fn remark(&self) -> String {
        let age = self.asked.elapsed().as_secs();
        let age = match age {
            0..60 => format!("{age} s"),
            _ => format!("{} min", age / 60),
        };
        match (&self.unfinished, self.is_cut) {
            _ if self.is_asking() => " so far".into(),
            (Some(why), _) => format!(", asked {age} ago, perhaps not all: {}", printable(why)),
            (None, true) => format!(" of the first {MOST}, asked {age} ago"),
            (None, false) => format!(", asked {age} ago"),
        }
    }
}
