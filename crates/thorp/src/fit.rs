//! Fits names into a cell: as many as there is room for, and how many more there are.

use ratatui::text::Span;
use std::fmt::Write as _;

use crate::quoting::quoted;

/// Returns at most `max_lines` lines of at most `width` columns; `total` names exist.
///
/// Invariant: returns at least one line, and always says how many names were left out (if there is
/// room for that).
pub fn names(names: &[String], total: u64, width: usize, max_lines: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut placed: Vec<usize> = vec![0];
    let mut count = 0;
    for name in names {
        let name = middle(&quoted(name), width);
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(&name);
        } else if columns(line) + 1 + columns(&name) <= width {
            line.push(' ');
            line.push_str(&name);
        } else if lines.len() < max_lines {
            lines.push(name);
            placed.push(0);
        } else {
            break;
        }
        count += 1;
        if let Some(n) = placed.last_mut() {
            *n += 1;
        }
    }
    if total <= count {
        return lines;
    }
    // Names on the last line are removed to make room for the remark.
    let on_last = placed.last().copied().unwrap_or(0);
    let first_on_last = usize::try_from(count).unwrap_or(0) - on_last;
    for keep in (0..=on_last).rev() {
        let kept = &names[first_on_last..first_on_last + keep];
        let mut line = kept
            .iter()
            .map(|n| middle(&quoted(n), width))
            .collect::<Vec<_>>()
            .join(" ");
        let hidden = total - (first_on_last + keep) as u64;
        if !line.is_empty() {
            line.push(' ');
        }
        let _ = write!(line, "… and {hidden} more");
        if columns(&line) <= width || keep == 0 {
            lines.pop();
            lines.push(clip(&line, width));
            break;
        }
    }
    lines
}

/// Returns `text`, or its beginning and an ellipsis.
pub fn clip(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let (mut clipped, mut taken) = (String::new(), 0);
    for c in text.chars() {
        taken += columns(c.encode_utf8(&mut [0; 4]));
        if taken + 1 > width {
            break;
        }
        clipped.push(c);
    }
    clipped.push('…');
    clipped
}

/// Returns `text`, or its beginning and end with an ellipsis between them, because long names
/// often differ only at their ends.
pub fn middle(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let (mut end, mut taken) = (text.len(), 0);
    for (at, c) in text.char_indices().rev() {
        taken += columns(c.encode_utf8(&mut [0; 4]));
        if taken > room / 2 {
            break;
        }
        end = at;
    }
    let end = &text[end..];
    clip(text, width - columns(end).min(width)) + end
}

/// Returns the width of `text` in columns of a terminal.
pub fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(list: &[&str], total: u64, width: usize, lines: usize) -> Vec<String> {
        let list: Vec<_> = list.iter().map(|n| (*n).to_owned()).collect();
        names(&list, total, width, lines)
    }

    #[test]
    fn names_that_fit_are_shown() {
        assert_eq!(fitted(&["1.txt", "2.txt"], 2, 11, 1), ["1.txt 2.txt"]);
        assert_eq!(fitted(&["1.txt", "2.txt"], 2, 10, 2), ["1.txt", "2.txt"]);
        assert_eq!(fitted(&[], 0, 10, 2), [""]);
    }

    #[test]
    fn names_that_do_not_fit_are_counted() {
        let four = ["aaaa", "bbbb", "cccc", "dddd"];
        assert_eq!(fitted(&four, 4, 19, 1), ["aaaa bbbb cccc dddd"]);
        assert_eq!(fitted(&four, 4, 18, 1), ["aaaa … and 3 more"]);
        assert_eq!(fitted(&four, 4, 14, 2), ["aaaa bbbb cccc", "dddd"]);
        assert_eq!(
            fitted(&four, 40, 14, 2),
            ["aaaa bbbb cccc", "… and 37 more"]
        );
        assert_eq!(fitted(&["a"], 9000, 20, 1), ["a … and 8999 more"]);
    }

    #[test]
    fn a_long_name_keeps_its_beginning_and_its_end() {
        assert_eq!(middle("slides-of-monday.pdf", 20), "slides-of-monday.pdf");
        assert_eq!(middle("slides-of-monday.pdf", 13), "slides…ay.pdf");
        assert_eq!(middle("写真写真写真.jpg", 9), "写真….jpg");
        assert_eq!(middle("slides", 1), "…");
    }

    #[test]
    fn no_line_is_too_wide() {
        let list = ["写真 1.jpg", "a very long name indeed.pdf", "x"];
        for width in 1..40 {
            for lines in 1..4 {
                for line in fitted(&list, 7, width, lines) {
                    assert!(columns(&line) <= width, "{width}: {line}");
                }
            }
        }
    }
}
