//! The body of `PUT /kv/insert`: what it asks for, or what is wrong with it, as FastAPI and pydantic say that.

use std::borrow::Cow;

use hyper::header::{CONTENT_TYPE, HeaderMap};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::v1::names::expiry;
use super::large;
use super::python::{self, Kind, Node, Wrong, write_text};
use crate::Expiry;

/// Longer bodies are not taken apart, which takes time and memory, and what is told of them is shortened: in bytes.
const CLOSELY: usize = 64 << 10;

/// What is to be stored.
#[derive(Debug)]
pub(super) struct Insert<'b> {
    pub(super) key: Cow<'b, str>,
    pub(super) value: Cow<'b, RawValue>,
    pub(super) expiry: Expiry,
}

/// Why nothing can be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// What is wrong with it: the body of the answer.
    Invalid(String),
    /// It cannot be made sense of.
    Unreadable,
}

/// As most are.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Insert")]
pub(in super::super) struct Body<'b> {
    #[serde(borrow)]
    key: Cow<'b, str>,
    #[serde(borrow)]
    value: &'b RawValue,
    /// Seconds.
    #[schemars(range(min = 0))]
    ttl: Option<f64>,
}

/// What a body that is wrong is answered with.
pub(in super::super) fn invalid_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["detail"],
        "properties": { "detail": { "type": "array", "items": {
            "type": "object",
            "required": ["type", "loc", "msg", "input"],
            "properties": {
                "type": { "type": "string" },
                "loc": { "type": "array", "items": { "type": ["string", "integer"] } },
                "msg": { "type": "string" },
                "input": {},
                "ctx": { "type": "object" },
            },
        } } },
    })
}

/// Whether a body is said to be JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some((kind, subtype)) = given.and_then(|given| given.split(';').next()?.trim().split_once('/'))
    else {
        return false;
    };
    let subtype = subtype.to_ascii_lowercase();
    kind.eq_ignore_ascii_case("application") && (subtype == "json" || subtype.ends_with("+json"))
}

/// What the body asks for.
pub(super) fn read(body: &[u8], is_json: bool) -> Result<Insert<'_>, Refusal> {
    if is_json
        && let Ok(Body { key, value, ttl }) = serde_json::from_slice(body)
        && let Ok(expiry) = ttl.map_or(Ok(Expiry::Default), expiry)
    {
        let value = Cow::Borrowed(value);
        return Ok(Insert { key, value, expiry });
    }
    read_closely(body, is_json)
}

/// The same for those that are wrong, or right in a way that serde does not know.
fn read_closely(body: &[u8], is_json: bool) -> Result<Insert<'_>, Refusal> {
    if body.is_empty() {
        return Err(only(
            &Complaint::new("missing", "Field required", None),
            &Kind::Null,
        ));
    }
    if !is_json {
        let text = String::from_utf8_lossy(&body[..body.len().min(CLOSELY)]).into_owned();
        return Err(only(&not_an_object(), &Kind::Text { text, is_whole: true }));
    }
    let text = std::str::from_utf8(body).map_err(|_| Refusal::Unreadable)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let read = if text.len() > CLOSELY {
        large::read(text)
    } else {
        python::read(text)
    };
    let node = match read {
        Ok(node) => node,
        Err(Wrong::Said(what, at)) => return Err(no_json(what, at)),
        Err(Wrong::TooDeep) => return Err(Refusal::Unreadable),
    };
    match &node.kind {
        Kind::Object(members) => of_members(text, members, &node.kind),
        other => Err(only(&not_an_object(), other)),
    }
}

fn of_members<'b>(text: &'b str, members: &[(String, Node)], whole: &Kind) -> Result<Insert<'b>, Refusal> {
    let member = |name: &str| {
        members
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, node)| node)
    };
    let missing = |name| Complaint::new("missing", "Field required", Some(name));
    let mut complaints = Complaints::default();
    let key = match member("key").map(|node| &node.kind) {
        None => complaints.add(&missing("key"), whole),
        Some(Kind::Text { text, is_whole: true }) => Some(text.clone()),
        Some(kind @ Kind::Text { .. }) => complaints.add(
            &Complaint::new(
                "string_unicode",
                "Input should be a valid string, unable to parse raw data as a unicode string",
                Some("key"),
            ),
            kind,
        ),
        Some(other) => complaints.add(
            &Complaint::new("string_type", "Input should be a valid string", Some("key")),
            other,
        ),
    };
    let value = match member("value") {
        None => complaints.add(&missing("value"), whole),
        // What Python takes for JSON is that, but for NaN and infinity, and what is nested too deep.
        Some(node) => match serde_json::from_str::<&RawValue>(&text[node.at.clone()]) {
            Ok(value) => Some(value),
            Err(_) => complaints.add(
                &Complaint::new("finite_number", "Input should be a finite number", Some("value")),
                &Kind::Null,
            ),
        },
    };
    let expiry = match member("ttl").map(|node| &node.kind) {
        None | Some(Kind::Null) => Some(Expiry::Default),
        Some(kind) => match seconds(kind) {
            Ok(seconds) => expiry(seconds).ok(),
            Err(complaint) => complaints.add(&complaint, kind),
        },
    };
    match (key, value, expiry) {
        (Some(key), Some(value), Some(expiry)) => Ok(Insert {
            key: Cow::Owned(key),
            value: Cow::Borrowed(value),
            expiry,
        }),
        _ => Err(complaints.into_refusal()),
    }
}

/// A number, or what can be taken for one.
fn seconds(kind: &Kind) -> Result<f64, Complaint> {
    let complaint = |what, message| Complaint::new(what, message, Some("ttl"));
    let number = match kind {
        Kind::Integer(digits) => digits.parse().unwrap_or(f64::INFINITY),
        Kind::Float(number) => *number,
        Kind::Bool(is) => f64::from(u8::from(*is)),
        Kind::Text { text, .. } => number_of(text.trim()).ok_or_else(|| {
            complaint(
                "float_parsing",
                "Input should be a valid number, unable to parse string as a number",
            )
        })?,
        Kind::Null | Kind::Array(_) | Kind::Object(_) => {
            return Err(complaint("float_type", "Input should be a valid number"));
        }
    };
    if !number.is_finite() {
        return Err(complaint("finite_number", "Input should be a finite number"));
    }
    if number < 0.0 {
        return Err(Complaint {
            context: Some("{\"ge\":0.0}"),
            ..complaint("greater_than_equal", "Input should be greater than or equal to 0")
        });
    }
    Ok(number)
}

/// As Python reads numbers: with `_` between digits.
fn number_of(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let is_between = |at: usize| {
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        digit(at.checked_sub(1)) && digit(Some(at + 1))
    };
    let is_right = (0..bytes.len()).all(|at| bytes[at] != b'_' || is_between(at));
    is_right.then(|| text.replace('_', "").parse().ok()).flatten()
}

/// One of those in `detail`.
struct Complaint {
    r#type: &'static str,
    message: &'static str,
    /// The member, or the whole body.
    of: Option<&'static str>,
    context: Option<&'static str>,
}

impl Complaint {
    const fn new(r#type: &'static str, message: &'static str, of: Option<&'static str>) -> Self {
        Complaint {
            r#type,
            message,
            of,
            context: None,
        }
    }

    fn write(&self, input: &Kind, out: &mut String) {
        out.push_str("{\"type\":");
        write_text(self.r#type, out);
        out.push_str(",\"loc\":[\"body\"");
        if let Some(of) = self.of {
            out.push(',');
            write_text(of, out);
        }
        out.push_str("],\"msg\":");
        write_text(self.message, out);
        out.push_str(",\"input\":");
        python::write(input, out);
        if let Some(context) = self.context {
            out.push_str(",\"ctx\":");
            out.push_str(context);
        }
        out.push('}');
    }
}

fn not_an_object() -> Complaint {
    Complaint::new(
        "model_attributes_type",
        "Input should be a valid dictionary or object to extract fields from",
        None,
    )
}

/// All that are in `detail`, as they are written.
#[derive(Default)]
struct Complaints(String);

impl Complaints {
    /// Nothing, in the place of what is wrong.
    fn add<T>(&mut self, complaint: &Complaint, input: &Kind) -> Option<T> {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        complaint.write(input, &mut self.0);
        None
    }

    fn into_refusal(self) -> Refusal {
        Refusal::Invalid(format!("{{\"detail\":[{}]}}", self.0))
    }
}

fn only(complaint: &Complaint, input: &Kind) -> Refusal {
    let mut complaints = Complaints::default();
    complaints.add::<()>(complaint, input);
    complaints.into_refusal()
}

fn no_json(what: &str, at: usize) -> Refusal {
    let mut said = String::new();
    write_text(what, &mut said);
    Refusal::Invalid(format!(
        "{{\"detail\":[{{\"type\":\"json_invalid\",\"loc\":[\"body\",{at}],\"msg\":\"JSON decode error\",\"input\":{{}},\"ctx\":{{\"error\":{said}}}}}]}}"
    ))
}
