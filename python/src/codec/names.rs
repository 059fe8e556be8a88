//! The names in JSON objects as Python's text: those that came last are kept, since the next value is likely to have the same ones. Each is then one object, with its hash, wherever it occurs;
//! within one document each name is, whatever its length and however many there are.

use std::collections::HashMap;
use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::PyString;

/// What is longer is not likely to come again in another document.
const LONGEST: usize = 24;
const PLACES: usize = 256;
/// A name may be in so many places, one after the other.
const NEAR: usize = 4;

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

    /// The first of those where it may be.
    #[inline]
    fn place(&self) -> usize {
        let mixed = self.words.iter().fold(0, |mixed: u64, word| {
            (mixed.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        });
        (mixed >> 56) as usize % PLACES
    }
}

#[derive(Debug)]
struct Kept {
    short: Short,
    object: Py<PyString>,
    /// The last one that it came in.
    document: u64,
}

#[derive(Debug)]
struct Table {
    places: [Option<Kept>; PLACES],
    /// The number of the one that is read. There is none with the number 0.
    document: u64,
}

/// That of nobody who reads just now. Its lock is held for the moment that it takes to move it, and nobody waits for it.
static SPARE: Mutex<Option<Box<Table>>> = Mutex::new(None);

/// What one reader has for itself while it reads a document, which may run Python code.
#[derive(Debug)]
pub(super) struct Names {
    table: Option<Box<Table>>,
    /// Those of this document that the table has no place for: long ones, and those whose places others of this document have, which keep them to its end.
    others: Option<HashMap<Box<str>, Py<PyString>>>,
}

impl Names {
    #[inline]
    pub(super) fn take() -> Self {
        let mut table = SPARE.try_lock().ok().and_then(|mut spare| spare.take());
        if let Some(table) = &mut table {
            table.document += 1;
        }
        Names { table, others: None }
    }

    #[inline]
    pub(super) fn give_back(self) {
        let Some(table) = self.table else { return };
        let mut left = Some(table);
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
            return self.other(py, name);
        };
        let table = self.table.get_or_insert_with(|| {
            Box::new(Table {
                places: [const { None }; PLACES],
                document: 1,
            })
        });
        let first = short.place();
        let (mut oldest, mut age) = (first, u64::MAX);
        for at in (first..first + NEAR).map(|at| at % PLACES) {
            match &mut table.places[at] {
                Some(kept) if kept.short == short => {
                    kept.document = table.document;
                    return kept.object.bind(py).clone();
                }
                place => {
                    let document = place.as_ref().map_or(0, |kept| kept.document);
                    if document < age {
                        (oldest, age) = (at, document);
                    }
                }
            }
        }
        if age == table.document {
            return self.other(py, name);
        }
        let object = PyString::new(py, name);
        table.places[oldest] = Some(Kept {
            short,
            object: object.clone().unbind(),
            document: table.document,
        });
        object
    }

    #[cold]
    fn other<'py>(&mut self, py: Python<'py>, name: &str) -> Bound<'py, PyString> {
        let others = self.others.get_or_insert_default();
        if let Some(object) = others.get(name) {
            return object.bind(py).clone();
        }
        let object = PyString::new(py, name);
        others.insert(name.into(), object.clone().unbind());
        object
    }
}
