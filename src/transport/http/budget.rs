//! How much memory bodies and long answers may take together, from before they are there until they are gone. Knows nothing of what they are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::timeout;

/// What takes no more than this is not counted: all connections together may have so many of them.
pub(super) const FREE: usize = 16 * 1024;
/// For others to give something back.
const PATIENCE: Duration = Duration::from_secs(1);
/// For one who was told to end; and until it is looked again for one who can be told to.
const SOON: Duration = Duration::from_millis(10);
const AGAIN: Duration = Duration::from_millis(100);

/// What there is.
#[derive(Debug)]
pub(super) struct Budget {
    most: usize,
    used: AtomicUsize,
    given_back: Notify,
    /// Those who hold some and wait for more: whoever comes anew waits for them, or they would wait for ever.
    in_need: AtomicUsize,
    /// Answers by where their bytes are, with the number of those who have them: a large value is not copied for each of its readers.
    shared: Mutex<HashMap<usize, usize>>,
}

/// A part of it, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

/// The part of an answer. It keeps the bytes, so that nothing else can be where they are.
#[derive(Debug)]
pub(super) struct HeldAnswer {
    budget: Arc<Budget>,
    bytes: Bytes,
}

impl Budget {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Budget {
            most,
            used: AtomicUsize::new(0),
            given_back: Notify::new(),
            in_need: AtomicUsize::new(0),
            shared: Mutex::default(),
        })
    }

    pub(super) fn hold_nothing(self: &Arc<Self>) -> Held {
        Held {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }

    /// Room for an answer that is there; `None` if there is none in time. Whoever has done something takes it all the same, since that cannot be taken back.
    /// `make_room` has somebody end who holds some; `false` if nobody is to.
    pub(super) async fn hold_answer(
        self: &Arc<Self>,
        bytes: &Bytes,
        all_the_same: bool,
        make_room: impl Fn() -> bool,
    ) -> Option<HeldAnswer> {
        match self.try_hold_answer(bytes, all_the_same) {
            Some(held) => Some(held),
            None => self.wait(|| self.try_hold_answer(bytes, false), make_room).await,
        }
    }

    /// Tries again whenever something is given back, for a while.
    async fn wait<T>(
        &self,
        mut attempt: impl FnMut() -> Option<T>,
        make_room: impl Fn() -> bool,
    ) -> Option<T> {
        let waited = timeout(PATIENCE, async {
            loop {
                let given_back = self.given_back.notified();
                if let Some(held) = attempt() {
                    return held;
                }
                let pause = if make_room() { SOON } else { AGAIN };
                // Either way it is tried again.
                let _ = timeout(pause, given_back).await;
            }
        });
        waited.await.ok()
    }

    fn try_hold_answer(self: &Arc<Self>, bytes: &Bytes, all_the_same: bool) -> Option<HeldAnswer> {
        let mut shared = self.lock();
        match shared.entry(bytes.as_ptr() as usize) {
            Entry::Occupied(mut readers) => *readers.get_mut() += 1,
            Entry::Vacant(place) => {
                let is_taken = self.take(counted(bytes.len()), 0);
                if !is_taken && !all_the_same {
                    return None;
                }
                if !is_taken {
                    self.used.fetch_add(counted(bytes.len()), Ordering::Relaxed);
                }
                place.insert(1);
            }
        }
        drop(shared);
        Some(HeldAnswer {
            budget: Arc::clone(self),
            bytes: bytes.clone(),
        })
    }

    /// Whether an answer is so short that it need not be held.
    pub(super) fn is_free(bytes: &Bytes) -> bool {
        bytes.len() <= FREE
    }

    /// Takes `more` for one who has `had`: who is the only one takes what he needs.
    fn take(&self, more: usize, had: usize) -> bool {
        let fits = |used: usize| {
            let then = used.saturating_add(more);
            (then <= self.most || used == had).then_some(then)
        };
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            self.given_back.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, usize>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counted(bytes: usize) -> usize {
    if bytes <= FREE { 0 } else { bytes }
}

impl Held {
    /// Holds so many bytes in all; `false`, and what it held before, if there are not as many.
    pub(super) fn try_grow(&mut self, to: usize) -> bool {
        let to = counted(to);
        if to <= self.bytes {
            return true;
        }
        if self.bytes == 0 && self.budget.in_need.load(Ordering::Relaxed) > 0 {
            return false;
        }
        let is_taken = self.budget.take(to - self.bytes, self.bytes);
        if is_taken {
            self.bytes = to;
        }
        is_taken
    }

    /// Holds exactly so many: what they were held for is there, and takes no more, or takes more all the same.
    pub(super) fn settle_at(&mut self, bytes: usize) {
        let bytes = counted(bytes);
        if bytes > self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        }
        let had = std::mem::replace(&mut self.bytes, bytes);
        self.budget.give_back(had.saturating_sub(bytes));
    }

    /// As `try_grow`; waits a little for others to end, which `make_room` has somebody do who is to.
    pub(super) async fn grow(&mut self, to: usize, make_room: impl Fn() -> bool) -> bool {
        if self.try_grow(to) {
            return true;
        }
        let budget = Arc::clone(&self.budget);
        let _in_need = (self.bytes > 0).then(|| InNeed::new(&budget));
        let grown = budget.wait(|| self.try_grow(to).then_some(()), make_room);
        grown.await.is_some()
    }
}

/// While this lives, there is somebody who waits for more.
struct InNeed<'b>(&'b Budget);

impl<'b> InNeed<'b> {
    fn new(budget: &'b Budget) -> Self {
        budget.in_need.fetch_add(1, Ordering::Relaxed);
        InNeed(budget)
    }
}

impl Drop for InNeed<'_> {
    fn drop(&mut self) {
        self.0.in_need.fetch_sub(1, Ordering::Relaxed);
        self.0.given_back.notify_waiters();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

impl Drop for HeldAnswer {
    fn drop(&mut self) {
        let mut shared = self.budget.lock();
        if let Entry::Occupied(mut readers) = shared.entry(self.bytes.as_ptr() as usize) {
            *readers.get_mut() -= 1;
            if *readers.get() == 0 {
                readers.remove();
                drop(shared);
                self.budget.give_back(counted(self.bytes.len()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(budget: &Budget) -> usize {
        budget.used.load(Ordering::Relaxed)
    }

    #[test]
    fn no_more_is_held_than_there_is_but_by_one_who_is_alone() {
        let budget = Budget::new(100_000);
        let (mut one, mut other) = (budget.hold_nothing(), budget.hold_nothing());
        assert!(one.try_grow(FREE) && other.try_grow(FREE));
        assert_eq!(used(&budget), 0, "little is free");
        assert!(one.try_grow(60_000) && !other.try_grow(60_000));
        assert!(!one.try_grow(41_000 + 60_000) || used(&budget) == 101_000);
        drop(one);
        assert!(other.try_grow(60_000));
        assert!(other.try_grow(1_000_000), "it is alone");
        assert!(!budget.hold_nothing().try_grow(20_000));
        drop(other);
        assert_eq!(used(&budget), 0);
    }

    #[test]
    fn what_is_made_takes_no_more_than_it_is_long() {
        let budget = Budget::new(100_000);
        let mut held = budget.hold_nothing();
        assert!(held.try_grow(90_000));
        held.settle_at(40_000);
        assert_eq!(used(&budget), 40_000);
        held.settle_at(120_000);
        assert_eq!(
            used(&budget),
            120_000,
            "it is there, whether there is room or not"
        );
        held.settle_at(FREE);
        assert_eq!(used(&budget), 0);
    }

    #[test]
    fn who_holds_some_and_needs_more_goes_before_who_comes_anew() {
        let budget = Budget::new(100_000);
        let (mut first, mut second) = (budget.hold_nothing(), budget.hold_nothing());
        assert!(first.try_grow(20_000));
        let in_need = InNeed::new(&budget);
        assert!(!second.try_grow(20_000) && second.try_grow(FREE) && first.try_grow(30_000));
        drop(in_need);
        assert!(second.try_grow(20_000));
    }

    #[test]
    fn an_answer_counts_once_however_many_read_it() {
        let budget = Budget::new(100_000);
        let large = Bytes::from(vec![0; 60_000]);
        let first = budget.try_hold_answer(&large, false).expect("room");
        let second = budget.try_hold_answer(&large, false).expect("it is the same");
        assert_eq!(used(&budget), 60_000);
        let another = Bytes::from(vec![0; 60_000]);
        assert!(budget.try_hold_answer(&another, false).is_none());
        let done = budget.try_hold_answer(&another, true);
        assert!(done.is_some());
        assert_eq!(used(&budget), 120_000);
        drop((first, done));
        assert_eq!(used(&budget), 60_000);
        drop(second);
        assert_eq!((used(&budget), budget.lock().len()), (0, 0));
    }
}
