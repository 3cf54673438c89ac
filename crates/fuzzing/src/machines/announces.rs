//! The announces of a torrent, as trackers answer and time passes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use thorp_core::announces::{Announces, Asking, Input, Output, TrackerAnswer, Trackers};
use thorp_core::dialled::{HeardOver, may_be_dialled};
use thorp_core::time::Instant;
use thorp_wire::announce::{AnnounceEvent, TrackerUrl};

use crate::source::Source;

pub(crate) fn announces(bytes: &[u8]) {
    let mut source = Source::of(bytes);
    let tiers = (0..source.below(5)).map(|_| {
        let urls = (0..source.below(5)).map(|_| url(&mut source));
        urls.collect::<Vec<_>>()
    });
    let trackers = Trackers::named(&tiers.collect::<Vec<_>>());
    let own: Vec<TrackerUrl> = (0..source.below(3))
        .filter_map(|_| url(&mut source).parse().ok())
        .collect();
    let is_complete = source.flag();
    let machine = Announces::new(
        Instant::default(),
        trackers.and_own(own),
        is_complete,
        source.long(),
    );
    let mut play = Play {
        machine,
        now: Duration::ZERO,
        asked: Vec::new(),
        heard: HeardOver::Network,
        is_over: false,
    };
    play.say(Input::Tick);
    while !source.is_empty() {
        let input = play.input(&mut source);
        play.say(input);
    }
    play.say(Input::Stop);
    while let Some(at) = play.machine.next_deadline() {
        play.now = at - Instant::default();
        play.say(Input::Tick);
    }
    assert!(play.is_over);
}

struct Play {
    machine: Announces,
    now: Duration,
    asked: Vec<Asking>,
    /// Over what the last answer was heard.
    heard: HeardOver,
    is_over: bool,
}

impl Play {
    fn input(&mut self, source: &mut Source<'_>) -> Input {
        let byte = source.byte();
        match byte % 8 {
            0 => {
                self.now += Duration::from_secs(source.byte().into());
                Input::Tick
            }
            1 => {
                let at = self.machine.next_deadline();
                self.now = at.map_or(self.now, |at| self.now.max(at - Instant::default()));
                Input::Tick
            }
            2 => Input::WantsMore {
                has_none: byte >= 128,
            },
            3 if source.below(8) == 0 => Input::IsPrivate,
            3 if source.below(8) == 0 => Input::Completed,
            3 if source.below(64) == 0 => Input::Stop,
            number => {
                let place = source.below(self.asked.len());
                if self.asked.is_empty() {
                    return Input::Tick;
                }
                let tracker = self.asked.remove(place).tracker;
                if number < 6 {
                    return Input::Failed(tracker);
                }
                self.heard = if source.flag() {
                    HeardOver::Loopback
                } else {
                    HeardOver::Network
                };
                Input::Answered(tracker, answer(source, self.heard))
            }
        }
    }

    fn say(&mut self, input: Input) {
        self.machine.handle(Instant::after_start(self.now), input);
        self.machine.check();
        while let Some(output) = self.machine.poll_output() {
            assert!(!self.is_over);
            match output {
                Output::Announce(asking) => {
                    let is_asked = |other: &Asking| other.tracker == asking.tracker;
                    assert!(!self.asked.iter().any(is_asked), "is asked twice at once");
                    assert!(asking.event != AnnounceEvent::Stopped || asking.wanted == 0);
                    self.asked.push(asking);
                }
                Output::Peers(peers) => {
                    let is = |peer: &std::net::SocketAddr| may_be_dialled(*peer, self.heard);
                    assert!(!peers.is_empty() && peers.iter().all(is));
                }
                Output::Over => self.is_over = true,
            }
        }
    }
}

fn url(source: &mut Source<'_>) -> String {
    let scheme = source.one(&["udp", "http", "https", ""]);
    let port = source.byte() % 16;
    format!("{}://a:{port}", scheme.copied().unwrap_or_default())
}

fn answer(source: &mut Source<'_>, heard: HeardOver) -> TrackerAnswer {
    let mut seconds = || {
        let said = u32::from(source.short());
        [None, Some(0), Some(u32::MAX)]
            .get(source.below(8))
            .copied()
            .unwrap_or(Some(said))
    };
    let (interval, min_interval) = (seconds(), seconds());
    let peers = (0..source.below(4)).map(|_| {
        let last = source.byte();
        let ip: IpAddr = match source.byte() % 4 {
            0 => Ipv4Addr::new(127, 0, 0, last).into(),
            1 => Ipv4Addr::new(224, 0, 0, last).to_ipv6_mapped().into(),
            2 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last.into()).into(),
            _ => Ipv4Addr::new(10, 0, 0, last).into(),
        };
        (ip, u16::from(source.byte() % 4)).into()
    });
    TrackerAnswer {
        interval,
        min_interval,
        tracker_id: None,
        peers: peers.collect(),
        heard,
    }
}
