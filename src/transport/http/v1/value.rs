//! Values where they stand in JSON: text and JSON as they are, anything else as base64 with its type.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::names::{self, Base64, kept};
use crate::protocol::media::{self, Kept};
use crate::{Entry, Tag};

/// A value that is given.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) value: Option<Box<RawValue>>,
    pub(super) base64: Option<Vec<u8>>,
    pub(super) media_type: Option<String>,
}

/// A member that is there, `null` or not.
pub(super) fn there<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

/// A value that is told.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Told {
    Text {
        value: String,
    },
    Json {
        value: Box<RawValue>,
    },
    Bytes {
        #[schemars(with = "Base64")]
        base64: String,
        r#type: String,
    },
}

impl Given {
    /// Tag and bytes; an error text if they are not what they are said to be.
    pub(super) fn bytes(self) -> Result<(Tag, Vec<u8>), String> {
        match (self.value, self.base64, self.media_type) {
            (Some(json), None, None) => Ok(from_json(&json)),
            (None, Some(bytes), media_type) => {
                typed(media_type.as_deref().unwrap_or("application/octet-stream"), bytes)
            }
            (Some(_), None, Some(_)) => {
                Err("`type` belongs to `base64`: a `value` is text or JSON".to_owned())
            }
            (Some(_), Some(_), _) => {
                Err("`value` and `base64` are both there: one of them is the value".to_owned())
            }
            (None, None, _) => Err("`value` is missing, or `base64`".to_owned()),
        }
    }
}

/// JSON as it is kept: a string as the text that it is, anything else as it is.
pub(in super::super) fn from_json(json: &RawValue) -> (Tag, Vec<u8>) {
    let json = json.get();
    if json.starts_with('"') {
        // Half a surrogate pair is in no text.
        if let Ok(text) = serde_json::from_str::<String>(json) {
            return (Tag::TEXT, text.into_bytes());
        }
    }
    (Tag::JSON, without_spaces(json))
}

/// Spaces between the parts of JSON mean nothing.
fn without_spaces(json: &str) -> Vec<u8> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    if !json.as_bytes().iter().any(is_space) {
        return json.as_bytes().to_vec();
    }
    let mut bytes = Vec::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for byte in json.bytes() {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
        } else if is_space(&byte) {
            continue;
        } else if byte == b'"' {
            in_text = true;
        }
        bytes.push(byte);
    }
    bytes
}

/// Bytes of a media type as they are kept; an error text if they are not of that type.
pub(super) fn typed(media_type: &str, bytes: Vec<u8>) -> Result<(Tag, Vec<u8>), String> {
    match kept(media_type)? {
        Kept::Typed(media_type) => Ok((Tag::TYPED, media::joined(media_type, &bytes))),
        Kept::Tagged(Tag::TEXT) if std::str::from_utf8(&bytes).is_err() => {
            Err(format!("the value is not UTF-8, as {media_type} says"))
        }
        Kept::Tagged(Tag::JSON) => match serde_json::from_slice::<&RawValue>(&bytes) {
            Ok(_) => Ok((Tag::JSON, bytes)),
            Err(error) => Err(format!("the value is not JSON, as {media_type} says: {error}")),
        },
        Kept::Tagged(Tag::TYPED) if media::parted(Tag::TYPED, &bytes).is_none() => {
            Err("a value with the tag 6 has its media type in front: give it that type instead".to_owned())
        }
        Kept::Tagged(tag) => Ok((tag, bytes)),
    }
}

/// As JSON, if it is text or JSON; what another face has stored may not be what its tag says.
pub(in super::super) fn to_json(tag: Tag, value: &[u8]) -> Option<Box<RawValue>> {
    match tag {
        Tag::TEXT => {
            let text = std::str::from_utf8(value).ok()?;
            serde_json::value::to_raw_value(text).ok()
        }
        Tag::JSON => serde_json::from_slice(value).ok(),
        _ => None,
    }
}

/// How long a value is at most when it is told.
pub(in super::super) fn told_length(tag: Tag, value: &[u8]) -> usize {
    let in_base64 = value.len() / 3 * 4 + 4;
    match tag {
        Tag::TEXT => in_base64.max(names::told_length(value)),
        _ => in_base64,
    }
}

impl Told {
    pub(super) fn of(entry: &Entry) -> Self {
        match (entry.tag, std::str::from_utf8(&entry.value)) {
            (Tag::TEXT, Ok(text)) => {
                return Told::Text {
                    value: text.to_owned(),
                };
            }
            (Tag::JSON, Ok(json)) => {
                if let Ok(value) = serde_json::from_str(json) {
                    return Told::Json { value };
                }
            }
            _ => {}
        }
        let (media_type, bytes) = media::shown(entry.tag, &entry.value);
        Told::Bytes {
            base64: STANDARD.encode(bytes),
            r#type: media_type.into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_of(json: &str) -> (Tag, Vec<u8>) {
        from_json(&serde_json::from_str::<Box<RawValue>>(json).expect("JSON"))
    }

    #[test]
    fn json_keeps_its_digits_and_loses_its_spaces() {
        for (json, kept) in [
            (
                "{ \"a\" : [ 1.50, 1e400 ,\n12345678901234567890 ] }",
                "{\"a\":[1.50,1e400,12345678901234567890]}",
            ),
            ("[\" a\\\" b\\\\\" , \"\\n \"]", "[\" a\\\" b\\\\\",\"\\n \"]"),
            ("null", "null"),
            ("\"\\ud800\"", "\"\\ud800\""),
        ] {
            assert_eq!(kept_of(json), (Tag::JSON, kept.as_bytes().to_vec()), "{json}");
        }
    }

    #[test]
    fn a_string_is_kept_as_the_text_that_it_is() {
        assert_eq!(
            kept_of("\"\\u00e4 \\ud83d\\ude00\\n\""),
            (Tag::TEXT, "ä 😀\n".as_bytes().to_vec())
        );
        let json = to_json(Tag::TEXT, "ä\n\"".as_bytes()).expect("text");
        assert_eq!(json.get(), "\"ä\\n\\\"\"");
    }

    #[test]
    fn what_is_not_what_its_type_says_is_refused() {
        assert!(typed("text/plain", vec![0xff]).is_err());
        assert!(typed("application/json", b"{".to_vec()).is_err());
        assert!(typed("application/vnd.rustcache.tag-6", b"x".to_vec()).is_err());
        assert!(typed("nonsense", vec![]).is_err());
        assert_eq!(
            typed("image/png", vec![1]),
            Ok((Tag::TYPED, b"\x09image/png\x01".to_vec()))
        );
    }
}
