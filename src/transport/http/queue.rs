//! Who waits for memory, and who of them is the next. Knows nothing of how much there is, nor of what it is for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Who needs no more than such a part of what each of those before him needs does not wait for them: it is next to nothing to them.
const LITTLE: usize = 16;

/// First those who hold some and wait for more, or they would wait for ever; then whoever came first: else those who come again and again would have all of it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// How many wait, so that nobody need look where nobody does.
    length: AtomicUsize,
    waiting: Mutex<Waiting>,
    /// Told when somebody else may be the next, or there may be room for him.
    moved: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// What they need, in bytes.
    needs: BTreeMap<Turn, usize>,
}

/// Those who hold some come before those who hold nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    HoldsSome(u64),
    HoldsNothing(u64),
}

/// One who waits, until this is dropped.
#[derive(Debug)]
pub(super) struct Place<'q> {
    queue: &'q Queue,
    turn: Turn,
    need: usize,
}

impl Queue {
    /// Whether one who comes now, and needs so much, is the next.
    pub(super) fn lets_in(&self, need: usize) -> bool {
        self.length.load(Ordering::Relaxed) == 0 || self.lock().is_next(Turn::HoldsNothing(u64::MAX), need)
    }

    /// For one who needs so much, and holds some already or does not.
    pub(super) fn join(&self, need: usize, holds_some: bool) -> Place<'_> {
        let mut waiting = self.lock();
        let turn = match holds_some {
            true => Turn::HoldsSome(waiting.next),
            false => Turn::HoldsNothing(waiting.next),
        };
        waiting.next += 1;
        waiting.needs.insert(turn, need);
        self.length.store(waiting.needs.len(), Ordering::Relaxed);
        drop(waiting);
        Place {
            queue: self,
            turn,
            need,
        }
    }

    /// There may be room.
    pub(super) fn look_again(&self) {
        self.moved.notify_waiters();
    }

    /// Whatever is told from now on.
    pub(super) fn moved(&self) -> Notified<'_> {
        self.moved.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_next(&self, turn: Turn, need: usize) -> bool {
        let mut before = self.needs.range(..turn);
        // What one of those who hold some waits for, another of them may hold.
        matches!(turn, Turn::HoldsSome(_)) || before.all(|(_, &other)| need.saturating_mul(LITTLE) <= other)
    }
}

impl Place<'_> {
    pub(super) fn is_next(&self) -> bool {
        self.queue.lock().is_next(self.turn, self.need)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        waiting.needs.remove(&self.turn);
        self.queue.length.store(waiting.needs.len(), Ordering::Relaxed);
        drop(waiting);
        self.queue.look_again();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_first_is_the_next_and_who_needs_little_waits_for_nobody_but_his_like() {
        let queue = Queue::default();
        assert!(queue.lets_in(usize::MAX));
        let (large, another) = (queue.join(1_000_000, false), queue.join(500_000, false));
        let (little, late) = (queue.join(20_000, false), queue.join(20_000, false));
        assert!(large.is_next() && little.is_next());
        assert!(!another.is_next() && !late.is_next());
        assert!(!queue.lets_in(20_000) && queue.lets_in(1000));
        drop(little);
        assert!(late.is_next() && !another.is_next());
        drop(large);
        assert!(another.is_next() && late.is_next());
        drop((another, late));
        assert!(queue.lets_in(usize::MAX));
    }

    #[test]
    fn who_holds_some_and_needs_more_goes_before_who_does_not() {
        let queue = Queue::default();
        let waits = queue.join(1_000_000, false);
        let holds = queue.join(1_000_000, true);
        let another = queue.join(2_000_000, true);
        assert!(holds.is_next() && another.is_next() && !waits.is_next());
        assert!(!queue.lets_in(100_000) && queue.lets_in(20_000));
        drop((holds, another));
        assert!(waits.is_next());
    }
}
