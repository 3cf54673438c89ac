//! The pictures of README, taken of a small village: `.ci/screenshots`.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::bytes;
use super::row_with;
use super::scene::{OAK, scene};

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
    let dir = std::env::var("THORP_SCREENSHOTS").expect("the directory to write to");
    let dir = PathBuf::from(dir);
    let address = |last| Ipv4Addr::new(192, 168, 198, last);
    let mut hosts = vec![OAK];
    hosts.extend(PEERS.map(|(_, last)| address(last)));
    scene("pictures_of_the_page", &hosts, |scene| {
        let film = bytes(160 << 20);
        let peers = PEERS.map(|(name, last)| scene.peer(address(last), name));
        for (name, holders, length) in FILES {
            for holder in *holders {
                peers[*holder].file(name, &film[film.len() - length..]);
            }
        }
        peers[0].file("report.pdf", &film[..120_400]);
        peers[4].file("report.pdf", &film[..118_200]);
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
