"""Cycles through a cache are collected, and the collector is never in the way."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

from rustcache import Cache, KvStore, Storage
from waiting import until


class Node:
    pass


def is_collected(reference: weakref.ref[Any]) -> bool:
    gc.collect()
    return reference() is None


def test_a_value_that_refers_to_its_cache_is_collected_with_it() -> None:
    storage = Storage[Any]()
    node: Any = Node()
    node.storage = storage
    storage.set("key", node)
    reference = weakref.ref(node)
    del storage, node
    until(lambda: is_collected(reference))


def test_a_cache_that_holds_itself_is_collected() -> None:
    storage = Storage[Any]()
    storage.set(storage, storage)
    reference = weakref.ref(storage)
    del storage
    until(lambda: is_collected(reference))


def test_a_kv_store_and_an_iterator_are_collected_in_a_cycle() -> None:
    store = KvStore(3)
    storage = Storage[Any]()
    storage.set("store", store)
    storage.set("more", 1)
    iterator = iter(storage.items())
    next(iterator)
    store.put("iterator", iterator)
    reference = weakref.ref(store)
    del store, storage, iterator
    until(lambda: is_collected(reference))


class Watching(Storage[Any]):
    def __init__(self) -> None:
        super().__init__(eviction_listener=self.tell, weigher=self.weigh, max_weight=10)

    def tell(self, key: Any, value: Any, cause: str) -> None: ...

    def weigh(self, key: Any, value: Any) -> int:
        return 1


class Coding(Cache):
    def __init__(self) -> None:
        super().__init__(serializer=self.encode, deserializer=self.decode, eviction_listener=self.tell)

    def encode(self, value: Any) -> bytes:
        return b""

    def decode(self, value: bytes) -> Any: ...

    def tell(self, key: Any, value: Any, cause: str) -> None: ...


@pytest.mark.parametrize("kind", [Watching, Coding])
def test_a_cycle_through_its_own_callables_is_collected(kind: type[Watching]) -> None:
    storage = kind()
    storage.set("key", 1)
    reference = weakref.ref(storage)
    del storage
    until(lambda: is_collected(reference))


def test_what_is_in_use_is_never_taken_for_garbage() -> None:
    storage = Storage[Any](max_items=500)
    stop = threading.Event()

    def collect() -> None:
        while not stop.is_set():
            gc.collect()

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        for turn in range(20_000):
            node: Any = Node()
            node.storage = storage
            node.own = {"turn": turn}
            # Some expire in the background while the collector is at work.
            storage.set(turn % 1000, node, ttl=0.005 if turn % 3 == 0 else None)
            found = storage.get((turn * 7) % 1000)
            if isinstance(found, Node):
                assert found.own["turn"] % 1000 == (turn * 7) % 1000
                assert found.storage is storage
    finally:
        stop.set()
        thread.join()


def test_the_collector_sees_what_a_cache_holds() -> None:
    storage = Storage[Any]()
    value: list[int] = []
    storage.set("key", value)
    assert any(referent is value for referent in gc.get_referents(storage))
    assert gc.is_tracked(storage)


@pytest.mark.parametrize("kind", [Storage, lambda: KvStore(1)])
def test_caches_that_are_nested_deep_end_without_a_stack_as_deep(kind: Any) -> None:
    def nest() -> None:
        outer: Any = None
        for _ in range(3000):
            inner, outer = outer, kind()
            (outer.set if isinstance(outer, Storage) else outer.put)("inner", inner)
        ended.append(weakref.ref(inner))
        del inner, outer

    ended: list[weakref.ref[Any]] = []
    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=nest)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert ended[0]() is None
