//! The log on standard error: how much is logged, and in which form.
//!
//! `-v` says how much thorp's own crates log; `RUST_LOG` refines that, or replaces it where there
//! is no `-v`. What a node shows and says is not logged here: see `lines`.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::out::{self, Terminals};

/// The variable that says what is logged, as in other programs.
const VARIABLE: &str = "RUST_LOG";

/// The crates that `-v` is about.
const OWN: [&str; 7] = [
    "thorp",
    "thorp_node",
    "thorp_web",
    "thorp_group",
    "thorp_files",
    "thorp_core",
    "thorp_wire",
];

/// The form of the lines of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts to log. Says so if `RUST_LOG` is not understood; the log then goes by `-v` alone.
pub fn start(verbose: u8, format: LogFormat) {
    let (directives, wrong) = directives(verbose, &variable());
    if let Some(why) = wrong {
        out::talk(&why);
    }
    let Some(directives) = directives else { return };
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives))
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(Terminals::detect().colour_on_stderr()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// Whether anything is logged.
pub fn is_on(verbose: u8) -> bool {
    directives(verbose, &variable()).0.is_some()
}

/// Returns what asks for a log, if anything does.
pub fn asked_by(verbose: u8) -> Option<&'static str> {
    let by = if verbose > 0 { "-v" } else { VARIABLE };
    is_on(verbose).then_some(by)
}

fn variable() -> String {
    std::env::var(VARIABLE).unwrap_or_default()
}

/// Returns what is logged, if anything is, and what is wrong with the variable.
fn directives(verbose: u8, variable: &str) -> (Option<String>, Option<String>) {
    let level = match verbose {
        0 => None,
        1 => Some("info"),
        2 => Some("debug"),
        _ => Some("trace"),
    };
    let own = level.map(|level| OWN.map(|name| format!("{name}={level}")).join(","));
    let variable = variable.trim();
    let wrong = EnvFilter::builder().parse(variable).err();
    let wrong = wrong.map(|why| {
        format!(
            "{VARIABLE} is left out of account ({why}): it takes levels, such as \
             info or thorp_node=debug"
        )
    });
    let refined = match (own, wrong.is_some() || variable.is_empty()) {
        (own, true) => own,
        (None, false) => Some(variable.to_owned()),
        // Of two directives for one crate the later one counts.
        (Some(own), false) => Some(format!("{own},{variable}")),
    };
    (refined, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(verbose: u8, variable: &str) -> Option<String> {
        let (directives, wrong) = directives(verbose, variable);
        assert_eq!(wrong, None);
        directives
    }

    #[test]
    fn nothing_is_logged_unless_it_is_asked_for() {
        assert_eq!(logged(0, ""), None);
        assert_eq!(logged(0, " "), None);
    }

    #[test]
    fn the_variable_refines_the_flag() {
        let own = logged(1, "").expect("a log");
        assert!(own.starts_with("thorp=info,thorp_node=info,"), "{own}");
        assert!(logged(3, "").expect("a log").contains("thorp_core=trace"));
        assert_eq!(logged(0, "warn").as_deref(), Some("warn"));
        let both = logged(1, "thorp_node=debug").expect("a log");
        assert_eq!(both, format!("{own},thorp_node=debug"));
    }

    #[test]
    fn a_variable_that_is_not_understood_is_told_and_left_out() {
        let (directives, wrong) = directives(1, "thorp=loudly");
        assert_eq!(directives, logged(1, ""));
        let wrong = wrong.expect("a message");
        assert!(wrong.starts_with("RUST_LOG is left out"), "{wrong}");
        assert_eq!(super::directives(0, "thorp=loudly").0, None);
    }
}
