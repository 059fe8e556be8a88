//! Extensions of MessagePack for types of Python's that it has no word for. The table in docs/protocol.md says the same; a number that was given stays what it is.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyByteArray, PyByteArrayMethods, PyBytes, PyFrozenSet, PyInt, PySet, PyString, PyTuple, PyType,
};

use super::msgpack::{Reader, Unreadable, write_extension, write_items, write_unordered};
use super::refusal::Unfit;

const TUPLE: i8 = 1;
const SET: i8 = 2;
const FROZENSET: i8 = 3;
/// An integer of more than 64 bits, in hexadecimal digits.
const INT: i8 = 4;
/// Text with halves of surrogate pairs, as UTF-8 that has them.
const TEXT: i8 = 5;
const BYTEARRAY: i8 = 6;
/// Days, seconds and microseconds, as an array.
const TIMEDELTA: i8 = 7;

/// An extension that is about to be written.
pub(super) struct Made {
    pub(super) code: i8,
    pub(super) bytes: Vec<u8>,
}

/// A type whose values are kept as the text that it makes of them itself.
struct ByText {
    code: i8,
    module: &'static str,
    name: &'static str,
    /// What makes the text.
    to: &'static str,
    /// What makes a value of it; the type itself if it is empty.
    from: &'static str,
    class: PyOnceLock<Py<PyType>>,
}

impl ByText {
    const fn new(
        code: i8,
        module: &'static str,
        name: &'static str,
        to: &'static str,
        from: &'static str,
    ) -> Self {
        ByText {
            code,
            module,
            name,
            to,
            from,
            class: PyOnceLock::new(),
        }
    }

    fn class<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyType>> {
        self.class.import(py, self.module, self.name)
    }

    fn read<'py>(&self, py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
        let class = self.class(py)?;
        match self.from {
            "" => class.call1((text,)),
            from => class.call_method1(from, (text,)),
        }
    }

    fn write(&self, value: &Bound<'_, PyAny>) -> Result<Made, Unfit> {
        let py = value.py();
        let text = value.call_method0(self.to)?.str()?.to_string();
        // A time zone, say, may be more than its offset.
        if self.read(py, &text)?.repr()?.to_str()? != value.repr()?.to_str()? {
            return Err(Unfit::refused(format!(
                "the {}.{} {}, which is more than its text says (use datetime.timezone.utc for a time zone)",
                self.module,
                self.name,
                value.repr()?
            )));
        }
        Ok(Made {
            code: self.code,
            bytes: text.into_bytes(),
        })
    }
}

static BY_TEXT: [ByText; 6] = [
    ByText::new(8, "datetime", "datetime", "isoformat", "fromisoformat"),
    ByText::new(9, "datetime", "date", "isoformat", "fromisoformat"),
    ByText::new(10, "datetime", "time", "isoformat", "fromisoformat"),
    ByText::new(11, "decimal", "Decimal", "__str__", ""),
    ByText::new(12, "uuid", "UUID", "__str__", ""),
    ByText::new(13, "builtins", "complex", "__repr__", ""),
];

fn timedelta(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "datetime", "timedelta")
}

/// The extension for a value of such a type; `None` if it is of another.
pub(super) fn make(value: &Bound<'_, PyAny>, depth: usize) -> Result<Option<Made>, Unfit> {
    let array = |code, items: Vec<Bound<'_, PyAny>>| {
        let mut bytes = Vec::new();
        write_items(&mut bytes, &items, depth)?;
        Ok(Some(Made { code, bytes }))
    };
    let unordered = |code, items: Vec<Bound<'_, PyAny>>| {
        let mut bytes = Vec::new();
        write_unordered(&mut bytes, &items, depth)?;
        Ok(Some(Made { code, bytes }))
    };
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        return array(TUPLE, tuple.iter().collect());
    }
    // A copy, since a set that another thread changes meanwhile cannot be walked.
    if value.is_exact_instance_of::<PySet>() {
        let copy = value.py().get_type::<PyTuple>().call1((value,))?;
        let copy = copy.cast::<PyTuple>().map_err(PyErr::from)?;
        return unordered(SET, copy.iter().collect());
    }
    if let Ok(set) = value.cast_exact::<PyFrozenSet>() {
        return unordered(FROZENSET, set.iter().collect());
    }
    if let Ok(bytes) = value.cast_exact::<PyByteArray>() {
        return Ok(Some(Made {
            code: BYTEARRAY,
            bytes: bytes.to_vec(),
        }));
    }
    let class = value.get_type();
    if class.is(timedelta(value.py())?) {
        let parts = ["days", "seconds", "microseconds"].map(|part| value.getattr(part));
        let parts: PyResult<Vec<_>> = parts.into_iter().collect();
        return array(TIMEDELTA, parts?);
    }
    for by_text in &BY_TEXT {
        if class.is(by_text.class(value.py())?) {
            return by_text.write(value).map(Some);
        }
    }
    Ok(None)
}

pub(super) fn write_surrogates(to: &mut Vec<u8>, text: &Bound<'_, PyString>) -> Result<(), Unfit> {
    let bytes = text.call_method1(intern!(text.py(), "encode"), ("utf-8", "surrogatepass"))?;
    write_extension(to, TEXT, bytes.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes())
}

pub(super) fn write_large_int(to: &mut Vec<u8>, number: &Bound<'_, PyInt>) -> Result<(), Unfit> {
    let digits = number.call_method1(intern!(number.py(), "__format__"), ("x",))?;
    write_extension(
        to,
        INT,
        digits
            .cast::<PyString>()
            .map_err(PyErr::from)?
            .to_str()?
            .as_bytes(),
    )
}

/// The value of an extension.
pub(super) fn read<'py>(
    py: Python<'py>,
    code: i8,
    bytes: &[u8],
    depth: usize,
) -> Result<Bound<'py, PyAny>, Unreadable> {
    let text = || {
        std::str::from_utf8(bytes)
            .map_err(|error| Unreadable::Bytes(format!("the text of an extension in it is none ({error})")))
    };
    let array = || {
        let mut reader = Reader { py, rest: bytes };
        let list = reader.value(depth)?;
        match (reader.rest, list.is_instance_of::<pyo3::types::PyList>()) {
            ([], true) => Ok(list),
            _ => Err(Unreadable::Bytes(format!(
                "the extension {code} in it is no array"
            ))),
        }
    };
    match code {
        TUPLE => Ok(py.get_type::<PyTuple>().call1((array()?,))?),
        SET => Ok(py.get_type::<PySet>().call1((array()?,))?),
        FROZENSET => Ok(py.get_type::<PyFrozenSet>().call1((array()?,))?),
        INT => Ok(py.get_type::<PyInt>().call1((text()?, 16))?),
        TEXT => Ok(PyBytes::new(py, bytes).call_method1("decode", ("utf-8", "surrogatepass"))?),
        BYTEARRAY => Ok(PyByteArray::new(py, bytes).into_any()),
        TIMEDELTA => {
            let parts = py.get_type::<PyTuple>().call1((array()?,))?;
            let parts = parts.cast::<PyTuple>().map_err(PyErr::from)?;
            Ok(timedelta(py)?.call1(parts)?)
        }
        _ => match BY_TEXT.iter().find(|by_text| by_text.code == code) {
            Some(by_text) => Ok(by_text.read(py, text()?)?),
            None => Err(Unreadable::Bytes(format!(
                "the extension {code} in it is none that this version of rustcache knows"
            ))),
        },
    }
}
