//! How the screen looks: header, the two tables, the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use thorp_node::api::{TrackedFile, TrackedPeer};

use super::fit::{self, clip, columns};
use super::{Focus, Screen, Scroll};
use crate::{lines, table, words};
use thorp_node::printable::printable;

/// The most lines of one row.
const ROW_LINES: usize = 3;
/// Borders and the head of a table.
const FRAME_LINES: u16 = 3;
/// A table with room for one row.
const ONE_ROW: u16 = FRAME_LINES + 1;
/// An IPv4 address.
const ADDRESS: usize = 15;
/// Between two columns.
const GAP: u16 = 2;

const KEYS: &str = "Tab other table   ↑ ↓ PgUp PgDn Home End scroll   q leave";

impl Screen {
    /// Draws everything, and settles where the tables are scrolled to.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        // Where there is hardly room for a row, it is worth more than the hints.
        let hints = u16::from(area.height > 3 + FRAME_LINES);
        let [head, hint, body, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(hints),
            Constraint::Fill(1),
            Constraint::Length(hints),
        ])
        .areas(area);
        let width = usize::from(area.width);
        frame.render_widget(
            Paragraph::new(clip(&self.title(), width)).style(bold()),
            head,
        );
        let hint_text = self.hint();
        frame.render_widget(Paragraph::new(clip(&hint_text, width)), hint);
        frame.render_widget(Paragraph::new(clip(KEYS, width)).style(self.dim()), foot);

        if body.height < 2 * ONE_ROW {
            match self.focus {
                Focus::Peers => self.draw_peers(frame, body),
                Focus::Files => self.draw_files(frame, body),
            }
            return;
        }
        let peers = Peers::new(body.width, self);
        let files = Files::new(body.width, self);
        let (limit, lines) = (body.height, ROW_LINES);
        let (upper, lower) = split(
            body,
            height(&self.view.peers, limit, |peer| peers.row(peer, lines).1),
            height(&self.view.files, limit, |file| files.row(file, lines).1),
        );
        self.draw_peers(frame, upper);
        self.draw_files(frame, lower);
    }

    fn draw_peers(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let peers = Peers::new(area.width, self);
        let row = |peer: &_, lines| peers.row(peer, lines);
        let (rows, scroll) = window(&self.view.peers, area, self.peers, row);
        let total = self.view.peers.len() as u64;
        let widget = Table::new(rows, peers.widths())
            .header(head_row(&table::PEERS_HEAD))
            .column_spacing(GAP)
            .block(self.block((table::PEERS, Focus::Peers), area.width, scroll, total));
        frame.render_widget(widget, area);
        self.peers = scroll;
        if self.view.peers.is_empty() {
            let width = area.width.saturating_sub(2);
            let first_row = Rect::new(area.x + 1, area.y + 2, width, 1).intersection(area);
            frame.render_widget(Paragraph::new(words::WAITING), first_row);
        }
    }

    fn draw_files(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let files = Files::new(area.width, self);
        let row = |file: &_, lines| files.row(file, lines);
        let (rows, scroll) = window(&self.view.files, area, self.files, row);
        let widget = Table::new(rows, files.widths())
            .header(head_row(&table::FILES_HEAD))
            .column_spacing(GAP)
            .block(self.block(
                (table::FILES, Focus::Files),
                area.width,
                scroll,
                self.view.files_total,
            ));
        frame.render_widget(widget, area);
        self.files = scroll;
    }

    fn title(&self) -> String {
        let group = if self.door.open {
            "open group"
        } else {
            "closed group"
        };
        let counts = table::counts(&self.view);
        format!(
            "thorp tracker  {group}  {}  {counts}",
            printable(&self.door.tracker)
        )
    }

    fn hint(&self) -> String {
        match &self.notice {
            Some(notice) => notice.clone(),
            None => lines::hint(&self.door),
        }
    }

    fn block(&self, table: (&str, Focus), width: u16, at: Scroll, total: u64) -> Block<'static> {
        let (title, focus) = table;
        let mut block = Block::bordered().title(format!(" {title} "));
        if self.focus == focus {
            block = block.border_style(self.accent());
        }
        if at.shown > 0 && (at.shown as u64) < total {
            let text = format!(" {}-{} of {total} ", at.first + 1, at.first + at.shown);
            // Half of it would be another number.
            if columns(&text) + 2 <= usize::from(width) {
                block = block.title_bottom(Line::from(text).right_aligned());
            }
        }
        block
    }

    fn accent(&self) -> Style {
        if self.colour {
            Style::new().fg(Color::Cyan)
        } else {
            bold()
        }
    }

    fn dim(&self) -> Style {
        if self.colour {
            Style::new().fg(Color::DarkGray)
        } else {
            Style::new()
        }
    }
}

/// The columns of the List of Peers.
struct Peers {
    columns: [usize; 3],
}

impl Peers {
    fn new(width: u16, screen: &Screen) -> Self {
        let inner = usize::from(width).saturating_sub(2);
        let labels = screen.view.peers.iter().map(|peer| columns(&label(peer)));
        let first = labels.max().unwrap_or(0).max(ADDRESS).min(inner / 3);
        let rest = inner.saturating_sub(first + 2 * usize::from(GAP));
        // An address is worth more than the last file names.
        let neighbours = (rest * 2 / 5).max(ADDRESS.min(rest * 3 / 5));
        Self {
            columns: [first, rest - neighbours, neighbours],
        }
    }

    fn widths(&self) -> [Constraint; 3] {
        self.columns.map(length)
    }

    fn cells(&self, peer: &TrackedPeer, lines: usize) -> [Vec<String>; 3] {
        let [first, files, neighbours] = self.columns;
        [
            vec![clip(&label(peer), first)],
            fit::names(&peer.files, peer.files_total, files, lines),
            fit::names(
                &peer.neighbours,
                peer.neighbours.len() as u64,
                neighbours,
                lines,
            ),
        ]
    }

    fn row(&self, peer: &TrackedPeer, lines: usize) -> (Row<'static>, u16) {
        row(self.cells(peer, lines))
    }
}

/// The columns of the List of Files.
struct Files {
    columns: [usize; 2],
}

impl Files {
    fn new(width: u16, screen: &Screen) -> Self {
        let inner = usize::from(width).saturating_sub(2);
        let names = screen.view.files.iter();
        let longest = names.map(|file| columns(&table::file_name(file))).max();
        let first = longest.unwrap_or(0).max(ADDRESS).min(inner / 2);
        Self {
            columns: [first, inner.saturating_sub(first + usize::from(GAP))],
        }
    }

    fn widths(&self) -> [Constraint; 2] {
        self.columns.map(length)
    }

    fn row(&self, file: &TrackedFile, lines: usize) -> (Row<'static>, u16) {
        let [first, holders] = self.columns;
        row([
            vec![clip(&table::file_name(file), first)],
            fit::names(&file.holders, file.holders.len() as u64, holders, lines),
        ])
    }
}

/// `192.168.198.138`, with its human name where it has one.
fn label(peer: &TrackedPeer) -> String {
    let address = printable(&peer.address);
    match &peer.name {
        Some(name) => format!("{address} {}", printable(name)),
        None => address.to_string(),
    }
}

fn row<const N: usize>(cells: [Vec<String>; N]) -> (Row<'static>, u16) {
    let height = cells.iter().map(Vec::len).max().unwrap_or(1);
    let height = u16::try_from(height).unwrap_or(1);
    let cells = cells.map(|lines| Cell::from(lines.into_iter().map(Line::from).collect::<Text>()));
    (Row::new(cells).height(height), height)
}

/// The rows of `items` that fit `area`, beginning as far down as `scroll` wants
/// and the end allows.
fn window<T>(
    items: &[T],
    area: Rect,
    scroll: Scroll,
    row: impl Fn(&T, usize) -> (Row<'static>, u16),
) -> (Vec<Row<'static>>, Scroll) {
    let room = area.height.saturating_sub(FRAME_LINES);
    // A row that is higher than the table would not be shown at all.
    let row = |item: &T| row(item, ROW_LINES.min(usize::from(room)));
    // As many rows as fit from the end are the furthest there is to scroll.
    let mut last = items.len();
    let mut used = 0;
    while last > 0 {
        used += row(&items[last - 1]).1;
        if used > room {
            break;
        }
        last -= 1;
    }
    let first = scroll.first.min(last.min(items.len().saturating_sub(1)));
    let mut rows = Vec::new();
    let mut used = 0;
    for item in &items[first..] {
        let (row, height) = row(item);
        used += height;
        if used > room {
            break;
        }
        rows.push(row);
    }
    let shown = rows.len();
    (rows, Scroll { first, shown })
}

/// Lines that a table of `items` wants, at most `limit`.
fn height<T>(items: &[T], limit: u16, row: impl Fn(&T) -> u16) -> u16 {
    let mut lines = FRAME_LINES;
    for item in items {
        lines = lines.saturating_add(row(item));
        if lines >= limit {
            return limit;
        }
    }
    // Room for a row, even where there is none yet.
    lines.max(ONE_ROW)
}

/// Room for the two tables: what the peers want and the rest for the files; or,
/// where that is too much, half each, and what one leaves is the other's.
fn split(body: Rect, peers: u16, files: u16) -> (Rect, Rect) {
    let half = body.height / 2;
    let upper = if peers.saturating_add(files) <= body.height || peers <= half {
        peers
    } else {
        half.max(body.height.saturating_sub(files))
    };
    let [upper, lower] =
        Layout::vertical([Constraint::Length(upper), Constraint::Fill(1)]).areas(body);
    (upper, lower)
}

fn head_row(names: &[&'static str]) -> Row<'static> {
    Row::new(names.iter().map(|name| Cell::from(*name))).style(bold())
}

fn length(width: usize) -> Constraint {
    Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX))
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}
