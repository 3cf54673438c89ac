//! A tracker and members, each a process of its own: all on loopback, or each on a host.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::hosts::Hosts;
use crate::machine;
use crate::relay::{FAR, Relay};

/// How long a member may take to hash its files.
const PATIENCE: Duration = Duration::from_mins(5);
/// How often a member is asked whether it has hashed them.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A port of loopback that nothing else uses.
pub const ANYWHERE: &str = "127.0.0.1:0";

/// Dropping this ends all of its processes.
pub struct Fleet {
    dir: PathBuf,
    /// Where each member runs, if not on this host.
    hosts: Option<Arc<Hosts>>,
    program: PathBuf,
    /// Where members find the tracker.
    tracker: String,
    relays: Vec<Relay>,
    /// Who each is, in the order in which they were started.
    running: Vec<(String, Child)>,
}

impl Fleet {
    /// Starts a tracker on a host, without members.
    pub fn on_hosts(dir: &Path, hosts: &Arc<Hosts>) -> Result<Self> {
        let mut fleet = Self::new(dir)?;
        fleet.hosts = Some(Arc::clone(hosts));
        std::fs::create_dir_all(dir)?;
        let listen = format!("{}:0", hosts.address("tracker")?);
        let args = ["tracker", "--open", "--lines", "--listen", &listen];
        fleet.tracker = fleet.begin("tracker", &args, "Listening on ")?;
        Ok(fleet)
    }

    fn new(dir: &Path) -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("thorp");
        ensure!(
            program.exists(),
            "{} is not there: build everything first, cargo build --release --workspace",
            program.display()
        );
        Ok(Self {
            dir: dir.to_owned(),
            hosts: None,
            program,
            tracker: String::new(),
            relays: Vec::new(),
            running: Vec::new(),
        })
    }

    /// Starts a tracker, a member that holds files and one that asks for them, and waits until both
    /// are members. Where a delay is given, all that goes to the holder and comes back is this much
    /// later, each way.
    pub fn trio(dir: &Path, delay: Option<Duration>) -> Result<Self> {
        let mut trio = Self::new(dir)?;
        for folder in ["holder/share", "asker/share"] {
            std::fs::create_dir_all(dir.join(folder))?;
        }
        let tracker = trio.begin(
            "tracker",
            &["tracker", "--open", "--lines", "--listen", ANYWHERE],
            "Listening on ",
        )?;
        let mut listen = ANYWHERE.to_owned();
        let mut tracker_of_holder = tracker.clone();
        if let Some(delay) = delay {
            // The tracker sees the holder at the address from which its relay dials, and members
            // dial the holder there, at the port where it listens.
            let (port, at_tracker) = (free_port()?, free_port()?);
            trio.relays.push(Relay::to_far(port, delay)?);
            trio.relays
                .push(Relay::start(at_tracker, tracker.parse()?, Duration::ZERO)?);
            listen = format!("{FAR}:{port}");
            tracker_of_holder = format!("127.0.0.1:{at_tracker}");
        }
        trio.tracker = tracker_of_holder;
        trio.share("holder", &trio.holder_share(), &listen)?;
        trio.tracker = tracker;
        trio.share("asker", &trio.asker_share(), ANYWHERE)?;
        Ok(trio)
    }

    /// Starts a member that shares a directory.
    pub fn share(&mut self, member: &str, share: &Path, listen: &str) -> Result<()> {
        let share = share.to_str().context("a path that is not UTF-8")?;
        let tracker = self.tracker.clone();
        let args = [
            "share",
            share,
            "--lines",
            "--tracker",
            &tracker,
            "--listen",
            listen,
        ];
        self.begin(member, &args, "Sharing ")?;
        Ok(())
    }

    /// Waits until a member has hashed all of its files.
    pub fn wait_until_hashed(&self, member: &str, files: u32) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let said = self.command(member, &["--json", "status"])?.output()?;
            let mut rows = serde_json::Deserializer::from_slice(&said.stdout).into_iter::<Value>();
            let status = rows.next().context("the member says nothing")??;
            if status["files"] == files && status["unhashed"] == 0 {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("{member} does not come to the end of hashing")
    }

    /// Returns how many bytes of memory the tracker or a member has.
    pub fn resident(&self, who: &str) -> Result<u64> {
        let mut running = self.running.iter();
        let process = running.find(|(name, _)| name == who);
        let (_, child) = process.with_context(|| format!("{who} does not run"))?;
        machine::resident(child.id())
    }

    /// Ends a member as its user would.
    pub fn stop(&mut self, member: &str) -> Result<()> {
        let stopped = self.command(member, &["stop"])?.output()?;
        ensure!(stopped.status.success(), "{member} does not stop");
        for (_, mut child) in self.running.extract_if(.., |(name, _)| name == member) {
            child.wait()?;
        }
        Ok(())
    }

    /// Lets a member list all files there are, and returns how many these are.
    pub fn list_all(&self, member: &str) -> Result<usize> {
        let listed = self.command(member, &["ls"])?.output()?;
        ensure!(listed.status.success(), "thorp ls has failed");
        let heading = 1;
        Ok(listed.stdout.lines().count().saturating_sub(heading))
    }

    /// Returns the holder's share.
    pub fn holder_share(&self) -> PathBuf {
        self.dir.join("holder/share")
    }

    /// Returns the asker's share, where fetched files arrive.
    pub fn asker_share(&self) -> PathBuf {
        self.dir.join("asker/share")
    }

    /// Runs `thorp get` at the asker.
    pub fn get(&self, args: &[&str]) -> Result<()> {
        self.get_by("asker", args)
    }

    /// Runs `thorp get` at a member.
    pub fn get_by(&self, member: &str, args: &[&str]) -> Result<()> {
        let args = [&["get", "--quiet"], args].concat();
        let output = self.command(member, &args)?.output()?;
        ensure!(
            output.status.success(),
            "thorp {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Waits until the asker finds this many matching files, all of them hashed.
    pub fn wait_until_listed(&self, pattern: &str, files: u32) -> Result<()> {
        self.wait_until_found("asker", pattern, files)
    }

    /// Waits until a member finds this many matching files, all of them hashed.
    pub fn wait_until_found(&self, member: &str, pattern: &str, files: u32) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let found = self
                .command(member, &["--json", "find", pattern])?
                .output()?;
            let rows = serde_json::Deserializer::from_slice(&found.stdout).into_iter::<Value>();
            let hashed = rows.filter(|row| row.as_ref().is_ok_and(|row| row["root"].is_string()));
            if hashed.count() == files as usize {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY * 2);
        }
        bail!("{files} files that match {pattern} do not come to be listed")
    }

    /// Starts a process. Returns the last word of the line that says it is ready.
    fn begin(&mut self, who: &str, args: &[&str], ready: &str) -> Result<String> {
        let mut command = self.command(who, args)?;
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let lines = child.stdout.take().context("stdout is piped")?;
        self.running.push((who.to_owned(), child));
        let mut lines = BufReader::new(lines).lines();
        while let Some(line) = lines.next().transpose()? {
            if line.starts_with(ready) {
                let address = line.rsplit(' ').next().unwrap_or_default().to_owned();
                // The rest must be read, or the process would block.
                std::thread::spawn(move || lines.count());
                return Ok(address);
            }
        }
        bail!("thorp {} ended before it was ready", args.join(" "))
    }

    fn command(&self, who: &str, args: &[&str]) -> Result<Command> {
        let mut command = match &self.hosts {
            Some(hosts) => hosts.command(who, &self.program)?,
            None => Command::new(&self.program),
        };
        command
            .arg("--state")
            .arg(self.dir.join(who).join("state"))
            .args(args)
            .stdin(Stdio::null());
        Ok(command)
    }
}

/// Returns a port of loopback that nothing uses at the moment.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
