//! The program: reads arguments, shows screens and answers.
//!
//! ```text
//! args          the command line             commands      one file for each verb
//! node          a running node for a verb    quoting       names on one line with others
//! answer        events for users, scripts    listing       rows on standard output
//! exit          the exit codes               state         where the state directory is
//! columns, fit  rows and names in a width    sorting, pager  lists for users
//! words         codes into sentences         json          the same for --json
//! units         bytes, durations, times      wrap          lines between words
//! lines, table  plain-lines form             screen        the tabs of share and tracker
//! tables        what the tables of a node show
//! menu          share's menu                 conversation  questions during a fetch
//! choose        numbered choices             completing    half-typed words, for shells
//! given         torrents that are given instead of a name
//! whereabouts   where fetched files are
//! told          what is told of a fetch      logging       the log of -v and RUST_LOG
//! out, prompt, progress, signals             standard streams, questions, bars, goodbyes
//! threads       as many as are of use, and as the system allows
//! ```
//!
//! Nothing here opens a socket or a file of the state directory, and no lower crate talks to a
//! user.

mod answer;
mod args;
mod choose;
mod columns;
mod commands;
mod completing;
mod conversation;
mod exit;
mod fit;
mod given;
mod json;
mod lines;
mod listing;
mod logging;
mod menu;
mod node;
mod out;
mod pager;
mod progress;
mod prompt;
mod quoting;
#[cfg(test)]
mod samples;
mod screen;
mod signals;
mod sorting;
mod state;
#[cfg(test)]
mod story;
mod table;
mod tables;
mod threads;
mod told;
mod units;
mod whereabouts;
mod words;
mod wrap;

use std::hint::black_box;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;

use crate::args::Args;
use crate::exit::{Exit, Result};

/// A listing of gigabytes consists of small allocations. When it is dropped, the system allocator
/// keeps nearly all of that memory; this one gives most of it back.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often what was freed is given back.
const GIVE_BACK: Duration = Duration::from_secs(10);
/// More than the allocator has at hand.
const ASIDE: usize = 1024 * 1024;

fn main() -> ExitCode {
    // A shell's request for completions is answered here, which ends the process.
    completing::answer(Args::command);
    let env = |name: &str| std::env::var(name).ok();
    let args = match Args::read(std::env::args_os(), env) {
        Ok(args) => args,
        Err(error) => {
            // Help and version arrive here as well; a closed pipe is no failure.
            let printed = error.print().and_then(|()| {
                if error.use_stderr() {
                    Ok(())
                } else {
                    out::standard().flush()
                }
            });
            return match printed {
                Err(why) if why.kind() != std::io::ErrorKind::BrokenPipe => {
                    let failure = out::unwritten(&why);
                    out::complain(&failure);
                    Exit::from(failure.kind).into()
                }
                _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
            };
        }
    };
    logging::start(args.global.verbose, args.global.log_format);
    let json = args.global.json;
    let exit = start(args).unwrap_or_else(|failure| {
        commands::show_failure(&failure, json);
        Exit::from(failure.kind)
    });
    exit.into()
}

fn start(args: Args) -> Result {
    thorp_node::net::descriptors::raise();
    let runtime = if args.verb.runs_node() {
        threads::of_node()?
    } else {
        threads::of_command()?
    };
    runtime.spawn(give_back());
    let exit = runtime.block_on(commands::run(args));
    // Threads that wait for a key would never end.
    runtime.shutdown_background();
    exit
}

/// The allocator gives back what was freed more than a second ago, but only when it is asked
/// for something that it does not have at hand. A node that has become idle asks for nothing.
async fn give_back() {
    loop {
        tokio::time::sleep(GIVE_BACK).await;
        drop(black_box(Vec::<u8>::with_capacity(ASIDE)));
    }
}
