//! A bar for what takes a while: bytes, rate, time left, files, sources.
//!
//! On standard error, and only where a person watches; otherwise nothing at
//! all. It appears when a fetch has gone on for a moment, so that what is quick
//! stays plain.

use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use thorp_node::api::Progress;

use crate::out::Streams;
use crate::units;

/// What is over by then needs no bar.
const QUICK: Duration = Duration::from_millis(250);

/// A bar, or nothing.
pub struct Bar {
    /// Nothing where nobody watches.
    style: Option<ProgressStyle>,
    /// When the first progress was made.
    since: Option<Instant>,
    /// Once that is a while ago.
    shown: Option<ProgressBar>,
}

impl Bar {
    /// A bar where `streams` has a terminal to draw on.
    pub fn new(streams: Streams, wanted: bool) -> Self {
        let drawn = wanted && streams.stderr && streams.able;
        Self {
            style: drawn.then(|| style(streams.colour)),
            since: None,
            shown: None,
        }
    }

    /// Nothing.
    #[cfg(test)]
    pub const fn none() -> Self {
        Self {
            style: None,
            since: None,
            shown: None,
        }
    }

    /// Shows how far a fetch has come.
    pub fn update(&mut self, progress: &Progress) {
        let Some(style) = &self.style else { return };
        if self.since.get_or_insert_with(Instant::now).elapsed() < QUICK {
            return;
        }
        let bar = self.shown.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            bar.set_style(style.clone());
            bar
        });
        bar.set_length(progress.of_bytes);
        bar.set_position(progress.bytes);
        bar.set_message(message(progress));
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

/// What the bar does not draw by itself: the rate and the time left are the
/// node's, which knows what was there before.
fn message(progress: &Progress) -> String {
    let rate = units::size(progress.rate);
    let left = match progress.eta {
        Some(seconds) => HumanDuration(Duration::from_secs(seconds)).to_string(),
        None => "?".to_owned(),
    };
    let mut text = format!(
        "{rate}/s  {left} left  {}/{} files",
        progress.files, progress.of_files
    );
    if progress.sources > 0 {
        let sources = units::count(progress.sources.into(), "source");
        text.push_str("  ");
        text.push_str(&sources);
    }
    text
}

fn style(colour: bool) -> ProgressStyle {
    let bar = if colour {
        "{wide_bar:.cyan/dim}"
    } else {
        "{wide_bar}"
    };
    ProgressStyle::with_template(&template(bar)).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn template(bar: &str) -> String {
    format!("{bar} {{binary_bytes}}/{{binary_total_bytes}}  {{msg}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        for colour in ["{wide_bar:.cyan/dim}", "{wide_bar}"] {
            assert!(ProgressStyle::with_template(&template(colour)).is_ok());
        }
    }

    #[test]
    fn it_says_how_fast_how_long_yet_and_from_how_many() {
        let progress = Progress {
            files: 1,
            of_files: 2,
            rate: 3 << 20,
            eta: Some(61),
            sources: 3,
            ..Progress::default()
        };
        let text = message(&progress);
        assert_eq!(text, "3.0 MiB/s  61 seconds left  1/2 files  3 sources");
        let small = Progress {
            of_files: 1,
            ..Progress::default()
        };
        assert_eq!(message(&small), "0 B/s  ? left  0/1 files");
    }

    #[test]
    fn without_a_terminal_there_is_none() {
        let progress = Progress::default();
        let streams = Streams {
            stdin: false,
            stdout: false,
            stderr: false,
            able: true,
            colour: true,
        };
        let mut bar = Bar::new(streams, true);
        bar.update(&progress);
        assert!(bar.shown.is_none());
        assert_eq!(Bar::none().above(|| 7), 7);
    }
}
