//! A cache in a directory, as a program has it that takes the crate: its process is killed in the middle of writing, and what `set` had returned from is
//! there. The processes that die are this one, started again.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rustcache::{Cache, OpenError, Recover, SetOptions, SyncMode};

/// Names the directory to whoever is to die there.
const DIRECTORY: &str = "RUSTCACHE_TEST_DIRECTORY";
const SYNC: &str = "RUSTCACHE_TEST_SYNC";
const WRITERS: u64 = 3;

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rustcache-persistent-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new directory");
        Scratch(path)
    }

    fn open(&self) -> Cache {
        Cache::builder().dir(&self.0).open().expect("nobody has it")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sync_of(name: &str) -> SyncMode {
    match name {
        "always" => SyncMode::Always,
        "never" => SyncMode::Never,
        _ => SyncMode::EverySecond,
    }
}

/// What dies: writes for ever, and says of each write that it has returned.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let sync = sync_of(&std::env::var(SYNC).unwrap_or_default());
    let cache = Cache::builder()
        .dir(directory)
        .sync(sync)
        // So that many deaths fall into a snapshot.
        .snapshot_after(32 << 10)
        .open()
        .expect("it was given up by the one before");
    say(&format!("open {}", std::process::id()));
    for writer in 0..WRITERS {
        let cache = cache.clone();
        thread::spawn(move || {
            for number in 0_u64.. {
                let key = format!("{writer}/{}", number % 100);
                cache
                    .set(key, number.to_string(), SetOptions::default())
                    .expect("a write");
                say(&format!("set {writer} {number}"));
            }
        });
    }
    // Until it is killed.
    let _ = std::io::stdin().read(&mut [0]);
}

/// A line by one write, past what the test runner does with stdout.
fn say(line: &str) {
    let line = format!("\n{line}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn spawn(directory: &Path, sync: &str) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(SYNC, sync)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("another of this program");
    let lines = BufReader::new(child.stderr.take().expect("a pipe"));
    (child, lines)
}

#[test]
fn what_set_has_returned_from_survives_kill_9_at_any_moment() {
    for (sync, deaths) in [("everysec", 6), ("always", 4), ("never", 4)] {
        let scratch = Scratch::new();
        for death in 0..deaths {
            let (mut child, mut lines) = spawn(&scratch.0, sync);
            let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
            let mut note = |line: &str| {
                if let ["set", writer, number] = line.split_whitespace().collect::<Vec<_>>()[..] {
                    let number = number.parse().expect("a number");
                    acknowledged.insert(writer.parse().expect("a number"), number);
                    return true;
                }
                false
            };
            let mut line = String::new();
            let mut seen = 0;
            while seen < 700 * (death + 1) / 3 {
                line.clear();
                assert!(
                    lines.read_line(&mut line).expect("a pipe") > 0,
                    "it ended by itself"
                );
                seen += u32::from(note(&line));
            }
            child.kill().expect("it is there");
            child.wait().expect("it is there");
            // What it had said by then; the last line may be cut.
            let mut rest = String::new();
            lines.read_to_string(&mut rest).expect("a pipe");
            for line in rest.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                note(line);
            }

            let cache = scratch.open();
            let report = cache.directory().expect("it has one").recovery();
            assert!(!report.is_damaged(), "{report}");
            for (&writer, &last) in &acknowledged {
                // Of each key the last value; one more may have been written that was not told.
                for number in last.saturating_sub(99)..=last {
                    let key = format!("{writer}/{}", number % 100);
                    let found = cache.get(&key).unwrap_or_else(|| panic!("{key} is lost, {sync}"));
                    let found: u64 = String::from_utf8_lossy(&found.value).parse().expect("a number");
                    let is_next = found == number + 100 && number == last - last.min(99);
                    assert!(found == number || is_next, "{key}: {found} for {number}, {sync}");
                }
            }
            drop(cache);
        }
    }
}

#[test]
fn who_comes_second_to_a_directory_is_told_the_pid_of_the_first() {
    let scratch = Scratch::new();
    let (mut child, mut lines) = spawn(&scratch.0, "never");
    let mut line = String::new();
    while !line.starts_with("open ") {
        line.clear();
        assert!(
            lines.read_line(&mut line).expect("a pipe") > 0,
            "it ended by itself"
        );
    }
    let refused = Cache::builder().dir(&scratch.0).open().expect_err("it is taken");
    assert_eq!(
        refused,
        OpenError::InUse {
            directory: scratch.0.clone(),
            pid: Some(child.id()),
        }
    );
    assert!(
        refused
            .to_string()
            .contains(&format!("in use by process {}", child.id())),
        "{refused}"
    );
    child.kill().expect("it is there");
    child.wait().expect("it is there");
    scratch.open();
}

fn journal(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory)
        .expect("it is there")
        .map(|file| file.expect("a file").path());
    files
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("journal-"))
        })
        .max()
        .expect("a journal")
}

#[test]
fn a_torn_end_of_the_journal_is_cut_off_and_damage_before_it_is_told() {
    let scratch = Scratch::new();
    let cache = Cache::builder()
        .dir(&scratch.0)
        .last_snapshot_within(std::time::Duration::ZERO)
        .open()
        .expect("nobody has it");
    for number in 0..100 {
        cache
            .set(number.to_string(), "value", SetOptions::default())
            .expect("a write");
    }
    drop(cache);
    let path = journal(&scratch.0);
    let mut file = OpenOptions::new().append(true).open(&path).expect("the journal");
    file.write_all(&[7; 13]).expect("room");

    let cache = Cache::builder()
        .dir(&scratch.0)
        .recover(Recover::Strict)
        .open()
        .expect("a torn end is no damage");
    let report = cache.directory().expect("it has one").recovery();
    assert_eq!(
        (cache.len(), report.is_damaged(), report.lost()),
        (100, false, 0),
        "{report}"
    );
    cache.set("100", "value", SetOptions::default()).expect("a write");
    drop(cache);

    let path = journal(&scratch.0);
    let cache = scratch.open();
    drop(cache);
    // A byte in the middle of a snapshot or journal: whichever has the entries.
    let files = fs::read_dir(&scratch.0)
        .expect("it is there")
        .map(|file| file.expect("a file").path());
    let largest = files
        .filter(|path| !path.ends_with("lock"))
        .max_by_key(|path| fs::metadata(path).map_or(0, |metadata| metadata.len()))
        .unwrap_or(path);
    let mut bytes = fs::read(&largest).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&largest, bytes).expect("room");
    let strict = Cache::builder()
        .dir(&scratch.0)
        .recover(Recover::Strict)
        .open()
        .expect_err("there is damage");
    assert!(
        matches!(strict, OpenError::Damaged(_)) && strict.to_string().contains("Recover::Valid"),
        "{strict}"
    );
    let cache = scratch.open();
    assert!(cache.directory().expect("it has one").recovery().is_damaged());
}
