//! Many operations, a slice of them under each hold of a lock, with what they need fetched from memory ahead. What a hold is, `locked.rs` says.

#[cfg(test)]
mod tests;

use super::departures::Unsettled;
use super::inner::NO_MATTER;
use super::locked::Held;
use super::payload::{Draft, is_large};
use super::shard::Hashed;
use super::{Cache, EntryRef, Error, SetOptions, Shard};

/// How many keys of a batch are done under one hold of a lock.
pub(super) const BATCH_SLICE: u32 = 64;
/// Of how many keys of a batch the order is changed at most, so that those of one shard come together.
const MOST_PLANNED: usize = 1024;
/// After so many operations of one call, what has changed is settled: it must not gather without bound.
const SETTLED_TOGETHER: usize = 4096;

/// See [`Cache::batch`]. The time is read when a lock has been taken, never before: whoever waited for it must not serve what expired meanwhile, nor
/// begin a TTL before. The operations that follow under the same hold, `BATCH_SLICE` of them at most, are done at that time, which may be as old as the slice.
pub(crate) struct Batch<'c> {
    cache: &'c Cache,
    /// The shard that is held, and its number.
    held: Option<(usize, Held<'c>)>,
    /// When it was taken.
    now: u64,
    /// How many operations more are done before others are let in.
    left: u32,
    /// What is left to do about what was changed so far.
    unsettled: Option<Unsettled>,
    /// By how many operations.
    gathered: usize,
}

impl<'c> Batch<'c> {
    pub(super) fn new(cache: &'c Cache) -> Self {
        Batch {
            cache,
            held: None,
            now: 0,
            left: BATCH_SLICE,
            unsettled: None,
            gathered: 0,
        }
    }

    /// Says which keys come next, `BATCH_SLICE` of them at most: what is to be looked at for them is fetched from memory at the same time, instead
    /// of one after the other. Nothing else changes.
    pub(crate) fn expect<'k>(&mut self, keys: impl IntoIterator<Item = &'k [u8]>) {
        for slice in plan(self.cache, keys).chunks(BATCH_SLICE as usize) {
            self.fetch(slice);
        }
    }

    /// How many keys are best given to `together` at once: a slice for each shard.
    pub(super) fn window(&self) -> usize {
        (BATCH_SLICE as usize * self.cache.inner.shards.len()).min(MOST_PLANNED)
    }

    /// Does something for each of some keys, those of each shard together and in their order: `each` is told which one it is. What is to be looked at for
    /// them is fetched a slice at a time.
    pub(super) fn together<'k>(
        &mut self,
        keys: impl IntoIterator<Item = &'k [u8]>,
        mut each: impl FnMut(&mut Self, usize),
    ) {
        for slice in plan(self.cache, keys).chunks(BATCH_SLICE as usize) {
            self.fetch(slice);
            for planned in slice {
                each(self, planned.at as usize);
            }
        }
    }

    /// Reads some keys, those of each shard together: `seen` is told which one it is.
    pub(super) fn read_together(&mut self, keys: &[&[u8]], mut seen: impl FnMut(usize, EntryRef<'_>)) {
        for slice in plan(self.cache, keys.iter().copied()).chunks(BATCH_SLICE as usize) {
            self.fetch(slice);
            for &Planned { shard, hash, at } in slice {
                let at = at as usize;
                let key = keys[at];
                let (shard, now) = self.next(shard as usize);
                shard.read(Hashed { key, hash }, now, |entry| seen(at, entry));
            }
        }
    }

    /// Fetches what is to be looked at for `BATCH_SLICE` keys at most. Where they are of several shards, each step is done for all of them before the next one begins, or what
    /// a shard's few keys wait for would be waited for shard by shard; whoever holds a lock meanwhile is not waited for.
    fn fetch(&mut self, planned: &[Planned]) {
        let mut groups = planned.chunk_by(|one, other| one.shard == other.shard);
        let (Some(first), None) = (groups.next(), groups.next()) else {
            return self.fetch_by_steps(planned);
        };
        let hashes = first.iter().map(|planned| planned.hash);
        self.hold(first[0].shard as usize).0.prefetch(hashes);
    }

    fn fetch_by_steps(&mut self, planned: &[Planned]) {
        // Or its own lock would be in the way.
        self.let_go();
        let shards = &self.cache.inner.shards;
        let mut found = [None; BATCH_SLICE as usize];
        for step in 0..3 {
            let mut at = 0;
            for group in planned.chunk_by(|one, other| one.shard == other.shard) {
                let hashes = group.iter().map(|planned| planned.hash);
                let slots = at..at + group.len();
                at = slots.end;
                if let Some(held) = shards[group[0].shard as usize].try_hold() {
                    match step {
                        0 => held.prefetch_cells(hashes),
                        1 => held.prefetch_slots(hashes, &mut found[slots]),
                        _ => held.prefetch_entries(&found[slots]),
                    }
                }
            }
        }
    }

    #[cfg(feature = "daemon")]
    pub(crate) fn read<R>(&mut self, key: &[u8], seen: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
        let (number, key) = self.cache.hashed(key);
        let (shard, now) = self.next(number);
        shard.read(key, now, seen)
    }

    /// As [`Cache::take`].
    #[cfg(feature = "daemon")]
    pub(crate) fn take<R>(&mut self, key: &[u8], seen: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
        let (number, key) = self.cache.hashed(key);
        let (shard, now) = self.next(number);
        shard.take(key, now, seen)
    }

    pub(crate) fn set(&mut self, key: &[u8], value: &[u8], options: SetOptions) -> Result<bool, Error> {
        self.cache.check(key, value)?;
        let inner = &self.cache.inner;
        let (number, key) = self.cache.hashed(key);
        if is_large(key.key, value) {
            // Copying it may take longer than a lock may be held, and the room for it is made under holds of their own.
            self.release();
        }
        let draft = Draft::new(key.key, value, options.tag);
        let reserved = self.cache.reserve((number, key), &draft, options);
        let (shard, now) = if inner.may_expire(options.expiry) {
            self.next_in_time(number)
        } else {
            self.next(number)
        };
        let deadline = inner.deadline(options.expiry, now);
        shard.end_reserving(reserved);
        let stored = shard.store(key.hash, draft, deadline, options.condition, now);
        inner.watch_if_needed(options.expiry);
        stored
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let (number, key) = self.cache.hashed(key);
        let (shard, now) = self.next(number);
        shard.remove(key, now, |_| ()).is_some()
    }

    /// Lets go of the lock, for whoever calls the cache next while the batch lives.
    pub(crate) fn release(&mut self) {
        self.let_go();
        self.left = BATCH_SLICE;
    }

    /// Lets go of the lock and has all settled that was changed, if the cache is kept: before anybody is told that it is. Dropping the batch does it as well.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        self.release();
        self.unsettled.take().map_or(Ok(()), Unsettled::settle)
    }

    /// Lets go of the lock after some more operations, and settles if there is so much that it must not gather any longer, or somebody is to be told: in order, and before the caller's own
    /// code runs again.
    pub(super) fn release_after(&mut self, operations: usize) {
        self.release();
        self.gathered += operations;
        let is_told = |unsettled: &Unsettled| unsettled.is_to_be_told();
        if self.gathered >= SETTLED_TOGETHER || self.unsettled.as_ref().is_some_and(is_told) {
            self.gathered = 0;
            // What fails stays failed, and is told when all is done, unless all of it has come into a snapshot meanwhile.
            let _ = self.settle();
        }
    }

    fn let_go(&mut self) {
        let Some(mut after) = self.held.take().and_then(|(_, held)| held.let_go()) else {
            return;
        };
        after.free();
        match self.unsettled.take() {
            Some(before) => self.unsettled = Some(before.and_then(after)),
            None if after.is_to_be_kept() => self.unsettled = Some(after),
            None => after.settle_silently(),
        }
    }

    /// Does something with the shard of a key, as the next operation.
    pub(super) fn with_next<R>(
        &mut self,
        key: &[u8],
        operation: impl FnOnce(&mut Shard, Hashed<'_>, u64) -> R,
    ) -> R {
        let (number, key) = self.cache.hashed(key);
        let (shard, now) = self.next(number);
        operation(shard, key, now)
    }

    /// The shard of the next operation, and its time.
    fn next(&mut self, number: usize) -> (&mut Shard, u64) {
        if self.left == 0 {
            self.release();
            self.cache.inner.shards[number].let_others_in();
        }
        self.left -= 1;
        self.hold(number)
    }

    /// The shard, locked, and no other; and when that was.
    fn hold(&mut self, number: usize) -> (&mut Shard, u64) {
        if self.held.as_ref().is_some_and(|&(held, _)| held != number) {
            self.let_go();
        }
        let inner = &self.cache.inner;
        let now = &mut self.now;
        let (_, held) = self.held.get_or_insert_with(|| {
            let held = inner.shards[number].hold();
            *now = inner.now_for(&held);
            (number, held)
        });
        (held, *now)
    }

    /// As `next`, for an operation that may bring a deadline with it.
    fn next_in_time(&mut self, number: usize) -> (&mut Shard, u64) {
        let inner = &self.cache.inner;
        self.next(number);
        if self.now == NO_MATTER {
            self.now = inner.now();
        }
        self.hold(number)
    }
}

/// One of some keys.
#[derive(Debug, Clone, Copy)]
struct Planned {
    shard: u32,
    hash: u32,
    /// Which of the keys it is.
    at: u32,
}

/// Some keys by their shards; those of one shard in their order.
fn plan<'k>(cache: &Cache, keys: impl IntoIterator<Item = &'k [u8]>) -> Vec<Planned> {
    let number = |number: usize| u32::try_from(number).expect("few shards, and a slice of keys for each");
    let keys = keys.into_iter().enumerate();
    let planned = keys.map(|(at, key)| {
        let (shard, Hashed { hash, .. }) = cache.hashed(key);
        Planned {
            shard: number(shard),
            hash,
            at: number(at),
        }
    });
    let mut planned: Vec<Planned> = planned.collect();
    let shards = cache.inner.shards.len();
    if shards == 1 {
        return planned;
    }
    if planned.len() < shards {
        planned.sort_unstable_by_key(|planned| (planned.shard, planned.at));
        return planned;
    }
    // Counted, which takes a third of the time.
    let mut places = vec![0; shards];
    for planned in &planned {
        places[planned.shard as usize] += 1;
    }
    let mut begin = 0;
    for place in &mut places {
        begin += std::mem::replace(place, begin);
    }
    let mut in_order = planned.clone();
    for planned in planned {
        let place = &mut places[planned.shard as usize];
        in_order[*place] = planned;
        *place += 1;
    }
    in_order
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        // Who has to tell has asked before.
        let _ = self.settle();
    }
}
