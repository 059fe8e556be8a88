//! Values of cache_ro's callers as bytes: those of typed access; and what cache_ro itself wrote, as long as it has not been set again.

use serde::de::DeserializeOwned;

use crate::{Tag, encoding};

use super::bincode;

/// What was taken from cache_ro's files as it was.
pub(super) const OLD_TAG: Tag = Tag(Tag::USER.0 + 1);

/// `None` if it is no value of this type.
pub(super) fn decode<V: DeserializeOwned>(tag: Tag, bytes: &[u8]) -> Option<V> {
    match tag {
        Tag::MESSAGE_PACK => encoding::decode(bytes).ok(),
        OLD_TAG => bincode::from_slice(bytes).ok(),
        _ => None,
    }
}
