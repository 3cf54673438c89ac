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
use std::sync::Arc;

use data_encoding::BASE32_NOPAD;
use thorp_disk::DiskThread;
use thorp_group::state::{StateDir, StateError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::api::{Done, Event, Failure, Notice, PageTrouble, Warning};
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
    /// Prepares the page of a node, unless its settings say that it has none. Without a token
    /// there is none either, and the user is warned: a full disk ends no node.
    pub(crate) fn new(
        disk: DiskThread,
        config: &Config,
        state: &StateDir,
        slot: &PageSlot,
        notices: &mpsc::Sender<Notice>,
    ) -> Option<Self> {
        if !config.page_on {
            slot.fill(PageState::Off);
            return None;
        }
        let token = match token(disk, state) {
            Ok(Some(token)) => token,
            Ok(None) => {
                fail(slot, notices, PageTrouble::NoRandomBytes);
                return None;
            }
            Err(error) => {
                let error = error.to_string();
                fail(slot, notices, PageTrouble::Token { error });
                return None;
            }
        };
        Some(Self {
            port: config.page_port,
            token,
            state: state.path().to_owned(),
            slot: slot.clone(),
            notices: notices.clone(),
        })
    }

    /// The page is served.
    pub fn on_served(self, page: Arc<dyn ServedPage>) {
        self.slot.fill(PageState::Served(page));
    }

    /// The page cannot be served, which is no reason for its node to end.
    pub fn on_failed(self, why: PageTrouble) {
        fail(&self.slot, &self.notices, why);
    }
}

/// Warns the user that there is no page, and tells it to commands that ask for it.
fn fail(slot: &PageSlot, notices: &mpsc::Sender<Notice>, why: PageTrouble) {
    let warning = Warning::NoPage { why: why.clone() };
    // A caller that does not read its notices misses some.
    let _ = notices.try_send(Notice::Warning(warning));
    slot.fill(PageState::Failed(why));
}

impl Drop for PageSetup {
    fn drop(&mut self) {
        // A program that serves no pages has neither served nor failed.
        self.slot.fill(PageState::Off);
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
pub struct PageSlot(Arc<watch::Sender<PageState>>);

/// What became of a page.
#[derive(Clone, Default)]
enum PageState {
    /// It is not known yet.
    #[default]
    Starting,
    /// The node is to have none.
    Off,
    /// It cannot be served, and why.
    Failed(PageTrouble),
    /// It is served.
    Served(Arc<dyn ServedPage>),
}

impl PageSlot {
    /// Fills it, unless it is filled already.
    fn fill(&self, page: PageState) {
        self.0.send_if_modified(|state| {
            let is_first = matches!(state, PageState::Starting);
            if is_first {
                *state = page;
            }
            is_first
        });
    }

    /// Returns the page's address and the file with the token, if the page is served.
    pub(crate) fn shown(&self) -> (Option<String>, Option<PathBuf>) {
        match &*self.0.borrow() {
            PageState::Served(page) => (Some(page.address()), Some(page.token_file())),
            _ => (None, None),
        }
    }

    /// Waits until it is known what became of the page, and returns it.
    async fn page(&self) -> Result<Arc<dyn ServedPage>, Failure> {
        let mut states = self.0.subscribe();
        let is_known = |state: &PageState| !matches!(state, PageState::Starting);
        let known = states.wait_for(is_known).await;
        match known.as_deref() {
            Ok(PageState::Served(page)) => Ok(Arc::clone(page)),
            Ok(PageState::Failed(why)) => {
                let why = Some(why.clone());
                Err(Failure::NoPage { why })
            }
            _ => Err(Failure::NoPage { why: None }),
        }
    }

    /// Answers [`Command::Page`](crate::api::Command::Page), but for the last event: makes a link
    /// and waits until it was used.
    pub(crate) async fn link(&self, events: &mpsc::Sender<Event>) -> Result<Done, Failure> {
        let page = tokio::select! {
            page = self.page() => page?,
            // The caller is gone.
            () = events.closed() => return Ok(Done::default()),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A page to which no link is ever used.
    struct Unused;

    impl ServedPage for Unused {
        fn address(&self) -> String {
            "http://127.0.0.1:1/".to_owned()
        }

        fn token_file(&self) -> PathBuf {
            TOKEN_FILE.into()
        }

        fn link(&self) -> (String, oneshot::Receiver<()>) {
            ("link".to_owned(), oneshot::channel().1)
        }
    }

    fn setup(slot: &PageSlot) -> PageSetup {
        PageSetup {
            port: 0,
            token: String::new(),
            state: PathBuf::new(),
            slot: slot.clone(),
            notices: mpsc::channel(1).0,
        }
    }

    /// Asks for a link before it is known what becomes of the page.
    async fn asked_early(
        becomes: impl FnOnce(PageSetup),
    ) -> (Option<Event>, Result<Done, Failure>) {
        let slot = PageSlot::default();
        let (events, mut told) = mpsc::channel(1);
        let asking = tokio::spawn({
            let slot = slot.clone();
            async move { slot.link(&events).await }
        });
        tokio::task::yield_now().await;
        assert!(!asking.is_finished(), "it is not known yet");
        becomes(setup(&slot));
        let event = told.recv().await;
        (event, asking.await.expect("does not panic"))
    }

    #[tokio::test]
    async fn a_link_that_is_asked_for_while_a_node_starts_waits_for_its_page() {
        let (event, done) = asked_early(|setup| setup.on_served(Arc::new(Unused))).await;
        assert!(matches!(event, Some(Event::Link { .. })), "{event:?}");
        assert_eq!(done.err(), Some(Failure::LinkUnused));
    }

    #[tokio::test]
    async fn only_a_node_that_is_to_have_no_page_says_so() {
        let (_, failed) = asked_early(|setup| setup.on_failed(PageTrouble::NoRandomBytes)).await;
        let why = Some(PageTrouble::NoRandomBytes);
        assert_eq!(failed.err(), Some(Failure::NoPage { why }));
        let (_, off) = asked_early(drop).await;
        assert_eq!(off.err(), Some(Failure::NoPage { why: None }));
    }

    #[tokio::test]
    async fn a_disk_that_keeps_no_token_is_told_and_is_no_failure_of_the_node() {
        let (slot, (notices, mut told)) = (PageSlot::default(), mpsc::channel(1));
        let filled = slot.clone();
        let made = thorp_disk::spawn(move |disk| {
            let place = tempfile::tempdir().expect("a directory");
            let state = StateDir::open(disk, place.path().join("state")).expect("a state");
            // No file can be read or written there.
            fs::create_dir(state.path().join(TOKEN_FILE)).expect("a directory");
            PageSetup::new(disk, &Config::default(), &state, &slot, &notices)
        });
        assert!(made.await.expect("does not panic").is_none());
        let Some(Notice::Warning(Warning::NoPage { why })) = told.recv().await else {
            panic!("the user is warned");
        };
        assert!(matches!(why, PageTrouble::Token { .. }), "{why:?}");
        assert!(matches!(&*filled.0.borrow(), PageState::Failed(said) if *said == why));
    }
}
