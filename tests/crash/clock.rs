//! Time across restarts, with the library and a clock that the test moves: a clock that was set back lets no TTL grow and brings nothing back.
//! And an end that leaves no time for a snapshot.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustcache::persist::{Store, StoreOptions, Sync};
use rustcache::{Builder, Cache, Clock, Expiry, ManualClock, SetOptions, TimeLeft};

use crate::directory::{Directory, Generations};

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
const OFF: Duration = Duration::from_millis(50);

/// A store whose clock says `at`, and moves only when told to.
fn open(directory: &Path, at: SystemTime) -> (Store, ManualClock) {
    let (clock, hands) = Clock::manual();
    let millis = at.duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let ahead =
        i64::try_from(millis).expect("it fits") - i64::try_from(clock.unix_millis()).expect("it fits");
    hands.jump_wall_clock(ahead);
    let options = StoreOptions {
        sync: Sync::Never,
        ..StoreOptions::new(directory)
    };
    let store = Store::open(options, Cache::builder().clock(clock)).expect("it opens");
    (store, hands)
}

/// Ends as a death does, and makes the files as old as the clock says.
fn die(store: Store, directory: &Path, at: SystemTime) {
    store.commit().expect("written");
    drop(store);
    for entry in fs::read_dir(directory).expect("it is there") {
        let path = entry.expect("an entry").path();
        let file = File::options().write(true).open(path).expect("ours");
        file.set_modified(at).expect("set");
    }
}

fn set(store: &Store, key: &str, ttl: Duration) {
    let stored = store.cache().set(key, "v", SetOptions::ttl(ttl));
    assert!(stored.expect("it fits"));
}

fn left(store: &Store, key: &str) -> Option<Duration> {
    match store.cache().time_left(key)? {
        TimeLeft::Left(left) => Some(left),
        TimeLeft::Forever => panic!("{key} has lost its deadline"),
    }
}

#[test]
fn after_a_clock_was_set_back_no_ttl_has_grown_and_nothing_dead_is_there() {
    for with_snapshot in [false, true] {
        let directory = Directory::new();
        let directory = directory.path();
        let now = SystemTime::now();
        let tomorrow = now + DAY;
        let (store, hands) = open(directory, tomorrow);
        set(&store, "hour", HOUR);
        set(&store, "second", Duration::from_secs(1));
        set(&store, "touched", HOUR);
        assert!(store.cache().touch("touched", Expiry::After(2 * HOUR)));
        let ten = Duration::from_secs(10);
        hands.advance(ten);
        if with_snapshot {
            store.snapshot().expect("written");
        }
        die(store, directory, tomorrow + ten);
        // A day earlier now.
        let (store, hands) = open(directory, now);
        for (key, ttl) in [("hour", HOUR), ("touched", 2 * HOUR)] {
            let left = left(&store, key).expect("it has not expired");
            assert!(left <= ttl - ten + OFF, "{key}: {left:?}");
            assert!(left + OFF >= ttl - ten, "{key}: {left:?}");
        }
        assert!(!store.cache().contains("second"));
        // It goes on from there.
        hands.advance(HOUR - ten + OFF);
        assert!(!store.cache().contains("hour"));
        assert!(store.cache().contains("touched"));
    }
}

#[test]
fn what_is_written_after_a_clock_was_set_back_is_there_after_the_next_restarts() {
    for with_snapshot in [false, true] {
        let directory = Directory::new();
        let directory = directory.path();
        let now = SystemTime::now();
        let tomorrow = now + DAY;
        let (store, _) = open(directory, tomorrow);
        set(&store, "before", HOUR);
        die(store, directory, tomorrow);
        let mut previous = HOUR;
        for restart in 0..3u32 {
            let at = now + restart * Duration::from_secs(60);
            let (store, hands) = open(directory, at);
            let before = left(&store, "before").expect("it has not expired");
            assert!(
                before <= previous + OFF,
                "{restart}: {before:?} after {previous:?}"
            );
            previous = before;
            let key = format!("after {restart}");
            set(&store, &key, HOUR);
            for restart in 0..=restart {
                let key = format!("after {restart}");
                let left = left(&store, &key).unwrap_or_else(|| panic!("{key}, {with_snapshot}"));
                assert!(left <= HOUR + OFF, "{key}: {left:?}");
            }
            if with_snapshot {
                store.snapshot().expect("written");
            }
            let ten = Duration::from_secs(10);
            hands.advance(ten);
            store.commit().expect("written");
            // Files that are written now are as old as the clock says; the others stay from tomorrow.
            drop(store);
            let newest = format!("journal-{:020}", Generations::of(directory).journal);
            for name in ["lock", &newest] {
                let file = File::options()
                    .write(true)
                    .open(directory.join(name))
                    .expect("ours");
                file.set_modified(at + ten).expect("set");
            }
        }
    }
}

#[test]
fn what_is_read_back_never_outlives_its_deadline_and_goes_a_millisecond_early_at_most() {
    let milli = Duration::from_millis(1);
    for with_snapshot in [false, true] {
        for begun in (0..1_000).step_by(111).map(Duration::from_micros) {
            let directory = Directory::new();
            let directory = directory.path();
            let now = SystemTime::now();
            let (store, hands) = open(directory, now);
            hands.advance(begun);
            set(&store, "k", 9 * milli);
            if with_snapshot {
                hands.advance(milli / 2);
                store.snapshot().expect("written");
            }
            die(store, directory, now);
            // Counted from the beginning of the first millisecond.
            let (store, hands) = open(directory, now + 2 * milli);
            let deadline = begun + 9 * milli;
            let left = left(&store, "k").expect("it has not expired");
            assert!(2 * milli + left <= deadline, "{left:?}, set at {begun:?}");
            assert!(3 * milli + left > deadline, "{left:?}, set at {begun:?}");
            hands.advance(deadline - 2 * milli);
            assert!(!store.cache().contains("k"), "set at {begun:?}");
        }
    }
}

#[test]
fn a_clock_that_goes_on_ends_what_has_expired_meanwhile() {
    let directory = Directory::new();
    let directory = directory.path();
    let now = SystemTime::now();
    let (store, _) = open(directory, now);
    set(&store, "hour", HOUR);
    set(&store, "day", DAY);
    die(store, directory, now);
    let (store, _) = open(directory, now + 2 * HOUR);
    assert!(!store.cache().contains("hour"));
    let left = left(&store, "day").expect("it has not expired");
    assert!(
        left <= DAY - 2 * HOUR + OFF && left + OFF >= DAY - 2 * HOUR,
        "{left:?}"
    );
}

#[test]
fn an_end_without_time_for_a_snapshot_leaves_the_journal_which_is_enough() {
    let directory = Directory::new();
    let builder = || -> Builder { Cache::builder() };
    let open = || Store::open(StoreOptions::new(directory.path()), builder()).expect("it opens");
    let store = open();
    for key in 0..10_000u32 {
        let stored = store.cache().set(key.to_le_bytes(), "v", SetOptions::default());
        stored.expect("it fits");
    }
    store.close(Duration::ZERO).expect("all is in the journal");
    drop(store);
    let found = Generations::of(directory.path());
    assert_eq!((found.snapshot, found.is_unfinished), (0, false), "{found:?}");
    let store = open();
    assert_eq!(store.cache().len(), 10_000);
    store.close(Duration::from_secs(60)).expect("written");
    drop(store);
    let found = Generations::of(directory.path());
    assert!(found.snapshot > 0 && found.snapshot == found.journal, "{found:?}");
    assert_eq!(open().cache().len(), 10_000);
}
