//! From asking what a magnet link means to fetching it.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use super::*;

/// A tracker that names one client, to who asks first, and hears what it is told.
struct NamesOnce {
    at: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl NamesOnce {
    fn start(client: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let own = Arc::clone(&heard);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut asked = [0; 4096];
                let read = stream.read(&mut asked).unwrap_or(0);
                let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
                let mut peers = Vec::new();
                if own.lock().unwrap().is_empty() {
                    let SocketAddr::V4(client) = client else {
                        panic!("{client} is not named");
                    };
                    peers.extend(client.ip().octets());
                    peers.extend(client.port().to_be_bytes());
                }
                own.lock().unwrap().push(asked);
                let answer = format!(
                    "HTTP/1.1 200 OK\r\n\r\nd8:intervali1800e5:peers{}:",
                    peers.len()
                );
                let _ = stream.write_all(&[answer.as_bytes(), &peers, b"e"].concat());
            }
        });
        Self { at, heard }
    }

    /// What it was told, up to the end of the fetch.
    fn heard(&self) -> Vec<String> {
        poll("the end is told", PATIENCE, || {
            let heard = self.heard.lock().unwrap().clone();
            let end = heard.iter().position(|said| said.contains("completed"));
            end.map(|end| heard[..=end].to_vec())
        })
    }
}

#[test]
fn what_trackers_have_named_for_a_magnet_link_is_fetched_from_though_they_name_it_once() {
    let hall = Hall::serving();
    let bytes = some(700_000, 12);
    let made = Made::file("film.mkv", &bytes, 65_536, false);
    let seeder = Seeder::start(&made, Manner::Honest);
    let tracker = NamesOnce::start(seeder.at);
    let (oak, _peer) = hall.peer("oak", &["--bittorrent"]);
    let link = format!(
        "magnet:?xt=urn:btih:{}&tr=http%3A%2F%2F127.0.0.1%3A{}%2Fannounce",
        made.info_hash(),
        tracker.at.port()
    );
    let (code, events) = oak.json(&["get", &link]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(oak.bytes("film.mkv"), bytes);

    let heard = tracker.heard();
    let said = |what: &str| heard.iter().filter(|said| said.contains(what)).count();
    assert_eq!(said("event=started"), 1, "{heard:#?}");
    assert_eq!(said("event=stopped"), 0, "{heard:#?}");
    let last = heard.last().unwrap();
    assert!(last.contains("left=0&"), "{last}");
}
