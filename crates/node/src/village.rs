//! A group to test with: its CA, its members, and nodes on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tempfile::TempDir;
use thorp_wire::frame::Join;
use tokio::sync::mpsc;

use crate::addresses::NetAddress;
use crate::authority::Authority;
use crate::clock::Clock;
use crate::identity::{Identity, Membership};
use crate::join::JoinService;
use crate::listener::{Incoming, Listen, Listener, Running, Service};
use crate::state::StateDir;
use crate::tls::MemberTls;

pub(crate) fn state() -> (TempDir, StateDir) {
    let temporary = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(temporary.path().join("state")).expect("a state directory");
    (temporary, state)
}

pub(crate) struct Group {
    pub(crate) authority: Arc<Authority>,
    state: Arc<StateDir>,
    _temporary: TempDir,
}

impl Group {
    pub(crate) fn new() -> Self {
        let (temporary, state) = state();
        let state = Arc::new(state);
        let authority = Authority::load_or_create(state.clone()).expect("a CA");
        Self {
            authority: Arc::new(authority),
            state,
            _temporary: temporary,
        }
    }

    pub(crate) fn state(&self) -> &StateDir {
        &self.state
    }

    /// Makes a member, whatever the policy.
    pub(crate) fn admit(&self, identity: &Identity, name: &str) -> Membership {
        self.admit_at(identity, name, SystemTime::now())
    }

    pub(crate) fn admit_at(&self, identity: &Identity, name: &str, now: SystemTime) -> Membership {
        let was_open = self.authority.is_open();
        self.authority.set_open(true).expect("opens");
        let join = Join {
            token: None,
            request: identity.certificate_request().expect("a request"),
            name: name.parse().ok(),
        };
        let certificate = self.authority.admit(&join, now).expect("is open");
        self.authority.set_open(was_open).expect("is as before");
        self.membership(certificate)
    }

    pub(crate) fn membership(&self, certificate: Vec<u8>) -> Membership {
        Membership {
            certificate,
            ca: self.authority.ca(),
            trackers: Vec::new(),
        }
    }

    pub(crate) fn member(&self, name: &str) -> MemberTls {
        let identity = Identity::generate().expect("a key");
        let membership = self.admit(&identity, name);
        MemberTls::new(&identity, &membership, Clock::system()).expect("fits")
    }

    /// A member that listens on loopback.
    pub(crate) async fn node(&self, name: &str) -> Node {
        Node::start(self.member(name), None).await
    }

    /// A tracker that listens on loopback and lets others join.
    pub(crate) async fn tracker(&self, clock: Clock) -> Node {
        let identity = Identity::generate().expect("a key");
        let name = "hall".parse().expect("a name");
        let certificate = self
            .authority
            .tracker_certificate(&identity, &name, clock.wall())
            .expect("is signed");
        let membership = self.membership(certificate);
        let tls = MemberTls::new(&identity, &membership, clock.clone()).expect("fits");
        let authority = self.authority.clone();
        let join = JoinService::new(&identity, &membership, authority, clock).expect("fits");
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
    async fn start(tls: MemberTls, join: Option<JoinService>) -> Self {
        let (sink, incoming) = mpsc::channel(8);
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::bind(Listen::Exactly(any)).await.expect("binds");
        let address = listener.address();
        let service = Service {
            tls: tls.clone(),
            join,
            sink,
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
