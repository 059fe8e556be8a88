//! Black-box tests of the HTTP service: the binary, asked over TCP by a client that sends just what it is told to.

#![allow(clippy::cast_possible_truncation, reason = "tests")]

mod batch;
mod bodies;
mod crowd;
mod document;
mod ends;
mod entries;
mod faces;
mod fastapi;
mod guard;
mod keys;
mod limits;
mod memory;
mod room;
mod support;
mod tls;
mod watching;
