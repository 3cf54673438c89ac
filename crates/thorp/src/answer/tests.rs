//! The wording of every answer, and JSON lines that must not change.

use std::cell::RefCell;
use std::io;

use super::*;
use crate::samples;
use thorp_node::api::{Done, Failure};

fn render(style: AnswerStyle, events: &[Event]) -> (String, String, Option<Exit>) {
    let (mut out, mut talk) = (Vec::new(), Vec::new());
    let mut renderer = Renderer::new(&mut out, &mut talk, style, Bar::none());
    let mut exit = None;
    for event in events {
        exit = renderer.render(event).expect("written");
    }
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (text(out), text(talk), exit)
}

const PAGE: &str = samples::JSON_PAGE;

const TEXT: AnswerStyle = AnswerStyle {
    json: false,
    quiet: false,
    asked: false,
    nothing: None,
    order: None,
};

#[test]
fn provenance_has_its_words() {
    let line = |source| arrival(&samples::fetched(source));
    assert_eq!(
        line(AnswerSource::Memory),
        "2.txt  1.2 KiB  from neighbour oak (192.168.198.138), 1.8 ms, tracker not asked"
    );
    assert_eq!(
        line(AnswerSource::Neighbour),
        "2.txt  1.2 KiB  from neighbour oak (192.168.198.138) when asked, 1.8 ms, tracker not asked"
    );
    assert_eq!(
        line(AnswerSource::Tracker),
        "2.txt  1.2 KiB  from oak (192.168.198.138), known to the tracker, 1.8 ms, tracker asked"
    );
    assert_eq!(line(AnswerSource::Local), "2.txt  1.2 KiB  there already");
    assert_eq!(
        line(AnswerSource::Own),
        "2.txt  1.2 KiB  copied from this peer's own share, 1.8 ms"
    );

    let mut via = samples::fetched(AnswerSource::Neighbour);
    via.from = Some(samples::elm());
    via.answer.via = Some(samples::oak());
    assert_eq!(
        arrival(&via),
        "2.txt  1.2 KiB  from 192.168.198.139, known to neighbour oak (192.168.198.138), \
         1.8 ms, tracker not asked"
    );

    let mut empty = samples::fetched(AnswerSource::Memory);
    (empty.from, empty.length) = (None, 0);
    assert_eq!(
        arrival(&empty),
        "2.txt  0 B  empty, made here, 1.8 ms, tracker not asked"
    );

    let mut renamed = samples::fetched(AnswerSource::Local);
    renamed.path = "/tmp/other.txt".into();
    assert!(arrival(&renamed).ends_with(", saved as /tmp/other.txt"));
}

#[test]
fn data_and_talk_go_their_own_ways() {
    let fetched = Event::Fetched(samples::fetched(AnswerSource::Memory));
    let done = Event::Done(Done {
        count: 2,
        bytes: 2458,
        ms: 3.6,
        left_out: 0,
    });
    let (out, talk, exit) = render(TEXT, &[fetched.clone(), fetched, done]);
    assert_eq!(out.lines().count(), 2);
    assert_eq!(
        talk,
        "2 files, 2.4 KiB in 3.6 ms: 2 through neighbours, 0 through the tracker\n"
    );
    assert_eq!(exit, Some(Exit::DONE));
}

#[test]
fn an_ambiguous_name_says_how_to_pick() {
    let events = [
        Event::Choice {
            name: "2.txt".into(),
            variants: vec![samples::file("2.txt")],
        },
        Event::Error(samples::failure(
            ErrorKind::Ambiguous,
            "2.txt has 2 contents",
        )),
    ];
    let (out, talk, exit) = render(TEXT, &events);
    assert_eq!(out, "");
    assert_eq!(
        talk,
        "2.txt could be:\n  1.2 KiB  2026-11-23 04:44 UTC  3f2a9c01d2e4  oak (192.168.198.138)\n\
         thorp: 2.txt has 2 contents\n"
    );
    assert_eq!(exit.map(Exit::code), Some(5));
}

#[test]
fn a_listing_without_rows_says_so() {
    let style = AnswerStyle {
        nothing: Some("No other peer is here.".into()),
        ..TEXT
    };
    let (out, talk, _) = render(style, &[Event::Done(Done::default())]);
    assert_eq!(
        (out.as_str(), talk.as_str()),
        ("", "No other peer is here.\n")
    );
}

#[test]
fn quiet_keeps_data_and_errors() {
    let style = AnswerStyle {
        quiet: true,
        ..TEXT
    };
    let (out, talk, _) = render(style, &samples::events());
    assert!(out.contains("2.txt  1.2 KiB  from"));
    assert!(!talk.contains("there may be more than this"));
    assert!(talk.contains("thorp: No peer is sharing"));
}

#[test]
fn json_lines_are_stable_and_documented() {
    let json = AnswerStyle { json: true, ..TEXT };
    let (out, talk, exit) = render(json, &samples::events());
    assert_eq!(talk, "");
    assert_eq!(exit.map(Exit::code), Some(3));
    let notices = samples::notices();
    let notices = notices
        .iter()
        .map(|notice| json::notice(notice).expect("JSON"));
    let mut lines = 0;
    for line in out.lines().map(str::to_owned).chain(notices) {
        assert!(
            PAGE.lines().any(|documented| documented == line),
            "docs/json.md lacks: {line}"
        );
        lines += 1;
    }
    assert_eq!(lines, samples::events().len() + samples::notices().len());
}

#[test]
fn there_is_a_sample_of_every_kind() {
    let mut kinds: Vec<_> = samples::events().iter().map(kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, (0..22).collect::<Vec<_>>());
}

/// A new kind is not compiled before it has a number here, and so a sample.
fn kind(event: &Event) -> usize {
    match event {
        Event::File(_) => 0,
        Event::Peer(_) => 1,
        Event::Status(_) => 2,
        Event::Choice { .. } => 3,
        Event::Tracker(_) => 4,
        Event::Invite { .. } => 5,
        Event::Progress(_) => 6,
        Event::Fetched(_) => 7,
        Event::Failed { .. } => 8,
        Event::Note(_) => 9,
        Event::Done(_) => 10,
        Event::Error(_) => 11,
        Event::Member(_) => 12,
        Event::Backup { .. } => 13,
        Event::Resumed { .. } => 14,
        Event::Hashing(_) => 15,
        Event::Page(_) => 16,
        Event::Changes { .. } => 17,
        Event::StartAgain { .. } => 18,
        Event::Waiting { .. } => 19,
        Event::Torrent(_) => 20,
        Event::Link { .. } => 21,
        Event::Bytes(_) => unreachable!("they are no JSON"),
    }
}

#[test]
fn every_documented_line_is_json_with_a_documented_name() {
    let lines = PAGE.lines().filter(|line| line.starts_with('{'));
    for line in lines {
        let value: serde_json::Value = serde_json::from_str(line).expect(line);
        let name = value["event"].as_str().expect("an event");
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_tables_of_fields_are_complete() {
    let (answers, _) = PAGE.split_once("\n## The snapshot").expect("it is there");
    let sections = answers.split("\n### `").skip(1);
    let mut compared = Vec::new();
    for section in sections {
        let kind = section.split('`').next().expect("a kind");
        let example = section.lines().find(|line| line.starts_with("{\"event\""));
        let is_complete = section.contains("| field |");
        let (Some(example), true) = (example, is_complete && kind != "peer") else {
            continue;
        };
        let value: serde_json::Value = serde_json::from_str(example).expect(example);
        let fields = value.as_object().expect("an object").keys();
        let mut fields: Vec<_> = fields.filter(|field| *field != "event").collect();
        let rows = section
            .split("\n\n")
            .find(|part| part.starts_with("| field |"));
        let rows = rows.expect("a table").lines().skip(2);
        let cells = rows.filter_map(|row| row.split('|').nth(1));
        let named = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let mut named: Vec<_> = named.map(str::to_owned).collect();
        fields.sort();
        named.sort();
        assert!(fields.into_iter().eq(&named), "{kind}: {named:?}");
        compared.push(kind);
    }
    for kind in ["file", "member", "status", "tracker", "progress", "fetched"] {
        assert!(compared.contains(&kind), "{kind}: {compared:?}");
    }
}

#[test]
fn a_reader_that_has_gone_stops_nothing() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let json = AnswerStyle { json: true, ..TEXT };
    let mut renderer = Renderer::new(Gone, Vec::new(), json, Bar::none());
    for event in samples::events() {
        renderer.render(&event).expect("no error");
    }
    assert_eq!(renderer.flow(), Flow::Closed);
}

#[test]
fn an_arrival_breaks_between_words_where_its_terminal_is_narrow() {
    let mut out = Vec::new();
    let fetched = Event::Fetched(samples::fetched(AnswerSource::Tracker));
    let mut renderer =
        Renderer::new(&mut out, Vec::new(), TEXT, Bar::none()).fitting(Some(40), None);
    renderer.render(&fetched).expect("no error");
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(text.lines().count() > 1, "{text}");
    assert!(text.lines().all(|line| line.len() <= 40), "{text}");
    assert!(
        text.lines().skip(1).all(|line| line.starts_with(HANGING)),
        "{text}"
    );
    let joined: Vec<_> = text.split_whitespace().collect();
    assert!(joined.join(" ").ends_with("tracker asked"), "{text}");
}

#[test]
fn files_that_are_there_already_are_counted_at_the_end() {
    let here = Event::Fetched(samples::fetched(AnswerSource::Local));
    let came = Event::Fetched(samples::fetched(AnswerSource::Memory));
    let done = Event::Done(Done {
        count: 2,
        bytes: 2458,
        ms: 3.6,
        left_out: 0,
    });
    let (_, talk, _) = render(TEXT, &[here, came, done]);
    assert_eq!(
        talk,
        "2 files, 2.4 KiB in 3.6 ms: 1 through neighbours, 0 through the tracker, 1 there already\n"
    );
}

#[test]
fn files_of_the_own_share_are_counted_by_themselves_at_the_end() {
    let own = Event::Fetched(samples::fetched(AnswerSource::Own));
    let came = Event::Fetched(samples::fetched(AnswerSource::Tracker));
    let done = Event::Done(Done {
        count: 3,
        bytes: 3687,
        ms: 3.6,
        left_out: 0,
    });
    let (_, talk, _) = render(TEXT, &[own.clone(), came, own, done]);
    assert_eq!(
        talk,
        "3 files, 3.6 KiB in 3.6 ms: 0 through neighbours, 1 through the tracker, \
         2 copied from this peer's own share\n"
    );
}

#[test]
fn a_status_goes_on_beside_its_labels_where_its_terminal_is_narrow() {
    let mut out = Vec::new();
    let events = samples::events();
    let status = events
        .iter()
        .find(|event| matches!(event, Event::Status(_)));
    let mut renderer =
        Renderer::new(&mut out, Vec::new(), TEXT, Bar::none()).fitting(Some(70), None);
    renderer
        .render(status.expect("a sample"))
        .expect("no error");
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(text.lines().all(|line| line.len() <= 70), "{text}");
    let further = text.lines().filter(|line| line.starts_with(' '));
    assert!(further.clone().count() > 0, "{text}");
    assert!(
        further
            .into_iter()
            .all(|line| line.starts_with(listing::BESIDE_LABELS)),
        "{text}"
    );
}

/// One of two streams, with what was written to both, call by call.
struct Stream<'a>(&'static str, &'a RefCell<Vec<(&'static str, String)>>);

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        self.1.borrow_mut().push((self.0, text));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_comes_together_is_written_together_and_talk_stays_behind_the_data_before_it() {
    let written = RefCell::default();
    let (out, talk) = (Stream("out", &written), Stream("talk", &written));
    let mut renderer = Renderer::new(out, talk, TEXT, Bar::none());
    let fetched = || Event::Fetched(samples::fetched(AnswerSource::Memory));
    let missed = Event::Failed {
        name: "3.txt".into(),
        failure: Failure::Exists,
    };
    let events = [fetched(), fetched(), missed, fetched()];
    let exit = renderer.render_all(events.into_iter());
    assert_eq!(exit, Ok(None));
    let written: Vec<_> = written
        .borrow()
        .iter()
        .map(|(stream, text)| (*stream, text.lines().count()))
        .collect();
    assert_eq!(written, [("out", 2), ("talk", 1), ("out", 1)]);
}
