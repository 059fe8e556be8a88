//! Time as the engine sees it: nanoseconds of a monotonic clock, and the wall clock beside it.
//!
//! Deadlines inside the engine are on the monotonic clock, so that a jump of the wall clock neither empties the cache nor
//! keeps it for ever. The wall clock is read only where a caller speaks in absolute Unix time. A u64 of nanoseconds lasts for 584 years: a deadline beyond
//! that is kept as that.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A deadline that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// Two clocks that are read within this time of each other are taken to be read at once.
const AT_ONCE: u64 = 20_000;
/// How often that is tried. A thread can lose its processor between any two readings, but hardly each time.
const TRIES: u32 = 4;
#[cfg(feature = "daemon")]
const NANOS_PER_MILLI: u32 = 1_000_000;

/// Where a cache gets its time from. Cheap to clone.
///
/// ```
/// use rustcache::{Cache, Clock};
///
/// // Two caches by one clock.
/// let clock = Clock::system();
/// let one = Cache::builder().clock(clock.clone()).build()?;
/// let other = Cache::builder().clock(clock).build()?;
/// # drop((one, other));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { origin: Instant },
    Manual(Arc<Hands>),
}

struct Hands {
    /// Nanoseconds.
    monotonic: AtomicU64,
    /// Milliseconds.
    wall_offset: AtomicI64,
}

/// The hands of a [`Clock`] that moves only when told to. For tests.
///
/// ```
/// use std::time::Duration;
/// use rustcache::Clock;
///
/// let (clock, hands) = Clock::manual();
/// let before = clock.unix_millis();
/// hands.advance(Duration::from_secs(1));
/// assert_eq!(clock.unix_millis(), before + 1000);
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Hands>);

impl Clock {
    /// The clock of the operating system.
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().clock(rustcache::Clock::system()).build()?; // the default
    /// # assert!(cache.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

    /// Nanoseconds since an arbitrary start; never goes back.
    pub(crate) fn now(&self) -> u64 {
        match &self.0 {
            Source::System { origin } => nanos(origin.elapsed()),
            Source::Manual(hands) => hands.monotonic.load(Ordering::Relaxed),
        }
    }

    /// Milliseconds since the Unix epoch, by the wall clock. May jump.
    ///
    /// ```
    /// assert!(rustcache::Clock::system().unix_millis() > 1_700_000_000_000);
    /// ```
    pub fn unix_millis(&self) -> u64 {
        millis(self.unix())
    }

    /// Time since the Unix epoch, by the wall clock; zero before it.
    fn unix(&self) -> Duration {
        match &self.0 {
            Source::System { .. } => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Source::Manual(hands) => {
                let monotonic = Duration::from_nanos(hands.monotonic.load(Ordering::Relaxed));
                let offset = hands.wall_offset.load(Ordering::Relaxed);
                let by = Duration::from_millis(offset.unsigned_abs());
                if offset < 0 {
                    monotonic.saturating_sub(by)
                } else {
                    monotonic + by
                }
            }
        }
    }

    /// Both clocks at one moment.
    pub(crate) fn both(&self) -> Both {
        let mut before = self.now();
        let mut tries = TRIES;
        loop {
            let unix = self.unix();
            let after = self.now();
            tries -= 1;
            if after.saturating_sub(before) <= AT_ONCE || tries == 0 {
                return Both { before, unix, after };
            }
            before = after;
        }
    }
}

/// What the wall clock said, and the monotonic clock just before and just after that. Whichever way a deadline is converted by it, it does not come later by
/// the other clock, and earlier by no more than what passed between the two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Both {
    before: u64,
    unix: Duration,
    after: u64,
}

impl Both {
    /// When it is `unix` (milliseconds) by the wall clock as it goes now, by the monotonic clock. `None` if it is that late already.
    pub(crate) fn to_monotonic(self, unix: u64) -> Option<u64> {
        let left = Duration::from_millis(unix).saturating_sub(self.unix);
        (!left.is_zero()).then(|| later(self.before, nanos(left)))
    }

    /// What the wall clock, as it goes now, says `left` after the monotonic clock said `from`: in Unix milliseconds, rounded down.
    pub(crate) fn to_unix_millis(self, from: u64, left: Duration) -> u64 {
        let passed = Duration::from_nanos(self.after.saturating_sub(from));
        millis(self.unix.saturating_add(left).saturating_sub(passed))
    }
}

impl ManualClock {
    /// Moves both clocks forward.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::{Cache, Clock, SetOptions, TimeLeft};
    /// let (clock, hands) = Clock::manual();
    /// let cache = Cache::builder().clock(clock).build()?;
    /// cache.set("a", "1", SetOptions::ttl(Duration::from_secs(60)))?;
    /// hands.advance(Duration::from_secs(20));
    /// assert_eq!(cache.time_left("a"), Some(TimeLeft::Left(Duration::from_secs(40))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance(&self, by: Duration) {
        let by = nanos(by);
        // The last moment is short of `NEVER`, or what has no deadline would expire.
        let later = |now: u64| Some(now.saturating_add(by).min(NEVER - 1));
        let _ = self
            .0
            .monotonic
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// Moves the wall clock alone, in milliseconds, as an administrator or NTP would.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::{Cache, Clock, SetOptions};
    /// let (clock, hands) = Clock::manual();
    /// let cache = Cache::builder().clock(clock).build()?;
    /// cache.set("a", "1", SetOptions::ttl(Duration::from_secs(60)))?;
    /// hands.jump_wall_clock(86_400_000);
    /// assert!(cache.contains("a"), "no time has passed");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
        let monotonic = Duration::from_nanos(self.0.monotonic.load(Ordering::Relaxed));
        write!(f, "ManualClock({monotonic:?})")
    }
}

/// The moment `by` nanoseconds after another. One that cannot be told from `NEVER` is kept short of it, unless `by` is `NEVER`.
#[inline]
pub(crate) fn later(now: u64, by: u64) -> u64 {
    match by {
        NEVER => NEVER,
        _ => now.saturating_add(by).min(NEVER - 1),
    }
}

/// A duration in nanoseconds, short of `NEVER`.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).map_or(NEVER - 1, |nanos| nanos.min(NEVER - 1))
}

/// For people: the duration that so many nanoseconds are; `None` for `NEVER`.
pub(crate) fn duration(nanos: u64) -> Option<Duration> {
    (nanos != NEVER).then(|| Duration::from_nanos(nanos))
}

/// A duration in whole milliseconds, at most `u64::MAX`. A part of a millisecond counts as a whole one, so that time that is left is never told as none, and
/// a TTL above zero is never rounded down to "expires at once".
#[cfg(feature = "daemon")]
pub(crate) fn millis_rounded_up(duration: Duration) -> u64 {
    let part = u128::from(!duration.subsec_nanos().is_multiple_of(NANOS_PER_MILLI));
    u64::try_from(duration.as_millis() + part).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    /// Two milliseconds passed while the wall clock was read: a thread can lose its processor then.
    const SLOW: Both = Both {
        before: 10 * MILLI,
        unix: Duration::from_micros(1_700_000_000_000_500),
        after: 12 * MILLI,
    };

    #[test]
    fn a_deadline_does_not_come_later_by_the_other_clock_however_slowly_both_were_read() {
        // The wall clock was read between 10 and 12 ms, at 1_700_000_000_000.5 ms.
        assert_eq!(SLOW.to_monotonic(1_700_000_000_005), Some(10 * MILLI + 4_500_000));
        // 20 ms is between 8 and 10 ms after that.
        let left = Duration::from_millis(9);
        assert_eq!(SLOW.to_unix_millis(11 * MILLI, left), 1_700_000_000_008);
    }

    #[test]
    fn a_moment_that_has_come_by_the_wall_clock_is_not_converted() {
        assert_eq!(SLOW.to_monotonic(1_700_000_000_000), None);
        assert_eq!(SLOW.to_monotonic(0), None);
        assert!(SLOW.to_monotonic(1_700_000_000_001).is_some());
    }

    #[test]
    fn the_longest_times_are_short_of_never() {
        assert_eq!(SLOW.to_monotonic(u64::MAX), Some(NEVER - 1));
        assert_eq!(nanos(Duration::MAX), NEVER - 1);
        assert_eq!(later(5, nanos(Duration::MAX)), NEVER - 1);
        assert_eq!(later(5, NEVER), NEVER);
        let far = Duration::from_nanos(NEVER - 1);
        assert!(SLOW.to_unix_millis(0, far) > 1_700_000_000_000);
    }

    #[test]
    fn what_is_left_is_told_in_whole_milliseconds_rounded_up() {
        for (nanos, millis) in [(0, 0), (1, 1), (MILLI - 1, 1), (MILLI, 1), (MILLI + 1, 2)] {
            assert_eq!(
                millis_rounded_up(Duration::from_nanos(nanos)),
                millis,
                "{nanos} ns"
            );
        }
    }
}
