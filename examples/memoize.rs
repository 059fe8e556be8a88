//! Remembering what a slow function has given: `cargo run --example memoize --features serde`.
//!
//! The results are values of any type that serde knows; they take no more than the bytes that the cache was given, and the ones used longest ago go first.

#![allow(clippy::print_stdout, reason = "a program")]

use std::sync::atomic::{AtomicU32, Ordering};

use rustcache::{Cache, EncodingError};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Factors {
    of: u64,
    primes: Vec<u64>,
}

/// A function with a memory.
struct Memoized<F> {
    function: F,
    results: rustcache::EncodedView<Factors>,
    calls: AtomicU32,
}

impl<F: Fn(u64) -> Factors> Memoized<F> {
    fn new(cache: &Cache, function: F) -> Self {
        Memoized {
            function,
            results: cache.encoded("factors:"),
            calls: AtomicU32::new(0),
        }
    }

    /// However many threads ask for a number at the same time, one computes. What an older version of this program wrote in another shape is as good as absent.
    fn call(&self, number: u64) -> Result<Factors, EncodingError> {
        self.results.get_with(number.to_le_bytes(), || {
            self.calls.fetch_add(1, Ordering::Relaxed);
            (self.function)(number)
        })
    }
}

fn factorize(of: u64) -> Factors {
    let (mut rest, mut primes, mut divisor) = (of, Vec::new(), 2);
    while rest > 1 {
        while rest.is_multiple_of(divisor) {
            primes.push(divisor);
            rest /= divisor;
        }
        divisor += 1;
    }
    Factors { of, primes }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::builder().max_bytes(1 << 20).build()?;
    let factors = Memoized::new(&cache, factorize);
    for number in [5_040, 999_983, 5_040, 720_720, 999_983] {
        println!("{number} = {:?}", factors.call(number)?.primes);
    }
    println!(
        "computed {} times; {} hits",
        factors.calls.into_inner(),
        cache.stats().hits
    );
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("it runs");
}

#[test]
fn a_result_is_computed_once() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::builder().build()?;
    let factors = Memoized::new(&cache, factorize);
    assert_eq!(factors.call(12)?.primes, [2, 2, 3]);
    assert_eq!(factors.call(12)?.primes, [2, 2, 3]);
    assert_eq!(factors.calls.load(Ordering::Relaxed), 1);
    // Two threads at once.
    std::thread::scope(|scope| {
        let results = [(); 2].map(|()| scope.spawn(|| factors.call(720_720)));
        for result in results {
            let primes = result
                .join()
                .expect("it does not panic")
                .map(|result| result.primes);
            assert_eq!(primes, Ok(vec![2, 2, 2, 2, 3, 3, 5, 7, 11, 13]));
        }
    });
    assert_eq!(factors.calls.load(Ordering::Relaxed), 2);
    // Whatever lies there: it is never taken for a result.
    cache.set(
        [b"factors:", &12u64.to_le_bytes()[..]].concat(),
        "junk",
        rustcache::SetOptions::default(),
    )?;
    assert_eq!(factors.call(12)?.primes, [2, 2, 3]);
    Ok(())
}
