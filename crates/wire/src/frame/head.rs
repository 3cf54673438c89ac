//! The envelope: one flat map of two head fields and the body's own fields.

use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

use super::body::GROWS;
use super::{Body, Frame, FrameError, RequestId, shape};

pub(super) fn encode(frame: &Frame, out: &mut Vec<u8>) {
    let head = HeadFirst {
        kind: frame.body.kind(),
        request: frame.request,
        written: false,
        out,
    };
    // Writing to memory cannot fail.
    let _ = frame.body.encode(&mut Encoder::new(head));
}

pub(super) fn decode(bytes: &[u8]) -> Result<Frame, FrameError> {
    shape::check(bytes)?;
    let Head { kind, request } = Head::decode(bytes).map_err(FrameError::malformed)?;
    let unknown = FrameError::Unknown { kind, request };
    match Body::decode(kind, bytes) {
        Some(Ok(body)) => Ok(Frame { request, body }),
        // `Query` is the only enum in a frame that refuses unknown variants.
        Some(Err(error)) if error.is_unknown_variant() => Err(unknown),
        Some(Err(error)) => Err(FrameError::malformed(error)),
        None => Err(unknown),
    }
}

/// See [`Frame::memory`].
pub(super) fn memory(bytes: &[u8]) -> usize {
    let grows = Head::decode(bytes).map_or(GROWS, |head| Body::grows(head.kind));
    bytes.len().saturating_mul(grows)
}

/// Returns the type of a frame that has arrived in part, if the beginning contains it.
pub(super) fn kind(beginning: &[u8]) -> Option<u16> {
    Some(Head::decode(beginning).ok()?.kind)
}

/// The two fields that every frame has. Keys ascend, so these come first.
struct Head {
    kind: u16,
    request: Option<RequestId>,
}

impl Head {
    fn decode(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        let mut decoder = Decoder::new(bytes);
        let fields = decoder.map()?;
        if fields == Some(0) || decoder.u64()? != 0 {
            return Err(minicbor::decode::Error::message("no type"));
        }
        let kind = decoder.u16()?;
        let request = if fields > Some(1) && decoder.u64()? == 1 {
            Some(RequestId(decoder.u32()?))
        } else {
            None
        };
        Ok(Self { kind, request })
    }
}

/// Writes an encoded body with the head's fields inserted before the body's own.
///
/// A body is a map with fewer than 22 fields, so its first byte is `0xa0 + n` (RFC 8949, 3.1).
/// Only that byte is rewritten: nothing is moved or copied twice, however long the body. The keys
/// still ascend, since 0 and 1 come first.
struct HeadFirst<'a> {
    kind: u16,
    request: Option<RequestId>,
    written: bool,
    out: &'a mut Vec<u8>,
}

impl HeadFirst<'_> {
    fn write_head(&mut self, map: u8) {
        debug_assert!((0xa0..0xa0 + 22).contains(&map), "a body is a small map");
        let fields = 1 + u8::from(self.request.is_some());
        self.out.push(map + fields);
        let mut encoder = Encoder::new(&mut *self.out);
        let _ = encoder.u8(0).and_then(|e| e.u16(self.kind));
        if let Some(RequestId(id)) = self.request {
            let _ = encoder.u8(1).and_then(|e| e.u32(id));
        }
        self.written = true;
    }
}

impl Write for HeadFirst<'_> {
    type Error = std::convert::Infallible;

    fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), Self::Error> {
        if let (false, Some((&map, rest))) = (self.written, bytes.split_first()) {
            self.write_head(map);
            bytes = rest;
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}
