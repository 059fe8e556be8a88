//! Loads of what may not exist at all: over `load.rs`, where that is an error which nobody sees.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use super::TypedCache;
use crate::flight::LoadError;

/// What was asked for does not exist.
struct Nowhere;

impl<K, V, S> TypedCache<K, V, S>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
{
    /// As [`get_with`](Self::get_with), with a loader that may find nothing: then nothing is stored, and all who have waited get nothing. Who asks next loads anew; to keep for a while that there is
    /// nothing, have `V` say so, with an [`expiry_of`](crate::TypedLoad::expiry_of).
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<u32, &str>::builder().build()?;
    /// let find = |id| (id == 1).then_some("Ada");
    /// assert_eq!(cache.optionally_get_with(&1, || find(1)), Some("Ada"));
    /// assert_eq!(cache.optionally_get_with(&2, || find(2)), None);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn optionally_get_with<Q>(&self, key: &Q, loader: impl FnOnce() -> Option<V>) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let mut loader = Some(loader);
        let mut bring = || loader.take().and_then(|loader| loader());
        match self.try_get_with(key, || bring().ok_or(Nowhere)) {
            Ok(value) => Some(value),
            Err(LoadError::Failed(_)) => None,
            Err(LoadError::Reentrant) => bring(),
        }
    }

    /// [`optionally_get_with`](Self::optionally_get_with) for a loader that is a future: see [`Cache::get_with_async`](crate::Cache::get_with_async), also for what would wait for ever.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::TypedCache::<u32, &str>::builder().build()?;
    /// assert_eq!(cache.optionally_get_with_async(&2, || async { None }).await, None);
    /// # Ok::<(), rustcache::BuildError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn optionally_get_with_async<Q, L>(&self, key: &Q, loader: impl FnOnce() -> L) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        L: Future<Output = Option<V>>,
    {
        let mut loader = Some(loader);
        let mut bring = async || loader.take()?().await;
        match self
            .try_get_with_async(key, || async { bring().await.ok_or(Nowhere) })
            .await
        {
            Ok(value) => Some(value),
            Err(LoadError::Failed(_)) => None,
            Err(LoadError::Reentrant) => bring().await,
        }
    }
}
