//! The engine for objects, with keys that are compared as a dict compares them: what `Storage`, `KvStore` and `@cached` are made of. Raises what `__hash__` and `__eq__` raise; knows nothing of the names and
//! defaults that those have.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rustcache::{
    Expiry, InsertOptions, Likeness, Lookup, PolicyKind, RawWalk, RawWrite, Stats, TimeLeft, TypedCache,
};

use crate::background;
use crate::callable::Callable;
use crate::calling;
use crate::listener;
use crate::object::{Key, Object};
use crate::scatter::Scatter;

/// How often the candidates for a key are compared anew because others came in the place of those that were: that only happens if `__eq__` itself writes to the cache, each time.
const MOST_ROUNDS: usize = 100;

/// How a store is configured.
#[derive(Debug, Default)]
pub(crate) struct StoreOptions {
    pub(crate) max_items: Option<u64>,
    pub(crate) max_weight: Option<u64>,
    /// Whether entries are given a weight; else each weighs 1.
    pub(crate) weighs: bool,
    /// Whether there has to be one order of all entries, also where several shards would be faster.
    pub(crate) is_one_order: bool,
    pub(crate) time_to_idle: Option<std::time::Duration>,
    pub(crate) policy: Option<PolicyKind>,
    pub(crate) listener: Option<Arc<Callable>>,
}

/// Objects under keys that are objects. No code of Python's runs under its locks; nothing of it waits for a lock that is held while Python code runs.
#[derive(Debug)]
pub(crate) struct Store {
    cache: TypedCache<Key, Object, ()>,
    scatter: Scatter,
}

/// A key that is looked for, and what is known of those that may be equal to it.
#[derive(Clone, Copy)]
pub(crate) struct Sought<'a, 'py> {
    key: &'a Bound<'py, PyAny>,
    hash: isize,
    /// Keys that were asked, and what they said. They are kept alive by this, so that an address is never another key's.
    compared: &'a Compared,
}

/// Keys that were asked, and what they said, by the addresses of their objects: of keys of one hash there may be many.
type Compared = HashMap<usize, (Key, bool), BuildHasherDefault<DefaultHasher>>;

static NONE_COMPARED: Compared = HashMap::with_hasher(BuildHasherDefault::new());

impl<'a, 'py> Sought<'a, 'py> {
    #[inline]
    pub(crate) fn new(key: &'a Bound<'py, PyAny>, hash: isize) -> Self {
        Sought {
            key,
            hash,
            compared: &NONE_COMPARED,
        }
    }

    #[inline]
    pub(crate) fn judge(self, other: &Key) -> Likeness {
        match other.likeness(self.key, self.hash) {
            Likeness::Unknown => self.remember(other),
            known => known,
        }
    }

    fn remember(self, other: &Key) -> Likeness {
        match self.compared.get(&other.object.address()) {
            Some((_, true)) => Likeness::Same,
            Some((_, false)) => Likeness::Different,
            None => Likeness::Unknown,
        }
    }

    /// Tries, and compares those keys of which it has to be known whether they are equal, until it is.
    #[inline]
    pub(crate) fn settle<T>(
        self,
        mut attempt: impl FnMut(Sought<'_, 'py>) -> Lookup<Key, T>,
    ) -> PyResult<Option<T>> {
        match attempt(self) {
            Lookup::Hit(result) => Ok(Some(result)),
            Lookup::Miss => Ok(None),
            Lookup::Unsure(candidates) => self.settle_by_comparing(candidates, attempt),
        }
    }

    #[cold]
    fn settle_by_comparing<T>(
        self,
        mut candidates: Vec<Key>,
        mut attempt: impl FnMut(Sought<'_, 'py>) -> Lookup<Key, T>,
    ) -> PyResult<Option<T>> {
        let mut comparisons = Comparisons::new();
        loop {
            comparisons.ask(self.key, candidates)?;
            match attempt(comparisons.known(self)) {
                Lookup::Hit(result) => return Ok(Some(result)),
                Lookup::Miss => return Ok(None),
                Lookup::Unsure(others) => candidates = others,
            }
        }
    }
}

/// Keys that were asked whether they are equal to one that is looked for.
struct Comparisons {
    compared: Compared,
    rounds: usize,
}

impl Comparisons {
    const fn new() -> Self {
        Comparisons {
            compared: HashMap::with_hasher(BuildHasherDefault::new()),
            rounds: 0,
        }
    }

    fn known<'a, 'py>(&'a self, sought: Sought<'a, 'py>) -> Sought<'a, 'py> {
        Sought {
            compared: &self.compared,
            ..sought
        }
    }

    /// Runs Python code.
    #[cold]
    fn ask(&mut self, key: &Bound<'_, PyAny>, candidates: Vec<Key>) -> PyResult<()> {
        self.rounds += 1;
        if self.rounds > MOST_ROUNDS {
            return Err(PyRuntimeError::new_err(format!(
                "the __eq__ of {} writes under the very key that is being looked for, each time that it is called: it must leave the cache as it is",
                key.get_type().name()?
            )));
        }
        for candidate in candidates {
            let is_equal = calling::eq(candidate.object.py().bind(key.py()), key)?;
            self.compared
                .insert(candidate.object.address(), (candidate, is_equal));
            if is_equal {
                break;
            }
        }
        Ok(())
    }
}

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Stored,
    /// It was not to be written, as things are.
    Refused,
    /// It can never fit; what the key held is gone.
    TooHeavy,
}

impl Store {
    pub(crate) fn new(options: StoreOptions) -> PyResult<Self> {
        let mut builder = TypedCache::<Key, Object>::builder().attendant(background::attend);
        // With a global lock there is nothing that shards would make faster, and one shard is exactly LRU.
        if cfg!(not(Py_GIL_DISABLED)) || options.is_one_order {
            builder = builder.shards(1);
        }
        if let Some(items) = options.max_items {
            builder = builder.max_items(items);
        }
        if let Some(weight) = options.max_weight {
            builder = builder.max_weight(weight);
        }
        if options.weighs {
            // Never asked: weights come with the writes, since a weigher of Python's may raise.
            builder = builder.weigher(|_, _| 0);
        }
        if let Some(time) = options.time_to_idle {
            builder = builder.time_to_idle(time);
        }
        if let Some(policy) = options.policy {
            builder = builder.policy(policy);
        }
        if let Some(listener) = options.listener {
            // By a thread that is attached: one that calls the store, or the one that `background` attaches.
            builder = builder.eviction_listener(move |key, value, cause| {
                if background::is_to_leave() {
                    return;
                }
                Python::try_attach(|py| {
                    listener::tell(&listener, key.object.py().bind(py), value.py().bind(py), cause);
                });
            });
        }
        let cache = builder.hasher(()).build_raw();
        Ok(Store {
            cache: cache.map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))?,
            scatter: Scatter::new(),
        })
    }

    /// The value under a key, whose entry becomes the most recently used one.
    #[inline]
    pub(crate) fn get(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Object>> {
        self.get_hashed(key, calling::hash(key)?)
    }

    /// As `get`, for a key whose `hash()` is known.
    #[inline]
    pub(crate) fn get_hashed(&self, key: &Bound<'_, PyAny>, hash: isize) -> PyResult<Option<Object>> {
        let place = self.scatter.of(hash);
        Sought::new(key, hash).settle(|sought| self.cache.raw_get(place, |other| sought.judge(other)))
    }

    /// The value under a key and how long it has to live: neither counts nor refreshes.
    pub(crate) fn peek(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<(Object, TimeLeft)>> {
        self.peek_hashed(key, calling::hash(key)?)
    }

    /// As `peek`, for a key whose `hash()` is known.
    pub(crate) fn peek_hashed(
        &self,
        key: &Bound<'_, PyAny>,
        hash: isize,
    ) -> PyResult<Option<(Object, TimeLeft)>> {
        let place = self.scatter.of(hash);
        Sought::new(key, hash).settle(|sought| self.cache.raw_peek(place, |other| sought.judge(other)))
    }

    /// Writes an entry of this weight (which is no matter if the store does not weigh).
    #[inline]
    pub(crate) fn set(
        &self,
        key: &Bound<'_, PyAny>,
        value: Object,
        weight: u64,
        expiry: Expiry,
    ) -> PyResult<Written> {
        self.set_if(key, value, weight, expiry, |_| true)
    }

    /// Writes an entry if `admits` says so of the value that is there. It runs under a lock: it may look at which object that is, and no more.
    #[inline]
    pub(crate) fn set_if(
        &self,
        key: &Bound<'_, PyAny>,
        value: Object,
        weight: u64,
        expiry: Expiry,
        admits: impl Fn(Option<&Object>) -> bool,
    ) -> PyResult<Written> {
        self.set_if_hashed((key, calling::hash(key)?), value, weight, expiry, admits)
    }

    /// As `set_if`, for a key whose `hash()` is known.
    #[inline]
    pub(crate) fn set_if_hashed(
        &self,
        (key, hash): (&Bound<'_, PyAny>, isize),
        value: Object,
        weight: u64,
        expiry: Expiry,
        admits: impl Fn(Option<&Object>) -> bool,
    ) -> PyResult<Written> {
        let place = self.scatter.of(hash);
        let sought = Sought::new(key, hash);
        let options = InsertOptions::default().with_expiry(expiry);
        let mut entry = (
            Key {
                object: Object::new(key),
                hash,
            },
            value,
        );
        let mut comparisons = Comparisons::new();
        loop {
            let known = comparisons.known(sought);
            let judge = |other: &Key| known.judge(other);
            match self
                .cache
                .raw_insert(place, weight, entry, options, judge, &admits)
            {
                RawWrite::Stored => return Ok(Written::Stored),
                RawWrite::Refused => return Ok(Written::Refused),
                RawWrite::TooHeavy(_) => return Ok(Written::TooHeavy),
                RawWrite::Unsure(key, value, candidates) => {
                    entry = (key, value);
                    comparisons.ask(sought.key, candidates)?;
                }
            }
        }
    }

    /// Writes an entry that does not expire, under a key that is known to be none of those that are there. Runs no Python code, unless something has to go for it.
    pub(crate) fn add_new(&self, key: Key, value: Object) {
        let (place, options) = (
            self.scatter.of(key.hash),
            InsertOptions::default().with_expiry(Expiry::Never),
        );
        self.cache
            .raw_insert(place, 1, (key, value), options, |_| Likeness::Different, |_| true);
    }

    /// Removes an entry and gives its value.
    pub(crate) fn remove(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Object>> {
        let hash = calling::hash(key)?;
        let place = self.scatter.of(hash);
        let removed = Sought::new(key, hash)
            .settle(|sought| self.cache.raw_remove(place, |other| sought.judge(other)))?;
        Ok(removed.map(|(_, value)| value))
    }

    /// Gives an entry another deadline and refreshes it; `false` if it is not there.
    pub(crate) fn touch(&self, key: &Bound<'_, PyAny>, expiry: Expiry) -> PyResult<bool> {
        let hash = calling::hash(key)?;
        let place = self.scatter.of(hash);
        let touched = Sought::new(key, hash)
            .settle(|sought| self.cache.raw_touch(place, expiry, |other| sought.judge(other)))?;
        Ok(touched.is_some())
    }

    /// Removes everything.
    pub(crate) fn clear(&self, _: Python<'_>) -> u64 {
        self.cache.clear()
    }

    /// Drops what has expired, now.
    pub(crate) fn reclaim(&self, _: Python<'_>) {
        self.cache.run_pending();
    }

    pub(crate) fn stats(&self) -> Stats {
        self.cache.stats()
    }

    /// The next live entries of a walk, with the time that they have left; empty at the end.
    pub(crate) fn walk(&self, _: Python<'_>, walk: &mut RawWalk) -> Vec<(Key, Object, TimeLeft)> {
        self.cache.raw_walk(walk)
    }

    /// The entry that was used least recently. Neither counts nor refreshes.
    pub(crate) fn coldest(&self, _: Python<'_>) -> Option<(Key, Object)> {
        self.cache.raw_coldest()
    }

    /// Shows the garbage collector what is held. All threads that change anything are attached, so that it finds the same in each of its passes.
    pub(crate) fn traverse(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.cache.raw_try_each(|key, value| {
            visit.call(key.object.py())?;
            visit.call(value.py())
        })
    }

    /// Drops what is held: the garbage collector found that nobody else can reach the store.
    pub(crate) fn break_cycles(&self) {
        drop(self.cache.raw_try_clear());
    }
}
