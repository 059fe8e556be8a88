//! Loads of what may not exist at all: over `load.rs`, where that is an error which nobody sees.

use std::time::Duration;

use super::{Cache, Entry, Tag, TimeLeft, Value};
use crate::flight::LoadError;

/// What was asked for does not exist.
struct Nowhere;

impl Cache {
    /// As [`get_with`](Self::get_with), with a loader that may find nothing: then nothing is stored, and all who have waited get nothing. Who asks next loads anew; to keep for a while that there is
    /// nothing, store something that says so, with an [`expiry_of`](crate::Load::expiry_of).
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().build()?;
    /// let users = [("user:1", "Ada")];
    /// let find = |key: &str| users.iter().find(|(id, _)| *id == key).map(|(_, name)| *name);
    /// assert_eq!(cache.optionally_get_with("user:1", || find("user:1")).unwrap().value, "Ada");
    /// assert_eq!(cache.optionally_get_with("user:2", || find("user:2")), None);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn optionally_get_with<V: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        loader: impl FnOnce() -> Option<V>,
    ) -> Option<Entry> {
        let mut loader = Some(loader);
        let mut bring = || loader.take().and_then(|loader| loader());
        match self.try_get_with(key, || bring().ok_or(Nowhere)) {
            Ok(entry) => Some(entry),
            Err(LoadError::Failed(_)) => None,
            Err(LoadError::Reentrant) => bring().map(unkept),
        }
    }

    /// [`optionally_get_with`](Self::optionally_get_with) for a loader that is a future: see [`get_with_async`](Self::get_with_async), also for what would wait for ever.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::Cache::builder().build()?;
    /// let user = cache.optionally_get_with_async("user:2", || async { None::<&str> }).await;
    /// assert_eq!(user, None);
    /// # Ok::<(), rustcache::BuildError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn optionally_get_with_async<V: AsRef<[u8]>, L: Future<Output = Option<V>>>(
        &self,
        key: impl AsRef<[u8]>,
        loader: impl FnOnce() -> L,
    ) -> Option<Entry> {
        let mut loader = Some(loader);
        let mut bring = async || loader.take()?().await;
        match self
            .try_get_with_async(key, || async { bring().await.ok_or(Nowhere) })
            .await
        {
            Ok(entry) => Some(entry),
            Err(LoadError::Failed(_)) => None,
            Err(LoadError::Reentrant) => bring().await.map(unkept),
        }
    }
}

fn unkept(value: impl AsRef<[u8]>) -> Entry {
    Entry {
        value: Value::copy_from_slice(value.as_ref()),
        tag: Tag::BYTES,
        time_left: TimeLeft::Left(Duration::ZERO),
    }
}
