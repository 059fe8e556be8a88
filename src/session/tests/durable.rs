//! Sessions on a directory whose disk fails or waits at a word: what becomes of the replies, and what of those who asked for a snapshot.

mod disk;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::persist::{OnDiskError, Store, StoreOptions};
use crate::session::Broken;

use disk::{Plan, planned_disk};

/// A client of a session on a directory, which is removed in the end.
struct OnDisk {
    client: Client,
    plan: Arc<Plan>,
    directory: PathBuf,
    woken: Receiver<()>,
}

impl OnDisk {
    fn new(on_disk_error: OnDiskError) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("rustcache-session-{}-{number}", std::process::id()));
        let plan = Arc::new(Plan::default());
        let client = client(&directory, &plan, on_disk_error);
        let mut on_disk = OnDisk {
            client,
            plan,
            directory,
            woken: channel().1,
        };
        let (wake, woken) = channel();
        on_disk.client.session.wake_with(move || {
            let _ = wake.send(());
        });
        on_disk.woken = woken;
        on_disk
    }

    /// A client of version 2, past its handshake.
    fn greeted(on_disk_error: OnDiskError) -> Self {
        let mut on_disk = Self::new(on_disk_error);
        on_disk.client.greet();
        on_disk
    }

    fn set(&mut self, key: &str, value: &str) -> Answer {
        self.client.ask(&set(key, value.as_bytes()))
    }

    /// What is answered once a snapshot is done, or has failed, without any input.
    fn woken(&mut self) -> Vec<u8> {
        self.woken.recv().expect("the keeper lives");
        answered(&mut self.client.session)
    }

    /// Asks for a snapshot and waits for the answer.
    fn snapshot(&mut self) -> Answer {
        let reply = self.client.send(&request(7, &Command::Snapshot));
        assert!(reply.is_empty(), "answered before it is done: {reply:02x?}");
        answers(&self.woken())[0].clone()
    }

    fn stat(&mut self, name: &str) -> u64 {
        let answer = self.client.ask(&Command::Stats);
        let stats: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        stats[name].as_u64().expect("a number")
    }

    /// The entries that a daemon would find after `kill -9` now.
    fn after_a_kill(&self, keys: &[&str]) -> Vec<Option<String>> {
        let copy = self.directory.with_extension("copy");
        fs::create_dir(&copy).expect("a new directory");
        for entry in fs::read_dir(&self.directory).expect("it is there") {
            let entry = entry.expect("an entry");
            match fs::copy(entry.path(), copy.join(entry.file_name())) {
                // What a snapshot replaces goes after it is answered.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => drop(copied.expect("copied")),
            }
        }
        let store = Store::open(StoreOptions::new(&copy), Cache::builder()).expect("it opens");
        let found = keys.iter().map(|key| {
            let entry = store.cache().get(key)?;
            Some(String::from_utf8(entry.value.to_vec()).expect("text"))
        });
        let found = found.collect();
        drop(store);
        fs::remove_dir_all(copy).expect("removed");
        found
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        // The keeper is waited for when the store goes.
        self.plan.let_syncs_go();
        let cache = self.client.cache.clone();
        self.client.session = Session::new(cache, UNBOUNDED);
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn client(directory: &Path, plan: &Arc<Plan>, on_disk_error: OnDiskError) -> Client {
    let (clock, hands) = crate::Clock::manual();
    let options = StoreOptions {
        disk: planned_disk(plan),
        on_disk_error,
        ..StoreOptions::new(directory)
    };
    let store = Store::open(options, Cache::builder().clock(clock)).expect("it opens");
    let cache = store.cache().clone();
    Client {
        session: Session::with_store(Arc::new(store), UNBOUNDED),
        cache,
        clock: hands,
    }
}

#[test]
fn a_commit_that_fails_takes_back_the_acknowledgements_of_its_round_and_no_other_reply() {
    let mut on_disk = OnDisk::greeted(OnDiskError::Refuse);
    // Large enough to be shared with the outbox and not copied.
    let large: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(on_disk.client.status(&set("large", &large)), Status::OK);
    assert_eq!(on_disk.set("small", "kept").status, Status::OK);
    on_disk.plan.journals_fail.store(true, Ordering::SeqCst);
    let miss = Command::Remove { key: b"never there" };
    let taken = Command::Take {
        key: b"large",
        with_ttl: false,
    };
    let number = Command::Increment {
        key: b"n",
        delta: 5,
        when_created: Expiry::Never,
    };
    let round = [
        request(1, &get("large")),
        request(2, &set("new", b"v")),
        request(3, &get("small")),
        request(4, &get("large")),
        request(5, &number),
        request(6, &get("n")),
        request(7, &get("nothing")),
        request(8, &miss),
        request(9, &taken),
        request(10, &get("large")),
        request(11, &Command::Contains { key: b"new" }),
    ];
    let replies = answers(&on_disk.client.send(&round.concat()));
    let ids: Vec<u32> = replies.iter().map(|reply| reply.id).collect();
    assert_eq!(ids, (1..=11).collect::<Vec<_>>());
    for reply in &replies {
        match reply.id {
            2 | 5 | 8 | 9 => {
                assert_eq!(reply.status, Status::NOT_DURABLE, "{reply:?}");
                let text = reply.text();
                assert!(text.contains("journal-") && text.contains("os error 5"), "{text}");
            }
            1 | 4 => assert!(reply.status == Status::OK && reply.body == large),
            3 => assert_eq!((reply.status, &reply.body[..]), (Status::OK, &b"kept"[..])),
            6 => assert_eq!((reply.status, &reply.body[..]), (Status::OK, &b"5"[..])),
            11 => assert_eq!(reply.status, Status::OK),
            _ => assert_eq!(reply.status, Status::MISS, "{reply:?}"),
        }
    }
    assert_eq!(
        on_disk.after_a_kill(&["small", "new", "n"]),
        [Some("kept".to_owned()), None, None]
    );
}

#[test]
fn a_client_of_version_1_is_told_with_e_that_a_write_is_not_kept() {
    let mut on_disk = OnDisk::new(OnDiskError::Refuse);
    let value = [b'v'; 56];
    assert_eq!(
        on_disk.client.send(&fixed_frame(b'I', b"kept", &value, 0)),
        b"I\n"
    );
    on_disk.plan.journals_fail.store(true, Ordering::SeqCst);
    let round = [
        fixed_frame(b'G', b"kept", b"", 0),
        fixed_frame(b'I', b"lost", b"v", 0),
        fixed_frame(b'G', b"nothing", b"", 0),
        fixed_frame(b'R', b"kept", b"", 0),
        fixed_frame(b'G', b"kept", b"", 0),
    ];
    let replies = on_disk.client.send(&round.concat());
    assert_eq!((&replies[..56], replies.len()), (&value[..], 65 + 8));
    assert_eq!(&replies[64..], b"\nE\nG\nE\nG\n");
    let refused = fixed_frame(b'I', b"refused", b"v", 0);
    assert_eq!(on_disk.client.send(&refused), b"E\n");
    assert_eq!(
        on_disk.client.send(&fixed_frame(b'G', b"refused", b"", 0)),
        b"G\n"
    );
}

#[test]
fn after_a_failure_writes_are_refused_and_change_nothing_while_reads_go_on() {
    let mut on_disk = OnDisk::greeted(OnDiskError::Refuse);
    on_disk.set("a", "old");
    on_disk.plan.journals_fail.store(true, Ordering::SeqCst);
    assert_eq!(on_disk.set("b", "lost").status, Status::NOT_DURABLE);
    // The disk works again, and that changes nothing.
    on_disk.plan.journals_fail.store(false, Ordering::SeqCst);
    let never = Expiry::Never;
    let writes = [
        set("a", b"new"),
        Command::Remove { key: b"a" },
        Command::Take {
            key: b"a",
            with_ttl: false,
        },
        Command::Touch {
            key: b"a",
            expiry: Expiry::After(std::time::Duration::from_secs(1)),
        },
        Command::Increment {
            key: b"n",
            delta: 1,
            when_created: never,
        },
        Command::CompareAndSet {
            key: b"a",
            expected: b"old",
            value: b"new",
            options: SetOptions::default(),
        },
        Command::Clear { prefix: b"" },
    ];
    for write in writes {
        let answer = on_disk.client.ask(&write);
        assert_eq!(answer.status, Status::DISK_FAILED, "{write:?}");
        let text = answer.text();
        assert!(text.contains("journal-") && text.contains("os error 5"), "{text}");
    }
    assert_eq!(on_disk.client.get("a").as_deref(), Some("old"));
    assert_eq!(on_disk.client.time_left("a"), Some(u64::MAX));
    assert_eq!(on_disk.client.get("n"), None);
    assert_eq!(on_disk.stat("disk_failed"), 1);
    assert_eq!(on_disk.after_a_kill(&["a", "b"]), [Some("old".to_owned()), None]);
}

#[test]
fn a_snapshot_after_a_failure_heals_it() {
    let mut on_disk = OnDisk::greeted(OnDiskError::Refuse);
    on_disk.set("a", "old");
    on_disk.plan.journals_fail.store(true, Ordering::SeqCst);
    assert_eq!(on_disk.set("b", "not durable yet").status, Status::NOT_DURABLE);
    let failed = on_disk.snapshot();
    assert_eq!(failed.status, Status::DISK_FAILED, "no new journal can be begun");
    assert_eq!(on_disk.set("c", "refused").status, Status::DISK_FAILED);
    on_disk.plan.journals_fail.store(false, Ordering::SeqCst);
    assert_eq!(on_disk.snapshot().status, Status::OK);
    assert_eq!(on_disk.stat("disk_failed"), 0);
    assert_eq!(on_disk.set("c", "new").status, Status::OK);
    let expected = ["old", "not durable yet", "new"].map(|value| Some(value.to_owned()));
    assert_eq!(on_disk.after_a_kill(&["a", "b", "c"]), expected);
}

/// What is pending when a snapshot begins is written by the thread that begins it.
#[test]
fn what_a_beginning_snapshot_could_not_write_is_not_acknowledged_by_another_commit() {
    let on_disk = OnDisk::new(OnDiskError::Refuse);
    let store = on_disk.client.session.store().expect("a directory");
    on_disk.plan.first_fails.store(true, Ordering::SeqCst);
    on_disk.plan.snapshots_fail.store(true, Ordering::SeqCst);
    store
        .cache()
        .set("a", "v", SetOptions::default())
        .expect("it fits");
    store.snapshot().expect_err("no snapshot can be written");
    store.commit().expect_err("it is nowhere on the disk");
    assert_eq!(on_disk.after_a_kill(&["a"]), [None]);
}

#[test]
fn with_memory_a_failure_is_none_of_the_clients_business() {
    let mut on_disk = OnDisk::greeted(OnDiskError::Memory);
    on_disk.plan.journals_fail.store(true, Ordering::SeqCst);
    for value in ["1", "2", "3"] {
        assert_eq!(on_disk.set("a", value).status, Status::OK);
        assert_eq!(on_disk.client.get("a").as_deref(), Some(value));
    }
    assert_eq!(on_disk.stat("disk_failed"), 1);
    assert!(!on_disk.client.is_broken());
}

#[test]
fn with_exit_a_failure_ends_the_session_after_all_is_answered() {
    let mut on_disk = OnDisk::greeted(OnDiskError::Exit);
    on_disk.set("a", "v");
    on_disk.plan.journals_fail.store(true, Ordering::SeqCst);
    let round = [
        request(1, &get("a")),
        request(2, &set("b", b"v")),
        request(3, &get("a")),
    ];
    let replies = answers(&on_disk.client.send(&round.concat()));
    let statuses: Vec<Status> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [Status::OK, Status::NOT_DURABLE, Status::OK]);
    match on_disk.client.session.broken() {
        Some(Broken::DiskFailed(failure)) => {
            assert!(failure.to_string().contains("journal-"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!on_disk.client.session.wants_input());
}

#[test]
fn calls_are_answered_while_a_snapshot_is_written_and_it_is_answered_by_its_id() {
    let mut on_disk = OnDisk::greeted(OnDiskError::Refuse);
    on_disk.set("a", "v");
    on_disk.plan.hold_syncs();
    let script = [request(40, &Command::Snapshot), request(41, &get("a"))];
    let replies = answers(&on_disk.client.send(&script.concat()));
    assert_eq!((replies.len(), replies[0].id), (1, 41));
    for value in ["1", "2", "3"] {
        assert_eq!(on_disk.set("b", value).status, Status::OK);
        assert_eq!(on_disk.client.get("b").as_deref(), Some(value));
    }
    assert!(on_disk.client.session.awaits_wake() && on_disk.client.session.wants_input());
    // It waits for its sync.
    while on_disk.stat("snapshot_under_way") == 0 {
        std::thread::yield_now();
    }
    assert!((1..=2).contains(&on_disk.stat("snapshot_entries")));
    // What was written meanwhile is there, whatever becomes of the snapshot.
    let expected = ["v", "3"].map(|value| Some(value.to_owned()));
    assert_eq!(on_disk.after_a_kill(&["a", "b"]), expected);
    on_disk.plan.let_syncs_go();
    let replies = answers(&on_disk.woken());
    assert_eq!((replies.len(), replies[0].id), (1, 40));
    assert_eq!(replies[0].status, Status::OK);
    assert!(!on_disk.client.session.awaits_wake());
    for name in ["under_way", "progress", "entries", "bytes"] {
        assert_eq!(on_disk.stat(&format!("snapshot_{name}")), 0, "{name}");
    }
    assert_eq!(on_disk.after_a_kill(&["a", "b"]), expected);
}

#[test]
fn snapshots_that_are_asked_for_together_are_answered_each_once() {
    let mut on_disk = OnDisk::greeted(OnDiskError::Refuse);
    on_disk.plan.hold_syncs();
    let script: Vec<u8> = (1..=5).flat_map(|id| request(id, &Command::Snapshot)).collect();
    assert!(on_disk.client.send(&script).is_empty());
    on_disk.plan.let_syncs_go();
    let mut ids = Vec::new();
    while ids.len() < 5 {
        let replies = answers(&on_disk.woken());
        assert!(replies.iter().all(|reply| reply.status == Status::OK));
        ids.extend(replies.iter().map(|reply| reply.id));
    }
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    assert!(!on_disk.client.session.awaits_wake());
}

#[test]
fn no_input_is_taken_while_a_thousand_snapshots_are_awaited_and_each_is_answered_in_the_end() {
    let mut on_disk = OnDisk::greeted(OnDiskError::Refuse);
    on_disk.plan.hold_syncs();
    let script: Vec<u8> = (1..=3000)
        .flat_map(|id| request(id, &Command::Snapshot))
        .collect();
    let last = request(3001, &set("a", b"after them"));
    assert!(on_disk.client.send(&[script, last].concat()).is_empty());
    let session = &on_disk.client.session;
    assert!(session.awaits_wake() && !session.wants_input());
    let left = session.unprocessed();
    assert!(!on_disk.client.cache.contains("a"), "done before its turn");
    let mut session = &mut on_disk.client.session;
    assert!(!session.process() && session.unprocessed() == left, "nor later");
    on_disk.plan.let_syncs_go();
    let mut ids = Vec::new();
    while ids.len() <= 3000 {
        let replies = answers(&on_disk.woken());
        assert!(replies.iter().all(|reply| reply.status == Status::OK));
        assert!(replies.len() <= 1024 + 1, "{} at once", replies.len());
        ids.extend(replies.iter().map(|reply| reply.id));
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=3001).collect::<Vec<_>>());
    session = &mut on_disk.client.session;
    assert!(!session.awaits_wake() && session.wants_input());
    assert_eq!(on_disk.stat("snapshots"), 3, "one is for all that wait for it");
}

#[test]
fn in_version_1_a_snapshot_is_answered_in_its_order() {
    let mut on_disk = OnDisk::new(OnDiskError::Refuse);
    on_disk.plan.hold_syncs();
    let script = [
        fixed_frame(b'I', b"a", b"v", 0),
        fixed_frame(b'H', b"", b"", 0),
        fixed_frame(b'R', b"a", b"", 0),
        fixed_frame(b'H', b"", b"", 0),
        fixed_frame(b'G', b"a", b"", 0),
    ];
    assert_eq!(on_disk.client.send(&script.concat()), b"I\n");
    assert!(
        !on_disk.client.session.wants_input(),
        "nothing is answered before it"
    );
    assert!(on_disk.client.cache.contains("a"), "nor done");
    on_disk.plan.let_syncs_go();
    let mut replies = on_disk.woken();
    while replies.len() < 8 {
        replies.extend(on_disk.woken());
    }
    assert_eq!(replies, b"H\nR\nH\nG\n");
}

#[test]
fn a_snapshot_that_fails_says_so_and_the_journal_goes_on() {
    let mut on_disk = OnDisk::greeted(OnDiskError::Refuse);
    on_disk.set("a", "v");
    on_disk.plan.snapshots_fail.store(true, Ordering::SeqCst);
    let failed = on_disk.snapshot();
    assert_eq!(failed.status, Status::DISK_FAILED);
    let text = failed.text();
    assert!(
        text.contains("snapshot-") && text.contains("os error 5"),
        "{text}"
    );
    assert_eq!(on_disk.set("b", "w").status, Status::OK);
    let expected = ["v", "w"].map(|value| Some(value.to_owned()));
    assert_eq!(on_disk.after_a_kill(&["a", "b"]), expected);
    let left = fs::read_dir(&on_disk.directory).expect("it is there");
    let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().contains("unfinished")),
        "what was begun takes no room: {left:?}"
    );

    let mut on_disk = OnDisk::new(OnDiskError::Refuse);
    on_disk.plan.snapshots_fail.store(true, Ordering::SeqCst);
    assert!(on_disk.client.send(&fixed_frame(b'H', b"", b"", 0)).is_empty());
    assert_eq!(on_disk.woken(), b"E\n");
}
