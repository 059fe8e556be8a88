//! The HTTP service: requests on a cache, which other faces of the process may use as well. What is here is the way in; what a request means is kv/ and v1/.
//!
//! ```text
//! server.rs ── listener.rs ── connection.rs ── service.rs ─┬─ routes/     what can be asked
//!  (threads)    (accepts)      (one client)                ├─ guard.rs    who may ask
//!                                                          ├─ kv/, v1/    what is done
//!                                                          └─ traffic.rs  what is counted
//! ```

mod backing;
mod body;
mod budget;
mod code;
mod commit;
mod connection;
mod docs;
mod events;
mod guard;
mod health;
mod kv;
mod lengthy;
mod listener;
mod metrics;
mod options;
mod pace;
mod page;
mod problem;
mod queue;
mod reply;
mod routes;
mod samples;
mod seat;
mod seats;
mod server;
mod service;
mod tls;
mod top;
mod traffic;
mod v1;
mod waits;

pub use backing::Backing;
pub use options::{Options, Token, TokenError};
pub use server::{Server, StartError};
pub use tls::{Tls, TlsError};
