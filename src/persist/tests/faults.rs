//! A disk of which each operation fails once, in turn: the failure latches, names its file and cause, and nothing acknowledged is lost.

use std::io::{self, IoSlice, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Scratch, contents, crash, open, set};
use crate::Cache;
use crate::persist::disk::{Disk, DiskFile, SystemDisk};
use crate::persist::{Store, StoreOptions};

/// What happens to the operation whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Eio,
    Enospc,
    /// Harmless, if handled: the operation is to be tried again.
    Interrupted,
    /// Harmless, if handled: a write takes one byte.
    Short,
}

#[derive(Debug)]
struct Plan {
    fault: Fault,
    /// The operation that fails, counted from 1; 0 = none.
    at: u64,
    done: AtomicU64,
}

impl Plan {
    fn turn(&self) -> Option<Fault> {
        (self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.at).then_some(self.fault)
    }

    fn check(&self) -> io::Result<()> {
        match self.turn() {
            Some(Fault::Eio) => Err(io::Error::from_raw_os_error(5)),
            Some(Fault::Enospc) => Err(io::Error::from_raw_os_error(28)),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Clone)]
struct FaultyDisk(Arc<Plan>);

#[derive(Debug)]
struct FaultyFile(Arc<dyn DiskFile>, Arc<Plan>);

impl Disk for FaultyDisk {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        SystemDisk.make_directory(path)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.0.check()?;
        Ok(Arc::new(FaultyFile(
            SystemDisk.create(path)?,
            Arc::clone(&self.0),
        )))
    }
    fn append(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.0.check()?;
        Ok(Arc::new(FaultyFile(
            SystemDisk.append(path)?,
            Arc::clone(&self.0),
        )))
    }
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        SystemDisk.read(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.check()?;
        SystemDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.check()?;
        SystemDisk.remove(path)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.0.check()?;
        SystemDisk.sync_directory(path)
    }
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.check()?;
        SystemDisk.copy(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.check()?;
        SystemDisk.link(from, to)
    }
    fn newest(&self, path: &Path) -> io::Result<u64> {
        SystemDisk.newest(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
        SystemDisk.list(path)
    }
}

impl DiskFile for FaultyFile {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.1.turn() {
            Some(Fault::Eio) => Err(io::Error::from_raw_os_error(5)),
            Some(Fault::Enospc) => {
                // A full disk takes a part first.
                self.0
                    .write(&[IoSlice::new(&slices[0][..slices[0].len().min(3)])])?;
                Err(io::Error::from_raw_os_error(28))
            }
            Some(Fault::Interrupted) => Err(io::ErrorKind::Interrupted.into()),
            Some(Fault::Short) => self.0.write(&[IoSlice::new(&slices[0][..1])]),
            None => self.0.write(slices),
        }
    }
    fn sync(&self) -> io::Result<()> {
        self.1.check()?;
        self.0.sync()
    }
}

/// What a client does; gives what was acknowledged and the operations that it took.
fn work(scratch: &Scratch, fault: Fault, at: u64) -> (Vec<String>, u64) {
    let plan = Arc::new(Plan {
        fault,
        at,
        done: AtomicU64::new(0),
    });
    let options = StoreOptions {
        disk: Arc::new(FaultyDisk(Arc::clone(&plan))),
        sync: crate::persist::Sync::Always,
        ..scratch.options()
    };
    let mut acknowledged = Vec::new();
    let Ok(store) = Store::open(options, Cache::builder()) else {
        return (acknowledged, plan.done.load(Ordering::Relaxed));
    };
    let mut failed = false;
    for number in 0..6 {
        let key = format!("key {number}");
        set(&store, &key, "value");
        match store.commit() {
            Ok(()) => {
                assert!(
                    !failed,
                    "{fault:?} at {at}: a commit succeeded after one had failed"
                );
                acknowledged.push(key.clone());
            }
            Err(failure) => {
                let text = failure.to_string();
                assert!(
                    text.contains("journal-") || text.contains("snapshot-"),
                    "no file in {text}"
                );
                assert!(text.contains("os error"), "no cause in {text}");
                failed = true;
            }
        }
        assert!(store.cache().contains(&key), "reads go on");
        if number == 3 && store.snapshot().is_ok() && failed {
            // All that was written, also what could not be acknowledged, is in a new snapshot in new files.
            failed = false;
            acknowledged = (0..=number).map(|number| format!("key {number}")).collect();
        }
    }
    crash(store);
    (acknowledged, plan.done.load(Ordering::Relaxed))
}

#[test]
fn each_operation_of_the_disk_may_fail_and_nothing_acknowledged_is_lost() {
    let (_, operations) = work(&Scratch::new(), Fault::Eio, 0);
    assert!(operations > 20, "{operations}");
    for fault in [Fault::Eio, Fault::Enospc, Fault::Interrupted, Fault::Short] {
        for at in 1..=operations {
            let scratch = Scratch::new();
            let (acknowledged, _) = work(&scratch, fault, at);
            if matches!(fault, Fault::Interrupted | Fault::Short) {
                assert_eq!(acknowledged.len(), 6, "{fault:?} at {at} is no failure");
            }
            let store = open(&scratch);
            assert!(
                !store.recovery().is_damaged(),
                "{fault:?} at {at}: {}",
                store.recovery()
            );
            let found = contents(store.cache());
            for key in acknowledged {
                assert!(
                    found.contains_key(key.as_bytes()),
                    "{fault:?} at {at}: {key} was acknowledged and is lost"
                );
            }
        }
    }
}
