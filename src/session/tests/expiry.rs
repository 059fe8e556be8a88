//! Each kind of expiry, by a clock that moves only when told to.

use std::time::Duration;

use super::*;

/// Where the manual wall clock stands at first, in Unix milliseconds.
const START: u64 = 1_700_000_000_000;
const FOREVER: u64 = u64::MAX;
/// In milliseconds.
const YEAR: u64 = 365 * 86_400_000;

fn ttl(millis: u64) -> Expiry {
    Expiry::After(Duration::from_millis(millis))
}

impl Client {
    fn pass(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }
}

#[test]
fn an_entry_is_there_until_its_last_millisecond_and_not_after() {
    for expiry in [ttl(1000), Expiry::At(START + 1000)] {
        let mut client = Client::greeted();
        assert_eq!(client.set_with("k", "v", expiring(expiry)), Status::OK);
        assert_eq!(client.time_left("k"), Some(1000));
        client.pass(999);
        assert_eq!(client.time_left("k"), Some(1));
        assert!(client.get("k").is_some());
        client.pass(1);
        assert_eq!(client.get("k"), None);
        assert_eq!(client.time_left("k"), None);
        assert_eq!(client.status(&Command::Remove { key: b"k" }), Status::MISS);
    }
}

#[test]
fn the_default_is_what_the_daemon_was_told() {
    let mut without = Client::greeted();
    without.set("k", "v");
    assert_eq!(without.time_left("k"), Some(FOREVER));

    let mut client = Client::greeted_on(Cache::builder().default_ttl(Duration::from_secs(5)));
    for (expiry, left) in [
        (Expiry::Default, 5000),
        (Expiry::Never, FOREVER),
        (ttl(7), 7),
        (Expiry::At(START + 9), 9),
    ] {
        client.set_with("k", "v", expiring(expiry));
        assert_eq!(client.time_left("k"), Some(left), "{expiry:?}");
    }
}

#[test]
fn keep_is_the_deadline_that_is_there_and_for_a_new_entry_the_default() {
    let mut client = Client::greeted_on(Cache::builder().default_ttl(Duration::from_secs(5)));
    client.set_with("k", "v", expiring(Expiry::Keep));
    assert_eq!(client.time_left("k"), Some(5000));
    client.set_with("k", "v", expiring(ttl(9000)));
    client.pass(1000);
    client.set_with("k", "w", expiring(Expiry::Keep));
    assert_eq!(client.get("k").as_deref(), Some("w"));
    assert_eq!(client.time_left("k"), Some(8000));
    client.set_with("k", "v", expiring(Expiry::Never));
    client.set_with("k", "w", expiring(Expiry::Keep));
    assert_eq!(client.time_left("k"), Some(FOREVER));
}

#[test]
fn what_expires_at_once_is_not_stored_and_what_the_key_held_is_gone() {
    for expiry in [ttl(0), Expiry::At(START), Expiry::At(START - 1), Expiry::At(0)] {
        let mut client = Client::greeted();
        client.set("k", "old");
        assert_eq!(
            client.set_with("k", "new", expiring(expiry)),
            Status::OK,
            "{expiry:?}"
        );
        assert_eq!(client.get("k"), None, "{expiry:?}");
        assert_eq!(client.cache.len(), 0, "{expiry:?}");
    }
}

#[test]
fn the_longest_times_are_not_never_and_do_not_wrap() {
    let mut client = Client::greeted();
    for expiry in [ttl(u64::MAX), Expiry::At(u64::MAX), ttl(u64::MAX - 1)] {
        client.set_with("k", "v", expiring(expiry));
        let left = client.time_left("k").expect("stored");
        assert!(left > 500 * YEAR && left != FOREVER, "{expiry:?}: {left}");
    }
}

#[test]
fn touch_gives_another_deadline_and_never_takes_it_away() {
    let mut client = Client::greeted();
    let mut touch = |expiry| {
        let status = client.status(&Command::Touch { key: b"k", expiry });
        (status, client.time_left("k"))
    };
    assert_eq!(touch(ttl(50)), (Status::MISS, None));
    client.set("k", "v");
    let mut touch = |expiry| {
        let status = client.status(&Command::Touch { key: b"k", expiry });
        (status, client.time_left("k"))
    };
    assert_eq!(touch(ttl(50)), (Status::OK, Some(50)));
    assert_eq!(touch(Expiry::At(START + 70)), (Status::OK, Some(70)));
    assert_eq!(touch(Expiry::Never), (Status::OK, Some(FOREVER)));
    assert_eq!(touch(ttl(0)), (Status::OK, None), "expires at once");
}

#[test]
fn increment_and_compare_and_set_follow_their_own_rules() {
    let mut client = Client::greeted();
    let increment = |expiry| Command::Increment {
        key: b"n",
        delta: 1,
        when_created: expiry,
    };
    client.ask(&increment(ttl(1000)));
    client.pass(100);
    client.ask(&increment(ttl(9000)));
    assert_eq!(
        client.time_left("n"),
        Some(900),
        "an existing number keeps its deadline"
    );
    client.pass(900);
    assert_eq!(
        client.ask(&increment(Expiry::Never)).u64_at(0),
        1,
        "an expired number counts as 0"
    );

    let compare = |expiry| Command::CompareAndSet {
        key: b"n",
        expected: b"1",
        value: b"1",
        options: expiring(expiry),
    };
    assert_eq!(client.status(&compare(ttl(500))), Status::OK);
    assert_eq!(client.time_left("n"), Some(500));
    assert_eq!(client.status(&compare(Expiry::Keep)), Status::OK);
    assert_eq!(client.time_left("n"), Some(500));
    assert_eq!(client.status(&compare(Expiry::Default)), Status::OK);
    assert_eq!(client.time_left("n"), Some(FOREVER));
    assert_eq!(client.status(&compare(ttl(5))), Status::OK);
    client.pass(5);
    assert_eq!(client.status(&compare(Expiry::Never)), Status::MISS);
}

#[test]
fn reads_tell_the_time_left_where_they_are_asked_to() {
    let mut client = Client::greeted();
    client.set_with("k", "v", expiring(ttl(1000)));
    client.pass(1);
    for command in [
        Command::Get {
            key: b"k",
            with_ttl: true,
        },
        Command::Take {
            key: b"k",
            with_ttl: true,
        },
    ] {
        let answer = client.ask(&command);
        assert_eq!(answer.u64_at(0), 999);
        assert_eq!(answer.body[8..], *b"v");
    }
    client.set_with("k", "v", expiring(ttl(30)));
    let answer = client.ask(&Command::Scan {
        cursor: 0,
        limit: 1,
        prefix: b"",
        with_values: false,
    });
    assert_eq!(answer.u64_at(12 + 12), 30);
}

#[test]
fn an_expired_entry_is_absent_for_every_op() {
    let commands = [
        (get("k"), Status::MISS),
        (
            Command::Take {
                key: b"k",
                with_ttl: false,
            },
            Status::MISS,
        ),
        (Command::Contains { key: b"k" }, Status::MISS),
        (
            Command::Touch {
                key: b"k",
                expiry: Expiry::Never,
            },
            Status::MISS,
        ),
        (Command::Remove { key: b"k" }, Status::MISS),
        (Command::TimeLeft { key: b"k" }, Status::MISS),
    ];
    for (command, status) in commands {
        let mut client = Client::greeted();
        client.set_with("k", "v", expiring(ttl(10)));
        client.pass(10);
        assert_eq!(client.status(&command), status, "{command:?}");
    }
    let mut client = Client::greeted();
    client.set_with("k", "v", expiring(ttl(10)));
    client.pass(10);
    let page = client.ask(&Command::Scan {
        cursor: 0,
        limit: 10,
        prefix: b"",
        with_values: true,
    });
    assert_eq!(page.u32_at(8), 0, "entries of a scan");
}

#[test]
fn a_part_of_a_millisecond_that_is_left_is_told_as_a_whole_one() {
    let mut client = Client::greeted();
    client.set_with("k", "v", expiring(ttl(2)));
    let mut left = |passed: u64| {
        client.clock.advance(Duration::from_nanos(passed));
        let with_ttl = client.ask(&Command::Get {
            key: b"k",
            with_ttl: true,
        });
        let told = client.time_left("k");
        if told.is_some() {
            assert_eq!(Some(with_ttl.u64_at(0)), told);
        }
        told
    };
    assert_eq!(left(1), Some(2));
    assert_eq!(left(999_998), Some(2));
    assert_eq!(left(1), Some(1));
    assert_eq!(left(999_999), Some(1), "a nanosecond is left");
    assert_eq!(left(1), None);
}

#[test]
fn a_jump_of_the_wall_clock_neither_expires_nor_keeps() {
    let mut client = Client::greeted();
    client.set_with("k", "v", expiring(ttl(1000)));
    for jump in [86_400_000, -2 * 86_400_000] {
        client.clock.jump_wall_clock(jump);
        assert_eq!(client.time_left("k"), Some(1000));
    }
}
