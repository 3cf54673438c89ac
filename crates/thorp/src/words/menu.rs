//! What the menu of `share` and the tracker's screen say and ask.

use super::named;
use crate::units;

/// Asked before a peer ends.
pub const ENDS_SHARING: &str = "This ends sharing here.";
/// The same where the group's tracker is inside it.
pub const ENDS_SHARING_AND_TRACKER: &str =
    "This ends sharing here, and the group's tracker, which runs inside this peer.";
/// An invite is wanted where the group's CA is not.
pub const INVITES_ELSEWHERE: &str =
    "Invites are made where the group's tracker is: type thorp invite on that machine.";

/// Where the page is, of the node that is asked `at` a state directory. Its link is a secret, and
/// never printed unasked.
pub fn page_opens(at: &str) -> String {
    format!("In a browser: thorp page{at}")
}

/// An invite, and what to do with it.
pub fn invited(invite: &str) -> String {
    format!(
        "On another machine: thorp join    and paste this line (one machine, 24 hours):\n{invite}"
    )
}

/// What may be typed at the menu.
pub fn menu_help(has_tracker: bool, has_tabs: bool) -> String {
    let invite = if has_tracker {
        "\n  3, invite          make an invite for another machine"
    } else {
        ""
    };
    let tabs = if has_tabs {
        "\n  Tab                files, transfers, peers and more on the whole screen"
    } else {
        ""
    };
    format!(
        "  1, get NAME        request a file; its name is asked for if you leave it out\n  \
             get LINK           the same with a magnet link, or a torrent's file\n  \
           2, leave, q        say goodbye and end{invite}{tabs}\n  \
           Ctrl-C             back to the menu from a question; ends a fetch\n\
         In another terminal on this machine, as this peer goes on:\n  \
           thorp ls           what there is\n  \
           thorp find '*.pdf' which files match\n  \
           thorp peers        who is here\n  \
           thorp status       how this peer is"
    )
}

/// Said above the menu when it begins.
pub const TABS: &str = "Tab shows files, transfers, peers and more.";

/// Asked before the screen of `share` ends the peer.
pub const END_SHARING: &str = "End sharing here? y ends it, any other key goes on";
/// The same where the group's tracker is inside the peer.
pub const END_SHARING_AND_TRACKER: &str = "End sharing here and the tracker in it? y ends both";

/// Asked before a folder is fetched. A long name is cut at the end of the line, not the keys.
pub fn fetch_folder(folder: &str) -> String {
    format!("y fetches all of {}, any other key does not", named(folder))
}

/// Asked before a fetch is cancelled.
pub fn cancel_fetch(what: &str) -> String {
    format!(
        "y cancels the fetch of {}, any other key goes on",
        named(what)
    )
}

/// Said on another tab than that of transfers when a fetch asks something.
pub fn asked_in_transfers(what: &str) -> String {
    format!("3 shows a question about the fetch of {}", named(what))
}

/// Said at the menu when a fetch that was begun on the screen asks something.
pub fn asked_on_screen(what: &str) -> String {
    format!(
        "{} waits for an answer: Tab shows the question.",
        named(what)
    )
}

/// Asked before the tracker's screen ends the tracker.
pub fn end_tracker(peers: u64) -> String {
    let peers = units::count(peers, "peer");
    format!("End the tracker of this group ({peers})? y ends it, any other key goes on")
}
