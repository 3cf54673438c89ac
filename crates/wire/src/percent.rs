//! Percent-encoding of bytes in the query of a URL (RFC 3986), as clients write it.
//!
//! A `+` is a space: some clients encode queries as forms are encoded. The byte `+` itself is
//! always escaped, because RFC 3986 reserves it.

/// Decodes a key or a value. `None` if a `%` is not followed by two hexadecimal digits.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let (bytes, has_stray) = decoded(text);
    (!has_stray).then_some(bytes)
}

/// The same, but a `%` that is not followed by two hexadecimal digits stands for itself: in what
/// people have written.
pub(crate) fn decode_leniently(text: &[u8]) -> Vec<u8> {
    decoded(text).0
}

/// Returns the bytes, and whether a `%` is among them that was not escaped.
fn decoded(text: &[u8]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut rest, mut has_stray) = (text, false);
    while let [first, behind @ ..] = rest {
        rest = behind;
        let byte = match first {
            b'+' => b' ',
            b'%' => {
                if let Some((byte, behind)) = escaped(behind) {
                    rest = behind;
                    byte
                } else {
                    has_stray = true;
                    b'%'
                }
            }
            byte => *byte,
        };
        bytes.push(byte);
    }
    (bytes, has_stray)
}

/// Returns the byte that two hexadecimal digits stand for, and what is behind them.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let ([high, low], behind) = text.split_first_chunk::<2>()?;
    Some((hex(*high)? << 4 | hex(*low)?, behind))
}

/// Appends bytes, of which all but the unreserved characters of RFC 3986 are escaped.
pub(crate) fn encode(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}
