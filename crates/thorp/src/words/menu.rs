//! What the menu of `share` and the tracker's screen say and ask.

use crate::units;

/// Asked before a peer ends.
pub const ENDS_SHARING: &str = "This ends sharing here.";
/// The same where the group's tracker is inside it.
pub const ENDS_SHARING_AND_TRACKER: &str =
    "This ends sharing here, and the group's tracker, which runs inside this peer.";
/// An invite is wanted where the group's CA is not.
pub const INVITES_ELSEWHERE: &str =
    "Invites are made where the group's tracker is: type thorp invite on that machine.";

/// An invite, and what to do with it.
pub fn invited(invite: &str) -> String {
    format!(
        "On another machine: thorp join    and paste this line (one machine, 24 hours):\n{invite}"
    )
}

/// What may be typed at the menu.
pub fn menu_help(has_tracker: bool) -> String {
    let invite = if has_tracker {
        "\n  3, invite          make an invite for another machine"
    } else {
        ""
    };
    format!(
        "  1, get NAME        request a file; its name is asked for if you leave it out\n  \
             get LINK        the same with a magnet link, or a torrent's file\n  \
           2, leave, q        say goodbye and end{invite}\n  \
           Ctrl-C             back to the menu from a question; ends a fetch\n\
         In another terminal on this machine, as this peer goes on:\n  \
           thorp ls           what there is\n  \
           thorp find '*.pdf' which files match\n  \
           thorp peers        who is here\n  \
           thorp status       how this peer is"
    )
}

/// Asked before the tracker's screen ends the tracker.
pub fn end_tracker(peers: u64) -> String {
    let peers = units::count(peers, "peer");
    format!("End the tracker of this group ({peers})? y ends it, any other key goes on")
}
