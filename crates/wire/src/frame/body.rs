//! What each body must provide, and the macro that makes [`Body`] of the list of bodies.
//!
//! Each frame is listed once, in the parent module. The list does not compile until a new body
//! states its bounds ([`FrameBody`]).
//!
//! [`Body`]: super::Body

use super::{FrameError, MAX_FRAME};

/// The approximate size in bytes of a frame, or of a value in it, without its texts.
pub(super) const THING: usize = 64;
/// The largest growth in memory of any frame, relative to its length on the wire: that of a list
/// of one-letter names.
pub(super) const GROWS: usize = 25;

/// The bounds of one body.
pub(super) trait FrameBody {
    /// The maximum length of a frame of this type, in bytes.
    const MAX_LENGTH: usize = MAX_FRAME;
    /// The approximate number of bytes of memory, at most, per byte of the encoded frame.
    const GROWS: usize = GROWS;
    /// Whether it is a file's content.
    const IS_CONTENT: bool = false;

    /// Refuses a body that is out of bounds or contradicts itself.
    ///
    /// It is called after decoding and before encoding, so each bound is written once for both
    /// directions. What decoding allocates is bounded by the length of the frame.
    fn check(&self) -> Result<(), FrameError>;

    /// Returns its approximate size in bytes, in memory and on the wire. Every part whose length
    /// the sender chooses is counted.
    fn size(&self) -> usize;
}

/// Makes the enum of all bodies, and the code that differs only in a body's number, name and
/// type.
macro_rules! frames {
    ($($kind:literal $name:ident($body:ty)),* $(,)?) => {
        /// The body of a frame: its own fields.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is documented where its type is")]
        pub enum Body {
            $($name($body),)*
        }

        impl Body {
            /// Every type of frame: its number and its name, as in `frames.md`.
            pub const TYPES: &[(u16, &str)] = &[$(($kind, stringify!($name)),)*];

            /// Returns the name of its type, as in `frames.md`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }

            fn kind(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $kind,)*
                }
            }

            fn check(&self) -> Result<(), FrameError> {
                match self {
                    $(Self::$name(body) => FrameBody::check(body),)*
                }
            }

            fn size(&self) -> usize {
                match self {
                    $(Self::$name(body) => FrameBody::size(body),)*
                }
            }

            fn max_length(&self) -> usize {
                match self {
                    $(Self::$name(_) => <$body>::MAX_LENGTH,)*
                }
            }

            /// Returns [`FrameBody::GROWS`] of a type, which may be unknown.
            fn grows(kind: u16) -> usize {
                match kind {
                    $($kind => <$body as FrameBody>::GROWS,)*
                    _ => body::GROWS,
                }
            }

            /// Returns [`FrameBody::IS_CONTENT`] of a type, which may be unknown.
            fn is_content(kind: u16) -> bool {
                match kind {
                    $($kind => <$body as FrameBody>::IS_CONTENT,)*
                    _ => false,
                }
            }

            fn encode<W: Write>(
                &self,
                encoder: &mut Encoder<W>,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                match self {
                    $(Self::$name(body) => body.encode(encoder, &mut ()),)*
                }
            }

            /// Returns `None` if the type is unknown.
            fn decode(kind: u16, bytes: &[u8]) -> Option<Result<Self, minicbor::decode::Error>> {
                match kind {
                    $($kind => Some(minicbor::decode(bytes).map(Self::$name)),)*
                    _ => None,
                }
            }
        }

        $(impl From<$body> for Body {
            fn from(body: $body) -> Self {
                Self::$name(body)
            }
        })*
    };
}
pub(super) use frames;
