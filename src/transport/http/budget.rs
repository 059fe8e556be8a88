//! How much memory bodies and long answers may take together, from before they are there until they are gone. Knows nothing of what they are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::queue::Queue;

/// What takes no more than this is not counted: all connections together may have so many of them.
pub(super) const FREE: usize = 16 * 1024;
/// For others to give something back: longer than any of them may hold it without going on, so that who waits gets it sooner or later.
const PATIENCE: Duration = Duration::from_secs(3);
/// For those who were told to end; and until it is looked again for some who can be told to.
const SOON: Duration = Duration::from_millis(10);
const AGAIN: Duration = Duration::from_millis(100);

/// What there is.
#[derive(Debug)]
pub(super) struct Budget {
    most: usize,
    used: AtomicUsize,
    queue: Queue,
    /// What answers take, by where their bytes are: a large value is not copied for each of its readers.
    shared: Mutex<HashMap<usize, Shared>>,
}

/// A part of it, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

#[derive(Debug)]
struct Shared {
    held: Held,
    /// How many have it.
    readers: usize,
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
            queue: Queue::default(),
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
    /// `make_room` has some end who hold so much together; `false` if there are none, or if they do not hold as much.
    pub(super) async fn hold_answer(
        self: &Arc<Self>,
        bytes: &Bytes,
        all_the_same: bool,
        make_room: impl Fn(usize) -> bool,
    ) -> Option<HeldAnswer> {
        let need = counted(bytes.len());
        let is_next = self.queue.lets_in(need);
        match self.try_hold_answer(bytes, is_next, all_the_same) {
            Some(held) => Some(held),
            None => {
                let attempt = |is_next| self.try_hold_answer(bytes, is_next, false);
                self.wait(need, 0, attempt, make_room).await
            }
        }
    }

    /// Tries again whenever something is given back, for a while, for one who has `had` and needs `more`. An attempt is told whether it is the next to be made.
    async fn wait<T>(
        &self,
        more: usize,
        had: usize,
        mut attempt: impl FnMut(bool) -> Option<T>,
        make_room: impl Fn(usize) -> bool,
    ) -> Option<T> {
        let place = self.queue.join(more, had > 0);
        let waited = timeout(PATIENCE, async {
            loop {
                let moved = self.queue.moved();
                let is_next = place.is_next();
                if let Some(held) = attempt(is_next) {
                    return held;
                }
                let makes_room = is_next && make_room(self.missing(more, had));
                let pause = if makes_room { SOON } else { AGAIN };
                // Either way it is tried again.
                let _ = timeout(pause, moved).await;
            }
        });
        waited.await.ok()
    }

    fn try_hold_answer(
        self: &Arc<Self>,
        bytes: &Bytes,
        is_next: bool,
        all_the_same: bool,
    ) -> Option<HeldAnswer> {
        let mut shared = self.lock();
        match shared.entry(bytes.as_ptr() as usize) {
            Entry::Occupied(mut shared) => shared.get_mut().readers += 1,
            Entry::Vacant(place) => {
                let mut held = self.hold_nothing();
                let is_taken = is_next && held.try_add(counted(bytes.len()));
                if !is_taken && !all_the_same {
                    return None;
                }
                held.settle_at(bytes.len());
                place.insert(Shared { held, readers: 1 });
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

    /// How much others have to give back for that.
    fn missing(&self, more: usize, had: usize) -> usize {
        let used = self.used.load(Ordering::Relaxed);
        let beyond = used.saturating_add(more).saturating_sub(self.most);
        beyond.min(used.saturating_sub(had))
    }

    fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            self.queue.look_again();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Shared>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counted(bytes: usize) -> usize {
    if bytes <= FREE { 0 } else { bytes }
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds so many bytes in all; `false`, and what it held before, if there are not as many.
    pub(super) fn try_grow(&mut self, to: usize) -> bool {
        let more = counted(to).saturating_sub(self.bytes);
        // Who waits and holds nothing has come before one who does not either.
        let is_next = more == 0 || self.bytes > 0 || self.budget.queue.lets_in(more);
        is_next && self.try_add(more)
    }

    fn try_add(&mut self, more: usize) -> bool {
        let is_taken = more == 0 || self.budget.take(more, self.bytes);
        if is_taken {
            self.bytes += more;
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

    /// As `try_grow`; waits a little for others to end, which `make_room` has some do who are to: see [`Budget::hold_answer`].
    pub(super) async fn grow(&mut self, to: usize, make_room: impl Fn(usize) -> bool) -> bool {
        if self.try_grow(to) {
            return true;
        }
        let budget = Arc::clone(&self.budget);
        let had = self.bytes;
        let more = counted(to).saturating_sub(had);
        let attempt = |is_next: bool| (is_next && self.try_add(more)).then_some(());
        budget.wait(more, had, attempt, make_room).await.is_some()
    }
}

impl HeldAnswer {
    /// Where it is, how many bytes it takes, and how many have it.
    pub(super) fn shares(&self) -> (usize, usize, usize) {
        let at = self.bytes.as_ptr() as usize;
        let shared = self.budget.lock();
        let (bytes, readers) = shared
            .get(&at)
            .map_or((0, 0), |one| (one.held.bytes, one.readers));
        (at, bytes, readers)
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
        if let Entry::Occupied(mut answer) = shared.entry(self.bytes.as_ptr() as usize) {
            answer.get_mut().readers -= 1;
            if answer.get().readers == 0 {
                let last = answer.remove();
                drop(shared);
                // Others are told that there is room.
                drop(last);
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
    fn who_comes_anew_does_not_overtake_who_waits() {
        let budget = Budget::new(100_000);
        let (mut first, mut second) = (budget.hold_nothing(), budget.hold_nothing());
        assert!(first.try_grow(20_000));
        let waits = budget.queue.join(90_000, false);
        let value = Bytes::from(vec![0; 20_000]);
        assert!(!second.try_grow(20_000) && second.try_grow(FREE) && first.try_grow(30_000));
        assert!(!budget.queue.lets_in(value.len()));
        drop(waits);
        assert!(second.try_grow(20_000) && budget.queue.lets_in(value.len()));
    }

    #[test]
    fn what_others_have_to_give_back_is_what_is_missing_or_all_of_it() {
        let budget = Budget::new(100_000);
        let (mut one, mut other) = (budget.hold_nothing(), budget.hold_nothing());
        assert!(one.try_grow(60_000) && other.try_grow(30_000));
        assert_eq!(budget.missing(10_000, 0), 0);
        assert_eq!(budget.missing(30_000, 0), 20_000);
        assert_eq!(budget.missing(30_000, 60_000), 20_000);
        assert_eq!(
            budget.missing(500_000, 60_000),
            30_000,
            "who is alone may have more than there is"
        );
    }

    /// Nobody who hangs up and comes again before he is to be ended keeps those out who wait.
    #[test]
    fn who_waits_gets_what_is_given_back_before_who_comes_again() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.expect("a runtime").block_on(async {
            let budget = Budget::new(100_000);
            let mut holds = budget.hold_nothing();
            assert!(holds.try_grow(100_000));
            let mut waits = budget.hold_nothing();
            let mut waiting = std::pin::pin!(waits.grow(50_000, |_| false));
            tokio::select! {
                biased;
                _ = &mut waiting => unreachable!("there is none"),
                () = std::future::ready(()) => {}
            }
            drop(holds);
            let mut again = budget.hold_nothing();
            assert!(!again.try_grow(100_000), "it has come later");
            assert!(waiting.await);
            assert!(again.try_grow(50_000), "nobody waits any more");
        });
    }

    #[test]
    fn an_answer_counts_once_however_many_read_it() {
        let budget = Budget::new(100_000);
        let large = Bytes::from(vec![0; 60_000]);
        let first = budget.try_hold_answer(&large, true, false).expect("room");
        let second = budget
            .try_hold_answer(&large, true, false)
            .expect("it is the same");
        assert_eq!(used(&budget), 60_000);
        let another = Bytes::from(vec![0; 60_000]);
        assert!(budget.try_hold_answer(&another, true, false).is_none());
        let done = budget.try_hold_answer(&another, true, true);
        assert!(done.is_some());
        assert_eq!(used(&budget), 120_000);
        drop((first, done));
        assert_eq!(used(&budget), 60_000);
        assert_eq!(second.shares(), (large.as_ptr() as usize, 60_000, 1));
        drop(second);
        assert_eq!((used(&budget), budget.lock().len()), (0, 0));
    }
}
