//! The tab of messages: what the node has reported, and what came of fetches, the latest last.

use std::collections::VecDeque;

use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::tabs::{Hint, Palette};
use crate::units;
use crate::wrap::on_screen;

/// The most messages that are kept.
const KEPT: usize = 500;

pub const HINTS: [Hint; 1] = [("↑ ↓ PgUp PgDn", "scroll; End leads to the latest message")];

/// Messages, and which of them are visible.
#[derive(Debug, Default)]
pub struct MessagesTab {
    kept: VecDeque<(i64, String)>,
    unseen: u64,
    /// How many lines above the last one the view ends.
    back: usize,
    /// How many lines were visible when last drawn.
    height: usize,
}

impl MessagesTab {
    /// Adds a message that comes now.
    pub fn add(&mut self, text: &str) {
        self.add_at(units::now(), text);
    }

    fn add_at(&mut self, now: i64, text: &str) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((now, text.to_owned()));
        self.unseen += 1;
    }

    /// Returns how many messages came since they were last drawn.
    pub fn unseen(&self) -> u64 {
        self.unseen
    }

    /// Returns the latest message, unless it was drawn.
    pub fn news(&self) -> Option<&str> {
        let latest = self.kept.back().filter(|_| self.unseen > 0);
        latest.map(|(_, text)| text.as_str())
    }

    pub fn on_key(&mut self, key: KeyCode) {
        let page = self.height.saturating_sub(1).max(1);
        self.back = match key {
            KeyCode::Up | KeyCode::Char('k') => self.back.saturating_add(1),
            KeyCode::Down | KeyCode::Char('j') => self.back.saturating_sub(1),
            KeyCode::PageUp => self.back.saturating_add(page),
            KeyCode::PageDown => self.back.saturating_sub(page),
            // The beginning is found while drawing.
            KeyCode::Home => usize::MAX,
            KeyCode::End => 0,
            _ => return,
        };
    }

    pub fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, palette: Palette) {
        self.unseen = 0;
        let width = usize::from(area.width);
        self.height = usize::from(area.height);
        if self.kept.is_empty() {
            frame.render_widget(
                Paragraph::new("No messages so far.").style(palette.dim()),
                area,
            );
            return;
        }
        let mut lines: Vec<String> = Vec::new();
        for (at, text) in &self.kept {
            // The time of day, in UTC as in logs.
            let at = units::moment(*at);
            let first = format!("{}  ", at.get(11..19).unwrap_or_default());
            let rest = " ".repeat(first.len());
            lines.extend(
                on_screen(text, width, &first, &rest)
                    .lines()
                    .map(str::to_owned),
            );
        }
        self.back = self.back.min(lines.len().saturating_sub(self.height));
        let end = lines.len() - self.back;
        let shown = &lines[end.saturating_sub(self.height)..end];
        let shown: Vec<_> = shown.iter().map(|line| Line::from(line.as_str())).collect();
        frame.render_widget(Paragraph::new(shown), area);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen;

    fn drawn(messages: &mut MessagesTab, width: u16, height: u16) -> Vec<String> {
        let palette = Palette { colour: false };
        let text = screen::drawn(width, height, |frame| {
            messages.draw(frame, frame.area(), palette);
        });
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_latest_message_is_shown_and_the_view_can_be_scrolled_to_the_first() {
        let mut messages = MessagesTab::default();
        assert_eq!(drawn(&mut messages, 30, 1), ["No messages so far."]);
        for number in 0..10 {
            messages.add_at(number, &format!("message {number}"));
        }
        assert_eq!(messages.unseen(), 10);
        assert_eq!(
            drawn(&mut messages, 30, 2),
            ["00:00:08  message 8", "00:00:09  message 9"]
        );
        assert_eq!(messages.unseen(), 0);
        messages.on_key(KeyCode::Home);
        assert_eq!(
            drawn(&mut messages, 30, 2),
            ["00:00:00  message 0", "00:00:01  message 1"]
        );
        messages.on_key(KeyCode::Down);
        messages.on_key(KeyCode::Down);
        assert_eq!(drawn(&mut messages, 30, 1), ["00:00:03  message 3"]);
        messages.on_key(KeyCode::End);
        assert_eq!(drawn(&mut messages, 30, 1), ["00:00:09  message 9"]);
    }

    #[test]
    fn a_long_message_is_wrapped_beside_its_time() {
        let mut messages = MessagesTab::default();
        messages.add_at(0, "a message of several words");
        assert_eq!(
            drawn(&mut messages, 20, 3),
            [
                "00:00:00  a message",
                "          of several",
                "          words"
            ]
        );
    }

    #[test]
    fn only_the_last_messages_are_kept() {
        let mut messages = MessagesTab::default();
        for number in 0..3 * KEPT {
            messages.add_at(0, &number.to_string());
        }
        assert_eq!(messages.kept.len(), KEPT);
        assert_eq!(messages.kept[0].1, (2 * KEPT).to_string());
    }
}
