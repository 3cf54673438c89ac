//! The appearance of the screen: header, the two tables, and the frame of the other tabs.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};

use super::{EVERYWHERE, Focus, Screen, TABLES, Tab};
use crate::fit::{self, clip, columns, middle};
use crate::screen::slice::{Scroll, Slice};
use crate::screen::tabs::{self, Areas, Hint, bold};
use crate::screen::{claim, messages, peers};
use crate::tables::{self, Cell as Content, Column, Width};
use crate::{lines, listing, table, words};
use thorp_node::printable::printable;

/// The most lines of one row.
pub(super) const ROW_LINES: usize = 3;
/// The lines of the borders and the head of a table.
const FRAME_LINES: u16 = 3;
/// The height of a table with room for one row.
const ONE_ROW: u16 = FRAME_LINES + 1;
/// The width of an IPv4 address.
const ADDRESS: usize = 15;
/// The space between two columns.
const GAP: u16 = 2;

impl Screen {
    /// Draws everything, and determines how far the tables are scrolled.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        // Among the tables the hint's line has it.
        let is_elsewhere = !matches!(self.tab, Tab::Tables | Tab::Messages);
        let news = self.messages.news().filter(|_| is_elsewhere);
        let areas @ Areas { title, body, .. } = tabs::areas(frame.area(), news.is_some());
        tabs::news(frame, areas, news, self.palette);
        let text = if self.is_asked {
            words::end_tracker(self.peers.total)
        } else {
            self.title(usize::from(title.width))
        };
        tabs::title(frame, title, &text);
        if self.is_helping {
            tabs::help(frame, body, self.hints(), &EVERYWHERE);
        } else {
            self.draw_tab(frame, body);
        }
        self.bar().draw(frame, areas, self.palette);
    }

    fn draw_tab(&mut self, frame: &mut Frame<'_>, body: Rect) {
        let palette = self.palette;
        match self.tab {
            Tab::Tables => self.draw_tables(frame, body),
            Tab::Peers => self.present.draw(frame, body, words::WAITING, palette),
            Tab::Swarms => self.swarms.draw(frame, body),
            Tab::Claim => self.claim.draw(frame, body, palette),
            Tab::Messages => self.messages.draw(frame, body, palette),
        }
    }

    fn hints(&self) -> &'static [Hint] {
        match self.tab {
            Tab::Tables => &TABLES,
            Tab::Peers => &peers::HINTS,
            Tab::Claim | Tab::Swarms => &claim::HINTS,
            Tab::Messages => &messages::HINTS,
        }
    }

    fn draw_tables(&mut self, frame: &mut Frame<'_>, body: Rect) {
        // If there is hardly room for a row, the hint gives way to it.
        let hints = u16::from(body.height > 2 + FRAME_LINES);
        let [hint, body] =
            Layout::vertical([Constraint::Length(hints), Constraint::Fill(1)]).areas(body);
        let hint_text = self.hint_within(usize::from(hint.width));
        frame.render_widget(Paragraph::new(hint_text), hint);

        if body.height < 2 * ONE_ROW {
            match self.focus {
                Focus::Peers => self.draw_peers(frame, body),
                Focus::Files => self.draw_files(frame, body),
            }
            return;
        }
        let limit = body.height;
        let (upper, lower) = split(
            body,
            wanted(&mut self.peers, &tables::PEERS, body.width, limit),
            wanted(&mut self.files, &tables::FILES, body.width, limit),
        );
        self.draw_peers(frame, upper);
        self.draw_files(frame, lower);
    }

    fn draw_peers(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let widget = table_of(&mut self.peers, &tables::PEERS, area);
        let (scroll, total) = (self.peers.scroll, self.peers.total);
        let block = self.block((table::PEERS, Focus::Peers), area.width, scroll, total);
        frame.render_widget(widget.block(block), area);
        if self.peers.rows.is_empty() {
            let width = area.width.saturating_sub(2);
            let first_row = Rect::new(area.x + 1, area.y + 2, width, 1).intersection(area);
            frame.render_widget(Paragraph::new(words::WAITING), first_row);
        }
    }

    fn draw_files(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let widget = table_of(&mut self.files, &tables::FILES, area);
        let (scroll, total) = (self.files.scroll, self.files.total);
        let block = self.block((table::FILES, Focus::Files), area.width, scroll, total);
        frame.render_widget(widget.block(block), area);
    }

    /// Returns the first line. What it says of lookups gives way where the line is short.
    pub(super) fn title(&self, width: usize) -> String {
        let group = if self.door.open {
            "open group"
        } else {
            "closed group"
        };
        let counts = table::counts(self.peers.total, self.files.total);
        let mut title = format!(
            "thorp tracker  {group}  {}  {counts}",
            printable(&self.door.tracker)
        );
        let node = self.node.as_ref();
        if let Some(node) = node.filter(|node| node.bittorrent.is_on()) {
            let more = format!("{title}  {}", listing::swarms(node.swarms));
            if columns(&more) <= width {
                title = more;
            }
        }
        let spared = node.and_then(|node| node.counts.spared.last_hour.percent_spared());
        let Some(percent) = spared else {
            return title;
        };
        let forms = ["% of lookups this hour", "% of lookups", "%"];
        let mut forms = forms
            .map(|of| format!("{title}  spared {percent}{of}"))
            .into_iter();
        let fitting = forms.find(|form| columns(form) <= width);
        fitting.unwrap_or(title)
    }

    /// Returns the hint. What it says of the page gives way where the line is short.
    fn hint_within(&self, width: usize) -> String {
        let hint = self.hint();
        let more = format!("{hint}   {}", words::page_opens(&self.door.at));
        if self.has_page && columns(&more) <= width {
            more
        } else {
            clip(&hint, width)
        }
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
            block = block.border_style(self.palette.accent());
        }
        if at.shown > 0 && (at.shown as u64) < total {
            let first = at.start + at.first as u64;
            let text = format!(" {}-{} of {total} ", first + 1, first + at.shown as u64);
            // A cut number would read as another number.
            if columns(&text) + 2 <= usize::from(width) {
                block = block.title_bottom(Line::from(text).right_aligned());
            }
        }
        block
    }
}

/// Returns the part of a table that fits into `area`, beginning at the row it is scrolled to or
/// earlier, if fewer rows are left than fit.
fn table_of<R>(slice: &mut Slice<R>, columns: &[Column<R>], area: Rect) -> Table<'static> {
    let widths = widths(slice, columns, area.width);
    let room = area.height.saturating_sub(FRAME_LINES);
    // A row that is higher than the table would not be shown at all.
    let lines = ROW_LINES.min(usize::from(room));
    let row = |item: &R| row(item, columns, &widths, lines);
    // The table is scrolled at most so far that its last rows fill it.
    let items = &slice.rows;
    let mut last = items.len();
    let mut used = 0;
    while last > 0 {
        used += row(&items[last - 1]).1;
        if used > room {
            break;
        }
        last -= 1;
    }
    let first = slice
        .scroll
        .first
        .min(last.min(items.len().saturating_sub(1)));
    let mut rows = Vec::new();
    let mut used = 0;
    for item in &items[first..] {
        // Of the last row there is as much as there is room for.
        let left = usize::from(room.saturating_sub(used));
        if left == 0 {
            break;
        }
        let (row, height) = self::row(item, columns, &widths, lines.min(left));
        used += height;
        rows.push(row);
    }
    slice.settle(first, rows.len());
    Table::new(rows, widths.iter().map(|width| length(*width)))
        .header(head_row(columns))
        .column_spacing(GAP)
}

/// Returns the width of each column in a table of this width.
fn widths<R>(slice: &mut Slice<R>, columns: &[Column<R>], width: u16) -> Vec<usize> {
    let gaps = usize::from(GAP) * columns.len().saturating_sub(1);
    let inner = usize::from(width).saturating_sub(2);
    let mut widths = vec![0; columns.len()];
    let (mut taken, mut parts) = (gaps, 0);
    for (at, column) in columns.iter().enumerate() {
        match column.width {
            Width::Longest(one_of) => {
                let cells = slice
                    .rows
                    .iter()
                    .map(|row| width_of(&(column.on_screen)(row)));
                slice.see_widest(cells.max().unwrap_or(0));
                widths[at] = slice.widest.max(ADDRESS).min(inner / one_of);
                taken += widths[at];
            }
            Width::Rest(part) => parts += part,
        }
    }
    let rest = inner.saturating_sub(taken);
    let (mut left, mut first) = (rest, None);
    for (at, column) in columns.iter().enumerate() {
        let Width::Rest(part) = column.width else {
            continue;
        };
        if first.is_none() {
            first = Some(at);
            continue;
        }
        // An address is more important than the last file names.
        let wanted = (rest * part / parts).max(ADDRESS.min(rest * (parts - part) / parts));
        widths[at] = wanted.min(left);
        left -= widths[at];
    }
    if let Some(first) = first {
        widths[first] = left;
    }
    widths
}

fn width_of(content: &Content<'_>) -> usize {
    match content {
        Content::Text(text) => columns(text),
        Content::Names(..) => 0,
    }
}

/// Returns a row of a table, and how many lines it takes.
fn row<R>(item: &R, columns: &[Column<R>], widths: &[usize], lines: usize) -> (Row<'static>, u16) {
    let cells = columns.iter().zip(widths);
    let cells = cells.map(|(column, width)| match (column.on_screen)(item) {
        Content::Text(text) => vec![middle(&text, *width)],
        Content::Names(names, total) => fit::names(names, total, *width, lines),
    });
    let cells: Vec<Vec<String>> = cells.collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(1);
    let height = u16::try_from(height).unwrap_or(1);
    let cells = cells
        .into_iter()
        .map(|lines| Cell::from(lines.into_iter().map(Line::from).collect::<Text>()));
    (Row::new(cells).height(height), height)
}

/// Returns how many lines a table needs, at most `limit`.
fn wanted<R>(slice: &mut Slice<R>, columns: &[Column<R>], width: u16, limit: u16) -> u16 {
    if !slice.is_whole {
        return limit;
    }
    let widths = widths(slice, columns, width);
    let mut lines = FRAME_LINES;
    for item in &slice.rows {
        lines = lines.saturating_add(row(item, columns, &widths, ROW_LINES).1);
        if lines >= limit {
            return limit;
        }
    }
    // Leaves room for a row even if there is none yet.
    lines.max(ONE_ROW)
}

/// Divides the space between the two tables: the peers get what they need and the files the rest.
/// If that is too much, each gets half, plus what the other one does not need.
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

fn head_row<R>(columns: &[Column<R>]) -> Row<'static> {
    Row::new(columns.iter().map(|column| Cell::from(column.head))).style(bold())
}

fn length(width: usize) -> Constraint {
    Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX))
}
