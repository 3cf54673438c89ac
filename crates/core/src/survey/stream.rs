//! The files of one source, in the order of their names, as far as they have come.

use std::collections::VecDeque;

use thorp_wire::Name;
use thorp_wire::frame::Variant;

/// The files of one source.
#[derive(Debug)]
pub(super) struct Stream {
    ready: VecDeque<Variant>,
    /// All files up to this name have come.
    reached: Option<Name>,
    has_more: bool,
}

/// How far a page goes.
#[derive(Debug)]
pub(super) struct Page {
    behind: Option<Name>,
    reached: Option<Name>,
    more: bool,
}

impl Page {
    /// The page behind a name with these files. The search has come to `reached`;
    /// where that is not said, to the last file.
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
    /// Nothing has come yet.
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            reached: None,
            has_more: true,
        }
    }
}

impl Stream {
    /// Takes a page, or what of it is wanted. Whether there is more to ask for: a page
    /// without progress is the last.
    pub fn push(&mut self, page: Page, files: impl Iterator<Item = Variant>) -> bool {
        let is_ahead = |file: &Variant| Some(&file.entry.name) > page.behind.as_ref();
        let mut files: Vec<Variant> = files.filter(is_ahead).collect();
        files.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
        self.ready.extend(files);
        self.has_more = page.more && page.reached > page.behind;
        self.reached = page.reached.max(page.behind);
        self.has_more
    }

    /// Nothing more comes.
    pub fn end(&mut self) {
        self.has_more = false;
    }

    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// Up to which name all files have come.
    pub fn reached(&self) -> Option<&Name> {
        self.reached.as_ref()
    }

    /// Whether all that has come was taken.
    pub fn is_drained(&self) -> bool {
        self.ready.is_empty()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Takes those up to this name, or all.
    pub fn take(&mut self, up_to: Option<&Name>) -> impl Iterator<Item = Variant> {
        let is_meant = |file: &Variant| up_to.is_none_or(|last| file.entry.name <= *last);
        let number = self.ready.partition_point(is_meant);
        self.ready.drain(..number)
    }
}
