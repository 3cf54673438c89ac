//! Where this machine is, and when that changes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::select;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at};

use crate::net::addresses::{Reach, Whereabouts, resolve_each};

/// How often this machine's addresses are compared with those it has told.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked up what the names stand for that the user advertises.
const RESOLVE_EVERY: Duration = Duration::from_mins(1);

pub(super) struct OwnAddresses {
    /// Nothing where it stays as it is, whatever happens to the machine.
    here: Option<Whereabouts>,
    look: Interval,
    resolve: Interval,
    /// Names that are being looked up. It goes on while its waiter does something else.
    resolving: Option<JoinHandle<Option<Vec<SocketAddr>>>>,
}

/// Where a machine can be reached.
#[derive(Debug)]
pub(super) struct Here {
    pub addresses: Vec<SocketAddr>,
    /// So many of these, from the first on, were named by its user.
    pub advertised: u8,
}

impl OwnAddresses {
    /// Of a machine that is reached there, or not at all.
    pub(super) fn new(reach: Option<Reach>) -> Self {
        let mut look = interval(LOOK_EVERY);
        let mut resolve = interval_at(Instant::now() + RESOLVE_EVERY, RESOLVE_EVERY);
        for interval in [&mut look, &mut resolve] {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let here = reach.map(Whereabouts::new);
        Self {
            here: here.filter(Whereabouts::may_change),
            look,
            resolve,
            resolving: None,
        }
    }

    /// Waits until this machine has other addresses: where it is reached now.
    pub(super) async fn change(&mut self) -> Here {
        let Some(here) = &mut self.here else {
            return std::future::pending().await;
        };
        loop {
            let resolving = &mut self.resolving;
            let has_changed = select! {
                _ = self.look.tick() => here.refresh(),
                _ = self.resolve.tick(), if resolving.is_none() => {
                    let names = here.names().map(<[_]>::to_vec);
                    *resolving = names.map(|names| tokio::spawn(async move { resolve_each(&names).await }));
                    false
                }
                found = async { resolving.as_mut()?.await.ok() }, if resolving.is_some() => {
                    *resolving = None;
                    // Where a name cannot be looked up, what was found before stays.
                    found.flatten().is_some_and(|found| here.resolved(found))
                }
            };
            if has_changed {
                let (addresses, advertised) = here.addresses();
                return Here {
                    addresses,
                    advertised,
                };
            }
        }
    }

    /// Whether an address is still this machine's.
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        self.here.as_ref().is_none_or(|here| here.has(ip))
    }
}
