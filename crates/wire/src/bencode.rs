//! Bencode (BEP 3, BEP 52), read strictly: each value has exactly one encoding.
//!
//! A value is checked once as a whole, in one pass and without allocation; [`Value`] is then a
//! view of its bytes. A [`Dictionary`] is written with its keys in order. Numbers are signed
//! 64-bit integers, enough for the length of any file.
//!
//! Some other programs write dictionaries with their keys in another order.
//! [`Value::parse_in_any_order`] reads these as well: info dictionaries, and messages of clients.
//! Whole torrents and the answers of trackers may have other bytes behind them, too
//! ([`Value::first_of`]).

use std::borrow::Cow;
use std::collections::BTreeMap;

use thiserror::Error;

/// The maximum nesting of lists and dictionaries. Each folder in the file tree of a torrent is
/// one dictionary (BEP 52).
const MAX_DEPTH: u8 = 32;

/// Whether the keys of a dictionary must be in order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Ordered,
    AnyOrder,
}

/// A well-formed value, including everything in it. Borrowed, and as cheap to copy as a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a>(&'a [u8]);

impl<'a> Value<'a> {
    /// Parses bytes that are exactly one value.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NotBencode> {
        match Self::first(bytes, Keys::Ordered)? {
            (value, []) => Ok(value),
            _ => Err(NotBencode("bytes behind the value")),
        }
    }

    /// Parses bytes that are exactly one value, in which the keys of a dictionary may be in any
    /// order. Of a key that is repeated, [`get`](Self::get) returns the first value.
    pub fn parse_in_any_order(bytes: &'a [u8]) -> Result<Self, NotBencode> {
        match Self::first(bytes, Keys::AnyOrder)? {
            (value, []) => Ok(value),
            _ => Err(NotBencode("bytes behind the value")),
        }
    }

    /// Parses the first value of `bytes`, whose keys may be in any order, and returns it with the
    /// bytes that follow: some messages append other data (BEP 9), and some programs a line's end.
    pub fn first_of(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), NotBencode> {
        Self::first(bytes, Keys::AnyOrder)
    }

    fn first(bytes: &'a [u8], keys: Keys) -> Result<(Self, &'a [u8]), NotBencode> {
        let rest = skip(bytes, MAX_DEPTH, keys)?;
        Ok((Self(&bytes[..bytes.len() - rest.len()]), rest))
    }

    /// Returns the encoded bytes, of which an info-hash is computed.
    pub fn raw(self) -> &'a [u8] {
        self.0
    }

    /// Returns the number, or `None` if the value is not one.
    pub fn integer(self) -> Option<i64> {
        match self.0 {
            [b'i', rest @ ..] => integer(rest).ok().map(|(number, _)| number),
            _ => None,
        }
    }

    /// Returns the bytes of the string, or `None` if the value is not one.
    pub fn string(self) -> Option<&'a [u8]> {
        string(self.0).ok().map(|(string, _)| string)
    }

    /// Returns the elements of the list. There are none if the value is not a list.
    pub fn list(self) -> impl Iterator<Item = Value<'a>> {
        let mut inside = self.inside(b'l');
        std::iter::from_fn(move || next(&mut inside))
    }

    /// Returns the keys and values of the dictionary, in the order of the keys. There are none if
    /// the value is not a dictionary.
    pub fn dictionary(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let mut inside = self.inside(b'd');
        std::iter::from_fn(move || Some((next(&mut inside)?.string()?, next(&mut inside)?)))
    }

    /// Returns the value of a key of the dictionary.
    pub fn get(self, key: impl AsRef<[u8]>) -> Option<Value<'a>> {
        self.dictionary()
            .find(|(name, _)| *name == key.as_ref())
            .map(|(_, value)| value)
    }

    /// Whether the value is a list.
    pub fn is_list(self) -> bool {
        self.0.starts_with(b"l")
    }

    /// Whether the value is a dictionary.
    pub fn is_dictionary(self) -> bool {
        self.0.starts_with(b"d")
    }

    fn inside(self, kind: u8) -> &'a [u8] {
        match self.0 {
            [first, inside @ .., b'e'] if *first == kind => inside,
            _ => &[],
        }
    }
}

/// A dictionary to be encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dictionary(BTreeMap<Cow<'static, [u8]>, Vec<u8>>);

/// A key of a [`Dictionary`]: a text that is known, or any bytes.
pub trait BencodeKey {
    /// Returns the key's bytes.
    fn bytes(self) -> Cow<'static, [u8]>;
}

impl BencodeKey for &'static str {
    fn bytes(self) -> Cow<'static, [u8]> {
        Cow::Borrowed(self.as_bytes())
    }
}

impl BencodeKey for Vec<u8> {
    fn bytes(self) -> Cow<'static, [u8]> {
        Cow::Owned(self)
    }
}

impl Dictionary {
    /// Adds a number.
    #[must_use]
    pub fn integer(self, key: impl BencodeKey, number: impl Into<i64>) -> Self {
        self.encoded(key, format!("i{}e", number.into()).into_bytes())
    }

    /// Adds a string.
    #[must_use]
    pub fn string(self, key: impl BencodeKey, string: &[u8]) -> Self {
        self.encoded(key, encoded_string(string))
    }

    /// Adds a dictionary.
    #[must_use]
    pub fn dictionary(self, key: impl BencodeKey, inner: &Self) -> Self {
        let bytes = inner.encode();
        self.encoded(key, bytes)
    }

    /// Adds a list of values that are encoded.
    #[must_use]
    pub fn list(self, key: impl BencodeKey, values: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.encoded(key, encoded_list(values))
    }

    /// Adds a value that is encoded.
    #[must_use]
    pub fn encoded(mut self, key: impl BencodeKey, value: Vec<u8>) -> Self {
        self.0.insert(key.bytes(), value);
        self
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Encodes the dictionary.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![b'd'];
        for (key, value) in &self.0 {
            write_string(key, &mut out);
            out.extend_from_slice(value);
        }
        out.push(b'e');
        out
    }
}

/// Encodes a string.
pub fn encoded_string(string: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(string.len() + 8);
    write_string(string, &mut out);
    out
}

/// Encodes a list of values that are encoded.
pub fn encoded_list(values: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = vec![b'l'];
    for value in values {
        out.extend_from_slice(&value);
    }
    out.push(b'e');
    out
}

fn write_string(string: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(string.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(string);
}

/// The bytes are not a value in its only valid encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed bencode: {0}")]
pub struct NotBencode(&'static str);

const CUT: NotBencode = NotBencode("cut short");

/// Removes the next value from bytes that have been checked.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<Value<'a>> {
    let (value, rest) = Value::first(bytes, Keys::AnyOrder).ok()?;
    *bytes = rest;
    Some(value)
}

/// Returns the bytes after the first value, which may be nested `depth` levels deep.
fn skip(bytes: &[u8], depth: u8, keys: Keys) -> Result<&[u8], NotBencode> {
    match bytes {
        [b'i', rest @ ..] => integer(rest).map(|(_, rest)| rest),
        [b'0'..=b'9', ..] => string(bytes).map(|(_, rest)| rest),
        [b'l', rest @ ..] => {
            let depth = deeper(depth)?;
            let mut rest = rest;
            loop {
                match rest {
                    [b'e', behind @ ..] => return Ok(behind),
                    _ => rest = skip(rest, depth, keys)?,
                }
            }
        }
        [b'd', rest @ ..] => {
            let depth = deeper(depth)?;
            let mut rest = rest;
            let mut last = None;
            loop {
                if let [b'e', behind @ ..] = rest {
                    return Ok(behind);
                }
                let (key, value) = string(rest)?;
                if keys == Keys::Ordered && last.is_some_and(|last| last >= key) {
                    return Err(NotBencode("a key that is repeated or out of order"));
                }
                last = Some(key);
                rest = skip(value, depth, keys)?;
            }
        }
        [] => Err(CUT),
        _ => Err(NotBencode("a byte that no value begins with")),
    }
}

/// Parses the number after an `i`. Returns it and the bytes after its `e`.
fn integer(bytes: &[u8]) -> Result<(i64, &[u8]), NotBencode> {
    let (sign, digits) = match bytes {
        [b'-', digits @ ..] => (-1, digits),
        _ => (1, bytes),
    };
    let (digits, rest) = until(digits, b'e')?;
    if sign < 0 && digits == b"0" {
        return Err(NotBencode("a zero with a sign"));
    }
    Ok((decimal(digits, sign)?, rest))
}

/// Parses the string at the beginning of `bytes`. Returns it and the bytes after it.
fn string(bytes: &[u8]) -> Result<(&[u8], &[u8]), NotBencode> {
    let (digits, rest) = until(bytes, b':')?;
    let length = usize::try_from(decimal(digits, 1)?).map_err(|_| CUT)?;
    rest.split_at_checked(length).ok_or(CUT)
}

/// The maximum number of digits of a number: that of 2^63.
const MAX_DIGITS: usize = 19;

/// Returns the digits before `end` and the bytes after it. It looks no further than the longest
/// number, so that a long string is not scanned in vain.
fn until(bytes: &[u8], end: u8) -> Result<(&[u8], &[u8]), NotBencode> {
    let digits = bytes
        .iter()
        .take(MAX_DIGITS + 1)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    match bytes.split_at(digits) {
        (digits, [found, rest @ ..]) if *found == end => Ok((digits, rest)),
        (digits, _) if digits.len() > MAX_DIGITS => Err(NotBencode("a number over 64 bits")),
        (_, []) => Err(CUT),
        _ => Err(NotBencode("a number with something else in it")),
    }
}

fn decimal(digits: &[u8], sign: i64) -> Result<i64, NotBencode> {
    match digits {
        [] => return Err(NotBencode("a number without digits")),
        [b'0', _, ..] => return Err(NotBencode("a number with a zero in front")),
        _ => {}
    }
    digits
        .iter()
        .try_fold(0i64, |number, digit| {
            let digit = i64::from(digit - b'0');
            number.checked_mul(10)?.checked_add(sign * digit)
        })
        .ok_or(NotBencode("a number over 64 bits"))
}

fn deeper(depth: u8) -> Result<u8, NotBencode> {
    depth.checked_sub(1).ok_or(NotBencode("nested too deep"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(bytes: &[u8]) -> String {
        Value::parse(bytes).expect_err("a refusal").to_string()
    }

    fn parsed(text: &str) -> Value<'_> {
        Value::parse(text.as_bytes()).expect("a value")
    }

    #[test]
    fn the_examples_of_the_bep_are_read() {
        assert_eq!(parsed("4:spam").string(), Some(&b"spam"[..]));
        assert_eq!(parsed("0:").string(), Some(&b""[..]));
        assert_eq!(parsed("i3e").integer(), Some(3));
        assert_eq!(parsed("i-3e").integer(), Some(-3));
        assert_eq!(parsed("i0e").integer(), Some(0));
        let list: Vec<_> = parsed("l4:spam4:eggse").list().collect();
        assert_eq!(list, [parsed("4:spam"), parsed("4:eggs")]);
        let dictionary = parsed("d3:cow3:moo4:spaml1:a1:bee");
        assert_eq!(dictionary.get("cow"), Some(parsed("3:moo")));
        assert_eq!(dictionary.get("spam"), Some(parsed("l1:a1:be")));
        assert_eq!(dictionary.get("eggs"), None);
    }

    #[test]
    fn a_value_is_not_taken_for_one_of_another_kind() {
        for (text, kind) in [("i1e", 0), ("1:i", 1), ("li1ee", 2), ("d1:ai1ee", 3)] {
            let value = parsed(text);
            let is = [
                value.integer().is_some(),
                value.string().is_some(),
                value.list().next().is_some(),
                value.dictionary().next().is_some(),
            ];
            for (other, is) in is.into_iter().enumerate() {
                assert_eq!(is, other == kind, "{text}");
            }
            assert_eq!(value.is_dictionary(), kind == 3);
        }
    }

    #[test]
    fn the_bytes_of_an_inner_value_are_those_that_came() {
        let outer = parsed("d4:infod6:lengthi5ee3:zzz0:e");
        let info = outer.get("info").expect("a dictionary");
        assert_eq!(info.raw(), b"d6:lengthi5ee");
    }

    #[test]
    fn numbers_have_64_bits_and_a_sign() {
        for number in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            assert_eq!(parsed(&format!("i{number}e")).integer(), Some(number));
        }
        for number in ["9223372036854775808", "-9223372036854775809"] {
            assert!(refusal(format!("i{number}e").as_bytes()).contains("over 64 bits"));
        }
        assert!(refusal(b"i99999999999999999999999e").contains("over 64 bits"));
        assert!(refusal(b"99999999999999999999999:").contains("over 64 bits"));
    }

    #[test]
    fn a_number_has_one_form_only() {
        for (bytes, why) in [
            (&b"i-0e"[..], "zero with a sign"),
            (b"i03e", "zero in front"),
            (b"i-03e", "zero in front"),
            (b"00:", "zero in front"),
            (b"04:spam", "zero in front"),
            (b"ie", "without digits"),
            (b"i-e", "without digits"),
            (b"i+3e", "something else"),
            (b"i 3e", "something else"),
            (b"i3.0e", "something else"),
            (b"4-spam", "something else"),
        ] {
            let text = String::from_utf8_lossy(bytes);
            assert!(refusal(bytes).contains(why), "{text}: {}", refusal(bytes));
        }
    }

    #[test]
    fn keys_are_strings_ascending_and_there_once() {
        assert!(refusal(b"d1:bi1e1:ai2ee").contains("out of order"));
        assert!(refusal(b"d1:ai1e1:ai2ee").contains("repeated"));
        assert!(refusal(b"d2:aai1e1:bi2e1:aee").contains("out of order"));
        assert_eq!(parsed("d1:ai1e2:aai2ee").dictionary().count(), 2);
        assert!(Value::parse(b"di1ei2ee").is_err());
        assert!(Value::parse(b"d1:ae").is_err(), "a key without a value");
    }

    #[test]
    fn keys_may_be_in_another_order_where_that_is_asked_for() {
        let bytes = b"d1:bd1:di1e1:ci2ee1:ai3e1:ai4ee";
        assert!(Value::parse(bytes).is_err());
        let value = Value::parse_in_any_order(bytes).expect("a value");
        assert_eq!(value.get("a"), Some(parsed("i3e")));
        let inner = value.get("b").expect("a dictionary");
        assert_eq!(inner.get("c"), Some(parsed("i2e")));
        assert_eq!(inner.raw(), b"d1:di1e1:ci2ee");
        assert!(Value::parse_in_any_order(b"d1:ai03ee").is_err());
    }

    #[test]
    fn nesting_ends_at_thirty_two() {
        for (open, close) in [("l", "e"), ("d0:", "e")] {
            let nested = |depth| format!("{}i0e{}", open.repeat(depth), close.repeat(depth));
            assert!(Value::parse(nested(32).as_bytes()).is_ok());
            assert!(refusal(nested(33).as_bytes()).contains("too deep"));
            assert!(refusal(open.repeat(500_000).as_bytes()).contains("too deep"));
        }
    }

    #[test]
    fn a_promise_of_more_than_there_is_costs_nothing() {
        assert!(refusal(b"9223372036854775807:spam").contains("cut short"));
    }

    #[test]
    fn nothing_stands_behind_a_value_but_where_that_is_asked_for() {
        assert!(refusal(b"i1ei2e").contains("behind"));
        let (value, rest) = Value::first_of(b"i1eXY").expect("a value");
        assert_eq!((value.raw(), rest), (&b"i1e"[..], &b"XY"[..]));
    }

    #[test]
    fn a_dictionary_is_written_in_order_whatever_it_was_made_in() {
        let inner = Dictionary::default().integer("n", 7);
        let dictionary = Dictionary::default()
            .string("spam", b"eggs")
            .dictionary("m", &inner)
            .integer("cow", -3);
        let bytes = dictionary.encode();
        assert_eq!(bytes, b"d3:cowi-3e1:md1:ni7ee4:spam4:eggse");
        assert!(Value::parse(&bytes).is_ok());
    }

    #[test]
    fn no_value_can_be_cut() {
        let bytes = b"d3:cowi-3e1:md1:ni7ee4:spaml4:eggsi0eee";
        for end in 0..bytes.len() {
            assert_eq!(Value::parse(&bytes[..end]), Err(CUT), "{end}");
        }
    }

    /// An encoded value.
    fn value() -> impl Strategy<Value = Vec<u8>> {
        let string = |bytes: Vec<u8>| {
            let mut out = Vec::new();
            write_string(&bytes, &mut out);
            out
        };
        let bytes = || prop::collection::vec(any::<u8>(), 0..12);
        let leaf = prop_oneof![
            any::<i64>().prop_map(|number| format!("i{number}e").into_bytes()),
            bytes().prop_map(string),
        ];
        leaf.prop_recursive(8, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(|items| [
                    b"l",
                    &items.concat()[..],
                    b"e"
                ]
                .concat()),
                prop::collection::btree_map(bytes(), inner, 0..6).prop_map(move |entries| {
                    let entries = entries.into_iter();
                    let entries = entries.flat_map(|(key, value)| [string(key), value]);
                    [b"d", &entries.collect::<Vec<_>>().concat()[..], b"e"].concat()
                }),
            ]
        })
    }

    /// Encodes a value again from what the view returns.
    fn rewritten(value: Value<'_>) -> Vec<u8> {
        if let Some(number) = value.integer() {
            format!("i{number}e").into_bytes()
        } else if let Some(string) = value.string() {
            let mut out = Vec::new();
            write_string(string, &mut out);
            out
        } else if value.is_dictionary() {
            let mut out = vec![b'd'];
            for (key, value) in value.dictionary() {
                write_string(key, &mut out);
                out.extend(rewritten(value));
            }
            out.push(b'e');
            out
        } else {
            let items: Vec<_> = value.list().flat_map(rewritten).collect();
            [b"l", &items[..], b"e"].concat()
        }
    }

    proptest! {
        #[test]
        fn what_a_view_gives_out_is_all_that_came(bytes in value()) {
            prop_assert_eq!(rewritten(Value::parse(&bytes).expect("a value")), bytes);
        }

        #[test]
        fn what_is_read_has_no_other_form(
            mut bytes in value(),
            at in any::<prop::sample::Index>(),
            byte in prop_oneof![any::<u8>(), prop::sample::select(&b"0123456789:-eild"[..])],
        ) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(value) = Value::parse(&bytes) {
                prop_assert_eq!(rewritten(value), bytes);
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in "[0-9:ield-]{0,40}") {
            let _ = Value::parse(text.as_bytes());
        }
    }
}
