//! Percent-encoding of bytes in the query of a URL (RFC 3986), as clients write it.
//!
//! A `+` is a space: some clients encode queries as forms are encoded. The byte `+` itself is
//! always escaped, because RFC 3986 reserves it.

/// Decodes a key or a value. `None` if a `%` is not followed by two hexadecimal digits.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Some(bytes),
            [b'%', high, low, rest @ ..] => {
                bytes.push(hex(*high)? << 4 | hex(*low)?);
                rest
            }
            [b'%', ..] => return None,
            [b'+', rest @ ..] => {
                bytes.push(b' ');
                rest
            }
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
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
