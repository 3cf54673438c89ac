//! Numbered choices: formats them, and parses the answers.
//!
//! Owns no terminal and no state; `conversation` asks, `menu` and `get` show.

use std::fmt::Write as _;
use thorp_node::api::FileRow;

use crate::fit::middle;
use crate::listing;
use crate::quoting::quoted;
use crate::words::LONGEST_NAME;

/// The answer to a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The entry at this index.
    At(usize),
    /// None of them.
    Cancel,
    /// Neither: the user has to be asked again.
    Nonsense,
}

fn head(name: &str, variants: &[FileRow]) -> String {
    let shown = middle(&quoted(name), LONGEST_NAME);
    let is_called_so =
        |row: &FileRow| row.name == name || row.name.rsplit('/').next() == Some(name);
    match variants {
        // A single file with exactly this name would have been fetched without a question.
        [row] if is_called_so(row) => format!(
            "A file that is hidden, or that programs act on by themselves, is called {shown}:"
        ),
        [_] => format!("No file is called exactly {shown}, but this one looks like it:"),
        rows if !rows.iter().any(is_called_so) => {
            format!("No file is called exactly {shown}, but these look like it:")
        }
        _ => format!("Several files are called {shown}:"),
    }
}

/// Formats a numbered choice of several contents with one name.
pub fn contents(name: &str, variants: &[FileRow]) -> String {
    let shown = |name: &str| middle(&quoted(name), LONGEST_NAME);
    let mut text = head(name, variants);
    for (n, row) in variants.iter().enumerate() {
        let _ = write!(text, "\n{:>3}. ", n + 1);
        if row.name != name {
            let _ = write!(text, "{}  ", shown(&row.name));
        }
        text.push_str(&listing::variant(row));
    }
    text.push_str(match variants {
        [_] => "\nType 1 to fetch it, or nothing to cancel.",
        _ => "\nWhich one? Type its number, or nothing to cancel.",
    });
    text
}

/// Parses the answer to a choice of `count` things.
pub fn pick(line: &str, count: usize) -> Pick {
    let line = line.trim().trim_end_matches('.').to_lowercase();
    if matches!(
        line.as_str(),
        "" | "c" | "cancel" | "q" | "n" | "no" | "none"
    ) {
        return Pick::Cancel;
    }
    match line.parse::<usize>() {
        Ok(n) if (1..=count).contains(&n) => Pick::At(n - 1),
        _ => Pick::Nonsense,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn contents_are_numbered() {
        let mut second = samples::file("papers/2.txt");
        second.length = 77;
        let text = contents("2.txt", &[samples::file("2.txt"), second]);
        let expected = "\
Several files are called 2.txt:
  1. 1.2 KiB  2026-11-23 04:44 UTC  3f2a9c01d2e4  oak (192.168.198.138)
  2. papers/2.txt  77 B  2026-11-23 04:44 UTC  3f2a9c01d2e4  oak (192.168.198.138)
Which one? Type its number, or nothing to cancel.";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_number_picks_nothing_cancels_and_the_rest_is_nonsense() {
        assert_eq!(pick(" 2 ", 2), Pick::At(1));
        assert_eq!(pick("1.", 2), Pick::At(0));
        assert_eq!(pick("", 2), Pick::Cancel);
        assert_eq!(pick("Cancel", 2), Pick::Cancel);
        assert_eq!(pick("n", 2), Pick::Cancel);
        for nonsense in ["0", "3", "-1", "two", "99999999999999999999"] {
            assert_eq!(pick(nonsense, 2), Pick::Nonsense, "{nonsense}");
        }
    }
}
