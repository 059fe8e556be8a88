//! What all handles of a typed cache share: the shards, the time, deadlines, and how what has left is told of. All code of the user's runs in here without a lock, but for
//! what shard.rs names.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use super::super::clock::{Clock, NEVER, duration};
use super::super::entry::Expiry;
use super::super::housekeeper::{self, Watched};
use super::super::inner::{NO_MATTER, is_storm};
use super::super::policy::PolicyKind;
use super::super::shard::{Deadline, index_hash};
use super::super::unharmed::unharmed;
use super::super::watch::Watch;
use super::super::{RECLAIM_SLICE, TIDY_SLICE, telling};
use super::RemovalCause;
use super::lock::Locked;
use super::shard::{Gone, Shard};

/// What was given to the builder: told of what leaves.
pub(super) type Listener<K, V> = Arc<dyn Fn(K, V, RemovalCause) + Send + Sync>;
/// Tells a listener of all that has left by a call, each thing in its turn: see telling.rs.
pub(super) type Tell<K, V> = Box<dyn Fn(Gone<K, V>) + Send + Sync>;
/// Says what an entry weighs.
pub(super) type Weigher<K, V> = Box<dyn Fn(&K, &V) -> u64 + Send + Sync>;

/// Calls what it is given until that says that nothing is left, in the way that keys and values need.
pub(super) type Attendant = Box<dyn Fn(&mut dyn FnMut() -> bool) + Send + Sync>;

/// What the builder was told, in the engine's units.
pub(super) struct Settings {
    pub(super) max_items: Option<u64>,
    pub(super) max_weight: Option<u64>,
    /// The most that one entry may weigh.
    pub(super) max_weight_of_one: u64,
    /// Nanoseconds, or `NEVER`.
    pub(super) default_ttl: u64,
    /// Nanoseconds, or `NEVER`.
    pub(super) time_to_idle: u64,
    pub(super) policy: PolicyKind,
}

pub(super) struct Inner<K, V, S> {
    pub(super) shards: Box<[Locked<Shard<K, V>>]>,
    pub(super) hasher: S,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) listener: Option<Tell<K, V>>,
    pub(super) weigher: Option<Weigher<K, V>>,
    /// Who reclaims in the background, if not just anybody may drop what is kept.
    pub(super) attendant: Option<Attendant>,
    /// Whether the housekeeper comes by.
    pub(super) watch: Watch,
    /// The `KeyLocks<K>`, made when a key is locked for the first time. Of any type, since they ask more of a key than the cache does.
    pub(super) key_locks: OnceLock<Arc<dyn Any + Send + Sync>>,
    pub(super) itself: Weak<dyn Watched>,
}

impl<K, V, S> Inner<K, V, S> {
    /// The shard of a hash, and the part of it that the shard uses.
    #[inline]
    pub(super) fn place(&self, hash: u64) -> (&Locked<Shard<K, V>>, u32) {
        let number = (hash >> 32) as usize & (self.shards.len() - 1);
        (&self.shards[number], index_hash(hash))
    }

    /// The time, for an operation on a shard that is held and that brings no deadline with it.
    #[inline]
    pub(super) fn now_for(&self, held: &Shard<K, V>) -> u64 {
        if held.has_deadlines() {
            self.clock.now()
        } else {
            NO_MATTER
        }
    }

    /// The time, for a write to a shard that is held.
    #[inline]
    pub(super) fn now_to_write(&self, held: &Shard<K, V>, expiry: Expiry) -> u64 {
        if self.may_expire(expiry) {
            self.clock.now()
        } else {
            self.now_for(held)
        }
    }

    #[inline]
    pub(super) fn deadline(&self, expiry: Expiry, now: u64) -> Deadline {
        expiry.deadline(self.settings.default_ttl, now, &self.clock)
    }

    /// Whether an entry that is written with this may get a deadline by it.
    #[inline]
    fn may_expire(&self, expiry: Expiry) -> bool {
        expiry.may_give_deadline(self.settings.default_ttl) || self.settings.time_to_idle != NEVER
    }

    /// Asks the housekeeper to come by, if a deadline may just have been written and it does not yet. To be called after the write.
    #[inline]
    pub(super) fn watch_if_needed(&self, expiry: Expiry) {
        if self.may_expire(expiry) {
            housekeeper::see_to(&self.watch, || self.itself.clone());
        }
    }

    /// What is being loaded for keys of this hash may be older than the write that comes now.
    pub(super) fn outdate_load(&self, hash: u64) {
        let (shard, hash) = self.place(hash);
        shard.hold().outdate_load(hash);
    }

    /// As `outdate_load`, for all keys.
    pub(super) fn outdate_loads(&self) {
        for shard in &self.shards {
            shard.hold().outdate_loads();
        }
    }

    /// What an entry weighs, for the limit.
    #[inline]
    pub(super) fn weigh(&self, key: &K, value: &V) -> u64 {
        match &self.weigher {
            None => 1,
            // Without a limit, the sum is for statistics: it must not overflow.
            Some(weigher) if self.settings.max_weight.is_none() => weigher(key, value).min(u32::MAX.into()),
            Some(weigher) => weigher(key, value),
        }
    }

    /// Tells the listener of what has left, or drops it. Not under a lock.
    #[inline]
    pub(super) fn deliver(&self, gone: Gone<K, V>) {
        if let Some(tell) = &self.listener
            && !gone.is_empty()
        {
            tell(gone);
        }
    }

    /// Removes what has expired. `tidies`: gives back what that leaves vacant also if most of what is left is likely to go soon.
    pub(super) fn reclaim(&self, tidies: bool) {
        for shard in &self.shards {
            let now = self.clock.now();
            let before = shard.hold().stats();
            loop {
                let mut gone = Gone::new();
                let more = shard.hold().reclaim(RECLAIM_SLICE, now, &mut gone);
                self.deliver_unharmed(gone);
                if !more {
                    break;
                }
                shard.let_others_in();
            }
            let after = shard.hold().stats();
            if is_storm(&before, &after) && !tidies {
                continue;
            }
            while shard.hold().tidy(TIDY_SLICE) {
                shard.let_others_in();
            }
        }
    }

    /// Removes a slice of what has expired; `false` if nothing is left that has.
    fn reclaim_slice(&self) -> bool {
        for shard in &self.shards {
            let now = self.clock.now();
            let mut gone = Gone::new();
            let more = {
                let mut held = shard.hold();
                held.reclaim(RECLAIM_SLICE, now, &mut gone) || held.tidy(TIDY_SLICE)
            };
            let some = !gone.is_empty();
            self.deliver_unharmed(gone);
            if more || some {
                return true;
            }
        }
        false
    }

    /// Whether something has expired, or is left vacant.
    fn is_anything_due(&self) -> bool {
        let now = self.clock.now();
        self.shards.iter().any(|shard| shard.hold().is_due(now))
    }

    /// As `deliver`, for whoever is not to blame for it if the drop of an entry panics, and has more to do.
    fn deliver_unharmed(&self, gone: Gone<K, V>) {
        if let Some(tell) = &self.listener {
            return tell(gone);
        }
        for entry in gone {
            unharmed(|| drop(entry));
        }
    }
}

/// To be kept by the cache.
pub(super) fn telling<K: 'static, V: 'static>(listener: Listener<K, V>) -> Tell<K, V> {
    Box::new(move |gone| {
        let listener = Arc::clone(&listener);
        telling::tell(gone, &move |(key, value, cause)| listener(key, value, cause));
    })
}

impl<K: Send, V: Send, S: Send + Sync> Watched for Inner<K, V, S> {
    fn tick(&self) -> bool {
        match &self.attendant {
            None => self.reclaim(false),
            Some(attendant) if self.is_anything_due() => attendant(&mut || self.reclaim_slice()),
            Some(_) => {}
        }
        let is_any_left = || self.shards.iter().any(|shard| shard.hold().has_deadlines());
        self.watch.goes_on(is_any_left)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings {
            max_items,
            max_weight,
            max_weight_of_one,
            default_ttl,
            time_to_idle,
            policy,
        } = self;
        f.debug_struct("Settings")
            .field("max_items", max_items)
            .field("max_weight", max_weight)
            .field("max_weight_of_one", max_weight_of_one)
            .field("default_ttl", &duration(*default_ttl))
            .field("time_to_idle", &duration(*time_to_idle))
            .field("policy", policy)
            .finish()
    }
}

impl<K, V, S> fmt::Debug for Inner<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("shards", &self.shards.len())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
