//! A client that does not read: what waits for it is bounded, nothing is lost, and all comes in order once it does read.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 50_000;
/// The longest reply in the script: a header and a value.
const LONGEST: usize = 16 + 100_000;
/// Of unprocessed input: what one read brings, and a frame.
const INPUT: usize = 2 * LONGEST + 128 * 1024;

/// Writes values small and large, and reads each of them often.
fn script() -> Vec<u8> {
    let mut script = greeting();
    let values = [100, 1000, 16_000, 17_000, 100_000].map(|len| vec![b'v'; len]);
    let mut id = 0;
    for round in 0..40 {
        for (value, key) in values.iter().zip(["a", "b", "c", "d", "e"]) {
            if round % 10 == 0 {
                script.extend(request(id, &set(key, &value[round..])));
            }
            script.extend(request(id + 1, &get(key)));
            id += 2;
        }
    }
    script
}

fn expected(script: &[u8]) -> Vec<u8> {
    Client::new().send(script)
}

fn bounded() -> Session {
    let (clock, _) = crate::Clock::manual();
    let cache = Cache::builder().clock(clock).build().expect("valid options");
    Session::new(cache, LIMIT)
}

/// One turn of a transport: gives the session input as far as it wants it, up to `most` bytes. Returns what is left.
fn feed<'a>(session: &mut Session, input: &'a [u8], most: usize) -> &'a [u8] {
    if !session.wants_input() {
        return input;
    }
    let space = session.space();
    let count = space.len().min(input.len()).min(most);
    space[..count].copy_from_slice(&input[..count]);
    session.received(count);
    &input[count..]
}

fn assert_bounded(session: &mut Session) {
    let waiting = session.outbox().len();
    assert!(waiting < LIMIT + LONGEST, "{waiting} bytes of replies wait");
    let input = session.unprocessed();
    assert!(input <= INPUT, "{input} bytes of input wait");
}

#[test]
fn a_client_that_never_reads_fills_the_outbox_to_its_limit_and_no_further() {
    let script = script();
    let mut session = bounded();
    let mut rest = &script[..];
    while session.wants_input() {
        let before = rest.len();
        rest = feed(&mut session, rest, usize::MAX);
        assert!(rest.len() < before, "all was answered: the script is too short");
        session.process();
        assert_bounded(&mut session);
    }
    // It stays as it is, however often it is asked to go on.
    let waiting = session.outbox().len();
    assert!(waiting >= LIMIT);
    for _ in 0..10 {
        assert!(session.process(), "there is more to do once something is read");
        assert_eq!(session.outbox().len(), waiting);
        assert!(session.space().len() <= INPUT, "room for input");
    }
}

#[test]
fn all_replies_come_in_order_once_the_client_reads() {
    let script = script();
    let mut session = bounded();
    let (mut rest, mut read) = (&script[..], Vec::new());
    loop {
        let before = (rest.len(), read.len());
        while session.wants_input() && !rest.is_empty() {
            rest = feed(&mut session, rest, usize::MAX);
            session.process();
            assert_bounded(&mut session);
        }
        read.append(&mut taken(&mut session, usize::MAX));
        session.process();
        if before == (rest.len(), read.len()) {
            break;
        }
    }
    assert!(rest.is_empty());
    assert!(read == expected(&script));
}

#[test]
fn a_limit_of_one_byte_still_answers_everything() {
    let script = script();
    let (clock, _) = crate::Clock::manual();
    let cache = Cache::builder().clock(clock).build().expect("valid options");
    let mut session = Session::new(cache, 0);
    session.receive(&script);
    let mut read = Vec::new();
    loop {
        let more = session.process();
        let waiting = session.outbox().len();
        assert!(waiting <= LONGEST, "one reply at a time");
        read.append(&mut taken(&mut session, usize::MAX));
        if !more {
            break;
        }
    }
    assert!(read == expected(&script));
}

#[test]
fn a_connection_that_is_ended_while_replies_wait_still_delivers_them() {
    let mut script = script();
    let answered_before = expected(&script).len();
    script.extend_from_slice(&[0xff; 8]);
    let mut session = bounded();
    session.receive(&script);
    let read = answered(&mut session);
    assert!(read[..answered_before] == expected(&script)[..answered_before]);
    let last = answers(&read[answered_before..]);
    assert_eq!(last[0].status, Status::FRAME_TOO_LONG);
    assert!(session.broken().is_some());
    assert_eq!(session.unprocessed(), 0);
}

/// A large value that is replaced while it waits to be written is still the one that was asked for.
#[test]
fn what_waits_is_what_was_there_when_it_was_asked_for() {
    let mut client = Client::greeted();
    let (old, new) = (vec![b'o'; 100_000], vec![b'n'; 100_000]);
    client.status(&set("k", &old));
    let script = [
        request(1, &get("k")),
        request(2, &set("k", &new)),
        request(3, &get("k")),
        request(4, &Command::Clear { prefix: b"" }),
        request(5, &get("k")),
    ]
    .concat();
    client.session.receive(&script);
    assert!(!client.session.process());
    let replied = answers(&taken(&mut client.session, usize::MAX));
    assert!(replied[0].body == old);
    assert!(replied[2].body == new);
    assert_eq!(replied[4].status, Status::MISS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any mixture of short reads and short writes: never stuck, never beyond the bounds, all replies in order.
    #[test]
    fn however_a_client_reads_and_writes_it_gets_all_replies(
        turns in prop::collection::vec((0usize..100_000, 0usize..100_000), 1..100),
    ) {
        let script = script();
        let mut session = bounded();
        let (mut rest, mut read) = (&script[..], Vec::new());
        for (write, take) in turns {
            rest = feed(&mut session, rest, write);
            session.process();
            assert_bounded(&mut session);
            read.append(&mut taken(&mut session, take));
            session.process();
            assert_bounded(&mut session);
        }
        // Then it reads whatever comes, as fast as it can.
        loop {
            let before = (rest.len(), read.len(), session.unprocessed());
            rest = feed(&mut session, rest, usize::MAX);
            session.process();
            assert_bounded(&mut session);
            read.append(&mut taken(&mut session, usize::MAX));
            session.process();
            if before == (rest.len(), read.len(), session.unprocessed()) {
                break;
            }
        }
        prop_assert!(rest.is_empty(), "{} bytes were never taken", rest.len());
        prop_assert!(read == expected(&script));
    }
}
