//! What a value is, as a media type: the value tags by name, and values under tag 6, which carry the name of their type in front. Pure.

use std::borrow::Cow;

use crate::Tag;

/// The longest media type that a value can carry, in bytes.
pub const LONGEST: usize = 255;

const TEXT: &str = "text/plain; charset=utf-8";
const OF_TAG: &str = "application/vnd.rustcache.tag-";
/// Those with a name of their own.
const NAMES: [(&str, Tag); 6] = [
    ("application/octet-stream", Tag::BYTES),
    (TEXT, Tag::TEXT),
    ("application/json", Tag::JSON),
    ("application/vnd.rustcache.v8", Tag::V8),
    ("application/vnd.rustcache.pickle", Tag::PICKLE),
    ("application/msgpack", Tag::MESSAGE_PACK),
];

/// How a value of a media type is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept<'t> {
    /// Under this tag, as it is.
    Tagged(Tag),
    /// Under [`Tag::TYPED`], behind its type.
    Typed(&'t str),
}

/// How a value of this type is kept; `None` for what is no media type, or too long a one.
pub fn kept(media_type: &str) -> Option<Kept<'_>> {
    let media_type = media_type.trim_matches(' ');
    let is_plain = media_type.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let (kind, subtype) = media_type.split_once('/')?;
    if kind.is_empty() || subtype.is_empty() || media_type.len() > LONGEST || !is_plain {
        return None;
    }
    if let Some(tag) = NAMES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(media_type))
    {
        return Some(Kept::Tagged(tag.1));
    }
    let (essence, parameters) = media_type.split_once(';').unwrap_or((media_type, ""));
    let (essence, parameters) = (essence.trim_end(), parameters.trim());
    let is_utf8 = parameters.is_empty()
        || ["charset=utf-8", "charset=\"utf-8\""]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(parameters));
    if is_utf8 && essence.eq_ignore_ascii_case("text/plain") {
        return Some(Kept::Tagged(Tag::TEXT));
    }
    if is_utf8 && essence.eq_ignore_ascii_case("application/json") {
        return Some(Kept::Tagged(Tag::JSON));
    }
    let number = media_type
        .strip_prefix(OF_TAG)
        .and_then(|number| number.parse().ok());
    Some(match number {
        Some(number) => Kept::Tagged(Tag(number)),
        None => Kept::Typed(media_type),
    })
}

/// The media type of a value, and the value without what is in front of it.
pub fn shown(tag: Tag, value: &[u8]) -> (Cow<'static, str>, &[u8]) {
    if let Some((name, _)) = NAMES.iter().find(|(_, named)| *named == tag) {
        return (Cow::Borrowed(name), value);
    }
    match parted(tag, value) {
        Some((media_type, bytes)) => (Cow::Owned(media_type.to_owned()), bytes),
        None => (Cow::Owned(format!("{OF_TAG}{}", tag.0)), value),
    }
}

/// Type and bytes of a value under [`Tag::TYPED`]; `None` if it is none, or not as it should be.
pub fn parted(tag: Tag, value: &[u8]) -> Option<(&str, &[u8])> {
    if tag != Tag::TYPED {
        return None;
    }
    let (&len, rest) = value.split_first()?;
    let (media_type, bytes) = rest.split_at_checked(usize::from(len))?;
    let media_type = std::str::from_utf8(media_type).ok()?;
    matches!(kept(media_type), Some(Kept::Typed(typed)) if typed == media_type).then_some((media_type, bytes))
}

/// A value under [`Tag::TYPED`].
pub fn joined(media_type: &str, value: &[u8]) -> Vec<u8> {
    // A longer one is not `Kept`.
    let len = u8::try_from(media_type.len()).unwrap_or(u8::MAX);
    let media_type = &media_type.as_bytes()[..usize::from(len)];
    [&[len], media_type, value].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_a_tag_stands_for_are_kept_as_that_tag() {
        for (name, tag) in [
            ("application/octet-stream", 0),
            ("text/plain", 1),
            ("text/plain;charset=UTF-8", 1),
            ("Text/Plain; charset=\"utf-8\"", 1),
            ("application/json", 2),
            ("application/json; charset=utf-8", 2),
            ("application/vnd.rustcache.v8", 3),
            ("application/msgpack", 5),
            ("application/vnd.rustcache.tag-200", 200),
        ] {
            assert_eq!(kept(name), Some(Kept::Tagged(Tag(tag))), "{name}");
        }
    }

    #[test]
    fn any_other_type_comes_back_as_it_was() {
        for name in [
            "image/png",
            "text/plain; charset=latin1",
            "application/vnd.rustcache.tag-256",
            "a/b;c=d",
        ] {
            assert_eq!(kept(name), Some(Kept::Typed(name)));
            let value = joined(name, b"\0body");
            assert_eq!(shown(Tag::TYPED, &value), (name.into(), &b"\0body"[..]));
        }
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for name in [
            "",
            " ",
            "png",
            "image/\u{e4}",
            "image/",
            "/png",
            "a/\n",
            &format!("a/{}", "b".repeat(254)),
        ] {
            assert_eq!(kept(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_value_without_the_type_that_its_tag_promises_is_shown_whole_under_its_number() {
        for value in [
            &b""[..],
            b"\x05a/b",
            b"\x03a\xff/",
            b"\x10text/plain",
            b"\x0atext/plain",
        ] {
            let (name, bytes) = shown(Tag::TYPED, value);
            assert_eq!((name.as_ref(), bytes), ("application/vnd.rustcache.tag-6", value));
        }
        assert_eq!(shown(Tag(66), b"x").0, "application/vnd.rustcache.tag-66");
    }
}
