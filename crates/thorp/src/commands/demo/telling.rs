//! How a scene is told: as a paragraph for users, as an object for scripts.

use std::io::Write;

use serde::Serialize;
use thorp_node::api::{AnswerSource, ErrorKind, Event, Fetched, Notice};

use super::Got;
use crate::exit::{Complaint, Result, failure};
use crate::out::{self, Flow};
use crate::tables::Tables;
use crate::wrap::wrapped;
use crate::{answer, lines, listing, table};

/// The width of a paragraph, unless the terminal is narrower.
const WIDTH: usize = 80;
const INDENT: &str = "    ";

/// One scene. Its fields are part of the interface (`docs/json.md`).
#[derive(Debug, Serialize)]
pub struct Scene {
    event: &'static str,
    number: u64,
    what: String,
    /// Lines as the program itself shows them.
    says: Vec<String>,
    /// How this came about.
    because: Option<String>,
    fetched: Option<Fetched>,
    error: Option<Complaint>,
    tables: Option<Tables>,
}

/// The result of telling a scene.
pub type Played = std::result::Result<(), Cut>;

/// Why the story was cut short.
#[derive(Debug)]
pub enum Cut {
    /// The reader has gone.
    Unheard,
    /// Something went wrong.
    Short(Complaint),
}

impl<F: Into<Complaint>> From<F> for Cut {
    fn from(failure: F) -> Self {
        Self::Short(failure.into())
    }
}

impl Scene {
    /// Starts a scene with what happens.
    pub fn new(what: &str) -> Self {
        Self {
            event: "step",
            number: 0,
            what: what.to_owned(),
            says: Vec::new(),
            because: None,
            fetched: None,
            error: None,
            tables: None,
        }
    }

    /// Adds a line that a node shows.
    pub fn says(&mut self, line: String) {
        self.says.push(line);
    }

    /// Adds the notices of a node.
    pub fn notices(&mut self, notices: &[Notice]) {
        self.says.extend(notices.iter().map(lines::notice));
    }

    /// Adds the result of a fetch, and which members were asked.
    pub fn got(&mut self, got: Got) {
        match got {
            Ok(fetched) => {
                self.says(answer::arrival(&fetched));
                self.because = Some(who_was_asked(&fetched));
                self.fetched = Some(fetched);
            }
            Err(failure) => {
                self.says(failure.message.clone());
                self.error = Some(failure);
            }
        }
    }

    /// Adds a remark.
    pub fn adds(&mut self, text: &str) {
        let because = self.because.get_or_insert_default();
        if !because.is_empty() {
            because.push(' ');
        }
        because.push_str(text);
    }

    /// Sets the tables that the tracker shows now.
    pub fn tables(&mut self, view: Tables) {
        self.tables = Some(view);
    }
}

/// Tells one scene after the other.
pub struct Teller<O> {
    out: O,
    json: bool,
    /// The width of the terminal, if the output is one.
    width: Option<usize>,
    scenes: u64,
}

impl<O: Write> Teller<O> {
    /// Tells the story to `out`.
    pub fn new(out: O, json: bool, width: Option<usize>) -> Self {
        let scenes = 0;
        Self {
            out,
            json,
            width,
            scenes,
        }
    }

    fn prose(&self, text: &str) -> String {
        prose(text, self.width, "")
    }

    /// Returns the number of scenes told so far.
    pub fn scenes(&self) -> u64 {
        self.scenes
    }

    /// Writes the text before the first scene.
    pub fn open(&mut self, text: &str) -> Played {
        if self.json {
            return Ok(());
        }
        self.write(&self.prose(text))
    }

    /// Tells the next scene.
    pub fn tell(&mut self, mut scene: Scene) -> Played {
        self.scenes += 1;
        scene.number = self.scenes;
        let text = if self.json {
            json(&scene)?
        } else {
            paragraph(&scene, self.width)
        };
        self.write(&text)
    }

    /// Writes the text after the last scene.
    pub fn end(&mut self, text: &str, done: &Event) -> Played {
        let text = if self.json {
            json(done)?
        } else {
            format!("\n{}", self.prose(text))
        };
        self.write(&text)
    }

    fn write(&mut self, text: &str) -> Played {
        match out::line(&mut self.out, text) {
            Ok(Flow::Open) => Ok(()),
            Ok(Flow::Closed) => Err(Cut::Unheard),
            Err(error) => Err(out::unwritten(&error).into()),
        }
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| failure(ErrorKind::Other, format!("writing JSON: {error}")))
}

fn paragraph(scene: &Scene, width: Option<usize>) -> String {
    let head = format!("{:>2}. ", scene.number);
    let mut text = format!("\n{head}{}", prose(&scene.what, width, INDENT).trim_start());
    for line in scene.says.iter().flat_map(|said| said.lines()) {
        text.push('\n');
        let (first, rest) = (format!("{INDENT}> "), format!("{INDENT}  "));
        // A node's line is quoted unchanged, except that it is wrapped for the terminal.
        text.push_str(&wrapped(line, width.unwrap_or(usize::MAX), &first, &rest));
    }
    if let Some(because) = &scene.because {
        text.push('\n');
        text.push_str(&prose(because, width, INDENT));
    }
    if let Some(view) = &scene.tables {
        text.push('\n');
        for line in table::both(view).lines() {
            text.push('\n');
            if !line.is_empty() {
                text.push_str(INDENT);
                text.push_str(line);
            }
        }
    }
    text
}

fn prose(text: &str, width: Option<usize>, indent: &str) -> String {
    wrapped(
        text,
        width.map_or(WIDTH, |width| width.min(WIDTH)),
        indent,
        indent,
    )
}

/// Returns a sentence about which members were asked for the file.
fn who_was_asked(fetched: &Fetched) -> String {
    let from = fetched
        .from
        .as_ref()
        .map(listing::member)
        .unwrap_or_default();
    let answer = &fetched.answer;
    match (answer.source, &answer.via) {
        (AnswerSource::Memory, _) => {
            format!("No peer was asked: it knew from {from} itself what it has.")
        }
        (AnswerSource::Neighbour, Some(via)) => format!(
            "It asked its neighbours, and {} knew: {from} has it. The tracker was not asked.",
            listing::member(via)
        ),
        (AnswerSource::Neighbour, None) => {
            format!("It asked its neighbours: {from} has it. The tracker was not asked.")
        }
        (AnswerSource::Tracker, _) => format!("The tracker was asked, and knew: {from} has it."),
        (AnswerSource::Local | AnswerSource::Own | AnswerSource::Torrent, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_scene_for_users() {
        let mut scene = Scene::new("Peer 1 asks for 2.txt.");
        scene.number = 7;
        scene.got(Ok(samples::fetched(AnswerSource::Memory)));
        let expected = "
 7. Peer 1 asks for 2.txt.
    > 2.txt  1.2 KiB  from neighbour oak (192.168.198.138), 1.8 ms, tracker not asked
    No peer was asked: it knew from oak (192.168.198.138) itself what it has.";
        assert_eq!(paragraph(&scene, None), expected);
        let narrow = paragraph(&scene, Some(40));
        let quote =
            "    > 2.txt  1.2 KiB  from neighbour oak\n      (192.168.198.138), 1.8 ms, tracker";
        assert!(narrow.contains(quote), "{narrow}");
    }

    #[test]
    fn a_scene_for_scripts() {
        let mut scene = Scene::new("Peer 2 asks for 7.txt.");
        scene.number = 10;
        scene.got(Err(samples::nobody().into()));
        let line = json(&scene).expect("JSON");
        let page = include_str!("../../../../../docs/json.md");
        assert!(page.contains(&line), "docs/json.md lacks: {line}");
    }
}
