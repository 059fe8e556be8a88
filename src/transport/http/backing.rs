//! The cache that requests are about, whether it is loaded, and when what they change in it may be acknowledged.

use std::sync::{Arc, OnceLock};

use crate::cache::Stats;
use crate::persist::{Failure, OnDiskError, Opening, Store, StoreStats, Sync};
use crate::{Cache, Error};

use super::commit::Committer;
use super::problem::Problem;

/// What a server serves.
#[derive(Debug)]
pub struct Backing {
    cache: Cache,
    /// The directory, if there is one.
    opening: Option<Opening>,
    opened: OnceLock<Opened>,
}

#[derive(Debug)]
struct Opened {
    store: Arc<Store>,
    /// With a sync before each acknowledgement: then somebody else waits for it.
    committer: Option<Committer>,
}

impl Backing {
    /// A cache that is kept nowhere.
    pub fn in_memory(cache: Cache) -> Self {
        Backing {
            cache,
            opening: None,
            opened: OnceLock::new(),
        }
    }

    /// A cache that is kept in a directory, as soon as that is loaded.
    pub fn opening(opening: Opening) -> Self {
        Backing {
            cache: opening.cache().clone(),
            opening: Some(opening),
            opened: OnceLock::new(),
        }
    }

    /// The cache, if it can be used.
    pub(super) fn cache(&self) -> Result<&Cache, Problem> {
        match (&self.opening, self.opened()) {
            (None, _) | (_, Some(_)) => Ok(&self.cache),
            (Some(_), None) => Err(Problem::loading()),
        }
    }

    /// The cache, if it takes writes.
    pub(super) fn writable(&self) -> Result<&Cache, Problem> {
        let cache = self.cache()?;
        match self.refusal() {
            None => Ok(cache),
            Some(cause) => Err(Error::DiskFailed { cause }.into()),
        }
    }

    /// The limits of the cache, whether it is loaded or not.
    pub(super) fn settings(&self) -> &Cache {
        &self.cache
    }

    /// What the cache has counted; nothing while it is loaded, since its lock is held for long then.
    pub(super) fn stats(&self) -> Stats {
        self.cache().map_or_else(|_| Stats::default(), Cache::stats)
    }

    pub(super) fn directory_stats(&self) -> Option<StoreStats> {
        let opening = self.opening.as_ref()?;
        Some(match self.opened() {
            Some(opened) => opened.store.stats(),
            None => opening.stats(),
        })
    }

    pub(super) fn store(&self) -> Option<&Arc<Store>> {
        self.opened().map(|opened| &opened.store)
    }

    pub(super) fn has_directory(&self) -> bool {
        self.opening.is_some()
    }

    /// Why writes are refused, if they are.
    pub(super) fn refusal(&self) -> Option<String> {
        let store = self.store()?;
        if !store.has_failed() || store.on_disk_error() == OnDiskError::Memory {
            return None;
        }
        store.failure().map(|failure| failure.to_string())
    }

    /// Why nothing can be kept any more, where the daemon is to end then.
    pub(super) fn fatal(&self) -> Option<Failure> {
        let store = self.store()?;
        if store.on_disk_error() == OnDiskError::Exit && store.has_failed() {
            return store.failure();
        }
        None
    }

    /// Keeps what was changed before the call. To be awaited before it is acknowledged.
    pub(super) async fn settle(&self) -> Result<(), Problem> {
        let Some(Opened { store, committer }) = self.opened() else {
            return Ok(());
        };
        let kept = match committer {
            Some(committer) => committer.commit().await,
            None => store.commit(),
        };
        match kept {
            Err(failure) if store.on_disk_error() != OnDiskError::Memory => Err(Error::NotDurable {
                cause: failure.to_string(),
            }
            .into()),
            _ => Ok(()),
        }
    }

    fn opened(&self) -> Option<&Opened> {
        if let Some(opened) = self.opened.get() {
            return Some(opened);
        }
        let store = self.opening.as_ref()?.outcome()?.ok()?;
        Some(self.opened.get_or_init(|| {
            let committer = (store.sync() == Sync::Always).then(|| Committer::new(Arc::clone(&store)));
            Opened { store, committer }
        }))
    }
}
