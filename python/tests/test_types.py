"""What type checkers see: this file is checked by mypy and pyright, and runs as well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import rust_cache
from rustcache import CACHE_MISS, DEFAULT_TTL, Cache, CacheInfo, CacheMissSentinel, KvStore, RemovalCause, Stats, Storage, cached
from rustcache.cachetools import LRUCache
from rustcache.functools import lru_cache

if TYPE_CHECKING:
    from typing_extensions import assert_type
else:

    def assert_type(value: object, _: object) -> object:
        return value


def test_a_storage_knows_the_type_of_its_values() -> None:
    storage = Storage[int](max_items=3, policy="tinylfu")
    storage.set("key", 1, ttl=DEFAULT_TTL)
    assert_type(storage.get("key"), int | CacheMissSentinel)
    assert_type(storage.get("key", None), int | None)
    assert_type(storage.pop("key", ""), int | str)
    assert_type(storage.get_many(["key"]), dict[Any, int])
    assert_type(storage.stats(), Stats)
    storage.set_many({"a": 1})
    storage.set_many([("a", 1)])
    for _, value in storage.items():
        assert_type(value, int)
    with storage as same:
        assert_type(same, Storage[int])
    value_or_miss = storage.get("a")
    if not isinstance(value_or_miss, CacheMissSentinel):
        assert_type(value_or_miss, int)


def test_callables_are_checked() -> None:
    def listener(key: Any, value: Any, cause: RemovalCause) -> None: ...

    Storage[str](max_weight=3, weigher=lambda key, value: len(value), eviction_listener=listener)
    cache = Cache(serializer=lambda value: b"", deserializer=lambda data: data.decode())
    assert cache.get("key") is CACHE_MISS
    assert_type(KvStore(3).get("key"), Any)
    assert_type(rust_cache.Cache(3).get("key"), str | None)


def test_a_cached_function_has_the_type_of_the_function() -> None:
    @cached
    def double(number: int) -> float:
        return number * 2

    def by_name(name: str, **_: object) -> str:
        return name

    @cached(ttl=60, key=by_name)
    def greet(name: str, *, loudly: bool = False) -> str:
        return name

    @cached
    async def later(number: int) -> list[int]:
        return [number]

    class Thing:
        @cached
        def method(self, number: int) -> str:
            return str(number)

    assert_type(double(1), float)
    assert_type(double.refresh(1), float)
    assert_type(double.invalidate(1), bool)
    assert_type(double.cache_info(), CacheInfo)
    assert_type(greet("Ada", loudly=True), str)
    assert_type(Thing().method(1), str)
    assert_type(Thing().method.bypass(1), str)
    assert_type(asyncio.run(later(1)), list[int])


def test_the_faces_have_types() -> None:
    @lru_cache(maxsize=None)
    def double(number: int) -> float:
        return number * 2

    assert_type(double(1), float)
    cache: LRUCache[str, int] = LRUCache(10)
    cache["a"] = 1
    assert_type(cache["a"], int)
    assert_type(cache.get("b"), int | None)
