//! Text from other machines, escaped for display on a terminal or in a list.
//!
//! A file name may contain any character: one that moves the cursor, one that reverses the
//! reading direction so that `txt.exe` reads as `exe.txt`, or one that is invisible.
//! [`printable`] shows each of these as an escape. The result is only for display: names are
//! compared by their bytes. The screen decides how wide a text is and where it is cut.

use std::fmt::{self, Write};

use minicbor::{Decode, Encode};

/// Escapes every character of `text` that could deceive a reader or disturb a terminal.
///
/// - Control characters become `\n`, `\r`, `\t`, `\x1b`, and above ASCII `\u{9b}`.
/// - Line and paragraph separators, direction marks, and everything else that Unicode calls
///   default-ignorable become `\u{202e}` and the like.
/// - A backslash becomes `\\` where it would otherwise be read as the start of an escape. So
///   `C:\doc` stays as it is, and no two texts are shown alike.
///
/// Some invisible characters are kept because they only change the shape of their neighbours: the
/// joiner and non-joiner U+200C and U+200D, which Persian, Indian scripts and composed emoji
/// need, and the variation selectors, which emoji and many Japanese names need.
///
/// A text without backslashes and hidden characters is shown without an allocation. Width and
/// precision (`{:<20}`) count characters, as for `str`.
pub fn printable(text: &str) -> Printable<'_> {
    Printable(text)
}

/// A text that is shown escaped: see [`printable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        if !text.contains(|c| c == '\\' || is_hidden(c)) {
            return f.pad(text);
        }
        let mut shown = String::with_capacity(text.len() + 8);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let next = chars.peek().copied();
            match c {
                '\\' if next.is_some_and(reads_as_escape) => shown.push_str("\\\\"),
                '\n' => shown.push_str("\\n"),
                '\r' => shown.push_str("\\r"),
                '\t' => shown.push_str("\\t"),
                c if !is_hidden(c) => shown.push(c),
                c if c.is_ascii() => write!(shown, "\\x{:02x}", u32::from(c))?,
                c => write!(shown, "\\u{{{:x}}}", u32::from(c))?,
            }
        }
        f.pad(&shown)
    }
}

/// Whether a backslash before `next` would be read as the start of an escape. A hidden `next` is
/// itself shown as an escape, which starts with a backslash.
fn reads_as_escape(next: char) -> bool {
    matches!(next, '\\' | 'n' | 'r' | 't' | 'x' | 'u') || is_hidden(next)
}

/// Whether a character is a control character, a line separator, or in Unicode's
/// `Default_Ignorable_Code_Point`, except for joiners and variation selectors.
#[expect(clippy::match_same_arms, reason = "a line for each family")]
fn is_hidden(c: char) -> bool {
    match c {
        ' '..='~' => false,
        // Joiners; variation selectors (Mongolian, common, supplement).
        '\u{200c}' | '\u{200d}' => false,
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' => false,
        '\u{e0100}'..='\u{e01ef}' => false,
        // Soft hyphen, grapheme joiner, Arabic letter mark.
        '\u{ad}' | '\u{34f}' | '\u{61c}' => true,
        // Fillers and vowels of no width: Hangul, Khmer, Mongolian.
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => true,
        '\u{17b4}' | '\u{17b5}' | '\u{180e}' => true,
        // Zero-width space, marks of direction, separators, embeddings, overrides.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        // Word joiner, invisible operators, isolates, deprecated controls.
        '\u{2060}'..='\u{206f}' => true,
        // Byte order mark, specials, interlinear annotation.
        '\u{feff}' | '\u{fff0}'..='\u{fffb}' => true,
        // Shorthand and musical formatting; tags, which spell whole hidden texts.
        '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' => true,
        '\u{e0000}'..='\u{e0fff}' => true,
        c => c.is_control(),
    }
}

/// A text of another member, written for a user.
///
/// It is shown as one line without hidden characters and cut to a maximum length, so that it
/// cannot make a message or a log look like several lines. The raw text cannot be accessed except
/// by encoding it.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Remark(#[n(0)] String);

impl Remark {
    /// The maximum number of characters that are shown.
    const MAX_SHOWN: usize = 400;

    /// Returns its length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<String>> From<T> for Remark {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars().take(Self::MAX_SHOWN) {
            f.write_char(match c {
                c if !is_hidden(c) => c,
                c if c.is_whitespace() => ' ',
                _ => char::REPLACEMENT_CHARACTER,
            })?;
        }
        if self.0.chars().nth(Self::MAX_SHOWN).is_some() {
            f.write_char('…')?;
        }
        Ok(())
    }
}

impl fmt::Debug for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        printable(text).to_string()
    }

    #[test]
    fn ordinary_names_are_shown_as_they_are() {
        for text in [
            "",
            "a b/c.txt",
            "über/日本語.txt",
            "C:\\doc",
            "ends\\",
            "it's \"quoted\" & $HOME {}",
            "عربي",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn what_moves_the_cursor_is_escaped() {
        for (text, safe) in [
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\x1b[2Jgone", "\\x1b[2Jgone"),
            ("\0\x07\x7f", "\\x00\\x07\\x7f"),
            ("\u{85}\u{9b}31m", "\\u{85}\\u{9b}31m"),
        ] {
            assert_eq!(shown(text), safe);
        }
    }

    #[test]
    fn what_turns_the_reading_direction_is_escaped() {
        assert_eq!(shown("photo\u{202e}gpj.exe"), "photo\\u{202e}gpj.exe");
        for c in "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\
                  \u{2066}\u{2067}\u{2068}\u{2069}"
            .chars()
        {
            let escape = format!("\\u{{{:x}}}", u32::from(c));
            assert_eq!(shown(&c.to_string()), escape);
        }
    }

    #[test]
    fn what_breaks_a_line_or_cannot_be_seen_is_escaped() {
        for c in "\u{2028}\u{2029}\u{feff}\u{200b}\u{2060}\u{ad}\u{3164}\u{e0041}\u{fff9}".chars() {
            let escape = format!("\\u{{{:x}}}", u32::from(c));
            assert_eq!(shown(&c.to_string()), escape);
        }
    }

    #[test]
    fn joiners_and_variation_selectors_stay() {
        for text in [
            "👩\u{200d}🔬",
            "می\u{200c}خواهم",
            "❤\u{fe0f}",
            "葛\u{e0100}",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn a_backslash_is_doubled_only_where_it_would_be_misread() {
        for (text, safe) in [
            ("a\\b", "a\\b"),
            ("a\\n", "a\\\\n"),
            ("a\\\\b", "a\\\\\\b"),
            ("\\\n", "\\\\\\n"),
            ("\\\u{202e}", "\\\\\\u{202e}"),
            ("\\u{202e}", "\\\\u{202e}"),
        ] {
            assert_eq!(shown(text), safe, "{text:?}");
        }
    }

    #[test]
    fn columns_line_up_with_and_without_escapes() {
        assert_eq!(format!("{:<4}|", printable("ab")), "ab  |");
        assert_eq!(format!("{:<4}|", printable("a\n")), "a\\n |");
        assert_eq!(format!("{:>6}|", printable("\x1b")), "  \\x1b|");
    }

    /// Decodes an escaped text. If this works for every text, no two texts are shown alike.
    fn meant(shown: &str) -> String {
        let mut text = String::new();
        let mut rest = shown;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            let Some(kind) = rest.chars().next().filter(|_| c == '\\') else {
                text.push(c);
                continue;
            };
            let (meaning, length) = match kind {
                '\\' => ('\\', 1),
                'n' => ('\n', 1),
                'r' => ('\r', 1),
                't' => ('\t', 1),
                'x' => (code(&rest[1..3]), 3),
                'u' => {
                    let end = rest.find('}').expect("a closed escape");
                    (code(&rest[2..end]), end + 1)
                }
                _ => ('\\', 0),
            };
            text.push(meaning);
            rest = &rest[length..];
        }
        text
    }

    fn code(hex: &str) -> char {
        let code = u32::from_str_radix(hex, 16).expect("hex digits");
        char::from_u32(code).expect("a character")
    }

    #[test]
    fn a_remark_is_one_line_and_not_long() {
        let said = "bye\nthorp: your disk is full\x1b[2J\u{202e}";
        let shown = "bye thorp: your disk is full\u{fffd}[2J\u{fffd}";
        assert_eq!(Remark::from(said).to_string(), shown);
        assert_eq!(format!("{:?}", Remark::from(said)), format!("\"{shown}\""));
        let long = Remark::from("x".repeat(8000)).to_string();
        assert_eq!(long.chars().count(), 401);
    }

    proptest! {
        #[test]
        fn every_text_reads_back_and_nothing_hidden_is_left(
            text in r"([\\nrtxu{}0-9a\x00-\x1f\u{80}-\u{9f}\u{2000}-\u{2070}\u{feff}]|\PC|\pC){0,24}",
        ) {
            let shown = shown(&text);
            prop_assert!(!shown.contains(is_hidden));
            prop_assert_eq!(meant(&shown), text);
        }
    }
}
