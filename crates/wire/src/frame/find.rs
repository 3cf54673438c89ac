//! `Find` and `Found`: a question about files or members, and its answer.

use minicbor::{Decode, Decoder, Encode};

use super::body::{FrameBody, THING};
use super::filter::NameFilter;
use super::holder::Holder;
use super::told::Told;
use super::{FrameError, at_most, at_most_bytes, possible, possible_entry};
use crate::{Content, Entry, Name, PeerId};

/// A question about files or members, answered from memory, never forwarded.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Find {
    /// What is asked.
    #[n(2)]
    pub query: Query,
    /// 0: answer from your own share. 1: from your neighbours' listings too. A
    /// tracker answers from all it knows either way. No member passes a
    /// question on to another one, so a higher number is read as 1.
    #[n(3)]
    #[cbor(decode_with = "one_hop_at_most")]
    pub hops: u8,
    /// Hash these files of yours before you answer, if they are not hashed yet.
    #[n(4)]
    #[cbor(default)]
    pub hash_now: bool,
    /// Continue behind this name (an answer with `more` ended there). In a
    /// question with several names, this counts for the first one.
    #[n(5)]
    pub after: Option<Name>,
    /// How many variants the asker takes in one answer. One that does not say
    /// takes [`Found::MAX_UNASKED`].
    #[n(6)]
    pub most: Option<u32>,
    /// For [`Query::Beyond`]: the last name that is asked about, since the filter says nothing of
    /// those behind it.
    #[n(7)]
    pub until: Option<Name>,
}

impl Find {
    /// Asks this from the beginning, and for no longer an answer than any version takes.
    pub fn new(query: Query, hops: u8) -> Self {
        Self {
            query,
            hops,
            hash_now: false,
            after: None,
            most: None,
            until: None,
        }
    }

    /// How many variants may answer it.
    pub fn most_variants(&self) -> usize {
        let most = self.most.and_then(|most| usize::try_from(most).ok());
        most.map_or(Found::MAX_UNASKED, |most| {
            most.clamp(Found::MAX_UNASKED, Found::MAX_VARIANTS)
        })
    }

    /// The most names in one question.
    pub const MAX_NAMES: usize = 256;
    /// The longest name or pattern, in bytes.
    pub const MAX_TEXT: usize = Name::MAX;
}

impl FrameBody for Find {
    fn check(&self) -> Result<(), FrameError> {
        match &self.query {
            Query::Names(names) => {
                at_most(Self::MAX_NAMES, names, "names")?;
                names
                    .iter()
                    .try_for_each(|name| at_most_bytes(Self::MAX_TEXT, name.len(), "a name"))
            }
            Query::Pattern(pattern) => at_most_bytes(Self::MAX_TEXT, pattern.len(), "a pattern"),
            Query::Content(content) => possible(*content),
            Query::Members(_) => Ok(()),
            Query::Beyond(known, _) => {
                at_most_bytes(NameFilter::MAX_BYTES, known.length(), "a filter")
            }
        }
    }

    fn size(&self) -> usize {
        match &self.query {
            Query::Names(names) => names.iter().map(|name| THING + name.len()).sum(),
            Query::Pattern(pattern) => pattern.len(),
            Query::Content(_) | Query::Members(_) => 0,
            Query::Beyond(known, _) => known.length(),
        }
    }
}

fn one_hop_at_most<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<u8, minicbor::decode::Error> {
    Ok(d.u8()?.min(1))
}

/// What a [`Find`] asks for. A kind that is not in this list makes the frame an
/// unknown one, not a malformed one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Query {
    /// These names, as people typed them: full paths or base names.
    #[n(0)]
    Names(#[n(0)] Vec<String>),
    /// Every name that matches a glob.
    #[n(1)]
    Pattern(#[n(0)] String),
    /// All holders of this content, whatever they call it.
    #[n(2)]
    Content(#[n(0)] Content),
    /// The members that are present, in the order of their ids; continued
    /// behind an id.
    #[n(3)]
    Members(#[n(0)] Option<PeerId>),
    /// Files of the receiver's neighbours whose names are not in this filter, with a few holders
    /// of each that are not in it with that name. The answer is [`Found::told`], with at most so
    /// many files; variants, if the asker does not say how many.
    #[n(4)]
    Beyond(#[n(0)] NameFilter, #[n(1)] Option<u32>),
}

/// The answer to a [`Find`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Found {
    /// Files, in the order of their names.
    #[n(2)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// There is more behind the last one: ask again with `after`.
    #[n(3)]
    #[cbor(default)]
    pub more: bool,
    /// The members that are present, for [`Query::Members`], without visitors.
    #[n(4)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub members: Vec<MemberRow>,
    /// With `more`: the search has come to this name. If it is missing, the
    /// search has come to the name of the last variant.
    #[n(5)]
    pub behind: Option<Name>,
    /// With `more`, for [`Query::Names`]: how many names of the question are
    /// answered. The search for the next one goes on behind `behind`, if that
    /// is there.
    #[n(6)]
    pub answered: Option<u32>,
    /// From a tracker: members that are present and for whose listings it has no room,
    /// where it knows too little to answer for them. They can be asked themselves.
    #[n(7)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub unlisted: Vec<Holder>,
    /// There are more of those than are named.
    #[n(8)]
    #[cbor(default, skip_if = "core::ops::Not::not")]
    pub more_unlisted: bool,
    /// For [`Query::Beyond`], if the asker takes it: files, in place of variants.
    #[n(9)]
    pub told: Option<Told>,
}

impl Found {
    /// The most variants in one answer.
    pub const MAX_VARIANTS: usize = 1000;
    /// The most variants for an asker that has not said that it takes more: versions
    /// before that key refuse a longer answer.
    pub const MAX_UNASKED: usize = 100;
    /// The most members in one answer.
    pub const MAX_MEMBERS: usize = 300;
    /// The most unlisted members named in one answer.
    pub const MAX_UNLISTED: usize = 8;
}

impl FrameBody for Found {
    fn check(&self) -> Result<(), FrameError> {
        at_most(Self::MAX_VARIANTS, &self.variants, "variants")?;
        for variant in &self.variants {
            possible_entry(&variant.entry)?;
            at_most(Variant::MAX_HOLDERS, &variant.holders, "holders")?;
            for holder in &variant.holders {
                at_most(Holder::MAX_ADDRESSES, &holder.addresses, "addresses")?;
            }
        }
        at_most(Self::MAX_MEMBERS, &self.members, "members")?;
        for row in &self.members {
            at_most(Holder::MAX_ADDRESSES, &row.member.addresses, "addresses")?;
            at_most(MemberRow::MAX_NEIGHBOURS, &row.neighbours, "neighbours")?;
        }
        self.told.iter().try_for_each(Told::check)?;
        at_most(Self::MAX_UNLISTED, &self.unlisted, "unlisted members")?;
        for member in &self.unlisted {
            at_most(Holder::MAX_ADDRESSES, &member.addresses, "addresses")?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let holder = |holder: &Holder| THING * (2 + holder.addresses.len());
        let variants = self.variants.iter().map(|variant| {
            let holders: usize = variant.holders.iter().map(holder).sum();
            THING + variant.entry.name.as_str().len() + holders
        });
        let members = self.members.iter();
        let members = members.map(|row| holder(&row.member) + THING * row.neighbours.len());
        let unlisted = self.unlisted.iter().map(holder);
        let told = self.told.iter().map(Told::size);
        variants.chain(members).chain(unlisted).chain(told).sum()
    }
}

/// One content under one name, with its holders.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Variant {
    /// The file, with the time that its first holder lists. Whether a holder
    /// has only a part of it is in [`Holder::partial`].
    #[n(0)]
    pub entry: Entry,
    /// Its holders.
    #[n(1)]
    pub holders: Vec<Holder>,
    /// If the entry has no root yet: how many bytes are hashed so far.
    #[n(2)]
    pub hashed: Option<u64>,
}

impl Variant {
    /// The most holders named for a variant.
    pub const MAX_HOLDERS: usize = 32;
}

/// One member that is present.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MemberRow {
    /// The member: its key, name and addresses.
    #[n(0)]
    pub member: Holder,
    /// How many files it lists.
    #[n(1)]
    pub files: u64,
    /// Bytes in those files.
    #[n(2)]
    pub bytes: u64,
    /// Its neighbours, or the first of them.
    #[n(3)]
    pub neighbours: Vec<PeerId>,
}

impl MemberRow {
    /// The most neighbours named for a member.
    pub const MAX_NEIGHBOURS: usize = 64;
}
