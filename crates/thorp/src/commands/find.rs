//! `thorp find`: lists the files that match a pattern, with their holders.

use thorp_node::api::{Command, ErrorKind};

use super::context::Context;
use crate::args::FindArgs;
use crate::exit::{Result, failure};

pub async fn run(context: &Context, args: FindArgs) -> Result {
    let pattern = args.pattern;
    if pattern.is_empty() {
        let why = "an empty pattern matches nothing: name a file, or a pattern such as '*.txt'";
        return Err(failure(ErrorKind::Usage, why));
    }
    let command = Command::Find { pattern };
    let tracker = args.visiting.tracker;
    context.list(tracker, command, args.listing).await
}
