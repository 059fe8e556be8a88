//! What the Node client may have wrapped around a value (docs/protocol.md, "Wrapped values"): times are understood; what needs a library, or other keys of the cache, is named and refused.

use std::time::{SystemTime, UNIX_EPOCH};

use rustcache::Tag;

const ENVELOPE: u8 = 1;
const METHOD: u8 = 6;
const BROTLI: u8 = 2;
const ZSTD: u8 = 4;
/// From here on a value is fresh for ever.
const FOR_EVER: u64 = (1 << 53) - 1;

/// The value inside, with its tag; `None` if it is stale. Otherwise, why it cannot be read.
pub(super) fn unwrap(tag: Tag, bytes: &[u8]) -> Result<Option<(Tag, &[u8])>, String> {
    let flags = tag.0 - Tag::WRAPPED.0;
    let has = match flags & METHOD {
        0 if flags == 0 => {
            return Err(format!(
                "it has the tag {}, which this version of rustcache does not know",
                tag.0
            ));
        }
        0 => None,
        BROTLI => Some("is compressed with brotli"),
        ZSTD => Some("is compressed with zstd"),
        _ => Some("is compressed in a way that this version of rustcache does not know"),
    };
    let refuse = |what: &str| {
        format!(
            "it has the tag {} and {what}, which only the Node client reads: store there without that what Python is to read",
            tag.0
        )
    };
    if let Some(what) = has {
        return Err(refuse(what));
    }
    debug_assert_eq!(flags, ENVELOPE);
    let [inner, times @ ..] = bytes else {
        return Err(cut(tag));
    };
    let Some((times, rest)) = times.split_at_checked(16) else {
        return Err(cut(tag));
    };
    let [tags, value @ ..] = rest else {
        return Err(cut(tag));
    };
    if *tags != 0 {
        return Err(refuse("carries tags to invalidate it by"));
    }
    let inner = Tag(*inner);
    if inner.is_wrapped() {
        return Err(format!(
            "it has the tag {}, and one within that is wrapped as well",
            tag.0
        ));
    }
    let mut fresh = [0; 8];
    fresh.copy_from_slice(&times[8..]);
    let fresh_until = u64::from_le_bytes(fresh);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let is_stale = fresh_until < FOR_EVER && u128::from(fresh_until) <= now.as_millis();
    Ok((!is_stale).then_some((inner, value)))
}

fn cut(tag: Tag) -> String {
    format!(
        "it has the tag {}, and ends within what is wrapped around it",
        tag.0
    )
}
