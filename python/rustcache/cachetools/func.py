"""Decorators as `functools.lru_cache`, one for each kind of cache: the names of `cachetools.func`. The function runs once for all threads
that ask for the same arguments."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from . import FIFOCache, LFUCache, LRUCache, RRCache, TTLCache, cached, keys

__all__ = ("fifo_cache", "lfu_cache", "lru_cache", "rr_cache", "ttl_cache")


class _UnboundedTTLCache(TTLCache[Any, Any]):
    @property
    def maxsize(self) -> Any:
        return None


def _decorator(make: Callable[[Any], MutableMapping[Any, Any]], maxsize: Any, typed: bool) -> Any:
    """`maxsize` may be the function itself, if the decorator was used without parentheses."""
    if callable(maxsize):
        return _decorator(make, 128, typed)(maxsize)

    def decorate(function: Callable[..., Any]) -> Any:
        key = keys.typedkey if typed else keys.hashkey
        made = cached(make(maxsize), key, condition=threading.Condition(), info=True)(function)
        made.cache_parameters = lambda: {"maxsize": maxsize, "typed": typed}
        return made

    return decorate


def fifo_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """Keeps the results that were computed last."""
    return _decorator(lambda size: {} if size is None else FIFOCache(size), maxsize, typed)


def lfu_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """Keeps the results that were asked for most often."""
    return _decorator(lambda size: {} if size is None else LFUCache(size), maxsize, typed)


def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """Keeps the results that were asked for last."""
    return _decorator(lambda size: {} if size is None else LRUCache(size), maxsize, typed)


def rr_cache(maxsize: Any = 128, choice: Callable[[Sequence[Any]], Any] = random.choice, typed: bool = False) -> Any:
    """Drops any result, or what `choice` says."""
    return _decorator(lambda size: {} if size is None else RRCache(size, choice), maxsize, typed)


def ttl_cache(maxsize: Any = 128, ttl: Any = 600, timer: Callable[[], Any] = time.monotonic, typed: bool = False) -> Any:
    """Keeps the results that were asked for last, each for `ttl`."""
    return _decorator(lambda size: _UnboundedTTLCache(math.inf, ttl, timer) if size is None else TTLCache(size, ttl, timer), maxsize, typed)
