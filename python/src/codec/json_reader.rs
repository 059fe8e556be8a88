//! JSON as Python objects. What Python's own `json` makes of a text is what counts: where serde_json would make something else of it, or refuses it, nothing is made here, and `json` is asked.

use std::fmt;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyString};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use super::names::Names;

/// From here on, whole numbers that are no `u64` or `i64` come as floats.
const INTEGERS_END: f64 = 9_223_372_036_854_775_808.0;

/// The value that a text holds; `None` if `json` has to say.
pub(super) fn read<'py>(py: Python<'py>, text: &str) -> Option<Bound<'py, PyAny>> {
    let mut from = serde_json::Deserializer::from_str(text);
    let mut names = Names::take();
    let value = Reader {
        py,
        names: &mut names,
    };
    let value = value.deserialize(&mut from).ok();
    names.give_back();
    value.filter(|_| from.end().is_ok())
}

/// Reads one value.
struct Reader<'n, 'py> {
    py: Python<'py>,
    names: &'n mut Names,
}

impl<'de, 'py> DeserializeSeed<'de> for Reader<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Reader<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.py.None().into_bound(self.py))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(PyBool::new(self.py, truth).to_owned().into_any())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        let Ok(number) = number.into_pyobject(self.py);
        Ok(number.into_any())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        let Ok(number) = number.into_pyobject(self.py);
        Ok(number.into_any())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        // It may be `-0`, or so large a whole number: these are ints.
        if number.abs() >= INTEGERS_END || (number == 0.0 && number.is_sign_negative()) {
            return Err(E::custom("an int, or not"));
        }
        Ok(PyFloat::new(self.py, number).into_any())
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.py, text).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let Reader { py, names } = self;
        let list = PyList::empty(py);
        while let Some(item) = items.next_element_seed(Reader { py, names })? {
            list.append(item).map_err(raised)?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let Reader { py, names } = self;
        let dict = PyDict::new(py);
        while let Some(name) = items.next_key_seed(Name { py, names })? {
            let value = items.next_value_seed(Reader { py, names })?;
            dict.set_item(name, value).map_err(raised)?;
        }
        Ok(dict.into_any())
    }
}

/// There was no memory for it. `json` meets the same, and says so.
#[cold]
fn raised<E: Error>(_: PyErr) -> E {
    E::custom("no memory")
}

/// Reads the name of an item of an object.
struct Name<'n, 'py> {
    py: Python<'py>,
    names: &'n mut Names,
}

impl<'de, 'py> DeserializeSeed<'de> for Name<'_, 'py> {
    type Value = Bound<'py, PyString>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'py> Visitor<'_> for Name<'_, 'py> {
    type Value = Bound<'py, PyString>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a name")
    }

    #[inline]
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.names.object(self.py, name))
    }
}
