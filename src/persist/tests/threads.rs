//! What goes on beside the callers: snapshots, syncs, the end. None of it delays the others, a failure leaves nothing behind, and a panic is noticed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::hooked_disk::{HookedDisk, no_room};
use super::{Scratch, contents, open, set};
use crate::Cache;
use crate::persist::{Failure, OnDiskError, Store, StoreOptions, Sync};

/// What has not happened by then never will.
const NEVER: Duration = Duration::from_secs(60);

/// A door that operations of the disk wait at.
#[derive(Default)]
struct Door {
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Door {
    fn closed() -> Arc<Self> {
        let door = Door::default();
        *door.closed.lock().unwrap() = true;
        Arc::new(door)
    }

    fn pass(&self) {
        drop(
            self.opened
                .wait_while(self.closed.lock().unwrap(), |closed| *closed)
                .unwrap(),
        );
    }
}

/// Opened when dropped: a test that fails is not to wait for ever either.
struct Opens(Arc<Door>);

impl Drop for Opens {
    fn drop(&mut self) {
        *self.0.closed.lock().unwrap() = false;
        self.0.opened.notify_all();
    }
}

fn store_on(scratch: &Scratch, disk: Arc<HookedDisk>) -> Store {
    let options = StoreOptions {
        disk,
        sync: Sync::EverySecond,
        ..scratch.options()
    };
    Store::open(options, Cache::builder()).unwrap()
}

fn asked_for(store: &Store) -> Receiver<Result<(), Failure>> {
    let (tell, told) = channel();
    store.request_snapshot(move |result| tell.send(result).unwrap());
    told
}

/// A directory with the same files and no lock: what a start after the death of the process would find.
fn copy_of(scratch: &Scratch) -> Scratch {
    let copy = Scratch::new();
    copy.set_files(&scratch.files());
    copy
}

#[test]
fn the_end_waits_no_longer_than_it_was_told_to_for_a_snapshot_that_hangs() {
    for asked_before in [false, true] {
        let scratch = Scratch::new();
        let door = Door::closed();
        let (tell, comes) = channel();
        let at_door = Arc::clone(&door);
        let disk = HookedDisk::new(move |operation, name| {
            if operation == "sync" && name.starts_with("snapshot-") {
                let _ = tell.send(());
                at_door.pass();
            }
            Ok(())
        });
        let store = Arc::new(store_on(&scratch, disk));
        // Before the store, so that dropping that need not wait.
        let opens = Opens(door);
        set(&store, "a", "1");
        if asked_before {
            // Nobody waits for it.
            drop(asked_for(&store));
            comes.recv_timeout(NEVER).unwrap();
            set(&store, "b", "2");
        }
        let (closed, end) = channel();
        let closing = Arc::clone(&store);
        thread::spawn(move || {
            let _ = closed.send(closing.close(Duration::from_millis(100)));
            // Else the last of them may be this one.
            drop(closing);
        });
        end.recv_timeout(NEVER)
            .expect("it ends")
            .expect("all is in the journal");
        let copy = copy_of(&scratch);
        assert_eq!(
            contents(open(&copy).cache()),
            contents(store.cache()),
            "asked before: {asked_before}"
        );
        drop(opens);
    }
}

#[test]
fn a_snapshot_that_hangs_delays_no_sync_of_the_journal() {
    let scratch = Scratch::new();
    let door = Door::closed();
    let (tell_snapshot, snapshot_hangs) = channel();
    let (tell_sync, synced) = channel();
    let at_door = Arc::clone(&door);
    let disk = HookedDisk::new(move |operation, name| {
        match (operation, name.split('-').next()) {
            ("sync", Some("snapshot")) => {
                let _ = tell_snapshot.send(());
                at_door.pass();
            }
            ("sync", Some("journal")) => {
                let _ = tell_sync.send(());
            }
            _ => {}
        }
        Ok(())
    });
    let store = store_on(&scratch, disk);
    let opens = Opens(door);
    set(&store, "a", "1");
    let told = asked_for(&store);
    snapshot_hangs.recv_timeout(NEVER).unwrap();
    while synced.try_recv().is_ok() {}
    set(&store, "b", "2");
    store.commit().unwrap();
    synced.recv_timeout(NEVER).expect("the journal is synced");
    drop(opens);
    told.recv_timeout(NEVER).unwrap().unwrap();
}

#[test]
fn a_new_journal_is_not_gone_over_to_while_the_former_is_being_synced() {
    let scratch = Scratch::new();
    let (tell, begun) = channel();
    let (done, snapshot_done) = channel();
    let snapshot_done = Mutex::new(snapshot_done);
    let (judge, verdict) = channel();
    let armed = Arc::new(AtomicBool::new(false));
    let is_armed = Arc::clone(&armed);
    let disk = HookedDisk::new(move |operation, name| {
        if operation == "rename" {
            let _ = done.send(());
        } else if operation == "sync"
            && name.starts_with("journal-")
            && is_armed.swap(false, Ordering::SeqCst)
        {
            tell.send(()).unwrap();
            // A snapshot that does not wait is there long before that.
            let first = snapshot_done
                .lock()
                .unwrap()
                .recv_timeout(Duration::from_millis(300));
            judge.send(first.is_ok()).unwrap();
        }
        Ok(())
    });
    let store = store_on(&scratch, disk);
    set(&store, "a", "1");
    armed.store(true, Ordering::SeqCst);
    store.commit().unwrap();
    begun.recv_timeout(NEVER).unwrap();
    store.snapshot().unwrap();
    let snapshot_came_first = verdict.recv_timeout(NEVER).unwrap();
    assert!(!snapshot_came_first);
}

#[test]
fn no_thread_outlives_the_store() {
    let scratch = Scratch::new();
    let disk = HookedDisk::new(|_, _| Ok(()));
    let store = store_on(&scratch, Arc::clone(&disk));
    set(&store, "a", "1");
    store.snapshot().unwrap();
    drop(store);
    assert_eq!(Arc::strong_count(&disk), 1);
}

#[test]
fn snapshots_that_fail_leave_no_files_behind() {
    for (fails, of, passes) in [
        ("create", "journal-", 0),
        ("create", "snapshot-", 0),
        ("write", "snapshot-", 0),
        // There is room for its header.
        ("write", "snapshot-", 1),
        ("sync", "snapshot-", 0),
    ] {
        let scratch = Scratch::new();
        let (full, passed) = (Arc::new(AtomicBool::new(false)), AtomicU64::new(0));
        let is_full = Arc::clone(&full);
        let disk = HookedDisk::new(move |operation, name| {
            if operation == "create" {
                passed.store(0, Ordering::SeqCst);
            }
            let is_meant = operation == fails && name.starts_with(of) && is_full.load(Ordering::SeqCst);
            match is_meant && passed.fetch_add(1, Ordering::SeqCst) >= passes {
                true => no_room(),
                false => Ok(()),
            }
        });
        let store = store_on(&scratch, disk);
        set(&store, "a", "1");
        store.commit().unwrap();
        full.store(true, Ordering::SeqCst);
        for _ in 0..10 {
            store.snapshot().unwrap_err();
        }
        let files: Vec<_> = scratch.files().into_keys().collect();
        assert!(files.len() <= 2, "{fails} {of}: {files:?}");
        assert!(
            files.iter().all(|name| name.starts_with("journal-")),
            "{fails} {of}: {files:?}"
        );
        set(&store, "b", "2");
        store.commit().unwrap();
        assert_eq!(
            contents(open(&copy_of(&scratch)).cache()).len(),
            2,
            "{fails} {of}"
        );
        full.store(false, Ordering::SeqCst);
        store.snapshot().unwrap();
        assert_eq!(scratch.files().len(), 2, "{fails} {of}");
        assert_eq!(
            contents(open(&copy_of(&scratch)).cache()).len(),
            2,
            "{fails} {of}"
        );
    }
}

/// A disk on which an operation panics as long as that is wanted.
fn panicking(operation: &'static str, of: &'static str) -> (Arc<HookedDisk>, Arc<AtomicBool>) {
    let panics = Arc::new(AtomicBool::new(false));
    let wanted = Arc::clone(&panics);
    let disk = HookedDisk::new(move |did, name| {
        assert!(
            did != operation || !name.starts_with(of) || !wanted.load(Ordering::SeqCst),
            "this panic is the test's"
        );
        Ok(())
    });
    (disk, panics)
}

fn assert_asks_for_a_report(failure: &Failure) {
    assert!(failure.to_string().contains("please report"), "{failure}");
}

#[test]
fn a_snapshot_that_panics_is_answered_and_latches_until_one_succeeds() {
    // On the thread that gathers, or on the one that writes.
    for operation in ["create", "write", "sync", "rename"] {
        let scratch = Scratch::new();
        let (disk, panics) = panicking(operation, "snapshot-");
        let store = store_on(&scratch, disk);
        set(&store, "a", "1");
        store.commit().unwrap();
        panics.store(true, Ordering::SeqCst);
        for _ in 0..2 {
            let answer = asked_for(&store).recv_timeout(NEVER).expect("it is answered");
            assert_asks_for_a_report(&answer.unwrap_err());
        }
        assert_asks_for_a_report(&store.failure().expect("it latched"));
        assert_asks_for_a_report(&store.commit().unwrap_err());
        panics.store(false, Ordering::SeqCst);
        store.snapshot().unwrap();
        store.commit().unwrap();
        assert_eq!(
            scratch.files().len(),
            2,
            "{operation}: nothing is left of those that failed"
        );
    }
}

#[test]
fn a_panic_in_the_keeper_latches_and_it_goes_on_answering() {
    let scratch = Scratch::new();
    let (disk, panics) = panicking("remove", "journal-");
    let store = store_on(&scratch, disk);
    set(&store, "a", "1");
    panics.store(true, Ordering::SeqCst);
    // It is durable and answered before old files go.
    asked_for(&store).recv_timeout(NEVER).unwrap().unwrap();
    while !store.has_failed() {
        thread::yield_now();
    }
    assert_asks_for_a_report(&store.failure().unwrap());
    panics.store(false, Ordering::SeqCst);
    asked_for(&store).recv_timeout(NEVER).unwrap().unwrap();
    assert!(!store.has_failed());
    // Nor does one who is told take the others with them.
    store.request_snapshot(|_| panic!("this panic is the test's"));
    asked_for(&store).recv_timeout(NEVER).unwrap().unwrap();
    assert!(!store.has_failed());
}

#[test]
fn a_sync_that_panics_latches_and_the_thread_goes_on() {
    let scratch = Scratch::new();
    let (disk, panics) = panicking("sync", "journal-");
    let store = store_on(&scratch, disk);
    panics.store(true, Ordering::SeqCst);
    set(&store, "a", "1");
    store.commit().unwrap();
    while !store.has_failed() {
        thread::yield_now();
    }
    assert_asks_for_a_report(&store.failure().unwrap());
    panics.store(false, Ordering::SeqCst);
    store.snapshot().unwrap();
    set(&store, "b", "2");
    store.commit().unwrap();
    let syncs = store.stats().journal.syncs;
    while store.stats().journal.syncs == syncs {
        thread::yield_now();
    }
}

#[test]
fn who_asks_for_a_snapshot_at_the_end_is_told_so() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    store.close(NEVER).unwrap();
    let answer = asked_for(&store).recv_timeout(NEVER).expect("it is answered");
    assert!(answer.unwrap_err().to_string().contains("being closed"));
}

#[test]
fn a_sync_that_fails_at_the_end_is_told() {
    let scratch = Scratch::new();
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let disk = HookedDisk::new(move |operation, name| match operation {
        "sync" if name.starts_with("journal-") && failing.load(Ordering::SeqCst) => no_room(),
        "create" if failing.load(Ordering::SeqCst) => no_room(),
        _ => Ok(()),
    });
    let options = StoreOptions {
        disk,
        sync: Sync::Never,
        on_disk_error: OnDiskError::Refuse,
        ..scratch.options()
    };
    let store = Store::open(options, Cache::builder()).unwrap();
    set(&store, "a", "1");
    store.commit().unwrap();
    fails.store(true, Ordering::SeqCst);
    let failure = store.close(NEVER).unwrap_err();
    assert!(failure.to_string().contains("syncing the journal"), "{failure}");
}
