//! Names made safe to show.
//!
//! A name comes from somebody else's disk. What would move the cursor, colour
//! the terminal, reorder the line or hide is written as an escape; everything
//! else stays as it is. Owns no layout.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with control, bidirectional and invisible characters escaped.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if is_unsafe(c) => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// [`printable`] for a text of several lines: the line breaks stay.
pub fn printable_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(printable).collect();
    lines.join("\n")
}

/// A name for a cell that holds several, separated by spaces.
///
/// A name with white space, a `|` (the tables' own border) or a quote in it, or
/// an empty one, is put between double quotes, in which `"` and `\` are written
/// `\"` and `\\`. So every cell reads back into exactly the names it was made of.
pub fn quoted(name: &str) -> Cow<'_, str> {
    let plain = !name.is_empty()
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c == '"' || c == '|');
    if plain {
        return printable(name);
    }
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
    Cow::Owned(format!("\"{}\"", printable(&escaped)))
}

/// What a person typed: a name as it is, or as [`quoted`] shows it.
pub fn unquoted(typed: &str) -> String {
    let typed = typed.trim();
    let Some(inner) = typed
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return typed.to_owned();
    };
    let mut name = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some(c @ ('"' | '\\')) => name.push(c),
                _ => return typed.to_owned(),
            },
            '"' => return typed.to_owned(),
            c => name.push(c),
        }
    }
    name
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay() {
        for name in ["3.txt", "übung.pdf", "写真 1.jpg", "-rf", "a\\b"] {
            assert!(matches!(printable(name), Cow::Borrowed(_)), "{name}");
        }
    }

    #[test]
    fn what_moves_or_hides_is_escaped() {
        assert_eq!(printable("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable("exe.\u{202e}txt"), "exe.\\u{202e}txt");
        assert_eq!(printable("a\nb\u{9b}\u{feff}"), "a\\nb\\u{9b}\\u{feff}");
        assert_eq!(printable_lines("one\ntwo\x07"), "one\ntwo\\u{7}");
    }

    #[test]
    fn a_cell_reads_back_into_its_names() {
        for name in [
            "a b",
            "say \"hi\"",
            "a|b",
            "back\\slash here",
            "3.txt",
            " x ",
        ] {
            assert_eq!(unquoted(&quoted(name)), name);
        }
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("3.txt"), "3.txt");
    }

    #[test]
    fn half_quoted_is_taken_as_typed() {
        assert_eq!(unquoted("  3.txt\t"), "3.txt");
        assert_eq!(unquoted("\"half"), "\"half");
        assert_eq!(unquoted("\"a\"b\""), "\"a\"b\"");
        assert_eq!(unquoted("\""), "\"");
    }
}
