//! Starts in a directory that can be read and not written, with damage that there is no room to keep, or with files from the future; and what is said of
//! one that cannot be used at all.

use std::fs;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::hooked_disk::{HookedDisk, no_room};
use super::{Scratch, contents, crash, open, set};
use crate::persist::lock::explain;
use crate::persist::{OnDiskError, OpenError, Recover, Store, StoreOptions};
use crate::{Cache, Expiry, SetOptions};

/// A directory with a snapshot and a journal.
fn filled() -> Scratch {
    let scratch = Scratch::new();
    let store = open(&scratch);
    set(&store, "a", "1");
    store.snapshot().unwrap();
    set(&store, "b", "2");
    set(&store, "c", "3");
    store.commit().unwrap();
    crash(store);
    scratch
}

/// A disk on which some operations find no room, until it has some.
fn full_disk(
    is_meant: impl Fn(&str, &str) -> bool + Send + Sync + 'static,
) -> (Arc<HookedDisk>, Arc<AtomicBool>) {
    let full = Arc::new(AtomicBool::new(true));
    let is_full = Arc::clone(&full);
    let disk = HookedDisk::new(move |operation, name| {
        match is_meant(operation, name) && is_full.load(Ordering::SeqCst) {
            true => no_room(),
            false => Ok(()),
        }
    });
    (disk, full)
}

fn start(scratch: &Scratch, disk: Arc<HookedDisk>, on_disk_error: OnDiskError) -> Result<Store, OpenError> {
    let options = StoreOptions {
        disk,
        on_disk_error,
        ..scratch.options()
    };
    Store::open(options, Cache::builder())
}

fn assert_heals(scratch: &Scratch, store: Store, full: &AtomicBool) {
    let failure = store.failure().expect("it began latched");
    assert!(failure.to_string().contains("os error 28"), "{failure}");
    assert!(failure.to_string().contains("-0000"), "no file in {failure}");
    let before: Vec<_> = scratch.files().into_keys().collect();
    set(&store, "in memory", "4");
    assert!(store.commit().is_err());
    assert!(store.snapshot().is_err());
    assert!(store.stats().failed);
    assert!(
        scratch.files().len() <= before.len() + 1,
        "{before:?}: {:?}",
        scratch.files().keys()
    );
    full.store(false, Ordering::SeqCst);
    store.snapshot().unwrap();
    assert!(!store.has_failed());
    set(&store, "durable", "5");
    store.commit().unwrap();
    let all = contents(store.cache());
    crash(store);
    let options = StoreOptions {
        recover: Recover::Strict,
        ..scratch.options()
    };
    let store = Store::open(options, Cache::builder()).unwrap();
    assert_eq!(contents(store.cache()), all);
}

#[test]
fn a_full_disk_is_read_and_a_snapshot_heals_it_when_there_is_room() {
    // There is no room for the journal; or none for its header; or the former cannot be synced.
    for (operation, kind) in [
        ("create", "journal-"),
        ("write", "journal-"),
        ("sync", "journal-"),
        ("create", ""),
    ] {
        for on_disk_error in [OnDiskError::Refuse, OnDiskError::Memory] {
            let scratch = filled();
            let (disk, full) = full_disk(move |did, name| did == operation && name.starts_with(kind));
            let store = start(&scratch, disk, on_disk_error).unwrap();
            assert_eq!(contents(store.cache()).len(), 3, "all of it can be read");
            assert_heals(&scratch, store, &full);
        }
        let scratch = filled();
        let (disk, _) = full_disk(move |did, name| did == operation && name.starts_with(kind));
        let error = start(&scratch, disk, OnDiskError::Exit).unwrap_err().to_string();
        assert!(
            error.contains("journal-") && error.contains("os error 28"),
            "{error}"
        );
        assert!(error.contains("make room"), "no remedy in {error}");
    }
}

#[test]
fn a_kill_before_a_full_disk_has_room_again_loses_nothing() {
    let scratch = filled();
    // A snapshot can be begun, and its journal, and no more.
    let (disk, _) = full_disk(|did, name| did == "sync" && !name.ends_with("-00000000000000000003"));
    let store = start(&scratch, disk, OnDiskError::Memory).unwrap();
    assert!(store.has_failed());
    assert!(store.snapshot().is_err());
    set(&store, "a", "in memory");
    let _ = store.commit();
    crash(store);
    let store = open(&scratch);
    assert!(!store.recovery().is_damaged(), "{}", store.recovery());
    assert_eq!(contents(store.cache()).len(), 3);
}

#[test]
fn what_was_changed_in_memory_alone_is_not_followed_by_what_was_there_before() {
    // From the start, or later; with the next journal begun and its snapshot never done.
    for from_start in [true, false] {
        let scratch = filled();
        let full = Arc::new(AtomicBool::new(from_start));
        let is_full = Arc::clone(&full);
        let disk = HookedDisk::new(move |did, name| match did {
            "write" if name.starts_with("journal-") && is_full.load(Ordering::SeqCst) => no_room(),
            "sync" if name.starts_with("snapshot-") => no_room(),
            _ => Ok(()),
        });
        let store = start(&scratch, disk, OnDiskError::Memory).unwrap();
        full.store(true, Ordering::SeqCst);
        set(&store, "a", "changed in memory");
        assert!(store.commit().is_err());
        full.store(false, Ordering::SeqCst);
        assert!(store.snapshot().is_err());
        set(&store, "d", "4");
        assert!(store.commit().is_err());
        crash(store);
        let store = open(&scratch);
        let value = store.cache().get("a").map(|entry| entry.value);
        assert_ne!(value.as_deref(), Some(&b"1"[..]), "from the start: {from_start}");
        assert_eq!(store.cache().get("d").unwrap().value, "4");
    }
}

fn damage_journal(scratch: &Scratch) -> (String, Vec<u8>) {
    let (name, mut bytes) = scratch
        .files()
        .into_iter()
        .find(|(name, _)| name.starts_with("journal-"))
        .unwrap();
    bytes[60] ^= 1;
    fs::write(scratch.path().join(&name), &bytes).unwrap();
    (name, bytes)
}

#[test]
fn damage_is_set_aside_where_there_is_no_room_for_a_copy() {
    let scratch = filled();
    let (name, damaged) = damage_journal(&scratch);
    // An older one of that name is replaced.
    let aside = scratch.path().join(format!("damaged-{name}"));
    fs::write(&aside, "older").unwrap();
    let (disk, _) = full_disk(|did, _| did == "copy");
    crash(start(&scratch, disk, OnDiskError::Exit).unwrap());
    assert_eq!(fs::read(aside).unwrap(), damaged);
    assert!(
        !scratch.files().contains_key(&name),
        "a snapshot has superseded it"
    );
}

#[test]
fn that_damage_cannot_be_set_aside_keeps_no_snapshot_from_being_written() {
    for fails in ["link", "copy and link"] {
        let scratch = filled();
        let (name, damaged) = damage_journal(&scratch);
        let (disk, _) = full_disk(move |did, _| fails.contains(did));
        let store = start(&scratch, disk, OnDiskError::Exit).unwrap();
        assert!(!store.has_failed());
        assert_eq!(store.stats().snapshots, 1);
        crash(store);
        let aside = fs::read(scratch.path().join(format!("damaged-{name}")));
        assert_eq!(aside.ok(), (fails == "link").then_some(damaged));
        assert!(!open(&scratch).recovery().is_damaged());
    }
}

#[test]
fn of_a_torn_journal_the_torn_bytes_are_kept_and_no_more() {
    for has_room in [true, false] {
        let scratch = filled();
        let (name, bytes) = scratch.files().into_iter().next().unwrap();
        assert!(name.starts_with("journal-"), "{name}");
        let torn = [7; 9];
        fs::write(scratch.path().join(&name), [&bytes[..], &torn].concat()).unwrap();
        let (disk, _) = full_disk(move |did, name| did == "write" && name.starts_with("torn-") && !has_room);
        let store = start(&scratch, disk, OnDiskError::Exit).unwrap();
        assert_eq!(contents(store.cache()).len(), 3);
        assert_eq!(store.stats().snapshots, 1);
        let aside = fs::read(scratch.path().join(format!("torn-{name}")));
        assert_eq!(aside.ok(), has_room.then(|| torn.to_vec()));
    }
}

#[test]
fn a_start_whose_snapshot_fails_is_read_and_healed_later() {
    for on_disk_error in [OnDiskError::Refuse, OnDiskError::Memory, OnDiskError::Exit] {
        let scratch = filled();
        damage_journal(&scratch);
        let (disk, full) = full_disk(|did, name| did == "create" && name.starts_with("snapshot-"));
        let store = match start(&scratch, disk, on_disk_error) {
            Ok(store) => store,
            Err(error) => {
                assert_eq!(on_disk_error, OnDiskError::Exit);
                assert!(error.to_string().contains("make room"), "{error}");
                continue;
            }
        };
        assert_ne!(on_disk_error, OnDiskError::Exit);
        assert_heals(&scratch, store, &full);
    }
}

/// What is logged on this thread meanwhile.
fn logged(work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::WARN)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = log.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn files_from_the_future_are_told_with_both_times_and_what_has_expired_by_that() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let put = |key: &str, minutes: u64| {
        let options = SetOptions {
            expiry: Expiry::After(Duration::from_secs(60 * minutes)),
            ..SetOptions::default()
        };
        store.cache().set(key, "v", options).unwrap();
    };
    set(&store, "for ever", "v");
    for key in ["a", "b", "removed", "put again"] {
        put(key, 30);
    }
    store.snapshot().unwrap();
    put("c", 30);
    put("long", 120);
    put("put again", 120);
    store.cache().remove("removed");
    store.commit().unwrap();
    crash(store);
    let touch = |ahead: Duration| {
        for name in scratch.files().keys() {
            let file = fs::File::options()
                .append(true)
                .open(scratch.path().join(name))
                .unwrap();
            file.set_modified(SystemTime::now() + ahead).unwrap();
        }
    };
    // A file system's clock is not quite ours.
    touch(Duration::from_millis(1500));
    assert_eq!(logged(|| crash(open(&scratch))), "");

    touch(Duration::from_secs(3600));
    let log = logged(|| {
        let store = open(&scratch);
        assert_eq!(store.cache().len(), 3);
        crash(store);
    });
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("WARN") && log.contains("expired=3"), "{log}");
    assert!(log.contains("set the clock"), "{log}");
    assert_eq!(log.matches("Z\"").count(), 2, "both times: {log}");
}

#[test]
fn each_text_about_a_directory_that_cannot_be_used_says_what_to_do() {
    let scratch = filled();
    let text = |options: StoreOptions| Store::open(options, Cache::builder()).unwrap_err().to_string();
    let file = scratch.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = text(StoreOptions::new(&file));
    assert!(
        error.contains("is a file") && error.contains("another path"),
        "{error}"
    );
    let error = text(StoreOptions::new(file.join("below")));
    assert!(
        error.contains("is a file") && error.contains("another path"),
        "{error}"
    );

    damage_journal(&scratch);
    let error = text(StoreOptions {
        recover: Recover::Strict,
        ..scratch.options()
    });
    let repair = format!("rustcache repair {}", scratch.path().display());
    assert!(
        error.contains("--recover valid") && error.contains(&repair),
        "{error}"
    );

    let lock = scratch.path().join("lock");
    let held = fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let error = text(scratch.options());
    assert!(error.contains(&format!("lsof {}", lock.display())), "{error}");
    drop(held);

    // Whose the lock file is, and whose it should be.
    let denied = io::Error::from_raw_os_error(13);
    let error = explain(&lock, &denied);
    let user = rustix::process::geteuid().as_raw();
    assert!(
        error.contains(&denied.to_string()) && error.contains(&format!("user {user} must be able")),
        "{error}"
    );
    if user == 0 {
        std::os::unix::fs::chown(&lock, Some(54321), None).unwrap();
        let error = explain(&lock, &denied);
        assert!(
            error.contains("belongs to user 54321") && error.contains("this is user 0"),
            "{error}"
        );
    }

    // A lock file that cannot be opened: nobody can write a directory of that name, root included.
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let error = text(scratch.options());
    assert!(error.contains("locking") && error.contains("os error"), "{error}");
}
