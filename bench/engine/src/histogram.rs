//! Counts times without keeping them: buckets that grow with the value (64 for each doubling, so that a quantile is right to 1.6 %), as
//! in HdrHistogram (Tene). The longest is kept as it is.

use std::time::Duration;

/// As a power of two: buckets for each doubling.
const FINE: u32 = 6;
const BUCKETS: usize = (64 - FINE as usize + 1) << FINE;

#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    all: u64,
    longest: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Histogram {
            counts: vec![0; BUCKETS],
            all: 0,
            longest: 0,
        }
    }

    pub(crate) fn note(&mut self, time: Duration) {
        let nanos = time.as_nanos() as u64;
        self.counts[bucket(nanos)] += 1;
        self.all += 1;
        self.longest = self.longest.max(nanos);
    }

    /// Nanoseconds that a part of all, from 0 to 1, took at most; NaN if nothing was noted.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let wanted = (part * self.all as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return (upper_end(bucket).min(self.longest)) as f64;
            }
        }
        f64::NAN
    }

    /// Nanoseconds; 0 if nothing was noted.
    pub(crate) fn longest(&self) -> f64 {
        self.longest as f64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all == 0
    }
}

fn bucket(nanos: u64) -> usize {
    let doublings = nanos.checked_ilog2().unwrap_or(0).saturating_sub(FINE);
    ((doublings as usize) << FINE) + (nanos >> doublings) as usize
}

/// The largest value of a bucket.
fn upper_end(bucket: usize) -> u64 {
    let doublings = (bucket >> FINE).saturating_sub(1);
    let low = (bucket - (doublings << FINE)) as u128;
    // In 128 bits, since the last bucket ends where 64 bits do.
    (((low + 1) << doublings) - 1).min(u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_below_its_end() {
        let mut values: Vec<u64> = (0..4096).collect();
        values.extend((12..64).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]));
        values.push(u64::MAX);
        for value in values {
            let end = upper_end(bucket(value));
            assert!(end >= value, "{value} above {end}");
            assert!(
                (end - value) as f64 <= value as f64 / 63.0,
                "{value} far below {end}"
            );
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut times = Histogram::new();
        for nanos in 1..=10_000 {
            times.note(Duration::from_nanos(nanos));
        }
        for part in [0.5, 0.99, 0.9999] {
            let (found, exact) = (times.quantile(part), part * 10_000.0);
            assert!((found - exact).abs() <= exact / 50.0, "{part}: {found}");
        }
        assert_eq!(times.longest(), 10_000.0);
        assert!(times.quantile(1.0) <= 10_000.0);
    }
}
