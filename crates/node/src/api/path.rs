//! Paths in JSON: a text, or for one that is no UTF-8 the nearest text and its bytes.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path, as JSON has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum JsonPath<'a> {
    /// One that is UTF-8.
    Text(Cow<'a, str>),
    /// Any other.
    Bytes {
        /// The nearest text.
        text: Cow<'a, str>,
        /// In hexadecimal digits.
        bytes: String,
    },
}

pub(super) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    JsonPath::of(path).serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    JsonPath::deserialize(from)?.into_path()
}

/// The same of a path that may be missing.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, JsonPath, PathBuf, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde asks so")]
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
        path.as_deref().map(JsonPath::of).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
        let path = Option::<JsonPath>::deserialize(from)?;
        path.map(JsonPath::into_path).transpose()
    }
}

impl<'a> JsonPath<'a> {
    /// What JSON has for this path.
    pub fn of(path: &'a Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.into()),
            None => Self::Bytes {
                text: path.to_string_lossy(),
                bytes: HEXLOWER.encode(path.as_os_str().as_bytes()),
            },
        }
    }

    fn into_path<E: Error>(self) -> Result<PathBuf, E> {
        match self {
            Self::Text(text) => Ok(text.into_owned().into()),
            Self::Bytes { bytes, .. } => {
                let bytes = HEXLOWER.decode(bytes.as_bytes()).map_err(E::custom)?;
                Ok(OsString::from_vec(bytes).into())
            }
        }
    }
}
