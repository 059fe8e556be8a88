//! What a thread has while it holds the lock of a key.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{KeyLocks, Name};

/// The lock of a key, until this is dropped; also when a panic drops it: nothing is poisoned. See [`Cache::key_lock`](crate::Cache::key_lock).
///
/// It is the thread's that took it, which may take it again; so it cannot be sent to another (`!Send`), and only who has it can let it go. References to it
/// can be shared (`Sync`). It does not borrow the cache, and may outlive it.
///
/// ```
/// let cache = rustcache::Cache::builder().build()?;
/// let guard = cache.key_lock("user:1");
/// assert_eq!(&**guard.key(), b"user:1");
/// drop(guard);
/// # Ok::<(), rustcache::BuildError>(())
/// ```
///
/// ```compile_fail,E0277
/// let cache = rustcache::Cache::builder().build().unwrap();
/// let guard = cache.key_lock("user:1");
/// std::thread::spawn(move || drop(guard));
/// ```
#[must_use = "the lock is let go at once if its guard is dropped"]
pub struct KeyGuard<K: Eq = Box<[u8]>> {
    locks: Arc<KeyLocks<K>>,
    name: Arc<Name<K>>,
    /// Not to be sent: the lock is the thread's.
    of_thread: PhantomData<std::sync::MutexGuard<'static, ()>>,
}

impl<K: Eq> KeyGuard<K> {
    pub(super) fn new(locks: &Arc<KeyLocks<K>>, name: Arc<Name<K>>) -> Self {
        KeyGuard {
            locks: Arc::clone(locks),
            name,
            of_thread: PhantomData,
        }
    }

    /// The key that is locked.
    ///
    /// ```
    /// # use rustcache::Cache;
    /// # let cache = Cache::builder().build()?;
    /// let guard = cache.key_lock("report");
    /// assert_eq!(**guard.key(), *b"report");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn key(&self) -> &K {
        &self.name.key
    }
}

impl<K: Eq> Drop for KeyGuard<K> {
    fn drop(&mut self) {
        self.locks.release(&self.name);
    }
}

impl<K: Eq + fmt::Debug + 'static> fmt::Debug for KeyGuard<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyGuard")
            .field("key", &Shown(self.key()))
            .finish()
    }
}

/// A key for people: bytes as text, as far as they are that.
pub(super) struct Shown<'k, K>(pub(super) &'k K);

impl<K: fmt::Debug + 'static> fmt::Debug for Shown<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 as &dyn Any).downcast_ref::<Box<[u8]>>() {
            Some(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            None => self.0.fmt(f),
        }
    }
}
