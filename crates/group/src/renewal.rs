//! Certificates are renewed daily, by the wall clock, while a node runs.
//!
//! A member asks its tracker over their link ([`Renewal`]). If the certificate has already
//! expired, no link is possible, and the member asks over the ALPN of joining instead. The
//! tracker signs its own certificate ([`OwnRenewal`]). Every later connection uses the new
//! certificate, and links that use the old one are replaced in time. A member checks a new
//! certificate as it did when it joined. [`authority`](crate::authority) decides which member
//! gets one.
//!
//! Only certificates go by the wall clock. Waits between attempts go by the monotonic clock: if
//! the wall clock was set back, a wait would last until it caught up.

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

/// The age at which a certificate is renewed.
const DAILY: Duration = Duration::from_hours(24);
/// How long to wait after a request that brought no better certificate.
const RETRY: Duration = Duration::from_mins(10);
/// How long a member with an expired certificate waits before it asks again if its tracker was
/// unreachable: at first, and at most.
const REJOIN_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// How long before a certificate's end the user is warned. By then it should have been renewed
/// twenty times.
pub const WARN_BEFORE: Duration = Duration::from_hours(10 * 24);

/// Returns the times at which a certificate need not be renewed: a day from its beginning, or
/// half its life if that is shorter. Before its beginning it has to be renewed as well, because
/// it was made while a clock was ahead.
fn fresh(member: &Certified) -> Range<SystemTime> {
    let life = member.ends.duration_since(member.begins);
    member.begins..member.begins + DAILY.min(life.unwrap_or_default() / 2)
}

/// When to renew: once the wall clock is outside `idle` and `not_before` has passed.
#[derive(Clone, Debug)]
pub struct RenewalTime {
    idle: Range<SystemTime>,
    /// Measured by [`Clock::elapsed`].
    not_before: Duration,
}

impl RenewalTime {
    /// Waits for that time.
    pub async fn comes(self, clock: &Clock) {
        clock.has_run(self.not_before).await;
        clock.leaves(self.idle).await;
    }
}

/// Whether the user has to be warned that a certificate has not been renewed.
pub fn ends_soon(member: &Certified, clock: &Clock) -> bool {
    member.ends < clock.wall() + WARN_BEFORE
}

/// A member's certificate and the state of its renewal.
#[derive(Debug)]
pub struct Renewal {
    identity: Arc<Identity>,
    membership: Membership,
    /// Weak, so that the directory is unlocked when its node has ended, even if a task still has
    /// something to write.
    state: Weak<StateDir>,
    tls: MemberTls,
    /// The earliest time of the next request over a link, by [`Clock::elapsed`].
    next: Duration,
    asking: bool,
    rejoining: bool,
    /// How long to wait after the next failed attempt over the ALPN of joining.
    patience: Duration,
    /// The earliest time of the next such attempt, by [`Clock::elapsed`].
    rejoin_next: Duration,
}

impl Renewal {
    /// Makes the renewal of the member that `tls` presents. New certificates are saved in
    /// `state`.
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

    /// Returns when to ask next, or `None` while an answer is awaited.
    pub fn due(&self) -> Option<RenewalTime> {
        (!self.asking).then(|| RenewalTime {
            idle: fresh(&self.tls.member()),
            not_before: self.next,
        })
    }

    /// Makes a request. Each must be followed by exactly one call of [`answered`](Self::answered)
    /// or [`unanswered`](Self::unanswered).
    pub fn ask(&mut self) -> Result<Join, IdentityError> {
        let request = self.identity.certificate_request()?;
        self.asking = true;
        Ok(Join {
            token: None,
            request,
            name: None,
        })
    }

    /// The request will not be answered.
    pub fn unanswered(&mut self) {
        self.asking = false;
        self.next = self.tls.clock().elapsed() + REJOIN_AFTER.0;
    }

    /// The tracker has answered; `None` stands for a refusal. A certificate that does not end
    /// later than the present one is ignored. Returns whether there is a new membership to
    /// [save](Self::kept).
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
        // A new certificate that is already old by this clock must not be renewed again at once.
        let member = self.tls.member();
        if is_new && fresh(&member).contains(&self.tls.clock().wall()) {
            self.next = Duration::ZERO;
        }
        Ok(is_new)
    }

    /// The link to the tracker was lost. The tracker may be asked at once over the next one.
    pub fn on_cut_off(&mut self) {
        self.next = Duration::ZERO;
    }

    /// Returns when to ask over the ALPN of joining because the certificate allows no link, or
    /// `None` while an answer is awaited.
    pub fn rejoin_due(&self) -> Option<RenewalTime> {
        let member = self.tls.member();
        (!self.rejoining).then_some(RenewalTime {
            idle: member.begins..member.ends,
            not_before: self.rejoin_next,
        })
    }

    /// Returns what to ask with over the ALPN of joining. The tracker knows this member by its
    /// key. The caller reports the result to [`rejoined`](Self::rejoined) or
    /// [`unreached`](Self::unreached).
    pub fn rejoin(&mut self) -> (Ticket, Arc<Identity>) {
        self.rejoining = true;
        (Ticket::from(&self.membership), self.identity.clone())
    }

    /// The tracker was unreachable.
    pub fn unreached(&mut self) {
        self.rejoining = false;
        self.rejoin_next = self.tls.clock().elapsed() + self.patience;
        self.patience = (self.patience * 2).min(REJOIN_AFTER.1);
    }

    /// The tracker has answered over the ALPN of joining. Returns whether there is a new
    /// membership to [save](Self::kept).
    pub fn rejoined(
        &mut self,
        admitted: Result<Membership, JoinError>,
    ) -> Result<bool, RenewalError> {
        self.rejoining = false;
        let wait = match &admitted {
            // Only a user can change a refusal, so there is no hurry.
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

    /// Returns what has to be saved on the disk.
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
    /// Saves the membership.
    pub fn save(&self, disk: DiskThread) -> Result<(), StateError> {
        match self.state.upgrade() {
            Some(state) => self.membership.save(disk, &state),
            None => Ok(()),
        }
    }

    /// Saves the newest group record.
    pub fn save_record(&self, disk: DiskThread) -> Result<(), StateError> {
        match self.state.upgrade() {
            Some(state) => self.tls.records().save(disk, &state),
            None => Ok(()),
        }
    }
}

/// The renewal of the tracker's certificate, which it signs itself.
#[derive(Debug)]
pub struct OwnRenewal {
    /// The authority that signs it.
    pub authority: Arc<Authority>,
    /// The tracker's key.
    pub identity: Arc<Identity>,
    /// The tracker's configurations, which present the certificate.
    pub tls: MemberTls,
}

impl OwnRenewal {
    /// Returns when to sign a new certificate.
    pub fn due(&self) -> RenewalTime {
        RenewalTime {
            idle: fresh(&self.tls.member()),
            not_before: Duration::ZERO,
        }
    }

    /// Returns when to try again after a failed attempt.
    pub fn due_again(&self) -> RenewalTime {
        RenewalTime {
            not_before: self.tls.clock().elapsed() + RETRY,
            ..self.due()
        }
    }

    /// Signs a new certificate, which every later connection presents.
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

/// Why there is no new certificate. The old one stays in use, and renewal is tried again later.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// The tracker's answer is not trusted.
    #[error(transparent)]
    Answer(#[from] JoinError),
    /// The tracker cannot sign its own certificate.
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

        // The certificate has expired; then, its beginning is in the future.
        for days in [31, -31] {
            clock.turn(days * DAY);
            let due = renewal.rejoin_due().expect("nothing is asked");
            let came = timeout(Duration::ZERO, due.comes(&clock)).await;
            came.expect("the wait was over long ago");
        }
    }
}
