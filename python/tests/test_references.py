"""References are counted right: what a cache has let go of is free, and what it holds is held once."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from rustcache import Cache, KvStore, Storage


class Thing:
    """Hashed and compared by identity, or by number if it has one."""

    def __init__(self, number: int | None = None) -> None:
        self.number = number

    def __hash__(self) -> int:
        return 5

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Thing) and self.number is not None and self.number == other.number)


def count(thing: object) -> int:
    return sys.getrefcount(thing)


USES: list[Callable[[Storage[Any], Any, Any], object]] = [
    lambda storage, key, value: storage.set(key, value),
    lambda storage, key, value: storage.set(key, value, ttl=0),
    lambda storage, key, value: storage.set(key, value, 100),
    lambda storage, key, value: storage.set(key=key, value=value, ttl=None),
    lambda storage, key, value: storage.add(key, value),
    lambda storage, key, value: storage.setdefault(key, value),
    lambda storage, key, value: storage.get(key),
    lambda storage, key, value: storage.get(key, value),
    lambda storage, key, value: storage.get(key, default=value),
    lambda storage, key, value: storage.get(Thing(7), value),
    lambda storage, key, value: storage.pop(key, value),
    lambda storage, key, value: storage.touch(key),
    lambda storage, key, value: storage.ttl(key),
    lambda storage, key, value: key in storage,
    lambda storage, key, value: storage.delete(key),
    lambda storage, key, value: storage.get_many([key, value]),
    lambda storage, key, value: storage.set_many([(key, value)]),
    lambda storage, key, value: storage.delete_many([key]),
    lambda storage, key, value: list(storage.items()),
    lambda storage, key, value: next(iter(storage.values()), None),
    lambda storage, key, value: storage.stats(),
    lambda storage, key, value: storage.clear(),
    lambda storage, key, value: storage.set(key),  # too few
    lambda storage, key, value: storage.set(key, value, "soon"),
    lambda storage, key, value: storage.get(key, other=value),
    lambda storage, key, value: storage.get(key, key=value),
]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("weighed", [False, True])
def test_no_reference_is_lost_or_kept(use: Callable[[Storage[Any], Any, Any], object], weighed: bool) -> None:
    options: dict[str, Any] = {"weigher": lambda key, value: 1, "eviction_listener": lambda *entry: None} if weighed else {}
    key, same, value = Thing(1), Thing(1), Thing()
    before = count(key), count(same), count(value), count(None), count(use)
    storage = Storage[Any](max_items=3, **options)
    for _ in range(50):
        for one in (key, same):
            try:
                use(storage, one, value)
            except (TypeError, ValueError):
                continue
        storage.set(key, value)
    del one
    assert count(value) == before[2] + 1
    storage.clear()
    assert (count(key), count(same), count(value)) == before[:3]
    storage.set(key, value)
    del storage
    assert (count(key), count(same), count(value)) == before[:3]
    # None is immortal from Python 3.12 on; before, it is counted as well.
    assert abs(count(None) - before[3]) < 40


def test_a_missing_key_leaves_the_sentinel_as_it_was() -> None:
    storage = Storage[Any]()
    missing = storage.get("missing")
    before = count(missing)
    for _ in range(100):
        storage.get("missing")
    assert count(missing) == before


def test_a_kv_store_holds_what_it_is_given_once() -> None:
    key, value = Thing(), Thing()
    before = count(key), count(value)
    store = KvStore(2)
    for _ in range(50):
        store.put(key, value)
        store.get(key)
    assert (count(key), count(value)) == (before[0] + 1, before[1] + 1)
    store.delete(key)
    assert (count(key), count(value)) == before


def test_a_cache_keeps_no_reference_to_values_and_callables_longer_than_itself() -> None:
    def encode(value: Any) -> bytes:
        return b""

    def decode(data: bytes) -> Any:
        return 1

    value = Thing()
    before = count(value), count(encode), count(decode)
    cache = Cache(serializer=encode, deserializer=decode, eviction_listener=lambda *entry: None)
    for turn in range(50):
        cache.set(f"{turn % 3}", value)
        cache.get(f"{turn % 3}")
    del cache
    assert (count(value), count(encode), count(decode)) == before


class Evidence:
    pass


class EvidenceError(Exception):
    pass


def fail(value: Any) -> Any:
    raise EvidenceError(value)


class Unequal:
    def __init__(self) -> None:
        self.evidence = Evidence()

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise EvidenceError(self.evidence)


def fail_to_serialize() -> weakref.ref[Any]:
    cache, value = Cache(serializer=fail), Evidence()
    with suppress(ValueError):
        cache.set("key", value)
    return weakref.ref(value)


def fail_to_deserialize() -> weakref.ref[Any]:
    made: list[weakref.ref[Any]] = []

    def deserialize(_: bytes) -> Any:
        value = Evidence()
        made.append(weakref.ref(value))
        raise EvidenceError(value)

    cache = Cache(serializer=lambda value: b"", deserializer=deserialize)
    cache.set("key", 1)
    with suppress(ValueError):
        cache.get("key")
    return made[0]


def fail_to_compare() -> weakref.ref[Any]:
    storage, key = Storage[int](), Unequal()
    storage.set(Unequal(), 1)
    with suppress(EvidenceError):
        storage.get(key)
    return weakref.ref(key.evidence)


@pytest.mark.parametrize("act", [fail_to_serialize, fail_to_deserialize, fail_to_compare])
def test_what_was_part_of_an_error_ends_with_it(act: Callable[[], weakref.ref[Any]]) -> None:
    reference = act()
    gc.collect()
    # No other method of the package was called since.
    assert reference() is None


def test_errors_leave_nothing_behind() -> None:
    storage = Storage[int]()

    def err() -> None:
        for _ in range(20_000):
            with suppress(ValueError):
                storage.set("key", 1, ttl=-1)
            with suppress(TypeError):
                storage.get()  # type: ignore[call-overload]

    err()
    before = sys.getallocatedblocks()
    err()
    assert sys.getallocatedblocks() - before < 1000


@pytest.mark.parametrize("make", ["OfStorage()", "OfCache()", "OfStore(3)", "cached(print)", "cached(coroutine)"])
def test_a_collection_may_come_while_an_object_of_a_subclass_is_made(make: str) -> None:
    program = f"""
        import gc
        from rustcache import Cache, KvStore, Storage, cached

        class OfStorage(Storage): pass
        class OfCache(Cache): pass
        class OfStore(KvStore): pass
        async def coroutine(): pass

        gc.set_threshold(1)
        made = [{make} for _ in range(100)]
        gc.collect()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
