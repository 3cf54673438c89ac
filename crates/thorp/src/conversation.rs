//! The dialogue of one fetch, with the questions that it may raise.
//!
//! A pure state machine between the events of an answer and the lines that a user types. It
//! decides what to ask and what to request next; it shows nothing, because the menu and `get` show
//! things differently. Several contents with one name, large folders, and existing files at the
//! target raise questions; everything else ends the fetch.

use std::collections::VecDeque;

use thorp_node::api::{ErrorKind, Event, Failure, FileRow, Folders, Get};
use thorp_node::looks_like_a_pattern;

use crate::choose::{self, Pick};
use crate::exit::{Complaint, failure};
use crate::quoting::{printable_lines, quoted, unquoted};
use crate::words;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this request and pass every event of the answer to [`Conversation::on_event`].
    Request(Box<Get>),
    /// Show this and pass the line that is typed to [`Conversation::on_line`].
    Ask(String),
    /// The fetch is over; with a failure if there is one that was not shown yet.
    Over(Option<Complaint>),
}

/// The dialogue of one fetch.
#[derive(Debug)]
pub struct Conversation {
    /// The current request.
    get: Get,
    /// Names with several contents, of which the user has to choose one.
    choices: VecDeque<(String, Vec<FileRow>)>,
    /// Folders that are too large to be fetched without asking: name, number of files, bytes.
    folders: VecDeque<(String, u64, u64)>,
    /// The first failure, to be shown at the end.
    failed: Option<Complaint>,
    state: State,
    /// What the last typed name is for.
    named: Option<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fetching,
    Choosing,
    /// Whether to fetch a large folder as a whole.
    Folder,
    InTheWay,
    /// A new name for the existing file.
    Aside,
    /// A new name for the fetched file.
    Rename,
}

impl Conversation {
    /// Creates the dialogue. Returns it with the request to send.
    pub fn new(get: Get) -> (Self, Step) {
        // Large folders raise a question.
        let folders = Folders::Small;
        let get = Get { folders, ..get };
        let step = Step::Request(Box::new(get.clone()));
        let conversation = Self {
            get,
            choices: VecDeque::new(),
            folders: VecDeque::new(),
            failed: None,
            state: State::Fetching,
            named: None,
        };
        (conversation, step)
    }

    /// Returns the current request.
    pub fn wanted(&self) -> &Get {
        &self.get
    }

    /// Handles an event of the answer. Its last event leads to the next step.
    pub fn on_event(&mut self, event: &Event) -> Option<Step> {
        match event {
            Event::Choice { name, variants } => {
                self.choices.push_back((name.clone(), variants.clone()));
                None
            }
            Event::Failed {
                failure: Failure::IsFolder { name, files, bytes },
                ..
            } => {
                self.folders.push_back((name.clone(), *files, *bytes));
                None
            }
            Event::Done(_) => Some(self.next()),
            Event::Error(Failure::IsFolder { name, files, bytes }) => {
                self.folders.push_back((name.clone(), *files, *bytes));
                Some(self.next())
            }
            Event::Error(failure) => Some(self.on_failure(&failure.into())),
            _ => None,
        }
    }

    /// Handles a line that the user typed.
    pub fn on_line(&mut self, line: &str) -> Step {
        match self.state {
            State::Choosing => self.on_choice(line),
            State::InTheWay => self.on_way_out(line),
            State::Aside | State::Rename => self.on_name(line),
            State::Folder => self.on_folder(line),
            // No question was asked.
            State::Fetching => Step::Over(self.failed.take()),
        }
    }

    fn on_failure(&mut self, failure: &Complaint) -> Step {
        match failure.kind {
            ErrorKind::Ambiguous if !self.choices.is_empty() => self.next(),
            ErrorKind::Exists if let Some(taken) = &self.get.set_aside => {
                let text = format!("{} exists as well. {ANOTHER}", quoted(taken));
                self.state = State::Aside;
                Step::Ask(text)
            }
            ErrorKind::Exists if self.is_one_name() => {
                self.state = State::InTheWay;
                let what = match &self.get.rename {
                    Some(taken) if self.named.is_some() => {
                        format!("{} exists as well.", quoted(taken))
                    }
                    _ => words::SAME_NAME.to_owned(),
                };
                Step::Ask(format!("{what}\n{WAYS_OUT}"))
            }
            // The typed text cannot be a name.
            ErrorKind::Usage if let Some(state) = self.named => {
                self.state = state;
                Step::Ask(format!("{}\n{ANOTHER}", printable_lines(&failure.message)))
            }
            _ => {
                self.failed.get_or_insert_with(|| failure.clone());
                self.next()
            }
        }
    }

    fn next(&mut self) -> Step {
        match self.choices.front() {
            Some((name, variants)) => {
                self.state = State::Choosing;
                Step::Ask(choose::contents(name, variants))
            }
            None => self.next_folder(),
        }
    }

    fn next_folder(&mut self) -> Step {
        match self.folders.front() {
            Some((name, files, bytes)) => {
                self.state = State::Folder;
                let what = words::is_folder(name, *files, *bytes);
                Step::Ask(format!("{what}\n{WHOLE_FOLDER}"))
            }
            None => Step::Over(self.failed.take()),
        }
    }

    fn on_folder(&mut self, line: &str) -> Step {
        match (choose::pick(line, 2), self.folders.front()) {
            (Pick::At(0), Some((name, ..))) => {
                self.get.names = vec![format!("{name}/")];
                self.get.exact = true;
                self.get.folders = Folders::All;
                self.folders.pop_front();
                self.request()
            }
            (Pick::Nonsense, _) => Step::Ask(format!("Please type 1 or 2.\n{WHOLE_FOLDER}")),
            (Pick::At(_) | Pick::Cancel, folder) => {
                let name = folder.map_or("", |(name, ..)| name);
                let why = format!("{}: cancelled, nothing was fetched", quoted(name));
                let failure = failure(ErrorKind::Usage, why);
                self.failed.get_or_insert(failure);
                self.folders.pop_front();
                self.next()
            }
        }
    }

    fn on_choice(&mut self, line: &str) -> Step {
        let Some((name, variants)) = self.choices.front() else {
            return self.next();
        };
        match choose::pick(line, variants.len()) {
            Pick::At(n) => {
                let row = &variants[n];
                // A content without a root is identified by its holder.
                let from = match (&row.root, row.holders.first()) {
                    (None, Some(holder)) => Some(holder.member.id.clone()),
                    _ => self.get.from.clone(),
                };
                self.get = Get {
                    names: vec![row.name.clone()],
                    exact: true,
                    root: row.root.clone(),
                    from,
                    ..self.get.clone()
                };
                self.choices.pop_front();
                self.request()
            }
            Pick::Cancel => {
                let why = format!("{}: cancelled, nothing was fetched", quoted(name));
                let failure = failure(ErrorKind::Ambiguous, why);
                self.failed.get_or_insert(failure);
                self.choices.pop_front();
                self.next()
            }
            Pick::Nonsense => Step::Ask(match variants.len() {
                1 => "Please type 1, or nothing to cancel.".into(),
                count => format!("Please type a number from 1 to {count}, or nothing to cancel."),
            }),
        }
    }

    fn on_way_out(&mut self, line: &str) -> Step {
        match choose::pick(line, 3) {
            Pick::At(0) => {
                self.state = State::Aside;
                Step::Ask("Please type a new name for the existing file.".into())
            }
            Pick::At(1) => {
                self.state = State::Rename;
                Step::Ask("Please type the name to save the requested file under.".into())
            }
            Pick::At(_) | Pick::Cancel => self.left_alone(),
            Pick::Nonsense => Step::Ask(format!("Please type 1, 2 or 3.\n{WAYS_OUT}")),
        }
    }

    fn on_name(&mut self, line: &str) -> Step {
        let name = unquoted(line);
        if name.is_empty() {
            return self.left_alone();
        }
        if self.get.names.first() == Some(&name) {
            return Step::Ask("That is the name it has now. Please type another one.".into());
        }
        if self.state == State::Aside && name.contains('/') {
            return Step::Ask(format!(
                "The existing file stays in its folder, so its new name has no / in it. {ANOTHER}"
            ));
        }
        self.named = Some(self.state);
        if self.state == State::Aside {
            self.get.set_aside = Some(name);
        } else {
            self.get.set_aside = None;
            self.get.rename = Some(name);
        }
        self.request()
    }

    fn left_alone(&mut self) -> Step {
        let why = "cancelled: nothing was fetched, nothing was changed";
        self.failed
            .get_or_insert_with(|| failure(ErrorKind::Exists, why));
        self.next()
    }

    fn request(&mut self) -> Step {
        self.state = State::Fetching;
        Step::Request(Box::new(self.get.clone()))
    }

    /// Whether the request is for one file by its exact name, so that it can get another name.
    fn is_one_name(&self) -> bool {
        let is_name = |name: &str| self.get.exact || !looks_like_a_pattern(name);
        matches!(self.get.names.as_slice(), [name] if is_name(name))
    }
}

const WHOLE_FOLDER: &str = "1. Fetch all of it.\n2. Cancel.";
const ANOTHER: &str = "Please type another name, or nothing to cancel.";
const WAYS_OUT: &str =
    "1. Rename the existing file.\n2. Save the requested file under another name.\n3. Cancel.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use thorp_node::api::Done;

    fn get(names: &[&str]) -> Get {
        Get {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            folders: Folders::Small,
            ..Get::default()
        }
    }

    fn request(step: Step) -> Get {
        match step {
            Step::Request(get) => *get,
            other => panic!("a request, not {other:?}"),
        }
    }

    fn asked(step: Option<Step>) -> String {
        match step {
            Some(Step::Ask(text)) => text,
            other => panic!("a question, not {other:?}"),
        }
    }

    fn error(kind: ErrorKind) -> Event {
        Event::Error(samples::failure(kind, "why"))
    }

    const DONE: Event = Event::Done(Done {
        count: 1,
        bytes: 1,
        ms: 1.0,
        left_out: 0,
    });

    #[test]
    fn what_goes_well_asks_nothing() {
        let (mut talk, first) = Conversation::new(get(&["3.txt"]));
        assert_eq!(request(first), get(&["3.txt"]));
        assert_eq!(talk.on_event(&DONE), Some(Step::Over(None)));
    }

    #[test]
    fn a_failure_is_handed_on() {
        let (mut talk, _) = Conversation::new(get(&["3.txt"]));
        let over = talk.on_event(&error(ErrorKind::NotFound));
        assert!(matches!(over, Some(Step::Over(Some(f))) if f.kind == ErrorKind::NotFound));
    }

    fn two_contents() -> Event {
        let mut unhashed = samples::file("papers/3.txt");
        unhashed.root = None;
        Event::Choice {
            name: "3.txt".into(),
            variants: vec![samples::file("3.txt"), unhashed],
        }
    }

    #[test]
    fn an_ambiguous_name_is_chosen_by_number() {
        let (mut talk, _) = Conversation::new(get(&["3.txt"]));
        assert_eq!(talk.on_event(&two_contents()), None);
        let text = asked(talk.on_event(&error(ErrorKind::Ambiguous)));
        assert!(
            text.starts_with("Several files are called 3.txt:\n  1. 1.2 KiB"),
            "{text}"
        );
        assert_eq!(
            talk.on_line("three"),
            Step::Ask("Please type a number from 1 to 2, or nothing to cancel.".into())
        );
        let chosen = request(talk.on_line("1"));
        assert_eq!(chosen.root, Some(samples::root()));
        assert!(chosen.exact);
        assert_eq!(talk.on_event(&DONE), Some(Step::Over(None)));
    }

    #[test]
    fn a_content_without_a_root_is_named_by_its_holder() {
        let (mut talk, _) = Conversation::new(get(&["3.txt"]));
        talk.on_event(&two_contents());
        talk.on_event(&error(ErrorKind::Ambiguous));
        let chosen = request(talk.on_line("2"));
        assert_eq!(chosen.names, ["papers/3.txt"]);
        assert_eq!((chosen.root, chosen.from), (None, Some(samples::oak().id)));
    }

    #[test]
    fn a_choice_can_be_cancelled_and_the_next_one_asked() {
        let (mut talk, _) = Conversation::new(get(&["3.txt", "4.txt"]));
        talk.on_event(&two_contents());
        talk.on_event(&two_contents());
        asked(talk.on_event(&error(ErrorKind::Ambiguous)));
        asked(Some(talk.on_line("")));
        request(talk.on_line("1"));
        let over = talk.on_event(&DONE);
        assert!(matches!(over, Some(Step::Over(Some(f))) if f.kind == ErrorKind::Ambiguous));
    }

    #[test]
    fn what_is_in_the_way_can_be_renamed() {
        let (mut talk, _) = Conversation::new(get(&["3.txt"]));
        let text = asked(talk.on_event(&error(ErrorKind::Exists)));
        assert!(text.starts_with(words::SAME_NAME), "{text}");
        asked(Some(talk.on_line("5")));
        asked(Some(talk.on_line("1")));
        asked(Some(talk.on_line("3.txt")));
        let again = request(talk.on_line("3-old.txt"));
        assert_eq!(again.set_aside.as_deref(), Some("3-old.txt"));
        assert_eq!(talk.on_event(&DONE), Some(Step::Over(None)));
    }

    #[test]
    fn what_arrives_can_have_another_name() {
        let (mut talk, _) = Conversation::new(get(&["3.txt"]));
        talk.on_event(&error(ErrorKind::Exists));
        talk.on_line("2");
        let again = request(talk.on_line("\"3 new.txt\""));
        assert_eq!(again.rename.as_deref(), Some("3 new.txt"));
        // The new name may be taken as well.
        asked(talk.on_event(&error(ErrorKind::Exists)));
        let over = talk.on_line("3");
        assert!(matches!(over, Step::Over(Some(f)) if f.kind == ErrorKind::Exists));
    }

    #[test]
    fn a_new_name_that_is_taken_too_is_asked_for_again() {
        let (mut talk, _) = Conversation::new(get(&["3.txt"]));
        asked(talk.on_event(&error(ErrorKind::Exists)));
        asked(Some(talk.on_line("1")));
        let folder = asked(Some(talk.on_line("old/3.txt")));
        assert!(folder.contains("no / in it"), "{folder}");
        request(talk.on_line("4.txt"));
        let text = asked(talk.on_event(&error(ErrorKind::Exists)));
        assert!(text.starts_with("4.txt exists as well."), "{text}");
        let again = request(talk.on_line("5.txt"));
        assert_eq!(again.set_aside.as_deref(), Some("5.txt"));
        assert_eq!(talk.on_event(&DONE), Some(Step::Over(None)));
    }

    #[test]
    fn a_name_that_cannot_be_one_is_asked_for_again() {
        let (mut talk, _) = Conversation::new(get(&["3.txt"]));
        talk.on_event(&error(ErrorKind::Exists));
        talk.on_line("2");
        request(talk.on_line("../3.txt"));
        let text = asked(talk.on_event(&error(ErrorKind::Usage)));
        assert!(text.starts_with("why\n"), "{text}");
        assert_eq!(
            request(talk.on_line("4.txt")).rename.as_deref(),
            Some("4.txt")
        );
        let text = asked(talk.on_event(&error(ErrorKind::Exists)));
        assert!(text.starts_with("4.txt exists as well.\n1. "), "{text}");
        let over = talk.on_line("3");
        assert!(matches!(over, Step::Over(Some(f)) if f.kind == ErrorKind::Exists));
    }

    #[test]
    fn what_was_chosen_means_itself_whatever_is_in_its_name() {
        let (mut talk, _) = Conversation::new(get(&["song*"]));
        let variants = vec![samples::file("song [live].mp3"), samples::file("song")];
        let name = "song*".into();
        talk.on_event(&Event::Choice { name, variants });
        asked(talk.on_event(&error(ErrorKind::Ambiguous)));
        let chosen = request(talk.on_line("1"));
        assert_eq!(chosen.names, ["song [live].mp3"]);
        assert!(chosen.exact);
        // And it can get another name, as one file.
        let text = asked(talk.on_event(&error(ErrorKind::Exists)));
        assert!(text.contains("another name"), "{text}");
        let large = Failure::IsFolder {
            name: "album [2009]".into(),
            files: 1001,
            bytes: 5000,
        };
        let (mut talk, _) = Conversation::new(get(&["album"]));
        asked(talk.on_event(&Event::Error(large)));
        let all = request(talk.on_line("1"));
        assert_eq!(all.names, ["album [2009]/"]);
        assert!(all.exact);
    }

    #[test]
    fn a_glob_is_not_asked_about() {
        let (mut talk, _) = Conversation::new(get(&["*.txt"]));
        let over = talk.on_event(&error(ErrorKind::Exists));
        assert!(matches!(over, Some(Step::Over(Some(_)))));
    }

    #[test]
    fn a_large_folder_is_fetched_once_the_user_says_so() {
        let large = || {
            let (name, files, bytes) = ("d".to_owned(), 1001, 5000);
            Event::Error(Failure::IsFolder { name, files, bytes })
        };
        let (mut talk, _) = Conversation::new(get(&["d"]));
        let text = asked(talk.on_event(&large()));
        assert!(text.starts_with("d is a folder with 1001 files"), "{text}");
        asked(Some(talk.on_line("x")));
        let all = request(talk.on_line("1"));
        assert_eq!(
            (&all.names[..], all.folders),
            (&["d/".to_owned()][..], Folders::All)
        );
        assert_eq!(talk.on_event(&DONE), Some(Step::Over(None)));

        let (mut talk, _) = Conversation::new(get(&["d"]));
        asked(talk.on_event(&large()));
        let over = talk.on_line("");
        assert!(matches!(over, Step::Over(Some(f)) if f.kind == ErrorKind::Usage));
    }
}
