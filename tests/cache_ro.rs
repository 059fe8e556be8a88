//! A program that was written for cache_ro runs on `compat::cache_ro`, without the faults of its kind; and what the real one has left is taken over. The files in
//! `tests/fixtures/cache_ro` were written by cache-ro 0.3.1.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustcache::compat::cache_ro::{Cache, CacheConfig, migrate};
use rustcache::{Error, OpenError};
use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_secs(3600);

/// `Cache::drop()` closes all caches of the process, so that only one of these tests runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Cache::drop();
    alone
}

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rustcache-cache-ro-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new directory");
        Scratch(path)
    }

    fn config(&self) -> CacheConfig {
        CacheConfig {
            dir_path: self.0.to_string_lossy().into_owned(),
            ..CacheConfig::default()
        }
    }

    fn open(&self) -> Cache {
        Cache::new(self.config()).expect("nobody has it")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn memory() -> Cache {
    let config = CacheConfig {
        persistent: false,
        ..CacheConfig::default()
    };
    Cache::new(config).expect("no option is wrong")
}

/// The program of cache_ro's README, with another `use` line.
#[expect(clippy::print_stdout, reason = "it is somebody else's program")]
mod readme {
    use rustcache::compat::cache_ro::{Cache, CacheConfig};
    use std::time::Duration;

    pub(super) fn main() -> Result<(), Box<dyn std::error::Error>> {
        // Create a cache with default config (persistent, 2-char hash prefix)
        let cache = Cache::new(CacheConfig::default())?;

        // Store a key with a TTL of 60 seconds
        cache.set("username", "alice".to_string(), Duration::from_secs(60))?;

        // Retrieve and deserialize cached value
        if let Some(username) = cache.get::<String>("username") {
            println!("Cached username: {}", username);
        } else {
            println!("Cache miss or expired");
        }

        // This is matter for close graceful
        Cache::drop();
        Ok(())
    }
}

const RUNS_README: &str = "RUSTCACHE_TEST_README";

#[test]
fn readme_program() {
    if std::env::var_os(RUNS_README).is_some() {
        readme::main().expect("it runs");
    }
}

#[test]
fn the_program_of_the_readme_runs_with_another_use_line() {
    let scratch = Scratch::new();
    for _ in 0..2 {
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "readme_program", "--nocapture"])
            .env(RUNS_README, "1")
            .current_dir(&scratch.0)
            .output()
            .expect("another of this program");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && printed.contains("Cached username: alice"),
            "{output:?}"
        );
    }
    let _alone = alone();
    let config = CacheConfig {
        dir_path: scratch.0.join("cache_data").to_string_lossy().into_owned(),
        ..CacheConfig::default()
    };
    let cache = Cache::new(config).expect("it was closed");
    assert_eq!(cache.get::<String>("username"), Some("alice".into()));
}

#[test]
fn every_name_of_cache_ro_is_there_with_its_signature() {
    type Boxed<T> = Result<T, Box<dyn std::error::Error>>;
    let _: fn() = Cache::drop;
    let _: fn() -> Boxed<Cache> = Cache::instance;
    let _: fn(CacheConfig) -> Boxed<Cache> = Cache::new;
    let _: fn(&Cache, &str, String, Duration) -> Boxed<()> = Cache::set::<String>;
    let _: fn(&Cache, &str, String, Duration) -> Boxed<()> = Cache::set_without_guard::<String>;
    let _: fn(&Cache, &str) -> Option<String> = Cache::get::<String>;
    let _: fn(&Cache, &str) -> Option<Duration> = Cache::expire;
    let _: fn(&Cache, &str) -> Boxed<()> = Cache::remove;
    let _: fn(&Cache, &str) -> Boxed<()> = Cache::remove_without_guard;
    let _: fn(&Cache) -> Boxed<()> = Cache::clear;
    let _: fn(&Cache) -> usize = Cache::len;
    let _: fn(&Cache) -> bool = Cache::is_empty;
    let _: fn(&Cache) -> usize = Cache::memory_usage;
    let _: fn(&Cache, &str) -> std::sync::Arc<Mutex<()>> = Cache::get_key_lock;
    let config = CacheConfig {
        persistent: true,
        hash_prefix_length: 2,
        dir_path: "cache_data".to_string(),
        cleanup_interval: Duration::from_secs(10),
    };
    let default = CacheConfig::default();
    assert_eq!(format!("{default:?}"), format!("{config:?}"));
}

#[test]
fn a_directory_in_which_a_crash_has_torn_a_file_opens_again() {
    let _alone = alone();
    let scratch = Scratch::new();
    let cache = scratch.open();
    cache.set("a", 1, HOUR).expect("a write");
    cache.set("b", 2, HOUR).expect("a write");
    // As the death of the process would leave it, with the last record unfinished.
    let torn = Scratch::new();
    for file in fs::read_dir(&scratch.0).expect("it is there") {
        let path = file.expect("a file").path();
        let bytes = fs::read(&path).expect("a file");
        let name = path.file_name().expect("a name");
        let len = bytes.len() - usize::from(name.to_string_lossy().starts_with("journal-")) * 3;
        fs::write(torn.0.join(name), &bytes[..len]).expect("room");
    }
    for _ in 0..2 {
        let reopened = torn.open();
        assert_eq!((reopened.get("a"), reopened.get::<i32>("b")), (Some(1), None));
    }
}

#[test]
fn several_caches_are_open_at_once_and_each_is_its_own() {
    let _alone = alone();
    let (one, two) = (Scratch::new(), Scratch::new());
    let (first, second, third) = (one.open(), two.open(), memory());
    for (cache, value) in [(&first, 1), (&second, 2), (&third, 3)] {
        cache.set("key", value, HOUR).expect("a write");
    }
    assert_eq!(
        [&first, &second, &third].map(|cache| cache.get("key")),
        [Some(1), Some(2), Some(3)]
    );
    let taken = Cache::new(one.config()).expect_err("it is taken");
    let taken = taken.downcast_ref::<OpenError>().expect("the crate's own error");
    assert!(
        matches!(taken, OpenError::InUse { pid: Some(pid), .. } if *pid == std::process::id()),
        "{taken}"
    );

    first.close().expect("all is on the disk");
    assert!(first.get::<i32>("key").is_none());
    assert_eq!(one.open().get("key"), Some(1));
    assert_eq!(second.get("key"), Some(2));
    Cache::drop();
    for cache in [&second, &third] {
        let error = cache.set("key", 4, HOUR).expect_err("it is closed");
        assert_eq!(error.downcast_ref(), Some(&Error::Closed));
        assert!(cache.is_empty() && cache.get::<i32>("key").is_none());
        assert!(cache.remove("key").is_err() && cache.clear().is_err());
    }
    assert!(Cache::instance().is_err());
    assert_eq!(two.open().get("key"), Some(2));
}

#[test]
fn the_instance_is_the_cache_that_was_made_last_though_nobody_holds_it() {
    let _alone = alone();
    let scratch = Scratch::new();
    drop(scratch.open());
    Cache::instance()
        .expect("it is open")
        .set("a", 1, HOUR)
        .expect("a write");
    // Nobody else has it: it is closed, so that it can be opened again.
    assert_eq!(scratch.open().get("a"), Some(1));
    let other = memory();
    other.set("a", 2, HOUR).expect("a write");
    assert_eq!(Cache::instance().expect("it is open").get("a"), Some(2));
    // The one before had no other handle.
    let reopened = scratch.open();
    assert_eq!(reopened.get("a"), Some(1));
    // A clone is the same cache.
    let clone = reopened.clone();
    clone.set("a", 3, HOUR).expect("a write");
    assert_eq!(reopened.get("a"), Some(3));
}

#[test]
fn a_set_writes_no_more_than_its_entry() {
    let _alone = alone();
    let scratch = Scratch::new();
    let cache = scratch.open();
    for number in 0..2000 {
        cache
            .set(&format!("key-{number:04}"), number, HOUR)
            .expect("a write");
    }
    let stats = cache.cache().directory().expect("it is persistent").stats();
    assert_eq!(stats.journal_records, 2000);
    assert!(stats.journal_bytes < 2000 * 48, "{stats:?}");
}

#[test]
fn a_key_that_is_set_again_expires_at_its_new_time() {
    let _alone = alone();
    let cache = memory();
    let short = Duration::from_millis(20);
    cache.set("again", 1, short).expect("a write");
    cache.set("once", 1, short).expect("a write");
    cache.set("again", 2, HOUR).expect("a write");
    assert!(cache.expire("once").is_none_or(|left| left <= short));
    while cache.get::<i32>("once").is_some() {
        std::thread::yield_now();
    }
    cache.cache().run_pending();
    assert_eq!(cache.get("again"), Some(2));
    assert!(cache.expire("again").is_some_and(|left| left > HOUR / 2));
    assert_eq!(cache.expire("once"), None);
    assert_eq!(cache.len(), 1);
    cache.set("again", 3, Duration::ZERO).expect("a write");
    assert!(cache.is_empty());
}

#[test]
fn removed_and_cleared_keys_do_not_come_back() {
    let _alone = alone();
    let scratch = Scratch::new();
    let cache = scratch.open();
    for key in ["a", "b", "c"] {
        cache.set(key, key, HOUR).expect("a write");
    }
    cache.remove("a").expect("it is kept");
    cache.remove("never there").expect("no error");
    Cache::drop();
    let cache = scratch.open();
    assert_eq!(cache.get::<String>("a"), None);
    assert_eq!(cache.get::<String>("b"), Some("b".into()));
    assert_eq!(cache.len(), 2);
    assert!(cache.memory_usage() > 2 * "bb".len());
    cache.clear().expect("it is kept");
    Cache::drop();
    assert!(scratch.open().is_empty());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Box { width: u16, height: u16 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    age: u8,
    roles: Vec<String>,
    boss: Option<Box<User>>,
}

#[test]
fn a_value_is_none_of_another_type() {
    let _alone = alone();
    let cache = memory();
    cache.set("text", "hello", HOUR).expect("a write");
    cache.set("number", 300, HOUR).expect("a write");
    cache.set("negative", -1, HOUR).expect("a write");
    cache.set("list", vec![1, 2, 3], HOUR).expect("a write");
    cache.set("shape", Shape::Circle(1.0), HOUR).expect("a write");
    assert_eq!(cache.get::<String>("text"), Some("hello".into()));
    assert_eq!(cache.get::<u64>("number"), Some(300));
    assert_eq!(cache.get::<Shape>("shape"), Some(Shape::Circle(1.0)));
    assert_eq!(cache.get::<u64>("text"), None);
    assert_eq!(cache.get::<Vec<u8>>("text"), None);
    assert_eq!(cache.get::<User>("text"), None);
    assert_eq!(cache.get::<u8>("number"), None);
    assert_eq!(cache.get::<String>("number"), None);
    assert_eq!(cache.get::<u64>("negative"), None);
    assert_eq!(cache.get::<(u8, u8)>("list"), None);
    assert_eq!(cache.get::<User>("list"), None);
    assert_eq!(cache.get::<String>("shape"), None);
}

#[test]
fn nothing_deadlocks_with_the_lock_of_a_key_and_it_is_not_poisoned() {
    let _alone = alone();
    let cache = memory();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let lock = cache.get_key_lock("n");
                    let _guard = lock.lock().expect("not poisoned");
                    let n: u64 = cache.get("n").unwrap_or(0);
                    match n % 2 {
                        0 => cache.set("n", n + 1, HOUR).expect("a write"),
                        _ => cache.set_without_guard("n", n + 1, HOUR).expect("a write"),
                    }
                }
            });
        }
    });
    assert_eq!(cache.get("n"), Some(400));
    let lock = cache.get_key_lock("n");
    let panics = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let _guard = lock.lock().expect("not poisoned");
                panic!("on purpose");
            })
            .join()
    });
    assert!(panics.is_err());
    let lock = cache.get_key_lock("n");
    let guard = lock.lock().expect("not poisoned for who asks for it anew");
    cache.remove_without_guard("n").expect("no error");
    drop(guard);
    // Another key's is another lock; the same key's the same.
    assert!(!std::sync::Arc::ptr_eq(&lock, &cache.get_key_lock("m")));
    assert!(std::sync::Arc::ptr_eq(&lock, &cache.get_key_lock("n")));
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cache_ro")
}

#[test]
fn what_the_real_cache_ro_has_left_is_taken_over_with_its_values_and_deadlines() {
    let _alone = alone();
    let scratch = Scratch::new();
    let cache = scratch.open();
    cache.set("number", 5, HOUR).expect("a write");
    let migration = migrate(fixtures(), &cache).expect("it can be read");
    assert_eq!(
        (migration.taken, migration.expired, migration.present),
        (18, 1, 1),
        "{migration:?}"
    );
    assert_eq!(
        (migration.files, migration.skipped.len()),
        (12, 0),
        "{migration:?}"
    );
    let again = migrate(fixtures(), &cache).expect("it can be read");
    assert_eq!((again.taken, again.files, again.files_taken_before), (0, 0, 12));
    // They are the cache's own now.
    Cache::drop();
    let cache = scratch.open();

    assert_eq!(cache.get("number"), Some(5), "what was set is newer");
    assert_eq!(cache.get::<String>("username"), Some("alice".into()));
    assert_eq!(cache.get("small"), Some(250_u64));
    assert_eq!(cache.get("word"), Some(65_535_u32));
    assert_eq!(cache.get("huge"), Some(u128::MAX));
    assert_eq!(cache.get("negative"), Some(-42_i64));
    assert_eq!(cache.get("float"), Some(2.5_f64));
    assert_eq!(cache.get("single"), Some(-0.5_f32));
    assert_eq!(cache.get("flag"), Some(true));
    assert_eq!(cache.get("letter"), Some('ß'));
    assert_eq!(cache.get("nothing"), Some(None::<String>));
    assert_eq!(cache.get("unit"), Some(()));
    let bytes: Vec<u8> = (0..=255).chain(0..=99).collect();
    assert_eq!(cache.get("bytes"), Some(bytes));
    assert_eq!(cache.get("pair"), Some(("left".to_owned(), -1_i8, [1_u16, 300])));
    let map = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), -2)]);
    assert_eq!(cache.get("map"), Some(map));
    let shapes = vec![
        Shape::Point,
        Shape::Circle(1.5),
        Shape::Box {
            width: 3,
            height: 700,
        },
    ];
    assert_eq!(cache.get("shapes"), Some(shapes));
    let boss = User {
        name: "Ada".into(),
        age: 36,
        roles: vec![],
        boss: None,
    };
    let user = User {
        name: "Größe".into(),
        age: 20,
        roles: vec!["admin".into(), "ops".into()],
        boss: Some(Box::new(boss)),
    };
    assert_eq!(cache.get("user"), Some(user));
    assert_eq!(cache.get("long"), Some("x".repeat(1000)));
    assert_eq!(cache.get::<String>(""), Some("an empty key".into()));
    assert_eq!(cache.get::<u8>("expired"), None);
    assert!(
        cache
            .expire("username")
            .is_some_and(|left| left > 100 * 365 * 24 * HOUR)
    );
    // Of another type they are none, as far as that can be told.
    assert_eq!(cache.get::<u64>("username"), None);
    assert_eq!(cache.get::<User>("long"), None);
    // What is set again says what it is.
    cache.set("username", "alice", HOUR).expect("a write");
    assert_eq!(cache.get::<Vec<u8>>("username"), None);
}

#[test]
fn of_a_file_of_cache_ro_that_is_torn_anywhere_what_is_whole_is_taken_and_the_rest_is_told() {
    let _alone = alone();
    let whole = fs::read(fixtures().join("cache_1.bin")).expect("a fixture");
    let all = {
        let scratch = Scratch::new();
        fs::write(scratch.0.join("cache_1.bin"), &whole).expect("room");
        migrate(&scratch.0, &memory()).expect("it can be read").taken
    };
    assert!(all > 1);
    let scratch = Scratch::new();
    fs::write(scratch.0.join("of_another_kind.txt"), "text").expect("room");
    for len in 0..whole.len() {
        fs::write(scratch.0.join("cache_1.bin"), &whole[..len]).expect("room");
        let cache = memory();
        let migration = migrate(&scratch.0, &cache).expect("it can be read");
        assert!(
            migration.taken < all && migration.taken == cache.len(),
            "{len}: {migration:?}"
        );
        let [skipped] = &migration.skipped[..] else {
            panic!("{len}: {migration:?}");
        };
        assert!(
            skipped.file.ends_with("cache_1.bin") && skipped.key.is_none(),
            "{skipped:?}"
        );
    }
    // A length that no file has takes no memory.
    let mut hostile = whole.clone();
    hostile.splice(1..2, [253, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
    fs::write(scratch.0.join("cache_1.bin"), hostile).expect("room");
    let migration = migrate(&scratch.0, &memory()).expect("it can be read");
    assert_eq!((migration.taken, migration.skipped.len()), (0, 1));
    // Nor does something that follows what is whole go untold.
    fs::write(scratch.0.join("cache_1.bin"), [&whole[..], b"more"].concat()).expect("room");
    let migration = migrate(&scratch.0, &memory()).expect("it can be read");
    assert_eq!((migration.taken, migration.skipped.len()), (all, 1));
    assert!(migrate(scratch.0.join("absent"), &memory()).is_err());
}

#[test]
fn what_was_removed_after_a_migration_does_not_come_back_by_the_next() {
    let _alone = alone();
    let number = |n| {
        [
            &[1, 1, b'n', 1, n, 253][..],
            &[0, 0, 9, 0x18, 0x4e, 0x72, 0xa0, 0],
        ]
        .concat()
    };
    let migrated = |cache: &Cache, old: &Path| migrate(old, cache).expect("it can be read").taken;
    for persistent in [true, false] {
        let scratch = Scratch::new();
        let config = CacheConfig {
            persistent,
            ..scratch.config()
        };
        // As for a program that goes on in the same directory.
        fs::write(scratch.0.join("cache_00.bin"), number(7)).expect("room");
        let mut cache = Cache::new(config.clone()).expect("a cache");
        let restart = |cache: &mut Cache| {
            if persistent {
                Cache::drop();
                *cache = Cache::new(config.clone()).expect("a cache");
            }
        };
        assert_eq!(migrated(&cache, &scratch.0), 1);
        assert_eq!(cache.get("n"), Some(7_u64));

        cache.remove("n").expect("a write");
        assert_eq!((migrated(&cache, &scratch.0), cache.len()), (0, 0));
        restart(&mut cache);
        assert_eq!((migrated(&cache, &scratch.0), cache.len()), (0, 0));

        cache.clear().expect("a write");
        restart(&mut cache);
        assert_eq!((migrated(&cache, &scratch.0), cache.len()), (0, 0));

        // cache_ro has run again; and a crash has torn our list.
        fs::write(scratch.0.join("cache_00.bin"), number(8)).expect("room");
        if persistent {
            let list = scratch.0.join("migrated");
            let text = fs::read_to_string(&list).expect("a list");
            fs::write(&list, format!("{text}\n0123")).expect("room");
        }
        assert_eq!(migrated(&cache, &scratch.0), 1);
        assert_eq!(cache.get("n"), Some(8_u64));
        restart(&mut cache);
        assert_eq!(migrated(&cache, &scratch.0), 0);
        // Another cache knows nothing of it.
        let other = memory();
        assert_eq!(migrated(&other, &scratch.0), 1);
    }
}
