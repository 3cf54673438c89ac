//! `thorp completions`: a script for a shell.

use clap::CommandFactory;

use crate::args::{Args, CompletionsArgs};
use crate::exit::{Exit, Result};
use crate::out;

pub fn run(args: &CompletionsArgs) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "thorp", &mut script);
    let _ = out::data(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::DONE)
}
