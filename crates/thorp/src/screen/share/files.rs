//! The tab of files: folders to walk through, a filter, and what is to be fetched.
//!
//! Shown is what this peer and its neighbours have, as it changes; or, once the user has asked for
//! it, what all peers have, as it was then.

use std::task::{Context, Poll};
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use thorp_node::api::{Event, Folders, Get, Wait};
use thorp_node::printable::printable;
use thorp_node::snapshot::Viewer;
use tokio::time::Instant;

use super::all::AllFiles;
use super::folder::{FolderItem, FolderReader, FoundFile, Items, MOST, among};
use super::gets::SendCommand;
use crate::screen::list::List;
use crate::screen::tabs::{Hint, Palette, bold, row};
use crate::units;
use crate::wrap::on_screen;

/// How long is read at once before keys are looked at.
const SLICE: Duration = Duration::from_millis(25);
/// How often what has changed is read again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long to wait for a node that has searched as much as it may.
const BUSY: Duration = Duration::from_millis(250);
/// The least width with room for times.
const WITH_TIMES: usize = 76;

pub const HINTS: [Hint; 6] = [
    ("Enter", "open a folder; fetch a file"),
    ("Backspace", "out of the folder"),
    ("g", "fetch the file, or the whole folder"),
    ("/", "names with these words, from here down"),
    ("a", "ask for all peers' files; again: back"),
    ("Esc", "end the filter; out of the folder"),
];

/// What a key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilesWish {
    /// Nothing further.
    Nothing,
    /// Fetch this.
    Fetch(Box<Get>),
    /// Ask whether to fetch all of a folder.
    ConfirmFolder(Box<Get>),
    /// The key means nothing here.
    Unused,
}

/// What is shown of which files.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not a state"
)]
pub struct FilesTab {
    /// The folder, with a `/` at its end; empty at the top.
    folder: String,
    filter: String,
    is_typing: bool,
    items: Vec<FolderItem>,
    is_cut: bool,
    /// Whether the folder has been read at all.
    is_read: bool,
    list: List,
    reading: Option<FolderReader>,
    /// When the node may be asked again that was busy.
    busy_until: Option<Instant>,
    /// Whether something has changed since it was read.
    is_stale: bool,
    read_at: Option<Instant>,
    /// What all peers have, and whether that is shown.
    all: Option<AllFiles>,
    shows_all: bool,
}

impl Default for FilesTab {
    fn default() -> Self {
        Self {
            folder: String::new(),
            filter: String::new(),
            is_typing: false,
            items: Vec::new(),
            is_cut: false,
            is_read: false,
            list: List::default(),
            reading: None,
            busy_until: None,
            is_stale: true,
            read_at: None,
            all: None,
            shows_all: false,
        }
    }
}

impl FilesTab {
    /// Something has changed at the node.
    pub fn on_change(&mut self) {
        self.is_stale |= !self.shows_all;
    }

    /// Whether there is more to be read at once.
    pub fn is_reading(&self) -> bool {
        self.reading.is_some() && !self.is_busy()
    }

    /// Whether what is shown is to be read, or read again, in a while.
    pub fn is_stale(&self) -> bool {
        self.is_stale || self.reading.is_some()
    }

    fn is_busy(&self) -> bool {
        self.busy_until.is_some_and(|until| Instant::now() < until)
    }

    /// Reads on for a moment. Returns whether the node still runs.
    pub async fn look(&mut self, viewer: &Viewer) -> bool {
        let is_due = self.read_at.is_none_or(|at| at.elapsed() >= AGAIN);
        if self.reading.is_none() && self.is_stale && is_due {
            self.is_stale = false;
            if self.shows_all {
                let rows = self.all.as_ref().map_or(&[][..], AllFiles::rows);
                let found = among(rows, &self.folder, &self.filter);
                self.show(found);
            } else {
                self.reading = Some(FolderReader::new(&self.folder, &self.filter));
            }
        }
        let begun = Instant::now();
        while !self.is_busy()
            && let Some(mut reader) = self.reading.take()
        {
            if !reader.is_over {
                let Some([page]) = viewer.pages([reader.ask()]).await else {
                    return false;
                };
                self.busy_until = page.busy.then(|| Instant::now() + BUSY);
                reader.take(page);
            }
            if reader.is_over {
                self.show(reader.finish());
                break;
            }
            self.reading = Some(reader);
            if begun.elapsed() >= SLICE {
                break;
            }
        }
        true
    }

    fn show(&mut self, found: Items) {
        let chosen = self.chosen().map(|item| item.path().to_owned());
        (self.is_cut, self.is_read) = (found.are_cut, true);
        self.read_at = Some(Instant::now());
        self.items = found.sorted();
        // The choice follows a name, not a number.
        let is_chosen = |item: &FolderItem| Some(item.path()) == chosen.as_deref();
        if let Some(at) = self.items.iter().position(is_chosen) {
            self.list.choose(at);
        }
    }

    /// Reads from the beginning, at once.
    fn restart(&mut self) {
        (self.reading, self.read_at, self.busy_until) = (None, None, None);
        self.is_stale = true;
    }

    /// Returns the next events of the answer about all peers' files.
    pub fn poll_events(&mut self, context: &mut Context<'_>) -> Poll<Vec<Event>> {
        let all = self.all.as_mut();
        all.map_or(Poll::Pending, |all| all.poll_events(context))
    }

    /// Handles these events; without one the answer has ended too early.
    pub fn on_events(&mut self, events: Vec<Event>) {
        let Some(all) = &mut self.all else { return };
        all.on_events(events);
        if !all.is_asking() && self.shows_all {
            self.restart();
        }
    }

    fn ask_all(&mut self, request: &SendCommand) -> FilesWish {
        self.shows_all = !self.shows_all;
        if self.shows_all && !self.all.as_ref().is_some_and(AllFiles::is_fresh) {
            self.all = Some(AllFiles::asked(request));
        }
        (self.items, self.is_read) = (Vec::new(), false);
        self.restart();
        FilesWish::Nothing
    }

    /// Returns what is chosen.
    pub fn chosen(&self) -> Option<&FolderItem> {
        self.items.get(self.list.chosen()).or(self.items.last())
    }

    /// Whether keys are letters of the filter.
    pub fn is_typing(&self) -> bool {
        self.is_typing
    }

    pub fn on_key(&mut self, key: KeyEvent, request: &SendCommand) -> FilesWish {
        if self.is_typing {
            return self.on_letter(key.code);
        }
        if self.list.on_key(key.code, self.items.len()) {
            return FilesWish::Nothing;
        }
        match key.code {
            KeyCode::Enter => match self.chosen().cloned() {
                Some(FolderItem::Folder(path)) => self.enter(path, None),
                Some(FolderItem::File(file)) => fetch(&file),
                None => FilesWish::Nothing,
            },
            KeyCode::Char('g') => match self.chosen() {
                Some(FolderItem::Folder(path)) => FilesWish::ConfirmFolder(Box::new(Get {
                    names: vec![path.clone()],
                    exact: true,
                    folders: Folders::All,
                    wait: Wait::Begun,
                    ..Get::default()
                })),
                Some(FolderItem::File(file)) => fetch(file),
                None => FilesWish::Nothing,
            },
            KeyCode::Backspace => self.out(),
            KeyCode::Char('/') => {
                self.is_typing = true;
                FilesWish::Nothing
            }
            KeyCode::Char('a') => self.ask_all(request),
            KeyCode::Esc if !self.filter.is_empty() => {
                self.filter.clear();
                self.restart();
                FilesWish::Nothing
            }
            KeyCode::Esc if !self.folder.is_empty() => self.out(),
            _ => FilesWish::Unused,
        }
    }

    fn on_letter(&mut self, key: KeyCode) -> FilesWish {
        match key {
            KeyCode::Enter | KeyCode::Down => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
                self.restart();
            }
            KeyCode::Backspace => {
                if self.filter.pop().is_none() {
                    self.is_typing = false;
                }
                self.restart();
            }
            KeyCode::Char(letter) => {
                self.filter.push(letter);
                self.list.choose(0);
                self.restart();
            }
            _ => {}
        }
        FilesWish::Nothing
    }

    /// Goes out of the folder, and chooses it.
    fn out(&mut self) -> FilesWish {
        let Some(inner) = self.folder.strip_suffix('/') else {
            return FilesWish::Nothing;
        };
        let outer = inner.rsplit_once('/').map_or("", |(outer, _)| outer);
        let outer = if outer.is_empty() {
            String::new()
        } else {
            format!("{outer}/")
        };
        let inner = std::mem::take(&mut self.folder);
        self.enter(outer, Some(inner))
    }

    fn enter(&mut self, folder: String, chosen: Option<String>) -> FilesWish {
        self.folder = folder;
        self.filter.clear();
        self.list.choose(0);
        // Until it has been read, it is as if that were all there is.
        self.items = chosen.into_iter().map(FolderItem::Folder).collect();
        self.is_read = false;
        self.restart();
        FilesWish::Nothing
    }

    /// Draws the files. Those that `me` has are marked.
    pub fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, me: Option<&str>, palette: Palette) {
        let [head, body] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
        let width = usize::from(area.width);
        frame.render_widget(Paragraph::new(self.head(width)).style(bold()), head);
        if self.items.is_empty() {
            let nothing = self.nothing();
            let nothing = on_screen(nothing, width, "", "");
            frame.render_widget(Paragraph::new(nothing).style(palette.dim()), body);
            return;
        }
        let visible = self
            .list
            .visible(self.items.len(), usize::from(body.height));
        let chosen = self.list.chosen();
        let lines = visible.map(|at| {
            let text = self.line(&self.items[at], me, width);
            Line::styled(text, Palette::row(at == chosen))
        });
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), body);
    }

    fn head(&self, width: usize) -> String {
        let whose = if self.shows_all {
            "Files of all peers"
        } else {
            "Files here and at neighbours"
        };
        let mut head = match &*self.folder {
            "" => whose.to_owned(),
            folder => printable(folder).to_string(),
        };
        if self.is_typing || !self.filter.is_empty() {
            let cursor = if self.is_typing { "▏" } else { "" };
            head = format!("{head}  / {}{cursor}", printable(&self.filter));
        }
        let count = if self.is_cut {
            format!("the first {MOST}")
        } else {
            self.items.len().to_string()
        };
        let count = match (&self.all, self.shows_all) {
            (Some(all), true) => format!("{count}{}", all.remark()),
            _ if self.is_reading() && !self.is_read => "reading".into(),
            _ if self.folder.is_empty() && self.filter.is_empty() && !self.is_typing => {
                format!("{count}, a asks all peers")
            }
            _ => count,
        };
        row(
            &head,
            &[(count.clone(), crate::fit::columns(&count))],
            width,
        )
    }

    fn nothing(&self) -> &'static str {
        let is_asking = self.shows_all && self.all.as_ref().is_some_and(AllFiles::is_asking);
        if is_asking {
            "Asking..."
        } else if !self.is_read {
            "Reading..."
        } else if !self.filter.is_empty() {
            "No name has these words."
        } else if self.shows_all || !self.folder.is_empty() {
            "No files."
        } else {
            "No files yet. a asks for the files of all peers."
        }
    }

    fn line(&self, item: &FolderItem, me: Option<&str>, width: usize) -> String {
        let time_width = if width >= WITH_TIMES { 16 } else { 0 };
        let inner = |path: &str| {
            let path = path.strip_prefix(&self.folder).unwrap_or(path);
            printable(path).to_string()
        };
        let (name, size, time, held) = match item {
            FolderItem::Folder(path) => (inner(path), String::new(), String::new(), String::new()),
            FolderItem::File(file) => {
                let is_here = me.is_some_and(|me| file.holders.iter().any(|id| id == me));
                let twin = if file.has_twin { " (several)" } else { "" };
                let held = match (is_here, file.holders_total) {
                    (true, 0 | 1) => "here".to_owned(),
                    (true, total) => format!("here +{}", total - 1),
                    (false, total) => units::count(total, "peer"),
                };
                let name = inner(&file.name) + twin;
                (
                    name,
                    units::size(file.length),
                    units::time(file.mtime),
                    held,
                )
            }
        };
        let mut cells = vec![(size, 10)];
        if time_width > 0 {
            cells.push((time, time_width));
        }
        cells.push((held, 9));
        row(&name, &cells, width)
    }
}

/// Fetches this very content, by its whole path. A member may call a file `**`.
fn fetch(file: &FoundFile) -> FilesWish {
    // A content without a root is identified by its holder.
    let from = match file.root {
        None => file.holders.first().cloned(),
        Some(_) => None,
    };
    FilesWish::Fetch(Box::new(Get {
        names: vec![file.name.clone()],
        exact: true,
        root: file.root.clone(),
        from,
        wait: Wait::Begun,
        ..Get::default()
    }))
}
