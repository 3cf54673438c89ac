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
    let path = JsonPath::deserialize(from)?.into_path();
    path.ok_or_else(|| D::Error::custom("bytes of a path that are no hexadecimal digits"))
}

/// The same of a path that may be missing.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, JsonPath, PathBuf, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde asks so")]
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
        path.as_deref().map(JsonPath::of).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
        let shape = Option::<JsonPath>::deserialize(from)?;
        Ok(shape.and_then(JsonPath::into_path))
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

    fn into_path(self) -> Option<PathBuf> {
        match self {
            Self::Text(text) => Some(text.into_owned().into()),
            Self::Bytes { bytes, .. } => {
                let bytes = HEXLOWER.decode(bytes.as_bytes()).ok()?;
                Some(OsString::from_vec(bytes).into())
            }
        }
    }
}
