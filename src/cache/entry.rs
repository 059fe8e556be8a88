//! The vocabulary of the engine's callers: tags, expiry, conditions, and what a read gives back.

use std::time::Duration;

use bytes::Bytes;

use super::clock::{NEVER, later, nanos};
use super::payload::View;
use super::value::Value;

/// What a value is, so that a value written by one language is read as what it is by another. The cache keeps it and never looks at
/// it.
///
/// ```
/// # use rustcache::{Cache, SetOptions, Tag};
/// # let cache = Cache::builder().build()?;
/// const PNG: Tag = Tag(Tag::USER.0 + 1);
/// cache.set("logo", b"\x89PNG", SetOptions::default().with_tag(PNG))?;
/// assert_eq!(cache.get("logo").unwrap().tag, PNG);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tag(pub u8);

impl Tag {
    /// Plain bytes.
    ///
    /// ```
    /// assert_eq!(rustcache::Tag::BYTES, rustcache::Tag::default());
    /// ```
    pub const BYTES: Tag = Tag(0);
    /// UTF-8 text.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions, Tag};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("a", "Ada", SetOptions::default().with_tag(Tag::TEXT))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const TEXT: Tag = Tag(1);
    /// JSON.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions, Tag};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("a", "[1]", SetOptions::default().with_tag(Tag::JSON))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const JSON: Tag = Tag(2);
    /// Node's `v8.serialize`.
    ///
    /// ```
    /// assert_eq!(rustcache::Tag::V8.0, 3);
    /// ```
    pub const V8: Tag = Tag(3);
    /// Python's pickle.
    ///
    /// ```
    /// assert_eq!(rustcache::Tag::PICKLE.0, 4);
    /// ```
    pub const PICKLE: Tag = Tag(4);
    /// `MessagePack`.
    ///
    /// ```
    /// assert_eq!(rustcache::Tag::MESSAGE_PACK.0, 5);
    /// ```
    pub const MESSAGE_PACK: Tag = Tag(5);
    /// Bytes with a media type, such as `image/png`, in front of them. `docs/protocol.md` says how, under "Bytes with a media type".
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions, Tag};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("logo", b"\x09image/png\x89PNG", SetOptions::default().with_tag(Tag::TYPED))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const TYPED: Tag = Tag(6);
    /// The first of eight tags for values that have something wrapped around them: times, tags to invalidate by, compression. `docs/protocol.md` says
    /// how, under "Wrapped values".
    ///
    /// ```
    /// assert!(rustcache::Tag::WRAPPED.is_wrapped());
    /// ```
    pub const WRAPPED: Tag = Tag(64);
    /// The first of the tags that are the user's own, up to 255.
    ///
    /// ```
    /// use rustcache::Tag;
    /// const PNG: Tag = Tag(Tag::USER.0);
    /// # assert!(!PNG.is_wrapped());
    /// ```
    pub const USER: Tag = Tag(128);

    /// Whether the bytes of the value begin with something that is wrapped around it.
    ///
    /// ```
    /// use rustcache::Tag;
    /// assert!(Tag(65).is_wrapped() && !Tag::USER.is_wrapped());
    /// ```
    pub const fn is_wrapped(self) -> bool {
        self.0 & !7 == Self::WRAPPED.0
    }
}

/// When an entry that is written shall expire. It is served until then, and never after. Times are kept in nanoseconds, and a time of more than 584
/// years as about that.
///
/// ```
/// # use rustcache::{Cache, Expiry, SetOptions, TimeLeft};
/// # let cache = Cache::builder().build()?;
/// use std::time::Duration;
///
/// cache.set("a", "1", SetOptions::default().with_expiry(Expiry::After(Duration::from_secs(60))))?;
/// cache.set("a", "2", SetOptions::default().with_expiry(Expiry::Keep))?;
/// assert!(matches!(cache.time_left("a"), Some(TimeLeft::Left(_))));
/// cache.set("a", "3", SetOptions::default().with_expiry(Expiry::Never))?;
/// assert_eq!(cache.time_left("a"), Some(TimeLeft::Forever));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Expiry {
    /// After the cache's default TTL, or never if it has none.
    #[default]
    Default,
    /// Never.
    Never,
    /// After this time from now, to the nanosecond; now is a moment within the call. Zero expires at once: nothing is stored, and what the key held is gone.
    After(Duration),
    /// At this time, in Unix milliseconds by the wall clock now. One in the past expires at once.
    At(u64),
    /// When the entry that is there expires; as `Default` if there is none.
    Keep,
}

/// Whether a write depends on the key's being there.
///
/// ```
/// # use rustcache::{Cache, Condition, SetOptions};
/// # let cache = Cache::builder().build()?;
/// let only_there = SetOptions::default().with_condition(Condition::IfPresent);
/// assert!(!cache.set("a", "1", only_there)?);
/// cache.set("a", "1", SetOptions::default())?;
/// assert!(cache.set("a", "2", only_there)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Condition {
    /// Write in any case.
    #[default]
    Always,
    /// Write only if the key is absent (or expired).
    IfAbsent,
    /// Write only if the key is present.
    IfPresent,
}

/// How a value is written: see [`Cache::set`](super::Cache::set). The default is plain bytes, the cache's default TTL, in any case.
///
/// ```
/// # use rustcache::{Cache, Condition, SetOptions, Tag};
/// # let cache = Cache::builder().build()?;
/// use std::time::Duration;
///
/// let options = SetOptions::ttl(Duration::from_secs(60)).with_tag(Tag::JSON).with_condition(Condition::IfAbsent);
/// assert!(cache.set("user:1", r#"{"name":"Ada"}"#, options)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SetOptions {
    /// What the value is.
    pub tag: Tag,
    /// When it expires.
    pub expiry: Expiry,
    /// Whether the write depends on the key's being there.
    pub condition: Condition,
}

impl SetOptions {
    /// The default but for an expiry `after` this time from now.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustcache::{Cache, SetOptions};
    ///
    /// let cache = Cache::builder().build()?;
    /// cache.set("code:1", "4711", SetOptions::ttl(Duration::from_secs(30)))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ttl(after: Duration) -> Self {
        Self::default().with_expiry(Expiry::After(after))
    }

    /// These, with another tag.
    ///
    /// ```
    /// use rustcache::{Cache, SetOptions, Tag};
    ///
    /// let cache = Cache::builder().build()?;
    /// cache.set("user:1", "{}", SetOptions::default().with_tag(Tag::JSON))?;
    /// assert_eq!(cache.get("user:1").unwrap().tag, Tag::JSON);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn with_tag(mut self, tag: Tag) -> Self {
        self.tag = tag;
        self
    }

    /// These, with another expiry.
    ///
    /// ```
    /// use rustcache::{Cache, Expiry, SetOptions};
    ///
    /// let cache = Cache::builder().build()?;
    /// let it_is_new_year = SetOptions::default().with_expiry(Expiry::At(1_893_456_000_000));
    /// cache.set("calendar", "2029", it_is_new_year)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn with_expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry;
        self
    }

    /// These, with another condition.
    ///
    /// ```
    /// use rustcache::{Cache, Condition, SetOptions};
    ///
    /// let cache = Cache::builder().build()?;
    /// let only_new = SetOptions::default().with_condition(Condition::IfAbsent);
    /// assert!(cache.set("user:1", "Ada", only_new)?);
    /// assert!(!cache.set("user:1", "Grace", only_new)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn with_condition(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }
}

/// How long an entry has to live.
///
/// ```
/// # use rustcache::{Cache, SetOptions, TimeLeft};
/// # let cache = Cache::builder().build()?;
/// use std::time::Duration;
///
/// cache.set("a", "1", SetOptions::ttl(Duration::from_secs(60)))?;
/// match cache.time_left("a") {
///     None => println!("it is not there"),
///     Some(TimeLeft::Forever) => println!("it stays"),
///     Some(TimeLeft::Left(time)) => println!("it goes in {time:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeLeft {
    /// It does not expire.
    Forever,
    /// It expires after this time. That is zero only in what [`Cache::get_with`](super::Cache::get_with) and its like give without having stored it.
    Left(Duration),
}

impl TimeLeft {
    pub(crate) fn between(now: u64, deadline: u64) -> Self {
        match deadline {
            NEVER => TimeLeft::Forever,
            _ => TimeLeft::Left(Duration::from_nanos(deadline.saturating_sub(now))),
        }
    }
}

/// What [`Cache::compare_and_set`](super::Cache::compare_and_set) found.
///
/// ```
/// # use rustcache::{Cache, CasOutcome, SetOptions};
/// # let cache = Cache::builder().build()?;
/// cache.set("a", "1", SetOptions::default())?;
/// let outcome = |key, expected| cache.compare_and_set(key, expected, "2", SetOptions::default());
/// assert_eq!(outcome("a", "0")?, CasOutcome::Mismatch);
/// assert_eq!(outcome("a", "1")?, CasOutcome::Stored);
/// assert_eq!(outcome("b", "1")?, CasOutcome::Missing);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CasOutcome {
    /// The value was the expected one and has been replaced.
    Stored,
    /// The key holds another value; nothing changed.
    Mismatch,
    /// The key is absent; nothing changed.
    Missing,
}

/// An entry that was read.
///
/// ```
/// # use rustcache::{Cache, SetOptions, Tag, TimeLeft};
/// # let cache = Cache::builder().build()?;
/// cache.set("a", "1", SetOptions::default().with_tag(Tag::TEXT))?;
/// let entry = cache.get("a").unwrap();
/// assert_eq!(entry.value, "1");
/// assert_eq!((entry.tag, entry.time_left), (Tag::TEXT, TimeLeft::Forever));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The value. Cheap to clone.
    pub value: Value,
    /// What the value is.
    pub tag: Tag,
    /// How long its TTL lets it live; that it may be idle for too long before is no matter here.
    pub time_left: TimeLeft,
}

/// An entry of a scan.
///
/// ```
/// # use rustcache::{Cache, Cursor, SetOptions};
/// # let cache = Cache::builder().build()?;
/// cache.set("a", "123", SetOptions::default())?;
/// let page = cache.scan(Cursor::default(), "", 100, false);
/// let entry = &page.entries[0];
/// assert_eq!((&entry.key[..], entry.value_len, &entry.value), (&b"a"[..], 3, &None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanEntry {
    /// The key.
    pub key: Bytes,
    /// The value, if the scan was asked for values.
    pub value: Option<Bytes>,
    /// Length of the value in bytes.
    pub value_len: usize,
    /// What the value is.
    pub tag: Tag,
    /// How long it has to live.
    pub time_left: TimeLeft,
}

/// A look at an entry while the lock of its shard is held: be quick, and do not call the cache.
#[derive(Debug)]
pub(crate) struct EntryRef<'a> {
    view: View<'a>,
    pub(crate) time_left: TimeLeft,
    /// The moment from which that counts, by the monotonic clock: a little while ago.
    pub(crate) now: u64,
}

impl<'a> EntryRef<'a> {
    pub(super) fn new(view: View<'a>, now: u64, deadline: u64) -> Self {
        EntryRef {
            view,
            time_left: TimeLeft::between(now, deadline),
            now,
        }
    }

    pub(crate) fn key(&self) -> &'a [u8] {
        self.view.key
    }

    pub(crate) fn value(&self) -> &'a [u8] {
        self.view.value
    }

    /// The value without a copy, if it is large enough to be shared.
    pub(crate) fn shared_value(&self) -> Option<Bytes> {
        self.view.shared.cloned()
    }

    pub(crate) fn tag(&self) -> Tag {
        self.view.tag
    }

    /// When it goes however often it is used, in nanoseconds by the monotonic clock, or `NEVER`.
    pub(super) fn deadline(&self) -> u64 {
        match self.time_left {
            TimeLeft::Forever => NEVER,
            TimeLeft::Left(left) => later(self.now, nanos(left)),
        }
    }

    pub(super) fn value_bytes(&self) -> Bytes {
        self.shared_value()
            .unwrap_or_else(|| Bytes::copy_from_slice(self.value()))
    }

    #[inline(always)]
    pub(super) fn to_entry(&self) -> Entry {
        let value = match self.view.shared {
            Some(shared) => Value::from(shared.clone()),
            None => Value::copy_of_first(self.value().len(), self.view.value_and_on),
        };
        Entry {
            value,
            tag: self.tag(),
            time_left: self.time_left,
        }
    }

    pub(super) fn to_scan_entry(&self, with_value: bool) -> ScanEntry {
        ScanEntry {
            key: Bytes::copy_from_slice(self.key()),
            value: with_value.then(|| self.value_bytes()),
            value_len: self.value().len(),
            tag: self.tag(),
            time_left: self.time_left,
        }
    }
}
