//! Walks over a typed cache: in pieces of some hundred entries, which are copied under a lock and shown without it.

use std::fmt;
use std::iter::FusedIterator;

use super::super::entry::TimeLeft;
use super::slots::{Held, Version};
use super::{TypedCache, shard};

/// The entries of a cache: see [`TypedCache::iter`].
///
/// ```
/// let cache = rustcache::TypedCache::builder().build()?;
/// cache.insert("a", 1);
/// let mut entries = cache.iter();
/// assert_eq!(entries.next(), Some(("a", 1)));
/// assert_eq!(entries.next(), None);
/// # Ok::<(), rustcache::BuildError>(())
/// ```
#[must_use = "an iterator does nothing until it is asked for an item"]
pub struct TypedIter<'c, K, V, S> {
    cache: &'c TypedCache<K, V, S>,
    walk: Walk,
    piece: std::vec::IntoIter<Seen<K, V>>,
}

/// An entry that was seen, and what tells it from one that is written over it.
struct Seen<K, V> {
    key: K,
    value: V,
    hash: u32,
    version: Version,
}

impl<K: Clone, V: Clone> Seen<K, V> {
    fn of(held: &Held<K, V>, _: TimeLeft) -> Self {
        Seen {
            key: held.key.clone(),
            value: held.value.clone(),
            hash: held.hash,
            version: held.version,
        }
    }
}

/// Where a walk goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    shard: usize,
    /// From this hash on, or with the next shard. A key's hash never changes, and the index is in the order of hashes: so each entry that is there throughout
    /// is met once.
    next: Option<u32>,
}

impl Walk {
    pub(super) const BEGIN: Walk = Walk {
        shard: 0,
        next: Some(0),
    };
}

impl<K: Clone, V: Clone, S> TypedCache<K, V, S> {
    /// All live entries, in no particular order: each that is there throughout is given once, and no key twice; those that are written or removed meanwhile may or may not be among
    /// them. Neither refreshes nor counts. No lock is held between two entries; keys and values are cloned some hundred at a time.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::builder().build()?;
    /// cache.insert("a", 1);
    /// cache.insert("b", 2);
    /// assert_eq!(cache.iter().map(|(_, value)| value).sum::<i32>(), 3);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn iter(&self) -> TypedIter<'_, K, V, S> {
        TypedIter {
            cache: self,
            walk: Walk::BEGIN,
            piece: Vec::new().into_iter(),
        }
    }

    /// Removes the entries for which `keep` is false, and gives their number. Walks as [`iter`](Self::iter) does; `keep` is called without a lock, and an entry that was written again
    /// since it was shown stays. ([Touching](Self::touch) it is no write.)
    ///
    /// ```
    /// let cache = rustcache::TypedCache::builder().build()?;
    /// for number in 0..10 {
    ///     cache.insert(number, number * number);
    /// }
    /// assert_eq!(cache.retain(|_, square| *square < 50), 2);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) -> u64 {
        // Nobody can ask `keep` of what is being loaded.
        self.inner.outdate_loads();
        let mut removed = 0;
        let mut walk = Walk::BEGIN;
        let mut piece = Vec::new();
        while self.next_piece(&mut walk, &mut piece, Seen::of) {
            let shard = walk.shard;
            for seen in piece.drain(..) {
                if keep(&seen.key, &seen.value) {
                    continue;
                }
                // Any hash of the shard: only the upper half tells one shard from another.
                let hash = (shard as u64) << 32 | u64::from(seen.hash);
                if let Some((key, value)) = self.remove_entry(hash, shard::is_version(seen.version)) {
                    removed += 1;
                    self.tell_removal(key, value);
                }
            }
            self.inner.shards[shard].let_others_in();
        }
        removed
    }

    /// Removes the entries for which `is_stale` holds, and gives their number: [`retain`](Self::retain), the other way round.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::builder().build()?;
    /// cache.insert("user:1".to_owned(), "Ada");
    /// cache.insert("page:1".to_owned(), "home");
    /// assert_eq!(cache.invalidate_if(|key, _| key.starts_with("user:")), 1);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn invalidate_if(&self, mut is_stale: impl FnMut(&K, &V) -> bool) -> u64 {
        self.retain(|key, value| !is_stale(key, value))
    }
}

impl<K: Clone, V: Clone, S> TypedCache<K, V, S> {
    /// Copies the next entries of a walk, all of one shard, which is the one that the walk stands in afterwards; `false` at the end. `copy` runs under the lock.
    pub(super) fn next_piece<T>(
        &self,
        walk: &mut Walk,
        piece: &mut Vec<T>,
        copy: impl Fn(&Held<K, V>, TimeLeft) -> T,
    ) -> bool {
        let mut slots = Vec::new();
        while let Some(shard) = self.inner.shards.get(walk.shard) {
            let Some(from) = walk.next else {
                *walk = Walk {
                    shard: walk.shard + 1,
                    next: Some(0),
                };
                continue;
            };
            let held = shard.hold();
            let now = self.inner.now_for(&held);
            walk.next = held.walk(from, now, &mut slots, |held, left| piece.push(copy(held, left)));
            drop(held);
            if !piece.is_empty() {
                return true;
            }
        }
        false
    }
}

impl<K: Clone, V: Clone, S> Iterator for TypedIter<'_, K, V, S> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        loop {
            if let Some(Seen { key, value, .. }) = self.piece.next() {
                return Some((key, value));
            }
            let mut piece = Vec::new();
            if !self.cache.next_piece(&mut self.walk, &mut piece, Seen::of) {
                return None;
            }
            self.piece = piece.into_iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let fetched = self.piece.len();
        let is_last = self.walk.shard >= self.cache.inner.shards.len();
        (fetched, is_last.then_some(fetched))
    }
}

// Past the last shard, where a walk ends, it stays.
impl<K: Clone, V: Clone, S> FusedIterator for TypedIter<'_, K, V, S> {}

impl<'c, K: Clone, V: Clone, S> IntoIterator for &'c TypedCache<K, V, S> {
    type Item = (K, V);
    type IntoIter = TypedIter<'c, K, V, S>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K, V, S> fmt::Debug for TypedIter<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedIter")
            .field("walk", &self.walk)
            .finish_non_exhaustive()
    }
}
