//! The names in JSON objects as Python's text: those that came last are kept, since the next value is likely to have the same ones. Each is then one object, with its hash, wherever it occurs.

use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::PyString;

/// What is longer is no name that comes again and again.
const LONGEST: usize = 24;
const PLACES: usize = 256;

/// A short name, filled up with zeros, and its length.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Short {
    words: [u64; LONGEST / 8],
    len: usize,
}

impl Short {
    #[inline]
    fn of(name: &str) -> Option<Self> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        let (words, _) = bytes.as_chunks::<8>();
        let mut short = Short {
            words: [0; LONGEST / 8],
            len: name.len(),
        };
        for (word, bytes) in short.words.iter_mut().zip(words) {
            *word = u64::from_le_bytes(*bytes);
        }
        Some(short)
    }

    /// Names that share a place take it from each other, and nothing else happens.
    #[inline]
    fn place(&self) -> usize {
        let mixed = self.words.iter().fold(0, |mixed: u64, word| {
            (mixed.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        });
        (mixed >> 56) as usize % PLACES
    }
}

type Places = [Option<(Short, Py<PyString>)>; PLACES];

/// Those of nobody who reads just now. Its lock is held for the moment that it takes to move it, and nobody waits for it.
static SPARE: Mutex<Option<Box<Places>>> = Mutex::new(None);

/// What one reader has for itself while it reads, which may run Python code.
#[derive(Debug)]
pub(super) struct Names(Option<Box<Places>>);

impl Names {
    #[inline]
    pub(super) fn take() -> Self {
        Names(SPARE.try_lock().ok().and_then(|mut spare| spare.take()))
    }

    #[inline]
    pub(super) fn give_back(self) {
        let Names(Some(places)) = self else { return };
        let mut left = Some(places);
        if let Ok(mut spare) = SPARE.try_lock()
            && spare.is_none()
        {
            *spare = left.take();
        }
        // Without the lock, if another one was given back meanwhile.
        drop(left);
    }

    /// The name as text of Python's.
    #[inline]
    pub(super) fn object<'py>(&mut self, py: Python<'py>, name: &str) -> Bound<'py, PyString> {
        let Some(short) = Short::of(name) else {
            return PyString::new(py, name);
        };
        let places = self.0.get_or_insert_with(|| Box::new([const { None }; PLACES]));
        let place = &mut places[short.place()];
        if let Some((there, object)) = place
            && *there == short
        {
            return object.bind(py).clone();
        }
        let object = PyString::new(py, name);
        *place = Some((short, object.clone().unbind()));
        object
    }
}
