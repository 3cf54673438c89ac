//! `thorp ls`: lists the files of one peer, of one folder, or all.

use thorp_node::api::{Command, ErrorKind};

use super::context::Context;
use crate::args::LsArgs;
use crate::exit::{Result, failure};

pub async fn run(context: &Context, args: LsArgs) -> Result {
    let (peer, folder) = match (args.whose, args.folder) {
        // A text with a slash cannot be a peer.
        (Some(folder), None) if folder.contains('/') => (None, Some(folder)),
        named => named,
    };
    let folder = folder.as_deref().map(folder_name);
    if peer.as_deref() == Some("") || folder == Some("") {
        let why = "an empty name is no peer and no folder: thorp ls lists all there is";
        return Err(failure(ErrorKind::Usage, why));
    }
    let folder = folder.map(str::to_owned);
    let command = Command::Ls { peer, folder };
    let tracker = args.visiting.tracker;
    context.list(tracker, command, args.listing).await
}

/// Returns the name of a folder without leading or trailing parts that shares do not have, such as
/// those added by completion.
fn folder_name(typed: &str) -> &str {
    let typed = typed.trim_end_matches('/');
    let inner = typed.strip_prefix("./").unwrap_or(typed);
    inner.trim_start_matches('/')
}
