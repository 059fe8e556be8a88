//! What persistence promises, each with a test: through a real directory, through damage, through every failure of the disk, against a model.

mod damage;
mod faults;
pub(crate) mod hooked_disk;
mod model;
mod order;
pub(crate) mod quick_disk;
mod start;
mod threads;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{OpenError, Recover, Store, StoreOptions};
use crate::{Cache, Cursor, SetOptions};
use hooked_disk::{HookedDisk, no_room};
use quick_disk::quick_disk;

/// A directory of its own, removed with what is in it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rustcache-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Without syncs: no test here pulls the plug.
    pub(super) fn options(&self) -> StoreOptions {
        StoreOptions {
            disk: quick_disk(),
            ..StoreOptions::new(&self.0)
        }
    }

    /// The files of the store and their bytes; not the lock, and not what was set aside.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.0).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("journal-") || name.starts_with("snapshot-") {
                files.insert(name, fs::read(path).unwrap());
            }
        }
        files
    }

    /// Makes the directory hold exactly these files.
    pub(crate) fn set_files(&self, files: &BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(&self.0).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, bytes) in files {
            fs::write(self.0.join(name), bytes).unwrap();
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn open(scratch: &Scratch) -> Store {
    Store::open(scratch.options(), Cache::builder()).unwrap()
}

/// As the death of the process would: nothing is written any more.
pub(super) fn crash(store: Store) {
    store.crash();
}

/// All live entries.
pub(crate) fn contents(cache: &Cache) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let (mut contents, mut next) = (BTreeMap::new(), Some(Cursor::default()));
    while let Some(cursor) = next {
        let page = cache.scan(cursor, [], 1000, true);
        contents.extend(
            page.entries
                .into_iter()
                .map(|entry| (entry.key.to_vec(), entry.value.unwrap().to_vec())),
        );
        next = page.next;
    }
    contents
}

fn set(store: &Store, key: &str, value: &str) {
    store.cache().set(key, value, SetOptions::default()).unwrap();
}

#[test]
fn what_was_committed_is_there_after_a_crash_and_what_was_removed_is_not() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    set(&store, "a", "1");
    set(&store, "b", "2");
    set(&store, "a", "3");
    store.cache().remove("b");
    store.cache().increment("n", 41, crate::Expiry::Never).unwrap();
    store.cache().increment("n", 1, crate::Expiry::Never).unwrap();
    store.commit().unwrap();
    set(&store, "c", "never committed");
    crash(store);
    let store = open(&scratch);
    let expected = BTreeMap::from([(b"a".to_vec(), b"3".to_vec()), (b"n".to_vec(), b"42".to_vec())]);
    assert_eq!(contents(store.cache()), expected);
    store.snapshot().unwrap();
    crash(store);
    assert_eq!(contents(open(&scratch).cache()), expected);
}

#[test]
fn large_values_come_back_byte_for_byte_from_journal_and_snapshot() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let value: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    set(&store, "before", "x");
    store.cache().set("large", &value, SetOptions::default()).unwrap();
    set(&store, "after", "y");
    store.commit().unwrap();
    crash(store);
    for _ in 0..2 {
        let store = open(&scratch);
        assert_eq!(store.cache().get("large").unwrap().value, value);
        assert_eq!(store.cache().get("before").unwrap().value, "x");
        assert_eq!(store.cache().get("after").unwrap().value, "y");
        store.snapshot().unwrap();
        crash(store);
    }
}

#[test]
fn the_order_of_eviction_survives_a_restart() {
    let scratch = Scratch::new();
    let builder = || Cache::builder().max_items(4);
    let store = Store::open(scratch.options(), builder()).unwrap();
    for key in ["a", "b", "c", "d"] {
        set(&store, key, key);
    }
    store.cache().get("a");
    store.close(std::time::Duration::from_secs(10)).unwrap();
    drop(store);
    let store = Store::open(scratch.options(), builder()).unwrap();
    for (new, evicted) in [("e", "b"), ("f", "c"), ("g", "d"), ("h", "a")] {
        assert!(store.cache().contains(evicted), "{evicted} before {new}");
        set(&store, new, new);
        assert!(!store.cache().contains(evicted), "{evicted} after {new}");
    }
}

#[test]
fn an_evicted_entry_that_is_removed_or_overwritten_does_not_come_back() {
    let scratch = Scratch::new();
    let store = Store::open(scratch.options(), Cache::builder().max_items(2)).unwrap();
    for key in ["a", "b", "p:c", "d", "e", "f"] {
        set(&store, key, "old");
    }
    assert!(!store.cache().remove("a"), "it was evicted");
    store.cache().clear_prefix("p:");
    set(&store, "b", "new");
    store.commit().unwrap();
    crash(store);
    let found = contents(open(&scratch).cache());
    assert_eq!(found.get(&b"a"[..]), None);
    assert_eq!(found.get(&b"p:c"[..]), None);
    assert_eq!(found.get(&b"b"[..]).map(Vec::as_slice), Some(&b"new"[..]));
}

#[test]
fn a_directory_has_one_owner_and_the_second_is_told_who_that_is() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    match Store::open(scratch.options(), Cache::builder()) {
        Err(error @ OpenError::Locked { .. }) => {
            assert!(
                error.to_string().contains(&std::process::id().to_string()),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
    crash(store);
    // The lock of a process that died is nobody's.
    fs::write(scratch.path().join("lock"), "1\n").unwrap();
    open(&scratch);
}

#[test]
fn only_the_owner_can_read_what_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let directory = scratch.path().join("new");
    let store = Store::open(StoreOptions::new(&directory), Cache::builder()).unwrap();
    store.snapshot().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn a_directory_that_cannot_be_used_is_named_with_the_cause() {
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = Store::open(StoreOptions::new(&file), Cache::builder())
        .unwrap_err()
        .to_string();
    assert!(error.contains("file"), "{error}");
}

#[test]
fn old_generations_go_once_the_new_one_is_there() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    for round in 0..5 {
        set(&store, "a", &round.to_string());
        store.snapshot().unwrap();
    }
    assert_eq!(scratch.files().len(), 2, "{:?}", scratch.files().keys());
}

#[test]
fn starts_that_change_nothing_leave_the_files_as_they_are() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    set(&store, "a", "1");
    store.close(std::time::Duration::from_secs(10)).unwrap();
    drop(store);
    let files = scratch.files();
    for _ in 0..3 {
        crash(open(&scratch));
        let store = open(&scratch);
        store.close(std::time::Duration::from_secs(10)).unwrap();
        drop(store);
        assert_eq!(scratch.files(), files);
    }
    let store = open(&scratch);
    set(&store, "b", "2");
    store.commit().unwrap();
    crash(store);
    assert_eq!(
        open(&scratch).cache().len(),
        2,
        "what comes later is kept as ever"
    );
}

#[test]
fn deaths_that_leave_one_empty_journal_after_the_other_make_nothing_look_damaged() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    set(&store, "a", "1");
    store.commit().unwrap();
    crash(store);
    let is_journal = |file: &str| file.starts_with("journal-");
    for empty in 0..3usize {
        let options = StoreOptions {
            disk: HookedDisk::new(|operation, _| match operation {
                // A snapshot gets so far: its journal has begun, and there is nothing in that.
                "rename" => no_room(),
                _ => Ok(()),
            }),
            ..scratch.options()
        };
        let store = Store::open(options, Cache::builder()).unwrap();
        assert!(store.snapshot().is_err());
        crash(store);
        let journals = scratch.files().into_keys().filter(|file| is_journal(file));
        assert!(journals.count() > empty + 1, "{:?}", scratch.files().keys());
    }
    let store = open(&scratch);
    set(&store, "b", "2");
    store.commit().unwrap();
    crash(store);
    let options = StoreOptions {
        recover: Recover::Strict,
        ..scratch.options()
    };
    let store = Store::open(options, Cache::builder()).unwrap();
    let expected = [("a", "1"), ("b", "2")].map(|(key, value)| (key.into(), value.into()));
    assert_eq!(contents(store.cache()), BTreeMap::from(expected));
}

#[test]
fn files_with_other_names_are_somebody_elses() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    set(&store, "a", "1");
    store.commit().unwrap();
    crash(store);
    let names = [
        "journal-5",
        "journal-+0000000000000000005",
        "journal-18446744073709551615",
        "snapshot-notes.txt",
        "snapshot-5.unfinished",
        "notes",
    ];
    for name in names {
        fs::write(scratch.path().join(name), "mine").unwrap();
    }
    let store = open(&scratch);
    assert_eq!(store.recovery().to_string(), "");
    store.snapshot().unwrap();
    assert_eq!(store.cache().len(), 1);
    for name in names {
        assert_eq!(fs::read(scratch.path().join(name)).unwrap(), b"mine", "{name}");
    }
}
