//! For tests: a directory of which no more than the first bytes of a file can be read before a gate is opened. So loading takes as long as a test wants.

use std::io::{self, IoSlice, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::persist::{Opening, Store, StoreOptions};
use crate::{Cache, SetOptions};

use super::wrapped::WrappedDisk;
use super::{Disk, DiskFile};

/// Bytes of each file that can be read at once.
pub(crate) const BEFORE_THE_GATE: u64 = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    SomebodyWaits,
    Open,
    /// All reads fail.
    Broken,
}

/// Where reading stops.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) -> io::Result<()> {
        let mut state = self.state.lock().expect("no panic");
        loop {
            match *state {
                State::Open => return Ok(()),
                // EIO.
                State::Broken => return Err(io::Error::from_raw_os_error(5)),
                State::Closed | State::SomebodyWaits => {
                    *state = State::SomebodyWaits;
                    self.changed.notify_all();
                    state = self.changed.wait(state).expect("no panic");
                }
            }
        }
    }

    /// Waits until the first bytes were read.
    pub(crate) fn wait_until_somebody_waits(&self) {
        let mut state = self.state.lock().expect("no panic");
        while *state != State::SomebodyWaits {
            state = self.changed.wait(state).expect("no panic");
        }
    }

    pub(crate) fn open(&self) {
        self.set(State::Open);
    }

    /// What could not be read yet never can.
    pub(crate) fn fail(&self) {
        self.set(State::Broken);
    }

    fn set(&self, to: State) {
        *self.state.lock().expect("no panic") = to;
        self.changed.notify_all();
    }
}

/// A directory with the entries `a` = `1` and `b` = `2`, which is removed in the end.
#[derive(Debug)]
pub(crate) struct GatedDirectory {
    pub(crate) path: PathBuf,
    pub(crate) gate: Arc<Gate>,
}

impl GatedDirectory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rustcache-gated-{}-{number}", std::process::id()));
        let unsynced = |_: &Path, file| Arc::new(Unsynced(file)) as Arc<dyn DiskFile>;
        let options = StoreOptions {
            disk: Arc::new(WrappedDisk::new(unsynced)),
            ..StoreOptions::new(&path)
        };
        let store = Store::open(options, Cache::builder()).expect("it opens");
        for (key, value) in [("a", "1"), ("b", "2")] {
            store
                .cache()
                .set(key, value, SetOptions::default())
                .expect("small");
        }
        store.commit().expect("written");
        let gate = Gate {
            state: Mutex::new(State::Closed),
            changed: Condvar::new(),
        };
        GatedDirectory {
            path,
            gate: Arc::new(gate),
        }
    }

    /// Begins to open it.
    pub(crate) fn opening(&self) -> Opening {
        let gate = Arc::clone(&self.gate);
        let gated = move |file: Box<dyn Read>| -> Box<dyn Read> {
            Box::new(GatedFile {
                file,
                left: BEFORE_THE_GATE,
                gate: Arc::clone(&gate),
            })
        };
        let unsynced = |_: &Path, file| Arc::new(Unsynced(file)) as Arc<dyn DiskFile>;
        let disk: Arc<dyn Disk> = Arc::new(WrappedDisk(unsynced, gated));
        let options = StoreOptions {
            disk,
            ..StoreOptions::new(&self.path)
        };
        Opening::begin(options, Cache::builder()).expect("it begins")
    }

    /// Bytes of its one journal.
    pub(crate) fn bytes(&self) -> u64 {
        let journal = self.path.join("journal-00000000000000000001");
        std::fs::metadata(journal).expect("it is there").len()
    }
}

impl Drop for GatedDirectory {
    fn drop(&mut self) {
        // Nobody is to wait for ever.
        self.gate.fail();
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

struct GatedFile {
    file: Box<dyn Read>,
    left: u64,
    gate: Arc<Gate>,
}

impl Read for GatedFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.left > 0 {
            let count = (&mut self.file).take(self.left).read(bytes)?;
            self.left -= count as u64;
            return Ok(count);
        }
        self.gate.pass()?;
        self.file.read(bytes)
    }
}

#[derive(Debug)]
struct Unsynced(Arc<dyn DiskFile>);

impl DiskFile for Unsynced {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write(slices)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
