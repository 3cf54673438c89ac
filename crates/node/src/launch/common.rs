//! What every node is started with: its settings, its name, its port.

use std::net::SocketAddr;
use std::path::PathBuf;

use thorp_disk::DiskThread;
use thorp_group::address::{ListenAddress, OuterAddress};
use thorp_group::clock::Clock;
use thorp_group::state::StateDir;
use thorp_wire::MemberName;

use super::LaunchError;
use crate::config::{Config, Setting};
use crate::net::addresses::Reach;
use crate::net::listener::{Listen, ListenError, Listener};

/// What every node is started with.
#[derive(Clone, Debug)]
pub struct Common {
    /// The state directory.
    pub state: PathBuf,
    /// Settings that override `config.toml`. The last one of a key is in force.
    pub settings: Vec<Setting>,
    /// The name of this machine; `None` for its host name.
    pub name: Option<MemberName>,
    /// Where to listen; `None` for the default port on all addresses.
    pub listen: Option<ListenAddress>,
    /// Where others reach the node, in addition to this machine's addresses.
    pub advertise: Vec<OuterAddress>,
    /// The node's clock.
    pub clock: Clock,
}

impl Common {
    pub(super) fn config(&self, disk: DiskThread) -> Result<Config, LaunchError> {
        // Fails before reading anything that another user may have written.
        StateDir::is_there(disk, &self.state)?;
        let mut config = Config::load(disk, &self.state)?;
        self.settings.iter().for_each(|setting| config.set(setting));
        Ok(config)
    }

    pub(super) fn own_name(&self) -> MemberName {
        let host = || MemberName::nearest(&gethostname::gethostname().to_string_lossy());
        self.name.clone().unwrap_or_else(host)
    }

    /// Returns where a node that listens on this address is reached.
    pub(super) async fn reach(&self, listen: SocketAddr) -> Reach {
        Reach::of(listen, &self.advertise).await
    }

    /// Listens on the address that the user gave, or else as `usual` says.
    pub(super) async fn listener(&self, usual: Listen) -> Result<Listener, ListenError> {
        Listener::bind(self.listen.map_or(usual, |asked| usual.unless(asked))).await
    }
}
