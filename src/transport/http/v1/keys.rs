//! `GET /v1/keys`: a page of the keys that there are.

use hyper::Request;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::body::Incoming;
use super::super::lengthy;
use super::super::problem::Problem;
use super::super::reply::{Answer, json};
use super::super::service::Service;
use super::glob::Pattern;
use super::names::{Name, ttl};
use super::query::{self, Number};
use crate::protocol::media;
use crate::{Cache, Cursor, ScanEntry, Tag};

pub(in super::super) const LIMIT: Number = Number {
    name: "limit",
    least: 1,
    most: 10_000,
    by_default: 100,
};
/// Of matching, for one page.
const MOST_STEPS: usize = 10_000_000;
/// Entries that are looked at for one page, however rare what is asked for, and for one scan.
const MOST_EXAMINED: usize = 4 * SCANNED;
const SCANNED: usize = 16_384;

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
    let next = match query::text(uri, "cursor")?.as_deref() {
        None | Some("") => Cursor::default(),
        Some(text) => text.parse().map(Cursor::from_u64).map_err(|_| {
            Problem::bad_request(format!(
                "cursor is {text:?} and must be one that a page was answered with"
            ))
        })?,
    };
    let look = || page(cache, next, &prefix, limit, pattern.as_ref());
    let page = match pattern {
        None => look(),
        Some(_) => lengthy::always(look),
    };
    page.map(|page| json(&page))
}

/// Looks at few entries first, and at more at once where few of them match.
fn page(
    cache: &Cache,
    mut next: Cursor,
    prefix: &[u8],
    limit: usize,
    pattern: Option<&Pattern>,
) -> Result<Page, Problem> {
    let mut keys = Vec::new();
    let mut steps = MOST_STEPS;
    let mut examined = 0;
    let mut size = limit;
    let mut is_further = false;
    while keys.len() < limit && examined < MOST_EXAMINED {
        let room = limit - keys.len();
        let page = cache.scan(next, prefix, size, false);
        // Where others begin otherwise, there are fewer than were looked at.
        examined += if page.entries.len() < size { SCANNED } else { size };
        let mut found = Vec::new();
        for entry in page.entries {
            match pattern.map_or(Some(true), |pattern| pattern.matches(&entry.key, &mut steps)) {
                Some(true) => found.push(entry),
                Some(false) => {}
                // These are for the next page to look at.
                None if is_further => return Ok(Page::of(keys, Some(next))),
                None => {
                    return Err(Problem::bad_request(
                        "match takes too many steps: use fewer *, a prefix, or a lower limit",
                    ));
                }
            }
        }
        if found.len() > room && size > room {
            // A cursor cannot lead into the midst of them.
            size = room;
            continue;
        }
        size = match pattern {
            Some(_) if found.len() < size / 4 => (4 * size).min(SCANNED),
            _ => room.saturating_sub(found.len()),
        };
        is_further = true;
        keys.extend(found.into_iter().map(Key::of));
        match page.next {
            None => return Ok(Page::of(keys, None)),
            Some(cursor) => next = cursor,
        }
    }
    Ok(Page::of(keys, Some(next)))
}

impl Page {
    fn of(keys: Vec<Key>, next: Option<Cursor>) -> Self {
        let cursor = next.map(|next| next.to_u64().to_string());
        Page { keys, cursor }
    }
}

impl Key {
    fn of(entry: ScanEntry) -> Self {
        Key {
            name: Name::of(&entry.key),
            r#type: type_of(entry.tag),
            tag: entry.tag.0,
            bytes: entry.value_len,
            ttl: ttl(entry.time_left),
        }
    }
}

/// By the tag alone: a page reads no values.
fn type_of(tag: Tag) -> String {
    media::shown(tag, &[]).0.into_owned()
}
