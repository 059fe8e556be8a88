//! A session's part in keeping a directory: which replies acknowledge writes and what becomes of them when those cannot be written, and the snapshots that
//! were asked for and are not done. The writing itself is persist/.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::persist::{Failure, OnDiskError, Store, Sync, Waker};
use crate::protocol::command::Reply;
use crate::protocol::fixed::{self, Letter};
use crate::protocol::framed::encode_reply;
use crate::protocol::outbox::Outbox;
use crate::protocol::status::{Refusal, Status};

/// Whom a reply goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Version 1: whoever is next.
    Fixed,
    /// Version 2: the request with this id.
    Framed(u32),
}

/// A snapshot that is done, or has failed, and all who asked for it.
type Finished = (Vec<Asker>, Result<(), Failure>);

/// So many can wait for a snapshot: more input is taken once they are answered.
const MAX_AWAITED: usize = 1024;

pub(super) struct Durable {
    store: Arc<Store>,
    /// Where in the replies of this round those lie that acknowledge a write.
    acknowledgements: Vec<(Range<usize>, Asker)>,
    /// Who has asked for a snapshot in this round: one is begun for them all when it is over.
    asked: Vec<Asker>,
    /// Snapshots that are done and were not answered yet; the keeper adds to them.
    finished: Arc<Mutex<Vec<Finished>>>,
    /// How many requests for a snapshot are not answered yet.
    awaited: usize,
    /// A client of version 1 waits for its reply before any other.
    in_order: bool,
    wake: Waker,
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable")
            .field("store", &self.store)
            .field("awaited", &self.awaited)
            .finish_non_exhaustive()
    }
}

impl Durable {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Durable {
            store,
            acknowledgements: Vec::new(),
            asked: Vec::new(),
            finished: Arc::default(),
            awaited: 0,
            in_order: false,
            wake: Arc::new(|| {}),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// `wake` is called, by another thread, when there is something to answer without new input.
    pub(super) fn wake_with(&mut self, wake: Waker) {
        self.wake = wake;
    }

    /// Whether each round costs a sync, so that it should be a large one.
    pub(super) fn syncs_each_round(&self) -> bool {
        self.store.sync() == Sync::Always
    }

    /// Why no write is accepted.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        if !self.store.has_failed() || self.store.on_disk_error() == OnDiskError::Memory {
            return None;
        }
        let failure = self.store.failure()?;
        let text = format!(
            "writes are refused, because the disk has failed: {failure}: make room or replace the disk, then ask for a snapshot"
        );
        Some(Refusal::new(Status::DISK_FAILED, text))
    }

    /// The reply that lies there says that a write is done.
    pub(super) fn acknowledged(&mut self, reply: Range<usize>, asker: Asker) {
        self.acknowledgements.push((reply, asker));
    }

    /// Makes the writes of this round durable before their replies leave. If that fails, those replies become errors, and it is returned why the
    /// daemon is to end, if it is.
    pub(super) fn commit(&mut self, replies: &mut Outbox) -> Option<Failure> {
        let result = self.store.commit();
        let acknowledgements = std::mem::take(&mut self.acknowledgements);
        if self.store.on_disk_error() == OnDiskError::Memory {
            return None;
        }
        match result {
            Ok(()) => {
                self.acknowledgements = acknowledgements;
                self.acknowledgements.clear();
            }
            Err(failure) if !acknowledgements.is_empty() => take_back(replies, &acknowledgements, &failure),
            Err(_) => {}
        }
        match self.store.on_disk_error() {
            OnDiskError::Exit if self.store.has_failed() => self.store.failure(),
            _ => None,
        }
    }

    pub(super) fn request_snapshot(&mut self, asker: Asker) {
        self.awaited += 1;
        self.in_order |= asker == Asker::Fixed;
        self.asked.push(asker);
    }

    /// Has the snapshot begun that was asked for in this round.
    pub(super) fn begin_snapshot(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let askers = std::mem::take(&mut self.asked);
        let (finished, wake) = (Arc::clone(&self.finished), Arc::clone(&self.wake));
        self.store.request_snapshot(move |result| {
            finished
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((askers, result));
            wake();
        });
    }

    /// Whether a snapshot that was asked for is not answered yet.
    pub(super) fn awaits_snapshot(&self) -> bool {
        self.awaited > 0
    }

    /// Whether nothing else may be done before that.
    pub(super) fn is_held_up(&self) -> bool {
        self.in_order || self.awaited >= MAX_AWAITED
    }

    /// Answers the snapshots that are done, and says how many failed.
    pub(super) fn answer_snapshots(&mut self, out: &mut Outbox) -> u64 {
        if self.awaited == 0 {
            return 0;
        }
        let finished = std::mem::take(&mut *self.finished.lock().unwrap_or_else(PoisonError::into_inner));
        let mut failed = 0;
        for (askers, result) in finished {
            self.awaited -= askers.len();
            let refusal = result.err().map(|failure| {
                Refusal::new(
                    Status::DISK_FAILED,
                    format!("no snapshot could be written: {failure}"),
                )
            });
            for asker in askers {
                failed += u64::from(refusal.is_some());
                match (asker, &refusal) {
                    (Asker::Fixed, refusal) => {
                        self.in_order = false;
                        out.push(match refusal {
                            None => Letter::Snapshot.short_reply(),
                            Some(_) => fixed::ERROR,
                        });
                    }
                    (Asker::Framed(id), None) => encode_reply(id, &Reply::Status(Status::OK), out),
                    (Asker::Framed(id), Some(refusal)) => encode_reply(id, &Reply::Error(refusal), out),
                }
            }
        }
        failed
    }
}

/// Puts errors in the place of acknowledgements.
fn take_back(replies: &mut Outbox, acknowledgements: &[(Range<usize>, Asker)], failure: &Failure) {
    let refusal = Refusal::new(
        Status::NOT_DURABLE,
        format!("this was done in memory and could not be written to the disk: {failure}"),
    );
    let former: Vec<u8> = std::mem::take(replies)
        .slices(usize::MAX)
        .iter()
        .flat_map(|slice| slice.iter().copied())
        .collect();
    let mut kept_to = 0;
    for (reply, asker) in acknowledgements {
        replies.push(&former[kept_to..reply.start]);
        match *asker {
            Asker::Fixed => replies.push(fixed::ERROR),
            Asker::Framed(id) => encode_reply(id, &Reply::Error(&refusal), replies),
        }
        kept_to = reply.end;
    }
    replies.push(&former[kept_to..]);
}
