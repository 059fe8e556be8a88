//! A store for the sessions of a web application that outlives the process: `cargo run --example sessions --features serde`.
//!
//! A session ends when it was not used for half an hour, and after a day in any case. What `start` and `change` return from is on the disk; with `SyncMode::Always` it survives
//! the power as well.

#![allow(clippy::print_stdout, reason = "a program")]

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::Duration;

use rustcache::{Cache, Condition, EncodedView, EncodingError, Expiry, OpenError, SetOptions, SyncMode};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Session {
    user: String,
    values: BTreeMap<String, String>,
}

struct Sessions {
    stored: EncodedView<Session>,
}

impl Sessions {
    fn open(directory: &Path) -> Result<Self, OpenError> {
        let cache = Cache::builder()
            .max_bytes(64 << 20)
            .default_ttl(Duration::from_secs(86_400))
            .time_to_idle(Duration::from_secs(1_800))
            .dir(directory)
            .sync(SyncMode::Always)
            .open()?;
        Ok(Sessions {
            stored: cache.encoded("session:"),
        })
    }

    /// Gives the id of the new session.
    fn start(&self, user: &str) -> Result<String, EncodingError> {
        let session = Session {
            user: user.to_owned(),
            values: BTreeMap::new(),
        };
        loop {
            let id = new_id();
            let only_new = SetOptions::default().with_condition(Condition::IfAbsent);
            if self.stored.set_with(&id, &session, only_new)? {
                return Ok(id);
            }
        }
    }

    fn get(&self, id: &str) -> Result<Option<Session>, EncodingError> {
        self.stored.get(id)
    }

    /// Sets a value of a session; `false` if that has ended. Its day goes on from where it began.
    fn change(&self, id: &str, name: &str, value: &str) -> Result<bool, EncodingError> {
        let Some(mut session) = self.get(id)? else {
            return Ok(false);
        };
        session.values.insert(name.to_owned(), value.to_owned());
        let only_present = SetOptions::default()
            .with_condition(Condition::IfPresent)
            .with_expiry(Expiry::Keep);
        self.stored.set_with(id, &session, only_present)
    }

    fn end(&self, id: &str) -> bool {
        self.stored.remove(id)
    }
}

/// For an example: take what your framework has for this, from the system's source of randomness.
fn new_id() -> String {
    let word = || RandomState::new().hash_one(std::time::SystemTime::now());
    format!("{:016x}{:016x}", word(), word())
}

fn run(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let sessions = Sessions::open(directory)?;
    let ada = sessions.start("Ada")?;
    let grace = sessions.start("Grace")?;
    sessions.change(&ada, "basket", "3 books")?;
    println!("ended Grace's: {}", sessions.end(&grace));
    drop(sessions);

    // The same directory in another life.
    let sessions = Sessions::open(directory)?;
    let session = sessions.get(&ada)?.ok_or("it is there")?;
    println!("{} has {}", session.user, session.values["basket"]);
    println!("Grace's is there: {}", sessions.get(&grace)?.is_some());
    Ok(())
}

fn scratch(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("rustcache-example-{name}-{}", std::process::id()))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = scratch("sessions");
    let outcome = run(&directory);
    // What cannot be removed is left to the system.
    let _ = std::fs::remove_dir_all(&directory);
    outcome
}

#[test]
fn it_runs() {
    main().expect("it runs");
}

#[test]
fn a_session_survives_the_process_and_ends_for_good() -> Result<(), Box<dyn std::error::Error>> {
    let directory = scratch("sessions-test");
    let sessions = Sessions::open(&directory)?;
    let (kept, ended) = (sessions.start("Ada")?, sessions.start("Grace")?);
    assert!(sessions.change(&kept, "a", "1")? && sessions.change(&kept, "b", "2")?);
    assert!(sessions.end(&ended));
    drop(sessions);
    let sessions = Sessions::open(&directory)?;
    let session = sessions.get(&kept)?.expect("it is there");
    assert_eq!((session.user.as_str(), session.values.len()), ("Ada", 2));
    assert_eq!(sessions.get(&ended)?, None);
    assert!(!sessions.change(&ended, "a", "1")?, "it has not come back");
    drop(sessions);
    std::fs::remove_dir_all(directory)?;
    Ok(())
}
