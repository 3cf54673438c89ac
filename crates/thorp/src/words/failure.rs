//! What went wrong: what, with which thing, and what to do now.

use thorp_node::api::{
    Doubt, ErrorKind, Failure, Gap, Get, Inquiry, MemberRole, Miss, NoRoom, Obstacle, PageTrouble,
    Trouble,
};
use thorp_node::{all_beneath, looks_like_a_pattern};

use super::{NOBODY, REMOVED, SAME_NAME, called, escaped, named, one_line, page_trouble, plain};
use crate::quoting::{for_shell, quoted};
use crate::units::{count, size};

/// A failure in a sentence.
#[expect(clippy::too_many_lines, reason = "an arm for each failure")]
pub fn failure(failure: &Failure) -> String {
    match failure {
        Failure::NoPage { why: None } => "This node has no page: it was started with --no-page, \
             or page.on is false in its settings. Start it again without that"
            .into(),
        Failure::NoPage { why: Some(why) } => {
            let cure = match why {
                PageTrouble::Port { .. } => {
                    "Start it again with another port: --set page.port=0 is any free one"
                }
                PageTrouble::Token { .. } | PageTrouble::NoRandomBytes => {
                    "Mend that, and start it again"
                }
            };
            format!("This node has no page: {}. {cure}", page_trouble(why))
        }
        Failure::LinkUnused => "No browser has opened the page, and the link to it is good no \
             longer. Print a link, and open it yourself within a minute: thorp page --print"
            .into(),
        Failure::NothingNamed => "Which file? Name one: thorp get NAME".into(),
        Failure::NotOneFile => {
            "Another name can be given to one file only. Ask for one file by its name.".into()
        }
        Failure::NotAName { name, why } => {
            format!(
                "{} is no name for a file: {why}. Choose another.",
                named(name)
            )
        }
        Failure::NotAPattern { pattern, why } => format!("{}: {why}", named(pattern)),
        Failure::UnknownCommand { why } => format!(
            "The running node does not know this command ({why}). Restart it with the same version."
        ),
        Failure::CommandTooLong { most } => format!(
            "This is more than a node reads of one command ({}). Ask for a pattern or a folder, \
             or for fewer names at a time.",
            size(*most)
        ),
        Failure::NotAPage => "There is no such page: its `at` is no row of its part, or an id is \
             none. See docs/json.md"
            .into(),
        Failure::NotTheKeeper => {
            "A peer does not keep the group's CA. Ask on the tracker's machine".into()
        }
        Failure::NotAPeer => {
            "A tracker runs on this state directory; it shares and fetches nothing. \
             Ask a peer: leave out --state, or name the peer's"
                .into()
        }
        Failure::NobodyShares { from, root } => nobody(from.as_deref(), root.as_deref()),
        Failure::OnlyHere { at, .. } => format!(
            "No other peer is sharing this file; this one shares {} itself. To copy it: -o DIR",
            named(at)
        ),
        Failure::NoPeerCalled { who } => {
            format!(
                "No peer called {} is here. See who is: thorp peers",
                named(who)
            )
        }
        Failure::NoFolderCalled { folder } => {
            format!(
                "No folder {} is shared. See what there is: thorp ls",
                named(folder)
            )
        }
        Failure::NoPeerOrFolderCalled { called } => format!(
            "No peer and no folder called {} is here. See what there is: thorp peers, thorp ls",
            named(called)
        ),
        Failure::NoMemberCalled { who, least } => format!(
            "No member is called {who}. See who there is: thorp members \
             (an id's first {least} characters will do)"
        ),
        Failure::NoMemberWithId { id } => {
            format!("No member has the id {id}. See who there is: thorp members")
        }
        Failure::SeveralMembers { who } => format!(
            "{who} could be several members. Type more of the id: thorp members --json has it whole"
        ),
        Failure::KeepsTheGroup { name, role } => format!("{name} {}", keeps_the_group(*role)),
        Failure::Ambiguous { name, doubt } => ambiguous(name, *doubt),
        Failure::IsFolder { name, files, bytes } => format!(
            "{}. Fetch it by a pattern: thorp get {}",
            is_folder(name, *files, *bytes),
            pattern_of_all(name)
        ),
        Failure::TooManyReaders { most } => format!(
            "{most} files are being read from this peer already. Close one of them, or try again \
             later."
        ),
        Failure::NoRoomToRead { length, most } => format!(
            "There is no room for this file ({}): those that are read while they arrive may take \
             {} in all. Fetch it (thorp get), or allow more: --set read.cache_mib=MIB",
            size(*length),
            size(*most)
        ),
        Failure::ReadersInTheWay { length, most } => format!(
            "There is no room for this file ({}) beside those that others are reading: all \
             together may take {}. Try again later, fetch it (thorp get), or allow more: --set \
             read.cache_mib=MIB",
            size(*length),
            size(*most)
        ),
        Failure::NoDiskToRead { state, room } => no_disk_to_read(&escaped(state), room.as_ref()),
        Failure::Exists => SAME_NAME.into(),
        Failure::Reserved { name } => format!(
            "{} is a name that thorp keeps for its own files, so it is not fetched. \
             Ask for it alone and give it another one: --as NEWNAME",
            named(name)
        ),
        Failure::Unstorable {
            path,
            room: Some(room),
            ..
        } => no_room(&escaped(path), room),
        Failure::Unstorable { path, obstacle, .. } => unstorable(&escaped(path), obstacle),
        Failure::GroupServesNoClients => {
            "This group serves no BitTorrent clients. Its owner turns that on where the tracker \
             runs: thorp tracker --bittorrent"
                .into()
        }
        Failure::ShareServesNoClients => {
            "This peer does not serve its share to BitTorrent clients. Start it again with: \
             thorp share DIR --bittorrent"
                .into()
        }
        Failure::NotATorrent { why } => format!(
            "This torrent cannot be fetched: {}. Ask whoever made it for another one",
            plain(&one_line(why))
        ),
        Failure::NotInShare { name } => format!(
            "{} is not in this machine's share. Where it is shared, thorp find NAME says",
            named(name)
        ),
        Failure::SeveralInShare { name, paths } => {
            let paths: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
            format!(
                "Several files here are called {}. Name one by its path: {}",
                named(name),
                paths.join(", ")
            )
        }
        Failure::NothingShared { name } => format!(
            "Nothing in {} is shared: it is empty, or all in it is left out. thorp status tells \
             how much is left out, and why",
            named(name)
        ),
        Failure::TorrentNotKept { name, why } => format!(
            "There is no torrent of {}, for this peer could not keep it and serve it: {}",
            named(name),
            one_line(why)
        ),
        Failure::TooLongForLink { name, bytes } => format!(
            "No client could use a link to {}: it would first have to be sent the list of its files \
             and pieces, which has {}, and 8 MiB are the most. Give people the torrent \
             (thorp torrent NAME -o FILE), or links to the folders in it",
            named(name),
            size(*bytes)
        ),
        Failure::Empty { name } => format!(
            "{} is empty: there is nothing in it that a BitTorrent client could fetch",
            named(name)
        ),
        Failure::Unhashed { name, why } => format!(
            "There is no torrent of {}: {}. Try again when that has ended",
            named(name),
            one_line(why)
        ),
        Failure::NoTracker { inquiry, trouble } => {
            let (what, advice) = no_tracker(*inquiry, trouble.as_ref());
            format!("{what} {advice}").trim_end().to_owned()
        }
        Failure::NotAnswering {
            process,
            is_suspended,
        } => not_answering(*process, *is_suspended),
        Failure::StillEnding { process, waited } => still_ending(*process, *waited),
        Failure::PeerStopping => PEER_STOPPING.into(),
        Failure::TrackerStopping => "The tracker is stopping. Start it again: thorp tracker".into(),
        Failure::Removed => REMOVED.into(),
        Failure::AnswerGarbled => broken_off("an answer that is none"),
        Failure::AnswerCutShort => broken_off("no end to its answer"),
        Failure::OfAnotherVersion { said, .. } => format!(
            "The running node is another version, and says: {said}. To have it say more, start it \
             again: thorp stop"
        ),
        Failure::TooManyRemoved { most } => format!(
            "{most} machines were removed already, and no more can be told of; \
             make a new group and invite the others"
        ),
        Failure::TooManyInvites { most } => format!(
            "there are {most} invites already that can still be used; wait until some have \
             expired, or make one for several machines (thorp invite --uses N)"
        ),
        Failure::CaKeyMissing => "the group's key (ca.p8) is missing though it has members; \
             restore it from a backup, or move members.json away to make a new group"
            .into(),
        Failure::Damaged { path, why } => format!(
            "{} is damaged: {why}; restore it from a backup, or move it away to start without it",
            path.display()
        ),
        Failure::DiskFailed {
            action,
            path,
            obstacle,
        } => disk_failed(action, &escaped(path), obstacle),
        Failure::Library { text, .. } => text.clone(),
        Failure::InPart { why } => in_part(why),
        Failure::TrackerBusy => TRACKER_BUSY.into(),
        Failure::NotAllAsked => NOT_ALL_ASKED.into(),
        Failure::Missed { name, miss } => {
            let (what, advice) = missed(name, miss);
            format!("{what} {advice}").trim_end().to_owned()
        }
        Failure::Several {
            failed, of, room, ..
        } => {
            let several =
                format!("{failed} of {of} files could not be fetched; the reasons are above.");
            match room {
                None => several,
                Some(room) => format!("{several} Of what does not fit, {}", to_come_and_left(room)),
            }
        }
    }
}

/// Why a file does not come yet, and that thorp goes on by itself: so without the advice to ask
/// again.
pub fn waited_for(name: &str, why: &Failure) -> String {
    let why = match why {
        Failure::NobodyShares { .. } => format!("No peer is sharing {} now.", named(name)),
        Failure::Missed { name, miss } => missed(name, miss).0,
        Failure::NoTracker { inquiry, trouble } => {
            format!(
                "{}: {}",
                quoted(name),
                no_tracker(*inquiry, trouble.as_ref()).0
            )
        }
        other => {
            let sentence = failure(other);
            if sentence.contains(&named(name)) {
                sentence
            } else {
                format!("{}: {sentence}", quoted(name))
            }
        }
    };
    format!("{why} thorp waits, and fetches it as soon as it can; Ctrl-C ends that.")
}

/// The pattern for all of a folder, as it is typed behind `thorp get`.
fn pattern_of_all(folder: &str) -> String {
    let ends_options = if folder.starts_with('-') { "-- " } else { "" };
    format!("{ends_options}{}", for_shell(&all_beneath(folder)))
}

/// What a name is that no file has.
pub fn is_folder(name: &str, files: u64, bytes: u64) -> String {
    // Beyond that it was not counted further.
    let more = if files > 1000 || bytes > 1 << 30 {
        ", or more"
    } else {
        ""
    };
    let (files, bytes) = (count(files, "file"), size(bytes));
    format!("{} is a folder with {files}, {bytes}{more}", quoted(name))
}

/// What else to type where a file is in the way.
pub fn way_out(failure: &Failure, get: &Get) -> Option<String> {
    const REPLACE: &str = "To replace what is there: --overwrite";
    if let Some(hint) = odd_name(failure.kind(), &get.names) {
        return Some(hint.to_owned());
    }
    if let Failure::Unstorable {
        path,
        obstacle: Obstacle::File,
        ..
    } = failure
        && get.dir.as_ref() == Some(path)
    {
        // Not `>` and its path: that could be a file, which the shell would empty.
        let advice = "-o takes a directory. For another name: --as NEWNAME; to a pipe or a device \
                      a file goes by way of standard output: -o -";
        return Some(advice.to_owned());
    }
    if failure.kind() != ErrorKind::Exists || get.overwrite {
        return None;
    }
    // What is a folder there is not replaced.
    match failure {
        Failure::Exists if matches!(&get.names[..], [name] if get.exact || !looks_like_a_pattern(name)) => {
            Some(format!("To keep both: --as NEWNAME. {REPLACE}"))
        }
        Failure::Exists | Failure::Several { .. } => Some(REPLACE.to_owned()),
        _ => None,
    }
}

/// Why no file can have the only name that was asked for, if it is taken for something else.
pub fn odd_name(kind: ErrorKind, names: &[String]) -> Option<&'static str> {
    let [name] = names else { return None };
    if kind != ErrorKind::NotFound {
        return None;
    }
    if name.contains("://") {
        return Some(
            "This looks like a link. Of links, thorp fetches magnet links only; files of the group go \
             by their names: see thorp ls",
        );
    }
    if name.ends_with(".torrent") {
        return Some(
            "There is no such file here either. To fetch what a torrent describes, name its file by \
             its path on this machine",
        );
    }
    if looks_like_a_pattern(name) && !name.starts_with("magnet:") {
        return Some("No file is called exactly so, and as a pattern it matches none");
    }
    name.split('/')
        .any(|part| part == "..")
        .then_some("No name has .. in it: a name is a path in a peer's share, as thorp ls shows it")
}

fn ambiguous(name: &str, doubt: Doubt) -> String {
    let name = named(name);
    match doubt {
        Doubt::Several => format!(
            "Several files go by this name: {name}. Say which: with --root PREFIX for the content or \
             --from PEER for the peer, or by its whole path where that differs."
        ),
        Doubt::LookAlike => format!(
            "No file is called exactly so, but this looks the same (it is written with other Unicode \
             characters): {name}. Ask for it as it is written above, or by --root PREFIX."
        ),
        Doubt::OtherCase => format!(
            "No file is called exactly so, but this is written with other small and large letters: \
             {name}. Ask for it as it is written above."
        ),
        Doubt::Hidden => format!(
            "{name} is hidden, or a file that programs act on by themselves. Ask for it by its \
             whole path, as above, or with --hidden, if you want it."
        ),
    }
}

const PEER_STOPPING: &str =
    "The peer is stopping, and keeps what has arrived. Start it again: thorp share DIR";
const TRACKER_BUSY: &str =
    "The tracker has too much to do to say who has this file. Try again in a minute.";

const NOT_ALL_ASKED: &str = "The tracker does not have the lists of all peers (it has no room for \
    them, has just started, or a peer still looks through its share), and not all of those peers \
    were asked or have answered: one of them may share this file. Try again.";

fn in_part(why: &Gap) -> String {
    match why {
        Gap::Cut => {
            "The tracker did not answer in full: there may be more than this. It has no room for \
             the lists of all peers, has just started, has stopped answering, or a peer still looks \
             through its share. Try again."
                .into()
        }
        Gap::Busy => "The tracker has too much to do, and did not answer in full: there may be \
             more than this. Try again in a minute."
            .into(),
        Gap::NoTracker { trouble: why } => {
            let why = why.as_ref().map(|why| format!(" ({})", trouble(why)));
            format!(
                "The tracker cannot be asked now{}: this is what the neighbours know.",
                why.unwrap_or_default()
            )
        }
    }
}

/// Why a file was not fetched, and what to do about it.
fn missed(name: &str, miss: &Miss) -> (String, &'static str) {
    let name = named(name);
    match miss {
        Miss::StillHashing { by } => {
            let by = by.as_ref().map(|by| format!(" by {}", called(by)));
            (
                format!("{name} is still being hashed{}.", by.unwrap_or_default()),
                "Try again in a while.",
            )
        }
        Miss::Busy => (
            format!("Every peer that shares {name} has too much to do."),
            "Try again in a while.",
        ),
        Miss::Unreadable => (
            format!("The peer that shares {name} cannot read it."),
            "Ask its owner to check the file's permissions.",
        ),
        Miss::TooLarge => (
            format!("{name} is too large for the older program of the peer that shares it."),
            "Upgrade thorp there.",
        ),
        Miss::Unreachable { why } => (
            format!(
                "No peer that shares {name} can be reached: {}.",
                plain(&one_line(why))
            ),
            advice_about_the_way(why),
        ),
        Miss::Silent { by } => (
            format!("{} shares {name} but did not answer.", called(by)),
            "Try again later.",
        ),
        Miss::Mismatch { by } => (
            format!(
                "What {} sent is not the {name} it lists, and no other peer has it.",
                called(by)
            ),
            "Try again when another peer shares it.",
        ),
        Miss::Changed { at } => (
            format!("{name} has changed at {} while it was fetched.", called(at)),
            "Run it again for the new one.",
        ),
        Miss::Restless { at } => (
            format!(
                "{name} is being written at {} all the time: it did not hold still while it was \
                 fetched.",
                called(at)
            ),
            "Try again when that has ended.",
        ),
        Miss::Unfinished { why, there, of } => (
            format!(
                "No peer is left to send the rest of {name} ({}). What has arrived ({} of {}) is \
                 kept.",
                plain(&one_line(why)),
                size(*there),
                size(*of)
            ),
            "Ask for it again when a peer shares it.",
        ),
        Miss::AllLeftOut { files, hidden } => {
            let files = count(*files, "file");
            let (what, advice) = match hidden {
                0 => ("such as would change what is shared", ""),
                _ => (
                    "hidden or such as programs act on by themselves",
                    "If you want them: --hidden",
                ),
            };
            let why = format!("Nothing of {name} is fetched: {files}, {what}.");
            (why, advice)
        }
        Miss::NoTrackerOfIt { why } => (
            format!(
                "Not every tracker of {name} answers ({}), and no client that has it is known.",
                plain(&one_line(why))
            ),
            "Check the network, and try again.",
        ),
        Miss::NoClient => (
            format!("No BitTorrent client has {name} now: its trackers name none."),
            "Try again when a client has it, or wait for one: --wait",
        ),
        Miss::NoClientReached { why } => (
            format!(
                "No BitTorrent client that may have {name} can be reached: {}.",
                plain(&one_line(why))
            ),
            "Try again later.",
        ),
        Miss::WrongFromClient { client } => (
            format!("What {client} sent is not of {name}, and no other BitTorrent client has it."),
            "Try again when another one has it.",
        ),
        Miss::Unfit { why } => (
            format!("{name} cannot be fetched: {}.", plain(&one_line(why))),
            "",
        ),
    }
}

/// What to do where a holder cannot be reached for this reason.
fn advice_about_the_way(why: &str) -> &'static str {
    if why.contains(LIMIT) {
        // It says itself whose limit is to be raised.
        return "";
    }
    "Check that their machines are on and no firewall is between."
}

/// Why there is no link to the tracker.
pub fn trouble(trouble: &Trouble) -> String {
    match trouble {
        Trouble::ChangedCa {
            address,
            pinned,
            shown,
        } => format!("{address} is not trusted: {}", changed_ca(pinned, shown)),
        other => plain(&one_line(&other.to_string())),
    }
}

/// The tracker at an address shows another CA than it did before.
pub(super) fn changed_ca(pinned: &str, shown: &str) -> String {
    format!(
        "the group's CA has changed: it was {pinned}, and is now {shown}; either the tracker was \
         set up anew (then `thorp leave` and join again), or another machine answers at its address"
    )
}

fn nobody(from: Option<&str>, root: Option<&str>) -> String {
    match (from.map(named), root.map(named)) {
        (None, None) => NOBODY.into(),
        (Some(from), None) => {
            format!(
                "No peer called {from} is sharing this file now. See which peers do: thorp find NAME"
            )
        }
        (None, Some(root)) => format!(
            "No peer is sharing this file with a root that starts with {root}. \
             See which there are: thorp find NAME"
        ),
        (Some(from), Some(root)) => format!(
            "No peer called {from} is sharing this file with a root that starts with {root}. \
             See which there are: thorp find NAME"
        ),
    }
}

fn keeps_the_group(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Host => {
            "is the peer on this machine, which keeps the group's CA. To stop it: thorp stop; \
             to end the group: thorp leave --purge; both with --state DIR if it was started with \
             that"
        }
        MemberRole::Tracker | MemberRole::Member => {
            "is the group's tracker: without it there is no group. To move it to another machine: \
             thorp tracker --backup; to end the group: thorp leave --purge, with --state DIR for a \
             tracker alone"
        }
    }
}

/// In each reason that is about a limit of open files.
const LIMIT: &str = "ulimit -n";

const TOO_MANY_OPEN: &str = "too many files are open: raise the limit of open files (ulimit -n) \
    where the peer is started";

fn unstorable(path: &str, obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Mismatch => {
            format!("what arrived for {path} is not what was listed: fetch it from another peer")
        }
        Obstacle::File => format!(
            "{path} is a file, and a folder is needed there: rename it, or choose another name"
        ),
        Obstacle::Folder => {
            format!("{path} is a folder: rename it, or choose another name for the file")
        }
        Obstacle::Special => format!(
            "{path} is a pipe, a device or a socket: rename it, or choose another name for the file"
        ),
        Obstacle::Moved => format!(
            "{path} was moved, replaced or removed: stop the peer (thorp stop) and share the \
             directory where it is now"
        ),
        Obstacle::FolderMoved => {
            format!("{path} was moved, replaced or removed while the file came: get it again")
        }
        Obstacle::PartMoved { part, bytes } => format!(
            "{path} was moved or replaced while the file came. What has arrived of it ({}) is kept in \
             {}. Share the directory where it is now (thorp stop, thorp share DIR), or name it (-o \
             DIR), and ask again: it goes on from there",
            size(*bytes),
            escaped(part)
        ),
        Obstacle::LeadsOutside => {
            format!("{path} leads out of the directory through a link: choose another name")
        }
        Obstacle::NameTooLong => {
            format!("{path} is too long a name for this file system: choose a shorter one")
        }
        Obstacle::NameRefused => format!(
            "{path} has characters that this file system has in no name: choose another name (--as \
             NEWNAME) or another directory (-o DIR)"
        ),
        Obstacle::ReadOnly => format!(
            "{path} cannot be written, the file system is read-only: choose another directory"
        ),
        Obstacle::Denied => {
            format!("{path} cannot be written: check the directory's permissions")
        }
        Obstacle::Full => {
            format!("{path} does not fit, the disk is full: make room and try again")
        }
        Obstacle::NoDirectory => {
            format!("there is no directory {path}: create it or name another")
        }
        Obstacle::TooManyOpen => format!("{path} cannot be written: {TOO_MANY_OPEN}"),
        Obstacle::Other(why) => format!(
            "{path} cannot be written ({why}): try again, or choose another name (--as NEWNAME) or \
             another directory (-o DIR)"
        ),
    }
}

/// A file outside the share cannot be read or written.
pub(super) fn disk_failed(action: &str, path: &str, obstacle: &Obstacle) -> String {
    let why = match obstacle {
        Obstacle::Denied => {
            "permission is denied: check the permissions of it and of its directory"
        }
        Obstacle::ReadOnly => "the file system is read-only: choose another directory",
        Obstacle::Full => "the disk is full: make room and try again",
        Obstacle::NoDirectory if matches!(action, "open" | "read") => {
            "it is not there: name another"
        }
        Obstacle::NoDirectory => "its directory is not there: create that, or name another",
        Obstacle::NameTooLong => "this file system has no names that long: choose a shorter one",
        Obstacle::TooManyOpen => TOO_MANY_OPEN,
        Obstacle::Other(why) => {
            return format!("cannot {action} {path} ({why}): check the disk, and try again");
        }
        obstacle => return unstorable(path, obstacle),
    };
    format!("cannot {action} {path}, {why}")
}

fn no_room(path: &str, room: &NoRoom) -> String {
    let is_full = if room.free < room.needed {
        ", the disk is full"
    } else {
        ""
    };
    format!("{path} does not fit{is_full}: {}", to_come_and_left(room))
}

fn to_come_and_left(room: &NoRoom) -> String {
    let NoRoom {
        file_system,
        free,
        needed,
    } = room;
    if free >= needed {
        return format!(
            "{} are still to come, and the file system at {} takes no more, though it has room. It may \
             have no place for more files (df -i), or your quota is used up. Remove some, or name \
             another directory (-o DIR), and ask again: what has come is kept.",
            size(*needed),
            escaped(file_system)
        );
    }
    format!(
        "{} are still to come, and the file system at {} has {} left. Make room there, or name \
         another directory (-o DIR), and ask again: what has come is kept.",
        size(*needed),
        escaped(file_system),
        size(*free)
    )
}

/// The disk with the state directory has no room for a file that is read while it arrives.
fn no_disk_to_read(state: &str, room: Option<&NoRoom>) -> String {
    let takes_no_more = match room {
        Some(room) if room.free < room.needed => format!(
            "takes {}, and the file system at {} has {} left",
            size(room.needed),
            escaped(&room.file_system),
            size(room.free)
        ),
        // It may be full of files, or a quota used up.
        _ => "has no room there: the disk is full".to_owned(),
    };
    format!(
        "A file that is read while it arrives comes by way of the state directory, {state}. This \
         one {takes_no_more}. Make room there, or fetch it to another disk: thorp get NAME -o DIR"
    )
}

/// Why the tracker was not asked, and what to do about it.
fn no_tracker(inquiry: Inquiry, why: Option<&Trouble>) -> (String, &'static str) {
    const CHECK: &str = "Check that the tracker runs, and the network, and try again.";
    let asked = match inquiry {
        Inquiry::Beyond => "No neighbour knows this file, and the tracker cannot be asked",
        Inquiry::File => "The tracker cannot be asked who has this file",
        Inquiry::Group => "The tracker cannot be asked",
    };
    match why {
        None => (format!("{asked}."), CHECK),
        Some(why) if why.kind() == ErrorKind::Network => {
            (format!("{asked}: {}.", trouble(why)), CHECK)
        }
        // It says what to do itself.
        Some(why) => (format!("{asked}: {}.", trouble(why)), ""),
    }
}

fn not_answering(process: Option<u32>, is_suspended: bool) -> String {
    let who = called_process(process);
    let pid = pid_or_word(process);
    if is_suspended {
        format!(
            "The node that runs here, {who}, is suspended and does not answer. Let it go on: fg in \
             its shell, or kill -CONT {pid}"
        )
    } else {
        format!(
            "The node that runs here, {who}, does not answer. See what it does (ps {pid}), or end \
             it: kill {pid}"
        )
    }
}

fn still_ending(process: Option<u32>, waited: u64) -> String {
    let (who, pid) = (called_process(process), pid_or_word(process));
    format!(
        "It was told to stop, but {who} has not ended after {waited} s. \
         Wait until it has, or end it: kill {pid}"
    )
}

/// A process as a user knows it.
pub(super) fn called_process(process: Option<u32>) -> String {
    process.map_or("another process".into(), |pid| format!("process {pid}"))
}

fn pid_or_word(process: Option<u32>) -> String {
    process.map_or("PID".into(), |pid| pid.to_string())
}

fn broken_off(how: &str) -> String {
    format!(
        "The running peer gave {how}; it may have been stopped, or be another version. Try again."
    )
}
