//! A tracker and two members on loopback, each a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// How long a holder may take to hash its files.
const PATIENCE: Duration = Duration::from_mins(5);

/// One member holds files, the other one asks for them. Dropping this ends all three processes.
pub struct Trio {
    dir: PathBuf,
    program: PathBuf,
    running: Vec<Child>,
}

impl Trio {
    /// Starts the processes, and waits until both peers are members.
    pub fn start(dir: &Path) -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("thorp");
        ensure!(
            program.exists(),
            "{} is not there: build everything first, cargo build --release --workspace",
            program.display()
        );
        let mut trio = Self {
            dir: dir.to_owned(),
            program,
            running: Vec::new(),
        };
        for folder in ["holder/share", "asker/share", "elsewhere"] {
            std::fs::create_dir_all(dir.join(folder))?;
        }
        let tracker = trio.begin(
            "tracker",
            &["tracker", "--open", "--lines", "--listen", "127.0.0.1:0"],
            "Listening on ",
        )?;
        for member in ["holder", "asker"] {
            let share = dir.join(member).join("share");
            let share = share.to_str().context("a path that is not UTF-8")?;
            let args = ["share", share, "--lines", "--tracker", &tracker, "--listen"];
            trio.begin(member, &[&args[..], &["127.0.0.1:0"]].concat(), "Sharing ")?;
        }
        Ok(trio)
    }

    /// Returns the holder's share.
    pub fn holder_share(&self) -> PathBuf {
        self.dir.join("holder/share")
    }

    /// Returns the asker's share, where fetched files arrive.
    pub fn asker_share(&self) -> PathBuf {
        self.dir.join("asker/share")
    }

    /// Returns a directory that no member shares.
    pub fn elsewhere(&self) -> PathBuf {
        self.dir.join("elsewhere")
    }

    /// Empties the directory that no member shares.
    pub fn clear_elsewhere(&self) -> Result<()> {
        std::fs::remove_dir_all(self.elsewhere())?;
        Ok(std::fs::create_dir(self.elsewhere())?)
    }

    /// Fetches the file with this name into the asker's share. Returns how long that took.
    pub fn get(&mut self, name: &str) -> Result<Duration> {
        self.timed(&["get", "--quiet", "--", name])
    }

    /// Fetches the file into the directory that no member shares. Returns how long that took.
    pub fn get_elsewhere(&mut self, name: &str) -> Result<Duration> {
        let elsewhere = self.elsewhere();
        let elsewhere = elsewhere.to_str().context("a path that is not UTF-8")?;
        self.timed(&["get", "--quiet", "-o", elsewhere, "--", name])
    }

    /// Waits until the asker finds this many matching files, all of them hashed.
    pub fn wait_until_listed(&self, pattern: &str, files: usize) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let found = self
                .command("asker", &["--json", "find", pattern])
                .output()?;
            let rows = serde_json::Deserializer::from_slice(&found.stdout).into_iter::<Value>();
            let hashed = rows.filter(|row| row.as_ref().is_ok_and(|row| row["root"].is_string()));
            if hashed.count() == files {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("{files} files that match {pattern} do not come to be listed")
    }

    fn timed(&self, args: &[&str]) -> Result<Duration> {
        let begun = Instant::now();
        let output = self.command("asker", args).output()?;
        let took = begun.elapsed();
        ensure!(
            output.status.success(),
            "thorp {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(took)
    }

    /// Starts a process. Returns the last word of the line that says it is ready.
    fn begin(&mut self, who: &str, args: &[&str], ready: &str) -> Result<String> {
        let mut command = self.command(who, args);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let lines = child.stdout.take().context("stdout is piped")?;
        self.running.push(child);
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

    fn command(&self, who: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--state")
            .arg(self.dir.join(who).join("state"))
            .args(args)
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Trio {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
