//! What is written and asked for: keys, values, lengths, and who is asked for how often. The same numbers each time.

pub(crate) const KEY_BYTES: usize = 20;
pub(crate) const VALUE_BYTES: usize = 56;
/// The longest value of the lognormal lengths.
pub(crate) const MOST_BYTES: usize = 64 << 10;

/// `key:` and sixteen digits.
pub(crate) fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = *b"key:0000000000000000";
    key[4..12].copy_from_slice(&hex(number >> 32));
    key[12..].copy_from_slice(&hex(number & 0xFFFF_FFFF));
    key
}

/// The eight digits of 32 bits, all at once.
fn hex(number: u64) -> [u8; 8] {
    let pairs = (number << 16 | number) & 0x0000_FFFF_0000_FFFF;
    let bytes = (pairs << 8 | pairs) & 0x00FF_00FF_00FF_00FF;
    let nibbles = (bytes << 4 | bytes) & 0x0F0F_0F0F_0F0F_0F0F;
    let is_letter = ((nibbles + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (nibbles + 0x3030_3030_3030_3030 + is_letter * u64::from(b'a' - b'9' - 1)).to_be_bytes()
}

/// A value that begins with its number.
pub(crate) fn value(number: u64) -> [u8; VALUE_BYTES] {
    let mut value = [b'v'; VALUE_BYTES];
    value[..8].copy_from_slice(&number.to_le_bytes());
    value
}

/// xorshift64* (Marsaglia 2003, Vigna 2016).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Any seed but the one state that never moves; multiplied, so that near seeds begin far apart.
        Random(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// From 0 up to, but not including, `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// From 0 to 1.
    pub(crate) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A length as values of real caches have them: lognormal, with a median of 100 bytes, up to 64 KiB. One in four is above 360 bytes, one
    /// in a hundred above 8 KiB.
    pub(crate) fn length(&mut self) -> usize {
        let normal =
            (-2.0 * self.part().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * self.part()).cos();
        (100f64.ln() + 1.9 * normal).exp().min(MOST_BYTES as f64) as usize
    }
}

/// Ranks from 0 to `n` − 1 with a probability that falls as `1 / (rank + 1) ^ exponent`: rejection-inversion (Hörmann and Derflinger
/// 1996), which needs no table.
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    n: u64,
    exponent: f64,
    first: f64,
    last: f64,
    shortcut: f64,
}

impl Zipf {
    pub(crate) fn new(n: u64, exponent: f64) -> Self {
        let mut zipf = Zipf {
            n,
            exponent,
            first: 0.0,
            last: 0.0,
            shortcut: 0.0,
        };
        zipf.first = zipf.integral(1.5) - 1.0;
        zipf.last = zipf.integral(n as f64 + 0.5);
        zipf.shortcut = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    pub(crate) fn rank(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.last + random.part() * (self.first - self.last);
            let x = self.inverse(area);
            let k = (x + 0.5).floor().clamp(1.0, self.n as f64);
            if k - x <= self.shortcut || area >= self.integral(k + 0.5) - self.density(k) {
                return k as u64 - 1;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// Of the density; the logarithm at an exponent of 1.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let t = (1.0 - self.exponent) * log;
        if t.abs() > 1e-8 {
            log * t.exp_m1() / t
        } else {
            log * (1.0 + t / 2.0)
        }
    }

    fn inverse(&self, area: f64) -> f64 {
        let t = (area * (1.0 - self.exponent)).max(-1.0);
        if t.abs() > 1e-8 {
            (area * t.ln_1p() / t).exp()
        } else {
            (area * (1.0 - t / 2.0)).exp()
        }
    }
}

/// A permutation of `0..n`, so that neighbours in rank are no neighbours in number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scatter {
    n: u64,
    factor: u64,
}

impl Scatter {
    pub(crate) fn new(n: u64) -> Self {
        let n = n.max(1);
        // About the golden section of n, and the next number without a divisor in common with it.
        let mut factor = (n as f64 * 0.618_033_988_75) as u64 | 1;
        while gcd(factor, n) != 1 {
            factor += 2;
        }
        Scatter { n, factor }
    }

    pub(crate) fn at(self, rank: u64) -> u64 {
        (u128::from(rank) * u128::from(self.factor) % u128::from(self.n)) as u64
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Numbers below `n`, each as likely as any other.
pub(crate) fn uniform(n: u64, count: usize, seed: u64) -> Vec<u32> {
    let mut random = Random::new(seed);
    (0..count).map(|_| narrow(random.below(n))).collect()
}

/// Numbers below `n` whose popularity falls by Zipf's law.
pub(crate) fn zipf(n: u64, exponent: f64, count: usize, seed: u64) -> Vec<u32> {
    let mut random = Random::new(seed);
    let (zipf, scatter) = (Zipf::new(n, exponent), Scatter::new(n));
    (0..count)
        .map(|_| narrow(scatter.at(zipf.rank(&mut random))))
        .collect()
}

/// Numbers of keys are kept in 32 bits.
pub(crate) fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("fewer than 2^32 keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_have_their_length() {
        assert_eq!(&key(0), b"key:0000000000000000");
        assert_eq!(&key(0xABC), b"key:0000000000000abc");
        assert_eq!(&key(u64::MAX), b"key:ffffffffffffffff");
        for number in [1, 0x9A, 0x0123_4567_89AB_CDEF, 1 << 32] {
            assert_eq!(key(number).as_slice(), format!("key:{number:016x}").as_bytes());
        }
    }

    #[test]
    fn zipf_gives_each_rank_its_share() {
        const DRAWS: usize = 400_000;
        for exponent in [0.7, 0.99, 1.0, 1.2] {
            let n = 1000;
            let zipf = Zipf::new(n, exponent);
            let mut random = Random::new(1);
            let mut seen = vec![0u32; n as usize];
            for _ in 0..DRAWS {
                seen[zipf.rank(&mut random) as usize] += 1;
            }
            let all: f64 = (1..=n).map(|k| (k as f64).powf(-exponent)).sum();
            for rank in [0, 1, 2, 9, 99] {
                let expected = DRAWS as f64 * ((rank + 1) as f64).powf(-exponent) / all;
                let found = f64::from(seen[rank]);
                assert!(
                    (found - expected).abs() < 5.0 * expected.sqrt(),
                    "exponent {exponent}, rank {rank}: {found} instead of about {expected}"
                );
            }
        }
    }

    #[test]
    fn a_scatter_meets_every_number_once() {
        for n in [1, 2, 10, 4096, 99_990] {
            let scatter = Scatter::new(n);
            let mut met = vec![false; n as usize];
            for rank in 0..n {
                assert!(!std::mem::replace(&mut met[scatter.at(rank) as usize], true));
            }
        }
    }

    #[test]
    fn lengths_have_a_median_of_a_hundred_bytes_and_reach_64_kib() {
        let mut random = Random::new(2);
        let mut lengths: Vec<_> = (0..100_000).map(|_| random.length()).collect();
        lengths.sort_unstable();
        assert!((95..105).contains(&lengths[50_000]), "{}", lengths[50_000]);
        assert_eq!(lengths.last(), Some(&MOST_BYTES));
    }
}
