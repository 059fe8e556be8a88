//! Files cut, flipped, missing, stale: never a wrong value, never a refusal to open, and the damage is named.

use std::collections::BTreeMap;

use super::{Scratch, contents, crash, open, set};
use crate::persist::{OpenError, Recover, Store, StoreOptions, Sync};
use crate::{Cache, SetOptions};

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// A directory with a snapshot and a journal of overwrites, removals and new entries, and what is in it.
fn small_directory() -> (Scratch, Contents) {
    let scratch = Scratch::new();
    let store = open(&scratch);
    for key in ["a", "b", "c", "d"] {
        set(&store, key, &format!("{key} of the snapshot"));
    }
    store.snapshot().unwrap();
    set(&store, "a", "a overwritten");
    store.cache().remove("b");
    set(&store, "e", "e of the journal");
    store
        .cache()
        .set(
            "t",
            "with ttl",
            SetOptions::ttl(std::time::Duration::from_secs(3600)),
        )
        .unwrap();
    set(&store, "c", "c overwritten, the last record");
    store.commit().unwrap();
    let all = contents(store.cache());
    crash(store);
    (scratch, all)
}

/// Nothing may be served that is not the last value of its key.
fn assert_nothing_stale(found: &Contents, all: &Contents, what: &str) {
    for (key, value) in found {
        assert_eq!(
            Some(value),
            all.get(key),
            "{what}: key {}",
            String::from_utf8_lossy(key)
        );
    }
}

#[test]
fn any_flipped_bit_costs_entries_and_never_serves_a_wrong_one() {
    let (scratch, all) = small_directory();
    let files = scratch.files();
    let mut kept = 0;
    let mut cases = 0;
    for (name, bytes) in &files {
        for bit in 0..bytes.len() * 8 {
            let mut damaged = files.clone();
            damaged.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8);
            scratch.set_files(&damaged);
            let store = open(&scratch);
            let found = contents(store.cache());
            assert_nothing_stale(&found, &all, &format!("bit {bit} of {name}"));
            let named = store.recovery().to_string();
            assert!(
                named.contains(name.as_str()),
                "bit {bit} of {name} is not reported: {named:?}"
            );
            kept += found.len();
            cases += 1;
            crash(store);
        }
    }
    // One record or one block at most is lost to a bit: the rest is there.
    assert!(
        kept * 10 > cases * all.len() * 6,
        "only {kept} entries in {cases} cases"
    );
}

#[test]
fn a_journal_cut_at_any_length_keeps_the_records_before_the_cut() {
    let (scratch, _) = small_directory();
    let files = scratch.files();
    let (name, bytes) = files
        .iter()
        .find(|(name, _)| name.starts_with("journal"))
        .unwrap();
    let mut last = usize::MAX;
    for len in (0..bytes.len()).rev() {
        let mut cut = files.clone();
        cut.insert(name.clone(), bytes[..len].to_vec());
        scratch.set_files(&cut);
        let store = open(&scratch);
        assert!(
            !store.recovery().is_damaged(),
            "a cut is no damage: {}",
            store.recovery()
        );
        let applied = usize::try_from(store.recovery().applied()).unwrap();
        assert!(applied <= last, "{len}");
        last = applied;
        // The snapshot is whole: what it holds is there, as far as the journal did not change it.
        assert_eq!(contents(store.cache())[&b"d"[..]], b"d of the snapshot");
        crash(store);
        // What was cut off is reported once, and not in the way of the next start.
        let again = open(&scratch);
        assert_eq!(
            usize::try_from(again.cache().len()).unwrap(),
            contents(again.cache()).len()
        );
        crash(again);
    }
}

#[test]
fn a_snapshot_cut_at_any_length_is_no_reason_to_serve_anything_wrong() {
    let (scratch, all) = small_directory();
    let files = scratch.files();
    let (name, bytes) = files
        .iter()
        .find(|(name, _)| name.starts_with("snapshot"))
        .unwrap();
    for len in 0..bytes.len() {
        let mut cut = files.clone();
        cut.insert(name.clone(), bytes[..len].to_vec());
        scratch.set_files(&cut);
        let store = open(&scratch);
        let found = contents(store.cache());
        assert_nothing_stale(&found, &all, &format!("cut at {len}"));
        assert_eq!(found[&b"e"[..]], b"e of the journal");
        crash(store);
    }
}

#[test]
fn zeros_at_the_tail_as_a_power_cut_leaves_them_are_cut_off() {
    let (scratch, all) = small_directory();
    for zeros in [1, 17, 512, 4096] {
        let mut files = scratch.files();
        let journal = files
            .keys()
            .rev()
            .find(|name| name.starts_with("journal"))
            .unwrap()
            .clone();
        files.get_mut(&journal).unwrap().extend(vec![0; zeros]);
        scratch.set_files(&files);
        let store = open(&scratch);
        assert_eq!(contents(store.cache()), all, "{zeros} zeros");
        assert!(!store.recovery().is_damaged());
        crash(store);
    }
}

#[test]
fn files_of_an_older_generation_copied_back_are_of_no_account() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    set(&store, "a", "old");
    set(&store, "b", "old");
    store.snapshot().unwrap();
    set(&store, "c", "old");
    store.commit().unwrap();
    let old = scratch.files();
    set(&store, "a", "new");
    store.cache().remove("b");
    store.cache().remove("c");
    store.snapshot().unwrap();
    let all = contents(store.cache());
    crash(store);
    let mut files = old.clone();
    files.extend(scratch.files());
    scratch.set_files(&files);
    assert_eq!(contents(open(&scratch).cache()), all);
    // And without the snapshot that replaced them: what they hold may be stale.
    files.retain(|name, _| old.contains_key(name) || !name.starts_with("snapshot"));
    let newest = files
        .keys()
        .rfind(|name| name.starts_with("journal"))
        .unwrap()
        .clone();
    let first_old = old
        .keys()
        .find(|name| name.starts_with("journal"))
        .unwrap()
        .clone();
    assert_ne!(newest, first_old);
    files.remove(&first_old);
    scratch.set_files(&files);
    assert_eq!(contents(open(&scratch).cache()), BTreeMap::new());
}

#[test]
fn without_its_snapshot_a_journal_still_serves_what_it_holds() {
    let (scratch, all) = small_directory();
    let mut files = scratch.files();
    files.retain(|name, _| name.starts_with("journal"));
    scratch.set_files(&files);
    let store = open(&scratch);
    let found = contents(store.cache());
    assert_nothing_stale(&found, &all, "no snapshot");
    assert_eq!(found[&b"e"[..]], b"e of the journal");
}

#[test]
fn strict_recovery_refuses_damage_and_names_it_but_not_an_unfinished_write() {
    let (scratch, all) = small_directory();
    let strict = || {
        let options = StoreOptions {
            recover: Recover::Strict,
            ..scratch.options()
        };
        Store::open(options, Cache::builder())
    };
    let files = scratch.files();
    let (name, bytes) = files
        .iter()
        .find(|(name, _)| name.starts_with("journal"))
        .unwrap();
    let mut cut = files.clone();
    cut.insert(name.clone(), bytes[..bytes.len() - 1].to_vec());
    scratch.set_files(&cut);
    crash(strict().unwrap());
    let mut damaged = files.clone();
    damaged.get_mut(name).unwrap()[60] ^= 1;
    scratch.set_files(&damaged);
    match strict() {
        Err(error @ OpenError::Damaged(_)) => assert!(error.to_string().contains(name.as_str()), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(scratch.files(), damaged, "nothing was touched");
    scratch.set_files(&files);
    assert_eq!(contents(strict().unwrap().cache()), all);
}

#[test]
fn a_damaged_file_is_set_aside_and_the_next_start_is_clean() {
    let (scratch, _) = small_directory();
    let mut files = scratch.files();
    let name = files
        .keys()
        .find(|name| name.starts_with("journal"))
        .unwrap()
        .clone();
    files.get_mut(&name).unwrap()[60] ^= 1;
    let damaged = files[&name].clone();
    scratch.set_files(&files);
    let store = open(&scratch);
    let kept = contents(store.cache());
    crash(store);
    assert_eq!(
        std::fs::read(scratch.path().join(format!("damaged-{name}"))).unwrap(),
        damaged
    );
    let store = open(&scratch);
    assert!(!store.recovery().is_damaged(), "{}", store.recovery());
    assert_eq!(contents(store.cache()), kept);
}

#[test]
fn a_snapshot_whose_journal_is_missing_is_not_served_since_it_may_be_stale() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    set(&store, "a", "old");
    store.snapshot().unwrap();
    set(&store, "a", "new");
    store.commit().unwrap();
    crash(store);
    let mut files = scratch.files();
    files.retain(|name, _| name.starts_with("snapshot-"));
    scratch.set_files(&files);
    for _ in 0..2 {
        let store = open(&scratch);
        assert_eq!(store.cache().len(), 0);
        crash(store);
    }
}

#[test]
fn a_snapshot_that_ends_within_its_header_is_damaged() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    set(&store, "a", "1");
    store.snapshot().unwrap();
    crash(store);
    let mut files = scratch.files();
    for (name, bytes) in &mut files {
        if name.starts_with("snapshot-") {
            bytes.truncate(20);
        }
    }
    scratch.set_files(&files);
    let options = StoreOptions {
        recover: Recover::Strict,
        ..scratch.options()
    };
    let error = Store::open(options, Cache::builder()).unwrap_err();
    assert!(error.to_string().contains("within its header"), "{error}");
}

#[test]
fn a_flipped_bit_in_a_last_record_that_ends_in_zeros_does_not_bring_the_former_value_back() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    set(&store, "a", "old");
    set(&store, "a", "new\0\0\0\0\0\0\0\0");
    store.commit().unwrap();
    crash(store);
    let files = scratch.files();
    let (name, bytes) = files.last_key_value().unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        scratch.set_files(&[(name.clone(), damaged)].into());
        let store = open(&scratch);
        let value = store.cache().get("a").map(|entry| entry.value);
        assert!(value.is_none_or(|value| value.starts_with(b"new")), "bit {bit}");
        crash(store);
    }
}

/// A directory with three journals, as starts after crashes leave them: each changes what the one before it said.
fn journals_in_a_row() -> (Scratch, BTreeMap<String, Vec<u8>>) {
    let scratch = Scratch::new();
    for (at, value) in ["first", "second", "third"].into_iter().enumerate() {
        let store = open(&scratch);
        set(&store, "overwritten", value);
        set(&store, value, "there");
        if at == 1 {
            store.cache().remove("first");
        }
        store.commit().unwrap();
        crash(store);
    }
    let files = scratch.files();
    assert_eq!(files.len(), 3, "{:?}", files.keys());
    (scratch, files)
}

#[test]
fn a_journal_that_is_not_the_last_cut_at_any_length_is_named_and_serves_nothing_stale() {
    let (scratch, files) = journals_in_a_row();
    let whole = {
        let store = open(&scratch);
        assert!(!store.recovery().is_damaged(), "{}", store.recovery());
        contents(store.cache())
    };
    for name in files.keys().take(2) {
        for len in 0..files[name].len() {
            let mut files = files.clone();
            files.get_mut(name).unwrap().truncate(len);
            scratch.set_files(&files);
            let store = open(&scratch);
            assert!(store.recovery().is_damaged(), "{name} cut to {len}");
            assert_nothing_stale(&contents(store.cache()), &whole, &format!("{name} cut to {len}"));
            assert!(
                store.cache().contains("third"),
                "{name} cut to {len}: the last is whole"
            );
            crash(store);
        }
    }
}

#[test]
fn a_missing_snapshot_is_named_and_strict_recovery_refuses() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    set(&store, "a", "1");
    store.snapshot().unwrap();
    set(&store, "b", "2");
    store.commit().unwrap();
    crash(store);
    let mut files = scratch.files();
    files.retain(|name, _| name.starts_with("journal-"));
    scratch.set_files(&files);
    let strict = StoreOptions {
        recover: Recover::Strict,
        ..scratch.options()
    };
    let error = Store::open(strict, Cache::builder()).unwrap_err();
    assert!(
        error.to_string().contains("snapshot") && error.to_string().contains("missing"),
        "{error}"
    );
    let store = open(&scratch);
    assert!(store.cache().contains("b") && !store.cache().contains("a"));
}

/// A journal of many commits, each of one record, and where each of them begins.
fn commits(scratch: &Scratch, sync: Sync, count: usize) -> (String, Vec<u8>, Vec<usize>) {
    let options = StoreOptions {
        sync,
        ..scratch.options()
    };
    let store = Store::open(options, Cache::builder()).unwrap();
    let mut starts = Vec::new();
    for number in 0..count {
        let (_, bytes) = scratch.files().pop_last().unwrap();
        starts.push(bytes.len());
        set(&store, &format!("key-{}", number % 7), &format!("{number:01500}"));
        store.commit().unwrap();
    }
    crash(store);
    let (name, bytes) = scratch.files().pop_last().unwrap();
    (name, bytes, starts)
}

#[test]
fn a_hole_that_a_power_cut_left_in_what_was_not_synced_costs_only_what_comes_after_it() {
    let scratch = Scratch::new();
    let (name, mut bytes, starts) = commits(&scratch, Sync::Never, 30);
    // The whole sectors of the tenth record but its first, as if they had never been written.
    let hole = (starts[10] + 600).next_multiple_of(512);
    bytes[hole..hole + 512].fill(0);
    scratch.set_files(&[(name, bytes)].into());
    let strict = StoreOptions {
        recover: Recover::Strict,
        ..scratch.options()
    };
    let store = Store::open(strict, Cache::builder()).unwrap();
    let found = contents(store.cache());
    for number in 3..10 {
        let key = format!("key-{}", number % 7).into_bytes();
        assert_eq!(found[&key], format!("{number:01500}").into_bytes());
    }
}

#[test]
fn zeros_in_what_was_synced_are_damage_and_what_comes_after_them_is_kept() {
    let scratch = Scratch::new();
    let (name, mut bytes, starts) = commits(&scratch, Sync::Always, 30);
    let hole = (starts[10] + 600).next_multiple_of(512);
    bytes[hole..hole + 512].fill(0);
    scratch.set_files(&[(name, bytes)].into());
    let store = open(&scratch);
    assert!(store.recovery().is_damaged());
    let found = contents(store.cache());
    for number in 23..30 {
        let key = format!("key-{}", number % 7).into_bytes();
        assert_eq!(found[&key], format!("{number:01500}").into_bytes());
    }
}
