//! A daemon whose directory is not loaded yet. What is answered then is tested in `src/session/tests/loading.rs`, with a directory that waits for the test; here
//! it is the binary, with whatever moment it happens to be.

use std::fs;

use rustcache::protocol::command::Command as Request;
use rustcache::protocol::framed::PREFACE;
use rustcache::protocol::status::Status;
use rustcache::{Cache, SetOptions, Tag};

use rustcache::persist::{Store, StoreOptions};

use crate::directory::Scratch;
#[cfg(target_os = "linux")]
use crate::directory::{ending, wait_until_it_has_looked};
use crate::support::*;

const ENTRIES: u32 = 50_000;

fn fill(scratch: &Scratch) {
    let store = Store::open(StoreOptions::new(scratch.path()), Cache::builder()).expect("it opens");
    for key in 0..ENTRIES {
        store
            .cache()
            .set(key.to_le_bytes(), key.to_be_bytes(), SetOptions::default())
            .expect("small");
    }
    store.commit().expect("written");
}

#[test]
fn a_large_directory_is_served_from_the_first_moment_and_whole_for_all_that_need_it() {
    for link in LINKS {
        let scratch = Scratch::new();
        fill(&scratch);
        let mut daemon = Daemon::with(link, &["--dir", scratch.text()], &[]);
        let last = (ENTRIES - 1).to_le_bytes();
        let ping = Request::Ping {
            payload: b"there?",
            tag: Tag::BYTES,
        };
        let script = [
            greeting(),
            frame(1, &get(&last)),
            frame(2, &Request::Stats),
            frame(3, &ping),
            frame(4, &set(&last, b"new")),
            frame(5, &get(&last)),
        ];
        daemon.write(&script.concat());
        assert_eq!(daemon.read(4), PREFACE);
        let answers: Vec<Answer> = (0..6).map(|_| daemon.answer()).collect();
        let answer = |id: u32| answers.iter().find(|answer| answer.id == id).expect("answered");
        assert_eq!(answers[0].id, 0, "{link:?}");
        assert_eq!(answer(1).body, (ENTRIES - 1).to_be_bytes(), "{link:?}");
        assert_eq!((&answer(5).body[..], answer(4).status), (&b"new"[..], Status::OK));
        assert_eq!(answer(3).body, b"there?");
        let stats: serde_json::Value = serde_json::from_slice(&answer(2).body).expect("JSON");
        let told = |name: &str| stats[name].as_u64().expect("a number");
        assert!(told("loaded_bytes") <= told("load_bytes"), "{link:?}: {stats}");
        assert!(told("loaded_entries") <= u64::from(ENTRIES), "{link:?}: {stats}");
        let later = daemon.ask(&Request::Stats);
        let stats: serde_json::Value = serde_json::from_slice(&later.body).expect("JSON");
        assert_eq!(
            (&stats["loading"], &stats["loaded_entries"]),
            (&0.into(), &ENTRIES.into())
        );
        assert_eq!(daemon.finish().code, Some(0), "{link:?}");
    }
}

#[test]
fn a_directory_that_turns_out_not_to_be_loadable_is_one_line_with_5_and_answers_nothing_that_needs_it() {
    let scratch = Scratch::new();
    fill(&scratch);
    let names = fs::read_dir(scratch.path()).expect("it is there");
    let snapshot = names
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name() != Some("lock".as_ref()))
        .max_by_key(|path| path.metadata().expect("it is there").len());
    let snapshot = snapshot.expect("a file");
    let mut bytes = fs::read(&snapshot).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&snapshot, bytes).expect("written");
    let script = [greeting(), frame(1, &get(b"k")), frame(2, &set(b"k", b"v"))].concat();
    let end = run(&["--dir", scratch.text(), "--recover", "strict"], &[], &script);
    assert_eq!((end.code, end.log.lines().count()), (Some(5), 1), "{end:?}");
    let (answers, rest) = answers(&end.output);
    assert!(
        rest.is_empty() && answers.iter().all(|answer| answer.id == 0),
        "{end:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn sigterm_ends_one_that_loads_at_once_and_says_whether_requests_were_held_back() {
    use rustix::process::Signal;
    for link in LINKS {
        for held in [false, true] {
            let scratch = Scratch::new();
            let lock = ending(&scratch);
            let mut daemon = Daemon::with(link, &["--dir", scratch.text(), "--log-level", "info"], &[]);
            // Then it handles signals.
            wait_until_it_has_looked(&daemon, 1);
            if held {
                daemon.write(&fixed_frame(b'I', b"k", b"v"));
            }
            // Then it has read.
            daemon.wait_until_it_sleeps();
            daemon.signal(Signal::TERM);
            let end = daemon.wait();
            let code = if held { 4 } else { 0 };
            assert_eq!(
                (end.code, &end.output[..]),
                (Some(code), &b""[..]),
                "{link:?}: {end:?}"
            );
            assert!(
                end.log.contains("stopped before the directory was loaded"),
                "{link:?}: {}",
                end.log
            );
            drop(lock);
        }
    }
}
