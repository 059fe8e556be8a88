//! Black-box tests of the HTTP service: the binary, asked over TCP by a client that sends just what it is told to.

mod fastapi;
mod support;
