//! The numbers that tell how a cache and its directory are, by the names under which every face gives them.

use crate::Cache;
use crate::cache::Stats;
use crate::persist::StoreStats;

pub(crate) fn of_cache(cache: &Cache, stats: &Stats) -> [(&'static str, u64); 16] {
    [
        ("items", stats.items),
        ("bytes", stats.bytes),
        ("items_with_deadline", stats.items_with_deadline),
        ("max_items", cache.max_items().unwrap_or(0)),
        ("max_bytes", cache.max_bytes().unwrap_or(0)),
        ("max_key_bytes", cache.max_key_bytes() as u64),
        ("max_value_bytes", cache.max_value_bytes() as u64),
        ("hits", stats.hits),
        ("misses", stats.misses),
        ("inserts", stats.inserts),
        ("updates", stats.updates),
        ("removals", stats.removals),
        ("evictions_by_items", stats.evictions_by_items),
        ("evictions_by_bytes", stats.evictions_by_bytes),
        ("expirations", stats.expirations),
        ("refused", stats.refused),
    ]
}

/// All are 0 where there is no directory.
pub(crate) fn of_directory(stats: Option<StoreStats>) -> [(&'static str, u64); 25] {
    let persistent = u64::from(stats.is_some());
    let stats = stats.unwrap_or_default();
    [
        ("persistent", persistent),
        ("journal_records", stats.journal.records),
        ("journal_bytes", stats.journal.bytes),
        ("journal_bytes_since_snapshot", stats.journal.bytes_since_snapshot),
        ("journal_syncs", stats.journal.syncs),
        ("journal_sync_us", stats.journal.sync_micros),
        ("journal_longest_sync_us", stats.journal.longest_sync_micros),
        ("snapshots", stats.snapshots),
        ("last_snapshot_at_ms", stats.last_snapshot_at),
        ("last_snapshot_ms", stats.last_snapshot_millis),
        ("last_snapshot_bytes", stats.last_snapshot_bytes),
        ("last_snapshot_entries", stats.last_snapshot_entries),
        ("snapshot_under_way", u64::from(stats.snapshot.is_under_way)),
        ("snapshot_progress", stats.snapshot.entries),
        ("snapshot_entries", stats.snapshot.of),
        ("snapshot_bytes", stats.snapshot.bytes),
        ("loading", u64::from(stats.load.is_loading)),
        ("loaded_bytes", stats.load.loaded_bytes),
        ("load_bytes", stats.load.load_bytes),
        ("loaded_entries", stats.load.loaded_entries),
        ("recovered", stats.recovered),
        ("dropped_records", stats.dropped),
        ("recovery_ms", stats.recovery_millis),
        ("disk_failed", u64::from(stats.failed)),
        ("damaged_files", stats.damaged_files),
    ]
}
