//! Reads from a socket more at once than was asked for.
//!
//! rustls asks for one record after the other, 16 KiB at most. A session gets many of them at
//! once, so it takes a few from the system with each call. A link does not: there are thousands,
//! and a room for each would take more memory than the calls are worth.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// See the module. Asks for no more than it is asked for until [`begin`](Self::begin).
#[derive(Debug)]
pub struct ReadAhead<S> {
    stream: S,
    /// Boxed, as connections that are being made are moved about.
    ahead: Option<Box<Ahead>>,
}

#[derive(Debug)]
struct Ahead {
    /// As long as what is read at once.
    room: Vec<u8>,
    /// What was read and not taken: from here to there.
    from: usize,
    to: usize,
}

impl<S> ReadAhead<S> {
    /// Reads from this stream.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: None,
        }
    }

    /// Reads this many bytes at once from now on.
    pub fn begin(&mut self, at_once: usize) {
        self.ahead.get_or_insert_with(|| {
            Box::new(Ahead {
                room: vec![0; at_once],
                from: 0,
                to: 0,
            })
        });
    }

    /// The stream beneath.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        wanted: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, ahead } = self.get_mut();
        let stream = Pin::new(stream);
        let Some(ahead) = ahead else {
            return stream.poll_read(context, wanted);
        };
        if ahead.from == ahead.to {
            if wanted.remaining() >= ahead.room.len() {
                return stream.poll_read(context, wanted);
            }
            let mut room = ReadBuf::new(&mut ahead.room);
            ready!(stream.poll_read(context, &mut room))?;
            (ahead.from, ahead.to) = (0, room.filled().len());
        }
        let there = &ahead.room[ahead.from..ahead.to];
        let taken = there.len().min(wanted.remaining());
        wanted.put_slice(&there[..taken]);
        ahead.from += taken;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// Counts what it is asked for.
    struct Counted<S> {
        stream: S,
        calls: usize,
    }

    impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            wanted: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.calls += 1;
            Pin::new(&mut self.stream).poll_read(context, wanted)
        }
    }

    #[tokio::test]
    async fn what_is_asked_for_in_small_parts_is_read_in_large_ones_and_comes_in_order_to_the_end()
    {
        let (mut there, here) = duplex(1 << 20);
        let bytes: Vec<u8> = (0..=250).cycle().take(100_000).collect();
        there.write_all(&bytes).await.expect("is taken");
        drop(there);
        let mut ahead = ReadAhead::new(Counted {
            stream: here,
            calls: 0,
        });
        let mut read = vec![0; 10_000];
        ahead.read_exact(&mut read[..1000]).await.expect("is there");
        assert_eq!(ahead.get_ref().calls, 1, "as it was asked for at first");
        ahead.begin(50_000);
        for at in (1000..10_000).step_by(1000) {
            ahead
                .read_exact(&mut read[at..at + 1000])
                .await
                .expect("is there");
        }
        assert_eq!(ahead.get_ref().calls, 2);
        // More than is read at once goes past the room.
        let mut rest = vec![0; 90_000];
        ahead.read_exact(&mut rest).await.expect("is there");
        assert_eq!([read, rest].concat(), bytes);
        assert_eq!(ahead.get_ref().calls, 3);
        assert_eq!(ahead.read(&mut [0; 10]).await.expect("the end"), 0);
    }
}
