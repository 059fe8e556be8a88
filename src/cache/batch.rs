//! Locks on shards: for one operation, or for a slice of many.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use super::payload::{Draft, takes_long};
use super::{Cache, EntryRef, Error, SetOptions, Shard};

/// How many keys of a batch are done under one hold of a lock.
pub(super) const BATCH_SLICE: u32 = 64;
/// How long those who wait for a lock are let in, at most. Not for long: if there is always somebody, the work must get done all the same.
const PAUSES: u32 = 3;
const PAUSE: Duration = Duration::from_micros(50);

/// A shard behind its lock. Short operations, and no waiting for anything under it: a mutex of the standard library is right for that.
///
/// It is not fair, however: who lets it go and takes it again at once gets it, long before one who sleeps until it is free has woken up. Whoever has
/// much to do, a slice at a time, must let the others in between.
#[derive(Debug)]
pub(super) struct Locked {
    shard: Mutex<Shard>,
    waiting: AtomicU32,
}

impl Locked {
    pub(super) fn new(shard: Shard) -> Self {
        Locked {
            shard: Mutex::new(shard),
            waiting: AtomicU32::new(0),
        }
    }

    pub(super) fn hold(&self) -> Held<'_> {
        let guard = match self.shard.try_lock() {
            Ok(guard) => guard,
            // A panic while the lock was held leaves a shard that is at worst short of an entry: not a reason to fail all later calls.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.waiting.fetch_add(1, Ordering::Relaxed);
                let guard = self.shard.lock().unwrap_or_else(PoisonError::into_inner);
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                guard
            }
        };
        Held { guard: Some(guard) }
    }

    /// Waits a little while others wait for the lock.
    pub(super) fn let_others_in(&self) {
        for _ in 0..PAUSES {
            if self.waiting.load(Ordering::Relaxed) == 0 {
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// See [`Cache::batch`]. The time of its operations is that at which the lock was taken, a slice ago at most.
pub(crate) struct Batch<'c> {
    cache: &'c Cache,
    held: Option<Slice<'c>>,
}

/// The part of a batch that is done under one hold of a lock.
struct Slice<'c> {
    number: usize,
    shard: Held<'c>,
    now: u64,
    left: u32,
}

impl<'c> Batch<'c> {
    pub(super) fn new(cache: &'c Cache) -> Self {
        Batch { cache, held: None }
    }

    /// Says which keys come next, up to some dozens: what is to be looked at for them is fetched from memory at the same time, instead of one after
    /// the other.
    pub(crate) fn expect<'k>(&mut self, keys: impl IntoIterator<Item = &'k [u8]>) {
        let mut hashes = [0; BATCH_SLICE as usize];
        let mut keys = keys.into_iter();
        if self.cache.inner.shards.len() == 1 {
            let mut count = 0;
            for (hash, key) in hashes.iter_mut().zip(&mut keys) {
                *hash = self.cache.hashed(key).1.hash;
                count += 1;
            }
            self.hold(0).shard.prefetch(&hashes[..count]);
        }
    }

    pub(crate) fn read<R>(&mut self, key: &[u8], seen: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
        let (number, key) = self.cache.hashed(key);
        let slice = self.hold(number);
        slice.shard.read(key, slice.now).map(seen)
    }

    pub(crate) fn set(&mut self, key: &[u8], value: &[u8], options: SetOptions) -> Result<bool, Error> {
        self.cache.check_lengths(key, value)?;
        let inner = &self.cache.inner;
        let (number, key) = self.cache.hashed(key);
        if takes_long(value) {
            // Copying it may take longer than a lock may be held.
            self.release();
        }
        let draft = Draft::new(key.key, value, options.tag);
        let slice = self.hold(number);
        let deadline = inner.deadline(options.expiry, slice.now);
        let stored = slice
            .shard
            .store(key.hash, draft, deadline, options.condition, slice.now);
        inner.watch_if_needed(options.expiry);
        stored
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let (number, key) = self.cache.hashed(key);
        let slice = self.hold(number);
        slice.shard.remove(key, slice.now, |_| ()).is_some()
    }

    /// Lets go of the lock, for whoever calls the cache next while the batch lives.
    pub(crate) fn release(&mut self) {
        self.held = None;
    }

    /// The shard, locked: the one that is held already, unless it is another or has been held for a slice.
    fn hold(&mut self, number: usize) -> &mut Slice<'c> {
        if self
            .held
            .as_ref()
            .is_some_and(|slice| slice.number != number || slice.left == 0)
        {
            self.release();
        }
        let inner = &self.cache.inner;
        let slice = self.held.get_or_insert_with(|| Slice {
            number,
            shard: inner.shards[number].hold(),
            now: inner.clock.now(),
            left: BATCH_SLICE,
        });
        slice.left -= 1;
        slice
    }
}

/// A locked shard. When it is let go, what was too large to be freed under the lock is freed after it.
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

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take()
            && guard.has_graves()
        {
            let graves = guard.take_graves();
            drop(guard);
            drop(graves);
        }
    }
}
