//! The page, as a user of a real Chromium sees it, with real nodes, on hosts without a way to
//! anywhere else.
//!
//! ```text
//! chromium  the browser, led by its driver
//! scene     a village whose first peer keeps the group; its page, opened
//! ```
//!
//! `axe.min.js` is axe-core 4.14.1 by Deque Systems, which finds what keeps people from using a
//! page; its licence is in `axe.LICENSE`. It is used here only.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod chromium;
mod scene;

use std::time::Duration;

use serde_json::{Value, json};

use chromium::Browser;
use scene::{BIRCH, ELM, OAK, scene};
use support::PATIENCE;

/// The views of a peer.
const VIEWS: [&str; 4] = ["files", "transfers", "village", "claim"];

#[test]
fn a_peer_that_leaves_disappears_and_a_removed_one_too() {
    let test = "a_peer_that_leaves_disappears_and_a_removed_one_too";
    scene(test, &[OAK, ELM, BIRCH], |scene| {
        let (elm, birch) = (scene.peer(ELM, "elm"), scene.peer(BIRCH, "birch"));
        elm.file("a.txt", "a");
        birch.file("b.txt", "b");
        let elm_runs = scene.joins(&elm);
        let _birch = scene.joins(&birch);
        // Who fetches from one another becomes a neighbour.
        scene.oak.fetch("a.txt");
        scene.oak.fetch("b.txt");
        let browser = scene.open();
        browser.go_to("#/village");
        let houses = "[...document.querySelectorAll('.picture .called text:not(.trip)')].map((name) => name.textContent).sort().join()";
        browser.until("both in the picture", &format!("{houses} === 'birch,elm'"));
        browser.until(
            "their members",
            "document.querySelectorAll('.members tbody .tag').length === 4",
        );

        // One leaves: said by nobody but the node.
        elm.run(&["stop"]).exits(0);
        elm_runs.finish(PATIENCE).exits(0);
        browser.until(
            "elm has gone from the picture",
            &format!("{houses} === 'birch'"),
        );
        browser.until(
            "and from the table",
            "!document.querySelector('table').textContent.includes('elm')",
        );

        // An invite, as text and as a code.
        browser.click(".members .button.first");
        browser.click("dialog [type=submit]");
        browser.until(
            "its text",
            "document.getElementById('invite-text')?.value.startsWith('thorp1')",
        );
        assert_no_barriers(browser, "an invite");
        browser.press("\u{e00c}");
        browser.until("it is closed", "!document.querySelector('dialog')");

        // Removal asks, and does nothing unless it is told so.
        let state = "[...document.querySelectorAll('.members tr')].find((row) => row.textContent.startsWith('birch'))?.textContent";
        browser.click("[aria-label='Remove birch']");
        browser.until(
            "it asks",
            "document.querySelector('dialog')?.textContent.includes('Remove birch')",
        );
        browser.press("\u{e007}"); // What has the focus is the harmless answer.
        browser.until("nothing is done", "!document.querySelector('dialog')");
        assert!(!browser.read(state).to_string().contains("removed"));
        browser.click("[aria-label='Remove birch']");
        browser.click("dialog .danger");
        browser.until("it is removed", &format!("{state}.includes('removed')"));
        browser.until("its link has gone", &format!("{houses} === ''"));
        let (_, members) = scene.oak.json(&["members"]);
        let is_removed = |member: &Value| member["name"] == "birch" && member["removed"] == true;
        assert!(members.iter().any(is_removed), "{members:?}");
    });
}

#[test]
fn every_view_can_be_used_in_a_narrow_window_in_the_dark_and_with_a_screen_reader() {
    let test = "every_view_can_be_used_in_a_narrow_window_in_the_dark_and_with_a_screen_reader";
    scene(test, &[OAK, ELM], |scene| {
        let elm = scene.peer(ELM, "elm");
        elm.file(
            "a name that is much too long for a narrow window and goes on and on.txt",
            "a",
        );
        elm.file("b.txt", "b");
        let _elm = scene.joins(&elm);
        scene.oak.fetch("b.txt");
        let browser = scene.open();
        browser.until("a file", &row_with("b.txt"));
        let ground = "getComputedStyle(document.body).backgroundColor";
        let light = browser.read(ground);
        for scheme in ["light", "dark"] {
            browser.look(1280, 800, scheme);
            for view in VIEWS {
                browser.show(view);
                assert_no_barriers(browser, &format!("{view}, {scheme}"));
            }
        }
        assert_ne!(browser.read(ground), light, "dark is another colour");
        browser.look(360, 640, "dark");
        for view in VIEWS {
            browser.show(view);
            let wide = "Math.max(document.documentElement.scrollWidth, document.querySelector('main').scrollWidth)";
            assert_eq!(browser.read(wide), 360, "{view} is wider than the window");
            assert_no_barriers(browser, &format!("{view}, narrow"));
        }
        let tabs = "[...document.querySelectorAll('.tabs a')].every((tab) => tab.getBoundingClientRect().bottom <= innerHeight)";
        assert_eq!(browser.read(tabs), true, "the tabs are in the window");
    });
}

#[test]
fn a_hundred_thousand_files_are_scrolled_through_with_few_rows_in_the_document() {
    let test = "a_hundred_thousand_files_are_scrolled_through_with_few_rows_in_the_document";
    scene(test, &[OAK], |scene| {
        const FILES: usize = 100_000;
        scene.fill_oak(FILES);
        let browser = scene.open();
        browser.until("the folder", &row_with("many"));
        browser.go_to("#/files/many");
        browser.until(
            "all are counted",
            "document.querySelector('.list').getAttribute('aria-rowcount') === '100001'",
        );
        browser.until("the first", &row_with("000000.txt"));
        let rows = "document.querySelectorAll('.rows > .row').length";
        // To a place in the middle, as by the scrollbar, and to both ends by the keyboard.
        browser.read("document.querySelector('.list').scrollTop = 42 * 51234");
        browser.until("the middle", &row_with("051240.txt"));
        assert!(browser.read(rows).as_u64().unwrap() < 500);
        browser.focus(".list");
        browser.press("\u{e010}"); // End
        browser.until("the last", &row_with("099999.txt"));
        assert!(browser.read(rows).as_u64().unwrap() < 500);
        // A hundred screens in a row: rows come and go, and never pile up.
        let most = browser.read_later(
            "
            const list = document.querySelector('.list');
            let most = 0;
            let step = 0;
            const turn = () => {
                most = Math.max(most, document.querySelectorAll('.rows > .row').length);
                list.scrollTop = (step += 1) * list.scrollHeight / 100;
                if (step < 100) requestAnimationFrame(turn); else done(most);
            };
            turn();",
        );
        assert!(
            (1..500).contains(&most.as_u64().unwrap()),
            "{most} rows at once"
        );
        // And searched.
        browser.click("#search");
        browser.press("77777");
        browser.until(
            "the one",
            &format!("{ROWS}.length === 1 && {}", row_with("077777.txt")),
        );
    });
}

#[test]
fn a_link_opens_the_page_once_and_what_has_none_says_how_to_get_one() {
    let test = "a_link_opens_the_page_once_and_what_has_none_says_how_to_get_one";
    scene(test, &[OAK], |scene| {
        scene.oak.file("a.txt", "a");
        let link = scene.link();
        let browser = scene.browser();
        browser.go(&link);
        browser.until("the page", &row_with("a.txt"));
        // It is kept by this tab, over a reload.
        browser.read("location.reload()");
        browser.until("the page again", &row_with("a.txt"));
        browser.read("sessionStorage.clear()");
        let closed = "/closed/.test(document.querySelector('main h2')?.textContent)";
        browser.go("about:blank");
        browser.go(&link);
        browser.until("a link that was used", closed);
        let told = browser
            .read("document.querySelector('main').textContent")
            .to_string();
        assert!(told.contains("thorp page"), "{told}");
        browser.go("about:blank");
        browser.go(link.split('#').next().unwrap());
        browser.until("no link", closed);

        // A node that has ended is told.
        browser.go(&scene.link());
        browser.until("the page", &row_with("a.txt"));
        scene.oak.run(&["stop"]).exits(0);
        browser.until(
            "that it has ended",
            "/cannot be reached/.test(document.getElementById('banner').textContent)",
        );
        browser.go("about:blank");
        // What the browser itself says of these refusals was meant; anything else is a fault.
        let meant = ["403", "401", "ERR_"];
        let others = |message: &String| !meant.iter().any(|meant| message.contains(meant));
        let complaints: Vec<_> = browser.complaints().into_iter().filter(others).collect();
        assert_eq!(complaints, Vec::<String>::new());
    });
}

#[test]
fn a_tracker_shows_its_two_tables_as_they_change() {
    let test = "a_tracker_shows_its_two_tables_as_they_change";
    scene::tracker(test, &[OAK, ELM], |scene| {
        let elm = scene.peer(ELM, "elm");
        for number in 0..120 {
            elm.file(&format!("{number:03}.txt"), number.to_string());
        }
        let browser = scene.open();
        let peers = "[...document.querySelectorAll('section[aria-label=Peers] tbody tr')].map((row) => row.textContent)";
        let files = "[...document.querySelectorAll('section[aria-label=Files] tbody tr')].map((row) => row.textContent)";
        browser.until(
            "the tables",
            "document.querySelectorAll('table').length >= 2",
        );
        assert_eq!(browser.read(peers), json!([]));
        let runs = scene.joins(&elm);
        browser.until(
            "the peer comes",
            &format!("{peers}.length === 1 && {peers}[0].includes('120')"),
        );
        browser.until(
            "its files",
            &format!("{files}.length === 50 && {files}[0].startsWith('000.txt')"),
        );
        browser.click("section[aria-label=Files] .steps button:nth-child(3)");
        browser.until(
            "the next page",
            &format!("{files}[0].startsWith('050.txt')"),
        );
        browser.click("section[aria-label=Files] .steps button:nth-child(4)");
        browser.until(
            "the last page",
            &format!("{files}.at(-1).startsWith('119.txt')"),
        );
        browser.click("#search");
        browser.press("11");
        browser.until(
            "what is looked for",
            &format!("{files}.length === 11 && {files}[0].startsWith('011.txt')"),
        );
        assert_no_barriers(browser, "a tracker's tables");
        elm.run(&["stop"]).exits(0);
        runs.finish(Duration::from_secs(30)).exits(0);
        browser.until("the peer has gone", &format!("{peers}.length === 0"));
        browser.until("and its files", &format!("{files}.length === 0"));
    });
}

/// The texts of the rows in sight, without those that are still being fetched.
const ROWS: &str = "[...document.querySelectorAll('.list:not([hidden]) .rows > .row:not(:has(.waiting)) .label')].map((label) => label.textContent)";

/// Whether a row in sight begins with this.
fn row_with(name: &str) -> String {
    format!("{ROWS}.some((row) => row.startsWith('{name}'))")
}

#[track_caller]
fn assert_no_barriers(browser: &Browser, of: &str) {
    let found = browser.barriers();
    assert_eq!(found, Vec::<String>::new(), "{of}");
}
