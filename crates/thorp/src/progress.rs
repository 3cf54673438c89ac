//! A bar for what takes a while: bytes, rate, time left, files.
//!
//! On standard error, and only where a person watches; otherwise nothing at
//! all. It appears with the first progress, so that what is quick stays plain.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use thorp_node::api::Progress;

use crate::out::Streams;

/// A bar, or nothing.
#[derive(Debug)]
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// A bar where `streams` has a terminal to draw on.
    pub fn new(streams: Streams, wanted: bool) -> Self {
        if !(wanted && streams.stderr && streams.able) {
            return Self::none();
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        bar.set_style(style(streams.colour));
        Self(Some(bar))
    }

    /// Nothing.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Shows how far a fetch has come.
    pub fn update(&self, progress: &Progress) {
        let Some(bar) = &self.0 else { return };
        bar.set_length(progress.of_bytes);
        bar.set_position(progress.bytes);
        bar.set_message(format!("{}/{} files", progress.files, progress.of_files));
    }

    /// Runs `write`, whose lines appear above the bar.
    pub fn above<R>(&self, write: impl FnOnce() -> R) -> R {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the bar away, and is ready for another one.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
            bar.reset();
        }
    }
}

fn style(colour: bool) -> ProgressStyle {
    let bar = if colour {
        "{bar:30.cyan/dim}"
    } else {
        "{bar:30}"
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
        for colour in ["{bar:30.cyan/dim}", "{bar:30}"] {
            let template =
                format!("{colour} {{bytes}}/{{total_bytes}} {{bytes_per_sec}} {{eta}} {{msg}}");
            assert!(ProgressStyle::with_template(&template).is_ok());
        }
    }

    #[test]
    fn without_a_terminal_there_is_none() {
        let streams = Streams {
            stdin: false,
            stdout: false,
            stderr: false,
            able: true,
            colour: true,
        };
        assert!(Bar::new(streams, true).0.is_none());
        assert_eq!(Bar::none().above(|| 7), 7);
    }
}
