//! `thorp page`: opens the page of the running node in a browser.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thorp_node::api::{Command, ErrorKind, Event};
use thorp_node::{launch, page};
use tokio::time::sleep;

use super::context::{Context, on_disk};
use crate::args::PageArgs;
use crate::exit::{Exit, Result, broken_off, failure};
use crate::node::Answers;
use crate::out;
use crate::state::NodeKind;

/// How long a browser may take before the user is told what to do without one.
const BROWSER_WITHIN: Duration = Duration::from_secs(8);

pub async fn run(context: &Context, args: PageArgs) -> Result {
    let states = [
        context.state(NodeKind::Peer)?,
        context.state(NodeKind::Tracker)?,
    ];
    let Some((state, mut answers)) = launch::ask_running(&states, &Command::Page).await else {
        let why = "no peer and no tracker is running here, so there is no page. Start one: \
                   thorp share DIR, or thorp tracker";
        return Err(failure(ErrorKind::Other, why));
    };
    let link = loop {
        match answers.recv().await {
            Some(Event::Link { link, address }) => {
                if args.print {
                    return print(context, link, address);
                }
                break link;
            }
            Some(Event::Error(failure)) => return Err(failure.into()),
            Some(_) => {}
            None => return Err(broken_off()),
        }
    };
    let state = state.to_owned();
    let file = on_disk(move |disk| page::write_link(disk, &state, &link)).await?;
    let file = file.map_err(|error| {
        let why = format!("the file that leads a browser to the page cannot be written: {error}");
        failure(ErrorKind::Other, why)
    })?;
    let opened = show(context, &file, answers).await;
    // The link in it is good no longer.
    let _ = on_disk(move |disk| page::remove_link(disk, &file)).await?;
    opened
}

fn print(context: &Context, link: String, address: String) -> Result {
    let text = if context.global.json {
        serde_json::to_string(&Event::Link { link, address }).unwrap_or_default()
    } else {
        link
    };
    let _ = out::data(&text)?;
    context.say("The link is good once, and for a minute. It is as good as a key.");
    Ok(Exit::DONE)
}

/// Opens the file in a browser, and waits until the browser has used the link.
async fn show(context: &Context, file: &Path, mut answers: Answers) -> Result {
    let mut browser = {
        let file = file.to_owned();
        thorp_disk::spawn(move |_| start_browser(file))
    };
    let (mut is_starting, mut is_told) = (true, false);
    loop {
        tokio::select! {
            event = answers.recv() => match event {
                Some(Event::Done(_)) => {
                    context.say("The page is open in your browser.");
                    return Ok(Exit::DONE);
                }
                Some(Event::Error(failure)) => return Err(failure.into()),
                Some(_) => {}
                None => return Err(broken_off()),
            },
            started = &mut browser, if is_starting => {
                is_starting = false;
                if let Ok(Err(error)) = started {
                    tracing::debug!(%error, "no browser");
                    let why = "no browser could be opened on this machine. Print a link, and open \
                               it yourself: thorp page --print";
                    return Err(failure(ErrorKind::Other, why));
                }
            }
            () = sleep(BROWSER_WITHIN), if !is_told => {
                is_told = true;
                context.say(
                    "Waiting for your browser. If it cannot read that file, print a link and \
                     open it yourself: thorp page --print",
                );
            }
        }
    }
}

/// Has the desktop open a file as it opens any page. That may take until the browser ends.
fn start_browser(file: PathBuf) -> std::io::Result<()> {
    open::that(file)
}
