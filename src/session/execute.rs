//! Commands → the cache → replies. One place for each command: what it does, and how it is answered.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use crate::cache::{Batch, EntryRef, Stats as CacheStats};
use crate::persist::Opening;
use crate::protocol::command::{Command, Keys, Reply, Value, WireLimits, Writes};
use crate::protocol::fixed::{self, Letter};
use crate::protocol::framed::{
    encode_items_header, encode_reply, encode_value, encode_value_item, finish_items,
};
use crate::protocol::media;
use crate::protocol::outbox::Outbox;
use crate::protocol::status::{Refusal, Status};
use crate::{Cache, CasOutcome, Cursor, Error, Tag};

use super::durable::{Asker, Durable};
use super::numbers;
use super::traffic::{TIMED_OF, Traffic};

#[derive(Debug)]
pub(super) struct Executor {
    cache: Cache,
    limits: WireLimits,
    started: Instant,
    commands: u64,
    refusals: u64,
    /// Commands until one is timed.
    until_timed: u32,
    /// The same, for others to read.
    traffic: Arc<Traffic>,
    /// Unix seconds of this round of `process`, once it was asked for.
    unix_seconds: Option<u64>,
    /// What keeps a directory adds.
    pub(super) durable: Option<Durable>,
    /// That directory, as long as it is not loaded.
    pub(super) opening: Option<Opening>,
}

/// What is still to be answered; `None` if that is done.
type Unanswered = Option<Status>;

const fn found(found: bool) -> Unanswered {
    Some(if found { Status::OK } else { Status::MISS })
}

impl Executor {
    pub(super) fn new(cache: Cache, limits: WireLimits) -> Self {
        Executor {
            cache,
            limits,
            started: Instant::now(),
            commands: 0,
            refusals: 0,
            until_timed: 1,
            traffic: Arc::default(),
            unix_seconds: None,
            durable: None,
            opening: None,
        }
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What this session counts.
    pub(super) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// The round is over: time goes on.
    pub(super) fn rest(&mut self) {
        self.unix_seconds = None;
        self.traffic.tell(self.commands, self.refusals);
    }

    /// Answers a request with an error.
    pub(super) fn refuse(&mut self, id: u32, refusal: &Refusal, out: &mut Outbox) {
        self.refusals += 1;
        encode_reply(id, &Reply::Error(refusal), out);
    }

    /// Answers a frame of version 1.
    pub(super) fn fixed(&mut self, frame: &[u8; fixed::FRAME], batch: &mut Batch<'_>, out: &mut Outbox) {
        let began = self.begin();
        let Some((letter, command)) = fixed::decode(frame) else {
            self.refusals += 1;
            out.push(fixed::ERROR);
            return;
        };
        self.answer_fixed(letter, &command, batch, out);
        if let Some(began) = began {
            self.traffic.took(&command, began.elapsed());
        }
    }

    #[inline]
    fn answer_fixed(
        &mut self,
        letter: Letter,
        command: &Command<'_>,
        batch: &mut Batch<'_>,
        out: &mut Outbox,
    ) {
        if let (Command::Snapshot, Some(durable)) = (command, &mut self.durable) {
            durable.request_snapshot(Asker::Fixed);
            return;
        }
        let now = *self
            .unix_seconds
            .get_or_insert_with(|| self.cache.clock().unix_millis() / 1000);
        match *command {
            Command::Get { key, .. } if self.check_key(key).is_ok() => {
                let hit = batch.read(key, |entry| {
                    // What is wrapped around it is no part of the value.
                    if entry.tag().is_wrapped() {
                        return None;
                    }
                    let value =
                        media::parted(entry.tag(), entry.value()).map_or(entry.value(), |(_, bytes)| bytes);
                    fixed::encode_hit(value, entry.time_left, now)
                });
                match hit {
                    Some(Some(reply)) => out.push(&reply),
                    Some(None) => {
                        self.refusals += 1;
                        out.push(fixed::ERROR);
                    }
                    None => out.push(letter.short_reply()),
                }
            }
            _ => match self.execute_if_kept(0, command, batch, out) {
                Ok(_) => {
                    out.push(letter.short_reply());
                    let reply = letter.short_reply().len();
                    self.acknowledge(command, out.len() - reply, Asker::Fixed, out);
                }
                Err(_) => {
                    self.refusals += 1;
                    out.push(fixed::ERROR);
                }
            },
        }
    }

    /// Now, of one command in so many.
    #[inline]
    fn begin(&mut self) -> Option<Instant> {
        self.commands += 1;
        self.until_timed -= 1;
        if self.until_timed > 0 {
            return None;
        }
        self.until_timed = TIMED_OF;
        Some(Instant::now())
    }

    /// Answers a request of version 2.
    pub(super) fn framed(&mut self, id: u32, command: &Command<'_>, batch: &mut Batch<'_>, out: &mut Outbox) {
        let began = self.begin();
        self.answer(id, command, batch, out);
        if let Some(began) = began {
            self.traffic.took(command, began.elapsed());
        }
    }

    #[inline]
    fn answer(&mut self, id: u32, command: &Command<'_>, batch: &mut Batch<'_>, out: &mut Outbox) {
        if let (Command::Snapshot, Some(durable)) = (command, &mut self.durable) {
            durable.request_snapshot(Asker::Framed(id));
            return;
        }
        let from = out.len();
        match self.execute_if_kept(id, command, batch, out) {
            Ok(Some(status)) => encode_reply(id, &Reply::Status(status), out),
            Ok(None) => {}
            Err(refusal) => return self.refuse(id, &refusal, out),
        }
        self.acknowledge(command, from, Asker::Framed(id), out);
    }

    /// Executes it, unless it is a write that could not be kept.
    #[inline]
    fn execute_if_kept(
        &self,
        id: u32,
        command: &Command<'_>,
        batch: &mut Batch<'_>,
        out: &mut Outbox,
    ) -> Result<Unanswered, Refusal> {
        if let Some(durable) = &self.durable
            && command.is_write()
            && let Some(refusal) = durable.refusal()
        {
            return Err(refusal);
        }
        self.execute(id, command, batch, out)
    }

    /// What `out` holds from there on says that a command is done.
    fn acknowledge(&mut self, command: &Command<'_>, from: usize, asker: Asker, out: &Outbox) {
        if let Some(durable) = &mut self.durable
            && command.is_write()
        {
            durable.acknowledged(from..out.len(), asker);
        }
    }

    /// Answers the snapshots that are done.
    pub(super) fn answer_snapshots(&mut self, out: &mut Outbox) {
        if let Some(durable) = &mut self.durable {
            self.refusals += durable.answer_snapshots(out);
        }
    }
}

impl Executor {
    #[inline(always)]
    fn execute(
        &self,
        id: u32,
        command: &Command<'_>,
        batch: &mut Batch<'_>,
        out: &mut Outbox,
    ) -> Result<Unanswered, Refusal> {
        Ok(match *command {
            Command::Get { key, with_ttl } => {
                self.check_key(key)?;
                missing(batch.read(key, |entry| show_value(id, &entry, with_ttl, out)))
            }
            Command::Set { key, value, options } => match batch.set(key, value, options)? {
                true => Some(Status::OK),
                false => Some(Status::NOT_STORED),
            },
            Command::Remove { key } => {
                self.check_key(key)?;
                found(batch.remove(key))
            }
            Command::Take { key, with_ttl } => {
                self.check_key(key)?;
                missing(batch.take(key, |entry| show_value(id, &entry, with_ttl, out)))
            }
            Command::GetMany(keys) => {
                self.get_many(id, keys, batch, out)?;
                None
            }
            Command::SetMany(writes) => {
                let statuses = set_many(batch, writes);
                encode_reply(id, &Reply::Statuses(&statuses), out);
                None
            }
            Command::RemoveMany(keys) => {
                let statuses = self.remove_many(batch, keys);
                encode_reply(id, &Reply::Statuses(&statuses), out);
                None
            }
            _ => {
                // They take locks by themselves.
                batch.release();
                return self.execute_alone(id, command, out);
            }
        })
    }

    /// The commands that are not a part of a batch.
    fn execute_alone(&self, id: u32, command: &Command<'_>, out: &mut Outbox) -> Result<Unanswered, Refusal> {
        let cache = &self.cache;
        Ok(match *command {
            Command::Contains { key } => {
                self.check_key(key)?;
                found(cache.contains(key))
            }
            Command::Touch { key, expiry } => {
                self.check_key(key)?;
                found(cache.touch(key, expiry))
            }
            Command::TimeLeft { key } => {
                self.check_key(key)?;
                match cache.time_left(key) {
                    Some(time_left) => {
                        encode_reply(id, &Reply::TimeLeft(time_left), out);
                        None
                    }
                    None => Some(Status::MISS),
                }
            }
            Command::Increment {
                key,
                delta,
                when_created,
            } => {
                let sum = cache.increment(key, delta, when_created)?;
                encode_reply(id, &Reply::Number(sum), out);
                None
            }
            Command::CompareAndSet {
                key,
                expected,
                value,
                options,
            } => Some(match cache.compare_and_set(key, expected, value, options)? {
                CasOutcome::Stored => Status::OK,
                CasOutcome::Mismatch => Status::NOT_STORED,
                CasOutcome::Missing => Status::MISS,
            }),
            Command::Clear { prefix } => {
                self.check_key(prefix)?;
                encode_reply(id, &Reply::Count(cache.clear_prefix(prefix)), out);
                None
            }
            Command::Scan {
                cursor,
                limit,
                prefix,
                with_values,
            } => {
                self.check_key(prefix)?;
                let page = cache.scan(Cursor::from_u64(cursor), prefix, limit as usize, with_values);
                let next = page.next.map_or(0, Cursor::to_u64);
                encode_reply(
                    id,
                    &Reply::Page {
                        next,
                        entries: &page.entries,
                    },
                    out,
                );
                None
            }
            Command::Ping { payload, tag } => {
                encode_reply(
                    id,
                    &Reply::Value {
                        value: Value::Borrowed(payload),
                        tag,
                        time_left: None,
                    },
                    out,
                );
                None
            }
            Command::Stats => {
                let json = self.stats();
                let value = Value::Borrowed(json.as_bytes());
                encode_reply(
                    id,
                    &Reply::Value {
                        value,
                        tag: Tag::JSON,
                        time_left: None,
                    },
                    out,
                );
                None
            }
            Command::Snapshot => {
                let text = "this daemon keeps nothing on disk, so there is nowhere to write a snapshot";
                return Err(Refusal::new(Status::NO_DIRECTORY, text));
            }
            // The session answers it: it is about the connection, not the cache.
            Command::Hello { .. } => Some(Status::OK),
            Command::Get { .. }
            | Command::Set { .. }
            | Command::Remove { .. }
            | Command::Take { .. }
            | Command::GetMany(_)
            | Command::SetMany(_)
            | Command::RemoveMany(_) => unreachable!("part of a batch"),
        })
    }

    fn check_key(&self, key: &[u8]) -> Result<(), Refusal> {
        let max = self.cache.max_key_bytes();
        if key.len() > max {
            Err(Error::KeyTooLong { len: key.len(), max }.into())
        } else {
            Ok(())
        }
    }

    fn get_many(
        &self,
        id: u32,
        keys: Keys<'_>,
        batch: &mut Batch<'_>,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let room = room_for_values(self.limits.frame, keys.count())?;
        let mut items = Outbox::new();
        let mut used = 0;
        for key in keys.iter() {
            let none = Value::Borrowed(&[]);
            if self.check_key(key).is_err() {
                encode_value_item(Status::KEY_TOO_LONG, Tag::BYTES, &none, &mut items);
                continue;
            }
            let found = batch.read(key, |entry| {
                let len = entry.value().len();
                if used + len > room {
                    encode_value_item(Status::DEFERRED, Tag::BYTES, &none, &mut items);
                } else {
                    used += len;
                    encode_value_item(Status::OK, entry.tag(), &value_of(&entry), &mut items);
                }
            });
            if found.is_none() {
                encode_value_item(Status::MISS, Tag::BYTES, &Value::Borrowed(&[]), &mut items);
            }
        }
        encode_items_header(id, keys.count(), items.len(), out);
        finish_items(items, out);
        Ok(())
    }

    fn remove_many(&self, batch: &mut Batch<'_>, keys: Keys<'_>) -> Vec<Status> {
        keys.iter()
            .map(|key| match (self.check_key(key), batch.remove(key)) {
                (Err(refusal), _) => refusal.status,
                (_, true) => Status::OK,
                (_, false) => Status::MISS,
            })
            .collect()
    }

    fn stats(&self) -> String {
        let (stats, on_disk) = match (&self.opening, &self.durable) {
            // Whoever fills the cache may hold its lock for long, and nothing of it is served yet.
            (Some(opening), _) => (CacheStats::default(), Some(opening.stats())),
            (None, Some(durable)) => (self.cache.stats(), Some(durable.store().stats())),
            (None, None) => (self.cache.stats(), None),
        };
        let of_session = [
            ("commands", self.commands),
            ("command_errors", self.refusals),
            (
                "uptime_ms",
                u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            ),
            ("pid", u64::from(std::process::id())),
        ];
        let mut json = String::from("{");
        let numbers = numbers::of_cache(&self.cache, &stats)
            .into_iter()
            .chain(of_session);
        let numbers = numbers.chain(numbers::of_directory(on_disk));
        for (at, (name, number)) in numbers.enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(json, "{}\"{name}\":{number}", if at == 0 { "" } else { "," });
        }
        json.push('}');
        json
    }
}

fn missing(shown: Option<()>) -> Unanswered {
    shown.is_none().then_some(Status::MISS)
}

#[inline]
fn show_value(id: u32, entry: &EntryRef<'_>, with_ttl: bool, out: &mut Outbox) {
    let time_left = with_ttl.then_some(entry.time_left);
    encode_value(id, &value_of(entry), entry.tag(), time_left, out);
}

#[inline]
fn value_of<'a>(entry: &EntryRef<'a>) -> Value<'a> {
    entry
        .shared_value()
        .map_or(Value::Borrowed(entry.value()), Value::Shared)
}

/// What is left for values of a reply to a GET_MANY, beside the length, the count, and a header for each item.
fn room_for_values(frame_limit: u32, count: u32) -> Result<usize, Refusal> {
    const AROUND_ITEMS: u32 = 12 + 4;
    const ITEM: u32 = 8;
    let room = count
        .checked_mul(ITEM)
        .and_then(|headers| (frame_limit - AROUND_ITEMS).checked_sub(headers))
        .ok_or_else(|| {
            let most = (frame_limit - AROUND_ITEMS) / ITEM;
            let text =
                format!("a GET_MANY of {count} keys cannot be answered in one frame: ask for {most} at most");
            Refusal::new(Status::BAD_FRAME, text)
        })?;
    Ok(room as usize)
}

fn set_many(batch: &mut Batch<'_>, writes: Writes<'_>) -> Vec<Status> {
    writes
        .iter()
        .map(|(key, value, options)| match batch.set(key, value, options) {
            Ok(true) => Status::OK,
            Ok(false) => Status::NOT_STORED,
            Err(error) => Refusal::from(error).status,
        })
        .collect()
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::KeyTooLong { .. } => Status::KEY_TOO_LONG,
            Error::ValueTooLong { .. } => Status::VALUE_TOO_LONG,
            Error::TooLarge { .. } => Status::TOO_LARGE,
            Error::NotAnInteger { .. } => Status::NOT_AN_INTEGER,
            Error::Overflow { .. } => Status::OVERFLOW,
            // A session commits by itself, so that these are answered before they can come to be.
            Error::DiskFailed { .. } | Error::Closed => Status::DISK_FAILED,
            Error::NotDurable { .. } => Status::NOT_DURABLE,
        };
        Refusal::new(status, error.to_string())
    }
}
