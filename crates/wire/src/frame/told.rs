//! What a member tells in advance of its neighbours' files: the holders once, and the files with
//! numbers for them. Names are in order, as a rule, so each is told by what differs from the one
//! before.

use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use super::body::THING;
use super::holder::Holder;
use super::{FrameError, at_most, possible_entry};
use crate::{Entry, Name};

/// The most bytes that a name shares with the one before it, so that a short frame does not grow
/// to long names.
const MOST_SHARED: usize = 255;
/// How many values each file has, and how many are behind these at most.
const ALWAYS: u64 = 6;
const AT_MOST: u64 = 9;

/// Files, and members that have all of each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Told {
    /// The members that have any of the files.
    #[n(0)]
    pub holders: Vec<Holder>,
    /// The files.
    #[n(1)]
    #[cbor(with = "rows")]
    pub files: Vec<ToldFile>,
}

/// A file, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldFile {
    /// The file, with its root.
    pub entry: Entry,
    /// Its holders, by their places in [`Told::holders`].
    pub holders: Vec<u8>,
}

impl Told {
    /// The most files in one answer.
    pub const MAX_FILES: usize = 2000;
    /// The most holders in one answer.
    pub const MAX_HOLDERS: usize = 256;
    /// The most holders of one file.
    pub const MAX_EACH: usize = 8;

    /// Returns the holders of one of the files.
    pub fn holders_of<'a>(&'a self, file: &'a ToldFile) -> impl Iterator<Item = &'a Holder> {
        let places = file.holders.iter().map(|place| usize::from(*place));
        places.filter_map(|place| self.holders.get(place))
    }

    pub(super) fn check(&self) -> Result<(), FrameError> {
        at_most(Self::MAX_HOLDERS, &self.holders, "holders")?;
        for holder in &self.holders {
            at_most(Holder::MAX_ADDRESSES, &holder.addresses, "addresses")?;
        }
        at_most(Self::MAX_FILES, &self.files, "files")?;
        for file in &self.files {
            at_most(Self::MAX_EACH, &file.holders, "holders")?;
            possible_entry(&file.entry)?;
            if file.entry.root.is_none() || file.entry.partial {
                return Err(FrameError::malformed("a file that is not whole is told of"));
            }
            if file
                .holders
                .iter()
                .any(|place| usize::from(*place) >= self.holders.len())
            {
                return Err(FrameError::malformed("a holder that is not in the table"));
            }
        }
        Ok(())
    }

    pub(super) fn size(&self) -> usize {
        let holders = self.holders.iter();
        let holders = holders.map(|holder| THING * (2 + holder.addresses.len()));
        let files = self.files.iter();
        let files = files.map(|file| 2 * THING + file.entry.name.as_str().len());
        holders.chain(files).sum()
    }
}

/// Files as arrays, each beginning with what its name shares with the one before.
mod rows {
    use super::{
        ALWAYS, AT_MOST, Decoder, Encode, Encoder, Entry, MOST_SHARED, Name, ToldFile, Write,
        decode as reading, encode as writing,
    };

    pub fn encode<C, W: Write>(
        files: &[ToldFile],
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), writing::Error<W::Error>> {
        e.array(files.len() as u64)?;
        let mut before = "";
        for file in files {
            let entry = &file.entry;
            let name = entry.name.as_str();
            let shared = shared(before, name);
            let values = match entry {
                Entry { v1: Some(_), .. } => AT_MOST,
                Entry {
                    executable: true, ..
                } => ALWAYS + 2,
                Entry { nanos: 1.., .. } => ALWAYS + 1,
                _ => ALWAYS,
            };
            e.array(values)?.u64(shared as u64)?.str(&name[shared..])?;
            e.bytes(&file.holders)?
                .u64(entry.length)?
                .i64(entry.mtime)?;
            entry.root.encode(e, ctx)?;
            if values > ALWAYS {
                e.u32(entry.nanos)?;
            }
            if values > ALWAYS + 1 {
                e.bool(entry.executable)?;
            }
            if values == AT_MOST {
                entry.v1.encode(e, ctx)?;
            }
            before = name;
        }
        Ok(())
    }

    pub fn decode<C>(d: &mut Decoder<'_>, ctx: &mut C) -> Result<Vec<ToldFile>, reading::Error> {
        let mut files: Vec<ToldFile> = Vec::new();
        for _ in 0..d
            .array()?
            .ok_or_else(|| reading::Error::message("no length"))?
        {
            let file = file(
                d,
                ctx,
                files.last().map_or("", |file| file.entry.name.as_str()),
            )?;
            files.push(file);
        }
        Ok(files)
    }

    fn file<C>(d: &mut Decoder<'_>, ctx: &mut C, before: &str) -> Result<ToldFile, reading::Error> {
        let malformed = reading::Error::message;
        let values = d.array()?.unwrap_or(0);
        if values < ALWAYS {
            return Err(malformed("too little is told of a file"));
        }
        let shared = usize::try_from(d.u64()?).unwrap_or(usize::MAX);
        let shared = before
            .get(..shared)
            .filter(|shared| shared.len() <= MOST_SHARED)
            .ok_or_else(|| malformed("a name shares more than there is"))?;
        let name = [shared, d.str()?].concat();
        let name: Name = name.parse().map_err(reading::Error::message)?;
        let holders = d.bytes()?.to_vec();
        let mut entry = Entry {
            name,
            length: d.u64()?,
            mtime: d.i64()?,
            root: Some(d.decode_with(ctx)?),
            partial: false,
            nanos: 0,
            executable: false,
            v1: None,
        };
        if values > ALWAYS {
            entry.nanos = d.u32()?;
        }
        if values > ALWAYS + 1 {
            entry.executable = d.bool()?;
        }
        if values > ALWAYS + 2 {
            entry.v1 = Some(d.decode_with(ctx)?);
        }
        for _ in AT_MOST..values {
            d.skip()?;
        }
        Ok(ToldFile { entry, holders })
    }

    /// Returns how many bytes the beginnings of two names have in common, in whole characters.
    fn shared(before: &str, name: &str) -> usize {
        let pairs = before.bytes().zip(name.bytes()).take(MOST_SHARED);
        let same = pairs.take_while(|(one, other)| one == other).count();
        name.floor_char_boundary(same)
    }
}
