//! The tracker's live screen: two tables that follow every change.
//!
//! Owns the terminal while it is shown and gives it back however it ends: a
//! key, a signal, the tracker's end, a panic. What is drawn is in `draw`, how
//! names fit a cell in `fit`.

mod draw;
pub mod fit;

use std::io;
use std::sync::Arc;
use std::thread;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use thorp_node::api::{Notice, TrackerView};
use tokio::sync::mpsc;

use crate::lines;
use crate::node::{Door, Tracker};

/// Shows the screen until a person leaves or the tracker ends.
pub async fn run(tracker: &mut Tracker, colour: bool) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let _restored = Restore;
    let mut keys = keys();
    let mut screen = Screen::new(tracker.door.clone(), colour);
    let mut notices = true;
    loop {
        screen.view = Arc::clone(&tracker.view.borrow_and_update());
        terminal.draw(|frame| screen.draw(frame))?;
        tokio::select! {
            changed = tracker.view.changed() => if changed.is_err() {
                return Ok(());
            },
            notice = tracker.notices.recv(), if notices => match notice {
                Some(notice) => screen.notice(&notice),
                None => notices = false,
            },
            event = keys.recv() => match event {
                Some(Event::Key(key)) => if screen.key(key) == Leave::Yes {
                    return Ok(());
                },
                // A new size is drawn by going round.
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
}

/// What is shown, and which part of it.
#[derive(Debug)]
struct Screen {
    view: Arc<TrackerView>,
    door: Door,
    colour: bool,
    /// The last warning.
    notice: Option<String>,
    focus: Focus,
    peers: Scroll,
    files: Scroll,
}

/// The table that the arrows move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Focus {
    Peers,
    Files,
}

/// Where a table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Scroll {
    /// The first row shown.
    first: usize,
    /// Rows shown at last.
    shown: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    Yes,
    No,
}

impl Screen {
    fn new(door: Door, colour: bool) -> Self {
        Self {
            view: Arc::default(),
            door,
            colour,
            notice: None,
            focus: Focus::Peers,
            peers: Scroll::default(),
            files: Scroll::default(),
        }
    }

    fn notice(&mut self, notice: &Notice) {
        self.notice = Some(lines::notice(notice).replace('\n', " "));
    }

    fn key(&mut self, key: KeyEvent) -> Leave {
        if key.kind == KeyEventKind::Release {
            return Leave::No;
        }
        let scroll = match self.focus {
            Focus::Peers => &mut self.peers,
            Focus::Files => &mut self.files,
        };
        // The end is found while drawing, which knows how much fits.
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Leave::Yes,
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return Leave::Yes;
            }
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = match self.focus {
                    Focus::Peers => Focus::Files,
                    Focus::Files => Focus::Peers,
                };
            }
            KeyCode::Up | KeyCode::Char('k') => scroll.first = scroll.first.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => scroll.first = scroll.first.saturating_add(1),
            KeyCode::PageUp => scroll.first = scroll.first.saturating_sub(scroll.shown.max(1)),
            KeyCode::PageDown => scroll.first = scroll.first.saturating_add(scroll.shown.max(1)),
            KeyCode::Home => scroll.first = 0,
            KeyCode::End => scroll.first = usize::MAX,
            _ => {}
        }
        Leave::No
    }
}

/// Keys and sizes, read on a thread of their own that the process's end ends.
fn keys() -> mpsc::Receiver<Event> {
    let (keys, receiver) = mpsc::channel(16);
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if keys.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Gives the terminal back. For panics there is ratatui's own hook.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

#[cfg(test)]
mod tests;
