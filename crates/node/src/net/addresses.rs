//! Addresses of machines: resolves host names, and finds this machine's own addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use thorp_core::dialled::is_link_local;
use thorp_group::address::{NetAddress, OuterAddress, canonical};
use thorp_wire::frame::Hello;
use tokio::net::lookup_host;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// The maximum number of addresses that one host name stands for.
const MAX_RESOLVED: usize = 16;

/// How long all names of a list may take to be resolved while there is an address to try; and where
/// there is none: a system asks its second name service when the first was silent for five seconds.
const RESOLVED_SOON: Duration = Duration::from_secs(3);
const RESOLVED_WITHIN: Duration = Duration::from_secs(15);

/// Returns all socket addresses of a list, in order, with names resolved.
///
/// Names that cannot be resolved in time are left out; if nothing is left, the last error is
/// returned. All names are looked up at once, so that a name service that is down does not keep the
/// remaining addresses from being tried.
pub async fn resolve(list: &[NetAddress]) -> Result<Vec<SocketAddr>, ResolveError> {
    let (soon, late) = (
        Instant::now() + RESOLVED_SOON,
        Instant::now() + RESOLVED_WITHIN,
    );
    let mut lookups: Vec<Lookup> = list.iter().map(Lookup::start).collect();
    for lookup in &mut lookups {
        lookup.wait(soon).await;
    }
    for at in 0..lookups.len() {
        if !lookups.iter().any(Lookup::has_found) {
            lookups[at].wait(late).await;
        }
    }
    let mut found = Vec::new();
    let mut failed = None;
    for lookup in lookups {
        match lookup.end() {
            Ok(addresses) => found.extend(addresses),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// Returns the same, but nothing if any of the names cannot be resolved.
pub(crate) async fn resolve_each(list: &[NetAddress]) -> Option<Vec<SocketAddr>> {
    let mut all = Vec::new();
    for address in list {
        let found = resolve(std::slice::from_ref(address)).await;
        all.extend(found.ok()?);
    }
    Some(all)
}

/// One address of a list, perhaps while its name is looked up.
enum Lookup {
    Found(Vec<SocketAddr>),
    Failed(ResolveError),
    UnderWay(String, JoinHandle<io::Result<Vec<SocketAddr>>>),
}

impl Lookup {
    fn start(address: &NetAddress) -> Self {
        match address {
            NetAddress::Ip(address) => Self::Found(vec![*address]),
            NetAddress::Host(host, port) => {
                let (name, port) = (host.clone(), *port);
                let looked_up = tokio::spawn(async move {
                    let addresses = lookup_host((name.as_str(), port)).await?;
                    Ok(addresses.take(MAX_RESOLVED).collect())
                });
                Self::UnderWay(host.clone(), looked_up)
            }
        }
    }

    async fn wait(&mut self, deadline: Instant) {
        let Self::UnderWay(host, looked_up) = self else {
            return;
        };
        let Ok(ended) = timeout_at(deadline, looked_up).await else {
            return;
        };
        *self = match ended.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(addresses) => Self::Found(addresses),
            Err(error) => Self::Failed(ResolveError {
                host: host.clone(),
                error,
            }),
        };
    }

    fn has_found(&self) -> bool {
        matches!(self, Self::Found(_))
    }

    fn end(self) -> Result<Vec<SocketAddr>, ResolveError> {
        match self {
            Self::Found(addresses) => Ok(addresses),
            Self::Failed(error) => Err(error),
            Self::UnderWay(host, _) => Err(ResolveError {
                host,
                error: io::ErrorKind::TimedOut.into(),
            }),
        }
    }
}

/// A host name that cannot be resolved.
#[derive(Debug, Error)]
#[error("cannot find the host {host}: {error}; check the name, or use its IP address")]
pub struct ResolveError {
    host: String,
    error: io::Error,
}

/// Where a node can be reached.
#[derive(Clone, Debug)]
pub struct Reach {
    listen: SocketAddr,
    /// Addresses that the user gave: behind port forwarding, no program can find them out.
    advertised: Vec<NetAddress>,
    /// The same addresses, with names resolved.
    outer: Vec<SocketAddr>,
}

impl Reach {
    /// Makes the `Reach` of a node that listens on this address. An advertised address without a
    /// port gets the port of `listen`. A name that cannot be resolved now still appears in
    /// invites.
    pub async fn of(listen: SocketAddr, advertised: &[OuterAddress]) -> Self {
        let advertised: Vec<NetAddress> = advertised
            .iter()
            .map(|address| address.at(listen.port()))
            .collect();
        let outer = resolve(&advertised).await.unwrap_or_default();
        Self {
            listen,
            advertised,
            outer,
        }
    }

    /// Makes the `Reach` of a node that is reached only where it listens.
    #[cfg(test)]
    pub(crate) fn on(listen: SocketAddr) -> Self {
        Self {
            listen,
            advertised: Vec::new(),
            outer: Vec::new(),
        }
    }

    /// Returns the address at which the node listens.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Returns at most eight addresses, in the order in which other machines should try them.
    /// Those that the user gave come first. If the node listens on a specific address, only that
    /// one follows. Otherwise those of the interfaces follow, beginning with the one that has the
    /// default route and ending with bridges and tunnels. Link-local addresses are included only
    /// if there is no better one, loopback only if there is nothing else.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses_among(&interfaces().unwrap_or_default())
    }

    /// Returns how many of these, from the first on, the user gave.
    pub fn advertised(&self) -> u8 {
        let advertised = first(self.outer.iter().copied()).len();
        u8::try_from(advertised).unwrap_or(0)
    }

    /// Returns the same addresses for display, with advertised names unresolved.
    pub fn named(&self) -> Vec<NetAddress> {
        let own = own(self.listen).into_iter().map(NetAddress::Ip);
        first(self.advertised.iter().cloned().chain(own))
    }

    fn addresses_among(&self, own: &[OwnAddress]) -> Vec<SocketAddr> {
        let own = reachable(self.listen, own);
        first(self.outer.iter().copied().chain(own))
    }
}

fn first<T: PartialEq>(addresses: impl Iterator<Item = T>) -> Vec<T> {
    let mut first = Vec::new();
    for address in addresses {
        if first.len() < Hello::MAX_CLAIMED && !first.contains(&address) {
            first.push(address);
        }
    }
    first
}

/// Returns this machine's addresses for a socket that listens there, in the order of
/// [`Reach::addresses`].
pub fn own(listen: SocketAddr) -> Vec<SocketAddr> {
    reachable(listen, &interfaces().unwrap_or_default())
}

/// Returns these addresses, but with each link-local IPv6 address without a zone repeated for
/// every interface: the zone it had on another machine means nothing here.
pub(crate) fn zoned(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_vague = |address: &SocketAddr| match address {
        SocketAddr::V6(v6) => v6.ip().is_unicast_link_local() && v6.scope_id() == 0,
        SocketAddr::V4(_) => false,
    };
    if !addresses.iter().any(is_vague) {
        return addresses.to_vec();
    }
    let own = if_addrs::get_if_addrs().unwrap_or_default();
    let zones = own
        .iter()
        .filter(|own| is_link_local(own.ip()) && own.ip().is_ipv6());
    let zones: BTreeSet<u32> = zones.filter_map(|own| own.index).collect();
    let mut all = Vec::new();
    for address in addresses {
        match address {
            SocketAddr::V6(v6) if is_vague(address) => all.extend(zones.iter().map(|zone| {
                let mut v6 = *v6;
                v6.set_scope_id(*zone);
                SocketAddr::V6(v6)
            })),
            _ => all.push(*address),
        }
    }
    all
}

/// This machine's addresses, which may change as it moves between networks, and those that its
/// user has named, which may be a line's that gets another one each day.
#[derive(Debug)]
pub(crate) struct Whereabouts {
    reach: Reach,
    /// Every address of every interface.
    own: Vec<OwnAddress>,
}

impl Whereabouts {
    /// Reads this machine's addresses.
    pub(crate) fn new(reach: Reach) -> Self {
        Self {
            reach,
            own: interfaces().unwrap_or_default(),
        }
    }

    /// Returns the addresses at which this machine can be reached, and how many of them, from the
    /// first on, its user has named.
    pub(crate) fn addresses(&self) -> (Vec<SocketAddr>, u8) {
        let addresses = self.reach.addresses_among(&self.own);
        (addresses, self.reach.advertised())
    }

    /// Whether these may ever be other ones.
    pub(crate) fn may_change(&self) -> bool {
        self.reach.listen.ip().is_unspecified() || self.names().is_some()
    }

    /// Returns what the user has named, if there are host names in it.
    pub(crate) fn names(&self) -> Option<&[NetAddress]> {
        let mut advertised = self.reach.advertised.iter();
        let has_names = advertised.any(|address| matches!(address, NetAddress::Host(..)));
        has_names.then_some(&self.reach.advertised)
    }

    /// Takes what [`names`](Self::names) stand for now, and returns whether that has changed.
    pub(crate) fn resolved(&mut self, outer: Vec<SocketAddr>) -> bool {
        // Name services tell the addresses of a name in another order each time.
        let sorted = |addresses: &[SocketAddr]| {
            let mut sorted = addresses.to_vec();
            sorted.sort_unstable();
            sorted
        };
        let is_news = sorted(&self.reach.outer) != sorted(&outer);
        if is_news {
            self.reach.outer = outer;
        }
        is_news
    }

    /// Reads this machine's addresses again, and returns whether they have changed.
    pub(crate) fn refresh(&mut self) -> bool {
        self.replace(interfaces())
    }

    /// Whether this machine still has an address.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        // Every loopback address belongs to this machine, but the interface reports only one.
        ip.is_loopback() || self.own.iter().any(|own| own.ip.to_canonical() == ip)
    }

    /// If the addresses cannot be read, they count as unchanged.
    fn replace(&mut self, own: Option<Vec<OwnAddress>>) -> bool {
        match own {
            Some(own) if own != self.own => {
                self.own = own;
                true
            }
            _ => false,
        }
    }
}

/// An address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OwnAddress {
    ip: IpAddr,
    of: Interface,
}

/// What an interface leads to, the best kind first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Interface {
    /// It has a default route with this metric; lower metrics are preferred.
    Default(u32),
    /// It leads to other machines.
    Network,
    /// It is a tunnel, or a bridge that leads mostly to this machine itself.
    Inner,
}

fn interfaces() -> Option<Vec<OwnAddress>> {
    let found = if_addrs::get_if_addrs().ok()?;
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (v4, v6) = (
        default_routes_v4(&read("/proc/net/route")),
        default_routes_v6(&read("/proc/net/ipv6_route")),
    );
    let own = found.into_iter().map(|interface| {
        let ip = interface.ip();
        let routes = if ip.is_ipv4() { &v4 } else { &v6 };
        let of = match routes.get(&interface.name) {
            Some(metric) => Interface::Default(*metric),
            None if is_inner(&interface.name) => Interface::Inner,
            None => Interface::Network,
        };
        OwnAddress { ip, of }
    });
    Some(own.collect())
}

/// Returns the interfaces with a default route and the metric of each. Both tables are read in
/// the kernel's text format, since two columns of text do not justify a netlink library.
fn default_routes_v4(table: &str) -> BTreeMap<String, u32> {
    let mut routes = BTreeMap::new();
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if let [name, "00000000", _, _, _, _, metric, "00000000", ..] = columns[..] {
            prefer(&mut routes, name, metric.parse().unwrap_or(u32::MAX));
        }
    }
    routes
}

fn default_routes_v6(table: &str) -> BTreeMap<String, u32> {
    /// The flag of a route whose packets are refused.
    const REJECT: u32 = 0x200;
    let hex = |text| u32::from_str_radix(text, 16).unwrap_or(u32::MAX);
    let mut routes = BTreeMap::new();
    for line in table.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if let [to, "00", _, _, _, metric, _, _, flags, name] = columns[..]
            && to.bytes().all(|digit| digit == b'0')
            && hex(flags) & REJECT == 0
        {
            prefer(&mut routes, name, hex(metric));
        }
    }
    routes
}

fn prefer(routes: &mut BTreeMap<String, u32>, name: &str, metric: u32) {
    let known = routes.entry(name.to_owned()).or_insert(metric);
    *known = metric.min(*known);
}

/// Whether an interface is a bridge or a tunnel, by what the kernel says about it or else by its
/// name.
fn is_inner(name: &str) -> bool {
    /// The values of `type` for tunnels: none, PPP, IP in IP, SIT, GRE.
    const TUNNELS: [&str; 7] = ["65534", "768", "769", "776", "778", "823", "512"];
    /// The names that container runtimes, hypervisors and VPNs give to theirs.
    const NAMES: [&str; 14] = [
        "docker",
        "br-",
        "virbr",
        "veth",
        "lxc",
        "lxd",
        "podman",
        "cni",
        "flannel",
        "cali",
        "tun",
        "tap",
        "wg",
        "tailscale",
    ];
    let place = Path::new("/sys/class/net").join(name);
    if let Ok(kind) = std::fs::read_to_string(place.join("type")) {
        let is_there = |file| place.join(file).exists();
        if is_there("bridge") || is_there("tun_flags") || TUNNELS.contains(&kind.trim()) {
            return true;
        }
    }
    NAMES.iter().any(|start| name.starts_with(start))
}

fn reachable(listen: SocketAddr, own: &[OwnAddress]) -> Vec<SocketAddr> {
    let port = listen.port();
    if !listen.ip().is_unspecified() {
        return vec![canonical(listen)];
    }
    let mut own: Vec<OwnAddress> = own
        .iter()
        .map(|own| OwnAddress {
            ip: own.ip.to_canonical(),
            ..*own
        })
        .filter(|own| !own.ip.is_unspecified() && !own.ip.is_multicast())
        .filter(|own| listen.is_ipv6() || own.ip.is_ipv4())
        .collect();
    let is_good = |own: &OwnAddress| !own.ip.is_loopback() && !is_link_local(own.ip);
    if own
        .iter()
        .any(|own| is_good(own) && own.of != Interface::Inner)
    {
        own.retain(is_good);
    } else if own.iter().any(|own| !own.ip.is_loopback()) {
        own.retain(|own| !own.ip.is_loopback());
    }
    // IPv4 first, since it works more reliably on local networks. The sort is stable.
    own.sort_by_key(|own| (own.of, own.ip.is_ipv6(), is_unique_local(own.ip)));
    let own = own.into_iter().map(|own| (own.ip, port).into());
    first(own)
}

fn is_unique_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if Ipv6Addr::is_unique_local(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an IP address")
    }

    fn own_of(of: Interface, texts: &[&str]) -> Vec<OwnAddress> {
        let own = |text: &&str| OwnAddress { ip: ip(text), of };
        texts.iter().map(own).collect()
    }

    fn named(own: &[OwnAddress]) -> Vec<String> {
        let any = "[::]:3334".parse().expect("an address");
        let named = reachable(any, own).into_iter();
        named.map(|address| address.ip().to_string()).collect()
    }

    #[tokio::test]
    async fn localhost_is_found_and_nonsense_is_not() {
        let localhost = NetAddress::host("localhost", 7).expect("a name");
        let found = resolve(&[localhost]).await.expect("is found");
        assert!(
            found.iter().all(|a| a.ip().is_loopback() && a.port() == 7),
            "{found:?}"
        );
        let mixed = resolve(&["1.2.3.4:5".parse().expect("an address")]).await;
        assert_eq!(mixed.expect("is there").len(), 1);
    }

    #[tokio::test]
    async fn a_machine_that_moves_knows_where_it_is_and_where_it_is_no_more() {
        let listen = "[::]:3334".parse().expect("an address");
        let network = |texts: &[&str]| own_of(Interface::Network, texts);
        let mut here = Whereabouts {
            reach: Reach::of(listen, &[]).await,
            own: network(&["127.0.0.1", "10.0.0.1"]),
        };
        assert!(
            !here.replace(None),
            "what cannot be found out has not changed"
        );
        assert!(!here.replace(Some(network(&["127.0.0.1", "10.0.0.1"]))));
        assert!(here.replace(Some(network(&["127.0.0.1", "192.168.7.1"]))));
        let address = |text: &str| text.parse().expect(text);
        assert_eq!(here.addresses(), (vec![address("192.168.7.1:3334")], 0));
        assert!(here.has(ip("::ffff:192.168.7.1")) && here.has(ip("127.0.0.9")));
        assert!(!here.has(ip("10.0.0.1")));
    }

    #[tokio::test]
    async fn what_an_advertised_name_stands_for_may_change() {
        let listen = "10.0.0.1:3334".parse().expect("an address");
        let outer = ["203.0.113.5", "localhost:4000"].map(|text| text.parse().expect(text));
        let mut here = Whereabouts::new(Reach::of(listen, &outer[..1]).await);
        assert!(here.names().is_none() && !here.may_change());
        here = Whereabouts::new(Reach::of(listen, &outer).await);
        assert!(here.names().is_some_and(|names| names.len() == 2) && here.may_change());
        let now: Vec<SocketAddr> = vec!["203.0.113.9:4000".parse().expect("an address")];
        assert!(here.resolved(now.clone()));
        let other: SocketAddr = "203.0.113.8:4000".parse().expect("an address");
        assert!(here.resolved(vec![now[0], other]) && !here.resolved(vec![other, now[0]]));
        assert!(here.resolved(now.clone()));
        assert_eq!(here.addresses(), ([now, vec![listen]].concat(), 1));
    }

    #[test]
    fn loopback_is_named_only_where_there_is_nothing_else() {
        let own = [
            "127.0.0.1",
            "fd00::1",
            "fe80::1",
            "2001:db8::1",
            "10.0.0.1",
            "169.254.0.1",
        ];
        let network = |texts: &[&str]| own_of(Interface::Network, texts);
        assert_eq!(
            named(&network(&own)),
            ["10.0.0.1", "2001:db8::1", "fd00::1"]
        );
        assert_eq!(named(&network(&["127.0.0.1", "::1"])).len(), 2);
        let only = "127.0.0.2:5".parse().expect("an address");
        assert_eq!(reachable(only, &network(&own)), [only]);
        let many: Vec<_> = (1..=20).map(|n| format!("10.0.0.{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(named(&network(&many)).len(), 8);
    }

    #[test]
    fn the_way_to_the_world_comes_first_and_bridges_last() {
        let bridges: Vec<_> = (17..29).map(|n| format!("172.{n}.0.1")).collect();
        let bridges: Vec<_> = bridges.iter().map(String::as_str).collect();
        let mut own = own_of(Interface::Inner, &bridges);
        own.extend(own_of(
            Interface::Network,
            &["10.0.0.1", "127.0.0.1", "fe80::1"],
        ));
        own.extend(own_of(
            Interface::Default(100),
            &["192.168.1.2", "2001:db8::2"],
        ));
        own.extend(own_of(Interface::Default(20), &["192.168.2.2"]));
        let named = named(&own);
        assert_eq!(
            named[..5],
            [
                "192.168.2.2",
                "192.168.1.2",
                "2001:db8::2",
                "10.0.0.1",
                "172.17.0.1"
            ]
        );
        assert_eq!(named.len(), 8);
    }

    #[test]
    fn two_machines_on_one_cable_name_what_they_have() {
        let mut own = own_of(Interface::Inner, &["172.17.0.1"]);
        own.extend(own_of(
            Interface::Network,
            &["127.0.0.1", "::1", "fe80::1", "169.254.9.7"],
        ));
        assert_eq!(named(&own), ["169.254.9.7", "fe80::1", "172.17.0.1"]);
    }

    #[tokio::test]
    async fn what_is_advertised_comes_before_what_is_found() {
        let listen = "10.0.0.1:3334".parse().expect("an address");
        let outer = ["203.0.113.5", "localhost:4000"].map(|text| text.parse().expect(text));
        let reach = Reach::of(listen, &outer).await;
        let addresses = reach.addresses();
        assert_eq!(
            addresses[0],
            "203.0.113.5:3334".parse().expect("an address")
        );
        assert!(addresses[1].ip().is_loopback() && addresses[1].port() == 4000);
        assert_eq!(addresses.last(), Some(&listen));
        assert_eq!(usize::from(reach.advertised()), addresses.len() - 1);
        let named: Vec<_> = reach.named().iter().map(ToString::to_string).collect();
        assert_eq!(
            named,
            ["203.0.113.5:3334", "localhost:4000", "10.0.0.1:3334"]
        );
    }

    #[test]
    fn default_routes_are_read_off_the_tables() {
        let v4 = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
";
        let routes = default_routes_v4(v4);
        let expected = [("eth0", 100), ("wlan0", 600)];
        assert!(
            routes
                .iter()
                .map(|(name, metric)| (name.as_str(), *metric))
                .eq(expected)
        );
        let none = "0".repeat(32);
        let v6 = format!(
            "{none} 00 {none} 00 fe800000000000000000000000000001 00000400 1 0 00450003 eth0\n\
             fd000000000000000000000000000000 40 {none} 00 {none} 00000100 1 0 00000001 eth1\n\
             {none} 00 {none} 00 {none} ffffffff 1 0 00200200 lo\n"
        );
        let routes = default_routes_v6(&v6);
        assert!(routes.into_iter().eq([("eth0".to_owned(), 0x400)]));
    }
}
