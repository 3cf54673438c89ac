//! The menu of `thorp share`: what is asked, and what an answer leads to.
//!
//! Pure: lines and events in, effects out. The terminal around it is in
//! `terminal`; the questions a fetch may raise are in `conversation`.

pub mod terminal;

use thorp_node::api::{ErrorKind, Event, Get, Notice};

use crate::answer::{self, FetchTotals};
use crate::conversation::{Conversation, Step};
use crate::exit::Complaint;
use crate::lines;
use crate::quoting::{printable_lines, quoted, unquoted};
use crate::tables::Neighbourhood;
use crate::words;

/// What the terminal has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Show this, above whatever is being typed.
    Say(String),
    /// Show this and read a line.
    Ask(String),
    /// Send this and hand over the events of the answer.
    Request(Box<Get>),
    /// Say goodbye and end.
    Leave,
}

/// Where the person is.
#[derive(Debug)]
pub struct Menu {
    state: State,
    tally: FetchTotals,
    /// As shown last; at first there are none, and that is no news.
    neighbours: String,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Top,
    Name,
    Fetching(Box<Conversation>),
}

impl Default for Menu {
    fn default() -> Self {
        Self {
            state: State::default(),
            tally: FetchTotals::default(),
            neighbours: lines::NO_NEIGHBOURS.into(),
        }
    }
}

impl Menu {
    /// The first question.
    pub fn start(&mut self) -> Effect {
        self.state = State::Top;
        Effect::Ask(top())
    }

    /// What a person typed after an [`Effect::Ask`].
    pub fn line(&mut self, line: &str) -> Vec<Effect> {
        match &mut self.state {
            State::Top => self.wish(line),
            State::Name => self.name(line),
            State::Fetching(conversation) => {
                let step = conversation.on_line(line);
                self.step(step)
            }
        }
    }

    /// Part of the answer to an [`Effect::Request`].
    pub fn event(&mut self, event: &Event) -> Vec<Effect> {
        let State::Fetching(conversation) = &mut self.state else {
            return Vec::new();
        };
        let step = conversation.on_event(event);
        let summary = self.tally.on_event(event);
        let said = shown(event).into_iter().chain(summary);
        let mut effects: Vec<_> = said.map(Effect::Say).collect();
        if let Some(step) = step {
            effects.extend(self.step(step));
        }
        effects
    }

    /// The answer broke off.
    pub fn broken_off(&mut self) -> Vec<Effect> {
        if matches!(self.state, State::Fetching(_)) {
            self.step(Step::Over(Some(crate::exit::broken_off())))
        } else {
            Vec::new()
        }
    }

    /// A person did not want to wait for the answer.
    pub fn interrupted(&mut self) -> Vec<Effect> {
        match &self.state {
            State::Fetching(conversation) => {
                let why = crate::exit::interrupted(Some(conversation.wanted()));
                self.step(Step::Over(Some(why)))
            }
            _ => Vec::new(),
        }
    }

    /// The view has changed; the neighbours are shown when they have.
    pub fn changed(&mut self, view: &Neighbourhood) -> Option<Effect> {
        let line = lines::neighbours(view);
        if self.neighbours == line {
            return None;
        }
        self.neighbours.clone_from(&line);
        Some(Effect::Say(line))
    }

    /// Something happened.
    pub fn notice(notice: &Notice) -> Effect {
        Effect::Say(lines::notice(notice))
    }

    fn wish(&mut self, line: &str) -> Vec<Effect> {
        let typed = line.trim();
        match typed.trim_end_matches('.').to_lowercase().as_str() {
            "1" | "request" | "get" => {
                self.state = State::Name;
                vec![Effect::Ask(words::FILE_NAME.into())]
            }
            "2" | "leave" | "quit" | "exit" | "q" => vec![Effect::Leave],
            "" => vec![Effect::Ask(top())],
            _ => vec![
                Effect::Say(format!(
                    "{} is not a choice: type 1 to request a file (its name is asked for next), \
                     or 2 to leave.",
                    quoted(typed)
                )),
                Effect::Ask(top()),
            ],
        }
    }

    fn name(&mut self, line: &str) -> Vec<Effect> {
        let name = unquoted(line);
        if name.is_empty() {
            return vec![Effect::Say("No name, no file.".into()), self.start()];
        }
        let (conversation, step) = Conversation::new(Get {
            names: vec![name],
            ..Get::default()
        });
        self.state = State::Fetching(Box::new(conversation));
        self.step(step)
    }

    fn step(&mut self, step: Step) -> Vec<Effect> {
        match step {
            Step::Request(get) => vec![Effect::Request(get)],
            Step::Ask(text) => vec![Effect::Ask(text)],
            Step::Over(failure) => {
                let said = failure.as_ref().map(said).map(Effect::Say);
                said.into_iter().chain([self.start()]).collect()
            }
        }
    }
}

fn top() -> String {
    [words::WISH, words::REQUEST, words::LEAVE].join("\n")
}

/// What the person sees of an event; its end is the conversation's.
fn shown(event: &Event) -> Option<String> {
    match event {
        Event::Fetched(fetched) => Some(answer::arrival(fetched)),
        Event::Failed { name, failure } => {
            Some(format!("{}: {}", quoted(name), said(&failure.into())))
        }
        Event::Note(note) => Some(printable_lines(&words::note(note))),
        Event::Hashing(hashing) => Some(answer::being_hashed(hashing)),
        Event::Resumed {
            name,
            bytes,
            of_bytes,
        } => Some(answer::resumed(name, *bytes, *of_bytes)),
        _ => None,
    }
}

fn said(failure: &Complaint) -> String {
    match failure.kind {
        ErrorKind::NotFound => words::NOBODY.into(),
        _ => printable_lines(&failure.message),
    }
}

#[cfg(test)]
mod tests;
