//! Connections of a stranger that say nothing, from a host in the members' own network.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::sync::watch;

use super::figures::{Figures, median, shown};
use super::scene::{address, play, visit};
use crate::support::process::poll;
use crate::support::{Host, Net, PATIENCE, Village};

const PORT: u16 = 3333;
/// What kept all visitors out once.
const A_SECOND: usize = 2600;
/// Connections that are left open at a time.
const OPEN: usize = 4000;

#[test]
#[ignore = "takes minutes: for .ci/attacks"]
fn a_host_of_the_members_own_network_floods_the_door() {
    flood_from(
        "a_host_of_the_members_own_network_floods_the_door",
        "2,600 connections a second from one host of the same /64",
        "fd00:77::",
        1,
    );
}

#[test]
#[ignore = "takes minutes: for .ci/attacks"]
fn a_host_with_400_addresses_of_the_members_network_floods_the_door() {
    flood_from(
        "a_host_with_400_addresses_of_the_members_network_floods_the_door",
        "2,600 connections a second from 400 addresses of the same /64",
        "fd00:77::",
        400,
    );
}

#[test]
#[ignore = "takes minutes: for .ci/attacks"]
fn a_host_on_the_same_cable_floods_the_door_by_link_local_addresses() {
    flood_from(
        "a_host_on_the_same_cable_floods_the_door_by_link_local_addresses",
        "2,600 connections a second from 400 link-local addresses",
        "fe80::77:0:0:0",
        400,
    );
}

/// A number of this network, which is written with its last part open.
fn at(network: &str, host: u16, number: u16) -> Ipv6Addr {
    let network: Ipv6Addr = network.parse().unwrap();
    let mut parts = network.segments();
    parts[6] = host;
    parts[7] = number;
    parts.into()
}

fn flood_from(test: &str, attack: &'static str, network: &str, addresses: u16) {
    let hosts: Vec<_> = (1..=4).map(address).collect();
    let Some(net) = Net::new(test, &hosts) else {
        return;
    };
    let [tracker_host, oak_host, visitor_host, attacker] =
        [1, 2, 3, 4].map(|n| net.host(address(n)));
    let is_local = network.starts_with("fe80");
    for (number, host) in (1..).zip([tracker_host, oak_host, visitor_host]) {
        readdress(host, &[at(network, number, 1)]);
    }
    let own: Vec<_> = (1..=addresses)
        .map(|number| at(network, 4, number))
        .collect();
    readdress(attacker, &own);
    let mut figures = Figures::of(attack);
    let village = Village::new();
    let tracker = village.node("tracker").on(tracker_host);
    let running = tracker.start(&["tracker", "--open", "--lines"]);
    crate::support::village::listening(&running);
    let zone = if is_local { "%eth0" } else { "" };
    let door = at(network, 1, 1);
    let tracker_at = format!("[{door}{zone}]:{PORT}");
    let oak = village.node("oak").on(oak_host);
    oak.file("honest", "honest bytes");
    let _oak = oak.start_sharing(&tracker_at, "[::]:3334");
    let visitor = village.node("visitor").on(visitor_host);
    poll("the first visit", PATIENCE, || {
        visit(&visitor, &tracker_at).1.then_some(())
    });
    let usual: Vec<_> = (0..12).map(|_| visit(&visitor, &tracker_at).0).collect();
    figures.usual("a visitor's get before", shown(median(&usual)));

    let (over, is_over) = watch::channel(());
    let made = Arc::<AtomicUsize>::default();
    thread::scope(|threads| {
        let counted = Arc::clone(&made);
        threads.spawn(move || attacker.run(|| flood(is_over, own, door, counted)));
        poll("the flood to begin", PATIENCE, || {
            (made.load(Ordering::Relaxed) > A_SECOND).then_some(())
        });
        let begun = (Instant::now(), made.load(Ordering::Relaxed));
        for (who, is_new) in [
            ("at an address of which a member is known", false),
            ("at a new address each time", true),
        ] {
            let visits: Vec<_> = (1..=12)
                .map(|number| {
                    if is_new {
                        readdress(visitor_host, &[at(network, 3, 1 + number)]);
                    }
                    visit(&visitor, &tracker_at)
                })
                .collect();
            let good = visits.iter().filter(|(_, good)| *good).count();
            figures.all(&format!("visitors served, {who}"), good, visits.len());
            let times: Vec<_> = visits.iter().map(|(time, _)| *time).collect();
            figures.time("such a get, median", median(&times), Duration::from_secs(2));
        }
        let a_second =
            (made.load(Ordering::Relaxed) - begun.1) as u128 * 1000 / begun.0.elapsed().as_millis();
        // Otherwise it is no flood that was held.
        let least = u128::from(A_SECOND as u64 / 2);
        figures.line(
            "connections made, a second",
            a_second,
            format!(">= {least}"),
            a_second >= least,
        );
        drop(over);
    });
    figures.end();
}

/// Gives a host these addresses of IPv6, in place of those that it has.
fn readdress(host: &Host, addresses: &[Ipv6Addr]) {
    let mut batch = "address flush dev eth0\n".to_owned();
    for address in addresses {
        _ = writeln!(batch, "address add {address}/64 dev eth0 nodad");
    }
    let mut ip = host.command("ip");
    let mut ip = ip
        .args(["-6", "-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = ip.stdin.take().unwrap();
    input.write_all(batch.as_bytes()).unwrap();
    drop(input);
    assert!(ip.wait().unwrap().success(), "{batch}");
}

/// Connects, says the beginning of a handshake, and no more.
fn flood(is_over: watch::Receiver<()>, own: Vec<Ipv6Addr>, door: Ipv6Addr, made: Arc<AtomicUsize>) {
    const TICK: Duration = Duration::from_millis(10);
    thorp_node::net::descriptors::raise();
    let zone = rustix::net::netdevice::name_to_index(
        rustix::net::socket(
            rustix::net::AddressFamily::INET6,
            rustix::net::SocketType::STREAM,
            None,
        )
        .unwrap(),
        "eth0",
    )
    .unwrap();
    let scoped = move |ip: Ipv6Addr, port| {
        let zone = if ip.is_unicast_link_local() { zone } else { 0 };
        SocketAddr::from(SocketAddrV6::new(ip, port, 0, zone))
    };
    play(is_over, async move {
        let mut tick = tokio::time::interval(TICK);
        let places = Arc::new(tokio::sync::Semaphore::new(OPEN));
        let mut number = 0;
        loop {
            tick.tick().await;
            for _ in 0..A_SECOND / 100 {
                number += 1;
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    continue;
                };
                let from = scoped(own[number % own.len()], 0);
                let made = Arc::clone(&made);
                tokio::spawn(async move {
                    let _place = place;
                    let socket = TcpSocket::new_v6().ok()?;
                    socket.set_zero_linger().ok()?;
                    socket.bind(from).ok()?;
                    let connecting = socket.connect(scoped(door, PORT));
                    let connected = tokio::time::timeout(Duration::from_secs(2), connecting);
                    let mut stream = connected.await.ok()?.ok()?;
                    made.fetch_add(1, Ordering::Relaxed);
                    stream
                        .write_all(&[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3])
                        .await
                        .ok()?;
                    // Until it is hung up on.
                    let mut byte = [0];
                    _ = tokio::io::AsyncReadExt::read(&mut stream, &mut byte).await;
                    Some(())
                });
            }
        }
    });
}
