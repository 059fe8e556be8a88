//! What a snapshot brings back, and what damage to it does.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use std::io::{self, Read, Write};
use std::time::Duration;

use proptest::prelude::*;

use super::super::format::{BLOCK_HEADER, FILE_HEADER, FileHeader, FileKind, block_header, push_entry};
use super::*;
use crate::{Clock, Entry, Expiry, ManualClock, SetOptions, Tag};

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn standing(shards: usize) -> (Cache, ManualClock) {
    let (clock, hands) = Clock::manual();
    (
        Cache::builder().clock(clock).shards(shards).build().unwrap(),
        hands,
    )
}

fn snapshot(cache: &Cache) -> Vec<u8> {
    let mut bytes = Vec::new();
    cache.snapshot(&mut bytes).unwrap();
    bytes
}

/// Everything, sorted.
fn all(cache: &Cache) -> Vec<(Vec<u8>, Entry)> {
    let mut all: Vec<_> = cache.iter().map(|(key, entry)| (key.to_vec(), entry)).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

/// A few entries of each sort, in several blocks.
fn filled(shards: usize) -> (Cache, ManualClock) {
    let (cache, hands) = standing(shards);
    for n in 0..900u32 {
        let options = SetOptions {
            tag: Tag(n as u8),
            expiry: match n % 3 {
                0 => Expiry::Never,
                _ => Expiry::After(millis(u64::from(n) + 100)),
            },
            ..SetOptions::default()
        };
        cache
            .set(n.to_string(), vec![n as u8; n as usize], options)
            .unwrap();
    }
    for (key, len) in [("large", 20_000), ("larger", 300_000), ("empty", 0)] {
        cache.set(key, vec![3; len], SetOptions::default()).unwrap();
    }
    (cache, hands)
}

/// Three small blocks, so that every byte can be tried.
fn small() -> Vec<u8> {
    let (cache, _) = standing(1);
    let mut bytes = FileHeader {
        generation: GENERATION,
        created: cache.clock().unix_millis(),
    }
    .encode(FileKind::Snapshot)
    .to_vec();
    for (sequence, keys) in [&["a", "b"][..], &["c"], &["d", "e", "f"], &[]]
        .iter()
        .enumerate()
    {
        let mut block = Vec::new();
        for key in *keys {
            push_entry(
                &SnapshotEntry {
                    key: key.as_bytes(),
                    value: &[key.as_bytes(), b"-value"].concat(),
                    tag: Tag::TEXT,
                    deadline: None,
                },
                &mut block,
            );
        }
        bytes.extend(block_header(
            GENERATION,
            sequence as u32,
            keys.len() as u32,
            &block,
        ));
        bytes.extend(block);
    }
    bytes
}

#[test]
fn everything_comes_back_as_it_was() {
    for (from, to) in [(1, 1), (4, 1), (1, 4)] {
        let (cache, hands) = filled(from);
        let bytes = snapshot(&cache);
        let (restored, other) = standing(to);
        let found = restored.restore(&bytes[..], OnDamage::Fail).unwrap();
        assert_eq!(found.entries, 903);
        assert!(found.is_complete);
        assert_eq!(all(&restored), all(&cache));
        restored.validate();
        // Deadlines hold, to the millisecond.
        for hands in [&hands, &other] {
            hands.advance(millis(500));
        }
        assert_eq!(all(&restored), all(&cache));
    }
}

#[test]
fn the_order_of_eviction_comes_back() {
    let (cache, _) = filled(1);
    for n in (0..900u32).step_by(7) {
        cache.get(n.to_string());
    }
    cache.get("larger");
    let restore = |max_items| {
        let builder = Cache::builder().clock(Clock::manual().0).shards(1);
        builder
            .max_items(max_items)
            .restore(&snapshot(&cache)[..])
            .unwrap()
    };
    let (restored, limited) = (restore(903), restore(50));
    // The last fifty that were used: those are there with room for fifty.
    for n in 0..853 {
        restored
            .set(format!("new:{n}"), "v", SetOptions::default())
            .unwrap();
    }
    restored.clear_prefix("new:");
    assert_eq!(all(&restored).len(), 50);
    assert_eq!(
        all(&restored).iter().map(|(key, _)| key).collect::<Vec<_>>(),
        all(&limited).iter().map(|(key, _)| key).collect::<Vec<_>>()
    );
    assert!(limited.contains("larger") && limited.contains("896") && !limited.contains("898"));
}

#[test]
fn a_deadline_is_absolute_and_what_has_passed_is_left_out() {
    let (cache, _) = standing(1);
    for n in 1..=4u64 {
        cache
            .set(n.to_string(), "v", SetOptions::ttl(millis(n * 100)))
            .unwrap();
    }
    let bytes = snapshot(&cache);
    let (later, hands) = standing(1);
    hands.advance(millis(250));
    later.set("1", "newer", SetOptions::default()).unwrap();
    let found = later.restore(&bytes[..], OnDamage::Fail).unwrap();
    assert_eq!((found.entries, found.expired), (2, 2));
    assert_eq!(later.time_left("3"), Some(TimeLeft::Left(millis(50))));
    assert_eq!(
        later.get("1").unwrap().value,
        "newer",
        "what is left out leaves it alone"
    );
}

#[test]
fn what_does_not_fit_any_more_is_refused_and_the_rest_is_there() {
    let (cache, _) = filled(1);
    let bytes = snapshot(&cache);
    let (clock, _) = Clock::manual();
    let small = Cache::builder()
        .clock(clock)
        .max_value_bytes(250_000)
        .max_bytes(100_000)
        .shards(1)
        .build()
        .unwrap();
    let found = small.restore(&bytes[..], OnDamage::Fail).unwrap();
    assert_eq!((found.entries, found.refused), (902, 1));
    small.validate();
    assert!(small.contains("large") && !small.contains("larger"));
}

#[test]
fn a_block_that_this_cache_has_no_use_for_takes_no_memory_and_is_told_of() {
    let (cache, _) = filled(1);
    let bytes = snapshot(&cache);
    let tiny = || {
        let builder = Cache::builder().clock(Clock::manual().0);
        builder.max_value_bytes(1_000).build().unwrap()
    };
    let error = tiny()
        .restore(&bytes[..], OnDamage::Fail)
        .unwrap_err()
        .to_string();
    assert!(error.contains("max_value_bytes"), "{error}");
    let found = tiny().restore(&bytes[..], OnDamage::Skip).unwrap();
    assert!(!found.is_complete && found.entries > 800, "{found:?}");
}

#[test]
fn every_flipped_byte_is_found_and_never_served() {
    let intact = small();
    let whole: Vec<_> = all(&Cache::builder().restore(&intact[..]).unwrap());
    for at in 0..intact.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = intact.clone();
            bytes[at] ^= flip;
            match Cache::builder().restore(&bytes[..]) {
                Err(RestoreError::Damaged { offset, .. }) => {
                    assert!(offset <= at as u64, "byte {at}, found at {offset}");
                }
                other => panic!("byte {at}: {other:?}"),
            }
            let cache = Cache::builder().build().unwrap();
            let found = cache.restore(&bytes[..], OnDamage::Skip).unwrap();
            assert!(!found.is_complete, "byte {at}: {found:?}");
            let kept = all(&cache);
            assert!(
                kept.iter().all(|entry| whole.contains(entry)),
                "byte {at}: {kept:?}"
            );
            // No more than the block in which it is.
            assert!(kept.len() >= 3, "byte {at}: {kept:?}");
        }
    }
}

#[test]
fn a_snapshot_that_is_cut_anywhere_is_not_taken_for_whole_and_its_whole_blocks_can_be_had() {
    let intact = small();
    for len in 0..intact.len() {
        let error = Cache::builder().restore(&intact[..len]).unwrap_err();
        assert!(matches!(error, RestoreError::Damaged { .. }), "{len}: {error}");
        let cache = Cache::builder().build().unwrap();
        let found = cache.restore(&intact[..len], OnDamage::Skip).unwrap();
        assert!(!found.is_complete, "{len}");
        assert_eq!(found.entries, cache.len(), "{len}");
        assert_eq!(
            cache.contains("c"),
            len >= intact.len() - BLOCK_HEADER - 3 * 12 - BLOCK_HEADER,
            "{len}"
        );
    }
}

#[test]
fn a_block_that_is_missing_or_comes_twice_is_damage() {
    let intact = small();
    let second = FILE_HEADER + BLOCK_HEADER + 2 * 12;
    let third = second + BLOCK_HEADER + 12;
    let without = [&intact[..second], &intact[third..]].concat();
    let twice = [&intact[..third], &intact[second..]].concat();
    for (bytes, kept) in [(without, 5), (twice, 6)] {
        assert!(Cache::builder().restore(&bytes[..]).is_err());
        let cache = Cache::builder().build().unwrap();
        let found = cache.restore(&bytes[..], OnDamage::Skip).unwrap();
        assert!(!found.is_complete);
        assert_eq!(cache.len(), kept);
    }
}

#[test]
fn other_files_and_newer_formats_are_refused_in_any_case() {
    let cache = Cache::builder().build().unwrap();
    let header = FileHeader {
        generation: 1,
        created: 1,
    };
    let journal = header.encode(FileKind::Journal);
    let mut newer = header.encode(FileKind::Snapshot);
    newer[8] = 2;
    let crc = crc32c::crc32c(&newer[..28]);
    newer[28..].copy_from_slice(&crc.to_le_bytes());
    for (bytes, says) in [(journal, "no Snapshot"), (newer, "version 2")] {
        for on_damage in [OnDamage::Fail, OnDamage::Skip] {
            let error = cache.restore(&bytes[..], on_damage).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}

/// Gives one byte for ever, and counts them.
struct Endless(u8, u64);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(self.1 < 64 << 20, "it reads on and on");
        buffer.fill(self.0);
        self.1 += buffer.len() as u64;
        Ok(buffer.len())
    }
}

#[test]
fn a_length_that_is_claimed_takes_no_memory_and_reads_no_more_than_a_block() {
    let cache = Cache::builder().max_value_bytes(1 << 20).build().unwrap();
    for length in [u32::MAX, 1 << 31, 2 << 20, 1 << 20] {
        let mut bytes = small()[..FILE_HEADER].to_vec();
        bytes.extend([0; 4]);
        bytes.extend(length.to_le_bytes());
        bytes.extend([0; 8]);
        let error = cache.restore(bytes.chain_endless(), OnDamage::Fail).unwrap_err();
        assert!(matches!(error, RestoreError::Damaged { .. }), "{error}");
    }
}

trait ChainEndless {
    fn chain_endless(&self) -> impl Read + '_;
}

impl ChainEndless for Vec<u8> {
    fn chain_endless(&self) -> impl Read + '_ {
        self.as_slice().chain(Endless(7, 0))
    }
}

#[test]
fn what_the_reader_and_the_writer_say_is_told_with_its_place() {
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.0.min(buffer.len());
            self.0 -= len;
            match len {
                0 => Err(io::Error::other("unplugged")),
                _ => {
                    buffer[..len].copy_from_slice(&small()[..len]);
                    Ok(len)
                }
            }
        }
    }
    impl Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = self.0.min(bytes.len());
            self.0 -= len;
            match len {
                0 => Err(io::Error::other("full")),
                _ => Ok(len),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (cache, _) = filled(1);
    let error = Cache::builder().restore(Broken(40)).unwrap_err();
    assert!(matches!(error, RestoreError::Read { .. }), "{error}");
    assert!(error.to_string().contains("unplugged"));
    for room in [0, 20, 40, 100_000] {
        let error = cache.snapshot(Broken(room)).unwrap_err();
        assert!(matches!(error, SnapshotError::Write { .. }), "{error}");
        assert!(error.to_string().contains("full"));
    }
    cache.validate();
}

#[test]
fn a_writer_may_call_the_cache_and_one_snapshot_is_written_at_a_time() {
    struct Meddling<'c>(&'c Cache, u32, u32);
    impl Write for Meddling<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            self.0
                .set("meanwhile", self.1.to_string(), SetOptions::default())
                .unwrap();
            self.0.remove("5");
            // The last block is written when everything has been looked at.
            if let Err(error) = self.0.snapshot(io::sink()) {
                assert!(matches!(error, SnapshotError::Busy), "{error}");
                self.2 += 1;
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (cache, _) = filled(2);
    let mut writer = Meddling(&cache, 0, 0);
    cache.snapshot(&mut writer).unwrap();
    assert!(writer.2 > 5 && writer.2 + 4 >= writer.1);
    // It is over, also after a panic.
    struct Panicking;
    impl Write for Panicking {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            std::panic::resume_unwind(Box::new("on purpose"));
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let panics = std::panic::AssertUnwindSafe(|| cache.snapshot(Panicking));
    assert!(std::panic::catch_unwind(panics).is_err());
    assert_eq!(snapshot(&cache), snapshot(&cache));
    cache.validate();
}

#[test]
fn what_is_there_throughout_is_in_a_snapshot_that_is_written_while_others_write() {
    let cache = Cache::builder().shards(4).build().unwrap();
    for n in 0..5_000 {
        cache
            .set(format!("fixed:{n}"), "v", SetOptions::default())
            .unwrap();
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0..5_000u32).cycle() {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                cache
                    .set(format!("other:{n}"), "v", SetOptions::default())
                    .unwrap();
                cache.get(format!("fixed:{}", n * 7 % 5_000));
                cache.remove(format!("other:{}", (n + 2_500) % 5_000));
            }
        });
        for _ in 0..5 {
            let restored = Cache::builder().restore(&snapshot(&cache)[..]).unwrap();
            assert_eq!(restored.iter_prefix("fixed:").count(), 5_000);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_entries_come_back(
        entries in prop::collection::btree_map(
            prop::collection::vec(any::<u8>(), 0..300),
            (prop::collection::vec(any::<u8>(), 0..5_000), any::<u8>(), proptest::option::of(1u64..100_000)),
            0..60,
        ),
    ) {
        let (cache, _) = standing(1);
        for (key, (value, tag, ttl)) in &entries {
            let expiry = ttl.map_or(Expiry::Never, |ttl| Expiry::After(millis(ttl)));
            let options = SetOptions { tag: Tag(*tag), expiry, ..SetOptions::default() };
            cache.set(key, value, options).unwrap();
        }
        let (restored, _) = standing(1);
        let found = restored.restore(&snapshot(&cache)[..], OnDamage::Fail).unwrap();
        prop_assert_eq!(found.entries, entries.len() as u64);
        prop_assert_eq!(all(&restored), all(&cache));
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0usize..200, keeps in any::<bool>()) {
        // In the middle of a real one, or alone.
        let mut all_bytes = if keeps { small() } else { Vec::new() };
        let at = at.min(all_bytes.len());
        all_bytes.splice(at..at, bytes);
        let cache = Cache::builder().build().unwrap();
        if let Ok(found) = cache.restore(&all_bytes[..], OnDamage::Skip) {
            prop_assert_eq!(found.entries, cache.len());
        }
        cache.validate();
    }
}
