//! `Memo`: a function and its results, as far as that has to be quick: what the arguments are kept by, and what happens on a hit. What happens on a miss is up to subclasses of Python's (`_cached.py`), unless
//! it is `plain`: then it is what `functools.lru_cache` does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyInt, PyString, PyTuple, PyType, PyWeakrefMethods, PyWeakrefReference,
};

use crate::calling;
use crate::descriptor;
use crate::instance;
use crate::made::Made;
use crate::method::Method;
use crate::ready::Ready;
use crate::results::{Found, Results};

/// Stands between positional and keyword arguments in a key.
fn mark(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static MARK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let object = || {
        py.import("builtins")?
            .getattr("object")?
            .call0()
            .map(Bound::unbind)
    };
    Ok(MARK.get_or_try_init(py, object)?.bind(py))
}

/// So many references to results that are gone are kept, beyond as many as there are of those that are there.
const SPARE: usize = 64;

/// Weak references to what the instances have, and at which length of the list to look for those that are gone. Nothing of Python's runs while it is held.
#[derive(Debug, Default)]
struct OfInstances {
    list: Vec<Py<PyWeakrefReference>>,
    tidy_at: usize,
}

/// A function and its results.
#[pyclass(frozen, subclass, weakref, dict, generic, module = "rustcache._core")]
#[derive(Debug)]
pub(crate) struct Memo {
    made: Made,
    #[pyo3(get, name = "_function")]
    function: Py<PyAny>,
    /// Gives what the results are kept by.
    key: Option<Py<PyAny>>,
    #[pyo3(get, name = "_maxsize")]
    maxsize: Option<u64>,
    #[pyo3(get, name = "_typed")]
    typed: bool,
    is_coroutine: bool,
    /// As functools: no flights, and methods are functions whose first argument is the instance.
    is_plain: bool,
    #[pyo3(get, name = "_store")]
    results: Py<Results>,
    /// How often the results of all instances were forgotten.
    epoch: AtomicU64,
    of_instances: Mutex<OfInstances>,
    /// The class in whose body the function was decorated.
    owner: OnceLock<Py<PyType>>,
}

impl Memo {
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Results that `_forget_instances` finds as long as they are there.
    pub(crate) fn new_results_of_instance(&self, py: Python<'_>) -> PyResult<Py<Results>> {
        let results = Bound::new(py, Results::new(py, self.maxsize))?;
        let weak = PyWeakrefReference::new(&results)?.unbind();
        let mut held = self.of_instances();
        held.list.push(weak);
        if held.list.len() > held.tidy_at {
            // Not under the lock, since the last reference to some may be let go of here.
            let mut list = std::mem::take(&mut held.list);
            drop(held);
            list.retain(|weak| weak.bind(py).upgrade().is_some());
            let mut held = self.of_instances();
            list.append(&mut held.list);
            held.tidy_at = 2 * list.len() + SPARE;
            held.list = list;
        }
        Ok(results.unbind())
    }

    fn of_instances(&self) -> MutexGuard<'_, OfInstances> {
        self.of_instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For messages.
    pub(crate) fn name(&self, py: Python<'_>) -> String {
        let function = self.function.bind(py);
        let name = function.getattr(pyo3::intern!(py, "__qualname__"));
        name.map_or_else(|_| "the function".to_owned(), |name| format!("{name}()"))
    }

    /// What a result is kept by.
    #[inline]
    fn key<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(key) = &self.key {
            return calling::call(key.bind(args.py()), args, kwargs);
        }
        let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
        if kwargs.is_some() || self.typed {
            return self.long_key(args, kwargs);
        }
        if args.len() == 1 {
            let only = args.get_item(0)?;
            if self.is_key_alone(&only) {
                return Ok(only);
            }
        }
        Ok(args.clone().into_any())
    }

    /// The same of arguments that begin with the instance, which does not count.
    #[inline]
    fn key_behind_instance<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if args.len() == 2 && !self.typed && kwargs.is_none_or(|kwargs| kwargs.is_empty()) {
            let only = args.get_item(1)?;
            if self.is_key_alone(&only) {
                return Ok(only);
            }
        }
        self.key(&args.get_slice(1, args.len()), kwargs)
    }

    /// Whether the only argument may be the key, instead of a tuple of it.
    #[inline]
    fn is_key_alone(&self, argument: &Bound<'_, PyAny>) -> bool {
        argument.is_exact_instance_of::<PyString>()
            || argument.is_exact_instance_of::<PyInt>()
            || self.is_never_a_tuple(argument)
    }

    /// Whether it is no tuple, nor equal to one: then a key may be it alone. functools only does that with the commonest two types, so that 1 and 1.0 are different to it.
    fn is_never_a_tuple(&self, argument: &Bound<'_, PyAny>) -> bool {
        let is_number =
            || argument.is_exact_instance_of::<PyFloat>() || argument.is_exact_instance_of::<PyBool>();
        !self.is_plain && (is_number() || argument.is_exact_instance_of::<PyBytes>() || argument.is_none())
    }

    fn long_key<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let mut named: Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)> = kwargs.into_iter().flatten().collect();
        if !self.is_plain && named.len() > 1 {
            let mut names = Vec::with_capacity(named.len());
            for (name, value) in named {
                names.push((name.extract::<String>()?, name, value));
            }
            names.sort_by(|(a, ..), (b, ..)| a.cmp(b));
            named = names.into_iter().map(|(_, name, value)| (name, value)).collect();
        }
        let mut parts: Vec<Bound<'py, PyAny>> = args.iter().collect();
        if !named.is_empty() {
            parts.push(mark(py)?.clone());
            for (name, value) in &named {
                parts.extend([name.clone(), value.clone()]);
            }
        }
        if self.typed {
            let values = args.iter().chain(named.into_iter().map(|(_, value)| value));
            let types: Vec<_> = values.map(|value| value.get_type().into_any()).collect();
            parts.extend(types);
        }
        Ok(PyTuple::new(py, parts)?.into_any())
    }

    fn hash(&self, key: &Bound<'_, PyAny>) -> PyResult<isize> {
        calling::hash(key).map_err(|error| self.unhashable(key.py(), error))
    }

    #[cold]
    fn unhashable(&self, py: Python<'_>, error: PyErr) -> PyErr {
        if self.is_plain || !error.is_instance_of::<PyTypeError>(py) {
            return error;
        }
        let hint = match self.key {
            Some(_) => "the key= that was given to @cached must return something hashable",
            None => "results are kept by the arguments, which must be hashable: give @cached a key=",
        };
        let better = PyTypeError::new_err(format!("{}: {}; {hint}", self.name(py), error.value(py)));
        better.set_cause(py, Some(error));
        better
    }
}

/// Where the instance is whose results they are, if it is a method of one.
#[derive(Clone, Copy)]
pub(crate) enum Instance<'a, 'py> {
    None,
    Apart(&'a Bound<'py, PyAny>),
    /// The first of the arguments.
    First,
}

/// One call: of a function, or of a method with its instance.
pub(crate) struct Call<'a, 'py> {
    pub(crate) memo: &'a Bound<'py, Memo>,
    pub(crate) results: &'a Bound<'py, Results>,
    pub(crate) instance: Instance<'a, 'py>,
    pub(crate) args: &'a Bound<'py, PyTuple>,
    pub(crate) kwargs: Option<&'a Bound<'py, PyDict>>,
}

impl<'py> Call<'_, 'py> {
    fn py(&self) -> Python<'py> {
        self.memo.py()
    }

    /// With the instance.
    pub(crate) fn all_args(&self) -> PyResult<Bound<'py, PyTuple>> {
        match self.instance {
            Instance::None | Instance::First => Ok(self.args.clone()),
            Instance::Apart(instance) => PyTuple::new(
                self.py(),
                std::iter::once(instance.clone())
                    .chain(self.args.iter())
                    .collect::<Vec<_>>(),
            ),
        }
    }

    fn some_kwargs(&self) -> Bound<'py, PyDict> {
        self.kwargs.cloned().unwrap_or_else(|| PyDict::new(self.py()))
    }

    #[inline]
    fn key(&self) -> PyResult<Bound<'py, PyAny>> {
        let memo = self.memo.get();
        if memo.key.is_some() {
            return memo.key(&self.all_args()?, self.kwargs);
        }
        match self.instance {
            Instance::First => memo.key_behind_instance(self.args, self.kwargs),
            Instance::None | Instance::Apart(_) => memo.key(self.args, self.kwargs),
        }
    }

    #[inline]
    pub(crate) fn run(&self) -> PyResult<Bound<'py, PyAny>> {
        let key = self.key()?;
        let hash = self.memo.get().hash(&key)?;
        match self.results.get().find(&key, hash)? {
            Found::Fresh(result) => self.give(result),
            Found::Stale(result) => {
                self.tell("_refresh", &key)?;
                self.give(result)
            }
            Found::Nothing => self.miss(&key, hash),
        }
    }

    #[inline]
    fn give(&self, result: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if self.memo.get().is_coroutine {
            return Ok(Bound::new(self.py(), Ready::new(result.unbind()))?.into_any());
        }
        Ok(result)
    }

    fn miss(&self, key: &Bound<'py, PyAny>, hash: isize) -> PyResult<Bound<'py, PyAny>> {
        if !self.memo.get().is_plain {
            return self.tell("_miss", key);
        }
        let result = self.bypass()?;
        self.results.get().keep_first(key, hash, &result)?;
        Ok(result)
    }

    /// Calls what subclasses have.
    fn tell(&self, name: &str, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let name = PyString::intern(self.py(), name);
        let arguments = (self.results, key, self.all_args()?, self.some_kwargs());
        calling::call(
            &self.memo.getattr(name)?,
            &arguments.into_pyobject(self.py())?,
            None,
        )
    }

    pub(crate) fn bypass(&self) -> PyResult<Bound<'py, PyAny>> {
        let function = self.memo.get().function.bind(self.py());
        calling::call(function, &self.all_args()?, self.kwargs)
    }

    pub(crate) fn refresh(&self) -> PyResult<Bound<'py, PyAny>> {
        self.tell("_renew", &self.key()?)
    }

    pub(crate) fn invalidate(&self) -> PyResult<Bound<'py, PyAny>> {
        self.memo.call_method1(
            pyo3::intern!(self.py(), "_invalidate"),
            (self.results, self.key()?),
        )
    }
}

/// Runs `act` with the call of a function; or, if that was defined in a class, of the method of the instance that is given first.
#[inline]
fn with_call<'py, T>(
    memo: &Bound<'py, Memo>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    act: impl FnOnce(&Call<'_, 'py>) -> PyResult<T>,
) -> PyResult<T> {
    let this = memo.get();
    let of_instance = match this.owner.get() {
        Some(owner) if this.key.is_none() && !this.is_plain => {
            results_of_first(memo, args, owner.bind(memo.py()))?
        }
        _ => None,
    };
    act(&Call {
        memo,
        results: of_instance.as_ref().unwrap_or(&this.results).bind(memo.py()),
        instance: match &of_instance {
            Some(_) => Instance::First,
            None => Instance::None,
        },
        args,
        kwargs,
    })
}

/// What the instance has that comes first, if this is a call for one.
#[inline]
fn results_of_first<'py>(
    memo: &Bound<'py, Memo>,
    args: &Bound<'py, PyTuple>,
    owner: &Bound<'py, PyType>,
) -> PyResult<Option<Py<Results>>> {
    let Ok(first) = args.get_borrowed_item(0) else {
        return Ok(None);
    };
    if has_results_of_function(&first) || !descriptor::is_called_for(memo, &first, owner)? {
        return Ok(None);
    }
    instance::results(memo, &first).map(Some)
}

/// A class (whose method it is below @classmethod, or by its metaclass) does not end, so that it may be part of the key.
#[inline]
fn has_results_of_function(instance: &Bound<'_, PyAny>) -> bool {
    instance.is_instance_of::<PyType>()
}

#[pymethods]
impl Memo {
    #[new]
    #[pyo3(signature = (function, *, maxsize=None, typed=false, key=None, is_coroutine=false, is_plain=false))]
    fn new(
        py: Python<'_>,
        function: Py<PyAny>,
        maxsize: Option<&Bound<'_, PyAny>>,
        typed: bool,
        key: Option<Py<PyAny>>,
        is_coroutine: bool,
        is_plain: bool,
    ) -> PyResult<Self> {
        let maxsize = maxsize.map(crate::arguments::maxsize).transpose()?;
        Ok(Memo {
            made: Made::now(),
            function,
            key,
            maxsize,
            typed,
            is_coroutine,
            is_plain,
            results: Py::new(py, Results::new(py, maxsize))?,
            epoch: AtomicU64::new(0),
            of_instances: Mutex::default(),
            owner: OnceLock::new(),
        })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        with_call(slf, args, kwargs, |call| call.run())
    }

    /// Runs the function, and keeps neither what it returns nor that it ran.
    #[pyo3(signature = (*args, **kwargs))]
    fn bypass<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        calling::call(slf.get().function.bind(slf.py()), args, kwargs)
    }

    /// Runs the function, and keeps what it returns in the place of what is there, which is given to others until then.
    #[pyo3(signature = (*args, **kwargs))]
    fn refresh<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        with_call(slf, args, kwargs, |call| call.refresh())
    }

    /// Forgets the result for these arguments; what is being computed for them now is not kept either. Whether there was anything.
    #[pyo3(signature = (*args, **kwargs))]
    fn invalidate<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        with_call(slf, args, kwargs, |call| call.invalidate())
    }

    /// That it is in this class. Whether to call it with an instance in front is what its `__get__` makes of it: not if it is in several classes that have nothing to do with each other.
    fn _belongs_to(&self, owner: &Bound<'_, PyType>) -> PyResult<bool> {
        let first = self.owner.get_or_init(|| owner.clone().unbind());
        owner.is_subclass(first.bind(owner.py()))
    }

    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: Option<&Bound<'py, PyAny>>,
        owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = owner;
        let py = slf.py();
        let Some(instance) = instance else {
            return Ok(slf.clone().into_any());
        };
        let this = slf.get();
        if this.is_plain {
            static METHOD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
            let method = METHOD.get_or_try_init(py, || {
                py.import("types")?.getattr("MethodType").map(Bound::unbind)
            })?;
            return method.bind(py).call1((slf, instance));
        }
        let is_shared = this.key.is_some() || has_results_of_function(instance);
        let method = Method {
            memo: slf.clone().unbind(),
            epoch: this.epoch(),
            results: if is_shared {
                this.results.clone_ref(py)
            } else {
                instance::results(slf, instance)?
            },
            instance: instance.clone().unbind(),
            is_shared,
        };
        Ok(Bound::new(py, method)?.into_any())
    }

    /// From now on, no instance has any results. Gives those that they had until now.
    fn _forget_instances<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        let list = std::mem::take(&mut *self.of_instances()).list;
        list.iter().filter_map(|weak| weak.bind(py).upgrade()).collect()
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if !self.made.is_made() {
            return Ok(());
        }
        visit.call(&self.function)?;
        visit.call(&self.key)?;
        visit.call(&self.results)?;
        match self.owner.get() {
            Some(owner) => visit.call(owner),
            None => Ok(()),
        }
    }
}
