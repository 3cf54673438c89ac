//! The tabs of `tracker`: the two tables, which the first one shows, and what else there is to
//! know.
//!
//! Drawing of the tables is in `draw`, the tab of BitTorrent's swarms in `swarms`.

mod draw;
mod swarms;

use std::io;
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind};
use thorp_node::api::{Notice, TrackerStatus};
use thorp_node::snapshot::{Ask, Page, Part, SnapshotRow, Viewer};
use tokio::time::sleep;

use super::FullScreen;
use super::claim::ClaimTab;
use super::messages::MessagesTab;
use super::peers::PeersTab;
use super::slice::Slice;
use super::tabs::{self, Hint, Palette, TabBar};
use crate::lines;
use crate::node::{Door, LocalTracker};
use crate::tables::{FileLine, Following, PeerLine};
use swarms::SwarmsTab;

/// How often is drawn what changes with time.
const TICK: Duration = Duration::from_secs(1);

const NAMES: [&str; 5] = ["Tables", "Peers", "Swarms", "Claim", "Messages"];

const EVERYWHERE: [Hint; 4] = [
    ("1 to 5, ← →", "the tabs"),
    ("↑ ↓ PgUp PgDn", "scroll; also Home and End"),
    ("q, Esc", "end the tracker (asks)"),
    ("?", "this help; any key closes it"),
];

const TABLES: [Hint; 1] = [("Tab", "the other table")];

/// The tabs, in the order of [`NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tab {
    Tables,
    Peers,
    Swarms,
    Claim,
    Messages,
}

/// What Ctrl-Z is answered: a suspended tracker would be as good as none.
const NOT_SUSPENDED: &str = "Ctrl-Z would suspend the tracker of the whole group. To have the \
    terminal back: q, then thorp tracker --detach";

/// Shows the screen until the user leaves or the tracker ends.
pub async fn run(tracker: &mut LocalTracker, colour: bool) -> io::Result<()> {
    let mut terminal = FullScreen::open()?;
    let mut screen = Screen::new(tracker.door.clone(), colour);
    screen.has_page = tracker.has_page;
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
            event = terminal.event() => match event {
                Some(Event::Key(key)) => if screen.key(key) == Leave::Yes {
                    return Ok(());
                },
                // A new size is handled by drawing again.
                Some(_) => {}
                None => return Ok(()),
            },
            () = sleep(TICK), if screen.is_moving() => {}
        }
    }
}

/// What is shown, and which part of it.
#[derive(Debug)]
struct Screen {
    door: Door,
    palette: Palette,
    /// The last warning.
    notice: Option<String>,
    /// Whether the user is being asked if the tracker should end.
    is_asked: bool,
    is_helping: bool,
    tab: Tab,
    focus: Focus,
    peers: Slice<PeerLine>,
    files: Slice<FileLine>,
    present: PeersTab,
    swarms: SwarmsTab,
    claim: ClaimTab,
    messages: MessagesTab,
    /// What the tracker says of itself.
    node: Option<TrackerStatus>,
    /// Whether the tracker has a page.
    has_page: bool,
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
            palette: Palette { colour },
            notice: None,
            is_asked: false,
            is_helping: false,
            tab: Tab::Tables,
            focus: Focus::Peers,
            peers: Slice::default(),
            files: Slice::default(),
            present: PeersTab::default(),
            swarms: SwarmsTab::default(),
            claim: ClaimTab::default(),
            messages: MessagesTab::default(),
            node: None,
            has_page: false,
        }
    }

    /// Reads the rows around the visible ones. Returns whether the tracker still runs.
    async fn look(&mut self, viewer: &Viewer, width: u16, height: u16) -> bool {
        let asks = self.asks(width, height);
        let Some(pages) = viewer.pages(asks).await else {
            return false;
        };
        self.take(pages);
        if self.tab == Tab::Peers {
            let Some([page]) = viewer.pages([PeersTab::ask()]).await else {
                return false;
            };
            self.present.take(page);
        }
        if self.tab == Tab::Swarms {
            let Some([page]) = viewer.pages([SwarmsTab::ask()]).await else {
                return false;
            };
            self.swarms.take(page);
        }
        true
    }

    /// Whether what is shown changes with time.
    fn is_moving(&self) -> bool {
        matches!(self.tab, Tab::Swarms | Tab::Claim)
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
        if let Some(SnapshotRow::Tracker(status)) = node.rows.into_iter().next() {
            self.claim = ClaimTab::of_tracker(&status);
            self.swarms.see(&status);
            self.node = Some(status);
        }
    }

    fn notice(&mut self, notice: &Notice) {
        let text = lines::notice(notice);
        self.messages.add(&text);
        self.notice = Some(text.replace('\n', " "));
    }

    fn key(&mut self, key: KeyEvent) -> Leave {
        if key.kind == KeyEventKind::Release {
            return Leave::No;
        }
        let is_interrupt = tabs::is_interrupt(key);
        if std::mem::take(&mut self.is_asked) {
            let is_yes = matches!(key.code, KeyCode::Char('y' | 'Y'));
            return if is_yes || is_interrupt {
                Leave::Yes
            } else {
                Leave::No
            };
        }
        let is_tab = matches!(key.code, KeyCode::Tab | KeyCode::BackTab);
        match key.code {
            _ if is_interrupt => self.is_asked = true,
            _ if tabs::is_suspend(key) => self.notice = Some(NOT_SUSPENDED.into()),
            _ if std::mem::take(&mut self.is_helping) => {}
            KeyCode::Char('?') => self.is_helping = true,
            KeyCode::Char('q') | KeyCode::Esc => self.is_asked = true,
            // Of the tables, Tab leads to the other one.
            _ if !(is_tab && self.tab == Tab::Tables)
                && let Some(target) = self.bar().target(key) =>
            {
                self.tab = match target {
                    0 => Tab::Tables,
                    1 => Tab::Peers,
                    2 => Tab::Swarms,
                    3 => Tab::Claim,
                    _ => Tab::Messages,
                };
            }
            code => match self.tab {
                Tab::Tables => self.key_of_tables(code),
                Tab::Peers => self.present.on_key(code),
                Tab::Messages => self.messages.on_key(code),
                Tab::Swarms | Tab::Claim => {}
            },
        }
        Leave::No
    }

    fn bar(&self) -> TabBar<'static> {
        TabBar {
            names: &NAMES,
            active: match self.tab {
                Tab::Tables => 0,
                Tab::Peers => 1,
                Tab::Swarms => 2,
                Tab::Claim => 3,
                Tab::Messages => 4,
            },
            unseen: self.messages.unseen(),
        }
    }

    fn key_of_tables(&mut self, code: KeyCode) {
        let scroll = match self.focus {
            Focus::Peers => &mut self.peers.scroll,
            Focus::Files => &mut self.files.scroll,
        };
        // The end is found while drawing, when it is known how much fits.
        match code {
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
    }
}

#[cfg(test)]
mod tests;
