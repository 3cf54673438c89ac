//! Rows that are scrolled, of which one is chosen.

use std::ops::Range;

use crossterm::event::KeyCode;

/// Which row is chosen, and which are visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct List {
    chosen: usize,
    /// The first visible row when last drawn.
    first: usize,
    /// How many rows were visible then.
    height: usize,
}

impl List {
    /// Returns the number of the chosen row; it may be beyond the last one.
    pub fn chosen(self) -> usize {
        self.chosen
    }

    pub fn choose(&mut self, row: usize) {
        self.chosen = row;
    }

    /// Moves the choice among `len` rows. Returns whether the key does that.
    pub fn on_key(&mut self, key: KeyCode, len: usize) -> bool {
        let last = len.saturating_sub(1);
        let page = self.height.saturating_sub(1).max(1);
        let chosen = self.chosen.min(last);
        self.chosen = match key {
            KeyCode::Up | KeyCode::Char('k') => chosen.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => chosen.saturating_add(1).min(last),
            KeyCode::PageUp => chosen.saturating_sub(page),
            KeyCode::PageDown => chosen.saturating_add(page).min(last),
            KeyCode::Home => 0,
            KeyCode::End => last,
            _ => return false,
        };
        true
    }

    /// Returns which of `len` rows are visible in `height` lines: the chosen one is among them.
    pub fn visible(&mut self, len: usize, height: usize) -> Range<usize> {
        self.height = height;
        self.chosen = self.chosen.min(len.saturating_sub(1));
        let furthest = len.saturating_sub(height);
        let lowest = (self.chosen + 1).saturating_sub(height);
        self.first = self
            .first
            .clamp(lowest, self.chosen.max(lowest))
            .min(furthest);
        self.first..(self.first + height).min(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_row_stays_visible_and_the_last_rows_fill_the_list() {
        let mut list = List::default();
        assert_eq!(list.visible(10, 4), 0..4);
        list.on_key(KeyCode::PageDown, 10);
        assert_eq!((list.visible(10, 4), list.chosen()), (0..4, 3));
        list.on_key(KeyCode::Down, 10);
        assert_eq!(list.visible(10, 4), 1..5);
        list.on_key(KeyCode::End, 10);
        assert_eq!(list.visible(10, 4), 6..10);
        list.on_key(KeyCode::Up, 10);
        assert_eq!(list.visible(10, 4), 6..10);
        list.on_key(KeyCode::Home, 10);
        assert_eq!(list.visible(10, 4), 0..4);
        assert!(!list.on_key(KeyCode::Char('x'), 10));
    }

    #[test]
    fn a_list_that_becomes_shorter_keeps_a_choice() {
        let mut list = List::default();
        list.visible(100, 5);
        list.on_key(KeyCode::End, 100);
        assert_eq!(list.visible(3, 5), 0..3);
        assert_eq!(list.chosen(), 2);
        assert_eq!(list.visible(0, 5), 0..0);
        assert_eq!(list.visible(3, 0), 1..1);
    }
}
