//! Every sentence that a node's codes and values become, in one place.
//!
//! ```text
//! story    the sentences that are part of the behaviour
//! failure  what went wrong, over the local socket or here
//! launch   why a node cannot be started or asked
//! left_out why a file is not shared
//! menu     what the menu and the tracker's screen say and ask
//! warning  what does not go as it should
//! note     remarks in an answer
//! ```
//!
//! Users and scripts know them by heart: `--json` prints them too. Changing one
//! is a change of the interface. What comes from elsewhere is escaped where it
//! becomes part of a sentence ([`named`], [`escaped`]), so that it cannot begin a line
//! of its own.

mod failure;
mod launch;
mod left_out;
mod menu;
mod note;
mod story;
#[cfg(test)]
mod tests;
mod warning;

use std::path::Path;

use thorp_node::address::NetAddress;
use thorp_node::api::{Member, PageTrouble};
use thorp_node::looks_like_a_pattern;
use thorp_node::printable::printable;

use crate::fit::middle;
use crate::quoting::for_shell;
use crate::units::time;

pub use failure::{failure, is_folder, odd_name, trouble, waited_for, way_out};
pub use launch::{invite, launch};
pub use left_out::why_left_out;
pub use menu::{
    END_SHARING, END_SHARING_AND_TRACKER, ENDS_SHARING, ENDS_SHARING_AND_TRACKER,
    INVITES_ELSEWHERE, TABS, asked_in_transfers, asked_on_screen, cancel_fetch, end_tracker,
    fetch_folder, invited, menu_help, page_opens,
};
pub use note::note;
pub use story::{
    ESTABLISHED, FILE_NAME, HELP, INVITE, LEAVE, NOBODY, REMOVED, REQUEST, SAME_NAME, WAITING,
    WHICH_TRACKER, WISH, connecting, listening, sharing,
};
pub use warning::warning;

/// Why a page cannot be served.
fn page_trouble(why: &PageTrouble) -> String {
    match why {
        PageTrouble::Port { at, error } => {
            let (port, ip) = (at.port(), at.ip());
            format!("port {port} on {ip} cannot be used ({})", one_line(error))
        }
        PageTrouble::Token { error } => {
            format!(
                "its token cannot be kept in the state directory ({})",
                one_line(error)
            )
        }
        PageTrouble::NoRandomBytes => "the system gives no random bytes for its token".into(),
    }
}

/// The flag by which a command is about this state directory. Without it a command that is advised
/// would be about the usual one, which may be another group's.
pub fn there(state: &Path) -> String {
    format!("--state {}", for_shell(&state.display().to_string()))
}

/// Of which group this machine is a member, until when, in seconds since 1970.
pub fn member_of(
    name: Option<&str>,
    ca: &str,
    trackers: &[NetAddress],
    ends: Option<i64>,
    now: i64,
) -> String {
    let called = name.map_or_else(String::new, |name| format!(", called {name}"));
    let trackers: Vec<_> = trackers.iter().map(ToString::to_string).collect();
    let tracker = match trackers.as_slice() {
        [] => String::new(),
        trackers => format!(", whose tracker is at {}", trackers.join(" or ")),
    };
    let ends = ends.map_or_else(String::new, |ends| {
        let at = time(ends);
        if ends <= now {
            format!("; its certificate has ended ({at} UTC), and is renewed at the next start")
        } else {
            format!("; its certificate is good until {at} UTC")
        }
    });
    format!("This machine is a member of the group {ca}{called}{tracker}{ends}.")
}

/// The group has removed this machine.
pub fn no_member_of(ca: &str) -> String {
    format!("This machine is not a member of the group {ca} any more: {REMOVED}")
}

/// An invite that is an argument.
pub const INVITE_TYPED: &str = "an invite is a secret, and what is typed in a command can be read \
in the list of processes and in the shell's history, so it was not used. Type `thorp join` and \
paste it when it is asked for; or say where it is: `thorp join FILE`, `thorp share --join FILE`, \
with - for standard input. If others use this machine, make a new one: `thorp invite`";

/// Files came in the order of their bytes, though another one was asked for.
pub const TOO_MANY_TO_SORT: &str = "there are too many files to put them in that order: list a \
folder (thorp ls FOLDER), or fewer by a pattern (thorp find), or sort the rows of --json";

/// Leaves out the numbers of the system's errors, whose words say the same:
/// `Connection refused (os error 111)`.
pub fn plain(sentence: &str) -> String {
    const NUMBER: &str = " (os error ";
    let mut plain = String::with_capacity(sentence.len());
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once(NUMBER) {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        plain.push_str(before);
        rest = match after.as_bytes().get(digits) {
            Some(b')') if digits > 0 => &after[digits + 1..],
            _ => {
                plain.push_str(NUMBER);
                after
            }
        };
    }
    plain.push_str(rest);
    plain
}

/// No file matches a pattern.
pub fn nothing_matches(pattern: &str) -> String {
    let shown = named(pattern);
    if looks_like_a_pattern(pattern) {
        return format!(
            "Nothing matches {shown}. Small and large letters differ, and a pattern with a / is \
             matched against whole paths. See what there is: thorp ls"
        );
    }
    // A pattern without a star is a name.
    let folder = for_shell(&format!("{}/", pattern.trim_end_matches('/')));
    let part = for_shell(&format!("*{pattern}*"));
    format!(
        "No file is called {shown}. Names that contain it: thorp find {part}; a folder: thorp ls \
         {folder}"
    )
}

/// A member as a user knows it: `oak (192.168.1.5)`.
pub fn called(member: &Member) -> String {
    let address = (member.port != 0).then_some(&*member.address);
    match (&member.name, address) {
        (Some(name), Some(address)) => format!("{name} ({address})"),
        (Some(name), None) => name.clone(),
        (None, Some(address)) => address.to_owned(),
        (None, None) => member.id.get(..8).unwrap_or(&member.id).to_owned(),
    }
}

/// As much of a name is shown in a sentence, in columns.
pub const LONGEST_NAME: usize = 255;

/// A name or a pattern that others may have chosen: on one line, and shortened in its
/// middle where it is very long.
pub fn named(name: &str) -> String {
    middle(&one_line(name), LONGEST_NAME)
}

/// What others may have said.
fn one_line(text: &str) -> String {
    printable(text).to_string()
}

/// Where another program can come between a look and a rename.
fn looks_first(path: &Path) -> String {
    format!(
        "the file system of {} cannot give a file a name only where that is free: thorp looks \
         first, and what another program puts there at that moment is lost. Let no other program \
         write there while files arrive",
        escaped(path)
    )
}

/// A path that others may have chosen.
pub fn escaped(path: &Path) -> String {
    printable(&path.to_string_lossy()).to_string()
}
