//! What a cache in a directory raises: the exceptions of `rustcache/_errors.py`, made of what the engine says.

use std::io::ErrorKind;
use std::path::Path;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustcache::{DiskError, Error, OpenError};

/// An exception of that name, with these attributes; or what went wrong with making it.
fn make(
    py: Python<'_>,
    name: &str,
    text: &str,
    attributes: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>,
) -> PyErr {
    let made = || {
        let named = PyDict::new(py);
        attributes(&named)?;
        let class = py.import("rustcache._errors")?.getattr(name)?;
        class.call((text,), Some(&named))
    };
    match made() {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// Why a directory was not opened.
pub(crate) fn not_opened(py: Python<'_>, directory: &Path, error: &OpenError) -> PyErr {
    let text = match error {
        OpenError::InUse { pid: Some(pid), .. } if *pid == std::process::id() => format!(
            "the directory {} is in use by another cache of this process: use that one, or another directory",
            directory.display()
        ),
        OpenError::Build(_) => return PyValueError::new_err(error.to_string()),
        // In Python's words.
        OpenError::Damaged(report) => format!(
            "there is damage: {}: open it with recover=\"valid\", which keeps what is intact",
            report.to_string().trim_end().replace('\n', "; ")
        ),
        _ => error.to_string(),
    };
    match error {
        OpenError::InUse { pid, .. } => make(py, "DirectoryInUseError", &text, |named| {
            named.set_item("directory", directory)?;
            named.set_item("pid", pid)
        }),
        OpenError::Disk(failure) => make(py, "DirectoryError", &text, |named| {
            named.set_item("directory", directory)?;
            named.set_item("errno", errno(py, failure)?)
        }),
        _ => make(py, "DirectoryError", &text, |named| {
            named.set_item("directory", directory)
        }),
    }
}

/// That what was done is in memory alone, or that the disk had failed before and nothing was done.
pub(crate) fn disk_failed(
    py: Python<'_>,
    directory: &Path,
    failure: &DiskError,
    text: &str,
    maybe_applied: bool,
) -> PyErr {
    make(py, "DiskError", text, |named| {
        named.set_item("directory", directory)?;
        named.set_item("errno", errno(py, failure)?)?;
        named.set_item("maybe_applied", maybe_applied)
    })
}

/// Why a write was refused.
pub(crate) fn refused(py: Python<'_>, cache: &rustcache::Cache, error: &Error) -> PyErr {
    let maybe_applied = match error {
        Error::Closed => return PyRuntimeError::new_err("Storage is closed"),
        Error::NotDurable { .. } => true,
        Error::DiskFailed { .. } => false,
        _ => return PyValueError::new_err(error.to_string()),
    };
    let Some(directory) = cache.directory() else {
        return PyRuntimeError::new_err(error.to_string());
    };
    let failure = py.detach(|| directory.failure());
    make(py, "DiskError", &error.to_string(), |named| {
        named.set_item("directory", directory.path())?;
        if let Some(failure) = failure {
            named.set_item("errno", errno(py, &failure)?)?;
        }
        named.set_item("maybe_applied", maybe_applied)
    })
}

pub(crate) fn forked(py: Python<'_>, directory: &Path, parent: u32) -> PyErr {
    let text = format!(
        "this cache and its directory {} are of process {parent}, of which this one ({}) is a child: open a cache of another directory here, or none \
         before the fork",
        directory.display(),
        std::process::id()
    );
    make(py, "ForkedError", &text, |_| Ok(()))
}

pub(crate) fn decode_error(py: Python<'_>, text: &str) -> PyErr {
    make(py, "DecodeError", text, |_| Ok(()))
}

/// What the system said; or what it calls that, where a kind has one name.
fn errno(py: Python<'_>, failure: &DiskError) -> PyResult<Option<i32>> {
    // On Windows, the numbers of the system are others than those that Python calls errno.
    if cfg!(unix) && failure.os_code.is_some() {
        return Ok(failure.os_code);
    }
    let name = match failure.kind {
        ErrorKind::StorageFull => "ENOSPC",
        ErrorKind::QuotaExceeded => "EDQUOT",
        ErrorKind::ReadOnlyFilesystem => "EROFS",
        ErrorKind::PermissionDenied => "EACCES",
        ErrorKind::NotADirectory => "ENOTDIR",
        ErrorKind::NotFound => "ENOENT",
        _ => return Ok(None),
    };
    py.import("errno")?.getattr(name)?.extract().map(Some)
}
