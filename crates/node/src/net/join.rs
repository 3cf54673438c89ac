//! Dials a tracker and asks it to make this machine's key a member. The conversation itself is in
//! [`thorp_group::join`].

use std::time::Duration;

use thiserror::Error;
use thorp_group::certificate::{CertificateError, TRACKER_NAME};
use thorp_group::clock::Clock;
use thorp_group::identity::Identity;
use thorp_group::join::{Admitted, JoinError, Newcomer, Ticket};
use thorp_group::tls;
use thorp_wire::MemberName;
use tokio::time::{Instant, sleep};

use super::addresses::{self, ResolveError};
use super::dial::{self, DialError};

/// How long a newcomer waits before it asks again. The wait doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// How long a newcomer goes on asking.
const MOST_PATIENCE: Duration = Duration::from_mins(30);

/// Asks a tracker to make this machine's key a member. The caller has to save the result.
pub async fn join(
    ticket: &Ticket,
    identity: &Identity,
    wanted: Option<MemberName>,
    clock: &Clock,
) -> Result<Admitted, NotJoined> {
    let addresses = addresses::resolve(&ticket.trackers).await?;
    let config = tls::join_client(ticket.ca, clock).map_err(JoinError::Tls)?;
    let reached = dial::reach(&addresses, TRACKER_NAME, config, None).await;
    let (stream, address) = match reached {
        Ok(reached) => reached,
        Err(why) => return Err(dial::explain(why, ticket.ca, clock).await.into()),
    };
    let ca = match ticket.ca {
        Some(ca) => ca,
        None => tls::ca_of(stream.get_ref().1).ok_or_else(|| {
            JoinError::Certificate(CertificateError::NotThorp("it shows no CA".into()))
        })?,
    };
    let newcomer = Newcomer {
        ticket,
        identity,
        wanted,
        clock,
    };
    Ok(newcomer.ask(stream, address, ca).await?)
}

/// Asks as [`join`] does, and asks again as long as the tracker says that too many machines are
/// joining. `on_wait` is called once, when the waiting begins. After [`MOST_PATIENCE`] the
/// tracker's refusal is final.
pub async fn join_in_turn(
    ticket: &Ticket,
    identity: &Identity,
    wanted: Option<MemberName>,
    clock: &Clock,
    mut on_wait: impl FnMut(),
) -> Result<Admitted, NotJoined> {
    let begun = Instant::now();
    let mut wait = FIRST_WAIT;
    loop {
        match join(ticket, identity, wanted.clone(), clock).await {
            Err(NotJoined::Join(why)) if why.is_busy() && begun.elapsed() < MOST_PATIENCE => {
                if wait == FIRST_WAIT {
                    on_wait();
                }
                sleep(wait).await;
                wait = (2 * wait).min(LONGEST_WAIT);
            }
            other => return other,
        }
    }
}

/// Why this machine did not become a member; each variant says what the user can do.
#[derive(Debug, Error)]
pub enum NotJoined {
    /// The tracker's host name cannot be resolved.
    #[error(transparent)]
    Address(#[from] ResolveError),
    /// The tracker was not reached: check address and port, or try again.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The tracker was reached, but did not admit this machine.
    #[error(transparent)]
    Join(#[from] JoinError),
}

#[cfg(test)]
mod tests;
