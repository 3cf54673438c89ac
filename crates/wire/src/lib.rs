//! Converts bytes to values and back.
//!
//! ```text
//! id         a member's public key, written in base32, and its human name
//! name       a file's name: a relative path that cannot leave a share
//! content    what identifies a file's bytes: a length and a Merkle root (BEP 52)
//! merkle     how that root is computed, asked for and proved
//! layout     how a file is cut into pieces and blocks
//! entry      one file on offer: name, length, time, root
//! frame      what two members say over a link, one module per frame
//! session    what the two ends of a BitTorrent connection say
//! announce   what clients and trackers say, over HTTP and UDP
//! torrent    what torrents and magnet links say of files
//! info_hash  the 20 bytes by which clients name a torrent; who a client is
//! percent    bytes in the query of a URL
//! bencode    the encoding of torrents, of trackers' answers and of extended messages
//! reserved   names that have a meaning for thorp itself or for other programs
//! printable  text escaped for display on a terminal
//! ```
//!
//! Everything here is pure: no sockets, files, clocks or randomness. A value that exists is
//! valid: input from other members is checked while it is decoded, and an error says what was
//! wrong with it. `thorp-core` decides what the values mean and what follows from them.

pub mod announce;
pub mod bencode;
pub mod content;
pub mod entry;
pub mod frame;
pub mod id;
pub mod info_hash;
pub mod layout;
pub mod merkle;
pub mod name;
mod percent;
pub mod printable;
pub mod reserved;
pub mod session;
pub mod torrent;

pub use content::{Content, Root};
pub use entry::{Attributes, Entry};
pub use frame::{Body, Frame, FrameError, RequestId};
pub use id::{MemberName, PeerId};
pub use info_hash::{ClientId, InfoHash, InfoHashV2};
pub use name::{Name, NameError};
pub use printable::{Printable, Remark, printable};
