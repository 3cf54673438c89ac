//! The envelope: one flat map made of two head fields and the body's own.

use minicbor::encode::Write;
use minicbor::{Decoder, Encode, Encoder};

use super::{Body, Frame, FrameError, RequestId, shape};

macro_rules! kinds {
    ($($kind:literal $body:ident),* $(,)?) => {
        fn kind(body: &Body) -> u16 {
            match body {
                $(Body::$body(_) => $kind,)*
            }
        }

        fn encode_body(body: &Body, out: HeadFirst<'_>) {
            let mut encoder = Encoder::new(out);
            match body {
                // Writing to memory cannot fail.
                $(Body::$body(body) => { let _ = body.encode(&mut encoder, &mut ()); })*
            }
        }

        fn decode_body(kind: u16, bytes: &[u8]) -> Option<Result<Body, minicbor::decode::Error>> {
            Some(match kind {
                $($kind => minicbor::decode(bytes).map(Body::$body),)*
                _ => return None,
            })
        }
    };
}
kinds!(
    0 Hello,
    1 Join,
    2 Joined,
    3 Update,
    4 Ack,
    5 Find,
    6 Found,
    7 Get,
    8 Content,
    9 Refused,
    10 Leave,
    11 Record,
);

/// A list of one-letter names takes this many times its length in memory.
const GROWS: usize = 25;

pub(super) fn encode(frame: &Frame, out: &mut Vec<u8>) {
    let head = HeadFirst {
        kind: kind(&frame.body),
        request: frame.request,
        written: false,
        out,
    };
    encode_body(&frame.body, head);
}

pub(super) fn decode(bytes: &[u8]) -> Result<Frame, FrameError> {
    shape::check(bytes)?;
    let Head { kind, request } = Head::decode(bytes).map_err(FrameError::malformed)?;
    let unknown = FrameError::Unknown { kind, request };
    match decode_body(kind, bytes) {
        Some(Ok(body)) => Ok(Frame { request, body }),
        // The one enum in a frame that refuses what it does not know is `Query`.
        Some(Err(error)) if error.is_unknown_variant() => Err(unknown),
        Some(Err(error)) => Err(FrameError::malformed(error)),
        None => Err(unknown),
    }
}

/// See [`Frame::memory`].
pub(super) fn memory(bytes: &[u8]) -> usize {
    match Head::decode(bytes).map(|head| head.kind) {
        // A byte string or a text, as long in memory as on the wire.
        Ok(7..=10) => bytes.len(),
        _ => bytes.len().saturating_mul(GROWS),
    }
}

/// The two fields every frame has. Keys ascend, so they come first.
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

/// Passes an encoded body on with the head's fields put in front of its own.
///
/// A body is a map with fewer than 22 fields, so its first byte is `0xa0 + n`
/// (RFC 8949, 3.1). That byte alone is rewritten; nothing is moved or copied
/// twice, however long the body. The keys still ascend: 0 and 1 come first.
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
