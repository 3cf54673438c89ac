//! The files of a share, by name and by content.
//!
//! Each is held once, and found by its number in two orders.

use thorp_packed::{Between, Dense, Ordered};
use thorp_wire::{Content, Name, Root};

use crate::stamp::Stamp;

/// See the module.
#[derive(Default)]
pub(super) struct Table {
    files: Dense<Listed>,
    by_name: Ordered<u32>,
    /// Those with a root, each with the beginning of it: few have the same, so that no file is
    /// looked up to tell which of two is before the other. By root first, because sessions name
    /// a file by the start of its root; then by length and name.
    by_content: Ordered<(u32, u32)>,
}

struct Listed {
    name: Name,
    record: Record,
}

/// What is known about one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub stamp: Stamp,
    pub root: Option<Root>,
}

impl Table {
    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn get(&self, name: &Name) -> Option<Record> {
        let number = self.by_name.get(self.place(name.as_str()))?;
        let file = &self.files[number];
        (file.name == *name).then_some(file.record)
    }

    /// What is known of a file from now on. Returns what was known before.
    pub fn insert(&mut self, name: &Name, record: Record) -> Option<Record> {
        let place = self.place(name.as_str());
        if let Some(number) = self.by_name.get(place)
            && self.files[number].name == *name
        {
            self.leave_content(number);
            let before = std::mem::replace(&mut self.files[number].record, record);
            self.join_content(number);
            return Some(before);
        }
        let name = name.clone();
        let number = self.files.push(Listed { name, record });
        self.by_name.insert(place, number);
        self.join_content(number);
        None
    }

    /// Returns what was known of the file.
    pub fn remove(&mut self, name: &Name) -> Option<Record> {
        let place = self.place(name.as_str());
        let number = self.by_name.get(place)?;
        if self.files[number].name != *name {
            return None;
        }
        self.leave_content(number);
        self.by_name.remove(place);
        // The last one takes its number.
        let last = u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX);
        if last != number {
            let place = self.place(self.files[last].name.as_str());
            self.by_name.replace(place, number);
            if let Some(place) = self.place_in_contents(last) {
                self.by_content
                    .replace(place, (self.beginning(last), number));
            }
        }
        Some(self.files.swap_remove(number).record)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.named(self.by_name.all())
    }

    /// The names that begin so, in order.
    pub fn names_beginning<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Name> {
        self.named(self.by_name.from(self.place(prefix)))
            .take_while(move |name| name.as_str().starts_with(prefix))
    }

    /// The names of this content, in order.
    pub fn names_of(&self, content: Content) -> impl Iterator<Item = &Name> {
        let (start, key) = (beginning_of(content.root), (content.root, content.length));
        let is_before = |(other_start, other)| {
            other_start < start || other_start == start && self.content(other) < Some(key)
        };
        let rows = self.by_content.from(self.by_content.place(is_before));
        let numbers = rows.map(|(_, number)| number);
        self.named(numbers.take_while(move |number| self.content(*number) == Some(key)))
    }

    /// The contents whose root begins with these bytes, each once.
    pub fn contents_beginning(&self, start: &[u8; 20]) -> Vec<Content> {
        let begins = |root: &Root| root.as_bytes().starts_with(start);
        let is_before = |(_, number)| {
            let content = self.content(number);
            content.is_some_and(|(root, _)| root.as_bytes()[..start.len()] < start[..])
        };
        let rows = self.by_content.from(self.by_content.place(is_before));
        let mut contents: Vec<Content> = rows
            .map_while(|(_, number)| self.content(number))
            .take_while(|(root, _)| begins(root))
            .map(|(root, length)| Content { length, root })
            .collect();
        contents.dedup();
        contents
    }

    fn named(&self, numbers: impl Iterator<Item = u32>) -> impl Iterator<Item = &Name> {
        numbers.map(|number| &self.files[number].name)
    }

    /// Before the first name that is not before this one.
    fn place(&self, name: &str) -> Between {
        let is_before = |number| self.files[number].name.as_str() < name;
        self.by_name.place(is_before)
    }

    fn content(&self, number: u32) -> Option<(Root, u64)> {
        let record = &self.files[number].record;
        Some((record.root?, record.stamp.length))
    }

    /// Where a file is among contents, or belongs there; nowhere without a root.
    fn place_in_contents(&self, number: u32) -> Option<Between> {
        let content = self.content(number)?;
        let (start, key) = (self.beginning(number), (content, &self.files[number].name));
        let is_before = |other| {
            let known = self.content(other);
            known.is_some_and(|known| (known, &self.files[other].name) < key)
        };
        Some(self.by_content.place(|(other_start, other)| {
            other_start < start || other_start == start && is_before(other)
        }))
    }

    /// The beginning of a file's root.
    fn beginning(&self, number: u32) -> u32 {
        self.content(number)
            .map_or(0, |(root, _)| beginning_of(root))
    }

    fn join_content(&mut self, number: u32) {
        if let Some(place) = self.place_in_contents(number) {
            self.by_content
                .insert(place, (self.beginning(number), number));
        }
    }

    fn leave_content(&mut self, number: u32) {
        if let Some(place) = self.place_in_contents(number) {
            self.by_content.remove(place);
        }
    }
}

fn beginning_of(root: Root) -> u32 {
    let [a, b, c, d, ..] = *root.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests;
