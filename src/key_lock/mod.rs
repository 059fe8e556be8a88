//! Locks by key, made when they are taken and gone with their last holder and waiter. Knows nothing of caches: whoever has a [`KeyLocks`] gives the hash.
//!
//! Who waits for a lock waits in line, and the one who lets it go gives it to the first of the line, so that nobody is passed over and nobody is woken for
//! nothing. What is true is what the line says: who gives up and is not in it any more has been given the lock.
//!
//! No code of the keys' runs under our lock: keys are compared without it, by candidates of the same hash, and dropped after it.

#[cfg(feature = "async")]
mod asynchronous;
mod guard;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashTable;

#[cfg(feature = "async")]
pub use asynchronous::AsyncKeyGuard;
pub use guard::KeyGuard;

use crate::seat::Seat;
use crate::sync::{Mutex, ThreadId, lock, thread};

/// More room than this is given back when no lock is left in a part.
const KEPT_ROOM: usize = 64;

/// The locks of one cache.
pub(crate) struct KeyLocks<K> {
    /// A power of two.
    parts: Box<[Mutex<Part<K>>]>,
}

struct Part<K> {
    locks: HashTable<Lock<K>>,
}

/// A lock that somebody holds.
struct Lock<K> {
    name: Arc<Name<K>>,
    holder: Holder,
    /// How often its holder has taken it, and not let it go.
    times: usize,
    line: VecDeque<Arc<Waiter>>,
}

/// What a lock is for; of two locks that are there at the same time, one `Arc` each.
#[derive(Debug)]
struct Name<K> {
    hash: u64,
    key: K,
}

/// Who has a lock, or will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// It may take the lock again.
    Thread(ThreadId),
    /// The guard can go from thread to thread: nobody can tell whose it is.
    #[cfg(feature = "async")]
    Guard,
}

impl Holder {
    fn this_thread() -> Self {
        Holder::Thread(thread::current().id())
    }

    fn may_take_again(self, by: Holder) -> bool {
        matches!(self, Holder::Thread(_)) && self == by
    }
}

/// One in a line. What it is told is that it has the lock.
#[derive(Debug)]
struct Waiter {
    holder: Holder,
    seat: Seat<()>,
}

/// What became of one who wants a lock.
#[derive(Debug)]
enum Taken<K> {
    /// It has it.
    Holds(Arc<Name<K>>),
    /// It is in line.
    Waits(Arc<Name<K>>, Arc<Waiter>),
    /// Somebody else has it.
    IsHeld,
}

impl<K: Eq> KeyLocks<K> {
    /// Room for locks in as many parts, each with a lock of its own.
    pub(crate) fn new(parts: usize) -> Self {
        let part = || {
            Mutex::new(Part {
                locks: HashTable::new(),
            })
        };
        KeyLocks {
            parts: (0..parts.next_power_of_two()).map(|_| part()).collect(),
        }
    }

    /// Waits for the lock of a key. `hash` is a good one, to the last bit.
    pub(crate) fn lock(self: &Arc<Self>, hash: u64, key: K) -> KeyGuard<K> {
        let name = match self.take(hash, key, Holder::this_thread(), true) {
            Taken::Holds(name) => name,
            Taken::Waits(name, waiter) => {
                waiter.seat.wait();
                name
            }
            Taken::IsHeld => unreachable!("who may wait is put in line"),
        };
        KeyGuard::new(self, name)
    }

    pub(crate) fn try_lock(self: &Arc<Self>, hash: u64, key: K) -> Option<KeyGuard<K>> {
        match self.take(hash, key, Holder::this_thread(), false) {
            Taken::Holds(name) => Some(KeyGuard::new(self, name)),
            _ => None,
        }
    }

    /// Waits for this time at most.
    pub(crate) fn lock_for(self: &Arc<Self>, hash: u64, key: K, time: Duration) -> Option<KeyGuard<K>> {
        match Instant::now().checked_add(time) {
            Some(deadline) => self.lock_until(hash, key, deadline),
            // That is for ever.
            None => Some(self.lock(hash, key)),
        }
    }

    fn lock_until(self: &Arc<Self>, hash: u64, key: K, deadline: Instant) -> Option<KeyGuard<K>> {
        let (name, waiter) = match self.take(hash, key, Holder::this_thread(), true) {
            Taken::Holds(name) => return Some(KeyGuard::new(self, name)),
            Taken::Waits(name, waiter) => (name, waiter),
            Taken::IsHeld => return None,
        };
        let has_it = waiter.seat.wait_until(deadline).is_some() || !self.leave(&name, &waiter);
        has_it.then(|| KeyGuard::new(self, name))
    }

    /// Takes a lock that is free or this holder's own; otherwise gets in line, if it `may_wait`.
    fn take(&self, hash: u64, key: K, holder: Holder, may_wait: bool) -> Taken<K> {
        let own = Arc::new(Name { hash, key });
        // Of the locks with this hash: the one that is for this key, and those that are not.
        let mut same: Option<Arc<Name<K>>> = None;
        let mut others: Vec<Arc<Name<K>>> = Vec::new();
        loop {
            let mut part = self.part(hash);
            let is_met = |lock: &Lock<K>| {
                lock.name.hash == hash && !others.iter().any(|other| Arc::ptr_eq(other, &lock.name))
            };
            let Some(found) = part.locks.find_mut(hash, is_met) else {
                part.locks
                    .insert_unique(hash, Lock::new(Arc::clone(&own), holder), |lock| lock.name.hash);
                return Taken::Holds(own);
            };
            if same.as_ref().is_some_and(|same| Arc::ptr_eq(same, &found.name)) {
                let name = Arc::clone(&found.name);
                let taken = found.take(name, holder, may_wait);
                drop(part);
                return taken;
            }
            let candidate = Arc::clone(&found.name);
            drop(part);
            if candidate.key == own.key {
                same = Some(candidate);
            } else {
                others.push(candidate);
            }
        }
    }

    /// Lets go of a lock, once. To be called by who has it.
    fn release(&self, name: &Arc<Name<K>>) {
        let mut part = self.part(name.hash);
        let is_it = |lock: &Lock<K>| Arc::ptr_eq(&lock.name, name);
        let Ok(mut found) = part.locks.find_entry(name.hash, is_it) else {
            return;
        };
        let lock = found.get_mut();
        lock.times -= 1;
        if lock.times > 0 {
            return;
        }
        if let Some(next) = lock.line.pop_front() {
            lock.holder = next.holder;
            lock.times = 1;
            drop(part);
            next.seat.tell(());
            return;
        }
        // The name is the caller's as well: no key is dropped here.
        found.remove();
        if part.locks.is_empty() && part.locks.capacity() > KEPT_ROOM {
            part.locks = HashTable::new();
        }
    }

    /// Leaves the line. `false` if it was not in it any more: it has been given the lock.
    fn leave(&self, name: &Arc<Name<K>>, waiter: &Arc<Waiter>) -> bool {
        let mut part = self.part(name.hash);
        let is_it = |lock: &Lock<K>| Arc::ptr_eq(&lock.name, name);
        let Some(lock) = part.locks.find_mut(name.hash, is_it) else {
            return false;
        };
        let at = lock.line.iter().position(|other| Arc::ptr_eq(other, waiter));
        at.and_then(|at| lock.line.remove(at)).is_some()
    }

    fn part(&self, hash: u64) -> crate::sync::MutexGuard<'_, Part<K>> {
        lock(&self.parts[(hash >> 32) as usize & (self.parts.len() - 1)])
    }
}

impl<K> KeyLocks<K> {
    /// How many locks are held now.
    pub(crate) fn held(&self) -> usize {
        self.parts.iter().map(|part| lock(part).locks.len()).sum()
    }

    /// How many wait for locks.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        let in_part =
            |part: &Mutex<Part<K>>| -> usize { lock(part).locks.iter().map(|lock| lock.line.len()).sum() };
        self.parts.iter().map(in_part).sum()
    }
}

impl<K> Lock<K> {
    fn new(name: Arc<Name<K>>, holder: Holder) -> Self {
        Lock {
            name,
            holder,
            times: 1,
            line: VecDeque::new(),
        }
    }

    /// Takes it once more, if that is allowed, or gets in line for it.
    fn take(&mut self, name: Arc<Name<K>>, holder: Holder, may_wait: bool) -> Taken<K> {
        if self.holder.may_take_again(holder) {
            self.times += 1;
            return Taken::Holds(name);
        }
        if !may_wait {
            return Taken::IsHeld;
        }
        let waiter = Arc::new(Waiter {
            holder,
            seat: Seat::new(),
        });
        self.line.push_back(Arc::clone(&waiter));
        Taken::Waits(name, waiter)
    }
}

impl<K> fmt::Debug for KeyLocks<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLocks").field("held", &self.held()).finish()
    }
}
