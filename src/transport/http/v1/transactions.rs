//! `POST /v1/transactions`: operations that are all done, or none.

use std::collections::HashMap;
use std::iter;
use std::sync::Arc;

use hyper::{Request, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::body::Incoming;
use super::super::code::Code;
use super::super::problem::Problem;
use super::super::reply::{Answer, json_held};
use super::super::service::Service;
use super::batch::{Outcome, TOLD};
use super::etag;
use super::names::{Base64, Name};
use super::operation::{Operation, Verb, at_most};
use super::read_json;
use super::same::{self, is_same, is_text};
use super::value::{Given, there, told_length};
use crate::cache::{Step, Stepped, Watched};
use crate::{Cache, Entry, SetOptions, Tag};

/// Operations and conditions together.
const MOST: usize = 128;
/// Of values that are written, for which room is made under the locks, and of those that are compared, which are taken apart.
const MOST_BYTES: usize = 1 << 20;
/// Of values that are read, which the answer carries; and of those that conditions look at.
const MOST_READ: usize = 64 << 20;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Transaction")]
pub(in super::super) struct Asked {
    #[serde(default, deserialize_with = "at_most::<Condition, _, MOST>")]
    #[schemars(length(max = MOST))]
    r#if: Vec<Condition>,
    #[serde(deserialize_with = "at_most::<Operation, _, MOST>")]
    #[schemars(length(max = MOST))]
    operations: Vec<Operation>,
}

/// What an entry has to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["key"] }, { "required": ["key_base64"] }]))]
struct Condition {
    key: Option<String>,
    key_base64: Option<Base64>,
    #[serde(default, deserialize_with = "there")]
    value: Option<Box<RawValue>>,
    base64: Option<Base64>,
    r#type: Option<String>,
    etag: Option<String>,
    absent: Option<bool>,
}

#[derive(Debug)]
enum Wanted {
    Absent,
    Present,
    ETag(String),
    Json(Box<RawValue>),
    Bytes(Tag, Vec<u8>),
}

#[derive(Debug)]
struct Prepared {
    verb: Verb,
    key: Vec<u8>,
    value: Vec<u8>,
    options: SetOptions,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answered {
    Applied(Applied),
    Failed(Failed),
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Applied {
    #[schemars(extend("const" = true))]
    applied: bool,
    results: Vec<Outcome>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Failed {
    #[schemars(extend("const" = false))]
    applied: bool,
    /// Which conditions did not hold.
    failed: Vec<usize>,
}

pub(in super::super) async fn answer(
    service: &Service,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let (transaction, mut held) = read_json(service, request, Asked::prepare).await?;
    let transaction = Arc::new(transaction);
    let Transaction {
        conditions,
        operations,
        bytes,
    } = &*transaction;
    let count = conditions.len() + operations.len();
    let cache = service.backing.writable()?;
    service.traffic.many(operations.len());
    let keys = conditions.iter().map(|(key, _)| key.as_slice());
    let taken_apart = conditions.iter().map(|(_, wanted)| wanted.taken_apart());
    let longest = taken_apart.max().unwrap_or(0);
    let read = bytes_read(cache, operations, |_, value| value.len());
    let size = bytes + read + keys.map(|key| length(cache, key)).sum::<usize>();
    let mut told = 0;
    // What is more is never done, and is told so below.
    if read <= MOST_READ {
        let (cache, transaction) = (cache.clone(), Arc::clone(&transaction));
        let measured = service.turns.about(read, move || {
            bytes_read(&cache, &transaction.operations, told_length)
        });
        told = measured.await;
        // What is read is there by itself, and in the answer.
        let needed = bytes + read + told + longest * same::MEMORY;
        if !service.allowance.hold(&mut held, needed).await {
            return Err(Problem::busy());
        }
    }
    let (cache, done) = (cache.clone(), Arc::clone(&transaction));
    let applied = service
        .turns
        .about(size, move || apply(&cache, &done.conditions, &done.operations));
    let answered = applied.await?;
    service.settle().await?;
    let is_applied = matches!(answered, Answered::Applied(_));
    let length = told + (count + 1) * TOLD;
    let written = service
        .turns
        .about(size, move || json_held(&answered, length, held));
    let mut answer = written.await;
    if !is_applied {
        *answer.status_mut() = StatusCode::CONFLICT;
    }
    Ok(answer)
}

/// As it is done.
#[derive(Debug)]
struct Transaction {
    conditions: Vec<(Vec<u8>, Wanted)>,
    operations: Vec<Prepared>,
    /// Of all values that it brings.
    bytes: usize,
}

impl Asked {
    fn prepare(self) -> Result<Transaction, Problem> {
        let count = self.r#if.len() + self.operations.len();
        if count > MOST {
            return Err(Problem::bad_request(format!(
                "there are {count} operations and conditions, and {MOST} are the most"
            )));
        }
        let conditions = self.r#if.into_iter().map(Condition::prepare);
        let conditions: Vec<(Vec<u8>, Wanted)> = conditions.collect::<Result<_, _>>()?;
        let operations = self.operations.into_iter().map(prepare);
        let operations: Vec<Prepared> = operations.collect::<Result<_, _>>()?;
        let written = operations.iter().map(|operation| operation.value.len());
        let compared = conditions.iter().map(|(_, wanted)| wanted.length());
        let bytes: usize = written.chain(compared).sum();
        if bytes > MOST_BYTES {
            return Err(Problem::new(
                Code::TransactionTooLarge,
                format!(
                    "the values take {bytes} bytes, and {MOST_BYTES} are the most that are written and compared at once"
                ),
            ));
        }
        Ok(Transaction {
            conditions,
            operations,
            bytes,
        })
    }
}

fn prepare(mut operation: Operation) -> Result<Prepared, Problem> {
    let (verb, key) = (operation.op, operation.key()?);
    let (value, options) = match verb {
        Verb::Set => operation.into_value()?,
        Verb::Get | Verb::Delete => Default::default(),
    };
    if options.condition != crate::Condition::Always {
        return Err(Problem::bad_request(
            "`if` within an operation is for batches: name the key in the transaction's own `if`",
        ));
    }
    Ok(Prepared {
        verb,
        key,
        value,
        options,
    })
}

/// Looks at what it depends on, decides, and does it if nothing of that has changed meanwhile; else looks again. Whoever is overtaken was so by somebody who was done.
fn apply(
    cache: &Cache,
    conditions: &[(Vec<u8>, Wanted)],
    operations: &[Prepared],
) -> Result<Answered, Problem> {
    let steps: Vec<Step<'_>> = operations.iter().map(Prepared::step).collect();
    loop {
        let watched = conditions.iter().map(|(key, _)| Watched {
            key,
            seen: cache.peek(key),
        });
        let watched: Vec<Watched<'_>> = watched.collect();
        check_compared(conditions, &watched)?;
        let both = conditions.iter().zip(&watched).enumerate();
        let failed = both.filter(|(_, ((_, wanted), watched))| !wanted.holds(watched.seen.as_ref()));
        let failed: Vec<usize> = failed.map(|(at, _)| at).collect();
        if !failed.is_empty() {
            return Ok(Answered::Failed(Failed {
                applied: false,
                failed,
            }));
        }
        let read = bytes_read(cache, operations, |_, value| value.len());
        if read > MOST_READ {
            return Err(Problem::new(
                Code::TransactionTooLarge,
                format!(
                    "the values that are read take {read} bytes, and {MOST_READ} are the most: nothing was done"
                ),
            ));
        }
        if let Some(done) = cache.transact(&watched, &steps)? {
            // They may have grown in between.
            let mut room = MOST_READ;
            let both = done.into_iter().zip(operations);
            let results = both.map(|(done, operation)| operation.outcome(done, &mut room));
            return Ok(Answered::Applied(Applied {
                applied: true,
                results: results.collect(),
            }));
        }
    }
}

/// Whether the conditions look at no more than they may: whatever that is, if one does alone.
fn check_compared(conditions: &[(Vec<u8>, Wanted)], watched: &[Watched<'_>]) -> Result<(), Problem> {
    let both = iter::zip(conditions, watched);
    let looked_at = both.map(|((_, wanted), watched)| wanted.looks_at(watched.seen.as_ref()));
    let (all, longest) = looked_at.fold((0, 0), |(all, longest), one| (all + one, one.max(longest)));
    if all <= MOST_READ.max(longest) {
        return Ok(());
    }
    Err(Problem::new(
        Code::TransactionTooLarge,
        format!(
            "the entries that the conditions look at take {all} bytes, and {MOST_READ} are the most: nothing was done"
        ),
    ))
}

/// How much the operations would read, as it is now: as long as `length` says of each value.
fn bytes_read(cache: &Cache, operations: &[Prepared], length: fn(Tag, &[u8]) -> usize) -> usize {
    let mut changed = HashMap::new();
    let mut read = 0;
    for Prepared {
        verb,
        key,
        value,
        options,
    } in operations
    {
        match verb {
            Verb::Get => {
                let as_it_is = || cache.peek(key).map_or(0, |entry| length(entry.tag, &entry.value));
                read += changed.get(key).copied().unwrap_or_else(as_it_is);
            }
            // A value that is removed is empty.
            Verb::Set | Verb::Delete => _ = changed.insert(key, length(options.tag, value)),
        }
    }
    read
}

fn length(cache: &Cache, key: &[u8]) -> usize {
    cache.peek(key).map_or(0, |entry| entry.value.len())
}

impl Prepared {
    /// What has become of it.
    fn outcome(&self, done: Stepped, room: &mut usize) -> Outcome {
        match done {
            Stepped::Got(Some(entry)) => Outcome::found_within(&entry, room).unwrap_or_else(Outcome::from),
            Stepped::Got(None) | Stepped::Removed(false) => Outcome::done(StatusCode::NOT_FOUND),
            Stepped::Stored => Outcome::stored(etag::of_stored(&self.value, &self.options)),
            Stepped::Removed(true) => Outcome::done(StatusCode::NO_CONTENT),
        }
    }

    fn step(&self) -> Step<'_> {
        let key = &self.key;
        match self.verb {
            Verb::Get => Step::Get { key },
            Verb::Delete => Step::Remove { key },
            Verb::Set => Step::Set {
                key,
                value: &self.value,
                options: self.options,
            },
        }
    }
}

impl Condition {
    fn prepare(self) -> Result<(Vec<u8>, Wanted), Problem> {
        let key = Name::given(self.key, self.key_base64)?;
        let is_valued = self.value.is_some() || self.base64.is_some() || self.r#type.is_some();
        let wanted = match (is_valued, self.etag, self.absent) {
            (false, None, Some(true)) => Wanted::Absent,
            (false, None, Some(false)) => Wanted::Present,
            (false, Some(etag), None) => Wanted::ETag(etag),
            (true, None, None) => match (self.value, self.base64, self.r#type) {
                (Some(value), None, None) => Wanted::Json(value),
                (value, base64, media_type) => {
                    let given = Given {
                        value,
                        base64: base64.map(|Base64(bytes)| bytes),
                        media_type,
                    };
                    let (tag, bytes) = given.bytes().map_err(Problem::bad_request)?;
                    Wanted::Bytes(tag, bytes)
                }
            },
            _ => {
                return Err(Problem::bad_request(
                    "a condition has one of `value`, `base64`, `etag` and `absent`",
                ));
            }
        };
        Ok((key, wanted))
    }
}

impl Wanted {
    /// Of the value that it has to be.
    fn length(&self) -> usize {
        match self {
            Wanted::Absent | Wanted::Present | Wanted::ETag(_) => 0,
            Wanted::Json(json) => json.get().len(),
            Wanted::Bytes(_, bytes) => bytes.len(),
        }
    }

    /// Of JSON that may have to be taken apart, one at a time.
    fn taken_apart(&self) -> usize {
        match self {
            Wanted::Json(json) => json.get().len(),
            Wanted::Absent | Wanted::Present | Wanted::ETag(_) | Wanted::Bytes(..) => 0,
        }
    }

    fn holds(&self, found: Option<&Entry>) -> bool {
        let Some(entry) = found else {
            return matches!(self, Wanted::Absent);
        };
        match self {
            Wanted::Absent => false,
            Wanted::Present => true,
            Wanted::ETag(etag) => etag::is_named_strongly(etag.as_bytes(), &etag::of_entry(entry)),
            Wanted::Bytes(tag, bytes) => entry.tag == *tag && entry.value == *bytes,
            Wanted::Json(json) => match entry.tag {
                Tag::TEXT => is_text(json.get(), &entry.value),
                // What another face has stored may not be what its tag says.
                Tag::JSON => std::str::from_utf8(&entry.value).is_ok_and(|value| {
                    is_same(json.get(), value) && serde_json::from_str::<&RawValue>(value).is_ok()
                }),
                _ => false,
            },
        }
    }

    /// How much of an entry is looked at to tell that, beside what is as long as what was given.
    fn looks_at(&self, found: Option<&Entry>) -> usize {
        match (self, found) {
            (Wanted::ETag(_), Some(entry)) => entry.value.len(),
            (Wanted::Json(_), Some(entry)) if entry.tag == Tag::JSON => entry.value.len(),
            _ => 0,
        }
    }
}
