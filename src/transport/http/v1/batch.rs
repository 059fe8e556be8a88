//! `POST /v1/batch`: many operations at once, each done and answered by itself.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use hyper::{Request, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::body::{self, Body, Incoming};
use super::super::budget::Held;
use super::super::code::Code;
use super::super::lengthy;
use super::super::problem::Problem;
use super::super::reply::{Answer, json_held};
use super::super::service::Service;
use super::super::top::Top;
use super::etag::{self, ETag};
use super::names::ttl;
use super::operation::{Operation, Verb, at_most};
use super::parsed;
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
    /// What the operations take until the last is done.
    asked: usize,
    held: Held,
    /// Whether others are waited for, if there is none.
    waits: bool,
}

/// What has become of an operation.
enum Performed {
    Read(Entry),
    Done(Outcome),
}

/// Why it does not go on.
enum Pause {
    /// So much has to be held.
    Room(usize),
    /// A value is long, and others wait for this thread.
    Long,
}

enum Begun<B> {
    Batch(B),
    /// So much has to be held first.
    Nothing(Held, usize),
}

/// It is answered, or goes on later.
type Gone = ControlFlow<Answer, (Box<Batch>, Pause)>;

/// A batch that is under way.
struct Batch {
    cache: Cache,
    top: Arc<Top>,
    /// Of its operations.
    count: usize,
    /// Whether it changes something.
    writes: bool,
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
    let Body { bytes, mut held } = body::read(request.into_body(), &service.allowance).await?;
    // As if each operation were about a KiB, and what it brings: there are no more than this.
    let operations = bytes.iter().filter(|&&byte| byte == b'{').count();
    let size = bytes.len() + operations * 1024;
    let mut is_apart = lengthy::is_long(size);
    let bytes = Bytes::from(bytes);
    // Operations, and what has become of them, take many times what they are in JSON. They are read, done and answered in one turn if they can be, or they would be there for all who wait for one.
    let (count, writes, mut gone) = loop {
        let (backing, top, body) = (&service.backing, Arc::clone(&service.top), bytes.clone());
        let caches = (backing.cache().cloned(), backing.writable().cloned());
        let begun = service.turns.about(size, move || {
            Ok::<_, Problem>(match Batch::begin(caches, top, &body, held)? {
                Begun::Batch(batch) => Begun::Batch((batch.count, batch.writes, batch.gone_on(is_apart))),
                Begun::Nothing(had, needed) => Begun::Nothing(had, needed),
            })
        });
        match begun.await? {
            Begun::Batch(begun) => break begun,
            Begun::Nothing(had, needed) => {
                held = had;
                if !service.allowance.hold(&mut held, needed).await {
                    return Err(Problem::busy());
                }
            }
        }
    };
    drop(bytes);
    service.traffic.many(count);
    let answer = loop {
        let (mut batch, pause) = match gone {
            ControlFlow::Break(answer) => break answer,
            ControlFlow::Continue(paused) => paused,
        };
        match pause {
            Pause::Long => is_apart = true,
            Pause::Room(needed) if service.allowance.hold(&mut batch.room.held, needed).await => {}
            // Who has got some asks for the others again.
            Pause::Room(_) if batch.room.left == MOST_BYTES => return Err(Problem::busy()),
            Pause::Room(_) => batch.room.waits = false,
        }
        gone = match is_apart {
            true => service.turns.always(move || batch.gone_on(true)).await,
            false => batch.gone_on(false),
        };
    };
    if writes {
        service.settle().await?;
    }
    Ok(answer)
}

impl Batch {
    /// What is to be done, if there is room to read what it reads.
    fn begin(
        (readable, writable): (Result<Cache, Problem>, Result<Cache, Problem>),
        top: Arc<Top>,
        body: &[u8],
        mut held: Held,
    ) -> Result<Begun<Box<Batch>>, Problem> {
        let Asked { operations } = parsed(body)?;
        let writes = operations.iter().any(|operation| operation.op != Verb::Get);
        let cache = if writes { writable? } else { readable? };
        let told = operations.len() * TOLD;
        let asked = body.len() + operations.capacity() * size_of::<Operation>();
        // What is changed does not wait for the room that operations take, which is for one turn: those who wait all hold their bodies.
        let needed = if writes {
            body.len().max(told)
        } else {
            asked + told
        };
        if !held.try_grow(needed) {
            return Ok(Begun::Nothing(held, needed));
        }
        held.settle_at(held.bytes().max(asked + told));
        Ok(Begun::Batch(Box::new(Batch {
            cache,
            top,
            count: operations.len(),
            writes,
            results: Vec::with_capacity(operations.len()),
            operations: operations.into_iter(),
            waiting: None,
            room: Room {
                left: MOST_BYTES,
                told,
                asked,
                held,
                waits: !writes,
            },
        })))
    }

    fn gone_on(mut self: Box<Self>, is_apart: bool) -> Gone {
        match self.go_on(is_apart) {
            Some(pause) => ControlFlow::Continue((self, pause)),
            None => ControlFlow::Break(self.answered()),
        }
    }

    /// All that is left of it: its operations are not there any more.
    fn answered(self: Box<Self>) -> Answer {
        let Batch {
            operations,
            results,
            room,
            ..
        } = *self;
        drop(operations);
        json_held(&Answered { results }, room.told, room.held)
    }

    /// Goes on to the end, or to a value that has to be waited for. `is_apart` if nobody waits for this thread.
    fn go_on(&mut self, is_apart: bool) -> Option<Pause> {
        loop {
            let performed = match self.waiting.take() {
                Some(entry) => Ok(Performed::Read(entry)),
                None => {
                    let operation = self.operations.next()?;
                    self.perform(operation)
                }
            };
            let outcome = match performed {
                Ok(Performed::Read(entry)) => match self.room.tell(&entry, is_apart) {
                    Ok(outcome) => outcome,
                    Err(pause) => {
                        self.waiting = Some(entry);
                        return Some(pause);
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
                self.top.saw(&key);
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
    /// A value as it is told, if there is room for it; else what has to be waited for.
    fn tell(&mut self, entry: &Entry, is_apart: bool) -> Result<Outcome, Pause> {
        let length = entry.value.len();
        let Some(left) = self.left.checked_sub(length) else {
            return Ok(deferred().into());
        };
        let values = MOST_BYTES - left;
        if lengthy::is_long(values) && !is_apart {
            return Err(Pause::Long);
        }
        let told = self.told + told_length(entry.tag, &entry.value);
        // So long is the answer, which is written as soon as all is done.
        if lengthy::is_long(told) && !is_apart {
            return Err(Pause::Long);
        }
        // Apart, and in the answer.
        let needed = self.asked + values + told;
        if !self.held.try_grow(needed) {
            return match self.waits {
                true => Err(Pause::Room(needed)),
                false => Ok(deferred().into()),
            };
        }
        (self.left, self.told) = (left, told);
        Ok(Outcome::found(entry))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::budget::Budget;
    use super::*;
    use crate::SetOptions;

    /// Whether other requests of its thread go on while values of these lengths are read.
    fn makes_way(lengths: &[usize]) -> bool {
        let cache = Cache::builder().build().expect("a cache");
        for (number, length) in lengths.iter().enumerate() {
            let value = vec![b'x'; *length];
            cache
                .set(number.to_string(), value, SetOptions::default())
                .expect("room");
        }
        let gets = (0..lengths.len()).map(|number| json!({"op": "get", "key": number.to_string()}));
        let body = json!({"operations": gets.collect::<Value>()}).to_string();
        let (caches, held) = (
            (Ok(cache.clone()), Ok(cache)),
            Budget::new(1 << 30).hold_nothing(),
        );
        let begun = Batch::begin(caches, Arc::new(Top::new()), body.as_bytes(), held);
        let Ok(Begun::Batch(mut batch)) = begun else {
            panic!("there is room");
        };
        let makes_way = matches!(batch.go_on(false), Some(Pause::Long));
        assert!(batch.go_on(true).is_none() && batch.results.len() == lengths.len());
        makes_way
    }

    #[test]
    fn few_large_values_do_not_keep_the_thread_from_other_requests() {
        assert!(makes_way(&[30 << 20]), "one");
        assert!(makes_way(&[100_000; 4]), "some that are not so large");
        assert!(!makes_way(&[1000; 100]), "little is done at once");
    }
}
