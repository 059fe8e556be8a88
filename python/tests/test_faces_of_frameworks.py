"""The backends for Django and dogpile.cache, by themselves. The tests of their originals are run by compat/run.py."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("django")
pytest.importorskip("dogpile.cache")

from django.core.exceptions import ImproperlyConfigured
from dogpile.cache import make_region
from dogpile.cache.api import NO_VALUE

from rustcache import Storage
from rustcache.django import RustCache
from rustcache.dogpile import RustCacheBackend


def test_django_shares_entries_of_one_name_and_limits_them() -> None:
    params: dict[str, Any] = {"OPTIONS": {"MAX_ENTRIES": 3}}
    one, same, other = RustCache("shared", params), RustCache("shared", params), RustCache("other", params)
    for number in range(4):
        one.set(str(number), [number])
    assert [same.get(str(number)) for number in range(4)] == [None, [1], [2], [3]]
    assert other.get("3") is None
    same.clear()
    assert one.get("3") is None


def test_django_gives_copies_of_what_was_stored() -> None:
    cache = RustCache("copies", {})
    value = [1]
    cache.set("key", value)
    value.append(2)
    assert cache.get("key") == [1]
    assert cache.get("key") is not cache.get("key")


def test_django_adds_in_one_step_and_keeps_the_timeout() -> None:
    cache = RustCache("sums", {})
    cache.set("sum", 0, timeout=1000)
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(cache.incr, "sum", 1) for _ in range(400)]:
            future.result(60)
    assert cache.get("sum") == 400
    assert cache.decr("sum", 100) == 300
    left = cache._cache.ttl(cache.make_key("sum"))
    assert isinstance(left, float)
    assert 900 < left <= 1000
    with pytest.raises(ValueError, match="Key ':1:nothing' not found"):
        cache.incr("nothing")


def test_django_holds_max_bytes() -> None:
    cache = RustCache("bytes", {"OPTIONS": {"MAX_ENTRIES": 1_000_000, "MAX_BYTES": 100_000}})
    for number in range(1000):
        cache.set(str(number), "x" * 1000)
    assert cache._cache.size_in_bytes <= 100_000
    assert cache.get("999") is not None
    assert cache.get("0") is None


def test_django_takes_what_its_own_cache_takes() -> None:
    none_at_all = RustCache("none", {"OPTIONS": {"MAX_ENTRIES": 0}})
    none_at_all.set("a", 1)
    none_at_all.set("b", 2)
    assert none_at_all.get("b") == 2
    endless = RustCache("endless", {"OPTIONS": {"MAX_ENTRIES": "7", "MAX_BYTES": "100000"}})
    endless.set("key", 1, timeout=float("inf"))
    assert endless.get("key") == 1
    assert endless._cache.ttl(endless.make_key("key")) is None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [({"MAX_BYTES": "much"}, "MAX_BYTES has to be an integer, and is 'much'"), ({"MAX_BYTE": 1}, "and not 'MAX_BYTE'")],
)
def test_django_is_told_which_option_is_wrong(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=complaint):
        RustCache("wrong", {"OPTIONS": options})


def test_dogpile_finds_the_backend_by_its_name_and_computes_once() -> None:
    region = make_region().configure("rustcache", arguments={"max_items": 2, "unknown": 1})
    calls = []
    go_on = threading.Event()

    def create() -> int:
        calls.append(1)
        assert go_on.wait(60)
        return len(calls)

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(region.get_or_create, "key", create) for _ in range(4)]
        go_on.set()
        assert [future.result(60) for future in futures] == [1] * 4
    region.set("a", 1)
    region.set("b", 2)
    assert region.get("key") is NO_VALUE
    assert region.get_multi(["a", "b", "c"]) == [1, 2, NO_VALUE]


def test_dogpile_takes_a_storage_that_is_there() -> None:
    storage: Storage[Any] = Storage(max_items=5)
    backend = RustCacheBackend({"storage": storage})
    backend.set("key", "value")
    assert storage.get("key") == "value"


def test_dogpile_can_pickle() -> None:
    region = make_region().configure("rustcache.pickle", arguments={"size_limit_in_bytes": 100_000})
    value = [1]
    region.set("key", value)
    value.append(2)
    assert region.get("key") == [1]
