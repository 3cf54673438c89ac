//! A village on hosts of its own, and the page of its first node, opened. At the end of each scene
//! it is looked whether the page has complained, or has asked any machine but its own node.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::OnceLock;

use super::chromium::{self, Browser};
use crate::support::process::poll;
use crate::support::village::listening;
use crate::support::{Net, Node, PATIENCE, Running, Village};

pub const OAK: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 138);
pub const ELM: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 139);
pub const BIRCH: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 137);

/// What a test plays with. It ends in this order.
pub struct Scene {
    browser: OnceLock<Browser>,
    /// The first node, once there is something to share.
    runs: OnceLock<Running>,
    /// Where its page is.
    address: OnceLock<String>,
    /// The node whose page is shown. The group's CA is here.
    pub oak: Node,
    is_tracker: bool,
    village: Village,
    pub net: Net,
}

/// Plays a scene whose first node is a peer that has made a group.
pub fn scene(test: &str, hosts: &[Ipv4Addr], play: impl FnOnce(&Scene) + Send) {
    play_on(test, hosts, false, play);
}

/// Plays a scene whose first node is a tracker alone.
pub fn tracker(test: &str, hosts: &[Ipv4Addr], play: impl FnOnce(&Scene) + Send) {
    play_on(test, hosts, true, play);
}

fn play_on(test: &str, hosts: &[Ipv4Addr], is_tracker: bool, play: impl FnOnce(&Scene) + Send) {
    if !chromium::is_here(test) {
        return;
    }
    let Some(net) = Net::new(test, hosts) else {
        return;
    };
    let host = net.host(OAK).clone();
    let village = Village::new();
    let oak = village.node("oak").on(&host);
    // The browser and its driver reach nothing but this host's own addresses, and its neighbours.
    host.run(move || {
        let scene = Scene {
            oak,
            net,
            village,
            browser: OnceLock::new(),
            address: OnceLock::new(),
            is_tracker,
            runs: OnceLock::new(),
        };
        play(&scene);
        scene.assert_quiet();
    });
}

impl Scene {
    /// A peer on this host, which is no member yet.
    pub fn peer(&self, address: Ipv4Addr, name: &str) -> Node {
        self.village.node(name).on(self.net.host(address))
    }

    /// Lets a peer in, and starts it.
    pub fn joins(&self, peer: &Node) -> Running {
        self.starts();
        let invite = self.oak.run(&["invite"]).exits(0).stdout;
        peer.start_reading(&invite, &["join", "-", "--name", peer.name()])
            .finish(PATIENCE)
            .exits(0);
        // Its tracker serves ordinary clients, if it is alone.
        let serves = self.is_tracker.then_some("--bittorrent");
        let args: Vec<_> = ["share", "--lines"].into_iter().chain(serves).collect();
        let running = peer.start(&args);
        running.wait_for_line("Connection Established!", |line| {
            line == "Connection Established!"
        });
        running
    }

    /// Opens the page.
    pub fn open(&self) -> &Browser {
        let link = self.link();
        let browser = self.browser();
        browser.go(&link);
        browser.until(
            "the tabs",
            "document.querySelector('.tabs a[aria-current]')",
        );
        browser
    }

    /// The browser, with nothing in it.
    pub fn browser(&self) -> &Browser {
        let host = self.net.host(OAK);
        // Chromium gives up what it loads whenever the host gets another address.
        poll("all addresses of the host", PATIENCE, || {
            let mut asked = host.command("ip");
            let asked = asked.args(["-6", "address", "show", "tentative"]).output();
            asked.unwrap().stdout.is_empty().then_some(())
        });
        let dir = self.oak.state().with_file_name("browser");
        self.browser.get_or_init(|| Browser::start(host, &dir))
    }

    /// A new link to the page.
    pub fn link(&self) -> String {
        self.starts();
        let told = self.oak.run(&["page", "--print"]).exits(0).stdout;
        let link = told.trim();
        let address = link.split('#').next().unwrap();
        self.address.get_or_init(|| address.to_owned());
        link.to_owned()
    }

    /// Puts so many small files into the folder `many` of the first node's share, which is kept in
    /// memory where it can be: this is not about the disk.
    pub fn fill_oak(&self, files: usize) {
        let many = self.oak.share().join("many");
        fs::create_dir_all(&many).unwrap();
        for number in 0..files {
            fs::write(many.join(format!("{number:06}.txt")), []).unwrap();
        }
    }

    fn starts(&self) {
        self.runs.get_or_init(|| {
            if self.is_tracker {
                let running = self.oak.start(&["tracker", "--lines", "--bittorrent"]);
                listening(&running);
                return running;
            }
            let running = self.oak.start(&["share", "--lines", "--name", "oak"]);
            poll("oak is up", PATIENCE * 4, || {
                let (_, status) = self.oak.json(&["status"]);
                let status = status.first()?;
                let is_up = status["tracker_connected"] == true && status["unhashed"] == 0;
                is_up.then_some(())
            });
            running
        });
    }

    /// Asserts that the console is empty, and that no request has gone elsewhere.
    fn assert_quiet(&self) {
        let Some(browser) = self.browser.get() else {
            return;
        };
        let own = self.address.get().unwrap();
        let away: Vec<_> = browser
            .requests()
            .into_iter()
            .filter(|url| !url.starts_with(own) && !url.starts_with("about:"))
            .collect();
        assert_eq!(away, Vec::<String>::new(), "the page of {own}");
        assert_eq!(browser.complaints(), Vec::<String>::new());
    }
}
