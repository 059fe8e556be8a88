//! `POST /v1/batch`: many operations at once, each done and answered by itself.

use std::vec;

use hyper::{Request, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::body::Incoming;
use super::super::budget::Held;
use super::super::code::Code;
use super::super::lengthy;
use super::super::problem::Problem;
use super::super::reply::{Answer, json_held};
use super::super::service::Service;
use super::etag::{self, ETag};
use super::names::ttl;
use super::operation::{Operation, Verb, at_most};
use super::read_json;
use super::value::{Told, told_length};
use crate::{Cache, Entry};

pub(in super::super) const MOST: usize = 10_000;
/// Of values, in one answer.
const MOST_BYTES: usize = 64 << 20;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Batch")]
pub(in super::super) struct Asked {
    #[serde(deserialize_with = "at_most::<Operation, _, MOST>")]
    #[schemars(length(max = MOST))]
    operations: Vec<Operation>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Outcomes")]
pub(in super::super) struct Answered {
    results: Vec<Outcome>,
}

/// What is told of an operation but its value takes no more, in bytes, with what it takes until it is written.
pub(super) const TOLD: usize = 160;

/// For values in an answer.
struct Room {
    left: usize,
    /// How long those that are there are when they are written.
    told: usize,
    held: Held,
    /// Whether others are waited for, if there is none.
    waits: bool,
}

/// What has become of an operation.
enum Performed {
    Read(Entry),
    Done(Outcome),
}

/// A batch that is under way.
struct Batch<'s> {
    cache: &'s Cache,
    service: &'s Service,
    operations: vec::IntoIter<Operation>,
    /// What has been read, and waits for room.
    waiting: Option<Entry>,
    results: Vec<Outcome>,
    room: Room,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Outcome {
    Found {
        status: u16,
        #[serde(flatten)]
        value: Told,
        ttl: Option<f64>,
        etag: etag::Told,
    },
    Done {
        status: u16,
        /// Of what was stored.
        #[serde(skip_serializing_if = "Option::is_none")]
        etag: Option<etag::Told>,
    },
    Refused {
        status: u16,
        code: &'static str,
        detail: String,
    },
}

impl Outcome {
    pub(super) fn found(entry: &Entry) -> Self {
        Outcome::Found {
            status: 200,
            ttl: ttl(entry.time_left),
            etag: etag::Told(etag::of_entry(entry)),
            value: Told::of(entry),
        }
    }

    /// The same, if there is room for it in the answer.
    pub(super) fn found_within(entry: &Entry, room: &mut usize) -> Result<Self, Problem> {
        *room = room.checked_sub(entry.value.len()).ok_or_else(deferred)?;
        Ok(Self::found(entry))
    }

    pub(super) fn done(status: StatusCode) -> Self {
        Outcome::Done {
            status: status.as_u16(),
            etag: None,
        }
    }

    /// A value is stored, of this ETag; none if it has expired already.
    pub(super) fn stored(etag: Option<ETag>) -> Self {
        Outcome::Done {
            status: StatusCode::NO_CONTENT.as_u16(),
            etag: etag.map(etag::Told),
        }
    }
}

impl From<Problem> for Outcome {
    fn from(problem: Problem) -> Self {
        Outcome::Refused {
            status: problem.code.status().as_u16(),
            code: problem.code.name(),
            detail: problem.detail,
        }
    }
}

fn deferred() -> Problem {
    Problem::new(
        Code::Deferred,
        "the answer would be too long: ask for this one again",
    )
}

pub(in super::super) async fn answer(
    service: &Service,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let Asked { operations } = read_json(service, request).await?;
    let writes = operations.iter().any(|operation| operation.op != Verb::Get);
    let cache = if writes {
        service.backing.writable()?
    } else {
        service.backing.cache()?
    };
    service.traffic.many(operations.len());
    // As if each were about a KiB, and what it brings.
    let given = operations.iter().map(Operation::length);
    let size = given.sum::<usize>() + operations.len() * 1024;
    let told = operations.len() * TOLD;
    let mut held = service.allowance.budget.hold_nothing();
    if !writes && !service.allowance.hold(&mut held, told).await {
        return Err(Problem::busy());
    }
    let mut batch = Batch {
        cache,
        service,
        results: Vec::with_capacity(operations.len()),
        operations: operations.into_iter(),
        waiting: None,
        room: Room {
            left: MOST_BYTES,
            told,
            held,
            // What is changed is not to wait for what is read.
            waits: !writes,
        },
    };
    while let Some(needed) = lengthy::about(size, || batch.go_on()) {
        if !service.allowance.hold(&mut batch.room.held, needed).await {
            // Who has got some asks for the others again.
            if batch.room.left == MOST_BYTES {
                return Err(Problem::busy());
            }
            batch.room.waits = false;
        }
    }
    if writes {
        service.settle().await?;
    }
    let Batch { results, room, .. } = batch;
    let answered = Answered { results };
    Ok(lengthy::about(size + room.told, || {
        json_held(&answered, room.told, room.held)
    }))
}

impl Batch<'_> {
    /// Goes on to the end, or to a value for which there is no room: then it says how much has to be held.
    fn go_on(&mut self) -> Option<usize> {
        loop {
            let performed = match self.waiting.take() {
                Some(entry) => Ok(Performed::Read(entry)),
                None => {
                    let operation = self.operations.next()?;
                    self.perform(operation)
                }
            };
            let outcome = match performed {
                Ok(Performed::Read(entry)) => match self.room.tell(&entry) {
                    Ok(outcome) => outcome,
                    Err(needed) => {
                        self.waiting = Some(entry);
                        return Some(needed);
                    }
                },
                Ok(Performed::Done(outcome)) => outcome,
                Err(problem) => problem.into(),
            };
            self.results.push(outcome);
        }
    }

    fn perform(&self, mut operation: Operation) -> Result<Performed, Problem> {
        let (op, key) = (operation.op, operation.key()?);
        let status = match op {
            Verb::Get => {
                self.service.top.saw(&key);
                match self.cache.get(&key) {
                    Some(entry) => return Ok(Performed::Read(entry)),
                    None => StatusCode::NOT_FOUND,
                }
            }
            Verb::Set => {
                let (value, options) = operation.into_value()?;
                let etag = etag::of_stored(&value, &options);
                match self.cache.set(key, value, options)? {
                    true => return Ok(Performed::Done(Outcome::stored(etag))),
                    false => StatusCode::PRECONDITION_FAILED,
                }
            }
            Verb::Delete => match self.cache.remove(key) {
                true => StatusCode::NO_CONTENT,
                false => StatusCode::NOT_FOUND,
            },
        };
        Ok(Performed::Done(Outcome::done(status)))
    }
}

impl Room {
    /// A value as it is told, if there is room for it; else how much has to be held, if that is to be waited for.
    fn tell(&mut self, entry: &Entry) -> Result<Outcome, usize> {
        let length = entry.value.len();
        let Some(left) = self.left.checked_sub(length) else {
            return Ok(deferred().into());
        };
        lengthy::about(MOST_BYTES - left, || {
            let told = self.told + told_length(entry.tag, &entry.value);
            // Apart, and in the answer.
            let needed = MOST_BYTES - left + told;
            if !self.held.try_grow(needed) {
                return if self.waits {
                    Err(needed)
                } else {
                    Ok(deferred().into())
                };
            }
            (self.left, self.told) = (left, told);
            Ok(Outcome::found(entry))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use serde_json::{Value, json};
    use tokio::runtime::Builder;

    use super::super::super::backing::Backing;
    use super::super::super::options::Options;
    use super::*;
    use crate::SetOptions;

    /// Whether other requests of its thread go on elsewhere while values of these lengths are read. A runtime of one thread has no elsewhere, and panics.
    fn makes_way(lengths: &[usize]) -> bool {
        let cache = Cache::builder().build().expect("a cache");
        for (number, length) in lengths.iter().enumerate() {
            let value = vec![b'x'; *length];
            cache
                .set(number.to_string(), value, SetOptions::default())
                .expect("room");
        }
        let gets = (0..lengths.len()).map(|number| json!({"op": "get", "key": number.to_string()}));
        let options = Options::new(([127, 0, 0, 1], 0).into(), 1 << 20);
        let service = Service::new(&options, Backing::in_memory(cache.clone()), None, Box::new(|| {}));
        let operations: Vec<Operation> = serde_json::from_value(gets.collect::<Value>()).expect("operations");
        let mut batch = Batch {
            cache: &cache,
            service: &service,
            operations: operations.into_iter(),
            waiting: None,
            results: Vec::new(),
            room: Room {
                left: MOST_BYTES,
                told: 0,
                held: service.allowance.budget.hold_nothing(),
                waits: true,
            },
        };
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let done = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { batch.go_on() })));
        assert!(done.is_err() || batch.results.len() == lengths.len());
        done.is_err()
    }

    #[test]
    fn few_large_values_do_not_keep_the_thread_from_other_requests() {
        assert!(makes_way(&[30 << 20]), "one");
        assert!(makes_way(&[100_000; 4]), "some that are not so large");
        assert!(!makes_way(&[1000; 100]), "little is done at once");
    }
}
