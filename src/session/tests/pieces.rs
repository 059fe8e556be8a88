//! A chunk that was read is not a frame: however a script is cut, the replies are the same bytes.

use proptest::prelude::*;

use super::*;
use crate::protocol::golden::vectors;

/// A script of version 1, of which every reply depends on the frames before it.
fn fixed_script() -> Vec<u8> {
    let mut script = Vec::new();
    for vector in vectors(1, "request") {
        script.extend(vector.bytes());
        script.extend(fixed_frame(b'G', b"user:1", b"", 0));
    }
    script.extend(fixed_frame(b'I', b"G\nE\n", b"G\nE\n", 3));
    script.extend(fixed_frame(b'G', b"G\nE\n", b"", 0));
    script
}

/// A script of version 2: every golden frame after which the connection goes on, with reads in between.
fn framed_script() -> Vec<u8> {
    let mut script = greeting();
    for vector in vectors(2, "request") {
        // The numbers of STATS depend on the time.
        if vector.has("ends") || vector.text("op") == "STATS" {
            continue;
        }
        script.extend(vector.bytes());
        script.extend(request(1, &get("k")));
        script.extend(request(2, &get("user:1")));
    }
    // Large enough to be shared and not copied.
    let large = vec![b'x'; 20_000];
    script.extend(request(3, &set("large", &large)));
    script.extend(request(4, &get("large")));
    script.extend(greeting());
    script
}

/// Ends in something that ends the connection, with more behind it.
fn breaking_scripts() -> Vec<Vec<u8>> {
    let mut scripts = vec![
        [&b"X"[..], &fixed_frame(b'G', b"k", b"", 0)].concat(),
        [&PREFACE[..3], b"x and more"].concat(),
        [&PREFACE[..], &request(1, &get("k")), &greeting()].concat(),
    ];
    for vector in vectors(2, "request").iter().filter(|vector| vector.has("ends")) {
        scripts.push([greeting(), vector.bytes(), greeting()].concat());
    }
    scripts
}

/// Replies, and whether the connection was ended.
fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, bool) {
    let mut client = Client::new();
    let mut replies = Vec::new();
    for piece in pieces {
        replies.extend(client.send(piece));
    }
    client.cache.validate();
    (replies, client.is_broken())
}

#[test]
fn a_script_cut_in_two_anywhere_is_answered_as_in_one_piece() {
    let mut scripts = vec![fixed_script(), framed_script()];
    scripts.extend(breaking_scripts());
    for script in scripts {
        let whole = run([&script[..]]);
        assert!(!whole.0.is_empty());
        for cut in 0..script.len().min(7000) {
            let (first, second) = script.split_at(cut);
            assert!(run([first, second]) == whole, "cut at {cut} of {}", script.len());
        }
    }
}

#[test]
fn a_script_is_answered_byte_by_byte_as_in_one_piece() {
    let mut scripts = vec![fixed_script(), framed_script()];
    scripts.extend(breaking_scripts());
    for script in scripts {
        assert!(run(script.chunks(1)) == run([&script[..]]));
    }
}

#[test]
fn an_answer_is_there_as_soon_as_its_frame_is() {
    for (start, frame) in [
        (Vec::new(), fixed_frame(b'G', b"k", b"", 0)),
        (greeting(), request(1, &get("k"))),
    ] {
        let mut client = Client::new();
        client.send(&start);
        let (last, before) = frame.split_last().expect("not empty");
        assert_eq!(client.send(before), b"");
        assert_ne!(client.send(&[*last]), b"");
        assert_eq!(client.session.unprocessed(), 0);
    }
}

#[test]
fn ten_thousand_commands_in_one_piece_are_all_answered_in_order() {
    let mut client = Client::greeted();
    let keys: Vec<String> = (0..5000).map(|n| format!("key:{n}")).collect();
    let mut script = Vec::new();
    for (id, key) in (0..).zip(&keys) {
        script.extend(request(id, &set(key, key.as_bytes())));
        script.extend(request(id + 5000, &get(key)));
    }
    let replied = answers(&client.send(&script));
    assert_eq!(replied.len(), 10_000);
    for (id, (pair, key)) in (0..).zip(replied.chunks(2).zip(&keys)) {
        assert_eq!((pair[0].id, pair[0].status), (id, Status::OK));
        assert_eq!((pair[1].id, &pair[1].body[..]), (id + 5000, key.as_bytes()));
    }

    let mut client = Client::new();
    let mut script = Vec::new();
    for key in &keys {
        script.extend(fixed_frame(b'I', key.as_bytes(), key.as_bytes(), 0));
        script.extend(fixed_frame(b'G', key.as_bytes(), b"", 0));
    }
    let replies = client.send(&script);
    assert_eq!(replies.len(), 5000 * (2 + 65));
    for (reply, key) in replies.chunks(67).zip(&keys) {
        assert!(reply.starts_with(b"I\n") && reply[2..].starts_with(key.as_bytes()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_script_in_random_pieces_is_answered_as_in_one_piece(
        framed: bool,
        lens in prop::collection::vec(prop_oneof![0usize..20, 0usize..2000], 1..200),
    ) {
        let script = if framed { framed_script() } else { fixed_script() };
        let whole = run([&script[..]]);
        let mut rest = &script[..];
        let mut pieces = Vec::new();
        for len in lens {
            let (piece, after) = rest.split_at(len.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        prop_assert!(run(pieces) == whole);
    }
}
