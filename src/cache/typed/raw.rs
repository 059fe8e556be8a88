//! A lower layer of a typed cache, for keys whose `==` must not run under a lock: objects of another language, which may call the cache from there, or let other threads in. Whoever
//! uses it hashes, weighs and compares by itself, and `judge`s keys under the lock only as far as that needs none of their code. Where that does not do, nothing is done, and the keys that are to be compared
//! are handed out; the caller compares them, and tries again with a `judge` that knows.
//!
//! No code of the user's runs under a lock but `Clone`, which is to count a reference and nothing else.

use super::super::entry::{Expiry, TimeLeft};
use super::TypedCache;
use super::options::{InsertOptions, TooHeavy};
use super::shard::{Found, Gone, Outcome, Shard, Spot};
use super::slots::Held;
use super::walk::Walk;

/// What can be said of two keys without running code of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// They are equal.
    Same,
    /// They are not.
    Different,
    /// Only their `==` can tell.
    Unknown,
}

/// What came of an operation on a key.
#[derive(Debug)]
pub enum Lookup<K, T> {
    /// The key is there.
    Hit(T),
    /// It is not.
    Miss,
    /// One of these keys may be equal to it. Nothing was done, and nothing counted.
    Unsure(Vec<K>),
}

/// What came of a write.
#[derive(Debug)]
pub enum RawWrite<K, V> {
    /// The entry was written; or it expires at once, and what the key held is gone.
    Stored,
    /// `admits` said no: nothing changed.
    Refused,
    /// The entry can never fit, and what the key held is gone.
    TooHeavy(TooHeavy),
    /// Nothing was done: see [`Lookup::Unsure`]. Key and value are given back.
    Unsure(K, V, Vec<K>),
}

/// Where a walk over all entries goes on: see [`TypedCache::raw_walk`].
#[derive(Debug, Clone, Copy)]
pub struct RawWalk(Walk);

impl RawWalk {
    /// From the beginning.
    pub fn begin() -> Self {
        RawWalk(Walk::BEGIN)
    }
}

/// Remembers whether a key was met of which it could not be told whether it is the one.
struct Search<J> {
    judge: J,
    is_unsure: bool,
}

impl<J> Search<J> {
    fn new(judge: J) -> Self {
        Search {
            judge,
            is_unsure: false,
        }
    }

    #[inline]
    fn is_it<K, V>(&mut self, held: &Held<K, V>) -> bool
    where
        J: FnMut(&K) -> Likeness,
    {
        match (self.judge)(&held.key) {
            Likeness::Same => true,
            Likeness::Different => false,
            Likeness::Unknown => {
                self.is_unsure = true;
                false
            }
        }
    }

    /// The keys of live entries that are to be compared.
    #[cold]
    fn candidates<K: Clone, V>(&mut self, held: &Shard<K, V>, hash: u32, now: u64) -> Vec<K>
    where
        J: FnMut(&K) -> Likeness,
    {
        let mut candidates = Vec::new();
        held.each_alike(hash, now, |held| {
            if (self.judge)(&held.key) == Likeness::Unknown {
                candidates.push(held.key.clone());
            }
        });
        candidates
    }
}

impl<K: Clone, V: Clone, S> TypedCache<K, V, S> {
    /// Reads an entry: counts, and refreshes it. `hash` has to be scattered over all of its 64 bits.
    #[doc(hidden)]
    #[inline]
    pub fn raw_get(&self, hash: u64, judge: impl FnMut(&K) -> Likeness) -> Lookup<K, V> {
        let (shard, low) = self.inner.place(hash);
        let mut search = Search::new(judge);
        let mut held = shard.hold();
        let now = self.inner.now_for(&held);
        match held.read_if_there(low, |held| search.is_it(held), now, |held| held.value.clone()) {
            Found::Live(value) => return Lookup::Hit(value),
            Found::Expired(slot) => {
                held.count_miss(low);
                self.expire(held, slot);
                return Lookup::Miss;
            }
            Found::Nothing => {}
        }
        if search.is_unsure {
            let candidates = search.candidates(&held, low, now);
            if !candidates.is_empty() {
                return Lookup::Unsure(candidates);
            }
        }
        held.count_miss(low);
        Lookup::Miss
    }

    /// Looks at an entry: neither counts nor refreshes.
    #[doc(hidden)]
    pub fn raw_peek(&self, hash: u64, judge: impl FnMut(&K) -> Likeness) -> Lookup<K, (V, TimeLeft)> {
        let (shard, low) = self.inner.place(hash);
        let mut search = Search::new(judge);
        let held = shard.hold();
        let now = self.inner.now_for(&held);
        let found = held.peek(
            low,
            |held| search.is_it(held),
            now,
            |held, left| (held.value.clone(), left),
        );
        match found {
            Found::Live(seen) => return Lookup::Hit(seen),
            Found::Expired(slot) => {
                self.expire(held, slot);
                return Lookup::Miss;
            }
            Found::Nothing => {}
        }
        match search.candidates(&held, low, now) {
            candidates if candidates.is_empty() => Lookup::Miss,
            candidates => Lookup::Unsure(candidates),
        }
    }

    /// Writes an entry of this weight if `admits` says so, which is shown the value that is there, under the lock. The condition of the options holds as well.
    /// Without a limit on weights, whoever calls this sees to it that their sum fits into 64 bits.
    #[doc(hidden)]
    pub fn raw_insert(
        &self,
        hash: u64,
        weight: u64,
        (key, value): (K, V),
        options: InsertOptions,
        judge: impl FnMut(&K) -> Likeness,
        admits: impl FnOnce(Option<&V>) -> bool,
    ) -> RawWrite<K, V> {
        let mut search = Search::new(judge);
        let mut candidates = Vec::new();
        let outcome = self.write_weighed(
            (key, value),
            weight,
            hash,
            options,
            |shard, hash, _, now, gone| {
                let found = shard.live(hash, |held| search.is_it(held), now, gone);
                if found.is_none() && search.is_unsure {
                    candidates = search.candidates(shard, hash, now);
                    if !candidates.is_empty() {
                        return Spot::Changed;
                    }
                }
                if admits(found.and_then(|slot| shard.value(slot))) {
                    Spot::of(found)
                } else {
                    Spot::Changed
                }
            },
        );
        match outcome {
            Outcome::Stored | Outcome::ExpiredAtOnce(..) => RawWrite::Stored,
            Outcome::Changed(key, value) if !candidates.is_empty() => {
                RawWrite::Unsure(key, value, candidates)
            }
            Outcome::Changed(..) | Outcome::Unmet(..) => RawWrite::Refused,
            Outcome::TooHeavy(..) => RawWrite::TooHeavy(TooHeavy {
                weight,
                max: self.inner.settings.max_weight_of_one,
            }),
        }
    }

    /// Removes an entry and gives it back.
    #[doc(hidden)]
    pub fn raw_remove(&self, hash: u64, judge: impl FnMut(&K) -> Likeness) -> Lookup<K, (K, V)> {
        let taken = self.with_live(hash, judge, |held, slot, _, gone| held.take(slot, gone));
        let (key, value) = match taken {
            Lookup::Hit(((), gone)) => match gone.into_iter().next() {
                Some((key, value, _)) => (key, value),
                None => return Lookup::Miss,
            },
            Lookup::Miss => return Lookup::Miss,
            Lookup::Unsure(candidates) => return Lookup::Unsure(candidates),
        };
        if self.inner.listener.is_none() {
            return Lookup::Hit((key, value));
        }
        let value = self.tell_removal(key.clone(), value);
        Lookup::Hit((key, value))
    }

    /// Gives an entry another deadline and makes it the most recently used one. [`Expiry::Keep`] only refreshes; one that has come already removes the entry.
    #[doc(hidden)]
    pub fn raw_touch(&self, hash: u64, expiry: Expiry, judge: impl FnMut(&K) -> Likeness) -> Lookup<K, ()> {
        let inner = &*self.inner;
        let touched = self.with_live(hash, judge, |held, slot, now, gone| {
            held.touch(slot, inner.deadline(expiry, now), now, gone);
        });
        inner.watch_if_needed(expiry);
        match touched {
            Lookup::Hit(((), gone)) => {
                inner.deliver(gone);
                Lookup::Hit(())
            }
            Lookup::Miss => Lookup::Miss,
            Lookup::Unsure(candidates) => Lookup::Unsure(candidates),
        }
    }

    /// The next live entries of a walk, some hundred of them, with the time that they have left; empty at the end. Each entry that is there throughout is met once.
    #[doc(hidden)]
    pub fn raw_walk(&self, walk: &mut RawWalk) -> Vec<(K, V, TimeLeft)> {
        let mut piece = Vec::new();
        self.next_piece(&mut walk.0, &mut piece, |held, left| {
            (held.key.clone(), held.value.clone(), left)
        });
        piece
    }

    /// The entry that would be evicted next, exactly so with LRU and one shard. Neither counts nor refreshes.
    #[doc(hidden)]
    pub fn raw_coldest(&self) -> Option<(K, V)> {
        let coldest = |held: &Held<K, V>| (held.key.clone(), held.value.clone());
        self.inner
            .shards
            .iter()
            .find_map(|shard| shard.hold().coldest().map(coldest))
    }

    /// Does something to the live entry that is meant. What left by that is given along with it: nothing of it has been told of.
    fn with_live<T>(
        &self,
        hash: u64,
        judge: impl FnMut(&K) -> Likeness,
        act: impl FnOnce(&mut Shard<K, V>, u32, u64, &mut Gone<K, V>) -> T,
    ) -> Lookup<K, (T, Gone<K, V>)> {
        let inner = &*self.inner;
        let (shard, low) = inner.place(hash);
        let mut search = Search::new(judge);
        let mut gone = Gone::new();
        let mut held = shard.hold();
        let now = inner.clock.now();
        if let Some(slot) = held.live(low, |held| search.is_it(held), now, &mut gone) {
            let result = act(&mut held, slot, now, &mut gone);
            return Lookup::Hit((result, gone));
        }
        let candidates = search.candidates(&held, low, now);
        drop(held);
        inner.deliver(gone);
        if candidates.is_empty() {
            Lookup::Miss
        } else {
            Lookup::Unsure(candidates)
        }
    }
}

impl<K, V, S> TypedCache<K, V, S> {
    /// Shows everything that is held, of those parts whose lock nobody has: it never waits. For garbage collectors. `show` runs under the lock.
    #[doc(hidden)]
    pub fn raw_try_each<E>(&self, mut show: impl FnMut(&K, &V) -> Result<(), E>) -> Result<(), E> {
        for shard in &self.inner.shards {
            if let Some(held) = shard.try_hold() {
                held.each(&mut show)?;
            }
        }
        Ok(())
    }

    /// Empties those parts whose lock nobody has, without telling of it: it never waits. For garbage collectors. What was held is in the result, to be dropped.
    #[doc(hidden)]
    pub fn raw_try_clear(&self) -> impl Sized + use<K, V, S> {
        let shards = self.inner.shards.iter();
        let old: Vec<Shard<K, V>> = shards
            .filter_map(|shard| shard.try_hold().map(|mut held| held.clear()))
            .collect();
        old
    }
}
