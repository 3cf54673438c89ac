//! `thorp get NAME -o -`: a file to standard output, in its order and as it arrives.
//!
//! Nothing but the file's bytes goes to standard output; all else that is said goes to standard
//! error.

use std::io::{self, Write};

use thorp_node::api::{Command, ErrorKind, Event, FileBytes, Read};

use super::asking::ask;
use super::context::{Context, on_disk};
use crate::answer::Renderer;
use crate::args::GetArgs;
use crate::exit::{Exit, Result, broken_off, failure};
use crate::out::{self, Flow};
use crate::progress::Bar;
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
    if context.global.json {
        return usage("--json and -o - both want standard output: leave out one of them");
    }
    if args.rename.is_some() || args.wait.is_some() {
        return usage("--as and --wait do not go together with -o -: leave them out");
    }
    let mut signals = Signals::listen()?;
    let _last_resort = LastResort::listen()?;
    let wanted = Read {
        name: name.clone(),
        from: args.from,
        root: args.root,
        hidden: args.hidden,
    };
    let work = send(context, args.visiting.tracker, wanted);
    context
        .unless_interrupted(&mut signals, None, Box::pin(work))
        .await
}

async fn send(
    context: &Context,
    tracker: Option<thorp_node::address::NetAddress>,
    wanted: Read,
) -> Result {
    let mut answers = ask(context.visitor()?, tracker, Command::Read(wanted)).await?;
    let style = context.answer_style();
    let mut renderer = Renderer::new(
        io::stderr(),
        io::stderr(),
        style,
        Bar::new(context.terminals, false),
    );
    let mut sent = 0;
    while let Some(event) = answers.recv().await {
        match event {
            Event::Bytes(FileBytes { bytes, .. }) => {
                sent += bytes.len() as u64;
                if written(bytes).await? == Flow::Closed {
                    // Whoever read it wants no more, and not all of it was written.
                    return Ok(ErrorKind::Unfinished.into());
                }
            }
            Event::Done(done) if done.bytes == sent => return Ok(Exit::DONE),
            Event::Done(_) => return Err(broken_off()),
            event => {
                if let Some(exit) = renderer.render(&event)? {
                    return Ok(exit);
                }
            }
        }
    }
    Err(broken_off())
}

/// Writes bytes where that may wait: their reader may pause for hours.
async fn written(bytes: Vec<u8>) -> Result<Flow> {
    on_disk(move |_| {
        let mut out = io::stdout().lock();
        let written = out.write_all(&bytes).and_then(|()| out.flush());
        match written {
            Ok(()) => Ok(Flow::Open),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Flow::Closed),
            Err(error) => Err(out::unwritten(&error)),
        }
    })
    .await?
}
