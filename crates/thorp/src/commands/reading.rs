//! `thorp get NAME -o -`: a file to standard output, in its order and as it arrives.
//!
//! Nothing but the file's bytes goes to standard output; all else that is said goes to standard
//! error. To a terminal only plain text goes: a member may write into a file what a terminal takes
//! for orders.

use std::io::{self, Write};

use thorp_node::api::{Command, ErrorKind, Event, FileBytes, Read};
use thorp_node::looks_like_a_pattern;

use super::asking::{ask, remarks_to};
use super::context::{Context, on_disk};
use crate::answer::Renderer;
use crate::args::GetArgs;
use crate::exit::{Complaint, Exit, Result, broken_off, failure};
use crate::given;
use crate::out::{self, Flow};
use crate::progress::Bar;
use crate::quoting::quoted;
use crate::signals::{LastResort, Signals};

/// The name of standard output.
const STANDARD_OUTPUT: &str = "-";

/// Whether a file is to go to standard output.
pub fn is_wanted(args: &GetArgs) -> bool {
    args.out.as_deref() == Some(STANDARD_OUTPUT.as_ref())
}

pub async fn run(context: &Context, args: GetArgs) -> Result {
    let usage = |why: &str| Err(failure(ErrorKind::Usage, why));
    let [name] = &args.names[..] else {
        return usage("one file at a time goes to standard output (-o -): name one");
    };
    let asked = name.clone();
    if on_disk(move |disk| given::is_meant(disk, &asked)).await? {
        return usage(
            "no torrent goes to standard output (-o -): fetch it, and then its file by its name",
        );
    }
    if context.global.json {
        return usage("--json and -o - both want standard output: leave out one of them");
    }
    if args.rename.is_some() || args.wait.is_some() {
        return usage("--as and --wait do not go together with -o -: leave them out");
    }
    let mut signals = Signals::listen()?;
    let _last_resort = LastResort::listen()?;
    let plain = context.terminals.stdout.then(PlainText::default);
    let wanted = Read {
        name: name.clone(),
        from: args.from,
        root: args.root,
        hidden: args.hidden,
    };
    let work = send(context, args.visiting.tracker, wanted, plain);
    context
        .unless_interrupted(&mut signals, None, Box::pin(work))
        .await
}

async fn send(
    context: &Context,
    tracker: Option<thorp_node::address::NetAddress>,
    wanted: Read,
    mut plain: Option<PlainText>,
) -> Result {
    let name = wanted.name.clone();
    let style = context.answer_style();
    let mut renderer = Renderer::new(
        io::stderr(),
        io::stderr(),
        style,
        Bar::new(context.terminals, false),
    );
    let (visitor, command) = (context.visitor()?, Command::Read(wanted));
    let mut answers = ask(visitor, tracker, command, remarks_to(&mut renderer)).await?;
    let mut sent = 0;
    while let Some(event) = answers.recv().await {
        match event {
            Event::Bytes(FileBytes { bytes, .. }) => {
                if plain.as_mut().is_some_and(|plain| !plain.goes_on(&bytes)) {
                    return Err(not_for_a_terminal(&name, sent));
                }
                sent += bytes.len() as u64;
                if written(bytes).await? == Flow::Closed {
                    // Whoever read it wants no more, and not all of it was written.
                    return Ok(ErrorKind::Unfinished.into());
                }
            }
            Event::Done(done) if done.bytes == sent => return Ok(Exit::DONE),
            Event::Done(_) => return Err(broken_off()),
            Event::Error(missed)
                if missed.kind() == ErrorKind::NotFound && looks_like_a_pattern(&name) =>
            {
                let why = "no peer is sharing a file of exactly this name now; one file at a time \
                           goes to standard output (-o -), so it was looked for as no pattern";
                return Err(failure(ErrorKind::NotFound, why));
            }
            event => {
                if let Some(exit) = renderer.render(&event)? {
                    return Ok(exit);
                }
            }
        }
    }
    Err(broken_off())
}

fn not_for_a_terminal(name: &str, sent: u64) -> Complaint {
    let (kind, part) = match sent {
        0 => (ErrorKind::Usage, "It"),
        _ => (ErrorKind::Unfinished, "The rest of it"),
    };
    let why = format!(
        "{} is not plain text. {part} is not written to a terminal, which may take it for orders: send \
         it to a file (> FILE) or to a program (| less)",
        quoted(name)
    );
    failure(kind, why)
}

/// A text that comes in parts.
#[derive(Debug, Default)]
struct PlainText {
    /// The beginning of a character whose rest comes with the next part.
    begun: Vec<u8>,
}

impl PlainText {
    /// Whether it is still plain text with this next part: UTF-8 without what controls a terminal.
    fn goes_on(&mut self, part: &[u8]) -> bool {
        let mut bytes = std::mem::take(&mut self.begun);
        bytes.extend_from_slice(part);
        let valid = match str::from_utf8(&bytes) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return false,
        };
        self.begun = bytes.split_off(valid);
        let is_plain = |c: char| matches!(c, '\t' | '\n' | '\r') || !c.is_control();
        str::from_utf8(&bytes).is_ok_and(|text| text.chars().all(is_plain))
    }
}

/// Writes bytes where that may wait: their reader may pause for hours.
async fn written(bytes: Vec<u8>) -> Result<Flow> {
    on_disk(move |_| {
        let mut out = out::standard();
        let written = out.write_all(&bytes).and_then(|()| out.flush());
        match written {
            Ok(()) => Ok(Flow::Open),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Flow::Closed),
            Err(error) => Err(out::unwritten(&error)),
        }
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_text_is_for_a_terminal() {
        for (parts, is_plain) in [
            (&[&b"a\tb\r\n"[..], b"", b"c"][..], true),
            (&["\u{fc}ber \u{1f333}".as_bytes()], true),
            // A character in two parts.
            (&[b"\xc3", b"\xbc"], true),
            (&[b"\xf0\x9f", b"\x8c", b"\xb3\n"], true),
            (&[b"\xc3", b"a"], false),
            (&[b"\x1b[2J"], false),
            (&[b"text", b"\x1b]0;title\x07"], false),
            (&["\u{9b}2J".as_bytes()], false),
            (&[b"\x7fELF\x02\x01\x01\x00"], false),
            (&[b"\x89PNG"], false),
        ] {
            let mut text = PlainText::default();
            let goes_on = parts.iter().all(|part| text.goes_on(part));
            assert_eq!(goes_on, is_plain, "{parts:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do_and_how_much_was_written() {
        let refused = not_for_a_terminal("a.iso", 0);
        assert_eq!(refused.kind, ErrorKind::Usage);
        assert!(refused.message.contains("a.iso") && refused.message.contains("> FILE"));
        assert_eq!(not_for_a_terminal("a", 512).kind, ErrorKind::Unfinished);
    }
}
