//! Operations on many keys by one call, in the order of the caller's iterator, which runs without a lock.

use super::{Batch, Cache, Entry, Error, SetOptions};

/// Results for which there is room from the beginning, whatever an iterator says of its length.
const MOST_RESERVED: usize = 4096;

impl Cache {
    /// Entries under many keys, in their order; each as [`get`](Self::get) does it. The clock is read once for those
    /// of up to 64 keys that are in one shard: what expires while they are read may still be among them.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// let found = cache.get_many(["a", "b"]);
    /// assert_eq!(found[0].as_ref().unwrap().value, "1");
    /// assert!(found[1].is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Vec<Option<Entry>> {
        self.in_slices(&mut self.batch(), keys, |batch, keys, results| {
            let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
            let begin = results.len();
            results.resize(begin + keys.len(), None);
            batch.read_together(&keys, |at, entry| results[begin + at] = Some(entry.to_entry()));
        })
    }

    /// Writes many values, each as [`set`](Self::set) does it; the results are in their order. Entries of one shard are written in their order; of several shards, one
    /// shard after the other, in windows of up to 1024 keys. The clock may be read once for up to
    /// 64 of them: their TTLs count from when the first of those is written.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// let results = cache.set_many([("a", "1"), ("b", "2")].map(|(key, value)| (key, value, SetOptions::default())));
    /// assert_eq!(results, [Ok(true), Ok(true)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        entries: impl IntoIterator<Item = (K, V, SetOptions)>,
    ) -> Vec<Result<bool, Error>> {
        let mut batch = self.batch();
        let mut results = self.in_slices(&mut batch, entries, |batch, entries, results| {
            let bytes: Vec<(&[u8], &[u8])> = entries
                .iter()
                .map(|(key, value, _)| (key.as_ref(), value.as_ref()))
                .collect();
            let begin = results.len();
            results.resize(begin + entries.len(), Ok(false));
            batch.together(bytes.iter().map(|&(key, _)| key), |batch, at| {
                let (key, value) = bytes[at];
                results[begin + at] = batch.set(key, value, entries[at].2);
            });
        });
        if let Err(error) = batch.settle() {
            let stored = results.iter_mut().filter(|result| **result == Ok(true));
            stored.for_each(|result| *result = Err(error.clone()));
        }
        results
    }

    /// Removes many entries; the results are in their order. They are removed as [`set_many`](Self::set_many) writes: one shard after the other.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// assert_eq!(cache.remove_many(["a", "b"]), [true, false]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_many<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Vec<bool> {
        self.in_slices(&mut self.batch(), keys, |batch, keys, results| {
            let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
            let begin = results.len();
            results.resize(begin + keys.len(), false);
            batch.together(keys.iter().copied(), |batch, at| {
                results[begin + at] = batch.remove(keys[at]);
            });
        })
    }

    /// Does something with the items of a caller's iterator, a window of them at a time. The iterator runs without a lock, and `each` begins without one: the caller's code, and
    /// what gives the bytes of its keys and values is that as well, may be slow, or call the cache.
    fn in_slices<T, R>(
        &self,
        batch: &mut Batch<'_>,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Batch<'_>, &[T], &mut Vec<R>),
    ) -> Vec<R> {
        let mut items = items.into_iter();
        let mut results = Vec::with_capacity(items.size_hint().0.min(MOST_RESERVED));
        let window = batch.window();
        let mut slice = Vec::new();
        loop {
            slice.clear();
            slice.extend(items.by_ref().take(window));
            if slice.is_empty() {
                return results;
            }
            each(batch, &slice, &mut results);
            batch.release_after(slice.len());
        }
    }
}
