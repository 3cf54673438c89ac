//! The tab of the claim: what share of lookups the tracker was spared, and what went over the
//! network.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use thorp_node::api::{Lookups, Status, TrackerStatus};

use super::tabs::{Hint, Palette, bold};
use crate::units;
use crate::wrap::on_screen;

pub const HINTS: [Hint; 0] = [];

/// The widest label of a bar.
const LABEL: usize = 20;
/// The longest bar.
const LONGEST: usize = 60;
/// The room behind a bar, for its figures.
const FIGURES: usize = 22;

/// A bar: its label, the part, the whole.
type Bar = (&'static str, u64, u64);

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimTab {
    about: &'static str,
    spared: Vec<Bar>,
    answered: Vec<Bar>,
    facts: Vec<String>,
}

impl ClaimTab {
    /// Returns what a peer tells of its own lookups.
    pub fn of_peer(status: &Status) -> Self {
        let lookups = status.lookups;
        let all = lookups.neighbours + lookups.tracker + lookups.nobody;
        let traffic = format!(
            "Large files: {} sent, {} received since the start.",
            units::size(status.sent),
            units::size(status.received)
        );
        Self {
            about: "Of the names that this peer looked up, so many were found without a message to \
                    the tracker:",
            spared: spared(status.spared.last_hour, status.spared.since_start),
            answered: vec![
                ("by neighbours", lookups.neighbours, all),
                ("by the tracker", lookups.tracker, all),
                ("by no member", lookups.nobody, all),
            ],
            facts: vec![traffic],
        }
    }

    /// Returns what a tracker is told by its members.
    pub fn of_tracker(status: &TrackerStatus) -> Self {
        let counts = status.counts;
        let asked = format!(
            "This tracker was asked {} about files since it started.",
            units::count(counts.finds, "question")
        );
        Self {
            about: "Of the names that the peers of this group looked up, so many were found \
                    without a message to this tracker:",
            spared: spared(counts.spared.last_hour, counts.spared.since_start),
            answered: Vec::new(),
            facts: vec![asked],
        }
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, palette: Palette) {
        let width = usize::from(area.width);
        let wrapped = |text: &str| {
            let text = on_screen(text, width, "", "");
            text.lines()
                .map(|line| Line::from(line.to_owned()))
                .collect::<Vec<_>>()
        };
        let mut lines = wrapped(self.about);
        lines.extend(self.spared.iter().map(|bar| drawn(*bar, width, palette)));
        if !self.answered.is_empty() {
            lines.push(Line::default());
            lines.push(Line::styled("Lookups answered since the start", bold()));
            lines.extend(self.answered.iter().map(|bar| drawn(*bar, width, palette)));
        }
        lines.push(Line::default());
        for fact in &self.facts {
            lines.extend(wrapped(fact));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }
}

fn spared(last_hour: Lookups, since_start: Lookups) -> Vec<Bar> {
    let bar = |label, of: Lookups| (label, of.spared.min(of.lookups), of.lookups);
    vec![
        bar("in the last hour", last_hour),
        bar("since the start", since_start),
    ]
}

/// Returns a bar with its figures. Blocks and blanks tell its parts apart, so it needs no colour.
fn drawn((label, part, whole): Bar, width: usize, palette: Palette) -> Line<'static> {
    let length = width.saturating_sub(LABEL + FIGURES).min(LONGEST);
    let figures = match percent(part, whole) {
        Some(percent) => format!(" {percent:3} %  {part} of {whole}"),
        None => "  no lookups yet".to_owned(),
    };
    let filled = percent(part, whole).map_or(0, |percent| {
        // Something of what is there, and not all of what is not.
        let exact = length * usize::try_from(percent).unwrap_or(0) / 100;
        exact.max(usize::from(part > 0)).min(length)
    });
    let blank = length - filled;
    Line::from(vec![
        Span::raw(format!("  {label:width$}", width = LABEL - 2)),
        Span::styled("█".repeat(filled), palette.accent()),
        Span::styled("░".repeat(blank), palette.dim()),
        Span::raw(figures),
    ])
}

fn percent(part: u64, whole: u64) -> Option<u64> {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole))?;
    u64::try_from(percent).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{samples, screen};

    fn drawn(claim: &ClaimTab, width: u16, height: u16) -> String {
        let palette = Palette { colour: false };
        screen::drawn(width, height, |frame| {
            claim.draw(frame, frame.area(), palette);
        })
    }

    #[test]
    fn the_claim_of_a_peer_is_drawn_in_bars() {
        let mut status = samples::status();
        status.spared.last_hour = Lookups {
            lookups: 8,
            spared: 6,
        };
        status.spared.since_start = Lookups {
            lookups: 1000,
            spared: 1,
        };
        (status.lookups.neighbours, status.lookups.tracker) = (3, 1);
        status.lookups.nobody = 0;
        (status.sent, status.received) = (2048, 0);
        let text = drawn(&ClaimTab::of_peer(&status), 62, 12);
        let expected = "\
Of the names that this peer looked up, so many were found
without a message to the tracker:
  in the last hour  ███████████████░░░░░  75 %  6 of 8
  since the start   █░░░░░░░░░░░░░░░░░░░   0 %  1 of 1000

Lookups answered since the start
  by neighbours     ███████████████░░░░░  75 %  3 of 4
  by the tracker    █████░░░░░░░░░░░░░░░  25 %  1 of 4
  by no member      ░░░░░░░░░░░░░░░░░░░░   0 %  0 of 4

Large files: 2.0 KiB sent, 0 B received since the start.

";
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn a_tracker_that_was_told_of_no_lookups_says_so_at_any_size() {
        let mut status = samples::tracker_status();
        status.counts.spared = thorp_node::api::Spared::default();
        for (width, height) in [(60, 12), (200, 50), (20, 3), (1, 1)] {
            let text = drawn(&ClaimTab::of_tracker(&status), width, height);
            assert_eq!(text.contains("no lookups yet"), width >= 60, "{text}");
        }
    }
}
