//! The one background thread of the process: gives back the memory of expired entries, and frees what is too large to be freed
//! by a caller. It is started by the first cache that needs it and ends when there is nothing left to watch.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::unharmed::unharmed;

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
/// Held while the thread runs code of caches: see `Pause`.
static AT_WORK: Mutex<()> = Mutex::new(());

thread_local! {
    static IS_THIS_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is the background thread.
#[doc(hidden)]
pub fn is_background_thread() -> bool {
    IS_THIS_THREAD.get()
}

/// For programs that fork, and go on in the child: while there is one of these, the background thread does nothing. What it guards is in order then, and nothing of it is locked by a thread that the child
/// does not have.
#[doc(hidden)]
pub struct Pause {
    /// `None` if the background thread itself forks.
    _at_work: Option<MutexGuard<'static, ()>>,
    rounds: Option<MutexGuard<'static, Rounds>>,
}

impl Pause {
    /// Waits until the background thread has nothing in hand, which may be code of the program's.
    pub fn begin() -> Self {
        let at_work = || AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
        Pause {
            _at_work: (!is_background_thread()).then(at_work),
            rounds: None,
        }
    }

    /// To be called immediately before the fork; waits for a moment at most.
    pub fn hold(&mut self) {
        self.rounds = Some(lock());
    }

    /// Ends it, in the child: that has no background thread, and gets one if something is to be looked after.
    pub fn end_in_child(mut self) {
        if let Some(rounds) = &mut self.rounds {
            rounds.running = false;
            if !rounds.watched.is_empty() || !rounds.garbage.is_empty() {
                // If there is none to be had, the next who needs one tries again.
                rounds.running = start();
            }
        }
    }
}

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
    rounds.running = start();
    let started = rounds.running;
    if !started {
        // Both lists were empty before: what is in them is what was given.
        let given = (
            std::mem::take(&mut rounds.watched),
            std::mem::take(&mut rounds.garbage),
        );
        drop(rounds);
        drop(given);
    }
    started
}

/// `false` if the system gave no thread.
fn start() -> bool {
    let thread = thread::Builder::new().name("rustcache-housekeeper".into());
    thread.spawn(run).is_ok()
}

fn run() {
    IS_THIS_THREAD.set(true);
    let mut next_round = Instant::now() + PERIOD;
    loop {
        let is_round = wait_until(next_round);
        // First, so that whoever makes a pause finds in the lists what there is.
        let at_work = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rounds = lock();
        let garbage = std::mem::take(&mut rounds.garbage);
        let watched = if is_round {
            std::mem::take(&mut rounds.watched)
        } else {
            Vec::new()
        };
        if is_round && watched.is_empty() && garbage.is_empty() {
            rounds.running = false;
            return;
        }
        drop(rounds);
        for one in garbage {
            unharmed(|| drop(one));
        }
        if is_round {
            let remaining: Vec<_> = watched.into_iter().filter(tick).collect();
            lock().watched.extend(remaining);
            next_round = Instant::now() + PERIOD;
        }
        drop(at_work);
    }
}

/// Whether it is time for a round; else there is garbage.
fn wait_until(next_round: Instant) -> bool {
    let mut rounds = lock();
    loop {
        let left = next_round.saturating_duration_since(Instant::now());
        if left.is_zero() || !rounds.garbage.is_empty() {
            return left.is_zero();
        }
        rounds = WORK
            .wait_timeout(rounds, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

impl fmt::Debug for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pause").finish_non_exhaustive()
    }
}

/// The last handle of a cache may be dropped while we tick it: then it is freed here. One that panics is not looked after any more, but all others are.
fn tick(watched: &Weak<dyn Watched>) -> bool {
    unharmed(|| watched.upgrade().is_some_and(|cache| cache.tick())).unwrap_or(false)
}

fn lock() -> MutexGuard<'static, Rounds> {
    ROUNDS.lock().unwrap_or_else(PoisonError::into_inner)
}
