//! What a node knows of its page: whether it is to have one, and where it is while the program
//! serves it.
//!
//! The page itself, its listener and its door are another crate's, which uses this one. A node
//! only answers where its page is and has a link to it made.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use data_encoding::BASE32_NOPAD;
use thorp_disk::DiskThread;
use thorp_group::state::{StateDir, StateError};
use tokio::sync::{mpsc, oneshot};

use crate::api::{Done, Event, Failure, Notice, Warning};
use crate::config::Config;
use crate::system;

/// The file with the token by which programs read, in the state directory.
pub const TOKEN_FILE: &str = "token";
/// The file by which a browser is led to the page.
pub const LINK_FILE: &str = "page.html";
/// The folder where the page's listener may keep files that it can do without.
pub const CACHE: &str = "gateway";

/// What the program needs to serve the page of a node.
#[derive(Debug)]
pub struct PageSetup {
    /// The port on loopback; 0 for a free one.
    pub port: u16,
    /// The token by which programs read. It is also in the file [`TOKEN_FILE`].
    pub token: String,
    /// The node's state directory.
    pub state: PathBuf,
    slot: PageSlot,
    notices: mpsc::Sender<Notice>,
}

impl PageSetup {
    /// Prepares the page of a node, unless its settings say that it has none.
    pub(crate) fn new(
        disk: DiskThread,
        config: &Config,
        state: &StateDir,
        slot: &PageSlot,
        notices: &mpsc::Sender<Notice>,
    ) -> Result<Option<Self>, StateError> {
        if !config.page_on {
            return Ok(None);
        }
        Ok(token(disk, state)?.map(|token| Self {
            port: config.page_port,
            token,
            state: state.path().to_owned(),
            slot: slot.clone(),
            notices: notices.clone(),
        }))
    }

    /// The page is served.
    pub fn on_served(self, page: Arc<dyn ServedPage>) {
        self.slot.fill(Ok(page));
    }

    /// The page cannot be served, which is no reason for its node to end: its user is warned.
    pub fn on_failed(self, why: String) {
        let warning = Warning::NoPage { why: why.clone() };
        // A caller that does not read its notices misses some.
        let _ = self.notices.try_send(Notice::Warning(warning));
        self.slot.fill(Err(why));
    }
}

/// Returns the token that programs have been given, or makes the first one.
fn token(disk: DiskThread, state: &StateDir) -> Result<Option<String>, StateError> {
    if let Some(bytes) = state.read(disk, TOKEN_FILE)? {
        let text = String::from_utf8(bytes).unwrap_or_default();
        let is_token = |text: &str| BASE32_NOPAD.decode(text.to_uppercase().as_bytes()).is_ok();
        let token = text.trim();
        if token.len() == TOKEN_LENGTH && is_token(token) {
            return Ok(Some(token.to_owned()));
        }
    }
    let Some(secret) = system::secret() else {
        return Ok(None);
    };
    let token = BASE32_NOPAD.encode(&secret).to_lowercase();
    state.write_secret(disk, TOKEN_FILE, format!("{token}\n").as_bytes())?;
    Ok(Some(token))
}

/// The length of a token in characters: 32 bytes in base32.
const TOKEN_LENGTH: usize = 52;

/// A page that is being served.
pub trait ServedPage: Send + Sync {
    /// Returns its address, without a secret.
    fn address(&self) -> String;

    /// Returns the file with the token by which programs read.
    fn token_file(&self) -> PathBuf;

    /// Makes a link by which a browser gets in once, and soon. The receiver hears when the link
    /// was used; it is dropped when the link is good no longer.
    fn link(&self) -> (String, oneshot::Receiver<()>);
}

/// A place for the page of a node, filled once it is known what became of it.
#[derive(Clone, Default)]
pub struct PageSlot(Arc<OnceLock<Result<Arc<dyn ServedPage>, String>>>);

impl PageSlot {
    fn fill(&self, page: Result<Arc<dyn ServedPage>, String>) {
        // It is filled once.
        let _ = self.0.set(page);
    }

    /// Returns the page's address and the file with the token, if the page is served.
    pub(crate) fn shown(&self) -> (Option<String>, Option<PathBuf>) {
        match self.0.get() {
            Some(Ok(page)) => (Some(page.address()), Some(page.token_file())),
            _ => (None, None),
        }
    }

    /// Answers [`Command::Page`](crate::api::Command::Page), but for the last event: makes a link
    /// and waits until it was used.
    pub(crate) async fn link(&self, events: &mpsc::Sender<Event>) -> Result<Done, Failure> {
        let page = match self.0.get() {
            Some(Ok(page)) => page,
            Some(Err(why)) => {
                let why = Some(why.clone());
                return Err(Failure::NoPage { why });
            }
            None => return Err(Failure::NoPage { why: None }),
        };
        let (link, used) = page.link();
        let address = page.address();
        // A caller that is gone needs no link.
        let _ = events.send(Event::Link { link, address }).await;
        match used.await {
            Ok(()) => Ok(Done::default()),
            Err(_) => Err(Failure::LinkUnused),
        }
    }
}

/// Writes a file that leads a browser to a link, in the state directory of a running node. Only
/// its owner can read it, unlike the arguments of a browser.
pub fn write_link(disk: DiskThread, state: &Path, link: &str) -> io::Result<PathBuf> {
    let path = state.join(LINK_FILE);
    remove_link(disk, &path)?;
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    let page = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>thorp</title>\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta http-equiv=\"refresh\" content=\"0; url={link}\">\n\
         <p><a href=\"{link}\">thorp</a></p>\n"
    );
    file.write_all(page.as_bytes())?;
    Ok(path)
}

/// Removes that file.
pub fn remove_link(_: DiskThread, path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl fmt::Debug for PageSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageSlot({:?})", self.shown())
    }
}
