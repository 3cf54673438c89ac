//! Where machines say that they can be reached, on hosts of their own: behind bridges,
//! behind port forwarding, on a cable without a network.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::support::process::poll;
use crate::support::village::{listening, named, sharing};
use crate::support::{Net, Node, PATIENCE, Running, Village, skip};

const ONE: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 138);
const TWO: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 139);
const THREE: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 137);

fn share(node: &Node, flags: &[&str]) -> Running {
    let peer = node.start(&[&["share", "--lines"], flags].concat());
    sharing(&peer);
    peer
}

fn join(home: &Node, guest: &Node, flags: &[&str]) {
    let invite = home.run(&["invite"]).exits(0).stdout;
    let join = [&["join", "-"], flags].concat();
    let joined = guest.start_reading(&invite, &join).finish(PATIENCE);
    joined.exits(0);
}

#[test]
fn the_address_that_others_can_use_is_named_before_those_of_bridges() {
    let test = "the_address_that_others_can_use_is_named_before_those_of_bridges";
    let Some(net) = Net::new(test, &[ONE, TWO]) else {
        return;
    };
    let bridges: Vec<(String, String)> = (0..13)
        .map(|number| match number {
            0 => ("docker0".into(), "172.17.0.1/16".into()),
            number => (
                format!("br-{number:x}"),
                format!("172.{}.0.1/16", 17 + number),
            ),
        })
        .collect();
    let bridges: Vec<_> = bridges.iter().map(|(n, a)| (&**n, &**a)).collect();
    net.add_bridges(ONE, &bridges);
    let village = Village::new();
    let home = village.node("home").on(net.host(ONE));
    home.file("1.txt", "one");
    let peer = share(&home, &[]);
    let guest = village.node("guest").on(net.host(TWO));
    join(&home, &guest, &[]);
    guest.fetch("1.txt");
    assert_eq!(guest.bytes("1.txt"), b"one");
    home.run(&["stop"]).exits(0);
    peer.finish(PATIENCE).exits(0);

    let tracker = village.node("tracker").on(net.host(ONE));
    let running = tracker.start(&["tracker", "--open"]);
    assert_eq!(listening(&running), format!("{ONE}:3333"));
    running.wait_for_line("what to type elsewhere", |line| {
        line.contains(&format!("thorp get NAME --tracker {ONE} "))
    });
}

#[test]
fn behind_port_forwarding_tracker_and_holder_are_found_where_they_are_advertised() {
    let test = "behind_port_forwarding_tracker_and_holder_are_found_where_they_are_advertised";
    let Some(mut net) = Net::new(test, &[ONE, TWO]) else {
        return;
    };
    let inner = net.behind(ONE);
    let outer = net.host(ONE);
    outer.forward(&format!("{ONE}:5000"), "10.77.0.2:3333");
    outer.forward(&format!("{ONE}:5001"), "10.77.0.2:3334");
    let village = Village::new();
    let tracker = village.node("tracker").on(&inner);
    let at = format!("{ONE}:5000");
    let running = tracker.start(&["tracker", "--advertise", &at]);
    listening(&running);

    // The invite names the outer address, or its reader does.
    let holder = village.node("holder").on(&inner);
    join(&tracker, &holder, &["--tracker", "10.77.0.2"]);
    holder.file("1.txt", "one");
    let advertised = format!("{ONE}:5001");
    let holding = share(&holder, &["--advertise", &advertised, "--name", "holder"]);
    let guest = village.node("guest").on(net.host(TWO));
    join(&tracker, &guest, &[]);
    guest.fetch("1.txt");
    assert_eq!(guest.bytes("1.txt"), b"one");
    drop((holding, running));

    // One that says nothing about it is still reached by who knows better.
    let running = tracker.start(&["tracker"]);
    listening(&running);
    let late = village.node("late").on(net.host(TWO));
    join(&tracker, &late, &["--tracker", &at]);
}

#[test]
fn two_machines_on_one_cable_find_each_other_by_link_local_addresses() {
    let test = "two_machines_on_one_cable_find_each_other_by_link_local_addresses";
    let Some(net) = Net::new(test, &[TWO, THREE]) else {
        return;
    };
    for (kind, addresses) in [
        ("v4", [vec!["169.254.7.1/16"], vec!["169.254.9.2/16"]]),
        ("v6", [vec![], vec![]]),
    ] {
        if kind == "v6" && !Path::new("/proc/sys/net/ipv6").exists() {
            return skip(test, "IPv6");
        }
        net.host(TWO).readdress(&addresses[0]);
        net.host(THREE).readdress(&addresses[1]);
        let village = Village::new();
        let home = village.node("home").on(net.host(TWO));
        home.file("1.txt", "one");
        // An address of IPv6 is the interface's only after a second or two.
        let peer = poll("its address", PATIENCE, || {
            let peer = home.start(&["share", "--lines"]);
            let at = sharing(&peer);
            let is_there = at.starts_with(if kind == "v4" { "169.254" } else { "[fe80::" });
            is_there.then_some(peer)
        });
        let guest = village.node("guest").on(net.host(THREE));
        let invite = home.run(&["invite"]).exits(0).stdout;
        poll("the other's address, too", PATIENCE, || {
            let joining = guest.start_reading(&invite, &["join", "-"]);
            (joining.finish(PATIENCE).code == Some(0)).then_some(())
        });
        guest.fetch("1.txt");
        assert_eq!(guest.bytes("1.txt"), b"one");
        // Its peer is found there, too, by the first one.
        guest.file("2.txt", "two");
        let other = share(&guest, &[]);
        poll("the other's file", PATIENCE, || {
            let (_, events) = home.json(&["find", "2.txt"]);
            named(&events, "file").next().map(|_| ())
        });
        home.fetch("2.txt");
        drop((peer, other));
    }
}
