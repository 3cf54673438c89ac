//! What the envelope asks of each body, and the list of bodies made into [`Body`].
//!
//! A frame is listed once, in this module's parent. What `frames!` makes of the
//! list does not compile until the new body has said its bounds here.
//!
//! [`Body`]: super::Body

use super::{FrameError, MAX_FRAME};

/// A frame, or a thing in it, without its texts: about so many bytes.
pub(super) const THING: usize = 64;
/// A list of one-letter names takes this many times its length in memory.
pub(super) const GROWS: usize = 25;

/// The bounds of one body.
pub(super) trait FrameBody {
    /// The longest frame of this type, in bytes.
    const MAX_LENGTH: usize = MAX_FRAME;
    /// How many bytes of memory a byte of it takes once it is read, at most and about.
    const GROWS: usize = GROWS;

    /// Refuses what is out of bounds or contradicts itself.
    ///
    /// After decoding, so that a bound is written once for both directions. What
    /// a frame can make a receiver allocate before that is bounded by its length.
    fn check(&self) -> Result<(), FrameError>;

    /// About how many bytes it takes, in memory and on the wire. What the
    /// frame's maker can make long is counted.
    fn size(&self) -> usize;
}

/// Makes the enum of all bodies, and what differs from one to the other only by
/// its number, its name or its type.
macro_rules! frames {
    ($($kind:literal $name:ident($body:ty)),* $(,)?) => {
        /// What a frame can say.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is documented where its type is")]
        pub enum Body {
            $($name($body),)*
        }

        impl Body {
            /// Every type of frame: its number, and its name as `frames.md` has it.
            pub const TYPES: &[(u16, &str)] = &[$(($kind, stringify!($name)),)*];

            /// The name of its type, as `frames.md` has it.
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

            /// The same for what is not read yet, and may be unknown.
            fn grows(kind: u16) -> usize {
                match kind {
                    $($kind => <$body as FrameBody>::GROWS,)*
                    _ => body::GROWS,
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

            /// Nothing, if there is no such type.
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
