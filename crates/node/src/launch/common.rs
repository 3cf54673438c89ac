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
    /// Settings that override `config.toml`, the last of a key counts.
    pub settings: Vec<Setting>,
    /// What to call this machine; its host name, if nothing is said.
    pub name: Option<MemberName>,
    /// Where to listen; at the node's usual port everywhere, if nothing is said.
    pub listen: Option<ListenAddress>,
    /// Where others reach it besides the addresses that this machine has.
    pub advertise: Vec<OuterAddress>,
    /// What time it is.
    pub clock: Clock,
}

impl Common {
    pub(super) fn config(&self, disk: DiskThread) -> Result<Config, LaunchError> {
        // Nothing is believed that another user has written.
        StateDir::is_there(disk, &self.state)?;
        let mut config = Config::load(disk, &self.state)?;
        self.settings.iter().for_each(|setting| config.set(setting));
        Ok(config)
    }

    pub(super) fn own_name(&self) -> MemberName {
        let host = || MemberName::nearest(&gethostname::gethostname().to_string_lossy());
        self.name.clone().unwrap_or_else(host)
    }

    /// Where a node is reached that listens there.
    pub(super) async fn reach(&self, listen: SocketAddr) -> Reach {
        Reach::of(listen, &self.advertise).await
    }

    /// Takes the port that was asked for, or else the one that `usual` says.
    pub(super) async fn listener(&self, usual: Listen) -> Result<Listener, ListenError> {
        Listener::bind(self.listen.map_or(usual, |asked| usual.unless(asked))).await
    }
}
