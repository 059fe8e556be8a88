//! The engine under an allocator that keeps no promise beyond those it has made: fresh memory is full of garbage, freed memory is overwritten, no address is
//! aligned better than was asked for, what grows always moves, and what lies around an allocation is looked at when it is freed. Every byte must
//! come back when caches are dropped.

#![expect(unsafe_code, reason = "an allocator has no safe face")]
#![allow(clippy::cast_possible_truncation, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustcache::{Cache, Clock, Cursor, Expiry, PolicyKind, SetOptions};

struct Hostile;

#[global_allocator]
static ALLOCATOR: Hostile = Hostile;

/// Before and behind each allocation: whether it is counted.
const GUARD: usize = 8;
const COUNTED: [u8; GUARD] = *b"counted!";
const NOT_COUNTED: [u8; GUARD] = *b"as_usual";
const FREED: u8 = 0xDD;

static ALLOCATIONS: AtomicI64 = AtomicI64::new(0);
static BYTES: AtomicI64 = AtomicI64::new(0);
static DAMAGED: AtomicU64 = AtomicU64::new(0);
static GARBAGE: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether what this thread allocates is counted. What is freed is, by any thread.
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}

/// How many bytes are asked of the system, and where the allocation begins in them: at an address that is a multiple of the alignment, but of no larger power of
/// two.
fn placed(layout: Layout) -> Option<(Layout, usize)> {
    let align = layout.align();
    let begin = GUARD.next_multiple_of(align);
    let begin = if (begin / align).is_multiple_of(2) {
        begin + align
    } else {
        begin
    };
    let size = (begin + GUARD).checked_add(layout.size())?;
    Some((Layout::from_size_align(size, (2 * align).max(16)).ok()?, begin))
}

// SAFETY: what is handed out lies within what the system has given, at `begin` bytes: a multiple of the alignment that leaves room for a guard before
// it, and `size` leaves room for one behind it. `dealloc` finds the same beginning, since it depends on the layout alone.
unsafe impl GlobalAlloc for Hostile {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((whole, begin)) = placed(layout) else {
            return std::ptr::null_mut();
        };
        let counts = COUNTS.get();
        // SAFETY: see above; the size is not 0.
        unsafe {
            let base = System.alloc(whole);
            if base.is_null() {
                return base;
            }
            let garbage = GARBAGE.fetch_add(0x4F, Ordering::Relaxed).to_le_bytes()[0];
            base.write_bytes(garbage, whole.size());
            let at = base.add(begin);
            let guard = if counts { COUNTED } else { NOT_COUNTED };
            at.sub(GUARD).cast::<[u8; GUARD]>().write_unaligned(guard);
            at.add(layout.size()).cast::<[u8; GUARD]>().write_unaligned(guard);
            if counts {
                ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
                BYTES.fetch_add(layout.size().cast_signed() as i64, Ordering::SeqCst);
            }
            at
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let Some((whole, begin)) = placed(layout) else {
            return;
        };
        // SAFETY: `alloc` gave this with the same layout.
        unsafe {
            let before = at.sub(GUARD).cast::<[u8; GUARD]>().read_unaligned();
            let behind = at.add(layout.size()).cast::<[u8; GUARD]>().read_unaligned();
            if before != behind || (before != COUNTED && before != NOT_COUNTED) {
                DAMAGED.fetch_add(1, Ordering::SeqCst);
            }
            if before == COUNTED {
                ALLOCATIONS.fetch_sub(1, Ordering::SeqCst);
                BYTES.fetch_sub(layout.size().cast_signed() as i64, Ordering::SeqCst);
            }
            let base = at.sub(begin);
            base.write_bytes(FREED, whole.size());
            System.dealloc(base, whole);
        }
    }
}

/// Numbers that look random (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Keys of some hundred bytes among others.
    fn key(&mut self) -> Vec<u8> {
        let n = self.below(2_000);
        let mut key = n.to_string().into_bytes();
        if n.is_multiple_of(9) {
            key.resize(250 + n as usize % 10, b'x');
        }
        key
    }

    /// Values of all kinds: in small and large places, allocated, and shared.
    fn value(&mut self) -> Vec<u8> {
        let len = match self.below(20) {
            0 => 16_380 + self.below(8),
            1 => 4_080 + self.below(20),
            2 => self.below(30_000),
            3..8 => self.below(1_000),
            _ => self.below(60),
        };
        vec![self.next().to_le_bytes()[0]; len as usize]
    }
}

fn play(policy: PolicyKind, shards: usize, steps: u32) {
    let mut random = Random(shards as u64 + policy.name().len() as u64);
    let (clock, hands) = Clock::manual();
    let cache = Cache::builder()
        .policy(policy)
        .shards(shards)
        .max_bytes(600_000)
        .max_items(1_500)
        .clock(clock)
        .build()
        .expect("valid options");
    let mut model: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    // Values that are held on to, beyond the cache's life.
    let mut kept = Vec::new();
    for step in 0..steps {
        let key = random.key();
        match random.below(24) {
            0..9 => {
                if let Some(entry) = cache.get(&key) {
                    assert!(
                        model.get(&key).is_some_and(|value| entry.value == *value),
                        "{key:?}"
                    );
                    if random.below(50) == 0 {
                        kept.push((entry.value, model[&key].clone()));
                    }
                }
            }
            9..18 => {
                let value = random.value();
                let options = match random.below(3) {
                    0 => SetOptions::ttl(Duration::from_millis(random.below(3_000))),
                    _ => SetOptions::default(),
                };
                if cache.set(&key, &value, options).is_ok() {
                    model.insert(key, value);
                } else {
                    model.remove(&key);
                }
            }
            18 => drop(cache.remove(&key)),
            19 => drop(cache.take(&key)),
            20 => drop(cache.touch(&key, Expiry::After(Duration::from_millis(500)))),
            21 => drop(cache.get_many([&key, &random.key(), &random.key()])),
            22 => {
                let page = cache.scan(Cursor::default(), "1", 20, true);
                for entry in page.entries {
                    let value = entry.value.expect("values were asked for");
                    assert!(
                        model
                            .get(&entry.key[..])
                            .is_some_and(|expected| *expected == value)
                    );
                }
            }
            _ => hands.advance(Duration::from_millis(random.below(100))),
        }
        match step % 4_096 {
            1_000 => cache.run_pending(),
            2_000 => cache.validate(),
            4_095 => drop(cache.clear_prefix("1")),
            _ => {}
        }
    }
    if steps.is_multiple_of(2) {
        cache.clear();
    }
    cache.validate();
    drop(cache);
    assert!(
        kept.iter().all(|(value, expected)| value == expected),
        "a value changed after the cache was gone"
    );
}

#[test]
fn the_engine_needs_nothing_of_its_allocator_but_what_it_asks_for_and_gives_everything_back() {
    // What is allocated once and stays: the hasher's seeds, for example.
    play(PolicyKind::Lru, 1, 100);
    COUNTS.set(true);
    for policy in PolicyKind::ALL {
        for shards in [1, 2] {
            play(policy, shards, 30_000 + shards as u32);
        }
    }
    COUNTS.set(false);
    assert_eq!(
        DAMAGED.load(Ordering::SeqCst),
        0,
        "something was written beside an allocation"
    );
    // The background thread frees what was cleared, and then ends.
    let began = Instant::now();
    let left = || (ALLOCATIONS.load(Ordering::SeqCst), BYTES.load(Ordering::SeqCst));
    while left() != (0, 0) {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{:?} allocations and bytes are left",
            left()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(
        DAMAGED.load(Ordering::SeqCst),
        0,
        "something was written beside an allocation"
    );
}
