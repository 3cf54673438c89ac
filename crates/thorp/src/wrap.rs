//! Wraps lines between words to fit a terminal, which would break them within words.
//!
//! Only for a terminal: what a program or a log reads is not wrapped.

use std::borrow::Cow;
use std::os::fd::AsFd;

use rustix::termios;
use textwrap::{WordSeparator, WordSplitter, WrapAlgorithm};

/// Returns the width of a stream in columns, if it is a terminal.
pub fn width(stream: impl AsFd) -> Option<usize> {
    let size = termios::tcgetwinsize(stream).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Returns a text for a stream, wrapped if that is a terminal.
pub fn fitted(text: &str, stream: impl AsFd) -> String {
    match width(stream) {
        Some(width) => wrapped(text, width, "", ""),
        None => text.to_owned(),
    }
}

/// Returns `text` in lines of at most `width` columns where its words allow that, with its own
/// line breaks and spaces. Each of its lines begins with `first`, and each continuation with
/// `rest`, both followed by the line's own indentation.
pub fn wrapped(text: &str, width: usize, first: &str, rest: &str) -> String {
    // A word longer than a line is a path or a command: it stays whole, so that it can be copied.
    broken(text, width, (first, rest), false)
}

/// The same for a screen of its own, which would not show what is too wide: no line of `text` is
/// wider than `width`, and a word that is goes on in the next one.
pub fn on_screen(text: &str, width: usize, first: &str, rest: &str) -> String {
    broken(text, width, (first, rest), true)
}

fn broken(text: &str, width: usize, (first, rest): (&str, &str), breaks_words: bool) -> String {
    let mut lines = Vec::new();
    for whole in text.lines() {
        let (own, words) = whole.split_at(whole.len() - whole.trim_start_matches(' ').len());
        let (first, rest) = (format!("{first}{own}"), format!("{rest}{own}"));
        let options = textwrap::Options::new(width)
            .initial_indent(&first)
            .subsequent_indent(&rest)
            .break_words(breaks_words)
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation)
            .wrap_algorithm(WrapAlgorithm::FirstFit);
        lines.extend(
            textwrap::wrap(words, options)
                .into_iter()
                .map(Cow::into_owned),
        );
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_too_wide_but_for_a_word_that_is() {
        let text = wrapped(&"word ".repeat(50), 80, "    ", "    ");
        assert!(
            text.lines()
                .all(|line| line.len() <= 80 && line.starts_with("    "))
        );
        assert_eq!(wrapped("one\ntwo", 80, "", ""), "one\ntwo");
        assert_eq!(wrapped("a thorp1abcdef b", 8, "", ""), "a\nthorp1abcdef\nb");
    }

    #[test]
    fn own_spaces_and_indentation_stay() {
        let text = "Here:\n  thorp get NAME    to fetch it";
        assert_eq!(wrapped(text, 80, "", ""), text);
        assert_eq!(
            wrapped(text, 24, "> ", "  "),
            "> Here:\n>   thorp get NAME    to\n    fetch it"
        );
    }

    #[test]
    fn a_screen_shows_the_end_of_a_word_that_is_too_wide() {
        let shown = on_screen("get harbour-of-monday.mkv now", 10, "> ", "  ");
        assert_eq!(shown, "> get\n  harbour-\n  of-monda\n  y.mkv\n  now");
    }
}
