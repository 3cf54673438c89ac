//! `thorp magnet`: prints a link by which ordinary BitTorrent clients fetch a shared file or
//! folder.

use thorp_node::api::{Command, TorrentOf};

use super::context::Context;
use crate::args::MagnetArgs;
use crate::exit::Result;

pub async fn run(context: &Context, args: MagnetArgs) -> Result {
    let of = TorrentOf {
        name: args.name,
        v2: args.which.v2,
        public: args.which.public,
        whole: false,
    };
    context.answer(None, Command::Torrent(of)).await
}
