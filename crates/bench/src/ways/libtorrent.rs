//! libtorrent, by its Python module: one session seeds, another one fetches, both in plain text.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{Ended, Freight, Way, text};

/// Two sessions in two processes.
pub struct Libtorrent {
    seed: LibtorrentSession,
    leech: LibtorrentSession,
    torrents: PathBuf,
    target: PathBuf,
}

impl Libtorrent {
    /// Starts both sessions, if this Python has the module. The seed listens at an address, and is
    /// asked at 127.0.0.1.
    pub fn start(
        at: Ipv4Addr,
        python: &Path,
        scratch: &Path,
        target: &Path,
    ) -> Result<Option<Self>> {
        if !is_there(python) {
            return Ok(None);
        }
        let torrents = scratch.join("torrents");
        fs::create_dir_all(&torrents)?;
        let (seed, leech) = (
            LibtorrentSession::start(Command::new(python), at)?,
            LibtorrentSession::start(Command::new(python), Ipv4Addr::LOCALHOST)?,
        );
        Ok(Some(Self {
            seed,
            leech,
            torrents,
            target: target.to_owned(),
        }))
    }

    /// Returns the seed's port.
    pub fn port(&self) -> u16 {
        self.seed.port
    }

    /// Hashes files for a torrent.
    pub fn make(&mut self, path: &Path, torrent: &Path, is_v2: bool) -> Result<()> {
        self.seed.make(path, torrent, is_v2)
    }

    fn torrent(&self, freight: &Freight) -> PathBuf {
        self.torrents.join(format!("{}.torrent", freight.name))
    }
}

impl Way for Libtorrent {
    fn name(&self) -> &'static str {
        "libtorrent, plain, v1"
    }

    fn prepare(&mut self, freight: &Freight) -> Result<()> {
        fs::create_dir_all(&self.target)?;
        let torrent = self.torrent(freight);
        self.make(&freight.source(), &torrent, false)?;
        self.seed.add(&torrent, &freight.root, &[])
    }

    fn fetch(&mut self, freight: &Freight) -> Result<()> {
        let torrent = self.torrent(freight);
        let seed = SocketAddr::from((Ipv4Addr::LOCALHOST, self.seed.port));
        self.leech.add(&torrent, &self.target, &[seed])
    }

    fn fetched(&self, freight: &Freight) -> Option<PathBuf> {
        Some(self.target.join(&freight.name))
    }

    fn clear(&mut self, freight: &Freight) -> Result<()> {
        let torrent = self.torrent(freight);
        let dropped = json!({ "drop": text(&torrent)? });
        self.leech.ask(&dropped)?;
        self.seed.ask(&dropped)
    }
}

/// Whether a Python has libtorrent.
pub fn is_there(python: &Path) -> bool {
    Command::new(python)
        .args(["-c", "import libtorrent"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A session in a process of its own.
pub struct LibtorrentSession {
    process: Ended,
    said: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl LibtorrentSession {
    /// Starts one that listens at an address. The command runs Python.
    pub fn start(mut python: Command, at: Ipv4Addr) -> Result<Self> {
        let mut process = python
            .args(["-c", include_str!("libtorrent.py"), &at.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = process.stdout.take().context("stdout is piped")?;
        let mut session = Self {
            process: Ended(process),
            said: BufReader::new(said).lines(),
            port: 0,
        };
        let port = session.heard()?["port"].as_u64();
        session.port = u16::try_from(port.context("libtorrent names no port")?)?;
        Ok(session)
    }

    /// Returns the port at which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Hashes files for a torrent.
    pub fn make(&mut self, path: &Path, torrent: &Path, is_v2: bool) -> Result<()> {
        self.ask(&json!({ "make": text(path)?, "torrent": text(torrent)?, "v2": is_v2 }))
    }

    /// Seeds a torrent from a directory, or fetches it to there from these first.
    pub fn add(&mut self, torrent: &Path, directory: &Path, from: &[SocketAddr]) -> Result<()> {
        let from: Vec<_> = from
            .iter()
            .map(|at| (at.ip().to_string(), at.port()))
            .collect();
        let wanted = json!({
            "torrent": text(torrent)?,
            "directory": text(directory)?,
            "from": from,
        });
        self.ask(&wanted)
    }

    /// Has something done, and waits until it is.
    fn ask(&mut self, what: &Value) -> Result<()> {
        let input = self.process.0.stdin.as_mut().context("stdin is piped")?;
        writeln!(input, "{what}")?;
        let said = self.heard()?;
        ensure!(said.get("done").is_some(), "libtorrent says {said}");
        Ok(())
    }

    fn heard(&mut self) -> Result<Value> {
        let line = self
            .said
            .next()
            .context("libtorrent's process has ended")??;
        Ok(serde_json::from_str(&line)?)
    }
}
