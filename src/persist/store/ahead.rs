//! Files that are dated in the future: what that costs is counted while they are read, and told. That time does not go back is the loader's business.

use std::collections::HashSet;
#[cfg(feature = "tracing")]
use std::time::{Duration, UNIX_EPOCH};

use crate::log;
use crate::persist::format::{Change, SnapshotEntry, fingerprint};
use crate::persist::load::Loader;
use crate::persist::replay::Sink;

/// Clocks of file systems are a bit behind, and those of other machines a bit off.
const WORTH_A_WORD: u64 = 2000;

#[cfg(feature = "tracing")]
fn date(millis: u64) -> String {
    // What the calendar cannot hold is no date to go by.
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(millis));
    time.map_or_else(
        || millis.to_string(),
        |time| humantime::format_rfc3339_seconds(time).to_string(),
    )
}

/// A loader, and the keys that count as expired only because files are dated in the future. All times are in Unix milliseconds.
pub(super) struct Ahead<'c> {
    loader: Loader<'c>,
    /// What the clock says, and what the files say.
    clock: u64,
    files: u64,
    /// By their fingerprints: that is near enough.
    expired: HashSet<u32>,
}

impl<'c> Ahead<'c> {
    pub(super) fn new(loader: Loader<'c>, clock: u64, files: u64) -> Self {
        Ahead {
            loader,
            clock,
            files,
            expired: HashSet::default(),
        }
    }

    fn is_ahead(&self) -> bool {
        self.files > self.clock
    }

    /// Whether that is to be told, and about how many entries it costs.
    fn costs(&self) -> Option<usize> {
        (self.files.saturating_sub(self.clock) > WORTH_A_WORD).then_some(self.expired.len())
    }

    pub(super) fn report(&self, directory: &std::path::Path) {
        let Some(expired) = self.costs() else { return };
        log::warn!(
            directory = %directory.display(),
            written = date(self.files),
            clock = date(self.clock),
            expired,
            "files were written in the future, so time is taken to stand there, and entries count as expired by that: set the clock, if it is behind"
        );
    }

    fn saw(&mut self, key: &[u8], deadline: Option<u64>) {
        if !self.is_ahead() {
            return;
        }
        match deadline {
            Some(deadline) if self.clock < deadline && deadline <= self.files => {
                self.expired.insert(fingerprint(key));
            }
            _ => {
                self.expired.remove(&fingerprint(key));
            }
        }
    }
}

impl Sink for Ahead<'_> {
    fn entry(&mut self, entry: &SnapshotEntry<'_>) {
        self.saw(entry.key, entry.deadline);
        self.loader.entry(entry);
    }

    fn entries(&mut self, entries: &[SnapshotEntry<'_>]) {
        if self.is_ahead() {
            for entry in entries {
                self.saw(entry.key, entry.deadline);
            }
        }
        self.loader.entries(entries);
    }

    fn change(&mut self, change: &Change<'_>) {
        match *change {
            Change::Set { key, deadline, .. } | Change::Deadline { key, deadline } => self.saw(key, deadline),
            Change::Remove { key } => self.saw(key, None),
            Change::Clear { prefix: [] } => self.expired.clear(),
            // Which of them begin so is not known any more.
            Change::Clear { .. } => {}
        }
        self.loader.change(change);
    }

    fn forget(&mut self, fingerprint: u32) {
        self.expired.remove(&fingerprint);
        self.loader.forget(fingerprint);
    }
}
