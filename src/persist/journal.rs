//! The journal: changes gathered in memory under the cache's locks, written to a file by whoever is about to acknowledge them.
//!
//! `append` only copies to memory. `commit` writes all that was appended before it, by anyone, with one `writev`, and under `Sync::Always` waits for one
//! `fdatasync`: while one caller waits for the disk, the changes of the others gather, and the next takes them all (group commit).
//! The first error latches: from then on nothing is written and no commit succeeds, until a complete new snapshot in new files clears it.

mod begin;

use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use crate::log;

use super::disk::{Disk, DiskFile, write_all};
use super::format::{
    Change, Content, FILE_HEADER, Note, Place, begin_record, push_note, push_record, seal_record,
};

pub(super) use begin::{Beginning, journal_path};
use begin::{NoFile, create};

/// When what is acknowledged is made to survive more than the death of the process: a crash of the kernel, a power cut. The death of the process it
/// survives in any case.
///
/// ```
/// use rustcache::{Cache, SyncMode};
/// let builder = Cache::builder().dir("sessions").sync(SyncMode::Always);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Sync {
    /// Before it is acknowledged.
    Always,
    /// Within about a second.
    #[default]
    EverySecond,
    /// When the system sees fit.
    Never,
}

/// Why nothing is durable any more.
///
/// ```no_run
/// # let cache = rustcache::Cache::builder().dir("sessions").open()?;
/// if let Err(error) = cache.flush() {
///     eprintln!("{error}"); // writing the journal sessions/journal-00000000000000000001: No space left on device (os error 28)
///     assert_eq!(error.kind, std::io::ErrorKind::StorageFull);
/// }
/// # Ok::<(), rustcache::OpenError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// What was to be done, and with which file.
    pub what: String,
    /// What the system said.
    pub cause: String,
    /// What kind of failure that is, for those who know a remedy.
    pub kind: io::ErrorKind,
    /// The number that the system has for that, if it was the system that failed.
    pub os_code: Option<i32>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.cause)
    }
}

impl std::error::Error for Failure {}

/// What the journal has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Records appended since the start.
    pub records: u64,
    /// Bytes written since the start.
    pub bytes: u64,
    /// Bytes of the journals that the next start would have to replay.
    pub bytes_since_snapshot: u64,
    /// Times that a file was synced.
    pub syncs: u64,
    /// Microseconds that took in all.
    pub sync_micros: u64,
    /// Microseconds of the longest.
    pub longest_sync_micros: u64,
}

#[derive(Debug)]
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    sync: Sync,
    /// Locked under the locks of shards: nothing slow happens while it is held.
    pending: Mutex<Pending>,
    /// Locked before `pending`, never after it.
    writer: Mutex<Writer>,
    /// Held while a file is synced without the writer's lock; locked before that.
    syncing: Mutex<()>,
    /// Records appended, and records of which the commit is over (well or not).
    appended: AtomicU64,
    settled: AtomicU64,
    /// Bytes of the file that have been synced. Stored with the writer's lock held.
    synced: AtomicU64,
    /// Whether there is a failure, for those who cannot wait for the lock.
    failed: AtomicBool,
    /// Whether no change is to be made any more.
    ending: AtomicBool,
    /// Whether it has, and nothing had failed before.
    has_ended_well: AtomicBool,
}

#[derive(Debug)]
struct Pending {
    place: Place,
    /// The length of the former journal, in bytes, until it is said in the first record of this one.
    follows: Option<u64>,
    /// The last offset that a note said is synced.
    noted: u64,
    /// Records, but without the values in `large`, which belong in between.
    bytes: Vec<u8>,
    large: Vec<LargeValue>,
}

#[derive(Debug)]
struct LargeValue {
    /// Where in `bytes` the record begins, and where its value belongs.
    start: usize,
    at: usize,
    value: Bytes,
}

#[derive(Debug)]
struct Writer {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// The first failure; it stays until everything is in a new snapshot.
    failure: Option<Failure>,
    /// Whether this very file failed: then nothing more goes into it.
    broken: bool,
    /// Whether there are bytes that were written and not synced.
    dirty: bool,
    /// `bytes_since_snapshot` when this file was begun.
    bytes_at_rotation: u64,
    stats: JournalStats,
    /// Empty memory for what gathers next.
    spare: Vec<u8>,
    /// Bytes of the file, with those that could not be written.
    len: u64,
}

/// How many bytes more must have been synced before the journal says so again.
const NOTED_EVERY: u64 = 4096;

/// Memory of a larger burst is given back, in bytes.
const SPARE: usize = 1 << 20;

impl Journal {
    /// Begins a journal. Those that it continues are synced first: else a power cut could take from them what was read, and keep what is written
    /// now.
    pub(super) fn begin(
        disk: Arc<dyn Disk>,
        directory: &Path,
        sync: Sync,
        beginning: &Beginning,
    ) -> Result<Self, Failure> {
        for path in &beginning.former {
            disk.append(path)
                .and_then(|file| file.sync())
                .map_err(|error| failure("syncing the journal", path, &error))?;
        }
        let generation = beginning.generation;
        let (path, file) = match beginning.begun {
            Some(now) => create(&*disk, directory, generation, now)?,
            None => {
                let path = journal_path(directory, generation);
                let file = disk
                    .append(&path)
                    .map_err(|error| failure("opening the journal", &path, &error))?;
                (path, file)
            }
        };
        let journal = Self::of_file(disk, directory, sync, generation, file, path);
        lock(&journal.pending).follows = beginning.follows;
        lock(&journal.writer).stats.bytes_since_snapshot = beginning.bytes_since_snapshot;
        Ok(journal)
    }

    /// A journal that has failed from the start, with no file: the next rotation begins that of the generation after this.
    pub(super) fn begin_failed(
        disk: Arc<dyn Disk>,
        directory: &Path,
        sync: Sync,
        beginning: &Beginning,
        failure: Failure,
    ) -> Self {
        // What the one to come follows is what was read.
        let (generation, len) = match (beginning.begun, beginning.follows) {
            (Some(_), Some(len)) => (beginning.generation - 1, len),
            (Some(_), None) => (beginning.generation - 1, FILE_HEADER as u64),
            (None, _) => (beginning.generation, FILE_HEADER as u64),
        };
        let path = journal_path(directory, generation);
        let journal = Self::of_file(disk, directory, sync, generation, Arc::new(NoFile), path);
        {
            let mut writer = lock(&journal.writer);
            writer.stats.bytes_since_snapshot = beginning.bytes_since_snapshot;
            writer.len = len;
            writer.broken = true;
            journal.latch(&mut writer, failure);
        }
        journal
    }

    fn of_file(
        disk: Arc<dyn Disk>,
        directory: &Path,
        sync: Sync,
        generation: u64,
        file: Arc<dyn DiskFile>,
        path: PathBuf,
    ) -> Self {
        Journal {
            disk,
            directory: directory.to_owned(),
            sync,
            pending: Mutex::new(Pending {
                place: Place {
                    generation,
                    sequence: 0,
                    previous: 0,
                },
                follows: None,
                noted: 0,
                bytes: Vec::new(),
                large: Vec::new(),
            }),
            writer: Mutex::new(Writer {
                file,
                path,
                failure: None,
                broken: false,
                dirty: false,
                bytes_at_rotation: 0,
                stats: JournalStats::default(),
                spare: Vec::new(),
                len: FILE_HEADER as u64,
            }),
            syncing: Mutex::new(()),
            appended: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            synced: AtomicU64::new(FILE_HEADER as u64),
            failed: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            has_ended_well: AtomicBool::new(false),
        }
    }

    /// Takes note of a change. `shared` is its value, if it can be kept without copying it.
    pub(super) fn append(&self, change: &Change<'_>, shared: Option<&Bytes>) {
        let mut pending = lock(&self.pending);
        if let Some(len) = pending.follows.take() {
            pending.note(Note::Follows(len));
        }
        let synced = self.synced.load(Ordering::Acquire);
        if pending.bytes.is_empty() && synced >= pending.noted + NOTED_EVERY {
            pending.noted = synced;
            pending.note(Note::Synced(synced));
        }
        let Pending {
            place, bytes, large, ..
        } = &mut *pending;
        match shared {
            None => push_record(*place, change, bytes),
            // Its checksum is computed when it is written, without the locks that are held here.
            Some(value) => {
                let start = begin_record(*place, change, bytes);
                large.push(LargeValue {
                    start,
                    at: bytes.len(),
                    value: value.clone(),
                });
            }
        }
        pending.stepped(change.fingerprint());
        self.appended.fetch_add(1, Ordering::Release);
    }

    /// Writes what was appended so far, and syncs it if that is asked for. Only then may it be acknowledged.
    ///
    /// # Errors
    /// The failure that latched, now or before.
    pub(super) fn commit(&self) -> Result<(), Failure> {
        let appended = self.appended.load(Ordering::Acquire);
        if self.settled.load(Ordering::Acquire) >= appended {
            // A snapshot that has just begun may have written it; whether well, the latch says.
            return match self.has_failed() {
                true => self.failure().map_or(Ok(()), Err),
                false => Ok(()),
            };
        }
        let mut writer = lock(&self.writer);
        if self.settled.load(Ordering::Acquire) >= appended {
            // Somebody else has written it meanwhile; whether well, the latch says.
            return writer.failure.clone().map_or(Ok(()), Err);
        }
        let (taken, records) = self.take_pending(None, &mut writer);
        self.write(&mut writer, taken);
        self.settled.store(records, Ordering::Release);
        writer.failure.clone().map_or(Ok(()), Err)
    }

    /// Goes over to the journal of the next generation, which may follow a failure, and gives its number. One caller at a time.
    ///
    /// The former journal is synced before there is anything in the new one: else a power cut could lose the end of the one and keep the other.
    pub(super) fn rotate(&self, now: u64) -> Result<u64, Failure> {
        let generation = self.next_generation();
        // Whoever commits meanwhile does not wait for these two.
        let (path, file) = create(&*self.disk, &self.directory, generation, now)?;
        // Kept to the end: a sync that is under way elsewhere is of the former journal.
        let _syncing = lock(&self.syncing);
        self.sync_dirty();
        let mut writer = lock(&self.writer);
        let (taken, records) = self.take_pending(Some(generation), &mut writer);
        self.write(&mut writer, taken);
        if writer.dirty && !writer.broken {
            self.sync_now(&mut writer);
        }
        self.settled.store(records, Ordering::Release);
        writer.path = path;
        writer.file = file;
        writer.len = FILE_HEADER as u64;
        self.synced.store(writer.len, Ordering::Release);
        lock(&self.pending).noted = 0;
        writer.broken = false;
        writer.dirty = false;
        writer.bytes_at_rotation = writer.stats.bytes_since_snapshot;
        Ok(generation)
    }

    /// The generation that the next rotation begins.
    pub(super) fn next_generation(&self) -> u64 {
        lock(&self.pending).place.generation + 1
    }

    /// The generation of this journal, if there is nothing in its file, nor about to be, and it can be written: a snapshot needs no other then.
    pub(super) fn unused_generation(&self) -> Option<u64> {
        let is_broken = lock(&self.writer).broken;
        let place = lock(&self.pending).place;
        (!is_broken && place.sequence == 0).then_some(place.generation)
    }

    /// No change is to be made from now on. What is made all the same, by whoever had begun to, is still written until [`end`](Self::end).
    pub(super) fn is_to_end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Writes and syncs what is left, and from then on nothing: the directory may be another's. Whoever commits later is told.
    pub(super) fn end(&self) {
        let _syncing = lock(&self.syncing);
        let mut writer = lock(&self.writer);
        let (taken, records) = self.take_pending(None, &mut writer);
        self.write(&mut writer, taken);
        if writer.dirty && !writer.broken {
            self.sync_now(&mut writer);
        }
        self.settled.store(records, Ordering::Release);
        writer.broken = true;
        if writer.failure.is_none() {
            writer.failure = Some(Failure {
                what: format!("writing the journal {}", writer.path.display()),
                cause: "the cache has been closed".to_owned(),
                kind: io::ErrorKind::Other,
                os_code: None,
            });
            self.has_ended_well.store(true, Ordering::Release);
        }
        self.failed.store(true, Ordering::Release);
    }

    /// Whether anything was appended that no commit has seen.
    pub(super) fn has_pending(&self) -> bool {
        self.settled.load(Ordering::Acquire) < self.appended.load(Ordering::Acquire)
    }

    /// Whether something has gone wrong.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// What went wrong, if something has.
    pub(super) fn failure(&self) -> Option<Failure> {
        lock(&self.writer).failure.clone()
    }

    /// As `failure`; but not that the end has come.
    pub(super) fn failure_before_the_end(&self) -> Option<Failure> {
        let failure = self.failure();
        failure.filter(|_| !self.has_ended_well.load(Ordering::Acquire))
    }

    /// Everything that was there when this generation began is in a snapshot: what failed before that is of no account any more.
    pub(super) fn snapshot_is_done(&self) {
        let mut writer = lock(&self.writer);
        writer.stats.bytes_since_snapshot -= writer.bytes_at_rotation;
        writer.bytes_at_rotation = 0;
        if !writer.broken {
            if writer.failure.take().is_some() {
                log::warn!("everything is on disk again");
            }
            self.failed.store(false, Ordering::Release);
        }
    }

    /// Syncs what was written and not yet synced, without keeping others from writing meanwhile.
    pub(super) fn sync_written(&self) {
        let _syncing = lock(&self.syncing);
        self.sync_dirty();
    }

    /// As `sync_written`, for those who hold `syncing`: so the file is the same at the end.
    fn sync_dirty(&self) {
        let (file, len) = {
            let mut writer = lock(&self.writer);
            if !writer.dirty || writer.broken {
                return;
            }
            writer.dirty = false;
            (Arc::clone(&writer.file), writer.len)
        };
        let began = Instant::now();
        let result = file.sync();
        let mut writer = lock(&self.writer);
        self.synced(&mut writer, began, result, len);
    }

    /// The file was synced up to `len`, or that failed: the kernel has marked the pages clean then, so a second sync would say that all is well. It is not.
    fn synced(&self, writer: &mut Writer, began: Instant, result: io::Result<()>, len: u64) {
        match writer.synced(began, result) {
            Ok(()) => {
                self.synced.fetch_max(len, Ordering::AcqRel);
            }
            Err(error) => self.fail(writer, "syncing the journal", &error),
        }
    }

    fn fail(&self, writer: &mut Writer, what: &str, error: &io::Error) {
        writer.broken = true;
        let failure = failure(what, &writer.path, error);
        self.latch(writer, failure);
    }

    /// Something else than the journal has failed, after which nothing should be called durable.
    pub(super) fn latch_now(&self, failure: Failure) {
        let mut writer = lock(&self.writer);
        writer.broken = true;
        self.latch(&mut writer, failure);
    }

    fn latch(&self, writer: &mut Writer, failure: Failure) {
        if writer.failure.is_none() {
            log::error!(%failure, "the disk has failed");
            writer.failure = Some(failure);
        }
        self.failed.store(true, Ordering::Release);
    }

    /// Drops what was appended and not yet committed.
    #[cfg(test)]
    pub(super) fn forget_pending(&self) {
        let (_, records) = self.take_pending(None, &mut lock(&self.writer));
        self.settled.store(records, Ordering::Release);
    }

    pub(super) fn stats(&self) -> JournalStats {
        let stats = lock(&self.writer).stats;
        JournalStats {
            records: self.appended.load(Ordering::Relaxed),
            ..stats
        }
    }

    /// What is pending, and the number of records appended up to it. With `next`, what is appended from now on is of that generation.
    fn take_pending(&self, next: Option<u64>, writer: &mut Writer) -> ((u64, Vec<u8>, Vec<LargeValue>), u64) {
        let mut pending = lock(&self.pending);
        let taken = (
            pending.place.generation,
            std::mem::replace(&mut pending.bytes, std::mem::take(&mut writer.spare)),
            std::mem::take(&mut pending.large),
        );
        if let Some(generation) = next {
            let large: usize = taken.2.iter().map(|large| large.value.len()).sum();
            pending.follows = Some(writer.len + (taken.1.len() + large) as u64);
            // Until the file is there: what is synced is the former one.
            pending.noted = u64::MAX - NOTED_EVERY;
            pending.place = Place {
                generation,
                sequence: 0,
                previous: 0,
            };
        }
        (taken, self.appended.load(Ordering::Acquire))
    }

    fn write(&self, writer: &mut Writer, (generation, mut bytes, large): (u64, Vec<u8>, Vec<LargeValue>)) {
        let len = (bytes.len() + large.iter().map(|large| large.value.len()).sum::<usize>()) as u64;
        // Counted even if it is not written: the next journal says that it follows so many bytes, and by that, that some are missing.
        writer.len += len;
        if writer.broken || bytes.is_empty() {
            return;
        }
        for LargeValue { start, at, value } in &large {
            seal_record(generation, &mut bytes[*start..*at], value);
        }
        let mut slices = Vec::with_capacity(2 * large.len() + 1);
        let mut from = 0;
        for LargeValue { at, value, .. } in &large {
            slices.push(IoSlice::new(&bytes[from..*at]));
            slices.push(IoSlice::new(value));
            from = *at;
        }
        slices.push(IoSlice::new(&bytes[from..]));
        match write_all(&*writer.file, &mut slices) {
            Ok(()) => {
                writer.dirty = true;
                writer.stats.bytes += len;
                writer.stats.bytes_since_snapshot += len;
                if self.sync == Sync::Always {
                    self.sync_now(writer);
                }
            }
            Err(error) => self.fail(writer, "writing the journal", &error),
        }
        bytes.clear();
        if bytes.capacity() <= SPARE {
            writer.spare = bytes;
        }
    }

    fn sync_now(&self, writer: &mut Writer) {
        let began = Instant::now();
        let result = writer.file.sync();
        writer.dirty = false;
        let len = writer.len;
        self.synced(writer, began, result, len);
    }
}

impl Pending {
    fn note(&mut self, note: Note) {
        push_note(self.place, note, &mut self.bytes);
        self.stepped(Content::Note(note).fingerprint());
    }

    /// A record was added, with a key of this fingerprint.
    fn stepped(&mut self, fingerprint: u32) {
        self.place.sequence = self.place.sequence.wrapping_add(1);
        self.place.previous = fingerprint;
    }
}

impl Writer {
    fn synced(&mut self, began: Instant, result: io::Result<()>) -> io::Result<()> {
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.stats.syncs += 1;
        self.stats.sync_micros += micros;
        self.stats.longest_sync_micros = self.stats.longest_sync_micros.max(micros);
        result
    }
}

pub(super) fn failure(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure {
        what: format!("{what} {}", path.display()),
        cause: error.to_string(),
        kind: error.kind(),
        os_code: error.raw_os_error(),
    }
}

/// A panic while it was held leaves nothing half done that matters more than going on.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
