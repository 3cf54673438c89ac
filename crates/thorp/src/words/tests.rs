//! Every code has its sentence, and the sentences are those that users know.

use std::io;
use std::path::PathBuf;

use thorp_node::address::NetAddress;
use thorp_node::api::{
    ErrorKind, Failure, Gap, Inquiry, MemberRole, Miss, NoRoom, Note, Obstacle, PageTrouble,
    Trouble, Warning,
};
use thorp_node::backup::BackupError;
use thorp_node::clock::Apart;
use thorp_node::invite::InviteError;
use thorp_node::launch::LaunchError;
use thorp_node::net::dial::DialError;
use thorp_node::net::join::NotJoined;
use thorp_node::net::listener::ListenError;
use thorp_node::share;
use thorp_node::state::StateError;

use super::*;
use crate::out;
use crate::samples::{nobody, oak};

const NOBODY_BEYOND: &str = "No neighbour knows this file, and the tracker cannot be asked";

fn texts<const N: usize>(texts: [&str; N]) -> [String; N] {
    texts.map(str::to_owned)
}

fn path() -> PathBuf {
    "/home/oak/f".into()
}

fn port_80() -> PageTrouble {
    PageTrouble::Port {
        at: "[::1]:80".parse().expect("an address"),
        error: "Permission denied".into(),
    }
}

/// One of each code, in the order in which they are declared.
#[expect(clippy::too_many_lines, reason = "one of each code")]
fn failures() -> Vec<(Failure, &'static str)> {
    let [name, why, who, id] = texts(["f", "it is none", "oak", "aaaa"]);
    vec![
        (
            Failure::NothingNamed,
            "Which file? Name one: thorp get NAME",
        ),
        (
            Failure::NotOneFile,
            "Another name can be given to one file only. Ask for one file by its name.",
        ),
        (
            Failure::NotAName {
                name: name.clone(),
                why: why.clone(),
            },
            "f is no name for a file: it is none. Choose another.",
        ),
        (
            Failure::NotAPattern {
                pattern: name.clone(),
                why: why.clone(),
            },
            "f: it is none",
        ),
        (
            Failure::UnknownCommand { why: why.clone() },
            "The running node does not know this command (it is none). \
             Restart it with the same version.",
        ),
        (
            Failure::NotAPage,
            "There is no such page: its `at` is no row of its part, or an id is none. \
             See docs/json.md",
        ),
        (
            Failure::NotTheKeeper,
            "A peer does not keep the group's CA. Ask on the tracker's machine",
        ),
        (
            Failure::NotAPeer,
            "A tracker runs on this state directory; it shares and fetches nothing. \
             Ask a peer: leave out --state, or name the peer's",
        ),
        (nobody(), NOBODY),
        (
            Failure::NoPeerCalled { who: who.clone() },
            "No peer called oak is here. See who is: thorp peers",
        ),
        (
            Failure::NoMemberCalled {
                who: who.clone(),
                least: 8,
            },
            "No member is called oak. See who there is: thorp members \
             (an id's first 8 characters will do)",
        ),
        (
            Failure::NoMemberWithId { id },
            "No member has the id aaaa. See who there is: thorp members",
        ),
        (
            Failure::SeveralMembers { who: who.clone() },
            "oak could be several members. Type more of the id: thorp members --json has it whole",
        ),
        (
            Failure::KeepsTheGroup {
                name: who,
                role: MemberRole::Host,
            },
            "oak is the peer on this machine, which keeps the group's CA. To stop it: thorp stop; \
             to end the group: thorp leave --purge; both with --state DIR if it was started with that",
        ),
        (
            Failure::Ambiguous {
                name: name.clone(),
                doubt: thorp_node::api::Doubt::Several,
            },
            "Several files go by this name: f. Say which: with --root PREFIX for the content or \
             --from PEER for the peer, or by its whole path where that differs.",
        ),
        (Failure::Exists, SAME_NAME),
        (
            Failure::Reserved { name: name.clone() },
            "f is a name that thorp keeps for its own files, so it is not fetched. Ask for it alone and give it another one: --as NEWNAME",
        ),
        (
            Failure::Unstorable {
                path: path(),
                obstacle: Obstacle::Denied,
                room: None,
            },
            "/home/oak/f cannot be written: check the directory's permissions",
        ),
        (
            Failure::NoTracker {
                inquiry: Inquiry::Beyond,
                trouble: None,
            },
            "No neighbour knows this file, and the tracker cannot be asked. \
             Check that the tracker runs, and the network, and try again.",
        ),
        (
            Failure::Missed {
                name,
                miss: Miss::Busy,
            },
            "Every peer that shares f has too much to do. Try again in a while.",
        ),
        (
            Failure::Several {
                failed: 1,
                of: 2,
                kind: ErrorKind::Network,
                room: None,
            },
            "1 of 2 files could not be fetched; the reasons are above.",
        ),
        (
            Failure::PeerStopping,
            "The peer is stopping, and keeps what has arrived. Start it again: thorp share DIR",
        ),
        (
            Failure::TrackerStopping,
            "The tracker is stopping. Start it again: thorp tracker",
        ),
        (
            Failure::Removed,
            "this machine was removed from the group. To come back it needs a new key and a new \
             invite: thorp leave --purge, then thorp join",
        ),
        (
            Failure::AnswerGarbled,
            "The running peer gave an answer that is none; it may have been stopped, or be another \
             version. Try again.",
        ),
        (
            Failure::AnswerCutShort,
            "The running peer gave no end to its answer; it may have been stopped, or be another \
             version. Try again.",
        ),
        (
            Failure::TooManyRemoved { most: 7 },
            "7 machines were removed already, and no more can be told of; make a new group and \
             invite the others",
        ),
        (
            Failure::TooManyInvites { most: 7 },
            "there are 7 invites already that can still be used; wait until some have expired, or \
             make one for several machines (thorp invite --uses N)",
        ),
        (
            Failure::CaKeyMissing,
            "the group's key (ca.p8) is missing though it has members; restore it from a backup, \
             or move members.json away to make a new group",
        ),
        (
            Failure::Damaged {
                path: path(),
                why: why.clone(),
            },
            "/home/oak/f is damaged: it is none; restore it from a backup, or move it away to \
             start without it",
        ),
        (
            Failure::Library {
                kind: ErrorKind::Other,
                text: why,
            },
            "it is none",
        ),
        (
            Failure::OfAnotherVersion {
                kind: ErrorKind::NotFound,
                said: "moved".to_owned(),
            },
            "The running node is another version, and says: moved. To have it say more, start it \
             again: thorp stop",
        ),
        (
            Failure::NoFolderCalled {
                folder: "slides".to_owned(),
            },
            "No folder slides is shared. See what there is: thorp ls",
        ),
        (
            Failure::NoPeerOrFolderCalled {
                called: "oka".to_owned(),
            },
            "No peer and no folder called oka is here. See what there is: thorp peers, thorp ls",
        ),
        (
            Failure::NotAnswering {
                process: Some(7),
                is_suspended: true,
            },
            "The node that runs here, process 7, is suspended and does not answer. Let it go on: \
             fg in its shell, or kill -CONT 7",
        ),
        (
            Failure::StillEnding {
                process: Some(7),
                waited: 10,
            },
            "It was told to stop, but process 7 has not ended after 10 s. Wait until it has, or \
             end it: kill 7",
        ),
        (
            Failure::InPart { why: Gap::Busy },
            "The tracker has too much to do, and did not answer in full: there may be more than \
             this. Try again in a minute.",
        ),
        (
            Failure::TrackerBusy,
            "The tracker has too much to do to say who has this file. Try again in a minute.",
        ),
        (
            Failure::NotAllAsked,
            "The tracker does not have the lists of all peers (it has no room for them, has just \
             started, or a peer still looks through its share), and not all of those peers were \
             asked or have answered: one of them may share this file. Try again.",
        ),
        (
            Failure::IsFolder {
                name: "my slides".to_owned(),
                files: 2,
                bytes: 2048,
            },
            "\"my slides\" is a folder with 2 files, 2.0 KiB. Fetch it by a pattern: thorp get \
             'my slides/**'",
        ),
        (
            Failure::DiskFailed {
                action: "write".into(),
                path: path(),
                obstacle: Obstacle::Full,
            },
            "cannot write /home/oak/f, the disk is full: make room and try again",
        ),
        (
            Failure::CommandTooLong {
                most: 4 * 1024 * 1024,
            },
            "This is more than a node reads of one command (4.0 MiB). Ask for a pattern or a \
             folder, or for fewer names at a time.",
        ),
        (
            Failure::GroupServesNoClients,
            "This group serves no BitTorrent clients. Its owner turns that on where the tracker \
             runs: thorp tracker --bittorrent",
        ),
        (
            Failure::ShareServesNoClients,
            "This peer does not serve its share to BitTorrent clients. Start it again with: \
             thorp share DIR --bittorrent",
        ),
        (
            Failure::NotInShare {
                name: "a".to_owned(),
            },
            "a is not in this machine's share. Where it is shared, thorp find NAME says",
        ),
        (
            Failure::SeveralInShare {
                name: "a".to_owned(),
                paths: vec!["b/a".to_owned(), "c d/a".to_owned()],
            },
            "Several files here are called a. Name one by its path: b/a, \"c d/a\"",
        ),
        (
            Failure::Empty {
                name: "a".to_owned(),
            },
            "a is empty: there is nothing in it that a BitTorrent client could fetch",
        ),
        (
            Failure::Unhashed {
                name: "a".to_owned(),
                why: "it has changed".to_owned(),
            },
            "There is no torrent of a: it has changed. Try again when that has ended",
        ),
        (
            Failure::NothingShared {
                name: "a".to_owned(),
            },
            "Nothing in a is shared: it is empty, or all in it is left out. thorp status tells \
             how much is left out, and why",
        ),
        (
            Failure::TorrentNotKept {
                name: "a".to_owned(),
                why: "no room".to_owned(),
            },
            "There is no torrent of a, for this peer could not keep it and serve it: no room",
        ),
        (
            Failure::NotATorrent {
                why: "the torrent names no file".to_owned(),
            },
            "This torrent cannot be fetched: the torrent names no file. Ask whoever made it for \
             another one",
        ),
        (
            Failure::NoPage {
                why: Some(port_80()),
            },
            "This node has no page: port 80 on ::1 cannot be used (Permission denied). \
             Start it again with another port: --set page.port=0 is any free one",
        ),
        (
            Failure::LinkUnused,
            "No browser has opened the page, and the link to it is good no longer. Print a link, \
             and open it yourself within a minute: thorp page --print",
        ),
        (
            Failure::TooManyReaders { most: 64 },
            "64 files are being read from this peer already. Close one of them, or try again later.",
        ),
        (
            Failure::NoRoomToRead {
                length: 1 << 40,
                most: 1 << 34,
            },
            "There is no room for this file (1.0 TiB): those that are read while they arrive may \
             take 16.0 GiB in all. Fetch it (thorp get), or allow more: --set read.cache_mib=MIB",
        ),
        (
            Failure::ReadersInTheWay {
                length: 1 << 30,
                most: 1 << 34,
            },
            "There is no room for this file (1.0 GiB) beside those that others are reading: all \
             together may take 16.0 GiB. Try again later, fetch it (thorp get), or allow more: \
             --set read.cache_mib=MIB",
        ),
        (
            Failure::OnlyHere {
                name: "f".into(),
                at: "a/f".into(),
            },
            "No other peer is sharing this file; this one shares a/f itself. To copy it: -o DIR",
        ),
        (
            Failure::TooLongForLink {
                name: "a".to_owned(),
                bytes: 9 * 1024 * 1024,
            },
            "No client could use a link to a: it would first have to be sent the list of its files \
             and pieces, which has 9.0 MiB, and 8 MiB are the most. Give people the torrent \
             (thorp torrent NAME -o FILE), or links to the folders in it",
        ),
        (
            Failure::NoDiskToRead {
                state: "/home/oak/state".into(),
                room: Some(NoRoom {
                    file_system: "/home".into(),
                    free: 1024,
                    needed: 3 << 20,
                }),
            },
            "A file that is read while it arrives comes by way of the state directory, \
             /home/oak/state. This one takes 3.0 MiB, and the file system at /home has 1.0 KiB \
             left. Make room there, or fetch it to another disk: thorp get NAME -o DIR",
        ),
    ]
}

/// A new code is not compiled before it has a number here, and so a sample.
fn number(failure: &Failure) -> usize {
    match failure {
        Failure::NothingNamed => 0,
        Failure::NotOneFile => 1,
        Failure::NotAName { .. } => 2,
        Failure::NotAPattern { .. } => 3,
        Failure::UnknownCommand { .. } => 4,
        Failure::NotAPage => 5,
        Failure::NotTheKeeper => 6,
        Failure::NotAPeer => 7,
        Failure::NobodyShares { .. } => 8,
        Failure::NoPeerCalled { .. } => 9,
        Failure::NoMemberCalled { .. } => 10,
        Failure::NoMemberWithId { .. } => 11,
        Failure::SeveralMembers { .. } => 12,
        Failure::KeepsTheGroup { .. } => 13,
        Failure::Ambiguous { .. } => 14,
        Failure::Exists => 15,
        Failure::Reserved { .. } => 16,
        Failure::Unstorable { .. } => 17,
        Failure::NoTracker { .. } => 18,
        Failure::Missed { .. } => 19,
        Failure::Several { .. } => 20,
        Failure::PeerStopping => 21,
        Failure::TrackerStopping => 22,
        Failure::Removed => 23,
        Failure::AnswerGarbled => 24,
        Failure::AnswerCutShort => 25,
        Failure::TooManyRemoved { .. } => 26,
        Failure::TooManyInvites { .. } => 27,
        Failure::CaKeyMissing => 28,
        Failure::Damaged { .. } => 29,
        Failure::Library { .. } => 30,
        Failure::OfAnotherVersion { .. } => 31,
        Failure::NoFolderCalled { .. } => 32,
        Failure::NoPeerOrFolderCalled { .. } => 33,
        Failure::NotAnswering { .. } => 34,
        Failure::StillEnding { .. } => 35,
        Failure::InPart { .. } => 36,
        Failure::TrackerBusy => 37,
        Failure::NotAllAsked => 38,
        Failure::IsFolder { .. } => 39,
        Failure::DiskFailed { .. } => 40,
        Failure::CommandTooLong { .. } => 41,
        Failure::GroupServesNoClients => 42,
        Failure::ShareServesNoClients => 43,
        Failure::NotInShare { .. } => 44,
        Failure::SeveralInShare { .. } => 45,
        Failure::Empty { .. } => 46,
        Failure::Unhashed { .. } => 47,
        Failure::NothingShared { .. } => 48,
        Failure::TorrentNotKept { .. } => 49,
        Failure::NotATorrent { .. } => 50,
        Failure::NoPage { .. } => 51,
        Failure::LinkUnused => 52,
        Failure::TooManyReaders { .. } => 53,
        Failure::NoRoomToRead { .. } => 54,
        Failure::ReadersInTheWay { .. } => 55,
        Failure::OnlyHere { .. } => 56,
        Failure::TooLongForLink { .. } => 57,
        Failure::NoDiskToRead { .. } => 58,
    }
}

#[test]
fn every_failure_has_its_sentence() {
    let failures = failures();
    let numbers: Vec<_> = failures.iter().map(|(code, _)| number(code)).collect();
    assert_eq!(numbers, (0..59).collect::<Vec<_>>());
    for (code, sentence) in failures {
        assert_eq!(failure(&code), sentence);
    }
}

#[test]
fn a_failure_is_the_same_behind_the_local_socket() {
    for (code, _) in failures() {
        let line = serde_json::to_string(&code).expect("JSON");
        assert_eq!(serde_json::from_str::<Failure>(&line).ok(), Some(code));
    }
}

#[test]
fn where_a_file_cannot_be_put_is_said_with_the_way_out() {
    for (obstacle, sentence) in [
        (
            Obstacle::Mismatch,
            "what arrived for /home/oak/f is not what was listed: fetch it from another peer",
        ),
        (
            Obstacle::File,
            "/home/oak/f is a file, and a folder is needed there: rename it, or choose another name",
        ),
        (
            Obstacle::Folder,
            "/home/oak/f is a folder: rename it, or choose another name for the file",
        ),
        (
            Obstacle::Special,
            "/home/oak/f is a pipe, a device or a socket: rename it, or choose another name for the file",
        ),
        (
            Obstacle::Moved,
            "/home/oak/f was moved, replaced or removed: stop the peer (thorp stop) and share the \
             directory where it is now",
        ),
        (
            Obstacle::FolderMoved,
            "/home/oak/f was moved, replaced or removed while the file came: get it again",
        ),
        (
            Obstacle::PartMoved {
                part: "/home/oak/moved/.thorp-0.part".into(),
                bytes: 3 << 20,
            },
            "/home/oak/f was moved or replaced while the file came. What has arrived of it (3.0 MiB) \
             is kept in /home/oak/moved/.thorp-0.part. Share the directory where it is now (thorp \
             stop, thorp share DIR), or name it (-o DIR), and ask again: it goes on from there",
        ),
        (
            Obstacle::LeadsOutside,
            "/home/oak/f leads out of the directory through a link: choose another name",
        ),
        (
            Obstacle::NameTooLong,
            "/home/oak/f is too long a name for this file system: choose a shorter one",
        ),
        (
            Obstacle::NameRefused,
            "/home/oak/f has characters that this file system has in no name: choose another name \
             (--as NEWNAME) or another directory (-o DIR)",
        ),
        (
            Obstacle::ReadOnly,
            "/home/oak/f cannot be written, the file system is read-only: choose another directory",
        ),
        (
            Obstacle::Full,
            "/home/oak/f does not fit, the disk is full: make room and try again",
        ),
        (
            Obstacle::NoDirectory,
            "there is no directory /home/oak/f: create it or name another",
        ),
        (
            Obstacle::TooManyOpen,
            "/home/oak/f cannot be written: too many files are open: raise the limit of open files \
             (ulimit -n) where the peer is started",
        ),
        (
            Obstacle::Other("it burns".into()),
            "/home/oak/f cannot be written (it burns): try again, or choose another name (--as \
             NEWNAME) or another directory (-o DIR)",
        ),
    ] {
        let (path, room) = (path(), None);
        let unstorable = Failure::Unstorable {
            path,
            obstacle,
            room,
        };
        assert_eq!(failure(&unstorable), sentence);
    }
}

#[test]
fn of_several_files_without_room_it_is_said_what_is_missing_for_all_of_them() {
    let several = Failure::Several {
        failed: 2,
        of: 3,
        kind: ErrorKind::Other,
        room: Some(NoRoom {
            file_system: "/mnt".into(),
            free: 1024,
            needed: 3072,
        }),
    };
    assert_eq!(
        failure(&several),
        "2 of 3 files could not be fetched; the reasons are above. Of what does not fit, 3.0 KiB \
         are still to come, and the file system at /mnt has 1.0 KiB left. Make room there, or \
         name another directory (-o DIR), and ask again: what has come is kept."
    );
}

#[test]
fn of_a_full_disk_it_is_said_what_is_missing_where_and_what_to_do() {
    let full = Failure::Unstorable {
        path: path(),
        obstacle: Obstacle::Full,
        room: Some(NoRoom {
            file_system: "/home".into(),
            free: 4096,
            needed: 3 << 20,
        }),
    };
    assert_eq!(
        failure(&full),
        "/home/oak/f does not fit, the disk is full: 3.0 MiB are still to come, and the file \
         system at /home has 4.0 KiB left. Make room there, or name another directory (-o DIR), \
         and ask again: what has come is kept."
    );
    assert_eq!(full.kind(), ErrorKind::Other);
    let odd = Failure::Unstorable {
        path: path(),
        obstacle: Obstacle::Full,
        room: Some(NoRoom {
            file_system: "/home".into(),
            free: 3 << 30,
            needed: 3 << 20,
        }),
    };
    let said = failure(&odd);
    assert!(said.contains("df -i") && !said.contains("left"), "{said}");
}

#[test]
fn a_file_that_does_not_come_is_named_with_who_and_what_to_do() {
    let why = || "it is off".to_owned();
    for (miss, sentence) in [
        (
            Miss::StillHashing { by: Some(oak()) },
            "f is still being hashed by oak (192.168.198.138). Try again in a while.",
        ),
        (
            Miss::StillHashing { by: None },
            "f is still being hashed. Try again in a while.",
        ),
        (
            Miss::Unreadable,
            "The peer that shares f cannot read it. Ask its owner to check the file's permissions.",
        ),
        (
            Miss::TooLarge,
            "f is too large for the older program of the peer that shares it. Upgrade thorp there.",
        ),
        (
            Miss::Unreachable { why: why() },
            "No peer that shares f can be reached: it is off. Check that their machines are on and \
             no firewall is between.",
        ),
        (
            Miss::Silent { by: oak() },
            "oak (192.168.198.138) shares f but did not answer. Try again later.",
        ),
        (
            Miss::Mismatch { by: oak() },
            "What oak (192.168.198.138) sent is not the f it lists, and no other peer has it. \
             Try again when another peer shares it.",
        ),
        (
            Miss::Changed { at: oak() },
            "f has changed at oak (192.168.198.138) while it was fetched. Run it again for the new \
             one.",
        ),
        (
            Miss::Restless { at: oak() },
            "f is being written at oak (192.168.198.138) all the time: it did not hold still while \
             it was fetched. Try again when that has ended.",
        ),
        (
            Miss::Unfinished {
                why: why(),
                there: 1024,
                of: 2048,
            },
            "No peer is left to send the rest of f (it is off). What has arrived (1.0 KiB of 2.0 KiB) \
             is kept. Ask for it again when a peer shares it.",
        ),
        (
            Miss::Unfit { why: why() },
            "f cannot be fetched: it is off.",
        ),
        (
            Miss::AllLeftOut {
                files: 2,
                hidden: 1,
            },
            "Nothing of f is fetched: 2 files, hidden or such as programs act on by \
             themselves. If you want them: --hidden",
        ),
        (
            Miss::AllLeftOut {
                files: 2,
                hidden: 0,
            },
            "Nothing of f is fetched: 2 files, such as would change what is shared.",
        ),
        (
            Miss::NoTrackerOfIt { why: why() },
            "Not every tracker of f answers (it is off), and no client that has it is known. Check \
             the network, and try again.",
        ),
        (
            Miss::NoClient,
            "No BitTorrent client has f now: its trackers name none. Try again when a client has \
             it, or wait for one: --wait",
        ),
        (
            Miss::NoClientReached { why: why() },
            "No BitTorrent client that may have f can be reached: it is off. Try again later.",
        ),
        (
            Miss::WrongFromClient {
                client: "192.0.2.1:6881".to_owned(),
            },
            "What 192.0.2.1:6881 sent is not of f, and no other BitTorrent client has it. Try again \
             when another one has it.",
        ),
    ] {
        let name = "f".to_owned();
        assert_eq!(failure(&Failure::Missed { name, miss }), sentence);
    }
}

fn troubles() -> [(Trouble, &'static str); 5] {
    let address = "10.0.0.7:3333".parse().expect("an address");
    let [why, pinned, shown] = texts(["it is off", "abc", "xyz"]);
    let lost = Trouble::Lost { why: why.clone() };
    let unreachable = Trouble::Unreachable { why: why.clone() };
    let changed = Trouble::ChangedCa {
        address,
        pinned,
        shown,
    };
    let apart = Trouble::ClocksApart(Apart {
        here: 1_700_000_000,
        there: 1_700_000_600,
    });
    [
        (lost, "it is off"),
        (unreachable, "it is off"),
        (
            changed,
            "10.0.0.7:3333 is not trusted: the group's CA has changed: it was abc, and is now xyz; \
             either the tracker was set up anew (then `thorp leave` and join again), or another \
             machine answers at its address",
        ),
        (
            Trouble::Untrusted { address, why },
            "10.0.0.7:3333 is not trusted: it is off",
        ),
        (
            apart,
            "this machine's clock is 10 minutes behind the tracker's \
             (here it is Nov 14 22:13:20 2023 +00:00, there it is Nov 14 22:23:20 2023 +00:00): \
             set the one that is wrong, then try again",
        ),
    ]
}

#[test]
fn why_the_tracker_cannot_be_asked_goes_with_what_to_do_about_it() {
    for (why, sentence) in troubles() {
        assert_eq!(trouble(&why), sentence);
        let advice = match why.kind() {
            ErrorKind::Network => " Check that the tracker runs, and the network, and try again.",
            _ => "",
        };
        let said = failure(&Failure::NoTracker {
            inquiry: Inquiry::Beyond,
            trouble: Some(why.clone()),
        });
        assert_eq!(said, format!("{NOBODY_BEYOND}: {sentence}.{advice}"));
        assert_eq!(
            note(&Note::NeighboursOnly { trouble: Some(why) }),
            format!(
                "The tracker cannot be asked now ({sentence}): this is what the neighbours know."
            )
        );
    }
}

#[test]
fn who_is_asked_for_in_vain_is_named() {
    let [from, root] = texts(["oak", "3f2a"]);
    for (from, root, sentence) in [
        (
            Some(&from),
            None,
            "No peer called oak is sharing this file now. See which peers do: thorp find NAME",
        ),
        (
            None,
            Some(&root),
            "No peer is sharing this file with a root that starts with 3f2a. \
             See which there are: thorp find NAME",
        ),
        (
            Some(&from),
            Some(&root),
            "No peer called oak is sharing this file with a root that starts with 3f2a. \
             See which there are: thorp find NAME",
        ),
    ] {
        let code = Failure::NobodyShares {
            from: from.cloned(),
            root: root.cloned(),
        };
        assert_eq!(failure(&code), sentence);
    }
}

#[test]
fn a_member_is_called_by_what_is_known_of_it() {
    let mut member = oak();
    assert_eq!(called(&member), "oak (192.168.198.138)");
    member.name = None;
    assert_eq!(called(&member), "192.168.198.138");
    member.port = 0;
    assert_eq!(called(&member), "aaaaaaaa");
    member.name = Some("oak".into());
    assert_eq!(called(&member), "oak");
}

fn about_share() -> Vec<share::ShareWarning> {
    let why = "it is none".to_owned();
    vec![
        share::ShareWarning::Moved { path: path() },
        share::ShareWarning::NotNow {
            path: path(),
            why: why.clone(),
            stays: std::time::Duration::from_mins(2),
        },
        share::ShareWarning::Unwatched {
            path: path(),
            why: why.clone(),
            every: std::time::Duration::from_mins(1),
        },
        share::ShareWarning::FileUnread {
            name: "f".parse().expect("a name"),
            more: 2,
            why: why.clone(),
        },
        share::ShareWarning::Unread {
            path: path(),
            count: 2,
            why: why.clone(),
        },
        share::ShareWarning::IgnoreFile {
            path: path(),
            why: share::IgnoreProblem::TooLong { most: 65_536 },
        },
        share::ShareWarning::IgnoreFile {
            path: path(),
            why: share::IgnoreProblem::NotAFile,
        },
        share::ShareWarning::IgnoreFile {
            path: path(),
            why: share::IgnoreProblem::Unreadable(why.clone()),
        },
        share::ShareWarning::IgnoreLine {
            path: path(),
            line: 3,
            why: why.clone(),
        },
        share::ShareWarning::Unnameable {
            path: path(),
            count: 1,
        },
        share::ShareWarning::HashesDamaged {
            path: path(),
            why: why.clone(),
            set_aside: path(),
        },
        share::ShareWarning::HashesUnusable {
            path: path(),
            why: why.clone(),
        },
        share::ShareWarning::HashesUnsaved { why: why.clone() },
        share::ShareWarning::LooksFirst { path: path() },
    ]
}

#[test]
fn of_a_torrents_files_that_are_left_out_nothing_is_advised_that_does_not_help() {
    let hidden = |files| note(&Note::HiddenLeftOutOfTorrent { files });
    assert_eq!(
        hidden(1),
        "1 file is left out: hidden, or such that programs act on them by themselves. Ask for the \
         torrent again with --hidden if you want them."
    );
    assert!(hidden(2).starts_with("2 files are left out"));
    let name = "thorp-state/x".to_owned();
    let reserved = note(&Note::LeftOutOfTorrent { name });
    for said in [hidden(2), reserved] {
        assert!(!said.contains("by its"), "{said}");
    }
}

#[test]
fn every_note_and_warning_is_a_sentence() {
    let why = "it is none".to_owned();
    let notes = [
        Note::TakenOnTrust { ca: why.clone() },
        Note::WaitsToJoin,
        Note::LeftGroup {
            trackers: vec!["192.168.1.2:3333".into()],
            keeps: false,
        },
        Note::LeftGroup {
            trackers: Vec::new(),
            keeps: true,
        },
        Note::OpenGroup,
        Note::LeftOut { name: why.clone() },
        Note::LooksFirst { path: path() },
        Note::TrackerInPart,
        Note::NeighboursOnly { trouble: None },
        Note::NoFiles,
        Note::Taken,
        Note::Unanswered { process: Some(7) },
        Note::HiddenLeftOut { files: 3 },
        Note::LeftOutOfTorrent { name: why.clone() },
        Note::HiddenLeftOutOfTorrent { files: 3 },
        Note::AsksWhatItIs { name: why.clone() },
    ];
    let name = |text: &str| text.parse().expect("a name");
    let warnings = [
        Warning::Tracker(Trouble::Lost { why: why.clone() }),
        Warning::CalledOtherwise {
            called: name("oak"),
            wanted: name("elm"),
        },
        Warning::NotListed { by: oak() },
        Warning::ListsTooMuch { member: oak() },
        Warning::TooMuchForTracker { member: oak() },
        Warning::Liar { member: oak() },
        Warning::NeighboursDamaged {
            path: path(),
            why: why.clone(),
            set_aside: why.clone(),
        },
        Warning::NeighboursUnread { why: why.clone() },
        Warning::NoPage { why: port_80() },
        Warning::FaceOff,
        Warning::GroupUnsaved { why: why.clone() },
        Warning::NeighboursUnsaved { why: why.clone() },
        Warning::StandingUnsaved { why },
    ];
    let about_share = about_share().into_iter().map(Warning::Share);
    let warned: Vec<_> = warnings.into_iter().chain(about_share).collect();
    let remarks = notes.iter().map(note);
    for sentence in remarks.chain(warned.iter().map(warning)) {
        assert!(
            sentence.len() > 9 && !sentence.contains(['{', '}']),
            "{sentence}"
        );
    }
    // A limit of the system is named, and what raises it.
    assert!(warned.iter().map(warning).any(|sentence| {
        sentence.contains("every 60 s") && sentence.contains("fs.inotify.max_user_watches")
    }));
    assert!(warned.iter().map(warning).any(|sentence| {
        sentence.starts_with("/home/oak/f was moved, replaced or removed: nothing of it is shared")
    }));
}

#[test]
fn why_a_tracker_is_not_reached_comes_with_what_to_type() {
    let listen = "10.0.0.7:3333".parse().expect("an address");
    for (error, sentence) in [
        (
            LaunchError::Join(NotJoined::Dial(DialError::NoAddress)),
            "the tracker's address is not known. Name it: --tracker ADDR[:PORT]",
        ),
        (
            LaunchError::Join(NotJoined::Dial(DialError::HungUp { address: listen })),
            "10.0.0.7:3333 hung up: it is another machine than the one that was dialled, or too \
             busy. Check the address and the port, and try again in a minute",
        ),
    ] {
        assert_eq!(launch(&error), sentence);
    }
}

#[test]
fn what_keeps_a_node_from_starting_comes_with_what_to_type() {
    let state = || PathBuf::from("/s");
    let listen = "10.0.0.7:3333".parse().expect("an address");
    let trackers = vec![NetAddress::Ip(listen)];
    for (error, sentence) in [
        (
            LaunchError::CaElsewhere { trackers },
            "The group's CA is not on this machine but on its tracker's, 10.0.0.7:3333: type this there",
        ),
        (
            LaunchError::NoTrackerRuns { state: state() },
            "No tracker is running on /s. Invites are made while it runs: start it as before, by \
             thorp tracker, or by thorp share where the group was made",
        ),
        (
            LaunchError::NoPeerRuns { state: state() },
            "No peer is running on the state directory /s. Start one: thorp share DIR --state /s",
        ),
        (
            LaunchError::PeersState { state: state() },
            "/s is the state directory of a peer: if it has a tracker, that runs inside the peer \
             (thorp share DIR --state /s). A tracker that runs alone needs a directory of its own: \
             leave out --state, or name a new one",
        ),
        (
            LaunchError::TrackersState { state: state() },
            "/s is the state directory of a tracker, and a peer needs one of its own: leave out \
             --state, or name a new one. The tracker starts again by: thorp tracker --state /s",
        ),
        (
            StateError::InUse {
                path: state(),
                by: Some(7),
            }
            .into(),
            "state directory /s is in use by process 7: end that one first (thorp stop --state /s), or \
             choose another directory with --state",
        ),
        (
            StateError::Foreign {
                path: state(),
                holds: "x".into(),
            }
            .into(),
            "/s is not a state directory: it holds \"x\"; name an empty or new directory with --state",
        ),
        (
            StateError::Corrupt {
                path: state(),
                why: "it is none".into(),
            }
            .into(),
            "/s is damaged: it is none; restore it from a backup, or move it away to start without it",
        ),
        (
            StateError::Io {
                action: "open",
                path: state(),
                error: io::ErrorKind::PermissionDenied.into(),
            }
            .into(),
            "cannot open /s, permission is denied: check the permissions of it and of its directory",
        ),
        (
            BackupError::File {
                action: "write",
                path: "/b\nc".into(),
                error: io::Error::other("the cable is out"),
            }
            .into(),
            "cannot write /b\\nc (the cable is out): check the disk, and try again",
        ),
        (
            ListenError::Taken { address: listen }.into(),
            "port 3333 is taken (at 10.0.0.7); stop the program that listens there, or choose \
             another with --listen",
        ),
        (
            ListenError::AllTaken { first: 1, last: 2 }.into(),
            "all ports from 1 to 2 are taken; choose another with --listen",
        ),
    ] {
        assert_eq!(launch(&error), sentence);
    }
    assert_eq!(
        invite(InviteError::NotAnInvite),
        "this is not an invite: an invite is one line that starts with thorp1, \
         as `thorp invite` prints it"
    );
}

#[test]
fn a_group_that_is_in_the_way_is_told_with_the_command_that_ends_it_and_no_other() {
    let state = || PathBuf::from("/s");
    for (error, sentence) in [
        (
            BackupError::NotEmpty {
                path: "/my group".into(),
                holds: "ca.p8",
            }
            .into(),
            "/my group keeps a group already (ca.p8 is there), and nothing is overwritten: choose \
             another directory with --state, or end that group first (thorp leave --purge --state \
             '/my group')",
        ),
        (
            LaunchError::KeepsTheGroup { state: state() },
            "This machine keeps the CA of its own group, in /s: without it the group ends. Save it \
             first: thorp tracker --backup FILE --state /s; then end it: thorp leave --purge --state /s",
        ),
        (
            BackupError::Twice {
                path: "/s/tracker".into(),
                owner: state(),
            }
            .into(),
            "/s/tracker keeps this group already, and of two trackers of one group each would know \
             half: use that one, or first end it there: thorp leave --purge --state /s",
        ),
    ] {
        assert_eq!(launch(&error), sentence);
    }
}

#[test]
fn nothing_that_another_member_chooses_begins_a_line_or_reaches_the_terminal() {
    let evil = || "x\nthorp: your disk is full\r\x1b[2J\u{9b}".to_owned();
    let misses = [
        Miss::Unreachable { why: evil() },
        Miss::Unfinished {
            why: evil(),
            there: 1,
            of: 2,
        },
        Miss::Unfit { why: evil() },
        Miss::Busy,
        Miss::Unreadable,
        Miss::TooLarge,
    ];
    let mut failures: Vec<Failure> = misses
        .into_iter()
        .map(|miss| Failure::Missed { name: evil(), miss })
        .collect();
    failures.extend([
        Failure::Ambiguous {
            name: evil(),
            doubt: thorp_node::api::Doubt::Several,
        },
        Failure::Reserved { name: evil() },
        Failure::NoTracker {
            inquiry: Inquiry::Group,
            trouble: Some(Trouble::Lost { why: evil() }),
        },
        Failure::Unstorable {
            path: evil().into(),
            obstacle: Obstacle::Denied,
            room: None,
        },
    ]);
    let complaints = failures
        .iter()
        .map(|failure| out::complaint(&failure.into()));
    let notes = [Note::LeftOut { name: evil() }];
    let notes = notes
        .iter()
        .map(|of| crate::quoting::printable_lines(&note(of)));
    let lost = thorp_node::api::Notice::TrackerLost(Trouble::Lost { why: evil() });
    for said in complaints.chain(notes).chain([crate::lines::notice(&lost)]) {
        assert_eq!(said.lines().count(), 1, "{said:?}");
        assert!(!said.contains(|c: char| c.is_control()), "{said:?}");
        assert!(!said.contains("\\\\"), "escaped once: {said:?}");
    }
}

#[test]
fn why_an_offered_file_is_not_taken_is_said_with_what_takes_it() {
    use thorp_node::api::Doubt;
    for (doubt, says) in [
        (Doubt::Several, "--root PREFIX"),
        (Doubt::LookAlike, "other Unicode characters"),
        (Doubt::OtherCase, "other small and large letters"),
        (Doubt::Hidden, "--hidden"),
    ] {
        let name = "a".to_owned();
        let said = failure(&Failure::Ambiguous { name, doubt });
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_name_of_kilobytes_is_shortened_in_its_middle() {
    let name = format!("begin{}end.txt", "x".repeat(4000));
    let miss = Miss::Busy;
    let said = failure(&Failure::Missed { name, miss });
    assert!(
        said.len() < 400 && said.contains("beginxx") && said.contains("xxend.txt"),
        "{said}"
    );
}

#[test]
fn whose_limit_of_open_files_is_reached_is_said_without_advice_about_the_network() {
    use thorp_node::net::dial::DialError;
    let address: std::net::SocketAddr = "10.0.0.7:3334".parse().expect("an address");
    let said = |error: &DialError| {
        failure(&Failure::Missed {
            name: "f".into(),
            miss: Miss::Unreachable {
                why: error.to_string(),
            },
        })
    };
    let tried = vec![address];
    let here = said(&DialError::TooManyOpen {
        tried: tried.clone(),
    });
    assert!(here.contains("raise this machine's limit"), "{here}");
    let there = said(&DialError::Mute { address });
    assert!(there.contains("ulimit -n on that machine"), "{there}");
    for limit in [here, there] {
        assert!(!limit.contains("firewall"), "{limit}");
    }
    let error = io::ErrorKind::TimedOut.into();
    let nobody = said(&DialError::Unreachable { tried, error });
    assert!(nobody.contains("firewall"), "{nobody}");
}

#[test]
fn of_a_state_without_room_it_is_said_where_it_is() {
    let full = Failure::NoDiskToRead {
        state: "/home/oak/state".into(),
        room: None,
    };
    assert_eq!(
        failure(&full),
        "A file that is read while it arrives comes by way of the state directory, \
         /home/oak/state. This one has no room there: the disk is full. Make room there, or \
         fetch it to another disk: thorp get NAME -o DIR"
    );
}

#[test]
fn where_a_name_is_taken_only_what_can_be_done_is_advised() {
    use super::way_out;
    let get = |names: &[&str]| thorp_node::api::Get {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..thorp_node::api::Get::default()
    };
    let several = Failure::Several {
        failed: 2,
        of: 2,
        kind: ErrorKind::Exists,
        room: None,
    };
    let folder = Failure::Unstorable {
        path: path(),
        obstacle: Obstacle::Folder,
        room: None,
    };
    let pattern = get(&["*.txt"]);
    let one = way_out(&Failure::Exists, &get(&["a"])).expect("a way");
    assert!(one.contains("--as") && one.contains("--overwrite"), "{one}");
    for hint in [
        way_out(&several, &pattern),
        way_out(&Failure::Exists, &pattern),
    ] {
        let hint = hint.expect("a way");
        assert!(
            !hint.contains("--as") && hint.contains("--overwrite"),
            "{hint}"
        );
    }
    assert_eq!(way_out(&folder, &get(&["a"])), None);
    let no_directory = Failure::Unstorable {
        path: "/dev/null".into(),
        obstacle: Obstacle::File,
        room: None,
    };
    let there = thorp_node::api::Get {
        dir: Some("/dev/null".into()),
        ..get(&["a"])
    };
    assert_eq!(
        way_out(&no_directory, &there).as_deref(),
        Some(
            "-o takes a directory. For another name: --as NEWNAME; to a pipe or a device a file goes \
             by way of standard output: -o -"
        )
    );
    assert_eq!(way_out(&no_directory, &get(&["a"])), None);
    assert_eq!(way_out(&Failure::PeerStopping, &get(&["a"])), None);
}

#[test]
fn a_file_that_is_waited_for_comes_without_the_advice_to_ask_again() {
    let unfinished = Failure::Missed {
        name: "f".into(),
        miss: Miss::Unfinished {
            why: "it is off".into(),
            there: 1024,
            of: 2048,
        },
    };
    assert_eq!(
        waited_for("f", &unfinished),
        "No peer is left to send the rest of f (it is off). What has arrived (1.0 KiB of 2.0 KiB) \
         is kept. thorp waits, and fetches it as soon as it can; Ctrl-C ends that."
    );
    assert_eq!(
        waited_for("f", &nobody()),
        "No peer is sharing f now. thorp waits, and fetches it as soon as it can; Ctrl-C ends that."
    );
    let tracker = Failure::NoTracker {
        inquiry: Inquiry::Beyond,
        trouble: None,
    };
    let said = waited_for("a.txt", &tracker);
    assert!(
        said.starts_with(&format!("a.txt: {NOBODY_BEYOND}")),
        "{said}"
    );
}

#[test]
fn what_cannot_be_the_name_of_a_file_is_said_where_no_peer_shares_it() {
    let hint = |name: &str| odd_name(ErrorKind::NotFound, &[name.to_owned()]);
    for link in ["https://a.org/b.zip", "ftp://a.org/b.zip"] {
        assert!(
            hint(link).is_some_and(|hint| hint.contains("a link")),
            "{link}"
        );
    }
    assert!(hint("../x").is_some_and(|hint| hint.contains("..")));
    assert!(hint("photos/*").is_some_and(|hint| hint.contains("a pattern")));
    assert!(hint("film.torrent").is_some_and(|hint| hint.contains("its path on this machine")));
    for name in ["a..b", "x/y.txt", "magnet.txt", "magnet:?xt=urn:btih:abc"] {
        assert_eq!(hint(name), None, "{name}");
    }
    assert_eq!(odd_name(ErrorKind::Network, &["../x".into()]), None);
}

#[test]
fn a_search_without_a_match_says_what_else_to_try() {
    let said = nothing_matches("my photos");
    assert!(said.contains("thorp find '*my photos*'"), "{said}");
    assert!(said.contains("thorp ls 'my photos/'"), "{said}");
    let said = nothing_matches("*.PDF");
    assert!(said.starts_with("Nothing matches *.PDF."), "{said}");
    assert!(said.contains("letters differ"), "{said}");
}

#[test]
fn numbers_of_the_systems_errors_are_left_out() {
    for (said, shown) in [
        ("Connection refused (os error 111)", "Connection refused"),
        ("a (os error 2), b (os error 13): c", "a, b: c"),
        (
            "f (os error x) (os error ) (os error 7",
            "f (os error x) (os error ) (os error 7",
        ),
        ("none", "none"),
    ] {
        assert_eq!(plain(said), shown);
    }
    let unreachable = Failure::Missed {
        name: "f".into(),
        miss: Miss::Unreachable {
            why: "it is off (os error 111)".into(),
        },
    };
    assert!(waited_for("f", &unreachable).contains("it is off. thorp waits"));
    let error = crate::exit::failure(ErrorKind::Other, "x (os error 5)");
    assert_eq!(error.message, "x");
}

#[test]
fn a_certificate_that_has_ended_is_not_called_good() {
    let told = |now| member_of(None, "CA", &[], Some(1_700_000_000), now);
    assert_eq!(
        told(1_600_000_000),
        "This machine is a member of the group CA; its certificate is good until \
         2023-11-14 22:13 UTC."
    );
    assert_eq!(
        told(1_700_000_000),
        "This machine is a member of the group CA; its certificate has ended \
         (2023-11-14 22:13 UTC), and is renewed at the next start."
    );
}
