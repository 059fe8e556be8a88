//! The real daemon on the real disk, but for one system call on a file of the directory that fails: strace makes it so. Where there is no strace, the
//! test says so and passes. That every operation may fail is tested without the system in `src/persist/tests/faults.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustcache::protocol::command::Command as Request;
use rustcache::protocol::framed::PREFACE;
use rustcache::protocol::status::Status;
use rustix::process::{Pid, Signal, kill_process};

use crate::directory::Directory;
use crate::play::{counter, everything};
use crate::support::{Daemon, Link, get, greeting, read_answer, set};

/// System calls, and what each may fail with.
const FAULTS: [(&str, &[&str]); 6] = [
    ("write,writev", &["EIO", "ENOSPC", "EINTR"]),
    ("fdatasync", &["EIO", "EINTR"]),
    ("fsync", &["EIO", "EINTR"]),
    ("openat", &["EIO", "ENOSPC"]),
    ("rename", &["EIO", "ENOSPC"]),
    ("unlink", &["EIO"]),
];

/// Calls that are made to fail in a normal run of the tests: at the start, in the first writes, and about the snapshot.
const SOME: [u32; 4] = [1, 3, 5, 8];
/// Far more than there are.
const ALL: std::ops::Range<u32> = 1..1_000;

#[test]
fn each_system_call_may_fail_and_nothing_acknowledged_is_lost() {
    let Some(strace) = strace() else {
        eprintln!("skipped: there is no strace here, or it may not trace");
        return;
    };
    let is_all = std::env::var_os("RUSTCACHE_FAULTS_ALL").is_some();
    let (mut injected, mut refused, mut not_started) = (0, 0, 0);
    for (calls, errors) in FAULTS {
        for error in errors {
            let turns: Vec<u32> = if is_all { ALL.collect() } else { SOME.to_vec() };
            for turn in turns {
                let fault = Fault { calls, error, turn };
                match fault.run(&strace) {
                    Outcome::NotReached => break,
                    Outcome::NotStarted => not_started += 1,
                    Outcome::Ran { refusals } => refused += u32::from(refusals > 0),
                }
                injected += 1;
            }
        }
    }
    eprintln!("{injected} faults: {not_started} at the start, {refused} that refused writes");
    assert!(injected >= 20 && not_started >= 4 && refused >= 3);
}

/// Where strace is, if it can trace.
fn strace() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|directory| directory.join("strace"));
    found.into_iter().find(|strace| {
        let mut command = Command::new(strace);
        command
            .args(["-qq", "-o", "/dev/null", "true"])
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// The K-th of these calls fails, in each thread.
#[derive(Debug, Clone, Copy)]
struct Fault {
    calls: &'static str,
    error: &'static str,
    turn: u32,
}

enum Outcome {
    /// There are not so many calls.
    NotReached,
    NotStarted,
    Ran {
        refusals: u32,
    },
}

/// What a key holds, and may hold after a death.
#[derive(Debug, Default)]
struct Key {
    memory: Option<String>,
    certain: Option<String>,
    perhaps: Vec<String>,
}

impl Fault {
    fn run(self, strace: &Path) -> Outcome {
        let directory = Directory::new();
        let kept = directory.path().join("kept");
        let trace = directory.path().join("trace");
        let mut daemon = self.start(strace, &kept, &trace);
        let injected = || {
            let trace = fs::read_to_string(&trace).expect("strace writes it");
            trace.matches("INJECTED").count()
        };
        if !is_greeted(&mut daemon) {
            let end = daemon.wait();
            assert!(injected() > 0, "{self:?}: {end:?}");
            let said: Vec<&str> = end
                .log
                .lines()
                .filter(|line| !line.starts_with("strace:"))
                .collect();
            assert_eq!((end.code, said.len()), (Some(5), 1), "{self:?}: {end:?}");
            assert!(
                said[0].contains(kept.to_str().expect("text")) && said[0].contains("os error"),
                "{self:?}: {}",
                said[0]
            );
            return Outcome::NotStarted;
        }
        let (keys, refusals) = self.work(&mut daemon, &kept, &injected);
        let pid = counter(&mut daemon, "pid");
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, Signal::KILL).expect("it is there");
        daemon.wait();
        let injected = injected() > 0;
        if self.error == "EINTR" || !injected {
            assert_eq!(refusals, 0, "{self:?} is no failure");
        }
        self.check(&keys, &kept);
        match injected {
            true => Outcome::Ran { refusals },
            false => Outcome::NotReached,
        }
    }

    fn start(self, strace: &Path, kept: &Path, trace: &Path) -> Daemon {
        let Fault { calls, error, turn } = self;
        let mut command = Command::new(strace);
        command.args(["-f", "-qq", "-o"]).arg(trace);
        let mut paths = vec![kept.to_owned(), kept.join("lock")];
        for generation in 1..10 {
            paths.push(kept.join(format!("journal-{generation:020}")));
            paths.push(kept.join(format!("snapshot-{generation:020}")));
            paths.push(kept.join(format!("snapshot-{generation:020}.unfinished")));
        }
        for path in paths {
            command.arg("-P").arg(path);
        }
        command
            .arg("-e")
            .arg(format!("trace={calls}"))
            .arg("-e")
            .arg(format!("inject={calls}:error={error}:when={turn}"))
            .arg(env!("CARGO_BIN_EXE_rustcache"))
            .arg("--dir")
            .arg(kept)
            .args(["--sync", "always"])
            .env_clear();
        Daemon::start(Link::Sockets, command)
    }

    /// Writes, asks for snapshots, and sees to it that what is answered makes sense. Gives what is to be there, and how much was refused.
    fn work(
        self,
        daemon: &mut Daemon,
        kept: &Path,
        injected: &dyn Fn() -> usize,
    ) -> (BTreeMap<String, Key>, u32) {
        let mut keys = BTreeMap::<String, Key>::new();
        let (mut has_failed, mut refusals) = (false, 0);
        let complains = |body: &[u8]| {
            let text = String::from_utf8_lossy(body);
            let names = text.contains(kept.to_str().expect("text")) && text.contains("os error");
            assert!(names, "{self:?}: no file or no cause in {text:?}");
        };
        for number in 0..12 {
            if [3, 6, 9].contains(&number) {
                let answer = daemon.ask(&Request::Snapshot);
                match answer.status {
                    Status::OK => {
                        has_failed = false;
                        for key in keys.values_mut() {
                            key.certain = key.memory.clone();
                            key.perhaps.clear();
                        }
                    }
                    status => {
                        assert_eq!(status, Status::DISK_FAILED, "{self:?}");
                        complains(&answer.body);
                        refusals += 1;
                    }
                }
            }
            for name in [format!("new {number}"), "same".to_owned()] {
                let value = format!("value {number}");
                let answer = daemon.ask(&set(name.as_bytes(), value.as_bytes()));
                let key = keys.entry(name.clone()).or_default();
                match answer.status {
                    Status::OK => {
                        assert!(!has_failed, "{self:?}: acknowledged after a failure");
                        *key = Key {
                            memory: Some(value.clone()),
                            certain: Some(value),
                            perhaps: Vec::new(),
                        };
                    }
                    Status::NOT_DURABLE => {
                        complains(&answer.body);
                        key.memory = Some(value.clone());
                        key.perhaps.push(value);
                    }
                    status => {
                        assert_eq!(status, Status::DISK_FAILED, "{self:?}");
                        complains(&answer.body);
                    }
                }
                has_failed |= answer.status != Status::OK;
                refusals += u32::from(answer.status != Status::OK);
                let held = daemon.ask(&get(name.as_bytes()));
                let held = (held.status == Status::OK).then(|| String::from_utf8(held.body).expect("text"));
                assert_eq!(held, key.memory, "{self:?}: {name}: reads go on");
            }
        }
        if has_failed {
            let before = injected();
            let healed = daemon.ask(&Request::Snapshot);
            if healed.status == Status::DISK_FAILED && injected() > before {
                // The thread that writes a snapshot is a new one each time, and its K-th call fails again.
                complains(&healed.body);
                return (keys, refusals + 1);
            }
            assert_eq!(
                healed.status,
                Status::OK,
                "{self:?}: a snapshot after the fault heals it"
            );
            for key in keys.values_mut() {
                key.certain = key.memory.clone();
                key.perhaps.clear();
            }
            let answer = daemon.ask(&set(b"healed", b"v"));
            assert_eq!(answer.status, Status::OK, "{self:?}");
        }
        (keys, refusals)
    }

    fn check(self, keys: &BTreeMap<String, Key>, kept: &Path) {
        let arguments = ["--dir", kept.to_str().expect("text"), "--recover", "strict"];
        let mut daemon = Daemon::greeted(Link::Sockets, &arguments, &[]);
        let (found, _) = everything(&mut daemon);
        for (name, key) in keys {
            let held = found.get(name.as_bytes());
            let held = held.map(|held| String::from_utf8(held.value.clone()).expect("text"));
            let may_be = held == key.certain || held.as_ref().is_some_and(|held| key.perhaps.contains(held));
            assert!(may_be, "{self:?}: {name} holds {held:?}: {key:?}");
        }
    }
}

/// Shakes hands; `false` if the daemon ends instead.
fn is_greeted(daemon: &mut Daemon) -> bool {
    // One that has ended already does not read.
    let input = daemon.input.as_mut().expect("open");
    let _ = std::io::Write::write_all(input, &greeting());
    let output = daemon.output.as_mut().expect("open");
    let mut preface = [0; 4];
    if output.read_exact(&mut preface).is_err() {
        return false;
    }
    assert_eq!(preface, PREFACE);
    read_answer(output).status == Status::OK
}
