//! Loading what is missing from a view, once for all who ask: over the loads of the cache itself, so that these are one with those of its other faces.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{EncodedView, EncodingError, decode_entry, encode};
use crate::{Entry, LoadError, Op, Tag};

/// Why [`EncodedView::try_get_with`] gave no value.
///
/// ```
/// use rustcache::{Cache, EncodedLoadError};
///
/// let cache = Cache::builder().build()?;
/// let ages = cache.encoded::<u32>("age:");
/// match ages.try_get_with("ada", || "unknown".parse()) {
///     Err(EncodedLoadError::Failed(error)) => assert_eq!(error.to_string(), "invalid digit found in string"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), rustcache::BuildError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum EncodedLoadError<E> {
    /// The loader failed with this error, which all who waited for it share.
    Failed(Arc<E>),
    /// What the loader brought cannot be written: see [`EncodingError::Encode`].
    Encoding(EncodingError),
    /// The call was made by a loader, and would have waited for itself: see [`LoadError::Reentrant`].
    Reentrant,
}

impl<E> Clone for EncodedLoadError<E> {
    fn clone(&self) -> Self {
        match self {
            EncodedLoadError::Failed(error) => EncodedLoadError::Failed(Arc::clone(error)),
            EncodedLoadError::Encoding(error) => EncodedLoadError::Encoding(error.clone()),
            EncodedLoadError::Reentrant => EncodedLoadError::Reentrant,
        }
    }
}

impl<E: fmt::Display> fmt::Display for EncodedLoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodedLoadError::Failed(error) => error.fmt(f),
            EncodedLoadError::Encoding(error) => error.fmt(f),
            EncodedLoadError::Reentrant => LoadError::<E>::Reentrant.fmt(f),
        }
    }
}

impl<E: StdError + 'static> StdError for EncodedLoadError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            EncodedLoadError::Failed(error) => error.source(),
            EncodedLoadError::Encoding(error) => error.source(),
            EncodedLoadError::Reentrant => None,
        }
    }
}

/// What a load of the cache fails with.
enum Fault<E> {
    Loader(Arc<E>),
    Encoding(EncodingError),
}

/// How a load ended without a value.
enum Ended<E, F> {
    Failed(Arc<E>),
    Encoding(EncodingError),
    /// It would have waited for itself. The loader did not run.
    Reentrant(F),
}

impl<E, F> From<Ended<E, F>> for EncodedLoadError<E> {
    fn from(ended: Ended<E, F>) -> Self {
        match ended {
            Ended::Failed(error) => EncodedLoadError::Failed(error),
            Ended::Encoding(error) => EncodedLoadError::Encoding(error),
            Ended::Reentrant(_) => EncodedLoadError::Reentrant,
        }
    }
}

/// A load, which is asked for again as long as it finds what cannot be read.
struct Attempts<'v, T, F> {
    view: &'v EncodedView<T>,
    key: Vec<u8>,
    /// `None` once it has run, which ends the attempts.
    loader: Option<F>,
    /// By this loader, in this call.
    made: Option<T>,
}

impl<'v, T: Serialize + DeserializeOwned, F> Attempts<'v, T, F> {
    fn new(view: &'v EncodedView<T>, key: impl AsRef<[u8]>, loader: F) -> Self {
        Attempts {
            view,
            key: view.key(key),
            loader: Some(loader),
            made: None,
        }
    }

    /// What has come of an attempt; another is to be made if that is nothing.
    fn settle<E>(&mut self, loaded: Result<Entry, LoadError<Fault<E>>>) -> Option<Result<T, Ended<E, F>>> {
        match loaded {
            Ok(entry) => match self.made.take() {
                Some(value) => Some(Ok(value)),
                None => match decode_entry(&entry) {
                    Ok(value) => Some(Ok(value)),
                    Err(_) => self.forget(&entry).err().map(|error| Err(Ended::Encoding(error))),
                },
            },
            Err(LoadError::Failed(fault)) => Some(Err(match &*fault {
                Fault::Loader(error) => Ended::Failed(Arc::clone(error)),
                Fault::Encoding(error) => Ended::Encoding(error.clone()),
            })),
            Err(LoadError::Reentrant) => Some(Err(Ended::Reentrant(once(&mut self.loader)))),
        }
    }

    /// Removes what cannot be read, unless somebody has written meanwhile.
    fn forget(&self, unreadable: &Entry) -> Result<(), EncodingError> {
        let is_it = |found: &Entry| found.value == unreadable.value && found.tag == unreadable.tag;
        self.view.cache().entry(&self.key).compute(|found| match found {
            Some(found) if is_it(found) => Op::<&[u8]>::Remove,
            _ => Op::Keep,
        })?;
        Ok(())
    }
}

fn once<F>(loader: &mut Option<F>) -> F {
    match loader.take() {
        Some(loader) => loader,
        None => unreachable!("a loader runs in one attempt, which is the last"),
    }
}

/// What is stored of what a loader made, which the caller gets as it is.
fn brought<T: Serialize, E>(value: Result<T, E>, made: &mut Option<T>) -> Result<Vec<u8>, Fault<E>> {
    let value = value.map_err(|error| Fault::Loader(Arc::new(error)))?;
    let bytes = encode(&value).map_err(Fault::Encoding)?;
    *made = Some(value);
    Ok(bytes)
}

impl<T: Serialize + DeserializeOwned> EncodedView<T> {
    /// The value under a key; or, if it is missing, what the loader brings, which is written with the cache's default TTL. However many ask for a key at the same time, one loader runs:
    /// what [`Cache::get_with`](crate::Cache::get_with) promises of writes, panics and loaders that ask for themselves holds here as well.
    ///
    /// What is there and is no `T` counts as absent, and is written over: so a program whose types have changed goes on with what an older one has kept.
    ///
    /// # Errors
    /// [`EncodingError::Encode`]: what the loader brought cannot be written. [`EncodingError::Refused`]: what is there is no `T`, and cannot be removed, since the disk has failed.
    ///
    /// ```
    /// # let cache = rustcache::Cache::builder().build()?;
    /// let lengths = cache.encoded::<usize>("length:");
    /// assert_eq!(lengths.get_with("ada", || "ada".len())?, 3);
    /// assert_eq!(lengths.get_with("ada", || unreachable!("it is there"))?, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_with(&self, key: impl AsRef<[u8]>, loader: impl FnOnce() -> T) -> Result<T, EncodingError> {
        match self.load(key, || Ok::<T, Infallible>(loader())) {
            Ok(value) => Ok(value),
            Err(Ended::Failed(never)) => match *never {},
            Err(Ended::Encoding(error)) => Err(error),
            Err(Ended::Reentrant(loader)) => {
                let Ok(value) = loader();
                Ok(value)
            }
        }
    }

    /// As [`get_with`](Self::get_with), with a loader that may fail: nothing is written then, and all who have waited get the error.
    ///
    /// # Errors
    /// [`EncodedLoadError`] says whether the loader failed, or what it brought cannot be written, or it asked for itself.
    ///
    /// ```
    /// # let cache = rustcache::Cache::builder().build()?;
    /// let ages = cache.encoded::<u32>("age:");
    /// assert!(ages.try_get_with("ada", || "unknown".parse::<u32>()).is_err());
    /// assert_eq!(ages.try_get_with("ada", || "36".parse::<u32>())?, 36);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_get_with<E: Send + Sync + 'static>(
        &self,
        key: impl AsRef<[u8]>,
        loader: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, EncodedLoadError<E>> {
        Ok(self.load(key, loader)?)
    }

    /// [`get_with`](Self::get_with) for a loader that is a future: see [`Cache::get_with_async`](crate::Cache::get_with_async), also for what would wait for ever.
    ///
    /// # Errors
    /// As for [`get_with`](Self::get_with).
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::Cache::builder().build()?;
    /// let ages = cache.encoded::<u32>("age:");
    /// assert_eq!(ages.get_with_async("ada", || async { 36 }).await?, 36);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn get_with_async<L: Future<Output = T>>(
        &self,
        key: impl AsRef<[u8]>,
        loader: impl FnOnce() -> L,
    ) -> Result<T, EncodingError> {
        let loader = || async { Ok::<T, Infallible>(loader().await) };
        match self.load_async(key, loader).await {
            Ok(value) => Ok(value),
            Err(Ended::Failed(never)) => match *never {},
            Err(Ended::Encoding(error)) => Err(error),
            Err(Ended::Reentrant(loader)) => {
                let Ok(value) = loader().await;
                Ok(value)
            }
        }
    }

    /// [`try_get_with`](Self::try_get_with) for a loader that is a future: see [`Cache::get_with_async`](crate::Cache::get_with_async).
    ///
    /// # Errors
    /// As for [`try_get_with`](Self::try_get_with).
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::Cache::builder().build()?;
    /// let ages = cache.encoded::<u32>("age:");
    /// assert!(ages.try_get_with_async("ada", || async { "unknown".parse::<u32>() }).await.is_err());
    /// # Ok::<(), rustcache::BuildError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn try_get_with_async<E, L>(
        &self,
        key: impl AsRef<[u8]>,
        loader: impl FnOnce() -> L,
    ) -> Result<T, EncodedLoadError<E>>
    where
        E: Send + Sync + 'static,
        L: Future<Output = Result<T, E>>,
    {
        Ok(self.load_async(key, loader).await?)
    }

    fn load<E, F>(&self, key: impl AsRef<[u8]>, loader: F) -> Result<T, Ended<E, F>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Result<T, E>,
    {
        let mut attempts = Attempts::new(self, key, loader);
        loop {
            let Attempts {
                key, loader, made, ..
            } = &mut attempts;
            let load = self.cache().load(&*key).tag(Tag::MESSAGE_PACK);
            let loaded = load.try_with(|| brought(once(loader)(), made));
            if let Some(settled) = attempts.settle(loaded) {
                return settled;
            }
        }
    }

    #[cfg(feature = "async")]
    async fn load_async<E, L, F>(&self, key: impl AsRef<[u8]>, loader: F) -> Result<T, Ended<E, F>>
    where
        E: Send + Sync + 'static,
        L: Future<Output = Result<T, E>>,
        F: FnOnce() -> L,
    {
        let mut attempts = Attempts::new(self, key, loader);
        loop {
            let Attempts {
                key, loader, made, ..
            } = &mut attempts;
            let load = self.cache().load(&*key).tag(Tag::MESSAGE_PACK);
            let loaded = load
                .try_with_async(|| async { brought(once(loader)().await, made) })
                .await;
            if let Some(settled) = attempts.settle(loaded) {
                return settled;
            }
        }
    }
}
