//! Shows names from other members on one line: escaped, and quoted where a space would split them.
//!
//! Characters that cannot be shown are escaped by `thorp_node::printable`. Owns no layout.

use std::fmt::Write as _;

use thorp_node::printable::printable;

/// Returns a sentence whose foreign parts are escaped already: keeps its own line breaks, and does
/// not double backslashes again.
pub fn printable_lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.trim_end_matches('\n').chars() {
        if c == '\n' {
            shown.push(c);
        } else {
            let _ = write!(shown, "{}", printable(c.encode_utf8(&mut [0; 4])));
        }
    }
    shown
}

/// Returns a name for a cell with several names that are separated by spaces.
///
/// A name that is empty, or contains white space, a `|` (the border of the tables) or a double
/// quote, is put in double quotes, in which `"` and `\` are written as `\"` and `\\`. So the exact
/// names can be read back from any cell.
pub fn quoted(name: &str) -> String {
    let splits = |c: char| c.is_whitespace() || c == '"' || c == '|';
    if !name.is_empty() && !name.contains(splits) {
        return printable(name).to_string();
    }
    let mut quoted = String::from('"');
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
            quoted.push(c);
        } else {
            // Writing to a string never fails.
            let _ = write!(quoted, "{}", printable(c.encode_utf8(&mut [0; 4])));
        }
    }
    quoted.push('"');
    quoted
}

/// Returns a name as it must be typed in a shell.
pub fn for_shell(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-/+,:@%=".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', r"'\''"))
}

/// Parses what a user typed: a plain name, or one as [`quoted`] shows it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_stay_and_nothing_else() {
        assert_eq!(printable_lines("one\ntwo\x07\n"), "one\ntwo\\x07");
        let name = printable("a\nb").to_string();
        assert_eq!(printable_lines(&name), name, "escaped once");
    }

    #[test]
    fn a_cell_reads_back_into_its_names() {
        for name in [
            "a b",
            "say \"hi\"",
            "a|b",
            "back\\slash here",
            "two \\\\ of them",
            "3.txt",
            " x ",
        ] {
            assert_eq!(unquoted(&quoted(name)), name);
        }
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("3.txt"), "3.txt");
        assert_eq!(quoted("a\n\x1b"), "\"a\\n\\x1b\"");
    }

    #[test]
    fn a_quoted_name_is_one_word_to_a_shell() {
        for (name, typed) in [
            ("2.txt", "2.txt"),
            ("a b", "'a b'"),
            ("slides/**", "'slides/**'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(for_shell(name), typed);
        }
    }

    #[test]
    fn a_half_quoted_name_is_taken_as_typed() {
        assert_eq!(unquoted("  3.txt\t"), "3.txt");
        assert_eq!(unquoted("\"half"), "\"half");
        assert_eq!(unquoted("\"a\"b\""), "\"a\"b\"");
        assert_eq!(unquoted("\""), "\"");
    }
}
