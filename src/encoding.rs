//! Typed access to the bytes of a cache, by serde and MessagePack: what was written as one type is an error if it is read as another. Knows the cache by its public
//! methods alone, so that a caller's `Serialize` and `Deserialize` run without a lock.
//!
//! MessagePack because it says of each part what it is, so that Node and Python can read it (its tag is [`Tag::MESSAGE_PACK`]); structs are written with the names of their fields. What
//! it leaves to the reader, `strict.rs` forbids; what that will not read, `readable.rs` does not let be written.

mod depth;
mod loading;
mod readable;
mod strict;
#[cfg(test)]
mod tests;
mod view;

use std::any::type_name;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Cache, Entry, Error, SetOptions, Tag};

use depth::Depth;
pub use loading::EncodedLoadError;
use readable::Readable;
use strict::Strict;
pub use view::{EncodedIter, EncodedView};

/// Why a value could not be written or read as a type.
///
/// ```
/// use rustcache::{Cache, EncodingError, SetOptions};
///
/// let cache = Cache::builder().build()?;
/// cache.set_as("n", &-1, SetOptions::default())?;
/// assert!(matches!(cache.get_as::<u32>("n"), Err(EncodingError::WrongType { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodingError {
    /// The value cannot be written: its `Serialize` says why; or nobody could read it, since there is an integer of 128 bits in it, or it is nested deeper than 200 levels. Nothing changed.
    Encode {
        /// The type.
        type_name: &'static str,
        /// In the words of serde.
        reason: String,
    },
    /// What is there is no value of the type that was asked for.
    WrongType {
        /// The type that was asked for.
        type_name: &'static str,
        /// What was found instead, in the words of serde.
        reason: String,
    },
    /// What is there was not written as a typed value.
    WrongTag {
        /// Its tag.
        found: u8,
    },
    /// The cache refused the write.
    Refused(Error),
}

impl fmt::Display for EncodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodingError::Encode { type_name, reason } => {
                write!(f, "a value of type {type_name} cannot be encoded: {reason}")
            }
            EncodingError::WrongType { type_name, reason } => {
                write!(f, "what is there is no {type_name}: {reason}")
            }
            EncodingError::WrongTag { found } => write!(
                f,
                "what is there has the tag {found} and an encoded value has 5 (MessagePack): read it by get(), or write it by set_as()"
            ),
            EncodingError::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EncodingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EncodingError::Refused(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Error> for EncodingError {
    fn from(error: Error) -> Self {
        EncodingError::Refused(error)
    }
}

impl Cache {
    /// Writes a value of any type that serde can serialize; `Ok(false)` if the condition in the options did not hold. Its tag is that of MessagePack, whatever the options say.
    /// Node and Python read structs as objects and dictionaries.
    ///
    /// # Errors
    /// [`EncodingError::Encode`] and [`EncodingError::Refused`].
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    /// struct User { name: String, roles: Vec<String> }
    ///
    /// let cache = Cache::builder().build()?;
    /// let ada = User { name: "Ada".into(), roles: vec!["admin".into()] };
    /// cache.set_as("user:1", &ada, SetOptions::default())?;
    /// assert_eq!(cache.get_as("user:1")?, Some(ada));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_as<T: Serialize + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
        options: SetOptions,
    ) -> Result<bool, EncodingError> {
        let options = SetOptions {
            tag: Tag::MESSAGE_PACK,
            ..options
        };
        Ok(self.set(key, encode(value)?, options)?)
    }

    /// Reads a value as a type; `None` if it is absent or has expired. What was written as another type is an error, unless it means the same: a number that the other type can
    /// hold exactly, a struct with the same names and kinds of fields, the text of a name for an enum's variant. A field that is missing takes its `#[serde(default)]`, or `None`; one that
    /// is too many is an error.
    ///
    /// # Errors
    /// [`EncodingError::WrongType`] and [`EncodingError::WrongTag`]. The entry stays.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().build()?;
    /// cache.set_as("primes", &[2u8, 3, 5], SetOptions::default())?;
    /// assert_eq!(cache.get_as::<Vec<u64>>("primes")?, Some(vec![2, 3, 5]));
    /// assert!(cache.get_as::<String>("primes").is_err());
    /// assert!(cache.get_as::<(u8, u8)>("primes").is_err());
    /// assert_eq!(cache.get_as::<String>("nothing")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_as<T: DeserializeOwned>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, EncodingError> {
        self.get(key).map(|entry| decode_entry(&entry)).transpose()
    }
}

fn decode_entry<T: DeserializeOwned>(entry: &Entry) -> Result<T, EncodingError> {
    match entry.tag {
        Tag::MESSAGE_PACK => decode(&entry.value),
        Tag(found) => Err(EncodingError::WrongTag { found }),
    }
}

/// A value as MessagePack, structs with the names of their fields.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = Vec::new();
    let mut serializer = rmp_serde::Serializer::new(&mut bytes)
        .with_struct_map()
        .with_human_readable();
    value
        .serialize(Readable::new(&mut serializer, Depth::WHOLE))
        .map_err(|error| EncodingError::Encode {
            type_name: type_name::<T>(),
            reason: error.to_string(),
        })?;
    Ok(bytes)
}

/// What `encode` made of a value of this type, or of another that means the same.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EncodingError> {
    let wrong = |reason: String| EncodingError::WrongType {
        type_name: type_name::<T>(),
        reason,
    };
    let mut rest = bytes;
    let mut deserializer = rmp_serde::Deserializer::new(&mut rest).with_human_readable();
    let value = T::deserialize(Strict::new(&mut deserializer, Depth::WHOLE))
        .map_err(|error| wrong(error.to_string()))?;
    drop(deserializer);
    if !rest.is_empty() {
        return Err(wrong(format!("{} bytes follow what could be one", rest.len())));
    }
    Ok(value)
}
