//! What a store counts. Who counts it is store.rs, keeper.rs and opening.rs.

use crate::persist::journal::JournalStats;
use crate::persist::opening::LoadStats;

/// What a store has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Of the journal.
    pub journal: JournalStats,
    /// Snapshots written since the start.
    pub snapshots: u64,
    /// When the last of them was finished, in Unix milliseconds; 0 = none yet.
    pub last_snapshot_at: u64,
    /// How long it took, in milliseconds.
    pub last_snapshot_millis: u64,
    /// Its length in bytes: that of the one that was loaded, if none was written since.
    pub last_snapshot_bytes: u64,
    /// Its entries.
    pub last_snapshot_entries: u64,
    /// The snapshot that is being written, if one is.
    pub snapshot: SnapshotProgress,
    /// How far loading has come.
    pub load: LoadStats,
    /// Entries and changes applied when the directory was opened.
    pub recovered: u64,
    /// Records that were known to be lost then.
    pub dropped: u64,
    /// Files in which there was damage then.
    pub damaged_files: u64,
    /// How long that took, in milliseconds.
    pub recovery_millis: u64,
    /// Whether something on the disk has failed since.
    pub failed: bool,
}

/// How far a snapshot has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotProgress {
    /// Whether one is being written; without, all are 0.
    pub is_under_way: bool,
    /// Entries written so far, or about to be.
    pub entries: u64,
    /// Entries that there were when it began.
    pub of: u64,
    /// Bytes written so far, or about to be.
    pub bytes: u64,
}
