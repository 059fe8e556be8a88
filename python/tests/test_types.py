"""What type checkers see: this file is checked by mypy and pyright, and runs as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rust_cache
from rustcache import CACHE_MISS, DEFAULT_TTL, Cache, CacheMissSentinel, KvStore, RemovalCause, Stats, Storage

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
