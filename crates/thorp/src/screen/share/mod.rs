//! The tabs of `share`, beside the menu, which is the first one.
//!
//! ```text
//! files      folders, a filter, what is to be fetched
//! all        what all peers have, once it was asked for
//! folder     reads a folder page by page
//! gets       fetches that were begun here, with their questions
//! transfers  what is on its way, and what has come
//! ```
//!
//! The menu is a conversation in lines, which stays in the terminal where it was: its tab is the
//! terminal without this screen. Owns which tab is shown and what keys mean; the terminal and the
//! loop are the menu's.

mod all;
mod files;
mod folder;
mod gets;
mod transfers;

use std::future::poll_fn;
use std::path::Path;
use std::task::Poll;

use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyEventKind};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Clear, Paragraph};
use thorp_node::api::{Event, Get, Status};
use thorp_node::snapshot::{Ask, Part, SnapshotRow, Viewer};

use super::claim::{self, ClaimTab};
use super::messages::{self, MessagesTab};
use super::peers::{self, PeersTab};
use super::tabs::{self, Areas, Hint, Palette, TabBar};
use crate::fit::{columns, middle};
use crate::quoting::quoted;
use crate::wrap::on_screen;
use crate::{units, words};
use files::{FilesTab, FilesWish};
use gets::Gets;
pub use gets::SendCommand;
use transfers::TransfersTab;

const NAMES: [&str; 6] = ["Menu", "Files", "Transfers", "Peers", "Claim", "Messages"];

const EVERYWHERE: [Hint; 5] = [
    ("1 to 6, ← →, Tab", "the tabs; 1 is the menu"),
    ("↑ ↓ PgUp PgDn", "move; also Home and End"),
    ("Esc", "back to the menu: this peer goes on"),
    ("q", "end sharing (asks)"),
    ("?", "this help; any key closes it"),
];

/// The tabs, in the order of [`NAMES`], without the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tab {
    Files,
    Transfers,
    Peers,
    Claim,
    Messages,
}

/// What the menu has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterKey {
    /// Nothing: the screen stays.
    Stay,
    /// Take the terminal back.
    ToMenu,
    /// The same, and suspend the program.
    Suspend,
    /// Say goodbye and end.
    Leave,
}

/// A question whose answer is a key.
#[derive(Debug)]
enum Asked {
    Leave,
    Folder(Box<Get>),
    Cancel(String),
}

/// News of commands that the screen has sent.
#[derive(Debug)]
pub struct ScreenNews(Which);

#[derive(Debug)]
enum Which {
    Get(usize, Option<Box<Event>>),
    Files(Vec<Event>),
}

/// What is shown, and what goes on behind it. It is kept while the menu has the terminal.
#[derive(Debug)]
pub struct Screen {
    palette: Palette,
    title: String,
    /// Asked before this peer ends.
    ends: &'static str,
    tab: Tab,
    is_helping: bool,
    asked: Option<Asked>,
    /// What has been typed as the answer to a fetch's question.
    typed: String,
    files: FilesTab,
    gets: Gets,
    transfers: TransfersTab,
    peers: PeersTab,
    claim: ClaimTab,
    messages: MessagesTab,
    node: Option<Status>,
}

impl Screen {
    pub fn new(directory: &Path, has_tracker: bool, colour: bool) -> Self {
        Self {
            palette: Palette { colour },
            title: words::escaped(directory),
            ends: if has_tracker {
                words::END_SHARING_AND_TRACKER
            } else {
                words::END_SHARING
            },
            tab: Tab::Files,
            is_helping: false,
            asked: None,
            typed: String::new(),
            files: FilesTab::default(),
            gets: Gets::default(),
            transfers: TransfersTab::default(),
            peers: PeersTab::default(),
            claim: ClaimTab::default(),
            messages: MessagesTab::default(),
            node: None,
        }
    }

    /// Keeps a message for its tab.
    pub fn tell(&mut self, text: &str) {
        self.messages.add(text);
    }

    /// Something has changed at the node.
    pub fn on_change(&mut self) {
        self.files.on_change();
    }

    /// Whether there is more to be read at once.
    pub fn is_reading(&self) -> bool {
        self.tab == Tab::Files && self.files.is_reading()
    }

    /// Whether what is shown changes with time.
    pub fn is_moving(&self) -> bool {
        match self.tab {
            Tab::Files => self.files.is_stale(),
            Tab::Transfers | Tab::Claim => true,
            Tab::Peers | Tab::Messages => false,
        }
    }

    /// Reads what the visible tab shows. Returns whether the node still runs.
    pub async fn look(&mut self, viewer: &Viewer) -> bool {
        let node = Ask::first(Part::Node, 1);
        let [transfers, uploads] = TransfersTab::asks();
        let asks = [node, PeersTab::ask(), transfers, uploads];
        let Some([node, peers, transfers, uploads]) = viewer.pages(asks).await else {
            return false;
        };
        if let Some(SnapshotRow::Node(status)) = node.rows.into_iter().next() {
            self.claim = ClaimTab::of_peer(&status);
            self.transfers.see(&status);
            self.node = Some(status);
        }
        self.peers.take(peers);
        self.transfers.take(transfers, uploads);
        self.tab != Tab::Files || self.files.look(viewer).await
    }

    /// Waits for news of what was asked for here.
    pub async fn news(&mut self) -> ScreenNews {
        poll_fn(|context| {
            if let Poll::Ready((at, event)) = self.gets.poll_event(context) {
                return Poll::Ready(ScreenNews(Which::Get(at, event.map(Box::new))));
            }
            let events = self.files.poll_events(context);
            events.map(|events| ScreenNews(Which::Files(events)))
        })
        .await
    }

    /// Handles news. Returns what to tell the user.
    pub fn on_news(&mut self, news: ScreenNews, request: &SendCommand) -> Vec<String> {
        match news.0 {
            Which::Get(at, event) => self.gets.on_event(at, event.map(|event| *event), request),
            Which::Files(events) => {
                self.files.on_events(events);
                Vec::new()
            }
        }
    }

    /// Returns the fetch that waits for an answer, for a user who does not see this screen.
    pub fn waiting(&self) -> Option<String> {
        self.gets.question().map(|(what, _)| what.to_owned())
    }

    /// Handles a key, or a new size, which drawing again is enough for.
    pub fn on_event(&mut self, event: &TerminalEvent, request: &SendCommand) -> AfterKey {
        match event {
            TerminalEvent::Key(key) if key.kind != KeyEventKind::Release => {
                self.on_key(*key, request)
            }
            _ => AfterKey::Stay,
        }
    }

    fn on_key(&mut self, key: KeyEvent, request: &SendCommand) -> AfterKey {
        if tabs::is_suspend(key) {
            return AfterKey::Suspend;
        }
        if let Some(asked) = self.asked.take() {
            return self.on_answer(asked, key, request);
        }
        if tabs::is_interrupt(key) {
            self.asked = Some(Asked::Leave);
            return AfterKey::Stay;
        }
        // Elsewhere a key is not meant as an answer.
        if self.tab == Tab::Transfers && self.gets.question().is_some() {
            self.on_typed(key.code, request);
            return AfterKey::Stay;
        }
        if std::mem::take(&mut self.is_helping) {
            return AfterKey::Stay;
        }
        let is_typing = self.tab == Tab::Files && self.files.is_typing();
        if !is_typing {
            if let Some(target) = self.bar().target(key) {
                return self.switch(target);
            }
            match key.code {
                KeyCode::Char('?') => {
                    self.is_helping = true;
                    return AfterKey::Stay;
                }
                KeyCode::Char('q') => {
                    self.asked = Some(Asked::Leave);
                    return AfterKey::Stay;
                }
                _ => {}
            }
        }
        self.on_key_of_tab(key, request)
    }

    fn on_key_of_tab(&mut self, key: KeyEvent, request: &SendCommand) -> AfterKey {
        match self.tab {
            Tab::Files => match self.files.on_key(key, request) {
                FilesWish::Fetch(get) => self.begin(*get, request),
                FilesWish::ConfirmFolder(get) => self.asked = Some(Asked::Folder(get)),
                FilesWish::Unused if key.code == KeyCode::Esc => return AfterKey::ToMenu,
                FilesWish::Nothing | FilesWish::Unused => {}
            },
            _ if key.code == KeyCode::Esc => return AfterKey::ToMenu,
            Tab::Transfers if key.code == KeyCode::Char('x') => {
                let chosen = self.transfers.chosen(&self.gets);
                self.asked = chosen.map(|get| Asked::Cancel(get.what.clone()));
            }
            Tab::Transfers => self.transfers.on_key(key.code, &self.gets),
            Tab::Peers => self.peers.on_key(key.code),
            Tab::Messages => self.messages.on_key(key.code),
            Tab::Claim => {}
        }
        AfterKey::Stay
    }

    fn on_answer(&mut self, asked: Asked, key: KeyEvent, request: &SendCommand) -> AfterKey {
        let is_yes = matches!(key.code, KeyCode::Char('y' | 'Y'));
        match asked {
            Asked::Leave if is_yes || tabs::is_interrupt(key) => return AfterKey::Leave,
            Asked::Folder(get) if is_yes => self.begin(*get, request),
            Asked::Cancel(what) if is_yes => self.gets.cancel(&what),
            Asked::Leave | Asked::Folder(_) | Asked::Cancel(_) => {}
        }
        AfterKey::Stay
    }

    fn on_typed(&mut self, key: KeyCode, request: &SendCommand) {
        match key {
            KeyCode::Char(letter) => self.typed.push(letter),
            KeyCode::Backspace => {
                self.typed.pop();
            }
            KeyCode::Enter | KeyCode::Esc => {
                let typed = std::mem::take(&mut self.typed);
                // An empty line cancels.
                let line = if key == KeyCode::Esc { "" } else { &typed };
                if let Some(told) = self.gets.on_line(line, request) {
                    self.tell(&told);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, get: Get, request: &SendCommand) {
        let told = self.gets.begin(get, request);
        if let Some(told) = told {
            self.tell(&told);
        } else {
            self.tab = Tab::Transfers;
        }
    }

    fn switch(&mut self, target: usize) -> AfterKey {
        self.tab = match target {
            0 => return AfterKey::ToMenu,
            1 => Tab::Files,
            2 => Tab::Transfers,
            3 => Tab::Peers,
            4 => Tab::Claim,
            _ => Tab::Messages,
        };
        AfterKey::Stay
    }

    fn bar(&self) -> TabBar<'static> {
        TabBar {
            names: &NAMES,
            active: match self.tab {
                Tab::Files => 1,
                Tab::Transfers => 2,
                Tab::Peers => 3,
                Tab::Claim => 4,
                Tab::Messages => 5,
            },
            unseen: self.messages.unseen(),
        }
    }

    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let news = self.messages.news().filter(|_| self.tab != Tab::Messages);
        let areas @ Areas { title, body, .. } = tabs::areas(frame.area(), news.is_some());
        tabs::news(frame, areas, news, self.palette);
        tabs::title(frame, title, &self.first_line(usize::from(title.width)));
        if self.is_helping {
            tabs::help(frame, body, self.hints(), &EVERYWHERE);
        } else {
            self.draw_tab(frame, body);
            if self.tab == Tab::Transfers {
                self.draw_question(frame, body);
            }
        }
        self.bar().draw(frame, areas, self.palette);
    }

    fn draw_tab(&mut self, frame: &mut Frame<'_>, body: Rect) {
        let palette = self.palette;
        match self.tab {
            Tab::Files => {
                let me = self.node.as_ref().map(|node| &*node.id);
                self.files.draw(frame, body, me, palette);
            }
            Tab::Transfers => self.transfers.draw(frame, body, &self.gets, palette),
            Tab::Peers => self.peers.draw(frame, body, NO_NEIGHBOURS, palette),
            Tab::Claim => self.claim.draw(frame, body, palette),
            Tab::Messages => self.messages.draw(frame, body, palette),
        }
    }

    /// Draws the question of a fetch over the lower part of the tab.
    fn draw_question(&self, frame: &mut Frame<'_>, body: Rect) {
        let Some((what, question)) = self.gets.question() else {
            return;
        };
        let width = usize::from(body.width);
        let rule = format!("── {} ", quoted(what));
        let text = on_screen(question, width, "", "");
        let mut lines = vec![Line::styled(
            crate::fit::clip(&format!("{rule:─<width$}"), width),
            self.palette.accent(),
        )];
        lines.extend(text.lines().map(|line| Line::from(line.to_owned())));
        lines.push(Line::from(format!("> {}▏", self.typed)));
        let height = u16::try_from(lines.len())
            .unwrap_or(u16::MAX)
            .min(body.height);
        let [_, lower] =
            Layout::vertical([Constraint::Fill(1), Constraint::Length(height)]).areas(body);
        frame.render_widget(Clear, lower);
        // Where it does not fit, the line that is typed is what must be seen.
        let hidden = lines.len().saturating_sub(usize::from(height));
        frame.render_widget(Paragraph::new(lines.split_off(hidden)), lower);
    }

    fn first_line(&self, width: usize) -> String {
        match &self.asked {
            Some(Asked::Leave) => self.ends.to_owned(),
            Some(Asked::Folder(get)) => words::fetch_folder(&get.names.join(" ")),
            Some(Asked::Cancel(what)) => words::cancel_fetch(what),
            None => match self.gets.question() {
                Some((what, _)) if self.tab != Tab::Transfers => words::asked_in_transfers(what),
                _ => self.status_line(width),
            },
        }
    }

    /// Returns what the peer is doing; of a short line the last facts are left out.
    fn status_line(&self, width: usize) -> String {
        let begun = "thorp share  ";
        let room = width.saturating_sub(begun.len());
        let mut line = format!("{begun}{}", middle(&self.title, room));
        let Some(node) = &self.node else { return line };
        let tracker = if node.tracker_connected {
            "tracker there"
        } else {
            "tracker out of reach"
        };
        let hashing = match node.offered.unhashed {
            0 => None,
            files => Some(format!("{} to be hashed", units::count(files, "file"))),
        };
        let facts = [
            Some(units::count(node.neighbours, "neighbour")),
            Some(tracker.to_owned()),
            Some(units::count(node.offered.files, "file")),
            hashing,
        ];
        for fact in facts.into_iter().flatten() {
            let longer = format!("{line}  {fact}");
            if columns(&longer) > width {
                break;
            }
            line = longer;
        }
        line
    }

    fn hints(&self) -> &'static [Hint] {
        match self.tab {
            Tab::Files => &files::HINTS,
            Tab::Transfers => &transfers::HINTS,
            Tab::Peers => &peers::HINTS,
            Tab::Claim => &claim::HINTS,
            Tab::Messages => &messages::HINTS,
        }
    }
}

const NO_NEIGHBOURS: &str =
    "No neighbours yet: peers become neighbours when one fetches from the other.";

#[cfg(test)]
mod tests;
