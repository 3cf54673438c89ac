//! An announce over HTTP.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thorp_core::announces::Asking;
use thorp_wire::announce::answer::LONGEST_ANSWER;
use thorp_wire::announce::{Announce, Announced, query};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::AnnounceError;
use crate::net::dial;

/// How long an announce may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest head of an answer.
const LONGEST_HEAD: usize = 16 * 1024;

/// Announces to the tracker at this address.
pub(super) async fn announce(
    address: SocketAddr,
    asking: &Asking,
    said: &Announce,
    source: Option<IpAddr>,
) -> Result<Announced, AnnounceError> {
    let url = &asking.url;
    let query = query::write_announce(said, asking.tracker_id.as_deref());
    let host = if url.host().contains(':') {
        format!("[{}]:{}", url.host(), url.port())
    } else {
        format!("{}:{}", url.host(), url.port())
    };
    // By HTTP 1.0 the answer comes in one piece.
    let request = format!(
        "GET {} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: thorp/{}\r\nConnection: close\r\n\r\n",
        url.target(&query),
        env!("CARGO_PKG_VERSION")
    );
    let answer = timeout(PATIENCE, answer(address, source, request.as_bytes())).await;
    let body = answer.unwrap_or(Err(AnnounceError::Silent))?;
    Ok(Announced::decode(&body)?)
}

/// Returns the body of what is answered to a request.
async fn answer(
    address: SocketAddr,
    source: Option<IpAddr>,
    request: &[u8],
) -> Result<Vec<u8>, AnnounceError> {
    let mut stream = dial::dial_client(address, source).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    loop {
        let read = stream.read_buf(&mut answer).await?;
        if let Some((head, length)) = head_of(&answer)? {
            let body = &answer[head..];
            // One byte more than is taken, so that a longer answer is told as such.
            let length = length.unwrap_or(usize::MAX).min(LONGEST_ANSWER + 1);
            // Some do not close the connection.
            if read == 0 || body.len() >= length {
                return Ok(body[..body.len().min(length)].to_vec());
            }
        } else if read == 0 || answer.len() > LONGEST_HEAD {
            return Err(AnnounceError::NotHttp);
        }
    }
}

/// Returns the length of the head, and that of the body if it says so. `None` as long as the head
/// is not complete.
fn head_of(answer: &[u8]) -> Result<Option<(usize, Option<usize>)>, AnnounceError> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let begin = &answer[..answer.len().min(LONGEST_HEAD)];
    let length = match head.parse(begin) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(AnnounceError::NotHttp),
    };
    let mut headers = head.headers.iter();
    let said = headers.find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let said = said.and_then(|header| std::str::from_utf8(header.value).ok());
    match head.code {
        Some(200) => Ok(Some((
            length,
            said.and_then(|said| said.trim().parse().ok()),
        ))),
        Some(status) => Err(AnnounceError::Status(status)),
        None => Err(AnnounceError::NotHttp),
    }
}
