//! Opening a directory on a thread of its own, so that whoever waits for it can ask meanwhile how far it has come. What opening is, is store.rs.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;

use crate::Builder;
use crate::cache::Cache;

use super::journal::{failure, lock};
use super::keeper::panicked;
use super::lock::DirectoryLock;
use super::reading::Progress;
use super::store::{OpenError, Store, StoreOptions, StoreStats};

/// Wakes whoever waits.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// How far loading a directory has come. When it is done, how much it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadStats {
    /// Whether it is still going on.
    pub is_loading: bool,
    /// Bytes read of the files that are loaded, and their lengths. Less is read in the end only if what follows a damaged place is given up.
    pub loaded_bytes: u64,
    /// See `loaded_bytes`.
    pub load_bytes: u64,
    /// Entries and changes applied so far.
    pub loaded_entries: u64,
}

/// What the thread that opens a directory tells the others.
#[derive(Default)]
pub(super) struct Loading {
    is_ours: AtomicBool,
    is_done: AtomicBool,
    bytes: Arc<Progress>,
    entries: AtomicU64,
    stats: Arc<Mutex<StoreStats>>,
    wake: Mutex<Vec<Waker>>,
    /// Whoever has it has the directory: held by those who load and by the store, and not here.
    directory_lock: Mutex<Weak<DirectoryLock>>,
}

impl fmt::Debug for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading")
            .field("is_ours", &self.is_ours)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Loading {
    /// The directory is ours, and so many bytes are to be read.
    pub(super) fn begin(&self, directory_lock: &Arc<DirectoryLock>, bytes: u64) {
        *lock(&self.directory_lock) = Arc::downgrade(directory_lock);
        self.bytes.begin("loading", bytes);
        self.is_ours.store(true, Ordering::Release);
        self.wake();
    }

    /// So many entries and changes are applied.
    pub(super) fn applied(&self, applied: u64) {
        self.entries.store(applied, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.is_done.store(true, Ordering::Release);
    }

    pub(super) fn bytes(&self) -> &Arc<Progress> {
        &self.bytes
    }

    /// Those that the store goes on to keep: what is done before it is opened can be seen as well.
    pub(super) fn store_stats(&self) -> &Arc<Mutex<StoreStats>> {
        &self.stats
    }

    pub(super) fn stats(&self) -> LoadStats {
        let (loaded_bytes, load_bytes) = self.bytes.bytes();
        LoadStats {
            is_loading: !self.is_done.load(Ordering::Acquire),
            loaded_bytes,
            load_bytes,
            loaded_entries: self.entries.load(Ordering::Relaxed),
        }
    }

    fn wake(&self) {
        let wakers = lock(&self.wake).clone();
        wakers.iter().for_each(|wake| wake());
    }
}

/// A directory that is being opened; clones are the same.
#[derive(Clone)]
pub struct Opening {
    cache: Cache,
    loading: Arc<Loading>,
    outcome: Arc<Mutex<Option<Opened>>>,
    /// That of this clone.
    waker: Option<Waker>,
}

type Opened = Result<Arc<Store>, OpenError>;

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("loading", &self.loading)
            .finish_non_exhaustive()
    }
}

impl Opening {
    /// Begins what [`Store::open`] does. If all clones are dropped before that is done, the store is closed when it is.
    ///
    /// # Errors
    /// When the options of the cache are wrong, or no thread can be started. What goes wrong later is the [`outcome`](Self::outcome).
    pub fn begin(options: StoreOptions, builder: Builder) -> Result<Self, OpenError> {
        let opening = Opening {
            cache: builder.build().map_err(OpenError::Build)?,
            loading: Arc::default(),
            outcome: Arc::default(),
            waker: None,
        };
        let directory = options.directory.clone();
        let cache = opening.cache.clone();
        let (loading, outcome) = (Arc::clone(&opening.loading), Arc::clone(&opening.outcome));
        let open = move || {
            let opened = catch_unwind(AssertUnwindSafe(|| Store::open_telling(options, cache, &loading)));
            let opened = opened.unwrap_or_else(|_| Err(OpenError::Disk(panicked("opening the directory"))));
            *lock(&outcome) = Some(opened.map(Arc::new));
            loading.wake();
        };
        match thread::Builder::new().name("rustcache-load".into()).spawn(open) {
            Ok(_) => Ok(opening),
            Err(error) => Err(OpenError::Disk(failure(
                "starting a thread for",
                &directory,
                &error,
            ))),
        }
    }

    /// The cache that is being filled. Whoever uses it may have to wait for long.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// `wake` is called, by another thread, when [`is_ours`](Self::is_ours) has become true, and when there is an [`outcome`](Self::outcome). So is what was given
    /// to other clones, and before.
    pub fn wake_with(&mut self, wake: Waker) {
        lock(&self.loading.wake).push(Arc::clone(&wake));
        self.waker = Some(wake);
    }

    /// What was given to [`wake_with`](Self::wake_with) last.
    pub fn waker(&self) -> Option<Waker> {
        self.waker.clone()
    }

    /// Whether the directory is known to be there, to be listed, and to be nobody else's. Then only loading it is left.
    pub fn is_ours(&self) -> bool {
        self.loading.is_ours.load(Ordering::Acquire)
    }

    /// Tells who comes for the directory that this process is about to end, and that it is worth waiting for: to let go of all that was loaded may take the
    /// system a while, and the directory is free only then.
    pub fn is_ending(&self) {
        if let Some(held) = lock(&self.loading.directory_lock).upgrade() {
            held.is_ending();
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> StoreStats {
        StoreStats {
            load: self.loading.stats(),
            ..lock(&self.loading.stats).clone()
        }
    }

    /// What has come of it; `None` if nothing has yet.
    pub fn outcome(&self) -> Option<Result<Arc<Store>, OpenError>> {
        lock(&self.outcome).clone()
    }
}
