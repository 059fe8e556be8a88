//! Work that takes long, out of the way of the requests that share its thread.

use tokio::task::block_in_place;

/// Reading, comparing or copying so many bytes takes about as long as a few requests.
const LONG: usize = 256 * 1024;

/// Does something about so many bytes; if they are many, other requests of this thread go on elsewhere meanwhile.
pub(super) fn about<R>(bytes: usize, work: impl FnOnce() -> R) -> R {
    if bytes > LONG {
        block_in_place(work)
    } else {
        work()
    }
}

/// Does something that may take long, whatever it is about.
pub(super) fn always<R>(work: impl FnOnce() -> R) -> R {
    block_in_place(work)
}
