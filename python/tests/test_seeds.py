"""`KvStore` and `rust_cache.Cache` do what programs that were written for those rely on."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest

import rust_cache
from rustcache import KvStore
from waiting import until


def test_a_kv_store_keeps_any_object_by_reference() -> None:
    store = KvStore(10)
    value = object()
    assert store.put("user:123", value) is None
    assert store.get("user:123") is value
    assert store.get("missing") is None
    store.put("none", None)
    assert store.get("none") is None
    assert "none" in store
    assert store.delete("none") is True
    assert store.delete("none") is False


def test_a_kv_store_evicts_what_was_used_least_recently() -> None:
    store = KvStore(capacity=2)
    store.put("a", 1)
    store.put("b", 2)
    store.get("a")
    store.put("c", 3)
    assert (store.get("a"), store.get("b"), store.get("c"), len(store)) == (1, None, 3, 2)


def test_a_kv_store_expires_entries() -> None:
    store = KvStore(2)
    store.put("a", 1, ttl=0.01)
    store.put("b", 2, ttl=None)
    store.put("c", 3, 0)
    until(lambda: store.get("a") is None)
    assert (store.get("b"), store.get("c"), len(store)) == (2, None, 1)


@pytest.mark.parametrize("ttl", [-1, float("nan"), float("inf"), float("-inf")])
def test_a_bad_ttl_is_an_error_and_harms_nobody(ttl: float) -> None:
    store = KvStore(2)
    with pytest.raises(ValueError, match="TTL|finite"):
        store.put("a", 1, ttl)
    with pytest.raises(TypeError):
        store.put("a", 1, "1")
    store.put("a", 2)
    assert store.get("a") == 2


@pytest.mark.parametrize("kind", [KvStore, rust_cache.Cache])
def test_a_capacity_is_at_least_one(kind: type[KvStore]) -> None:
    with pytest.raises(ValueError, match="capacity must be at least 1"):
        kind(0)
    with pytest.raises(OverflowError):
        kind(-1)
    with pytest.raises(TypeError):
        kind("1")


@pytest.mark.parametrize("kind", [KvStore, rust_cache.Cache])
def test_copies_have_the_capacity(kind: type[KvStore]) -> None:
    store = kind(3)
    store.put("a", "1")
    for other in (copy.copy(store), pickle.loads(pickle.dumps(store))):
        assert (type(other), len(other), repr(other)) == (kind, 0, repr(store).replace("1 of", "0 of"))


def test_rust_cache_is_text_under_text() -> None:
    cache = rust_cache.Cache(2)
    cache.put("a", "1")
    cache.put("b", "ü\0\n")
    assert cache.get("a") == "1"
    cache.put("c", "3")
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ("1", None, "3")
    assert (cache.len(), cache.capacity()) == (2, 2)
    assert (len(cache), "a" in cache, "b" in cache) == (2, True, False)
    with pytest.raises(TypeError):
        cache.put("a", 1)
    with pytest.raises(TypeError):
        cache.get(1)


def test_rust_cache_is_never_already_borrowed() -> None:
    cache = rust_cache.Cache(100)
    failures = []

    def work(seed: int) -> None:
        try:
            for turn in range(3000):
                key = str((turn * 7 + seed) % 150)
                cache.put(key, key)
                assert cache.get(key) in (key, None)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert cache.len() == 100
