//! Ways to bring the same files from one directory to another: thorp, other programs, a mere copy.
//!
//! ```text
//! thorp       into the asker's share, or with -o
//! rsync       a daemon, unencrypted
//! libtorrent  two sessions in two processes; libtorrent.py
//! rqbit       two servers
//! copying     cp; a bare TLS stream, which leaves no file
//! web         nginx and curl, for a single small file
//! ```
//!
//! A way that is not installed is left out, and said to be. What a user starts once (daemons,
//! sessions) runs before it is measured; what a user types is started while it is measured, but
//! for BitTorrent programs, which are told to fetch by a message.

pub mod copying;
pub mod libtorrent;
pub mod rqbit;
pub mod rsync;
pub mod thorp;
pub mod web;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// How long a program may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Files that are brought.
pub struct Freight {
    /// The directory that holders share.
    pub root: PathBuf,
    /// The name in it of a file, or of a folder of files.
    pub name: String,
    /// How many files these are.
    pub files: u32,
    /// How many bytes they have together.
    pub bytes: u64,
}

impl Freight {
    /// Returns where the files are.
    pub fn source(&self) -> PathBuf {
        self.root.join(&self.name)
    }
}

/// One way to bring files.
pub trait Way {
    /// Its name in the table.
    fn name(&self) -> &'static str;

    /// Does what comes before: shares the files, makes torrents. Not measured.
    fn prepare(&mut self, freight: &Freight) -> Result<()>;

    /// Brings the files, from the user's command to its end.
    fn fetch(&mut self, freight: &Freight) -> Result<()>;

    /// Returns where the files are then, if anywhere.
    fn fetched(&self, freight: &Freight) -> Option<PathBuf>;

    /// Forgets the files that were brought, after they were compared and removed.
    fn clear(&mut self, _freight: &Freight) -> Result<()> {
        Ok(())
    }
}

/// A process that ends with this value.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a program can be run.
pub fn is_there(program: &Path) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Waits until a process listens.
fn wait_for_port(process: &mut Ended, at: Ipv4Addr, port: u16) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(status) = process.0.try_wait()? {
            bail!("it ended before it listened ({status})");
        }
        if TcpStream::connect(SocketAddr::from((at, port))).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("it does not listen")
}

/// Runs a command to its end, which must be a good one.
fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{command:?} cannot be run"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Returns a path as text.
fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}
