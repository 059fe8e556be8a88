//! Exact LRU as a log: each use of an entry writes its slot at the end of the log, and into the stamp of the slot where that was. Only the record that a stamp names counts, so the least
//! recently used entry is that of the first record that does. Knows slots, and nothing of entries.
//!
//! A list has to write to both neighbours of an entry, which lie anywhere: two lines to be fetched from memory for each read, and the lock cannot be released before they have come. The log is
//! written at its end, and the stamp without waiting for it. Stamps lie together, four bytes each, so that the cleaner finds most of them in the processor's caches.
//!
//! ```text
//! records   | tail … write |   gap   | read … head |      a ring; positions are counted modulo 2³²
//!             records that   of no     not yet
//!             count, alone   account   cleaned
//! stamps[slot]   the position of its last use
//! ```
//! So that it does not grow for ever, a cleaner goes over it from time to time: it moves the records that count up to the others, and when it comes to the head, the head goes back to where they
//! end. It does four records for each use, a batch at a time.

use super::super::prefetch::prefetch;
use super::slots::NONE;

/// Uses that are noted before they go into the log, together: what has to be written for them is fetched meanwhile.
const NOTED: usize = 16;
/// Records that the cleaner goes over with each so many uses.
const BATCH: usize = 64;
/// Records of a chunk. (Fewer in tests of this crate, so that they see logs that are cleaned and grow.)
const CHUNK: usize = if cfg!(test) { 32 } else { 512 };
/// Stamps of a page.
const PAGE: usize = 1024;
/// An eviction fetches what belongs to the records so far on: first the stamp and the entry, and when those have come, what the entry leads to.
const AHEAD: u32 = 8;
const NEAR: u32 = 2;
/// A log has room for at least so many chunks.
const LEAST: usize = 8;
/// Of so many eighths of the room: from there on it is cleaned; and more of it must not count, or it grows. Cleaning takes a third of what there is when it begins, so it is done before
/// seven eighths are in use.
const CLEANED_FROM: usize = 5;
const GROWN_FROM: usize = 3;

#[derive(Debug)]
pub(super) struct Log {
    /// A ring of a power of two of them. Empty where no record has been; growing moves chunks, and copies no record.
    chunks: Vec<Option<Box<[u32; CHUNK]>>>,
    /// In pages, so that growing copies none; of a number that is known when this is compiled, since one is looked at in each operation.
    stamps: Vec<Box<[u32; PAGE]>>,
    /// Slots that hold an entry: so many records count.
    len: usize,
    /// The first `due` are uses that are not in the log yet, the others `NONE`.
    noted: [u32; NOTED],
    due: usize,
    /// The slot that was used last, or `NONE`.
    newest: u32,
    /// Records written since the cleaner had its turn.
    untidied: usize,
    tail: u32,
    write: u32,
    read: u32,
    head: u32,
    is_cleaning: bool,
}

impl Log {
    pub(super) fn new() -> Self {
        Log {
            chunks: vec![None; LEAST],
            stamps: Vec::new(),
            len: 0,
            noted: [NONE; NOTED],
            due: 0,
            newest: NONE,
            untidied: 0,
            tail: 0,
            write: 0,
            read: 0,
            head: 0,
            is_cleaning: false,
        }
    }

    /// Records that there is room for.
    fn room(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    #[inline(always)]
    fn record(&self, position: u32) -> u32 {
        let (chunk, place) = (position as usize / CHUNK, position as usize % CHUNK);
        let chunk = self.chunks.get(chunk & (self.chunks.len() - 1));
        chunk.and_then(Option::as_ref).map_or(NONE, |chunk| chunk[place])
    }

    #[inline(always)]
    fn set_record(&mut self, position: u32, slot: u32) {
        let (chunk, place) = (position as usize / CHUNK, position as usize % CHUNK);
        let chunk = chunk & (self.chunks.len() - 1);
        if let Some(chunk) = self.chunks.get_mut(chunk) {
            chunk.get_or_insert_with(|| Box::new([NONE; CHUNK]))[place] = slot;
        }
    }

    /// Records from the first that may count to the last, and those of no account between them.
    #[inline(always)]
    fn extent(&self) -> usize {
        self.head.wrapping_sub(self.tail) as usize
    }

    /// An entry has come into a slot.
    #[inline]
    pub(super) fn add(&mut self, slot: u32) {
        self.len += 1;
        if slot as usize >= self.stamps.len() * PAGE {
            self.add_page_for(slot);
        }
        self.note_use(slot);
    }

    #[cold]
    fn add_page_for(&mut self, slot: u32) {
        self.stamps
            .resize_with(slot as usize / PAGE + 1, || Box::new([0; PAGE]));
    }

    /// The entry of a slot, which has come, is used.
    #[inline(always)]
    pub(super) fn note_use(&mut self, slot: u32) {
        if self.newest == slot {
            return;
        }
        self.newest = slot;
        self.prefetch_stamp(slot);
        self.noted[self.due % NOTED] = slot;
        self.due += 1;
        if self.due == NOTED {
            self.write_noted();
        }
    }

    /// Whether a use of this slot is not in the log yet.
    #[inline(always)]
    fn is_noted(&self, slot: u32) -> bool {
        // All of them, without a branch for each: beyond `due` there is no slot.
        self.noted
            .iter()
            .fold(false, |is_any, &noted| is_any | (noted == slot))
    }

    /// Writes what is noted into the log.
    #[inline(never)]
    fn write_noted(&mut self) {
        let noted = std::mem::replace(&mut self.noted, [NONE; NOTED]);
        let noted = &noted[..std::mem::take(&mut self.due)];
        let mut position = self.head;
        for &slot in noted {
            if let Some(stamp) = self.stamp_mut(slot) {
                *stamp = position;
            }
            position = position.wrapping_add(1);
        }
        self.write_records(self.head, noted);
        self.head = position;
        self.untidied += noted.len();
        if self.untidied >= NOTED {
            self.untidied = 0;
            self.tidy();
        }
    }

    /// Writes records from a position on.
    #[inline(always)]
    fn write_records(&mut self, position: u32, mut slots: &[u32]) {
        let mut position = position as usize;
        while !slots.is_empty() {
            let (chunk, place) = (position / CHUNK, position % CHUNK);
            let run;
            (run, slots) = slots.split_at(slots.len().min(CHUNK - place));
            let chunk = chunk & (self.chunks.len() - 1);
            let chunk = self.chunks[chunk].get_or_insert_with(|| Box::new([NONE; CHUNK]));
            chunk[place..place + run.len()].copy_from_slice(run);
            position = position.wrapping_add(run.len());
        }
    }

    #[inline(always)]
    fn stamp(&self, slot: u32) -> Option<&u32> {
        let page = self.stamps.get(slot as usize / PAGE)?;
        Some(&page[slot as usize % PAGE])
    }

    #[inline(always)]
    fn stamp_mut(&mut self, slot: u32) -> Option<&mut u32> {
        let page = self.stamps.get_mut(slot as usize / PAGE)?;
        Some(&mut page[slot as usize % PAGE])
    }

    /// The entry of a slot goes.
    #[inline]
    pub(super) fn remove(&mut self, slot: u32) {
        self.forget_noted(slot);
        self.len -= 1;
        if let Some(&position) = self.stamp(slot) {
            self.set_record(position, NONE);
        }
    }

    /// The entry that `oldest` has just named goes.
    #[inline]
    pub(super) fn remove_oldest(&mut self, slot: u32) {
        debug_assert_eq!(self.record(self.tail), slot, "not the oldest");
        self.len -= 1;
        self.pass_over();
        if self.newest == slot {
            self.newest = NONE;
        }
    }

    /// What is to be known of a slot is in the log, and only there.
    #[inline]
    fn forget_noted(&mut self, slot: u32) {
        if self.is_noted(slot) {
            self.write_noted();
        }
        if self.newest == slot {
            self.newest = NONE;
        }
    }

    /// The entry that was used least recently.
    #[inline]
    pub(super) fn oldest(&mut self) -> Option<u32> {
        loop {
            let slot = self.record(self.tail);
            if self.counts(self.tail, slot) && self.tail != self.head && !self.is_noted(slot) {
                return Some(slot);
            }
            if !self.pass_over() {
                return None;
            }
        }
    }

    /// Goes over the record at the tail, which does not count or will not as soon as what is noted is written; `false` if there is none.
    #[inline]
    fn pass_over(&mut self) -> bool {
        if self.is_cleaning && self.tail == self.write && self.write != self.read {
            // What the cleaner has left before itself has gone.
            (self.tail, self.write) = (self.read, self.read);
        } else if self.tail != self.head {
            let next = self.tail.wrapping_add(1);
            if self.tail == self.read {
                (self.read, self.write) = (next, next);
            }
            self.tail = next;
        } else if self.due > 0 {
            self.write_noted();
        } else {
            return false;
        }
        true
    }

    /// Slots that are likely to be the oldest soon, and when some have gone. Fetches the stamp of the latter.
    #[inline]
    pub(super) fn upcoming(&self) -> [u32; 2] {
        let [near, far] = [NEAR, AHEAD].map(|on| self.record(self.tail.wrapping_add(on)));
        self.prefetch_stamp(far);
        [near, far]
    }

    /// Whether the record of this position is the last use of an entry.
    #[inline(always)]
    fn counts(&self, position: u32, slot: u32) -> bool {
        self.stamp(slot) == Some(&position)
    }

    #[inline]
    fn prefetch_stamp(&self, slot: u32) {
        if let Some(stamp) = self.stamp(slot) {
            prefetch(stamp);
        }
    }

    /// Every `NOTED` uses or so: cleans, if it is time.
    fn tidy(&mut self) {
        let eighth = self.room() / 8;
        if !self.is_cleaning {
            if self.extent() < eighth * CLEANED_FROM {
                return;
            }
            self.is_cleaning = true;
            (self.write, self.read) = (self.tail, self.tail);
        }
        // What comes before this is called again must fit; and no two ends of the log may be in one chunk, a round apart.
        let is_short = self.extent() + 2 * NOTED > self.room() - CHUNK;
        let is_clean = self.clean(if is_short { usize::MAX } else { BATCH });
        if is_clean && self.len > eighth * GROWN_FROM {
            self.grow();
        }
    }

    /// Goes over so many records, or all; whether it has come to the head.
    fn clean(&mut self, most: usize) -> bool {
        let mut left = most;
        while left > 0 && self.read != self.head {
            let (chunk, place) = (self.read as usize / CHUNK, self.read as usize % CHUNK);
            let ahead = self.head.wrapping_sub(self.read) as usize;
            let run = left.min(BATCH).min(ahead).min(CHUNK - place);
            // What is kept is written over what was read: not before it was read.
            let mut batch = [NONE; BATCH];
            if let Some(chunk) = &self.chunks[chunk & (self.chunks.len() - 1)] {
                batch[..run].copy_from_slice(&chunk[place..place + run]);
            }
            for &slot in &batch[..run] {
                self.prefetch_stamp(slot);
            }
            let (mut read, write, mut kept) = (self.read, self.write, 0);
            let pages = self.stamps.as_mut_slice();
            for n in 0..run {
                let slot = batch[n];
                if let Some(page) = pages.get_mut(slot as usize / PAGE) {
                    let stamp = &mut page[slot as usize % PAGE];
                    // Without a branch: nobody can foresee which of them count.
                    let counts = *stamp == read;
                    *stamp = if counts { write.wrapping_add(kept) } else { *stamp };
                    batch[kept as usize % BATCH] = slot;
                    kept += u32::from(counts);
                }
                read = read.wrapping_add(1);
            }
            let (write, kept) = (write.wrapping_add(kept), kept as usize);
            self.write_records(self.write, &batch[..kept]);
            (self.read, self.write) = (read, write);
            left -= run;
        }
        if self.read == self.head {
            self.head = self.write;
            self.is_cleaning = false;
        }
        !self.is_cleaning
    }

    /// Room for twice as many. Each record keeps its position.
    #[cold]
    fn grow(&mut self) {
        let mut chunks = vec![None; self.chunks.len() * 2];
        let (old_mask, mask) = (self.chunks.len() - 1, chunks.len() - 1);
        let first = self.tail as usize / CHUNK;
        for number in first..=first + self.extent() / CHUNK + 1 {
            if let (Some(old), Some(new)) = (
                self.chunks.get_mut(number & old_mask),
                chunks.get_mut(number & mask),
            ) {
                *new = old.take();
            }
        }
        self.chunks = chunks;
    }

    /// The entry of a slot is in another one.
    pub(super) fn relocate(&mut self, from: u32, to: u32) {
        self.forget_noted(from);
        let Some(&position) = self.stamp(from) else {
            return;
        };
        if let Some(stamp) = self.stamp_mut(to) {
            *stamp = position;
        }
        self.set_record(position, to);
    }

    /// There is no slot at `end` or above.
    pub(super) fn truncate(&mut self, end: usize) {
        self.stamps.truncate(end.div_ceil(PAGE));
    }

    /// Panics if the log contradicts itself. For tests and fuzzers.
    pub(super) fn validate(&self) {
        assert!(
            self.extent() <= self.room() - CHUNK,
            "more records than there is room for"
        );
        let from_tail = |position: u32| position.wrapping_sub(self.tail) as usize;
        if self.is_cleaning {
            let (write, read) = (from_tail(self.write), from_tail(self.read));
            assert!(
                write <= read && read <= self.extent(),
                "the cleaner is at {read} and writes at {write}"
            );
            let mut gap = (write..read).map(|n| self.tail.wrapping_add(u32::try_from(n).unwrap_or(0)));
            assert!(
                gap.all(|position| !self.counts(position, self.record(position))),
                "a record counts that was cleaned away"
            );
        }
    }

    /// All entries, the least recently used one first.
    pub(super) fn in_order(&mut self) -> Vec<u32> {
        self.write_noted();
        let positions =
            (0..u32::try_from(self.extent()).unwrap_or(u32::MAX)).map(|n| self.tail.wrapping_add(n));
        positions
            .map(|position| (position, self.record(position)))
            .filter(|&(position, slot)| self.counts(position, slot))
            .map(|(_, slot)| slot)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_a_textbook_however_often_the_log_is_cleaned(
            steps in prop::collection::vec((0u8..18, any::<u16>()), 0..6_000),
            inserts in 1u8..8,
        ) {
            let (mut log, mut book, mut vacant, mut end) = (Log::new(), Vec::new(), Vec::new(), 0);
            for (turn, (step, number)) in steps.into_iter().enumerate() {
                let at = usize::from(number) % book.len().max(1);
                if step < inserts || book.is_empty() {
                    let slot = vacant.pop().unwrap_or_else(|| { end += 1; end - 1 });
                    log.add(slot);
                    book.push(slot);
                } else if step == 14 {
                    let slot = book.remove(at);
                    log.remove(slot);
                    vacant.push(slot);
                } else if step == 15 {
                    prop_assert_eq!(log.oldest(), Some(book[0]));
                    let slot = book.remove(0);
                    log.remove(slot);
                    vacant.push(slot);
                } else if step == 16 && !vacant.is_empty() {
                    // The last slot is given up: who is there moves to a vacant one.
                    end -= 1;
                    match vacant.iter().position(|&slot| slot == end) {
                        Some(place) => drop(vacant.swap_remove(place)),
                        None => {
                            let to = vacant.pop().unwrap();
                            log.relocate(end, to);
                            book.iter_mut().for_each(|slot| if *slot == end { *slot = to });
                        }
                    }
                    log.truncate(end as usize);
                } else {
                    let slot = book.remove(at);
                    log.note_use(slot);
                    book.push(slot);
                }
                if turn % 100 == 0 {
                    log.validate();
                    prop_assert_eq!(log.in_order(), book.clone());
                }
            }
            log.validate();
            prop_assert_eq!(log.in_order(), book);
        }
    }

    #[test]
    fn a_log_takes_no_more_room_than_so_many_records_for_each_entry() {
        let mut log = Log::new();
        (0..10_000).for_each(|slot| log.add(slot));
        for turn in 0..200_000u32 {
            log.note_use(turn.wrapping_mul(2_654_435_761) % 10_000);
        }
        assert!(log.room() <= 10_000 * 16 / 3, "room for {} records", log.room());
        log.validate();
    }
}
