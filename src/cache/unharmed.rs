//! Running code of the user's (a listener, a `Drop`) for whoever is not to blame for its panics and has more to do. Nothing but that.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// `None` after a panic, which the panic hook has reported.
pub(super) fn unharmed<R>(run: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => Some(result),
        Err(payload) => {
            // What a panic was thrown with is the user's as well, and may panic when it is dropped.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(again);
            }
            None
        }
    }
}
