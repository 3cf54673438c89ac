//! Shows a long list in a pager, as git does: `$PAGER`, otherwise `less`, which ends by itself if
//! the list fits on the screen.
//!
//! Only in a terminal. The pager is started with the first line, so that an earlier error is shown
//! as usual. Owns the process of the pager.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::out::StandardOutput;
use crate::signals::{Means, Signals};

/// A pager, or none.
#[derive(Clone, Default)]
pub struct Pager(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The command to start, unless it was started.
    wanted: Option<Command>,
    running: Option<Child>,
}

/// A stream of the process that goes to the pager once that runs.
pub struct Paged<W> {
    pager: Pager,
    otherwise: W,
    /// Whether writing starts the pager: data does. Talk on the same terminal only follows it.
    starts: bool,
    follows: bool,
}

impl Pager {
    /// Returns the pager that the user wants, to be started with the first line of data.
    pub fn wanted() -> Self {
        let state = State {
            wanted: command(|name| env::var(name).ok()),
            running: None,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Returns no pager.
    pub fn none() -> Self {
        Self::default()
    }

    /// Returns this standard output; with the first line the pager takes its place.
    pub fn data(&self, otherwise: StandardOutput) -> Paged<StandardOutput> {
        Paged {
            pager: self.clone(),
            otherwise,
            starts: true,
            follows: true,
        }
    }

    /// Returns standard error; it goes through the pager if `follows`, because it is the same
    /// terminal.
    pub fn talk(&self, follows: bool) -> Paged<io::Stderr> {
        Paged {
            pager: self.clone(),
            otherwise: io::stderr(),
            starts: false,
            follows,
        }
    }

    /// Tells the pager that the list is complete, and waits until the user has left it.
    pub async fn close(self, signals: &mut Signals) {
        let running = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.wanted = None;
            state.running.take()
        };
        let Some(mut running) = running else { return };
        drop(running.stdin.take());
        let mut ended = thorp_disk::spawn(move |_| running.wait());
        loop {
            tokio::select! {
                _ = &mut ended => return,
                // An interrupt is meant for the pager: it ends a search in it.
                means = signals.which() => if means == Means::End {
                    return;
                },
            }
        }
    }
}

impl<W: Write> Paged<W> {
    fn to<R>(&mut self, mut write: impl FnMut(&mut dyn Write) -> io::Result<R>) -> io::Result<R> {
        let mut state = self.pager.0.lock().unwrap_or_else(PoisonError::into_inner);
        if self.starts
            && let Some(mut wanted) = state.wanted.take()
        {
            // If it cannot be started, the list is shown without a pager.
            state.running = wanted.spawn().ok();
        }
        let pipe = state
            .running
            .as_mut()
            .and_then(|child| child.stdin.as_mut());
        match pipe {
            Some(pipe) if self.follows => write(pipe),
            _ => write(&mut self.otherwise),
        }
    }
}

impl<W: Write> Write for Paged<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to(|to| to.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to(|to| to.flush())
    }
}

/// Returns the command that the environment asks for; `None` if the user wants no pager.
fn command(env: impl Fn(&str) -> Option<String>) -> Option<Command> {
    let pager = env("PAGER").unwrap_or_else(|| "less".into());
    let words: Vec<&str> = pager.split_whitespace().collect();
    let mut command = match words.as_slice() {
        [] | ["cat"] => return None,
        _ if pager.contains(|c: char| "|&;<>()$`\\\"'*?[#~=%{".contains(c)) => {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(&pager);
            shell
        }
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
    };
    // `less` then ends if all fits, shows colours, and leaves the list on the screen.
    for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
        if env(name).is_none() {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::piped());
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(variables: &[(&str, &str)]) -> Option<(String, Vec<String>)> {
        let env = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let command = command(env)?;
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let envs = command.get_envs().filter_map(|(name, value)| {
            let (name, value) = (text(name), text(value?));
            Some(format!("{name}={value}"))
        });
        let mut with: Vec<String> = command.get_args().map(text).collect();
        with.extend(envs);
        Some((text(command.get_program()), with))
    }

    #[test]
    fn the_pager_is_the_users_and_otherwise_less() {
        let less = started(&[]).expect("less");
        assert_eq!(less.0, "less");
        assert_eq!(less.1, ["LESS=FRX", "LV=-c"]);
        let own = started(&[("PAGER", "most -w"), ("LESS", "X")]).expect("it");
        assert_eq!((&*own.0, &*own.1[0]), ("most", "-w"));
        assert!(!own.1.contains(&"LESS=FRX".to_owned()));
        let shell = started(&[("PAGER", "tr a b | less")]).expect("a shell");
        assert_eq!(
            (&*shell.0, &shell.1[..2]),
            ("sh", &["-c".to_owned(), "tr a b | less".to_owned()][..])
        );
        for none in ["", "cat", " "] {
            assert_eq!(started(&[("PAGER", none)]), None);
        }
    }
}
