//! A seeded sequence of requests: every kind of write, with what each is to be answered, and what it makes of the model. Sends nothing.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use rustcache::protocol::command::Command as Request;
use rustcache::protocol::framed::{HEADER, op};
use rustcache::protocol::status::Status;
use rustcache::{Condition, Expiry, SetOptions, Tag};

use crate::model::{Deadline, Held, Model};
use crate::support::{Dice, frame};

/// A request, and what it is answered with if all goes well.
pub(crate) struct Step {
    pub(crate) frame: Vec<u8>,
    pub(crate) answer: (Status, Vec<u8>),
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Write,
    Read,
    /// It may be answered whenever it is done.
    Snapshot,
}

/// Hours: these do not expire while a test runs.
const LONG: Range<u64> = 3_600_000..36_000_000;
/// These do, before or after a restart.
const SHORT: Range<u64> = 1..400;
const TAGS: [Tag; 3] = [Tag::BYTES, Tag::TEXT, Tag(200)];

struct Writer<'m> {
    model: &'m mut Model,
    dice: Dice,
    request: usize,
}

/// Writes `count` requests, numbered from 1. A snapshot is asked for at those numbers, and now and then.
pub(crate) fn write(model: &mut Model, seed: u64, count: usize, snapshots: &[usize]) -> Vec<Step> {
    let mut writer = Writer {
        model,
        dice: Dice(seed | 1),
        request: 0,
    };
    for _ in 0..8 {
        // The first rolls of similar seeds are similar.
        writer.dice.roll();
    }
    let steps = (1..=count).map(|request| {
        writer.request = request;
        if snapshots.contains(&request) || writer.dice.below(200) == 0 {
            let kind = Kind::Snapshot;
            let step = writer.step(&Request::Snapshot, (Status::OK, Vec::new()));
            return Step { kind, ..step };
        }
        writer.random()
    });
    steps.collect()
}

impl Writer<'_> {
    fn step(&self, request: &Request<'_>, answer: (Status, Vec<u8>)) -> Step {
        let id = u32::try_from(self.request).expect("few requests");
        Step {
            frame: frame(id, request),
            answer,
            kind: Kind::Write,
        }
    }

    fn random(&mut self) -> Step {
        match self.dice.below(100) {
            0..40 => self.set(),
            40..46 => self.short(),
            46..58 => self.remove(),
            58..68 => self.increment(),
            68..76 => self.compare_and_set(),
            76..84 => self.touch(),
            84..85 => self.clear(),
            85..91 => self.set_many(),
            91..95 => self.remove_many(),
            _ => self.get(),
        }
    }

    fn key(&mut self) -> Vec<u8> {
        let group = ["a", "b", "c"][self.dice.below(3)];
        format!("{group}:{}", self.dice.below(100)).into_bytes()
    }

    /// Its beginning says which request wrote it.
    fn value(&mut self) -> Rc<[u8]> {
        let len = match self.dice.below(100) {
            0..10 => 0,
            10..70 => self.dice.below(100),
            70..95 => self.dice.below(5_000),
            _ => self.dice.below(100_001),
        };
        let mut value = format!("request {} ", self.request).into_bytes();
        if len > value.len() {
            let rest = len - value.len();
            value.extend(self.dice.bytes(rest));
        } else {
            value.truncate(len);
        }
        value.into()
    }

    fn expiry(&mut self, within: Range<u64>) -> (Expiry, Deadline) {
        let width = usize::try_from(within.end - within.start).expect("it fits");
        let time = Duration::from_millis(within.start + self.dice.below(width) as u64);
        let deadline = Deadline::After {
            request: self.request,
            time,
        };
        (Expiry::After(time), deadline)
    }

    fn options(&mut self, key: &[u8]) -> (SetOptions, Option<Deadline>) {
        let (expiry, deadline) = match self.dice.below(10) {
            0..3 => {
                let (expiry, deadline) = self.expiry(LONG);
                (expiry, Some(deadline))
            }
            3 => (Expiry::Keep, self.model.now(key).and_then(|held| held.deadline)),
            _ => (Expiry::Never, None),
        };
        let tag = TAGS[self.dice.below(TAGS.len())];
        let options = SetOptions::default().with_tag(tag).with_expiry(expiry);
        (options, deadline)
    }

    fn hold(&mut self, key: &[u8], value: Rc<[u8]>, tag: Tag, deadline: Option<Deadline>) {
        let held = Held { value, tag, deadline };
        self.model.change(self.request, key, Some(held));
    }

    fn set(&mut self) -> Step {
        let (key, value) = (self.key(), self.value());
        let (options, deadline) = self.options(&key);
        let is_there = self.model.now(&key).is_some();
        let (condition, is_met) = match self.dice.below(10) {
            0 => (Condition::IfAbsent, !is_there),
            1 => (Condition::IfPresent, is_there),
            _ => (Condition::Always, true),
        };
        let options = options.with_condition(condition);
        let status = if is_met { Status::OK } else { Status::NOT_STORED };
        let request = Request::Set {
            key: &key,
            value: &value,
            options,
        };
        let step = self.step(&request, (status, Vec::new()));
        if is_met {
            self.hold(&key, value, options.tag, deadline);
        }
        step
    }

    /// A value that expires soon. Nothing but this is done to such keys: whether they are there is a matter of time.
    fn short(&mut self) -> Step {
        let key = format!("short:{}", self.dice.below(30)).into_bytes();
        let value = self.value();
        let (expiry, deadline) = self.expiry(SHORT);
        let options = SetOptions::default().with_expiry(expiry);
        let request = Request::Set {
            key: &key,
            value: &value,
            options,
        };
        let step = self.step(&request, (Status::OK, Vec::new()));
        self.hold(&key, value, options.tag, Some(deadline));
        step
    }

    fn remove(&mut self) -> Step {
        let key = self.key();
        let status = self.status_of(&key);
        let former = self.model.now(&key).map(|held| held.value.to_vec());
        if former.is_some() {
            self.model.change(self.request, &key, None);
        }
        let with_ttl = false;
        match self.dice.below(3) {
            0 => self.step(
                &Request::Take { key: &key, with_ttl },
                (status, former.unwrap_or_default()),
            ),
            _ => self.step(&Request::Remove { key: &key }, (status, Vec::new())),
        }
    }

    fn status_of(&self, key: &[u8]) -> Status {
        match self.model.now(key) {
            Some(_) => Status::OK,
            None => Status::MISS,
        }
    }

    fn increment(&mut self) -> Step {
        let key = format!("n:{}", self.dice.below(20)).into_bytes();
        let delta = i64::try_from(self.dice.below(2_000)).expect("small") - 1_000;
        let former = self.model.now(&key).cloned();
        let (when_created, deadline) = self.expiry(LONG);
        let (number, deadline) = match &former {
            None => (0, Some(deadline)),
            Some(held) => {
                let text = std::str::from_utf8(&held.value).expect("a number");
                (text.parse().expect("a number"), held.deadline)
            }
        };
        let sum: i64 = number + delta;
        let request = Request::Increment {
            key: &key,
            delta,
            when_created,
        };
        let step = self.step(&request, (Status::OK, sum.to_le_bytes().to_vec()));
        self.hold(&key, sum.to_string().into_bytes().into(), Tag::TEXT, deadline);
        step
    }

    fn compare_and_set(&mut self) -> Step {
        let (key, value) = (self.key(), self.value());
        let former = self.model.now(&key).cloned();
        let (options, deadline) = self.options(&key);
        let (expected, status) = match &former {
            None => (Rc::from(&b"anything"[..]), Status::MISS),
            Some(_) if self.dice.below(4) == 0 => (Rc::from(&b"another value"[..]), Status::NOT_STORED),
            Some(held) => (Rc::clone(&held.value), Status::OK),
        };
        let request = Request::CompareAndSet {
            key: &key,
            expected: &expected,
            value: &value,
            options,
        };
        let step = self.step(&request, (status, Vec::new()));
        if status == Status::OK {
            self.hold(&key, value, options.tag, deadline);
        }
        step
    }

    fn touch(&mut self) -> Step {
        let key = self.key();
        let (expiry, deadline) = match self.dice.below(2) {
            0 => (Expiry::Never, None),
            _ => {
                let (expiry, deadline) = self.expiry(LONG);
                (expiry, Some(deadline))
            }
        };
        let request = Request::Touch { key: &key, expiry };
        let step = self.step(&request, (self.status_of(&key), Vec::new()));
        if let Some(held) = self.model.now(&key).cloned() {
            self.hold(&key, held.value, held.tag, deadline);
        }
        step
    }

    fn clear(&mut self) -> Step {
        let prefix = match self.dice.below(8) {
            0 => format!("{}:", ["a", "b", "c"][self.dice.below(3)]),
            _ => format!("{}:{}", ["a", "b", "c"][self.dice.below(3)], self.dice.below(10)),
        };
        let prefix = prefix.into_bytes();
        let removed = self.model.clear(self.request, &prefix);
        let answer = (Status::OK, removed.to_le_bytes().to_vec());
        self.step(&Request::Clear { prefix: &prefix }, answer)
    }

    fn get(&mut self) -> Step {
        let key = self.key();
        let answer = match self.model.now(&key) {
            None => (Status::MISS, Vec::new()),
            Some(held) => (Status::OK, held.value.to_vec()),
        };
        let request = Request::Get {
            key: &key,
            with_ttl: false,
        };
        let kind = Kind::Read;
        let step = self.step(&request, answer);
        Step { kind, ..step }
    }

    fn set_many(&mut self) -> Step {
        let count = 1 + self.dice.below(20);
        let mut items = Vec::new();
        for _ in 0..count {
            let (key, value) = (self.key(), self.value());
            let tag = TAGS[self.dice.below(TAGS.len())];
            let (flags, millis, deadline) = match self.dice.below(2) {
                0 => (NEVER, 0, None),
                _ => {
                    let (_, deadline) = self.expiry(LONG);
                    let Deadline::After { time, .. } = deadline else {
                        unreachable!("a new deadline");
                    };
                    let millis = u64::try_from(time.as_millis()).expect("it fits");
                    (TTL, millis, Some(deadline))
                }
            };
            items.extend([flags, tag.0, 0, 0]);
            items.extend(length(key.len()));
            items.extend(length(value.len()));
            items.extend(millis.to_le_bytes());
            items.extend(&key);
            items.extend(&*value);
            self.hold(&key, value, tag, deadline);
        }
        self.batch(op::SET_MANY, &items, &vec![Status::OK; count])
    }

    fn remove_many(&mut self) -> Step {
        let count = 1 + self.dice.below(10);
        let mut items = Vec::new();
        let mut statuses = Vec::new();
        for _ in 0..count {
            let key = self.key();
            items.extend(length(key.len()));
            items.extend(&key);
            let status = self.status_of(&key);
            if status == Status::OK {
                self.model.change(self.request, &key, None);
            }
            statuses.push(status);
        }
        self.batch(op::REMOVE_MANY, &items, &statuses)
    }

    fn batch(&self, op: u8, items: &[u8], statuses: &[Status]) -> Step {
        let mut frame = length(HEADER + items.len()).to_vec();
        frame.extend(length(self.request));
        frame.extend([op, 0, 0, 0]);
        frame.extend([0; 4]);
        frame.extend(length(statuses.len()));
        frame.extend(items);
        let mut body = length(statuses.len()).to_vec();
        body.extend(statuses.iter().map(|status| status.0));
        Step {
            frame,
            answer: (Status::OK, body),
            kind: Kind::Write,
        }
    }
}

/// Expiry kinds of a SET_MANY's items.
const NEVER: u8 = 1 << 2;
const TTL: u8 = 2 << 2;

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("it fits").to_le_bytes()
}
