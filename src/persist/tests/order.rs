//! In which order things are asked of the disk: what a power cut may leave depends on nothing else.

use std::io::{self, IoSlice, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Scratch, crash, open, set};
use crate::Cache;
use crate::persist::disk::{Disk, DiskFile, SystemDisk};
use crate::persist::{Store, StoreOptions, Sync};

/// What was asked, and of which file, by its name.
type Asked = Arc<Mutex<Vec<String>>>;

/// The system's disk, with a list of what was asked of it.
#[derive(Debug, Clone, Default)]
struct ListingDisk(Asked);

#[derive(Debug)]
struct ListingFile(Arc<dyn DiskFile>, String, Asked);

impl ListingDisk {
    fn note(&self, what: &str, path: &Path) {
        let name = path.file_name().unwrap().to_string_lossy();
        self.0.lock().unwrap().push(format!("{what} {name}"));
    }

    fn file(&self, file: Arc<dyn DiskFile>, path: &Path) -> Arc<dyn DiskFile> {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Arc::new(ListingFile(file, name, Arc::clone(&self.0)))
    }

    /// Where in the list that is.
    fn position(&self, what: &str) -> usize {
        let asked = self.0.lock().unwrap();
        asked
            .iter()
            .position(|asked| asked == what)
            .unwrap_or_else(|| panic!("{what} is not among {asked:?}"))
    }
}

impl Disk for ListingDisk {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        SystemDisk.make_directory(path)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.note("create", path);
        Ok(self.file(SystemDisk.create(path)?, path))
    }
    fn append(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(SystemDisk.append(path)?, path))
    }
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        SystemDisk.read(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note("rename", from);
        SystemDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.note("remove", path);
        SystemDisk.remove(path)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.note("sync directory of", &path.join("files"));
        SystemDisk.sync_directory(path)
    }
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.copy(from, to)
    }
    fn newest(&self, path: &Path) -> io::Result<u64> {
        SystemDisk.newest(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
        SystemDisk.list(path)
    }
}

impl DiskFile for ListingFile {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.2.lock().unwrap().push(format!("write {}", self.1));
        self.0.write(slices)
    }
    fn sync(&self) -> io::Result<()> {
        self.2.lock().unwrap().push(format!("sync {}", self.1));
        self.0.sync()
    }
}

const FIRST: &str = "journal-00000000000000000001";
const SECOND: &str = "journal-00000000000000000002";
const SNAPSHOT: &str = "snapshot-00000000000000000002";

#[test]
fn what_was_read_is_synced_before_anything_new_is_written() {
    for sync in [Sync::Always, Sync::EverySecond, Sync::Never] {
        let scratch = Scratch::new();
        let store = open(&scratch);
        set(&store, "a", "1");
        store.commit().unwrap();
        crash(store);
        let disk = ListingDisk::default();
        let options = StoreOptions {
            sync,
            disk: Arc::new(disk.clone()),
            ..scratch.options()
        };
        crash(Store::open(options, Cache::builder()).unwrap());
        let (synced, written) = (
            disk.position(&format!("sync {FIRST}")),
            disk.position(&format!("write {SECOND}")),
        );
        assert!(synced < written, "{sync:?}");
    }
}

#[test]
fn a_journal_is_synced_before_the_next_one_holds_anything_and_a_snapshot_before_it_gets_its_name() {
    for sync in [Sync::Always, Sync::EverySecond, Sync::Never] {
        let scratch = Scratch::new();
        let disk = ListingDisk::default();
        let options = StoreOptions {
            sync,
            disk: Arc::new(disk.clone()),
            ..scratch.options()
        };
        let store = Store::open(options, Cache::builder()).unwrap();
        set(&store, "a", "1");
        store.commit().unwrap();
        disk.0.lock().unwrap().clear();
        set(&store, "b", "2");
        store.snapshot().unwrap();
        set(&store, "c", "3");
        store.commit().unwrap();
        let asked = disk.0.lock().unwrap().clone();
        let last = |what: &str| asked.iter().rposition(|asked| asked == what).unwrap();
        // The last write is the first record; those before it are the header.
        assert!(
            last(&format!("sync {FIRST}")) < last(&format!("write {SECOND}")),
            "{asked:?}"
        );
        assert!(
            disk.position(&format!("sync {SNAPSHOT}.unfinished"))
                < disk.position(&format!("rename {SNAPSHOT}.unfinished")),
            "{asked:?}"
        );
        let renamed = disk.position(&format!("rename {SNAPSHOT}.unfinished"));
        assert_eq!(asked[renamed + 1], "sync directory of files");
        assert!(
            renamed + 1 < disk.position(&format!("remove {FIRST}")),
            "{asked:?}"
        );
        crash(store);
    }
}
