//! The screens of `share` and of `tracker`: tabs that follow every change.
//!
//! ```text
//! tabs      what is around every tab: the bar with their names, help, questions
//! list      rows that are scrolled, of which one is chosen
//! share     the tabs of a peer: files, transfers; the first one is the menu
//! tracker   the tabs of a tracker: the two tables, swarms
//! peers, claim, messages   tabs that both have
//! slice     the rows of a long table around the visible ones
//! ```
//!
//! Owns the terminal while a screen is shown, and restores it however the screen ends: by a key, a
//! signal, the node's end, or a panic. What is shown is read from the node's snapshot, and what the
//! user wants is a command to the node.

mod claim;
mod list;
mod messages;
mod peers;
pub mod share;
mod slice;
mod tabs;
pub mod tracker;

use std::io::{self, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use crossterm::event::{self, Event};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, enable_raw_mode};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Size;
use ratatui::{DefaultTerminal, Frame, Terminal};
use tokio::sync::mpsc;

/// How often the thread that reads keys checks whether the screen has been closed.
const CLOSED_WITHIN: Duration = Duration::from_millis(100);

/// The whole terminal, until this is dropped.
pub struct FullScreen {
    terminal: DefaultTerminal,
    keys: Keys,
}

impl FullScreen {
    /// Takes the terminal.
    pub fn open() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                ratatui::restore();
                before(panic);
            }));
        });
        let mut restored = Restore(true);
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen)?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        restored.0 = false;
        Ok(Self {
            terminal,
            keys: Keys::read(),
        })
    }

    pub fn size(&self) -> io::Result<Size> {
        self.terminal.size()
    }

    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }

    /// Waits for the next key or change of size; `None` once there will be no more.
    pub async fn event(&mut self) -> Option<Event> {
        self.keys.next().await
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        self.keys.close();
        ratatui::restore();
    }
}

/// Restores the terminal if it could be taken only in part.
struct Restore(bool);

impl Drop for Restore {
    fn drop(&mut self) {
        if self.0 {
            ratatui::restore();
        }
    }
}

/// Reads keys on a thread, one at a time: a key that was not asked for is left to the next reader
/// of the terminal.
struct Keys {
    wants: std::sync::mpsc::Sender<()>,
    events: mpsc::Receiver<Event>,
    is_asked: bool,
    is_closed: Arc<AtomicBool>,
}

impl Keys {
    fn read() -> Self {
        let (wants, wanted) = std::sync::mpsc::channel();
        let (sender, events) = mpsc::channel(1);
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&is_closed);
        thread::spawn(move || {
            for () in wanted {
                let event = loop {
                    if closed.load(Ordering::Relaxed) {
                        return;
                    }
                    match event::poll(CLOSED_WITHIN) {
                        Ok(true) => break event::read(),
                        Ok(false) => {}
                        Err(_) => return,
                    }
                };
                let Ok(event) = event else { return };
                if sender.blocking_send(event).is_err() {
                    return;
                }
            }
        });
        Self {
            wants,
            events,
            is_asked: false,
            is_closed,
        }
    }

    async fn next(&mut self) -> Option<Event> {
        // A wait that was dropped has asked already.
        if !self.is_asked {
            self.wants.send(()).ok()?;
            self.is_asked = true;
        }
        let event = self.events.recv().await;
        self.is_asked = false;
        event
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

/// Returns what is drawn on a terminal of this size: its lines without the blanks at their ends.
#[cfg(test)]
fn drawn(width: u16, height: u16, draw: impl FnOnce(&mut Frame<'_>)) -> String {
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Cell;

    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a backend");
    terminal.draw(draw).expect("drawn");
    let cells = terminal.backend().buffer().content();
    let line = |row: &[Cell]| row.iter().map(Cell::symbol).collect::<String>();
    let lines = cells.chunks(usize::from(width)).map(line);
    lines
        .flat_map(|line| [line.trim_end().to_owned(), "\n".to_owned()])
        .collect()
}
