use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use thorp_core::announces::Trackers;
use thorp_wire::announce::{AnnounceEvent, AnnounceReply, SwarmCounts};
use thorp_wire::announce::{UdpAnswer, UdpRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::Instant as TokioInstant;

use super::*;

fn announcer(source: Option<IpAddr>) -> Announcer {
    Announcer {
        torrent: InfoHash::new([7; 20]),
        client: ClientId::new([1; 20]),
        key: 9,
        port: Some(3334),
        source,
        udp: UdpConnections::default(),
    }
}

fn ours() -> Announce {
    Announce {
        torrent: InfoHash::new([7; 20]),
        client: ClientId::new([1; 20]),
        port: 3334,
        uploaded: 0,
        downloaded: 0,
        left: 5,
        event: AnnounceEvent::Started,
        wanted: Some(50),
        key: 9,
    }
}

fn asking(url: &str) -> Asking {
    let mut machine = Announces::new(
        Instant::default(),
        Trackers::named(&[vec![url.to_owned()]]),
        false,
        1,
    );
    machine.handle(Instant::default(), Input::Tick);
    match machine.poll_output() {
        Some(Output::Announce(asking)) => asking,
        output => panic!("{output:?}"),
    }
}

async fn ask(url: &str) -> Result<TrackerAnswer, AnnounceError> {
    announce(&asking(url), ours(), announcer(None)).await
}

/// Asks the tracker at this URL as the group's own.
async fn ask_own(url: &str) -> Result<TrackerAnswer, AnnounceError> {
    announce(&asking_own(url), ours(), announcer(None)).await
}

fn asking_own(url: &str) -> Asking {
    Asking {
        is_own: true,
        ..asking(url)
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A tracker that answers one connection so, and closes it unless it `stays`.
async fn http(answer: Vec<u8>, stays: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let at = listener.local_addr().expect("has one");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("connects");
        let mut asked = vec![0; 4096];
        let read = stream.read(&mut asked).await.expect("asks");
        let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
        let begin = "GET /announce?info_hash=%07%07";
        assert!(asked.starts_with(begin), "{asked}");
        stream.write_all(&answer).await.expect("is read");
        if stays {
            std::future::pending::<()>().await;
        }
    });
    format!("http://{at}/announce")
}

fn with_head(status: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n\r\n").into_bytes();
    answer.extend(body);
    answer
}

fn some_peers() -> Vec<u8> {
    let mut body = Vec::new();
    AnnounceReply {
        interval: 60,
        min_interval: 30,
        counts: SwarmCounts::default(),
        peers: &[10, 0, 0, 1, 0x1a, 0xe1],
        peers6: &[],
        external_ip: None,
    }
    .encode(&mut body);
    body
}

#[tokio::test]
async fn a_tracker_tells_of_other_clients_over_http() {
    let tracker = http(with_head("200 OK", &some_peers()), false).await;
    let told = ask(&tracker).await.expect("is answered");
    assert_eq!(told.peers, [address("10.0.0.1:6881")]);
    assert_eq!((told.interval, told.min_interval), (Some(60), Some(30)));
    assert_eq!(told.heard, HeardOver::Loopback);
}

#[tokio::test]
async fn an_answer_ends_where_it_says_though_its_connection_stays_open() {
    let body = some_peers();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-LENGTH: {}\r\n\r\n", body.len());
    let tracker = http([head.into_bytes(), body].concat(), true).await;
    assert_eq!(ask(&tracker).await.expect("is answered").peers.len(), 1);
}

#[tokio::test]
async fn what_a_tracker_says_otherwise_is_an_error_and_no_empty_answer() {
    let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &b"a: b\r\n".repeat(4000)].concat();
    let long = with_head("200 OK", &vec![b'x'; 300_000]);
    for (answer, why) in [
        (
            with_head("404 Not Found", b""),
            "it answers with HTTP status 404",
        ),
        (
            with_head("302 Found", b""),
            "it answers with HTTP status 302",
        ),
        (
            b"what?".to_vec(),
            "it answers with something else than HTTP",
        ),
        (
            b"HTTP/1.1 200 OK\r\na:".to_vec(),
            "it answers with something else than HTTP",
        ),
        (endless, "it answers with something else than HTTP"),
        (
            long,
            "the tracker's answer has 262145 bytes, at most 262144 are read",
        ),
        (
            with_head("200 OK", b"d14:failure reason2:noe"),
            "the tracker refuses: no",
        ),
    ] {
        let answer = ask(&http(answer, false).await).await;
        assert_eq!(answer.expect_err("is none").to_string(), why);
    }
    let cut = with_head("200 OK", &some_peers()[..20]);
    assert!(matches!(
        ask(&http(cut, false).await).await,
        Err(AnnounceError::Answer(AnswerError::Malformed(_)))
    ));
}

#[tokio::test]
async fn a_torrent_makes_no_other_program_of_this_machine_be_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let at = listener.local_addr().expect("has one");
    for path in [
        "/",
        "/admin/reset",
        "/x?/announce",
        "/announcement",
        "/announce/../admin",
        "/announce/..?/announce",
        "/announce/%2e%2e/admin",
    ] {
        let answer = ask(&format!("http://{at}{path}")).await;
        assert!(
            matches!(answer, Err(AnnounceError::NotAnnounce)),
            "{answer:?}"
        );
    }
    let port = at.port();
    for host in [
        "0.0.0.0",
        "[::]",
        "224.0.0.1",
        "255.255.255.255",
        "169.254.0.9",
        "0.1.2.3",
    ] {
        let answer = ask(&format!("http://{host}:{port}/announce")).await;
        assert!(
            matches!(answer, Err(AnnounceError::NoAddress)),
            "{host}: {answer:?}"
        );
    }
    let silent = timeout(Duration::ZERO, listener.accept()).await;
    assert!(silent.is_err(), "there was a connection");
    for path in [
        "/announce",
        "/announce?x=..%",
        "/announce.php",
        "/announce/key",
    ] {
        assert!(is_announce(&format!("{path}?info_hash=%07")), "{path}");
    }
}

#[tokio::test]
async fn the_groups_own_tracker_is_asked_wherever_it_is() {
    let tracker = http(with_head("200 OK", &some_peers()), false).await;
    let tracker = tracker.replace("127.0.0.1", "0.0.0.0");
    let told = ask_own(&tracker).await;
    assert_eq!(told.expect("is answered").peers.len(), 1);
}

#[tokio::test]
async fn a_torrent_makes_no_program_of_this_machine_be_sent_datagrams() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    let at = socket.local_addr().expect("has one");
    let answer = ask(&format!("udp://{at}/announce")).await;
    assert!(
        matches!(answer, Err(AnnounceError::DatagramsHere)),
        "{answer:?}"
    );
    let nothing = socket.try_recv(&mut [0; 2048]);
    let why = nothing.expect_err("nothing was sent");
    assert_eq!(why.kind(), io::ErrorKind::WouldBlock);
}

/// What a UDP tracker of the tests does with a request.
enum Does {
    Answer,
    Nothing,
    Refuse,
}

/// A UDP tracker, and what it was asked when.
struct Tracker {
    url: String,
    heard: mpsc::UnboundedReceiver<(UdpRequest, TokioInstant)>,
}

impl Tracker {
    /// It does with the nth request what `does` says.
    async fn start(
        at: &str,
        mut does: impl FnMut(usize, &UdpRequest) -> Does + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind(at).await.expect("binds");
        let at = socket.local_addr().expect("has one");
        let (sender, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (mut datagram, mut ids) = (vec![0; 2048], 100);
            for number in 0.. {
                let (length, from) = socket.recv_from(&mut datagram).await.expect("is up");
                let request = UdpRequest::decode(&datagram[..length]).expect("is well said");
                let does = does(number, &request);
                let transaction = match &request {
                    UdpRequest::Connect { transaction }
                    | UdpRequest::Announce { transaction, .. }
                    | UdpRequest::Scrape { transaction, .. } => *transaction,
                };
                let answer = match (does, &request) {
                    (Does::Nothing, _) => None,
                    (Does::Refuse, _) => Some(UdpAnswer::Error {
                        transaction,
                        text: "no".to_owned(),
                    }),
                    (Does::Answer, UdpRequest::Connect { .. }) => {
                        ids += 1;
                        Some(UdpAnswer::Connected {
                            transaction,
                            connection: ids,
                        })
                    }
                    (Does::Answer, _) => Some(UdpAnswer::Announced {
                        transaction,
                        interval: 60,
                        leechers: 1,
                        seeders: 1,
                        peers: vec![if from.is_ipv4() {
                            address("10.0.0.1:5")
                        } else {
                            address("[fd00::1]:5")
                        }],
                    }),
                };
                let _ = sender.send((request, TokioInstant::now()));
                if let Some(answer) = answer {
                    let bytes = answer.encode();
                    // Answers to other requests are passed over, and so is what is none.
                    let mut other = bytes.clone();
                    other[7] ^= 1;
                    for said in [&b"noise"[..], &bytes[..7], &other, &bytes] {
                        socket.send_to(said, from).await.expect("is sent");
                    }
                }
            }
        });
        Self {
            url: format!("udp://{at}"),
            heard,
        }
    }

    fn at(&self) -> SocketAddr {
        address(self.url.trim_start_matches("udp://"))
    }

    async fn heard(&mut self) -> (UdpRequest, TokioInstant) {
        self.heard.recv().await.expect("is up")
    }

    /// The connection id of the next announce.
    async fn id_used(&mut self) -> u64 {
        loop {
            if let (UdpRequest::Announce { connection, .. }, _) = self.heard().await {
                return connection;
            }
        }
    }
}

#[tokio::test]
async fn a_tracker_tells_of_other_clients_by_datagrams_of_both_families() {
    for (at, peer) in [("127.0.0.1:0", "10.0.0.1:5"), ("[::1]:0", "[fd00::1]:5")] {
        let mut tracker = Tracker::start(at, |_, _| Does::Answer).await;
        let told = ask_own(&tracker.url).await.expect("is answered");
        assert_eq!((told.peers, told.interval), (vec![address(peer)], Some(60)));
        assert!(matches!(
            tracker.heard().await.0,
            UdpRequest::Connect { .. }
        ));
        let (request, _) = tracker.heard().await;
        let UdpRequest::Announce { announce, .. } = request else {
            panic!("{request:?}");
        };
        assert_eq!(announce, ours());
    }
}

/// Asks a tracker that has these addresses.
async fn ask_at(addresses: Vec<SocketAddr>) -> Result<TrackerAnswer, AnnounceError> {
    let asking = Asking {
        is_own: true,
        ..asking("udp://localhost:1")
    };
    announce_to(addresses, Arc::new((asking, ours(), announcer(None)))).await
}

#[tokio::test]
async fn a_tracker_with_addresses_of_both_families_is_told_and_names_clients_over_each() {
    let mut v4 = Tracker::start("127.0.0.1:0", |_, _| Does::Answer).await;
    let mut v6 = Tracker::start("[::1]:0", |_, _| Does::Answer).await;
    let told = ask_at(vec![v6.at(), v4.at()]).await.expect("is answered");
    assert_eq!(told.peers, ["10.0.0.1:5", "[fd00::1]:5"].map(address));
    assert_eq!(told.interval, Some(60));
    for tracker in [&mut v4, &mut v6] {
        assert_eq!(tracker.id_used().await, 101);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tracker_that_fails_over_one_family_is_believed_over_the_other_within_two_seconds() {
    let answers = Tracker::start("127.0.0.1:0", |_, _| Does::Answer).await;
    let silent = Tracker::start("[::1]:0", |_, _| Does::Nothing).await;
    let refuses = Tracker::start("[::1]:0", |_, _| Does::Refuse).await;
    for (other, seconds) in [(&silent, 2), (&refuses, 0)] {
        let begun = TokioInstant::now();
        let told = ask_at(vec![other.at(), answers.at()]).await;
        assert_eq!(told.expect("is answered").peers, [address("10.0.0.1:5")]);
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
    // Only if it fails over both it has failed.
    let refuses_too = Tracker::start("127.0.0.1:0", |_, _| Does::Refuse).await;
    let answer = ask_at(vec![refuses.at(), refuses_too.at()]).await;
    assert!(
        matches!(answer, Err(AnnounceError::Answer(_))),
        "{answer:?}"
    );
}

#[test]
fn what_is_named_over_the_network_is_not_dialled_on_loopback_though_the_other_family_is() {
    let answer = |heard, peers: &[&str]| TrackerAnswer {
        min_interval: Some(30),
        peers: peers.iter().map(|peer| address(peer)).collect(),
        heard,
        ..TrackerAnswer::default()
    };
    let told = both(
        answer(HeardOver::Loopback, &["127.0.0.1:5"]),
        answer(HeardOver::Network, &["127.0.0.1:6", "10.0.0.1:7"]),
    );
    assert_eq!(told.peers, ["10.0.0.1:7", "127.0.0.1:5"].map(address));
    assert_eq!(
        (told.min_interval, told.heard),
        (Some(30), HeardOver::Loopback)
    );
}

#[tokio::test]
async fn a_tracker_that_is_asked_by_datagrams_is_told_the_path_and_the_query_of_its_url() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    let at = socket.local_addr().expect("has one");
    let path = format!("/{}/announce?key=1", "x".repeat(300));
    let url = format!("udp://{at}{path}");
    tokio::spawn(async move { ask_own(&url).await });
    let mut datagram = vec![0; 2048];
    let (length, from) = socket.recv_from(&mut datagram).await.expect("is up");
    assert_eq!(length, 16, "nothing follows this one");
    let Ok(UdpRequest::Connect { transaction }) = UdpRequest::decode(&datagram[..length]) else {
        panic!("another request");
    };
    let answer = UdpAnswer::Connected {
        transaction,
        connection: 5,
    };
    let answer = answer.encode();
    socket.send_to(&answer, from).await.expect("is sent");
    let (length, _) = socket.recv_from(&mut datagram).await.expect("is up");
    let mut options = &datagram[98..length];
    let mut said = Vec::new();
    while let [2, length, rest @ ..] = options {
        let (run, rest) = rest.split_at(usize::from(*length));
        said.extend_from_slice(run);
        options = rest;
    }
    assert_eq!(options, [0; 0]);
    assert_eq!(said, path.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_lost_datagram_is_said_again_after_waits_that_double_and_not_for_ever() {
    let mut tracker = Tracker::start("127.0.0.1:0", |number, _| {
        if number < 2 {
            Does::Nothing
        } else {
            Does::Answer
        }
    })
    .await;
    let begun = TokioInstant::now();
    ask_own(&tracker.url).await.expect("is answered at last");
    let mut transactions = BTreeSet::new();
    for seconds in [0, 15, 45, 45] {
        let (request, at) = tracker.heard().await;
        assert_eq!((at - begun).as_secs(), seconds, "{request:?}");
        let (UdpRequest::Connect { transaction } | UdpRequest::Announce { transaction, .. }) =
            request
        else {
            panic!("{request:?}");
        };
        transactions.insert(transaction);
    }
    assert_eq!(transactions.len(), 4, "none can be told from another");

    let silent = Tracker::start("127.0.0.1:0", |_, _| Does::Nothing).await;
    let begun = TokioInstant::now();
    let answer = ask_own(&silent.url).await;
    assert!(matches!(answer, Err(AnnounceError::Silent)), "{answer:?}");
    assert_eq!(begun.elapsed().as_secs(), 15 + 30 + 60 + 120);
}

#[tokio::test(start_paused = true)]
async fn a_connection_id_is_used_for_a_minute_and_no_longer() {
    let mut tracker = Tracker::start("127.0.0.1:0", |_, _| Does::Answer).await;
    let (asking, announcer) = (asking_own(&tracker.url), announcer(None));
    let mut used = Vec::new();
    for seconds in [0, 30, 29, 31] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let answer = announce(&asking, ours(), announcer.clone()).await;
        answer.expect("is answered");
        used.push(tracker.id_used().await);
    }
    assert_eq!(used, [101, 101, 101, 102]);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_ends_while_an_announce_is_said_again_is_asked_for_anew() {
    let mut tracker = Tracker::start("127.0.0.1:0", |number, request| match request {
        UdpRequest::Announce { .. } if number < 4 => Does::Nothing,
        _ => Does::Answer,
    })
    .await;
    ask_own(&tracker.url).await.expect("is answered at last");
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(tracker.id_used().await);
    }
    assert_eq!(ids, [101, 101, 101, 102], "15 + 30 + 60 s");
}

#[tokio::test]
async fn a_tracker_that_refuses_is_believed_unless_it_may_only_have_forgotten_an_id() {
    let tracker = Tracker::start("127.0.0.1:0", |_, _| Does::Refuse).await;
    let refused = ask_own(&tracker.url).await.expect_err("refuses");
    assert_eq!(refused.to_string(), "the tracker refuses: no");

    let mut tracker = Tracker::start("127.0.0.1:0", |number, _| {
        if number == 2 {
            Does::Refuse
        } else {
            Does::Answer
        }
    })
    .await;
    let (asking, announcer) = (asking_own(&tracker.url), announcer(None));
    for id in [101, 102] {
        let answer = announce(&asking, ours(), announcer.clone()).await;
        answer.expect("is answered");
        let mut used = tracker.id_used().await;
        if id == 102 && used == 101 {
            used = tracker.id_used().await;
        }
        assert_eq!(used, id);
    }
}

#[tokio::test]
async fn a_tracker_that_is_not_there_fails_at_once() {
    for scheme in ["udp", "http"] {
        let closed = {
            let socket = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
            socket.local_addr().expect("has one")
        };
        let answer = ask_own(&format!("{scheme}://{closed}/announce")).await;
        assert!(matches!(answer, Err(AnnounceError::Io(_))), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_torrent_is_announced_from_its_start_to_its_end() {
    let mut tracker = Tracker::start("127.0.0.1:0", |_, _| Does::Answer).await;
    let own = tracker.url.parse().expect("a URL");
    let left = Arc::new(AtomicU64::new(5));
    let (peers, mut peers_in) = mpsc::unbounded_channel();
    let announcing = Announcing::start(
        announcer(None),
        move |now| Announces::new(now, Trackers::default().and_own([own]), false, 1),
        {
            let left = Arc::clone(&left);
            move || Amounts {
                uploaded: 0,
                downloaded: 0,
                left: left.load(Ordering::Relaxed),
            }
        },
        move |told| match told {
            Told::Peers(all) => drop(peers.send(all)),
            Told::Answered(..) => {}
            Told::Failed(url, why) => panic!("{url}: {why}"),
        },
    );
    let mut said = async || loop {
        if let (UdpRequest::Announce { announce, .. }, at) = tracker.heard().await {
            return ((announce.event, announce.left, announce.wanted), at);
        }
    };
    let (started, begun) = said().await;
    assert_eq!(started, (AnnounceEvent::Started, 5, Some(50)));
    assert_eq!(peers_in.recv().await, Some(vec![address("10.0.0.1:5")]));
    let (again, at) = said().await;
    assert_eq!(again, (AnnounceEvent::None, 5, Some(50)));
    assert_eq!((at - begun).as_secs(), 60);
    assert!(peers_in.recv().await.is_some(), "it is answered");
    announcing.wants_more(true);
    assert_eq!(said().await.0, (AnnounceEvent::None, 5, Some(200)));
    left.store(0, Ordering::Relaxed);
    announcing.completed();
    assert_eq!(said().await.0, (AnnounceEvent::Completed, 0, Some(0)));
    drop(announcing);
    assert_eq!(said().await.0, (AnnounceEvent::Stopped, 0, Some(0)));
}
