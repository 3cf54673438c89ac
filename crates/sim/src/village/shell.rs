//! What the shell of a node does for its machine: it brings frames and files, keeps files on the
//! disk, and carries out what the machine wants.

use std::time::Duration;

use thorp_core::get::{Claimed, FetchId, Storage};
use thorp_core::links::{self, Closing, LinkId};
use thorp_core::peer;
use thorp_core::survey::Findings;
use thorp_core::tracker;
use thorp_wire::Frame;
use thorp_wire::frame::{Body, Reason, Refused, RequestId};

use super::poison::Sent;
use super::{What, World, machine};
use crate::host::{Household, Program};
use crate::network::{Node, TRACKER, id_of};
use crate::trace::FileId;

/// How fast a machine sends a file, in bytes a second: 100 Mb/s.
const UPLINK: f64 = 12_500_000.0;
/// How long a disk takes for a small file.
const DISK: Duration = Duration::from_millis(1);

impl World {
    /// A frame arrives: files are the shell's, the rest the core's.
    pub(super) fn frame(&mut self, node: Node, link: u64, frame: Frame) {
        let id = LinkId(link);
        self.note(node, frame.body.name());
        if let Body::Found(found) = &frame.body {
            self.laws.on_found(self.now, found, &self.truth);
            self.cache(node, link, found);
        }
        let (Body::Get(get), Some(request)) = (&frame.body, frame.request) else {
            self.on_link(node, links::Input::Frame { link: id, frame });
            return;
        };
        self.on_link(node, links::Input::heard(id));
        let sent = machine(node).map(|machine| self.sent_for(machine, get.content));
        if let Some(Sent::File(file)) = sent {
            #[expect(clippy::cast_precision_loss, reason = "some kilobytes")]
            let sending = Duration::from_secs_f64(get.content.length as f64 / UPLINK);
            self.traffic.served(self.now, node);
            self.give(node, peer::Input::Served { link: id });
            self.transmit(node, link, sending, |link| What::File {
                link,
                request,
                file,
            });
        } else {
            self.counts.not_here += 1;
            let refused = Refused {
                reason: Reason::NotHere,
                text: String::new().into(),
            };
            self.send(node, link, Frame::with_request(request, refused));
        }
    }

    pub(super) fn file(&mut self, node: Node, link: u64, request: RequestId, file: FileId) {
        let id = LinkId(link);
        self.on_link(node, links::Input::heard(id));
        let now = self.now;
        let Some(household) = self.hosts[node].peer() else {
            return;
        };
        let mut claimed = household.peer.claim_contents(now, &[(id, request)]);
        if let Some(Some(Claimed { fetch, item, .. })) = claimed.pop() {
            let wanted = FileId::of(item.content);
            household.storing.insert(fetch, (file, wanted));
            self.happens(now + DISK, node, What::OnDisk(fetch));
        }
        self.drain(node);
    }

    pub(super) fn on_disk(&mut self, node: Node, fetch: FetchId) {
        let stored = self.hosts[node]
            .peer()
            .and_then(|at| at.storing.remove(&fetch));
        let (Some((file, wanted)), Some(machine)) = (stored, machine(node)) else {
            return;
        };
        if file != wanted {
            // The shell has hashed it.
            self.counts.corrupt += 1;
            let storage = Storage::Mismatch;
            self.give(node, peer::Input::Stored(vec![(fetch, storage)]));
            return;
        }
        if let Some(household) = self.hosts[node].peer() {
            household.stored.insert(fetch, file);
        }
        let storage = Storage::Kept;
        if self.arm.announces.is_some() && self.truth.lists(machine) {
            // That it has begun, and that it is complete.
            self.traffic.announced(self.now, node, 2);
        }
        self.give(node, peer::Input::Stored(vec![(fetch, storage)]));
        if file.is_forged() {
            self.on_forged_stored(machine, file);
            return;
        }
        self.truth.on_stored(machine, file);
        let entry = self.entry(file);
        self.list(machine, vec![entry], &[]);
        let online = self.hosts[node].online(self.now);
        let kept = &mut self.hosts[node].kept;
        kept.push_back((online + self.keep, file));
        if kept.len() == 1 {
            self.happens(self.now + self.keep, node, What::Clear);
        }
    }

    /// Copies that a machine has had for long enough, while online, are deleted.
    pub(super) fn clear(&mut self, node: Node) {
        let online = self.hosts[node].online(self.now);
        let Some(machine) = machine(node) else {
            return;
        };
        while let Some((_, file)) = self.hosts[node].kept.pop_front_if(|(at, _)| *at <= online) {
            if self.truth.on_deleted_at(machine, file) {
                self.list(machine, Vec::new(), &[file]);
            }
        }
        self.clear_later(node);
    }

    pub(super) fn clear_later(&mut self, node: Node) {
        let online = self.hosts[node].online(self.now);
        if let Some((until, _)) = self.hosts[node].kept.front() {
            let at = self.now + until.saturating_sub(online);
            self.happens(at, node, What::Clear);
        }
    }

    /// Gives a peer one input.
    pub(super) fn give(&mut self, node: Node, input: peer::Input) {
        let now = self.now;
        if let Some(household) = self.hosts[node].peer() {
            household.peer.handle(now, input);
        }
        self.drain(node);
    }

    /// Tells a machine what has happened on its links.
    pub(super) fn on_link(&mut self, node: Node, input: links::Input) {
        let now = self.now;
        match &mut self.hosts[node].program {
            Program::Peer(household) => household.peer.handle(now, input.into()),
            Program::Tracker(tracker) => tracker.handle(now, input),
            Program::Off => return,
        }
        self.drain(node);
    }

    pub(super) fn drain(&mut self, node: Node) {
        loop {
            let output = match &mut self.hosts[node].program {
                Program::Peer(household) => household.peer.poll_output(),
                Program::Tracker(tracker) => match tracker.poll_output() {
                    Some(tracker::Output::Link(output)) => Some(peer::Output::Link(output)),
                    Some(_) => continue,
                    None => None,
                },
                Program::Off => return,
            };
            match output {
                Some(output) => self.carry_out(node, output),
                None => break,
            }
        }
        self.set_alarm(node);
    }

    pub(super) fn carry_out(&mut self, node: Node, output: peer::Output) {
        match output {
            peer::Output::Link(links::Output::Send(link, frame)) => self.send(node, link.0, frame),
            peer::Output::Link(links::Output::AwaitRoom(link)) => {
                let now = self.now;
                if let Some(household) = self.hosts[node].peer() {
                    household
                        .peer
                        .handle(now, links::Input::Room { link }.into());
                }
            }
            peer::Output::Link(links::Output::Close(link, why)) => {
                if let Closing::Silence(_) = why {
                    self.on_given_up(node, link.0);
                }
                self.hang_up(node, link.0);
            }
            peer::Output::Dial(target) => self.dial(node, target),
            peer::Output::Remember(known) => self.hosts[node].remembers = known,
            peer::Output::Get(get, told) => {
                if let Some(household) = self.hosts[node].peer() {
                    let errand = household.on_told(get, told);
                    self.for_user(node, errand);
                }
            }
            peer::Output::Surveyed(survey, findings) => {
                let now = self.now;
                if let Some(household) = self.hosts[node].peer() {
                    if let Findings::Files(files) = &findings {
                        *household.listed.entry(survey).or_default() += files.len();
                    }
                    household.peer.handle(now, peer::Input::Taken { survey });
                }
            }
            peer::Output::SurveyOver(survey, end) => self.on_survey_over(node, survey, &end),
            // No record changes here, all files are hashed, and nothing is shown.
            _ => {}
        }
    }

    /// A machine takes another one for gone, for its silence.
    pub(super) fn on_given_up(&mut self, node: Node, link: u64) {
        let Some(far) = self.far_end(node, link) else {
            return;
        };
        let gone_since = machine(far).and_then(|far| self.truth.gone_since(far));
        if let Some(since) = gone_since {
            let noticed = if node == TRACKER {
                &mut self.counts.tracker_noticed
            } else {
                &mut self.counts.neighbours_noticed
            };
            noticed.push(self.now - since);
        } else if self.has_open(far, link) && self.owes_signs_of_life(far, node) {
            self.counts.false_evictions += 1;
        }
    }

    /// Whether a node keeps its link to another one alive. Where it does not, the link
    /// is left to end by its silence.
    pub(super) fn owes_signs_of_life(&mut self, node: Node, to: Node) -> bool {
        let keeps = |at: &mut Household| {
            let mut neighbours = at.peer.present().listed();
            to == TRACKER || neighbours.any(|presence| presence.id == id_of(to))
        };
        node == TRACKER || self.hosts[node].peer().is_some_and(keeps)
    }
}
