"""`memoize`: the results of a function in a `Cache`, and so on disk if that has a directory. Who runs the function, and who waits, is
`cached`'s affair."""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import math
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from ._cached import cached
from ._core import DEFAULT_TTL, MISSING, Cache, encode_arguments
from ._errors import DecodeError, DiskError
from ._names import check_name, name_of
from ._times import seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from ._core import DefaultTTLSentinel

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_LONGEST_KEY = 1024
_DIGEST = b"\xc1"
"""After the colon, of a key that is too long: neither MessagePack nor text begins with it."""


class Memoized(Protocol[P, R_co]):
    """What `memoize` makes of a function."""

    __wrapped__: Callable[..., Any]
    """The function itself."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> bytes:
        """The key of the result for these arguments: `cache.delete(f.cache_key(1))` forgets it."""
        ...


def _ttl_of(given: Any) -> Any:
    """As `Cache.set` takes it."""
    if given is None or given is DEFAULT_TTL:
        return given
    time = seconds("ttl", given)
    return None if time == math.inf else time


def _first(where: bytes, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> bytes:
    return where


def memoize(
    cache: Cache,
    *,
    ttl: float | timedelta | DefaultTTLSentinel | None = DEFAULT_TTL,
    name: str | None = None,
    key: Callable[..., str | bytes] | None = None,
) -> Callable[[Callable[P, R]], Memoized[P, R]]:
    """Keeps what a function or a coroutine function returns in a `Cache`, and runs it once for all who ask for the same arguments at the
    same time.

    `ttl`: seconds (or a timedelta) until a result is forgotten; `None`: never. Default: that of the cache.
    `name`: what keys begin with, up to a colon: so it has none. Default: the names of the function's module and of itself. A function of
    `__main__`, one within another function, and a lambda have to be given one, because others have the same names; so has a function of
    whose name another one is there, as `functools.wraps` makes them. What was given one name shares its results.
    `key`: is called with the arguments, once for each call, and gives the rest of the key. Default: all arguments, which have to be plain
    data (numbers, text, bytes, dates, and lists, tuples, sets and dicts of these).

    Those who have waited for one call get the very object that the function returned; a result that is there comes as a copy for each.
    An exception is raised to all who waited, and not kept. What the cache's codec cannot keep raises `TypeError`. A result that is there
    and cannot be read is computed again. One that cannot be written, because the disk has failed or the cache is closed, is returned all
    the same; the logger `rustcache` is told of the first one that the disk did not take.

    Where the function is decorated, it raises `ValueError` for a negative `ttl` and a colon in `name`, `TypeError` for what is of another
    type.
    """

    given: Any = cache
    if not isinstance(given, Cache):
        hint = "write @memoize(cache), and not @memoize" if callable(given) else "results are kept as bytes, under keys of bytes"
        raise TypeError(f"memoize() needs a Cache, not {given!r}: {hint}")
    expiry = _ttl_of(ttl)
    if name is not None:
        check_name(name)
    if key is not None and not callable(key):
        raise TypeError(f"key must be callable, not {key!r}")

    def decorate(function: Callable[..., Any]) -> Any:
        if not callable(function) or isinstance(function, (staticmethod, classmethod)):
            raise TypeError(f"@memoize needs a function, not {function!r}")
        begin = (name_of(function, cache) if name is None else name).encode() + b":"
        has_failed = False

        def read(where: bytes) -> Any:
            try:
                return cache.get(where, MISSING)
            except DecodeError:
                return MISSING

        def keep(where: bytes, value: Any) -> None:
            nonlocal has_failed
            try:
                cache.set(where, value, expiry)
            except DiskError as error:
                if not has_failed:
                    has_failed = True
                    log = logging.getLogger("rustcache")
                    log.warning("what %r returns is not on the disk: %s", function, error)
            except RuntimeError:
                if not cache.closed:
                    raise
            else:
                has_failed = False

        def cache_key(*args: Any, **kwargs: Any) -> bytes:
            made: Any = encode_arguments([list(args), dict(sorted(kwargs.items()))]) if key is None else key(*args, **kwargs)
            if isinstance(made, str):
                made = made.encode()
            elif not isinstance(made, bytes):
                raise TypeError(f"key must give str or bytes, and gave {type(made).__name__}")
            whole = begin + made
            return whole if len(whole) <= _LONGEST_KEY else begin + _DIGEST + hashlib.blake2b(whole).digest()

        memoized: Any
        if inspect.iscoroutinefunction(function):

            async def load_async(where: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                # Somebody may have stored it since it was looked for.
                value = read(where)
                if value is MISSING:
                    value = await function(*args, **kwargs)
                    keep(where, value)
                return value

            once = cached(maxsize=0, key=_first)(load_async)

            @functools.wraps(function)
            async def memoized_async(*args: Any, **kwargs: Any) -> Any:
                where = cache_key(*args, **kwargs)
                value = read(where)
                return await once(where, args, kwargs) if value is MISSING else value

            memoized = memoized_async
        else:

            def load(where: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                value = read(where)
                if value is MISSING:
                    value = function(*args, **kwargs)
                    keep(where, value)
                return value

            once = cached(maxsize=0, key=_first)(load)

            @functools.wraps(function)
            def memoized_now(*args: Any, **kwargs: Any) -> Any:
                where = cache_key(*args, **kwargs)
                value = read(where)
                return once(where, args, kwargs) if value is MISSING else value

            memoized = memoized_now
        memoized.cache_key = cache_key
        return memoized

    return decorate
