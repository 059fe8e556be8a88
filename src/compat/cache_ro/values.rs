//! Values of cache_ro's callers as bytes: MessagePack, which says what it is; and what cache_ro itself wrote, as long as it has not been set again.

use std::any::type_name;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Tag;

use super::bincode;

/// What `encode` writes.
pub(super) const TAG: Tag = Tag::MESSAGE_PACK;
/// What was taken from cache_ro's files as it was.
pub(super) const OLD_TAG: Tag = Tag(Tag::USER.0 + 1);

/// A value that cannot be stored, in the words of its `Serialize`.
///
/// ```
/// # use std::time::Duration;
/// # use rustcache::compat::cache_ro::{Cache, CacheConfig, UnsupportedValue};
/// # let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
/// struct Torn;
/// impl serde::Serialize for Torn {
///     fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
///         Err(serde::ser::Error::custom("it is torn"))
///     }
/// }
/// let error = cache.set("a", Torn, Duration::from_secs(60)).unwrap_err();
/// assert!(error.downcast_ref::<UnsupportedValue>().unwrap().to_string().ends_with("it is torn"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsupportedValue {
    type_name: &'static str,
    reason: String,
}

impl fmt::Display for UnsupportedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a value of type {} cannot be encoded: {}",
            self.type_name, self.reason
        )
    }
}

impl std::error::Error for UnsupportedValue {}

pub(super) fn encode<V: Serialize + ?Sized>(value: &V) -> Result<Vec<u8>, UnsupportedValue> {
    rmp_serde::to_vec_named(value).map_err(|error| UnsupportedValue {
        type_name: type_name::<V>(),
        reason: error.to_string(),
    })
}

/// `None` if it is no value of this type.
pub(super) fn decode<V: DeserializeOwned>(tag: Tag, bytes: &[u8]) -> Option<V> {
    match tag {
        TAG => {
            let mut rest = bytes;
            let value = rmp_serde::decode::from_read(&mut rest).ok()?;
            rest.is_empty().then_some(value)
        }
        OLD_TAG => bincode::from_slice(bytes).ok(),
        _ => None,
    }
}
