//! One connection: bytes in → commands on the cache → bytes out. No I/O, so that every transport and every test drives the same code.
//!
//! A transport reads into [`Session::space`], says how much with [`Session::received`], writes what lies in [`Session::outbox`], and calls
//! [`Session::process`] whenever there is new input or new room in the outbox.

mod durable;
mod execute;
mod input;
mod loading;
pub(crate) mod numbers;
pub(crate) mod traffic;

use std::sync::Arc;

use crate::Cache;
use crate::cache::Batch;
use crate::persist::{Failure, OpenError, Opening, Store};
use crate::protocol::command::{Command, Reply, WireLimits};
use crate::protocol::fixed::{self, Letter};
use crate::protocol::framed::{self, Next, PREFACE, VERSIONS, encode_reply};
use crate::protocol::outbox::Outbox;
use crate::protocol::status::{Refusal, Status};

use durable::Durable;
use execute::Executor;
use input::Input;
use loading::{Held, most_held};
pub use traffic::Traffic;

/// Bytes of replies, and of input, that make a round.
const REPLIES_PER_ROUND: usize = 16 * 1024;
const INPUT_PER_ROUND: usize = 32 * 1024;
/// The same for a round that ends with a sync.
const SYNCED_ROUND: usize = 4 << 20;

/// So many requests are looked ahead at.
const EXPECTED: usize = 32;

/// A connection to a cache.
#[derive(Debug)]
pub struct Session {
    executor: Executor,
    limits: WireLimits,
    max_pending_replies: usize,
    input: Input,
    out: Outbox,
    mode: Mode,
    held: Held,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    /// The first byte has not come yet.
    Undecided,
    Fixed,
    Framed(Stage),
    /// Nothing is read any more.
    Broken(Broken),
}

/// How far the handshake of version 2 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Preface,
    Hello,
    Greeted,
}

/// Why the daemon ended a connection that the client had not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// The first byte belongs to no protocol.
    UnknownProtocol(u8),
    /// What came cannot be made sense of, and what follows it neither.
    Refused(Refusal),
    /// Nothing can be written to the disk any more, and the daemon is to end then.
    DiskFailed(Failure),
    /// The directory could not be opened. What was held back was not done.
    NotOpened(OpenError),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Broken::UnknownProtocol(byte) => write!(
                f,
                "the input begins with the byte {byte:#04x}, which is none of I, G, R, H (frames of 128 bytes) and 0xf5 \
                 (length-prefixed frames): use `rustcache encode` to make frames"
            ),
            Broken::Refused(refusal) => refusal.fmt(f),
            Broken::DiskFailed(failure) => failure.fmt(f),
            Broken::NotOpened(error) => error.fmt(f),
        }
    }
}

/// How far one step over the input came.
enum Step {
    /// This many bytes are done.
    Taken(usize),
    /// Nothing can be done before there are this many bytes.
    Needs(usize),
    /// Nothing can be done before the directory is loaded.
    Waits,
    Broken(Broken),
}

impl Session {
    /// A session on a cache. Processing pauses while `max_pending_replies` bytes or more wait in the outbox.
    pub fn new(cache: Cache, max_pending_replies: usize) -> Self {
        let limits = WireLimits::new(cache.max_key_bytes(), cache.max_value_bytes());
        Session {
            executor: Executor::new(cache, limits),
            limits,
            max_pending_replies: max_pending_replies.max(1),
            input: Input::default(),
            out: Outbox::new(),
            mode: Mode::Undecided,
            held: Held::default(),
        }
    }

    /// A session on a cache that is kept in a directory: no write is acknowledged before it is there.
    pub fn with_store(store: Arc<Store>, max_pending_replies: usize) -> Self {
        let mut session = Self::new(store.cache().clone(), max_pending_replies);
        session.executor.durable = Some(Durable::new(store));
        session
    }

    /// A session on a directory that is being opened. Once it is known to be ours, what does not concern the cache is answered; all else is held back until
    /// it is loaded. If it cannot be opened, the session is [broken](Self::broken).
    pub fn opening(opening: Opening, max_pending_replies: usize) -> Self {
        let mut session = Self::new(opening.cache().clone(), max_pending_replies);
        session.executor.opening = Some(opening);
        session
    }

    /// Whether the directory is not loaded yet.
    pub fn is_loading(&self) -> bool {
        self.executor.opening.is_some()
    }

    /// To be called before the process ends while the directory is being loaded: see [`Opening::is_ending`].
    pub fn gives_loading_up(&self) {
        if let Some(opening) = &self.executor.opening {
            opening.is_ending();
        }
    }

    /// What this session has done, for other threads.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(self.executor.traffic())
    }

    /// What keeps the cache in a directory, if anything does.
    pub fn store(&self) -> Option<&Store> {
        self.executor.durable.as_ref().map(Durable::store)
    }

    /// `wake` is called, by another thread, when [`process`](Self::process) can do something although nothing was received. Never, unless
    /// the session [awaits](Self::awaits_wake) that.
    pub fn wake_with(&mut self, wake: impl Fn() + Send + Sync + 'static) {
        if let Some(opening) = &mut self.executor.opening {
            opening.wake_with(Arc::new(wake));
        } else if let Some(durable) = &mut self.executor.durable {
            durable.wake_with(Arc::new(wake));
        }
    }

    /// Whether there is something to come without input: the directory is not loaded, or a snapshot that was asked for is not answered yet.
    pub fn awaits_wake(&self) -> bool {
        self.is_loading() || self.awaits_snapshot()
    }

    /// Whether a snapshot was asked for that is not answered yet.
    fn awaits_snapshot(&self) -> bool {
        self.executor
            .durable
            .as_ref()
            .is_some_and(Durable::awaits_snapshot)
    }

    /// Whether nothing may be done before a snapshot is answered.
    fn is_held_up(&self) -> bool {
        let durable = &self.executor.durable;
        durable.as_ref().is_some_and(Durable::is_held_up)
    }

    /// Where to read to: never empty.
    pub fn space(&mut self) -> &mut [u8] {
        self.input.space()
    }

    /// So many bytes have been read into the beginning of [`space`](Self::space).
    pub fn received(&mut self, count: usize) {
        self.input.received(count);
    }

    /// Gives bytes to the session, as a test or a transport without buffers of its own does.
    pub fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.received(count);
            bytes = &bytes[count..];
        }
    }

    /// Whether the session can do with more input now. If not, write what waits first, or end the connection if it is [broken](Self::broken).
    pub fn wants_input(&self) -> bool {
        if self.is_loading() && self.out.len() + self.unprocessed() >= most_held(self.max_pending_replies) {
            return false;
        }
        self.can_go_on()
    }

    /// Whether there is room for replies to what was received.
    pub fn can_go_on(&self) -> bool {
        self.out.len() < self.max_pending_replies && self.broken().is_none() && !self.is_held_up()
    }

    /// What is to be written to the client.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.out
    }

    /// Why the connection is to be ended once the outbox is written; `None` if it is not.
    pub fn broken(&self) -> Option<&Broken> {
        match &self.mode {
            Mode::Broken(broken) => Some(broken),
            _ => None,
        }
    }

    /// Bytes that were received and have not been processed: part of a frame, or frames that wait for room in the outbox, or for the directory.
    pub fn unprocessed(&self) -> usize {
        self.held.len() + self.input.filled().len()
    }

    /// Answers what has been received, as far as the outbox has room. `true` if a call after the outbox was written can do more without new
    /// input.
    pub fn process(&mut self) -> bool {
        self.process_up_to(usize::MAX, usize::MAX)
    }

    /// As [`process`](Self::process), but only for a round: the client can read the first replies while the next are made. With a thousand calls
    /// in flight that is worth half as many again per second; smaller rounds cost more system calls than they gain.
    pub fn process_round(&mut self) -> bool {
        // A round that costs a sync takes all that is there: they are acknowledged together.
        match &self.executor.durable {
            Some(durable) if durable.syncs_each_round() => self.process_up_to(SYNCED_ROUND, SYNCED_ROUND),
            _ => self.process_up_to(REPLIES_PER_ROUND, INPUT_PER_ROUND),
        }
    }

    /// Pauses after this many bytes of replies, or of input, or a little more.
    fn process_up_to(&mut self, replies: usize, input: usize) -> bool {
        if let Some(outcome) = self.executor.opening.as_ref().and_then(Opening::outcome) {
            self.opened(outcome);
        }
        // Where writes are kept, the replies of a round are by themselves until that is done.
        let waiting = self.out.len();
        let before = match &self.executor.durable {
            Some(_) if waiting > 0 => Some(std::mem::take(&mut self.out)),
            _ => None,
        };
        let mut out = std::mem::take(&mut self.out);
        let paused = self.answer(&mut out, waiting, replies, input);
        if let Some(durable) = &mut self.executor.durable {
            let failure = durable.commit(&mut out);
            durable.begin_snapshot();
            if let Some(failure) = failure
                && self.broken().is_none()
            {
                self.mode = Mode::Broken(Broken::DiskFailed(failure));
            }
        }
        self.out = match before {
            Some(mut before) => {
                before.append(out);
                before
            }
            None => out,
        };
        paused
    }

    /// The directory is loaded, or cannot be.
    fn opened(&mut self, outcome: Result<Arc<Store>, OpenError>) {
        let wake = self.executor.opening.take().and_then(|opening| opening.waker());
        let held = self.held.take();
        match outcome {
            Ok(store) => {
                self.input.put_back(held);
                let mut durable = Durable::new(store);
                if let Some(wake) = wake {
                    durable.wake_with(wake);
                }
                self.executor.durable = Some(durable);
            }
            // One that the client has broken stays so.
            Err(error) if self.broken().is_none() => self.mode = Mode::Broken(Broken::NotOpened(error)),
            Err(_) => {}
        }
    }

    /// Answers what was received into `out`, which is empty or all that waits: `waiting` bytes.
    fn answer(&mut self, out: &mut Outbox, waiting: usize, replies: usize, input: usize) -> bool {
        let (mut done, mut needed) = (0, 0);
        let begun_with = out.len();
        let is_loading = self.is_loading();
        let cache = self.executor.cache().clone();
        let mut batch = cache.batch();
        let mut expected = 0;
        self.executor.answer_snapshots(out);
        let paused = loop {
            let made = out.len() - begun_with;
            if made >= replies || done >= input {
                break true;
            }
            if waiting + made >= self.max_pending_replies {
                break true;
            }
            if self.is_held_up()
                || self
                    .executor
                    .opening
                    .as_ref()
                    .is_some_and(|opening| !opening.is_ours())
            {
                // Whatever comes waits: the buffer is to grow in few steps.
                needed = usize::MAX;
                break false;
            }
            let rest = &self.input.filled()[done..];
            if done >= expected && !is_loading {
                expected = done + expect(rest, &self.mode, &mut batch);
            }
            let step = match &mut self.mode {
                _ if rest.is_empty() => break false,
                Mode::Broken(_) => Step::Taken(rest.len()),
                mode @ Mode::Undecided => match rest[0] {
                    first if first == PREFACE[0] => {
                        *mode = Mode::Framed(Stage::Preface);
                        continue;
                    }
                    first if Letter::from_byte(first).is_some() => {
                        *mode = Mode::Fixed;
                        continue;
                    }
                    first => {
                        out.push(fixed::ERROR);
                        Step::Broken(Broken::UnknownProtocol(first))
                    }
                },
                // Its replies come in the order of the requests.
                Mode::Fixed if is_loading => Step::Waits,
                Mode::Fixed => match rest.first_chunk() {
                    None => Step::Needs(fixed::FRAME),
                    Some(frame) => {
                        self.executor.fixed(frame, &mut batch, out);
                        Step::Taken(fixed::FRAME)
                    }
                },
                Mode::Framed(stage) if is_loading => {
                    self.held
                        .step(rest, stage, self.limits, &mut self.executor, &mut batch, out)
                }
                Mode::Framed(stage) => {
                    framed_step(rest, stage, self.limits, &mut self.executor, &mut batch, out)
                }
            };
            match step {
                Step::Taken(count) => done += count,
                Step::Needs(count) => {
                    needed = count;
                    break false;
                }
                Step::Waits => {
                    // As much as comes: the buffer is to grow in few steps.
                    needed = usize::MAX;
                    break false;
                }
                Step::Broken(broken) => self.mode = Mode::Broken(broken),
            }
        };
        self.executor.rest();
        self.input.consume(done);
        self.input.will_need(needed);
        paused
    }
}

/// Has the cache fetch what the next requests ask for; gives the bytes that those take.
fn expect(rest: &[u8], mode: &Mode, batch: &mut Batch<'_>) -> usize {
    let mut keys = [&[][..]; EXPECTED];
    let (count, len) = match mode {
        Mode::Fixed => fixed::keys_ahead(rest, &mut keys),
        Mode::Framed(Stage::Greeted) => framed::keys_ahead(rest, &mut keys),
        _ => (0, 0),
    };
    // One alone gains nothing.
    if count > 1 {
        batch.expect(keys[..count].iter().copied());
    }
    len
}

fn framed_step(
    rest: &[u8],
    stage: &mut Stage,
    limits: WireLimits,
    executor: &mut Executor,
    batch: &mut Batch<'_>,
    out: &mut Outbox,
) -> Step {
    if *stage == Stage::Preface
        && let Some(wrong) = rest.iter().zip(&PREFACE).position(|(is, should)| is != should)
    {
        let text = format!(
            "the input begins with {:02x?} and not with the preface {PREFACE:02x?}",
            &rest[..=wrong]
        );
        // The client has not spoken version 2 yet, but that is what its first byte chose.
        out.push(&PREFACE);
        return refuse(0, Refusal::new(Status::HANDSHAKE_REQUIRED, text), executor, out);
    }
    match framed::next(rest, limits.frame) {
        Next::Incomplete(count) => Step::Needs(count),
        Next::Preface => {
            if *stage == Stage::Preface {
                *stage = Stage::Hello;
            }
            out.push(&PREFACE);
            Step::Taken(PREFACE.len())
        }
        Next::Hopeless { id, refusal } => refuse(id, refusal, executor, out),
        Next::Frame(len) => {
            let request = framed::decode_request(&rest[..len]);
            match request.command {
                Ok(Command::Hello { lowest, highest, .. }) => {
                    let Some(common) = common_version(lowest, highest) else {
                        let text = format!(
                            "the client speaks protocol versions {lowest} to {highest} and this daemon {} to {}: use a matching pair",
                            VERSIONS.start(),
                            VERSIONS.end()
                        );
                        return refuse(
                            request.id,
                            Refusal::new(Status::UNSUPPORTED_VERSION, text),
                            executor,
                            out,
                        );
                    };
                    *stage = Stage::Greeted;
                    let hello = Reply::Hello {
                        lowest: *VERSIONS.start(),
                        highest: *VERSIONS.end(),
                        chosen: common,
                        features: 0,
                        limits,
                        name: concat!("rustcache ", env!("CARGO_PKG_VERSION")),
                    };
                    encode_reply(request.id, &hello, out);
                }
                command if *stage != Stage::Greeted => {
                    let text = match command {
                        Ok(_) => "the first frame must be HELLO: send the preface and HELLO first".to_owned(),
                        Err(refusal) => format!(
                            "the first frame must be HELLO, and this is none: {}",
                            refusal.text
                        ),
                    };
                    return refuse(
                        request.id,
                        Refusal::new(Status::HANDSHAKE_REQUIRED, text),
                        executor,
                        out,
                    );
                }
                Ok(command) => executor.framed(request.id, &command, batch, out),
                Err(refusal) => executor.refuse(request.id, &refusal, out),
            }
            Step::Taken(len)
        }
    }
}

/// The highest version that we and a client can both speak.
fn common_version(lowest: u16, highest: u16) -> Option<u16> {
    let common = *VERSIONS.end().min(&highest);
    (common >= lowest && common >= *VERSIONS.start()).then_some(common)
}

/// Answers with an error after which the connection ends.
fn refuse(id: u32, refusal: Refusal, executor: &mut Executor, out: &mut Outbox) -> Step {
    executor.refuse(id, &refusal, out);
    Step::Broken(Broken::Refused(refusal))
}

#[cfg(test)]
mod tests;
