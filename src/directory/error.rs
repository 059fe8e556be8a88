//! Why a directory could not be opened, in the words of the crate's builder; the daemon has its own, which speak of its options.

use std::fmt;
use std::path::PathBuf;

use crate::BuildError;
use crate::persist;

use super::{DiskError, RecoveryReport};

/// Why a directory could not be opened: see [`PersistentBuilder::open`](crate::PersistentBuilder::open).
///
/// ```
/// use rustcache::{Cache, OpenError};
///
/// let opened = Cache::builder().max_items(0).dir("never made").open();
/// assert!(matches!(opened, Err(OpenError::Build(_))));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The cache itself cannot be built.
    Build(BuildError),
    /// Another cache has the directory.
    InUse {
        /// Which directory.
        directory: PathBuf,
        /// Of which process, if that could be read. It may be this one.
        pid: Option<u32>,
    },
    /// The system said no.
    Disk(DiskError),
    /// There is damage, and [`Recover::Strict`](crate::Recover::Strict) was asked for. Nothing in the directory was changed.
    Damaged(RecoveryReport),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Build(error) => error.fmt(f),
            OpenError::InUse {
                directory,
                pid: Some(pid),
            } if *pid == std::process::id() => write!(
                f,
                "the directory {} is in use by another cache of this process: use a clone of that, or another directory",
                directory.display()
            ),
            OpenError::InUse {
                directory,
                pid: Some(pid),
            } => write!(
                f,
                "the directory {} is in use by process {pid}: end that, or use another directory",
                directory.display()
            ),
            OpenError::InUse { directory, pid: None } => write!(
                f,
                "the directory {} is in use by another process: end that, or use another directory",
                directory.display()
            ),
            OpenError::Disk(failure) => match persist::remedy(failure.kind) {
                Some(remedy) => write!(f, "{failure}: {remedy}"),
                None => failure.fmt(f),
            },
            OpenError::Damaged(report) => write!(
                f,
                "there is damage: {}: open it with Recover::Valid, which keeps what is intact",
                report.to_string().trim_end().replace('\n', "; ")
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Build(error) => Some(error),
            OpenError::Disk(failure) => Some(failure),
            OpenError::InUse { .. } | OpenError::Damaged(_) => None,
        }
    }
}

impl From<persist::OpenError> for OpenError {
    fn from(error: persist::OpenError) -> Self {
        match error {
            persist::OpenError::Build(error) => OpenError::Build(error),
            persist::OpenError::Locked { directory, pid } => OpenError::InUse { directory, pid },
            persist::OpenError::Disk(failure) => OpenError::Disk(failure),
            persist::OpenError::Damaged(recovery) => OpenError::Damaged(RecoveryReport(recovery)),
        }
    }
}
