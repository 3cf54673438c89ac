//! Checks the shape of every frame, including types that this version does not know: exactly one
//! CBOR map, in the deterministic form of RFC 8949 (section 4.2.1), with keys of at most 32 bits,
//! without nulls, and not nested deeply.
//!
//! So every value has one encoding, each key occurs once, missing fields are left out, nothing
//! follows the map, and an unknown field is cheap to skip. The check takes one pass and allocates
//! nothing. Each body decides which fields it has and which are required.

use super::FrameError;

/// The maximum nesting of maps, arrays and tags. The deepest frame of this version needs 6.
const MAX_DEPTH: u8 = 16;

pub(super) fn check(bytes: &[u8]) -> Result<(), FrameError> {
    let mut rest = Rest(bytes);
    let value = match bytes.first().map(|first| first >> 5) {
        Some(MAP) => rest.value(MAX_DEPTH),
        Some(_) => Err("not a map"),
        None => Err(CUT),
    };
    let behind = |()| match rest.0 {
        [] => Ok(()),
        _ => Err("bytes behind the frame"),
    };
    value.and_then(behind).map_err(FrameError::malformed)
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

const CUT: &str = "cut short";
const NOT_SHORTEST: &str = "a number or length that is not in its shortest form";

/// The bytes that have not been checked yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Checks one value, including everything in it.
    fn value(&mut self, depth: u8) -> Result<(), &'static str> {
        let first = self.byte()?;
        let (major, info) = (first >> 5, first & 0x1f);
        match major {
            UNSIGNED | NEGATIVE => self.argument(info).map(drop),
            BYTES => self.string(info).map(drop),
            TEXT => {
                let text = self.string(info)?;
                str::from_utf8(text)
                    .map(drop)
                    .map_err(|_| "a text that is not UTF-8")
            }
            ARRAY => {
                let depth = deeper(depth)?;
                for _ in 0..self.argument(info)? {
                    self.value(depth)?;
                }
                Ok(())
            }
            MAP => {
                let depth = deeper(depth)?;
                let mut last = None;
                for _ in 0..self.argument(info)? {
                    let key = Some(self.key()?);
                    if key <= last {
                        return Err("a key that is repeated or out of order");
                    }
                    last = key;
                    self.value(depth)?;
                }
                Ok(())
            }
            TAG => {
                let depth = deeper(depth)?;
                self.argument(info)?;
                self.value(depth)
            }
            _ => self.simple(info),
        }
    }

    fn key(&mut self) -> Result<u32, &'static str> {
        let first = self.byte()?;
        if first >> 5 != UNSIGNED {
            return Err("a key that is not an unsigned integer");
        }
        u32::try_from(self.argument(first)?).map_err(|_| "a key over 32 bits")
    }

    fn string(&mut self, info: u8) -> Result<&'a [u8], &'static str> {
        let length = self.argument(info)?;
        self.take(length)
    }

    /// Returns the number that the lower five bits of a first byte contain or announce.
    fn argument(&mut self, first: u8) -> Result<u64, &'static str> {
        let (argument, least) = match first & 0x1f {
            info @ 0..24 => return Ok(info.into()),
            24 => (u64::from(self.byte()?), 24),
            25 => (u16::from_be_bytes(self.array()?).into(), 1 << 8),
            26 => (u32::from_be_bytes(self.array()?).into(), 1 << 16),
            27 => (u64::from_be_bytes(self.array()?), 1 << 32),
            31 => return Err("a value of indefinite length"),
            _ => return Err("a reserved CBOR byte"),
        };
        if argument < least {
            return Err(NOT_SHORTEST);
        }
        Ok(argument)
    }

    /// Checks `false`, `true` and other simple values, and floats, which no frame uses so far.
    fn simple(&mut self, info: u8) -> Result<(), &'static str> {
        match info {
            0..22 => Ok(()),
            22 | 23 => Err("null or undefined, where what is missing is left out"),
            24 => match self.byte()? {
                0..32 => Err(NOT_SHORTEST),
                _ => Ok(()),
            },
            25..28 => self.take(1 << (info - 24)).map(drop),
            _ => Err("a reserved CBOR byte"),
        }
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (array, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(*array)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(length).map_err(|_| CUT)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }
}

fn deeper(depth: u8) -> Result<u8, &'static str> {
    depth.checked_sub(1).ok_or("nested too deep")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> String {
        check(bytes).expect_err("a refusal").to_string()
    }

    #[test]
    fn the_plain_forms_of_every_type_are_accepted() {
        for value in [
            &[0x17][..],                     // 23
            &[0x18, 0x18],                   // 24
            &[0x19, 0x01, 0x00],             // 256
            &[0x1a, 0, 1, 0, 0],             // 65,536
            &[0x1b, 0, 0, 0, 1, 0, 0, 0, 0], // 2^32
            &[0x38, 0x18],                   // -25
            &[0x42, 0xff, 0xff],             // bytes
            &[0x62, b'h', b'i'],             // text
            &[0x82, 0x01, 0x80],             // [1, []]
            &[0xa2, 0x00, 0xa0, 0x05, 0xf5], // {0: {}, 5: true}
            &[0xc1, 0x00],                   // a tag
            &[0xf5],                         // true
            &[0xf8, 0x20],                   // simple(32)
            &[0xf9, 0, 0],                   // floats
            &[0xfa, 0, 0, 0, 0],
            &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            let frame = [&[0xa1, 0x00], value].concat();
            assert_eq!(check(&frame), Ok(()), "{value:02x?}");
            for end in 0..frame.len() {
                assert!(refusal(&frame[..end]).contains("cut short"), "{value:02x?}");
            }
            let longer = [&frame[..], &[0x00]].concat();
            assert!(
                refusal(&longer).contains("behind the frame"),
                "{value:02x?}"
            );
        }
    }

    #[test]
    fn a_number_has_one_form_only() {
        for value in [
            &[0x18, 0x17][..],
            &[0x19, 0x00, 0xff],
            &[0x1a, 0, 0, 0xff, 0xff],
            &[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            &[0x38, 0x00],
            &[0x58, 0x01, 0xff],
            &[0x78, 0x01, b'a'],
            &[0x98, 0x00],
            &[0xb8, 0x00],
            &[0xd8, 0x01, 0x00],
            &[0xf8, 0x14],
        ] {
            let frame = [&[0xa1, 0x00], value].concat();
            assert!(refusal(&frame).contains("shortest"), "{value:02x?}");
        }
    }

    #[test]
    fn lengths_are_said_in_advance() {
        for value in [
            &[0x5f, 0xff][..],
            &[0x7f, 0xff],
            &[0x9f, 0xff],
            &[0xbf, 0xff],
        ] {
            let frame = [&[0xa1, 0x00], value].concat();
            assert!(refusal(&frame).contains("indefinite"), "{value:02x?}");
        }
        assert!(refusal(&[0xbf, 0xff]).contains("indefinite"));
    }

    #[test]
    fn what_cbor_reserves_is_refused() {
        for byte in [0x1c, 0x3d, 0x5e, 0x9c, 0xdd, 0xfc, 0xfd, 0xfe, 0xff] {
            assert!(
                refusal(&[0xa1, 0x00, byte]).contains("reserved"),
                "{byte:02x}"
            );
        }
    }

    #[test]
    fn keys_are_unsigned_ascending_and_there_once() {
        for keys in [[0, 0], [1, 0]] {
            assert!(refusal(&[0xa2, keys[0], 0xf5, keys[1], 0xf5]).contains("repeated"));
        }
        assert_eq!(check(&[0xa2, 0x00, 0xf5, 0x01, 0xf5]), Ok(()));
        let largest = [0xa1, 0x1a, 0xff, 0xff, 0xff, 0xff, 0xf5];
        assert_eq!(check(&largest), Ok(()));
        let larger = [0xa1, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0, 0xf5];
        assert!(refusal(&larger).contains("over 32 bits"));
        for key in [0x20, 0x60, 0x40, 0x80, 0xf6] {
            assert!(
                refusal(&[0xa1, key, 0xf5]).contains("not an unsigned"),
                "{key:02x}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_left_out_and_not_null() {
        assert!(refusal(&[0xa1, 0x00, 0xf6]).contains("null"));
        assert!(refusal(&[0xa1, 0x00, 0x81, 0xf7]).contains("undefined"));
    }

    #[test]
    fn text_is_utf_8() {
        assert_eq!(check(&[0xa1, 0x00, 0x62, 0xc3, 0xbc]), Ok(()));
        assert!(refusal(&[0xa1, 0x00, 0x61, 0xc3]).contains("UTF-8"));
    }

    #[test]
    fn a_frame_is_a_map() {
        for byte in [0x00, 0x40, 0x60, 0x80, 0xc1, 0xf6] {
            assert!(refusal(&[byte]).contains("not a map"), "{byte:02x}");
        }
    }

    #[test]
    fn nesting_ends_at_sixteen() {
        for open in [&[0x81][..], &[0xa1, 0x00], &[0xc1]] {
            let nested = |depth: usize| {
                let mut frame = vec![0xa1, 0x00];
                frame.extend(open.repeat(depth - 1));
                frame.push(0x00);
                check(&frame)
            };
            assert_eq!(nested(16), Ok(()));
            let refused = nested(17).expect_err("too deep").to_string();
            assert!(refused.contains("too deep"));
            assert!(nested(500_000).is_err());
        }
    }

    #[test]
    fn a_promise_of_more_than_there_is_costs_nothing() {
        for value in [0x5b, 0x7b, 0x9b, 0xbb] {
            let frame = [&[0xa1, 0x00, value][..], &[0xff; 8]].concat();
            assert!(refusal(&frame).contains("cut short"), "{value:02x}");
        }
    }
}
