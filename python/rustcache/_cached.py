"""`cached`: the results of functions, methods and coroutine functions, kept by their arguments.

What happens on a hit is in the extension (`Memo`); here is what happens on a miss: who runs the function, who waits for whom, and what
becomes of errors. How those who wait are
woken is in `_flights.py`.
"""

from __future__ import annotations

import inspect
import logging
from contextlib import suppress
from contextvars import copy_context
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, ParamSpec, TypeVar, overload

from . import _background
from ._core import MISSING, Memo, Results, as_method_descriptor
from ._flights import Outcome, TaskFlight, ThreadFlight, inside
from ._times import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("rustcache.cached")


class CacheInfo(NamedTuple):
    """What `cache_info()` gives, as `functools.lru_cache` does."""

    hits: int
    """Calls that found a result."""
    misses: int
    """Calls that found none, those that waited for another's included."""
    maxsize: int | None
    """The most results that are kept; `None`: no limit."""
    currsize: int
    """Results that are kept now."""


class CachedFunction(Memo[P, R]):
    """A function with a cache: what `cached` makes of a function."""

    # Beside what the extension keeps: `ttl` is None, seconds, or a callable of the result.
    _ttl: float | Callable[[Any], float | timedelta | None] | None
    _stale: float
    _ignored: tuple[type[Exception], ...]

    def _configure(
        self,
        ttl: float | timedelta | Callable[[Any], float | timedelta | None] | None,
        stale: float | timedelta | None,
        ignored: tuple[type[Exception], ...],
    ) -> None:
        self._ttl = ttl if ttl is None or callable(ttl) else seconds("ttl", ttl)
        self._stale = 0.0 if stale is None else seconds("stale_while_revalidate", stale)
        self._ignored = ignored

    def __set_name__(self, owner: type, name: str) -> None:
        kind = self.__class__
        kinds = _METHODS if self._belongs_to(owner) else _FUNCTIONS
        self.__class__ = kinds.get(kind, kind)

    def cache_info(self) -> CacheInfo:
        """Hits, misses, `maxsize` and the number of results. Of a method: `instance.method.cache_info()`, since each instance has a cache
        of its own."""
        return self._info(self._store)

    def cache_clear(self) -> None:
        """Forgets all results, those of all instances included, and what is being computed now is not kept either. The counts begin at 0
        again."""
        for store in self._forget_instances():
            self._clear(store)
        self._clear(self._store)

    def cache_parameters(self) -> dict[str, Any]:
        """What `cached` was told, by the names of its arguments."""
        stale = self._stale or None
        return {"maxsize": self._maxsize, "typed": self._typed, "ttl": self._ttl, "stale_while_revalidate": stale}

    def _info(self, store: Results) -> CacheInfo:
        hits, misses, currsize = store.info()
        return CacheInfo(hits, misses, self._maxsize, currsize)

    def _clear(self, store: Results) -> None:
        # One by one: what takes off meanwhile must not be taken away without being told.
        with suppress(KeyError):
            while True:
                _, flight = store.pending.popitem()
                flight.outdate()
        store.clear()

    def _invalidate(self, store: Results, key: Hashable) -> bool:
        flight = store.pending.pop(key, None)
        if flight is not None:
            flight.outdate()
        return store.remove(key) or flight is not None

    def _keep(self, store: Results, key: Hashable, value: R, flight: ThreadFlight | TaskFlight) -> None:
        ttl = self._ttl
        if callable(ttl):
            said = ttl(value)
            ttl = None if said is None else seconds("what ttl() returned", said)
        store.put(key, value, flight, ttl, self._stale)

    # What the extension calls when it finds nothing, and when what it finds is stale. `args` begin with the instance, if there is one.

    # Waiting and running are one function, since each level of a recursion needs its frames.
    def _miss(
        self, store: Results, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any], flight: Any = None, *, anew: bool = False
    ) -> R:
        """Runs the function, or waits for who runs it. With a flight that has taken off: runs it; if `anew`, whatever is there."""
        token: Any = None
        other: Any = None
        try:
            while True:
                if flight is None:
                    flight = ThreadFlight()
                    other = _take_off(store.pending, key, flight)
                if other is None:
                    token = flight.begin()
                    # Somebody may have landed between the lookup and the takeoff.
                    value = MISSING if anew else store.peek(key)
                    if value is MISSING:
                        value = self._function(*args, **kwargs)
                        if inspect.iscoroutine(value):
                            self._refuse_coroutine(value)
                        self._keep(store, key, value, flight)
                    flight.value = value
                    flight.outcome = Outcome.LANDED
                    return value  # type: ignore[no-any-return]
                # A refresh that waits for a thread would be waited for in vain, if all of them wait for such.
                flight = other
                if flight.claim():
                    other, anew = None, True
                    continue
                flight = None
                outcome = other.wait()
                if outcome is Outcome.LANDED:
                    return other.value  # type: ignore[no-any-return]
                if outcome is Outcome.CIRCLE:
                    return self._function(*args, **kwargs)
                if outcome is Outcome.FAILED:
                    other.raise_error()
                other = None
        except Exception as error:
            if flight is not None and token is not None:
                flight.fail(error)
            raise
        finally:
            # With anything but an Exception (KeyboardInterrupt, SystemExit) the flight is abandoned: that was meant for this caller, and
            # one of those who wait takes over.
            if token is not None:
                inside.reset(token)
            if flight is not None and not flight.is_down:
                _land(store.pending, key, flight)
            # An error has this frame in its traceback, and a flight has the error: that circle would keep both until the garbage
            # collector comes by.
            flight = other = None

    def _refuse_coroutine(self, coroutine: Any) -> NoReturn:
        coroutine.close()
        raise TypeError(f"{self._name()} returned a coroutine, which can be awaited only once: declare it with async def")

    def _renew(self, store: Results, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        flight = ThreadFlight()
        _replace(store.pending, key, flight)
        return self._miss(store, key, args, kwargs, flight, anew=True)

    def _refresh(self, store: Results, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        flight = ThreadFlight()
        flight.offer()
        if _take_off(store.pending, key, flight) is not None:
            return

        def refresh() -> None:
            inside.set(None)
            try:
                self._miss(store, key, args, kwargs, flight, anew=True)
            except BaseException as error:
                # There is no caller for whom an interruption could be meant.
                self._tell(error)

        # As a task has it: what the caller has set is seen, and what the refresh sets is seen by nobody else.
        context = copy_context()

        def begin() -> None:
            if flight.claim():
                context.run(refresh)

        if not _background.start(begin) and flight.claim():
            _land(store.pending, key, flight)

    def _tell(self, error: BaseException) -> None:
        if not isinstance(error, self._ignored):
            _log.warning(
                "%s could not be refreshed in the background; its last result is served until it expires", self._name(), exc_info=error
            )

    def _name(self) -> str:
        function = self._function
        return f"{getattr(function, '__qualname__', repr(function))}()"

    def _bound_signature(self) -> inspect.Signature:
        signature = inspect.signature(self._function)
        return signature.replace(parameters=list(signature.parameters.values())[1:])

    def __repr__(self) -> str:
        return f"<cached {self._function!r}>"

    # By name, as functions are.
    def __reduce__(self) -> str:
        return self.__qualname__

    def __copy__(self) -> CachedFunction[P, R]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> CachedFunction[P, R]:
        return self


class CachedCoroutineFunction(CachedFunction[P, R]):
    """A coroutine function with a cache: what `cached` makes of an `async def`."""

    def _miss(
        self, store: Results, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any], flight: Any = None, *, anew: bool = False
    ) -> Any:
        return self._load(store, key, args, kwargs)

    def _awaitable(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._function(*args, **kwargs)

    async def _load(self, store: Results, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        flight: Any = None
        other: Any = None
        try:
            while True:
                flight = TaskFlight()
                other = _take_off(store.pending, key, flight)
                if other is None:
                    return await self._lead_task(store, key, flight, args, kwargs)
                outcome = await other.wait()
                if outcome is Outcome.LANDED:
                    return other.value
                if outcome is Outcome.CIRCLE:
                    return await self._awaitable(args, kwargs)
                if outcome is Outcome.FAILED:
                    other.raise_error()
        finally:
            _see_to(store.pending, key, flight, other)
            flight = other = None

    async def _lead_task(
        self, store: Results, key: Hashable, flight: TaskFlight, args: tuple[Any, ...], kwargs: dict[str, Any], *, anew: bool = False
    ) -> Any:
        token = flight.begin()
        try:
            value = MISSING if anew else store.peek(key)
            if value is MISSING:
                value = await self._awaitable(args, kwargs)
                self._keep(store, key, value, flight)
            flight.value = value
            flight.outcome = Outcome.LANDED
        except Exception as error:
            flight.fail(error)
            raise
        finally:
            # Cancelled, or closed: the next of those who wait takes over.
            flight.end(token)
            _land(store.pending, key, flight)
            del flight
        return value

    def _renew(self, store: Results, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._renew_task(store, key, args, kwargs)

    async def _renew_task(self, store: Results, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        flight = TaskFlight()
        _replace(store.pending, key, flight)
        return await self._lead_task(store, key, flight, args, kwargs, anew=True)

    def _refresh(self, store: Results, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # Without a running loop there is nothing that could do it: the next call that has one does.
        flight = TaskFlight()
        if flight.loop is None or _take_off(store.pending, key, flight) is not None:
            return

        async def refresh() -> None:
            inside.set(None)
            try:
                await self._lead_task(store, key, flight, args, kwargs, anew=True)
            except Exception as error:
                self._tell(error)

        _background.start_task(flight.loop, refresh(), lambda: _land(store.pending, key, flight))


# Those that are in the body of a class. An instance of that calls them without binding them first, and everything else is the same.
_METHODS: dict[type, type] = {
    CachedFunction: as_method_descriptor(CachedFunction, f"{__name__}.CachedMethod"),
    CachedCoroutineFunction: as_method_descriptor(CachedCoroutineFunction, f"{__name__}.CachedCoroutineMethod"),
}
_FUNCTIONS = {method: function for function, method in _METHODS.items()}


def _take_off(pending: dict[Hashable, Any], key: Hashable, flight: ThreadFlight | TaskFlight) -> ThreadFlight | TaskFlight | None:
    """Puts a flight where others find it; gives the one that is there already, if there is one."""
    other: ThreadFlight | TaskFlight = pending.setdefault(key, flight)
    if other is flight:
        return None
    if other.is_over():
        # It could not be taken away, or its thread or loop has gone: nobody would ever land it.
        pending[key] = flight
        other.outdate()
        return None
    return other


def _see_to(pending: dict[Hashable, Any], key: Hashable, flight: ThreadFlight | TaskFlight | None, other: object) -> None:
    """Lands a flight that took off and was interrupted, by a signal for one, before anything was done."""
    if flight is not None and other is None and not flight.is_down:
        _land(pending, key, flight)


def _replace(pending: dict[Hashable, Any], key: Hashable, flight: ThreadFlight | TaskFlight) -> None:
    other = pending.get(key)
    pending[key] = flight
    if other is not None:
        other.outdate()


def _land(pending: dict[Hashable, Any], key: Hashable, flight: ThreadFlight | TaskFlight) -> None:
    try:
        if pending.get(key) is flight:
            found = pending.pop(key, None)
            if found is not None and found is not flight:
                pending.setdefault(key, found)
    finally:
        # Whatever the == of a key does, nobody is left waiting.
        flight.land()


@overload
def cached(function: Callable[P, R], /) -> CachedFunction[P, R]: ...
@overload
def cached(
    function: None = None,
    /,
    *,
    maxsize: int | None = 128,
    ttl: float | timedelta | Callable[[Any], float | timedelta | None] | None = None,
    key: Callable[..., Hashable] | None = None,
    typed: bool = False,
    stale_while_revalidate: float | timedelta | None = None,
    ignore: type[Exception] | tuple[type[Exception], ...] = (),
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]: ...
def cached(
    function: Callable[..., Any] | None = None,
    /,
    *,
    maxsize: int | None = 128,
    ttl: float | timedelta | Callable[[Any], float | timedelta | None] | None = None,
    key: Callable[..., Hashable] | None = None,
    typed: bool = False,
    stale_while_revalidate: float | timedelta | None = None,
    ignore: type[Exception] | tuple[type[Exception], ...] = (),
) -> Any:
    """Keeps what a function, a method or a coroutine function returns, and runs it once for all who ask for the same arguments at the
    same time.

    `maxsize`: the most results to keep, the least recently used goes first; `None`: no limit; 0: none. For a method it holds for each
    instance.
    `ttl`: seconds (or a timedelta) until a result is forgotten, or a callable that is given the result and says so; `None`: never; 0: at
    once.
    `key`: is called with the arguments (of a method: with the instance first) and gives what the result is kept by. Default: all
    arguments, which must be hashable; for a method
    without the instance, which has a cache of its own that ends with it.
    `typed`: whether arguments of different types are different though they are equal, such as 1 and 1.0.
    `stale_while_revalidate`: for so many seconds after its TTL a result is still given, while one thread (for a coroutine function: one
    task of the running loop) computes another.
    `ignore`: exceptions of such a refresh in the background that are not logged.

    An exception is raised to all who waited for that call, and not kept. When the caller who runs the function is cancelled or
    interrupted, one of those who wait runs it. A function that asks
    for what it is computing itself, or for what waits for it, is called through, as if it had no cache.

    Raises `ValueError` for a negative number, `TypeError` for what is not a function, or one that yields.
    """
    if not _is_size(maxsize):
        raise TypeError(f"maxsize must be an int or None, not {maxsize!r}; a function is given to @cached by itself, without it")
    if maxsize is not None and maxsize < 0:
        raise ValueError(f"maxsize cannot be negative: {maxsize}")
    if key is not None and not callable(key):
        raise TypeError(f"key must be callable, not {key!r}")
    if ttl is not None and not callable(ttl):
        seconds("ttl", ttl)
    ignored: tuple[Any, ...] = ignore if isinstance(ignore, tuple) else (ignore,)
    for exception in ignored:
        if not (isinstance(exception, type) and issubclass(exception, Exception)):
            raise TypeError(f"ignore must be exceptions, not {exception!r}")
    if stale_while_revalidate is not None:
        seconds("stale_while_revalidate", stale_while_revalidate)
        if ttl is None:
            raise ValueError("stale_while_revalidate has no meaning without ttl: nothing ever becomes stale")

    def decorate(function: Any) -> Any:
        if kind_of_method := _kind_of_method(function):
            raise TypeError(f"@cached needs a function: put @{kind_of_method} above @cached, not below")
        if not callable(function):
            raise TypeError(f"@cached needs a function, not {function!r}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function!r} yields: a generator can be used only once, so there is nothing to keep; return a list or a tuple"
            )
        is_coroutine = inspect.iscoroutinefunction(function)
        kind: Any = CachedCoroutineFunction if is_coroutine else CachedFunction
        made = kind(function, maxsize=maxsize, typed=typed, key=key, is_coroutine=is_coroutine)
        made._configure(ttl, stale_while_revalidate, ignored)
        _dress(made, function, is_coroutine)
        return made

    return decorate if function is None else decorate(function)


def _is_size(given: object) -> bool:
    return given is None or (isinstance(given, int) and not isinstance(given, bool))


def _kind_of_method(given: object) -> str | None:
    name = type(given).__name__
    return name if isinstance(given, (staticmethod, classmethod)) else None


def _dress(made: Any, function: Callable[..., Any], is_coroutine: bool) -> None:
    import functools

    functools.update_wrapper(made, function)
    if not is_coroutine:
        return
    # Frameworks ask whether to await what they call.
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(made)
    else:
        from asyncio import coroutines

        made._is_coroutine = getattr(coroutines, "_is_coroutine", None)
