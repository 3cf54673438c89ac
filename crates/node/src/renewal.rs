//! Certificates that are renewed while a node runs: daily, by the wall clock.
//!
//! A member asks its tracker over their link ([`Renewal`]) and, where its
//! certificate has ended meanwhile, as when it joined; the tracker writes its own ([`OwnRenewal`]). Either way the new one counts for every later
//! connection, and links that stand on the old one are made anew in time. What
//! a member gets is checked as when it joined; who gets one is decided in
//! [`authority`](crate::authority).

use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use thorp_wire::frame::{Join, Joined};

use crate::authority::{Authority, AuthorityError};
use crate::certificate::Member;
use crate::clock::Clock;
use crate::identity::{Identity, IdentityError, Membership};
use crate::join::{self, Admitted, JoinError, Ticket};
use crate::state::{StateDir, StateError};
use crate::tls::{MemberTls, TlsError};

/// How old a certificate is when it is renewed.
const DAILY: Duration = Duration::from_hours(24);
/// How long to wait after a question that brought no better one.
pub(crate) const RETRY: Duration = Duration::from_mins(10);
/// How long to wait before a member whose certificate has ended asks to be let in
/// again, when its tracker was out of reach: at first, and at most.
const REJOIN_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// From so long before a certificate's end a person is warned: by then it should
/// have been renewed twenty times.
pub const WARN_BEFORE: Duration = Duration::from_hours(10 * 24);

/// When a certificate is to be renewed: after a day, or in the middle of a
/// shorter life.
fn due(member: &Member) -> SystemTime {
    let life = member.ends.duration_since(member.begins);
    member.begins + DAILY.min(life.unwrap_or_default() / 2)
}

/// Whether a person is to be warned that a certificate has not been renewed.
pub fn ends_soon(member: &Member, clock: &Clock) -> bool {
    member.ends < clock.wall() + WARN_BEFORE
}

/// A member's certificate, and how it gets a new one.
#[derive(Debug)]
pub struct Renewal {
    identity: Arc<Identity>,
    membership: Membership,
    /// The directory is free again when its node has ended, whoever still
    /// has something to write.
    state: Weak<StateDir>,
    tls: MemberTls,
    /// Not before this.
    next: Option<SystemTime>,
    asking: bool,
    rejoining: bool,
    /// How long to wait after the next attempt to come in again that fails.
    patience: Duration,
    /// Not before this.
    rejoin_next: Option<SystemTime>,
}

impl Renewal {
    /// Of the member that `tls` shows. What is new is kept in `state`.
    pub fn new(
        identity: Identity,
        membership: Membership,
        state: &Arc<StateDir>,
        tls: MemberTls,
    ) -> Self {
        Self {
            identity: Arc::new(identity),
            membership,
            state: Arc::downgrade(state),
            tls,
            next: None,
            asking: false,
            rejoining: false,
            patience: REJOIN_AFTER.0,
            rejoin_next: None,
        }
    }

    /// When to ask next; nothing while an answer is awaited.
    pub fn due(&self) -> Option<SystemTime> {
        let due = due(&self.tls.member());
        (!self.asking).then(|| self.next.map_or(due, |next| next.max(due)))
    }

    /// The question. There is to be one answer to it.
    pub fn ask(&mut self) -> Result<Join, IdentityError> {
        let request = self.identity.certificate_request()?;
        self.asking = true;
        Ok(Join {
            token: None,
            request,
            name: None,
        })
    }

    /// The answer, or none. A certificate that is no better than the one there
    /// is changes nothing. Says whether there is something to be [kept](Self::kept).
    pub fn answered(&mut self, joined: Option<&Joined>) -> Result<bool, RenewalError> {
        let clock = self.tls.clock();
        self.asking = false;
        self.next = Some(clock.wall() + RETRY);
        let Some(joined) = joined else {
            return Ok(false);
        };
        let Membership { ca, trackers, .. } = self.membership.clone();
        let new = join::accept(&self.identity, ca, trackers, joined, clock)?.membership;
        self.replace(new)
    }

    /// When to come in by the tracker's other door, since the certificate is good
    /// for no link any more; nothing while an answer is awaited.
    pub fn rejoin_due(&self) -> Option<SystemTime> {
        let ends = self.tls.member().ends;
        (!self.rejoining).then(|| self.rejoin_next.map_or(ends, |next| next.max(ends)))
    }

    /// Asks to be let in again, as a member that the tracker has in its tables.
    /// What comes of it is to be told to [`rejoined`](Self::rejoined).
    pub fn rejoin(&mut self) -> impl Future<Output = Result<Admitted, JoinError>> + Send + 'static {
        self.rejoining = true;
        let ticket = Ticket::from(&self.membership);
        let (identity, clock) = (self.identity.clone(), self.tls.clock().clone());
        async move { join::join(&ticket, &identity, None, &clock).await }
    }

    /// What came of it. Says whether there is something to be [kept](Self::kept).
    pub fn rejoined(
        &mut self,
        admitted: Result<Membership, JoinError>,
    ) -> Result<bool, RenewalError> {
        self.rejoining = false;
        let wait = match &admitted {
            // Only a person can change that.
            Err(JoinError::Refused { .. }) => RETRY,
            Ok(_) | Err(_) => self.patience,
        };
        self.rejoin_next = Some(self.tls.clock().wall() + wait);
        self.patience = match &admitted {
            Ok(_) => REJOIN_AFTER.0,
            Err(_) => (self.patience * 2).min(REJOIN_AFTER.1),
        };
        self.replace(admitted?)
    }

    fn replace(&mut self, new: Membership) -> Result<bool, RenewalError> {
        let is_better = |member: Member| member.ends > self.tls.member().ends;
        if !new.member().is_some_and(is_better) {
            return Ok(false);
        }
        self.tls.renew(&self.identity, &new)?;
        self.membership = new;
        Ok(true)
    }

    /// What this member has to keep on disk, as it is now.
    pub fn kept(&self) -> Kept {
        Kept {
            membership: self.membership.clone(),
            state: self.state.clone(),
            tls: self.tls.clone(),
        }
    }
}

/// A membership and the group's record on their way to the disk.
#[derive(Debug)]
pub struct Kept {
    membership: Membership,
    state: Weak<StateDir>,
    tls: MemberTls,
}

impl Kept {
    /// Keeps the membership. Waits for the disk.
    pub fn save(&self) -> Result<(), StateError> {
        match self.state.upgrade() {
            Some(state) => self.membership.save(&state),
            None => Ok(()),
        }
    }

    /// Keeps the newest group record. Waits for the disk.
    pub fn save_record(&self) -> Result<(), StateError> {
        match self.state.upgrade() {
            Some(state) => self.tls.records().save(&state),
            None => Ok(()),
        }
    }
}

/// The tracker's certificate, which it writes itself.
#[derive(Debug)]
pub struct OwnRenewal {
    /// Who writes it.
    pub authority: Arc<Authority>,
    /// The tracker's key.
    pub identity: Arc<Identity>,
    /// Its certificate, as its members see it.
    pub tls: MemberTls,
}

impl OwnRenewal {
    /// While there is no need for a new one: not before it begins either, as when
    /// it was written by a clock that was ahead.
    pub fn is_fresh(&self) -> Range<SystemTime> {
        let member = self.tls.member();
        member.begins..due(&member)
    }

    /// Writes a new one. From now on it is shown to everybody.
    pub fn renew(&self, now: SystemTime) -> Result<(), RenewalError> {
        let certificate = self
            .authority
            .tracker_certificate_again(self.identity.id(), now)?;
        let membership = Membership {
            certificate,
            ca: self.authority.ca(),
            trackers: Vec::new(),
        };
        Ok(self.tls.renew(&self.identity, &membership)?)
    }
}

/// Why there is no new certificate. The old one stays, and it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// The tracker's answer is not believed.
    #[error(transparent)]
    Answer(#[from] JoinError),
    /// The tracker cannot write its own.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// It cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}
