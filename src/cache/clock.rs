//! Time as the engine sees it: milliseconds of a monotonic clock, and the wall clock beside it.
//!
//! Deadlines inside the engine are on the monotonic clock, so that a jump of the wall clock neither empties the cache nor
//! keeps it for ever. The wall clock is read only where a caller speaks in absolute Unix time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A deadline that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// Where a cache gets its time from. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { origin: Instant },
    Manual(Arc<Hands>),
}

struct Hands {
    monotonic: AtomicU64,
    wall_offset: AtomicI64,
}

/// The hands of a [`Clock`] that moves only when told to. For tests.
#[derive(Clone)]
pub struct ManualClock(Arc<Hands>);

impl Clock {
    /// The clock of the operating system.
    pub fn system() -> Self {
        Clock(Source::System {
            origin: Instant::now(),
        })
    }

    /// A clock that stands still, and the hands to move it with.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let (clock, hands) = rustcache::Clock::manual();
    /// let cache = rustcache::Cache::builder().clock(clock).build()?;
    /// cache.set("k", "v", rustcache::SetOptions::ttl(Duration::from_secs(1)))?;
    /// hands.advance(Duration::from_secs(1));
    /// assert!(cache.get("k").is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn manual() -> (Self, ManualClock) {
        let hands = Arc::new(Hands {
            monotonic: AtomicU64::new(0),
            wall_offset: AtomicI64::new(1_700_000_000_000),
        });
        (Clock(Source::Manual(Arc::clone(&hands))), ManualClock(hands))
    }

    /// Milliseconds since an arbitrary start; never goes back.
    pub(crate) fn now(&self) -> u64 {
        match &self.0 {
            Source::System { origin } => millis(origin.elapsed()),
            Source::Manual(hands) => hands.monotonic.load(Ordering::Relaxed),
        }
    }

    /// Milliseconds since the Unix epoch, by the wall clock. May jump.
    pub fn unix_millis(&self) -> u64 {
        match &self.0 {
            Source::System { .. } => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis),
            Source::Manual(hands) => hands
                .monotonic
                .load(Ordering::Relaxed)
                .saturating_add_signed(hands.wall_offset.load(Ordering::Relaxed)),
        }
    }
}

impl ManualClock {
    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let by = millis(by);
        // The last moment is short of `NEVER`, or what has no deadline would expire.
        let later = |now: u64| Some(now.saturating_add(by).min(NEVER - 1));
        let _ = self
            .0
            .monotonic
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// Moves the wall clock alone, in milliseconds, as an administrator or NTP would.
    pub fn jump_wall_clock(&self, by_millis: i64) {
        let jumped = |offset: i64| Some(offset.saturating_add(by_millis));
        let _ = self
            .0
            .wall_offset
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, jumped);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::System { .. } => f.write_str("Clock::system"),
            Source::Manual(_) => f.write_str("Clock::manual"),
        }
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualClock({} ms)", self.0.monotonic.load(Ordering::Relaxed))
    }
}

/// A duration in whole milliseconds, at most `u64::MAX`. A part of a millisecond counts as a whole one, so that
/// a TTL above zero is never rounded down to "expires at once".
pub(crate) fn millis_rounded_up(duration: Duration) -> u64 {
    let part = u128::from(!duration.subsec_nanos().is_multiple_of(1_000_000));
    u64::try_from(duration.as_millis() + part).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
