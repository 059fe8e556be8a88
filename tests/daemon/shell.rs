//! `encode | serve | decode`: what a person at a shell types and reads.

use std::process::Stdio;

use crate::support::*;

fn encode(arguments: &[&str]) -> Vec<u8> {
    encode_from(arguments, b"")
}

fn encode_from(arguments: &[&str], stdin: &[u8]) -> Vec<u8> {
    let end = run(&[&["encode"], arguments].concat(), &[], stdin);
    assert_eq!((end.code, &end.log[..]), (Some(0), ""), "encode {arguments:?}");
    end.output
}

/// Lines for the replies to some requests, which one daemon gets.
fn lines(frames: &[u8], options: &[&str]) -> Vec<String> {
    let served = run(options, &[], frames);
    assert_eq!((served.code, &served.log[..]), (Some(0), ""));
    decoded(&served.output)
}

fn decoded(replies: &[u8]) -> Vec<String> {
    let end = run(&["decode"], &[], replies);
    assert_eq!((end.code, &end.log[..]), (Some(0), ""));
    let text = String::from_utf8(end.output).expect("text");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn every_verb_of_version_1_goes_there_and_back() {
    let script: [(&[&str], &str); 9] = [
        (&["insert", "user:1", "hello"], "inserted"),
        (&["get", "user:1"], "hit \"hello\" (never expires)"),
        (&["set", "user:1", "G"], "inserted"),
        (&["get", "user:1"], "hit \"G\" (never expires)"),
        (&["remove", "user:1"], "removed"),
        (&["get", "user:1"], "miss"),
        (&["snapshot"], "error"),
        (&["insert", "k", "-5"], "inserted"),
        (&["get", "k"], "hit \"-5\" (never expires)"),
    ];
    let frames: Vec<u8> = script.iter().flat_map(|(words, _)| encode(words)).collect();
    let expected: Vec<&str> = script.iter().map(|(_, line)| *line).collect();
    assert_eq!(lines(&frames, &[]), expected);
}

#[test]
fn every_verb_of_version_2_goes_there_and_back() {
    let script: [(&[&str], &str); 34] = [
        (&["insert", "user:1", "hello"], "OK"),
        (&["insert", "user:1", "x", "--if-absent"], "NOT_STORED"),
        (&["insert", "user:1", "hello", "--if-present"], "OK"),
        (&["get", "user:1"], "OK \"hello\" (never expires)"),
        (&["contains", "user:1"], "OK"),
        (&["contains", "user:2"], "MISS"),
        (&["ttl", "user:1"], "OK never expires"),
        (&["touch", "user:1", "--ttl", "0"], "OK"),
        (&["persist", "user:1"], "OK"),
        (&["persist", "user:2"], "MISS"),
        (&["get", "user:2"], "MISS"),
        (&["incr", "n"], "OK 1"),
        (&["incr", "n", "-43"], "OK -42"),
        (&["incr", "n", "84", "--ttl", "1h"], "OK 42"),
        (&["cas", "n", "42", "43"], "OK"),
        (&["cas", "n", "42", "44"], "NOT_STORED"),
        (&["cas", "none", "42", "44"], "MISS"),
        (&["take", "n"], "OK \"43\" (never expires)"),
        (&["take", "n"], "MISS"),
        (&["scan", "user:"], "OK 1 entries, the end"),
        (&[], "  \"user:1\" = \"hello\" (5 bytes, never expires)"),
        (&["scan", "none"], "OK 0 entries, the end"),
        (&["remove", "user:1"], "OK"),
        (&["remove", "user:1"], "MISS"),
        (&["insert", "a", "1"], "OK"),
        (&["insert", "b", "two\nlines \u{1b}[2J"], "OK"),
        (&["get", "b"], "OK \"two\\nlines \\u{1b}[2J\" (never expires)"),
        (&["clear", "a"], "OK 1 removed"),
        (&["clear"], "OK 1 removed"),
        (&["ping"], "OK \"pong\""),
        (
            &["snapshot"],
            "NO_DIRECTORY: this daemon keeps nothing on disk, so there is nowhere to write a snapshot",
        ),
        (&["incr", "n", "9223372036854775807"], "OK 9223372036854775807"),
        (
            &["incr", "n", "1"],
            "OVERFLOW: 9223372036854775807 + 1 is outside the range of a signed integer of 64 bits: the value is left as it was",
        ),
        (&["get", ""], "MISS"),
    ];
    let frames: Vec<u8> = script
        .iter()
        .filter(|(words, _)| !words.is_empty())
        .flat_map(|(words, _)| encode(&[&["--protocol", "2"], *words].concat()))
        .collect();
    let lines = lines(&frames, &[]);
    // Each encode brings a handshake; they are shown as one.
    assert!(
        lines[0].starts_with("OK version 2 of 2 to 2, limits: key 65536"),
        "{}",
        lines[0]
    );
    let expected: Vec<&str> = script.iter().map(|(_, line)| *line).collect();
    assert_eq!(lines[1..], expected);
}

#[test]
fn stats_are_shown_as_json() {
    let lines = lines(&encode(&["stats", "--protocol", "2"]), &["--max-items", "7"]);
    let json = lines[1].strip_prefix("OK ").expect("an answer");
    let stats: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(stats["max_items"], 7);
}

#[test]
fn a_ttl_is_seconds_or_a_duration_and_zero_is_never() {
    for (ttl, most) in [("60", 60), ("1h", 3600), ("2m 5s", 125)] {
        let frames = [encode(&["insert", "k", "v", "--ttl", ttl]), encode(&["get", "k"])].concat();
        let lines = lines(&frames, &[]);
        let left = lines[1]
            .strip_prefix("hit \"v\" (")
            .and_then(|rest| rest.strip_suffix(" s left)"))
            .unwrap_or_else(|| panic!("{lines:?}"));
        let left: u64 = left.parse().expect("a number");
        assert!((1..=most).contains(&left), "{ttl}: {left} s");
    }
    for version in ["1", "2"] {
        let insert = encode(&["--protocol", version, "insert", "k", "v", "--ttl", "0"]);
        let get = encode(&["--protocol", version, "get", "k"]);
        let lines = lines(&[insert, get].concat(), &["--default-ttl", "1h"]);
        let last = lines.last().expect("a line");
        assert!(last.contains("never expires"), "version {version}: {last}");
    }
    let insert = encode(&["--protocol", "2", "insert", "k", "v", "--ttl", "1500ms"]);
    assert!(insert.windows(8).any(|bytes| bytes == 1500u64.to_le_bytes()));
}

#[test]
fn without_a_ttl_version_2_takes_the_daemons_default_and_version_1_never_expires() {
    for (version, part) in [("1", "never expires"), ("2", " left")] {
        let insert = encode(&["--protocol", version, "insert", "k", "v"]);
        let get = encode(&["--protocol", version, "get", "k"]);
        let lines = lines(&[insert, get].concat(), &["--default-ttl", "1h"]);
        let last = lines.last().expect("a line");
        assert!(last.contains(part), "version {version}: {last}");
    }
}

#[test]
fn a_hyphen_is_a_value_from_stdin_byte_for_byte() {
    let text = "two\nlines and a G\n";
    let frames = [
        encode_from(&["insert", "k", "-"], text.as_bytes()),
        encode(&["get", "k"]),
    ]
    .concat();
    assert_eq!(
        lines(&frames, &[])[1],
        "hit \"two\\nlines and a G\\n\" (never expires)"
    );

    let large: String = "0123456789".repeat(300_000);
    let frames = [
        encode_from(&["--protocol", "2", "insert", "k", "-"], large.as_bytes()),
        encode(&["--protocol", "2", "get", "k"]),
    ]
    .concat();
    assert!(lines(&frames, &[])[2] == format!("OK \"{large}\" (never expires)"));

    let frames = [
        encode_from(&["--protocol", "2", "insert", "k", "-"], b"\xff\0"),
        encode_from(&["--protocol", "2", "cas", "k", "x", "-"], b"\xfe\0"),
        encode(&["--protocol", "2", "get", "k"]),
    ]
    .concat();
    assert_eq!(
        lines(&frames, &[])[1..],
        ["OK", "NOT_STORED", "OK 0xff00 (never expires)"]
    );
}

#[test]
fn what_a_frame_of_version_1_cannot_hold_is_refused_with_a_line_that_says_what_to_do() {
    let (key, value) = ("k".repeat(64), "v".repeat(57));
    for (arguments, stdin, part) in [
        (&["insert", &key, "v"][..], &b""[..], "64"),
        (&["get", &key], b"", "64"),
        (&["insert", "k", &value], b"", "57"),
        (&["insert", "k", "-"], value.as_bytes(), "57"),
        (&["insert", "k", "-"], b"ends in NUL\0", "NUL"),
        (&["insert", "k", "-"], b"\xff", "UTF-8"),
        (&["insert", "k", "v", "--ttl", "65536"], b"", "65535"),
        (&["insert", "k", "v", "--ttl", "500ms"], b"", "500ms"),
        (&["insert", "k", "v", "--if-absent"], b"", "no such command"),
        (&["take", "k"], b"", "no such command"),
        (&["scan"], b"", "no such command"),
        (&["ping"], b"", "no such command"),
    ] {
        let end = run(&[&["encode"], arguments].concat(), &[], stdin);
        assert_eq!(end.code, Some(2), "{arguments:?}: {end:?}");
        assert!(end.output.is_empty(), "{arguments:?}");
        assert!(
            end.log.contains(part) && end.log.contains("--protocol 2") && end.log.lines().count() == 1,
            "{arguments:?}: {}",
            end.log
        );
    }
    let (key, value) = ("k".repeat(63), "v".repeat(56));
    let frames = [encode(&["insert", &key, &value]), encode(&["get", &key])].concat();
    assert_eq!(lines(&frames, &[])[1], format!("hit \"{value}\" (never expires)"));
}

#[test]
fn replies_that_are_cut_or_no_replies_are_said_to_be_so() {
    let frames = [
        encode(&["--protocol", "2", "insert", "k", "v"]),
        encode(&["--protocol", "2", "get", "k"]),
    ]
    .concat();
    let replies = run(&[], &[], &frames).output;
    let lines = decoded(&replies[..replies.len() - 1]);
    let last = lines.last().expect("a line");
    assert!(last.contains("24 bytes") && last.contains("cut short"), "{last}");

    assert_eq!(decoded(b""), [""; 0]);
    let lines = decoded(b"I\nG\nwhat is this?");
    assert_eq!(lines[..2], ["inserted", "miss"]);
    assert!(
        lines[2].contains("no reply") && lines[2].contains("what is this?"),
        "{}",
        lines[2]
    );
    let lines = decoded(&[&replies[..4], &[0; 30]].concat());
    assert!(lines[0].starts_with("FRAME_TOO_LONG"), "{}", lines[0]);
}

/// The fifth byte of a reply of version 1 says nothing about handshakes.
#[test]
fn hits_that_are_alike_are_each_a_line() {
    let get = encode(&["get", "k"]);
    let frames = [
        encode(&["insert", "k", "abcd\u{1}"]),
        get.clone(),
        get.clone(),
        get,
    ]
    .concat();
    assert_eq!(lines(&frames, &[]).len(), 4);
}

#[test]
fn decode_shows_each_reply_when_it_is_there_and_not_at_the_end() {
    let frames = [
        encode(&["--protocol", "2", "ping"]),
        encode(&["--protocol", "2", "ping"]),
    ]
    .concat();
    let replies = run(&[], &[], &frames).output;
    let mut decode = Daemon::with(Link::Pipes, &["decode"], &[]);
    decode.write(&replies[..replies.len() - 1]);
    let mut text = Vec::new();
    while !text.ends_with(b"pong\"\n") {
        text.extend(decode.read(1));
    }
    decode.write(&replies[replies.len() - 1..]);
    assert_eq!(decode.finish().output, b"OK \"pong\"\n");
}

#[test]
fn whoever_reads_the_lines_may_go_away() {
    let pings: Vec<u8> = encode(&["--protocol", "2", "ping"]).repeat(2000);
    let replies = run(&[], &[], &pings).output;
    let mut command = rustcache(&["decode"], &[]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("piped");
    // It may have ended by then.
    let _ = std::io::Write::write_all(&mut stdin, &replies);
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{output:?}");
}
