//! How the daemon ends: signals, clients that die, and the exit codes that `--help` promises.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustcache::Tag;
use rustcache::protocol::command::Command as Request;
use rustcache::protocol::status::Status;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::*;

fn ping(payload: &[u8]) -> Request<'_> {
    Request::Ping {
        payload,
        tag: Tag::BYTES,
    }
}

#[test]
fn help_names_every_exit_code() {
    let help = run(&["--help"], &[], b"");
    assert_eq!(help.code, Some(0));
    let text = String::from_utf8(help.output).expect("text");
    for code in 0..=4 {
        assert!(text.contains(&format!("\n  {code}  ")), "{code} in {text}");
    }
}

#[test]
fn sigterm_ends_it_with_everything_written_that_was_answered() {
    for link in LINKS {
        let mut daemon = Daemon::greeted(link, &[], &[]);
        let script: Vec<u8> = (0..1000).flat_map(|id| frame(id, &ping(&[7; 1000]))).collect();
        let mut input = daemon.input.take().expect("open");
        thread::scope(|scope| {
            // What is not read any more cannot be written; the input stays open meanwhile.
            let writer = scope.spawn(move || {
                let _ = input.write_all(&script);
                input
            });
            assert_eq!(daemon.answer().id, 0);
            daemon.signal(Signal::TERM);
            let end = daemon.wait();
            assert_eq!(end.code, Some(0), "{link:?}: {}", end.log);
            let (answers, rest) = answers(&end.output);
            assert!(rest.is_empty(), "{link:?}: a reply is cut");
            for (id, answer) in (1..).zip(&answers) {
                assert_eq!((answer.id, answer.body.len()), (id, 1000), "{link:?}");
            }
            drop(writer.join());
        });
    }
}

#[test]
fn sigterm_ends_an_idle_daemon() {
    for link in LINKS {
        let mut daemon = Daemon::greeted(link, &[], &[("RUSTCACHE_LOG_LEVEL", "info")]);
        daemon.signal(Signal::TERM);
        let end = daemon.wait();
        assert_eq!(end.code, Some(0), "{link:?}: {}", end.log);
        assert!(end.log.contains("stopped"), "{link:?}: {}", end.log);
    }
}

#[test]
fn sigterm_does_not_wait_for_ever_for_a_client_that_does_not_read() {
    for link in LINKS {
        let mut daemon = Daemon::greeted(link, &[], &[]);
        let value = vec![0; 4 << 20];
        daemon.ask(&set(b"k", &value));
        let script: Vec<u8> = (0..8).flat_map(|id| frame(id, &get(b"k"))).collect();
        daemon.write(&script);
        // The first bytes say that the rest waits.
        daemon.read(16);
        daemon.signal(Signal::TERM);
        let output = daemon.output.take().expect("open");
        let end = daemon.wait();
        drop(output);
        assert_eq!(end.code, Some(4), "{link:?}: {}", end.log);
        assert!(end.log.contains("unread"), "{link:?}: {}", end.log);
    }
}

#[test]
fn sigint_and_sighup_belong_to_the_application() {
    for link in LINKS {
        let mut daemon = Daemon::greeted(link, &[], &[]);
        for signal in [Signal::INT, Signal::HUP, Signal::INT] {
            daemon.signal(signal);
            assert_eq!(daemon.ask(&ping(b"still there")).body, b"still there", "{link:?}");
        }
        let end = daemon.finish();
        assert_eq!((end.code, &end.log[..]), (Some(0), ""), "{link:?}");
    }
}

/// A signal makes a system call fail that was about to wait. With many of them, every call is hit: also those that write into a full pipe.
#[test]
fn signals_in_the_middle_of_everything_do_no_harm() {
    for link in LINKS {
        let mut daemon = Daemon::greeted(link, &[], &[]);
        let pid = daemon.pid();
        let (stop, stopped) = channel::<()>();
        let interrupter = thread::spawn(move || {
            while stopped.try_recv().is_err() {
                kill_process(pid, Signal::INT).expect("it is there until its input ends");
            }
        });
        let payload = Dice(5).bytes(500);
        // Nothing is read meanwhile, so the daemon finds its output full, again and again.
        for id in 0..30_000 {
            daemon.write(&frame(id, &ping(&payload)));
        }
        for id in 0..30_000 {
            let answer = daemon.answer();
            assert_eq!(answer.id, id, "{link:?}");
            assert!(answer.body == payload, "{link:?}: reply {id}");
        }
        stop.send(()).expect("the interrupter runs");
        interrupter.join().expect("it stops");
        let end = daemon.finish();
        assert_eq!((end.code, &end.log[..]), (Some(0), ""), "{link:?}");
    }
}

#[test]
fn a_client_that_dies_within_a_frame_harms_nothing() {
    let framed = frame(1, &set(b"k", &[b'v'; 1000]));
    let fixed = fixed_frame(b'I', b"k", b"v");
    for link in LINKS {
        for (start, cut) in [(greeting(), &framed[..500]), (vec![], &fixed[..100])] {
            let mut daemon = Daemon::new(link);
            daemon.write(&start);
            daemon.write(cut);
            // As the kernel does it for a process that is gone.
            daemon.output = None;
            daemon.input = None;
            let end = daemon.wait();
            // Whether the greeting's reply was written before the reader went is a matter of luck.
            assert!(matches!(end.code, Some(0 | 4)), "{link:?}: {end:?}");
            assert!(!end.log.contains("panicked"), "{}", end.log);

            let mut daemon = Daemon::new(link);
            daemon.write(&start);
            daemon.write(cut);
            let end = daemon.finish();
            assert_eq!(end.code, Some(0), "{link:?}: {}", end.log);
            let dropped = format!("{}", cut.len());
            assert!(
                end.log.contains(&dropped) && end.log.lines().count() == 1,
                "{link:?}: {}",
                end.log
            );
        }
    }
}

#[test]
fn a_client_that_goes_away_with_replies_unread_ends_it_with_4() {
    for link in LINKS {
        let mut daemon = Daemon::greeted(link, &[], &[]);
        let value = vec![0; 4 << 20];
        daemon.ask(&set(b"k", &value));
        daemon.write(&frame(1, &get(b"k")));
        daemon.read(16);
        daemon.output = None;
        // One socket is only gone when both directions are.
        if link == Link::OneSocket {
            daemon.input = None;
        }
        let end = daemon.wait();
        assert_eq!(end.code, Some(4), "{link:?}: {}", end.log);
        assert!(end.log.contains("did not read"), "{link:?}: {}", end.log);
    }
}

#[test]
fn a_client_that_breaks_the_protocol_is_told_and_ends_it_with_3() {
    for link in LINKS {
        let end = Daemon::new(link).exchange(b"hello");
        assert_eq!((end.code, &end.output[..]), (Some(3), &b"E\n"[..]), "{link:?}");
        assert!(
            end.log.contains("0x68") && end.log.lines().count() == 1,
            "{link:?}: {}",
            end.log
        );

        let end = Daemon::new(link).exchange(&[greeting(), vec![0; 100]].concat());
        assert_eq!(end.code, Some(3), "{link:?}");
        let (answers, rest) = answers(&end.output);
        assert_eq!((answers.len(), rest.len()), (2, 0), "{link:?}");
        assert_eq!(answers[1].status, Status::FRAME_TOO_LONG, "{link:?}");
        assert!(end.log.contains("FRAME_TOO_LONG"), "{link:?}: {}", end.log);
    }
}

/// A client that keeps its side open is told as well: the daemon does not wait for more.
#[test]
fn a_broken_connection_is_ended_though_the_input_stays_open() {
    for link in LINKS {
        let mut daemon = Daemon::new(link);
        daemon.write(b"X");
        assert_eq!(daemon.read(2), b"E\n", "{link:?}");
        assert_eq!(daemon.wait().code, Some(3), "{link:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_fails_ends_it_with_1() {
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full")
    };
    let mut command = rustcache(&["serve"], &[]);
    command
        .stdout(full())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the daemon starts");
    let mut input = child.stdin.take().expect("piped");
    input
        .write_all(&fixed_frame(b'G', b"k", b""))
        .expect("the daemon reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).expect("text");
    assert!(log.contains("No space left"), "{log}");

    let tool = |arguments: &[&str]| {
        let mut command = rustcache(arguments, &[]);
        let output = command.stdout(full()).stdin(Stdio::null()).output();
        output.expect("it runs")
    };
    for arguments in [&["encode", "get", "k"][..], &["encode", "insert", "k", "a\nb"]] {
        let output = tool(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        let line = String::from_utf8(output.stderr).expect("text");
        assert!(
            line.contains("No space left") && line.lines().count() == 1,
            "{line}"
        );
    }
}

#[test]
fn an_input_that_fails_ends_it_with_1() {
    let directory = std::fs::File::open("/").expect("a directory");
    let mut command = rustcache(&[], &[]);
    let output = command.stdin(directory).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
}

/// stderr is a pipe to a client that has gone. Complaining about that would be a crash.
#[test]
fn a_log_that_nobody_reads_any_more_is_not_missed() {
    for (script, code) in [(&greeting()[..], 0), (b"X", 3), (&greeting()[..10], 0)] {
        let (reader, stderr) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = rustcache(&[], &[("RUSTCACHE_LOG_LEVEL", "trace")]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr);
        let mut child = command.spawn().expect("the daemon starts");
        let mut input = child.stdin.take().expect("piped");
        input.write_all(script).expect("the daemon reads");
        drop(input);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(code), "after {script:02x?}");
    }
}

/// Set in the process that stands in for a parent.
const LINK_OF_PARENT: &str = "LINK_OF_PARENT";

/// Not a test: the process that `a_parent_that_is_killed_leaves_no_daemon` kills. It starts a daemon, lets replies wait, and says so.
#[test]
#[ignore = "runs as a process of its own, for a_parent_that_is_killed_leaves_no_daemon"]
fn stands_in_for_a_parent() {
    let Ok(link) = std::env::var(LINK_OF_PARENT) else {
        return;
    };
    let link = LINKS[link.parse::<usize>().expect("an index")];
    let command = rustcache(&[], &[("RUSTCACHE_LOG_LEVEL", "info")]);
    let mut daemon = Daemon::start_logging(link, command);
    daemon.greet();
    let value = vec![0; 4 << 20];
    daemon.ask(&set(b"k", &value));
    daemon.write(&frame(1, &get(b"k")));
    writeln!(std::io::stdout(), "daemon {}", daemon.pid()).expect("the test reads");
    // Until killed.
    let mut nothing = [0];
    let _ = std::io::stdin().read(&mut nothing);
}

#[test]
fn a_parent_that_is_killed_leaves_no_daemon() {
    for (number, link) in LINKS.iter().enumerate() {
        let mut parent = Command::new(std::env::current_exe().expect("this program"));
        parent
            .args([
                "--exact",
                "--ignored",
                "--nocapture",
                "ends::stands_in_for_a_parent",
            ])
            .env(LINK_OF_PARENT, number.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut parent = parent.spawn().expect("this program starts");
        let lines = BufReader::new(parent.stdout.take().expect("piped")).lines();
        let daemon = lines
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("daemon ")?.1.to_owned()));
        let pid: i32 = daemon.expect("a daemon was started").parse().expect("a pid");
        // The write side of this pipe is held by the parent and by the daemon: its end is the end of both.
        let mut stderr = parent.stderr.take().expect("piped");
        let (ended, end) = channel();
        thread::spawn(move || {
            let mut log = String::new();
            let _ = stderr.read_to_string(&mut log);
            let _ = ended.send(log);
        });
        parent.kill().expect("it is there");
        parent.wait().expect("it is ours");
        match end.recv_timeout(Duration::from_secs(60)) {
            Ok(log) => assert!(log.contains("did not read"), "{link:?}: {log}"),
            Err(_) => {
                let _ = kill_process(Pid::from_raw(pid).expect("not zero"), Signal::KILL);
                panic!("{link:?}: the daemon outlives its parent");
            }
        }
    }
}
