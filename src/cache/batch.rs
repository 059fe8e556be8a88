//! Locks on shards: for one operation, or for a slice of many.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::departures::Unsettled;
use super::inner::NO_MATTER;
use super::payload::{Draft, takes_long};
use super::shard::{Hashed, Reserved};
use super::watch::Waiting;
use super::{Cache, EntryRef, Error, Inner, SetOptions, Shard};

/// How many keys of a batch are done under one hold of a lock.
pub(super) const BATCH_SLICE: u32 = 64;
/// Of how many keys of a batch the order is changed at most, so that those of one shard come together.
const MOST_PLANNED: usize = 1024;
/// After so many operations of one call, what has changed is settled: it must not gather without bound.
const SETTLED_TOGETHER: usize = 4096;
/// How long those who wait for a lock are let in, at most. Not for long: if there is always somebody, the work must get done all the same.
const PAUSE: Duration = Duration::from_micros(150);
/// Entries that are evicted under one hold of a lock for one that needs the place of many.
pub(super) const EVICTED_TOGETHER: u32 = 64;
/// How often that is done, and once more for each so many bytes that are wanted: whoever fills the room again in between must not keep it up for ever.
const LEAST_ROUNDS: u64 = 16;
const BYTES_PER_ROUND: u64 = 1024;

/// A shard behind its lock. Short operations, and no waiting for anything under it: a mutex of the standard library is right for that.
///
/// It is not fair, however: who lets it go and takes it again at once gets it, long before one who sleeps until it is free has woken up. Whoever has
/// much to do, a slice at a time, must let the others in between.
#[derive(Debug)]
pub(super) struct Locked {
    shard: Mutex<Shard>,
    waiting: Waiting,
}

impl Locked {
    pub(super) fn new(shard: Shard) -> Self {
        Locked {
            shard: Mutex::new(shard),
            waiting: Waiting::new(),
        }
    }

    pub(super) fn hold(&self) -> Held<'_> {
        let guard = Some(self.lock());
        Held { guard }
    }

    /// Does something while the shard is held.
    #[inline(always)]
    pub(super) fn with<R>(&self, operation: impl FnOnce(&mut Shard) -> R) -> R {
        let (result, unsettled) = self.with_unsettled(operation);
        if let Some(unsettled) = unsettled {
            unsettled.settle_silently();
        }
        result
    }

    /// The same, and leaves what there is to do afterwards to the caller.
    #[inline(always)]
    pub(super) fn with_unsettled<R>(
        &self,
        operation: impl FnOnce(&mut Shard) -> R,
    ) -> (R, Option<Unsettled>) {
        let mut guard = self.lock();
        let result = operation(&mut guard);
        (result, let_go(guard))
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Shard> {
        match self.shard.try_lock() {
            Ok(guard) => guard,
            // A panic while the lock was held leaves a shard that is at worst short of an entry: not a reason to fail all later calls.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => self.wait_for_lock(),
        }
    }

    /// If nobody else holds it.
    fn try_hold(&self) -> Option<Held<'_>> {
        let guard = match self.shard.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(Held { guard: Some(guard) })
    }

    #[cold]
    fn wait_for_lock(&self) -> MutexGuard<'_, Shard> {
        let wait = || self.shard.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.during(wait)
    }

    /// Keeps room for what may need the place of many others, and makes it a few entries at a time; it is kept until
    /// `end_reserving`. Whoever holds the lock for all of them keeps the others waiting for as long as a second.
    pub(super) fn reserve(
        &self,
        hash: u32,
        draft: &Draft<'_>,
        SetOptions {
            condition, expiry, ..
        }: SetOptions,
        inner: &Inner,
    ) -> Reserved {
        let reserved = {
            let mut held = self.hold();
            let now = inner.now();
            held.begin_reserving(hash, draft, inner.deadline(expiry, now), condition, now)
        };
        let rounds = LEAST_ROUNDS + reserved.bytes / BYTES_PER_ROUND;
        for _ in 0..rounds {
            let is_to_go_on = reserved.bytes > 0 && {
                let mut held = self.hold();
                held.make_reserved_room(reserved, EVICTED_TOGETHER, inner.now())
            };
            if !is_to_go_on {
                break;
            }
            self.let_others_in();
        }
        reserved
    }

    /// Waits until those who wait for the lock have had it, for a little while at most. Sleeping would take longer than waking them does.
    pub(super) fn let_others_in(&self) {
        if !self.waiting.is_anybody() {
            return;
        }
        let until = Instant::now() + PAUSE;
        while self.waiting.is_anybody() && Instant::now() < until {
            thread::yield_now();
        }
    }
}

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
    pub(super) fn read_together<K: AsRef<[u8]>>(
        &mut self,
        keys: &[K],
        mut seen: impl FnMut(usize, EntryRef<'_>),
    ) {
        for slice in plan(self.cache, keys.iter().map(AsRef::as_ref)).chunks(BATCH_SLICE as usize) {
            self.fetch(slice);
            for &Planned { shard, hash, at } in slice {
                let at = at as usize;
                let key = keys[at].as_ref();
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

    pub(crate) fn read<R>(&mut self, key: &[u8], seen: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
        let (number, key) = self.cache.hashed(key);
        let (shard, now) = self.next(number);
        shard.read(key, now, seen)
    }

    /// As [`Cache::take`].
    pub(crate) fn take<R>(&mut self, key: &[u8], seen: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
        let (number, key) = self.cache.hashed(key);
        let (shard, now) = self.next(number);
        shard.take(key, now, seen)
    }

    pub(crate) fn set(&mut self, key: &[u8], value: &[u8], options: SetOptions) -> Result<bool, Error> {
        self.cache.check(key, value)?;
        let inner = &self.cache.inner;
        let (number, key) = self.cache.hashed(key);
        if takes_long(value) {
            // Copying it may take longer than a lock may be held.
            self.release();
        }
        let draft = Draft::new(key.key, value, options.tag);
        let reserved = if takes_long(value) {
            inner.shards[number].reserve(key.hash, &draft, options, inner)
        } else {
            Reserved::default()
        };
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

/// A locked shard. When it is let go, what was too large to be freed under the lock is freed after it, and a listener is told of what has left.
pub(super) struct Held<'c> {
    /// `None` only while it is dropped.
    guard: Option<MutexGuard<'c, Shard>>,
}

impl std::ops::Deref for Held<'_> {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        self.guard.as_ref().expect("held until dropped")
    }
}

impl std::ops::DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Shard {
        self.guard.as_mut().expect("held until dropped")
    }
}

impl Held<'_> {
    /// Lets go of the lock, and leaves what there is to do afterwards to the caller.
    pub(super) fn let_go(mut self) -> Option<Unsettled> {
        self.end()
    }

    #[inline]
    fn end(&mut self) -> Option<Unsettled> {
        let_go(self.guard.take()?)
    }
}

#[inline]
fn let_go(guard: MutexGuard<'_, Shard>) -> Option<Unsettled> {
    if guard.has_graves() || guard.is_unsettled() {
        Some(let_go_unsettled(guard))
    } else {
        None
    }
}

#[cold]
fn let_go_unsettled(mut guard: MutexGuard<'_, Shard>) -> Unsettled {
    let keeper = guard.take_unsettled();
    let (graves, listener) = guard.take_graves();
    Unsettled::new(keeper, graves, listener)
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(unsettled) = self.end() {
            unsettled.settle_silently();
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        // Who has to tell has asked before.
        let _ = self.settle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::cache::{Observed, Observer};
    use crate::{CasOutcome, Clock, Cursor, Expiry, ManualClock, TimeLeft};

    const MILLI: Duration = Duration::from_millis(1);

    /// A cache of two shards and its hands; 64 keys in it have a millisecond to live.
    fn expiring() -> (Cache, ManualClock) {
        let (clock, hands) = Clock::manual();
        let cache = Cache::builder().clock(clock).shards(2).build().unwrap();
        for key in keys() {
            cache.set(&key, "7", SetOptions::ttl(MILLI)).unwrap();
        }
        (cache, hands)
    }

    fn keys() -> Vec<String> {
        (0..BATCH_SLICE).map(|key| key.to_string()).collect()
    }

    fn key_of(cache: &Cache, shard: usize) -> String {
        let mut keys = keys().into_iter();
        // One that no other begins with.
        let key = keys.find(|key| key.len() == 2 && cache.hashed(key.as_bytes()).0 == shard);
        key.expect("not all are in the other shard")
    }

    /// Does something that has to wait for the last shard, and lets `by` pass meanwhile.
    fn waiting<R: Send>(
        cache: &Cache,
        hands: &ManualClock,
        by: Duration,
        operation: impl FnOnce() -> R + Send,
    ) -> R {
        let shard = &cache.inner.shards[1];
        let held = shard.hold();
        thread::scope(|scope| {
            let waiter = scope.spawn(operation);
            while !shard.waiting.is_anybody() {
                assert!(!waiter.is_finished(), "it did not wait");
                thread::yield_now();
            }
            hands.advance(by);
            drop(held);
            waiter.join().expect("no panic")
        })
    }

    #[test]
    fn what_expires_while_its_lock_is_waited_for_is_not_served() {
        type IsGone = fn(&Cache, &str) -> bool;
        let gone: [(&str, IsGone); 11] = [
            ("get", |cache, key| cache.get(key).is_none()),
            ("get_many", |cache, key| cache.get_many([key]) == [None]),
            ("take", |cache, key| cache.take(key).is_none()),
            ("remove", |cache, key| !cache.remove(key)),
            ("remove_many", |cache, key| cache.remove_many([key]) == [false]),
            ("time_left", |cache, key| cache.time_left(key).is_none()),
            ("touch", |cache, key| !cache.touch(key, Expiry::Never)),
            ("increment", |cache, key| {
                cache.increment(key, 1, Expiry::Never) == Ok(1)
            }),
            ("compare_and_set", |cache, key| {
                cache.compare_and_set(key, "7", "8", SetOptions::default()) == Ok(CasOutcome::Missing)
            }),
            ("scan", |cache, _| {
                let mut next = Some(Cursor::default());
                let mut found = Vec::new();
                while let Some(cursor) = next {
                    let page = cache.scan(cursor, "", 1_000, false);
                    found.extend(page.entries.into_iter().map(|entry| cache.hashed(&entry.key).0));
                    next = page.next;
                }
                !found.contains(&1)
            }),
            ("clear_prefix", |cache, key| cache.clear_prefix(key) == 0),
        ];
        for (name, is_gone) in gone {
            let (cache, hands) = expiring();
            let key = key_of(&cache, 1);
            assert!(waiting(&cache, &hands, MILLI, || is_gone(&cache, &key)), "{name}");
        }
    }

    /// The keys that were written or removed, in order.
    #[derive(Debug, Default)]
    struct Changed(Mutex<Vec<Vec<u8>>>);

    impl Observer for Changed {
        fn changed(&self, change: &Observed<'_>) {
            if let Observed::Set { key, .. } | Observed::Remove { key } = change {
                self.0.lock().unwrap().push(key.to_vec());
            }
        }
    }

    #[test]
    fn a_batch_over_many_shards_goes_shard_by_shard_and_answers_in_the_order_of_its_keys() {
        let cache = Cache::builder().shards(16).build().unwrap();
        // More than two windows, each key twice.
        let keys: Vec<String> = (0..1_500).chain(0..1_500).map(|key| key.to_string()).collect();
        let changed = Arc::new(Changed::default());
        let observer: Arc<dyn Observer> = changed.clone();
        cache.observe(Some(&observer));
        let changes = |keys: &[Vec<u8>]| {
            let shard = |key: &Vec<u8>| cache.hashed(key).0;
            keys.windows(2)
                .filter(|two| shard(&two[0]) != shard(&two[1]))
                .count()
        };
        let told = || std::mem::take(&mut *changed.0.lock().unwrap());

        let entries = keys.iter().enumerate();
        let entries = entries.map(|(at, key)| (key, at.to_string(), SetOptions::default()));
        assert_eq!(cache.set_many(entries), vec![Ok(true); 3_000]);
        let written = told();
        assert_eq!(written.len(), 3_000);
        assert!(
            changes(&written) < 3 * 16,
            "the shard changes {} times",
            changes(&written)
        );

        let found = cache.get_many(&keys);
        for (key, found) in keys.iter().zip(found) {
            // What was written last.
            let value = (key.parse::<usize>().unwrap() + 1_500).to_string();
            assert_eq!(found.unwrap().value, value.as_bytes(), "{key}");
        }
        let mut read = Vec::new();
        let window = &keys[..cache.batch().window()];
        cache
            .batch()
            .read_together(window, |at, _| read.push(keys[at].clone().into_bytes()));
        assert_eq!(read.len(), window.len());
        assert!(changes(&read) < 16, "the shard changes {} times", changes(&read));

        let removed = cache.remove_many(&keys);
        assert!(
            removed
                .iter()
                .enumerate()
                .all(|(at, &removed)| removed == (at < 1_500))
        );
        let removed = told();
        assert_eq!(removed.len(), 1_500);
        assert!(
            changes(&removed) < 3 * 16,
            "the shard changes {} times",
            changes(&removed)
        );
    }

    #[test]
    fn fetching_ahead_waits_for_nobody() {
        let cache = Cache::builder().shards(2).build().unwrap();
        cache.set_many(keys().into_iter().map(|key| (key, "v", SetOptions::default())));
        let held = cache.inner.shards[1].hold();
        let mut batch = cache.batch();
        let keys = keys();
        // It would wait for ever.
        batch.expect(keys.iter().map(String::as_bytes));
        drop(held);
        assert!(
            keys.iter()
                .all(|key| batch.read(key.as_bytes(), |_| ()).is_some())
        );
    }

    #[test]
    fn a_slice_that_waits_for_another_lock_looks_at_the_clock_again() {
        let (cache, hands) = expiring();
        let found = waiting(&cache, &hands, MILLI, || cache.get_many(keys()));
        for (key, found) in keys().iter().zip(found) {
            let shard = cache.hashed(key.as_bytes()).0;
            assert_eq!(found.is_some(), shard == 0, "{key} in shard {shard}");
        }
    }

    #[test]
    fn a_ttl_counts_from_when_its_lock_is_held() {
        type Write = fn(&Cache, &str);
        let writes: [(&str, Write); 5] = [
            ("set", |cache, key| {
                cache.set(key, "v", SetOptions::ttl(MILLI)).unwrap();
            }),
            ("set_many", |cache, key| {
                cache.set_many([(key, "v", SetOptions::ttl(MILLI))]);
            }),
            ("touch", |cache, key| {
                cache.touch(key, Expiry::After(MILLI));
            }),
            ("increment", |cache, key| {
                cache.remove(key);
                cache.increment(key, 1, Expiry::After(MILLI)).unwrap();
            }),
            ("compare_and_set", |cache, key| {
                let outcome = cache.compare_and_set(key, "7", "8", SetOptions::ttl(MILLI));
                assert_eq!(outcome, Ok(CasOutcome::Stored));
            }),
        ];
        for (name, write) in writes {
            let (cache, hands) = expiring();
            let key = key_of(&cache, 1);
            waiting(&cache, &hands, MILLI * 9 / 10, || write(&cache, &key));
            assert_eq!(cache.time_left(&key), Some(TimeLeft::Left(MILLI)), "{name}");
        }
    }

    #[test]
    fn an_absolute_deadline_is_the_same_however_old_the_slice_is() {
        let (cache, hands) = expiring();
        let key = key_of(&cache, 1);
        let expiry = Expiry::At(cache.clock().unix_millis() + 10);
        let options = SetOptions {
            expiry,
            ..SetOptions::default()
        };
        let mut batch = cache.batch();
        assert!(batch.read(key.as_bytes(), |_| ()).is_some());
        hands.advance(MILLI / 2);
        batch.set(key.as_bytes(), b"v", options).unwrap();
        batch.release();
        assert_eq!(
            cache.time_left(&key),
            Some(TimeLeft::Left(MILLI * 10 - MILLI / 2))
        );
    }
}
