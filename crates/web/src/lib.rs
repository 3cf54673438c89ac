//! The page of a node, the gateway and metrics: HTTP on loopback, for the node's own user.
//!
//! ```text
//! listener  a port on loopback, its connections, and how many there may be
//! door      what every request is looked at for, and which secret a route wants
//! keys      these secrets: codes, bearers, the token of programs
//! page      the page's assets and its API (API.md)
//! village   what the village said when it was last asked
//! gateway   a file by its name, as it arrives
//! metrics   figures for Prometheus
//! jobs      what was asked for on the page, and what became of it
//! history   what the node has counted over the last hour and day
//! refusal   what is not answered, and why
//! served    the node that the page is of
//! shared    what every route has
//! tickets   addresses of downloads that are good once
//! variant   the contents to choose from, where one name means several
//! ```
//!
//! Nothing is decided here: what is shown is the node's snapshot and its changes, what is wanted
//! is a [`Command`]. There are no sentences either: those for a node's codes are given by the
//! program, the page's own labels are in its assets.

mod door;
mod gateway;
mod history;
mod jobs;
mod keys;
mod listener;
mod metrics;
mod page;
mod refusal;
mod served;
mod shared;
mod tickets;
mod variant;
mod village;

use std::path::PathBuf;
use std::sync::Arc;

use thorp_node::api::PageTrouble;
use thorp_node::page::{PageSetup, ServedPage, TOKEN_FILE};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use listener::{NoPort, Port};
pub use refusal::Saying;
pub use served::{AskNode, PageOf, ServedNode};
use shared::Shared;

/// A page that is served until this is dropped, or its node ends.
#[derive(Debug)]
pub struct WebServer {
    address: String,
    task: JoinHandle<()>,
}

impl WebServer {
    /// Serves the page of a node, and tells the node where it is. If it cannot be served, the
    /// node is told why.
    pub async fn start(node: ServedNode, setup: Box<PageSetup>) -> Option<Self> {
        let port = match Port::bind(setup.port).await {
            Ok(port) => port,
            Err(NoPort { at, error }) => {
                let error = error.to_string();
                setup.on_failed(PageTrouble::Port { at, error });
                return None;
            }
        };
        let address = format!("http://127.0.0.1:{}/", port.number());
        let shared = Arc::new(Shared::new(node, port.number(), &setup));
        let served = Served {
            address: address.clone(),
            token_file: setup.state.join(TOKEN_FILE),
            shared: Arc::clone(&shared),
        };
        setup.on_served(Arc::new(served));
        let routes = page::routes(&shared)
            .merge(gateway::routes(&shared))
            .merge(metrics::routes(&shared));
        let app = door::guard(routes, &shared).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            tokio::select! {
                () = port.serve(app) => {}
                () = shared.count_on() => {}
            }
        });
        Some(Self { address, task })
    }

    /// Returns the page's address, without a secret.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a node knows of its page.
struct Served {
    address: String,
    token_file: PathBuf,
    shared: Arc<Shared>,
}

impl ServedPage for Served {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn token_file(&self) -> PathBuf {
        self.token_file.clone()
    }

    fn link(&self) -> (String, oneshot::Receiver<()>) {
        let (code, used) = self.shared.door.new_code();
        (format!("{}#{code}", self.address), used)
    }
}
