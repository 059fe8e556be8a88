//! A name for what an entry holds: the same for the same value and tag, on any machine and after any restart.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use twox_hash::XxHash3_128;

use crate::protocol::wrapped::Coding;
use crate::{Entry, Expiry, SetOptions, Tag};

/// An `ETag`, with its quotes.
pub(super) type ETag = [u8; 34];

/// The same where it stands in JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told(pub(super) ETag);

impl Serialize for Told {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // Digits in quotes are text.
        to.serialize_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl JsonSchema for Told {
    fn schema_name() -> Cow<'static, str> {
        "ETag".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "As If-Match takes it, with its quotes." })
    }
}

pub(super) fn of_entry(entry: &Entry) -> ETag {
    of(entry.tag, &entry.value)
}

/// Of a value that is stored like this; none if it expires at once.
pub(super) fn of_stored(value: &[u8], options: &SetOptions) -> Option<ETag> {
    (options.expiry != Expiry::After(Duration::ZERO)).then(|| of(options.tag, value))
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

/// That of what is inside, where that is given under a `Content-Encoding`: these are other bytes than the value as a whole.
pub(super) fn coded(etag: &ETag, coding: Coding) -> Vec<u8> {
    [without_end(etag), b"-", coding.name().as_bytes(), b"\""].concat()
}

fn without_end(etag: &ETag) -> &[u8] {
    &etag[..etag.len() - 1]
}

/// Whether one that was given is that of the value, as a whole or of what is inside.
fn is_of(one: &[u8], etag: &ETag) -> bool {
    let rest = one.strip_prefix(without_end(etag));
    let Some(between) = rest.and_then(|rest| rest.strip_suffix(b"\"")) else {
        return false;
    };
    let coding = between.strip_prefix(b"-");
    between.is_empty()
        || Coding::ALL
            .iter()
            .any(|other| coding == Some(other.name().as_bytes()))
}

fn ones(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Whether a list of a header `If-None-Match` of a reader names these bytes, be it by a weak one: that means the same to him.
pub(super) fn is_known(list: &[u8], told: &[u8]) -> bool {
    ones(list).any(|one| one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == told)
}

/// Whether a list of a header `If-None-Match` names a value, in whatever form, be it by a weak one.
pub(super) fn is_named(list: &[u8], etag: &ETag) -> bool {
    ones(list).any(|one| one == b"*" || is_of(one.strip_prefix(b"W/").unwrap_or(one), etag))
}

/// Whether a list of a header `If-Match` names a value, in whatever form: a weak one names no bytes for certain, and does not count.
pub(super) fn is_named_strongly(list: &[u8], etag: &ETag) -> bool {
    ones(list).any(|one| one == b"*" || is_of(one, etag))
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
            assert!(
                is_named(list.as_bytes(), &etag) && is_known(list.as_bytes(), &etag),
                "{list}"
            );
            assert_eq!(is_named_strongly(list.as_bytes(), &etag), !list.contains("W/"));
        }
        assert!(!is_named(b"\"x\", \"\"", &etag));
    }
    #[test]
    fn a_value_is_named_in_each_form_that_was_given_and_bytes_by_their_own_alone() {
        let etag = of(Tag(66), b"packed");
        let [br, zstd] = Coding::ALL.map(|coding| coded(&etag, coding));
        assert!(br.ends_with(b"-br\"") && zstd.ends_with(b"-zstd\""));
        for named in [&etag[..], &br, &zstd] {
            assert!(is_named_strongly(named, &etag) && is_named(named, &etag));
        }
        for (named, told) in [(&etag[..], &br[..]), (&br, &etag), (&br, &zstd)] {
            assert!(!is_known(named, told) && is_known(told, told));
        }
        let text = std::str::from_utf8(&etag[..33]).expect("ASCII");
        for other in ["-gzip\"", "-\"", "br\"", "-br", ""] {
            assert!(!is_named(format!("{text}{other}").as_bytes(), &etag), "{other}");
        }
    }
}
