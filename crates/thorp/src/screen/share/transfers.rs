//! The tab of transfers: fetches that were begun here, large files that come and go, and what has
//! come.

use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use thorp_node::api::{Progress, Status};
use thorp_node::printable::printable;
use thorp_node::snapshot::{Ask, Page, Part, SnapshotRow, TransferRow, UploadRow};

use super::gets::{Gets, RunningGet};
use crate::fit::{clip, columns, middle};
use crate::quoting::quoted;
use crate::screen::list::List;
use crate::screen::tabs::{Hint, Palette, bold, row};
use crate::units;

/// The most large files that are shown.
const MOST: usize = 200;
/// The length of a bar.
const BAR: usize = 16;
/// How much of what came of a fetch is told at least beside its whole name.
const LEAST_TOLD: usize = 12;
/// The width of the cell that says to whom something goes.
const TO: usize = 16;
/// The least width with room for a bar.
const WITH_BAR: usize = 70;

pub const HINTS: [Hint; 2] = [
    ("↑ ↓", "choose a fetch that was begun here"),
    ("x", "cancel it (asks)"),
];

/// The large files that come and go, and what went so far.
#[derive(Debug, Default)]
pub struct TransfersTab {
    rows: Vec<TransferRow>,
    uploads: Vec<UploadRow>,
    sent: u64,
    received: u64,
    list: List,
}

impl TransfersTab {
    pub fn asks() -> [Ask; 2] {
        [Part::Transfers, Part::Uploads].map(|part| Ask::first(part, MOST))
    }

    pub fn take(&mut self, transfers: Page, uploads: Page) {
        let rows = transfers.rows.into_iter().filter_map(|row| match row {
            SnapshotRow::Transfer(row) => Some(row),
            _ => None,
        });
        self.rows = rows.collect();
        let rows = uploads.rows.into_iter().filter_map(|row| match row {
            SnapshotRow::Upload(row) => Some(row),
            _ => None,
        });
        self.uploads = rows.collect();
    }

    pub fn see(&mut self, status: &Status) {
        (self.sent, self.received) = (status.sent, status.received);
    }

    /// Moves the choice among the fetches that go on.
    pub fn on_key(&mut self, key: KeyCode, gets: &Gets) {
        self.list.on_key(key, gets.running().len());
    }

    /// Returns the fetch that is chosen.
    pub fn chosen<'a>(&self, gets: &'a Gets) -> Option<&'a RunningGet> {
        let running = gets.running();
        running.get(self.list.chosen()).or(running.last())
    }

    pub fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, gets: &Gets, palette: Palette) {
        let width = usize::from(area.width);
        let height = usize::from(area.height);
        let mut lines: Vec<Line<'_>> = Vec::new();
        let running = gets.running();
        if !running.is_empty() {
            lines.push(Line::styled("Fetches", bold()));
            // Of many there are as many as fit beside the large files.
            let room = height.saturating_sub(lines.len() + 1).div_ceil(2).max(1);
            let visible = self.list.visible(running.len(), room);
            for at in visible {
                let line = fetch_line(&running[at], width);
                lines.push(Line::styled(line, Palette::row(at == self.list.chosen())));
            }
        }
        if !self.rows.is_empty() {
            lines.push(Line::styled("Large files on their way", bold()));
            lines.extend(
                self.rows
                    .iter()
                    .map(|row| Line::from(transfer_line(row, width))),
            );
        }
        if !self.uploads.is_empty() {
            lines.push(Line::styled("Going out", bold()));
            lines.extend(
                self.uploads
                    .iter()
                    .map(|row| Line::from(upload_line(row, width))),
            );
        }
        if running.is_empty() && self.rows.is_empty() {
            lines.push(Line::styled(
                "Nothing is on its way to this peer.",
                palette.dim(),
            ));
        }
        let traffic = format!(
            "Large files so far: {} received, {} sent",
            units::size(self.received),
            units::size(self.sent)
        );
        lines.push(Line::from(clip(&traffic, width)));
        if gets.ended().len() > 0 {
            lines.push(Line::styled("Ended", bold()));
            let ended = gets.ended().take(height);
            lines.extend(ended.map(|ended| {
                let name = quoted(&ended.what);
                // What came of one file begins with its name.
                let text = if ended.outcome.starts_with(&name) {
                    ended.outcome.clone()
                } else {
                    format!("{name}  {}", ended.outcome)
                };
                let text = text.replace('\n', " ");
                // Of a name that fits nothing is left out.
                let has_room = columns(&name) + LEAST_TOLD <= width;
                let fit = if has_room { clip } else { middle };
                Line::from(fit(&text, width))
            }));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }
}

fn fetch_line(get: &RunningGet, width: usize) -> String {
    let name = quoted(&get.what);
    match (&get.question, &get.progress) {
        (Some(_), _) => row(&name, &[("asks".to_owned(), 6)], width),
        (None, Some(progress)) => {
            let name = if progress.of_files > 1 {
                format!("{name}  {} of {} files", progress.files, progress.of_files)
            } else {
                name
            };
            let time = time_left(progress);
            let figures = Figures {
                done: progress.bytes,
                whole: progress.of_bytes,
                rate: progress.rate,
                last: &time,
            };
            figures.line(&name, width)
        }
        (None, None) => row(&name, &[("looked for".to_owned(), 10)], width),
    }
}

fn transfer_line(transfer: &TransferRow, width: usize) -> String {
    let root: String = transfer.root.chars().take(8).collect();
    let name = transfer.name.as_ref().unwrap_or(&root);
    let sources = units::count(transfer.sources.into(), "source");
    let figures = Figures {
        done: transfer.verified,
        whole: transfer.length,
        rate: transfer.rate,
        last: &sources,
    };
    figures.line(&printable(name).to_string(), width)
}

fn upload_line(upload: &UploadRow, width: usize) -> String {
    let root: String = upload.root.chars().take(8).collect();
    let name = upload.name.as_ref().unwrap_or(&root);
    let to = match (&upload.member, upload.client) {
        (Some(member), _) => member.name.clone().unwrap_or(member.address.clone()),
        (None, Some(client)) => client.to_string(),
        (None, None) => String::new(),
    };
    let to = middle(&format!("to {}", printable(&to)), TO);
    let cells = [
        (to, TO),
        (units::size(upload.sent), 9),
        (format!("{}/s", units::size(upload.rate)), 12),
    ];
    row(&printable(name).to_string(), &cells, width)
}

/// How far something is.
struct Figures<'a> {
    done: u64,
    whole: u64,
    rate: u64,
    last: &'a str,
}

impl Figures<'_> {
    fn line(&self, name: &str, width: usize) -> String {
        let percent = (u128::from(self.done.min(self.whole)) * 100)
            .checked_div(u128::from(self.whole))
            .unwrap_or(0);
        let percent = usize::try_from(percent).unwrap_or(0);
        let size = format!("{} of {}", units::size(self.done), units::size(self.whole));
        let mut cells = vec![(format!("{percent} %"), 5)];
        if width >= WITH_BAR {
            let filled = BAR * percent / 100;
            let bar = format!("{}{}", "█".repeat(filled), "░".repeat(BAR - filled));
            cells.insert(0, (bar, BAR));
            cells.push((self.last.to_owned(), 11));
        }
        cells.push((format!("{}/s", units::size(self.rate)), 12));
        let taken: usize = cells.iter().map(|(_, width)| width + 2).sum();
        let with_size = format!("{name}  {size}");
        let has_room = columns(&with_size) + taken <= width;
        row(if has_room { &with_size } else { name }, &cells, width)
    }
}

fn time_left(progress: &Progress) -> String {
    match progress.eta {
        Some(seconds @ 0..120) => format!("{seconds} s left"),
        Some(seconds @ 120..7200) => format!("{} min left", seconds / 60),
        Some(seconds) => format!("{} h left", seconds / 3600),
        None => "waiting".into(),
    }
}
