//! A session whose directory is not loaded yet: which requests are answered all the same, and what becomes of the others. The loading itself is persist/.
//!
//! Whatever does not concern the cache is answered at once, in version 2, where replies may come in any order: preface and HELLO, PING, STATS. All else is held
//! back, in order, and answered when the directory is loaded, as if it came then. A frame that would end the connection waits as well, and so does
//! what comes after it: those before it are to be answered.

use crate::cache::Batch;
use crate::protocol::command::{Command, WireLimits};
use crate::protocol::framed::{self, Next};
use crate::protocol::outbox::Outbox;

use super::execute::Executor;
use super::{Stage, Step, common_version, framed_step};

/// At least so many bytes of requests are held back, however few are wanted: a handshake has to fit.
const HELD_AT_LEAST: usize = 64 * 1024;

/// What a session adds as long as its directory is not loaded.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Whole frames of version 2.
    frames: Vec<u8>,
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.frames)
    }

    /// Answers what begins `rest`, or holds it back.
    pub(super) fn step(
        &mut self,
        rest: &[u8],
        stage: &mut Stage,
        limits: WireLimits,
        executor: &mut Executor,
        batch: &mut Batch<'_>,
        out: &mut Outbox,
    ) -> Step {
        if *stage == Stage::Greeted {
            match framed::next(rest, limits.frame) {
                Next::Hopeless { .. } => return Step::Waits,
                Next::Frame(len) => match framed::decode_request(&rest[..len]).command {
                    Ok(Command::Ping { .. } | Command::Stats) => {}
                    Ok(Command::Hello { lowest, highest, .. }) => {
                        if common_version(lowest, highest).is_none() {
                            return Step::Waits;
                        }
                    }
                    _ => {
                        self.frames.extend_from_slice(&rest[..len]);
                        return Step::Taken(len);
                    }
                },
                Next::Preface | Next::Incomplete(_) => {}
            }
        }
        framed_step(rest, stage, limits, executor, batch, out)
    }
}

/// Bytes of requests and replies that may wait in a session while its directory is loaded.
pub(super) fn most_held(max_pending_replies: usize) -> usize {
    max_pending_replies.max(HELD_AT_LEAST)
}
