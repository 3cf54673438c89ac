//! Completion in shells: peers and names of files for a half-typed word.
//!
//! The peer that runs here is asked, which answers from its memory of its neighbours' files and
//! its own. If no peer runs, or it does not answer at once, nothing is offered: a completion does
//! not wait, and joins no group. Owns the quoting of offered words for shells.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;
use thorp_node::api::{Command, Event};
use thorp_node::launch;
use thorp_node::printable::printable;
use thorp_node::snapshot::{Ask, At, Page, Part, RowKey, SnapshotRow};
use tokio::time::timeout;

use crate::state::{self, NodeKind};

/// The environment variable with which a shell asks the program for completions; names the shell.
pub const VARIABLE: &str = "THORP_COMPLETE";

/// How long to wait for the peer: a delay that a user hardly notices.
const AT_ONCE: Duration = Duration::from_millis(400);
/// The most words that are offered.
const MOST: usize = 100;
/// How many rows are read at a time.
const ROWS: usize = 100;

/// The shell that asks.
static SHELL: OnceLock<String> = OnceLock::new();

/// Answers and ends the process if a shell asks for completions.
pub fn answer(command: fn() -> clap::Command) {
    if let Ok(shell) = env::var(VARIABLE) {
        // The library removes the variable before it asks for candidates.
        let _ = SHELL.set(shell);
        CompleteEnv::with_factory(command).var(VARIABLE).complete();
    }
}

/// Offers the known peers.
pub fn peers(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(current, |typed| async move { peers_named(&typed).await })
}

/// Offers the known files, one folder level at a time, as paths are completed.
pub fn files(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(current, |typed| async move { files_named(&typed).await })
}

/// Offers known folders and peers.
pub fn peers_and_folders(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(current, |typed| async move {
        let mut all = peers_named(&typed).await;
        let files = files_named(&typed).await;
        all.extend(files.into_iter().filter(|name| name.ends_with('/')));
        all
    })
}

fn offered<F: Future<Output = Vec<String>>>(
    current: &OsStr,
    ask: impl FnOnce(String) -> F,
) -> Vec<CompletionCandidate> {
    let Some(typed) = current.to_str() else {
        return Vec::new();
    };
    let is_bash = SHELL.get().is_some_and(|shell| shell == "bash");
    let typed = if is_bash {
        unescaped(typed)
    } else {
        typed.to_owned()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let found = runtime.block_on(async { timeout(AT_ONCE, ask(typed)).await });
    let names = found.unwrap_or_default().into_iter();
    // A name that a terminal cannot show cannot be chosen by looking at it.
    let shown = names.filter(|name| printable(name).to_string() == *name);
    let typed = shown.map(|name| if is_bash { escaped(&name) } else { name });
    typed.map(CompletionCandidate::new).collect()
}

async fn peers_named(typed: &str) -> Vec<String> {
    let ask = Ask {
        names: 0,
        ..Ask::first(Part::Peers, 1000)
    };
    let Some(page) = page(ask).await else {
        return Vec::new();
    };
    let peers = page.rows.into_iter().filter_map(|row| match row {
        SnapshotRow::Peer(peer) => peer.member.name,
        _ => None,
    });
    peers
        .filter(|name| name.starts_with(typed))
        .take(MOST)
        .collect()
}

/// Returns whole names, and only the next folder of names in folders, whose contents are skipped.
async fn files_named(typed: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut from = typed.to_owned();
    while found.len() < MOST {
        let ask = Ask {
            at: start(&from),
            names: 0,
            ..Ask::first(Part::Files, ROWS)
        };
        let Some(page) = page(ask).await else { break };
        let names = page.rows.iter().filter_map(|row| match row {
            SnapshotRow::File(file) => Some(file.name.as_str()),
            _ => None,
        });
        let mut last = None;
        let mut is_over = !page.more;
        for name in names {
            last = Some(name.to_owned());
            let Some(rest) = name.strip_prefix(typed) else {
                // Names are in order: no later one begins with the typed text.
                is_over |= name > typed;
                continue;
            };
            let end = rest.find('/').map_or(name.len(), |at| typed.len() + at + 1);
            if found.last().map(String::as_str) != Some(&name[..end]) {
                found.push(name[..end].to_owned());
            }
        }
        match (last, found.last()) {
            _ if is_over => break,
            // Skips everything in the folder: `0` is the character after `/`.
            (Some(last), Some(folder))
                if folder.ends_with('/') && last.starts_with(folder.as_str()) =>
            {
                from = format!("{}0", folder.trim_end_matches('/'));
            }
            (Some(last), _) if last > from => from = last + "\u{1}",
            _ => break,
        }
    }
    found.truncate(MOST);
    found
}

/// Returns the position of the first name that may begin with this text.
fn start(from: &str) -> At {
    match from.trim_end_matches('/') {
        "" => At::Start,
        name => At::From(RowKey::File {
            name: name.to_owned(),
            nth: 0,
        }),
    }
}

async fn page(ask: Ask) -> Option<Page> {
    let state = env::var_os("THORP_STATE").map(PathBuf::from);
    let state = state::directory(state.as_deref(), NodeKind::Peer).ok()?;
    let command = Command::Snapshot(ask);
    let (_, mut answers) = launch::ask_running(std::slice::from_ref(&state), &command).await?;
    while let Some(event) = answers.recv().await {
        if let Event::Page(page) = event {
            return Some(page);
        }
    }
    None
}

/// Escapes a name for Bash, which inserts it unchanged.
fn escaped(name: &str) -> String {
    let mut typed = String::with_capacity(name.len());
    for c in name.chars() {
        if !c.is_alphanumeric() && !"._-/+,:@%=".contains(c) {
            typed.push('\\');
        }
        typed.push(c);
    }
    typed
}

fn unescaped(typed: &str) -> String {
    let mut name = String::with_capacity(typed.len());
    let mut chars = typed.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => name.extend(chars.next()),
            '"' | '\'' => {}
            c => name.push(c),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bash_takes_what_is_offered_for_one_word() {
        for name in ["2.txt", "my file (1).txt", "it's", "a$b`c\"d\\e", "写真"] {
            assert_eq!(unescaped(&escaped(name)), name);
        }
        assert_eq!(escaped("my file.txt"), "my\\ file.txt");
    }
}
