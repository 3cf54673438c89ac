//! Lays out rows of text in columns: how wide each is, and what gives way in a terminal.
//!
//! The user needs the first column whole. In a terminal the other columns give way to it, form by
//! form, and a row whose first cell is longer than most continues on the next line, so that one
//! long name does not pad all other rows. Outside a terminal every column is shown, and a long
//! cell only shifts what follows it. Owns no wording.

use std::fmt::Write as _;

use crate::fit::{columns, middle};

/// The space between two columns.
const GAP: usize = 2;
/// Outside a terminal, a cell wider than this does not widen its column.
const WIDEST_PADDED: usize = 60;
/// The most lines of a terminal that the first cell takes.
const MOST_LINES: usize = 4;

/// The content of a cell.
#[derive(Clone, Debug)]
pub enum Field {
    /// This text.
    Text(String),
    /// As many of these texts as fit, separated by the second field, and how many more there are.
    Several(Vec<String>, &'static str),
}

/// A selection of columns, by index.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The columns that are shown, in this order.
    pub shown: &'static [usize],
    /// The least width that the last column needs.
    pub least: usize,
}

/// The layout of rows of one kind.
#[derive(Debug)]
pub struct Kind {
    /// The titles of the columns.
    pub head: &'static [&'static str],
    /// The columns that are aligned to the right.
    pub right: &'static [usize],
    /// The first form is shown outside a terminal; each later one takes less room.
    pub forms: &'static [Form],
}

/// The layout of a list. The columns of later rows are at least as wide as those of earlier ones.
#[derive(Debug)]
pub struct ColumnLayout {
    kind: &'static Kind,
    terminal: Option<usize>,
    /// The chosen form and the widths of its columns, once there were rows.
    chosen: Option<(Form, Vec<usize>)>,
}

impl ColumnLayout {
    /// Creates the layout for a terminal of this width, or for other output.
    pub fn new(kind: &'static Kind, terminal: Option<usize>) -> Self {
        Self {
            kind,
            terminal,
            chosen: None,
        }
    }

    /// Returns rows as lines, the first time with the titles of the columns above them.
    pub fn lines(&mut self, rows: &[Vec<Field>]) -> String {
        let is_first = self.chosen.is_none();
        let (form, widths) = match (self.chosen.take(), self.terminal) {
            (None, None) => {
                let form = self.kind.forms[0];
                (form, self.padded(form, rows, &[]))
            }
            (None, Some(terminal)) => self.fitting(terminal, rows),
            (Some((form, before)), None) => (form, self.padded(form, rows, &before)),
            (Some(chosen), Some(_)) => chosen,
        };
        let mut lines = Vec::with_capacity(rows.len() + 1);
        if is_first {
            let head = form.shown.iter().map(|at| self.kind.head[*at].to_owned());
            lines.push(self.line(form, &widths, head.collect()));
        }
        for row in rows {
            let last = form.shown.len() - 1;
            let cells = form.shown.iter().zip(&widths).enumerate();
            let mut cells: Vec<String> = cells
                .map(|(place, (at, width))| {
                    let is_cut = place == last && self.terminal.is_some();
                    row[*at].fitted(is_cut.then_some(*width))
                })
                .collect();
            if let (Some(terminal), Some(first)) = (self.terminal, cells.first_mut()) {
                *first = middle(first, MOST_LINES * terminal);
                if columns(first) > widths[0] && last > 0 {
                    lines.push(std::mem::take(first));
                }
            }
            lines.push(self.line(form, &widths, cells));
        }
        self.chosen = Some((form, widths));
        lines.join("\n")
    }

    /// Pads every cell to the longest of its column, not counting cells that are too long.
    fn padded(&self, form: Form, rows: &[Vec<Field>], before: &[usize]) -> Vec<usize> {
        let width = |(place, at): (usize, &usize)| {
            let cells = rows.iter().map(|row| row[*at].width());
            let widest = cells.filter(|width| *width <= WIDEST_PADDED).max();
            let head = columns(self.kind.head[*at]);
            let before = before.get(place).copied().unwrap_or(0);
            widest.unwrap_or(0).max(head).max(before)
        };
        form.shown.iter().enumerate().map(width).collect()
    }

    /// Returns the first form in which most rows fit, or the next one if all fit into that.
    fn fitting(&self, terminal: usize, rows: &[Vec<Field>]) -> (Form, Vec<usize>) {
        let measured: Vec<Measure> = (0..self.kind.head.len())
            .map(|at| {
                let cells = rows.iter().map(|row| row[at].width());
                Measure::of(cells, columns(self.kind.head[at]))
            })
            .collect();
        let mut chosen = None;
        for form in self.kind.forms {
            let [first, others @ ..] = form.shown else {
                continue;
            };
            let Some((last, middle)) = others.split_last() else {
                continue;
            };
            let middle: usize = middle.iter().map(|at| measured[*at].longest + GAP).sum();
            // A number that is cut reads as another number.
            let last = if self.kind.right.contains(last) {
                measured[*last].longest
            } else {
                measured[*last].most.min(form.least)
            };
            let left = terminal.saturating_sub(middle + last + GAP);
            let longest = measured[*first].longest;
            let name = longest.min(left);
            // Most names fit into the form before: this one is better only if all do.
            if matches!(chosen, Some((_, _, true))) {
                if longest <= left {
                    chosen = Some((*form, name, true));
                }
                break;
            }
            let do_most_fit = measured[*first].most <= left;
            chosen = Some((*form, name, do_most_fit));
            if longest <= left {
                break;
            }
        }
        let (form, name, _) = chosen.unwrap_or((self.kind.forms[0], measured[0].longest, true));
        let mut widths: Vec<usize> = form.shown.iter().map(|at| measured[*at].longest).collect();
        widths[0] = name;
        if let Some((last, before)) = widths.split_last_mut() {
            let taken: usize = before.iter().map(|width| width + GAP).sum();
            *last = (*last).min(terminal.saturating_sub(taken));
        }
        (form, widths)
    }

    fn line(&self, form: Form, widths: &[usize], cells: Vec<String>) -> String {
        let mut line = String::new();
        for ((cell, width), at) in cells.into_iter().zip(widths).zip(form.shown) {
            let padding = width.saturating_sub(columns(&cell));
            let (before, after) = if self.kind.right.contains(at) {
                (padding, 0)
            } else {
                (0, padding)
            };
            line.extend(std::iter::repeat_n(' ', before));
            line.push_str(&cell);
            line.extend(std::iter::repeat_n(' ', after + GAP));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// The widths of the cells in a column.
#[derive(Clone, Copy, Debug)]
struct Measure {
    longest: usize,
    /// A width that at most a quarter of the cells exceed.
    most: usize,
}

impl Measure {
    fn of(widths: impl Iterator<Item = usize>, head: usize) -> Self {
        let mut widths: Vec<usize> = widths.collect();
        widths.sort_unstable();
        let most = widths.len().saturating_sub(1 + widths.len() / 4);
        let most = widths.get(most).copied().unwrap_or(0);
        Self {
            longest: widths.last().copied().unwrap_or(0).max(head),
            most: most.max(head),
        }
    }
}

impl Field {
    fn width(&self) -> usize {
        match self {
            Self::Text(text) => columns(text),
            Self::Several(..) => columns(&self.fitted(None)),
        }
    }

    /// Returns the text, or as much of it as fits into the given width.
    fn fitted(&self, width: Option<usize>) -> String {
        match self {
            Self::Text(text) => match width {
                Some(width) => middle(text, width),
                None => text.clone(),
            },
            Self::Several(all, between) => several(all, between, width),
        }
    }
}

/// The most items of a cell that are shown, however much room there is.
const MOST_SEVERAL: usize = 8;

fn several(all: &[String], between: &str, width: Option<usize>) -> String {
    let hidden = all.len().saturating_sub(MOST_SEVERAL);
    let mut cell = all[..all.len() - hidden].join(between);
    if hidden > 0 {
        let _ = write!(cell, " … and {hidden} more");
    }
    let Some(width) = width else { return cell };
    if columns(&cell) <= width {
        return cell;
    }
    for shown in (1..all.len().min(MOST_SEVERAL + 1)).rev() {
        let cell = format!("{} +{}", all[..shown].join(between), all.len() - shown);
        if columns(&cell) <= width {
            return cell;
        }
    }
    let count = all.len().to_string();
    match all {
        [only] => middle(only, width),
        _ if columns(&count) <= width => count,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind {
        head: &["Name", "Size", "Date", "Held by"],
        right: &[1],
        forms: &[
            Form {
                shown: &[0, 1, 2, 3],
                least: 20,
            },
            Form {
                shown: &[0, 1, 3],
                least: 8,
            },
            Form {
                shown: &[0, 1],
                least: 4,
            },
        ],
    };

    fn row(name: &str, holders: &[&str]) -> Vec<Field> {
        let text = |text: &str| Field::Text(text.into());
        let holders = holders.iter().map(|name| (*name).to_owned()).collect();
        vec![
            text(name),
            text("1.2 KiB"),
            text("2026-11-23"),
            Field::Several(holders, ", "),
        ]
    }

    fn shown(terminal: usize, rows: &[Vec<Field>]) -> String {
        ColumnLayout::new(&KIND, Some(terminal)).lines(rows)
    }

    #[test]
    fn every_column_is_shown_if_there_is_room() {
        let text = shown(
            80,
            &[row("2.txt", &["oak", "elm"]), row("10.txt", &["oak"])],
        );
        let expected = "\
Name       Size  Date        Held by
2.txt   1.2 KiB  2026-11-23  oak, elm
10.txt  1.2 KiB  2026-11-23  oak";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_first_column_stays_whole_and_the_others_give_way() {
        let name = "a-name-of-forty-columns-as-photos-have.x";
        assert_eq!(name.len(), 40);
        let rows = [row(name, &["oak", "elm", "ash"])];
        let at = |terminal| shown(terminal, &rows).lines().last().map(str::to_owned);
        let with = |rest: &str| Some(format!("{name}  1.2 KiB{rest}"));
        assert_eq!(at(80), with("  2026-11-23  oak, elm, ash"));
        assert_eq!(at(70), with("  oak, elm, ash"));
        assert_eq!(at(60), with("  oak +2"));
        assert_eq!(at(50), with(""));
    }

    #[test]
    fn a_few_long_names_take_a_line_of_their_own() {
        let long = "x".repeat(70);
        let rows = [
            row("1.txt", &["oak"]),
            row("2.txt", &["oak"]),
            row(&long, &["oak"]),
            row("3.txt", &["oak"]),
        ];
        let text = shown(60, &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[3], long);
        assert!(lines[4].ends_with("1.2 KiB  2026-11-23  oak"), "{text}");
        let column = |line: &str| line.find("1.2 KiB");
        assert_eq!(column(lines[1]), column(lines[4]));
        let others = lines.iter().filter(|line| **line != long);
        assert!(others.into_iter().all(|line| columns(line) <= 60), "{text}");
    }

    #[test]
    fn a_column_gives_way_where_all_names_fit_without_it() {
        let rows = [
            row("1.txt", &["oak"]),
            row("2.txt", &["oak"]),
            row("3.txt", &["oak"]),
            row("a-longer.txt", &["oak"]),
        ];
        let text = shown(38, &rows);
        assert_eq!(text.lines().count(), 5, "each row on a line:\n{text}");
        assert!(text.ends_with("a-longer.txt  1.2 KiB  oak"), "{text}");
    }

    #[test]
    fn a_size_is_never_cut() {
        let mut rows: Vec<_> = (0..4)
            .map(|n| row(&format!("a-name-of-thirty-columns-{n}.txt"), &["oak"]))
            .collect();
        for row in &mut rows {
            row[1] = Field::Text("7 B".into());
        }
        rows[0][1] = Field::Text("195.3 KiB".into());
        for terminal in 20..60 {
            let text = shown(terminal, &rows);
            assert!(text.contains("195.3 KiB"), "{terminal}:\n{text}");
        }
    }

    #[test]
    fn a_name_of_kilobytes_is_shortened_in_its_middle_in_a_terminal_only() {
        let long = format!("begin{}end.txt", "x".repeat(4000));
        let text = shown(80, &[row(&long, &["oak"])]);
        let line = text.lines().nth(1).expect("a name");
        assert!(line.starts_with("begin") && line.ends_with("end.txt"));
        assert!(line.contains('…') && columns(line) <= 320);
        let whole =
            ColumnLayout::new(&KIND, None).lines(&[row("1.txt", &["oak"]), row(&long, &[])]);
        assert!(whole.contains(&long));
        assert!(
            whole.lines().nth(1).expect("a row").len() < 80,
            "no padding"
        );
    }

    #[test]
    fn no_line_is_wider_than_its_terminal_but_for_a_name() {
        let rows = [
            row("写真 1.jpg", &["oak (192.168.198.137)", "elm", "ash"]),
            row("b", &["a-name-that-is-long (fd00::1234:5678)"; 30]),
        ];
        for terminal in 12..140 {
            for line in shown(terminal, &rows).lines() {
                let is_name = !line.contains("KiB");
                assert!(
                    is_name || columns(line) <= terminal.max(24),
                    "{terminal}: {line}"
                );
            }
        }
    }
}
