//! A whole directory: written by a store, damaged, opened again. It opens, whatever happened; it serves nothing that was not written; and once it has been
//! opened, the damage is gone and the next start serves the same.
#![no_main]

#[path = "support/damage.rs"]
mod damage;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use arbitrary::Arbitrary;
use damage::{Damage, file};
use libfuzzer_sys::fuzz_target;
use rustcache::persist::disk::{Disk, DiskFile};
use rustcache::persist::{Store, StoreOptions, Sync};
use rustcache::{Cache, Cursor, SetOptions, Tag};

#[derive(Debug, Arbitrary)]
struct Input {
    steps: Vec<Step>,
    damage: Vec<(u8, Hit)>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Set { key: u8, len: u16, fill: u8, tag: u8 },
    Remove(u8),
    ClearPrefix(u8),
    Snapshot,
    Restart,
}

#[derive(Debug, Arbitrary)]
enum Hit {
    Bytes(Damage),
    Missing,
    /// Copied under the name of another generation.
    Misnamed {
        is_journal: bool,
        generation: u8,
    },
    /// A file that was removed is there again.
    Returned,
}

type Files = BTreeMap<PathBuf, Arc<Mutex<Vec<u8>>>>;

/// A file system in memory: only the lock is real.
#[derive(Debug, Default)]
struct Memory {
    files: Mutex<Files>,
    removed: Mutex<Vec<(PathBuf, Vec<u8>)>>,
}

#[derive(Debug)]
struct MemoryFile(Arc<Mutex<Vec<u8>>>);

impl DiskFile for MemoryFile {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut file = self.0.lock().expect("not poisoned");
        slices.iter().for_each(|slice| file.extend_from_slice(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn files(&self) -> std::sync::MutexGuard<'_, Files> {
        self.files.lock().expect("not poisoned")
    }

    fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.files().get(path).cloned();
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        let bytes = file.lock().expect("not poisoned").clone();
        Ok(bytes)
    }

    fn put(&self, path: PathBuf, bytes: Vec<u8>) {
        self.files().insert(path, Arc::new(Mutex::new(bytes)));
    }
}

impl Disk for Memory {
    fn make_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = Arc::new(Mutex::new(Vec::new()));
        if self.files().contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.files().insert(path.to_owned(), Arc::clone(&file));
        Ok(Arc::new(MemoryFile(file)))
    }
    fn append(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let files = self.files();
        let file = files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile(Arc::clone(file))))
    }
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        Ok(file(&self.bytes(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.files().remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.files().insert(to.to_owned(), file);
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let bytes = self.bytes(path)?;
        self.removed
            .lock()
            .expect("not poisoned")
            .push((path.to_owned(), bytes));
        self.files().remove(path);
        Ok(())
    }
    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let bytes = self.bytes(from)?;
        self.put(to.to_owned(), bytes);
        Ok(())
    }
    fn newest(&self, _: &Path) -> io::Result<u64> {
        Ok(0)
    }
    fn list(&self, _: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
        let files = self.files();
        let lengths = files.iter().map(|(path, file)| {
            let len = file.lock().expect("not poisoned").len();
            (path.clone(), len as u64)
        });
        Ok(lengths.collect())
    }
}

/// One for each process: the lock is in it.
fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("rustcache-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory for the lock");
        path
    })
}

fn open(disk: &Arc<Memory>) -> Store {
    let options = StoreOptions {
        sync: Sync::Never,
        disk: Arc::clone(disk) as Arc<dyn Disk>,
        ..StoreOptions::new(directory())
    };
    Store::open(options, Cache::builder()).expect("it opens, whatever is in it")
}

fn contents(cache: &Cache) -> BTreeMap<Vec<u8>, (Vec<u8>, u8)> {
    let (mut contents, mut next) = (BTreeMap::new(), Some(Cursor::default()));
    while let Some(cursor) = next {
        let page = cache.scan(cursor, [], 1000, true);
        for entry in page.entries {
            let value = entry.value.expect("asked for").to_vec();
            contents.insert(entry.key.to_vec(), (value, entry.tag.0));
        }
        next = page.next;
    }
    contents
}

fuzz_target!(|input: Input| {
    let disk = Arc::new(Memory::default());
    let mut written: BTreeMap<Vec<u8>, BTreeSet<(Vec<u8>, u8)>> = BTreeMap::new();
    let mut store = open(&disk);
    for step in &input.steps {
        match *step {
            Step::Set { key, len, fill, tag } => {
                let (key, value) = (name(key), vec![fill; usize::from(len) % 3000]);
                let options = SetOptions::default().with_tag(Tag(tag));
                store.cache().set(&key, &value, options).expect("no limits");
                written.entry(key).or_default().insert((value, tag));
            }
            Step::Remove(key) => drop(store.cache().remove(name(key))),
            Step::ClearPrefix(prefix) => drop(store.cache().clear_prefix([prefix % 3])),
            Step::Snapshot => store.snapshot().expect("memory does not fail"),
            Step::Restart => {
                let before = contents(store.cache());
                store.commit().expect("memory does not fail");
                drop(store);
                store = open(&disk);
                assert!(!store.recovery().is_damaged(), "{}", store.recovery());
                assert_eq!(contents(store.cache()), before);
            }
        }
    }
    drop(store);

    for (which, hit) in &input.damage {
        strike(&disk, *which, hit);
    }
    let store = open(&disk);
    let found = contents(store.cache());
    for (key, value) in &found {
        let known = written.get(key).is_some_and(|values| values.contains(value));
        assert!(known, "{value:?} was never written under {key:?}");
    }
    drop(store);
    let store = open(&disk);
    assert!(!store.recovery().is_damaged(), "again: {}", store.recovery());
    assert_eq!(contents(store.cache()), found);
});

fn strike(disk: &Memory, which: u8, hit: &Hit) {
    let paths: Vec<PathBuf> = disk.files().keys().cloned().collect();
    let Some(path) = paths.get(usize::from(which) % paths.len().max(1)) else {
        return;
    };
    let mut bytes = disk.bytes(path).expect("it is listed");
    match hit {
        Hit::Bytes(damage) => {
            damage.hit(&mut bytes);
            disk.put(path.clone(), bytes);
        }
        Hit::Missing => drop(disk.files().remove(path)),
        Hit::Misnamed {
            is_journal,
            generation,
        } => {
            let kind = if *is_journal { "journal" } else { "snapshot" };
            disk.put(directory().join(format!("{kind}-{generation:020}")), bytes);
        }
        Hit::Returned => {
            if let Some((path, bytes)) = disk.removed.lock().expect("not poisoned").pop() {
                disk.put(path, bytes);
            }
        }
    }
}

fn name(of: u8) -> Vec<u8> {
    vec![of % 3, of % 16]
}
