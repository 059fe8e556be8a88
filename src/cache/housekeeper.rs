//! The one background thread of the process: gives back the memory of expired entries, and frees what is too large to be freed
//! by a caller. It is started by the first cache that needs it and ends when there is nothing left to watch.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How often expired entries are looked for. An entry that nobody reads gives its memory back this long after its deadline, and a little. A thread
/// that has nothing to do waits as long before it ends: a lock that is taken and freed, an entry with a TTL each time, must not start one each time.
const PERIOD: Duration = Duration::from_millis(250);

/// Something with deadlines.
pub(super) trait Watched: Send + Sync {
    /// Removes what has expired; `false` if there is nothing left that will.
    fn tick(&self) -> bool;
}

struct Rounds {
    /// What has deadlines now.
    watched: Vec<Weak<dyn Watched>>,
    garbage: Vec<Box<dyn Any + Send>>,
    running: bool,
}

static ROUNDS: Mutex<Rounds> = Mutex::new(Rounds {
    watched: Vec::new(),
    garbage: Vec::new(),
    running: false,
});
static WORK: Condvar = Condvar::new();

/// Watches until `tick` says that nothing is left. `false` if the system gave no thread: then reads and evictions alone reclaim.
pub(super) fn watch(watched: Weak<dyn Watched>) -> bool {
    // Nobody is woken: the next round is early enough.
    give(|rounds| rounds.watched.push(watched))
}

/// Drops this soon, on the background thread (or here, if the system gave none).
pub(super) fn drop_later(garbage: Box<dyn Any + Send>) {
    give(|rounds| rounds.garbage.push(garbage));
    WORK.notify_one();
}

fn give(work: impl FnOnce(&mut Rounds)) -> bool {
    let mut rounds = lock();
    work(&mut rounds);
    if rounds.running {
        return true;
    }
    let started = thread::Builder::new()
        .name("rustcache-housekeeper".into())
        .spawn(run);
    rounds.running = started.is_ok();
    if started.is_err() {
        // Both lists were empty before: what is in them is what was given.
        let given = (
            std::mem::take(&mut rounds.watched),
            std::mem::take(&mut rounds.garbage),
        );
        drop(rounds);
        drop(given);
    }
    started.is_ok()
}

fn run() {
    let mut next_round = Instant::now() + PERIOD;
    let mut rounds = lock();
    loop {
        let garbage = std::mem::take(&mut rounds.garbage);
        if !garbage.is_empty() {
            drop(rounds);
            drop(garbage);
            rounds = lock();
        }
        let left = next_round.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            if rounds.garbage.is_empty() {
                rounds = WORK
                    .wait_timeout(rounds, left)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            continue;
        }
        let watched = std::mem::take(&mut rounds.watched);
        if watched.is_empty() && rounds.garbage.is_empty() {
            rounds.running = false;
            return;
        }
        drop(rounds);
        let remaining: Vec<_> = watched.into_iter().filter(tick).collect();
        rounds = lock();
        rounds.watched.extend(remaining);
        next_round = Instant::now() + PERIOD;
    }
}

/// The last handle of a cache may be dropped while we tick it: then it is freed here. One that panics is not looked after any more, but all others are.
fn tick(watched: &Weak<dyn Watched>) -> bool {
    let Some(cache) = watched.upgrade() else {
        return false;
    };
    panic::catch_unwind(AssertUnwindSafe(|| cache.tick())).unwrap_or(false)
}

fn lock() -> MutexGuard<'static, Rounds> {
    ROUNDS.lock().unwrap_or_else(PoisonError::into_inner)
}
