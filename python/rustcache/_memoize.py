"""`memoize`: the results of a function in a `Cache`, and so on disk if that has a directory. Who runs the function, and who waits, is
`cached`'s affair."""

from __future__ import annotations

import functools
import hashlib
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from ._cached import cached
from ._core import DEFAULT_TTL, MISSING, encode_arguments

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import SupportsFloat

    from ._core import Cache, DefaultTTLSentinel

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_LONGEST_KEY = 1024


class Memoized(Protocol[P, R_co]):
    """What `memoize` makes of a function."""

    __wrapped__: Callable[..., Any]
    """The function itself."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> bytes:
        """The key of the result for these arguments: `cache.delete(f.cache_key(1))` forgets it."""
        ...


def memoize(
    cache: Cache,
    *,
    ttl: SupportsFloat | DefaultTTLSentinel | None = DEFAULT_TTL,
    name: str | None = None,
    key: Callable[..., str | bytes] | None = None,
) -> Callable[[Callable[P, R]], Memoized[P, R]]:
    """Keeps what a function or a coroutine function returns in a `Cache`, and runs it once for all who ask for the same arguments at the
    same time.

    `ttl`: seconds, as for `Cache.set`.
    `name`: what keys begin with. Default: the names of the function's module and of itself. Functions of which both are the same share
    results: give a name to lambdas, to functions made within others, and to those of `__main__`.
    `key`: is called with the arguments and gives the rest of the key. Default: all arguments, which have to be plain data (numbers, text,
    bytes, dates, and lists, tuples, sets and dicts of these).

    An exception is raised to all who waited, and not kept. What the cache's codec cannot keep raises `TypeError`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if not callable(function) or isinstance(function, (staticmethod, classmethod)):
            raise TypeError(f"@memoize needs a function, not {function!r}")
        begin = f"{function.__module__}.{function.__qualname__}" if name is None else name

        def cache_key(*args: Any, **kwargs: Any) -> bytes:
            made = encode_arguments([list(args), dict(sorted(kwargs.items()))]) if key is None else key(*args, **kwargs)
            if isinstance(made, str):
                made = made.encode()
            whole = begin.encode() + b":" + made
            if len(whole) <= _LONGEST_KEY:
                return whole
            return begin.encode()[:_LONGEST_KEY] + b"#" + hashlib.blake2b(whole).digest()

        memoized: Any
        if inspect.iscoroutinefunction(function):

            async def load_async(*args: Any, **kwargs: Any) -> Any:
                where = cache_key(*args, **kwargs)
                # Somebody may have stored it since it was looked for.
                value = cache.get(where, MISSING)
                if value is MISSING:
                    value = await function(*args, **kwargs)
                    cache.set(where, value, ttl)
                return value

            once = cached(maxsize=0, key=cache_key)(load_async)

            @functools.wraps(function)
            async def memoized_async(*args: Any, **kwargs: Any) -> Any:
                value = cache.get(cache_key(*args, **kwargs), MISSING)
                return await once(*args, **kwargs) if value is MISSING else value

            memoized = memoized_async
        else:

            def load(*args: Any, **kwargs: Any) -> Any:
                where = cache_key(*args, **kwargs)
                value = cache.get(where, MISSING)
                if value is MISSING:
                    value = function(*args, **kwargs)
                    cache.set(where, value, ttl)
                return value

            once = cached(maxsize=0, key=cache_key)(load)

            @functools.wraps(function)
            def memoized_now(*args: Any, **kwargs: Any) -> Any:
                value = cache.get(cache_key(*args, **kwargs), MISSING)
                return once(*args, **kwargs) if value is MISSING else value

            memoized = memoized_now
        memoized.cache_key = cache_key
        return memoized

    return decorate
