//! MessagePack, for what JSON cannot give back as it was. What other languages have no type for is an extension: see extension.rs, and docs/protocol.md for those who want to read them.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};
use rmp::Marker;
use rmp::encode;

use super::MOST_DEPTH;
use super::extension::{self, Made};
use super::refusal::{Unfit, step};

/// What others have written may be deeper than what is written here; without a limit, bytes could make a stack overflow.
const MOST_READ_DEPTH: usize = 2 * MOST_DEPTH;

pub(super) fn encode(value: &Bound<'_, PyAny>) -> Result<Vec<u8>, Unfit> {
    let mut bytes = Vec::new();
    write(&mut bytes, value, 0)?;
    Ok(bytes)
}

pub(super) fn write(to: &mut Vec<u8>, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Unfit> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        return match text.to_str() {
            Ok(text) => {
                encode::write_str_len(to, length(text.len())?).map_err(unwritten)?;
                to.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Err(_) => extension::write_surrogates(to, text),
        };
    }
    if let Ok(number) = value.cast_exact::<PyInt>() {
        if let Ok(number) = number.extract::<i64>() {
            encode::write_sint(to, number).map_err(unwritten)?;
        } else if let Ok(number) = number.extract::<u64>() {
            encode::write_u64(to, number).map_err(unwritten)?;
        } else {
            extension::write_large_int(to, number)?;
        }
        return Ok(());
    }
    if value.is_none() {
        return encode::write_nil(to).map_err(unwritten);
    }
    if let Ok(truth) = value.cast_exact::<PyBool>() {
        return encode::write_bool(to, truth.is_true()).map_err(unwritten);
    }
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        return encode::write_f64(to, number.value()).map_err(unwritten);
    }
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        encode::write_bin_len(to, length(bytes.as_bytes().len())?).map_err(unwritten)?;
        to.extend_from_slice(bytes.as_bytes());
        return Ok(());
    }
    if depth == MOST_DEPTH {
        return Err(Unfit::refused(format!("nested more than {MOST_DEPTH} deep")));
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        // Its length is written first, so that it must not change: a copy.
        let items: Vec<_> = list.iter().collect();
        return write_items(to, &items, depth + 1);
    }
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        let items = dict.items();
        encode::write_map_len(to, length(items.len())?).map_err(unwritten)?;
        for item in items.iter() {
            let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
            write(to, &key, depth + 1)
                .map_err(|unfit| unfit.within(|| "'s key ".to_owned() + &step(&key)))?;
            write(to, &value, depth + 1).map_err(|unfit| unfit.within(|| step(&key)))?;
        }
        return Ok(());
    }
    match extension::make(value, depth + 1)? {
        Some(Made { code, bytes }) => write_extension(to, code, &bytes),
        None => Err(Unfit::type_of(value)),
    }
}

/// An array.
pub(super) fn write_items(to: &mut Vec<u8>, items: &[Bound<'_, PyAny>], depth: usize) -> Result<(), Unfit> {
    encode::write_array_len(to, length(items.len())?).map_err(unwritten)?;
    for (at, item) in items.iter().enumerate() {
        write(to, item, depth).map_err(|unfit| unfit.within(|| format!("[{at}]")))?;
    }
    Ok(())
}

/// An array of what has no order: the same bytes for the same items, in whatever order this process has them.
pub(super) fn write_unordered(
    to: &mut Vec<u8>,
    items: &[Bound<'_, PyAny>],
    depth: usize,
) -> Result<(), Unfit> {
    let encoded = items.iter().map(|item| {
        let mut bytes = Vec::new();
        write(&mut bytes, item, depth)
            .map_err(|unfit| unfit.within(|| "'s item ".to_owned() + &step(item)))?;
        Ok(bytes)
    });
    let mut encoded = encoded.collect::<Result<Vec<_>, Unfit>>()?;
    encoded.sort_unstable();
    encode::write_array_len(to, length(items.len())?).map_err(unwritten)?;
    to.extend(encoded.into_iter().flatten());
    Ok(())
}

pub(super) fn write_extension(to: &mut Vec<u8>, code: i8, bytes: &[u8]) -> Result<(), Unfit> {
    encode::write_ext_meta(to, length(bytes.len())?, code).map_err(unwritten)?;
    to.extend_from_slice(bytes);
    Ok(())
}

fn length(len: usize) -> Result<u32, Unfit> {
    u32::try_from(len)
        .map_err(|_| Unfit::refused(format!("{len} long, and MessagePack holds 2**32 - 1 at most")))
}

fn unwritten(error: impl std::fmt::Display) -> Unfit {
    Unfit::refused(format!("more than can be written ({error})"))
}

/// Why bytes are no value.
#[derive(Debug)]
pub(super) enum Unreadable {
    Bytes(String),
    Raised(PyErr),
}

impl From<PyErr> for Unreadable {
    fn from(error: PyErr) -> Self {
        Unreadable::Raised(error)
    }
}

/// The value that `bytes` hold, and nothing after it.
pub(super) fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> Result<Bound<'py, PyAny>, Unreadable> {
    let mut reader = Reader { py, rest: bytes };
    let value = reader.value(0)?;
    match reader.rest.len() {
        0 => Ok(value),
        more => Err(Unreadable::Bytes(format!("{more} bytes follow it"))),
    }
}

pub(super) struct Reader<'a, 'py> {
    pub(super) py: Python<'py>,
    pub(super) rest: &'a [u8],
}

impl<'a, 'py> Reader<'a, 'py> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Unreadable> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(Unreadable::Bytes("it ends too early".to_owned()));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// A big-endian number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn len8(&mut self) -> Result<usize, Unreadable> {
        Ok(usize::from(u8::from_be_bytes(self.number()?)))
    }

    fn len16(&mut self) -> Result<usize, Unreadable> {
        Ok(usize::from(u16::from_be_bytes(self.number()?)))
    }

    fn len32(&mut self) -> Result<usize, Unreadable> {
        let len = u32::from_be_bytes(self.number()?);
        usize::try_from(len).map_err(|_| Unreadable::Bytes("it is longer than memory".to_owned()))
    }

    pub(super) fn value(&mut self, depth: usize) -> Result<Bound<'py, PyAny>, Unreadable> {
        if depth > MOST_READ_DEPTH {
            return Err(Unreadable::Bytes(format!(
                "it is nested more than {MOST_READ_DEPTH} deep"
            )));
        }
        let py = self.py;
        let [marker] = self.number()?;
        let of = |value: Bound<'py, PyInt>| Ok(value.into_any());
        match Marker::from_u8(marker) {
            Marker::Null => Ok(py.None().into_bound(py)),
            Marker::True => Ok(PyBool::new(py, true).to_owned().into_any()),
            Marker::False => Ok(PyBool::new(py, false).to_owned().into_any()),
            Marker::FixPos(number) => of(number.into_pyobject(py).map_err(PyErr::from)?),
            Marker::FixNeg(number) => of(number.into_pyobject(py).map_err(PyErr::from)?),
            Marker::U8 => self.int(u8::from_be_bytes),
            Marker::U16 => self.int(u16::from_be_bytes),
            Marker::U32 => self.int(u32::from_be_bytes),
            Marker::U64 => self.int(u64::from_be_bytes),
            Marker::I8 => self.int(i8::from_be_bytes),
            Marker::I16 => self.int(i16::from_be_bytes),
            Marker::I32 => self.int(i32::from_be_bytes),
            Marker::I64 => self.int(i64::from_be_bytes),
            Marker::F32 => Ok(PyFloat::new(py, f64::from(f32::from_be_bytes(self.number()?))).into_any()),
            Marker::F64 => Ok(PyFloat::new(py, f64::from_be_bytes(self.number()?)).into_any()),
            Marker::FixStr(len) => self.text(usize::from(len)),
            Marker::Str8 => self.len8().and_then(|len| self.text(len)),
            Marker::Str16 => self.len16().and_then(|len| self.text(len)),
            Marker::Str32 => self.len32().and_then(|len| self.text(len)),
            Marker::Bin8 => self.len8().and_then(|len| self.bytes(len)),
            Marker::Bin16 => self.len16().and_then(|len| self.bytes(len)),
            Marker::Bin32 => self.len32().and_then(|len| self.bytes(len)),
            Marker::FixArray(len) => self.list(usize::from(len), depth),
            Marker::Array16 => self.len16().and_then(|len| self.list(len, depth)),
            Marker::Array32 => self.len32().and_then(|len| self.list(len, depth)),
            Marker::FixMap(len) => self.dict(usize::from(len), depth),
            Marker::Map16 => self.len16().and_then(|len| self.dict(len, depth)),
            Marker::Map32 => self.len32().and_then(|len| self.dict(len, depth)),
            Marker::FixExt1 => self.extension(1, depth),
            Marker::FixExt2 => self.extension(2, depth),
            Marker::FixExt4 => self.extension(4, depth),
            Marker::FixExt8 => self.extension(8, depth),
            Marker::FixExt16 => self.extension(16, depth),
            Marker::Ext8 => self.len8().and_then(|len| self.extension(len, depth)),
            Marker::Ext16 => self.len16().and_then(|len| self.extension(len, depth)),
            Marker::Ext32 => self.len32().and_then(|len| self.extension(len, depth)),
            Marker::Reserved => Err(Unreadable::Bytes(
                "it has the byte c1, which is none of it".to_owned(),
            )),
        }
    }

    fn int<const N: usize, T>(
        &mut self,
        of: impl FnOnce([u8; N]) -> T,
    ) -> Result<Bound<'py, PyAny>, Unreadable>
    where
        T: IntoPyObject<'py, Target = PyInt, Output = Bound<'py, PyInt>, Error = std::convert::Infallible>,
    {
        let number = of(self.number()?);
        let number = number.into_pyobject(self.py).map_err(PyErr::from)?;
        Ok(number.into_any())
    }

    fn text(&mut self, len: usize) -> Result<Bound<'py, PyAny>, Unreadable> {
        match std::str::from_utf8(self.take(len)?) {
            Ok(text) => Ok(PyString::new(self.py, text).into_any()),
            Err(error) => Err(Unreadable::Bytes(format!("a text in it is none ({error})"))),
        }
    }

    fn bytes(&mut self, len: usize) -> Result<Bound<'py, PyAny>, Unreadable> {
        Ok(PyBytes::new(self.py, self.take(len)?).into_any())
    }

    /// So many values. What a length claims takes no memory before it is there.
    fn values(&mut self, len: usize, depth: usize) -> Result<Vec<Bound<'py, PyAny>>, Unreadable> {
        let mut values = Vec::new();
        for _ in 0..len {
            values.push(self.value(depth + 1)?);
        }
        Ok(values)
    }

    fn list(&mut self, len: usize, depth: usize) -> Result<Bound<'py, PyAny>, Unreadable> {
        let values = self.values(len, depth)?;
        Ok(PyList::new(self.py, values)?.into_any())
    }

    fn dict(&mut self, len: usize, depth: usize) -> Result<Bound<'py, PyAny>, Unreadable> {
        let dict = PyDict::new(self.py);
        for _ in 0..len {
            let key = self.value(depth + 1)?;
            dict.set_item(key, self.value(depth + 1)?)?;
        }
        Ok(dict.into_any())
    }

    fn extension(&mut self, len: usize, depth: usize) -> Result<Bound<'py, PyAny>, Unreadable> {
        let code = i8::from_be_bytes(self.number()?);
        let bytes = self.take(len)?;
        extension::read(self.py, code, bytes, depth + 1)
    }
}
