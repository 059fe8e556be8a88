//! Batches and scans: many keys in one frame, and what does not fit into one reply.

use super::*;
use crate::protocol::framed::{decode_request, op};

/// A batch as the wire has it: the decoder is the only way to `Keys` and `Writes`.
fn batch(op: u8, count: usize, items: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let length = u32::try_from(12 + 4 + items.len()).expect("short");
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&7u32.to_le_bytes());
    frame.extend_from_slice(&[op, 0, 0, 0, 0, 0, 0, 0]);
    frame.extend_from_slice(&u32::try_from(count).expect("few").to_le_bytes());
    frame.extend_from_slice(items);
    frame
}

fn keys(op: u8, keys: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut items = Vec::new();
    for key in keys {
        let key = key.as_ref();
        items.extend_from_slice(&u32::try_from(key.len()).expect("short").to_le_bytes());
        items.extend_from_slice(key);
    }
    batch(op, keys.len(), &items)
}

/// `flags`, `tag`, `expiry`, key, value.
type Write<'a> = (u8, u8, u64, &'a [u8], &'a [u8]);

fn writes(writes: &[Write<'_>]) -> Vec<u8> {
    let mut items = Vec::new();
    for (flags, tag, expiry, key, value) in writes {
        items.extend_from_slice(&[*flags, *tag, 0, 0]);
        for len in [key.len(), value.len()] {
            items.extend_from_slice(&u32::try_from(len).expect("short").to_le_bytes());
        }
        items.extend_from_slice(&expiry.to_le_bytes());
        items.extend_from_slice(key);
        items.extend_from_slice(value);
    }
    batch(op::SET_MANY, writes.len(), &items)
}

impl Client {
    fn batch(&mut self, frame: &[u8]) -> Answer {
        assert!(decode_request(frame).command.is_ok());
        let reply = self.send(frame);
        let [answer] = &answers(&reply)[..] else {
            panic!("a batch is not answered with one reply");
        };
        answer.clone()
    }

    /// Statuses of a SET_MANY or REMOVE_MANY.
    fn statuses(&mut self, frame: &[u8]) -> Vec<Status> {
        let answer = self.batch(frame);
        assert_eq!(answer.status, Status::OK);
        assert_eq!(answer.u32_at(0) as usize, answer.body.len() - 4);
        answer.body[4..].iter().map(|&status| Status(status)).collect()
    }

    fn get_many(&mut self, wanted: &[impl AsRef<[u8]>]) -> Vec<(Status, Tag, Vec<u8>)> {
        let answer = self.batch(&keys(op::GET_MANY, wanted));
        assert_eq!(answer.status, Status::OK);
        assert_eq!(answer.u32_at(0) as usize, wanted.len());
        let mut rest = &answer.body[4..];
        let mut items = Vec::new();
        while !rest.is_empty() {
            assert_eq!(rest[2..4], [0, 0]);
            let len = u32::from_le_bytes(rest[4..8].try_into().expect("four bytes")) as usize;
            items.push((Status(rest[0]), Tag(rest[1]), rest[8..8 + len].to_vec()));
            rest = &rest[8 + len..];
        }
        assert_eq!(items.len(), wanted.len());
        items
    }

    fn frame_limit(&mut self) -> usize {
        self.ask(&hello(2, 2)).u32_at(20) as usize
    }
}

#[test]
fn a_batch_does_each_item_for_itself_in_order() {
    let mut client = Client::greeted_on(
        Cache::builder()
            .max_key_bytes(5)
            .max_value_bytes(5000)
            .max_bytes(4096),
    );
    let statuses = client.statuses(&writes(&[
        (0, 1, 0, b"a", b"1"),
        (1, 1, 0, b"a", b"2"),
        (2, 1, 0, b"none", b"3"),
        (0, 9, 0, b"b", b"4"),
        (0, 0, 0, b"toolong", b"5"),
        (0, 0, 0, b"c", &[0; 5001]),
        (0, 0, 0, b"b", &[0; 5000]),
        (0, 2, 0, b"d", b""),
        (2, 3, 0, b"a", b"6"),
    ]));
    assert_eq!(
        statuses,
        [
            Status::OK,
            Status::NOT_STORED,
            Status::NOT_STORED,
            Status::OK,
            Status::KEY_TOO_LONG,
            Status::VALUE_TOO_LONG,
            Status::TOO_LARGE,
            Status::OK,
            Status::OK,
        ]
    );
    let miss = (Status::MISS, Tag(0), vec![]);
    assert_eq!(
        client.get_many(&["a", "b", "c", "d", "toolong", "a"]),
        [
            (Status::OK, Tag(3), b"6".to_vec()),
            miss.clone(),
            miss,
            (Status::OK, Tag(2), vec![]),
            (Status::KEY_TOO_LONG, Tag(0), vec![]),
            (Status::OK, Tag(3), b"6".to_vec()),
        ]
    );
    let statuses = client.statuses(&keys(op::REMOVE_MANY, &["a", "b", "toolong", "d", "a"]));
    assert_eq!(
        statuses,
        [
            Status::OK,
            Status::MISS,
            Status::KEY_TOO_LONG,
            Status::OK,
            Status::MISS
        ]
    );
    assert_eq!(client.cache.len(), 0);
}

#[test]
fn a_batch_of_none_is_answered_with_none() {
    let mut client = Client::greeted();
    assert!(client.get_many(&[""; 0]).is_empty());
    assert!(client.statuses(&writes(&[])).is_empty());
    assert!(client.statuses(&keys(op::REMOVE_MANY, &[""; 0])).is_empty());
}

#[test]
fn a_batch_of_many_thousands_is_one_reply() {
    let mut client = Client::greeted();
    let names: Vec<String> = (0..20_000).map(|n| format!("key:{n}")).collect();
    let entries: Vec<Write<'_>> = names
        .iter()
        .map(|name| (0, 1, 0, name.as_bytes(), name.as_bytes()))
        .collect();
    assert_eq!(client.statuses(&writes(&entries)), vec![Status::OK; 20_000]);
    let found = client.get_many(&names);
    assert!(
        found
            .iter()
            .zip(&names)
            .all(|((_, _, value), name)| value == name.as_bytes())
    );
    assert_eq!(
        client.statuses(&keys(op::REMOVE_MANY, &names)),
        vec![Status::OK; 20_000]
    );
}

#[test]
fn a_get_many_defers_what_would_go_beyond_the_frame_limit_and_the_deferred_can_be_had() {
    let value_limit = 1 << 20;
    let mut client = Client::greeted_on(Cache::builder().max_key_bytes(16).max_value_bytes(value_limit));
    let limit = client.frame_limit();
    let value = |n: u8| vec![n; value_limit - usize::from(n)];
    let mut left: Vec<String> = (0..8).map(|n| format!("k{n}")).collect();
    for (n, key) in (0..).zip(&left) {
        client.status(&set(key, &value(n)));
    }
    left.push("small".to_owned());
    client.status(&set("small", b"v"));
    let mut rounds = 0;
    while !left.is_empty() {
        let before = left.len();
        let reply = client.send(&keys(op::GET_MANY, &left));
        assert!(
            reply.len() - 4 <= limit,
            "a reply of {} bytes and a limit of {limit}",
            reply.len() - 4
        );
        let found = client.get_many(&left);
        let mut items = found.iter();
        left.retain(|key| {
            let (status, _, found) = items.next().expect("as many as keys");
            if *status == Status::DEFERRED {
                assert!(found.is_empty());
                return true;
            }
            assert_eq!(*status, Status::OK);
            match key.strip_prefix('k') {
                Some(n) => assert!(*found == value(n.parse().expect("a number"))),
                None => assert_eq!(found, b"v"),
            }
            false
        });
        assert!(left.len() < before, "nothing came");
        rounds += 1;
    }
    assert!(rounds > 1, "nothing was deferred");
}

#[test]
fn a_get_many_fills_its_frame_to_the_last_byte_and_no_further() {
    let value_limit = 1 << 20;
    let mut client = Client::greeted_on(Cache::builder().max_key_bytes(16).max_value_bytes(value_limit));
    let limit = client.frame_limit();
    // 12 bytes of header behind the length, 4 of the count, 8 of each item.
    let room = limit - 12 - 4 - 3 * 8;
    client.status(&set("a", &vec![1; value_limit]));
    client.status(&set("b", &vec![2; room - value_limit]));
    client.status(&set("c", b""));
    let reply = client.send(&keys(op::GET_MANY, &["a", "b", "c"]));
    assert_eq!(reply.len() - 4, limit);
    let statuses = |client: &mut Client| -> Vec<Status> {
        let found = client.get_many(&["a", "b", "c"]);
        found.iter().map(|(status, ..)| *status).collect()
    };
    assert_eq!(statuses(&mut client), [Status::OK; 3]);
    client.status(&set("c", b"x"));
    assert_eq!(statuses(&mut client), [Status::OK, Status::OK, Status::DEFERRED]);
    client.status(&set("b", &vec![2; room - value_limit + 1]));
    assert_eq!(statuses(&mut client), [Status::OK, Status::DEFERRED, Status::OK]);
}

#[test]
fn a_get_many_of_more_keys_than_a_reply_can_name_is_refused() {
    let mut client = Client::greeted_on(Cache::builder().max_key_bytes(16).max_value_bytes(1000));
    let most = (client.frame_limit() - 16) / 8;
    let reply = client.send(&keys(op::GET_MANY, &vec![""; most]));
    assert!(reply.len() - 4 <= client.frame_limit());
    assert_eq!(answers(&reply)[0].status, Status::OK);
    let answer = client.batch(&keys(op::GET_MANY, &vec![""; most + 1]));
    assert_eq!(answer.status, Status::BAD_FRAME);
    assert!(answer.text().contains(&most.to_string()), "{}", answer.text());
    assert!(!client.is_broken());
}

/// Keys of all pages of a scan, each page's reply within the limit, and the number of pages.
fn scan(client: &mut Client, prefix: &str, limit: u32, with_values: bool) -> (Vec<String>, usize) {
    let (mut cursor, mut found, mut pages) = (0, Vec::new(), 0);
    let frame_limit = client.frame_limit();
    loop {
        let command = Command::Scan {
            cursor,
            limit,
            prefix: prefix.as_bytes(),
            with_values,
        };
        let answer = client.ask(&command);
        assert_eq!(answer.status, Status::OK);
        assert!(
            answer.body.len() + 12 <= frame_limit,
            "{} bytes",
            answer.body.len()
        );
        pages += 1;
        let count = answer.u32_at(8);
        assert!(count <= limit);
        let mut at = 12;
        for _ in 0..count {
            let (key_len, value_len) = (answer.u32_at(at + 4) as usize, answer.u32_at(at + 8) as usize);
            assert_eq!(answer.u64_at(at + 12), u64::MAX);
            let key = &answer.body[at + 20..][..key_len];
            at += 20 + key_len;
            if with_values {
                assert_eq!(
                    answer.body[at..][..value_len.min(key_len)],
                    key[..value_len.min(key_len)]
                );
                at += value_len;
            }
            found.push(String::from_utf8(key.to_vec()).expect("text"));
        }
        assert_eq!(at, answer.body.len());
        cursor = answer.u64_at(0);
        if cursor == 0 {
            found.sort();
            return (found, pages);
        }
    }
}

#[test]
fn a_scan_pages_through_everything_exactly_once() {
    let mut client = Client::greeted();
    let mut all: Vec<String> = (0..12_345).map(|n| format!("{}:{n}", n % 3)).collect();
    for key in &all {
        client.cache.set(key, key, SetOptions::default()).expect("stored");
    }
    all.sort();
    for (limit, with_values) in [(1000, true), (1000, false), (10_000, false)] {
        let (found, pages) = scan(&mut client, "", limit, with_values);
        assert_eq!(found, all);
        assert!(pages >= all.len().div_ceil(limit as usize));
    }
    let (found, _) = scan(&mut client, "2:", 100, true);
    all.retain(|key| key.starts_with("2:"));
    assert_eq!(found, all);
    assert_eq!(scan(&mut client, "none", 100, true).0, [""; 0]);
}

#[test]
fn a_page_of_a_scan_stays_within_the_frame_limit_however_small_it_is_and_however_large_the_values() {
    for (count, key_len, value_len) in [(10_000, 5, 1000), (10_000, 1000, 0), (40, 5, 200_000)] {
        let builder = Cache::builder()
            .max_key_bytes(1000)
            .max_value_bytes(value_len.max(1000));
        let mut client = Client::greeted_on(builder);
        let mut all: Vec<String> = (0..count).map(|n| format!("{n:0key_len$}")).collect();
        for key in &all {
            let value = key.repeat(value_len / key_len);
            client
                .cache
                .set(key, value, SetOptions::default())
                .expect("stored");
        }
        all.sort();
        let (found, pages) = scan(&mut client, "", 10_000, true);
        assert_eq!(found, all);
        assert!(pages > 1);
    }
}

#[test]
fn a_cursor_that_the_daemon_never_gave_ends_the_scan_and_harms_nothing() {
    let mut client = Client::greeted();
    client.set("k", "v");
    for cursor in [1, 77, u64::from(u32::MAX), 1 << 32, u64::MAX - 1, u64::MAX] {
        let answer = client.ask(&Command::Scan {
            cursor,
            limit: 10,
            prefix: b"",
            with_values: true,
        });
        assert_eq!(answer.status, Status::OK);
        assert_eq!(answer.u64_at(0), 0, "cursor {cursor}");
    }
    client.cache.validate();
}
