//! Workloads that are made up, each with one thing that policies find hard. The same requests each time.

use super::trace::Trace;
use crate::workload::{Random, Scatter, Zipf};

/// Ids that are asked for once come from here on.
const ONCE: u64 = 1 << 40;

/// Popular keys of one range; with `shift`, the range moves by so many keys with each request.
fn popular(keys: u64, exponent: f64, shift: f64, seed: u64) -> impl Iterator<Item = u64> {
    let (zipf, scatter) = (Zipf::new(keys, exponent), Scatter::new(keys));
    let mut random = Random::new(seed);
    let mut moved = 0.0;
    std::iter::repeat_with(move || {
        moved += shift;
        let rank = zipf.rank(&mut random);
        // The key of a rank is another one from time to time: what was popular is not for ever.
        scatter.at((rank + moved as u64) % keys)
    })
}

pub(super) fn all(quick: bool) -> Vec<Trace> {
    let requests: usize = if quick { 20_000 } else { 1_000_000 };
    let keys = requests as u64 / 10;
    let mut traces = Vec::new();
    for (name, exponent) in [("zipf-0.7", 0.7), ("zipf-0.99", 0.99), ("zipf-1.2", 1.2)] {
        traces.push(Trace::made(
            name,
            "popularity by Zipf's law",
            popular(keys, exponent, 0.0, 1).take(requests),
        ));
    }

    let mut once = ONCE..;
    let mut zipf = popular(keys / 2, 0.99, 0.0, 2);
    let (between, long) = (requests / 20, requests / 50);
    let scans = std::iter::from_fn(|| {
        let mut part: Vec<u64> = zipf.by_ref().take(between).collect();
        part.extend(once.by_ref().take(long));
        Some(part)
    });
    traces.push(
        Trace::made(
            "scans",
            "Zipf 0.99, and now and then a long run of keys that are never asked for again",
            scans.flatten().take(requests),
        )
        .at_shares(&[0.002, 0.01, 0.05]),
    );

    let around = keys / 10;
    traces.push(
        Trace::made(
            "loop",
            "the same keys round and round",
            (0..requests as u64 / 2).map(|at| at % around),
        )
        .at_shares(&[0.3, 0.9, 0.99]),
    );

    traces.push(Trace::made(
        "shifting",
        "Zipf 0.99, and which keys are popular moves on",
        popular(keys, 0.99, 0.01, 3).take(requests),
    ));

    let mut once = ONCE..;
    let mut random = Random::new(4);
    let mut zipf = popular(keys / 2, 0.9, 0.0, 5);
    let wonders = std::iter::from_fn(|| {
        if random.below(2) == 0 {
            once.next()
        } else {
            zipf.next()
        }
    });
    traces.push(
        Trace::made(
            "one-hit wonders",
            "half of the requests are for keys that are never asked for again",
            wonders.take(requests),
        )
        .at_shares(&[0.002, 0.01, 0.05]),
    );

    let quarter = requests / 4;
    let (first, second) = (popular(keys, 0.8, 0.0, 6), popular(keys, 0.99, 0.05, 7));
    let phases = first
        .take(quarter)
        .chain((0..quarter as u64).map(move |at| (1 << 30) + at % (around / 2)))
        .chain(second.take(quarter).map(|id| (1 << 31) + id))
        .chain(
            (ONCE..)
                .zip(popular(keys / 4, 1.0, 0.0, 8))
                .flat_map(|(once, id)| [once, id])
                .take(quarter),
        );
    traces.push(
        Trace::made(
            "phases",
            "Zipf 0.8, then a loop, then shifting popularity, then half one-hit wonders",
            phases,
        )
        .at_shares(&[0.01, 0.03, 0.1]),
    );

    let mut random = Random::new(9);
    for (name, about, shift) in [
        ("sizes", "Zipf 0.9, lognormal sizes", 0.0),
        (
            "sizes, shifting",
            "the same, and which keys are popular moves on",
            0.01,
        ),
    ] {
        let trace = Trace::made(name, about, popular(keys, 0.9, shift, 10).take(requests));
        traces.push(trace.sized(|| u32::try_from(random.length()).expect("64 KiB at most")));
    }
    traces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_the_same_each_time_and_no_two_are_alike() {
        let (one, two) = (all(true), all(true));
        for (one, two) in one.iter().zip(&two) {
            assert_eq!(
                (&one.requests, &one.sizes),
                (&two.requests, &two.sizes),
                "{}",
                one.name
            );
        }
        for (at, one) in one.iter().enumerate() {
            for other in &two[..at] {
                assert_ne!(one.name, other.name);
                assert!(one.requests != other.requests, "{} is {}", one.name, other.name);
            }
        }
    }
}
