//! Answers what a user asks on the machine of the group's CA: lists members, removes one, makes
//! an invite or a backup.
//!
//! The CA is in the state directory of a tracker, which may be inside a peer. If that tracker
//! runs, it is asked over its socket, and the change takes effect at once. Otherwise its tables
//! are read and changed directly, except that no invite can be made: only a running tracker knows
//! its addresses.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thorp_disk::DiskThread;
use thorp_group::authority::{self, Authority};
use thorp_group::backup::{Backup, BackupError};
use thorp_group::identity::{self, Membership};
use thorp_group::sightings::Sightings;
use thorp_group::state::{EMBEDDED, StateDir, StateError};
use thorp_wire::PeerId;
use tokio::sync::mpsc;

use super::owner::{running_or_state, until_let_go};
use super::{LaunchError, on_disk};
use crate::api::{Command, Done, Event, Failure, GroupMember, MemberRole, Note};
use crate::local;

/// The maximum number of events that wait to be read.
const EVENTS: usize = 64;
/// The number of characters of an id that are enough to identify a member.
const SHORTEST_ID: usize = 8;

/// Makes an invite at the first running tracker of these state directories.
pub async fn invite(
    states: &[PathBuf],
    uses: u32,
    validity: Duration,
) -> Result<String, LaunchError> {
    let command = Command::Invite {
        uses,
        seconds: validity.as_secs(),
    };
    let Some(mut events) = running(states, &command).await? else {
        let state = first_kept(states).await?;
        return Err(LaunchError::NoTrackerRuns { state });
    };
    while let Some(event) = events.recv().await {
        match event {
            Event::Invite { invite } => return Ok(invite),
            Event::Error(failure) => return Err(failure.into()),
            _ => {}
        }
    }
    Err(Failure::TrackerStopping.into())
}

/// Asks the keeper of the CA: the first of these state directories whose tracker runs or, if none
/// runs, the first that has a CA.
pub async fn ask_keeper(
    states: &[PathBuf],
    command: Command,
) -> Result<mpsc::Receiver<Event>, LaunchError> {
    if let Some(events) = running(states, &command).await? {
        return Ok(events);
    }
    let kept = first_kept(states).await?;
    let state = match running_or_state(&kept, &command).await? {
        Ok(events) => return Ok(events),
        Err(state) => state,
    };
    let (events, receiver) = mpsc::channel(EVENTS);
    tokio::spawn(async move {
        // The work holds the directory until it is done.
        let work = thorp_disk::spawn(move |disk| {
            let desk = Desk::open(disk, Arc::new(state))?;
            desk.answer(disk, &command, None)
        });
        let answer = work.await.unwrap_or(Err(Failure::TrackerStopping));
        send(answer, &events).await;
    });
    Ok(receiver)
}

/// Restores a backup into the state directory of a tracker, and returns how many members the
/// group has. Fails if one of `others` keeps that group.
pub async fn restore(
    state: PathBuf,
    backup: Backup,
    others: Vec<PathBuf>,
) -> Result<usize, LaunchError> {
    on_disk(move |disk| {
        if let Some(path) = backup.kept_in(disk, &others)? {
            return Err(BackupError::twice(disk, path).into());
        }
        Ok(backup.restore(disk, &state)?)
    })
    .await
}

/// Asks the node that runs on one of these state directories, the first one with a running node,
/// and returns that directory with the answer.
pub async fn ask_running<'a>(
    states: &'a [PathBuf],
    command: &Command,
) -> Option<(&'a Path, mpsc::Receiver<Event>)> {
    for state in states {
        if let Some(events) = local::ask(state, command).await {
            let events = match command {
                Command::Stop => until_let_go(events, state),
                _ => events,
            };
            return Some((state, events));
        }
    }
    None
}

/// Returns the directory that the peer running on a state directory shares, if one runs.
pub async fn shared_by(state: &Path) -> Option<PathBuf> {
    let mut events = local::ask(state, &Command::Status).await?;
    while let Some(event) = events.recv().await {
        if let Event::Status(status) = event {
            return status.share;
        }
    }
    None
}

/// Whom a user means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeantMember<'a> {
    /// A member that the group's table has.
    Listed(&'a GroupMember),
    /// A machine that the table does not have, by its whole id. After a restore that is one that
    /// joined after the backup.
    Unlisted(PeerId),
}

/// Returns the member that a user means by a name, by the beginning of an id, or by a whole id,
/// which need not be in the table.
pub fn meant<'a>(members: &'a [GroupMember], who: &str) -> Result<MeantMember<'a>, Failure> {
    let by_id = |row: &GroupMember| who.len() >= SHORTEST_ID && row.id.starts_with(who);
    let mut fits = members.iter().filter(|row| row.name == who || by_id(row));
    match (fits.next(), fits.next()) {
        (Some(row), None) => Ok(MeantMember::Listed(row)),
        (Some(_), Some(_)) => Err(Failure::SeveralMembers {
            who: who.to_owned(),
        }),
        (None, _) => {
            let unknown = |_| Failure::NoMemberCalled {
                who: who.to_owned(),
                least: SHORTEST_ID,
            };
            who.parse().map(MeantMember::Unlisted).map_err(unknown)
        }
    }
}

/// Whether a state directory contains a group's CA.
pub async fn has_ca(state: &Path) -> Result<bool, LaunchError> {
    let state = state.to_owned();
    on_disk(move |disk| Ok(keeps_ca(disk, &state)?)).await
}

/// Whether a state directory is a peer's, and not that of a tracker that runs alone.
pub async fn is_a_peers(state: &Path) -> Result<bool, LaunchError> {
    let state = state.to_owned();
    on_disk(move |disk| {
        let is_member = StateDir::has(disk, &state, identity::MEMBERSHIP_FILE)?;
        let is_peers = is_member || StateDir::is_there(disk, &state.join(EMBEDDED))?;
        Ok(is_peers && !keeps_ca(disk, &state)?)
    })
    .await
}

/// Whether a state directory keeps a group that machines enter by invitation.
pub async fn is_by_invitation(state: &Path) -> Result<bool, LaunchError> {
    let state = state.to_owned();
    on_disk(move |disk| Ok(authority::is_by_invitation(disk, &state)?)).await
}

pub(super) fn keeps_ca(disk: DiskThread, state: &Path) -> Result<bool, StateError> {
    StateDir::has(disk, state, authority::KEY_FILE)
}

/// Answers callers from the authority's tables, whether the tracker runs or not.
#[derive(Clone)]
pub(super) struct Desk {
    authority: Arc<Authority>,
    tracker: Option<PeerId>,
    /// The peer that contains the tracker.
    host: Option<PeerId>,
    seen: Arc<Sightings>,
    state: Arc<StateDir>,
}

impl Desk {
    fn open(disk: DiskThread, state: Arc<StateDir>) -> Result<Self, Failure> {
        let authority = Authority::load_or_create(disk, Arc::clone(&state))?;
        let seen = Arc::new(Sightings::load(disk, Arc::clone(&state)));
        Ok(Self::new(disk, state, Arc::new(authority), seen)?)
    }

    pub(super) fn new(
        disk: DiskThread,
        state: Arc<StateDir>,
        authority: Arc<Authority>,
        seen: Arc<Sightings>,
    ) -> Result<Self, StateError> {
        let path = state.path();
        let key_of = |path| identity::peek_key(disk, path, identity::KEY_FILE);
        Ok(Self {
            authority,
            tracker: key_of(path)?,
            host: around(disk, path).map(key_of).transpose()?.flatten(),
            seen,
            state,
        })
    }

    /// Answers a command. `present` are the present members, known only while the tracker runs.
    pub(super) fn answer(
        &self,
        disk: DiskThread,
        command: &Command,
        present: Option<&BTreeSet<PeerId>>,
    ) -> Result<Vec<Event>, Failure> {
        match command {
            Command::Members => Ok(self.members(present)),
            Command::Remove { id } => self.remove(disk, id, present),
            Command::Backup => {
                let backup = Backup::of(disk, &self.state, &self.authority)?;
                let backup = backup.to_text();
                Ok(vec![Event::Backup { backup }])
            }
            _ => Err(Failure::NotAPeer),
        }
    }

    fn members(&self, present: Option<&BTreeSet<PeerId>>) -> Vec<Event> {
        let mut rows: Vec<_> = self.rows(present).collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        let mut events = Vec::with_capacity(rows.len() + 1);
        if self.authority.is_open() {
            events.push(Event::Note(Note::OpenGroup));
        }
        events.extend(rows.into_iter().map(Event::Member));
        events
    }

    fn remove(
        &self,
        disk: DiskThread,
        id: &str,
        present: Option<&BTreeSet<PeerId>>,
    ) -> Result<Vec<Event>, Failure> {
        let unknown = |_| Failure::NoMemberWithId { id: id.to_owned() };
        let id: PeerId = id.parse().map_err(unknown)?;
        let row = |present| self.rows(present).find(|row| row.id == id.to_string());
        // Whoever the table does not have is removed as well, but for what keeps the group.
        let name = row(None).map_or_else(|| id.short(), |row| row.name);
        removable(&name, self.role_of(id))?;
        self.authority.remove(disk, id)?;
        Ok(row(present).into_iter().map(Event::Member).collect())
    }

    fn role_of(&self, id: PeerId) -> MemberRole {
        match Some(id) {
            id if id == self.tracker => MemberRole::Tracker,
            id if id == self.host => MemberRole::Host,
            _ => MemberRole::Member,
        }
    }

    fn rows(&self, present: Option<&BTreeSet<PeerId>>) -> impl Iterator<Item = GroupMember> {
        self.authority.members().into_iter().map(move |row| {
            let role = self.role_of(row.id);
            GroupMember {
                id: row.id.to_string(),
                name: row.name.to_string(),
                role,
                since: row.since,
                removed: row.removed,
                present: present
                    .map(|present| role == MemberRole::Tracker || present.contains(&row.id)),
                last_seen: self.seen.last(row.id),
            }
        })
    }
}

/// Refuses to remove a member that keeps the group, since that would end the group.
pub fn removable(name: &str, role: MemberRole) -> Result<(), Failure> {
    match role {
        MemberRole::Member => Ok(()),
        MemberRole::Tracker | MemberRole::Host => Err(Failure::KeepsTheGroup {
            name: name.to_owned(),
            role,
        }),
    }
}

/// Sends an answer to its caller, with [`Event::Done`] or [`Event::Error`] at the end.
pub(super) async fn send(answer: Result<Vec<Event>, Failure>, events: &mpsc::Sender<Event>) {
    let answer = match answer {
        Ok(mut answer) => {
            if !matches!(answer.last(), Some(Event::Done(_))) {
                let rows = answer.iter().filter(|e| !matches!(e, Event::Note(_)));
                let count = rows.count() as u64;
                answer.push(Event::Done(Done {
                    count,
                    ..Done::default()
                }));
            }
            answer
        }
        Err(failure) => vec![Event::Error(failure)],
    };
    for event in answer {
        // The caller may have gone.
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// Returns those of these state directories that contain a group's CA.
async fn kept(states: &[PathBuf]) -> Result<Vec<PathBuf>, LaunchError> {
    let states = states.to_owned();
    on_disk(move |disk| {
        let mut kept = Vec::new();
        for state in states {
            if keeps_ca(disk, &state)? {
                kept.push(state);
            }
        }
        Ok(kept)
    })
    .await
}

async fn first_kept(states: &[PathBuf]) -> Result<PathBuf, LaunchError> {
    if let Some(first) = kept(states).await?.into_iter().next() {
        return Ok(first);
    }
    let states = states.to_owned();
    on_disk(move |disk| Err(elsewhere(disk, &states)?)).await
}

async fn running(
    states: &[PathBuf],
    command: &Command,
) -> Result<Option<mpsc::Receiver<Event>>, LaunchError> {
    for state in kept(states).await? {
        if let Some(events) = local::ask(&state, command).await {
            return Ok(Some(events));
        }
    }
    Ok(None)
}

/// Returns the error for a machine without the CA: where the CA is, if that is known.
fn elsewhere(disk: DiskThread, states: &[PathBuf]) -> Result<LaunchError, StateError> {
    let places = states
        .iter()
        .flat_map(|state| [Some(state.as_path()), around(disk, state)]);
    for place in places.flatten() {
        if let Some((_, trackers)) = Membership::peek(disk, place)? {
            return Ok(LaunchError::CaElsewhere { trackers });
        }
    }
    Ok(LaunchError::NoGroupHere)
}

/// Returns the state directory of the peer around a tracker with this one, if there is a peer.
///
/// Any directory may be called as that of such a tracker is: /srv/tracker. What is around it then
/// is nobody's state directory, as a rule another user's, and no reason to refuse anything.
fn around(disk: DiskThread, state: &Path) -> Option<&Path> {
    let outer = state.parent().filter(|_| state.ends_with(EMBEDDED))?;
    matches!(StateDir::is_there(disk, outer), Ok(true)).then_some(outer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorp_disk::testing::DISK;
    use thorp_group::testing::state;

    use crate::api::{AskedOf, ErrorKind, one_of_each};

    fn row(name: &str, id: char) -> GroupMember {
        GroupMember {
            id: id.to_string().repeat(52),
            name: name.into(),
            role: MemberRole::Member,
            since: 1,
            removed: false,
            present: None,
            last_seen: None,
        }
    }

    #[test]
    fn a_member_is_meant_by_its_name_or_by_enough_of_its_id() {
        let members = [row("oak", 'a'), row("elm", 'b'), row("bbbbbbbb", 'c')];
        let named = |who| {
            meant(&members, who).map(|meant| match meant {
                MeantMember::Listed(row) => row.name.clone(),
                MeantMember::Unlisted(id) => id.to_string(),
            })
        };
        assert_eq!(named("oak"), Ok("oak".into()));
        assert_eq!(named("aaaaaaaa"), Ok("oak".into()));
        let whole = "a".repeat(52);
        assert_eq!(named(&whole), Ok("oak".into()));
        // The whole id of a machine that has no row stands for itself.
        let other = PeerId::new([7; 32]).to_string();
        assert_eq!(named(&other), Ok(other.clone()));
        for (who, kind) in [
            // A member named like the beginning of another's id does not hide that one.
            ("bbbbbbbb", ErrorKind::Ambiguous),
            ("aaaaaaa", ErrorKind::NotFound),
            ("", ErrorKind::NotFound),
            ("ash", ErrorKind::NotFound),
            (&other[..51], ErrorKind::NotFound),
        ] {
            assert_eq!(named(who).expect_err("refused").kind(), kind, "{who}");
        }
    }

    #[test]
    fn what_is_asked_of_others_is_not_answered_here() {
        let (_temporary, state) = state();
        let desk = Desk::open(DISK, Arc::new(state)).expect("opens");
        for command in one_of_each() {
            let is_refused = desk.answer(DISK, &command, None) == Err(Failure::NotAPeer);
            let is_asked = command.asked_of() == AskedOf::Keeper;
            assert_eq!(is_refused, !is_asked, "{command:?}");
        }
    }

    #[test]
    fn neither_the_tracker_nor_its_host_can_be_removed() {
        let (_temporary, state) = state();
        let mut desk = Desk::open(DISK, Arc::new(state)).expect("opens");
        let [tracker, host] = [7, 8].map(|byte| PeerId::new([byte; 32]));
        (desk.tracker, desk.host) = (Some(tracker), Some(host));
        // Also where the table does not have them.
        for (id, role) in [(tracker, MemberRole::Tracker), (host, MemberRole::Host)] {
            let name = id.short();
            let kept = Err(Failure::KeepsTheGroup { name, role });
            assert_eq!(removed(&desk, &id.to_string()), kept);
        }
        assert_eq!(desk.rows(None).count(), 0);
    }

    #[test]
    fn whoever_has_no_row_is_removed_by_a_whole_id() {
        let (_temporary, state) = state();
        let desk = Desk::open(DISK, Arc::new(state)).expect("opens");
        let id = PeerId::new([7; 32]);
        for _ in 0..2 {
            let answer = removed(&desk, &id.to_string()).expect("is removed");
            let [Event::Member(row)] = &answer[..] else {
                panic!("{answer:?}");
            };
            assert!(row.removed && row.id == id.to_string() && row.name == id.short());
        }
        assert!(!desk.authority.records().allows(&id));
        let short = id.short();
        let unknown = Failure::NoMemberWithId { id: short.clone() };
        assert_eq!(removed(&desk, &short), Err(unknown), "it is no whole one");
    }

    fn removed(desk: &Desk, id: &str) -> Result<Vec<Event>, Failure> {
        desk.answer(DISK, &Command::Remove { id: id.into() }, None)
    }
}
