//! Announces to a tracker as a client does, over HTTP, and takes its answer.
//!
//! Owns the conversation and its time. When to announce, and which of the addresses are dialled,
//! is decided elsewhere.
//!
//! A tracker is not trusted: an answer has a bound, and it may take so long.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use thorp_wire::announce::answer::LONGEST_ANSWER;
use thorp_wire::announce::{Announce, Announced, AnswerError, TrackerUrl, query};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// How long an announce may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest head of an answer.
const LONGEST_HEAD: u64 = 16 * 1024;
/// Of how many addresses of a tracker's name one is tried after the other.
const MOST_ADDRESSES: usize = 4;

/// Why a tracker has given no answer.
#[derive(Debug, Error)]
pub(crate) enum AnnounceError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it does not answer")]
    Silent,
    #[error("it answers with HTTP status {0}")]
    Status(u16),
    #[error("it answers with something else than HTTP")]
    NotHttp,
    #[error("{0}")]
    Answer(#[from] AnswerError),
}

/// Announces to this tracker.
pub(crate) async fn announce(
    tracker: &TrackerUrl,
    announce: &Announce,
) -> Result<Announced, AnnounceError> {
    let resolved = timeout(PATIENCE, lookup_host((tracker.host(), tracker.port())));
    let resolved = resolved.await.map_err(|_| AnnounceError::Silent)??;
    let mut last = AnnounceError::Silent;
    for address in resolved.take(MOST_ADDRESSES) {
        let answer = timeout(PATIENCE, announce_at(address, tracker, announce)).await;
        match answer.unwrap_or(Err(AnnounceError::Silent)) {
            // Another address of the same tracker would say no other thing.
            Err(why @ (AnnounceError::Io(_) | AnnounceError::Silent)) => last = why,
            answer => return answer,
        }
    }
    Err(last)
}

async fn announce_at(
    address: SocketAddr,
    tracker: &TrackerUrl,
    announce: &Announce,
) -> Result<Announced, AnnounceError> {
    let mut stream = TcpStream::connect(address).await?;
    let target = tracker.target(&query::write_announce(announce, None));
    let (host, port) = (tracker.host(), tracker.port());
    let host = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    // So that the answer comes in one piece, and its end is that of the connection.
    let request = format!(
        "GET {target} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: thorp/{}\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // One byte more than is taken, so that a longer answer is told as such.
    let most = LONGEST_HEAD + LONGEST_ANSWER as u64 + 1;
    stream.take(most).read_to_end(&mut answer).await?;
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let length = match head.parse(&answer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) | Err(_) => return Err(AnnounceError::NotHttp),
    };
    match head.code {
        Some(200) => Ok(Announced::decode(&answer[length..])?),
        Some(status) => Err(AnnounceError::Status(status)),
        None => Err(AnnounceError::NotHttp),
    }
}

#[cfg(test)]
mod tests {
    use thorp_wire::announce::{AnnounceEvent, AnnounceReply, SwarmCounts};
    use thorp_wire::{ClientId, InfoHash};
    use tokio::net::TcpListener;

    use super::*;

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

    fn counts() -> SwarmCounts {
        SwarmCounts {
            seeders: 1,
            downloaded: 0,
            leechers: 2,
        }
    }

    /// A tracker that answers one connection so.
    async fn http(answer: Vec<u8>) -> TrackerUrl {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has one");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("connects");
            let mut asked = vec![0; 4096];
            let read = stream.read(&mut asked).await.expect("asks");
            let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
            assert!(
                asked.starts_with("GET /announce?info_hash=%07%07"),
                "{asked}"
            );
            stream.write_all(&answer).await.expect("is read");
        });
        format!("http://{address}/announce").parse().expect("a URL")
    }

    fn with_head(status: &str, body: &[u8]) -> Vec<u8> {
        let mut answer =
            format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n\r\n").into_bytes();
        answer.extend(body);
        answer
    }

    #[tokio::test]
    async fn a_tracker_tells_of_other_clients() {
        let mut body = Vec::new();
        AnnounceReply {
            interval: 60,
            min_interval: 30,
            counts: counts(),
            peers: &[10, 0, 0, 1, 0x1a, 0xe1],
            peers6: &[],
            external_ip: None,
        }
        .encode(&mut body);
        let tracker = http(with_head("200 OK", &body)).await;
        let announced = announce(&tracker, &ours()).await.expect("is answered");
        assert_eq!(
            announced.peers,
            ["10.0.0.1:6881".parse().expect("an address")]
        );
        assert_eq!(announced.interval, Some(60));
    }

    #[tokio::test]
    async fn what_a_tracker_says_otherwise_is_an_error_and_no_empty_answer() {
        let tracker = http(with_head("404 Not Found", b"")).await;
        let answer = announce(&tracker, &ours()).await;
        assert!(
            matches!(answer, Err(AnnounceError::Status(404))),
            "{answer:?}"
        );
        let tracker = http(b"what?".to_vec()).await;
        let answer = announce(&tracker, &ours()).await;
        assert!(matches!(answer, Err(AnnounceError::NotHttp)), "{answer:?}");
        let tracker = http(with_head("200 OK", b"d14:failure reason2:noe")).await;
        let answer = announce(&tracker, &ours()).await;
        assert!(
            matches!(answer, Err(AnnounceError::Answer(_))),
            "{answer:?}"
        );
    }
}
