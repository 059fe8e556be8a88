//! Walking over a cache a slice at a time: scan by cursor and prefix, and removal by prefix.

use super::shard::Walk;
use super::{Cache, Held, ScanEntry};

/// Slots looked at under one hold of a lock.
const SLOTS_PER_HOLD: u32 = 256;
/// Slots looked at for one page, so that a page of a rare prefix does not take for ever either.
const SLOTS_PER_PAGE: u32 = 64 * 1024;
/// A page of several entries holds at most this many bytes of keys and values.
const BYTES_PER_PAGE: usize = 1 << 20;

/// Where a scan goes on. The default is the beginning. It stays valid while the cache lives, whatever is written or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    shard: u32,
    slot: u32,
}

/// A part of a scan: see [`Cache::scan`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The entries found; may be fewer than asked for, even none, before the end.
    pub entries: Vec<ScanEntry>,
    /// Where to go on, or `None` at the end.
    pub next: Option<Cursor>,
}

impl Cursor {
    pub(crate) fn to_u64(self) -> u64 {
        u64::from(self.shard) << 32 | u64::from(self.slot)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    pub(crate) fn from_u64(cursor: u64) -> Self {
        Cursor {
            shard: (cursor >> 32) as u32,
            slot: cursor as u32,
        }
    }
}

impl Cache {
    /// A page of live entries whose keys begin with `prefix`, in no particular order.
    ///
    /// Going on until `next` is `None` gives every entry that was there throughout, exactly once. Entries written or removed meanwhile may or may
    /// not be among them. No lock is held for longer than a slice of 256 slots.
    pub fn scan(&self, cursor: Cursor, prefix: impl AsRef<[u8]>, limit: usize, with_values: bool) -> Page {
        let prefix = prefix.as_ref();
        let shards = &self.inner.shards;
        let mut page = Page::default();
        let mut bytes = 0;
        let mut slots_left = SLOTS_PER_PAGE;
        let mut at = cursor;
        while let Some(shard) = shards.get(at.shard as usize) {
            if slots_left == 0 || page.entries.len() >= limit {
                page.next = Some(at);
                return page;
            }
            let mut full = false;
            let now = self.inner.clock.now();
            let next = Held::new(shard).scan_slice(at.slot, SLOTS_PER_HOLD, prefix, now, |entry| {
                bytes += entry.key().len() + if with_values { entry.value().len() } else { 0 };
                // A page of one entry may be larger, or it would never be shown.
                full = bytes > BYTES_PER_PAGE && !page.entries.is_empty();
                if full {
                    return Walk::StopBefore;
                }
                page.entries.push(entry.to_scan_entry(with_values));
                if page.entries.len() >= limit {
                    Walk::StopAfter
                } else {
                    Walk::On
                }
            });
            slots_left = slots_left.saturating_sub(SLOTS_PER_HOLD);
            at = match next {
                Some(slot) => Cursor { slot, ..at },
                None => Cursor {
                    shard: at.shard + 1,
                    slot: 0,
                },
            };
            if full {
                page.next = Some(at);
                return page;
            }
        }
        page
    }

    /// Removes the live entries whose keys begin with `prefix` and gives their number; an empty prefix is [`clear`](Self::clear). Entries written meanwhile may
    /// or may not be removed. No lock is held for longer than a slice of 256 slots.
    pub fn clear_prefix(&self, prefix: impl AsRef<[u8]>) -> u64 {
        let prefix = prefix.as_ref();
        if prefix.is_empty() {
            return self.clear();
        }
        let mut removed = 0;
        for shard in &self.inner.shards {
            let mut from = Some(0);
            while let Some(slot) = from {
                let now = self.inner.clock.now();
                let (count, next) = Held::new(shard).clear_slice(slot, SLOTS_PER_HOLD, prefix, now);
                removed += count;
                from = next;
            }
        }
        removed
    }
}
