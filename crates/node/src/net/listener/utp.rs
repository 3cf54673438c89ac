//! Clients that try uTP before TCP, told at once that it is not spoken here.
//!
//! One of them is refused while the group serves clients; else no datagram is answered, as no
//! handshake is. What is answered is not longer than what was sent. However many datagrams come,
//! few are read, and the others are dropped by the system.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use thorp_wire::session::utp::{HEAD, refusal};
use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::Door;

/// How many datagrams are read at once, and how long the next ones wait then.
const AT_ONCE: usize = 64;
const PAUSE: Duration = Duration::from_millis(100);
/// How many bytes of datagrams the system keeps meanwhile.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Refuses clients at this address, until it is dropped. Where another program has this port for
/// UDP, clients find out by themselves.
pub(super) async fn refuse(address: SocketAddr, door: Arc<Door>) {
    match socket(address) {
        Ok(socket) => refuse_at(&socket, &door).await,
        Err(error) => tracing::info!(%address, %error, "clients that try uTP are not refused"),
    }
}

async fn refuse_at(socket: &UdpSocket, door: &Door) {
    let mut datagram = [0; HEAD];
    loop {
        for _ in 0..AT_ONCE {
            // An error that an earlier answer has met on its way changes nothing.
            if let Ok((length, client)) = socket.recv_from(&mut datagram).await
                && let Some(reset) = answer(door, &datagram[..length])
            {
                // One that cannot be sent is lost, as any datagram may be.
                let _ = socket.try_send_to(&reset, client);
            }
        }
        sleep(PAUSE).await;
    }
}

fn answer(door: &Door, datagram: &[u8]) -> Option<[u8; HEAD]> {
    door.client_service()?;
    refusal(datagram)
}

fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // Less, if the system does not allow as much.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use thorp_group::testing::Group;
    use thorp_group::tls::MemberTls;
    use thorp_wire::frame::GroupRecord;
    use tokio::sync::mpsc;

    use super::super::{Limits, Listen, Listener, Service};
    use super::*;
    use crate::net::listener::Refusals;
    use crate::net::listener::gate::Gate;

    const SYN: [u8; HEAD] = [
        0x41, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0,
    ];
    const RESET: [u8; HEAD] = [
        0x31, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
    ];

    fn service(tls: &MemberTls) -> Service {
        Service {
            tls: tls.clone(),
            join: None,
            sink: mpsc::channel(1).0,
            clients: Some(mpsc::channel(1).0),
            face: None,
        }
    }

    fn decide(group: &Group, tls: &MemberTls, number: u64, bittorrent: bool) {
        let record = group.signed(GroupRecord {
            number,
            open: false,
            bittorrent,
            removed: Vec::new(),
        });
        tls.records().adopt(record).expect("is the group's");
    }

    #[tokio::test]
    async fn a_client_that_tries_utp_is_refused_at_once() {
        let group = Group::new();
        let oak = group.member("oak");
        decide(&group, &oak, 1, true);
        let at = Listen::Exactly(([127, 0, 0, 1], 0).into());
        let listener = Listener::bind(at).await.expect("binds");
        let address = listener.address();
        let _running = listener.serve(vec![service(&oak)]);
        let client = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
        client.connect(address).await.expect("has an address");
        let mut answer = [0; 64];
        // Its port for UDP may not be open yet.
        let length = loop {
            let _ = client.send(&SYN).await;
            if let Ok(length) = client.recv(&mut answer).await {
                break length;
            }
        };
        assert_eq!(answer[..length], RESET);
    }

    #[tokio::test]
    async fn where_the_group_serves_no_clients_no_datagram_is_answered() {
        let group = Group::new();
        let oak = group.member("oak");
        let limits = Limits::default();
        let door = |service| Door {
            services: vec![service],
            limits,
            refusals: Refusals::default(),
            gate: Gate::new(limits),
            clients: Gate::new(limits),
        };
        let serving = door(service(&oak));
        assert_eq!(answer(&serving, &SYN), None, "nothing is decided yet");
        decide(&group, &oak, 1, true);
        assert_eq!(answer(&serving, &SYN), Some(RESET));
        assert_eq!(answer(&serving, &RESET), None);
        let silent = Service {
            clients: None,
            ..service(&oak)
        };
        assert!(!door(silent).may_serve_clients());
        decide(&group, &oak, 2, false);
        assert_eq!(answer(&serving, &SYN), None);
    }
}
