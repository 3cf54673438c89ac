//! Clients of BitTorrent that may have a large file of the group.
//!
//! Owns how the group's tracker is asked for them: as clients ask, by an announce for each torrent
//! that there may be of the file. Only a peer that serves clients does so. What is known of the
//! file otherwise decides whether what they send is right.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use thorp_wire::announce::{Announce, AnnounceEvent, TrackerUrl};
use thorp_wire::torrent::build::{Privacy, v2_info};
use thorp_wire::torrent::info_hash_v2;
use thorp_wire::{Content, InfoHash, Name};
use tokio::time::sleep;

use super::Peer;
use crate::net::announcing::announce;
use crate::sessions::Transfer;

/// The tracker is not asked for a file more often than this, whatever it says.
const LEAST: Duration = Duration::from_secs(30);
/// How many clients it is asked for.
const WANTED: u32 = 50;

/// Tells the transfer of clients as the tracker names them, until this is dropped.
pub(super) async fn seek(peer: Peer, transfer: Arc<Transfer>, name: Name) {
    let torrents = torrents_of(&name, transfer.content());
    let mut event = AnnounceEvent::Started;
    loop {
        let mut next = Duration::MAX;
        for torrent in torrents {
            next = next.min(ask(&peer, &transfer, torrent, event).await);
        }
        event = AnnounceEvent::None;
        sleep(next.max(LEAST)).await;
    }
}

/// The torrents that members make of a file that has this name.
fn torrents_of(name: &Name, content: Content) -> [InfoHash; 2] {
    [Privacy::Private, Privacy::Public]
        .map(|privacy| info_hash_v2(&v2_info(name.base(), content, privacy)).truncated())
}

/// Asks the first tracker that answers. Returns when to ask again.
async fn ask(
    peer: &Peer,
    transfer: &Transfer,
    torrent: InfoHash,
    event: AnnounceEvent,
) -> Duration {
    let Some(port) = peer.swarms.port() else {
        return Duration::MAX;
    };
    let progress = transfer.progress();
    let ours = Announce {
        torrent,
        client: peer.swarms.client_id(),
        port,
        uploaded: 0,
        downloaded: progress.received,
        left: transfer.content().length - progress.verified,
        event,
        wanted: Some(WANTED),
        key: peer.swarms.client_key(),
    };
    for tracker in peer.trackers.iter() {
        let url = format!("http://{tracker}/announce").parse::<TrackerUrl>();
        let Ok(url) = url else { continue };
        match announce(&url, &ours).await {
            Ok(announced) => {
                let mut clients = announced.peers;
                clients.retain(|client| is_dialled(*client));
                tracing::debug!(%torrent, clients = clients.len(), "clients are known");
                transfer.clients(torrent, clients);
                return announced
                    .interval
                    .map_or(LEAST, |seconds| Duration::from_secs(seconds.into()));
            }
            Err(why) => tracing::debug!(%tracker, %why, "the tracker names no clients"),
        }
    }
    LEAST
}

/// Whether an address that others have named is dialled: it must be one that means the same
/// machine everywhere.
fn is_dialled(client: SocketAddr) -> bool {
    let ip = client.ip().to_canonical();
    let is_of_one_link = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    client.port() != 0
        && !is_of_one_link
        && !ip.is_loopback()
        && !ip.is_unspecified()
        && !ip.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_dialled_that_means_another_machine_here_or_many() {
        let is = |address: &str| is_dialled(address.parse().expect("an address"));
        for good in [
            "10.0.0.1:6881",
            "203.0.113.7:1",
            "[2001:db8::1]:6881",
            "[::ffff:10.0.0.1]:5",
        ] {
            assert!(is(good), "{good}");
        }
        for bad in [
            "127.0.0.1:6881",
            "127.9.9.9:1",
            "[::1]:6881",
            "[::ffff:127.0.0.1]:6881",
            "169.254.1.1:6881",
            "[fe80::1]:6881",
            "224.0.0.1:6881",
            "[ff02::1]:6881",
            "255.255.255.255:6881",
            "0.0.0.0:6881",
            "[::]:6881",
            "10.0.0.1:0",
        ] {
            assert!(!is(bad), "{bad}");
        }
    }
}
