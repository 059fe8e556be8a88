//! Keys and times, as JSON and paths have them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::problem::Problem;
use crate::protocol::media;
use crate::{Expiry, TimeLeft};

/// A key: as text if it is some, else as `key_base64`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(in super::super) enum Name {
    #[serde(rename = "key")]
    Text(String),
    #[serde(rename = "key_base64", serialize_with = "in_base64")]
    #[schemars(with = "Base64")]
    Bytes(Vec<u8>),
}

impl Name {
    pub(in super::super) fn of(key: &[u8]) -> Self {
        match std::str::from_utf8(key) {
            Ok(text) => Name::Text(text.to_owned()),
            Err(_) => Name::Bytes(key.to_owned()),
        }
    }

    /// How long it is at most when it is told.
    pub(in super::super) fn told_length(&self) -> usize {
        match self {
            Name::Text(text) => told_length(text.as_bytes()),
            Name::Bytes(bytes) => bytes.len() / 3 * 4 + 4,
        }
    }

    /// The key that two members give: one of them has to be there.
    pub(super) fn given(text: Option<String>, base64: Option<Base64>) -> Result<Vec<u8>, Problem> {
        match (text, base64) {
            (Some(text), None) => Ok(text.into_bytes()),
            (None, Some(Base64(bytes))) => Ok(bytes),
            (None, None) => Err(Problem::bad_request("`key` is missing, or `key_base64`")),
            (Some(_), Some(_)) => Err(Problem::bad_request(
                "`key` and `key_base64` are both there: one of them is the key",
            )),
        }
    }
}

/// How long text is at most when it is told: what JSON cannot have as it is takes up to six times as much.
pub(super) fn told_length(text: &[u8]) -> usize {
    let longer = |byte: &u8| match byte {
        0..0x20 => 5,
        b'"' | b'\\' => 1,
        _ => 0,
    };
    text.len() + text.iter().map(longer).sum::<usize>()
}

fn in_base64<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(bytes))
}

/// Bytes that are given as base64.
#[derive(Debug)]
pub(super) struct Base64(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        from_base64(&text).map(Base64).map_err(de::Error::custom)
    }
}

impl JsonSchema for Base64 {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Base64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64" })
    }
}

/// An error text if it is not base64.
pub(super) fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    let bytes = STANDARD.decode(text.as_bytes());
    bytes.map_err(|error| format!("{:?} is no base64: {error}", shortened(text)))
}

/// As much of what is wrong as tells what it is.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(100) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

/// A part of a path, or of a query, as bytes.
pub(in super::super) fn decoded(part: &str) -> Cow<'_, [u8]> {
    percent_decode_str(part).into()
}

/// Seconds that are left, to the millisecond and never 0.
pub(in super::super) fn seconds_left(left: Duration) -> f64 {
    let millis = left.as_nanos().div_ceil(1_000_000).max(1);
    let millis = u64::try_from(millis).unwrap_or(u64::MAX);
    Duration::from_millis(millis).as_secs_f64()
}

/// The same of any entry; `None` if it does not expire.
pub(super) fn ttl(time_left: TimeLeft) -> Option<f64> {
    match time_left {
        TimeLeft::Forever => None,
        TimeLeft::Left(left) => Some(seconds_left(left)),
    }
}

/// What a number of seconds means; an error text if it means nothing.
pub(in super::super) fn expiry(seconds: f64) -> Result<Expiry, String> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(format!(
            "the ttl is {seconds} and must be seconds from 0 on, \"never\" or \"keep\""
        ));
    }
    // More than can be counted is for ever, or about that.
    Ok(Expiry::After(
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
    ))
}

/// As `expiry`, of a text.
pub(super) fn expiry_of(text: &str) -> Result<Expiry, String> {
    match text {
        "never" => Ok(Expiry::Never),
        "keep" => Ok(Expiry::Keep),
        _ => match text.parse() {
            Ok(seconds) => expiry(seconds),
            Err(_) => Err(format!(
                "the ttl is {:?} and must be seconds from 0 on, \"never\" or \"keep\"",
                shortened(text)
            )),
        },
    }
}

/// `ttl` in JSON.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ttl(pub(super) Expiry);

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OfTtl)
    }
}

struct OfTtl;

impl Visitor<'_> for OfTtl {
    type Value = Ttl;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a ttl: seconds, \"never\" or \"keep\"")
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Ttl, E> {
        expiry(seconds).map(Ttl).map_err(E::custom)
    }

    #[expect(clippy::cast_precision_loss, reason = "a duration")]
    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Ttl, E> {
        self.visit_f64(seconds as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "a duration")]
    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Ttl, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Ttl, E> {
        // A number within quotes is none.
        let expiry = match word.parse::<f64>() {
            Ok(_) => Err(format!(
                "the ttl is {:?} and must be a number, without quotes",
                shortened(word)
            )),
            Err(_) => expiry_of(word),
        };
        expiry.map(Ttl).map_err(E::custom)
    }

    fn visit_unit<E>(self) -> Result<Ttl, E> {
        Ok(Ttl(Expiry::Default))
    }
}

impl JsonSchema for Ttl {
    fn schema_name() -> Cow<'static, str> {
        "Ttl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Seconds to live; null or none: the default.",
            "oneOf": [{ "type": "number", "minimum": 0 }, { "enum": ["never", "keep", null] }],
        })
    }
}

/// How a value under this media type is kept; an error text if it is none.
pub(super) fn kept(media_type: &str) -> Result<media::Kept<'_>, String> {
    media::kept(media_type).ok_or_else(|| {
        format!(
            "the type is {:?} and must be a media type such as image/png, in ASCII and of at most {} bytes",
            shortened(media_type),
            media::LONGEST
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_text_if_it_can_be_and_comes_back_as_it_was() {
        for (key, json) in [
            (&b"user:1"[..], r#"{"key":"user:1"}"#),
            ("\u{e4}\u{0}".as_bytes(), r#"{"key":"ä\u0000"}"#),
            (b"\xff\x00", r#"{"key_base64":"/wA="}"#),
        ] {
            let name = Name::of(key);
            assert_eq!(serde_json::to_string(&name).expect("JSON"), json);
        }
    }

    #[test]
    fn a_key_is_given_once() {
        let base64 = |text: &str| serde_json::from_str::<Base64>(&format!("{text:?}")).ok();
        assert_eq!(Name::given(Some("k".to_owned()), None).ok(), Some(b"k".to_vec()));
        assert_eq!(Name::given(None, base64("/wA=")).ok(), Some(b"\xff\0".to_vec()));
        assert!(base64("?").is_none());
        assert!(Name::given(None, None).is_err());
        assert!(Name::given(Some(String::new()), base64("")).is_err());
    }

    #[test]
    fn times_are_seconds_and_nothing_else() {
        let of = |json: &str| {
            serde_json::from_str::<Ttl>(json)
                .map(|ttl| ttl.0)
                .map_err(|error| error.to_string())
        };
        assert_eq!(of("1.5"), Ok(Expiry::After(Duration::from_millis(1500))));
        assert_eq!(of("0"), Ok(Expiry::After(Duration::ZERO)));
        assert_eq!(of("1e300"), Ok(Expiry::After(Duration::MAX)));
        assert_eq!(of("\"never\""), Ok(Expiry::Never));
        assert_eq!(of("\"keep\""), Ok(Expiry::Keep));
        assert_eq!(of("null"), Ok(Expiry::Default));
        for json in ["-1", "\"60\"", "\"soon\"", "true", "[1]"] {
            assert!(of(json).is_err(), "{json}");
        }
        assert!(expiry(f64::NAN).is_err() && expiry_of("inf").is_ok() && expiry_of("-0.1").is_err());
    }

    #[test]
    fn time_that_is_left_is_rounded_up_to_milliseconds_and_never_none() {
        assert_eq!(seconds_left(Duration::from_nanos(1)), 0.001);
        assert_eq!(seconds_left(Duration::from_micros(1500)), 0.002);
        assert_eq!(seconds_left(Duration::ZERO), 0.001);
    }
}
