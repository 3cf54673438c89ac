//! Remarks that change nothing.

use thorp_node::api::Note;

use super::failure::called_process;
use super::{looks_first, named, trouble};
use crate::units::count;

/// A remark in a sentence.
pub fn note(note: &Note) -> String {
    match note {
        Note::Taken => "The running node has read the command.".into(),
        Note::Unanswered { process } => format!(
            "The node that runs here, {}, does not answer yet: waiting for it.",
            called_process(*process)
        ),
        Note::TakenOnTrust { ca } => format!(
            "The key of this group is {ca}. It was taken on trust: compare it with what thorp status \
             says on the tracker's machine."
        ),
        Note::WaitsToJoin => "Many machines join this group now. This one waits for its turn, and \
             goes on by itself."
            .into(),
        Note::LeftGroup { trackers, keeps } => left_group(trackers, *keeps),
        Note::OpenGroup => {
            "This group is open: every machine that can reach the tracker is let in. \
             A machine that is removed can join again with another key."
                .into()
        }
        Note::HiddenLeftOut { files } => {
            hidden(*files) + " One comes by its whole path, all with --hidden."
        }
        Note::HiddenLeftOutOfTorrent { files } => {
            hidden(*files) + " Ask for the torrent again with --hidden if you want them."
        }
        Note::LeftOut { name } => format!(
            "{} would change what is shared from here, and is left out. \
             Ask for it by its name if you want it.",
            named(name)
        ),
        Note::LeftOutOfTorrent { name } => format!(
            "{} would change what is shared from here, and is left out of the torrent's files. \
             Fetch it with another program if you want it.",
            named(name)
        ),
        Note::LooksFirst { path } => looks_first(path),
        Note::AsksWhatItIs { name } => {
            format!("BitTorrent clients are asked what is in {}.", named(name))
        }
        Note::NoFiles => "Nothing matches, for no peer shares a file yet.".into(),
        Note::TrackerInPart => {
            "The tracker did not answer in full: there may be more than this.".into()
        }
        Note::NeighboursOnly { trouble: why } => {
            let why = why.as_ref().map(|why| format!(" ({})", trouble(why)));
            format!(
                "The tracker cannot be asked now{}: this is what the neighbours know.",
                why.unwrap_or_default()
            )
        }
    }
}

fn left_group(trackers: &[String], keeps: bool) -> String {
    if keeps {
        return "The group that this machine keeps stays, but nobody reaches its tracker: thorp share \
                runs it no more while this machine is in another group. To go back to it: thorp leave"
            .into();
    }
    format!(
        "This machine has left the group of the tracker at {}. To go back to it, it needs an invite \
         from there.",
        trackers.join(", ")
    )
}

fn hidden(files: u64) -> String {
    let are = if files == 1 {
        "1 file is".to_owned()
    } else {
        format!("{} are", count(files, "file"))
    };
    format!("{are} left out: hidden, or such that programs act on them by themselves.")
}
