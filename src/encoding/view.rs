//! All values of one type under one prefix, as a small cache of that type.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{EncodingError, decode_entry};
use crate::{Cache, Iter, SetOptions};

/// The entries of a cache whose keys begin with a prefix, as values of one type: see [`Cache::encoded`]. A handle, cheap to clone.
///
/// ```
/// # use rustcache::Cache;
/// let cache = Cache::builder().build()?;
/// let scores = cache.encoded::<u32>("score:");
/// scores.set("ada", &3)?;
/// assert_eq!(scores.get("ada")?, Some(3));
/// assert!(cache.contains("score:ada"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EncodedView<T> {
    cache: Cache,
    prefix: Bytes,
    /// It makes and takes values of this type, and holds none.
    value: PhantomData<fn(T) -> T>,
}

impl Cache {
    /// The entries under a prefix as values of one type. A prefix for each type keeps types apart that MessagePack cannot tell from each other, such as two that wrap the same number; with an
    /// empty one, keys are as they are given.
    ///
    /// ```
    /// # use rustcache::Cache;
    /// # let cache = Cache::builder().build()?;
    /// let (ages, heights) = (cache.encoded::<u32>("age:"), cache.encoded::<u32>("height:"));
    /// ages.set("ada", &36)?;
    /// assert_eq!(heights.get("ada")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encoded<T>(&self, prefix: impl AsRef<[u8]>) -> EncodedView<T> {
        EncodedView {
            cache: self.clone(),
            prefix: Bytes::copy_from_slice(prefix.as_ref()),
            value: PhantomData,
        }
    }
}

impl<T> EncodedView<T> {
    /// The cache.
    ///
    /// ```
    /// # use rustcache::Cache;
    /// # let cache = Cache::builder().build()?;
    /// let ages = cache.encoded::<u32>("age:");
    /// ages.set("ada", &36)?;
    /// assert_eq!(ages.cache().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What the keys begin with.
    ///
    /// ```
    /// # use rustcache::Cache;
    /// # let cache = Cache::builder().build()?;
    /// assert_eq!(cache.encoded::<u32>("age:").prefix(), b"age:");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(super) fn key(&self, key: impl AsRef<[u8]>) -> Vec<u8> {
        [&self.prefix, key.as_ref()].concat()
    }

    /// Removes an entry; `false` if it was absent or had expired.
    ///
    /// ```
    /// # let cache = rustcache::Cache::builder().build()?;
    /// let scores = cache.encoded::<u32>("score:");
    /// scores.set("ada", &3)?;
    /// assert!(scores.remove("ada") && !scores.remove("ada"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove(&self, key: impl AsRef<[u8]>) -> bool {
        self.cache.remove(self.key(key))
    }

    /// Whether a live entry is there. Neither refreshes it nor counts.
    ///
    /// ```
    /// # let cache = rustcache::Cache::builder().build()?;
    /// let scores = cache.encoded::<u32>("score:");
    /// assert!(!scores.contains("ada"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        self.cache.contains(self.key(key))
    }

    /// Removes all entries under the prefix, whatever their type, and gives their number: see [`Cache::clear_prefix`].
    ///
    /// ```
    /// # let cache = rustcache::Cache::builder().build()?;
    /// let scores = cache.encoded::<u32>("score:");
    /// scores.set("ada", &3)?;
    /// assert_eq!(scores.clear(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear(&self) -> u64 {
        self.cache.clear_prefix(&self.prefix)
    }
}

impl<T: Serialize> EncodedView<T> {
    /// Writes a value, with the cache's default TTL.
    ///
    /// # Errors
    /// As for [`Cache::set_as`].
    ///
    /// ```
    /// # use rustcache::Cache;
    /// # let cache = Cache::builder().build()?;
    /// let ages = cache.encoded::<u32>("age:");
    /// ages.set("ada", &36)?;
    /// assert!(ages.contains("ada"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set(&self, key: impl AsRef<[u8]>, value: &T) -> Result<(), EncodingError> {
        self.set_with(key, value, SetOptions::default()).map(drop)
    }

    /// Writes a value; `Ok(false)` if the condition in the options did not hold.
    ///
    /// # Errors
    /// As for [`Cache::set_as`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::SetOptions;
    /// # let cache = rustcache::Cache::builder().build()?;
    /// let scores = cache.encoded::<u32>("score:");
    /// assert!(scores.set_with("ada", &3, SetOptions::ttl(Duration::from_secs(60)))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_with(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
        options: SetOptions,
    ) -> Result<bool, EncodingError> {
        self.cache.set_as(self.key(key), value, options)
    }
}

impl<T: DeserializeOwned> EncodedView<T> {
    /// Reads a value; `None` if it is absent or has expired.
    ///
    /// # Errors
    /// As for [`Cache::get_as`].
    ///
    /// ```
    /// # use rustcache::Cache;
    /// # let cache = Cache::builder().build()?;
    /// let ages = cache.encoded::<u32>("age:");
    /// ages.set("ada", &36)?;
    /// assert_eq!(ages.get("ada")?, Some(36));
    /// assert_eq!(ages.get("grace")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, EncodingError> {
        self.cache.get_as(self.key(key))
    }

    /// Reads many values, each as [`get`](Self::get) does it; the results are in the order of the keys. See [`Cache::get_many`].
    ///
    /// ```
    /// # let cache = rustcache::Cache::builder().build()?;
    /// let ages = cache.encoded::<u32>("age:");
    /// ages.set("ada", &36)?;
    /// assert_eq!(ages.get_many(["ada", "grace"]), [Ok(Some(36)), Ok(None)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Vec<Result<Option<T>, EncodingError>> {
        let found = self.cache.get_many(keys.into_iter().map(|key| self.key(key)));
        let values = found
            .into_iter()
            .map(|entry| entry.map(|entry| decode_entry(&entry)).transpose());
        values.collect()
    }

    /// Removes an entry and gives its value. One of another type is gone as well.
    ///
    /// # Errors
    /// As for [`Cache::get_as`].
    ///
    /// ```
    /// # let cache = rustcache::Cache::builder().build()?;
    /// let scores = cache.encoded::<u32>("score:");
    /// scores.set("ada", &3)?;
    /// assert_eq!(scores.take("ada")?, Some(3));
    /// assert_eq!(scores.take("ada")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, EncodingError> {
        let taken = self.cache.take(self.key(key));
        taken.map(|entry| decode_entry(&entry)).transpose()
    }

    /// The keys, without the prefix, and the values, in no particular order: as [`Cache::iter_prefix`] gives them.
    ///
    /// ```
    /// # let cache = rustcache::Cache::builder().build()?;
    /// let scores = cache.encoded::<u32>("score:");
    /// scores.set("ada", &3)?;
    /// let (key, score) = scores.iter().next().unwrap();
    /// assert_eq!((&key[..], score?), (&b"ada"[..], 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> EncodedIter<T> {
        EncodedIter {
            entries: self.cache.iter_prefix(&self.prefix),
            prefix: self.prefix.len(),
            value: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> IntoIterator for &EncodedView<T> {
    type Item = (Bytes, Result<T, EncodingError>);
    type IntoIter = EncodedIter<T>;

    fn into_iter(self) -> EncodedIter<T> {
        self.iter()
    }
}

impl<T> Clone for EncodedView<T> {
    fn clone(&self) -> Self {
        self.cache.encoded(&self.prefix)
    }
}

impl<T> fmt::Debug for EncodedView<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedView")
            .field("type", &std::any::type_name::<T>())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The entries of a [`EncodedView`].
///
/// ```
/// # use rustcache::Cache;
/// # let cache = Cache::builder().build()?;
/// let ages = cache.encoded::<u32>("age:");
/// ages.set("ada", &36)?;
/// ages.set("grace", &85)?;
/// let all: Vec<u32> = ages.iter().filter_map(|(_, age)| age.ok()).collect();
/// assert_eq!(all.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "an iterator does nothing until it is asked for an item"]
pub struct EncodedIter<T> {
    entries: Iter,
    /// Its length.
    prefix: usize,
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Iterator for EncodedIter<T> {
    type Item = (Bytes, Result<T, EncodingError>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, entry) = self.entries.next()?;
        Some((key.slice(self.prefix..), decode_entry(&entry)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl<T: DeserializeOwned> FusedIterator for EncodedIter<T> {}
