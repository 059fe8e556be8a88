//! `POST /v1/batch`: many operations at once, each done and answered by itself.

use hyper::{Request, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::body::Incoming;
use super::super::budget::Held;
use super::super::code::Code;
use super::super::lengthy;
use super::super::problem::Problem;
use super::super::reply::{Answer, json};
use super::super::service::Service;
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

/// For values in an answer.
struct Room {
    left: usize,
    /// Memory for those that are there.
    needed: usize,
    held: Held,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Outcome {
    Found {
        status: u16,
        #[serde(flatten)]
        value: Told,
        ttl: Option<f64>,
    },
    Done {
        status: u16,
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
    let mut room = Room {
        left: MOST_BYTES,
        needed: 0,
        held: service.allowance.budget.hold_nothing(),
    };
    // As if each were about a KiB, and what it brings.
    let given = operations.iter().map(Operation::length);
    let size = given.sum::<usize>() + operations.len() * 1024;
    let perform_all = || {
        operations
            .into_iter()
            .map(|operation| perform(cache, service, operation, &mut room))
            .collect()
    };
    let results = lengthy::about(size, perform_all);
    if writes {
        service.settle().await?;
    }
    let read = MOST_BYTES - room.left;
    Ok(lengthy::about(size + read, || json(&Answered { results })))
}

fn perform(cache: &Cache, service: &Service, operation: Operation, room: &mut Room) -> Outcome {
    try_to_perform(cache, service, operation, room).unwrap_or_else(Outcome::from)
}

fn try_to_perform(
    cache: &Cache,
    service: &Service,
    mut operation: Operation,
    room: &mut Room,
) -> Result<Outcome, Problem> {
    let (op, key) = (operation.op, operation.key()?);
    Ok(match op {
        Verb::Get => {
            service.top.saw(&key);
            let Some(entry) = cache.get(&key) else {
                return Ok(Outcome::done(StatusCode::NOT_FOUND));
            };
            let read = MOST_BYTES - room.left + entry.value.len();
            return lengthy::about(read, || {
                // Apart, and in the answer.
                let needed = room.needed + entry.value.len() + told_length(&entry);
                if !room.held.try_grow(needed) {
                    return Err(deferred());
                }
                room.needed = needed;
                Outcome::found_within(&entry, &mut room.left)
            });
        }
        Verb::Set => {
            let (value, options) = operation.into_value()?;
            match cache.set(key, value, options)? {
                true => Outcome::done(StatusCode::NO_CONTENT),
                false => Outcome::done(StatusCode::PRECONDITION_FAILED),
            }
        }
        Verb::Delete => match cache.remove(key) {
            true => Outcome::done(StatusCode::NO_CONTENT),
            false => Outcome::done(StatusCode::NOT_FOUND),
        },
    })
}
