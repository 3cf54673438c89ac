//! An announce over HTTP.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thorp_core::announces::Asking;
use thorp_wire::announce::answer::LONGEST_ANSWER;
use thorp_wire::announce::http::{AnswerHead, AnswerHeadError};
use thorp_wire::announce::{Announce, Announced, query};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::AnnounceError;
use crate::net::dial;

/// How long an announce may take.
const PATIENCE: Duration = Duration::from_secs(15);

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
        if let Some(head) = AnswerHead::parse(&answer)? {
            let body = &answer[head.length..];
            // One byte more than is taken, so that a longer answer is told as such.
            let length = head.body.unwrap_or(usize::MAX).min(LONGEST_ANSWER + 1);
            // Some do not close the connection.
            if read == 0 || body.len() >= length {
                return Ok(body[..body.len().min(length)].to_vec());
            }
        } else if read == 0 {
            return Err(AnswerHeadError::NotHttp.into());
        }
    }
}
