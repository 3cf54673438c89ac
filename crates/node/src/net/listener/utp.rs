//! Clients that try uTP before TCP, told at once that it is not spoken here.
//!
//! One of them is refused while the group serves clients; else no datagram is answered, as no
//! handshake is. What is answered is not longer than what was sent. However many datagrams come,
//! few are read, and the others are dropped by the system.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thorp_wire::session::utp::{HEAD, refusal};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::Reception;
use crate::net::datagrams::{BATCH, Datagrams, bind};

/// How long the next datagrams wait once many have been read.
const PAUSE: Duration = Duration::from_millis(100);
/// How many bytes of datagrams the system keeps meanwhile.
const KEPT: usize = 64 * 1024;

/// Refuses clients at this address, until it is dropped. Where another program has this port for
/// UDP, clients find out by themselves.
pub(super) async fn refuse(address: SocketAddr, reception: Arc<Reception>) {
    let socket = bind(address, false, KEPT);
    match socket.and_then(|socket| UdpSocket::from_std(socket.into())) {
        Ok(socket) => refuse_at(&socket, &reception).await,
        Err(error) => tracing::info!(%address, %error, "clients that try uTP are not refused"),
    }
}

async fn refuse_at(socket: &UdpSocket, reception: &Reception) {
    let mut read = 0;
    // It ends with the runtime.
    while socket.readable().await.is_ok() {
        let refused = socket.try_io(Interest::READABLE, || refuse_some(socket, reception));
        // There were none, or an earlier answer has met an error on its way.
        read += refused.unwrap_or(0);
        if read >= BATCH {
            read = 0;
            sleep(PAUSE).await;
        }
    }
}

/// Returns how many datagrams were read.
fn refuse_some(socket: &UdpSocket, reception: &Reception) -> io::Result<usize> {
    let mut datagrams = Datagrams::new(HEAD);
    let read = datagrams.read(socket)?;
    for question in datagrams.questions() {
        let reset = answer(reception, question.datagram);
        question.answer.extend(reset.iter().flatten());
    }
    datagrams.send_answers(socket);
    Ok(read)
}

fn answer(reception: &Reception, datagram: &[u8]) -> Option<[u8; HEAD]> {
    reception.client_service()?;
    refusal(datagram)
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
        let reception = |service| Reception {
            services: vec![service],
            limits,
            refusals: Refusals::default(),
            gate: Gate::new(limits),
            clients: Gate::new(limits),
        };
        let serving = reception(service(&oak));
        assert_eq!(answer(&serving, &SYN), None, "nothing is decided yet");
        decide(&group, &oak, 1, true);
        assert_eq!(answer(&serving, &SYN), Some(RESET));
        assert_eq!(answer(&serving, &RESET), None);
        let silent = Service {
            clients: None,
            ..service(&oak)
        };
        assert!(!reception(silent).may_serve_clients());
        decide(&group, &oak, 2, false);
        assert_eq!(answer(&serving, &SYN), None);
    }
}
