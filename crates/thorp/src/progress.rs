//! A bar for what takes a while: bytes, rate, time left, files.
//!
//! On standard error, and only where a person watches; otherwise nothing at
//! all. It appears when a fetch has gone on for a moment, so that what is quick
//! stays plain.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use thorp_node::api::Progress;

use crate::out::Streams;

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
        bar.set_message(format!("{}/{} files", progress.files, progress.of_files));
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

fn style(colour: bool) -> ProgressStyle {
    let bar = if colour {
        "{wide_bar:.cyan/dim}"
    } else {
        "{wide_bar}"
    };
    let template =
        format!("{bar} {{bytes}}/{{total_bytes}}  {{bytes_per_sec}}  {{eta}} left  {{msg}}");
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        for colour in ["{wide_bar:.cyan/dim}", "{wide_bar}"] {
            let template =
                format!("{colour} {{bytes}}/{{total_bytes}} {{bytes_per_sec}} {{eta}} {{msg}}");
            assert!(ProgressStyle::with_template(&template).is_ok());
        }
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
