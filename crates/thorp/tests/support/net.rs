//! Hosts of our own on one machine: network namespaces on a bridge.
//!
//! The bridge is in a namespace too, so nothing outside is touched. Names hold
//! the number of this process: runs side by side do not meet, and what a killed
//! one has left is removed by the next.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::skip;

/// A network, with hosts on it, as long as this lives.
pub struct Net {
    prefix: String,
    hosts: BTreeMap<Ipv4Addr, Host>,
}

/// A host on a [`Net`].
#[derive(Clone)]
pub struct Host {
    namespace: String,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Net {
    /// A network with a host at each of `addresses`, or nothing where that
    /// cannot be had: then `test` has been [skipped](skip).
    pub fn new(test: &str, addresses: &[Ipv4Addr]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        remove_leftovers();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("thorp-{}-{number}", std::process::id());
        let mut net = Self {
            prefix,
            hosts: BTreeMap::new(),
        };
        if let Err(why) = ip(&["netns", "add", &net.switch()]) {
            skip(test, &format!("root and ip netns ({why})"));
            return None;
        }
        let switch = net.switch();
        must(&["-n", &switch, "link", "add", "bridge", "type", "bridge"]);
        must(&["-n", &switch, "link", "set", "bridge", "up"]);
        for &address in addresses {
            let namespace = format!("{}-{}", net.prefix, address.octets()[3]);
            must(&["netns", "add", &namespace]);
            net.hosts.insert(address, Host { namespace, address });
            net.plug_in(address);
        }
        Some(net)
    }

    /// The host at an address.
    pub fn host(&self, address: Ipv4Addr) -> &Host {
        &self.hosts[&address]
    }

    /// Limits what a host sends and what it receives to this rate, each.
    pub fn limit(&self, address: Ipv4Addr, rate: &str) {
        let (namespace, device) = self.port(address);
        let host = &self.hosts[&address].namespace;
        for (namespace, device) in [(&namespace, &*device), (host, "eth0")] {
            let bucket = ["tbf", "rate", rate, "burst", "64kb", "latency", "50ms"];
            let place = ["-n", namespace, "qdisc", "add", "dev", device, "root"];
            let words: Vec<&str> = place.into_iter().chain(bucket).collect();
            let status = Command::new("tc").args(&words).status().expect("tc runs");
            assert!(status.success(), "tc {}", words.join(" "));
        }
    }

    /// Gives a host bridges of its own, as container runtimes make them, which come
    /// before its interface to the network wherever they are listed.
    pub fn add_bridges(&self, address: Ipv4Addr, bridges: &[(&str, &str)]) {
        let host = &self.hosts[&address].namespace;
        let eth0 = ["link", "set", "eth0", "netns"];
        let away = self.switch();
        must(&[&["-n", host], &eth0[..], &[&away]].concat());
        for (number, (name, address)) in bridges.iter().enumerate() {
            let number = (2 + number).to_string();
            let kind = ["index", &number, "type", "bridge"];
            must(&[&["-n", host, "link", "add", name][..], &kind].concat());
            must(&["-n", host, "address", "add", address, "dev", name]);
            must(&["-n", host, "link", "set", name, "up"]);
        }
        must(&[&["-n", &away], &eth0[..], &[host]].concat());
        let own = &format!("{address}/24");
        must(&["-n", host, "address", "add", own, "dev", "eth0"]);
        must(&["-n", host, "link", "set", "eth0", "up"]);
    }

    /// A host behind that one, on a network of their own: 10.77.0.2, which reaches
    /// 10.77.0.1 and nothing else.
    pub fn behind(&mut self, address: Ipv4Addr) -> Host {
        let outer = self.hosts[&address].namespace.clone();
        let namespace = format!("{}-inner", self.prefix);
        must(&["netns", "add", &namespace]);
        let inner = Host {
            namespace: namespace.clone(),
            address: Ipv4Addr::new(10, 77, 0, 2),
        };
        self.hosts.insert(inner.address, inner.clone());
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", &namespace];
        must(&[&["-n", &outer, "link", "add", "eth1"], &peer[..]].concat());
        for (namespace, device, address) in [
            (&outer, "eth1", "10.77.0.1/24"),
            (&namespace, "eth0", "10.77.0.2/24"),
        ] {
            must(&["-n", namespace, "address", "add", address, "dev", device]);
            must(&["-n", namespace, "link", "set", device, "up"]);
        }
        must(&["-n", &namespace, "link", "set", "lo", "up"]);
        inner
    }

    /// How many bytes a host has sent so far, headers and all.
    pub fn sent(&self, address: Ipv4Addr) -> u64 {
        let (namespace, device) = self.port(address);
        let place = ["-n", &namespace, "-s", "-j", "link", "show", &device];
        let shown = ip(&place).unwrap_or_else(|why| panic!("ip: {why}"));
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        // What the host sends is what its port on the bridge receives.
        shown[0]["stats64"]["rx"]["bytes"]
            .as_u64()
            .unwrap_or_else(|| panic!("no count in {shown}"))
    }

    /// A host's end on the bridge: its namespace and its device.
    fn port(&self, address: Ipv4Addr) -> (String, String) {
        (self.switch(), format!("port{}", address.octets()[3]))
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.prefix)
    }

    fn plug_in(&self, address: Ipv4Addr) {
        let (switch, port) = &self.port(address);
        let host = &self.hosts[&address].namespace;
        let address = &format!("{address}/24");
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", host];
        must(&[&["-n", switch, "link", "add", port], &peer[..]].concat());
        must(&["-n", switch, "link", "set", port, "master", "bridge", "up"]);
        must(&["-n", host, "address", "add", address, "dev", "eth0"]);
        must(&["-n", host, "link", "set", "lo", "up"]);
        must(&["-n", host, "link", "set", "eth0", "up"]);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in self.hosts.values() {
            remove(&host.namespace);
        }
        remove(&self.switch());
    }
}

impl Host {
    /// A program on this host. It has the process id of the program itself.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        command
    }

    /// Gives it another address instead of the one it has, as when it comes to
    /// another network. Its connections are dead, and no member is told.
    pub fn move_to(&self, address: Ipv4Addr) {
        let change = |verb, address: Ipv4Addr| {
            let address = &format!("{address}/24");
            must(&[
                "-n",
                &self.namespace,
                "address",
                verb,
                address,
                "dev",
                "eth0",
            ]);
        };
        // In this order: with the first address of a network go the others.
        change("delete", self.address);
        change("add", address);
    }

    /// Passes connections on that come in at one address of this host, to another one
    /// that it reaches: port forwarding, for as long as the test runs.
    pub fn forward(&self, from: &str, to: &str) {
        let (host, from, to) = (self.clone(), from.to_owned(), to.to_owned());
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            host.enter();
            let listener = TcpListener::bind(&from).expect("a port");
            ready.send(()).expect("the test waits");
            for stream in listener.incoming().flatten() {
                let to = to.clone();
                std::thread::spawn(move || relay(stream, TcpStream::connect(to)));
            }
        });
        is_ready.recv().expect("it listens");
    }

    /// Does this on a thread that is on this host.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let there = || {
            self.enter();
            work()
        };
        let end = std::thread::scope(|threads| threads.spawn(there).join());
        end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// From now on this thread's sockets are on this host, and those of the threads that
    /// it starts.
    fn enter(&self) {
        let namespace = File::open(format!("/run/netns/{}", self.namespace)).expect("it is there");
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("root may");
    }

    /// Takes its addresses away, and gives it these instead. Where there are none, it
    /// keeps what the kernel gives every interface: a link-local one of IPv6.
    pub fn readdress(&self, addresses: &[&str]) {
        let host = &self.namespace;
        must(&["-n", host, "-4", "address", "flush", "dev", "eth0"]);
        for address in addresses {
            must(&["-n", host, "address", "add", address, "dev", "eth0"]);
        }
    }

    /// Sets its link to the network up or down. Nothing is said to a member.
    pub fn link(&self, state: &str) {
        must(&["-n", &self.namespace, "link", "set", "eth0", state]);
    }
}

fn relay(one: TcpStream, other: std::io::Result<TcpStream>) {
    let Ok(other) = other else { return };
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        _ = std::io::copy(&mut from, &mut to);
        _ = to.shutdown(Shutdown::Write);
    };
    let (Ok(one_again), Ok(other_again)) = (one.try_clone(), other.try_clone()) else {
        return;
    };
    let there = std::thread::spawn(move || copy(one, other));
    copy(other_again, one_again);
    _ = there.join();
}

fn ip(args: &[&str]) -> Result<String, String> {
    let output = Command::new("ip")
        .args(args)
        .output()
        .map_err(|why| format!("ip: {why}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(why.lines().next().unwrap_or("ip failed").trim().into())
}

#[track_caller]
fn must(args: &[&str]) {
    if let Err(why) = ip(args) {
        panic!("ip {}: {why}", args.join(" "));
    }
}

/// Removes a namespace with whatever still runs in it.
fn remove(namespace: &str) {
    if let Ok(processes) = ip(&["netns", "pids", namespace]) {
        for process in processes.split_whitespace() {
            _ = Command::new("sh")
                .args(["-c", &format!("kill -KILL {process}")])
                .status();
        }
    }
    _ = ip(&["netns", "delete", namespace]);
}

/// Removes what runs that were killed have left.
fn remove_leftovers() {
    for line in ip(&["netns", "list"]).unwrap_or_default().lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let owner = name
            .strip_prefix("thorp-")
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            remove(name);
        }
    }
}
