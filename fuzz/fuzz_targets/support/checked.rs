//! What may be read from a damaged file: nothing but what was written, whatever happened to it.

use std::collections::{BTreeMap, BTreeSet};

use rustcache::persist::format::{Change, SnapshotEntry, fingerprint};
use rustcache::persist::replay::Sink;

/// All that was ever written under a key: value, tag, deadline.
pub(crate) type Written = BTreeMap<Vec<u8>, BTreeSet<Value>>;
pub(crate) type Value = (Vec<u8>, u8, Option<u64>);

/// Takes what is read back, and checks that it is something that was written.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// `None`: anything may come.
    pub(crate) written: Option<Written>,
    pub(crate) now: BTreeMap<Vec<u8>, Value>,
    pub(crate) bytes: usize,
}

impl Checked {
    pub(crate) fn against(written: Written) -> Self {
        Checked {
            written: Some(written),
            ..Checked::default()
        }
    }

    fn take(&mut self, key: &[u8], value: Value) {
        if let Some(written) = &self.written {
            let known = written.get(key).is_some_and(|values| values.contains(&value));
            assert!(known, "{value:?} was never written under {key:?}");
        }
        self.bytes += key.len() + value.0.len();
        self.now.insert(key.to_vec(), value);
    }
}

impl Sink for Checked {
    fn entry(&mut self, entry: &SnapshotEntry<'_>) {
        self.take(entry.key, (entry.value.to_vec(), entry.tag.0, entry.deadline));
    }

    fn change(&mut self, change: &Change<'_>) {
        match *change {
            Change::Set {
                key,
                value,
                tag,
                deadline,
            } => self.take(key, (value.to_vec(), tag.0, deadline)),
            Change::Remove { key } => drop(self.now.remove(key)),
            Change::Deadline { key, deadline } => {
                if let Some(value) = self.now.get_mut(key) {
                    value.2 = deadline;
                }
            }
            Change::Clear { prefix } => self.now.retain(|key, _| !key.starts_with(prefix)),
        }
    }

    fn forget(&mut self, wanted: u32) {
        self.now.retain(|key, _| fingerprint(key) != wanted);
    }
}
