//! A bar for what takes a while: bytes, rate, time left, files, sources.
//!
//! On standard error, and only where that is a terminal; otherwise nothing at
//! all. It appears when a fetch has gone on for a moment, so that what is quick
//! stays plain.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use thorp_node::api::{Member, Progress};
use thorp_node::printable::printable;

use crate::fit::{clip, columns};
use crate::out::Terminals;
use crate::wrap;
use crate::{units, words};

/// What is over by then needs no bar.
const QUICK: Duration = Duration::from_millis(250);

/// Of a terminal that does not say how wide it is.
const USUAL_WIDTH: usize = 80;

/// How often the bar is drawn at most.
const DRAWN_A_SECOND: u8 = 20;

/// A bar, or nothing.
pub struct Bar {
    /// Whether in colour; nothing where no bar is drawn.
    colour: Option<bool>,
    /// When the first progress was made.
    since: Option<Instant>,
    /// Once that is a while ago.
    shown: Option<ProgressBar>,
}

impl Bar {
    /// A bar where `terminals` has a terminal to draw on.
    pub fn new(terminals: Terminals, wanted: bool) -> Self {
        let drawn = wanted && terminals.stderr && terminals.able;
        Self {
            colour: drawn.then_some(terminals.colour),
            since: None,
            shown: None,
        }
    }

    /// Nothing.
    #[cfg(test)]
    pub const fn none() -> Self {
        Self {
            colour: None,
            since: None,
            shown: None,
        }
    }

    /// Shows how far a fetch has come.
    pub fn update(&mut self, progress: &Progress) {
        let Some(colour) = self.colour else {
            return;
        };
        if self.since.get_or_insert_with(Instant::now).elapsed() < QUICK {
            return;
        }
        let bar = self.shown.get_or_insert_with(|| {
            let terminal = Box::new(Terminal::new(io::stderr()));
            let target = ProgressDrawTarget::term_like_with_hz(terminal, DRAWN_A_SECOND);
            ProgressBar::with_draw_target(Some(0), target)
        });
        let width = wrap::width(io::stderr()).unwrap_or(USUAL_WIDTH);
        let (message, columns) = message(progress, width);
        bar.set_style(style(columns, colour));
        bar.set_length(progress.of_bytes);
        bar.set_position(progress.bytes);
        bar.set_message(message);
    }

    /// Runs `write`, whose lines appear above the bar.
    pub fn above<R>(&self, write: impl FnOnce() -> R) -> R {
        match &self.shown {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the bar away; the next progress shows another one.
    pub fn finish(&mut self) {
        self.since = None;
        if let Some(bar) = self.shown.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The terminal that the bar is drawn on. Between two drawings the cursor stands where the bar
/// begins: at its end, the next key that is typed would break the line, and leave the bar there.
#[derive(Debug)]
struct Terminal<W> {
    /// A drawing is written in one go.
    drawn: Mutex<String>,
    out: Mutex<W>,
}

impl<W> Terminal<W> {
    fn new(out: W) -> Self {
        let (drawn, out) = (Mutex::default(), Mutex::new(out));
        Self { drawn, out }
    }

    fn draw(&self, text: &str) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        drawn.push_str(text);
    }

    fn order(&self, times: usize, order: char) {
        if times > 0 {
            self.draw(&format!("\x1b[{times}{order}"));
        }
    }
}

impl<W: Write + fmt::Debug + Send> TermLike for Terminal<W> {
    fn width(&self) -> u16 {
        let width = wrap::width(io::stderr()).unwrap_or(USUAL_WIDTH);
        u16::try_from(width).unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.order(lines, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.order(lines, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.order(columns, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.order(columns, 'D');
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.draw(text);
        self.draw("\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.draw(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.draw("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.draw("\r");
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(drawn.as_bytes())?;
        drawn.clear();
        out.flush()
    }
}

/// The least of a bar that shows anything.
const LEAST_BAR: usize = 8;

/// Columns that stay free: a terminal shows `^C` there, and breaks the line where
/// it does not fit.
const FREE: usize = 3;

/// What is said beside the bar in so many columns, and how many are left for the
/// bar: always one line, for a line that the terminal has broken cannot be erased.
/// The rate and the time left are the node's, which knows what was there before.
fn message(progress: &Progress, width: usize) -> (String, usize) {
    let width = width.saturating_sub(FREE);
    let (usual, bar) = usual(progress, width);
    let Some(silence) = silence(progress).filter(|_| bar > 0) else {
        return (usual, bar);
    };
    // It stands where the rate and what follows would, and the bar gives way.
    let [percent, bytes, ..] = parts(progress);
    let text = clip(&format!("{percent}  {bytes}  {silence}"), width);
    let missing = columns(&usual).saturating_sub(columns(&text));
    let text = text + &" ".repeat(missing);
    let left = width.saturating_sub(columns(&text) + 1);
    (text, if left < LEAST_BAR { 0 } else { left })
}

/// From which holders nothing comes, and for how long.
fn silence(progress: &Progress) -> Option<String> {
    let silent = progress.silent?;
    let is_busy = progress.sources == 0 && progress.busy > 0;
    let called = |member: &Member| match &member.name {
        Some(name) => printable(name).to_string(),
        None => words::called(member),
    };
    let whom = match &progress.waiting_for[..] {
        _ if is_busy => return None,
        [] => "a holder".to_owned(),
        [one] => called(one),
        [one, other] => format!("{} and {}", called(one), called(other)),
        // There may be more than are named.
        [one, others @ ..] if others.len() + 1 >= Progress::MOST_NAMED => {
            format!("{} and others", called(one))
        }
        [one, others @ ..] => format!("{} and {} others", called(one), others.len()),
    };
    let silent = match silent {
        0..120 => format!("{silent} s"),
        _ => format!("{} min", silent / 60),
    };
    Some(format!("waiting for {whom}, silent for {silent}"))
}

/// The same while bytes come.
fn usual(progress: &Progress, width: usize) -> (String, usize) {
    let all = parts(progress);
    let [percent, bytes, rate, left, short_left, files, sources] =
        all.each_ref().map(String::as_str);
    let one = if progress.of_files == 1 { "" } else { files };
    // What can be done without goes first.
    let choices: [&[&str]; 8] = [
        &[percent, bytes, rate, left, files, sources],
        &[percent, bytes, rate, left, one, sources],
        &[percent, bytes, rate, short_left, one, sources],
        &[percent, bytes, rate, short_left, one],
        &[percent, bytes, rate, short_left],
        &[percent, bytes, rate],
        &[percent, bytes],
        &[percent],
    ];
    let texts = choices.map(|parts| {
        let parts: Vec<_> = parts
            .iter()
            .copied()
            .filter(|part| !part.is_empty())
            .collect();
        parts.join("  ")
    });
    let fits = |beside: usize| {
        let fitting = texts.iter().find(|text| text.len() + beside <= width);
        fitting.cloned()
    };
    let with_bar = fits(1 + LEAST_BAR).filter(|text| text.trim() != percent.trim());
    match with_bar {
        Some(text) => {
            let bar = width - text.len() - 1;
            (text, bar)
        }
        None => (fits(0).unwrap_or_default(), 0),
    }
}

/// Per cent, bytes, rate, time left, the same in short, files, sources. Each is as wide
/// as it may become, so that the bar beside them keeps its width.
fn parts(progress: &Progress) -> [String; 7] {
    let of = units::size(progress.of_bytes);
    let left = progress.eta.map(Duration::from_secs).map(HumanDuration);
    let (left, short) = match left {
        Some(left) => (format!("{left} left"), format!("{left:#} left")),
        None => ("? left".to_owned(), "? left".to_owned()),
    };
    let sources = match progress.sources {
        0 if progress.busy > 0 => "the holders are busy: waiting".to_owned(),
        0 => String::new(),
        sources => units::count(sources.into(), "source"),
    };
    let bytes = format!("{}/{of}", units::size(progress.bytes));
    let files = format!("{}/{} files", progress.files, progress.of_files);
    let all_files = format!("{0}/{0} files", progress.of_files).len();
    [
        format!("{:>4}", percent(progress)),
        format!("{bytes:>0$}", SIZE + 1 + of.len()),
        format!(
            "{:>1$}",
            format!("{}/s", units::size(progress.rate)),
            SIZE + 2
        ),
        format!("{left:<0$}", "59 minutes left".len()),
        format!("{short:<0$}", "59s left".len()),
        format!("{files:>all_files$}"),
        format!("{sources:<0$}", "99 sources".len()),
    ]
}

/// The widest size there is.
const SIZE: usize = "1023.9 MiB".len();

fn percent(progress: &Progress) -> String {
    let of = u128::from(progress.of_bytes.max(1));
    format!("{}%", u128::from(progress.bytes) * 100 / of)
}

/// How a bar of so many columns is drawn.
fn style(columns: usize, colour: bool) -> ProgressStyle {
    let template = template(columns, colour);
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn template(columns: usize, colour: bool) -> String {
    match (columns, colour) {
        (0, _) => "{msg}".to_owned(),
        (columns, true) => format!("{{bar:{columns}.cyan/dim}} {{msg}}"),
        (columns, false) => format!("{{bar:{columns}}} {{msg}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        for (columns, colour) in [(0, true), (20, true), (20, false)] {
            assert!(ProgressStyle::with_template(&template(columns, colour)).is_ok());
        }
    }

    #[test]
    fn after_each_drawing_the_cursor_stands_at_the_begin_of_the_bar() {
        #[derive(Clone, Debug, Default)]
        struct Screen(std::sync::Arc<Mutex<Vec<u8>>>);
        impl Write for Screen {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().expect("no writer panics").write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let screen = Screen::default();
        let terminal = Box::new(Terminal::new(screen.clone()));
        let target = ProgressDrawTarget::term_like(terminal);
        let bar = ProgressBar::with_draw_target(Some(10), target);
        bar.set_style(style(20, false));
        bar.set_message("5 of 10");
        bar.tick();
        let drawn = screen.0.lock().expect("no writer panics").clone();
        let drawn = String::from_utf8(drawn).expect("is text");
        assert!(drawn.contains("5 of 10"), "{drawn:?}");
        assert!(drawn.ends_with('\r'), "{drawn:?}");
    }

    /// As it reads, without what keeps the columns.
    fn read(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn it_says_how_far_how_fast_how_long_yet_and_from_how_many() {
        let progress = Progress {
            files: 1,
            of_files: 2,
            bytes: 1 << 20,
            of_bytes: 4 << 20,
            rate: 3 << 20,
            eta: Some(61),
            sources: 3,
            ..Progress::default()
        };
        let (text, _) = message(&progress, 200);
        assert_eq!(
            read(&text),
            "25% 1.0 MiB/4.0 MiB 3.0 MiB/s 61 seconds left 1/2 files 3 sources"
        );
        let small = Progress {
            of_files: 1,
            ..Progress::default()
        };
        let (text, _) = message(&small, 200);
        assert_eq!(read(&text), "0% 0 B/0 B 0 B/s ? left 0/1 files");
        let waits = Progress { busy: 2, ..small };
        let (text, _) = message(&waits, 200);
        assert!(text.ends_with("  the holders are busy: waiting"), "{text}");
    }

    #[test]
    fn a_narrow_terminal_gets_one_line_all_the_same() {
        let progress = Progress {
            bytes: 12 << 20,
            of_bytes: 20 << 20,
            of_files: 1,
            rate: 3 << 20,
            eta: Some(61),
            sources: 3,
            ..Progress::default()
        };
        let said = [
            (
                80,
                "60% 12.0 MiB/20.0 MiB 3.0 MiB/s 61 seconds left 3 sources",
            ),
            (75, "60% 12.0 MiB/20.0 MiB 3.0 MiB/s 61s left 3 sources"),
            (65, "60% 12.0 MiB/20.0 MiB 3.0 MiB/s 61s left"),
            (55, "60% 12.0 MiB/20.0 MiB 3.0 MiB/s"),
            (40, "60% 12.0 MiB/20.0 MiB"),
            (10, "60%"),
            (2, ""),
        ];
        for (width, expected) in said {
            let (text, bar) = message(&progress, width);
            assert_eq!(read(&text), expected, "{width}");
            let has_bar = bar > 0;
            assert_eq!(has_bar, width >= 40, "{width}");
            assert!(text.len() + bar < width, "{width}");
        }
    }

    #[test]
    fn while_nothing_comes_it_says_for_whom_it_waits_and_how_long_that_one_was_silent() {
        let member = |name: &str| Member {
            id: "a".repeat(52),
            name: (!name.is_empty()).then(|| name.to_owned()),
            address: "10.0.0.7".to_owned(),
            port: 3334,
        };
        let at = |silent, names: &[&str]| Progress {
            bytes: 12 << 20,
            of_bytes: 20 << 20,
            of_files: 1,
            silent: Some(silent),
            waiting_for: names.iter().copied().map(member).collect(),
            ..Progress::default()
        };
        let said = |progress: &Progress, width| {
            let (text, bar) = message(progress, width);
            assert!(columns(&text) + bar < width, "{text:?} of {width}");
            let text = read(&text).replacen("60% 12.0 MiB/20.0 MiB ", "", 1);
            (text, bar)
        };
        for (names, whom) in [
            (&["ash"][..], "ash"),
            (&["ash", "oak"], "ash and oak"),
            (&["ash", "oak", "elm"], "ash and 2 others"),
            (&["ash"; 8], "ash and others"),
            (&[""], "10.0.0.7"),
            (&[], "a holder"),
        ] {
            let (text, bar) = said(&at(9, names), 80);
            assert_eq!(text, format!("waiting for {whom}, silent for 9 s"));
            assert_eq!(bar >= LEAST_BAR, names.len() < 3, "{bar}");
        }
        // The bar stays as it was, as far as there is room.
        let usual = message(&at(0, &["ash"]), 120);
        for silent in [2, 60, 119, 120, 6000] {
            assert_eq!(message(&at(silent, &["ash"]), 120).1, usual.1);
        }
        assert_eq!(
            said(&at(6000, &["ash"]), 120).0,
            "waiting for ash, silent for 100 min"
        );
        let narrow = said(&at(9, &["a-rather-long-name-of-a-machine"]), 60);
        assert_eq!(narrow.1, 0);
        assert!(narrow.0.starts_with("waiting for a-rather"), "{narrow:?}");
        // Where it is known that the holders are busy, that says more.
        let busy = Progress {
            busy: 1,
            ..at(9, &["ash"])
        };
        assert!(
            said(&busy, 200)
                .0
                .ends_with("the holders are busy: waiting")
        );
    }

    #[test]
    fn the_bar_keeps_its_width_while_the_figures_change() {
        for width in [50, 80, 120] {
            let at = |part: u64| Progress {
                files: part / 10,
                of_files: 100,
                bytes: part << 20,
                of_bytes: 1000 << 20,
                rate: 1 << (part / 40),
                eta: (!part.is_multiple_of(7)).then_some(3600 - 3 * part),
                sources: 1 + u32::try_from(part / 100).expect("small"),
                ..Progress::default()
            };
            let bars = (0..=1000).map(|part| message(&at(part), width).1);
            let bars: std::collections::BTreeSet<usize> = bars.collect();
            assert_eq!(bars.len(), 1, "{bars:?} of {width}");
        }
    }

    #[test]
    fn without_a_terminal_there_is_none() {
        let progress = Progress::default();
        let terminals = Terminals {
            stdin: false,
            stdout: false,
            stderr: false,
            able: true,
            colour: true,
            in_foreground: true,
        };
        let mut bar = Bar::new(terminals, true);
        bar.update(&progress);
        assert!(bar.shown.is_none());
        assert_eq!(Bar::none().above(|| 7), 7);
    }
}
