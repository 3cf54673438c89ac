//! Datagrams, many of which are read and answered at once.
//!
//! A socket for all addresses of this machine would answer from the one that the system prefers. A
//! client that has asked at another one, such as an IPv6 address beside one that changes daily,
//! takes no answer from there: so each goes out from the address that its question came to.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, sendmmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

/// How many datagrams are read and sent at once.
pub(crate) const BATCH: usize = 64;
/// The bytes of memory that processors keep together.
const CACHE_LINE: usize = 64;

/// Binds this address for datagrams. `is_shared` says that other sockets of this user are bound to
/// it as well. The system keeps so many bytes of datagrams, or less if it does not allow as much.
pub(crate) fn bind(address: SocketAddr, is_shared: bool, kept: usize) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    let is_everywhere = address.ip().is_unspecified();
    if address.is_ipv6() {
        socket.set_only_v6(!is_everywhere)?;
    }
    if is_everywhere {
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            // This one also tells of IPv4.
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
    }
    socket.set_reuse_port(is_shared)?;
    let _ = socket.set_recv_buffer_size(kept);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Datagrams that were read at once, and room for their answers.
pub(crate) struct Datagrams {
    headers: MultiHeaders<SockaddrStorage>,
    /// A place for each datagram.
    buffers: Vec<u8>,
    place: usize,
    read: Vec<Read>,
    /// From where each was sent.
    from: Vec<Option<SockaddrStorage>>,
    answers: Vec<Vec<u8>>,
    sending: Sending,
}

/// What is used to send many datagrams at once.
struct Sending {
    /// Of those from the address that a socket is bound to, and of those from a named one.
    bound: MultiHeaders<SockaddrStorage>,
    named: MultiHeaders<SockaddrStorage>,
}

/// A datagram that was read.
struct Read {
    length: usize,
    /// The address of this machine that it came to, where a socket is bound to all of them.
    to: Option<IpAddr>,
}

/// A datagram, from whom it is, and where its answer goes: nothing is in there yet.
pub(crate) struct Question<'a> {
    pub(crate) datagram: &'a [u8],
    pub(crate) from: SocketAddr,
    pub(crate) answer: &'a mut Vec<u8>,
}

impl Datagrams {
    /// Makes room for datagrams of this length. Of longer ones the rest is not read.
    pub(crate) fn new(longest: usize) -> Self {
        let told = || Some(cmsg_space!(in6_pktinfo));
        // An odd number of cache lines, or the beginnings of all places would share a few of them.
        let place = (longest.div_ceil(CACHE_LINE) | 1) * CACHE_LINE;
        Self {
            headers: MultiHeaders::preallocate(BATCH, told()),
            buffers: vec![0; place * BATCH],
            place,
            read: Vec::with_capacity(BATCH),
            from: Vec::with_capacity(BATCH),
            answers: vec![Vec::new(); BATCH],
            sending: Sending {
                bound: MultiHeaders::preallocate(BATCH, None),
                named: MultiHeaders::preallocate(BATCH, told()),
            },
        }
    }

    /// Reads what has come, and returns how many datagrams that is. Does not wait.
    pub(crate) fn read(&mut self, socket: &impl AsRawFd) -> nix::Result<usize> {
        self.read.clear();
        self.from.clear();
        let places = self.buffers.chunks_exact_mut(self.place);
        let mut slices: Vec<_> = places.map(|place| [IoSliceMut::new(place)]).collect();
        let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let read = recvmmsg(fd, &mut self.headers, slices.iter_mut(), flags, None)?;
        for datagram in read {
            self.read.push(Read {
                length: datagram.bytes,
                to: came_to(&datagram),
            });
            self.from.push(datagram.address);
        }
        Ok(self.read.len())
    }

    /// Returns what was read.
    pub(crate) fn questions(&mut self) -> impl Iterator<Item = Question<'_>> {
        let places = self.buffers.chunks_exact(self.place);
        let read = places.zip(&self.read).zip(&self.from);
        let questions = read.zip(&mut self.answers);
        questions.filter_map(|(((place, read), from), answer)| {
            answer.clear();
            Some(Question {
                datagram: &place[..read.length],
                from: address(from.as_ref()?)?,
                answer,
            })
        })
    }

    /// Sends the answers. Those that the system does not take are lost, as any datagram may be.
    pub(crate) fn send_answers(&mut self, socket: &impl AsRawFd) {
        let (read, sending) = (&self.read, &mut self.sending);
        let answers = &self.answers[..read.len()];
        let came_to = read.first().and_then(|read| read.to);
        let are_alike = read.iter().all(|read| read.to == came_to);
        if are_alike && !answers.iter().any(Vec::is_empty) {
            // As mostly: no address is copied.
            let slices: Vec<_> = answers
                .iter()
                .map(|answer| [IoSlice::new(answer)])
                .collect();
            return sending.send(socket, &slices, &self.from, came_to);
        }
        let answered = |number: &usize| !answers[*number].is_empty();
        let mut left: Vec<usize> = (0..read.len()).filter(answered).collect();
        while let Some(&first) = left.first() {
            let came_to = read[first].to;
            let (now, later): (Vec<usize>, Vec<usize>) = left
                .into_iter()
                .partition(|number| read[*number].to == came_to);
            let numbers = now.into_iter();
            let (slices, to): (Vec<_>, Vec<_>) = numbers
                .map(|number| ([IoSlice::new(&answers[number])], self.from[number]))
                .unzip();
            sending.send(socket, &slices, &to, came_to);
            left = later;
        }
    }
}

impl Sending {
    /// Sends each to its address, from this one of the machine's own.
    fn send(
        &mut self,
        socket: &impl AsRawFd,
        slices: &[[IoSlice<'_>; 1]],
        to: &[Option<SockaddrStorage>],
        from: Option<IpAddr>,
    ) {
        let (v4, v6);
        let (headers, named) = match from {
            None => (&mut self.bound, None),
            Some(IpAddr::V4(ip)) => {
                v4 = info_of_v4(ip);
                (&mut self.named, Some(ControlMessage::Ipv4PacketInfo(&v4)))
            }
            Some(IpAddr::V6(ip)) => {
                v6 = info_of_v6(ip);
                (&mut self.named, Some(ControlMessage::Ipv6PacketInfo(&v6)))
            }
        };
        let mut sent = 0;
        while sent < to.len() {
            let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
            let (slices, to) = (&slices[sent..], &to[sent..]);
            match sendmmsg(fd, headers, slices, to, named.as_slice(), flags) {
                Ok(more) => sent += more.count().max(1),
                Err(Errno::EINTR) => {}
                // The first of these cannot be sent.
                Err(_) => sent += 1,
            }
        }
    }
}

fn came_to(datagram: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<IpAddr> {
    datagram.cmsgs().ok()?.find_map(|told| match told {
        // What is in the header may be a broadcast address.
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            let ip = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
            Some(IpAddr::V4(ip))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)))
        }
        _ => None,
    })
}

/// Which way it goes is left to the routes: not always back through where the question came in.
const ANY_INTERFACE: u32 = 0;

fn info_of_v4(ip: Ipv4Addr) -> in_pktinfo {
    let address = |ip: Ipv4Addr| in_addr {
        s_addr: u32::from_ne_bytes(ip.octets()),
    };
    in_pktinfo {
        ipi_ifindex: ANY_INTERFACE.cast_signed(),
        ipi_spec_dst: address(ip),
        ipi_addr: address(Ipv4Addr::UNSPECIFIED),
    }
}

fn info_of_v6(ip: Ipv6Addr) -> in6_pktinfo {
    in6_pktinfo {
        ipi6_addr: in6_addr {
            s6_addr: ip.octets(),
        },
        ipi6_ifindex: ANY_INTERFACE,
    }
}

fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = from.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    let v6 = from.as_sockaddr_in6()?;
    Some(SocketAddr::V6((*v6).into()))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    /// Answers each datagram with itself, once so many have come.
    fn echo(socket: &Socket, mut awaited: usize) {
        let mut datagrams = Datagrams::new(100);
        while awaited > 0 {
            match datagrams.read(socket) {
                Ok(number) => awaited -= number,
                Err(Errno::EAGAIN) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
            for question in datagrams.questions() {
                question.answer.extend(question.datagram);
            }
            datagrams.send_answers(socket);
        }
    }

    /// What is sent to each of these addresses comes back from there: these clients take nothing
    /// else.
    fn answers_from(bound: &str, asked: &[&str]) {
        let bound = bind(bound.parse().expect("an address"), false, 4096).expect("bound");
        let port = bound.local_addr().expect("bound").as_socket().expect("IP");
        let asked = asked.iter().map(|ip| {
            let ip: IpAddr = ip.parse().expect("an address");
            let any: IpAddr = match ip {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let client = UdpSocket::bind((any, 0)).expect("a socket");
            client.connect((ip, port.port())).expect("connected");
            let patience = Duration::from_mins(1);
            client.set_read_timeout(Some(patience)).expect("is set");
            client.send(ip.to_string().as_bytes()).expect("sent");
            (ip, client)
        });
        let asked: Vec<_> = asked.collect();
        echo(&bound, asked.len());
        for (ip, client) in asked {
            let mut answer = [0; 100];
            let length = client.recv(&mut answer).expect("an answer");
            assert_eq!(answer[..length], *ip.to_string().as_bytes());
        }
    }

    #[test]
    fn an_answer_comes_from_the_address_that_was_asked() {
        answers_from("[::]:0", &["127.0.0.1", "127.0.0.2", "::1", "127.0.0.3"]);
        answers_from("0.0.0.0:0", &["127.0.0.2", "127.0.0.1", "127.0.0.2"]);
        answers_from("127.0.0.2:0", &["127.0.0.2"]);
        answers_from("[::1]:0", &["::1"]);
    }
}
