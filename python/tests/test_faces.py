"""What the faces of other packages promise beyond what those promise: safety under threads, for one. Their own tests: compat/run.py."""

from __future__ import annotations

import copy
import functools as standard
import gc
import math
import pickle
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest

from rustcache import cachetools, functools

TIMEOUT = 60


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def ttl(maxsize: float, **options: Any) -> Any:
    return cachetools.TTLCache(maxsize, ttl=10, **options)


def tlru(maxsize: float, **options: Any) -> Any:
    return cachetools.TLRUCache(maxsize, ttu=lambda key, value, now: now + 10, **options)


ALL: list[Callable[..., Any]] = [
    cachetools.Cache,
    cachetools.FIFOCache,
    cachetools.LFUCache,
    cachetools.LRUCache,
    cachetools.RRCache,
    ttl,
    tlru,
]


def every_kind(test: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)(test)


@every_kind
def test_threads_never_see_more_than_maxsize_nor_an_error(make: Callable[..., Any]) -> None:
    cache = make(20)

    def work(seed: int) -> None:
        random = Random(seed)
        for _ in range(1500):
            key = random.randrange(60)
            match random.randrange(8):
                case 0 | 1 | 2:
                    cache[key] = key
                case 3:
                    assert cache.get(key, key) == key
                case 4:
                    assert cache.pop(key, key) == key
                case 5:
                    assert cache.setdefault(key, key) == key
                case 6:
                    assert all(key == value for key, value in list(cache.items()))
                case _:
                    assert len(list(cache)) <= 60

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work, seed) for seed in range(4)]:
            future.result(TIMEOUT)
    assert len(cache) <= 20
    assert cache.currsize == len(cache) == len(list(cache))


@every_kind
def test_of_many_threads_one_gets_what_is_popped_and_one_sets_the_default(make: Callable[..., Any]) -> None:
    for _ in range(20):
        cache = make(10)
        cache["key"] = "value"
        barrier = threading.Barrier(4, timeout=TIMEOUT)

        def pop(cache: Any = cache, barrier: Any = barrier) -> Any:
            barrier.wait()
            return cache.pop("key", None)

        def set_default(cache: Any = cache, barrier: Any = barrier) -> Any:
            barrier.wait()
            return cache.setdefault("new", object())

        with ThreadPoolExecutor(4) as pool:
            popped = [future.result(TIMEOUT) for future in [pool.submit(pop) for _ in range(4)]]
            set_to = [future.result(TIMEOUT) for future in [pool.submit(set_default) for _ in range(4)]]
        assert sorted(map(str, popped)) == ["None", "None", "None", "value"]
        assert len(set(map(id, set_to))) == 1


@every_kind
def test_what_values_measure_holds_under_any_sequence(make: Callable[..., Any]) -> None:
    cache = make(100, getsizeof=lambda value: value)
    random = Random(1)
    for _ in range(3000):
        key, size = random.randrange(40), random.randrange(30)
        if random.random() < 0.2:
            cache.pop(key, None)
        else:
            cache[key] = size
        assert cache.currsize <= 100
    assert cache.currsize == sum(cache[key] for key in list(cache))


@every_kind
def test_sizes_need_not_be_integers(make: Callable[..., Any]) -> None:
    cache = make(2, getsizeof=float)
    cache["a"] = 0.75
    cache["b"] = 0.75
    assert cache.currsize == 1.5
    cache["c"] = 1
    assert cache.currsize <= 2
    assert "c" in cache


@every_kind
@pytest.mark.parametrize("size", [2**53, 2**63, 2**64 - 1, 2**70, 2.0**80])
def test_sizes_may_be_of_any_size(make: Callable[..., Any], size: float) -> None:
    cache = make(20 * size, getsizeof=lambda value: size)
    for number in range(30):
        cache[number] = number
        assert cache.currsize == size * min(number + 1, 20)
    for number in range(30):
        cache[number] = number
    assert (len(cache), cache.currsize) == (20, 20 * size)


def test_sums_may_be_beyond_what_a_machine_counts_in() -> None:
    cache: Any = cachetools.LRUCache(2**70, getsizeof=lambda value: 2**53)
    for number in range(2100):
        cache[number] = number
    assert cache.currsize == 2100 * 2**53
    cache.clear()
    assert cache.currsize == 0


@every_kind
def test_subclasses_are_told_of_evictions_by_popitem(make: Callable[..., Any]) -> None:
    kind: Any = type(make(1))
    evicted = []

    class Told(kind):
        def popitem(self) -> Any:
            key, value = super().popitem()
            evicted.append(key)
            return key, value

    arguments: dict[str, Any] = {}
    if kind is cachetools.TTLCache:
        arguments["ttl"] = 10
    if kind is cachetools.TLRUCache:
        arguments["ttu"] = lambda key, value, now: now + 10
    cache = Told(2, **arguments)
    for number in range(5):
        cache[number] = number
    assert len(evicted) == 3
    assert sorted([*evicted, *cache]) == list(range(5))


@every_kind
def test_a_cache_can_be_copied_and_pickled(make: Callable[..., Any]) -> None:
    cache = make(3)
    for number in range(4):
        cache[number] = [number]
    if make is not tlru:
        assert dict(pickle.loads(pickle.dumps(cache))) == dict(cache)
    shallow, deep = copy.copy(cache), copy.deepcopy(cache)
    key = next(iter(cache))
    assert shallow[key] is cache[key]
    assert deep[key] == cache[key]
    assert deep[key] is not cache[key]
    del shallow[key]
    assert key in cache


@pytest.mark.parametrize(("maxsize", "kept"), [(2**70, 4), (math.inf, 4), (3, 3), (2.5, 2), (1, 1)])
def test_a_maxsize_is_any_number(maxsize: float, kept: int) -> None:
    cache: cachetools.LRUCache[int, int] = cachetools.LRUCache(maxsize)
    for key in range(4):
        cache[key] = key
    cache[3] = 4
    assert dict(cache) == {**{key: key for key in range(4 - kept, 3)}, 3: 4}
    assert cache.currsize == kept


def test_lru_evicts_as_a_textbook_says() -> None:
    cache: MutableMapping[int, int] = cachetools.LRUCache(7)
    textbook: OrderedDict[int, int] = OrderedDict()
    random = Random(2)
    for _ in range(5000):
        key = random.randrange(15)
        if random.random() < 0.5:
            cache[key] = key
            textbook[key] = key
            textbook.move_to_end(key)
            if len(textbook) > 7:
                textbook.popitem(last=False)
        else:
            assert (key in cache) == (key in textbook)
            if key in textbook:
                assert cache[key] == textbook[key]
                textbook.move_to_end(key)
    assert set(cache) == set(textbook)


def test_lfu_evicts_as_a_textbook_says() -> None:
    cache: MutableMapping[int, int] = cachetools.LFUCache(7)
    uses: dict[int, tuple[int, int]] = {}
    random = Random(3)
    for moment in range(5000):
        key = int(random.expovariate(0.3)) % 15
        if key in uses or random.random() < 0.5:
            if key not in uses and len(uses) == 7:
                del uses[min(uses, key=lambda key: uses[key])]
            if key in uses and random.random() < 0.5:
                assert cache[key] == key
            else:
                cache[key] = key
            uses[key] = (uses[key][0] + 1 if key in uses else 1, moment)
        assert set(cache) == set(uses)


def test_entries_expire_also_when_the_clock_goes_back() -> None:
    clock = Clock()
    cache: Any = cachetools.TTLCache(10, ttl=10, timer=clock)
    clock.now = 100
    cache["later"] = 1
    clock.now = 50
    cache["sooner"] = 2
    clock.now = 70
    assert "sooner" not in cache
    assert cache.setdefault("sooner", 3) == 3
    assert cache["later"] == 1


def test_a_stopped_clock_is_stopped_for_its_thread_alone() -> None:
    clock = Clock()
    cache: Any = cachetools.TTLCache(10, ttl=10, timer=clock)
    with cache.timer as now, ThreadPoolExecutor(1) as pool:
        clock.now = 5
        assert cache.timer() == now == 0
        assert pool.submit(cache.timer).result(TIMEOUT) == 5


def test_what_is_overwritten_does_not_pile_up() -> None:
    clock = Clock()
    for cache in (
        cachetools.TTLCache(10, 10, clock),
        cachetools.TLRUCache(10, lambda k, v, t: t + 10, clock),
        cachetools.LFUCache(10),
        cachetools.RRCache(10),
    ):
        value = type("Value", (), {})
        seen = []
        for _ in range(1000):
            key = value()
            seen.append(weakref.ref(key))
            cache[key] = None  # type: ignore[index]
            del key
            cache["one"] = 1  # type: ignore[index]
        gc.collect()
        assert sum(ref() is not None for ref in seen) < 200


def test_lru_cache_is_that_of_functools_for_recursion_and_errors() -> None:
    calls = []

    @functools.lru_cache(maxsize=None)
    def fibonacci(n: int) -> int:
        calls.append(n)
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(100) == 354224848179261915075
    assert fibonacci.cache_info() == standard._CacheInfo(98, 101, None, 101)  # type: ignore[attr-defined]
    assert fibonacci.cache_parameters() == {"maxsize": None, "typed": False}

    @functools.cache
    def endless(n: int) -> int:
        return endless(n)

    with pytest.raises(RecursionError):
        endless(1)
    with pytest.raises(TypeError, match="Expected first argument to be an integer, a callable, or None"):
        functools.lru_cache("1")  # type: ignore[call-overload]


def test_lru_cache_counts_as_functools_does_for_any_calls() -> None:
    random = Random(4)
    for maxsize, typed in ((0, False), (1, True), (5, False), (None, True)):
        ours = functools.lru_cache(maxsize, typed)(lambda *args, **kwargs: (args, kwargs))
        theirs = standard.lru_cache(maxsize, typed)(lambda *args, **kwargs: (args, kwargs))
        values: list[Any] = [0, 0.0, False, "a", None, (0,), 1, "b"]
        for _ in range(2000):
            args = random.choices(values, k=random.randrange(3))
            kwargs = {name: random.choice(values) for name in random.sample("xy", k=random.randrange(3))}
            assert ours(*args, **kwargs) == theirs(*args, **kwargs)
        assert ours.cache_info() == theirs.cache_info()
