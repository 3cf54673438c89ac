//! Connections with clients: which stay, and when one is dialled.

use std::net::SocketAddr;
use std::time::Duration;

use thorp_wire::{ClientId, InfoHash, PeerId};

use super::world::File;
use crate::bound::Account;
use crate::swarm::{
    Config, GreetedClient, Have, Input, NamedSource, Offer, Output, SessionId, SourceId, Swarm,
    SwarmLimits,
};
use crate::time::Instant;

const OURS: ClientId = ClientId::new([b'T'; 20]);
const LESSER: ClientId = ClientId::new([b'L'; 20]);
const GREATER: ClientId = ClientId::new([b'q'; 20]);
const TORRENT: InfoHash = InfoHash::new([7; 20]);

/// The fetch of a file from clients.
struct Play {
    swarm: Swarm,
    now: Instant,
    dialled: Vec<SocketAddr>,
    closed: Vec<SessionId>,
}

impl Play {
    fn new() -> Self {
        Self::with(SwarmLimits::default())
    }

    fn with(limits: SwarmLimits) -> Self {
        let config = Config {
            content: File::of(1 << 20).content,
            me: PeerId::new([0; 32]),
            seed: 1,
            have: Have::Nothing,
            limits,
        };
        let mut play = Self {
            swarm: Swarm::new(Instant::default(), config).expect("it has pieces"),
            now: Instant::default(),
            dialled: Vec::new(),
            closed: Vec::new(),
        };
        play.say(Input::Holders(Vec::new()));
        play
    }

    fn say(&mut self, input: Input) {
        self.swarm.handle(self.now, input);
        self.drain();
        self.swarm.check();
    }

    fn drain(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            match output {
                Output::Dial(NamedSource::Client(client)) => self.dialled.push(client),
                Output::Close(session, _) => {
                    self.closed.push(session);
                    let reason = "closed".to_owned();
                    let closed = Input::Closed { session, reason };
                    self.swarm.handle(self.now, closed);
                }
                _ => {}
            }
        }
    }

    /// A client connects, or is connected to. Whether it stays so.
    fn meets(&mut self, session: u64, client: ClientId, at: &str, dialled: bool) -> bool {
        let (session, at) = (SessionId(session), address(at));
        let greeted = GreetedClient {
            client,
            torrent: TORRENT,
            at,
            dialled,
        };
        let stays = self.swarm.greeted(self.now, session, greeted, OURS);
        self.drain();
        let source = SourceId::Client(at);
        if stays {
            let offer = Offer {
                fast: true,
                longest_request: 16 * 1024,
                most_requests: None,
                member: false,
                hashes: false,
            };
            self.say(Input::Opened {
                session,
                source,
                account: Account::Address(at.ip()),
                dialled,
                offer,
            });
        } else if dialled {
            let reason = "there is another connection with it".to_owned();
            self.say(Input::DialFailed { source, reason });
        }
        stays
    }

    fn ends(&mut self, session: u64) {
        let (session, reason) = (SessionId(session), "it has gone".to_owned());
        self.say(Input::Closed { session, reason });
    }

    fn names(&mut self, clients: &[&str]) {
        self.say(Input::Clients(
            clients.iter().map(|at| address(at)).collect(),
        ));
    }

    /// Which clients are dialled in so many seconds.
    fn dialled_in(&mut self, seconds: u64) -> Vec<SocketAddr> {
        for _ in 0..seconds {
            self.now = self.now + Duration::from_secs(1);
            self.say(Input::Tick);
        }
        std::mem::take(&mut self.dialled)
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

const CALLS_FROM: &str = "10.0.0.1:50000";
const LISTENS: &str = "10.0.0.1:6881";
const ELSEWHERE: &str = "10.9.9.9:6881";

#[test]
fn a_client_that_has_called_is_not_dialled_on_and_on_where_it_listens() {
    let mut play = Play::new();
    assert!(play.meets(1, GREATER, CALLS_FROM, false));
    play.names(&[LISTENS]);
    assert_eq!(play.dialled_in(1), [address(LISTENS)]);
    assert!(
        !play.meets(2, GREATER, LISTENS, true),
        "it is there already"
    );
    play.names(&[LISTENS]);
    assert_eq!(play.dialled_in(599), []);
    assert_eq!(play.dialled_in(1), [address(LISTENS)], "it may be another");
    assert!(!play.meets(3, GREATER, LISTENS, true));
    play.ends(1);
    assert_eq!(play.dialled_in(2), [address(LISTENS)]);
    assert!(play.meets(4, GREATER, LISTENS, true));
    assert_eq!(play.closed, []);
}

#[test]
fn of_two_connections_with_a_client_the_one_stays_that_the_greater_id_has_dialled() {
    let mut play = Play::new();
    assert!(play.meets(1, LESSER, CALLS_FROM, false));
    assert!(play.meets(2, LESSER, LISTENS, true));
    assert_eq!(play.closed, [SessionId(1)]);
    assert!(!play.meets(3, LESSER, CALLS_FROM, false), "it calls again");
    play.ends(2);
    assert!(play.meets(4, LESSER, CALLS_FROM, false));

    let mut play = Play::new();
    play.names(&[LISTENS]);
    assert!(play.meets(1, GREATER, LISTENS, true));
    assert!(play.meets(2, GREATER, CALLS_FROM, false));
    assert_eq!(play.closed, [SessionId(1)]);
    play.dialled.clear();
    assert_eq!(play.dialled_in(599), [], "it is there");
}

#[test]
fn who_says_the_id_of_another_machine_s_client_ends_no_connection_with_it() {
    for client in [LESSER, GREATER] {
        let mut play = Play::new();
        play.names(&[LISTENS, ELSEWHERE]);
        assert!(play.meets(1, client, LISTENS, true));
        assert!(play.meets(2, client, ELSEWHERE, true));
        assert!(play.meets(3, client, "10.8.8.8:50000", false));
        assert_eq!(play.closed, []);
    }
}

#[test]
fn a_client_that_lets_go_of_one_of_its_two_addresses_is_not_dialled_there_while_the_other_lasts() {
    let mut play = Play::new();
    let other = "[2001:db8::1]:6881";
    play.names(&[LISTENS, other]);
    assert!(play.meets(1, LESSER, LISTENS, true));
    assert!(play.meets(2, LESSER, other, true));
    play.ends(1);
    play.dialled.clear();
    assert_eq!(play.dialled_in(599), []);
    play.ends(2);
    let mut dialled = play.dialled_in(3);
    dialled.sort();
    assert_eq!(dialled, [address(LISTENS), address(other)]);
}

#[test]
fn a_client_is_another_one_in_another_torrent() {
    let mut play = Play::new();
    assert!(play.meets(1, GREATER, CALLS_FROM, false));
    let greeted = GreetedClient {
        client: GREATER,
        torrent: InfoHash::new([8; 20]),
        at: address(LISTENS),
        dialled: true,
    };
    assert!(play.swarm.greeted(play.now, SessionId(2), greeted, OURS));
}

#[test]
fn a_dialled_client_for_which_there_is_no_place_is_dialled_again_later() {
    let mut play = Play::with(SwarmLimits {
        clients: 8,
        ..SwarmLimits::default()
    });
    for session in 1..=8 {
        play.meets(session, GREATER, &format!("10.{session}.0.1:50000"), false);
    }
    play.names(&[LISTENS]);
    assert_eq!(play.dialled_in(1), [address(LISTENS)]);
    play.meets(9, LESSER, LISTENS, true);
    assert_eq!(play.closed, [SessionId(9)], "there is no place");
    play.ends(1);
    assert_eq!(play.dialled_in(2), [address(LISTENS)]);
}
