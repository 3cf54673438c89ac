//! The decisions of thorp: which peer has what, which member to ask, what to fetch next.
//!
//! ```text
//! machines   peer tracker swarm  one `handle`, one `poll_output`; they route
//! links      links               connections to members; the same for tracker and peer
//! get        get                 files by name for the user of a peer, from start to end
//! rules      lookup survey neighbours remembered hearsay publisher
//!            liveness budget bound   small machines, each testable alone
//! memory     catalogue presence gather answer matching glob words
//!                                which peer has what, who is present, how both are found
//! clients    swarms announces exchange client_torrents
//!                                which peers of BitTorrent are in which torrent; when this peer
//!                                announces itself to which tracker; what clients are told of
//!                                one another; by which torrent each is asked for a file
//!            torrent             when the fetch of a torrent is given up, and why
//! strangers  dialled             which addresses named by other machines may be dialled
//! walks      ahead               how many things are looked at without waiting for memory at each
//! shown      changes spared      which rows of the view have changed; how many lookups
//!                                the tracker was spared
//! time                           moments, passed in from outside
//! ```
//!
//! Everything here is pure: no sockets, files, clocks, randomness or threads. Time and seeds are
//! passed in, the data of files does not pass through here, and nothing is iterated in an order
//! that changes from run to run. The shell around it, with sockets and the clock, is `thorp-node`.

mod ahead;
pub mod announces;
mod answer;
pub mod bound;
pub mod budget;
pub mod catalogue;
pub mod changes;
pub mod client_torrents;
pub mod dialled;
pub mod exchange;
mod gather;
pub mod get;
mod glob;
mod hearsay;
pub mod links;
mod liveness;
pub mod lookup;
pub mod matching;
pub mod neighbours;
pub mod peer;
pub mod presence;
pub mod publisher;
pub mod remembered;
pub mod spared;
pub mod survey;
pub mod swarm;
pub mod swarms;
#[cfg(test)]
mod testing;
pub mod time;
pub mod torrent;
pub mod tracker;
pub mod words;
