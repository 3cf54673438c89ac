//! What goes over the links of a node: how many messages of each kind there are between members
//! and the tracker, and how many small files come.
//!
//! Counted is what is handed to a link and what a link brings, whatever becomes of it.

use std::collections::BTreeMap;

use thorp_wire::Frame;
use thorp_wire::frame::Body;

/// Messages by their kind, as `frames.md` names them.
type Kinds = BTreeMap<&'static str, u64>;

/// The counters, since the start.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    sent: Kinds,
    received: Kinds,
    contents: u64,
    content_bytes: u64,
}

impl Counted {
    /// A message goes to the tracker, or from the tracker to a member.
    pub(super) fn on_sent(&mut self, frame: &Frame) {
        *self.sent.entry(frame.body.name()).or_default() += 1;
    }

    /// The same in the other direction.
    pub(super) fn on_received(&mut self, frame: &Frame) {
        *self.received.entry(frame.body.name()).or_default() += 1;
    }

    /// A link brings a message, from whichever member.
    pub(super) fn on_any(&mut self, frame: &Frame) {
        if let Body::Content(content) = &frame.body {
            self.contents += 1;
            self.content_bytes += content.bytes.len() as u64;
        }
    }

    /// Returns the messages that were sent, and those that were received.
    pub(super) fn messages(&self) -> [BTreeMap<String, u64>; 2] {
        let named = |kinds: &Kinds| {
            let kinds = kinds.iter();
            kinds
                .map(|(kind, count)| (kind.to_lowercase(), *count))
                .collect()
        };
        [named(&self.sent), named(&self.received)]
    }

    /// Returns how many small files came, and how many bytes they had.
    pub(super) fn contents(&self) -> (u64, u64) {
        (self.contents, self.content_bytes)
    }
}

#[cfg(test)]
mod tests {
    use thorp_wire::frame::{Bytes, Leave};

    use super::*;

    #[test]
    fn messages_are_counted_by_kind_and_small_files_by_their_bytes() {
        let mut counted = Counted::default();
        let leave = Frame::plain(Leave { reason: "x".into() });
        let content = Frame::plain(Bytes { bytes: vec![7; 10] });
        counted.on_sent(&leave);
        counted.on_sent(&leave);
        counted.on_received(&content);
        for frame in [&leave, &content] {
            counted.on_any(frame);
        }
        let [sent, received] = counted.messages();
        assert_eq!(sent.into_iter().collect::<Vec<_>>(), [("leave".into(), 2)]);
        assert_eq!(
            received.into_iter().collect::<Vec<_>>(),
            [("content".into(), 1)]
        );
        assert_eq!(counted.contents(), (1, 10));
    }
}
