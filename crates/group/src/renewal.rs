//! Certificates that are renewed while a node runs: daily, by the wall clock.
//!
//! A member asks its tracker over their link ([`Renewal`]). If its certificate
//! has ended meanwhile, no link is possible, and it asks over the ALPN of
//! joining. The tracker writes its own certificate ([`OwnRenewal`]). Either way
//! the new one is used for every later connection, and links with the old one
//! are made anew in time. A member checks its new certificate as when it
//! joined. [`authority`](crate::authority) decides which member gets one.
//!
//! Only certificates go by the wall clock. Waits between attempts go by the
//! monotonic one: if the wall clock were set back, they would last until it
//! caught up.

use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use thorp_disk::DiskThread;
use thorp_wire::frame::{Join, Joined};

use crate::authority::{Authority, AuthorityError};
use crate::certificate::Certified;
use crate::clock::Clock;
use crate::identity::{Identity, IdentityError, Membership};
use crate::join::{self, JoinError, Ticket};
use crate::state::{StateDir, StateError};
use crate::tls::{MemberTls, TlsError};

/// How old a certificate is when it is renewed.
const DAILY: Duration = Duration::from_hours(24);
/// How long to wait after a request that brought no better certificate.
const RETRY: Duration = Duration::from_mins(10);
/// How long a member whose certificate has ended waits before it asks again, if
/// its tracker was out of reach: at first, and at most.
const REJOIN_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// How long before a certificate's end the user is warned: by then it should
/// have been renewed twenty times.
pub const WARN_BEFORE: Duration = Duration::from_hours(10 * 24);

/// The times at which a certificate need not be renewed: a day from its
/// beginning, or half its life if that is shorter. Before its beginning it has
/// to be renewed, too: a clock that was ahead has written it.
fn fresh(member: &Certified) -> Range<SystemTime> {
    let life = member.ends.duration_since(member.begins);
    member.begins..member.begins + DAILY.min(life.unwrap_or_default() / 2)
}

/// When to renew: as soon as the time of day is outside `idle`.
#[derive(Clone, Debug)]
pub struct RenewalTime {
    idle: Range<SystemTime>,
    /// Not before the clock has run for this long.
    not_before: Duration,
}

impl RenewalTime {
    /// Waits until then.
    pub async fn comes(self, clock: &Clock) {
        clock.has_run(self.not_before).await;
        clock.leaves(self.idle).await;
    }
}

/// Whether the user is to be warned that a certificate has not been renewed.
pub fn ends_soon(member: &Certified, clock: &Clock) -> bool {
    member.ends < clock.wall() + WARN_BEFORE
}

/// A member's certificate, and how it gets a new one.
#[derive(Debug)]
pub struct Renewal {
    identity: Arc<Identity>,
    membership: Membership,
    /// Weak, so that the directory is free again when its node has ended, even
    /// if a task still has something to write.
    state: Weak<StateDir>,
    tls: MemberTls,
    /// Not before the clock has run for this long.
    next: Duration,
    asking: bool,
    rejoining: bool,
    /// How long to wait after the next failed attempt to join again.
    patience: Duration,
    /// Not before the clock has run for this long.
    rejoin_next: Duration,
}

impl Renewal {
    /// The renewal of the member that `tls` presents. A new certificate is kept
    /// in `state`.
    pub fn new(
        identity: impl Into<Arc<Identity>>,
        membership: Membership,
        state: &Arc<StateDir>,
        tls: MemberTls,
    ) -> Self {
        Self {
            identity: identity.into(),
            membership,
            state: Arc::downgrade(state),
            tls,
            next: Duration::ZERO,
            asking: false,
            rejoining: false,
            patience: REJOIN_AFTER.0,
            rejoin_next: Duration::ZERO,
        }
    }

    /// When to ask next; `None` while an answer is awaited.
    pub fn due(&self) -> Option<RenewalTime> {
        (!self.asking).then(|| RenewalTime {
            idle: fresh(&self.tls.member()),
            not_before: self.next,
        })
    }

    /// The request, to which exactly one answer must come.
    pub fn ask(&mut self) -> Result<Join, IdentityError> {
        let request = self.identity.certificate_request()?;
        self.asking = true;
        Ok(Join {
            token: None,
            request,
            name: None,
        })
    }

    /// There will be no answer to this request.
    pub fn unanswered(&mut self) {
        self.asking = false;
        self.next = self.tls.clock().elapsed() + REJOIN_AFTER.0;
    }

    /// The answer, or `None` if it was a refusal. A certificate that does not
    /// last longer than the present one changes nothing. Returns whether there
    /// is something to be [kept](Self::kept).
    pub fn answered(&mut self, joined: Option<&Joined>) -> Result<bool, RenewalError> {
        let clock = self.tls.clock();
        self.asking = false;
        self.next = clock.elapsed() + RETRY;
        let Some(joined) = joined else {
            return Ok(false);
        };
        let Membership { ca, trackers, .. } = self.membership.clone();
        let new = join::accept(&self.identity, ca, trackers, joined, clock)?.membership;
        let is_new = self.replace(new)?;
        // If the new certificate is already old by this clock, that is no reason to ask
        // again at once.
        let member = self.tls.member();
        if is_new && fresh(&member).contains(&self.tls.clock().wall()) {
            self.next = Duration::ZERO;
        }
        Ok(is_new)
    }

    /// There is no link to the tracker any more. Over the next one it may be
    /// asked at once.
    pub fn is_cut_off(&mut self) {
        self.next = Duration::ZERO;
    }

    /// When to ask over the ALPN of joining, since the certificate allows no
    /// link; `None` while an answer is awaited.
    pub fn rejoin_due(&self) -> Option<RenewalTime> {
        let member = self.tls.member();
        (!self.rejoining).then_some(RenewalTime {
            idle: member.begins..member.ends,
            not_before: self.rejoin_next,
        })
    }

    /// What to ask with over the ALPN of joining, as a member that is in the
    /// tracker's tables. The caller reports the result to
    /// [`rejoined`](Self::rejoined) or [`unreached`](Self::unreached).
    pub fn rejoin(&mut self) -> (Ticket, Arc<Identity>) {
        self.rejoining = true;
        (Ticket::from(&self.membership), self.identity.clone())
    }

    /// The tracker was out of reach.
    pub fn unreached(&mut self) {
        self.rejoining = false;
        self.rejoin_next = self.tls.clock().elapsed() + self.patience;
        self.patience = (self.patience * 2).min(REJOIN_AFTER.1);
    }

    /// The tracker has answered. Returns whether there is something to be
    /// [kept](Self::kept).
    pub fn rejoined(
        &mut self,
        admitted: Result<Membership, JoinError>,
    ) -> Result<bool, RenewalError> {
        self.rejoining = false;
        let wait = match &admitted {
            // Only the user can change that.
            Err(JoinError::Refused { .. }) => RETRY,
            Ok(_) | Err(_) => self.patience,
        };
        self.rejoin_next = self.tls.clock().elapsed() + wait;
        self.patience = match &admitted {
            Ok(_) => REJOIN_AFTER.0,
            Err(_) => (self.patience * 2).min(REJOIN_AFTER.1),
        };
        self.replace(admitted?)
    }

    fn replace(&mut self, new: Membership) -> Result<bool, RenewalError> {
        let old = self.tls.member();
        let has_begun = old.begins <= self.tls.clock().wall();
        let is_better = |member: Certified| member.ends > old.ends || !has_begun;
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
    /// Keeps the membership.
    pub fn save(&self, disk: DiskThread) -> Result<(), StateError> {
        match self.state.upgrade() {
            Some(state) => self.membership.save(disk, &state),
            None => Ok(()),
        }
    }

    /// Keeps the newest group record.
    pub fn save_record(&self, disk: DiskThread) -> Result<(), StateError> {
        match self.state.upgrade() {
            Some(state) => self.tls.records().save(disk, &state),
            None => Ok(()),
        }
    }
}

/// The tracker's certificate, which it writes itself.
#[derive(Debug)]
pub struct OwnRenewal {
    /// The authority that writes it.
    pub authority: Arc<Authority>,
    /// The tracker's key.
    pub identity: Arc<Identity>,
    /// Its certificate, as its members see it.
    pub tls: MemberTls,
}

impl OwnRenewal {
    /// When a new one is to be written.
    pub fn due(&self) -> RenewalTime {
        RenewalTime {
            idle: fresh(&self.tls.member()),
            not_before: Duration::ZERO,
        }
    }

    /// When to try again, after an attempt that failed.
    pub fn due_again(&self) -> RenewalTime {
        RenewalTime {
            not_before: self.tls.clock().elapsed() + RETRY,
            ..self.due()
        }
    }

    /// Writes a new one, which is presented on every connection from now on.
    pub fn renew(&self) -> Result<(), RenewalError> {
        let now = self.tls.clock().wall();
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
    /// The new certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::certificate::CertificateError;
    use crate::testing::{self, Group};

    const DAY: i64 = 24 * 3600;

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_began_by_a_wrong_clock_is_no_longer_than_by_a_right_one() {
        let (group, clock) = (Group::new(), Clock::system());
        let identity = Identity::generate().expect("a key");
        let membership = group.admit(&identity, "oak");
        let tls = MemberTls::new(&identity, &membership, clock.clone()).expect("fits");
        let (_temporary, state) = testing::state();
        let mut renewal = Renewal::new(identity, membership, &Arc::new(state), tls);
        clock.turn(40 * DAY);
        renewal.ask().expect("a question");
        assert!(!renewal.answered(None).expect("is no answer"));
        renewal.rejoin();
        let refused = JoinError::Certificate(CertificateError::Missing);
        renewal.rejoined(Err(refused)).expect_err("says why");

        // The certificate is two days old, and good.
        clock.turn(2 * DAY);
        let before = clock.elapsed();
        let due = renewal.due().expect("nothing is asked");
        let came = timeout(RETRY * 2, due.comes(&clock)).await;
        came.expect("a day and the wait are over");
        assert!((RETRY..RETRY * 2).contains(&clock.elapsed().abs_diff(before)));
        let cut_off = renewal.rejoin_due().expect("nothing is asked");
        let came = timeout(RETRY, cut_off.comes(&clock)).await;
        came.expect_err("it is good for links");

        // It has ended; and it has not begun.
        for days in [31, -31] {
            clock.turn(days * DAY);
            let due = renewal.rejoin_due().expect("nothing is asked");
            let came = timeout(Duration::ZERO, due.comes(&clock)).await;
            came.expect("the wait was over long ago");
        }
    }
}
