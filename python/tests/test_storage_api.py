"""`Storage` and `Cache` do what programs that were written for atomic-lru rely on: names, defaults, texts of errors, and what stays
possible after `close()`."""

from __future__ import annotations

import inspect
import json
import pickle
import threading
from typing import Any

import pytest

import rustcache
from rustcache import CACHE_MISS, DEFAULT_TTL, Cache, CacheMissSentinel, DefaultTTLSentinel, Storage
from waiting import until

BOTH = pytest.mark.parametrize("kind", [Storage, Cache])


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("not this one")


def test_the_package_exports_what_such_programs_import() -> None:
    names = {
        "CACHE_MISS",
        "DEFAULT_TTL",
        "VERSION",
        "Cache",
        "CacheMissSentinel",
        "DefaultTTLSentinel",
        "Deserializer",
        "Serializer",
        "Storage",
    }
    assert names <= set(rustcache.__all__)
    assert all(hasattr(rustcache, name) for name in rustcache.__all__)
    assert rustcache.VERSION.count(".") == 2


def test_the_sentinels_say_what_they_are_and_stay_what_they_are() -> None:
    assert str(CACHE_MISS) == repr(CACHE_MISS) == "<CacheMiss>"
    assert str(DEFAULT_TTL) == repr(DEFAULT_TTL) == "<DefaultTTL>"
    assert isinstance(CACHE_MISS, CacheMissSentinel)
    assert isinstance(DEFAULT_TTL, DefaultTTLSentinel)
    assert CacheMissSentinel() is CACHE_MISS
    for sentinel in (CACHE_MISS, DEFAULT_TTL):
        assert pickle.loads(pickle.dumps(sentinel)) is sentinel


@BOTH
def test_positional_arguments_come_in_the_order_that_they_have_there(kind: type[Storage]) -> None:
    storage = kind(8192, 3, 60.0, 5.0, 100, False, False)
    assert (storage.size_limit_in_bytes, storage.max_items, storage.default_ttl) == (8192, 3, 60.0)
    if kind is Cache:
        cache = Cache(8192, 3, 60.0, 5.0, 100, False, False, lambda value: json.dumps(value).encode(), json.loads)
        cache.set("key", [1])
        assert cache.get("key") == [1]


@BOTH
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"size_limit_in_bytes": 4095}, "size_limit_in_bytes must be at least 4096"),
        ({"size_limit_in_bytes": -1}, "size_limit_in_bytes must be at least 4096"),
        ({"max_items": 0}, "max_items must be at least 1"),
        ({"max_items": -3}, "max_items must be at least 1"),
        ({"default_ttl": -0.1}, "default_ttl cannot be negative"),
        ({"expiration_thread_delay": 0}, "expiration_thread_delay must be positive"),
        ({"expiration_thread_delay": -1.0}, "expiration_thread_delay must be positive"),
        ({"expiration_thread_max_checks_per_iteration": -1}, "expiration_thread_max_checks_per_iteration cannot be negative"),
    ],
)
def test_an_option_out_of_range_is_a_value_error_that_says_so(kind: type[Storage], options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        kind(**options)


@BOTH
def test_a_negative_ttl_is_a_value_error_and_changes_nothing(kind: type[Storage]) -> None:
    storage = kind()
    storage.set("key", b"old")
    with pytest.raises(ValueError, match="^TTL cannot be negative$"):
        storage.set("key", b"new", ttl=-0.001)
    for ttl in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=str(ttl)):
            storage.set("key", b"new", ttl=ttl)
    with pytest.raises(TypeError):
        storage.set("key", b"new", ttl="soon")
    assert storage.get("key") == b"old"


def test_values_must_be_bytes_where_their_size_is_limited() -> None:
    storage = Storage(size_limit_in_bytes=4096)
    storage.set("key", b"bytes")
    with pytest.raises(ValueError, match="^Value must be bytes if size_limit_in_bytes is set$"):
        storage.set("key", "text")
    assert storage.get("key") == b"bytes"
    Storage().set("key", "text")


def test_what_cannot_be_serialized_names_its_type_and_keeps_its_cause() -> None:
    cache = Cache()
    with pytest.raises(ValueError, match="^Failed to serialize value of type: Unpicklable$") as caught:
        cache.set("key", Unpicklable())
    assert isinstance(caught.value.__cause__, TypeError)
    text = Cache(serializer=lambda value: "text")
    with pytest.raises(ValueError, match="^Failed to serialize value of type: int$") as caught:
        text.set("key", 1)
    assert "has to give bytes, and gave str" in str(caught.value.__cause__)


def test_what_cannot_be_deserialized_is_a_value_error_with_its_cause() -> None:
    cache = Cache(serializer=lambda value: b"{", deserializer=json.loads)
    cache.set("key", 1)
    with pytest.raises(ValueError, match="^Failed to deserialize value$") as caught:
        cache.get("key")
    assert isinstance(caught.value.__cause__, json.JSONDecodeError)


def test_an_interrupt_within_a_serializer_stays_an_interrupt() -> None:
    def interrupted(value: Any) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cache(serializer=interrupted).set("key", 1)


@BOTH
def test_a_missing_key_is_the_sentinel_and_a_deleted_one_as_well(kind: type[Storage]) -> None:
    storage = kind()
    assert storage.get("key") is CACHE_MISS
    assert storage.delete("key") is False
    storage.set("key", b"value")
    assert storage.delete("key") is True
    assert storage.get("key") is CACHE_MISS
    assert storage.delete("key") is False


def test_what_a_storage_gives_is_the_object_that_was_set() -> None:
    storage = Storage[object](max_items=10)
    value = object()
    storage.set("key", value)
    assert storage.get("key") is value
    assert storage.pop("key") is value


def test_what_a_cache_gives_is_a_copy() -> None:
    cache = Cache()
    value = {"name": "Alice", "age": 30}
    cache.set("user:123", value, ttl=60)
    assert cache.get("user:123") == value
    assert cache.get("user:123") is not value
    assert isinstance(cache, Storage)


@BOTH
def test_a_ttl_of_zero_expires_at_once_and_takes_what_was_there_with_it(kind: type[Storage]) -> None:
    storage = kind()
    storage.set("key", b"old")
    storage.set("key", b"new", ttl=0)
    assert storage.get("key") is CACHE_MISS
    assert storage.number_of_items == 0
    at_once = kind(default_ttl=0)
    at_once.set("key", b"value")
    assert at_once.get("key") is CACHE_MISS
    at_once.set("key", b"value", ttl=None)
    assert at_once.get("key") == b"value"


@BOTH
def test_the_default_ttl_holds_unless_another_is_given(kind: type[Storage]) -> None:
    storage = kind(default_ttl=1000)
    storage.set("default", b"")
    storage.set("named", b"", ttl=DEFAULT_TTL)
    storage.set("own", b"", ttl=10.5)
    storage.set("never", b"", ttl=None)
    for key, most in (("default", 1000.0), ("named", 1000.0), ("own", 10.5)):
        left = storage.ttl(key)
        assert isinstance(left, float)
        assert most - 5 < left <= most
    assert storage.ttl("never") is None
    assert storage.ttl("missing") is CACHE_MISS


@BOTH
def test_what_has_expired_is_not_served_and_its_memory_comes_back_without_any_read(kind: type[Storage]) -> None:
    gone = threading.Event()
    causes = []

    def listen(key: Any, value: Any, cause: str) -> None:
        causes.append((key, value, cause))
        gone.set()

    storage = kind(eviction_listener=listen)
    storage.set("key", b"value", ttl=0.01)
    assert gone.wait(60)
    assert causes == [("key", b"value", "expired")]
    assert storage.get("key") is CACHE_MISS
    storage.set("key", b"value", ttl=0.01)
    until(lambda: storage.get("key") is CACHE_MISS)
    assert storage.number_of_items == 0


@BOTH
def test_nothing_expires_where_that_is_disabled(kind: type[Storage]) -> None:
    storage = kind(default_ttl=0.0, expiration_disabled=True)
    storage.set("default", b"1")
    storage.set("own", b"2", ttl=0.0)
    assert (storage.get("default"), storage.get("own")) == (b"1", b"2")
    assert storage.ttl("own") is None


@BOTH
def test_after_close_what_is_there_can_be_read_and_nothing_is_written(kind: type[Storage]) -> None:
    storage = kind()
    storage.set("key", 1)
    storage.close()
    storage.close(wait=True)
    refused = [
        lambda: storage.set("key", 2),
        lambda: storage.delete("key"),
        lambda: storage.clear(),
        lambda: storage.add("other", 2),
        lambda: storage.incr("key"),
        lambda: storage.pop("key"),
        lambda: storage.touch("key"),
        lambda: storage.set_many({}),
        lambda: storage.delete_many([]),
        lambda: storage.setdefault("key", 1),
    ]
    for refuse in refused:
        with pytest.raises(RuntimeError, match="^Storage is closed$"):
            refuse()
    assert storage.get("key") == 1
    assert storage.number_of_items == 1
    assert storage.size_in_bytes > 0
    assert storage.closed


@BOTH
def test_an_oversize_value_is_not_stored_and_the_one_before_is_not_served_any_more(kind: type[Storage]) -> None:
    storage = kind(size_limit_in_bytes=4096)
    storage.set("key", b"small")
    storage.set("key", b"x" * 5000)
    assert storage.get("key") is CACHE_MISS
    assert (storage.number_of_items, storage.size_in_bytes) == (0, 0)
    assert storage.stats().refused == 1


@BOTH
def test_the_limit_on_bytes_holds_whatever_is_written(kind: type[Storage]) -> None:
    storage = kind(size_limit_in_bytes=20_000)
    for turn in range(2000):
        # Overwrites with longer and shorter ones, among others.
        storage.set(f"key:{turn * 7 % 50}", b"x" * (turn * 31 % 3000))
        assert storage.size_in_bytes <= 20_000
    assert storage.number_of_items > 3


@BOTH
def test_keys_are_charged_as_well(kind: type[Storage]) -> None:
    storage = kind(size_limit_in_bytes=10_000)
    for number in range(200):
        storage.set(f"{number:01000}", b"")
    assert 0 < storage.number_of_items < 10


@BOTH
def test_the_least_recently_used_one_goes_first(kind: type[Storage]) -> None:
    storage = kind(max_items=2)
    storage.set("a", 1)
    storage.set("b", 2)
    assert storage.get("a") == 1
    storage.set("c", 3)
    assert storage.get("b") is CACHE_MISS
    storage.set("a", 10)
    storage.set("d", 4)
    assert sorted(storage.keys()) == ["a", "d"]


def test_large_caches_are_exactly_lru_as_well() -> None:
    storage = Storage[int](max_items=20_000)
    for number in range(20_000):
        storage.set(number, number)
    for number in range(0, 20_000, 2):
        storage.get(number)
    for number in range(20_000, 30_000):
        storage.set(number, number)
    assert all(number not in storage for number in range(1, 20_000, 2))
    assert all(number in storage for number in range(0, 20_000, 2))


def test_no_thread_belongs_to_an_instance_and_none_keeps_it_alive() -> None:
    import gc
    import weakref

    before = threading.active_count()
    storages = [Storage[object](default_ttl=100) for _ in range(100)]
    for storage in storages:
        storage.set("key", storage)
    references = [weakref.ref(storage) for storage in storages]
    assert threading.active_count() == before
    del storage, storages
    gc.collect()
    until(lambda: all(reference() is None for reference in references))


@BOTH
def test_signatures_and_documentation_can_be_read(kind: type[Storage]) -> None:
    assert str(inspect.signature(kind.get)) == "(self, /, key, default=Ellipsis)"
    assert "policy='lru'" in str(inspect.signature(kind))
    for name in ("set", "delete", "clear", "close", "get_many", "stats"):
        assert inspect.signature(getattr(kind, name))
        assert getattr(kind, name).__doc__
