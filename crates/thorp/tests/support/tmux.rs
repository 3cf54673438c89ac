//! A real terminal: keys as a user types them, and what is seen then.

use std::path::PathBuf;
use std::process::Command;

use super::process::poll;
use super::{Node, PATIENCE, skip};

/// A terminal with a program in it. It ends with this.
pub struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Starts a program in a terminal of this size; `None` where there is no tmux: then `test` has
    /// been skipped.
    pub fn start(
        test: &str,
        node: &Node,
        args: &[&str],
        size: (u16, u16),
        env: &str,
    ) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            skip(test, "tmux");
            return None;
        }
        let program = node.thorp(args);
        let words = std::iter::once(program.get_program()).chain(program.get_args());
        let words: Vec<String> = words
            .map(|word| format!("'{}'", word.to_str().expect("is text")))
            .collect();
        // The shell stays, so that what is left on the terminal can be seen.
        let line = format!(
            "trap : INT; env -i PATH=\"$PATH\" HOME='{}' TERM=\"$TERM\" {env} {}; echo ended: $?; read line",
            node.state().display(),
            words.join(" ")
        );
        let tmux = Self {
            socket: node.state().with_file_name("tmux"),
        };
        let (width, height) = (size.0.to_string(), size.1.to_string());
        let size = ["-x", &width, "-y", &height];
        let share = node.share();
        let begun = [
            &["-f", "/dev/null", "new-session", "-d"],
            &size[..],
            &["-c", share.to_str().expect("is text"), "sh", "-c", &line],
        ]
        .concat();
        tmux.run(&begun);
        Some(tmux)
    }

    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").env("LC_ALL", "C.UTF-8");
        command.arg("-u").arg("-S").arg(&self.socket).args(args);
        let output = command.output().expect("tmux runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {complaint}");
        String::from_utf8(output.stdout).expect("is text")
    }

    /// Types keys, as tmux names them.
    pub fn press(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    pub fn resize(&self, (width, height): (u16, u16)) {
        let (width, height) = (width.to_string(), height.to_string());
        self.run(&["resize-window", "-x", &width, "-y", &height]);
    }

    pub fn shown(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// Returns what is shown with its colours and attributes, and with the blanks at its lines'
    /// ends.
    pub fn painted(&self) -> String {
        self.run(&["capture-pane", "-p", "-e", "-N"])
    }

    /// Waits until the terminal shows this, and returns all that it shows then.
    #[track_caller]
    pub fn shows(&self, expected: &str) -> String {
        self.until(expected, |shown| shown.contains(expected))
    }

    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            poll(what, PATIENCE, || {
                last = self.shown();
                is_so(&last).then(|| last.clone())
            })
        }));
        found.unwrap_or_else(|_| panic!("waited for {what}:\n{}", self.shown()))
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        _ = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .arg("kill-server")
            .output();
    }
}
