//! The terminal around the menu.
//!
//! One thread reads lines with rustyline, one prints above the line that is being typed (it may
//! have to wait for the reader, so no other task prints), and the task between them runs the menu.
//! Owns the mode of the terminal, and restores it however the menu ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossterm::event::DisableBracketedPaste;
use crossterm::style::Print;
use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{self, OptionalActions, Termios};
use rustyline::error::ReadlineError;
use rustyline::{
    Cmd, ConditionalEventHandler, DefaultEditor, EventContext, EventHandler, ExternalPrinter,
    KeyEvent, RepeatCount,
};
use thorp_node::api::{Command, Event, TorrentSource};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{Effect, Menu};
use crate::given;
use crate::node::{Answers, Inviting, LocalPeer};
use crate::out::{self, Terminals};
use crate::progress::Bar;
use crate::signals::{Means, Signals};
use crate::tables::{Following, Neighbourhood};
use crate::wrap;

/// How often a menu in the background checks whether it may ask again.
const LOOK_EVERY: Duration = Duration::from_millis(500);

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
    let mut terminal = Terminal::open()?;
    let mut menu = Menu::new(peer.door.clone());
    let mut bar = Bar::new(terminals, true);
    let mut answers: Option<Answers> = None;
    let mut invite: Option<Inviting> = None;
    let mut looking: Option<Looking> = None;

    let mut effects: Vec<_> = welcome.into_iter().map(Effect::Say).collect();
    let mut following = Following::of(&peer.viewer);
    if let Some(now) = Neighbourhood::of(&peer.viewer).await {
        effects.extend(menu.changed(&now));
    }
    effects.push(menu.start());
    let mut question = String::new();
    let mut unasked = false;
    let mut notices = true;
    loop {
        for effect in effects.drain(..) {
            match effect {
                Effect::Say(text) => terminal.say(&text, &bar),
                Effect::Ask(text) => {
                    bar.finish();
                    question = text;
                    unasked = true;
                }
                Effect::Request(get) => answers = Some((peer.request)(Command::Get(*get))),
                Effect::LookForTorrent(name) => {
                    looking = Some(Box::pin(given::at_menu(name)));
                }
                Effect::RequestTorrent(get) => {
                    answers = Some((peer.request)(Command::GetTorrent(*get)));
                }
                Effect::Invite => invite = Some((peer.invite)()),
                Effect::Leave => return Ok(End::Left),
            }
        }
        // Reading from the background would suspend the peer.
        if unasked && out::is_in_foreground() {
            terminal.ask(&question);
            unasked = false;
        }
        tokio::select! {
            biased;
            means = signals.which() => {
                // Dropping the answer abandons the request.
                let is_fetching = answers.take().is_some();
                if means == Means::End || !is_fetching {
                    return Ok(End::Left);
                }
                bar.finish();
                effects = menu.interrupted();
            }
            notice = peer.notices.recv(), if notices => match notice {
                Some(_) if (peer.was_removed)() => {}
                Some(notice) => effects.push(Menu::notice(&notice)),
                None => notices = false,
            },
            event = next(&mut answers) => if let Some(event) = event {
                    if let Event::Progress(progress) = &event {
                        bar.update(progress);
                    }
                    if matches!(event, Event::Done(_) | Event::Error(_)) {
                        answers = None;
                    }
                    effects = menu.event(&event);
            } else {
                    answers = None;
                    effects = menu.broken_off();
            },
            is_due = following.is_due() => {
                // That the machine was removed is said once, where the program ends.
                if !is_due || (peer.was_removed)() {
                    return Ok(End::Ended);
                }
                match Neighbourhood::of(&peer.viewer).await {
                    Some(now) => effects.extend(menu.changed(&now)),
                    None => return Ok(End::Ended),
                }
            }
            found = found(&mut looking) => {
                looking = None;
                effects = menu.looked(found);
            }
            made = made(&mut invite) => {
                invite = None;
                effects = menu.invited(made);
            }
            () = sleep(LOOK_EVERY), if unasked => {}
            typed = terminal.typed() => match typed {
                Some(Typed::Line(line)) => effects = menu.line(&line),
                Some(Typed::Interrupt) => effects = menu.back(),
                Some(Typed::Suspend) => {
                    // Continues here once the process is resumed, perhaps in the background.
                    let _ = kill_current_process_group(Signal::TSTP);
                    unasked = true;
                }
                None => return Ok(End::Left),
            },
        }
    }
}

/// What is found out of a name that may be a torrent's.
type Looking = Pin<Box<dyn Future<Output = crate::exit::Result<Option<TorrentSource>>>>>;

/// Returns what was found; waits for ever if nothing is looked for.
async fn found(looking: &mut Option<Looking>) -> crate::exit::Result<Option<TorrentSource>> {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}

/// Returns the next event; waits for ever if nothing was asked.
async fn next(answers: &mut Option<Answers>) -> Option<Event> {
    match answers {
        Some(answers) => answers.recv().await,
        None => std::future::pending().await,
    }
}

/// Returns the invite; waits for ever if none is being made.
async fn made(invite: &mut Option<Inviting>) -> crate::exit::Result<String> {
    match invite {
        Some(invite) => invite.await,
        None => std::future::pending().await,
    }
}

/// The answer to a question.
enum Typed {
    Line(String),
    /// The user pressed Ctrl-C.
    Interrupt,
    /// The user pressed Ctrl-Z.
    Suspend,
}

/// Ends a question at Ctrl-Z, so that the terminal's own mode is restored before the process is
/// suspended: in the background it must not be changed.
struct AtSuspend(Arc<AtomicBool>);

impl ConditionalEventHandler for AtSuspend {
    fn handle(
        &self,
        _: &rustyline::Event,
        _: RepeatCount,
        _: bool,
        _: &EventContext,
    ) -> Option<Cmd> {
        self.0.store(true, Ordering::Relaxed);
        Some(Cmd::Interrupt)
    }
}

/// A prompt, and the space above it.
struct Terminal {
    questions: std::sync::mpsc::Sender<String>,
    said: std::sync::mpsc::Sender<String>,
    /// Whether a question was asked and the user may be typing.
    asking: bool,
    /// The lines that were typed; closed at Ctrl-D.
    typed: mpsc::Receiver<Typed>,
}

impl Terminal {
    fn open() -> Result<Self, ReadlineError> {
        let mut editor = DefaultEditor::new()?;
        let mut printer = editor.create_external_printer()?;
        let suspend = Arc::new(AtomicBool::new(false));
        let handler = EventHandler::Conditional(Box::new(AtSuspend(Arc::clone(&suspend))));
        editor.bind_sequence(KeyEvent::ctrl('Z'), handler);
        let (questions, asked) = std::sync::mpsc::channel::<String>();
        let (said, to_say) = std::sync::mpsc::channel::<String>();
        let (typed, answers) = mpsc::channel(1);
        thread::spawn(move || {
            for question in asked {
                let answer = match editor.readline(&format!("{question}\n> ")) {
                    Ok(line) => {
                        if !line.trim().is_empty() {
                            let _ = editor.add_history_entry(line.as_str());
                        }
                        Typed::Line(line)
                    }
                    Err(ReadlineError::Interrupted) if suspend.swap(false, Ordering::Relaxed) => {
                        Typed::Suspend
                    }
                    Err(ReadlineError::Interrupted) => Typed::Interrupt,
                    Err(_) => return,
                };
                if typed.blocking_send(answer).is_err() {
                    return;
                }
            }
        });
        thread::spawn(move || {
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
            typed: answers,
        })
    }

    fn ask(&mut self, question: &str) {
        self.asking = true;
        // If the reader is gone, `typed` returns `None`.
        let _ = self
            .questions
            .send(wrap::fitted(question, std::io::stdout()));
    }

    fn say(&mut self, text: &str, bar: &Bar) {
        let text = wrap::fitted(text, std::io::stdout());
        if self.asking {
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
