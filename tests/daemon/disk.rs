//! A daemon whose disk is full, or cannot be written. Only root can make such disks: elsewhere these tests say so and pass.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustcache::protocol::command::Command as Request;
use rustcache::protocol::status::Status;
use rustix::process::{Signal, geteuid};

use crate::directory::{Scratch, counter, keeping};
use crate::support::*;

/// A small disk in memory, for as long as this lives.
struct SmallDisk {
    // Dropped first: what is mounted there cannot be removed.
    _mounted: Mounted,
    scratch: Scratch,
}

struct Mounted(PathBuf);

impl SmallDisk {
    /// `None`, with a message, where none can be made.
    fn new() -> Option<Self> {
        if !geteuid().is_root() {
            eprintln!("skipped: only root can mount a disk");
            return None;
        }
        let scratch = Scratch::new();
        let mounted = mount(&["-t", "tmpfs", "-o", "size=1m,mode=700", "none"], scratch.path());
        if !mounted {
            eprintln!("skipped: a tmpfs cannot be mounted here");
            return None;
        }
        let _mounted = Mounted(scratch.path().to_owned());
        Some(SmallDisk { scratch, _mounted })
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(mount(&["-o", &options], self.scratch.path()), "{options}");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a daemon that has just been killed may still be there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    let status = Command::new("mount").args(arguments).arg(at).status();
    status.is_ok_and(|status| status.success())
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).expect("a text")
}

static VALUE: [u8; 50_000] = [7; 50_000];

/// Writes until the disk is full. Gives how many writes were acknowledged, and the error.
fn fill_up(daemon: &mut Daemon) -> (u32, Answer) {
    for key in 0..100u32 {
        let answer = daemon.ask(&set(&key.to_le_bytes(), &VALUE));
        if answer.status != Status::OK {
            return (key, answer);
        }
    }
    panic!("5 MB fit on a disk of 1 MiB");
}

fn assert_there(daemon: &mut Daemon, keys: u32) {
    for key in 0..keys {
        let answer = daemon.ask(&get(&key.to_le_bytes()));
        assert!(
            answer.status == Status::OK && answer.body == VALUE,
            "{key} of {keys}"
        );
    }
}

#[test]
fn on_a_full_disk_writes_are_refused_until_there_is_room_and_a_snapshot() {
    let Some(disk) = SmallDisk::new() else { return };
    let directory = disk.scratch.text();
    let mut daemon = keeping(directory, &[]);
    let (written, refused) = fill_up(&mut daemon);
    assert!(written > 10, "{written}");
    assert_eq!(refused.status, Status::NOT_DURABLE);
    assert!(text(&refused).contains("No space left"), "{}", text(&refused));
    assert!(text(&refused).contains("/journal-"), "{}", text(&refused));

    let refused = daemon.ask(&set(b"k", b"v"));
    assert_eq!(refused.status, Status::DISK_FAILED);
    assert!(text(&refused).contains("No space left"), "{}", text(&refused));
    assert_eq!(daemon.ask(&get(b"k")).status, Status::MISS, "nothing changed");
    assert_there(&mut daemon, written);
    assert_eq!(counter(&mut daemon, "disk_failed"), 1);
    // There is no room for a snapshot either, and trying takes none.
    let free = || rustix::fs::statvfs(directory).expect("a disk").f_bfree;
    let before = free();
    for _ in 0..3 {
        let refused = daemon.ask(&Request::Snapshot);
        assert_eq!(refused.status, Status::DISK_FAILED);
        assert!(text(&refused).contains("No space left"), "{}", text(&refused));
    }
    assert!(free() + 8 >= before, "{} of {before} pages are free", free());

    disk.remount("size=8m");
    assert_eq!(daemon.ask(&Request::Snapshot).status, Status::OK);
    assert_eq!(counter(&mut daemon, "disk_failed"), 0);
    assert_eq!(daemon.ask(&set(b"k", b"v")).status, Status::OK);
    let log = {
        daemon.signal(Signal::KILL);
        daemon.wait().log
    };
    assert!(log.contains("No space left"), "{log}");
    let mut daemon = keeping(directory, &["--recover", "strict"]);
    // The one that could not be made durable then is durable since the snapshot.
    assert_there(&mut daemon, written + 1);
    assert_eq!(daemon.ask(&get(b"k")).body, b"v");
    assert_eq!(counter(&mut daemon, "items"), u64::from(written) + 2);
}

#[test]
fn a_kill_on_a_full_disk_loses_nothing_that_was_acknowledged() {
    let Some(disk) = SmallDisk::new() else { return };
    let mut daemon = keeping(disk.scratch.text(), &["--sync", "always"]);
    let (written, _) = fill_up(&mut daemon);
    daemon.signal(Signal::KILL);
    daemon.wait();
    disk.remount("size=8m");
    let mut daemon = keeping(disk.scratch.text(), &[]);
    assert_there(&mut daemon, written);
    assert_eq!(counter(&mut daemon, "damaged_files"), 0);
}

/// Takes what room there is.
fn fill_with_something_else(disk: &SmallDisk) -> PathBuf {
    let other = disk.scratch.path().join("other");
    let fills = std::fs::write(&other, vec![1; 2 << 20]);
    assert!(fills.is_err(), "2 MiB fit on a disk of 1 MiB");
    other
}

#[test]
fn with_exit_a_full_disk_is_one_line_with_5_at_the_start() {
    let Some(disk) = SmallDisk::new() else { return };
    fill_with_something_else(&disk);
    let end = run(
        &["--dir", disk.scratch.text(), "--on-disk-error", "exit"],
        &[],
        b"",
    );
    assert_eq!((end.code, end.log.lines().count()), (Some(5), 1), "{end:?}");
    assert!(
        end.log.contains("No space left") && end.log.contains(disk.scratch.text()),
        "{}",
        end.log
    );
    assert!(end.log.contains("make room"), "{}", end.log);
}

#[test]
fn on_a_full_disk_a_start_serves_what_is_there_and_a_snapshot_heals_it() {
    for on_disk_error in ["refuse", "memory"] {
        let Some(disk) = SmallDisk::new() else { return };
        let directory = disk.scratch.text();
        let mut daemon = keeping(directory, &[]);
        assert_eq!(daemon.ask(&set(b"kept", b"v")).status, Status::OK);
        daemon.signal(Signal::KILL);
        daemon.wait();
        let other = fill_with_something_else(&disk);

        let mut daemon = keeping(directory, &["--on-disk-error", on_disk_error]);
        assert_eq!(daemon.ask(&get(b"kept")).body, b"v");
        assert_eq!(counter(&mut daemon, "disk_failed"), 1);
        let answer = daemon.ask(&set(b"new", b"v"));
        match on_disk_error {
            "refuse" => {
                assert_eq!(answer.status, Status::DISK_FAILED);
                assert!(text(&answer).contains("No space left"), "{}", text(&answer));
            }
            _ => assert_eq!(answer.status, Status::OK),
        }
        assert_eq!(daemon.ask(&Request::Snapshot).status, Status::DISK_FAILED);
        // A second one is told who has it: the pid took no room.
        let end = run(&["--dir", directory], &[], b"");
        let pid = daemon.pid().as_raw_nonzero().to_string();
        assert!(end.code == Some(6) && end.log.contains(&pid), "{end:?}");

        std::fs::remove_file(other).expect("it is there");
        assert_eq!(daemon.ask(&Request::Snapshot).status, Status::OK);
        assert_eq!(counter(&mut daemon, "disk_failed"), 0);
        assert_eq!(daemon.ask(&set(b"new", b"w")).status, Status::OK);
        daemon.signal(Signal::KILL);
        let log = daemon.wait().log;
        let line = log
            .lines()
            .find(|line| line.contains("ERROR"))
            .unwrap_or_default();
        assert!(
            line.contains("No space left") && line.contains("journal-"),
            "{log}"
        );
        let mut daemon = keeping(directory, &["--recover", "strict"]);
        assert_eq!(daemon.ask(&get(b"kept")).body, b"v");
        assert_eq!(daemon.ask(&get(b"new")).body, b"w");
    }
}

#[test]
fn with_memory_a_full_disk_is_logged_and_the_cache_goes_on() {
    let Some(disk) = SmallDisk::new() else { return };
    let mut daemon = keeping(disk.scratch.text(), &["--on-disk-error", "memory"]);
    for key in 0..100u32 {
        let answer = daemon.ask(&set(&key.to_le_bytes(), &VALUE));
        assert_eq!(answer.status, Status::OK, "{key}");
    }
    assert_there(&mut daemon, 100);
    assert_eq!(counter(&mut daemon, "disk_failed"), 1);
    // When there is room again, the end makes all of it durable.
    disk.remount("size=16m");
    let end = daemon.finish();
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert!(end.log.contains("No space left"), "{}", end.log);
    assert_there(&mut keeping(disk.scratch.text(), &[]), 100);
}

#[test]
fn with_exit_a_full_disk_ends_the_daemon_with_5() {
    let Some(disk) = SmallDisk::new() else { return };
    let mut daemon = keeping(disk.scratch.text(), &["--on-disk-error", "exit"]);
    let (written, refused) = fill_up(&mut daemon);
    assert_eq!(refused.status, Status::NOT_DURABLE);
    let end = daemon.wait();
    assert_eq!(end.code, Some(5), "{}", end.log);
    assert!(end.log.contains("No space left"), "{}", end.log);
    disk.remount("size=8m");
    assert_there(&mut keeping(disk.scratch.text(), &[]), written);
}

#[test]
fn a_directory_that_cannot_be_written_is_one_line_with_5() {
    let Some(disk) = SmallDisk::new() else { return };
    let mut daemon = keeping(disk.scratch.text(), &[]);
    daemon.ask(&set(b"k", b"v"));
    assert_eq!(daemon.finish().code, Some(0));
    disk.remount("ro");
    let end = run(&["--dir", disk.scratch.text()], &[], b"");
    assert_eq!((end.code, end.log.lines().count()), (Some(5), 1), "{end:?}");
    assert!(
        end.log.contains("Read-only file system") && end.log.contains(disk.scratch.text()),
        "{}",
        end.log
    );
    disk.remount("rw");
    assert_eq!(keeping(disk.scratch.text(), &[]).ask(&get(b"k")).body, b"v");
}
