//! A value that was read: a short one in place, so that a read allocates nothing; a longer one as bytes of its own, shared. Knows nothing of the cache.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str::Utf8Error;

use bytes::Bytes;

/// Up to here a value is kept in place: with its length, that is a cache line.
const SHORT: usize = 63;

/// The bytes of a value. Values of up to 63 bytes lie in it and take no allocation; longer ones are [`Bytes`], so that a clone copies nothing.
///
/// ```
/// let cache = rustcache::Cache::builder().build()?;
/// cache.set("answer", "42", rustcache::SetOptions::default())?;
/// let value = cache.get("answer").unwrap().value;
/// assert_eq!(value, "42");
/// assert_eq!(value.as_str()?.parse(), Ok(42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Value(Repr);

#[derive(Clone)]
enum Repr {
    /// The first `len` are the value.
    Short {
        len: u8,
        bytes: [u8; SHORT],
    },
    Long(Bytes),
}

impl Value {
    /// A copy of these bytes.
    ///
    /// ```
    /// assert_eq!(rustcache::Value::copy_from_slice(b"abc"), "abc");
    /// ```
    #[inline]
    pub fn copy_from_slice(bytes: &[u8]) -> Self {
        let Some(len) = u8::try_from(bytes.len())
            .ok()
            .filter(|&len| usize::from(len) <= SHORT)
        else {
            return Value(Repr::Long(Bytes::copy_from_slice(bytes)));
        };
        let mut short = [0; SHORT];
        short[..bytes.len()].copy_from_slice(bytes);
        Value(Repr::Short { len, bytes: short })
    }

    /// A copy of the first `len` of these bytes. Where the value is short, some that follow it are copied along, and nobody ever sees them: to copy a number of
    /// bytes that is known beforehand takes some instructions, and any other number a call.
    #[inline(always)]
    pub(super) fn copy_of_first(len: usize, bytes: &[u8]) -> Self {
        const HALF: usize = SHORT.div_ceil(2);
        if let (Ok(short), Some(&bytes)) = (u8::try_from(len), bytes.first_chunk())
            && (HALF..=SHORT).contains(&len)
        {
            return Value(Repr::Short { len: short, bytes });
        }
        if let (Ok(short), Some(first)) = (u8::try_from(len), bytes.first_chunk::<HALF>())
            && len < HALF
        {
            let mut bytes = [0; SHORT];
            bytes[..HALF].copy_from_slice(first);
            return Value(Repr::Short { len: short, bytes });
        }
        Self::copy_from_slice(&bytes[..len])
    }

    /// The bytes.
    ///
    /// ```
    /// assert_eq!(rustcache::Value::copy_from_slice(b"abc").as_slice(), b"abc");
    /// ```
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Short { len, bytes } => &bytes[..usize::from(*len).min(SHORT)],
            Repr::Long(bytes) => bytes,
        }
    }
}

impl Value {
    /// The bytes as text, if they are UTF-8.
    ///
    /// # Errors
    /// Where they are not.
    ///
    /// ```
    /// use rustcache::Value;
    ///
    /// assert_eq!(Value::copy_from_slice(b"Ada").as_str(), Ok("Ada"));
    /// assert!(Value::copy_from_slice(b"\xff").as_str().is_err());
    /// ```
    pub fn as_str(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(self.as_slice())
    }
}

impl Deref for Value {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Value {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl From<Bytes> for Value {
    /// Shares the bytes, or copies them if they are few.
    fn from(bytes: Bytes) -> Self {
        if bytes.len() > SHORT {
            Value(Repr::Long(bytes))
        } else {
            Self::copy_from_slice(&bytes)
        }
    }
}

impl From<Value> for Bytes {
    /// Shares the bytes of a long value, and copies those of a short one.
    fn from(value: Value) -> Self {
        match value.0 {
            Repr::Short { .. } => Bytes::copy_from_slice(&value),
            Repr::Long(bytes) => bytes,
        }
    }
}

impl From<Value> for Vec<u8> {
    fn from(value: Value) -> Self {
        match value.0 {
            Repr::Short { .. } => value.to_vec(),
            Repr::Long(bytes) => bytes.into(),
        }
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Value {
    fn eq(&self, other: &T) -> bool {
        self.as_slice() == other.as_ref()
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl fmt::Debug for Value {
    /// As a byte string literal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.as_slice().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const _: () = assert!(size_of::<Value>() <= 72, "a cache line and a word");

    #[test]
    fn a_value_is_the_bytes_it_was_made_of_whatever_their_length() {
        for len in [0, 1, SHORT - 1, SHORT, SHORT + 1, 255, 256, 257, 5000] {
            let bytes: Vec<u8> = (0..=250).cycle().take(len).collect();
            let copied = Value::copy_from_slice(&bytes);
            let shared = Value::from(Bytes::from(bytes.clone()));
            for value in [copied.clone(), shared.clone()] {
                assert_eq!(value, bytes);
                assert_eq!(value.len(), len);
                assert_eq!(Bytes::from(value.clone()), bytes);
                assert_eq!(Vec::from(value), bytes);
            }
            assert_eq!(copied, shared);
            assert!(HashSet::from([copied]).contains(bytes.as_slice()));
        }
    }

    #[test]
    fn values_of_other_bytes_differ() {
        let long = [1; 100];
        for (one, other) in [
            (&b""[..], &b"\0"[..]),
            (b"a", b"b"),
            (b"a", b"aa"),
            (&long, &long[1..]),
        ] {
            assert_ne!(Value::copy_from_slice(one), Value::copy_from_slice(other));
        }
    }

    #[test]
    fn a_long_value_is_shared_by_its_clones() {
        let value = Value::copy_from_slice(&[7; 100]);
        assert!(std::ptr::eq(value.as_ptr(), value.clone().as_ptr()));
        let bytes = Bytes::from(value.clone());
        assert!(std::ptr::eq(value.as_ptr(), bytes.as_ptr()));
    }

    #[test]
    fn a_value_is_what_it_was_copied_from_and_nothing_that_follows_it() {
        let bytes: Vec<u8> = (0..=255).collect();
        for len in 0..=130 {
            for end in [len, len + 1, len + 32, bytes.len()] {
                let value = Value::copy_of_first(len, &bytes[..end.min(bytes.len())]);
                assert_eq!(value, bytes[..len]);
                assert_eq!(value.clone(), Value::copy_from_slice(&bytes[..len]));
            }
        }
    }

    #[test]
    fn a_value_is_shown_as_its_bytes() {
        assert_eq!(
            format!("{:?}", Value::copy_from_slice(b"a\"\n\xff")),
            r#"b"a\"\n\xff""#
        );
    }
}
