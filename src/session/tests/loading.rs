//! Sessions on a directory that is still being loaded: what is answered at once, what is held back, and in which order it is answered then.

use std::fs::File;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::persist::OpenError;
use crate::persist::disk::gated::{BEFORE_THE_GATE, GatedDirectory};
use crate::session::Broken;

/// A client of a session whose directory is not loaded before its gate is opened.
struct Loading {
    session: Session,
    directory: GatedDirectory,
    woken: Receiver<()>,
}

impl Loading {
    /// It is known to be ours.
    fn new(max_pending_replies: usize) -> Self {
        let mut loading = Self::begun(GatedDirectory::new(), max_pending_replies);
        loading.directory.gate.wait_until_somebody_waits();
        loading.session.process();
        loading
    }

    fn begun(directory: GatedDirectory, max_pending_replies: usize) -> Self {
        let mut session = Session::opening(directory.opening(), max_pending_replies);
        let (wake, woken) = channel();
        session.wake_with(move || {
            let _ = wake.send(());
        });
        Loading {
            session,
            directory,
            woken,
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.session.receive(bytes);
        answered(&mut self.session)
    }

    fn greeted() -> Self {
        let mut loading = Self::new(UNBOUNDED);
        let reply = loading.send(&greeting());
        assert_eq!(reply[..4], PREFACE);
        assert_eq!(answers(&reply[4..])[0].status, Status::OK);
        loading
    }

    /// What is answered until the directory is loaded, or is not to be.
    fn outcome(&mut self) -> Vec<u8> {
        let mut replies = answered(&mut self.session);
        while self.session.is_loading() {
            self.woken.recv().expect("somebody loads");
            replies.extend(answered(&mut self.session));
        }
        replies
    }

    fn loaded(&mut self) -> Vec<u8> {
        self.directory.gate.open();
        self.outcome()
    }

    fn stats(&mut self) -> serde_json::Value {
        let reply = self.send(&request(9, &Command::Stats));
        serde_json::from_slice(&answers(&reply)[0].body).expect("JSON")
    }
}

fn ping(payload: &[u8]) -> Command<'_> {
    Command::Ping {
        payload,
        tag: Tag::BYTES,
    }
}

#[test]
fn hello_ping_and_stats_are_answered_at_once_and_all_else_in_order_when_it_is_loaded() {
    let mut loading = Loading::greeted();
    let script = [
        request(1, &get("a")),
        request(2, &ping(b"there?")),
        request(3, &set("a", b"new")),
        request(4, &get("a")),
        greeting(),
        request(5, &Command::Snapshot),
        request(6, &ping(b"still there?")),
    ];
    let reply = loading.send(&script.concat());
    let preface = reply
        .windows(4)
        .position(|bytes| bytes == PREFACE)
        .expect("answered");
    let first = answers(&reply[..preface]);
    assert_eq!(
        (first.len(), first[0].id, &first[0].body[..]),
        (1, 2, &b"there?"[..])
    );
    let rest = answers(&reply[preface + 4..]);
    assert_eq!(rest.iter().map(|answer| answer.id).collect::<Vec<_>>(), [0, 6]);
    assert!(loading.session.awaits_wake() && loading.session.wants_input());

    let replies = answers(&loading.loaded());
    let ids: Vec<u32> = replies.iter().map(|answer| answer.id).collect();
    assert_eq!(ids, [1, 3, 4]);
    assert_eq!(
        (&replies[0].body[..], &replies[2].body[..]),
        (&b"1"[..], &b"new"[..])
    );
    // The snapshot takes its time, as ever.
    loading.woken.recv().expect("the keeper lives");
    let last = answers(&answered(&mut loading.session));
    assert_eq!((last.len(), last[0].id, last[0].status), (1, 5, Status::OK));
    assert!(!loading.session.awaits_wake());
}

#[test]
fn stats_tell_how_far_loading_is_and_how_much_it_was() {
    let mut loading = Loading::greeted();
    let bytes = loading.directory.bytes();
    let stats = loading.stats();
    let told = |stats: &serde_json::Value| {
        ["loading", "loaded_bytes", "load_bytes", "loaded_entries", "items"]
            .map(|name| stats[name].as_u64().expect("a number"))
    };
    assert_eq!(told(&stats), [1, BEFORE_THE_GATE, bytes, 0, 0]);
    assert_eq!(stats["persistent"], 1);
    loading.loaded();
    let stats = loading.stats();
    assert_eq!(told(&stats), [0, bytes, bytes, 2, 2]);
    assert_eq!(stats["recovered"], 2);
}

#[test]
fn however_a_script_is_cut_the_same_is_answered_before_and_after() {
    let script = [
        greeting(),
        request(1, &get("a")),
        request(2, &ping(b"x")),
        // A frame that is no good is answered in its turn.
        vec![12, 0, 0, 0, 3, 0, 0, 0, 0x10, 0, 0, 0, 5, 0, 0, 0],
        request(4, &get("b")),
        request(5, &ping(b"y")),
    ]
    .concat();
    let run = |cut: usize| {
        let mut loading = Loading::new(UNBOUNDED);
        let mut before = loading.send(&script[..cut]);
        before.extend(loading.send(&script[cut..]));
        (before, loading.loaded())
    };
    let whole = run(0);
    let ids = |bytes: &[u8]| answers(bytes).iter().map(|answer| answer.id).collect::<Vec<_>>();
    assert_eq!(ids(&whole.0[4..]), [0, 2, 5]);
    assert_eq!(ids(&whole.1), [1, 3, 4]);
    for cut in 1..script.len() {
        assert!(run(cut) == whole, "cut at {cut}");
    }
    // Loaded in the middle of it: each request is answered once, and those that are held back in their order.
    for cut in 1..script.len() {
        let mut loading = Loading::new(UNBOUNDED);
        let mut replies = loading.send(&script[..cut]);
        replies.extend(loading.loaded());
        replies.extend(loading.send(&script[cut..]));
        let after_preface = ids(&replies[4..]);
        let held: Vec<u32> = after_preface
            .iter()
            .copied()
            .filter(|id| [1, 3, 4].contains(id))
            .collect();
        assert_eq!(held, [1, 3, 4], "cut at {cut}");
        assert_eq!(after_preface.len(), 6, "cut at {cut}");
    }
}

#[test]
fn in_version_1_all_is_held_back() {
    let mut loading = Loading::new(UNBOUNDED);
    let script = [
        fixed_frame(b'G', b"a", b"", 0),
        fixed_frame(b'I', b"a", b"new", 0),
        fixed_frame(b'G', b"a", b"", 0),
    ]
    .concat();
    for piece in script.chunks(100) {
        assert_eq!(loading.send(piece), b"");
    }
    let replies = loading.loaded();
    assert_eq!(replies.len(), 65 + 2 + 65);
    assert!(replies.starts_with(b"1\0") && replies[65..].starts_with(b"I\nnew\0"));
}

#[test]
fn nothing_at_all_is_answered_before_the_directory_is_ours() {
    let directory = GatedDirectory::new();
    let lock = File::options()
        .write(true)
        .open(directory.path.join("lock"))
        .expect("it is there");
    lock.lock().expect("it is free");
    std::fs::write(directory.path.join("lock"), "1 ending").expect("written");
    let mut loading = Loading::begun(directory, UNBOUNDED);
    for _ in 0..3 {
        assert_eq!(loading.send(&greeting()), b"");
    }
    assert!(loading.session.awaits_wake());
    drop(lock);
    loading.woken.recv().expect("somebody loads");
    let reply = answered(&mut loading.session);
    let greetings = reply.windows(4).filter(|bytes| *bytes == PREFACE).count();
    assert_eq!(greetings, 3, "each of them is answered then");
    assert!(loading.session.is_loading());
}

#[test]
fn what_is_held_back_is_bounded_and_all_of_it_is_answered() {
    const BOUND: usize = 100_000;
    for framed in [true, false] {
        let mut loading = Loading::new(BOUND);
        if framed {
            loading.send(&greeting());
        }
        let frame = match framed {
            true => request(1, &set("k", &[b'v'; 100])),
            false => fixed_frame(b'I', b"k", b"v", 0),
        };
        let mut sent = 0;
        while loading.session.wants_input() {
            assert_eq!(loading.send(&frame), b"");
            sent += 1;
            assert!(loading.session.unprocessed() <= BOUND + frame.len());
        }
        assert!(sent >= BOUND / frame.len(), "{sent} are no more than a few");
        let replies = loading.loaded();
        let count = match framed {
            true => answers(&replies).len(),
            false => replies.len() / 2,
        };
        assert_eq!(count, sent);
        assert!(loading.session.wants_input());
    }
}

#[test]
fn a_frame_that_ends_the_connection_waits_for_those_before_it() {
    let too_long = [0xff; 16].to_vec();
    let unsupported = request(2, &hello(3, 3));
    for last in [too_long, unsupported] {
        let mut loading = Loading::greeted();
        let script = [request(1, &get("a")), last, request(3, &ping(b"too late"))].concat();
        assert_eq!(loading.send(&script), b"");
        assert_eq!(loading.session.broken(), None);
        let replies = answers(&loading.loaded());
        assert_eq!((replies.len(), &replies[0].body[..]), (2, &b"1"[..]));
        assert!(replies[1].status.is_error() && loading.session.broken().is_some());
    }
    // Where nothing is held back, there is nothing to wait for.
    let mut loading = Loading::new(UNBOUNDED);
    assert_eq!(loading.send(b"X"), b"E\n");
    assert_eq!(loading.session.broken(), Some(&Broken::UnknownProtocol(b'X')));
}

#[test]
fn a_directory_that_cannot_be_loaded_ends_the_connection_and_what_was_held_back_is_not_answered() {
    let mut loading = Loading::greeted();
    assert_eq!(loading.send(&request(1, &set("a", b"v"))), b"");
    loading.directory.gate.fail();
    assert_eq!(loading.outcome(), b"");
    match loading.session.broken() {
        Some(Broken::NotOpened(OpenError::Disk(failure))) => {
            let text = failure.to_string();
            assert!(text.contains("journal-") && text.contains("os error 5"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!loading.session.wants_input() && !loading.session.awaits_wake());
    assert!(loading.session.store().is_none());
}

#[test]
fn whoever_comes_for_the_directory_is_told_that_one_that_gives_loading_up_is_worth_waiting_for() {
    let loading = Loading::new(UNBOUNDED);
    let path = loading.directory.path.join("lock");
    let held = || std::fs::read_to_string(&path).expect("it is there");
    let pid = std::process::id();
    assert_eq!(held(), format!("{pid}\n"));
    loading.session.gives_loading_up();
    assert_eq!(held(), format!("{pid} ending\n"));
}
