//! Loaders that ask for other keys: who would wait for himself is told so instead. A thread knows whose loaders it is running; a loader that waits is an
//! edge from its flight to the one it waits for, in one list for the process, and a wait that would close a circle is refused.
//!
//! Only a wait inside of a loader comes to the list: any other cannot close a circle, since nobody waits for who loads nothing. What a loader hands to other
//! threads or tasks and waits for is not seen.

use std::cell::RefCell;

use crate::sync::{Mutex, lock};

/// A flight: see `Flight::id`.
type Id = u64;

#[cfg(not(all(test, loom)))]
thread_local! {
    /// The flights whose loaders this thread is running, the innermost last.
    static RUNNING: RefCell<Vec<Id>> = const { RefCell::new(Vec::new()) };
}
#[cfg(not(all(test, loom)))]
static WAITS: Mutex<Vec<(Id, Id)>> = Mutex::new(Vec::new());

#[cfg(all(test, loom))]
loom::thread_local! {
    static RUNNING: RefCell<Vec<Id>> = RefCell::new(Vec::new());
}
#[cfg(all(test, loom))]
loom::lazy_static! {
    static ref WAITS: Mutex<Vec<(Id, Id)>> = Mutex::new(Vec::new());
}

/// This thread is in the loader of a flight until this is dropped; a loader that is a future is left at the end of each poll.
#[derive(Debug)]
pub(super) struct Inside(());

pub(super) fn enter(flight: Id) -> Inside {
    // A thread that is ending has no list any more, and is in no loader that could be asked for.
    let _ = RUNNING.try_with(|running| running.borrow_mut().push(flight));
    Inside(())
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = RUNNING.try_with(|running| running.borrow_mut().pop());
    }
}

/// It would wait for itself.
#[derive(Debug)]
pub(super) struct Reentrant;

/// Edges that go when the waiting is over.
#[derive(Debug)]
pub(super) struct Waits {
    from: Vec<Id>,
    to: Id,
}

/// Takes note that whatever this thread is loading waits for a flight.
pub(super) fn wait_for(to: Id) -> Result<Waits, Reentrant> {
    let from = RUNNING
        .try_with(|running| running.borrow().clone())
        .unwrap_or_default();
    if !from.is_empty() {
        let mut waits = lock(&WAITS);
        if leads_to(&waits, to, &from) {
            return Err(Reentrant);
        }
        waits.extend(from.iter().map(|&from| (from, to)));
    }
    Ok(Waits { from, to })
}

impl Drop for Waits {
    fn drop(&mut self) {
        if !self.from.is_empty() {
            let mut waits = lock(&WAITS);
            for &from in &self.from {
                if let Some(at) = waits.iter().position(|&edge| edge == (from, self.to)) {
                    waits.swap_remove(at);
                }
            }
        }
    }
}

/// Whether a flight is one of these, or waits for one of them, or for one that does.
fn leads_to(waits: &[(Id, Id)], flight: Id, ends: &[Id]) -> bool {
    let mut seen = vec![flight];
    let mut at = 0;
    while let Some(&id) = seen.get(at) {
        if ends.contains(&id) {
            return true;
        }
        at += 1;
        for &(from, to) in waits {
            if from == id && !seen.contains(&to) {
                seen.push(to);
            }
        }
    }
    false
}
