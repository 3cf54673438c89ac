//! Where in a page of memory bytes begin that are sent.
//!
//! Some processors (AMD's Zen 3 and 4) copy at a tenth of their speed where the target is up to 15
//! bytes further behind the beginning of its page than the source is behind that of its own. Pages
//! of a file and long buffers begin with a page, and what a record of TLS carries begins five bytes
//! behind it. So bytes that are read from a file, or copied into records, begin in the middle of a
//! page, which is far from both.

/// A page of memory. Where pages are longer, what copies slowly is the same.
pub const PAGE: usize = 4096;
/// How far behind its beginning the middle is.
pub const MIDDLE: usize = PAGE / 2;

/// Returns how far the first middle of a page is behind the beginning of these bytes: less than a
/// page.
pub fn to_middle(bytes: &[u8]) -> usize {
    (bytes.as_ptr().align_offset(PAGE) % PAGE + MIDDLE) % PAGE
}
