//! rqbit, another BitTorrent client in Rust: one server seeds, another one fetches.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Ended, Freight, Way, is_there, wait_for_port};
use crate::fleet::free_port;

/// How often a server is asked whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Two servers, and the torrents that libtorrent has made.
pub struct Rqbit {
    seed: Server,
    leech: Server,
    torrents: PathBuf,
    target: PathBuf,
    /// The number of the torrent at both.
    torrent: Option<(u64, u64)>,
}

impl Rqbit {
    /// Starts both servers, if rqbit and curl are installed.
    pub fn start(program: &Path, scratch: &Path, target: &Path) -> Result<Option<Self>> {
        if !is_there(program) || !is_there(Path::new("curl")) {
            return Ok(None);
        }
        Ok(Some(Self {
            seed: Server::start(program, scratch)?,
            leech: Server::start(program, scratch)?,
            torrents: scratch.join("torrents"),
            target: target.to_owned(),
            torrent: None,
        }))
    }
}

impl Way for Rqbit {
    fn name(&self) -> &'static str {
        "rqbit, plain, v1"
    }

    fn prepare(&mut self, freight: &Freight) -> Result<()> {
        fs::create_dir_all(&self.target)?;
        let torrent = self.torrents.join(format!("{}.torrent", freight.name));
        // It has a folder for each torrent of several files, and is told which.
        let directory = if freight.files == 1 {
            freight.root.clone()
        } else {
            freight.source()
        };
        let seeded = self.seed.add(&torrent, &directory, None)?;
        self.seed.wait(seeded)?;
        self.torrent = Some((seeded, 0));
        Ok(())
    }

    fn fetch(&mut self, freight: &Freight) -> Result<()> {
        let torrent = self.torrents.join(format!("{}.torrent", freight.name));
        let name = if freight.files == 1 {
            ""
        } else {
            &freight.name
        };
        let directory = self.target.join(name);
        let fetched = self.leech.add(&torrent, &directory, Some(self.seed.port))?;
        self.leech.wait(fetched)?;
        self.torrent = self.torrent.map(|(seeded, _)| (seeded, fetched));
        Ok(())
    }

    fn fetched(&self, freight: &Freight) -> Option<PathBuf> {
        Some(self.target.join(&freight.name))
    }

    fn clear(&mut self, _: &Freight) -> Result<()> {
        if let Some((seeded, fetched)) = self.torrent.take() {
            self.leech.forget(fetched)?;
            self.seed.forget(seeded)?;
        }
        Ok(())
    }
}

struct Server {
    _process: Ended,
    port: u16,
    api: String,
}

impl Server {
    fn start(program: &Path, scratch: &Path) -> Result<Self> {
        let (port, api) = (free_port()?, free_port()?);
        let process = Command::new(program)
            .args([
                "-v",
                "error",
                "--disable-dht",
                "--disable-lsd",
                "--disable-upnp-port-forward",
            ])
            .args([
                "--listen-ip",
                "127.0.0.1",
                "--listen-port",
                &port.to_string(),
            ])
            .args(["--http-api-listen-addr", &format!("127.0.0.1:{api}")])
            .args(["server", "start", "--disable-persistence"])
            .arg(scratch.join("rqbit"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut process = Ended(process);
        wait_for_port(&mut process, Ipv4Addr::LOCALHOST, api).context("rqbit")?;
        Ok(Self {
            _process: process,
            port,
            api: format!("http://127.0.0.1:{api}/torrents"),
        })
    }

    /// Adds a torrent. Returns its number.
    fn add(&self, torrent: &Path, directory: &Path, from: Option<u16>) -> Result<u64> {
        let peers = from.map_or_else(String::new, |port| {
            format!("&initial_peers=127.0.0.1:{port}")
        });
        let directory = directory.display();
        let url = format!(
            "{}?overwrite=true&output_folder={directory}{peers}",
            self.api
        );
        let data = format!("@{}", torrent.display());
        let said = ask(&["--data-binary", &data, &url])?;
        said["id"]
            .as_u64()
            .with_context(|| format!("rqbit says {said}"))
    }

    fn wait(&self, torrent: u64) -> Result<()> {
        let url = format!("{}/{torrent}/stats/v1", self.api);
        while ask(&[&url])?["finished"] != true {
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn forget(&self, torrent: u64) -> Result<()> {
        ask(&["-X", "POST", &format!("{}/{torrent}/forget", self.api)])?;
        Ok(())
    }
}

fn ask(args: &[&str]) -> Result<Value> {
    let output = Command::new("curl")
        .args(["-sS", "--fail"])
        .args(args)
        .output()?;
    ensure!(
        output.status.success(),
        "rqbit: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}
