//! The menu of `thorp share`: its questions, and the effects of the answers.
//!
//! Pure: lines and events in, effects out. The terminal is in `terminal`; the questions that a
//! fetch may raise are in `conversation`.

pub mod terminal;

use thorp_node::api::{Event, Get, GetTorrent, Notice, TorrentSource, Wait};

use crate::answer::FetchTotals;
use crate::args::Args;
use crate::choose::{self, Pick};
use crate::conversation::{Conversation, Step};
use crate::exit::Result;
use crate::given::may_be_torrent;
use crate::lines;
use crate::node::Door;
use crate::quoting::{printable_lines, quoted, unquoted};
use crate::tables::Neighbourhood;
use crate::{told, words};

/// What the terminal has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Show this, above the line that is being typed.
    Say(String),
    /// Show this and read a line.
    Ask(String),
    /// Send this request and pass on the events of the answer.
    Request(Box<Get>),
    /// Find out whether this names a torrent, and pass on what was found.
    LookForTorrent(String),
    /// Send this request and pass on the events of the answer.
    RequestTorrent(Box<GetTorrent>),
    /// Make an invite and pass it on.
    Invite,
    /// Say goodbye and end.
    Leave,
}

/// The state of the dialogue.
#[derive(Debug)]
pub struct Menu {
    state: State,
    /// How to join the group, if this peer has its tracker inside.
    door: Option<Door>,
    /// Whether a key leads to the tabs beside the menu.
    has_tabs: bool,
    tally: FetchTotals,
    /// The neighbours as last shown. At first there are none, which is not shown.
    neighbours: String,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Top,
    Name,
    Fetching(Box<Conversation>),
    /// What was typed may be a torrent.
    Looking(String),
    /// Of a torrent nothing is asked. As messages are about a get by name.
    FetchingTorrent(Box<Get>),
    Inviting,
    /// The user was asked whether to leave.
    Leaving,
}

impl Menu {
    /// Creates a menu that has not asked anything yet.
    pub fn new(door: Option<Door>, has_tabs: bool) -> Self {
        Self {
            state: State::default(),
            door,
            has_tabs,
            tally: FetchTotals::default(),
            neighbours: lines::NO_NEIGHBOURS.into(),
        }
    }

    /// Returns the first question.
    pub fn start(&mut self) -> Effect {
        self.state = State::Top;
        Effect::Ask(self.top())
    }

    /// Handles a line that the user typed after an [`Effect::Ask`].
    pub fn line(&mut self, line: &str) -> Vec<Effect> {
        match &mut self.state {
            State::Top => self.wish(line),
            State::Name => self.name(line),
            State::Leaving => self.leaving(line),
            // No question was asked.
            State::Looking(_) | State::FetchingTorrent(_) | State::Inviting => Vec::new(),
            State::Fetching(conversation) => {
                let step = conversation.on_line(line);
                self.step(step)
            }
        }
    }

    /// Handles an event of the answer to an [`Effect::Request`].
    pub fn event(&mut self, event: &Event) -> Vec<Effect> {
        let step = match &mut self.state {
            State::Fetching(conversation) => conversation.on_event(event),
            State::FetchingTorrent(_) => match event {
                Event::Done(_) => Some(Step::Over(None)),
                Event::Error(failure) => Some(Step::Over(Some(failure.into()))),
                _ => None,
            },
            _ => return Vec::new(),
        };
        let summary = self.tally.on_event(event);
        let said = told::event(event).into_iter().chain(summary);
        let mut effects: Vec<_> = said.map(Effect::Say).collect();
        if let Some(step) = step {
            effects.extend(self.step(step));
        }
        effects
    }

    /// The answer ended without its last event.
    pub fn broken_off(&mut self) -> Vec<Effect> {
        if matches!(self.state, State::Fetching(_) | State::FetchingTorrent(_)) {
            self.step(Step::Over(Some(crate::exit::broken_off())))
        } else {
            Vec::new()
        }
    }

    /// Handles the result of an [`Effect::LookForTorrent`].
    pub fn looked(&mut self, found: Result<Option<TorrentSource>>) -> Vec<Effect> {
        let State::Looking(given) = &mut self.state else {
            return Vec::new();
        };
        let given = std::mem::take(given);
        match found {
            Ok(Some(torrent)) => {
                let wanted = Get {
                    names: vec![given.clone()],
                    ..Get::default()
                };
                self.state = State::FetchingTorrent(Box::new(wanted));
                vec![Effect::RequestTorrent(Box::new(GetTorrent {
                    torrent,
                    given,
                    dir: None,
                    overwrite: false,
                    hidden: false,
                    wait: Wait::Begun,
                }))]
            }
            Ok(None) => self.file(given),
            Err(failure) => self.step(Step::Over(Some(failure))),
        }
    }

    /// Handles the result of an [`Effect::Invite`].
    pub fn invited(&mut self, made: Result<String>) -> Vec<Effect> {
        let said = match made {
            Ok(invite) => words::invited(&invite),
            Err(failure) => printable_lines(&failure.message),
        };
        vec![Effect::Say(said), self.start()]
    }

    /// The user pressed Ctrl-C at a question.
    pub fn back(&mut self) -> Vec<Effect> {
        match self.state {
            State::Top => {
                self.state = State::Leaving;
                vec![Effect::Ask(self.leave_question())]
            }
            State::Leaving => vec![Effect::Leave],
            State::Name
            | State::Fetching(_)
            | State::Looking(_)
            | State::FetchingTorrent(_)
            | State::Inviting => vec![self.start()],
        }
    }

    /// The user does not want to wait for the answer.
    pub fn interrupted(&mut self) -> Vec<Effect> {
        let wanted = match &self.state {
            State::Fetching(conversation) => conversation.wanted(),
            State::FetchingTorrent(wanted) => wanted,
            _ => return Vec::new(),
        };
        let why = crate::exit::interrupted(Some(wanted));
        self.step(Step::Over(Some(why)))
    }

    /// Handles a new view of the neighbourhood. Shows the neighbours if they have changed.
    pub fn changed(&mut self, view: &Neighbourhood) -> Option<Effect> {
        let line = lines::neighbours(view);
        if self.neighbours == line {
            return None;
        }
        self.neighbours.clone_from(&line);
        Some(Effect::Say(line))
    }

    /// Shows a notice.
    pub fn notice(notice: &Notice) -> Effect {
        Effect::Say(lines::notice(notice))
    }

    fn wish(&mut self, line: &str) -> Vec<Effect> {
        let typed = line.trim();
        // A command line, as typed in a shell, means the same here.
        let wish = typed.strip_prefix("thorp ").unwrap_or(typed).trim();
        let (verb, rest) = wish.split_once(' ').unwrap_or((wish, ""));
        match (verb.trim_end_matches('.').to_lowercase().as_str(), rest) {
            ("1" | "request" | "get", "") => {
                self.state = State::Name;
                vec![Effect::Ask(words::FILE_NAME.into())]
            }
            ("get", name) if !name.starts_with('-') => self.name(name),
            ("2" | "leave" | "stop" | "quit" | "exit" | "q", "") => vec![Effect::Leave],
            ("3", "") if self.door.is_some() => self.invite(),
            ("invite", "") => self.invite(),
            ("?" | "help" | "h", "") => {
                vec![
                    Effect::Say(words::menu_help(self.door.is_some(), self.has_tabs)),
                    self.start(),
                ]
            }
            ("", _) => vec![self.start()],
            (verb, _) if Args::is_verb(verb) => vec![
                Effect::Say(format!(
                    "{} is typed in another terminal: here is the menu.",
                    quoted(typed)
                )),
                self.start(),
            ],
            _ => vec![
                Effect::Say(format!(
                    "{} is not a choice: type 1 to request a file (its name is asked for next), \
                     2 to leave, or ? for what else there is.",
                    quoted(typed)
                )),
                self.start(),
            ],
        }
    }

    fn invite(&mut self) -> Vec<Effect> {
        match &self.door {
            Some(door) if door.open => vec![Effect::Say(lines::door(door)), self.start()],
            Some(_) => {
                self.state = State::Inviting;
                vec![Effect::Invite]
            }
            None => vec![Effect::Say(words::INVITES_ELSEWHERE.into()), self.start()],
        }
    }

    fn leaving(&mut self, line: &str) -> Vec<Effect> {
        match choose::pick(line, 2) {
            Pick::At(0) => vec![Effect::Leave],
            Pick::At(_) | Pick::Cancel => vec![self.start()],
            Pick::Nonsense => vec![Effect::Ask(self.leave_question())],
        }
    }

    fn top(&self) -> String {
        let invite = self.door.is_some().then_some(words::INVITE);
        let first = [words::WISH, words::REQUEST, words::LEAVE];
        let items: Vec<_> = first
            .into_iter()
            .chain(invite)
            .chain([words::HELP])
            .collect();
        items.join("\n")
    }

    fn leave_question(&self) -> String {
        let ends = if self.door.is_some() {
            words::ENDS_SHARING_AND_TRACKER
        } else {
            words::ENDS_SHARING
        };
        format!("{ends}\n1. Leave.\n2. Cancel.")
    }

    fn name(&mut self, line: &str) -> Vec<Effect> {
        let name = unquoted(line);
        if name.is_empty() {
            return vec![Effect::Say("No name, no file.".into()), self.start()];
        }
        if may_be_torrent(&name) {
            self.state = State::Looking(name.clone());
            return vec![Effect::LookForTorrent(name)];
        }
        self.file(name)
    }

    /// Requests a file of the group.
    fn file(&mut self, name: String) -> Vec<Effect> {
        let (conversation, step) = Conversation::new(Get {
            names: vec![name],
            // The user is there, and can interrupt it.
            wait: Wait::Begun,
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
                let (said, hint) = match (&self.state, &failure) {
                    (_, None) => (None, None),
                    // Other peers have nothing to do with it.
                    (State::FetchingTorrent(_), Some(failure)) => {
                        (Some(printable_lines(&failure.message)), None)
                    }
                    (State::Fetching(conversation), Some(failure)) => {
                        let names = &conversation.wanted().names;
                        (
                            Some(told::failure(failure)),
                            words::odd_name(failure.kind, names),
                        )
                    }
                    (_, Some(failure)) => (Some(told::failure(failure)), None),
                };
                let said = said.into_iter().chain(hint.map(str::to_owned));
                let said: Vec<_> = said.map(Effect::Say).collect();
                said.into_iter().chain([self.start()]).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
