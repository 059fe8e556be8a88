//! Why a value cannot be written, and where in it the reason lies.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::repr::shown;

/// Why a value is not written.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// What Python raised while it was looked at.
    Raised(PyErr),
    Refused(Box<Refusal>),
}

/// A part of a value that the format cannot carry so that it comes back the same.
#[derive(Debug)]
pub(crate) struct Refusal {
    what: String,
    /// How it is reached, from the innermost step on.
    path: Vec<String>,
}

impl From<PyErr> for Unfit {
    fn from(error: PyErr) -> Self {
        Unfit::Raised(error)
    }
}

impl Unfit {
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Unfit::Refused(Box::new(Refusal {
            what: what.into(),
            path: Vec::new(),
        }))
    }

    /// That a value of this type is refused, whatever it is.
    pub(crate) fn type_of(value: &Bound<'_, PyAny>) -> Self {
        match value.get_type().fully_qualified_name() {
            Ok(name) => Unfit::refused(format!("of the type {name}")),
            Err(error) => Unfit::Raised(error),
        }
    }

    /// The same, one step further out.
    pub(crate) fn within(self, step: impl FnOnce() -> String) -> Self {
        match self {
            Unfit::Raised(error) => Unfit::Raised(error),
            Unfit::Refused(mut refusal) => {
                refusal.path.push(step());
                Unfit::Refused(refusal)
            }
        }
    }

    /// As what Python raises.
    pub(crate) fn into_error(self, remedy: &str) -> PyErr {
        match self {
            Unfit::Raised(error) => error,
            Unfit::Refused(refusal) => {
                let Refusal { what, path } = *refusal;
                let path: String = path.into_iter().rev().collect();
                PyTypeError::new_err(format!(
                    "value{path} is {what}, and cannot be stored so that it comes back the same: {remedy}"
                ))
            }
        }
    }
}

/// A step into a dict or a list, as it is written in Python. What has no `repr` is a step all the same.
pub(crate) fn step(key: &Bound<'_, PyAny>) -> String {
    format!("[{}]", shown(key))
}
