//! Options, by flags and by the environment; what is wrong with them; logs; and a terminal where frames are expected.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use rustcache::SetOptions;
use rustcache::protocol::command::Command as Request;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::*;

/// The counters of a daemon.
fn stats(daemon: &mut Daemon) -> serde_json::Value {
    let answer = daemon.ask(&Request::Stats);
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// Starts it with an option given once by its flag and once by its environment variable.
fn both_ways(option: &str, value: &str, check: impl Fn(&mut Daemon)) {
    let flag = format!("--{option}");
    let variable = format!("RUSTCACHE_{}", option.replace('-', "_").to_uppercase());
    check(&mut Daemon::with(Link::Pipes, &[&flag, value], &[]));
    check(&mut Daemon::with(Link::Pipes, &["serve", &flag, value], &[]));
    check(&mut Daemon::with(Link::Pipes, &[], &[(&variable, value)]));
    check(&mut Daemon::with(Link::Pipes, &["serve"], &[(&variable, value)]));
}

#[test]
fn limits_are_taken_from_flags_and_from_the_environment() {
    both_ways("max-items", "17", |daemon| {
        daemon.greet();
        assert_eq!(stats(daemon)["max_items"], 17);
    });
    both_ways("max-bytes", "12mb", |daemon| {
        daemon.greet();
        assert_eq!(stats(daemon)["max_bytes"], 12_000_000);
    });
    both_ways("max-key", "1kib", |daemon| assert_eq!(daemon.greet()[0], 1024));
    both_ways("max-value", "3 MiB", |daemon| {
        assert_eq!(daemon.greet()[1], 3 << 20);
    });
    both_ways("default-ttl", "1h 30m", |daemon| {
        daemon.greet();
        daemon.ask(&set(b"k", b"v"));
        let answer = daemon.ask(&Request::TimeLeft { key: b"k" });
        let left = u64::from_le_bytes(answer.body.try_into().expect("eight bytes"));
        assert!((1..=5_400_000).contains(&left), "{left} ms");
    });
}

#[test]
fn a_wrong_variable_is_named_and_is_no_concern_of_encode() {
    let wrong = [("RUSTCACHE_MAX_BYTES", "12xb")];
    let end = run(&[], &wrong, b"");
    assert_eq!((end.code, end.log.lines().count()), (Some(2), 1), "{end:?}");
    assert!(
        end.log.contains("12xb") && end.log.contains("RUSTCACHE_MAX_BYTES"),
        "{}",
        end.log
    );
    let end = run(&["encode", "get", "k"], &wrong, b"");
    assert_eq!((end.code, end.output.len()), (Some(0), 128), "{end:?}");
    let end = run(&["--max-bytes", "1mb"], &wrong, b"");
    assert_eq!(end.code, Some(0), "the flag beats the variable: {end:?}");
}

#[test]
fn without_options_there_are_no_limits_and_no_ttl() {
    let mut daemon = Daemon::new(Link::Pipes);
    assert_eq!(daemon.greet(), [65_536, 67_108_864, 67_239_936]);
    let stats = stats(&mut daemon);
    assert_eq!((&stats["max_items"], &stats["max_bytes"]), (&0.into(), &0.into()));
    daemon.ask(&set(b"k", b"v"));
    let answer = daemon.ask(&Request::TimeLeft { key: b"k" });
    assert_eq!(answer.body, [0xff; 8]);
}

#[test]
fn a_flag_is_stronger_than_the_environment() {
    let mut daemon = Daemon::greeted(
        Link::Pipes,
        &["--max-items", "5"],
        &[("RUSTCACHE_MAX_ITEMS", "9")],
    );
    assert_eq!(stats(&mut daemon)["max_items"], 5);
}

#[test]
fn the_limit_of_entries_evicts_the_least_recently_used() {
    let mut daemon = Daemon::greeted(Link::Pipes, &["--max-items", "2"], &[]);
    for key in [b"a", b"b"] {
        daemon.ask(&set(key, b"v"));
    }
    daemon.ask(&get(b"a"));
    daemon.ask(&set(b"c", b"v"));
    let found = |daemon: &mut Daemon, key| daemon.ask(&get(key)).status.name();
    assert_eq!(found(&mut daemon, b"a"), "OK");
    assert_eq!(found(&mut daemon, b"b"), "MISS");
    assert_eq!(found(&mut daemon, b"c"), "OK");
}

#[test]
fn memory_stays_near_the_limit_of_bytes_under_churn() {
    let mut daemon = Daemon::greeted(Link::Sockets, &["--max-bytes", "32mib"], &[]);
    let mut dice = Dice(3);
    for _ in 0..40 {
        let mut script = Vec::new();
        for id in 0..500u32 {
            let len = dice.below(20_000);
            let key = dice.roll().to_le_bytes();
            let request = Request::Set {
                key: &key,
                value: &vec![7; len],
                options: SetOptions::default(),
            };
            script.extend(frame(id, &request));
        }
        daemon.write(&script);
        for _ in 0..500 {
            daemon.answer();
        }
    }
    let stats = stats(&mut daemon);
    let held = stats["bytes"].as_u64().expect("a number");
    assert!(held <= 32 << 20 && held > 16 << 20, "{stats}");
    #[cfg(target_os = "linux")]
    {
        let memory = daemon.memory();
        assert!(
            memory < (32 << 20) / 100 * 115 + (32 << 20),
            "{memory} bytes of memory"
        );
    }
}

#[test]
fn a_wrong_option_is_one_line_on_stderr_and_nothing_on_stdout() {
    for (arguments, environment, part) in [
        (&["--max-bytes", "12xb"][..], &[][..], "12xb"),
        (&["--max-bytes", "100"], &[], "100"),
        (&["--max-items", "0"], &[], "max_items"),
        (&["--max-items", "many"], &[], "many"),
        (&["--max-value", "2gib"], &[], "2147483648"),
        (&["--max-key", ""], &[], "--max-key"),
        (&["--default-ttl", "soon"], &[], "soon"),
        (&["--default-ttl", "0s"], &[], "TTL"),
        (&["--max-pending-replies", "x"], &[], "--max-pending-replies"),
        (&["--log-level", "loud"], &[], "loud"),
        (&["--log-format", "xml"], &[], "xml"),
        (&["--max-bytes"], &[], "--max-bytes"),
        (&["--no-such-option"], &[], "--no-such-option"),
        (&["swerve"], &[], "swerve"),
        (&["serve", "--max-items", "-1"], &[], "-1"),
        (&["encode"], &[], "encode"),
        (&["encode", "insert", "k"], &[], "VALUE"),
        (&["encode", "--protocol", "3", "get", "k"], &[], "3"),
        (&["decode", "what"], &[], "what"),
        (&[], &[("RUSTCACHE_MAX_ITEMS", "many")], "many"),
        (&[], &[("RUSTCACHE_MAX_BYTES", "12xb")], "12xb"),
        (&[], &[("RUSTCACHE_DEFAULT_TTL", "soon")], "soon"),
        (&[], &[("RUSTCACHE_MAX_KEY", "long")], "long"),
        (&[], &[("RUSTCACHE_MAX_VALUE", "long")], "long"),
        (&[], &[("RUSTCACHE_MAX_PENDING_REPLIES", "all")], "all"),
        (&[], &[("RUSTCACHE_LOG_LEVEL", "loud")], "loud"),
        (&[], &[("RUSTCACHE_LOG_FORMAT", "xml")], "xml"),
    ] {
        let end = run(arguments, environment, b"");
        assert_eq!(end.code, Some(2), "{arguments:?} {environment:?}: {end:?}");
        assert!(end.output.is_empty(), "{arguments:?}: {end:?}");
        assert_eq!(end.log.lines().count(), 1, "{arguments:?}: {}", end.log);
        assert!(
            end.log.starts_with("rustcache: ") && end.log.contains(part),
            "{arguments:?} {environment:?}: {}",
            end.log
        );
    }
}

#[test]
fn help_and_version_go_to_stdout_with_0() {
    for (arguments, part) in [
        (&["--help"][..], "RUSTCACHE_MAX_BYTES"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["encode", "--help"], "insert"),
        (&["serve", "--help"], "--max-pending-replies"),
    ] {
        let end = run(arguments, &[], b"");
        let text = String::from_utf8(end.output).expect("text");
        assert_eq!((end.code, &end.log[..]), (Some(0), ""), "{arguments:?}");
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
}

/// What a connection of each protocol, and one of none, is answered with; the end of that one is an error to be logged.
fn scripts() -> [(Vec<u8>, Option<i32>); 4] {
    let framed = [greeting(), frame(1, &set(b"k", b"v")), vec![1]].concat();
    let fixed = [
        fixed_frame(b'I', b"k", b"v"),
        fixed_frame(b'X', b"k", b"v"),
        vec![b'I'],
    ]
    .concat();
    [
        (framed, Some(0)),
        (fixed, Some(0)),
        (b"nonsense".to_vec(), Some(3)),
        (vec![], Some(0)),
    ]
}

#[test]
fn logs_never_reach_stdout() {
    for (script, code) in scripts() {
        let silent = run(&[], &[("RUSTCACHE_LOG_LEVEL", "off")], &script);
        assert_eq!((silent.code, &silent.log[..]), (code, ""));
        for format in ["text", "json"] {
            let loud = run(
                &[],
                &[("RUSTCACHE_LOG_LEVEL", "trace"), ("RUSTCACHE_LOG_FORMAT", format)],
                &script,
            );
            assert_eq!((loud.code, &loud.output), (code, &silent.output), "{format}");
            assert!(!loud.log.is_empty(), "{format}");
        }
    }
}

#[test]
fn every_line_of_a_json_log_is_an_object() {
    for (script, code) in scripts() {
        let flags = ["--log-level", "trace", "--log-format", "json"];
        let end = run(&flags, &[], &script);
        assert_eq!(end.code, code);
        assert!(end.log.lines().count() >= 2, "{}", end.log);
        for line in end.log.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert!(
                line["level"].is_string() && line["timestamp"].is_string(),
                "{line}"
            );
            assert!(line["fields"]["message"].is_string(), "{line}");
        }
    }
}

#[test]
fn a_log_of_text_has_no_colours_where_nobody_sees_them() {
    let end = run(&[], &[("RUSTCACHE_LOG_LEVEL", "trace")], b"nonsense");
    assert!(!end.log.contains('\u{1b}'), "{}", end.log);
    assert!(
        end.log.contains("ERROR") && end.log.contains("INFO"),
        "{}",
        end.log
    );
}

/// The controlling side of a terminal, and the other one.
pub(crate) fn terminal() -> (std::os::fd::OwnedFd, File) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&controller).expect("granted");
    unlockpt(&controller).expect("unlocked");
    let name = ptsname(&controller, Vec::new()).expect("a name");
    let name = name.into_string().expect("text");
    let terminal = File::options().read(true).write(true).open(name);
    (controller, terminal.expect("its other side"))
}

#[test]
fn on_a_terminal_it_explains_itself() {
    for arguments in [&[][..], &["serve"]] {
        let (_controller, terminal) = terminal();
        let mut command = rustcache(arguments, &[]);
        command
            .stdin(terminal)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = command.output().expect("it ends by itself");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let text = String::from_utf8(output.stderr).expect("text");
        for part in ["terminal", "rustcache encode", "rustcache decode", "--help"] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }
}

#[test]
fn a_limit_beyond_what_small_entries_have_pages_for_is_warned_of_at_the_start() {
    for (limit, is_warned) in [("32gib", false), ("33gib", true)] {
        let end = run(&["--max-bytes", limit], &[], b"");
        assert_eq!(end.code, Some(0), "{limit}: {}", end.log);
        assert_eq!(end.log.contains("32 GiB"), is_warned, "{limit}: {}", end.log);
    }
}

#[test]
fn the_explanation_on_a_terminal_shows_a_pipeline_that_works() {
    let (controller, terminal) = terminal();
    let mut command = rustcache(&[], &[]);
    let stderr = terminal.try_clone().expect("a descriptor");
    command.stdin(terminal).stdout(Stdio::null()).stderr(stderr);
    let mut child = command.spawn().expect("it starts");
    assert_eq!(child.wait().expect("it ends by itself").code(), Some(2));
    drop(command);
    let mut text = vec![0; 4096];
    let count = File::from(controller).read(&mut text).expect("it was written");
    let text = String::from_utf8_lossy(&text[..count]);
    let line = text
        .lines()
        .find(|line| line.contains(" | rustcache | "))
        .expect("a pipeline");
    let words: Vec<&str> = line
        .split('|')
        .next()
        .expect("a first part")
        .split_whitespace()
        .skip(1)
        .collect();
    let frames = run(&words, &[], b"");
    let replies = run(&[], &[], &frames.output);
    assert_eq!(run(&["decode"], &[], &replies.output).output, b"inserted\n");
}
