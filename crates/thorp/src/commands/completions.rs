//! `thorp completions`: prints a script for a shell, which asks this program for completions.

use clap_complete::env::Shells;
use thorp_node::api::ErrorKind;

use crate::args::CompletionsArgs;
use crate::completing::VARIABLE;
use crate::exit::{Exit, Result, failure};
use crate::out;

pub fn run(args: &CompletionsArgs) -> Result {
    let shell = args.shell.to_string();
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let written = shells.completer(&shell).map(|completer| {
        completer.write_registration(VARIABLE, "thorp", "thorp", "thorp", &mut script)
    });
    if !matches!(written, Some(Ok(()))) {
        let why = format!("there is no completion for {shell}");
        return Err(failure(ErrorKind::Usage, why));
    }
    let _ = out::data(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::DONE)
}
