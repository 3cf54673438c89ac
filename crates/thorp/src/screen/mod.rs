//! The tracker's live screen: two tables that follow every change.
//!
//! Owns the terminal while the screen is shown, and restores it however the screen ends: by a key,
//! a signal, the tracker's end, or a panic. Drawing is in `draw`; which rows are kept, in `slice`.

mod draw;
mod slice;

use std::io;
use std::thread;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use thorp_node::api::{Notice, Spared, SwarmTotals};
use thorp_node::snapshot::{Ask, Page, Part, SnapshotRow, Viewer};
use tokio::sync::mpsc;

use crate::lines;
use crate::node::{Door, LocalTracker};
use crate::tables::{FileLine, Following, PeerLine};
use slice::Slice;

/// What Ctrl-Z is answered: a suspended tracker would be as good as none.
const NOT_SUSPENDED: &str = "Ctrl-Z would suspend the tracker of the whole group. To have the \
    terminal back: q, then thorp tracker --detach";

/// Shows the screen until the user leaves or the tracker ends.
pub async fn run(tracker: &mut LocalTracker, colour: bool) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let _restored = Restore;
    let mut keys = keys();
    let mut screen = Screen::new(tracker.door.clone(), colour);
    let mut notices = true;
    let mut following = Following::of(&tracker.viewer);
    loop {
        let size = terminal.size()?;
        if !screen.look(&tracker.viewer, size.width, size.height).await {
            return Ok(());
        }
        terminal.draw(|frame| screen.draw(frame))?;
        tokio::select! {
            is_due = following.is_due() => if !is_due {
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
                // A new size is handled by drawing again.
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
}

/// What is shown, and which part of it.
#[derive(Debug)]
struct Screen {
    door: Door,
    colour: bool,
    /// The last warning.
    notice: Option<String>,
    /// Whether the user is being asked if the tracker should end.
    is_asked: bool,
    focus: Focus,
    peers: Slice<PeerLine>,
    files: Slice<FileLine>,
    /// How many lookups the tracker was spared.
    spared: Spared,
    /// What is counted of the torrents of ordinary clients, if it serves any.
    swarms: Option<SwarmTotals>,
}

/// The table that the arrow keys scroll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Focus {
    Peers,
    Files,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    Yes,
    No,
}

impl Screen {
    fn new(door: Door, colour: bool) -> Self {
        Self {
            door,
            colour,
            notice: None,
            is_asked: false,
            focus: Focus::Peers,
            peers: Slice::default(),
            files: Slice::default(),
            spared: Spared::default(),
            swarms: None,
        }
    }

    /// Reads the rows around the visible ones. Returns whether the tracker still runs.
    async fn look(&mut self, viewer: &Viewer, width: u16, height: u16) -> bool {
        let asks = self.asks(width, height);
        let Some(pages) = viewer.pages(asks).await else {
            return false;
        };
        self.take(pages);
        true
    }

    /// Returns requests for enough rows to fill the screen, before and after the first visible
    /// ones.
    fn asks(&self, width: u16, height: u16) -> [Ask; 5] {
        let rows = usize::from(height).max(1);
        // Each name takes at least two columns.
        let names = usize::from(width) * draw::ROW_LINES / 2 + 1;
        let [peers_before, peers] = self.peers.asks(&Part::Peers, rows, names);
        let [files_before, files] = self.files.asks(&Part::Files, rows, names);
        let node = Ask::first(Part::Node, 1);
        [peers_before, peers, files_before, files, node]
    }

    fn take(&mut self, [peers_before, peers, files_before, files, node]: [Page; 5]) {
        self.peers.take(peers_before, peers, PeerLine::of);
        self.files.take(files_before, files, FileLine::of);
        if let Some(SnapshotRow::Tracker(status)) = node.rows.first() {
            self.spared = status.counts.spared;
            self.swarms = status.bittorrent.is_on().then_some(status.swarms);
        }
    }

    fn notice(&mut self, notice: &Notice) {
        self.notice = Some(lines::notice(notice).replace('\n', " "));
    }

    fn key(&mut self, key: KeyEvent) -> Leave {
        if key.kind == KeyEventKind::Release {
            return Leave::No;
        }
        let is_interrupt = matches!(key.code, KeyCode::Char('c' | 'd'))
            && key.modifiers.contains(KeyModifiers::CONTROL);
        if std::mem::take(&mut self.is_asked) {
            let is_yes = matches!(key.code, KeyCode::Char('y' | 'Y'));
            return if is_yes || is_interrupt {
                Leave::Yes
            } else {
                Leave::No
            };
        }
        let scroll = match self.focus {
            Focus::Peers => &mut self.peers.scroll,
            Focus::Files => &mut self.files.scroll,
        };
        // The end is found while drawing, when it is known how much fits.
        match key.code {
            _ if is_interrupt => self.is_asked = true,
            KeyCode::Char('q') | KeyCode::Esc => self.is_asked = true,
            KeyCode::Char('z') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.notice = Some(NOT_SUSPENDED.into());
            }
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = match self.focus {
                    Focus::Peers => Focus::Files,
                    Focus::Files => Focus::Peers,
                };
            }
            KeyCode::Up | KeyCode::Char('k') => scroll.up(1),
            KeyCode::Down | KeyCode::Char('j') => scroll.down(1),
            KeyCode::PageUp => scroll.up(scroll.shown.max(1)),
            KeyCode::PageDown => scroll.down(scroll.shown.max(1)),
            KeyCode::Home => scroll.go_to_start(),
            KeyCode::End => scroll.go_to_end(),
            _ => {}
        }
        Leave::No
    }
}

/// Returns the keys pressed and size changes. They are read on a separate thread that ends with
/// the process.
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

/// Restores the terminal when dropped. For panics there is ratatui's own hook.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

#[cfg(test)]
mod tests;
