//! What is too long, too large or makes no sense: it gets its error, harms nothing else, and ends the connection only where nothing that
//! follows can be trusted.

use super::*;
use crate::session::Broken;

fn limited() -> Client {
    Client::greeted_on(
        Cache::builder()
            .max_key_bytes(10)
            .max_value_bytes(5000)
            .max_bytes(4096),
    )
}

/// Commands with this key, each of which takes one.
fn with_key(key: &[u8]) -> Vec<Command<'_>> {
    let options = SetOptions::default();
    vec![
        Command::Get { key, with_ttl: false },
        Command::Set {
            key,
            value: b"v",
            options,
        },
        Command::Remove { key },
        Command::Take { key, with_ttl: true },
        Command::Contains { key },
        Command::Touch {
            key,
            expiry: Expiry::Never,
        },
        Command::TimeLeft { key },
        Command::Increment {
            key,
            delta: 1,
            when_created: Expiry::Default,
        },
        Command::CompareAndSet {
            key,
            expected: b"",
            value: b"v",
            options,
        },
        Command::Clear { prefix: key },
        Command::Scan {
            cursor: 0,
            limit: 1,
            prefix: key,
            with_values: false,
        },
    ]
}

#[test]
fn a_key_above_the_limit_is_refused_by_every_op_that_takes_one() {
    let mut client = limited();
    client.set("k", "v");
    for command in with_key(&[b'k'; 11]) {
        let answer = client.ask(&command);
        assert_eq!(answer.status, Status::KEY_TOO_LONG, "{command:?}");
        let text = answer.text();
        assert!(text.contains("11") && text.contains("10"), "{text}");
    }
    for command in with_key(&[b'k'; 10]) {
        assert_ne!(client.status(&command), Status::KEY_TOO_LONG, "{command:?}");
    }
    assert_eq!(client.cache.len(), 1);
}

#[test]
fn a_value_above_the_limit_is_refused_and_changes_nothing() {
    let mut client = limited();
    client.set("k", "old");
    let long = vec![0; 5001];
    let cas = Command::CompareAndSet {
        key: b"k",
        expected: b"old",
        value: &long,
        options: SetOptions::default(),
    };
    for command in [set("k", &long), cas] {
        let answer = client.ask(&command);
        assert_eq!(answer.status, Status::VALUE_TOO_LONG);
        let text = answer.text();
        assert!(text.contains("5001") && text.contains("5000"), "{text}");
        assert_eq!(client.get("k").as_deref(), Some("old"));
    }
}

#[test]
fn an_entry_that_can_never_fit_is_refused_and_the_stale_one_is_gone() {
    let mut client = limited();
    client.set("k", "old");
    client.set("other", "v");
    let answer = client.ask(&set("k", &[0; 5000]));
    assert_eq!(answer.status, Status::TOO_LARGE);
    assert!(answer.text().contains("4096"), "{}", answer.text());
    assert_eq!(client.get("k"), None, "better a miss than a stale value");
    assert!(client.get("other").is_some());
}

#[test]
fn a_length_that_no_frame_may_have_ends_the_connection_and_takes_no_memory() {
    let mut client = Client::greeted();
    let limit = client.ask(&hello(2, 2)).u32_at(20);
    for length in [0, 1, 11, limit + 1, u32::MAX] {
        let mut client = Client::greeted();
        client.set("k", "v");
        let frame = [&length.to_le_bytes()[..], &99u32.to_le_bytes()].concat();
        let reply = client.send(&[&frame[..], &request(1, &set("k", b"w"))].concat());
        let [answer] = &answers(&reply)[..] else {
            panic!("{reply:02x?} is not one reply");
        };
        assert_eq!((answer.id, answer.status), (99, Status::FRAME_TOO_LONG));
        let text = answer.text();
        assert!(
            text.contains(&length.to_string()) && text.contains(&limit.to_string()),
            "{text}"
        );
        assert!(matches!(client.session.broken(), Some(Broken::Refused(_))));
        assert!(!client.session.wants_input());
        assert!(client.session.space().len() <= 64 << 10);
        assert_eq!(client.cache.get("k").expect("there").value, "v");
    }
}

#[test]
fn memory_is_not_taken_for_a_length_that_is_only_claimed() {
    let mut client = Client::greeted();
    let limit = client.ask(&hello(2, 2)).u32_at(20);
    client.send(&limit.to_le_bytes());
    assert!(client.session.wants_input());
    assert!(client.session.space().len() <= 64 << 10);
}

#[test]
fn the_connection_goes_on_after_a_bad_frame_and_after_an_unknown_op() {
    let mut client = Client::greeted();
    client.set("k", "v");
    let mut unknown = request(1, &get("k"));
    unknown[8] = 0x77;
    let mut cut = request(2, &get("k"));
    cut[12] = 200;
    let mut flags = request(3, &get("k"));
    flags[9] = 0xff;
    let script = [unknown, cut, flags, request(4, &get("k"))].concat();
    let replied = answers(&client.send(&script));
    let statuses: Vec<_> = replied.iter().map(|answer| (answer.id, answer.status)).collect();
    assert_eq!(
        statuses,
        [
            (1, Status::UNKNOWN_OP),
            (2, Status::BAD_FRAME),
            (3, Status::BAD_FRAME),
            (4, Status::OK)
        ]
    );
    assert!(replied[0].text().contains("0x77"), "{}", replied[0].text());
    assert_eq!(replied[3].body, b"v");
}

#[test]
fn entries_stored_before_a_bad_input_are_still_right() {
    let entries: Vec<String> = (0..500).map(|n| format!("key:{n}")).collect();
    let check = |client: &Client| {
        assert!(client.is_broken());
        for key in &entries {
            assert_eq!(client.cache.get(key).expect("stored").value, key.as_str());
        }
        client.cache.validate();
    };
    for bad in [&[0u8; 64][..], &[0xff; 64], b"hello, is this redis?\r\n"] {
        let mut client = Client::greeted();
        let mut script = Vec::new();
        for key in &entries {
            script.extend(request(1, &set(key, key.as_bytes())));
        }
        script.extend_from_slice(bad);
        let replied = answers(&client.send(&script));
        assert_eq!(replied.len(), entries.len() + 1);
        assert_eq!(
            replied.last().map(|answer| answer.status),
            Some(Status::FRAME_TOO_LONG)
        );
        check(&client);
    }
}

#[test]
fn a_frame_that_is_cut_off_by_the_end_leaves_the_cache_as_it_was() {
    let mut fixed = Client::new();
    fixed.send(&fixed_frame(b'I', b"k", b"old", 0));
    let mut framed = Client::greeted();
    framed.set("k", "old");
    let many = {
        let mut frame = request(1, &set("k", b"new"));
        frame[0] += 20;
        frame
    };
    for (client, frame) in [
        (&fixed, fixed_frame(b'I', b"k", b"new", 0)),
        (&framed, request(1, &set("k", b"new"))),
        (&framed, request(1, &Command::Clear { prefix: b"" })),
        (&framed, many),
    ] {
        let whole = frame.len();
        for len in 0..whole {
            let mut other = client.beside();
            if frame[0] != b'I' {
                other.greet();
            }
            let reply = other.send(&frame[..len]);
            assert_eq!(reply, b"", "{len} bytes of {whole}");
            assert_eq!(other.session.unprocessed(), len);
            assert!(other.session.wants_input());
            assert_eq!(client.cache.get("k").expect("there").value, "old");
        }
    }
}
