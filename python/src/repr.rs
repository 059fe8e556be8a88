//! How a value looks in an error text. Nothing is decided here.

use pyo3::prelude::*;

/// Characters of a `repr`: what is longer says no more about which value it is, and is the user's data.
const LONGEST_REPR: usize = 80;

/// The beginning of a `repr`.
pub(crate) fn shown(value: &Bound<'_, PyAny>) -> String {
    let Ok(text) = value.repr() else {
        return "…".to_owned();
    };
    let text = text.to_string_lossy();
    match text.char_indices().nth(LONGEST_REPR) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}
