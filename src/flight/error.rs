//! Why a load brought no value.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::Stopped;

/// Why `try_get_with` gave no value. Cheap to clone, and nothing of it is cached: who asks next loads anew.
///
/// ```
/// use rustcache::{Cache, LoadError};
///
/// let cache = Cache::builder().build()?;
/// let found = cache.try_get_with("n", || "forty-two".parse::<u64>().map(|n| n.to_string()));
/// match found {
///     Err(LoadError::Failed(error)) => assert_eq!(error.to_string(), "invalid digit found in string"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader failed with this error, which all who waited for it share. It is shown as that error, and is its own source in so far as that has one.
    Failed(Arc<E>),
    /// The call was made by a loader and asks for the very key that is being loaded, or for one whose loader waits for this one: it would have waited for
    /// itself. Its own loader did not run.
    Reentrant,
}

impl<E, F> From<Stopped<E, F>> for LoadError<E> {
    fn from(stopped: Stopped<E, F>) -> Self {
        match stopped {
            Stopped::Failed(error) => LoadError::Failed(error),
            Stopped::Reentrant(_) => LoadError::Reentrant,
        }
    }
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            LoadError::Failed(error) => LoadError::Failed(Arc::clone(error)),
            LoadError::Reentrant => LoadError::Reentrant,
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            LoadError::Reentrant => f.write_str("Reentrant"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Failed(error) => error.fmt(f),
            LoadError::Reentrant => f.write_str(
                "the loader of a key asks for that key, or for one whose loader waits for it, and would wait for itself: load without the cache there, or ask for another key",
            ),
        }
    }
}

impl<E: Error> Error for LoadError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            LoadError::Failed(error) => error.source(),
            LoadError::Reentrant => None,
        }
    }
}
