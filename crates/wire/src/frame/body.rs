//! What each body must provide, and the macro that makes [`Body`] of the list
//! of bodies.
//!
//! A frame is listed once, in the parent module. The list does not compile
//! until the new body states its bounds ([`FrameBody`]).
//!
//! [`Body`]: super::Body

use super::{FrameError, MAX_FRAME};

/// About how many bytes a frame, or a value in it, takes without its texts.
pub(super) const THING: usize = 64;
/// How many times its length on the wire a list of one-letter names takes in
/// memory.
pub(super) const GROWS: usize = 25;

/// The bounds of one body.
pub(super) trait FrameBody {
    /// The longest frame of this type, in bytes.
    const MAX_LENGTH: usize = MAX_FRAME;
    /// About how many bytes of memory one byte of it takes at most, once it is
    /// read.
    const GROWS: usize = GROWS;

    /// Refuses a body that is out of bounds or contradicts itself.
    ///
    /// Comes after decoding, so that each bound is written once for both
    /// directions. What decoding allocates is bounded by the length of the
    /// frame.
    fn check(&self) -> Result<(), FrameError>;

    /// About how many bytes it takes, in memory and on the wire. Everything
    /// whose length the sender chooses is counted.
    fn size(&self) -> usize;
}

/// Makes the enum of all bodies, and the code that is the same for each but for
/// its number, name and type.
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

            /// The same, by the number of a type that may be unknown.
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
