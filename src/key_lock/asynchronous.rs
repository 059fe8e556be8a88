//! Locks of keys for tasks: they wait by their wakers, whatever executor polls them, and the guard may go from thread to thread.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use super::guard::Shown;
use super::{Holder, KeyLocks, Name, Taken, Waiter};

/// The lock of a key, until this is dropped; also when a panic or the end of its task drops it. See [`Cache::key_lock_async`](crate::Cache::key_lock_async).
///
/// It may be held over an `await` and sent to other threads. So nobody can tell whose it is, and it cannot be taken twice: who has it and waits for the same
/// key waits for himself.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let cache = rustcache::Cache::builder().build()?;
/// let guard = cache.key_lock_async("user:1").await;
/// assert_eq!(&**guard.key(), b"user:1");
/// assert!(cache.try_key_lock("user:1").is_none());
/// # Ok::<(), rustcache::BuildError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the lock is let go at once if its guard is dropped"]
pub struct AsyncKeyGuard<K: Eq = Box<[u8]>> {
    locks: Arc<KeyLocks<K>>,
    name: Arc<Name<K>>,
}

impl<K: Eq> AsyncKeyGuard<K> {
    /// The key that is locked.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::Cache::builder().build()?;
    /// let guard = cache.key_lock_async("report").await;
    /// assert_eq!(**guard.key(), *b"report");
    /// # Ok::<(), rustcache::BuildError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn key(&self) -> &K {
        &self.name.key
    }
}

impl<K: Eq> Drop for AsyncKeyGuard<K> {
    fn drop(&mut self) {
        self.locks.release(&self.name);
    }
}

impl<K: Eq + fmt::Debug + 'static> fmt::Debug for AsyncKeyGuard<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncKeyGuard")
            .field("key", &Shown(self.key()))
            .finish()
    }
}

impl<K: Eq> KeyLocks<K> {
    /// Waits for the lock of a key.
    pub(crate) async fn lock_async(self: &Arc<Self>, hash: u64, key: K) -> AsyncKeyGuard<K> {
        let (name, waiter) = match self.take(hash, key, Holder::Guard, true) {
            Taken::Holds(name) => return self.guard(name),
            Taken::Waits(name, waiter) => (name, waiter),
            Taken::IsHeld => unreachable!("who may wait is put in line"),
        };
        let mut place = Place {
            locks: self,
            name,
            waiter,
            has_lock: false,
        };
        poll_fn(|context| place.waiter.seat.poll(context)).await;
        place.has_lock = true;
        self.guard(Arc::clone(&place.name))
    }

    pub(crate) fn try_lock_async(self: &Arc<Self>, hash: u64, key: K) -> Option<AsyncKeyGuard<K>> {
        match self.take(hash, key, Holder::Guard, false) {
            Taken::Holds(name) => Some(self.guard(name)),
            _ => None,
        }
    }

    fn guard(self: &Arc<Self>, name: Arc<Name<K>>) -> AsyncKeyGuard<K> {
        AsyncKeyGuard {
            locks: Arc::clone(self),
            name,
        }
    }
}

/// A place in line. Whose future is dropped there leaves it; or gives the lock on, if it has just been given to him.
struct Place<'l, K: Eq> {
    locks: &'l KeyLocks<K>,
    name: Arc<Name<K>>,
    waiter: Arc<Waiter>,
    has_lock: bool,
}

impl<K: Eq> Drop for Place<'_, K> {
    fn drop(&mut self) {
        if !self.has_lock && !self.locks.leave(&self.name, &self.waiter) {
            self.locks.release(&self.name);
        }
    }
}
