//! Keeping a cache in a directory: a journal of every change, and snapshots that let it be short.
//!
//! ```text
//! store.rs      Store: opens a directory, commits, decides when to write a snapshot
//! journal.rs    changes → memory → file            recovery.rs   which files, in which order
//! snapshot.rs   entries → file                     replay.rs     file → changes, past any damage
//! load.rs       changes → cache
//! format.rs     the bytes of both                  disk.rs       what is asked of the file system
//! ```
//! The engine knows nothing of this: it shows its changes to an observer, under the lock of a shard, which only appends to memory.

pub mod disk;
pub mod format;
mod journal;
mod load;
mod lock;
pub mod recovery;
pub mod replay;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;
mod window;

pub use journal::{Failure, JournalStats, Sync};
pub use recovery::{Recover, Recovery};
pub use store::{OnDiskError, OpenError, Store, StoreOptions, StoreStats};
