//! Reading a snapshot back into a cache, a block at a time, past damage if that is asked for. What a length claims takes no memory before it is there.

use std::io::Read;

use super::super::format::{
    BLOCK_HEADER, Damage, FILE_HEADER, FileHeader, FileKind, entries, header_is_intact, read_block,
};
use super::super::search::next_block;
use super::super::window::Window;
use super::{BLOCK, GENERATION, OnDamage, RestoreError, Restored};
use crate::{Cache, Error, Expiry, SetOptions};

/// A block has at most this many bytes beyond the last of its entries.
const BEYOND_ENTRY: usize = 2 * BLOCK;
/// Keys that are announced to the cache at once.
const EXPECTED: usize = 16;

/// How far it has come.
pub(super) struct Restoring<'r> {
    cache: &'r Cache,
    window: Window<'r>,
    on_damage: OnDamage,
    generation: u64,
    pub(super) found: Restored,
}

impl<'r> Restoring<'r> {
    pub(super) fn new(cache: &'r Cache, from: impl Read + 'r, on_damage: OnDamage) -> Self {
        Restoring {
            cache,
            window: Window::new(Box::new(from)),
            on_damage,
            generation: GENERATION,
            found: Restored {
                is_complete: true,
                ..Restored::default()
            },
        }
    }

    pub(super) fn run(&mut self) -> Result<(), RestoreError> {
        if !self.header()? {
            return Ok(());
        }
        let longest = self.longest_block();
        let mut expected = 0;
        loop {
            let offset = self.window.offset();
            let Some(header) = self.look(BLOCK_HEADER)?.first_chunk::<BLOCK_HEADER>() else {
                let rest = self.look(0)?.len();
                return self.damaged(offset, rest, || "it ends there, before its last block".to_owned());
            };
            let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
            let claimed = BLOCK_HEADER + length as usize;
            if claimed <= longest
                && let Some((sequence, is_last)) = self.block(claimed, expected)?
            {
                if is_last {
                    return Ok(());
                }
                expected = sequence.saturating_add(1);
                continue;
            }
            let what = || {
                if claimed > longest {
                    format!(
                        "a block says that it has {claimed} bytes, and this cache needs none of more than {longest}: if it is whole, raise max_value_bytes"
                    )
                } else {
                    format!("block {expected} is not what was written there, by its checksum")
                }
            };
            let (skipped, next) = self.search(longest, expected)?;
            self.damaged(offset, skipped, what)?;
            match next {
                Some(sequence) => expected = sequence,
                None => return Ok(()),
            }
        }
    }

    /// Restores the block that begins here, if it is whole, and gives its number and whether it is the last.
    fn block(&mut self, claimed: usize, expected: u32) -> Result<Option<(u32, bool)>, RestoreError> {
        let (cache, generation) = (self.cache, self.generation);
        let passes_over = self.on_damage == OnDamage::Skip;
        let offset = self.window.offset();
        let whole = read_block(generation, self.look(claimed)?).filter(|block| {
            block.sequence >= expected && entries(block.entries).count() == block.count as usize
        });
        let Some(block) = whole else {
            return Ok(None);
        };
        let (sequence, is_last) = (block.sequence, block.count == 0);
        let missing = sequence - expected;
        let mut found = Restored::default();
        if missing == 0 || passes_over {
            write(cache, block.entries, &mut found).map_err(RestoreError::Refused)?;
        }
        if missing > 0 {
            self.damaged(offset, 0, || format!("{missing} blocks are missing there"))?;
        }
        self.found.entries += found.entries;
        self.found.expired += found.expired;
        self.found.refused += found.refused;
        self.window.advance(claimed);
        Ok(Some((sequence, is_last)))
    }

    /// `false` if there is nothing behind it.
    fn header(&mut self) -> Result<bool, RestoreError> {
        let bytes = self.look(FILE_HEADER)?;
        let len = bytes.len().min(FILE_HEADER);
        let is_intact = header_is_intact(bytes);
        match FileHeader::decode(FileKind::Snapshot, bytes) {
            Ok(header) => self.generation = header.generation,
            // It is what it is, and that is no snapshot that can be read here.
            Err(Damage(what)) if is_intact => return Err(RestoreError::Damaged { offset: 0, what }),
            Err(Damage(what)) => self.damaged(0, len, || what)?,
        }
        self.window.advance(len);
        Ok(len == FILE_HEADER)
    }

    /// A block ends with the entry that makes it long enough.
    fn longest_block(&self) -> usize {
        self.cache.max_key_bytes() + self.cache.max_value_bytes() + BEYOND_ENTRY
    }

    fn look(&mut self, want: usize) -> Result<&[u8], RestoreError> {
        let offset = self.window.offset();
        self.window
            .look(want)
            .map_err(|error| RestoreError::Read { offset, error })
    }

    /// Notes damage, or ends with it.
    fn damaged(
        &mut self,
        offset: u64,
        len: usize,
        what: impl FnOnce() -> String,
    ) -> Result<(), RestoreError> {
        if self.on_damage == OnDamage::Fail {
            return Err(RestoreError::Damaged { offset, what: what() });
        }
        self.found.is_complete = false;
        self.found.damaged_bytes += len as u64;
        self.found.first_damage.get_or_insert(offset);
        Ok(())
    }

    /// Moves to the next block that is whole, and gives its number and how many bytes lie before it; or to the end.
    fn search(&mut self, longest: usize, expected: u32) -> Result<(usize, Option<u32>), RestoreError> {
        let mut skipped = 0;
        if self.on_damage == OnDamage::Fail {
            return Ok((skipped, None));
        }
        loop {
            let generation = self.generation;
            let rest = self.look(2 * longest)?;
            let len = rest.len();
            let found = next_block(generation, rest, expected);
            let by = match found {
                Some((by, _)) => by,
                None if len < 2 * longest => len,
                // Where no whole block could begin that would have been seen.
                None => len - longest,
            };
            self.window.advance(by);
            skipped += by;
            match found {
                Some((_, sequence)) => return Ok((skipped, Some(sequence))),
                None if by == len => return Ok((skipped, None)),
                None => {}
            }
        }
    }
}

fn write(cache: &Cache, block: &[u8], found: &mut Restored) -> Result<(), Error> {
    let now = cache.clock().unix_millis();
    let mut batch = cache.batch();
    let mut some = Vec::with_capacity(EXPECTED);
    let mut all = entries(block);
    loop {
        some.clear();
        some.extend(all.by_ref().take(EXPECTED));
        if some.is_empty() {
            return batch.settle();
        }
        batch.expect(some.iter().map(|entry| entry.key));
        for entry in &some {
            let expiry = match entry.deadline {
                None => Expiry::Never,
                Some(at) if at > now => Expiry::At(at),
                Some(_) => {
                    found.expired += 1;
                    continue;
                }
            };
            let options = SetOptions {
                tag: entry.tag,
                expiry,
                ..SetOptions::default()
            };
            match batch.set(entry.key, entry.value, options) {
                Ok(_) => found.entries += 1,
                Err(Error::KeyTooLong { .. } | Error::ValueTooLong { .. } | Error::TooLarge { .. }) => {
                    found.refused += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
