//! Bodies of `PUT /kv/insert` that are too long to be kept in parts: where their members stand. Those that are long themselves are told shortened when something is
//! wrong.

use std::ops::Range;

use super::python::{self, Kind, Node, Wrong};

/// Of values that are kept in parts, together, in bytes.
const LONG: usize = 64 * 1024;
/// Of one that is not, in characters, when it is told.
const TOLD: usize = 100;
/// Members beside those that mean something, which are told.
const OTHERS: usize = 10;

/// A text with no more of it than its members.
pub(super) fn read(text: &str) -> Result<Node, Wrong> {
    // As they came, the last of each name in the place of the first.
    let mut members: Vec<(String, Range<usize>)> = Vec::new();
    let at = python::outline(text, |name, at| {
        match members.iter().position(|(other, _)| *other == name) {
            Some(place) => members[place].1 = at,
            None if members.len() < OTHERS || ["key", "value", "ttl"].contains(&name.as_str()) => {
                members.push((name, at));
            }
            None => {}
        }
    })?;
    let mut room = LONG;
    if !text[at.clone()].starts_with('{') {
        let kind = kind(&text[at.clone()], false, &mut room)?;
        return Ok(Node { kind, at });
    }
    let members = members.into_iter().map(|(name, at)| {
        let kind = kind(&text[at.clone()], name == "key", &mut room)?;
        Ok((name, Node { kind, at }))
    });
    let kind = Kind::Object(members.collect::<Result<_, Wrong>>()?);
    Ok(Node { kind, at })
}

/// A value that is long is told by its beginning, or as an empty one; a key is needed as a whole.
fn kind(json: &str, is_key: bool, room: &mut usize) -> Result<Kind, Wrong> {
    if let Some(left) = room.checked_sub(json.len()) {
        *room = left;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// And where its members stand.
    fn told(read: Result<Node, Wrong>) -> Result<(String, Vec<Range<usize>>), Wrong> {
        let node = read?;
        let mut out = String::new();
        python::write(&node.kind, &mut out);
        let members = match node.kind {
            Kind::Object(members) => members,
            _ => Vec::new(),
        };
        let places = members.into_iter().map(|(_, node)| node.at);
        Ok((out, std::iter::once(node.at).chain(places).collect()))
    }

    #[test]
    fn what_is_wrong_is_told_as_of_short_ones() {
        for value in [
            "\"x\"",
            "\"\u{e4}\u{1f600}\"",
            "[1, {\"a\": []}]",
            "NaN",
            "?",
            "nul",
            "01",
            "1.",
            "\"\t\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"cut",
            "[1,]",
            "[1 2]",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "[",
            "",
        ] {
            for text in [
                format!("{{\"key\":\"\u{e4}\",\n\"value\":{value}}}"),
                format!(" {{\"key\":1,\"value\":{value},\"key\":\"k\",\"ttl\": 5 }} "),
                format!("{{\"value\":{value},}}"),
                format!("{{\"value\":{value}}} x"),
                value.to_owned(),
            ] {
                assert_eq!(told(read(&text)), told(python::read(&text)), "{text}");
            }
        }
        let deep = "[".repeat(100_000);
        assert_eq!(read(&format!("{{\"value\":{deep}")), Err(Wrong::TooDeep));
    }

    #[test]
    fn of_what_is_long_no_more_is_kept_than_tells_what_it_is() {
        let long = "1,".repeat(LONG);
        let text = format!("{{\"ttl\":[{long}1],\"value\":\"{long}\",\"key\":\"{long}\",\"other\":[1]}}");
        let Ok(Node {
            kind: Kind::Object(members),
            ..
        }) = read(&text)
        else {
            panic!("an object");
        };
        let kinds: Vec<_> = members.iter().map(|(_, node)| &node.kind).collect();
        let text = |text: String| Kind::Text { text, is_whole: true };
        let told = text(long[..TOLD].to_owned() + "…");
        assert_eq!(kinds[..3], [&Kind::Array(Vec::new()), &told, &text(long)]);
        assert!(matches!(kinds[3], Kind::Array(items) if items.len() == 1));
    }
}
