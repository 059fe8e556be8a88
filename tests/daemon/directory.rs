//! A daemon that keeps a directory: whose it is, what is refused, what is left at the end and found at the next start. What a failing disk does is in
//! disk.rs, and what a death does in `tests/crash/`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rustcache::protocol::command::Command as Request;
use rustcache::protocol::status::Status;
use rustix::process::Signal;

use crate::support::*;

/// A directory of its own; what is in it goes with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rustcache-daemon-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new directory");
        Scratch(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn text(&self) -> &str {
        self.0.to_str().expect("text")
    }

    /// Names and bytes.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(&self.0).expect("it is there").map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(path).expect("it can be read"))
        });
        entries.collect()
    }

    /// Ascending.
    fn names(&self, kind: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("it is there");
        let names = entries.map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        });
        let mut names: Vec<_> = names.filter(|name| name.starts_with(kind)).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A daemon that has loaded its directory.
pub(crate) fn keeping(directory: &str, more: &[&str]) -> Daemon {
    let mut daemon = Daemon::greeted(Link::Sockets, &[&["--dir", directory][..], more].concat(), &[]);
    // It is held back until then.
    daemon.ask(&Request::Contains { key: b"" });
    daemon
}

/// A counter of STATS.
pub(crate) fn counter(daemon: &mut Daemon, name: &str) -> u64 {
    let answer = daemon.ask(&Request::Stats);
    let stats: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    stats[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {stats}"))
}

fn kill(mut daemon: Daemon) {
    daemon.signal(Signal::KILL);
    assert_eq!(daemon.wait().code, None);
}

/// Some entries, one in the place of another, and one that is removed.
fn fill(daemon: &mut Daemon) {
    for key in ["a", "b", "c", "d"] {
        let value = format!("first {key}").repeat(20);
        assert_eq!(
            daemon.ask(&set(key.as_bytes(), value.as_bytes())).status,
            Status::OK
        );
    }
    daemon.ask(&set(b"a", b"second a"));
    daemon.ask(&Request::Remove { key: b"d" });
}

fn check(daemon: &mut Daemon) {
    let first = |key: &str| format!("first {key}").repeat(20).into_bytes();
    assert_eq!(daemon.ask(&get(b"a")).body, b"second a");
    assert_eq!(daemon.ask(&get(b"b")).body, first("b"));
    assert_eq!(daemon.ask(&get(b"c")).body, first("c"));
    assert_eq!(daemon.ask(&get(b"d")).status, Status::MISS);
    assert_eq!(counter(daemon, "items"), 3);
}

/// Flips a bit in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("it is there");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("written");
}

#[test]
fn the_directory_is_taken_from_the_flag_and_from_the_environment() {
    let scratch = Scratch::new();
    let (flag, variable) = (scratch.path().join("flag"), scratch.path().join("deep/variable"));
    let mut by_flag = keeping(flag.to_str().expect("text"), &[]);
    let environment = [("RUSTCACHE_DIR", variable.to_str().expect("text"))];
    let mut by_variable = Daemon::greeted(Link::Pipes, &[], &environment);
    for (daemon, directory) in [(&mut by_flag, flag), (&mut by_variable, variable)] {
        assert_eq!(counter(daemon, "persistent"), 1);
        assert!(directory.join("lock").is_file(), "{}", directory.display());
    }
}

#[test]
fn without_a_directory_nothing_is_kept_and_all_its_counters_are_0() {
    let mut daemon = Daemon::greeted(Link::Pipes, &[], &[]);
    fill(&mut daemon);
    for name in [
        "persistent",
        "journal_records",
        "journal_bytes",
        "snapshots",
        "disk_failed",
    ] {
        assert_eq!(counter(&mut daemon, name), 0, "{name}");
    }
    assert_eq!(daemon.ask(&Request::Snapshot).status, Status::NO_DIRECTORY);
}

#[test]
fn a_wrong_value_of_an_option_is_one_line_with_2() {
    let scratch = Scratch::new();
    for (option, value) in [
        ("dir", ""),
        ("sync", "sometimes"),
        ("recover", "maybe"),
        ("on-disk-error", "cry"),
        ("snapshot-after", "12xb"),
        ("snapshot-every", "soon"),
        ("snapshot-every", "0s"),
    ] {
        let flag = format!("--{option}");
        let variable = format!("RUSTCACHE_{}", option.replace('-', "_").to_uppercase());
        let by_flag = run(&[&flag, value], &[("RUSTCACHE_DIR", scratch.text())], b"");
        let by_variable = run(&[], &[("RUSTCACHE_DIR", scratch.text()), (&variable, value)], b"");
        for (end, name) in [(by_flag, &flag), (by_variable, &variable)] {
            // An empty variable says nothing, as for the other options.
            if end.code == Some(0) && value.is_empty() && name == &variable {
                continue;
            }
            assert_eq!(
                (end.code, end.log.lines().count()),
                (Some(2), 1),
                "{name}: {end:?}"
            );
            assert!(end.log.contains(value), "{name}: {}", end.log);
            assert!(end.log.contains(name.as_str()), "{name}: {}", end.log);
        }
    }
    assert!(scratch.names("journal-").is_empty(), "nothing was begun");
}

#[test]
fn a_directory_that_is_a_file_is_one_line_with_5() {
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    fs::write(&file, "mine").expect("written");
    for path in [file.clone(), file.join("below")] {
        let path = path.to_str().expect("text");
        let end = run(&["--dir", path], &[], b"");
        assert_eq!((end.code, end.log.lines().count()), (Some(5), 1), "{end:?}");
        assert!(end.log.contains(path), "{}", end.log);
        assert!(end.output.is_empty());
    }
    assert_eq!(fs::read(file).expect("it is there"), b"mine");
}

#[test]
fn a_second_daemon_is_refused_with_6_and_told_who_has_the_directory() {
    let scratch = Scratch::new();
    let mut first = keeping(scratch.text(), &[]);
    fill(&mut first);
    let end = run(&["--dir", scratch.text()], &[], b"");
    assert_eq!((end.code, end.log.lines().count()), (Some(6), 1), "{end:?}");
    let pid = first.pid().as_raw_nonzero().to_string();
    assert!(
        end.log.contains(&pid) && end.log.contains(scratch.text()),
        "{}",
        end.log
    );
    // The first has not noticed.
    check(&mut first);
    first.ask(&set(b"d", b"v"));
    kill(first);
    // The lock file of a dead process is no obstacle.
    assert_eq!(scratch.names("lock"), ["lock"]);
    let mut next = keeping(scratch.text(), &[]);
    assert_eq!(next.ask(&get(b"d")).body, b"v");
}

/// The thread that opens the directory looks whether it gets the lock, and sleeps, and looks again.
#[cfg(target_os = "linux")]
pub(crate) fn wait_until_it_has_looked(daemon: &Daemon, times: u32) {
    let tasks = format!("/proc/{}/task", daemon.pid());
    let looks = || {
        let tasks = fs::read_dir(&tasks).expect("it waits");
        let mut statuses = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
        let status = statuses.find(|status| status.starts_with("Name:\trustcache-load\n"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.expect("a counter").trim().parse::<u32>().ok()
    };
    while looks().is_none_or(|looks| looks < times) {
        thread::yield_now();
    }
}

/// The lock of a directory, held by one that is ending: whoever comes waits.
pub(crate) fn ending(scratch: &Scratch) -> File {
    let mut lock = File::create(scratch.path().join("lock")).expect("a lock file");
    lock.lock().expect("it is ours");
    writeln!(lock, "{} ending", std::process::id()).expect("written");
    lock
}

#[test]
fn a_daemon_that_nobody_waits_for_any_more_gives_up_loading() {
    for link in LINKS {
        let scratch = Scratch::new();
        let lock = ending(&scratch);
        let mut daemon = Daemon::with(link, &["--dir", scratch.text()], &[]);
        daemon.write(&greeting());
        daemon.input = None;
        daemon.output = None;
        // Else it would be told after a while that it cannot have the directory: 6.
        let end = daemon.wait();
        assert_eq!(end.code, Some(4), "{link:?}: {}", end.log);
        assert!(
            end.log.contains("before the directory was loaded"),
            "{link:?}: {}",
            end.log
        );
        drop(lock);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_daemon_whose_input_alone_has_ended_loads_and_answers() {
    for link in LINKS {
        let scratch = Scratch::new();
        let lock = ending(&scratch);
        let mut daemon = Daemon::with(link, &["--dir", scratch.text()], &[]);
        daemon.write(&fixed_frame(b'I', b"k", b"v"));
        daemon.input = None;
        wait_until_it_has_looked(&daemon, 20);
        drop(lock);
        let end = daemon.wait();
        assert_eq!(
            (end.code, &end.output[..]),
            (Some(0), &b"I\n"[..]),
            "{link:?}: {}",
            end.log
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_daemon_that_comes_while_the_first_is_ending_waits_for_it() {
    let scratch = Scratch::new();
    let lock = ending(&scratch);
    let mut daemon = Daemon::with(Link::Sockets, &["--dir", scratch.text()], &[]);
    // Longer than it would wait for one that is not ending.
    wait_until_it_has_looked(&daemon, 80);
    drop(lock);
    daemon.greet();
    assert_eq!(counter(&mut daemon, "persistent"), 1);
}

#[test]
fn a_daemon_that_follows_at_once_finds_all_that_the_first_had() {
    let scratch = Scratch::new();
    let value = Dice(9).bytes(100_000);
    let mut last: Option<Daemon> = None;
    for round in 0..5u32 {
        let ending = last.take().map(|mut daemon| {
            // It writes its last snapshot while the next one comes.
            daemon.input = None;
            daemon
        });
        let mut daemon = keeping(scratch.text(), &[]);
        for key in 0..round * 100 {
            let found = daemon.ask(&Request::Contains {
                key: &key.to_le_bytes(),
            });
            assert_eq!(found.status, Status::OK, "{key} of {round} rounds");
        }
        for key in round * 100..(round + 1) * 100 {
            daemon.ask(&set(&key.to_le_bytes(), &value));
        }
        if let Some(mut ending) = ending {
            assert_eq!(ending.wait().code, Some(0));
        }
        last = Some(daemon);
    }
}

#[test]
fn only_the_owner_can_read_what_is_kept() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("new");
    let mut daemon = keeping(directory.to_str().expect("text"), &[]);
    fill(&mut daemon);
    assert_eq!(daemon.ask(&Request::Snapshot).status, Status::OK);
    assert_eq!(daemon.finish().code, Some(0));
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let files: Vec<_> = fs::read_dir(&directory).expect("it is there").collect();
    assert_eq!(files.len(), 3, "lock, journal and snapshot: {files:?}");
    for file in files {
        assert_eq!(mode(&file.expect("an entry").path()), 0o600);
    }
}

#[test]
fn the_end_of_the_input_and_sigterm_leave_a_snapshot_and_a_start_loads_it() {
    for signal in [false, true] {
        let scratch = Scratch::new();
        let mut daemon = keeping(scratch.text(), &[]);
        fill(&mut daemon);
        let end = if signal {
            daemon.signal(Signal::TERM);
            daemon.wait()
        } else {
            daemon.finish()
        };
        assert_eq!((end.code, &end.log[..]), (Some(0), ""));
        assert_eq!(scratch.names("snapshot-").len(), 1);
        let journals = scratch.names("journal-");
        assert_eq!(journals.len(), 1);
        let journal = &scratch.files()[&journals[0]];
        assert_eq!(
            journal.len(),
            32,
            "all is in the snapshot: the journal is its header"
        );
        let mut daemon = keeping(scratch.text(), &[]);
        assert_eq!(counter(&mut daemon, "recovered"), 3);
        assert_eq!(counter(&mut daemon, "damaged_files"), 0);
        check(&mut daemon);
    }
}

#[test]
fn a_snapshot_is_written_when_the_journal_is_large_and_when_the_time_has_come() {
    for option in [["--snapshot-after", "1kb"], ["--snapshot-every", "100ms"]] {
        let scratch = Scratch::new();
        let mut daemon = keeping(scratch.text(), &option);
        for number in 0..2 {
            for key in 0..100u32 {
                daemon.ask(&set(&key.to_le_bytes(), &[number; 100]));
            }
            while counter(&mut daemon, "snapshots") <= u64::from(number) {
                thread::yield_now();
            }
            assert_eq!(counter(&mut daemon, "last_snapshot_entries"), 100, "{option:?}");
        }
        kill(daemon);
        let mut daemon = keeping(scratch.text(), &option);
        assert_eq!(counter(&mut daemon, "items"), 100, "{option:?}");
        assert_eq!(daemon.ask(&get(&7u32.to_le_bytes())).body, [1; 100]);
    }
    // And not before that: the keeper has had its turn when a snapshot that was asked for is answered.
    let scratch = Scratch::new();
    let mut daemon = keeping(scratch.text(), &["--snapshot-after", "1mb"]);
    fill(&mut daemon);
    assert_eq!(daemon.ask(&Request::Snapshot).status, Status::OK);
    assert_eq!(counter(&mut daemon, "snapshots"), 1);
}

#[test]
fn damage_is_logged_counted_and_survived() {
    let scratch = Scratch::new();
    let mut daemon = keeping(scratch.text(), &[]);
    fill(&mut daemon);
    kill(daemon);
    let journal = scratch.names("journal-").pop().expect("a journal");
    damage(&scratch.path().join(&journal));
    let mut daemon = keeping(scratch.text(), &[]);
    assert_eq!(counter(&mut daemon, "damaged_files"), 1);
    assert_eq!(counter(&mut daemon, "dropped_records"), 1);
    // Whatever is there is right.
    assert_eq!(daemon.ask(&get(b"a")).body, b"second a");
    assert_eq!(daemon.ask(&get(b"d")).status, Status::MISS);
    assert!((1..=3).contains(&counter(&mut daemon, "items")));
    let end = daemon.finish();
    assert!(
        end.log.contains("ERROR") && end.log.contains(&journal),
        "{}",
        end.log
    );
    assert_eq!(scratch.names("damaged-").len(), 1);
    let mut daemon = keeping(scratch.text(), &["--recover", "strict"]);
    assert_eq!(
        counter(&mut daemon, "damaged_files"),
        0,
        "the next start is clean"
    );
}

#[test]
fn with_recover_strict_damage_is_one_line_with_5_and_nothing_is_changed() {
    let scratch = Scratch::new();
    let mut daemon = keeping(scratch.text(), &[]);
    fill(&mut daemon);
    assert_eq!(daemon.ask(&Request::Snapshot).status, Status::OK);
    daemon.ask(&set(b"e", b"in the journal"));
    daemon.ask(&set(b"f", b"in the journal"));
    kill(daemon);
    let intact = scratch.files();
    for kind in ["snapshot-", "journal-"] {
        let name = scratch.names(kind).pop().expect("one");
        damage(&scratch.path().join(&name));
        let before = scratch.files();
        let end = run(&["--dir", scratch.text(), "--recover", "strict"], &[], b"");
        assert_eq!((end.code, end.log.lines().count()), (Some(5), 1), "{end:?}");
        assert!(end.log.contains(&name), "{}", end.log);
        let but_lock = |mut files: BTreeMap<String, Vec<u8>>| {
            files.remove("lock");
            files
        };
        assert!(but_lock(scratch.files()) == but_lock(before), "{kind}");
        fs::write(scratch.path().join(&name), &intact[&name]).expect("written");
    }
    let mut daemon = keeping(scratch.text(), &["--recover", "strict"]);
    assert_eq!(daemon.ask(&get(b"e")).body, b"in the journal");
}

#[test]
fn a_snapshot_that_is_under_way_when_the_input_ends_is_answered() {
    for link in LINKS {
        let scratch = Scratch::new();
        let mut daemon = Daemon::greeted(link, &["--dir", scratch.text()], &[]);
        let value = vec![7; 100_000];
        for key in 0..200u32 {
            assert_eq!(daemon.ask(&set(&key.to_le_bytes(), &value)).status, Status::OK);
        }
        daemon.write(&frame(500, &Request::Snapshot));
        let end = daemon.finish();
        assert_eq!((end.code, &end.log[..]), (Some(0), ""), "{link:?}");
        let (answers, rest) = answers(&end.output);
        assert!(rest.is_empty());
        let [answer] = &answers[..] else {
            panic!("{link:?}: {} answers", answers.len())
        };
        assert_eq!((answer.id, answer.status), (500, Status::OK), "{link:?}");

        let daemon = Daemon::with(link, &["--dir", scratch.text()], &[]);
        let script = [fixed_frame(b'I', b"k", b"v"), fixed_frame(b'H', b"", b"")];
        let end = daemon.exchange(&script.concat());
        assert_eq!((end.code, &end.output[..]), (Some(0), &b"I\nH\n"[..]), "{link:?}");
    }
}
