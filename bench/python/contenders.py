"""Who takes part, and by which statement each reads and writes: the one that its own documents show. Nothing is measured here.

A statement is Python that knows `cache`, `key` and `value`, so that nobody pays for a function that only calls another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from threading import Lock
from typing import Any

import async_lru
import cachebox
import cachetools
import moka_py
import theine

import rustcache
import rustcache.cachetools
import rustcache.functools

OURS = "rustcache Storage"
CACHEBOX = "cachebox"
CACHETOOLS = "cachetools, lock"
CACHETOOLS_BARE = "cachetools, no lock"
CACHETOOLS_FACE = "rustcache.cachetools"
MOKA = "moka-py"
DICT = "dict"

CACHED = "rustcache.cached"
FUNCTOOLS = "functools.lru_cache"


@dataclass(frozen=True)
class Contender:
    """`prepare` runs once before the clock starts, `hit` and `write` for each key."""

    name: str
    make: Callable[[int], Any]
    hit: str
    write: str
    prepare: str = "pass"
    is_bounded: bool = True
    survives_threads: bool = True


def _with_lock(capacity: int) -> tuple[Any, Lock]:
    return cachetools.LRUCache(capacity), Lock()


MAPPINGS = (
    Contender(
        OURS, lambda capacity: rustcache.Storage(max_items=capacity), "get(key)", "set(key, value)", "get, set = cache.get, cache.set"
    ),
    Contender(CACHEBOX, cachebox.LRUCache, "get(key)", "cache[key] = value", "get = cache.get"),
    Contender(MOKA, moka_py.Moka, "get(key)", "set(key, value)", "get, set = cache.get, cache.set"),
    Contender(
        CACHETOOLS,
        _with_lock,
        "with lock: cache[key]",
        "with lock: cache[key] = value",
        "cache, lock = cache",
    ),
    Contender("theine", theine.Cache, "get(key)", "set(key, value)", "get, set = cache.get, cache.set"),
    Contender(CACHETOOLS_FACE, rustcache.cachetools.LRUCache, "cache[key]", "cache[key] = value"),
    Contender(CACHETOOLS_BARE, cachetools.LRUCache, "cache[key]", "cache[key] = value", survives_threads=False),
    Contender(DICT, lambda _: {}, "get(key)", "cache[key] = value", "get = cache.get", is_bounded=False),
)

_Decorate = Callable[[Callable[..., Any]], Callable[..., Any]]


def decorators(capacity: int) -> dict[str, _Decorate]:
    """Of functions."""
    return {
        CACHED: rustcache.cached(maxsize=capacity),
        FUNCTOOLS: lru_cache(capacity),
        "rustcache.functools.lru_cache": rustcache.functools.lru_cache(capacity),
        "cachebox.cached": cachebox.cached(cachebox.LRUCache(capacity)),
        "cachetools.cached, lock": cachetools.cached(cachetools.LRUCache(capacity), lock=Lock()),
    }


def decorators_of_methods(capacity: int) -> dict[str, _Decorate]:
    return {
        CACHED: rustcache.cached(maxsize=capacity),
        FUNCTOOLS: lru_cache(capacity),
        "cachetools.cachedmethod": cachetools.cachedmethod(lambda _: _SHARED, key=partial(cachetools.keys.methodkey)),
    }


_SHARED: Any = cachetools.LRUCache(1 << 20)


def decorators_of_coroutines(capacity: int) -> dict[str, _Decorate]:
    return {
        CACHED: rustcache.cached(maxsize=capacity),
        "async_lru.alru_cache": async_lru.alru_cache(maxsize=capacity),
    }
