//! What is wrapped around a value, by its tag: an envelope, or that it is compressed (docs/protocol.md). Pure.

use crate::Tag;

/// How a value is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// All of them.
    pub const ALL: [Coding; 2] = [Coding::Brotli, Coding::Zstd];

    /// The name that HTTP has for it, as in `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }
}

/// A value that is compressed, without an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compressed<'v> {
    /// Of the value inside.
    pub tag: Tag,
    /// How it is.
    pub coding: Coding,
    /// The value inside, compressed.
    pub bytes: &'v [u8],
}

const ENVELOPE: u8 = 1;

fn coding(tag: Tag) -> Option<Coding> {
    match (tag.0 >> 1) & 3 {
        1 => Some(Coding::Brotli),
        2 => Some(Coding::Zstd),
        _ => None,
    }
}

/// A value that is compressed and has no envelope: whether one that has may be served is for those to say who know what is in it. `None` for any other, also one that is
/// not as its tag says.
pub fn compressed(tag: Tag, value: &[u8]) -> Option<Compressed<'_>> {
    if !tag.is_wrapped() || tag.0 & ENVELOPE != 0 {
        return None;
    }
    let coding = coding(tag)?;
    let (&inside, rest) = value.split_first()?;
    // Its length once it is decompressed comes first.
    let (_, bytes) = rest.split_at_checked(4)?;
    let tag = Tag(inside);
    (tag.0 <= Tag::MESSAGE_PACK.0 || tag.0 >= Tag::USER.0).then_some(Compressed { tag, coding, bytes })
}

/// What the tag says in words, for errors; empty for one that is not wrapped.
pub fn words(tag: Tag) -> &'static str {
    if !tag.is_wrapped() {
        return "";
    }
    match (tag.0 & ENVELOPE != 0, coding(tag)) {
        (true, Some(_)) => " (compressed, in an envelope with times and tags to invalidate by)",
        (true, None) => " (in an envelope with times and tags to invalidate by)",
        (false, Some(_)) => " (compressed)",
        (false, None) => " (reserved)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_value_is_told_from_one_in_an_envelope() {
        let value = b"\x01\x05\0\0\0packed";
        for (tag, coding) in [(66, Some(Coding::Brotli)), (68, Some(Coding::Zstd))] {
            let found = compressed(Tag(tag), value);
            assert_eq!(found.map(|found| found.coding), coding);
            assert_eq!(
                found.map(|found| (found.tag, found.bytes)),
                Some((Tag::TEXT, &b"packed"[..]))
            );
        }
        for tag in [0, 1, 64, 65, 67, 69, 70, 71, 128] {
            assert_eq!(compressed(Tag(tag), value), None, "{tag}");
        }
    }

    #[test]
    fn what_is_not_as_its_tag_says_is_not_unpacked() {
        for value in [&b""[..], b"\x01", b"\x01\0\0\0", b"\x42\0\0\0\0x"] {
            assert_eq!(compressed(Tag(66), value), None, "{value:?}");
        }
    }
}
