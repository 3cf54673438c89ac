//! Torrents of the share, for a user who gives them to people with ordinary clients.
//!
//! Only of what lies here: this peer is the one that serves it, and it has all hashes. A torrent
//! names the group's tracker, over HTTP and over UDP, and a magnet link this peer too. What is read
//! for a torrent is in `making`.

mod making;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use data_encoding::BASE64;
use thorp_files::share::Share;
use thorp_group::address::NetAddress;
use thorp_wire::InfoHash;
use thorp_wire::announce::TrackerUrl;
use thorp_wire::frame::SignedRecord;
use thorp_wire::torrent::build;
use thorp_wire::torrent::{Magnet, info_hash_v1, info_hash_v2};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Peer, Request};
use crate::api::{Done, Event, Failure, MadeTorrent, TorrentOf};
use crate::drive::caller::{Events, tell};
use making::{Follows, Meant};

/// How long a group's record is waited for.
const RECORD_COMES: Duration = Duration::from_secs(2);
/// How long a file that was just written may take to be listed.
const FILE_IS_LISTED: Duration = Duration::from_secs(2);
/// How long the tracker may take to know of a torrent that was just made.
const TRACKER_KNOWS: Duration = Duration::from_secs(10);
/// How many addresses of a machine are named.
const MOST_ADDRESSES: usize = 4;

/// Makes the torrent that a user asks for, and tells it.
pub(super) async fn make(peer: &Peer, of: TorrentOf, events: &Events) -> Result<Done, Failure> {
    if !group_serves_clients(peer).await {
        return Err(Failure::GroupServesNoClients);
    }
    let share = peer.share().filter(|share| share.serves_clients());
    let share = share.ok_or(Failure::ShareServesNoClients)?;
    let torrent = match meant(share, &of.name).await? {
        Meant::File(name) => making::of_file(share, &of, name).await?,
        Meant::Folder(folder) => making::of_folder(share, &of, folder, events).await?,
    };

    let addresses = addresses(peer);
    let tiers = tiers(&peer.trackers, &addresses);
    let mut magnet = Magnet {
        name: Some(torrent.name),
        trackers: tiers.iter().flatten().map(ToString::to_string).collect(),
        peers: addresses,
        ..Magnet::default()
    };
    let (told, info_hash) = if of.v2 {
        let info_hash = info_hash_v2(&torrent.info);
        magnet.v2 = Some(info_hash);
        (info_hash.truncated(), info_hash.to_string())
    } else {
        let info_hash = info_hash_v1(&torrent.info);
        magnet.v1 = Some(info_hash);
        (info_hash, info_hash.to_string())
    };
    // Or a client that begins at once would be refused, or told of nobody, and would come again
    // much later: rqbit after a minute.
    if peer.trouble().is_none()
        && timeout(TRACKER_KNOWS, tracker_knows(peer, &torrent.follows, told))
            .await
            .is_err()
    {
        tracing::info!(%told, "the tracker does not know of a torrent yet");
    }
    let whole = || build::torrent(&torrent.info, &tiers, &torrent.layers);
    let made = MadeTorrent {
        name: torrent.path,
        files: torrent.files,
        length: torrent.length,
        info_hash,
        magnet: magnet.to_string(),
        torrent: of.whole.then(|| BASE64.encode(&whole())),
    };
    tell(events, Event::Torrent(made)).await;
    Ok(Done {
        count: 1,
        ..Done::default()
    })
}

/// The file or the folder of the share that a user means. A file that was just written is waited
/// for until it is listed.
async fn meant(share: &Share, text: &str) -> Result<Meant, Failure> {
    let mut changes = share.changes();
    let listed = async {
        loop {
            match making::meant(share, text).await {
                Err(Failure::NotInShare { .. }) if making::is_in_directory(share, text).await => {}
                meant => return meant,
            }
            // A share that is closed has no more.
            if changes.changed().await.is_err() {
                return making::meant(share, text).await;
            }
        }
    };
    match timeout(FILE_IS_LISTED, listed).await {
        Ok(meant) => meant,
        Err(_) => making::meant(share, text).await,
    }
}

/// Waits until the tracker knows that this peer has a torrent.
async fn tracker_knows(peer: &Peer, follows: &Follows, info_hash: InfoHash) {
    match follows {
        Follows::From(entry) => {
            let (heard, is_told) = oneshot::channel();
            let told = Request::Told(entry.clone(), heard);
            // A peer that stops tells nobody.
            if peer.requests.send(told).await.is_ok() {
                let _ = is_told.await;
            }
        }
        Follows::Kept => {
            let mut known = peer.torrents.clone();
            let _ = known.wait_for(|known| known.contains(&info_hash)).await;
        }
    }
}

/// Whether the group serves clients. Just after the start the record that says so is still to come
/// from the tracker.
pub(super) async fn group_serves_clients(peer: &Peer) -> bool {
    let mut records = peer.tls.records().changes();
    let says_so = |newest: &Option<SignedRecord>| {
        let newest = newest.as_ref();
        newest.is_some_and(|newest| newest.record().bittorrent)
    };
    let said = timeout(RECORD_COMES, records.wait_for(says_so)).await;
    said.is_ok_and(|said| said.is_ok())
}

/// Where this peer is reached: not by itself alone, unless that is all there is.
fn addresses(peer: &Peer) -> Vec<SocketAddr> {
    let all = peer.itself().map_or(Vec::new(), |itself| itself.addresses);
    let reached = all.iter().filter(|address| !address.ip().is_loopback());
    let reached: Vec<SocketAddr> = reached.take(MOST_ADDRESSES).copied().collect();
    if reached.is_empty() { all } else { reached }
}

/// The URLs of the group's tracker that a torrent made here names.
pub(super) fn tracker_urls(peer: &Peer) -> Vec<TrackerUrl> {
    tiers(&peer.trackers, &addresses(peer)).concat()
}

/// The group's trackers, as this peer asks them.
pub(super) fn own_trackers(peer: &Peer) -> BTreeSet<TrackerUrl> {
    let urls = peer.trackers.iter();
    urls.filter_map(|tracker| announce_url("http", tracker))
        .collect()
}

/// All URLs by which a torrent may name the group's trackers.
pub(super) fn trusted_trackers(peer: &Peer) -> BTreeSet<TrackerUrl> {
    let mut trusted = own_trackers(peer);
    let trackers = peer.trackers.iter();
    trusted.extend(trackers.filter_map(|tracker| announce_url("udp", tracker)));
    trusted.extend(tracker_urls(peer));
    trusted
}

fn announce_url(scheme: &str, tracker: &NetAddress) -> Option<TrackerUrl> {
    format!("{scheme}://{tracker}/announce").parse().ok()
}

/// The tracker's URLs, all in one tier. One that this peer reaches over loopback is on this
/// machine: clients reach it where they reach this peer.
fn tiers(trackers: &[NetAddress], own: &[SocketAddr]) -> Vec<Vec<TrackerUrl>> {
    let mut urls = Vec::new();
    for tracker in trackers {
        let (host, port) = (tracker.host_text(), tracker.port());
        let ip = host.parse::<IpAddr>().ok();
        let is_here = host == "localhost" || ip.is_some_and(|ip| ip.to_canonical().is_loopback());
        let hosts = if is_here && !own.is_empty() {
            own.iter().map(|address| address.ip().to_string()).collect()
        } else {
            vec![host]
        };
        for host in hosts {
            let is_v6 = host.contains(':');
            let host = if is_v6 { format!("[{host}]") } else { host };
            let both = [
                format!("http://{host}:{port}/announce"),
                format!("udp://{host}:{port}/announce"),
            ];
            // A host name that no URL can have is left out.
            for url in both.iter().filter_map(|url| url.parse().ok()) {
                if !urls.contains(&url) {
                    urls.push(url);
                }
            }
        }
    }
    vec![urls]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(tracker: &str, own: &[&str]) -> Vec<String> {
        let tracker = NetAddress::parse(tracker, 3333).expect("an address");
        let own: Vec<_> = own
            .iter()
            .map(|own| own.parse().expect("an address"))
            .collect();
        let urls = tiers(&[tracker], &own).into_iter().flatten();
        urls.map(|url| url.to_string()).collect()
    }

    #[test]
    fn a_tracker_is_named_over_http_and_over_udp() {
        assert_eq!(
            urls("192.0.2.1:3333", &["192.0.2.9:3334"]),
            [
                "http://192.0.2.1:3333/announce",
                "udp://192.0.2.1:3333/announce"
            ]
        );
        assert_eq!(
            urls("tracker.lan", &[]),
            [
                "http://tracker.lan:3333/announce",
                "udp://tracker.lan:3333/announce"
            ]
        );
    }

    #[test]
    fn a_tracker_on_this_machine_is_named_as_others_reach_it() {
        for tracker in ["127.0.0.1:3333", "localhost:3333", "[::1]:3333"] {
            assert_eq!(
                urls(tracker, &["192.0.2.9:3334", "[2001:db8::9]:3334"]),
                [
                    "http://192.0.2.9:3333/announce",
                    "udp://192.0.2.9:3333/announce",
                    "http://[2001:db8::9]:3333/announce",
                    "udp://[2001:db8::9]:3333/announce",
                ]
            );
        }
        assert_eq!(urls("127.0.0.1:1", &[])[1], "udp://127.0.0.1:1/announce");
    }
}
