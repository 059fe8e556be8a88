//! What the cache promises about the memory of its process, measured. Each test runs in a process of its own (see `alone`), with the
//! allocator that the daemon has. `cargo test --test memory -- --nocapture` shows the figures.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustcache::{Cache, PolicyKind, SetOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MIB: u64 = 1 << 20;
const MAX_BYTES: u64 = 96 * MIB;
/// The promise: `max_bytes` × 1.10 + 32 MiB.
const PROMISED: u64 = MAX_BYTES * 110 / 100 + 32 * MIB;
static VALUE: [u8; 64 << 10] = [7; 64 << 10];

/// Whether this is the process that a test has for itself. If not, such a process is started, and has to succeed.
fn alone(test: &str) -> bool {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    const MARK: &str = "RUSTCACHE_MEMORY_TEST";
    if std::env::var_os(MARK).is_some() {
        // As the daemon does.
        rustix::thread::disable_transparent_huge_pages(true).expect("a kernel that allows it");
        return true;
    }
    if resident().is_none() {
        eprintln!("{test}: skipped, there is no /proc/self/status here");
        return false;
    }
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let this = std::env::current_exe().expect("the path of this program");
    let output = Command::new(this)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .expect("a process");
    let shown = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    eprint!("{shown}");
    assert!(
        output.status.success() && shown.contains("1 passed"),
        "{test} failed in its process:\n{shown}"
    );
    false
}

/// Resident memory of this process in bytes, where the system says.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

fn resident_now() -> u64 {
    resident().expect("it could be read before")
}

/// xorshift64*: the same numbers each time, without a dependency.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// From 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "random")]
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A length as values of real caches have them: lognormal, with a median of 100 bytes, and 64 KiB at most.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and below 2^16"
    )]
    fn length(&mut self) -> usize {
        let normal =
            (-2.0 * self.part().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * self.part()).cos();
        ((100f64.ln() + 1.9 * normal).exp().min(65_536.0)) as usize
    }
}

/// A key of 20 bytes.
fn key(n: u64) -> String {
    format!("key:{n:016x}")
}

fn in_mib(bytes: u64) -> u64 {
    bytes / MIB
}

#[test]
fn memory_stays_under_the_promise_while_mixed_sizes_churn() {
    if !alone("memory_stays_under_the_promise_while_mixed_sizes_churn") {
        return;
    }
    let cache = Cache::builder().max_bytes(MAX_BYTES).build().expect("a cache");
    let mut random = Random(42);
    let began = Instant::now();
    let (mut written, mut sets, mut most) = (0, 0u64, 0);
    while written < 20 * MAX_BYTES {
        let len = random.length();
        // Half of the entries expire, some of them during the test.
        let options = match random.below(4) {
            0 => SetOptions::ttl(Duration::from_millis(random.below(2_000))),
            1 => SetOptions::ttl(Duration::from_secs(3_600)),
            _ => SetOptions::default(),
        };
        cache
            .set(key(random.below(1_000_000)), &VALUE[..len], options)
            .expect("it fits");
        written += len as u64 + 20;
        sets += 1;
        if sets.is_multiple_of(2_048) {
            most = most.max(resident_now());
        }
    }
    cache.validate();
    let stats = cache.stats();
    eprintln!(
        "20 turnovers of {} MiB, {sets} sets in {:.1?}: {} entries, {} MiB charged, at most {} MiB resident, {} MiB promised",
        in_mib(MAX_BYTES),
        began.elapsed(),
        stats.items,
        in_mib(stats.bytes),
        in_mib(most),
        in_mib(PROMISED),
    );
    assert!(
        stats.bytes <= MAX_BYTES && stats.bytes > MAX_BYTES / 2,
        "{stats:?}"
    );
    assert!(
        most <= PROMISED,
        "{} MiB resident and {} MiB promised",
        in_mib(most),
        in_mib(PROMISED)
    );
}

#[test]
fn memory_taken_for_small_entries_comes_back_when_large_ones_follow() {
    if !alone("memory_taken_for_small_entries_comes_back_when_large_ones_follow") {
        return;
    }
    let cache = Cache::builder().max_bytes(MAX_BYTES).build().expect("a cache");
    let hour = SetOptions::ttl(Duration::from_secs(3_600));
    let hot = 10_000;
    for n in 0..1_200_000u64 {
        cache.set(n.to_le_bytes(), "", hour).expect("it fits");
    }
    let small = (cache.len(), resident_now());
    assert!(
        small.1 <= PROMISED,
        "{} MiB resident with small entries",
        in_mib(small.1)
    );
    // Some small ones stay, in slots all over the place. The allocator gives memory back after a second or so of further use.
    let began = Instant::now();
    let mut n = 0u64;
    loop {
        for _ in 0..2_000 {
            cache
                .set(key(n % 20_000), &VALUE[..8_000], hour)
                .expect("it fits");
            cache.get((1_200_000 - 1 - (n % hot) * 97).to_le_bytes());
            n += 1;
        }
        let now = resident_now();
        if n >= 50_000 && now <= PROMISED {
            eprintln!(
                "{} small entries: {} MiB resident; {} entries after {n} large ones and {:.1?}: {} MiB; {} MiB promised",
                small.0,
                in_mib(small.1),
                cache.len(),
                began.elapsed(),
                in_mib(now),
                in_mib(PROMISED),
            );
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{} MiB resident after a minute",
            in_mib(now)
        );
    }
    cache.validate();
}

/// Fills a cache with a million small entries and replaces them all once, so that it remembers as much of those that are gone as it ever will; and compares
/// what each costs with what it is charged; and, when it was filled for the first time, with what is promised.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn cost_of_a_small_entry(policy: PolicyKind, options: SetOptions, most: f64) {
    const ENTRIES: u64 = 1_000_000;
    let cache = Cache::builder()
        .policy(policy)
        .max_items(ENTRIES)
        .shards(1)
        .build()
        .expect("a cache");
    let before = resident_now();
    let cost = |what: &str| {
        let cost = (resident_now() - before) as f64 / ENTRIES as f64;
        let charged = cache.stats().bytes as f64 / ENTRIES as f64;
        eprintln!(
            "{policy}, 1 M entries of 20 + 56 bytes, {what}: {:.1} bytes each beyond key and value, charged with {:.1}",
            cost - 76.0,
            charged - 76.0
        );
        assert!(
            cost <= charged,
            "an entry costs {cost:.1} bytes and is charged with {charged:.1}"
        );
        cost - 76.0
    };
    let fill = |from: u64| {
        for n in from..from + ENTRIES {
            cache.set(key(n), &VALUE[..56], options).expect("it fits");
        }
    };
    fill(0);
    let beyond = cost("filled");
    assert!(
        beyond <= most,
        "an entry costs {beyond:.1} bytes beyond key and value, and {most} are promised"
    );
    fill(ENTRIES);
    assert_eq!(cache.len(), ENTRIES);
    cost("replaced");
}

macro_rules! a_small_entry_costs_no_more_than_it_is_charged {
    ($($policy:ident: $without:ident, $with:ident;)*) => { $(
        #[test]
        fn $without() {
            if alone(stringify!($without)) {
                cost_of_a_small_entry(PolicyKind::$policy, SetOptions::default(), 32.0);
            }
        }

        #[test]
        fn $with() {
            if alone(stringify!($with)) {
                cost_of_a_small_entry(PolicyKind::$policy, SetOptions::ttl(Duration::from_secs(3_600)), 40.0);
            }
        }
    )* };
}

a_small_entry_costs_no_more_than_it_is_charged! {
    Lru: a_small_entry_costs_no_more_than_it_is_charged, a_small_entry_with_a_ttl_costs_no_more_than_it_is_charged;
    S3Fifo: a_small_entry_costs_no_more_than_it_is_charged_with_s3_fifo, a_small_entry_with_a_ttl_costs_no_more_than_it_is_charged_with_s3_fifo;
    TinyLfu: a_small_entry_costs_no_more_than_it_is_charged_with_tinylfu, a_small_entry_with_a_ttl_costs_no_more_than_it_is_charged_with_tinylfu;
    Adaptive: a_small_entry_costs_no_more_than_it_is_charged_with_adaptive, a_small_entry_with_a_ttl_costs_no_more_than_it_is_charged_with_adaptive;
}
