//! The hasher of typed caches that are not given another: seeded anew for each cache, so that nobody who chooses keys can choose their hashes. What it is made of is
//! not part of what the crate promises.

use std::hash::{BuildHasher, Hasher};

use super::super::seeds;

/// Hashes keys with a seed of its own. Fast, and not for use outside of a process: the same key has another hash in the next one.
///
/// ```
/// use std::hash::BuildHasher;
/// use rustcache::RandomState;
///
/// let state = RandomState::new();
/// assert_eq!(state.hash_one("key"), state.hash_one("key"));
/// ```
#[derive(Debug, Clone)]
pub struct RandomState(ahash::RandomState);

/// What a [`RandomState`] makes.
///
/// ```
/// use std::hash::{BuildHasher, Hasher};
///
/// let mut hasher = rustcache::RandomState::new().build_hasher();
/// hasher.write(b"bytes");
/// hasher.finish();
/// ```
#[derive(Debug, Clone)]
pub struct KeyHasher(ahash::AHasher);

impl RandomState {
    /// With a new seed.
    ///
    /// ```
    /// let state = rustcache::RandomState::new();
    /// # let _ = state;
    /// ```
    pub fn new() -> Self {
        RandomState(seeds::seeded())
    }
}

impl Default for RandomState {
    fn default() -> Self {
        Self::new()
    }
}

impl BuildHasher for RandomState {
    type Hasher = KeyHasher;

    #[inline]
    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(self.0.build_hasher())
    }
}

/// Each in its own way: ahash does a word at once.
macro_rules! forward {
    ($($write:ident($word:ty)),+) => {
        $(
            #[inline]
            fn $write(&mut self, word: $word) {
                self.0.$write(word);
            }
        )+
    };
}

impl Hasher for KeyHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0.finish()
    }

    forward!(
        write(&[u8]),
        write_u8(u8),
        write_u16(u16),
        write_u32(u32),
        write_u64(u64),
        write_u128(u128),
        write_usize(usize)
    );
}
