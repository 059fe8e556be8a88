//! JSON, for what it gives back as it was, in Python and elsewhere: `None`, `bool`, `int` up to 2**53 - 1, finite `float`, `str`, and `list` and `dict` of these. Text and integers are written as
//! `JSON.stringify` of Node writes them; a float keeps its point.

use std::fmt::Write;

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};

use super::refusal::{Unfit, step};
use super::{MOST_DEPTH, json_reader};
use crate::repr::shown;

/// The largest integer that those who have only floats read as what it is.
const MOST: i64 = (1 << 53) - 1;

pub(super) fn encode(value: &Bound<'_, PyAny>) -> Result<Vec<u8>, Unfit> {
    let mut text = String::new();
    write(&mut text, value, 0)?;
    Ok(text.into_bytes())
}

/// What `json.loads` makes of it.
pub(super) fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // As text, since `loads` guesses at the encoding of bytes.
    let text = std::str::from_utf8(bytes).map_err(|error| PyValueError::new_err(error.to_string()))?;
    if let Some(value) = json_reader::read(py, text) {
        return Ok(value);
    }
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    LOADS.import(py, "json", "loads")?.call1((text,))
}

fn write(to: &mut String, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Unfit> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        return write_text(to, text);
    }
    if let Ok(number) = value.cast_exact::<PyInt>() {
        return match number.extract::<i64>() {
            Ok(number) if (-MOST..=MOST).contains(&number) => {
                let _ = write!(to, "{number}");
                Ok(())
            }
            _ => Err(Unfit::refused(
                "an int beyond 2**53 - 1, which other languages read as another number",
            )),
        };
    }
    if value.is_none() {
        to.push_str("null");
        return Ok(());
    }
    if let Ok(truth) = value.cast_exact::<PyBool>() {
        to.push_str(if truth.is_true() { "true" } else { "false" });
        return Ok(());
    }
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        let number = number.value();
        if !number.is_finite() {
            return Err(Unfit::refused(format!(
                "the float {number}, for which JSON has no word"
            )));
        }
        // As short as may be so that it is read as the same.
        let _ = write!(to, "{number:?}");
        return Ok(());
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        return write_list(to, list, depth);
    }
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        return write_dict(to, dict, depth);
    }
    Err(Unfit::type_of(value))
}

fn deeper(depth: usize) -> Result<usize, Unfit> {
    if depth == MOST_DEPTH {
        return Err(Unfit::refused(format!("nested more than {MOST_DEPTH} deep")));
    }
    Ok(depth + 1)
}

fn write_list(to: &mut String, list: &Bound<'_, PyList>, depth: usize) -> Result<(), Unfit> {
    let depth = deeper(depth)?;
    to.push('[');
    for (at, item) in list.iter().enumerate() {
        if at > 0 {
            to.push(',');
        }
        write(to, &item, depth).map_err(|unfit| unfit.within(|| format!("[{at}]")))?;
    }
    to.push(']');
    Ok(())
}

fn write_dict(to: &mut String, dict: &Bound<'_, PyDict>, depth: usize) -> Result<(), Unfit> {
    let depth = deeper(depth)?;
    to.push('{');
    // A list of its own: a dict that another thread changes meanwhile cannot be walked.
    for (at, item) in dict.items().iter().enumerate() {
        let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        if at > 0 {
            to.push(',');
        }
        let Ok(text) = key.cast_exact::<PyString>() else {
            let name = key.get_type().name()?;
            return Err(Unfit::refused(format!(
                "a dict with a key of the type {name} ({}), where JSON has only text",
                shown(&key)
            )));
        };
        write_text(to, text)?;
        to.push(':');
        write(to, &value, depth).map_err(|unfit| unfit.within(|| step(&key)))?;
    }
    to.push('}');
    Ok(())
}

fn write_text(to: &mut String, text: &Bound<'_, PyString>) -> Result<(), Unfit> {
    to.push('"');
    match text.to_str() {
        Ok(text) => {
            let mut from = 0;
            // All that is escaped is ASCII, so that these are boundaries of characters.
            for (at, byte) in text.bytes().enumerate() {
                if needs_escape(byte) {
                    to.push_str(&text[from..at]);
                    escape(to, byte);
                    from = at + 1;
                }
            }
            to.push_str(&text[from..]);
        }
        Err(_) => write_surrogates(to, text)?,
    }
    to.push('"');
    Ok(())
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn escape(to: &mut String, byte: u8) {
    match byte {
        b'"' => to.push_str("\\\""),
        b'\\' => to.push_str("\\\\"),
        0x08 => to.push_str("\\b"),
        b'\t' => to.push_str("\\t"),
        b'\n' => to.push_str("\\n"),
        0x0c => to.push_str("\\f"),
        b'\r' => to.push_str("\\r"),
        _ => {
            let _ = write!(to, "\\u{byte:04x}");
        }
    }
}

/// Text with halves of surrogate pairs, which JSON escapes. Two that lie together would be read as one character.
#[cold]
fn write_surrogates(to: &mut String, text: &Bound<'_, PyString>) -> Result<(), Unfit> {
    let py = text.py();
    let units = text.call_method1(intern!(py, "encode"), ("utf-32-le", "surrogatepass"))?;
    let units = units.cast::<PyBytes>().map_err(PyErr::from)?;
    let mut was_high = false;
    for unit in units.as_bytes().chunks_exact(4) {
        let unit = u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]]);
        if was_high && (0xdc00..=0xdfff).contains(&unit) {
            return Err(Unfit::refused(
                "a str with two surrogates that JSON would join to one character",
            ));
        }
        was_high = (0xd800..=0xdbff).contains(&unit);
        match char::from_u32(unit) {
            Some(character) => match u8::try_from(character) {
                Ok(byte) if needs_escape(byte) => escape(to, byte),
                _ => to.push(character),
            },
            None => {
                let _ = write!(to, "\\u{unit:04x}");
            }
        }
    }
    Ok(())
}
