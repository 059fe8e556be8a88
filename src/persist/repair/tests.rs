//! What `inspect` and `repair` promise of each kind of damage: they see what a start sees, name it, keep the same, and leave the files alone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::persist::disk::DiskFile;
use crate::persist::disk::wrapped::WrappedDisk;
use crate::persist::inspect::inspect;
use crate::persist::tests::{Scratch, contents, crash, open};
use crate::persist::{Store, StoreOptions};
use crate::{Cache, SetOptions, Tag};

type Files = BTreeMap<String, Vec<u8>>;

fn set(store: &Store, key: &str, value: &str, tag: Tag, ttl: Option<u64>) {
    let options = match ttl {
        Some(seconds) => SetOptions::ttl(Duration::from_secs(seconds)),
        None => SetOptions::default(),
    };
    let options = SetOptions { tag, ..options };
    store.cache().set(key, value, options).unwrap();
}

/// A snapshot and a journal with overwrites, a removal, tags and deadlines.
fn directory() -> Scratch {
    let scratch = Scratch::new();
    let store = open(&scratch);
    for key in ["a", "b", "c", "d"] {
        set(&store, key, "of the snapshot", Tag::TEXT, None);
    }
    store.snapshot().unwrap();
    set(&store, "a", "overwritten", Tag::JSON, None);
    store.cache().remove("b");
    set(&store, "t", "with a deadline", Tag::BYTES, Some(3600));
    store
        .cache()
        .touch("d", crate::Expiry::After(Duration::from_secs(7200)));
    set(&store, "e", "the last record", Tag(200), None);
    store.commit().unwrap();
    crash(store);
    scratch
}

/// Each thing that can happen to the files, as many as there is time for.
fn damages(files: &Files) -> Vec<(String, Files)> {
    let mut cases = Vec::new();
    for (name, bytes) in files {
        let mut hit = |what: String, damaged: Option<Vec<u8>>| {
            let mut files = files.clone();
            match damaged {
                Some(damaged) => files.insert(name.clone(), damaged),
                None => files.remove(name),
            };
            cases.push((format!("{what} of {name}"), files));
        };
        hit("all".to_owned(), None);
        // Each position within a byte comes up: 5 and 8 have no common factor.
        for bit in (0..bytes.len() * 8).step_by(5) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            hit(format!("bit {bit}"), Some(flipped));
        }
        for len in 0..bytes.len() {
            hit(format!("all but {len} bytes"), Some(bytes[..len].to_vec()));
        }
        for zeros in [1, 17, 4096] {
            hit(
                format!("{zeros} zeros at the end"),
                Some([&bytes[..], &vec![0; zeros]].concat()),
            );
        }
        hit(
            "a foreign file in the place".to_owned(),
            Some(b"#!/bin/sh\necho a script, not a cache\n".to_vec()),
        );
    }
    let name = |kind, number| format!("{kind}-{number:020}");
    let newest = |kind: &str| files.iter().rfind(|(name, _)| name.starts_with(kind)).unwrap();
    let mut gap = files.clone();
    gap.insert(name("journal", 9), newest("journal").1.clone());
    cases.push(("a journal of a later generation".to_owned(), gap));
    let mut stale = files.clone();
    stale.insert(name("journal", 0), newest("journal").1.clone());
    stale.insert(name("snapshot", 0), newest("snapshot").1.clone());
    stale.insert(format!("{}.unfinished", name("snapshot", 7)), b"half".to_vec());
    cases.push(("stale files".to_owned(), stale));
    cases
}

fn live(directory: &Path) -> (Inspection, Vec<(Vec<u8>, Tag, u64)>) {
    let (found, entries) = inspect(directory, &Arc::default()).unwrap();
    let entries = entries.coldest_first();
    let entries = entries
        .map(|live| (live.key.to_vec(), live.tag, live.bytes))
        .collect();
    (found, entries)
}

#[test]
fn what_is_kept_is_what_a_start_keeps_whatever_happened_to_the_files() {
    let scratch = directory();
    let elsewhere = Scratch::new();
    let files = scratch.files();
    let disk = scratch.options().disk;
    let mut named = 0;
    for (number, (what, damaged)) in damages(&files).into_iter().enumerate() {
        scratch.set_files(&damaged);
        let to = elsewhere.path().join(number.to_string());
        let repaired = match repair(scratch.path(), Some(&to), &disk, &Arc::default()) {
            Err(error) => panic!("{what}: {error}"),
            Ok(repaired) => repaired,
        };
        assert_eq!(scratch.files(), damaged, "{what}: the old files were touched");
        let (found, entries) = live(&to);
        assert!(!found.is_damaged(), "{what}: {:?}", found.problems(9));
        let repaired_files = StoreOptions {
            directory: to,
            ..scratch.options()
        };
        let new = Store::open(repaired_files, Cache::builder()).unwrap();
        let old = open(&scratch);
        let kept = contents(old.cache());
        assert_eq!(contents(new.cache()), kept, "{what}");
        assert_eq!(
            (repaired.entries, entries.len()),
            (kept.len() as u64, kept.len()),
            "{what}"
        );
        assert_eq!(repaired.found.totals.live, kept.len() as u64, "{what}");
        assert_eq!(repaired.found.lost, old.recovery().lost(), "{what}");
        if old.recovery().is_damaged() {
            assert!(repaired.found.is_damaged(), "{what}");
            let problems = repaired.found.problems(9).join("\n");
            for path in old.recovery().damaged() {
                assert!(
                    problems.contains(&path.display().to_string()),
                    "{what}: {problems}"
                );
            }
            named += 1;
        }
        crash(old);
        crash(new);
    }
    assert!(named > 300, "{named}");
}

#[test]
fn a_missing_file_is_damage_although_a_start_may_not_notice() {
    let scratch = directory();
    let files = scratch.files();
    for kind in ["journal", "snapshot"] {
        let mut rest = files.clone();
        let missing = files.keys().find(|name| name.starts_with(kind)).unwrap();
        rest.remove(missing);
        scratch.set_files(&rest);
        let (found, _) = live(scratch.path());
        let problems = found.problems(9).join("\n");
        assert!(found.is_damaged() && problems.contains(missing), "{problems}");
    }
}

#[test]
fn order_tags_and_deadlines_are_kept_to_the_millisecond() {
    let scratch = directory();
    let elsewhere = Scratch::new();
    let to = elsewhere.path().join("new");
    let deadlines = |path: &Path| {
        let (found, ledger) = look::<Box<[u8]>>(path, &Arc::default()).unwrap();
        let live = ledger.live(found.now);
        let entries = live
            .iter()
            .map(|(key, held)| (key.to_vec(), held.tag, held.deadline));
        entries.collect::<Vec<_>>()
    };
    let before = deadlines(scratch.path());
    let order: Vec<&[u8]> = before.iter().map(|(key, ..)| &key[..]).collect();
    assert_eq!(order, [b"c", b"a", b"t", b"d", b"e"], "coldest first");
    assert_eq!(
        before.iter().filter(|(.., deadline)| deadline.is_some()).count(),
        2
    );
    repair(
        scratch.path(),
        Some(&to),
        &scratch.options().disk,
        &Arc::default(),
    )
    .unwrap();
    assert_eq!(deadlines(&to), before);

    let options = StoreOptions {
        directory: to,
        ..scratch.options()
    };
    let store = Store::open(options, Cache::builder().max_items(5)).unwrap();
    for evicted in ["c", "a", "t", "d", "e"] {
        assert!(store.cache().contains(evicted), "{evicted}");
        set(&store, &format!("instead of {evicted}"), "new", Tag::TEXT, None);
        assert!(!store.cache().contains(evicted), "{evicted}");
    }
}

#[test]
fn entries_that_have_expired_are_counted_and_not_kept() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let soon = SetOptions::ttl(Duration::from_millis(1));
    store.cache().set("k", "v", soon).unwrap();
    set(&store, "l", "v", Tag::TEXT, None);
    store.commit().unwrap();
    crash(store);
    // What counts is the time at which the last file was written.
    let found = loop {
        let (found, _) = live(scratch.path());
        if found.totals.expired > 0 {
            break found;
        }
    };
    assert_eq!((found.totals.live, found.totals.expired), (1, 1));
    assert_eq!((found.totals.key_bytes, found.totals.value_bytes), (1, 1));
}

/// What `inspect`, `repair` and a start find in the directory: how many entries can be read.
fn found_by_each(scratch: &Scratch) -> [u64; 3] {
    let elsewhere = Scratch::new();
    let to = elsewhere.path().join("new");
    let disk = scratch.options().disk;
    let (found, _) = live(scratch.path());
    let repaired = repair(scratch.path(), Some(&to), &disk, &Arc::default()).unwrap();
    let files = scratch.files();
    let store = open(scratch);
    let started = contents(store.cache()).len() as u64;
    crash(store);
    scratch.set_files(&files);
    [found.totals.live, repaired.entries, started]
}

#[test]
fn it_is_as_late_as_a_start_takes_it_to_be_whatever_other_files_say() {
    let scratch = directory();
    let tomorrow = std::time::SystemTime::now() + Duration::from_secs(86_400);
    let touch = |name: &str| {
        let path = scratch.path().join(name);
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        file.unwrap().set_modified(tomorrow).unwrap();
    };
    for name in ["note", "lock", "damaged-journal-00000000000000000001"] {
        touch(name);
        assert_eq!(found_by_each(&scratch), [5; 3], "{name}");
    }
    // Of the five, two have a deadline.
    for name in scratch.files().keys() {
        touch(name);
        assert_eq!(found_by_each(&scratch), [3; 3], "{name}");
    }
}

/// A file on a disk that has room for so many more bytes.
#[derive(Debug)]
struct FullFile(Arc<dyn DiskFile>, Arc<AtomicU64>);

impl DiskFile for FullFile {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        let room = self.1.load(Ordering::Relaxed);
        if room < len as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.1.store(room - len as u64, Ordering::Relaxed);
        self.0.write(slices)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_a_clear_error_and_leaves_nothing_behind() {
    let scratch = directory();
    let files = scratch.files();
    let elsewhere = Scratch::new();
    let to = elsewhere.path().join("new");
    let mut room = 0;
    loop {
        let left = Arc::new(AtomicU64::new(room));
        let disk: Arc<dyn Disk> = Arc::new(WrappedDisk::new(move |_: &Path, file| {
            Arc::new(FullFile(file, Arc::clone(&left))) as Arc<dyn DiskFile>
        }));
        let result = repair(scratch.path(), Some(&to), &disk, &Arc::default());
        assert_eq!(scratch.files(), files);
        match result {
            Ok(_) => break,
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(&to.display().to_string()), "no file in {text}");
                assert!(
                    text.contains(&io::Error::from(io::ErrorKind::StorageFull).to_string()),
                    "{text}"
                );
                assert!(!to.exists(), "{room}: something was left behind");
            }
        }
        room += 1;
    }
    assert!(room > 100, "{room}");
}

#[test]
fn nothing_is_written_over_what_is_there() {
    let scratch = directory();
    let elsewhere = Scratch::new();
    let disk = scratch.options().disk;
    let file = elsewhere.path().join("file");
    fs::write(&file, "mine").unwrap();
    for to in [scratch.path(), elsewhere.path(), &file] {
        let error = repair(scratch.path(), Some(to), &disk, &Arc::default()).unwrap_err();
        assert!(matches!(error, RepairError::Occupied(_)), "{error}");
        assert!(error.to_string().contains("--to"), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let empty = elsewhere.path().join("empty");
    fs::create_dir(&empty).unwrap();
    repair(scratch.path(), Some(&empty), &disk, &Arc::default()).unwrap();
}

#[test]
fn a_directory_without_a_cache_is_not_repaired() {
    let scratch = Scratch::new();
    let disk = scratch.options().disk;
    let to = scratch.path().join("new");
    fs::write(scratch.path().join("notes"), "mine").unwrap();
    let error = repair(scratch.path(), Some(&to), &disk, &Arc::default()).unwrap_err();
    assert!(matches!(error, RepairError::Nothing(_)), "{error}");
    let missing = scratch.path().join("missing");
    let error = repair(&missing, Some(&to), &disk, &Arc::default()).unwrap_err();
    assert!(matches!(error, RepairError::Disk(_)), "{error}");
    assert!(error.to_string().contains("missing"), "{error}");
    assert!(!missing.exists() && !to.exists());
}

#[test]
fn the_new_directory_lies_beside_the_old_one_however_that_is_written() {
    assert_eq!(
        beside(Path::new("/a/cache")).unwrap(),
        Path::new("/a/cache.repaired")
    );
    assert_eq!(
        beside(Path::new("/a/cache/")).unwrap(),
        Path::new("/a/cache.repaired")
    );
    assert_eq!(beside(Path::new("cache")).unwrap(), Path::new("cache.repaired"));
    let here = std::env::current_dir().unwrap();
    assert_eq!(beside(Path::new(".")).unwrap(), beside(&here).unwrap());
}
