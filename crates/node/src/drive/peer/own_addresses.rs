//! Where this machine is, and when that changes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::net::addresses::{Reach, Whereabouts};

/// How often this machine's addresses are compared with those it has told.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub(super) struct OwnAddresses {
    /// Nothing where it stays as it is, whatever happens to the machine.
    here: Option<Whereabouts>,
    look: Interval,
}

impl OwnAddresses {
    /// Of a machine that is reached there, or not at all.
    pub(super) fn new(reach: Option<Reach>) -> Self {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let everywhere = reach.filter(|reach| reach.listen().ip().is_unspecified());
        Self {
            here: everywhere.map(Whereabouts::new),
            look,
        }
    }

    /// Waits until this machine has other addresses: where it is reached now.
    pub(super) async fn change(&mut self) -> Vec<SocketAddr> {
        let Some(here) = &mut self.here else {
            return std::future::pending().await;
        };
        loop {
            self.look.tick().await;
            if here.refresh() {
                return here.addresses();
            }
        }
    }

    /// Whether an address is still this machine's.
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        self.here.as_ref().is_none_or(|here| here.has(ip))
    }
}
