//! `thorp share --detach` and `thorp tracker --detach`: a node in a session of its own,
//! which no terminal ends.
//!
//! The program starts itself anew instead of forking: a fork of a process with threads
//! would have one of them, and the locks of all. The parent asks everything beforehand,
//! hands the answers on over a socket (an invite is no argument), and waits on it until
//! the child is ready, or has failed. Until then the child writes where the parent
//! writes: that is how its first invite is shown, and why it is in no log.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;

use rustix::process::{self, Pid, Signal};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use serde::{Deserialize, Serialize};
use serde_json::json;
use thorp_disk::DiskThread;
use thorp_node::api::{ErrorKind, JsonPath};
use thorp_node::launch::Group;
use thorp_node::log::{self, LogFile};

use super::context::{Context, on_disk};
use crate::exit::{Complaint, Exit, Result, failure};
use crate::signals::Signals;
use crate::state::{self, NodeKind};
use crate::words::there;
use crate::{node, out, units};

/// Set for the child by its parent.
const MARK: &str = "THORP_IS_DETACHED";
/// What the child says once it is ready.
const READY: &str = "ready\n";
/// The longest line of a log.
const LONGEST_LINE: u64 = 16 * 1024;

/// What the user was asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The tracker of an open group.
    tracker: Option<String>,
    /// An invite.
    invite: Option<String>,
}

/// This process, where another one has started it in its place.
pub struct Child {
    parent: UnixStream,
}

/// A child whose parent has gone: its standard streams are a log.
pub struct Detached {
    /// Ends with the log.
    logging: mpsc::Receiver<()>,
    nothing: File,
}

impl Asked {
    /// Nothing that its child need know.
    pub fn nothing() -> Self {
        Self::new(&Group::Remembered)
    }

    /// How to get into the group, as the user has answered.
    pub fn new(group: &Group) -> Self {
        let (tracker, invite) = match group {
            Group::Remembered => (None, None),
            Group::Open(tracker) => (Some(tracker.to_string()), None),
            Group::Invited(invite) => (None, Some(invite.to_string())),
        };
        Self { tracker, invite }
    }

    /// The same, as the child reads it.
    pub fn group(self) -> Result<Group> {
        let odd = |why: &dyn std::fmt::Display| failure(ErrorKind::Other, why.to_string());
        match (self.tracker, self.invite) {
            (Some(tracker), _) => Ok(Group::Open(tracker.parse().map_err(|e| odd(&e))?)),
            (None, Some(invite)) => Ok(Group::Invited(node::invite(&invite)?)),
            (None, None) => Ok(Group::Remembered),
        }
    }
}

/// Starts this program anew, waits until it is ready, and says so.
pub async fn start(context: &Context, who: NodeKind, asked: &Asked, state: &Path) -> Result {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| {
            let who = called(who);
            let why = format!("the {who} cannot be started in the background ({what}: {error})");
            failure(ErrorKind::Other, why)
        }
    };
    let mut signals = Signals::listen()?;
    let (mut ours, theirs) = UnixStream::pair().map_err(failed("socket"))?;
    let program = std::env::current_exe().map_err(failed("own path"))?;
    let mut command = Command::new(&program);
    command
        .args(std::env::args_os().skip(1))
        .env(MARK, "1")
        .stdin(Stdio::from(OwnedFd::from(theirs)));
    let child = command.spawn();
    // With it goes this process's copy of the child's end.
    drop(command);
    let mut child = child.map_err(failed(&program.display().to_string()))?;
    let pid = child.id();
    let mut line = serde_json::to_string(asked).unwrap_or_default();
    line.push('\n');
    // A child that has ended already says why.
    let _ = ours.write_all(line.as_bytes());
    let mut waiting = thorp_disk::spawn(move |_| {
        let mut said = String::new();
        let _ = ours.take(READY.len() as u64).read_to_string(&mut said);
        if said == READY {
            return Ok(None);
        }
        child.wait().map(Some)
    });
    let ended = loop {
        tokio::select! {
            ended = &mut waiting => break ended,
            () = signals.next() => {
                if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                    // If it has ended, that is what is waited for.
                    let _ = process::kill_process(pid, Signal::TERM);
                }
            }
        }
    };
    let ended = ended
        .map_err(io::Error::other)
        .and_then(|ended| ended)
        .map_err(failed("waiting"))?;
    if let Some(status) = ended {
        return ended_with(who, status);
    }
    say_where(context, who, pid, state)?;
    Ok(Exit::DONE)
}

/// What a user calls it.
fn called(who: NodeKind) -> &'static str {
    match who {
        NodeKind::Peer => "peer",
        NodeKind::Tracker => "tracker",
    }
}

/// The child's own exit code: it has said why.
fn ended_with(who: NodeKind, status: ExitStatus) -> Result {
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) if code != 0 => Ok(Exit::of_another(code)),
        _ => {
            let who = called(who);
            let why = format!("the {who} in the background has ended ({status}): start it again");
            Err(failure(ErrorKind::Other, why))
        }
    }
}

fn say_where(context: &Context, who: NodeKind, process: u32, state: &Path) -> Result<()> {
    let log = state.join(log::FILE);
    if context.global.json {
        let object = json!({ "event": "detached", "process": process, "log": JsonPath::of(&log) });
        return out::data(&object.to_string()).map(drop);
    }
    let is_found = who == NodeKind::Peer && state::is_default(state, who);
    let stop = if is_found {
        "thorp stop".to_owned()
    } else {
        // Without that it ends the peer of this machine, where one runs.
        format!("thorp stop {}", there(state))
    };
    context.say(&format!(
        "It goes on without this terminal, as process {process}; to end it: {stop}. \
         What it says from now on: {}",
        log.display()
    ));
    Ok(())
}

impl Child {
    /// This process as such a child, in a session of its own, with what its parent has
    /// asked; nothing, if it is none.
    pub fn of_parent() -> Result<Option<(Self, Asked)>> {
        if std::env::var_os(MARK).is_none() {
            return Ok(None);
        }
        let failed = |error: io::Error| no_session(&error);
        process::setsid().map_err(|error| no_session(&error.into()))?;
        let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
        let parent = UnixStream::from(stdin);
        let mut line = String::new();
        BufReader::new(parent.try_clone().map_err(failed)?)
            .read_line(&mut line)
            .map_err(failed)?;
        let asked: Asked = serde_json::from_str(&line).map_err(|error| failed(error.into()))?;
        Ok(Some((Self { parent }, asked)))
    }

    /// The node is ready, and has said all that its user is to see: what it says from now
    /// on goes to its log.
    pub async fn leave(mut self, state: &Path) -> Result<Detached> {
        let failed = |error: io::Error| {
            let path = state.join(log::FILE);
            let why = format!("{}: {error}: no log can be kept", path.display());
            failure(ErrorKind::Other, why)
        };
        let kept = state.to_owned();
        let opened = on_disk(move |disk: DiskThread| {
            let log = LogFile::open(disk, &kept)?;
            let nothing = File::options().read(true).write(true).open("/dev/null")?;
            Ok((log, nothing))
        });
        let (log, nothing) = opened.await?.map_err(failed)?;
        let (read, write) = UnixStream::pair().map_err(failed)?;
        let (ended, logging) = mpsc::channel();
        let keep = move |disk| {
            keep(disk, read, log);
            drop(ended);
        };
        thorp_disk::spawn_thread("thorp-log", keep).map_err(failed)?;
        dup2_stdout(&write)
            .and_then(|()| dup2_stderr(&write))
            .map_err(|error| failed(error.into()))?;
        // A parent that was killed does not wait any more.
        let _ = self.parent.write_all(READY.as_bytes());
        dup2_stdin(&nothing).map_err(|error| failed(error.into()))?;
        Ok(Detached { logging, nothing })
    }
}

impl Detached {
    /// Waits until the log has all that was said. What is said after that is lost.
    pub fn finish(self) {
        if dup2_stdout(&self.nothing).is_ok() && dup2_stderr(&self.nothing).is_ok() {
            let _ = self.logging.recv();
        }
    }
}

/// Keeps each line with its date. A line that the disk does not take is lost, and the
/// next one tried: the node that writes it must not wait.
fn keep(disk: DiskThread, from: UnixStream, mut log: LogFile) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while let Ok(1..) = from
        .by_ref()
        .take(LONGEST_LINE)
        .read_until(b'\n', &mut line)
    {
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        let mut dated = units::moment(units::now()).into_bytes();
        dated.push(b' ');
        dated.append(&mut line);
        let _ = log.add(disk, &dated);
    }
}

fn no_session(error: &io::Error) -> Complaint {
    let why = format!("this process cannot leave its terminal: {error}");
    failure(ErrorKind::Other, why)
}
