//! The files of one source, in the order of their names, as far as they have arrived.

use std::collections::VecDeque;

use thorp_wire::Name;
use thorp_wire::frame::Variant;

/// The files of one source.
#[derive(Debug)]
pub(super) struct Stream {
    ready: VecDeque<Variant>,
    /// All files up to this name have arrived.
    reached: Option<Name>,
    has_more: bool,
}

/// The range of names that a page covers.
#[derive(Debug)]
pub(super) struct Page {
    behind: Option<Name>,
    reached: Option<Name>,
    more: bool,
}

impl Page {
    /// Creates the page of these files after the name `behind`. It covers names up to `reached` or
    /// the last file, whichever is greater.
    pub fn new(
        behind: Option<&Name>,
        files: &[Variant],
        reached: Option<Name>,
        more: bool,
    ) -> Self {
        let last = files.iter().map(|file| &file.entry.name).max().cloned();
        Self {
            behind: behind.cloned(),
            reached: reached.max(last),
            more,
        }
    }
}

impl Default for Stream {
    /// Creates a stream from which nothing has arrived yet.
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            reached: None,
            has_more: true,
        }
    }
}

impl Stream {
    /// Adds those files of a page that are wanted. Returns whether there is more to ask for; a
    /// page without progress is the last one.
    pub fn push(&mut self, page: Page, files: impl Iterator<Item = Variant>) -> bool {
        let is_ahead = |file: &Variant| Some(&file.entry.name) > page.behind.as_ref();
        let mut files: Vec<Variant> = files.filter(is_ahead).collect();
        files.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
        self.ready.extend(files);
        self.has_more = page.more && page.reached > page.behind;
        self.reached = page.reached.max(page.behind);
        self.has_more
    }

    /// Ends the stream.
    pub fn end(&mut self) {
        self.has_more = false;
    }

    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// Returns the name up to which all files have arrived.
    pub fn reached(&self) -> Option<&Name> {
        self.reached.as_ref()
    }

    /// Whether all files that have arrived were taken.
    pub fn is_drained(&self) -> bool {
        self.ready.is_empty()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Takes the files up to this name, or all of them.
    pub fn take(&mut self, up_to: Option<&Name>) -> impl Iterator<Item = Variant> {
        let is_meant = |file: &Variant| up_to.is_none_or(|last| file.entry.name <= *last);
        let number = self.ready.partition_point(is_meant);
        self.ready.drain(..number)
    }
}
