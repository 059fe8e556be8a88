//! A client that does not read: the daemon neither deadlocks nor grows, and loses nothing.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustcache::Tag;
use rustcache::protocol::command::Command as Request;

use crate::support::*;

const REQUESTS: u32 = 100_000;
const VALUE: usize = 4000;
const PENDING: usize = 2 << 20;

/// A client that writes and never reads fills both pipes. What is unread stays within the limit, and once the client reads, everything
/// is there, in order. Without the limit, the replies would take 400 MB.
#[test]
fn a_client_that_does_not_read_is_not_answered_beyond_the_limit_and_then_gets_everything() {
    // By an option for one link and by the environment for the others.
    let by_option: &[&str] = &["--max-pending-replies", "2mib"];
    let by_environment: &[(&str, &str)] = &[("RUSTCACHE_MAX_PENDING_REPLIES", "2097152")];
    for (link, arguments, environment) in [
        (Link::Pipes, by_option, &[][..]),
        (Link::Sockets, &[], by_environment),
        (Link::OneSocket, &[], by_environment),
    ] {
        let mut daemon = Daemon::greeted(link, arguments, environment);
        let value = Dice(99).bytes(VALUE);
        daemon.ask(&set(b"k", &value));
        #[cfg(target_os = "linux")]
        let before = daemon.memory();

        let mut input = daemon.input.take().expect("open");
        let (progress, progressed) = channel();
        let writer = thread::spawn(move || {
            let mut script = Vec::new();
            for id in 0..REQUESTS {
                script.extend(frame(id, &get(b"k")));
            }
            for chunk in script.chunks(4096) {
                input.write_all(chunk).expect("the daemon reads");
                progress.send(chunk.len()).expect("somebody listens");
            }
        });
        // Until nothing moves any more. Should this give up too early, less is tested, and nothing fails.
        let mut written = 0;
        loop {
            match progressed.recv_timeout(Duration::from_millis(500)) {
                Ok(count) => written += count,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{link:?}: all requests were taken although no reply was read")
                }
            }
        }
        assert!(written > 0);
        #[cfg(target_os = "linux")]
        {
            daemon.wait_until_it_sleeps();
            let grown = daemon.memory().saturating_sub(before);
            assert!(
                grown < 2 * PENDING + (16 << 20),
                "{link:?}: {grown} bytes for replies that wait"
            );
        }

        for id in 0..REQUESTS {
            let answer = daemon.answer();
            assert_eq!(answer.id, id, "{link:?}");
            assert!(answer.body == value, "{link:?}: reply {id}");
            // The writer reports to the end.
            while progressed.try_recv().is_ok() {}
        }
        writer.join().expect("all was written");
        let end = daemon.finish();
        assert_eq!(
            (end.code, end.output.len()),
            (Some(0), 0),
            "{link:?}: {}",
            end.log
        );
    }
}

/// Both pipes are full while it writes. A daemon that waited for its own output would never read the rest.
#[test]
fn a_client_may_write_everything_before_it_reads_anything() {
    for link in LINKS {
        let mut daemon = Daemon::greeted(link, &[], &[]);
        let payload = Dice(7).bytes(10_000);
        let ping = Request::Ping {
            payload: &payload,
            tag: Tag::BYTES,
        };
        for id in 0..3000 {
            daemon.write(&frame(id, &ping));
        }
        daemon.input = None;
        for id in 0..3000 {
            let answer = daemon.answer();
            assert_eq!(answer.id, id, "{link:?}");
            assert!(answer.body == payload, "{link:?}: reply {id}");
        }
        assert_eq!(daemon.finish().code, Some(0), "{link:?}");
    }
}

/// The same with large values that are not copied: unread replies hold on to them, and only to them.
#[cfg(target_os = "linux")]
#[test]
fn replies_that_wait_share_the_memory_of_a_large_value() {
    for link in LINKS {
        let mut daemon = Daemon::greeted(link, &[], &[]);
        let value = vec![b'v'; 8 << 20];
        daemon.ask(&set(b"k", &value));
        // An answer says that what went before it has been done, so the buffers of the large request are given back.
        daemon.ask(&get(b"none"));
        let before = daemon.memory();
        let script: Vec<u8> = (0..7).flat_map(|id| frame(id, &get(b"k"))).collect();
        daemon.write(&script);
        // When the first is here, all seven requests have been read and answered: they came in one piece.
        assert_eq!(daemon.answer().body.len(), value.len());
        let grown = daemon.memory().saturating_sub(before);
        assert!(grown < 16 << 20, "{link:?}: {grown} bytes");
        for _ in 1..7 {
            assert!(daemon.answer().body == value);
        }
        assert_eq!(daemon.finish().code, Some(0));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_daemon_that_has_nothing_to_do_sleeps() {
    for link in LINKS {
        let mut daemon = Daemon::new(link);
        daemon.wait_until_it_sleeps();
        daemon.greet();
        daemon.wait_until_it_sleeps();
        daemon.write(&frame(1, &get(b"k"))[..10]);
        daemon.wait_until_it_sleeps();
        assert_eq!(daemon.finish().code, Some(0), "{link:?}");
    }
}

/// A frame that claims much and brings little takes little.
#[cfg(target_os = "linux")]
#[test]
fn a_length_that_is_only_claimed_takes_no_memory() {
    for link in LINKS {
        let mut daemon = Daemon::greeted(link, &[], &[]);
        daemon.ask(&get(b"k"));
        let before = daemon.memory();
        let request = set(b"k", b"v");
        daemon.write(&frame(1, &request));
        daemon.write(&(60u32 << 20).to_le_bytes());
        assert_eq!(daemon.answer().id, 1);
        // What was claimed has perhaps not been read yet; these bytes of it have, all but what fits into a pipe.
        daemon.write(&vec![0; 1 << 20]);
        let grown = daemon.memory().saturating_sub(before);
        // Where the kernel gives memory in huge pages, a few small buffers are 2 MiB each.
        assert!(grown < 16 << 20, "{link:?}: {grown} bytes");
        let end = daemon.finish();
        assert_eq!(end.code, Some(0), "{link:?}");
        assert!(end.log.contains("within a frame"), "{link:?}: {}", end.log);
    }
}
