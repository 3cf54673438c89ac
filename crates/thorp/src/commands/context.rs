//! What verbs have in common: global flags, terminals, directories, and confirmation.

use std::path::PathBuf;

use thorp_disk::DiskThread;
use thorp_node::api::ErrorKind;
use thorp_node::config::Setting;
use thorp_node::launch::{Common, EMBEDDED, LaunchError};

use crate::answer::AnswerStyle;
use crate::args::Global;
use crate::exit::{Result, failure};
use crate::out::{self, Terminals};
use crate::state::{self, NodeKind};
use crate::{choose, lines, logging, node, prompt};

/// Runs work on a thread for the disk, which may take long, so that Ctrl-C is handled meanwhile.
pub async fn on_disk<T: Send + 'static>(
    work: impl FnOnce(DiskThread) -> T + Send + 'static,
) -> Result<T> {
    let done = thorp_disk::spawn(work).await;
    Ok(done.map_err(LaunchError::from)?)
}

/// What every verb may use.
pub struct Context {
    pub global: Global,
    pub settings: Vec<Setting>,
    pub terminals: Terminals,
}

impl Context {
    pub fn new(global: Global, settings: Vec<Setting>) -> Self {
        Self {
            global,
            settings,
            terminals: Terminals::detect(),
        }
    }

    /// Returns the state directory that was asked for, or the default one.
    pub fn state(&self, kind: NodeKind) -> Result<PathBuf> {
        state::directory(self.global.state.as_deref(), kind)
    }

    /// Returns the state directories that may have the CA of a group: that of the tracker inside a
    /// peer, and that of a tracker alone. With `--state`, the second may be a peer's directory,
    /// which has no CA, but tells where the tracker is.
    pub fn keepers(&self) -> Result<[PathBuf; 2]> {
        let peer = self.state(NodeKind::Peer)?;
        Ok([peer.join(EMBEDDED), self.state(NodeKind::Tracker)?])
    }

    /// Continues after a yes, which is `given` or typed in a terminal.
    pub async fn confirm(&self, question: &str, yes: &str, given: bool) -> Result<()> {
        if given {
            return Ok(());
        }
        if !self.terminals.can_ask() {
            let why = format!("{question}. This needs a yes: --yes, or a terminal to ask in");
            return Err(failure(ErrorKind::Usage, why));
        }
        if self.says_yes(question, yes).await? {
            return Ok(());
        }
        Err(failure(ErrorKind::Other, "cancelled: nothing was changed"))
    }

    /// Asks in a terminal until the user says yes or no.
    pub async fn says_yes(&self, question: &str, yes: &str) -> Result<bool> {
        let mut question = format!("{question}\n1. {yes}\n2. Cancel.");
        while let Some(line) = prompt::line(&question).await? {
            if matches!(line.trim().to_lowercase().as_str(), "y" | "yes") {
                return Ok(true);
            }
            match choose::pick(&line, 2) {
                choose::Pick::At(0) => return Ok(true),
                choose::Pick::At(_) | choose::Pick::Cancel => return Ok(false),
                choose::Pick::Nonsense => "Please type 1 or 2.".clone_into(&mut question),
            }
        }
        Ok(false)
    }

    /// Returns what a visitor needs to start, for use when no peer runs.
    pub fn visitor(&self) -> Result<Common> {
        let state = self.state(NodeKind::Peer)?;
        Ok(node::common(
            state,
            self.settings.clone(),
            None,
            None,
            Vec::new(),
        ))
    }

    pub fn line_manner(&self) -> lines::Manner {
        lines::Manner {
            json: self.global.json,
            quiet: self.global.quiet,
            tables: false,
        }
    }

    pub fn answer_style(&self) -> AnswerStyle {
        AnswerStyle {
            json: self.global.json,
            quiet: self.global.quiet,
            asked: false,
            nothing: None,
            order: None,
        }
    }

    /// Whether to show a screen instead of plain lines.
    pub fn can_draw(&self, lines: bool) -> bool {
        self.can_converse(lines) && self.terminals.able
    }

    /// Whether to show a menu instead of plain lines.
    pub fn can_converse(&self, lines: bool) -> bool {
        self.can_converse_with(lines, logging::is_on(self.global.verbose))
    }

    fn can_converse_with(&self, lines: bool, is_logging: bool) -> bool {
        !lines && !self.global.json && self.terminals.can_converse(is_logging)
    }

    /// Says where the menu or the screen is, if only a log keeps the user from it.
    pub fn say_what_a_log_hides(&self, lines: bool) {
        let is_hidden = !self.can_converse(lines) && self.can_converse_with(lines, false);
        if let Some(asked_by) = logging::asked_by(self.global.verbose).filter(|_| is_hidden) {
            self.say(&format!(
                "Lines are shown here, since {asked_by} asks for a log on this terminal. To have the \
                 menu as well, send the log to a file: 2> thorp.log"
            ));
        }
    }

    /// Says something that `--quiet` and `--json` leave out.
    pub fn say(&self, text: &str) {
        if !self.global.quiet && !self.global.json {
            out::talk(text);
        }
    }
}
