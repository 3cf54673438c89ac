//! Why something in the directory is not shared.

use thorp_node::snapshot::WhyLeftOut;

/// Why, in a few words, and what shares it where a user may want that.
pub fn why_left_out(why: WhyLeftOut) -> &'static str {
    match why {
        WhyLeftOut::Hidden => "hidden; --hidden shares it",
        WhyLeftOut::Ignored => "a .thorpignore says so",
        WhyLeftOut::IgnoreFile => "its .thorpignore is no readable file of at most 64 KiB",
        WhyLeftOut::Unnameable => "its name is not UTF-8, or its path too long",
        WhyLeftOut::Unreadable => "cannot be read: check its permissions",
        WhyLeftOut::LinkOut => "a link that leads out of the directory",
        WhyLeftOut::LinkBroken => "a link that leads nowhere, or in a circle",
        WhyLeftOut::LinkToFolder => "a link to a folder; what is in that is shared there",
        WhyLeftOut::LinkToLeftOut => "a link to what is not shared",
        WhyLeftOut::Special => "a device, a socket or a pipe",
        WhyLeftOut::Keys => "thorp keeps its keys there",
    }
}
