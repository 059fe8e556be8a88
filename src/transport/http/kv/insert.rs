//! The body of `PUT /kv/insert`: what it asks for, or what is wrong with it, as FastAPI says that.

use std::borrow::Cow;

use hyper::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::v1::names::expiry;
use crate::Expiry;

/// What is to be stored.
#[derive(Debug)]
pub(super) struct Insert<'b> {
    pub(super) key: Cow<'b, str>,
    pub(super) value: Cow<'b, RawValue>,
    pub(super) expiry: Expiry,
}

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow)]
    key: Cow<'b, str>,
    #[serde(borrow)]
    value: &'b RawValue,
    ttl: Option<f64>,
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

/// What the body asks for; what is answered if it is not as it should be.
pub(super) fn read(body: &[u8], is_json: bool) -> Result<Insert<'_>, Vec<u8>> {
    if is_json
        && let Ok(Body { key, value, ttl }) = serde_json::from_slice(body)
        && let Ok(expiry) = ttl.map_or(Ok(Expiry::Default), expiry)
    {
        return Ok(Insert {
            key,
            value: Cow::Borrowed(value),
            expiry,
        });
    }
    Err(b"{\"detail\":[]}".to_vec())
}
