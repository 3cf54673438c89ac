//! Another process of this machine: whether it can do anything at all.

use std::fs;

/// Whether a process is suspended: by Ctrl-Z, by reading from a terminal that is not
/// its own now, or by SIGSTOP.
pub(crate) fn is_suspended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name of its program, in brackets, may hold anything.
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_some_and(|state| state.starts_with('T'))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, id};

    use super::*;

    #[test]
    fn a_suspended_process_is_told_from_one_that_runs() {
        assert!(!is_suspended(id()));
        let mut child = Command::new("sleep").arg("60").spawn().expect("it starts");
        let send = |signal| {
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, signal).expect("it is there");
        };
        send(rustix::process::Signal::STOP);
        while !is_suspended(child.id()) {
            std::thread::yield_now();
        }
        send(rustix::process::Signal::CONT);
        while is_suspended(child.id()) {
            std::thread::yield_now();
        }
        child.kill().expect("it is there");
        child.wait().expect("it ends");
        assert!(!is_suspended(child.id()));
    }
}
