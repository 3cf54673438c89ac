//! Announces over HTTP: what asks a tracker, on connections that are kept or on a new one each
//! time.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use thorp_wire::announce::query::write_announce;

use crate::Load;
use crate::clients::{announce, percentiles};

/// How many announces wait for their answers at once, each on its connection.
const AT_ONCE: usize = 64;

type Connection = BufReader<TcpStream>;

/// Announces some of these peers again and again, and prints the mean length of answers, the number
/// of all answers and the figures. A tracker that closes a connection is connected to anew.
pub fn load(asked: &Load, kept: bool) -> Result<()> {
    let Load {
        at,
        peers,
        torrents,
        seconds,
    } = *asked;
    let mut random = fastrand::Rng::with_seed(7);
    let mut connections: Vec<Option<Connection>> = (0..AT_ONCE).map(|_| None).collect();
    let (mut took, mut bytes, mut made) = (Vec::new(), 0, 0_u64);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        let mut sent_at = Vec::with_capacity(AT_ONCE);
        for connection in &mut connections {
            if connection.is_none() {
                made += 1;
            }
            let mut stream = match connection.take() {
                Some(kept) => kept,
                None => connect(at)?,
            };
            let peer = random.u32(..peers);
            sent_at.push(Instant::now());
            stream
                .get_mut()
                .write_all(request(peer, torrents, kept)?.as_bytes())?;
            *connection = Some(stream);
        }
        for (connection, sent) in connections.iter_mut().zip(sent_at) {
            let stream = connection.as_mut().context("a connection")?;
            let (length, stays) = answer(stream)?;
            took.push(sent.elapsed());
            bytes += length;
            if !kept || !stays {
                *connection = None;
            }
        }
    }
    let (all, for_long) = (took.len(), begun.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "to be read by people")]
    let a_second = all as f64 / for_long;
    println!(
        "{} {all} {a_second:.0} answers/s over HTTP on {made} connections; {}",
        bytes / all.max(1),
        percentiles(&mut took)
    );
    Ok(())
}

fn connect(at: SocketAddr) -> Result<Connection> {
    let stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(BufReader::new(stream))
}

fn request(peer: u32, torrents: u32, kept: bool) -> Result<String> {
    let port = u16::try_from(peer % 60_000)? + 1000;
    let query = write_announce(&announce(peer % torrents, peer, port), None);
    let connection = if kept { "keep-alive" } else { "close" };
    Ok(format!(
        "GET /announce?{query} HTTP/1.1\r\nHost: tracker\r\nConnection: {connection}\r\n\r\n"
    ))
}

/// Reads an answer. Returns how long its body is, and whether the connection is said to stay.
fn answer(stream: &mut Connection) -> Result<(usize, bool)> {
    let (mut line, mut length, mut stays) = (String::new(), None, false);
    ensure!(stream.read_line(&mut line)? > 0, "closed without an answer");
    ensure!(line.contains(" 200 "), "refused: {}", line.trim_end());
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let head = line.trim_end().to_ascii_lowercase();
        match head.split_once(':') {
            None if head.is_empty() => break,
            Some(("content-length", value)) => length = Some(value.trim().parse()?),
            Some(("connection", value)) => stays = value.trim() == "keep-alive",
            Some(_) => {}
            None => bail!("not a line of a head: {head}"),
        }
    }
    let mut body = vec![0; length.context("a length")?];
    stream.read_exact(&mut body)?;
    Ok((body.len(), stays))
}
