//! Bodies of `PUT /kv/insert` that are too long to be taken apart: their members, of which those that are long themselves are told shortened when something is
//! wrong.

use std::fmt;

use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::python::{self, Kind, Node, Wrong};

/// Of a value that is taken apart, in bytes.
const LONG: usize = 64 * 1024;
/// Of one that is not, in characters, when it is told.
const TOLD: usize = 100;
/// Members beside those that mean something, which are told.
const OTHERS: usize = 10;

/// Members of an object as they came, the last of each name.
struct Members<'b>(Vec<(String, &'b RawValue)>);

struct OfObject;

impl<'de> Visitor<'de> for OfObject {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(String, &RawValue)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let known = members.iter().position(|(other, _)| *other == name);
            match known {
                Some(at) => members[at].1 = map.next_value()?,
                None if members.len() < OTHERS || ["key", "value", "ttl"].contains(&name.as_str()) => {
                    members.push((name, map.next_value()?));
                }
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(Members(members))
    }
}

/// A text with no more of it than its members.
pub(super) fn read(text: &str) -> Result<Node, Wrong> {
    let at = 0..text.len();
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| wrong(text, &error))?;
    if !whole.get().starts_with('{') {
        let kind = kind(whole, false)?;
        return Ok(Node { kind, at });
    }
    let mut from = serde_json::Deserializer::from_str(text);
    let Members(members) = from
        .deserialize_map(OfObject)
        .map_err(|error| wrong(text, &error))?;
    let members = members.into_iter().map(|(name, value)| {
        let begin = value.get().as_ptr().addr() - text.as_ptr().addr();
        let at = begin..begin + value.get().len();
        let kind = kind(value, name == "key")?;
        Ok((name, Node { kind, at }))
    });
    let kind = Kind::Object(members.collect::<Result<_, Wrong>>()?);
    Ok(Node { kind, at })
}

/// A value that is long is told by its beginning, or as an empty one; a key is needed as a whole.
fn kind(value: &RawValue, is_key: bool) -> Result<Kind, Wrong> {
    let json = value.get();
    if json.len() <= LONG {
        return python::read(json).map(|node| node.kind);
    }
    Ok(match json.as_bytes().first() {
        Some(b'{') => Kind::Object(Vec::new()),
        Some(b'[') => Kind::Array(Vec::new()),
        Some(b'"') => {
            // Half a surrogate pair is in no text.
            let text = serde_json::from_str::<String>(json).ok();
            let is_whole = text.is_some();
            let text = match text {
                Some(text) if is_key => text,
                text => {
                    text.as_deref()
                        .unwrap_or(json)
                        .chars()
                        .take(TOLD)
                        .collect::<String>()
                        + "…"
                }
            };
            Kind::Text { text, is_whole }
        }
        _ => return python::read(json).map(|node| node.kind),
    })
}

/// What serde says, in about the words of Python.
fn wrong(text: &str, error: &serde_json::Error) -> Wrong {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    // Both are told in bytes, and Python counts characters.
    let before = lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
    let before = &text.as_bytes()[..before.min(text.len())];
    let at = before.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
    let what = match error.is_eof() {
        true => "Unterminated string or value",
        false => "Expecting value",
    };
    Wrong::Said(what, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_something_is_wrong_is_counted_in_characters_as_python_does() {
        for text in [
            r#"{"key":"ä😀","value":?}"#,
            "{\"key\":\"k\",\n\"ä\":\"😀\",\n\"value\":  \"ä\", \"ttl\":x}",
            r#"{"ä":[1,2,?]}"#,
        ] {
            let (Err(Wrong::Said(_, wanted)), Err(Wrong::Said(_, at))) = (python::read(text), read(text))
            else {
                panic!("{text}");
            };
            assert_eq!(at, wanted, "{text}");
        }
    }
}
