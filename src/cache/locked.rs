//! The lock of a shard, and what is done once it has been let go: freeing what was large, writing to the disk what is kept there, telling who wants to be told.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::departures::Unsettled;
use super::payload::Draft;
use super::shard::Reserved;
use super::watch::Waiting;
use super::{Inner, SetOptions, Shard};

/// How long those who wait for a lock are let in, at most. Not for long: if there is always somebody, the work must get done all the same.
const PAUSE: Duration = Duration::from_micros(150);
/// Entries that are evicted under one hold of a lock for one that needs the place of many.
pub(super) const EVICTED_TOGETHER: u32 = 64;
/// How often that is done, and once more for each so many bytes that are wanted: whoever fills the room again in between must not keep it up for ever.
const LEAST_ROUNDS: u64 = 16;
const BYTES_PER_ROUND: u64 = 1024;

/// A shard behind its lock. Short operations, and no waiting for anything under it: a mutex of the standard library is right for that.
///
/// It is not fair, however: who lets it go and takes it again at once gets it, long before one who sleeps until it is free has woken up. Whoever has
/// much to do, a slice at a time, must let the others in between.
#[derive(Debug)]
pub(super) struct Locked {
    shard: Mutex<Shard>,
    pub(super) waiting: Waiting,
}

impl Locked {
    pub(super) fn new(shard: Shard) -> Self {
        Locked {
            shard: Mutex::new(shard),
            waiting: Waiting::new(),
        }
    }

    pub(super) fn hold(&self) -> Held<'_> {
        let guard = Some(self.lock());
        Held { guard }
    }

    /// Does something while the shard is held.
    #[inline(always)]
    pub(super) fn with<R>(&self, operation: impl FnOnce(&mut Shard) -> R) -> R {
        let (result, unsettled) = self.with_unsettled(operation);
        if let Some(unsettled) = unsettled {
            unsettled.settle_silently();
        }
        result
    }

    /// The same, and leaves what there is to do afterwards to the caller.
    #[inline(always)]
    pub(super) fn with_unsettled<R>(
        &self,
        operation: impl FnOnce(&mut Shard) -> R,
    ) -> (R, Option<Unsettled>) {
        let mut guard = self.lock();
        let result = operation(&mut guard);
        (result, let_go(guard))
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Shard> {
        self.try_lock().unwrap_or_else(|| self.wait_for_lock())
    }

    /// If nobody else holds it.
    pub(super) fn try_hold(&self) -> Option<Held<'_>> {
        let guard = self.try_lock()?;
        Some(Held { guard: Some(guard) })
    }

    #[inline]
    fn try_lock(&self) -> Option<MutexGuard<'_, Shard>> {
        match self.shard.try_lock() {
            Ok(guard) => Some(guard),
            // A panic while the lock was held leaves a shard that is at worst short of an entry: not a reason to fail all later calls.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    #[cold]
    fn wait_for_lock(&self) -> MutexGuard<'_, Shard> {
        let wait = || self.shard.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.during(wait)
    }

    /// Keeps room for what may need the place of many others, and makes it a few entries at a time; it is kept until
    /// `end_reserving`. Whoever holds the lock for all of them keeps the others waiting for as long as a second.
    pub(super) fn reserve(
        &self,
        hash: u32,
        draft: &Draft<'_>,
        SetOptions {
            condition, expiry, ..
        }: SetOptions,
        inner: &Inner,
    ) -> Reserved {
        let reserved = {
            let mut held = self.hold();
            let now = inner.now();
            held.begin_reserving(hash, draft, inner.deadline(expiry, now), condition, now)
        };
        if reserved.bytes == 0 {
            return reserved;
        }
        for _ in 0..LEAST_ROUNDS + reserved.bytes / BYTES_PER_ROUND {
            let is_enough = {
                let mut held = self.hold();
                !held.make_reserved_room(reserved, EVICTED_TOGETHER, inner.now())
            };
            if is_enough {
                break;
            }
            self.let_others_in();
        }
        reserved
    }

    /// Waits until those who wait for the lock have had it, for a little while at most. Sleeping would take longer than waking them does.
    pub(super) fn let_others_in(&self) {
        if !self.waiting.is_anybody() {
            return;
        }
        let until = Instant::now() + PAUSE;
        while self.waiting.is_anybody() && Instant::now() < until {
            thread::yield_now();
        }
    }
}

/// A locked shard. When it is let go, what was too large to be freed under the lock is freed after it, and a listener is told of what has left.
pub(super) struct Held<'c> {
    /// `None` only while it is dropped.
    guard: Option<MutexGuard<'c, Shard>>,
}

impl std::ops::Deref for Held<'_> {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        self.guard.as_ref().expect("held until dropped")
    }
}

impl std::ops::DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Shard {
        self.guard.as_mut().expect("held until dropped")
    }
}

impl Held<'_> {
    /// Lets go of the lock, and leaves what there is to do afterwards to the caller.
    pub(super) fn let_go(mut self) -> Option<Unsettled> {
        self.end()
    }

    #[inline]
    fn end(&mut self) -> Option<Unsettled> {
        let_go(self.guard.take()?)
    }
}

#[inline]
fn let_go(guard: MutexGuard<'_, Shard>) -> Option<Unsettled> {
    if guard.has_graves() || guard.is_unsettled() {
        Some(let_go_unsettled(guard))
    } else {
        None
    }
}

#[cold]
fn let_go_unsettled(mut guard: MutexGuard<'_, Shard>) -> Unsettled {
    let keeper = guard.take_unsettled();
    let (graves, listener) = guard.take_graves();
    Unsettled::new(keeper, graves, listener)
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(unsettled) = self.end() {
            unsettled.settle_silently();
        }
    }
}
