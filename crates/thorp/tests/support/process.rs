//! A program that runs: its lines as they come, and its end.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Which of a program's two voices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// For data.
    Stdout,
    /// For people.
    Stderr,
}

/// A line that a program has written.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where to.
    pub stream: Stream,
    /// When it arrived here.
    pub at: Instant,
    /// Without its end; what is not UTF-8 is replaced.
    pub text: String,
}

/// A program that runs. It is killed when this is dropped, and when the test is
/// failing its lines are shown then.
pub struct Running {
    name: String,
    child: Child,
    output: Arc<Output>,
    started: Instant,
    ended: bool,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    all: Vec<Line>,
    /// Streams that have ended.
    closed: usize,
}

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code; nothing if a signal ended it.
    pub code: Option<i32>,
    /// Its data.
    pub stdout: String,
    /// Its talk.
    pub stderr: String,
}

impl Running {
    /// Starts `command`, with nothing to read on its standard input.
    pub fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Self::spawn(name, command)
    }

    /// Starts `command`, with this to read on its standard input.
    pub fn start_reading(name: &str, mut command: Command, input: &str) -> Self {
        command.stdin(Stdio::piped());
        let mut running = Self::spawn(name, command);
        let mut stdin = running.child.stdin.take().expect("stdin is piped");
        // A process that ends before it has read everything has not wanted it.
        _ = stdin.write_all(input.as_bytes());
        running
    }

    fn spawn(name: &str, mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // What the program is run under may be its parent: both end together.
        command.process_group(0);
        let mut child = command
            .spawn()
            .unwrap_or_else(|why| panic!("{name}: {command:?}: {why}"));
        let output = Arc::new(Output::default());
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        output.follow(Stream::Stdout, stdout);
        output.follow(Stream::Stderr, stderr);
        Self {
            name: name.into(),
            child,
            output,
            started: Instant::now(),
            ended: false,
        }
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many lines there are so far: what comes after is new.
    pub fn mark(&self) -> usize {
        self.output.lock().all.len()
    }

    /// Waits until `found` finds what it looks for in the lines so far, asking
    /// it again after each new one.
    pub fn wait_until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut found: impl FnMut(&[Line]) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + limit;
        let mut lines = self.output.lock();
        loop {
            if let Some(found) = found(&lines.all) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let over = lines.closed == 2;
            if over || left.is_zero() {
                drop(lines);
                let why = if over { "it ended" } else { "time is up" };
                panic!("{}: waited for {what}, but {why}", self.name);
            }
            lines = self
                .output
                .changed
                .wait_timeout(lines, left)
                .expect("no reader panics")
                .0;
        }
    }

    /// Waits until a line has these words in it, or until it has ended without saying them.
    /// Returns whether it has said them.
    pub fn says_or_ends(&self, words: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.output.lock();
        loop {
            if lines.all.iter().any(|line| line.text.contains(words)) {
                return true;
            }
            if lines.closed == 2 {
                return false;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{}: waited for {words:?}", self.name);
            let changed = self.output.changed.wait_timeout(lines, left);
            lines = changed.expect("no reader panics").0;
        }
    }

    /// Waits for a line, on either stream.
    pub fn wait_for_line(&self, what: &str, is_it: impl Fn(&str) -> bool) -> Line {
        self.wait_for_line_after(0, what, is_it)
    }

    /// Waits for a line that comes after `mark`.
    pub fn wait_for_line_after(
        &self,
        mark: usize,
        what: &str,
        is_it: impl Fn(&str) -> bool,
    ) -> Line {
        self.wait_until(what, PATIENCE, |lines| {
            lines
                .iter()
                .skip(mark)
                .find(|line| is_it(&line.text))
                .cloned()
        })
    }

    /// Everything it has written, for a person.
    pub fn transcript(&self) -> String {
        let mut text = String::new();
        for line in &self.output.lock().all {
            let mark = match line.stream {
                Stream::Stdout => ' ',
                Stream::Stderr => '!',
            };
            let at = line.at.duration_since(self.started).as_secs_f64();
            _ = writeln!(text, "{at:8.3} {mark} {}", line.text);
        }
        text
    }

    /// Sends it a signal, by its name without `SIG`.
    pub fn signal(&self, signal: &str) {
        // The shell's own `kill`: the program of that name is not everywhere.
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{signal} {}", self.child.id())])
            .status()
            .expect("sh runs");
        assert!(sent.success(), "{}: cannot send it SIG{signal}", self.name);
    }

    /// Waits for its end.
    pub fn finish(mut self, limit: Duration) -> Finished {
        let deadline = Instant::now() + limit;
        let mut lines = self.output.lock();
        while lines.closed < 2 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(lines);
                panic!("{}: waited for its end, but time is up", self.name);
            }
            lines = self
                .output
                .changed
                .wait_timeout(lines, left)
                .expect("no reader panics")
                .0;
        }
        let of = |stream| {
            let mut text = String::new();
            for line in lines.all.iter().filter(|line| line.stream == stream) {
                text.push_str(&line.text);
                text.push('\n');
            }
            text
        };
        let (stdout, stderr) = (of(Stream::Stdout), of(Stream::Stderr));
        drop(lines);
        // It has closed its streams, so it is about to end.
        let code = loop {
            match self.child.try_wait().expect("a child can be waited for") {
                Some(status) => break status.code(),
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
                None => panic!("{}: closed its output, but does not end", self.name),
            }
        };
        self.ended = true;
        Finished {
            code,
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            let group = format!("kill -s KILL -- -{}", self.child.id());
            _ = Command::new("sh").args(["-c", &group]).status();
            _ = self.child.kill();
            _ = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("--- {} ---\n{}", self.name, self.transcript());
        }
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().expect("no reader panics")
    }

    fn follow(self: &Arc<Self>, stream: Stream, from: impl Read + Send + 'static) {
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut bytes = Vec::new();
            while matches!(from.read_until(b'\n', &mut bytes), Ok(1..)) {
                let text = String::from_utf8_lossy(&bytes)
                    .trim_end_matches(['\n', '\r'])
                    .into();
                output.lock().all.push(Line {
                    stream,
                    at: Instant::now(),
                    text,
                });
                output.changed.notify_all();
                bytes.clear();
            }
            output.lock().closed += 1;
            output.changed.notify_all();
        });
    }
}

impl Finished {
    /// Asserts its exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "wrong exit code: {self}");
        self
    }

    /// Asserts what it says to people.
    #[track_caller]
    pub fn says(self, message: &str) -> Self {
        assert!(
            self.stderr.contains(message),
            "stderr lacks {message:?}: {self}"
        );
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "code {:?}\nstdout:\n{}\nstderr:\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

/// Asks again and again until the answer is there. For what no line tells.
#[track_caller]
pub fn poll<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited for {what}, but time is up"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// What a process keeps in memory, and the most it ever kept, in bytes.
pub fn memory(process: &Running) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("it runs");
    let field = |name: &str| {
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .expect("it runs");
        line.split_whitespace()
            .nth(1)
            .expect("it runs")
            .parse::<u64>()
            .expect("a number")
            * 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}
