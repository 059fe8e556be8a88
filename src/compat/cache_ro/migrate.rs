//! Takes over what cache_ro 0.2 or 0.3 has left in its directory: reads its files and changes none. Values stay as they are, since nothing in the files says
//! of which type they are; `values.rs` reads them when somebody asks for a type.
//!
//! ```text
//! *.bin     number of entries, then for each: key (text), value (length, bytes), deadline (Unix milliseconds)     by bincode.rs
//! ```

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use crate::{Condition, Expiry, SetOptions};

use super::bincode::varint;
use super::taken::Content;
use super::{Cache, values};

/// What [`migrate`] has read.
///
/// ```
/// use rustcache::compat::cache_ro::Migration;
///
/// let nothing = Migration::default();
/// assert_eq!((nothing.files, nothing.taken), (0, 0));
/// assert!(nothing.skipped.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migration {
    /// Files that were read.
    pub files: usize,
    /// Files that this cache has taken over before: nothing of them is taken again, or what was removed since would come back.
    pub files_taken_before: usize,
    /// Entries that are in the cache now.
    pub taken: usize,
    /// Entries that had expired.
    pub expired: usize,
    /// Entries whose keys are in the cache already: what is there is newer.
    pub present: usize,
    /// What could not be taken, and why.
    pub skipped: Vec<Skipped>,
}

/// What [`migrate`] could not take.
///
/// ```
/// # fn tell(migration: &rustcache::compat::cache_ro::Migration) {
/// for skipped in &migration.skipped {
///     let key = skipped.key.as_deref().unwrap_or("the rest");
///     eprintln!("{}: {key}: {}", skipped.file.display(), skipped.reason);
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The file.
    pub file: PathBuf,
    /// The key of the entry; `None` if it is the rest of the file.
    pub key: Option<String>,
    /// Why, and where.
    pub reason: String,
}

/// Takes the entries that cache_ro has left in a directory over into a cache, with their deadlines. No file of cache_ro's is changed; what the cache has under a
/// key already stays. `old_dir` may be the directory of the cache itself.
///
/// It may be called at each start: each file is taken over once, and what was removed since, by [`Cache::clear`] for example, stays removed. The cache remembers by what is in a file, in its own
/// directory (`migrated`); one that cache_ro has written again is another file. A cache in memory forgets with its last handle.
///
/// A file that a crash has torn is read up to there. [`Cache::get`] reads the values that were taken over as the type that it is asked for. What cache_ro wrote does not say what it is: it is not
/// garbage as long as it is asked for as the type that was set, but some wrong types cannot be told; that ends for a key when it is set again.
///
/// # Errors
/// If the directory cannot be read, or the cache cannot write what it takes, or remember that it has. What cannot be read of a file is in [`Migration::skipped`].
///
/// ```
/// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-migrate-{}", std::process::id()));
/// # std::fs::create_dir(&scratch)?;
/// # std::fs::write(scratch.join("cache_00.bin"), [1, 1, b'n', 1, 7, 253, 0, 0, 9, 0x18, 0x4e, 0x72, 0xa0, 0])?;
/// use rustcache::compat::cache_ro::{Cache, CacheConfig, migrate};
///
/// let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
/// let migration = migrate(&scratch, &cache)?;
/// assert_eq!((migration.taken, migration.skipped.len()), (1, 0));
/// assert_eq!(cache.get::<u64>("n"), Some(7));
/// # std::fs::remove_dir_all(scratch)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn migrate(old_dir: impl AsRef<Path>, cache: &Cache) -> io::Result<Migration> {
    let mut migration = Migration::default();
    let mut files = Vec::new();
    for entry in fs::read_dir(old_dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "bin") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let taken = &cache.shared.taken;
    let before = taken.all()?;
    for path in files {
        let opened = File::open(&path).and_then(|file| Ok((Content::of(&file)?, file)));
        let (content, mut file) = match opened {
            Ok((content, _)) if before.contains(&content) => {
                migration.files_taken_before += 1;
                continue;
            }
            Ok(opened) => opened,
            Err(error) => {
                migration.files += 1;
                migration.skip(&path, None, format!("it cannot be read: {error}"));
                continue;
            }
        };
        migration.files += 1;
        file.rewind()?;
        take_file(file, &path, cache, &mut migration)?;
        // First what was taken, then that it was.
        cache.cache().flush().map_err(io::Error::other)?;
        taken.add(content)?;
    }
    Ok(migration)
}

impl Migration {
    fn skip(&mut self, file: &Path, key: Option<String>, reason: String) {
        self.skipped.push(Skipped {
            file: file.to_owned(),
            key,
            reason,
        });
    }
}

/// Takes what can be read. An error is one of the cache.
fn take_file(file: File, path: &Path, cache: &Cache, migration: &mut Migration) -> io::Result<()> {
    let mut file = OldFile {
        file: BufReader::new(file),
        at: 0,
    };
    let count = match file.integer() {
        Ok(count) => count,
        Err(error) => {
            migration.skip(path, None, format!("at byte {}: {error}", file.at));
            return Ok(());
        }
    };
    let now = u128::from(cache.cache().clock().unix_millis());
    for number in 0..count {
        let begin = file.at;
        let entry = match file.entry(cache.cache().max_key_bytes(), cache.cache().max_value_bytes()) {
            Ok(entry) => entry,
            Err(error) => {
                let rest = format!(
                    "{} of {count} entries, from byte {begin} on: at byte {}: {error}",
                    count - number,
                    file.at
                );
                migration.skip(path, None, rest);
                return Ok(());
            }
        };
        match entry {
            Entry::TooLong { key, reason } => migration.skip(path, key, reason),
            Entry::Whole { deadline, .. } if deadline <= now => migration.expired += 1,
            Entry::Whole { key, value, deadline } => {
                let options = SetOptions {
                    tag: values::OLD_TAG,
                    // A deadline that no clock reaches.
                    expiry: u64::try_from(deadline).map_or(Expiry::Never, Expiry::At),
                    condition: Condition::IfAbsent,
                };
                match cache.cache().set(&key, value, options) {
                    Ok(true) => migration.taken += 1,
                    Ok(false) => migration.present += 1,
                    Err(error @ crate::Error::TooLarge { .. }) => {
                        migration.skip(path, Some(key), error.to_string());
                    }
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
        }
    }
    if !matches!(file.byte(), Err(error) if error.kind() == io::ErrorKind::UnexpectedEof) {
        migration.skip(
            path,
            None,
            format!("what follows the last entry, from byte {} on", file.at - 1),
        );
    }
    Ok(())
}

enum Entry {
    Whole {
        key: String,
        value: Vec<u8>,
        deadline: u128,
    },
    /// Longer than the cache takes.
    TooLong { key: Option<String>, reason: String },
}

struct OldFile {
    file: BufReader<File>,
    at: u64,
}

impl OldFile {
    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.file.read_exact(&mut byte)?;
        self.at += 1;
        Ok(byte[0])
    }

    fn integer(&mut self) -> io::Result<u128> {
        varint(|| self.byte(), || invalid("an integer is malformed"))
    }

    /// So many bytes, or `None` if they are more than `most`: they are passed over. Memory grows with what is there.
    fn bytes(&mut self, most: usize) -> io::Result<Option<Vec<u8>>> {
        let len = u64::try_from(self.integer()?).map_err(|_| invalid("a length is malformed"))?;
        let mut some = (&mut self.file).take(len);
        let (read, bytes) = if len > most as u64 {
            (io::copy(&mut some, &mut io::sink())?, None)
        } else {
            let mut bytes = Vec::new();
            (some.read_to_end(&mut bytes)? as u64, Some(bytes))
        };
        self.at += read;
        if read < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }

    fn entry(&mut self, longest_key: usize, longest_value: usize) -> io::Result<Entry> {
        let key = self.bytes(longest_key)?;
        let key = key
            .map(|key| String::from_utf8(key).map_err(|_| invalid("a key is not UTF-8")))
            .transpose()?;
        let value = self.bytes(longest_value)?;
        let deadline = self.integer()?;
        Ok(match (key, value) {
            (Some(key), Some(value)) => Entry::Whole { key, value, deadline },
            (None, _) => Entry::TooLong {
                key: None,
                reason: format!("a key is longer than {longest_key} bytes"),
            },
            (key, None) => Entry::TooLong {
                key,
                reason: format!("the value is longer than {longest_value} bytes"),
            },
        })
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
