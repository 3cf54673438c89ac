//! Announces and scrapes over HTTP (BEP 3, 48), on connections that the listener hands over.
//!
//! A connection serves requests one after another (keep-alive). It costs at most its buffer, and
//! ends when a head does not arrive in time, when nothing more is asked, or when it has to make
//! place for another one.

use std::net::SocketAddr;
use std::time::Duration;

use thorp_core::swarms::{Handed, Wanted};
use thorp_wire::announce::{
    AnnounceReply, QueryError,
    answer::{encode_failure, encode_scrape},
    http::{LONGEST_REQUEST_HEAD, RequestHead, RequestHeadError, RequestTarget, head_length},
    query,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::{Face, udp::NOT_TRACKED, wanted};

/// The most peers of each family in an answer.
const MOST_PEERS: usize = 200;
/// A client that has too few peers may announce itself again after so many seconds. In a small
/// group the next seeder is worth more than the few announces that a longer wait would spare.
const SOONEST_AGAIN: u32 = 60;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From the first byte of a request to the end of its head; and until an answer is sent.
    pub(crate) head: Duration,
    /// Until the next request begins.
    pub(crate) idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(30),
        }
    }
}

/// Whether a connection that begins with this byte may be HTTP: a `GET`.
pub(crate) fn begins_with(first: u8) -> bool {
    first == b'G'
}

/// Answers requests until the connection ends.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    remote: SocketAddr,
    face: &Face,
    patience: Patience,
) {
    let mut buffer: Vec<u8> = Vec::new();
    let mut answer = Vec::new();
    loop {
        let Some(head) = next_head(&mut stream, &mut buffer, patience).await else {
            return;
        };
        answer.clear();
        let goes_on = match head {
            Head::Complete(length) => {
                let goes_on = respond(&buffer[..length], remote, face, &mut answer);
                buffer.drain(..length);
                goes_on
            }
            Head::TooLong => {
                reply(
                    "431 Request Header Fields Too Large",
                    b"",
                    false,
                    &mut answer,
                );
                false
            }
        };
        match timeout(patience.head, stream.write_all(&answer)).await {
            Ok(Ok(())) if goes_on => {}
            _ => {
                // So that the client reads what was said before the connection ends.
                let _ = timeout(patience.head, stream.shutdown()).await;
                return;
            }
        }
        // An idle connection keeps no buffer.
        if buffer.is_empty() {
            buffer = Vec::new();
        }
    }
}

enum Head {
    /// The first so many bytes of the buffer are a head.
    Complete(usize),
    TooLong,
}

/// Reads until a head is complete. `None` if the connection ends first, or takes too long.
async fn next_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    patience: Patience,
) -> Option<Head> {
    if buffer.is_empty() {
        read_more(stream, buffer, patience.idle).await?;
    }
    let rest = async {
        let mut searched = 0;
        loop {
            if let Some(length) = head_length(buffer, searched) {
                return Some(Head::Complete(length));
            }
            searched = buffer.len();
            if searched >= LONGEST_REQUEST_HEAD {
                return Some(Head::TooLong);
            }
            read_more(stream, buffer, patience.head).await?;
        }
    };
    timeout(patience.head, rest).await.ok()?
}

async fn read_more<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    within: Duration,
) -> Option<()> {
    let mut chunk = [0; 1024];
    let most = chunk
        .len()
        .min(LONGEST_REQUEST_HEAD.saturating_sub(buffer.len()).max(1));
    let read = timeout(within, stream.read(&mut chunk[..most])).await;
    match read {
        Ok(Ok(1..)) => {
            buffer.extend_from_slice(&chunk[..read.ok()?.ok()?]);
            Some(())
        }
        _ => None,
    }
}

/// Appends the response to a request. Returns whether the connection goes on.
pub(crate) fn respond(head: &[u8], remote: SocketAddr, face: &Face, out: &mut Vec<u8>) -> bool {
    let request = match RequestHead::parse(head) {
        Ok(request) => request,
        Err(error) => {
            let status = match error {
                RequestHeadError::Malformed | RequestHeadError::HasBody => "400 Bad Request",
                RequestHeadError::OtherMethod => "405 Method Not Allowed",
            };
            reply(status, b"", false, out);
            return false;
        }
    };
    let (status, body) = match request.target {
        RequestTarget::Announce(query) => ("200 OK", announce(query, remote, face)),
        RequestTarget::Scrape(query) => ("200 OK", scrape(query, face)),
        RequestTarget::Other => ("404 Not Found", Vec::new()),
    };
    reply(status, &body, request.goes_on, out);
    request.goes_on
}

fn announce(query: &[u8], remote: SocketAddr, face: &Face) -> Vec<u8> {
    let said = match query::read_announce(query) {
        Ok(said) => said,
        Err(error) => return failure(error),
    };
    let most = wanted(&said, MOST_PEERS);
    let wanted = Wanted { v4: most, v6: most };
    let mut handed = Handed::default();
    let Ok(counts) = face.announce(&said, remote.ip(), wanted, &mut handed) else {
        return encode_failure(NOT_TRACKED);
    };
    let mut body = Vec::new();
    let answer = AnnounceReply {
        interval: face.interval(),
        min_interval: face.interval().min(SOONEST_AGAIN),
        counts,
        peers: &handed.v4,
        peers6: &handed.v6,
        external_ip: Some(remote.ip()),
    };
    answer.encode(&mut body);
    body
}

fn scrape(query: &[u8], face: &Face) -> Vec<u8> {
    match query::read_scrape(query) {
        Ok(torrents) => {
            let counts = torrents
                .iter()
                .map(|torrent| (*torrent, face.scrape(torrent)));
            encode_scrape(&counts.collect::<Vec<_>>())
        }
        Err(error) => failure(error),
    }
}

/// Says what is wrong with a query, where clients look for it: in an answer that is well-formed.
fn failure(error: QueryError) -> Vec<u8> {
    encode_failure(&error.to_string())
}

fn reply(status: &str, body: &[u8], goes_on: bool, out: &mut Vec<u8>) {
    let connection = if goes_on { "keep-alive" } else { "close" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: {connection}\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests;
