//! The dialogue of the story, line by line.

use super::*;
use crate::samples;
use thorp_node::api::{AnswerSource, Done, ErrorKind};

const TOP: &str = "What you wish to do?\n1. Request a file.\n2. Leave.\n? for what else there is.";

fn ask(text: &str) -> Effect {
    Effect::Ask(text.into())
}

fn say(text: &str) -> Effect {
    Effect::Say(text.into())
}

/// A menu that has just requested `3.txt`.
fn requested() -> Menu {
    let mut menu = Menu::new(None, true);
    assert_eq!(menu.start(), ask(TOP));
    assert_eq!(
        menu.line("1"),
        [ask("Please type the file name (with extension).")]
    );
    let effects = menu.line("3.txt\n");
    assert!(matches!(&effects[..], [Effect::Request(get)] if get.names == ["3.txt"]));
    menu
}

fn error(kind: ErrorKind) -> Event {
    Event::Error(samples::failure(kind, "the node's own words"))
}

#[test]
fn a_file_is_requested_and_arrives() {
    let mut menu = requested();
    let fetched = samples::fetched(AnswerSource::Memory);
    assert_eq!(
        menu.event(&Event::Fetched(fetched)),
        [say(
            "2.txt  1.2 KiB  from neighbour oak (192.168.198.138), 1.8 ms, tracker not asked"
        )]
    );
    assert_eq!(menu.event(&Event::Done(Done::default())), [ask(TOP)]);
}

#[test]
fn a_fetch_that_has_begun_waits_for_its_holder_to_come_back() {
    let mut menu = Menu::new(None, true);
    menu.start();
    let effects = menu.line("get 3.txt");
    assert!(matches!(&effects[..], [Effect::Request(get)] if get.wait == Wait::Begun));
    let waiting = menu.event(&Event::Waiting {
        name: "3.txt".into(),
        failure: samples::nobody(),
    });
    assert!(
        matches!(&waiting[..], [Effect::Say(text)] if text.contains("thorp waits")),
        "{waiting:?}"
    );
}

#[test]
fn nobody_shares_it() {
    let mut menu = requested();
    assert_eq!(
        menu.event(&error(ErrorKind::NotFound)),
        [
            say("No peer is sharing this file now. Try again later."),
            ask(TOP)
        ]
    );
}

#[test]
fn the_name_is_taken_here() {
    let mut menu = requested();
    assert_eq!(
        menu.event(&error(ErrorKind::Exists)),
        [ask(
            "File with same name exists in the same directory! Please rename it if you want to \
             request this file.\n1. Rename the existing file.\n2. Save the requested file under \
             another name.\n3. Cancel."
        )]
    );
    assert_eq!(
        menu.line("3"),
        [
            say("cancelled: nothing was fetched, nothing was changed"),
            ask(TOP)
        ]
    );
}

#[test]
fn several_contents_are_chosen_from() {
    let mut menu = requested();
    let variants = vec![samples::file("3.txt"), samples::file("a/3.txt")];
    let name = "3.txt".into();
    assert_eq!(menu.event(&Event::Choice { name, variants }), []);
    let effects = menu.event(&error(ErrorKind::Ambiguous));
    assert!(
        matches!(&effects[..], [Effect::Ask(text)] if text.contains("\n  2. a/3.txt  1.2 KiB"))
    );
    assert!(matches!(&menu.line("2")[..], [Effect::Request(get)] if get.names == ["a/3.txt"]));
}

#[test]
fn other_failures_are_told_unchanged() {
    let mut menu = requested();
    assert_eq!(
        menu.event(&error(ErrorKind::Network)),
        [say("the node's own words"), ask(TOP)]
    );
    let mut menu = requested();
    assert!(matches!(
        &menu.broken_off()[..],
        [Effect::Say(_), Effect::Ask(_)]
    ));
    assert_eq!(menu.broken_off(), []);
}

#[test]
fn an_interrupt_ends_the_fetch_and_asks_what_next() {
    let mut menu = requested();
    assert_eq!(
        menu.interrupted(),
        [
            say("interrupted: what has arrived is kept, and the same command goes on from there"),
            ask(TOP)
        ]
    );
    assert_eq!(menu.interrupted(), []);
}

#[test]
fn nonsense_gets_a_helpful_answer() {
    let mut menu = Menu::new(None, true);
    menu.start();
    let effects = menu.line("3.txt");
    assert_eq!(
        effects,
        [
            say(
                "3.txt is not a choice: type 1 to request a file (its name is asked for next), \
                 2 to leave, or ? for what else there is."
            ),
            ask(TOP)
        ]
    );
    assert_eq!(menu.line(""), [ask(TOP)]);
    menu.line("1.");
    assert_eq!(menu.line("  "), [say("No name, no file."), ask(TOP)]);
}

#[test]
fn leaving_by_number_or_word() {
    for typed in ["2", " 2. ", "Leave", "quit"] {
        let mut menu = Menu::new(None, true);
        menu.start();
        assert_eq!(menu.line(typed), [Effect::Leave]);
    }
}

#[test]
fn neighbours_are_shown_when_they_change() {
    let mut menu = Menu::new(None, true);
    let mut view = Neighbourhood {
        files: 7,
        ..Neighbourhood::default()
    };
    assert_eq!(menu.changed(&view), None);
    view.neighbours.push(samples::peer());
    assert_eq!(
        menu.changed(&view),
        Some(say("Neighbours: 192.168.198.138"))
    );
    view.neighbours.clear();
    assert_eq!(menu.changed(&view), Some(say("Neighbours: none")));
}

fn host() -> Menu {
    let mut menu = Menu::new(Some(Door::default()), true);
    let first = menu.start();
    let with_invite = TOP.replace("Leave.\n", "Leave.\n3. Invite another machine.\n");
    assert_eq!(first, ask(&with_invite));
    menu
}

#[test]
fn an_invite_is_made_where_the_tracker_is_by_number_or_word() {
    for typed in ["3", "invite", "thorp invite", " 3. "] {
        let mut menu = host();
        assert_eq!(menu.line(typed), [Effect::Invite], "{typed}");
        let said = menu.invited(Ok("thorp1abc".into()));
        assert!(
            matches!(&said[..], [Effect::Say(text), Effect::Ask(_)] if text.ends_with(":\nthorp1abc")),
            "{said:?}"
        );
    }
    let mut elsewhere = Menu::new(None, true);
    elsewhere.start();
    let said = elsewhere.line("thorp invite");
    assert!(
        matches!(&said[..], [Effect::Say(text), Effect::Ask(_)] if text.contains("that machine"))
    );
    let three = elsewhere.line("3");
    assert!(matches!(&three[..], [Effect::Say(text), _] if text.starts_with("3 is not a choice")));
    let mut open = Menu::new(
        Some(Door {
            open: true,
            tracker: "10.0.0.7".into(),
            ..Door::default()
        }),
        true,
    );
    open.start();
    let said = open.line("3");
    assert!(matches!(&said[..], [Effect::Say(text), _] if text.contains("--tracker 10.0.0.7")));
}

#[test]
fn command_lines_are_understood_in_the_menu() {
    let mut menu = Menu::new(None, true);
    menu.start();
    let said = menu.line("?");
    assert!(matches!(&said[..], [Effect::Say(text), _] if text.contains("thorp ls")));
    let said = menu.line("thorp ls oak");
    assert!(matches!(&said[..], [Effect::Say(text), _] if text.contains("another terminal")));
    let effects = menu.line("thorp get \"my file.txt\"");
    assert!(matches!(&effects[..], [Effect::Request(get)] if get.names == ["my file.txt"]));
}

#[test]
fn an_interrupt_leads_back_to_the_menu_and_asks_there() {
    let mut menu = host();
    let top = menu.start();
    menu.line("1");
    assert_eq!(menu.back(), vec![top.clone()]);
    menu.line("1");
    menu.line("3.txt");
    menu.event(&error(ErrorKind::Exists));
    assert_eq!(
        menu.back(),
        vec![top.clone()],
        "from a question of a fetch, too"
    );
    let asked = menu.back();
    assert!(
        matches!(&asked[..], [Effect::Ask(text)] if text.contains("tracker") && text.ends_with("1. Leave.\n2. Cancel.")),
        "{asked:?}"
    );
    assert_eq!(menu.line("2"), [top]);
    menu.back();
    assert_eq!(menu.line("1"), [Effect::Leave]);
    menu.start();
    menu.back();
    assert_eq!(menu.back(), [Effect::Leave]);
}

/// A menu at which this was typed, which may be a torrent.
fn looked_for(typed: &str) -> Menu {
    let mut menu = Menu::new(None, true);
    menu.start();
    menu.line("1");
    let effects = menu.line(typed);
    assert_eq!(effects, [Effect::LookForTorrent(typed.into())]);
    menu
}

const LINK: &str = "magnet:?xt=urn:btih:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn a_magnet_link_or_a_torrent_can_be_typed_as_a_name() {
    let mut menu = looked_for(LINK);
    let torrent = TorrentSource::Magnet(LINK.into());
    let effects = menu.looked(Ok(Some(torrent.clone())));
    assert!(
        matches!(&effects[..], [Effect::RequestTorrent(get)]
            if get.torrent == torrent && get.given == LINK && get.wait == Wait::Begun),
        "{effects:?}"
    );
    let mut fetched = samples::fetched(AnswerSource::Torrent);
    fetched.clients = vec!["10.0.0.7:6881".into()];
    assert_eq!(
        menu.event(&Event::Fetched(fetched)),
        [say(
            "2.txt  1.2 KiB  from BitTorrent client 10.0.0.7:6881, 1.8 ms"
        )]
    );
    assert_eq!(menu.event(&Event::Done(Done::default())), [ask(TOP)]);
    let mut menu = Menu::new(None, true);
    menu.start();
    let typed = menu.line("thorp get ~/a.torrent");
    assert_eq!(typed, [Effect::LookForTorrent("~/a.torrent".into())]);
}

#[test]
fn what_ends_in_torrent_and_is_no_file_here_is_a_file_of_the_group() {
    let mut menu = looked_for("film.torrent");
    let effects = menu.looked(Ok(None));
    assert!(matches!(&effects[..], [Effect::Request(get)] if get.names == ["film.torrent"]));
    let said = menu.event(&error(ErrorKind::NotFound));
    assert!(
        matches!(&said[..], [Effect::Say(nobody), Effect::Say(hint), Effect::Ask(_)]
            if nobody == words::NOBODY && hint.contains("its path on this machine")),
        "{said:?}"
    );
}

#[test]
fn a_torrent_that_cannot_be_read_or_fetched_leads_back_to_the_menu() {
    let mut menu = looked_for("film.torrent");
    let why = crate::exit::failure(ErrorKind::Other, "film.torrent: no");
    assert_eq!(menu.looked(Err(why)), [say("film.torrent: no"), ask(TOP)]);
    let mut menu = looked_for(LINK);
    menu.looked(Ok(Some(TorrentSource::Magnet(LINK.into()))));
    // No peer of the group is meant.
    assert_eq!(
        menu.event(&error(ErrorKind::NotFound)),
        [say("the node's own words"), ask(TOP)]
    );
    let mut menu = looked_for(LINK);
    menu.looked(Ok(Some(TorrentSource::Magnet(LINK.into()))));
    let said = menu.interrupted();
    assert!(
        matches!(&said[..], [Effect::Say(text), Effect::Ask(_)] if text.contains("the same command goes on")),
        "{said:?}"
    );
}
