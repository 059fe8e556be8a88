//! A name for what an entry holds: the same for the same value and tag, on any machine and after any restart.

use twox_hash::XxHash3_128;

use crate::{Entry, Tag};

/// An `ETag`, with its quotes.
pub(super) type ETag = [u8; 34];

pub(super) fn of_entry(entry: &Entry) -> ETag {
    of(entry.tag, &entry.value)
}

pub(super) fn of(tag: Tag, value: &[u8]) -> ETag {
    // The tag is the seed, so that no bytes have to be joined.
    let mut hash = XxHash3_128::oneshot_with_seed(u64::from(tag.0), value);
    let mut etag = [b'"'; 34];
    for digit in etag[1..33].iter_mut().rev() {
        *digit = b"0123456789abcdef"[(hash & 15) as usize];
        hash >>= 4;
    }
    etag
}

/// Whether a list of a header `If-None-Match` names it, be it as a weak one: that means the same to a reader.
pub(super) fn is_named(list: &[u8], etag: &ETag) -> bool {
    list.split(|&byte| byte == b',').any(|one| {
        let one = one.trim_ascii();
        one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == etag
    })
}

/// Whether a list of a header `If-Match` names it: a weak one names no bytes for certain, and does not count.
pub(super) fn is_named_strongly(list: &[u8], etag: &ETag) -> bool {
    let mut all = list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    all.any(|one| one == b"*" || one == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_of_value_and_tag_and_stays_what_it_is() {
        assert_eq!(&of(Tag::TEXT, b"v"), &of(Tag::TEXT, b"v"));
        assert_ne!(of(Tag::TEXT, b"v"), of(Tag::JSON, b"v"));
        assert_ne!(of(Tag::TEXT, b"v"), of(Tag::TEXT, b"w"));
        // It is on the disks of clients.
        assert_eq!(
            std::str::from_utf8(&of(Tag::BYTES, b"")),
            Ok("\"99aa06d3014798d86001c324468d497f\"")
        );
    }

    #[test]
    fn a_list_of_etags_names_each_of_them() {
        let etag = of(Tag::TEXT, b"v");
        let text = std::str::from_utf8(&etag).expect("ASCII");
        for list in [text.to_owned(), format!("\"x\" , W/{text}"), "*".to_owned()] {
            assert!(is_named(list.as_bytes(), &etag), "{list}");
            assert_eq!(is_named_strongly(list.as_bytes(), &etag), !list.contains("W/"));
        }
        assert!(!is_named(b"\"x\", \"\"", &etag));
    }
}
