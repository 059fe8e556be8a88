//! How long things take: counts by duration, each an eighth of a power of two wide, written by any thread without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Steps in each power of two: what is told is at most an eighth too much.
const STEP_BITS: u32 = 3;
const STEPS: usize = 1 << STEP_BITS;
/// From a nanosecond to half an hour.
const POWERS: usize = 41;
const COUNTS: usize = POWERS * STEPS;

/// Durations that were counted.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Box<[AtomicU64]>,
    nanos: AtomicU64,
}

/// What a histogram held at a moment, or gained between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    counts: Vec<u64>,
    /// Of all durations together.
    pub(crate) nanos: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Histogram {
            counts: (0..COUNTS).map(|_| AtomicU64::new(0)).collect(),
            nanos: AtomicU64::new(0),
        }
    }

    pub(crate) fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[place(nanos)].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            counts: self
                .counts
                .iter()
                .map(|count| count.load(Ordering::Relaxed))
                .collect(),
            nanos: self.nanos.load(Ordering::Relaxed),
        }
    }
}

impl Counts {
    pub(crate) fn none() -> Self {
        Counts {
            counts: vec![0; COUNTS],
            nanos: 0,
        }
    }

    pub(crate) fn add(&mut self, other: &Counts) {
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
        self.nanos = self.nanos.wrapping_add(other.nanos);
    }

    /// What came since.
    pub(crate) fn since(&self, before: &Counts) -> Counts {
        let counts = self.counts.iter().zip(&before.counts);
        Counts {
            counts: counts.map(|(now, before)| now.saturating_sub(*before)).collect(),
            nanos: self.nanos.wrapping_sub(before.nanos),
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many took no longer than this, or at most an eighth longer.
    pub(crate) fn up_to(&self, duration: Duration) -> u64 {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[..=place(nanos)].iter().sum()
    }

    /// The duration that this part of them (0 to 1) did not exceed, in microseconds; 0 if there are none.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a count"
    )]
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let wanted = ((self.total() as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0.0, |at| most(at) as f64 / 1000.0)
    }
}

/// Which of the counts is that of a duration.
fn place(nanos: u64) -> usize {
    let power = nanos.max(1).ilog2();
    let step = if power >= STEP_BITS {
        nanos >> (power - STEP_BITS)
    } else {
        nanos << (STEP_BITS - power)
    };
    let step = usize::try_from(step).unwrap_or(0) & (STEPS - 1);
    (power as usize * STEPS + step).min(COUNTS - 1)
}

/// The longest duration of a count, in nanoseconds.
fn most(at: usize) -> u64 {
    let (power, step) = ((at / STEPS) as u64, (at % STEPS) as u64);
    let base = 1u64 << power;
    base + ((step + 1) * base).div_ceil(STEPS as u64) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_duration_is_at_most_an_eighth_too_much() {
        for nanos in
            (0..2000).chain((11..40).flat_map(|power| [1 << power, (1 << power) + 12_345, (2 << power) - 1]))
        {
            let told = most(place(nanos));
            assert!(told >= nanos && told <= nanos + nanos / 8 + 1, "{nanos}: {told}");
        }
        assert_eq!(place(u64::MAX), COUNTS - 1);
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded_in_between() {
        let histogram = Histogram::new();
        histogram.record(Duration::from_secs(1));
        let before = histogram.counts();
        for micros in 1..=100 {
            histogram.record(Duration::from_micros(micros));
        }
        let gained = histogram.counts().since(&before);
        assert_eq!(gained.total(), 100);
        assert!((50.0..57.0).contains(&gained.quantile(0.5)));
        assert!((99.0..112.0).contains(&gained.quantile(0.99)));
        assert!((1.0..1.2).contains(&gained.quantile(0.0)));
        assert_eq!(gained.nanos, 5_050_000);
        assert_eq!(Counts::none().quantile(0.5), 0.0);
    }
}
