//! The words that a session begins with: two handshakes from both ends.
//!
//! The caller says first which file it means: by the first twenty bytes of its
//! root and, in the extension handshake, its length. The member that was dialled
//! answers once it knows that file.

use std::time::Duration;

use thiserror::Error;
use thorp_core::swarm::Offer;
use thorp_wire::layout::Layout;
use thorp_wire::session::extended::ExtendedError;
use thorp_wire::session::message::{LONGEST_REQUEST, ORDINARY_REQUEST};
use thorp_wire::session::{ExtendedHandshake, Handshake, Head, Message, MessageLimits};
use thorp_wire::{Content, PeerId, Root};
use tokio::io::{AsyncRead, AsyncWrite};

use super::line::{Broken, Inward, Outward};

/// How long it may take, from the first word to the last.
pub(super) const GREETING: Duration = Duration::from_secs(10);
/// Requests of one session that are kept waiting here, at most.
const MOST_REQUESTS: u32 = 1024;

/// What the other end has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// Which file it means.
    pub name: [u8; 20],
    /// How long that is.
    pub length: Option<u64>,
    pub offer: Offer,
}

/// Why there is no session.
#[derive(Debug, Error)]
pub(super) enum GreetingError {
    #[error("{0}")]
    Broken(#[from] Broken),
    #[error("{0}")]
    Extended(#[from] ExtendedError),
    #[error("it does not say what it can do")]
    NotExtended,
    #[error("it speaks of another file")]
    OtherFile,
    #[error("it has no place for one more now")]
    Busy,
}

/// Says which file is meant, and what this end can do: how long a request it answers, too.
pub(super) async fn send<W: AsyncWrite + Unpin>(
    outward: &mut Outward<W>,
    content: Content,
    (me, port): (PeerId, Option<u16>),
    longest_request: u32,
) -> Result<(), Broken> {
    let extended = ExtendedHandshake {
        requests: Some(MOST_REQUESTS),
        client: Some(program()),
        port,
        longest_request: Some(longest_request),
        length: Some(content.length),
        ..ExtendedHandshake::default()
    };
    say(
        outward,
        &Handshake::of_member(&content.root, &me),
        Some(&extended),
    )
    .await
}

/// What this program calls itself.
pub(super) fn program() -> String {
    format!("thorp {}", env!("CARGO_PKG_VERSION"))
}

/// Says that there is no place for a session, before the other end has said which file
/// it means.
pub(super) async fn send_busy<W: AsyncWrite + Unpin>(
    outward: &mut Outward<W>,
    me: PeerId,
) -> Result<(), Broken> {
    let extended = ExtendedHandshake {
        busy: true,
        ..ExtendedHandshake::default()
    };
    say(
        outward,
        &Handshake::of_member(&Root::EMPTY, &me),
        Some(&extended),
    )
    .await
}

/// Says the extension handshake, after the first one.
pub(super) async fn say_extended<W: AsyncWrite + Unpin>(
    outward: &mut Outward<W>,
    extended: &ExtendedHandshake,
) -> Result<(), Broken> {
    let mut words = Vec::new();
    extended.message().encode(&mut words);
    outward.send(&words).await?;
    outward.flush().await
}

/// Says both handshakes, or the first one alone.
pub(super) async fn say<W: AsyncWrite + Unpin>(
    outward: &mut Outward<W>,
    handshake: &Handshake,
    extended: Option<&ExtendedHandshake>,
) -> Result<(), Broken> {
    let mut words = handshake.encode().to_vec();
    if let Some(extended) = extended {
        extended.message().encode(&mut words);
    }
    outward.send(&words).await?;
    outward.flush().await
}

/// Reads what the other end says first. What it still says of an earlier file
/// is passed over.
pub(super) async fn read<R: AsyncRead + Unpin>(
    inward: &mut Inward<R>,
    earlier: Option<Layout>,
) -> Result<Greeting, GreetingError> {
    let limits = limits(earlier);
    if earlier.is_some() {
        loop {
            match inward.head(limits).await? {
                Head::Handshake => break,
                head @ Head::Piece(span) => inward.begin_block(head, span.length),
                head @ (Head::KeepAlive | Head::Message(_)) => {
                    inward.message(head).await?;
                }
            }
        }
    }
    let handshake = inward.handshake().await?;
    if !handshake.extensions.extended {
        return Err(GreetingError::NotExtended);
    }
    let head = inward.head(limits).await?;
    let Head::Message(_) = head else {
        return Err(GreetingError::NotExtended);
    };
    let Some(Message::Extended { number, payload }) = inward.message(head).await? else {
        return Err(GreetingError::NotExtended);
    };
    if number != ExtendedHandshake::NUMBER {
        return Err(GreetingError::NotExtended);
    }
    let extended = ExtendedHandshake::decode(&payload)?;
    if extended.busy {
        return Err(GreetingError::Busy);
    }
    let longest = extended.longest_request.unwrap_or(ORDINARY_REQUEST);
    Ok(Greeting {
        name: handshake.name,
        length: extended.length,
        offer: Offer {
            fast: handshake.extensions.fast,
            longest_request: longest.clamp(ORDINARY_REQUEST, LONGEST_REQUEST),
            most_requests: extended.requests,
            member: true,
            hashes: true,
        },
    })
}

fn limits(layout: Option<Layout>) -> MessageLimits {
    layout
        .and_then(|layout| MessageLimits::of(layout, LONGEST_REQUEST))
        .or_else(|| MessageLimits::of(Layout::of(1), LONGEST_REQUEST))
        .expect("a short file has few pieces")
}
