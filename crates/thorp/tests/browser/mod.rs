//! The page, as a user of a real Chromium sees it, with real nodes, on hosts without a way to
//! anywhere else.
//!
//! ```text
//! asked     files anew, a listing by HTTP, torrents
//! chromium  the browser, led by its driver
//! pictures  the pictures of README
//! scene     a village whose first peer keeps the group; its page, opened
//! ```
//!
//! `axe.min.js` is axe-core 4.14.1 by Deque Systems, which finds what keeps people from using a
//! page; its licence is in `axe.LICENSE`. It is used here only.

mod asked;
mod chromium;
mod pictures;
mod scene;

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::process::poll;
use chromium::Browser;
use scene::{BIRCH, ELM, OAK, Scene, scene};

/// The views of a peer.
const VIEWS: [&str; 4] = ["files", "transfers", "village", "claim"];

#[test]
fn what_the_village_has_is_seen_found_fetched_and_downloaded() {
    let test = "what_the_village_has_is_seen_found_fetched_and_downloaded";
    scene(test, &[OAK, ELM, BIRCH], |scene| {
        let photo = bytes(300_000);
        let elm = scene.peer(ELM, "elm");
        elm.file("minutes.txt", "Present: all.");
        elm.file("[1].txt", "in brackets");
        elm.file("1.txt", "without");
        elm.file("photos/2024/lake.jpg", &photo);
        elm.file("photos/2024/hill.jpg", &photo[..1000]);
        elm.file("report.pdf", "the first version");
        elm.file("<img src=x onerror=document.title='taken'>.txt", "markup");
        elm.file("evil\u{202e}gpj.exe", "reversed");
        let birch = scene.peer(BIRCH, "birch");
        birch.file("report.pdf", "the second version, which is longer");
        let _elm = scene.joins(&elm);
        let _birch = scene.joins(&birch);
        let browser = scene.open();
        look_and_find(browser);
        go_through_folders(browser);
        sort_a_list(browser);
        choose_one_of_two(scene, browser);
        fetch(scene, browser);
        download(scene, browser, &photo);
        browser.show("claim");
        browser.until(
            "the share of lookups that spared the tracker",
            "/^\\d+ %$/.test(document.querySelector('.headline .large')?.textContent)",
        );
        browser.until(
            "who answered, drawn",
            "document.querySelector('.chart svg rect.tracker, .chart svg rect.memory')",
        );
    });
}

/// What is seen at first, and what is found while a user types.
fn look_and_find(browser: &Browser) {
    // First look: folders first, names as they are.
    browser.until("the folder", &row_with("photos"));
    browser.until(
        "both versions",
        &format!("{ROWS}.filter((row) => row.includes('report.pdf')).length === 2"),
    );
    let rows = browser.read(ROWS).to_string();
    assert!(rows.contains("<img src=x onerror="), "{rows}");
    assert!(rows.contains("evil\\\\u{202e}gpj.exe"), "{rows}");
    assert_eq!(
        browser.read("document.querySelectorAll('.list img').length"),
        0
    );
    assert_eq!(
        browser.read("location.hash"),
        "#/files",
        "no code is left in the address"
    );
    assert_eq!(browser.read("document.title"), "Files – thorp");

    // Found while it is typed: several words, any case.
    browser.press("/");
    browser.until("the field", "document.activeElement.id === 'search'");
    browser.press("LAKE photo");
    browser.until(
        "the photo alone",
        &format!("{ROWS}.length === 1 && {}", row_with("lake.jpg")),
    );
    browser.press("\u{e00c}"); // Esc
    browser.until("all again", &format!("{ROWS}.length > 3"));
}

/// All of it as a list, in several orders, and as folders again.
fn sort_a_list(browser: &Browser) {
    let first = format!("{ROWS}[0]");
    browser.go_to("#/files");
    browser.until("the folders", &row_with("photos"));
    browser.click(".tools [aria-pressed]");
    browser.until("a file of a folder", &row_with("hill.jpg"));
    let by = |column: &str| {
        let sorts = "[...document.querySelectorAll('.sort')]";
        browser.read(&format!(
            "{sorts}.find((one) => one.textContent === '{column}').click()"
        ));
        let head = "document.querySelector('[aria-sort=ascending], [aria-sort=descending]')";
        browser.until(column, &format!("{head}?.textContent === '{column}'"));
    };
    by("Size");
    let is_largest = |which: &str| format!("{ROWS}.at({which}).startsWith('lake.jpg')");
    browser.until(
        "the largest at one end",
        &format!("{} || {}", is_largest("0"), is_largest("-1")),
    );
    let was_first = browser.read(&is_largest("0"));
    by("Size");
    browser.until(
        "and then at the other",
        &format!("{} !== {was_first}", is_largest("0")),
    );
    for column in ["Changed", "Holders", "Name"] {
        by(column);
        browser.until("rows", &format!("{first} !== undefined"));
    }
    browser.click(".tools [aria-pressed]");
    browser.until("folders", &row_with("photos"));
}

/// Folders are gone through by the keyboard, and back.
fn go_through_folders(browser: &Browser) {
    // Through folders by the keyboard, and back.
    browser.press("\u{e007}"); // Enter: from the field to the list
    browser.until(
        "the list",
        "document.activeElement.getAttribute('role') === 'grid'",
    );
    browser.press("\u{e007}");
    browser.until("the folder's folder", "location.hash === '#/files/photos'");
    browser.until("its row", &row_with("2024"));
    browser.press("\u{e007}");
    browser.until("the photos", &row_with("hill.jpg"));
    browser.press("\u{e015}"); // Down
    browser.until(
        "the second row",
        "document.querySelector('[aria-selected] .label').textContent === 'lake.jpg'",
    );
    browser.press("\u{e003}"); // Backspace
    browser.until("the folder above", "location.hash === '#/files/photos'");
}

/// Two files of one name are shown side by side, and one of them is fetched.
fn choose_one_of_two(scene: &Scene, browser: &Browser) {
    // The same name, different content: side by side, and one of them is fetched.
    browser.go_to("#/files?q=report.pdf");
    browser.until("both", &format!("{ROWS}.length === 2"));
    browser.click(".rows .row .label");
    browser.until(
        "both, side by side",
        "document.querySelectorAll('dialog .card').length === 2",
    );
    let cards =
        "[...document.querySelectorAll('dialog .card')].map((card) => card.textContent).join()";
    let cards = browser.read(cards).to_string();
    assert!(cards.contains("17 B") && cards.contains("35 B"), "{cards}");
    assert!(cards.contains("elm") && cards.contains("birch"), "{cards}");
    assert_no_barriers(browser, "the dialog of a file");
    browser.click("dialog section:last-child .button.first");
    browser.until("the dialog is closed", "!document.querySelector('dialog')");
    browser.until(
        "what became of it",
        "document.getElementById('remarks').textContent.includes('is in your share')",
    );
    let fetched = scene.oak.bytes("report.pdf");
    assert!(
        fetched.starts_with(b"the second") || fetched.starts_with(b"the first"),
        "{fetched:?}"
    );
}

/// Files are fetched into the share by a click.
fn fetch(scene: &Scene, browser: &Browser) {
    // A name that looks like a pattern is a name.
    browser.go_to("#/files?q=[1]");
    browser.click("[aria-label='Fetch [1].txt into the share']");
    poll("[1].txt in the share", PATIENCE, || {
        let path = scene.oak.share().join("[1].txt");
        fs::read(path)
            .is_ok_and(|bytes| bytes == b"in brackets")
            .then_some(())
    });
    assert!(!scene.oak.share().join("1.txt").exists());

    // Fetched by a click.
    browser.go_to("#/files?q=minutes");
    browser.click("[aria-label='Fetch minutes.txt into the share']");
    poll("minutes.txt in the share", PATIENCE, || {
        let path = scene.oak.share().join("minutes.txt");
        fs::read(path)
            .is_ok_and(|bytes| bytes == b"Present: all.")
            .then_some(())
    });
    browser.go_to("#/transfers");
    browser.until(
        "where it lies",
        "document.querySelector('main').textContent.includes('/share/minutes.txt')",
    );
}

/// A file and a folder are saved by the browser.
fn download(scene: &Scene, browser: &Browser, photo: &[u8]) {
    // Downloaded by a click: a file, and a folder.
    browser.go_to("#/files/photos/2024");
    browser.click("[aria-label='Download photos/2024/lake.jpg']");
    assert!(browser.downloaded("lake.jpg") == photo, "other bytes");
    assert!(
        !scene.oak.share().join("photos").exists(),
        "a download is no fetch"
    );
    browser.go_to("#/files");
    browser.click("[aria-label='Download the folder photos']");
    let zip = browser.downloaded("photos.zip");
    assert!(zip.starts_with(b"PK\x03\x04"), "{:?}", &zip[..4]);
    assert!(contains(&zip, photo), "the photo is in it, stored");
}

#[test]
fn a_transfer_moves_is_paused_and_taken_up_again() {
    let test = "a_transfer_moves_is_paused_and_taken_up_again";
    scene(test, &[OAK, ELM], |scene| {
        let elm = scene.peer(ELM, "elm");
        let film = bytes(32 << 20);
        elm.file("films/harbour.mkv", &film);
        elm.file(
            "films/lighthouse.mkv",
            film.iter().rev().copied().collect::<Vec<_>>(),
        );
        let _elm = scene.joins(&elm);
        // Some three megabytes a second, so that there is something to see.
        scene.net.limit(ELM, "24mbit");
        let browser = scene.open();
        browser.until("the folder", &row_with("films"));
        browser.go_to("#/files/films");
        browser.click("[aria-label='Fetch films/harbour.mkv into the share']");
        browser.go_to("#/transfers");
        let bar =
            "Number(document.querySelector('.card .pieces')?.getAttribute('aria-valuenow') ?? 0)";
        let begun = browser.until("some of it", bar).as_u64().unwrap();
        browser.until("more of it", &format!("{bar} > {begun}"));
        let card = "document.querySelector('.card').textContent";
        let told = browser.read(card).to_string();
        assert!(told.contains("harbour.mkv in films"), "{told}");
        browser.until(
            "from whom, and how fast",
            &format!("/elm/.test({card}) && /iB\\/s/.test({card}) && /left/.test({card})"),
        );

        browser.click("[aria-label^='Pause']");
        browser.until("it is paused", &format!("/paused/.test({card})"));
        assert_no_barriers(browser, "a transfer that is paused");
        browser.click("[aria-label^='Take up again']");
        browser.until("it goes on", &format!("!/paused/.test({card})"));
        browser.until(
            "it is finished",
            "document.querySelector('.tag')?.textContent === 'finished'",
        );
        assert!(scene.oak.bytes("films/harbour.mkv") == film, "other bytes");
        let place = scene.oak.share().join("films/harbour.mkv");
        let place = serde_json::to_string(place.to_str().unwrap()).unwrap();
        browser.until("where it lies", &format!("{card}.includes({place})"));

        // What is cancelled stays away.
        browser.go_to("#/files/films");
        browser.click("[aria-label='Fetch films/lighthouse.mkv into the share']");
        browser.go_to("#/transfers");
        browser.until("some of it", bar);
        browser.click("[aria-label^='Cancel']");
        browser.click("dialog .danger");
        let tags = "[...document.querySelectorAll('.tag')].map((tag) => tag.textContent).join()";
        browser.until(
            "it is cancelled",
            &format!("{tags} === 'cancelled,finished'"),
        );
        assert!(!scene.oak.share().join("films/lighthouse.mkv").exists());

        // What goes, and to whom.
        scene.oak.file("mill.mkv", &film[..20 << 20]);
        poll("the other film to be listed", PATIENCE, || {
            let (_, found) = elm.json(&["find", "mill.mkv"]);
            found
                .iter()
                .any(|row| row["root"].is_string())
                .then_some(())
        });
        let fetching = elm.start(&["get", "mill.mkv"]);
        let cards = "[...document.querySelectorAll('.card')].map((card) => card.textContent)";
        let goes = "(card) => /mill.mkv/.test(card) && /to elm/.test(card) && /iB\\/s/.test(card)";
        browser.until("what goes to elm", &format!("{cards}.some({goes})"));
        fetching.finish(PATIENCE).exits(0);
    });
}

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
            "how far they are",
            "document.querySelectorAll('.picture .trip').length === 2",
        );
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
        browser.until(
            "its code",
            "document.querySelector('.qr .dark')?.getAttribute('d').length > 1000",
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
        browser.go_to("#/claim");
        browser.until(
            "the torrents with the most clients, by their names",
            "document.querySelector('section[aria-label=Torrents] tbody th')?.textContent.endsWith('.txt')",
        );
        assert_no_barriers(browser, "a tracker's claim");
        browser.go_to("#/tables");
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

/// Bytes that do not repeat, the same at each run.
fn bytes(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(14);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
