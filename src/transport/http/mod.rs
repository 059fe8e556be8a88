//! The HTTP service: requests on a cache, which other faces of the process may use as well. What is here is the way in; what a request means is kv/ and v1/.
//!
//! ```text
//! server.rs ── listener.rs ── connection.rs ── service.rs ─┬─ guard.rs    who may ask
//!  (threads)    (accepts)      (one client)                ├─ kv/, v1/    what is asked
//!                                                          └─ traffic.rs  what is counted
//! ```

mod backing;
mod body;
mod commit;
mod connection;
mod docs;
mod events;
mod guard;
mod health;
mod histogram;
mod kv;
mod lengthy;
mod listener;
mod metrics;
mod options;
mod page;
mod problem;
mod reply;
mod samples;
mod seats;
mod server;
mod service;
mod tls;
mod top;
mod traffic;
mod v1;

pub use backing::Backing;
pub use options::{Options, Token, TokenError};
pub use server::{Server, StartError};
pub use tls::{Tls, TlsError};
