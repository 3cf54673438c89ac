//! A store of swarms, as announces, listings and time change it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use thorp_core::swarms::{
    AnnouncedFrom, Handed, MemberChange, Policy, StoreLimits, Swarms, Wanted,
};
use thorp_core::time::Instant;
use thorp_wire::announce::{Announce, AnnounceEvent};
use thorp_wire::{ClientId, InfoHash};

use crate::source::Source;

/// So small that they are reached.
const LIMITS: StoreLimits = StoreLimits {
    torrents: 6,
    peers: 100,
    of_one_torrent: 60,
    at_one_address: 8,
};

pub(crate) fn swarms(bytes: &[u8]) {
    let mut source = Source::of(bytes);
    let policy = Policy {
        is_any: source.flag(),
        interval: Duration::from_mins(20),
    };
    let mut swarms = Swarms::new(LIMITS, policy, source.long());
    let mut now = Duration::ZERO;
    let mut handed = Handed::default();
    while !source.is_empty() {
        let at = Instant::after_start(now);
        match source.byte() % 8 {
            0 => now += Duration::from_secs(source.short().into()),
            1 => swarms.sweep(at),
            2 => {
                swarms.scrape(at, &torrent(&mut source));
            }
            3 => swarms.on_member(&member(&mut source)),
            _ => announce(&mut swarms, at, &mut source, &mut handed),
        }
        swarms.check();
    }
    for member in 0..3 {
        swarms.on_member(&MemberChange::Left(member));
    }
    while swarms.totals().torrents > 0 {
        now += Duration::from_hours(1);
        swarms.sweep(Instant::after_start(now));
    }
    swarms.check();
}

fn announce(swarms: &mut Swarms, now: Instant, source: &mut Source<'_>, handed: &mut Handed) {
    let said = Announce {
        torrent: torrent(source),
        client: ClientId::new([source.byte() % 3; 20]),
        port: u16::from(source.byte()) + 1,
        uploaded: 0,
        downloaded: 0,
        left: u64::from(source.byte() % 2),
        event: match source.byte() % 4 {
            0 => AnnounceEvent::Stopped,
            1 => AnnounceEvent::Completed,
            _ => AnnounceEvent::None,
        },
        wanted: None,
        key: 0,
    };
    let from = AnnouncedFrom {
        ip: ip(source),
        is_local: source.byte().is_multiple_of(8),
    };
    let wanted = Wanted {
        v4: source.below(100),
        v6: source.below(100),
    };
    handed.v4.clear();
    handed.v6.clear();
    let is_tracked = swarms.announce(now, &said, from, wanted, handed).is_ok();
    assert!(handed.v4.len() <= 6 * wanted.v4 && handed.v6.len() <= 18 * wanted.v6);
    let is_told = is_tracked && said.event != AnnounceEvent::Stopped;
    assert!(is_told || (handed.v4.is_empty() && handed.v6.is_empty()));
}

fn member(source: &mut Source<'_>) -> MemberChange {
    let member = u32::from(source.byte() % 3);
    match source.byte() % 6 {
        0 => MemberChange::Reached(member, vec![(ip(source), 7).into()]),
        1 => MemberChange::Left(member),
        2 => MemberChange::Unlists(member, torrent(source)),
        4 => MemberChange::Names(member, torrent(source)),
        5 => MemberChange::Unnames(member, torrent(source)),
        _ => {
            let name = ["film", "films/film", "old/film"][member as usize];
            let name = name.parse().expect("a name");
            MemberChange::Lists(member, torrent(source), source.flag(), name)
        }
    }
}

fn torrent(source: &mut Source<'_>) -> InfoHash {
    InfoHash::new([source.byte() % 8; 20])
}

fn ip(source: &mut Source<'_>) -> IpAddr {
    let last = source.byte() % 8;
    match source.byte() % 3 {
        0 => Ipv6Addr::new(0xfd00, 0, 0, last.into(), 0, 0, 0, source.short()).into(),
        1 => Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped().into(),
        _ => Ipv4Addr::new(10, 0, 0, last).into(),
    }
}
