"""`lru_cache` and `cache`, as those of the standard library's `functools`: the same results, counts and attributes. Beyond that,
`rustcache.cached` runs a function once for all who wait for it, and
does not keep instances alive."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

from ._cached import CacheInfo
from ._core import Memo, as_method_descriptor

__all__ = ("cache", "lru_cache")

P = ParamSpec("P")
R = TypeVar("R")


class _Function(Memo[P, R]):
    def cache_info(self) -> CacheInfo:
        """Hits, misses, `maxsize` and the number of results."""
        hits, misses, currsize = self._store.info()
        return CacheInfo(hits, misses, self._maxsize, currsize)

    def cache_clear(self) -> None:
        """Forgets all results, and counts from 0 again."""
        self._store.clear()

    # As in functools: a plain attribute of each function, which update_wrapper takes along.
    cache_parameters: Callable[[], dict[str, Any]]

    def __reduce__(self) -> str:
        return self.__qualname__

    def __copy__(self) -> _Function[P, R]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> _Function[P, R]:
        return self


# A function of Python's is the same to its class.
_Method = as_method_descriptor(_Function, f"{__name__}._Method")


@overload
def lru_cache(maxsize: Callable[P, R], typed: bool = False) -> _Function[P, R]: ...
@overload
def lru_cache(maxsize: int | None = 128, typed: bool = False) -> Callable[[Callable[P, R]], _Function[P, R]]: ...
def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """As `functools.lru_cache`."""
    if isinstance(maxsize, int):
        maxsize = max(maxsize, 0)
    elif callable(maxsize):
        return _decorate(maxsize, 128, typed)
    elif maxsize is not None:
        raise TypeError("Expected first argument to be an integer, a callable, or None")

    def decorate(function: Callable[..., Any]) -> _Function[..., Any]:
        return _decorate(function, maxsize, typed)

    return decorate


def _decorate(function: Callable[..., Any], maxsize: int | None, typed: bool) -> _Function[..., Any]:
    if not callable(function):
        raise TypeError("the first argument must be callable")
    made = _Method(function, maxsize=maxsize, typed=bool(typed), is_plain=True)
    functools.update_wrapper(made, function)
    made.cache_parameters = lambda: {"maxsize": maxsize, "typed": typed}
    return made


def cache(user_function: Callable[P, R], /) -> _Function[P, R]:
    """As `functools.cache`: without a limit."""
    return lru_cache(maxsize=None)(user_function)
