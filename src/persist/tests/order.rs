//! In which order things are asked of the disk: what a power cut may leave depends on nothing else.

use std::sync::{Arc, Mutex};

use super::hooked_disk::HookedDisk;
use super::{Scratch, crash, open, set};
use crate::Cache;
use crate::persist::{Store, StoreOptions, Sync};

/// What was asked, and of which file, by its name.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    fn disk(&self) -> Arc<HookedDisk> {
        let asked = self.clone();
        HookedDisk::new(move |operation, name| {
            asked.0.lock().unwrap().push(format!("{operation} {name}"));
            Ok(())
        })
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
        let asked = Asked::default();
        let options = StoreOptions {
            sync,
            disk: asked.disk(),
            ..scratch.options()
        };
        crash(Store::open(options, Cache::builder()).unwrap());
        let (synced, written) = (
            asked.position(&format!("sync {FIRST}")),
            asked.position(&format!("write {SECOND}")),
        );
        assert!(synced < written, "{sync:?}");
    }
}

#[test]
fn a_journal_is_synced_before_the_next_one_holds_anything_and_a_snapshot_before_it_gets_its_name() {
    for sync in [Sync::Always, Sync::EverySecond, Sync::Never] {
        let scratch = Scratch::new();
        let asked = Asked::default();
        let options = StoreOptions {
            sync,
            disk: asked.disk(),
            ..scratch.options()
        };
        let store = Store::open(options, Cache::builder()).unwrap();
        set(&store, "a", "1");
        store.commit().unwrap();
        asked.0.lock().unwrap().clear();
        set(&store, "b", "2");
        store.snapshot().unwrap();
        set(&store, "c", "3");
        store.commit().unwrap();
        let list = asked.0.lock().unwrap().clone();
        let last = |what: &str| list.iter().rposition(|asked| asked == what).unwrap();
        // The last write is the first record; those before it are the header.
        assert!(
            last(&format!("sync {FIRST}")) < last(&format!("write {SECOND}")),
            "{list:?}"
        );
        assert!(
            asked.position(&format!("sync {SNAPSHOT}.unfinished"))
                < asked.position(&format!("rename {SNAPSHOT}.unfinished")),
            "{list:?}"
        );
        let renamed = asked.position(&format!("rename {SNAPSHOT}.unfinished"));
        let directory = scratch.path().file_name().unwrap().to_string_lossy();
        assert_eq!(list[renamed + 1], format!("sync directory {directory}"));
        assert!(
            renamed + 1 < asked.position(&format!("remove {FIRST}")),
            "{list:?}"
        );
        crash(store);
    }
}
