//! The pictures of README, taken of a small village: `.ci/screenshots`.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::bytes;
use super::chromium::Browser;
use super::row_with;
use super::scene::{OAK, scene};
use crate::support::{Net, Node, Tmux, Village};

const PEERS: [(&str, u8); 5] = [
    ("elm", 139),
    ("birch", 137),
    ("maple", 140),
    ("hazel", 141),
    ("rowan", 142),
];

/// Which peers have a file, by their places in [`PEERS`], and how long it is.
const FILES: &[(&str, &[usize], usize)] = &[
    ("films/harbour.mkv", &[0, 1, 3], 160 << 20),
    ("films/lighthouse.mkv", &[3], 12 << 20),
    ("music/the fence.flac", &[2, 4], 5 << 20),
    ("photos/2025/lake.jpg", &[1], 410_000),
    ("photos/2025/hill.jpg", &[1, 4], 380_000),
    ("photos/2026/bridge.jpg", &[4], 520_000),
    ("slides/summer.pdf", &[0, 2, 3], 820_000),
    ("slides/autumn.pdf", &[0], 640_000),
    ("minutes.md", &[2], 2_310),
    ("budget.ods", &[0, 1], 48_200),
    ("map of the village.svg", &[0, 1, 2, 3, 4], 21_700),
    ("recipes.epub", &[3, 4], 1_204_000),
    ("timetable.csv", &[1, 2], 9_800),
];

#[test]
#[ignore = "writes the pictures of README: .ci/screenshots"]
fn pictures_of_the_page() {
    let dir = dir();
    scene("pictures_of_the_page", &hosts(), |scene| {
        let peers = PEERS.map(|(name, last)| scene.peer(address(last), name));
        fill(&peers);
        scene.oak.file("notes/tuesday.md", "Ask the neighbours.");
        let _running = peers.each_ref().map(|peer| scene.joins(peer));
        let browser = scene.open();
        let picture = |name: &str, scheme: &str| {
            browser.look(1100, 660, scheme);
            browser.settle();
            browser.picture(&dir.join(format!("{name}-{scheme}.webp")));
        };
        browser.until("all of it", &row_with("timetable.csv"));
        browser.until(
            "the age",
            "document.querySelector('.age').textContent !== 'asking …'",
        );
        picture("files", "light");
        picture("files", "dark");

        // Something to look back on.
        for name in [
            "slides/autumn.pdf",
            "minutes.md",
            "photos/2025/lake.jpg",
            "photos/2026/bridge.jpg",
            "films/lighthouse.mkv",
            "budget.ods",
            "music/the fence.flac",
        ] {
            scene.oak.fetch(name);
        }
        for (_, last) in PEERS {
            scene.net.limit(address(last), "60mbit");
        }
        browser.go_to("#/files/films");
        browser.click("[aria-label='Fetch films/harbour.mkv into the share']");
        browser.go_to("#/transfers");
        let bar = "Number(document.querySelector('.pieces')?.getAttribute('aria-valuenow') ?? 0)";
        browser.until("a part of it", &format!("{bar} > 25"));
        browser.read("document.getElementById('remarks').replaceChildren()");
        picture("transfers", "light");
        picture("transfers", "dark");
        browser.show("village");
        browser.until(
            "all in the picture",
            "document.querySelectorAll('.picture .trip').length >= 3",
        );
        picture("village", "light");
        picture("village", "dark");
    });
}

#[test]
#[ignore = "writes the pictures of README: .ci/screenshots"]
fn pictures_of_the_terminal() {
    const SIZE: (u16, u16) = (80, 24);
    let test = "pictures_of_the_terminal";
    let dir = dir();
    let net = Net::new(test, &hosts()).expect("hosts");
    let host = net.host(OAK).clone();
    host.clone().run(move || {
        let village = Village::new();
        let tracker = village.node("tracker").on(&host);
        let args = ["tracker", "--open", "--name", "hall"];
        let hall = Tmux::start(test, &tracker, &args, SIZE, "").expect("tmux");
        hall.shows("Waiting for a connection...");
        let peers = PEERS.map(|(name, last)| village.node(name).on(net.host(address(last))));
        fill(&peers);
        let at = OAK.to_string();
        let [others @ .., rowan] = &peers;
        let share = ["share", "--tracker", &at, "--name"];
        let _running = others
            .each_ref()
            .map(|peer| peer.start(&[&share[..], &[peer.name(), "--lines"]].concat()));
        // What it shares is where it would be on a machine of one's own.
        let home = "mount -t tmpfs none /home && mkdir -p /home/rowan/village &&
            mount --bind $PWD /home/rowan/village && exec \"$@\"";
        let at_home = rowan
            .clone()
            .under(&["unshare", "--mount", "sh", "-c", home, "sh"]);
        let args = [&share[..], &[rowan.name(), "/home/rowan/village"]].concat();
        let terminal = Tmux::start(test, &at_home, &args, SIZE, "").expect("tmux");
        terminal.shows("2. Leave.");
        hall.shows("films/harbour.mkv");

        let browser = Browser::start(&host, &tracker.state().with_file_name("browser"));
        let picture = |of: &Tmux, name: &str| {
            let shown = village.node("pictures").share().join("shown.html");
            fs::write(&shown, document(&of.painted())).unwrap();
            browser.go(&format!("file://{}", shown.display()));
            browser.look(WIDTH, HEIGHT, "dark");
            browser.settle();
            browser.exact_picture(&dir.join(name));
        };
        terminal.press(&["Tab"]);
        terminal.shows("Files here");
        terminal.press(&["a"]);
        terminal.shows("slides/");
        terminal.press(&["Down", "Down"]);
        picture(&terminal, "terminal-files.webp");
        terminal.press(&["Home", "Enter"]);
        terminal.shows("harbour.mkv");
        terminal.press(&["Enter", "3"]);
        terminal.shows("Ended");
        hall.until("neighbours", |shown| {
            let mut lines = shown.lines();
            let is_source = |line: &str| line.contains("birch") || line.contains("elm");
            lines.any(|line| is_source(line) && line.contains(".142"))
        });
        picture(&hall, "terminal-tracker.webp");
    });
}

/// The size of a picture of a terminal, in the browser's pixels.
const WIDTH: u32 = 704;
const HEIGHT: u32 = 440;

/// A document that looks as a terminal does which shows this.
fn document(painted: &str) -> String {
    let mut look = Look::default();
    let mut text = String::new();
    let mut pieces = painted.split("\u{1b}[");
    text.push_str(&look.span(pieces.next().unwrap()));
    for piece in pieces {
        let (codes, shown) = piece.split_once('m').unwrap();
        look.become_as(codes);
        text.push_str(&look.span(shown));
    }
    format!(
        "<!doctype html><meta charset=utf-8><style>
        body {{ margin: 0; background: {GROUND}; color: {INK}; }}
        pre {{ margin: 16px; font: 14px/17px 'DejaVu Sans Mono', monospace; }}
        </style><pre>{text}</pre>"
    )
}

const GROUND: &str = "#16181d";
const INK: &str = "#dfe3e8";
const CYAN: &str = "#56c8d8";
const GREY: &str = "#8b929c";

/// How a terminal shows what follows.
#[derive(Default)]
struct Look {
    is_bold: bool,
    is_reversed: bool,
    colour: Option<&'static str>,
}

impl Look {
    /// Takes what the screens use; of anything else the picture would be wrong.
    fn become_as(&mut self, codes: &str) {
        let mut codes = codes.split(';');
        while let Some(code) = codes.next() {
            match code {
                "" | "0" => *self = Self::default(),
                "1" => self.is_bold = true,
                "7" => self.is_reversed = true,
                "36" => self.colour = Some(CYAN),
                "38" => {
                    assert_eq!(codes.next(), Some("5"));
                    self.colour = match codes.next() {
                        Some("6") => Some(CYAN),
                        Some("8") => Some(GREY),
                        other => panic!("what colour is {other:?}?"),
                    };
                }
                "39" => self.colour = None,
                "49" => {}
                other => panic!("what is {other}?"),
            }
        }
    }

    fn span(&self, text: &str) -> String {
        let ink = self.colour.unwrap_or(INK);
        let (ink, ground) = if self.is_reversed {
            (GROUND, ink)
        } else {
            (ink, GROUND)
        };
        let weight = if self.is_bold { "bold" } else { "normal" };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        format!("<span style='color:{ink};background:{ground};font-weight:{weight}'>{text}</span>")
    }
}

fn dir() -> PathBuf {
    let dir = std::env::var("THORP_SCREENSHOTS");
    PathBuf::from(dir.expect("the directory to write to"))
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 198, last)
}

fn hosts() -> Vec<Ipv4Addr> {
    let peers = PEERS.map(|(_, last)| address(last));
    [OAK].into_iter().chain(peers).collect()
}

/// Gives each peer its files.
fn fill(peers: &[Node; PEERS.len()]) {
    let film = bytes(160 << 20);
    for (name, holders, length) in FILES {
        for holder in *holders {
            peers[*holder].file(name, &film[film.len() - length..]);
        }
    }
    peers[0].file("report.pdf", &film[..120_400]);
    peers[4].file("report.pdf", &film[..118_200]);
}
