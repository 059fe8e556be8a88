//! What a power cut makes of the write that was under way: the file has its new length, and some of the blocks that belong to it were never written.
//! That is no damage, and costs nothing that was acknowledged. The same with a single wrong byte is damage: the record may have been acknowledged.

use std::fs;
use std::path::PathBuf;

use rustcache::persist::{Recover, Store, StoreOptions};
use rustcache::{Cache, SetOptions};

use crate::directory::{Directory, Generations};
use crate::support::Dice;

fn open(directory: &Directory, recover: Recover) -> Store {
    let options = StoreOptions {
        recover,
        ..StoreOptions::new(directory.path())
    };
    Store::open(options, Cache::builder()).expect("it opens")
}

/// A journal whose last record overwrites a key with a large value, and where that record begins.
fn overwritten(directory: &Directory) -> (PathBuf, usize) {
    let store = open(directory, Recover::Valid);
    let set = |key: &str, value: &[u8]| {
        let stored = store.cache().set(key, value, SetOptions::default());
        assert!(stored.expect("it fits"));
        store.commit().expect("written");
    };
    set("other", b"v");
    set("key", b"acknowledged");
    let newest = Generations::of(directory.path()).journal;
    let path = directory.path().join(format!("journal-{newest:020}"));
    let from = fs::metadata(&path).expect("it is there").len();
    set("key", &Dice(3).bytes(100_000));
    drop(store);
    (path, usize::try_from(from).expect("it fits"))
}

#[test]
fn blocks_of_the_last_write_that_are_missing_cost_nothing_that_was_there_before() {
    for block in [512, 1024, 4096] {
        for at in [1, 5, 20] {
            for zeros_behind in [0, 30_000] {
                let directory = Directory::new();
                let (path, from) = overwritten(&directory);
                let mut bytes = fs::read(&path).expect("it is there");
                let hole = (from.div_ceil(block) + at) * block;
                bytes[hole..hole + block].fill(0);
                bytes.resize(bytes.len() + zeros_behind, 0);
                fs::write(&path, bytes).expect("written");
                let store = open(&directory, Recover::Strict);
                let entry = store.cache().get("key").expect("it was acknowledged");
                assert_eq!(&entry.value[..], b"acknowledged", "{block} {at} {zeros_behind}");
                assert!(store.cache().contains("other"));
            }
        }
    }
}

#[test]
fn a_last_record_with_a_wrong_byte_in_its_value_makes_its_key_a_miss() {
    let directory = Directory::new();
    let (path, from) = overwritten(&directory);
    let mut bytes = fs::read(&path).expect("it is there");
    bytes[from + 50_000] ^= 0x55;
    fs::write(&path, bytes).expect("written");
    let store = open(&directory, Recover::Valid);
    assert!(store.recovery().is_damaged());
    assert!(
        !store.cache().contains("key"),
        "what it held before would be stale"
    );
    assert!(store.cache().contains("other"));
}

#[test]
fn a_journal_of_which_only_the_length_was_written_is_no_damage() {
    for len in [32, 512, 4096] {
        let directory = Directory::new();
        let store = open(&directory, Recover::Valid);
        let stored = store.cache().set("key", "acknowledged", SetOptions::default());
        assert!(stored.expect("it fits"));
        drop(store);
        let next = Generations::of(directory.path()).journal + 1;
        let path = directory.path().join(format!("journal-{next:020}"));
        fs::write(path, vec![0; len]).expect("written");
        for _ in 0..2 {
            let store = open(&directory, Recover::Strict);
            let entry = store.cache().get("key").expect("it was acknowledged");
            assert_eq!(&entry.value[..], b"acknowledged", "{len}");
            let stored = store.cache().set("later", "v", SetOptions::default());
            assert!(stored.expect("it fits"));
        }
        assert!(open(&directory, Recover::Strict).cache().contains("later"));
    }
}
