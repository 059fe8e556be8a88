//! The policy that was asked for, chosen when a cache is built. A branch that always goes the same way costs less than can be measured here, where a cache
//! that is generic over its policy would be compiled four times and be a type of its own for each.

use super::{Adaptive, Entries, Lru, Measure, Policy, PolicyKind, S3Fifo, Salt, TinyLfu};

#[derive(Debug)]
pub(in crate::cache) enum AnyPolicy {
    Lru(Lru),
    S3Fifo(Box<S3Fifo>),
    TinyLfu(Box<TinyLfu>),
    Adaptive(Box<Adaptive>),
}

impl AnyPolicy {
    pub(in crate::cache) fn new(kind: PolicyKind, salt: Salt) -> Self {
        match kind {
            PolicyKind::Lru => AnyPolicy::Lru(Lru::new()),
            PolicyKind::S3Fifo => AnyPolicy::S3Fifo(Box::new(S3Fifo::new(salt))),
            PolicyKind::TinyLfu => AnyPolicy::TinyLfu(Box::new(TinyLfu::new(salt))),
            PolicyKind::Adaptive => AnyPolicy::Adaptive(Box::new(Adaptive::new(salt))),
        }
    }
}

macro_rules! each {
    ($itself:expr, $policy:ident => $call:expr) => {
        match $itself {
            AnyPolicy::Lru($policy) => $call,
            AnyPolicy::S3Fifo($policy) => $call,
            AnyPolicy::TinyLfu($policy) => $call,
            AnyPolicy::Adaptive($policy) => $call,
        }
    };
}

impl AnyPolicy {
    #[inline(never)]
    fn access_other(&mut self, slot: u32, hash: u32, entries: &impl Entries) {
        each!(self, policy => policy.access(slot, hash, entries));
    }
}

impl Policy for AnyPolicy {
    fn anew(&self) -> Self {
        match self {
            AnyPolicy::Lru(policy) => AnyPolicy::Lru(policy.anew()),
            AnyPolicy::S3Fifo(policy) => AnyPolicy::S3Fifo(Box::new(policy.anew())),
            AnyPolicy::TinyLfu(policy) => AnyPolicy::TinyLfu(Box::new(policy.anew())),
            AnyPolicy::Adaptive(policy) => AnyPolicy::Adaptive(Box::new(policy.anew())),
        }
    }

    fn overhead(&self) -> u64 {
        each!(self, policy => policy.overhead())
    }

    fn insert(&mut self, slot: u32, hash: u32, entries: &impl Entries) {
        each!(self, policy => policy.insert(slot, hash, entries));
    }

    #[inline(always)]
    fn access(&mut self, slot: u32, hash: u32, entries: &impl Entries) {
        match self {
            // Little enough to be done in place.
            AnyPolicy::Lru(policy) => policy.access(slot, hash, entries),
            _ => self.access_other(slot, hash, entries),
        }
    }

    fn miss(&mut self, hash: u32) {
        each!(self, policy => policy.miss(hash));
    }

    fn reweigh(&mut self, slot: u32, old: u64, new: u64) {
        each!(self, policy => policy.reweigh(slot, old, new));
    }

    fn remove(&mut self, slot: u32, hash: u32, entries: &impl Entries) {
        each!(self, policy => policy.remove(slot, hash, entries));
    }

    fn evict(&mut self, slot: u32, hash: u32, entries: &impl Entries) {
        each!(self, policy => policy.evict(slot, hash, entries));
    }

    fn relocate(&mut self, from: u32, to: u32) {
        each!(self, policy => policy.relocate(from, to));
    }

    fn truncate(&mut self, end: usize) {
        each!(self, policy => policy.truncate(end));
    }

    fn tidy(&mut self) -> bool {
        each!(self, policy => policy.tidy())
    }

    #[inline]
    fn prefetch_hash(&self, hash: u32) {
        each!(self, policy => policy.prefetch_hash(hash));
    }

    #[inline]
    fn prefetch(&self, slot: u32) {
        each!(self, policy => policy.prefetch(slot));
    }

    #[inline]
    fn prefetch_neighbours(&self, slot: u32) {
        each!(self, policy => policy.prefetch_neighbours(slot));
    }

    fn victim(&mut self, measure: Measure, entries: &impl Entries) -> Option<u32> {
        each!(self, policy => policy.victim(measure, entries))
    }

    fn upcoming(&self) -> [Option<u32>; 3] {
        each!(self, policy => policy.upcoming())
    }

    fn begin_walk(&mut self) {
        each!(self, policy => policy.begin_walk());
    }

    fn next_in_walk(&mut self) -> Option<u32> {
        each!(self, policy => policy.next_in_walk())
    }

    fn walk_is_complete(&self) -> bool {
        each!(self, policy => policy.walk_is_complete())
    }

    fn coldest_first(&self) -> Vec<u32> {
        each!(self, policy => policy.coldest_first())
    }

    fn validate(&self, entries: &impl Entries) {
        each!(self, policy => policy.validate(entries));
    }
}
