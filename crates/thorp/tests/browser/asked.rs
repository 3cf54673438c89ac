//! What a user asks the village for, beside looking: its files anew, a listing by HTTP, a torrent.

use std::fs;

use serde_json::json;

use super::scene::{ELM, OAK, scene};
use super::{assert_no_barriers, bytes, row_with};
use crate::support::PATIENCE;
use crate::support::process::poll;

#[test]
fn the_village_is_asked_when_the_page_opens_and_by_a_button_but_not_again_within_thirty_seconds() {
    let test = "the_village_is_asked_when_the_page_opens_and_by_a_button_but_not_again_within_thirty_seconds";
    scene(test, &[OAK, ELM], |scene| {
        let elm = scene.peer(ELM, "elm");
        elm.file("early.txt", "early");
        let _elm = scene.joins(&elm);
        let browser = scene.open();
        browser.until("what is there", &row_with("early.txt"));
        let age = "document.querySelector('.age').textContent";
        browser.until("its age", &format!("/just now|\\d+ s ago/.test({age})"));
        let is_closed = "document.querySelector('.asking button').disabled";
        assert_eq!(browser.read(is_closed), true, "it was asked just now");

        // What comes later is not seen: neither by looking again nor by opening the page again.
        elm.file("late.txt", "late");
        poll("the tracker to know it", PATIENCE, || {
            let (_, found) = scene.oak.json(&["find", "late.txt"]);
            found
                .iter()
                .any(|row| row["name"] == "late.txt")
                .then_some(())
        });
        browser.read("void (window.isOld = true)");
        browser.read("location.reload()");
        browser.until("the page anew", "!window.isOld");
        browser.until("what was there", &row_with("early.txt"));
        browser.until("how old that is", &format!("/\\d+ s ago/.test({age})"));
        assert_eq!(browser.read(&row_with("late.txt")), false);
        assert_eq!(browser.read(is_closed), true);
        let refused = "fetch('/api/village', { method: 'POST', body: '{}', headers: {
                'Content-Type': 'application/json',
                Authorization: `Bearer ${sessionStorage.getItem('thorp-bearer')}` } })
            .then((answer) => done(answer.status))";
        assert_eq!(browser.read_later(refused), 429);

        browser.until("the button", &format!("!{is_closed}"));
        assert_no_barriers(browser, "files of some age");
        browser.click(".asking button");
        browser.until("what came later", &row_with("late.txt"));
        browser.until(
            "how new that is",
            &format!("/just now|^\\d s ago/.test({age})"),
        );
        // What the browser itself says of the refusal was meant.
        let others = |message: &String| !message.contains("429");
        let complaints = browser.complaints().into_iter().filter(others);
        assert_eq!(complaints.collect::<Vec<_>>(), Vec::<String>::new());
    });
}

#[test]
fn a_listing_by_http_is_clicked_through_to_a_file() {
    let test = "a_listing_by_http_is_clicked_through_to_a_file";
    scene(test, &[OAK, ELM], |scene| {
        let elm = scene.peer(ELM, "elm");
        let clip = bytes(100_000);
        elm.file("site/a b/notes.txt", "Ask the neighbours.");
        elm.file(
            "site/a b/evil.html",
            "<script>document.title = 'taken'</script>",
        );
        elm.file(
            "site/a b/evil.svg",
            "<svg xmlns='http://www.w3.org/2000/svg' onload=\"fetch('/api/jobs')\"/>",
        );
        elm.file("site/a b/acorn.bin", &clip);
        let _elm = scene.joins(&elm);
        // The token as the password of Basic, as a browser asks for it.
        let address = scene.link();
        let address = address.split('#').next().unwrap();
        let (_, status) = scene.oak.json(&["status"]);
        let token = fs::read_to_string(status[0]["token_file"].as_str().unwrap()).unwrap();
        let with_token = address.replace("://", &format!("://thorp:{}@", token.trim()));
        let browser = scene.browser();
        browser.go(&format!("{with_token}get/site/"));
        let path = |path: &str| format!("location.pathname === {}", json!(path));
        browser.until("the listing", &path("/get/site/"));
        browser.click("a[href='./a%20b/']");
        browser.until("the folder in it", &path("/get/site/a%20b/"));
        browser.click("a[href='./notes.txt']");
        browser.until(
            "the text",
            "document.body.textContent === 'Ask the neighbours.'",
        );
        browser.go(&format!("{with_token}get/site/a%20b/"));
        browser.until("the folder again", &path("/get/site/a%20b/"));
        browser.click("a[href='./acorn.bin']");
        assert!(browser.downloaded("acorn.bin") == clip, "other bytes");
        for name in ["evil.html", "evil.svg"] {
            browser.click(&format!("a[href='./{name}']"));
            browser.downloaded(name);
        }
        assert_eq!(
            browser.read(&path("/get/site/a%20b/")),
            true,
            "it is not shown"
        );
        assert_ne!(browser.read("document.title"), "taken");
        browser.click("a[href='../']");
        browser.until("the folder above", &path("/get/site/"));
        // What the browser shows of its addresses has the token, as it was typed.
        let asked = browser.requests();
        let is_own = |url: &String| url.starts_with(&with_token) || url.starts_with(address);
        assert!(asked.iter().all(is_own), "{asked:?}");
        let is_api = |url: &String| url.contains("/api/");
        assert!(!asked.iter().any(is_api), "a shared file asked: {asked:?}");
    });
}

#[test]
fn torrents_and_magnet_links_are_typed_and_dropped_and_what_is_none_is_said() {
    let test = "torrents_and_magnet_links_are_typed_and_dropped_and_what_is_none_is_said";
    scene(test, &[OAK], |scene| {
        let browser = scene.open();
        browser.show("transfers");
        browser.click(".bring button");
        browser.until("the field", "document.activeElement?.id === 'magnet'");
        assert_no_barriers(browser, "the dialog for torrents");
        let remarks = "document.getElementById('remarks').textContent";
        browser.press("magnet:?dn=none");
        browser.click("dialog [type=submit]");
        browser.until(
            "what is wrong",
            &format!("{remarks}.includes('cannot be fetched')"),
        );
        browser.until(
            "it can be mended",
            "!document.querySelector('dialog [type=submit]').disabled",
        );
        browser.read("void (document.getElementById('magnet').value = '')");
        browser.focus("#magnet");
        browser.press(&format!("magnet:?xt=urn:btih:{}&dn=autumn", "5".repeat(40)));
        browser.click("dialog [type=submit]");
        browser.until("it is closed", "!document.querySelector('dialog')");
        // This group serves no clients, and the node says so as it does in a terminal.
        let cards =
            "[...document.querySelectorAll('.card')].map((card) => card.textContent).join()";
        browser.until(
            "what became of it",
            &format!("{cards}.includes('autumn') && {cards}.includes('--bittorrent')"),
        );

        for (dropped, said) in [
            (
                "new File(['nothing of the kind'], 'autumn.torrent')",
                "This torrent cannot be fetched",
            ),
            (
                "new File([new Uint8Array(12_000_001)], 'long.torrent')",
                "a torrent may have",
            ),
        ] {
            browser.read("document.getElementById('remarks').replaceChildren()");
            let drop = format!(
                "const dataTransfer = new DataTransfer(); dataTransfer.items.add({dropped});
                const event = (type) => document.body.dispatchEvent(
                    new DragEvent(type, {{ dataTransfer, bubbles: true, cancelable: true }}));
                event('dragover'); const seen = document.body.className; event('drop');
                done(seen)"
            );
            assert_eq!(browser.read_later(&drop), "dropping");
            browser.until(said, &format!("{remarks}.includes('{said}')"));
            assert_eq!(browser.read("document.body.className"), "");
        }
        // What the browser itself says of these refusals was meant.
        let others = |message: &String| !message.contains("400");
        let complaints = browser.complaints().into_iter().filter(others);
        assert_eq!(complaints.collect::<Vec<_>>(), Vec::<String>::new());
    });
}
