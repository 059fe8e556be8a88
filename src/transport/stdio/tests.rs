//! Pipes and sockets that are full, hung up or slow, and a directory that is not loaded yet.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::*;
use crate::Cache;
use crate::persist::disk::gated::GatedDirectory;
use crate::protocol::command::Command;
use crate::protocol::framed::{PREFACE, VERSIONS, encode_request};

/// A session whose outbox holds many replies, and what they are. More than any pipe holds.
fn waiting() -> (Session, Vec<u8>) {
    let cache = Cache::builder().build().expect("valid options");
    let mut session = Session::new(cache, usize::MAX);
    let mut frame = [0; 128];
    for number in 0..300_000u32 {
        frame[0] = if number % 3 == 0 { b'R' } else { b'G' };
        frame[1..5].copy_from_slice(&number.to_le_bytes().map(|byte| byte % 64 + 1));
        session.receive(&frame);
    }
    session.process();
    let replies = session
        .outbox()
        .slices(usize::MAX)
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect();
    (session, replies)
}

/// Flushes until nothing waits; whenever the output takes no more, somebody reads a little.
fn flush_all(session: &mut Session, output: BorrowedFd<'_>, sink: &Sink, mut input: impl Read) -> Vec<u8> {
    let mut read = Vec::new();
    let mut chunk = [0; 10_000];
    loop {
        flush(session, output, sink).expect("it is written");
        if session.outbox().is_empty() {
            return read;
        }
        let count = input.read(&mut chunk).expect("it is read");
        read.extend_from_slice(&chunk[..count]);
    }
}

#[test]
fn a_full_output_never_blocks_and_all_arrives_in_order() {
    for opened_again in [true, false] {
        let (mut session, replies) = waiting();
        let (mut input, output) = io::pipe().expect("a pipe");
        let sink = match Sink::of(output.as_fd()).expect("a descriptor") {
            sink if opened_again => sink,
            _ => Sink::InSteps,
        };
        let mut read = flush_all(&mut session, output.as_fd(), &sink, &mut input);
        drop((output, sink));
        input.read_to_end(&mut read).expect("the rest");
        assert!(read == replies, "opened again: {opened_again}");
    }
    let (mut session, replies) = waiting();
    let (mut input, output) = UnixStream::pair().expect("a pair of sockets");
    let mut read = flush_all(&mut session, output.as_fd(), &Sink::Socket, &mut input);
    drop(output);
    input.read_to_end(&mut read).expect("the rest");
    assert!(read == replies);
}

/// Serves a session whose directory is not loaded before the gate is opened; `stop` is the end where a byte stops it. Gives how it ended, and whether it
/// was loading then.
fn serve_loading(
    directory: &GatedDirectory,
    (stdin, stdout): (OwnedFd, OwnedFd),
    stop: UnixStream,
) -> std::thread::JoinHandle<(End, bool)> {
    let mut session = Session::opening(directory.opening(), 100_000);
    directory.gate.wait_until_somebody_waits();
    std::thread::spawn(move || {
        let end = serve(&mut session, stdin, stdout, stop).expect("it is served");
        (end, session.is_loading())
    })
}

fn pair(of_sockets: bool) -> ((OwnedFd, OwnedFd), (File, File)) {
    let (stdin, input): (OwnedFd, OwnedFd) = match of_sockets {
        true => UnixStream::pair().map(|(a, b)| (a.into(), b.into())),
        false => io::pipe().map(|(a, b)| (a.into(), b.into())),
    }
    .expect("a pair");
    let (output, stdout): (OwnedFd, OwnedFd) = match of_sockets {
        true => UnixStream::pair().map(|(a, b)| (a.into(), b.into())),
        false => io::pipe().map(|(a, b)| (a.into(), b.into())),
    }
    .expect("a pair");
    ((stdin, stdout), (input.into(), output.into()))
}

/// A request of version 1.
fn get(key: u8) -> [u8; 128] {
    let mut frame = [0; 128];
    (frame[0], frame[1]) = (b'G', key);
    frame
}

#[test]
fn a_session_that_loads_ends_once_input_and_output_are_both_hung_up() {
    for of_sockets in [true, false] {
        // Whether there is something to be read, nothing, or more than is held back.
        for frames in [0, 1, 900] {
            let directory = GatedDirectory::new();
            let (stop, _stopper) = UnixStream::pair().expect("a pair of sockets");
            let (theirs, (mut input, output)) = pair(of_sockets);
            let serving = serve_loading(&directory, theirs, stop);
            for _ in 0..frames {
                input.write_all(&get(b'a')).expect("it is read, or there is room");
            }
            drop((input, output));
            let end = serving.join().expect("no panic");
            assert_eq!(end, (End::ReaderGone { unread: 0 }, true), "{frames} frames");
        }
    }
}

#[test]
fn whoever_has_only_ended_the_input_gets_his_replies_when_all_is_loaded() {
    for of_sockets in [true, false] {
        let directory = GatedDirectory::new();
        let (stop, _stopper) = UnixStream::pair().expect("a pair of sockets");
        let (theirs, (mut input, mut output)) = pair(of_sockets);
        let serving = serve_loading(&directory, theirs, stop);
        for _ in 0..900 {
            input.write_all(&get(b'a')).expect("it is read, or there is room");
        }
        drop(input);
        directory.gate.open();
        let mut replies = Vec::new();
        output.read_to_end(&mut replies).expect("it is answered");
        assert_eq!(replies.len(), 900 * 65);
        assert!(replies.chunks(65).all(|reply| reply.starts_with(b"1\0")));
        let end = serving.join().expect("no panic");
        assert_eq!(end, (End::Closed { incomplete: 0 }, false));
    }
}

#[test]
fn a_stop_does_not_wait_for_the_loading() {
    for of_sockets in [true, false] {
        let directory = GatedDirectory::new();
        let (stop, mut stopper) = UnixStream::pair().expect("a pair of sockets");
        let (theirs, (mut input, output)) = pair(of_sockets);
        let serving = serve_loading(&directory, theirs, stop);
        input.write_all(&get(b'a')).expect("it is read, or there is room");
        stopper.write_all(b"x").expect("there is room");
        let end = serving.join().expect("no panic");
        assert_eq!(end, (End::Stopped { unread: 0 }, true));
        drop(output);
    }
}

#[test]
fn two_full_pipes_do_not_deadlock_while_it_loads() {
    for of_sockets in [true, false] {
        let directory = GatedDirectory::new();
        let (stop, _stopper) = UnixStream::pair().expect("a pair of sockets");
        let (theirs, (mut input, mut output)) = pair(of_sockets);
        let serving = serve_loading(&directory, theirs, stop);
        // Far more than the session and the pipes hold, of requests and of replies. It is loaded when more was written than is held back.
        let (written, is_written) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || {
            for number in 0..30_000 {
                input.write_all(&get(b'b')).expect("it is read");
                if number == 900 {
                    written.send(()).expect("it is awaited");
                }
            }
        });
        is_written.recv().expect("so much is taken");
        directory.gate.open();
        let mut replies = Vec::new();
        output.read_to_end(&mut replies).expect("it is answered");
        writer.join().expect("no panic");
        assert_eq!(replies.len(), 30_000 * 65);
        assert_eq!(serving.join().expect("no panic").0, End::Closed { incomplete: 0 });
    }
}

#[test]
fn a_pipe_that_is_opened_again_stays_blocking_for_others() {
    let (_input, output) = io::pipe().expect("a pipe");
    let sink = Sink::of(output.as_fd()).expect("a descriptor");
    let flags = rustix::fs::fcntl_getfl(&output).expect("flags");
    assert!(!flags.contains(OFlags::NONBLOCK), "{flags:?}");
    #[cfg(target_os = "linux")]
    assert!(matches!(sink, Sink::OwnPipe(_)), "{sink:?}");
    drop(sink);
}

#[test]
fn what_is_answered_while_it_loads_is_answered_though_nothing_more_can_be_held_back() {
    for of_sockets in [true, false] {
        let directory = GatedDirectory::new();
        let (stop, _stopper) = UnixStream::pair().expect("a pair of sockets");
        let (theirs, (mut input, mut output)) = pair(of_sockets);
        let serving = serve_loading(&directory, theirs, stop);
        let mut requests = PREFACE.to_vec();
        let hello = Command::Hello {
            lowest: *VERSIONS.start(),
            highest: *VERSIONS.end(),
            features: 0,
            name: b"test",
        };
        encode_request(0, &hello, &mut requests);
        let set = Command::Set {
            key: b"held back",
            value: &[7; 70_000],
            options: crate::SetOptions::default(),
        };
        encode_request(1, &set, &mut requests);
        for id in 2..62 {
            let ping = Command::Ping {
                payload: &[9; 1000],
                tag: crate::Tag::BYTES,
            };
            encode_request(id, &ping, &mut requests);
        }
        let writer = std::thread::spawn(move || {
            input.write_all(&requests).expect("it is read");
            input
        });
        let mut preface = [0; 4];
        output.read_exact(&mut preface).expect("it greets");
        let mut reply = || {
            let mut length = [0; 4];
            output.read_exact(&mut length).expect("a reply");
            let mut rest = vec![0; u32::from_le_bytes(length) as usize];
            output.read_exact(&mut rest).expect("all of it");
            u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]])
        };
        // All but the one that is held back.
        assert_eq!(reply(), 0);
        assert!((2..62).all(|id| reply() == id));
        directory.gate.open();
        assert_eq!(reply(), 1);
        drop(writer.join().expect("no panic"));
        assert_eq!(serving.join().expect("no panic").0, End::Closed { incomplete: 0 });
    }
}
