//! rsync with a daemon, which neither encrypts nor verifies more than a sum of each file.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::{Ended, Freight, Way, is_there, text, wait_for_port};
use crate::fleet::free_port;

/// A daemon that serves a directory, and the command that asks it.
pub struct Rsync {
    _daemon: Ended,
    port: u16,
    target: PathBuf,
    is_synced: bool,
}

impl Rsync {
    /// Starts a daemon at an address, if rsync is installed. It is asked at 127.0.0.1.
    pub fn start(
        at: Ipv4Addr,
        scratch: &Path,
        root: &Path,
        target: &Path,
        is_synced: bool,
    ) -> Result<Option<Self>> {
        if !is_there(Path::new("rsync")) {
            return Ok(None);
        }
        let settings = scratch.join("rsyncd.conf");
        // A daemon that root starts would become another user, who may not read what is served.
        let is_root = fs::metadata("/proc/self")?.uid() == 0;
        let user = if is_root {
            "uid = root\ngid = root\n"
        } else {
            ""
        };
        let settings_text = format!(
            "use chroot = no\nread only = yes\n{user}[files]\npath = {}\n",
            text(root)?
        );
        fs::write(&settings, settings_text)?;
        let port = free_port()?;
        let daemon = Command::new("rsync")
            .args(["--daemon", "--no-detach"])
            .arg(format!("--address={at}"))
            .arg(format!("--port={port}"))
            .arg(format!("--config={}", text(&settings)?))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut daemon = Ended(daemon);
        wait_for_port(&mut daemon, at, port).context("rsync's daemon")?;
        Ok(Some(Self {
            _daemon: daemon,
            port,
            target: target.to_owned(),
            is_synced,
        }))
    }

    /// Returns the daemon's port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Way for Rsync {
    fn name(&self) -> &'static str {
        if self.is_synced {
            "rsync daemon, --fsync"
        } else {
            "rsync daemon"
        }
    }

    fn prepare(&mut self, _: &Freight) -> Result<()> {
        Ok(fs::create_dir_all(&self.target)?)
    }

    fn fetch(&mut self, freight: &Freight) -> Result<()> {
        let mut command = Command::new("rsync");
        command.arg("-a");
        if self.is_synced {
            command.arg("--fsync");
        }
        command.arg(format!(
            "rsync://127.0.0.1:{}/files/{}",
            self.port, freight.name
        ));
        super::run(command.arg(&self.target))
    }

    fn fetched(&self, freight: &Freight) -> Option<PathBuf> {
        Some(self.target.join(&freight.name))
    }
}
