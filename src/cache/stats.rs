//! What the cache counts.

use std::ops::AddAssign;

/// Counters since the cache was built, and what it holds now.
///
/// ```
/// # use rustcache::{Cache, SetOptions};
/// # let cache = Cache::builder().build()?;
/// cache.set("a", "1", SetOptions::default())?;
/// cache.get("a");
/// cache.get("b");
/// let stats = cache.stats();
/// assert_eq!((stats.items, stats.inserts, stats.hits, stats.misses), (1, 1, 1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Entries held now, those past their deadline and not yet reclaimed included.
    pub items: u64,
    /// Bytes charged for them now: keys, values and overhead.
    pub bytes: u64,
    /// Entries with a deadline now.
    pub items_with_deadline: u64,
    /// Reads that found a live entry.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Entries written under a key that was absent.
    pub inserts: u64,
    /// Entries written over a live one.
    pub updates: u64,
    /// Live entries removed by a caller: remove, take, clear, a write that expires at once.
    pub removals: u64,
    /// Live entries that went because of `max_items`.
    pub evictions_by_items: u64,
    /// Live entries that went because of `max_bytes`.
    pub evictions_by_bytes: u64,
    /// Entries that went because their deadline had passed.
    pub expirations: u64,
    /// Writes refused because the entry can never fit.
    pub refused: u64,
}

impl Stats {
    /// Hits over reads, from 0 to 1; 0 before the first read.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// cache.get("a");
    /// cache.get("b");
    /// assert_eq!(cache.stats().hit_ratio(), 0.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    pub fn hit_ratio(&self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            reads => self.hits as f64 / reads as f64,
        }
    }
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        // Destructured, so that a new field cannot be forgotten here.
        let Stats {
            items,
            bytes,
            items_with_deadline,
            hits,
            misses,
            inserts,
            updates,
            removals,
            evictions_by_items,
            evictions_by_bytes,
            expirations,
            refused,
        } = other;
        self.items += items;
        self.bytes += bytes;
        self.items_with_deadline += items_with_deadline;
        self.hits += hits;
        self.misses += misses;
        self.inserts += inserts;
        self.updates += updates;
        self.removals += removals;
        self.evictions_by_items += evictions_by_items;
        self.evictions_by_bytes += evictions_by_bytes;
        self.expirations += expirations;
        self.refused += refused;
    }
}
