//! Members of a test group that listen on loopback.

use std::net::SocketAddr;

use thorp_group::address::NetAddress;
use thorp_group::clock::Clock;
use thorp_group::join::JoinService;
use thorp_group::testing::Group;
use thorp_group::tls::MemberTls;
use tokio::sync::mpsc;

use super::listener::{Incoming, Listen, Listener, Running, Service};

pub(crate) trait Listening {
    /// Starts a member that listens on loopback.
    async fn node(&self, name: &str) -> Node;
    /// Starts a tracker that listens on loopback and admits newcomers.
    async fn tracker(&self, clock: Clock) -> Node;
}

impl Listening for Group {
    async fn node(&self, name: &str) -> Node {
        Node::start(self.member(name), None).await
    }

    async fn tracker(&self, clock: Clock) -> Node {
        let (tls, join) = self.tracker_tls(clock);
        Node::start(tls, Some(join)).await
    }
}

pub(crate) struct Node {
    pub(crate) tls: MemberTls,
    pub(crate) address: SocketAddr,
    pub(crate) incoming: mpsc::Receiver<Incoming>,
    pub(crate) _running: Running,
}

impl Node {
    pub(crate) async fn start(tls: MemberTls, join: Option<JoinService>) -> Self {
        let (sink, incoming) = mpsc::channel(8);
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::bind(Listen::Exactly(any)).await.expect("binds");
        let address = listener.address();
        let service = Service {
            tls: tls.clone(),
            join,
            sink,
            clients: None,
            face: None,
        };
        Self {
            tls,
            address,
            incoming,
            _running: listener.serve(vec![service]),
        }
    }

    pub(crate) fn at(&self) -> Vec<NetAddress> {
        vec![self.address.into()]
    }
}
