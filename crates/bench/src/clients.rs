//! A tracker for ordinary BitTorrent clients: its store in this process, and announces over UDP to
//! the real program, beside an echo that sends an answer of the same length back, and beside
//! opentracker and `aquatic_udp` where these are installed. Over HTTP too, as far as they speak it.
//!
//! Whatever answers has one processor, whatever asks another one; so at least two are needed. What
//! an answer costs in time of the answering program's processor can be compared on a busy machine,
//! too.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use thorp_core::swarms::{AnnouncedFrom, Handed, Policy, StoreLimits, Swarms, Wanted};
use thorp_core::time;
use thorp_wire::announce::{Announce, AnnounceEvent, Stride, UdpAnswer, UdpRequest};
use thorp_wire::{ClientId, InfoHash};

use crate::machine;

/// How many datagrams are sent and read at once.
const BATCH: usize = 64;
/// How many requests wait for an answer at most.
const WAITING: usize = 512;
/// When a request counts as lost.
const LOST: Duration = Duration::from_millis(500);
/// How many peers are wanted, as many clients want.
const WANTED: u32 = 30;

/// Measures everything, and prints the results.
pub fn run(peers: u32, torrents: u32, seconds: u64) -> Result<()> {
    store(1_000_000, 100_000)?;
    ensure!(
        std::thread::available_parallelism().is_ok_and(|n| n.get() >= 2),
        "asking and answering need a processor each"
    );
    let scratch = tempfile::tempdir()?;
    let load = Asked {
        peers,
        torrents,
        seconds,
    };
    let (tracker, at) = own_tracker(scratch.path(), Ipv4Addr::LOCALHOST)?;
    let length = load.ask("thorp", at, &tracker)?;
    load.ask_by_http("thorp", at, &tracker, true)?;
    load.ask_by_http("thorp", at, &tracker, false)?;
    drop(tracker);
    // There it has to ask the system of each datagram where it came to.
    let (tracker, at) = own_tracker(scratch.path(), Ipv4Addr::UNSPECIFIED)?;
    load.ask("thorp, at all addresses", at, &tracker)?;
    drop(tracker);
    let echo = pinned(1, &std::env::current_exe()?)
        .args(["echo", "--length", &length.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut echo = Ended(echo);
    let at = said_where(&mut echo)?;
    load.ask("an echo of the same length", at, &echo)?;
    drop(echo);
    if let Some(opentracker) = opentracker(scratch.path(), torrents)? {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, OPENTRACKER));
        load.ask("opentracker", at, &opentracker)?;
        // It keeps no connection.
        load.ask_by_http("opentracker", at, &opentracker, false)?;
    }
    for (name, io_uring) in [("aquatic_udp, io_uring", true), ("aquatic_udp, mio", false)] {
        if let Some(aquatic) = aquatic(scratch.path(), io_uring)? {
            let at = SocketAddr::from((Ipv4Addr::LOCALHOST, AQUATIC));
            load.ask(name, at, &aquatic)?;
        }
    }
    Ok(())
}

/// How a tracker is asked.
struct Asked {
    peers: u32,
    torrents: u32,
    seconds: u64,
}

/// Measures a store alone, on this thread.
fn store(peers: u32, torrents: u32) -> Result<()> {
    let policy = Policy {
        is_any: true,
        interval: Duration::from_mins(20),
    };
    let before = machine::resident(std::process::id())?;
    let mut swarms = Swarms::new(StoreLimits::of_tracker(1), policy, 5);
    let mut handed = Handed::default();
    let mut say = |swarms: &mut Swarms, n: u32, wanted: usize| {
        let from = AnnouncedFrom {
            ip: IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + n)),
            is_local: false,
        };
        handed.v4.clear();
        let said = announce(n % torrents, n, 6881);
        let wanted = Wanted { v4: wanted, v6: 0 };
        swarms.announce(time::Instant::default(), &said, from, wanted, &mut handed)
    };
    for n in 0..peers {
        say(&mut swarms, n, 0)?;
    }
    let grown = machine::resident(std::process::id())?.saturating_sub(before);
    let mut random = fastrand::Rng::with_seed(1);
    let (rounds, begun) = (2_000_000, Instant::now());
    for _ in 0..rounds {
        say(&mut swarms, random.u32(..peers), WANTED as usize)?;
    }
    let each = begun.elapsed().as_secs_f64() / f64::from(rounds);
    println!(
        "store: {peers} peers in {torrents} torrents, {} bytes of memory each; {:.0} announces/s",
        grown / u64::from(peers),
        1.0 / each
    );
    Ok(())
}

impl Asked {
    /// Announces to a tracker as many peers, some of them again and again, and prints how fast it
    /// answers. Returns the mean length of an answer.
    fn ask(&self, what: &str, at: SocketAddr, answers: &Ended) -> Result<usize> {
        self.ask_by(&["load"], what, at, answers)
    }

    /// The same over HTTP, on connections that are `kept` or on a new one for each announce.
    fn ask_by_http(&self, what: &str, at: SocketAddr, answers: &Ended, kept: bool) -> Result<()> {
        let kept = kept.then_some("--kept");
        let words: Vec<&str> = ["load-http"].into_iter().chain(kept).collect();
        self.ask_by(&words, what, at, answers).map(drop)
    }

    fn ask_by(&self, words: &[&str], what: &str, at: SocketAddr, of: &Ended) -> Result<usize> {
        let before = of.processor_time()?;
        let output = pinned(0, &std::env::current_exe()?)
            .args(words)
            .arg(at.to_string())
            .args(["--peers", &self.peers.to_string()])
            .args(["--torrents", &self.torrents.to_string()])
            .args(["--seconds", &self.seconds.to_string()])
            .stderr(Stdio::inherit())
            .output()?;
        let took = of.processor_time()?.saturating_sub(before);
        let said = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{what}: the load has failed");
        let mut words = said.trim().splitn(3, ' ');
        let mut number = || {
            words
                .next()
                .context("a number")?
                .parse()
                .context("a number")
        };
        let (length, all): (usize, u32) = (number()?, u32::try_from(number()?)?);
        let figures = words.next().context("figures")?;
        let each = took / all.max(1);
        println!(
            "{what}: {figures}; {} ns of its processor each",
            each.as_nanos()
        );
        Ok(length)
    }
}

/// Asks, and prints the mean length of answers, the number of all answers and the figures.
pub fn load(asked: &crate::Load) -> Result<()> {
    let crate::Load {
        at,
        peers,
        torrents,
        seconds,
    } = *asked;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(at)?;
    socket.set_read_timeout(Some(LOST))?;
    let connection = connect(&socket)?;
    let mut load = Load {
        socket,
        connection,
        torrents,
        sent_at: vec![None; WAITING],
        received: 0,
        bytes: 0,
        lost: 0,
        took: Vec::new(),
        random: fastrand::Rng::with_seed(7),
        headers: [
            MultiHeaders::preallocate(BATCH, None),
            MultiHeaders::preallocate(BATCH, None),
        ],
    };
    // Everybody comes once, then some come again.
    let mut next = 0;
    load.go_on(&mut |_| {
        next += 1;
        (next <= peers).then_some(next - 1)
    })?;
    let first = load.received;
    (load.received, load.bytes, load.lost) = (0, 0, 0);
    load.took.clear();
    let begun = Instant::now();
    let until = begun + Duration::from_secs(seconds);
    load.go_on(&mut |random| (Instant::now() < until).then(|| random.u32(..peers)))?;
    let took = begun.elapsed().as_secs_f64();
    let length = load.bytes / load.received.max(1);
    #[expect(clippy::cast_precision_loss, reason = "to be read by people")]
    let a_second = load.received as f64 / took;
    let all = first + load.received;
    println!(
        "{length} {all} {a_second:.0} answers/s of {length} bytes, {} lost; {}",
        load.lost,
        percentiles(&mut load.took)
    );
    Ok(())
}

/// What half of these, 99% and 99.9% stay below.
pub fn percentiles(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let at = |of_thousand: usize| {
        let place = took.len() * of_thousand / 1000;
        took.get(place).copied().unwrap_or_default().as_micros()
    };
    let (half, most, nearly_all) = (at(500), at(990), at(999));
    format!("p50 {half} us, p99 {most} us, p99.9 {nearly_all} us")
}

struct Load {
    socket: UdpSocket,
    connection: u64,
    torrents: u32,
    /// When the request of each number was sent, if it waits for its answer.
    sent_at: Vec<Option<Instant>>,
    received: usize,
    bytes: usize,
    lost: usize,
    took: Vec<Duration>,
    random: fastrand::Rng,
    headers: [MultiHeaders<SockaddrStorage>; 2],
}

impl Load {
    /// Announces the peers that `next` names, until it names none, and waits for all answers.
    fn go_on(&mut self, next: &mut dyn FnMut(&mut fastrand::Rng) -> Option<u32>) -> Result<()> {
        let mut free: Vec<u32> = (0..u32::try_from(WAITING)?).collect();
        let mut is_over = false;
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            while !is_over && batch.len() < BATCH && !free.is_empty() {
                let Some(peer) = next(&mut self.random) else {
                    is_over = true;
                    break;
                };
                let transaction = free.pop().context("a number")?;
                let port = u16::try_from(peer % 60_000)? + 1000;
                let request = UdpRequest::Announce {
                    connection: self.connection,
                    transaction,
                    announce: announce(peer % self.torrents, peer, port),
                };
                self.sent_at[transaction as usize] = Some(Instant::now());
                batch.push(request.encode());
            }
            self.send(&batch)?;
            if is_over && free.len() == WAITING {
                return Ok(());
            }
            self.receive(&mut free)?;
        }
    }

    fn send(&mut self, batch: &[Vec<u8>]) -> Result<()> {
        let slices: Vec<_> = batch.iter().map(|bytes| [IoSlice::new(bytes)]).collect();
        let none = vec![None::<SockaddrStorage>; batch.len()];
        let mut sent = 0;
        while sent < batch.len() {
            let (slices, none) = (&slices[sent..], &none[sent..]);
            let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
            let more = sendmmsg(fd, &mut self.headers[0], slices, none, [], flags)?;
            sent += more.count();
        }
        Ok(())
    }

    fn receive(&mut self, free: &mut Vec<u32>) -> Result<()> {
        let mut buffers = vec![[0; 2048]; BATCH];
        let mut slices: Vec<_> = buffers
            .iter_mut()
            .map(|buffer| [IoSliceMut::new(&mut buffer[..])])
            .collect();
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_WAITFORONE);
        let read = recvmmsg(fd, &mut self.headers[1], slices.iter_mut(), flags, None);
        let lengths: Vec<usize> = match read {
            Ok(read) => read.map(|datagram| datagram.bytes).collect(),
            Err(Errno::EAGAIN) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let now = Instant::now();
        if lengths.is_empty() {
            for (number, sent) in self.sent_at.iter_mut().enumerate() {
                if sent.take().is_some() {
                    self.lost += 1;
                    free.push(u32::try_from(number)?);
                }
            }
        }
        for (buffer, length) in buffers.iter().zip(lengths) {
            let transaction = buffer[4..8].try_into().map(u32::from_be_bytes)?;
            let waited = self.sent_at.get_mut(transaction as usize);
            let Some(sent) = waited.and_then(Option::take) else {
                continue;
            };
            ensure!(buffer[..4] == [0, 0, 0, 1], "no answer to an announce");
            self.took.push(now - sent);
            self.received += 1;
            self.bytes += length;
            free.push(transaction);
        }
        Ok(())
    }
}

fn connect(socket: &UdpSocket) -> Result<u64> {
    let connect = UdpRequest::Connect { transaction: 1 }.encode();
    for _ in 0..100 {
        socket.send(&connect)?;
        let mut answer = [0; 64];
        // Not there yet, perhaps.
        let Ok(length) = socket.recv(&mut answer) else {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        if let Ok(UdpAnswer::Connected { connection, .. }) =
            UdpAnswer::decode(&answer[..length], Stride::V4)
        {
            return Ok(connection);
        }
    }
    bail!("nobody answers")
}

/// Answers anything with as many bytes, which begin like the answer to an announce.
pub fn echo(length: usize) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("Listening on {}", socket.local_addr()?);
    let fd = socket.as_raw_fd();
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let mut to_send = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let mut buffers = vec![[0; 2048]; BATCH];
    let mut answers = vec![vec![0; length.max(20)]; BATCH];
    loop {
        let mut slices: Vec<_> = buffers
            .iter_mut()
            .map(|buffer| [IoSliceMut::new(&mut buffer[..])])
            .collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let read = recvmmsg(fd, &mut headers, slices.iter_mut(), flags, None)?;
        let to: Vec<_> = read.map(|datagram| datagram.address).collect();
        for (buffer, answer) in buffers.iter().zip(&mut answers).take(to.len()) {
            let is_connect = buffer[8..12] == [0; 4];
            answer[..4].copy_from_slice(&u32::from(!is_connect).to_be_bytes());
            answer[4..8].copy_from_slice(&buffer[12..16]);
        }
        let slices: Vec<_> = answers[..to.len()]
            .iter()
            .map(|answer| [IoSlice::new(answer)])
            .collect();
        sendmmsg(fd, &mut to_send, &slices, &to, [], MsgFlags::empty())?;
    }
}

const OPENTRACKER: u16 = 16_969;

/// Starts the program's tracker, and returns where it is asked.
fn own_tracker(scratch: &Path, listen: Ipv4Addr) -> Result<(Ended, SocketAddr)> {
    let program = std::env::current_exe()?.with_file_name("thorp");
    let listen = SocketAddr::from((listen, 0)).to_string();
    let tracker = pinned(1, &program)
        .args(["tracker", "--open", "--lines", "--bittorrent=any"])
        .args(["--listen", &listen, "--state"])
        .arg(scratch)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut tracker = Ended(tracker);
    let at = said_where(&mut tracker)?;
    Ok((tracker, (Ipv4Addr::LOCALHOST, at.port()).into()))
}

/// Starts opentracker, which has to be told which torrents there are, and serves nobody as root.
fn opentracker(scratch: &Path, torrents: u32) -> Result<Option<Ended>> {
    let whitelist = scratch.join("whitelist");
    let mut lines = String::new();
    for torrent in 0..torrents {
        writeln!(lines, "{}", info_hash(torrent))?;
    }
    fs::write(&whitelist, lines)?;
    fs::set_permissions(scratch, Permissions::from_mode(0o755))?;
    let port = OPENTRACKER.to_string();
    let started = pinned(1, Path::new("opentracker"))
        .args([
            "-i",
            "127.0.0.1",
            "-P",
            &port,
            "-p",
            &port,
            "-u",
            "nobody",
            "-w",
        ])
        .arg(&whitelist)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    still_there(Ended(started?))
}

const AQUATIC: u16 = 16_970;

/// Starts `aquatic_udp`, with one thread that answers.
fn aquatic(scratch: &Path, io_uring: bool) -> Result<Option<Ended>> {
    let settings = scratch.join("aquatic.toml");
    let text = format!(
        "socket_workers = 1\n[network]\naddress = \"127.0.0.1:{AQUATIC}\"\nuse_io_uring = {io_uring}\n"
    );
    fs::write(&settings, text)?;
    let started = pinned(1, Path::new("aquatic_udp"))
        .arg("-c")
        .arg(&settings)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    still_there(Ended(started?))
}

/// `None` if it has ended, as `taskset` does where there is no such program.
fn still_there(mut started: Ended) -> Result<Option<Ended>> {
    std::thread::sleep(Duration::from_secs(1));
    Ok(started.0.try_wait()?.is_none().then_some(started))
}

/// What a peer of such a torrent announces.
pub fn announce(torrent: u32, peer: u32, port: u16) -> Announce {
    let mut client = [b'-'; 20];
    client[..4].copy_from_slice(&peer.to_be_bytes());
    Announce {
        torrent: info_hash(torrent),
        client: ClientId::new(client),
        port,
        uploaded: 0,
        downloaded: 0,
        left: u64::from(peer % 3),
        event: AnnounceEvent::None,
        wanted: Some(WANTED),
        key: peer,
    }
}

fn info_hash(torrent: u32) -> InfoHash {
    let mut bytes = [0; 20];
    fastrand::Rng::with_seed(torrent.into()).fill(&mut bytes);
    InfoHash::new(bytes)
}

/// A command on one processor.
fn pinned(processor: u32, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &processor.to_string()]).arg(program);
    command
}

/// A process that is ended when this is dropped.
struct Ended(Child);

impl Ended {
    /// How long it has had a processor.
    fn processor_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // After its name, which may have any bytes in it.
        let (_, fields) = stat.rsplit_once(") ").context("a name")?;
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.sum::<Result<u64, _>>()?;
        let a_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_millis(ticks * 1000 / a_second))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads where a process says that it listens.
fn said_where(process: &mut Ended) -> Result<SocketAddr> {
    let mut output = BufReader::new(process.0.stdout.take().context("its output")?);
    let mut line = String::new();
    while output.read_line(&mut line)? > 0 {
        if let Some(at) = line.trim_end().strip_prefix("Listening on ") {
            let at = at.parse()?;
            // Some end when nobody reads them.
            process.0.stdout = Some(output.into_inner());
            return Ok(at);
        }
        line.clear();
    }
    bail!("it does not say where it listens")
}
