//! Answers as users and scripts read them.
//!
//! With `--json` each event is one object a line on standard output, as it
//! comes. Otherwise data goes to standard output and talk to standard error.
//! Owns the wording of what arrived and where it came from; the layout of
//! listings is in `listing`, asking back in `conversation`.

use std::fmt::Write as _;
use std::io::Write;

use thorp_node::api::{
    AnswerSource, Done, ErrorKind, Event, Failure, Fetched, FileRow, Get, Hashing, Note,
};

use crate::exit::{Complaint, Exit, Result, failure};
use crate::fit::columns;
use crate::listing::{self, RowTable};
use crate::out::{self, Flow};
use crate::progress::Bar;
use crate::quoting::{printable_lines, quoted};
use crate::sorting::{RowsToSort, Sorting};
use crate::whereabouts::Whereabouts;
use crate::wrap::wrapped;
use crate::{json, units, words};
use thorp_node::printable::printable;

/// How a line goes on that is too long for the terminal.
pub const HANGING: &str = "    ";

/// How many bytes of data are gathered before they are written.
const MOST_UNWRITTEN: usize = 64 * 1024;

/// How to render.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerStyle {
    /// One object a line.
    pub json: bool,
    /// No talk.
    pub quiet: bool,
    /// The caller asks the user about choices, and shows the end: keep quiet
    /// about both.
    pub asked: bool,
    /// What to say of a listing without a row.
    pub nothing: Option<String>,
    /// The order of files, where it is not the one they come in.
    pub order: Option<Sorting>,
}

/// Renders one answer after the other.
pub struct Renderer<O, T> {
    out: O,
    talk: T,
    style: AnswerStyle,
    bar: Bar,
    listing: RowTable,
    to_sort: Option<RowsToSort>,
    has_files: bool,
    /// Rows have come that could not be put into the order that was asked for.
    is_unsorted: bool,
    totals: FetchTotals,
    /// Lines of data that are not written yet.
    unwritten: String,
    flow: Flow,
    /// Columns of the terminal that data goes to, if it does.
    data_width: Option<usize>,
    /// Columns of the terminal that talk goes to, if it does.
    talk_width: Option<usize>,
    fetch: Option<Fetch>,
    /// What was said of the last file that failed.
    said_last: Option<String>,
}

/// What is known of a fetch beside its answer.
struct Fetch {
    get: Get,
    places: Whereabouts,
}

/// How many files came by way of neighbours and of the tracker, in one answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct FetchTotals {
    files: u64,
    neighbours: u64,
    tracker: u64,
    /// Files of a torrent, from ordinary clients.
    torrent: u64,
    /// Files that were here before.
    here: u64,
    /// Files that were copied from this peer's own share.
    own: u64,
    failed: u64,
}

impl<O: Write, T: Write> Renderer<O, T> {
    /// Data to `out`, talk to `talk`.
    pub fn new(out: O, talk: T, style: AnswerStyle, bar: Bar) -> Self {
        let to_sort = style.order.map(|sorting| RowsToSort::new(sorting.order));
        Self {
            out,
            talk,
            style,
            bar,
            listing: RowTable::default(),
            to_sort,
            has_files: false,
            is_unsorted: false,
            totals: FetchTotals::default(),
            unwritten: String::new(),
            flow: Flow::Open,
            data_width: None,
            talk_width: None,
            fetch: None,
            said_last: None,
        }
    }

    /// What is rendered is the answer to this.
    pub fn of_fetch(mut self, get: Get, places: Whereabouts) -> Self {
        self.fetch = Some(Fetch { get, places });
        self
    }

    /// Makes both fit the terminals they go to.
    pub fn fitting(mut self, data: Option<usize>, talk: Option<usize>) -> Self {
        self.listing = RowTable::within(data);
        self.data_width = data;
        self.talk_width = talk;
        self
    }

    /// Renders `event`; the last one of an answer says how it ended.
    pub fn render(&mut self, event: &Event) -> Result<Option<Exit>> {
        let exit = self.take(event);
        let written = self.write();
        exit.and_then(|exit| written.map(|()| exit))
    }

    /// Renders events that are there together, so that their data is written in one go: each line
    /// alone would cost a call of the system, and wake its reader.
    pub fn render_all(&mut self, events: impl Iterator<Item = Event>) -> Result<Option<Exit>> {
        let mut exit = Ok(None);
        for event in events {
            exit = self.take(&event);
            if !matches!(exit, Ok(None)) {
                break;
            }
        }
        let written = self.write();
        exit.and_then(|exit| written.map(|()| exit))
    }

    fn take(&mut self, event: &Event) -> Result<Option<Exit>> {
        if let Event::File(row) = event {
            for row in self.in_order(row) {
                self.row(&Event::File(row))?;
            }
            return Ok(None);
        }
        if event.is_last() {
            for row in self
                .to_sort
                .take()
                .map(RowsToSort::sorted)
                .unwrap_or_default()
            {
                self.row(&Event::File(row))?;
            }
        }
        self.row(event)?;
        if self.is_unsorted && matches!(event, Event::Done(_)) {
            return Err(failure(ErrorKind::Other, words::TOO_MANY_TO_SORT));
        }
        Ok(match event {
            Event::Done(_) => Some(Exit::DONE),
            Event::Error(failure) => Some(failure.kind().into()),
            _ => None,
        })
    }

    /// The rows to show now that this one has come: later ones where all are to be
    /// put in order, and all that were kept where they are too many for that.
    fn in_order(&mut self, row: &FileRow) -> Vec<FileRow> {
        let Some(rows) = &mut self.to_sort else {
            return vec![row.clone()];
        };
        rows.push(row.clone());
        if !rows.is_too_much() {
            return Vec::new();
        }
        self.is_unsorted = self.style.order.is_some_and(|sorting| sorting.is_asked_for);
        self.to_sort
            .take()
            .map(RowsToSort::unsorted)
            .unwrap_or_default()
    }

    fn row(&mut self, event: &Event) -> Result<()> {
        if self.style.json {
            let line = json::event(event)
                .map_err(|e| failure(ErrorKind::Other, format!("writing JSON: {e}")))?;
            self.data(&line)
        } else {
            self.text(event)
        }
    }

    /// Whether the data is still read.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Talk that is not an event.
    pub fn say(&mut self, text: &str) {
        let talk = &mut self.talk;
        let text = match self.talk_width {
            Some(width) => wrapped(text, width, "", ""),
            None => text.to_owned(),
        };
        self.bar.above(|| {
            let _ = out::line(talk, &text);
        });
    }

    fn text(&mut self, event: &Event) -> Result<()> {
        let is_row = matches!(
            event,
            Event::File(_) | Event::Peer(_) | Event::Member(_) | Event::Fetched(_)
        );
        if !is_row {
            // What is said of it stands behind the data that came before.
            self.write()?;
        }
        let summary = self.totals.on_event(event);
        match event {
            Event::File(row) => {
                self.has_files = true;
                if let Some(text) = self.listing.file(row) {
                    self.data(&text)?;
                }
            }
            Event::Peer(row) => {
                if let Some(text) = self.listing.peer(row) {
                    self.data(&text)?;
                }
            }
            Event::Member(row) => {
                if let Some(text) = self.listing.group_member(row) {
                    self.data(&text)?;
                }
            }
            Event::Status(status) => {
                self.fitted(
                    &listing::status(status, units::now()),
                    listing::BESIDE_LABELS,
                )?;
            }
            Event::Tracker(status) => {
                self.fitted(&listing::tracker_status(status), listing::BESIDE_LABELS)?;
            }
            Event::Invite { invite } => self.data(invite)?,
            Event::Torrent(torrent) => self.data(&torrent.magnet)?,
            Event::Backup { backup } => self.data(backup.trim_end())?,
            Event::Choice { name, variants } => self.choice(name, variants),
            Event::Resumed {
                name,
                bytes,
                of_bytes,
            } => {
                if !self.style.quiet {
                    self.say(&resumed(name, *bytes, *of_bytes));
                }
            }
            Event::Hashing(hashing) => {
                if !self.style.quiet {
                    self.say(&being_hashed(hashing));
                }
            }
            Event::Progress(progress) => self.bar.update(progress),
            Event::Fetched(fetched) => {
                self.fitted(&arrival(fetched), HANGING)?;
                if let Some(fetch) = &mut self.fetch {
                    fetch.places.on_fetched(fetched);
                }
            }
            Event::Failed { name, failure } => self.failed(name, failure),
            Event::Waiting { name, failure } => {
                if !self.style.quiet {
                    self.say(&words::waited_for(name, failure));
                }
            }
            Event::Note(note) => {
                if *note == Note::NoFiles {
                    self.style.nothing = None;
                }
                if !self.style.quiet && !is_said_at_the_end(note) {
                    self.say(&printable_lines(&words::note(note)));
                }
            }
            // Programs ask for these, on the socket.
            Event::Page(_)
            | Event::Changes { .. }
            | Event::StartAgain { .. }
            | Event::Link { .. }
            | Event::Bytes(_) => {}
            Event::Done(done) => self.end(done, summary)?,
            Event::Error(failure) => self.end_badly(failure)?,
        }
        Ok(())
    }

    fn failed(&mut self, name: &str, failure: &Failure) {
        let said = missed(name, &failure.into());
        self.say(&said);
        self.said_last = Some(said);
    }

    /// The answer has ended with a failure.
    fn end_badly(&mut self, failure: &Failure) -> Result<()> {
        self.bar.finish();
        if let Some(text) = self.listing.finish() {
            self.data(&text)?;
            self.write()?;
        }
        self.say_where();
        if self.style.asked {
            return Ok(());
        }
        let complaint = out::complaint(&failure.into());
        // Of a pattern with one match, the end is what was said of that.
        if self.said_last.as_ref() != Some(&complaint) {
            self.say(&complaint);
        }
        let fetch = self.fetch.as_ref();
        if let Some(hint) = fetch.and_then(|fetch| words::way_out(failure, &fetch.get)) {
            self.say(&hint);
        }
        Ok(())
    }

    /// The answer has ended well.
    fn end(&mut self, done: &Done, summary: Option<String>) -> Result<()> {
        self.bar.finish();
        if let Some(text) = self.listing.finish() {
            self.data(&text)?;
            self.write()?;
        }
        if self.has_files && done.count > 1 && !self.style.quiet {
            let files = units::count(done.count, "file");
            self.say(&format!("{files}, {}", units::size(done.bytes)));
        }
        if let Some(text) = summary
            && !self.style.quiet
        {
            self.say(&text);
        }
        self.say_where();
        if let Some(text) = self.style.nothing.take()
            && done.count == 0
            && !self.style.quiet
        {
            self.say(&text);
        }
        Ok(())
    }

    fn choice(&mut self, name: &str, variants: &[FileRow]) {
        if self.style.asked {
            return;
        }
        self.say(&format!("{} could be:", quoted(name)));
        for row in variants {
            let path = match &row.name {
                path if path == name => String::new(),
                path => format!("{}  ", quoted(path)),
            };
            self.say(&format!("  {path}{}", listing::variant(row)));
        }
    }

    /// Whether the user was told why files go where they do.
    pub fn has_explained(&self) -> bool {
        let fetch = self.fetch.as_ref();
        fetch.is_some_and(|fetch| fetch.places.has_explained())
    }

    fn say_where(&mut self) {
        if self.style.quiet {
            return;
        }
        let places = self.fetch.as_mut().map(|fetch| &mut fetch.places);
        if let Some(text) = places.and_then(Whereabouts::said) {
            self.say(&text);
        }
    }

    /// Writes data whose lines go on with `hanging` where the terminal is too narrow for them.
    fn fitted(&mut self, text: &str, hanging: &str) -> Result<()> {
        let Some(width) = self.data_width else {
            return self.data(text);
        };
        // A word that is too long for any line stays behind what it belongs to.
        let least = width.saturating_sub(hanging.len());
        let is_breakable = |line: &&str| line.split(' ').all(|word| columns(word) <= least);
        let lines = text
            .lines()
            .map(|line| match Some(line).filter(is_breakable) {
                Some(line) => wrapped(line, width, "", hanging),
                None => line.to_owned(),
            });
        let lines: Vec<String> = lines.collect();
        self.data(&lines.join("\n"))
    }

    fn data(&mut self, text: &str) -> Result<()> {
        if self.flow == Flow::Open {
            self.unwritten.push_str(text);
            self.unwritten.push('\n');
        }
        if self.unwritten.len() >= MOST_UNWRITTEN {
            return self.write();
        }
        Ok(())
    }

    /// Writes the lines of data that have come.
    fn write(&mut self) -> Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let (out, lines) = (&mut self.out, &self.unwritten);
        let written = self.bar.above(|| out::lines(out, lines));
        self.unwritten.clear();
        self.flow = written.map_err(|error| out::unwritten(&error))?;
        Ok(())
    }
}

/// The failure that an answer ends with says so too.
fn is_said_at_the_end(note: &Note) -> bool {
    matches!(note, Note::TrackerInPart | Note::NeighboursOnly { .. })
}

/// A file that has arrived, in one line: its name and size, the peer that sent
/// it, how long that took, and whether the tracker was asked.
pub fn arrival(fetched: &Fetched) -> String {
    let mut line = format!(
        "{}  {}  {}",
        printable(&fetched.name),
        units::size(fetched.length),
        origin(fetched)
    );
    let own = fetched.name.rsplit('/').next();
    let saved = fetched.path.file_name().and_then(|name| name.to_str());
    if saved.is_some() && saved != own {
        let path = fetched.path.display().to_string();
        let _ = write!(line, ", saved as {}", printable(&path));
    }
    line
}

/// A file that is waited for until it has been hashed, in one line.
pub fn being_hashed(hashing: &Hashing) -> String {
    let by = hashing
        .by
        .as_ref()
        .map_or_else(|| "its holder".to_owned(), listing::member);
    format!(
        "{} is being hashed by {by}: {} of {}",
        quoted(&hashing.name),
        units::size(hashing.hashed),
        units::size(hashing.length)
    )
}

/// A large file of which much is there from before, in one line.
pub fn resumed(name: &str, bytes: u64, of_bytes: u64) -> String {
    format!(
        "{}: {} of {} were here already",
        printable(name),
        units::size(bytes),
        units::size(of_bytes)
    )
}

/// One of several files that could not be fetched.
pub fn missed(name: &str, failure: &Complaint) -> String {
    let complaint = out::complaint(failure);
    // Some messages name it themselves.
    match complaint.strip_prefix("thorp: ") {
        Some(why) if !failure.message.contains(&words::named(name)) => {
            format!("thorp: {}: {why}", quoted(name))
        }
        _ => complaint,
    }
}

fn origin(fetched: &Fetched) -> String {
    let answer = &fetched.answer;
    if answer.source == AnswerSource::Local {
        return "there already".into();
    }
    if answer.source == AnswerSource::Own {
        let ms = units::duration(fetched.ms);
        return format!("copied from this peer's own share, {ms}");
    }
    let asked = if answer.tracker_asked {
        "asked"
    } else {
        "not asked"
    };
    let ms = units::duration(fetched.ms);
    if answer.source == AnswerSource::Torrent {
        return by_torrent(fetched);
    }
    let Some(from) = fetched.from.as_ref() else {
        if let Some(clients) = clients(&fetched.clients) {
            return format!("from {clients}, {ms}, tracker {asked}");
        }
        if fetched.length > 0 {
            return format!("all of it was here already, {ms}");
        }
        // Nothing is sent of an empty file; a listing says that it exists.
        return format!("empty, made here, {ms}, tracker {asked}");
    };
    let sources = fetched.sources.len() + fetched.clients.len();
    let from_whom = listing::member(from) + &and_others(sources);
    let how = match (answer.source, &answer.via) {
        (AnswerSource::Memory, _) => format!("from neighbour {from_whom}"),
        (AnswerSource::Neighbour, Some(via)) if via.id != from.id => {
            format!(
                "from {from_whom}, known to neighbour {}",
                listing::member(via)
            )
        }
        (AnswerSource::Neighbour, _) => format!("from neighbour {from_whom} when asked"),
        (AnswerSource::Tracker, _) => format!("from {from_whom}, known to the tracker"),
        (AnswerSource::Local | AnswerSource::Own | AnswerSource::Torrent, _) => {
            return "there already".into();
        }
    };
    format!("{how}, {ms}, tracker {asked}")
}

/// Where a file of a torrent came from: ordinary clients have no names.
fn by_torrent(fetched: &Fetched) -> String {
    let ms = units::duration(fetched.ms);
    match clients(&fetched.clients) {
        Some(clients) => format!("from {clients}, {ms}"),
        None if fetched.length == 0 => format!("empty, made here, {ms}"),
        None => format!("all of it was here already, {ms}"),
    }
}

fn clients(clients: &[String]) -> Option<String> {
    let first = clients.first()?;
    Some(format!(
        "BitTorrent client {first}{}",
        and_others(clients.len())
    ))
}

/// What follows the first of so many sources.
fn and_others(sources: usize) -> String {
    match sources {
        0 | 1 => String::new(),
        2 => " and another".to_owned(),
        sources => format!(" and {} others", sources - 1),
    }
}

impl FetchTotals {
    /// Part of the answer came; its end brings the summary of more than one file.
    pub fn on_event(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Fetched(fetched) => self.on_fetched(fetched),
            Event::Failed { .. } => self.failed += 1,
            Event::Done(done) => return std::mem::take(self).summary(done.bytes, done.ms),
            Event::Error(_) => *self = Self::default(),
            _ => {}
        }
        None
    }

    fn on_fetched(&mut self, fetched: &Fetched) {
        self.files += 1;
        match fetched.answer.source {
            AnswerSource::Memory | AnswerSource::Neighbour => self.neighbours += 1,
            AnswerSource::Tracker => self.tracker += 1,
            AnswerSource::Local => self.here += 1,
            AnswerSource::Own => self.own += 1,
            AnswerSource::Torrent => self.torrent += 1,
        }
    }

    /// For more than one file.
    fn summary(&self, bytes: u64, ms: f64) -> Option<String> {
        if self.files + self.failed < 2 {
            return None;
        }
        let mut text = format!(
            "{}, {} in {}",
            units::count(self.files, "file"),
            units::size(bytes),
            units::duration(ms),
        );
        let _ = match self.torrent {
            0 => write!(
                text,
                ": {} through neighbours, {} through the tracker",
                self.neighbours, self.tracker
            ),
            files => write!(text, ": {files} from BitTorrent clients"),
        };
        if self.own > 0 {
            let _ = write!(text, ", {} copied from this peer's own share", self.own);
        }
        if self.here > 0 {
            let _ = write!(text, ", {} there already", self.here);
        }
        if self.failed > 0 {
            let _ = write!(text, ", {} failed", self.failed);
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests;
