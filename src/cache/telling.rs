//! In which order a thread calls listeners, of whichever caches: one after the other, never from within each other. What is told, and why, is of no interest
//! here.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::unharmed::unharmed;

/// What is to be told by the thread.
type Call = Box<dyn FnOnce()>;

thread_local! {
    /// While this thread calls listeners: the calls that were caused by what they did.
    static CAUSED: RefCell<Option<VecDeque<Call>>> = const { RefCell::new(None) };
}

/// Calls a listener for each of these, in order. No lock of a cache may be held.
///
/// A listener may call caches. What leaves by that is told after all that is told now, by the call that is under way: calls are never nested, so that the
/// stack does not grow. A panic ends one call and nothing else: who made the entry leave has nothing to do with it.
pub(super) fn tell<T: 'static>(
    leaving: impl IntoIterator<Item = T>,
    listener: &(impl Fn(T) + Clone + 'static),
) {
    let call = |departure| {
        unharmed(|| listener(departure));
    };
    let begins = CAUSED.try_with(|caused| {
        let mut caused = caused.borrow_mut();
        let begins = caused.is_none();
        caused.get_or_insert_default();
        begins
    });
    match begins {
        Ok(false) => {
            for departure in leaving {
                let listener = listener.clone();
                later(Box::new(move || listener(departure)));
            }
        }
        Ok(true) => {
            let _telling = Telling;
            leaving.into_iter().for_each(call);
            while let Some(call) = next() {
                unharmed(call);
            }
        }
        // The thread is ending.
        Err(_) => leaving.into_iter().for_each(call),
    }
}

/// Ends whatever happens, or nothing would be told on this thread any more.
struct Telling;

impl Drop for Telling {
    fn drop(&mut self) {
        drop(CAUSED.take());
    }
}

fn later(call: Call) {
    CAUSED.with_borrow_mut(|caused| caused.get_or_insert_default().push_back(call));
}

fn next() -> Option<Call> {
    CAUSED.with_borrow_mut(|caused| caused.as_mut().and_then(VecDeque::pop_front))
}
