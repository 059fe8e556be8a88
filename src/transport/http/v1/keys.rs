//! `GET /v1/keys`: a page of the keys that there are.

use hyper::Request;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::body::Incoming;
use super::super::problem::Problem;
use super::super::reply::{Answer, json, json_held};
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
/// Of keys in one page, in bytes; it ends when there is not room for one more of the longest that there may be by default.
const MOST_BYTES: usize = 1 << 20;
const LONGEST: usize = 64 << 10;
/// Of keys that are looked at first; then of more at once.
const FIRST_BYTES: usize = 4096;
/// Of matching, for one page.
const MOST_STEPS: usize = 10_000_000;
/// Entries that are looked at for one page, however rare what is asked for, and for one scan.
const MOST_EXAMINED: usize = 4 * SCANNED;
const SCANNED: usize = 16_384;
/// Bytes of keys that take as long as an entry by itself.
const AS_LONG: usize = MOST_BYTES / SCANNED;
/// What is told of a key but its name takes no more, in bytes; and its type by itself.
const TOLD: usize = 160;
const TYPE: usize = 64;

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

pub(in super::super) async fn answer(
    service: &Service,
    request: &Request<Incoming>,
) -> Result<Answer, Problem> {
    let uri = request.uri();
    let cache = service.backing.cache()?.clone();
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
    let mut search = Search {
        cache,
        prefix,
        pattern,
        limit,
        next: Some(next),
        keys: Vec::new(),
        bytes: 0,
        told: 0,
        size: limit,
        room: FIRST_BYTES,
        examined: 0,
        steps: MOST_STEPS,
        is_further: false,
    };
    let mut held = service.allowance.budget.hold_nothing();
    let mut is_over = false;
    while !is_over {
        if !service.allowance.hold(&mut held, search.needed()).await {
            return Err(Problem::busy());
        }
        let gone_on = service.turns.always(move || {
            let is_over = search.go_on();
            (search, is_over)
        });
        let (so_far, over) = gone_on.await;
        (search, is_over) = (so_far, over?);
    }
    let length = search.told + TOLD;
    if !service.allowance.hold(&mut held, search.memory() + length).await {
        return Err(Problem::busy());
    }
    let page = Page::of(search.keys, search.next);
    Ok(service
        .turns
        .about(length, move || json_held(&page, length, held))
        .await)
}

/// What is asked for, and how far it is found.
#[derive(Debug)]
struct Search {
    cache: Cache,
    prefix: Vec<u8>,
    pattern: Option<Pattern>,
    limit: usize,
    /// Where it goes on; `None` at the end.
    next: Option<Cursor>,
    keys: Vec<Key>,
    /// Of their names; as they are told, with what belongs to them.
    bytes: usize,
    told: usize,
    /// Of the next scan: entries, and bytes of keys.
    size: usize,
    room: usize,
    examined: usize,
    steps: usize,
    /// Whether there was a scan before.
    is_further: bool,
}

impl Search {
    /// What the keys take that are found, in bytes.
    fn memory(&self) -> usize {
        self.bytes + self.keys.len() * (size_of::<Key>() + TYPE)
    }

    /// The same, and what the next scan takes.
    fn needed(&self) -> usize {
        self.memory() + self.room + self.size * size_of::<ScanEntry>()
    }

    /// Looks at few entries first, and at more at once where few of them match. `true` if that was all for this page.
    fn go_on(&mut self) -> Result<bool, Problem> {
        let Some(next) = self.next else { return Ok(true) };
        let left = self.limit - self.keys.len();
        let (page, looked_at) = self.cache.scan_within(next, &self.prefix, self.size, self.room);
        let bytes: usize = page.entries.iter().map(|entry| entry.key.len()).sum();
        self.examined += looked_at.max(bytes / AS_LONG);
        let mut found = Vec::new();
        for entry in page.entries {
            let pattern = self.pattern.as_ref();
            match pattern.map_or(Some(true), |pattern| pattern.matches(&entry.key, &mut self.steps)) {
                Some(true) => found.push(entry),
                Some(false) => {}
                // These are for the next page to look at.
                None if self.is_further => return Ok(true),
                None => {
                    return Err(Problem::bad_request(
                        "match takes too many steps: use fewer *, a prefix, or a lower limit",
                    ));
                }
            }
        }
        if found.len() > left && self.size > left {
            // A cursor cannot lead into the midst of them.
            self.size = left;
            return Ok(false);
        }
        self.size = match self.pattern {
            Some(_) if found.len() < self.size / 4 => (4 * self.size).min(SCANNED),
            _ => left.saturating_sub(found.len()),
        };
        for entry in found {
            self.bytes += entry.key.len();
            let key = Key::of(entry);
            self.told += key.name.told_length() + TOLD;
            self.keys.push(key);
        }
        self.room = (4 * self.room).min(MOST_BYTES.saturating_sub(self.bytes));
        self.next = page.next;
        self.is_further = true;
        Ok(self.next.is_none()
            || self.keys.len() >= self.limit
            || self.bytes > MOST_BYTES - LONGEST
            || self.examined >= MOST_EXAMINED)
    }
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
