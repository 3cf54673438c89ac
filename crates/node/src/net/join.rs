//! A tracker dialled, and asked to make this machine's key a member. What is said
//! then is [`thorp_group::join`]'s.

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

/// A newcomer that is told to wait asks again after this long, then after twice as long,
/// up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// How long it waits in all.
const MOST_PATIENCE: Duration = Duration::from_mins(30);

/// Asks a tracker to make this machine's key a member. Nothing is kept yet:
/// that is the caller's.
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

/// The same, in its turn: where many want to join at once, a newcomer is told to wait,
/// and asks again by itself. `on_wait` is called when that begins. After
/// [`MOST_PATIENCE`] the tracker's word is final: its group may be full.
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

/// Why this machine did not become a member, sorted by what to do next.
#[derive(Debug, Error)]
pub enum NotJoined {
    /// The tracker's host name leads nowhere.
    #[error(transparent)]
    Address(#[from] ResolveError),
    /// Check address and port, or try again.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The tracker was reached.
    #[error(transparent)]
    Join(#[from] JoinError),
}

#[cfg(test)]
mod tests;
