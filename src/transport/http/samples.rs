//! How the daemon does, once a second, for the last ten minutes.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime};

use serde::Serialize;

use crate::cache::Stats;
use crate::histogram::Counts;
use crate::persist::StoreStats;

use super::service::Service;

/// So many are kept: ten minutes.
pub(super) const KEPT: usize = 600;

/// What is told of a second.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    /// Unix milliseconds.
    pub(super) at: u64,
    seconds: f64,
    items: u64,
    bytes: u64,
    max_items: u64,
    max_bytes: u64,
    operations: u64,
    http: u64,
    stdio: u64,
    hits: u64,
    misses: u64,
    inserts: u64,
    updates: u64,
    removals: u64,
    evictions_by_items: u64,
    evictions_by_bytes: u64,
    expirations: u64,
    refused: u64,
    errors: u64,
    latency: Latency,
    connections: u64,
    memory: u64,
    persistent: bool,
    loading: bool,
    disk_failed: bool,
    loaded_bytes: u64,
    load_bytes: u64,
    journal_bytes: u64,
    journal_bytes_since_snapshot: u64,
    journal_syncs: u64,
    journal_sync_us: u64,
    snapshots: u64,
    snapshot_under_way: bool,
    snapshot_progress: u64,
    snapshot_entries: u64,
    last_snapshot_at_ms: u64,
    last_snapshot_bytes: u64,
    last_snapshot_entries: u64,
    last_snapshot_ms: u64,
}

/// Microseconds.
#[derive(Debug, Clone, Serialize)]
struct Latency {
    count: u64,
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

/// The samples of the last ten minutes, and what the next is told against.
#[derive(Debug)]
pub(super) struct Samples {
    kept: VecDeque<Sample>,
    before: Before,
}

/// What had been counted.
#[derive(Debug)]
struct Before {
    at: Instant,
    cache: Stats,
    directory: StoreStats,
    latencies: Counts,
    operations: u64,
    stdio: u64,
    errors: u64,
}

impl Before {
    fn of(service: &Service) -> Self {
        let traffic = &service.traffic;
        Before {
            at: Instant::now(),
            cache: service.backing.stats(),
            directory: service.backing.directory_stats().unwrap_or_default(),
            latencies: traffic.all(),
            operations: traffic.operations(),
            stdio: service.stdio.as_ref().map_or(0, |stdio| stdio.commands()),
            errors: traffic.refused()
                + traffic.failed()
                + service.stdio.as_ref().map_or(0, |stdio| stdio.refusals()),
        }
    }
}

impl Samples {
    pub(super) fn new(service: &Service) -> Self {
        Samples {
            kept: VecDeque::with_capacity(KEPT),
            before: Before::of(service),
        }
    }

    /// What was kept, after a moment in Unix milliseconds.
    pub(super) fn after(&self, at: u64) -> Vec<&Sample> {
        self.kept.iter().filter(|sample| sample.at > at).collect()
    }

    /// Takes the next.
    pub(super) fn take(&mut self, service: &Service) -> &Sample {
        let now = Before::of(service);
        let before = std::mem::replace(&mut self.before, now);
        let sample = sample(&before, &self.before, service);
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(sample);
        // One was pushed.
        &self.kept[self.kept.len() - 1]
    }
}

fn sample(before: &Before, now: &Before, service: &Service) -> Sample {
    let (cache, was) = (&now.cache, &before.cache);
    let (directory, directory_was) = (&now.directory, &before.directory);
    let latencies = now.latencies.since(&before.latencies);
    // Where the cache is being loaded they begin anew.
    let gained = |of: fn(&Stats) -> u64| of(cache).saturating_sub(of(was));
    let (http, stdio) = (latencies.total(), now.stdio - before.stdio);
    let settings = service.backing.settings();
    Sample {
        at: unix_millis(),
        seconds: (now.at - before.at).as_secs_f64(),
        items: cache.items,
        bytes: cache.bytes,
        max_items: settings.max_items().unwrap_or(0),
        max_bytes: settings.max_bytes().unwrap_or(0),
        operations: now.operations - before.operations + stdio,
        http,
        stdio,
        hits: gained(|stats| stats.hits),
        misses: gained(|stats| stats.misses),
        inserts: gained(|stats| stats.inserts),
        updates: gained(|stats| stats.updates),
        removals: gained(|stats| stats.removals),
        evictions_by_items: gained(|stats| stats.evictions_by_items),
        evictions_by_bytes: gained(|stats| stats.evictions_by_bytes),
        expirations: gained(|stats| stats.expirations),
        refused: gained(|stats| stats.refused),
        errors: now.errors.saturating_sub(before.errors),
        latency: Latency {
            count: http,
            p50: latencies.quantile(0.5),
            p90: latencies.quantile(0.9),
            p99: latencies.quantile(0.99),
            max: service.traffic.take_longest(),
        },
        connections: service.seats.count() as u64,
        memory: resident_memory().unwrap_or(0),
        persistent: service.backing.has_directory(),
        loading: directory.load.is_loading,
        disk_failed: directory.failed,
        loaded_bytes: directory.load.loaded_bytes,
        load_bytes: directory.load.load_bytes,
        journal_bytes: directory
            .journal
            .bytes
            .saturating_sub(directory_was.journal.bytes),
        journal_bytes_since_snapshot: directory.journal.bytes_since_snapshot,
        journal_syncs: directory
            .journal
            .syncs
            .saturating_sub(directory_was.journal.syncs),
        journal_sync_us: directory
            .journal
            .sync_micros
            .saturating_sub(directory_was.journal.sync_micros),
        snapshots: directory.snapshots.saturating_sub(directory_was.snapshots),
        snapshot_under_way: directory.snapshot.is_under_way,
        snapshot_progress: directory.snapshot.entries,
        snapshot_entries: directory.snapshot.of,
        last_snapshot_at_ms: directory.last_snapshot_at,
        last_snapshot_bytes: directory.last_snapshot_bytes,
        last_snapshot_entries: directory.last_snapshot_entries,
        last_snapshot_ms: directory.last_snapshot_millis,
    }
}

pub(super) fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Bytes of the process that are in memory, where the system tells.
pub(super) fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
