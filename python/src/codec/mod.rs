//! How values become bytes with a tag, and bytes with a tag values: what kind of value is written how, and which tags are read. JSON and MessagePack themselves are beside this; nothing here knows of caches.

mod extension;
mod json;
mod json_reader;
mod msgpack;
mod names;
mod refusal;
mod wrapped;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use rustcache::Tag;

use crate::callable::Callable;
use crate::failure::decode_error;
pub(crate) use refusal::Unfit;

/// How deep what is written may be nested; what is deeper may well be cyclic.
const MOST_DEPTH: usize = 100;

/// What values are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text, bytes, JSON where that gives back the very same, else MessagePack.
    Auto,
    /// Text, bytes and JSON.
    Json,
    /// Text, bytes and MessagePack.
    MessagePack,
    /// Text, bytes and pickle.
    Pickle,
    /// What a callable makes.
    Callables,
}

impl Format {
    /// By the name that the argument `codec` has for it.
    pub(crate) fn named(name: &str) -> PyResult<Self> {
        Ok(match name {
            "auto" => Format::Auto,
            "json" => Format::Json,
            "msgpack" => Format::MessagePack,
            "pickle" => Format::Pickle,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "there is no codec {name:?}: use auto, json, msgpack or pickle, or give a serializer and a deserializer"
                )));
            }
        })
    }
}

/// How values become bytes, and bytes values.
#[derive(Debug)]
pub(crate) struct Codec {
    format: Format,
    /// Pickle's, unless others were given.
    pub(crate) serializer: Callable,
    pub(crate) deserializer: Callable,
    /// What the serializer makes is marked with.
    tag: Tag,
    /// Whether values are read by their tags. Else all there is was written by this, and the deserializer reads it.
    is_by_tag: bool,
}

/// A value as it is written.
#[derive(Debug)]
pub(crate) struct Encoded<'a, 'py> {
    pub(crate) tag: Tag,
    bytes: Form<'a, 'py>,
}

#[derive(Debug)]
enum Form<'a, 'py> {
    /// Of the value itself.
    Its(&'a [u8]),
    Made(Vec<u8>),
    Given(Bound<'py, PyBytes>),
}

impl Encoded<'_, '_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match &self.bytes {
            Form::Its(bytes) => bytes,
            Form::Made(bytes) => bytes,
            Form::Given(bytes) => bytes.as_bytes(),
        }
    }
}

impl AsRef<[u8]> for Encoded<'_, '_> {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Codec {
    /// One that writes and reads by callables alone.
    pub(crate) fn of_callables(serializer: Callable, deserializer: Callable, tag: Tag) -> Self {
        Codec {
            format: Format::Callables,
            serializer,
            deserializer,
            tag,
            is_by_tag: false,
        }
    }

    /// One for a directory, where others may have written. The callables are the user's if that is the format, else pickle's.
    pub(crate) fn by_tag(format: Format, serializer: Callable, deserializer: Callable) -> Self {
        Codec {
            format,
            serializer,
            deserializer,
            tag: match format {
                Format::Callables => Tag::USER,
                _ => Tag::PICKLE,
            },
            is_by_tag: true,
        }
    }

    pub(crate) fn encode<'a, 'py>(&self, value: &'a Bound<'py, PyAny>) -> PyResult<Encoded<'a, 'py>> {
        if self.format == Format::Callables {
            return self.serialize(value);
        }
        if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            return Ok(Encoded {
                tag: Tag::BYTES,
                bytes: Form::Its(bytes.as_bytes()),
            });
        }
        // One with half a surrogate pair has no UTF-8.
        if let Ok(text) = value.cast_exact::<PyString>()
            && let Ok(text) = text.to_str()
        {
            return Ok(Encoded {
                tag: Tag::TEXT,
                bytes: Form::Its(text.as_bytes()),
            });
        }
        let json = |value| json::encode(value).map(|bytes| made(Tag::JSON, bytes));
        let msgpack = |value| msgpack::encode(value).map(|bytes| made(Tag::MESSAGE_PACK, bytes));
        let encoded = match self.format {
            Format::Json => json(value),
            Format::MessagePack => msgpack(value),
            Format::Auto => match json(value) {
                Err(Unfit::Refused(_)) => msgpack(value),
                done => done,
            },
            Format::Pickle | Format::Callables => return self.serialize(value),
        };
        encoded.map_err(|unfit| {
            unfit.into_error(match self.format {
                Format::Json => "make other data of it, or use codec=\"auto\" or \"msgpack\", which only Python reads as what it was",
                _ => "make plain data of it, or use codec=\"pickle\" if nobody whom you do not trust can write to the directory",
            })
        })
    }

    fn serialize<'a, 'py>(&self, value: &'a Bound<'py, PyAny>) -> PyResult<Encoded<'a, 'py>> {
        let py = value.py();
        let given = self.serializer.call1(value).and_then(|given| {
            given.cast_into::<PyBytes>().map_err(|error| {
                let given = error.into_inner();
                match given.get_type().name() {
                    Ok(name) => {
                        PyTypeError::new_err(format!("the serializer has to give bytes, and gave {name}"))
                    }
                    Err(error) => error,
                }
            })
        });
        let given = given.map_err(|cause| {
            let name = value.get_type().name().map(|name| name.to_string());
            let name = name.unwrap_or_else(|_| "?".to_owned());
            because(
                py,
                PyValueError::new_err(format!("Failed to serialize value of type: {name}")),
                cause,
            )
        })?;
        Ok(Encoded {
            tag: self.tag,
            bytes: Form::Given(given),
        })
    }

    /// The value that these bytes are under this tag; `None` if it is no value for whoever does not ask for stale ones.
    pub(crate) fn decode<'py>(
        &self,
        py: Python<'py>,
        tag: Tag,
        bytes: &[u8],
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if !self.is_by_tag {
            return self.deserialize(py, bytes).map(Some);
        }
        if tag.is_wrapped() {
            return match wrapped::unwrap(tag, bytes).map_err(|why| unreadable(py, why, None))? {
                Some((tag, bytes)) => self.decode_plain(py, tag, bytes).map(Some),
                None => Ok(None),
            };
        }
        self.decode_plain(py, tag, bytes).map(Some)
    }

    /// Whether `decode` says that there is nothing for whoever does not ask for stale ones.
    pub(crate) fn is_stale(&self, tag: Tag, bytes: &[u8]) -> bool {
        self.is_by_tag && tag.is_wrapped() && matches!(wrapped::unwrap(tag, bytes), Ok(None))
    }

    fn decode_plain<'py>(&self, py: Python<'py>, tag: Tag, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let of_bytes = |bytes: &[u8]| PyBytes::new(py, bytes).into_any();
        match tag {
            Tag::BYTES => Ok(of_bytes(bytes)),
            // What is no text in spite of its tag is given as what it is, as the Node client does.
            Tag::TEXT => Ok(match std::str::from_utf8(bytes) {
                Ok(text) => PyString::new(py, text).into_any(),
                Err(_) => of_bytes(bytes),
            }),
            Tag::JSON => json::decode(py, bytes)
                .map_err(|cause| unreadable(py, "it is stored as JSON, and is none".to_owned(), Some(cause))),
            Tag::MESSAGE_PACK => msgpack::decode(py, bytes).map_err(|unreadable| match unreadable {
                msgpack::Unreadable::Raised(cause) => self::unreadable(
                    py,
                    "it is stored as MessagePack, and nothing can be made of it".to_owned(),
                    Some(cause),
                ),
                msgpack::Unreadable::Bytes(why) => {
                    self::unreadable(py, format!("it is stored as MessagePack, and {why}"), None)
                }
            }),
            Tag::PICKLE if self.format == Format::Pickle => self.deserialize(py, bytes),
            Tag::PICKLE => Err(unreadable(
                py,
                "it is pickled, and is not unpickled because that may run any code: open the directory with codec=\"pickle\" if \
                 nobody whom you do not trust can write to it"
                    .to_owned(),
                None,
            )),
            Tag::TYPED => match bytes.split_first() {
                Some((&length, rest)) if rest.len() >= usize::from(length) => {
                    Ok(of_bytes(&rest[usize::from(length)..]))
                }
                _ => Err(unreadable(
                    py,
                    format!("it has the tag {}, and no media type in front of it", tag.0),
                    None,
                )),
            },
            Tag::V8 => Err(unreadable(
                py,
                "it is a structured clone, which only Node can read: store it there as text, as bytes, or as what JSON can hold"
                    .to_owned(),
                None,
            )),
            Tag::USER if self.format == Format::Callables => self.deserialize(py, bytes),
            Tag(tag) if tag >= Tag::USER.0 => Err(unreadable(
                py,
                format!(
                    "it has the tag {tag}, for which whoever wrote it had a codec of his own: open the directory with his deserializer"
                ),
                None,
            )),
            Tag(tag) => Err(unreadable(
                py,
                format!(
                    "it has the tag {tag}, which this version of rustcache does not know: a newer one has stored it, so read it with that"
                ),
                None,
            )),
        }
    }

    fn deserialize<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let bytes = PyBytes::new(py, bytes);
        let value = self.deserializer.call1(bytes.as_any());
        value.map_err(|cause| because(py, decode_error(py, "Failed to deserialize value"), cause))
    }
}

/// The arguments of a call as MessagePack, to make a key of: the same for what is written the same way, and for nothing else.
#[pyfunction]
pub(crate) fn encode_arguments<'py>(arguments: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let bytes = msgpack::encode(arguments).map_err(|unfit| {
        unfit.into_error("give memoize() a key, which makes text or bytes of the arguments")
    })?;
    Ok(PyBytes::new(arguments.py(), &bytes))
}

fn made<'a, 'py>(tag: Tag, bytes: Vec<u8>) -> Encoded<'a, 'py> {
    Encoded {
        tag,
        bytes: Form::Made(bytes),
    }
}

/// A `DecodeError`.
fn unreadable(py: Python<'_>, why: String, cause: Option<PyErr>) -> PyErr {
    let error = decode_error(py, &format!("the value cannot be read: {why}"));
    match cause {
        Some(cause) => because(py, error, cause),
        None => error,
    }
}

/// An error that something else led to. What no program is to catch (`KeyboardInterrupt`, …) stays what it is.
fn because(py: Python<'_>, error: PyErr, cause: PyErr) -> PyErr {
    if !cause.is_instance_of::<pyo3::exceptions::PyException>(py) {
        return cause;
    }
    error.set_cause(py, Some(cause));
    error
}
