//! A running tracker: the shell around its machine, and what its screen shows.

mod view;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thorp_core::links::{self, LinkId, Me};
use thorp_core::tracker::{self as machine, Output};
use thorp_group::clock::Clock;
use thorp_group::renewal::{Due, OwnRenewal};
use thorp_group::tls::MemberTls;
use thorp_wire::frame::{Join, Reason, Refused, SignedRecord};
use thorp_wire::{Body, Frame, PeerId, RequestId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::api::{Notice, TrackerStatus, TrackerView, Warning};
use crate::config::Config;
use crate::net::addresses;
use crate::net::link::{self, Arrival, Arrivals, Inbox, LinkEvent, LinkSender, Term};
use crate::net::listener::Incoming;
use crate::rows;
use crate::system::{now, random, sleep};

/// Requests that wait for it.
const REQUESTS: usize = 64;
/// How often the tables are drawn anew at most, and so how late they may be.
const VIEW_EVERY: Duration = Duration::from_millis(100);

/// What a tracker is made of.
pub struct Setup {
    /// Its certificate and its group's.
    pub tls: MemberTls,
    /// Its settings.
    pub config: Config,
    /// Its clock.
    pub clock: Clock,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Members that dialled it.
    pub incoming: mpsc::Receiver<Incoming>,
    /// Whether whoever asks is let in.
    pub open: bool,
    /// Its certificate's renewal, and its group's authority.
    pub renewal: OwnRenewal,
}

/// A running tracker: a handle, cheap to clone.
#[derive(Clone)]
pub struct Tracker {
    requests: mpsc::Sender<Request>,
    view: watch::Receiver<Arc<TrackerView>>,
}

enum Request {
    Status(oneshot::Sender<TrackerStatus>),
    Present(oneshot::Sender<BTreeSet<PeerId>>),
    Stop(String),
}

impl Tracker {
    /// Starts a tracker. It ends when it is stopped, or when the last handle is gone.
    /// Whoever does not read `notices` in time misses some.
    pub fn start(setup: Setup, notices: mpsc::Sender<Notice>) -> (Self, JoinHandle<()>) {
        let (requests, requests_in) = mpsc::channel(REQUESTS);
        let (view, view_in) = watch::channel(Arc::default());
        let task = tokio::spawn(Task::new(setup, view, notices).run(requests_in));
        let tracker = Self {
            requests,
            view: view_in,
        };
        (tracker, task)
    }

    /// What its screen shows, now and after every change.
    pub fn view(&self) -> watch::Receiver<Arc<TrackerView>> {
        self.view.clone()
    }

    /// How it is; nothing, if it is stopping.
    pub async fn status(&self) -> Option<TrackerStatus> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Status(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Who is present; nothing, if it is stopping.
    pub async fn present(&self) -> Option<BTreeSet<PeerId>> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Present(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Says goodbye to everybody and ends.
    pub async fn stop(&self, reason: &str) {
        // If the task is gone, so is what it had to say.
        let _ = self.requests.send(Request::Stop(reason.to_owned())).await;
    }
}

/// The shell around the machine. It decides nothing.
struct Task {
    machine: machine::Tracker,
    clock: Clock,
    tls: MemberTls,
    listen: SocketAddr,
    open: bool,
    renewal: OwnRenewal,
    /// When the own certificate is renewed.
    renewal_due: Due,
    newest: watch::Receiver<Option<SignedRecord>>,
    incoming: mpsc::Receiver<Incoming>,
    links: HashMap<LinkId, LinkSender>,
    last_link: u64,
    inbox: Inbox,
    arrivals: Arrivals,
    view: watch::Sender<Arc<TrackerView>>,
    notices: mpsc::Sender<Notice>,
    /// When to draw the tables, if they have changed.
    draw_at: Option<Instant>,
}

impl Task {
    fn new(
        setup: Setup,
        view: watch::Sender<Arc<TrackerView>>,
        notices: mpsc::Sender<Notice>,
    ) -> Self {
        let me = Me {
            id: setup.tls.member().id,
            epoch: random(),
            port: Some(setup.listen.port()),
            claimed: addresses::own(setup.listen),
            visitor: false,
        };
        let machine = machine::Tracker::new(machine::Config {
            me,
            interval: setup.config.tracker_interval,
        });
        let (inbox, arrivals) = link::inbox();
        let mut newest = setup.tls.records().changes();
        newest.mark_changed();
        Self {
            machine,
            clock: setup.clock,
            tls: setup.tls,
            listen: setup.listen,
            open: setup.open,
            newest,
            renewal_due: setup.renewal.due(),
            renewal: setup.renewal,
            incoming: setup.incoming,
            links: HashMap::new(),
            last_link: 0,
            inbox,
            arrivals,
            view,
            notices,
            draw_at: None,
        }
    }

    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            let deadline = self.machine.next_deadline().map(|at| at - now(&self.clock));
            let draw = self
                .draw_at
                .map(|at| at.saturating_duration_since(Instant::now()));
            tokio::select! {
                Some(arrival) = self.arrivals.recv() => self.arrived(arrival),
                Some(incoming) = self.incoming.recv() => self.connected(incoming),
                // The sender is in `tls`, which we hold.
                _ = self.newest.changed() => self.adopt(),
                () = self.renewal_due.clone().comes(&self.clock) => self.renew(),
                request = requests.recv() => match request {
                    Some(Request::Status(reply)) => drop(reply.send(self.status())),
                    Some(Request::Present(reply)) => {
                        let present = self.machine.peers().map(|peer| peer.id);
                        drop(reply.send(present.collect()));
                    }
                    Some(Request::Stop(reason)) => return self.stop(reason).await,
                    None => return self.stop("the program ends".to_owned()).await,
                },
                () = sleep(draw) => self.draw(),
                () = sleep(deadline) => self.handle(links::Input::Tick),
            }
        }
    }

    async fn stop(mut self, reason: String) {
        self.handle(links::Input::Stop { reason });
        link::farewell(self.links.len(), &mut self.arrivals).await;
    }

    fn handle(&mut self, input: links::Input) {
        self.machine.handle(now(&self.clock), input.into());
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Link(links::Output::Send(link, frame)) => {
                    if let Some(link) = self.links.get(&link) {
                        link.send(frame);
                    }
                }
                Output::Link(links::Output::Close(link, reason)) => {
                    if let Some(sender) = self.links.get(&link) {
                        tracing::debug!(link = link.0, %reason, "closing");
                        sender.close();
                    }
                }
                Output::Unlisted(holder) => {
                    let member = rows::holder(&holder);
                    let warning = Warning::TooMuchForTracker { member };
                    // Whoever does not read its notices misses some.
                    let _ = self.notices.try_send(Notice::Warning(warning));
                }
                Output::Link(links::Output::Verify(link, record)) => self.verify(link, record),
                Output::Renew {
                    link,
                    request,
                    member,
                    join,
                } => self.renew_for(link, request, member, &join),
                Output::Changed => {
                    self.draw_at
                        .get_or_insert_with(|| Instant::now() + VIEW_EVERY);
                }
            }
        }
    }

    /// Makes the newest group record count, and spreads it.
    fn adopt(&mut self) {
        let newest = self.newest.borrow_and_update().clone();
        if let Some(record) = newest {
            self.handle(links::Input::Adopted { record });
        }
    }

    fn verify(&mut self, link: LinkId, record: SignedRecord) {
        if self.tls.records().verify(&record).is_err() {
            self.handle(links::Input::Forged { link });
            return;
        }
        let authority = Arc::clone(&self.renewal.authority);
        // It waits for the disk. What it has learned comes back as the newest.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = authority.learn(&record) {
                tracing::error!(%error, "a newer group record is not taken over");
            }
        });
    }

    fn renew(&mut self) {
        self.renewal_due = match self.renewal.renew() {
            Ok(()) => self.renewal.due(),
            Err(error) => {
                tracing::error!(%error, "the tracker's own certificate is not renewed yet");
                self.renewal.due_again()
            }
        };
    }

    /// A member gets a new certificate, if it still is one.
    fn renew_for(&mut self, link: LinkId, request: RequestId, member: PeerId, join: &Join) {
        let answer = self
            .renewal
            .authority
            .renew_for(member, join, self.clock.wall());
        let answer = match answer {
            Ok(joined) => Body::Joined(joined),
            Err(why) => {
                tracing::info!(%member, %why, "no new certificate");
                Body::Refused(why.refusal())
            }
        };
        if let Some(link) = self.links.get(&link) {
            link.send(Frame::with_request(request, answer));
        }
    }

    fn connected(&mut self, incoming: Incoming) {
        self.last_link += 1;
        let link = LinkId(self.last_link);
        let term = Term {
            clock: self.clock.clone(),
            ends: incoming.member.ends.min(self.tls.member().ends),
        };
        let sender = link::start(link, incoming.stream, term, self.inbox.clone());
        self.links.insert(link, sender);
        self.handle(links::Input::Connected {
            link,
            member: rows::member(incoming.member),
            dialled: false,
            remote: incoming.remote.ip(),
        });
    }

    fn arrived(&mut self, arrival: Arrival) {
        // Its room is given back when it has been dealt with.
        let Arrival { link, event, .. } = arrival;
        match event {
            LinkEvent::Frame(frame) => self.handle(links::Input::Frame { link, frame }),
            LinkEvent::Unknown { kind, request } => {
                if let (Some(request), Some(sender)) = (request, self.links.get(&link)) {
                    let refused = Refused {
                        reason: Reason::Unknown,
                        text: format!("frames of type {kind} are not known here"),
                    };
                    sender.send(Frame::with_request(request, refused));
                }
                self.handle(links::Input::Heard { link });
            }
            LinkEvent::Heard => self.handle(links::Input::Heard { link }),
            LinkEvent::Expiring => self.handle(links::Input::Expiring { link }),
            LinkEvent::Closed(end) => {
                tracing::debug!(link = link.0, %end, "closed");
                self.links.remove(&link);
                let reason = end.to_string();
                self.handle(links::Input::Disconnected { link, reason });
            }
        }
    }

    fn draw(&mut self) {
        self.draw_at = None;
        self.view.send_replace(Arc::new(view::of(&self.machine)));
    }

    fn status(&self) -> TrackerStatus {
        TrackerStatus {
            id: self.tls.member().id.to_string(),
            listen: self.listen.to_string(),
            ca: self.tls.ca().to_string(),
            open: self.open,
            peers: self.machine.peers().count() as u64,
            entries: self.machine.catalogue().entries() as u64,
            finds: self.machine.finds(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
