//! The terminal around the menu.
//!
//! One thread reads lines with rustyline, one prints above the line that is being typed (it may
//! have to wait for the reader, so no other task prints), and the task between them runs the menu.
//! At Tab the tabs of `screen` take the terminal, until the user comes back to the menu; what the
//! menu would have said meanwhile is said then. Owns the mode of the terminal, and restores it
//! however the menu ends.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crossterm::event::{DisableBracketedPaste, Event as TerminalEvent};
use crossterm::style::Print;
use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{self, OptionalActions, Termios};
use rustyline::error::ReadlineError;
use rustyline::{
    Cmd, ConditionalEventHandler, DefaultEditor, EventContext, EventHandler, ExternalPrinter,
    KeyCode, KeyEvent, Modifiers, RepeatCount,
};
use thorp_node::api::{Command, Event, TorrentSource};
use thorp_node::if_any;
use thorp_node::snapshot::Viewer;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{Effect, Menu};
use crate::given;
use crate::node::{Answers, Inviting, LocalPeer};
use crate::out::{self, Terminals};
use crate::progress::Bar;
use crate::screen::FullScreen;
use crate::screen::share::{AfterKey, Screen, SendCommand};
use crate::signals::{Means, Signals};
use crate::tables::{Following, Neighbourhood};
use crate::{words, wrap};

/// How often a menu in the background checks whether it may ask again.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the tabs show what changes with time.
const TICK: Duration = Duration::from_secs(1);
/// The most lines that wait for the menu while the tabs are shown; the earliest go first.
const BACKLOG: usize = 200;

/// Why the menu has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The user leaves.
    Left,
    /// The peer has ended by itself, or was stopped from elsewhere.
    Ended,
}

/// Shows `welcome`, then the menu until the user leaves or the peer ends. Ctrl-C leads from a
/// question back to the menu, and there to the question whether to leave. A signal ends the
/// current fetch or, without one, the menu.
pub async fn run(
    peer: &mut LocalPeer,
    welcome: Vec<String>,
    terminals: Terminals,
    signals: &mut Signals,
) -> Result<End, ReadlineError> {
    let _mode = KeepMode::new();
    let mut front = Front::open(peer, terminals)?;
    let mut following = Following::of(&peer.viewer);
    let mut effects: Vec<_> = welcome.into_iter().map(Effect::Say).collect();
    if let Some(now) = Neighbourhood::of(&peer.viewer).await {
        effects.extend(front.menu.changed(&now));
    }
    effects.push(front.menu.start());
    let mut notices = true;
    loop {
        for effect in effects.drain(..) {
            if front.carry_out(effect, peer) == Flow::Over {
                return Ok(End::Left);
            }
        }
        if front.show(&peer.viewer).await? == Flow::Over {
            return Ok(End::Ended);
        }
        let is_drawn = front.tabs.is_some();
        tokio::select! {
            biased;
            means = signals.which() => match front.on_signal(means) {
                Some(now) => effects = now,
                None => return Ok(End::Left),
            },
            event = if_any(front.tabs.as_mut().map(FullScreen::event)) => {
                let Some(event) = event else { return Ok(End::Left) };
                if front.on_pressed(&event, &*peer.request) == Flow::Over {
                    return Ok(End::Left);
                }
            }
            notice = peer.notices.recv(), if notices => match notice {
                Some(_) if (peer.was_removed)() => {}
                Some(notice) => effects.extend(front.told(vec![Menu::notice(&notice)])),
                None => notices = false,
            },
            event = if_any(front.answers.as_mut().map(Answers::recv)) => effects = front.on_answer(event),
            news = front.screen.news() => {
                let said = front.screen.on_news(news, &*peer.request);
                let said = said.into_iter().map(Effect::Say).collect();
                effects = front.told(said);
                effects.extend(front.asked_elsewhere());
            }
            is_due = following.is_due() => {
                // That the machine was removed is said once, where the program ends.
                if !is_due || (peer.was_removed)() {
                    return Ok(End::Ended);
                }
                front.screen.on_change();
                match Neighbourhood::of(&peer.viewer).await {
                    Some(now) => {
                        let changed = front.menu.changed(&now).into_iter().collect();
                        effects = front.told(changed);
                    }
                    None => return Ok(End::Ended),
                }
            }
            found = if_any(front.looking.as_mut()) => {
                front.looking = None;
                effects = front.menu.looked(found);
            }
            made = if_any(front.invite.as_mut()) => {
                front.invite = None;
                effects = front.menu.invited(made);
            }
            () = sleep(LOOK_EVERY), if front.asked.is_due && !is_drawn => {}
            typed = front.terminal.typed() => match typed {
                Some(typed) => effects = front.on_typed(typed)?,
                None => return Ok(End::Left),
            },
            () = sleep(TICK), if is_drawn && front.screen.is_moving() && !front.screen.is_reading() => {}
            () = std::future::ready(()), if is_drawn && front.screen.is_reading() => {}
        }
    }
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Over,
}

/// The menu and the tabs, of which one has the terminal.
struct Front {
    terminal: Terminal,
    menu: Menu,
    screen: Screen,
    /// The terminal, while the tabs have it.
    tabs: Option<FullScreen>,
    bar: Bar,
    /// The question of the menu.
    asked: Asked,
    /// What the menu has to say once it has the terminal again.
    backlog: VecDeque<String>,
    /// The answer to the menu's request.
    answers: Option<Answers>,
    invite: Option<Inviting>,
    looking: Option<Looking>,
}

impl Front {
    fn open(peer: &LocalPeer, terminals: Terminals) -> Result<Self, ReadlineError> {
        let has_tracker = peer.door.is_some();
        Ok(Self {
            terminal: Terminal::open(terminals.able)?,
            menu: Menu::new(peer.door.clone(), terminals.able),
            screen: Screen::new(&peer.directory, has_tracker, terminals.colour),
            tabs: None,
            bar: Bar::new(terminals, true),
            asked: Asked::default(),
            backlog: VecDeque::new(),
            answers: None,
            invite: None,
            looking: None,
        })
    }

    fn carry_out(&mut self, effect: Effect, peer: &LocalPeer) -> Flow {
        match effect {
            Effect::Say(text) if self.tabs.is_some() => {
                if self.backlog.len() == BACKLOG {
                    self.backlog.pop_front();
                }
                self.backlog.push_back(text);
            }
            Effect::Say(text) => self.terminal.say(&text, &self.bar),
            Effect::Ask(text) => {
                self.bar.finish();
                self.asked = Asked::anew(text);
            }
            Effect::Request(get) => self.answers = Some((peer.request)(Command::Get(*get))),
            Effect::LookForTorrent(name) => self.looking = Some(Box::pin(given::at_menu(name))),
            Effect::RequestTorrent(get) => {
                self.answers = Some((peer.request)(Command::GetTorrent(*get)));
            }
            Effect::Invite => self.invite = Some((peer.invite)()),
            Effect::Leave => return Flow::Over,
        }
        Flow::On
    }

    /// Draws the tabs, or asks what the menu has to ask.
    async fn show(&mut self, viewer: &Viewer) -> Result<Flow, ReadlineError> {
        if let Some(full) = &mut self.tabs {
            if !self.screen.look(viewer).await {
                return Ok(Flow::Over);
            }
            full.draw(|frame| self.screen.draw(frame))?;
        } else if self.asked.is_due && out::is_in_foreground() {
            // Reading from the background would suspend the peer.
            let begun = std::mem::take(&mut self.asked.typed);
            self.terminal.ask(&self.asked.question, begun);
            self.asked.is_due = false;
        }
        Ok(Flow::On)
    }

    /// Keeps what is news as a message, too. What comes of a line that the user has typed at the
    /// menu is none.
    fn told(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        for effect in &effects {
            if let Effect::Say(text) = effect {
                self.screen.tell(text);
            }
        }
        effects
    }

    /// Returns what follows from a signal; `None` if it ends the menu.
    fn on_signal(&mut self, means: Means) -> Option<Vec<Effect>> {
        // Dropping the answer abandons the request.
        let is_fetching = self.answers.take().is_some();
        if means == Means::End {
            None
        } else if is_fetching {
            self.bar.finish();
            Some(self.menu.interrupted())
        } else {
            self.terminal.is_plain.then(|| self.menu.back())
        }
    }

    fn on_pressed(&mut self, event: &TerminalEvent, request: &SendCommand) -> Flow {
        match self.screen.on_event(event, request) {
            AfterKey::Stay => {}
            AfterKey::Leave => return Flow::Over,
            AfterKey::ToMenu => self.take_terminal(),
            AfterKey::Suspend => {
                self.take_terminal();
                suspend();
            }
        }
        Flow::On
    }

    /// The menu takes the terminal back.
    fn take_terminal(&mut self) {
        self.tabs = None;
        self.asked.is_due = true;
        for text in self.backlog.drain(..) {
            self.terminal.say(&text, &self.bar);
        }
    }

    fn on_answer(&mut self, event: Option<Event>) -> Vec<Effect> {
        let Some(event) = event else {
            self.answers = None;
            let broken_off = self.menu.broken_off();
            return self.told(broken_off);
        };
        if let Event::Progress(progress) = &event {
            self.bar.update(progress);
        }
        if event.is_last() {
            self.answers = None;
        }
        let effects = self.menu.event(&event);
        self.told(effects)
    }

    fn on_typed(&mut self, typed: Typed) -> Result<Vec<Effect>, ReadlineError> {
        match typed {
            Typed::Line(line) => return Ok(self.menu.line(&line)),
            Typed::Interrupt => return Ok(self.menu.back()),
            Typed::Suspend => {
                // Continues here once the process is resumed, perhaps in the background.
                suspend();
                self.asked.is_due = true;
            }
            Typed::Tabs(typed) => {
                self.tabs = Some(FullScreen::open()?);
                self.asked.typed = typed;
            }
        }
        Ok(Vec::new())
    }

    /// Tells a user at the menu that a fetch of the screen asks something.
    fn asked_elsewhere(&self) -> Option<Effect> {
        let is_seen = self.tabs.is_some();
        let what = self.screen.waiting().filter(|_| !is_seen)?;
        Some(Effect::Say(words::asked_on_screen(&what)))
    }
}

/// A question of the menu.
#[derive(Default)]
struct Asked {
    question: String,
    /// Whether the terminal is to ask it.
    is_due: bool,
    /// What was typed when the tabs took the terminal.
    typed: String,
}

impl Asked {
    fn anew(question: String) -> Self {
        Self {
            question,
            is_due: true,
            typed: String::new(),
        }
    }
}

/// Suspends the program, with whatever its shell has started beside it.
fn suspend() {
    let _ = kill_current_process_group(Signal::TSTP);
}

/// What is found out of a name that may be a torrent's.
type Looking = Pin<Box<dyn Future<Output = crate::exit::Result<Option<TorrentSource>>>>>;

/// The answer to a question.
enum Typed {
    Line(String),
    /// The user pressed Ctrl-C.
    Interrupt,
    /// The user pressed Ctrl-Z.
    Suspend,
    /// The user pressed Tab, with this on the line.
    Tabs(String),
}

/// Ends a question at a key that is no answer. At Ctrl-Z the terminal's own mode must be restored
/// before the process is suspended, for in the background it must not be changed; at Tab the tabs
/// take the terminal.
struct EndsQuestion(Arc<Mutex<Option<Typed>>>);

impl ConditionalEventHandler for EndsQuestion {
    fn handle(
        &self,
        event: &rustyline::Event,
        _: RepeatCount,
        _: bool,
        context: &EventContext,
    ) -> Option<Cmd> {
        let instead = match event.get(0) {
            Some(key) if *key == SUSPEND => Typed::Suspend,
            _ => Typed::Tabs(context.line().to_owned()),
        };
        *self.0.lock().ok()? = Some(instead);
        Some(Cmd::Interrupt)
    }
}

const SUSPEND: KeyEvent = KeyEvent(KeyCode::Char('Z'), Modifiers::CTRL);
const TABS: KeyEvent = KeyEvent(KeyCode::Tab, Modifiers::NONE);

/// A prompt, and the space above it.
struct Terminal {
    questions: std::sync::mpsc::Sender<(String, String)>,
    said: std::sync::mpsc::Sender<String>,
    /// Whether a question was asked and the user may be typing.
    asking: bool,
    /// Whether the terminal cannot move its cursor. What is said then goes below the question, and
    /// Ctrl-C comes as a signal.
    is_plain: bool,
    /// The lines that were typed; closed at Ctrl-D.
    typed: mpsc::Receiver<Typed>,
}

impl Terminal {
    fn open(is_able: bool) -> Result<Self, ReadlineError> {
        let mut editor = DefaultEditor::new()?;
        let printer = if is_able {
            Some(editor.create_external_printer()?)
        } else {
            None
        };
        let instead = Arc::new(Mutex::new(None));
        for key in [SUSPEND, TABS] {
            let handler = Box::new(EndsQuestion(Arc::clone(&instead)));
            editor.bind_sequence(key, EventHandler::Conditional(handler));
        }
        let (questions, asked) = std::sync::mpsc::channel::<(String, String)>();
        let (said, to_say) = std::sync::mpsc::channel::<String>();
        let (typed, answers) = mpsc::channel(1);
        thread::spawn(move || {
            for (question, begun) in asked {
                let prompt = format!("{question}\n> ");
                let answer = match editor.readline_with_initial(&prompt, (&begun, "")) {
                    Ok(line) => {
                        if !line.trim().is_empty() {
                            let _ = editor.add_history_entry(line.as_str());
                        }
                        Typed::Line(line)
                    }
                    Err(ReadlineError::Interrupted) => {
                        let instead = instead.lock().ok().and_then(|mut instead| instead.take());
                        instead.unwrap_or(Typed::Interrupt)
                    }
                    Err(_) => return,
                };
                if typed.blocking_send(answer).is_err() {
                    return;
                }
            }
        });
        thread::spawn(move || {
            let Some(mut printer) = printer else { return };
            for text in to_say {
                if printer.print(format!("{text}\n")).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            questions,
            said,
            asking: false,
            is_plain: !is_able,
            typed: answers,
        })
    }

    /// Asks, with `begun` on the line already.
    fn ask(&mut self, question: &str, begun: String) {
        let question = wrap::fitted(question, std::io::stdout());
        if std::mem::replace(&mut self.asking, true) && self.is_plain {
            // The reader still waits for a line, which will be the answer to this question.
            let _ = out::data(&format!("\n{question}"));
            return;
        }
        // If the reader is gone, `typed` returns `None`.
        let _ = self.questions.send((question, begun));
    }

    fn say(&mut self, text: &str, bar: &Bar) {
        let text = wrap::fitted(text, std::io::stdout());
        if self.asking && !self.is_plain {
            let _ = self.said.send(text);
        } else {
            // The user is not typing, but there may be a progress bar, which can make room.
            let _ = bar.above(|| out::data(&text));
        }
    }

    /// Returns what the user typed; `None` after Ctrl-D.
    async fn typed(&mut self) -> Option<Typed> {
        let typed = self.typed.recv().await;
        self.asking = false;
        typed
    }
}

/// Restores the mode of the terminal when dropped. A prompt that is cut short by a signal, or by
/// the peer's end, cannot do that itself.
struct KeepMode(Option<Termios>);

impl KeepMode {
    fn new() -> Self {
        Self(termios::tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for KeepMode {
    fn drop(&mut self) {
        let Some(before) = &self.0 else { return };
        let now = termios::tcgetattr(std::io::stdin());
        let is_as_before = now.is_ok_and(|now| now.local_modes == before.local_modes);
        // In the background the shell owns the mode.
        if is_as_before || !out::is_in_foreground() {
            return;
        }
        let _ = termios::tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        // The half-typed line stays where it is.
        let _ = crossterm::execute!(std::io::stdout(), DisableBracketedPaste, Print("\n"));
    }
}
