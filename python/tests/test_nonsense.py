"""Random nonsense for what is not a `Storage`: the faces, `@cached`, the module `rust_cache`. (For those that are: test_model.py.)"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rust_cache
from nonsense import ANYTHING, PLACES, SHARED, Odd, attempt
from rustcache import CACHE_MISS, Storage, cached, cachetools, functools

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
# What is warned of is a coroutine that nobody awaited, or what a `__del__` raised.
QUIET = pytest.mark.filterwarnings("ignore")

CALLABLES = st.sampled_from([len, repr, lambda *_: 2**64 - 1, lambda *_: 2**63, lambda *_: 0.5, lambda *_: -1, lambda *_: float("nan")])
ARGUMENTS = st.one_of(ANYTHING, CALLABLES)


@QUIET
@pytest.mark.parametrize(
    "kind",
    [
        cachetools.Cache,
        cachetools.FIFOCache,
        cachetools.LFUCache,
        cachetools.LRUCache,
        cachetools.RRCache,
        cachetools.TTLCache,
        cachetools.TLRUCache,
        rust_cache.Cache,
    ],
)
@given(data=st.data())
@SETTINGS
def test_nonsense_for_a_face_is_an_error_of_python(kind: Any, data: st.DataObject) -> None:
    options = data.draw(st.dictionaries(st.sampled_from(["getsizeof", "timer", "ttl", "ttu", "choice"]), ARGUMENTS, max_size=2))
    arguments = data.draw(st.lists(ARGUMENTS, min_size=1, max_size=3))
    cache = attempt(kind, *arguments, **options)
    if cache is None:
        plain: dict[Any, tuple[Any, ...]] = {cachetools.TTLCache: (3, 10), cachetools.TLRUCache: (3, lambda key, value, now: now + 1)}
        cache = kind(*plain.get(kind, (3,)))
    methods = sorted(name for name in dir(cache) if not name.startswith("_"))
    special = ["__contains__", "__delitem__", "__eq__", "__getitem__", "__iter__", "__len__", "__reduce_ex__", "__repr__", "__setitem__"]
    calls = st.tuples(st.sampled_from([*methods, *special, *["__setitem__"] * 10]), st.lists(ANYTHING, max_size=2))
    for name, args in data.draw(st.lists(calls, max_size=12)):
        result = attempt(lambda cache, name, args: getattr(cache, name)(*args), cache, name, args)
        if hasattr(result, "__next__"):
            attempt(list, result)
    attempt(len, cache)


@QUIET
@given(data=st.data())
@SETTINGS
def test_nonsense_for_a_cached_function_is_an_error_of_python(data: st.DataObject) -> None:
    names = ["maxsize", "ttl", "key", "typed", "stale_while_revalidate", "ignore"]
    options = data.draw(st.dictionaries(st.sampled_from(names), ARGUMENTS, max_size=3))
    make = data.draw(st.sampled_from([cached, functools.lru_cache]))

    def function(*args: Any, **kwargs: Any) -> Any:
        return args

    async def coroutine_function(*args: Any, **kwargs: Any) -> Any:
        return args

    class Thing:
        pass

    bare = data.draw(st.sampled_from([function, coroutine_function]))
    decorated = attempt(lambda: make(**options)(bare)) or make()(bare)
    Thing.method = decorated  # type: ignore[attr-defined]
    targets = [decorated, Thing().method]  # type: ignore[attr-defined]
    methods = ["__call__"] * 5 + ["bypass", "cache_clear", "cache_info", "cache_parameters", "invalidate", "refresh"]
    calls = st.tuples(
        st.sampled_from(targets),
        st.sampled_from(methods),
        st.lists(ANYTHING, max_size=2),
        st.dictionaries(st.sampled_from(["self", "x"]), ANYTHING, max_size=1),
    )
    for target, name, args, kwargs in data.draw(st.lists(calls, max_size=12)):
        result = attempt(lambda target, name, args, kwargs: getattr(target, name)(*args, **kwargs), target, name, args, kwargs)
        if hasattr(result, "__await__"):
            attempt(asyncio.run, awaited(result))
    assert SHARED.get("nothing") is CACHE_MISS


async def awaited(given: Any) -> Any:
    return await given


@pytest.mark.parametrize("place", PLACES)
def test_a_weigher_and_sizes_may_be_anything(place: str) -> None:
    for storage in (
        Storage[Any](weigher=Odd(place)),  # type: ignore[arg-type]
        Storage[Any](weigher=Odd(place), max_weight=10),  # type: ignore[arg-type]
        Storage[Any](size_limit_in_bytes=4096),
    ):
        for key in ("a", "b", Odd(place)):
            attempt(storage.set, key, b"value")
            attempt(storage.add, key, b"value")
            attempt(storage.set, key, b"another")
        # All that is counted is there.
        assert len(storage) == len(list(storage))
