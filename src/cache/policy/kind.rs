//! The names of the policies, as callers, the command line and other languages have them.

use std::fmt;
use std::str::FromStr;

use crate::cache::error::UnknownPolicy;

/// Which entry goes when room is needed: an expired one if there is any, then the one that the policy names.
///
/// ```
/// use rustcache::{Cache, PolicyKind};
///
/// let by_name: PolicyKind = "s3-fifo".parse()?;
/// let cache = Cache::builder().max_items(1000).policy(by_name).build()?;
/// assert_eq!(cache.policy().to_string(), "s3-fifo");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PolicyKind {
    /// The one that was used least recently, exactly: predictable, and best when what was used just now is used again.
    #[default]
    Lru,
    /// Two queues and a memory of what went (Yang, Zhang, Qiu, Yue, Vinayak, SOSP 2023): what is used only once goes soon.
    S3Fifo,
    /// The one that was used less often lately, after a while in a window whose size follows the workload (W-TinyLFU: Einziger, Friedman, Manes, 2017).
    TinyLfu,
    /// What would have been best lately: tries the others on a sample of the keys and does as the best of them.
    Adaptive,
}

impl PolicyKind {
    /// All of them.
    ///
    /// ```
    /// for policy in rustcache::PolicyKind::ALL {
    ///     println!("{policy}");
    /// }
    /// ```
    pub const ALL: [PolicyKind; 4] = [
        PolicyKind::Lru,
        PolicyKind::S3Fifo,
        PolicyKind::TinyLfu,
        PolicyKind::Adaptive,
    ];

    /// Its name: `lru`, `s3-fifo`, `tinylfu` or `adaptive`.
    ///
    /// ```
    /// assert_eq!(rustcache::PolicyKind::TinyLfu.name(), "tinylfu");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            PolicyKind::Lru => "lru",
            PolicyKind::S3Fifo => "s3-fifo",
            PolicyKind::TinyLfu => "tinylfu",
            PolicyKind::Adaptive => "adaptive",
        }
    }
}

impl PolicyKind {
    /// Slots are below this number, in each shard.
    pub(in crate::cache) const fn max_slots(self) -> u32 {
        match self {
            PolicyKind::Lru => u32::MAX,
            PolicyKind::S3Fifo | PolicyKind::TinyLfu | PolicyKind::Adaptive => super::lists::NONE,
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        PolicyKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownPolicy {
                found: name.to_owned(),
            })
    }
}
