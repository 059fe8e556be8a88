"""`cached` of `cachetools`: what a call does with the cache, the lock and the condition that it was given. `rustcache.cached` is another
decorator, which needs none of them."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager, suppress
from typing import Any, NamedTuple

from . import keys
from ._caches import Cache

__all__ = ("CacheInfo", "cached", "cachedmethod")


class CacheInfo(NamedTuple):
    """What `cache_info()` gives."""

    hits: int
    misses: int
    maxsize: float | None
    currsize: float


class Calls:
    """What functions and methods with a cache have in common. Subclasses say which cache, key, lock and condition there are."""

    cache: Any
    cache_key: Any
    cache_lock: Any
    cache_condition: Any

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        # Keys for which the function runs, while there is a condition to wait on.
        self._pending: set[Any] = set()
        self._hits = 0
        self._misses = 0

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        cache = self.cache
        key = self.cache_key(*args, **kwargs)
        lock = self.cache_lock
        if lock is None:
            return self._alone(cache, key, args, kwargs)
        condition = self.cache_condition
        if condition is None:
            return self._locked(cache, key, lock, args, kwargs)
        return self._waiting(cache, key, lock, condition, args, kwargs)

    def _find(self, cache: Any, key: Any) -> Any:
        try:
            value = cache[key]
        except KeyError:
            self._misses += 1
            raise
        self._hits += 1
        return value

    def _alone(self, cache: Any, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return self._find(cache, key)
        except KeyError:
            pass
        value = self._function(*args, **kwargs)
        _store(cache, key, value)
        return value

    def _locked(self, cache: Any, key: Any, lock: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with lock:
            try:
                return self._find(cache, key)
            except KeyError:
                pass
        value = self._function(*args, **kwargs)
        with lock:
            try:
                # Who was first while the lock was free is right.
                return cache.setdefault(key, value)
            except ValueError:
                return value

    def _waiting(self, cache: Any, key: Any, lock: Any, condition: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with lock:
            while key in self._pending:
                condition.wait()
            try:
                return self._find(cache, key)
            except KeyError:
                self._pending.add(key)
        try:
            value = self._function(*args, **kwargs)
            with lock:
                _store(cache, key, value)
            return value
        finally:
            with lock:
                self._pending.remove(key)
                condition.notify_all()

    def cache_clear(self) -> None:
        """Empties the cache, and begins to count anew."""
        with self.cache_lock or _NO_LOCK:
            self.cache.clear()
            self._hits = self._misses = 0


class Counted(Calls):
    """With `info=True`."""

    def cache_info(self) -> CacheInfo:
        """Hits, misses, and the sizes of the cache."""
        with self.cache_lock or _NO_LOCK:
            cache = self.cache
            if isinstance(cache, Cache):
                return CacheInfo(self._hits, self._misses, cache.maxsize, cache.currsize)
            return CacheInfo(self._hits, self._misses, None, len(cache))


class _NoLock:
    def __enter__(self) -> None: ...

    def __exit__(self, *exception: object) -> None: ...


_NO_LOCK = _NoLock()


def _store(cache: Any, key: Any, value: Any) -> None:
    # Too large: not kept.
    with suppress(ValueError):
        cache[key] = value


class _Function(Calls):
    def __init__(self, function: Callable[..., Any], cache: Any, key: Callable[..., Any], lock: Any, condition: Any) -> None:
        # First, so that what the function has, such as another decorator's attributes, does not come over ours.
        functools.update_wrapper(self, function)
        super().__init__(function)
        self.cache = cache
        self.cache_key = key
        self.cache_lock = condition if lock is None else lock
        self.cache_condition = condition

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    # By name, as functions are.
    def __reduce__(self) -> str:
        return self.__qualname__  # type: ignore[attr-defined,no-any-return]

    def __repr__(self) -> str:
        return f"<cached {self._function!r}>"


class _CountedFunction(_Function, Counted):
    pass


def cached(
    cache: MutableMapping[Any, Any],
    key: Callable[..., Any] = keys.hashkey,
    lock: AbstractContextManager[Any] | None = None,
    condition: Any = None,
    info: bool = False,
) -> Callable[[Callable[..., Any]], Any]:
    """Keeps the results of a function in a mapping. `lock` is held while the mapping is used, `condition` waited on while another thread
    computes the same; neither is needed for the caches of this
    module to stay whole. `info`: whether there is a `cache_info()`."""
    given: Any = cache
    if given is None:
        raise TypeError("cache must be a mapping, not None: without a cache there is nothing to decorate with")
    kind = _CountedFunction if info else _Function
    return lambda function: kind(function, cache, key, lock, condition)


def cachedmethod(
    cache: Callable[[Any], MutableMapping[Any, Any]],
    key: Callable[..., Any] = keys.methodkey,
    lock: Callable[[Any], AbstractContextManager[Any]] | None = None,
    condition: Callable[[Any], Any] | None = None,
    info: bool = False,
) -> Callable[[Callable[..., Any]], Any]:
    """Keeps the results of a method in the mapping that `cache(instance)` gives. The rest is as with `cached`, but that lock and
    condition are functions of the instance too."""
    from ._methods import MethodWithCache

    return lambda method: MethodWithCache(method, cache, key, lock, condition, info)
