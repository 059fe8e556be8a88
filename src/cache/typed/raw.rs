//! A lower layer of a typed cache, for keys whose `==` must not run under a lock: objects of another language, which may call the cache from there, or let other threads in. Whoever
//! uses it hashes and compares by itself: a lookup by hash gives candidates, and what is done then is done to that very entry, if it is still there.
//!
//! No code of the user's runs under a lock but `Clone`, which is to count a reference and nothing else.

use super::options::InsertOptions;
use super::shard::{Found, Outcome, Shard, Spot, is_version};
use super::slots::{Held, Version};
use super::{TooHeavy, TypedCache};

/// An entry as it was seen. It stands for what was written then: once its key is written again, or it has gone, for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    version: Version,
}

/// What is found under a hash.
#[derive(Debug)]
pub enum Lookup<K, V> {
    /// One that is the same without asking `==`; it has been read.
    Hit(V),
    /// Those that have the hash, to be compared. Neither a hit nor a miss has been counted.
    Candidates(Vec<(K, Ticket)>),
    /// Nothing; a miss has been counted.
    Miss,
}

/// Entries of the hash have been written or removed since they were looked at: look again.
#[derive(Debug)]
pub struct Raced<K, V> {
    /// The key that was not written.
    pub key: K,
    /// The value that was not written.
    pub value: V,
}

impl<K: Clone, V: Clone, S> TypedCache<K, V, S> {
    /// Looks a hash up. `is_same` says whether a key is the one that is meant, as far as that can be told without its `==`: it runs under the lock. `hash` has to be scattered over all of its 64 bits.
    #[doc(hidden)]
    pub fn raw_lookup(&self, hash: u64, mut is_same: impl FnMut(&K) -> bool) -> Lookup<K, V> {
        let inner = &*self.inner;
        let (shard, low) = inner.place(hash);
        let mut held = shard.hold();
        let now = inner.now_for(&held);
        let mut alike = Vec::new();
        let mut same = None;
        held.each_alike(low, now, |held| {
            if is_same(&held.key) {
                same = Some(held.version);
            } else {
                alike.push(held.version);
            }
        });
        if let Some(version) = same {
            let found = held.read(low, is_version(version), now, |held| held.value.clone());
            return match found {
                Found::Live(value) => Lookup::Hit(value),
                // It was live at this very moment.
                Found::Expired(_) | Found::Nothing => Lookup::Miss,
            };
        }
        if alike.is_empty() {
            held.count_miss(low);
            return Lookup::Miss;
        }
        let mut candidates = Vec::with_capacity(alike.len());
        held.each_alike(low, now, |Held { key, version, .. }| {
            candidates.push((key.clone(), Ticket { version: *version }));
        });
        Lookup::Candidates(candidates)
    }

    /// Those that have the hash, to be compared before a write. Counts nothing.
    #[doc(hidden)]
    pub fn raw_candidates(&self, hash: u64) -> Vec<(K, Ticket)> {
        let (shard, hash) = self.inner.place(hash);
        let held = shard.hold();
        let now = self.inner.now_for(&held);
        let mut candidates = Vec::new();
        held.each_alike(hash, now, |Held { key, version, .. }| {
            candidates.push((key.clone(), Ticket { version: *version }));
        });
        candidates
    }

    /// Reads the very entry of a ticket, which counts as a hit; `None` if it is gone: look again.
    #[doc(hidden)]
    pub fn raw_read(&self, hash: u64, ticket: Ticket) -> Option<V> {
        let inner = &*self.inner;
        let (shard, hash) = inner.place(hash);
        let mut held = shard.hold();
        let now = inner.now_for(&held);
        let is_there = |held: &Shard<K, V>| held.peek(hash, is_version(ticket.version), now, |_, _| ());
        // Looked at first: a read of what is not there counts as a miss, which it is not until all candidates have been compared.
        if !matches!(is_there(&held), Found::Live(())) {
            return None;
        }
        match held.read(hash, is_version(ticket.version), now, |held| held.value.clone()) {
            Found::Live(value) => Some(value),
            Found::Expired(_) | Found::Nothing => None,
        }
    }

    /// Counts a miss: none of the candidates was the one.
    #[doc(hidden)]
    pub fn raw_miss(&self, hash: u64) {
        let (shard, hash) = self.inner.place(hash);
        shard.hold().count_miss(hash);
    }

    /// Writes an entry: in the place of the one of the ticket `over`, or as a new one. `seen` are the tickets of all candidates that were compared and differ: if there are others by now, or the one of
    /// `over` is gone, nothing is written.
    ///
    /// # Errors
    /// [`Raced`]: look again.
    #[doc(hidden)]
    pub fn raw_insert(
        &self,
        hash: u64,
        (key, value): (K, V),
        options: InsertOptions,
        over: Option<Ticket>,
        seen: &[Ticket],
    ) -> Result<Result<bool, TooHeavy>, Raced<K, V>> {
        let (outcome, weight) = self.write_at((key, value), hash, options, |shard, hash, _, now, gone| {
            let mut has_others = false;
            shard.each_alike(hash, now, |held| {
                let ticket = Ticket {
                    version: held.version,
                };
                has_others |= Some(ticket) != over && !seen.contains(&ticket);
            });
            match over.map(|over| shard.live(hash, is_version(over.version), now, gone)) {
                _ if has_others => Spot::Changed,
                None => Spot::New,
                Some(found) => found.map_or(Spot::Changed, Spot::Over),
            }
        });
        Ok(match outcome {
            Outcome::Stored | Outcome::ExpiredAtOnce(..) => Ok(true),
            Outcome::Unmet(..) => Ok(false),
            Outcome::Changed(key, value) => return Err(Raced { key, value }),
            Outcome::TooHeavy(..) => Err(TooHeavy {
                weight,
                max: self.inner.settings.max_weight_of_one,
            }),
        })
    }

    /// Removes the very entry of a ticket and gives it back; `None` if it is gone: look again.
    #[doc(hidden)]
    pub fn raw_remove(&self, hash: u64, ticket: Ticket) -> Option<(K, V)> {
        let (key, value) = self.remove_entry(hash, is_version(ticket.version))?;
        let value = match self.inner.listener {
            None => value,
            Some(_) => self.tell_removal(key.clone(), value),
        };
        Some((key, value))
    }
}
