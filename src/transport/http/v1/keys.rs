//! `GET /v1/keys`: a page of the keys that there are.

use hyper::Request;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::body::Incoming;
use super::super::problem::Problem;
use super::super::reply::{Answer, json};
use super::super::service::Service;
use super::glob::Pattern;
use super::names::{Name, ttl};
use super::query::{self, Number};
use crate::protocol::media;
use crate::{Cursor, Tag};

pub(in super::super) const LIMIT: Number = Number {
    name: "limit",
    least: 1,
    most: 10_000,
    by_default: 100,
};
/// Of matching, for one page.
const MOST_STEPS: usize = 10_000_000;
/// Pages of a scan that one answer may take, where a pattern is rare.
const MOST_PAGES: usize = 4;

#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Page {
    keys: Vec<Key>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Key {
    #[serde(flatten)]
    name: Name,
    r#type: String,
    tag: u8,
    bytes: usize,
    ttl: Option<f64>,
}

pub(in super::super) fn answer(service: &Service, request: &Request<Incoming>) -> Result<Answer, Problem> {
    let uri = request.uri();
    let cache = service.backing.cache()?;
    let limit = LIMIT.of(uri)?;
    let pattern = query::text(uri, "match")?.map(|text| Pattern::new(&text));
    let mut prefix = query::bytes(uri, "prefix").unwrap_or_default();
    let of_pattern = pattern.as_ref().map(Pattern::prefix).unwrap_or_default();
    if prefix.starts_with(&of_pattern) || of_pattern.starts_with(&prefix) {
        if of_pattern.len() > prefix.len() {
            prefix = of_pattern;
        }
    } else {
        // Nothing begins with both.
        return Ok(json(&Page {
            keys: Vec::new(),
            cursor: None,
        }));
    }
    let mut next = match query::text(uri, "cursor")?.as_deref() {
        None | Some("") => Cursor::default(),
        Some(text) => text.parse().map(Cursor::from_u64).map_err(|_| {
            Problem::bad_request(format!(
                "cursor is {text:?} and must be one that a page was answered with"
            ))
        })?,
    };
    let mut keys = Vec::new();
    let mut steps = MOST_STEPS;
    for _ in 0..MOST_PAGES {
        let page = cache.scan(next, &prefix, limit - keys.len(), false);
        for entry in page.entries {
            if let Some(pattern) = &pattern {
                match pattern.matches(&entry.key, &mut steps) {
                    Some(true) => {}
                    Some(false) => continue,
                    None => {
                        return Err(Problem::bad_request(
                            "match takes too many steps: use fewer *, a prefix, or a lower limit",
                        ));
                    }
                }
            }
            keys.push(Key {
                name: Name::of(&entry.key),
                r#type: type_of(entry.tag),
                tag: entry.tag.0,
                bytes: entry.value_len,
                ttl: ttl(entry.time_left),
            });
        }
        match page.next {
            None => return Ok(json(&Page { keys, cursor: None })),
            Some(cursor) => next = cursor,
        }
        if keys.len() >= limit {
            break;
        }
    }
    let cursor = Some(next.to_u64().to_string());
    Ok(json(&Page { keys, cursor }))
}

/// By the tag alone: a page reads no values.
fn type_of(tag: Tag) -> String {
    media::shown(tag, &[]).0.into_owned()
}
