//! A disk of which a test says what fails and what waits. What the sessions on it do then is tested in durable.rs.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::persist::disk::wrapped::WrappedDisk;
use crate::persist::disk::{Disk, DiskFile};

/// What the test decides about the disk.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Journals cannot be written.
    pub(super) journals_fail: AtomicBool,
    /// Nor can the first of them.
    pub(super) first_fails: AtomicBool,
    /// Snapshots cannot be written.
    pub(super) snapshots_fail: AtomicBool,
    /// Syncs of snapshots wait until this is over.
    syncs_wait: Mutex<bool>,
    goes_on: Condvar,
}

impl Plan {
    pub(super) fn hold_syncs(&self) {
        *self.syncs_wait.lock().expect("no panic") = true;
    }

    pub(super) fn let_syncs_go(&self) {
        *self.syncs_wait.lock().expect("no panic") = false;
        self.goes_on.notify_all();
    }

    fn wait(&self) {
        let mut waits = self.syncs_wait.lock().expect("no panic");
        while *waits {
            waits = self.goes_on.wait(waits).expect("no panic");
        }
    }
}

#[derive(Debug)]
struct TestFile {
    file: Arc<dyn DiskFile>,
    plan: Arc<Plan>,
    is_snapshot: bool,
    is_first: bool,
}

/// The disk of which the plan decides.
pub(super) fn planned_disk(plan: &Arc<Plan>) -> Arc<dyn Disk> {
    let plan = Arc::clone(plan);
    Arc::new(WrappedDisk::new(move |path: &Path, file| {
        let name = path.file_name().expect("a name").to_string_lossy();
        Arc::new(TestFile {
            file,
            plan: Arc::clone(&plan),
            is_snapshot: name.starts_with("snapshot-"),
            is_first: name.ends_with("-00000000000000000001"),
        }) as Arc<dyn DiskFile>
    }))
}

impl DiskFile for TestFile {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let fails = match self.is_snapshot {
            true => &self.plan.snapshots_fail,
            false if self.is_first && self.plan.first_fails.load(Ordering::SeqCst) => &self.plan.first_fails,
            false => &self.plan.journals_fail,
        };
        match fails.load(Ordering::SeqCst) {
            // EIO.
            true => Err(io::Error::from_raw_os_error(5)),
            false => self.file.write(slices),
        }
    }
    fn sync(&self) -> io::Result<()> {
        if self.is_snapshot {
            self.plan.wait();
        }
        Ok(())
    }
}
