"""What `memoize` promises: results that outlive the process, computed once for all who ask."""

from __future__ import annotations

import asyncio
import datetime
import threading
from pathlib import Path
from typing import Any

import pytest

from rustcache import Cache, memoize


def test_results_outlive_the_cache_and_arguments_are_told_apart(tmp_path: Path) -> None:
    calls: list[Any] = []

    def use(cache: Cache) -> Any:
        @memoize(cache, name="area")
        def area(a: Any, b: Any = 1) -> Any:
            calls.append((a, b))
            return (a, b)

        return area

    arguments: list[Any] = [1, 1.0, True, "1", b"1", None, (1,), [1], {1}, {"a": 1}, datetime.date(2020, 1, 1), "x" * 5000]
    with Cache(dir=tmp_path) as cache:
        area = use(cache)
        for argument in arguments:
            assert area(argument) == (argument, 1)
            assert type(area(argument)[0]) is type(argument)
        assert area(1, b=2) == (1, 2)
        assert len(calls) == len(arguments) + 1
    with Cache(dir=tmp_path) as cache:
        area = use(cache)
        for argument in arguments:
            assert area(argument) == (argument, 1)
        assert len(calls) == len(arguments) + 1
        assert cache.delete(area.cache_key(1))
        area(1)
        assert len(calls) == len(arguments) + 2
        assert area.__name__ == "area"
        assert area.__wrapped__(1) == (1, 1)


def test_equal_sets_make_one_key_in_whatever_order_they_are_held(tmp_path: Path) -> None:
    @memoize(Cache(dir=tmp_path))
    def total(numbers: Any) -> int:
        return sum(numbers)

    for kind in (set, frozenset):
        one, other = kind([0, 8, 16]), kind([16, 8, 0])
        assert list(one) != list(other)
        assert total.cache_key([one]) == total.cache_key([other])
    assert total.cache_key({1}) != total.cache_key(frozenset({1}))


def test_one_call_runs_for_all_threads_that_ask(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path)
    inside, go, calls = threading.Event(), threading.Event(), []

    @memoize(cache)
    def slow(n: int) -> int:
        calls.append(n)
        inside.set()
        assert go.wait(60)
        return n * n

    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(slow(3))) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert inside.wait(60)
    go.set()
    for thread in threads:
        thread.join()
    assert (results, calls) == ([9] * 5, [3])


def test_coroutine_functions_too(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path)
    calls = 0

    @memoize(cache, ttl=3600)
    async def fetch(n: int) -> str:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return f"page {n}"

    async def main() -> list[str]:
        return await asyncio.gather(*(fetch(1) for _ in range(10)))

    assert asyncio.run(main()) == ["page 1"] * 10
    assert asyncio.run(main()) == ["page 1"] * 10
    assert calls == 1
    left = cache.ttl(fetch.cache_key(1))
    assert isinstance(left, float)
    assert left <= 3600


def test_errors_are_raised_and_not_kept_and_none_is_a_result(tmp_path: Path) -> None:
    calls = 0

    @memoize(Cache(dir=tmp_path))
    def divide(n: int) -> int | None:
        nonlocal calls
        calls += 1
        return None if n == 1 else 1 // n

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            divide(0)
    assert calls == 2
    assert divide(1) is None
    assert divide(1) is None
    assert calls == 3


def test_arguments_that_make_no_key_are_refused_and_a_key_helps(tmp_path: Path) -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        def price(self, item: str) -> str:
            return f"{self.name}:{item}"

    cache = Cache(dir=tmp_path)
    with pytest.raises(TypeError, match=r"value\[0\]\[0\] is of the type .*Shop.*give memoize\(\) a key"):
        memoize(cache)(Shop.price)(Shop("a"), "tea")
    priced = memoize(cache, key=lambda shop, item: f"{shop.name}/{item}")(Shop.price)
    assert priced(Shop("a"), "tea") == "a:tea"
    assert priced(Shop("b"), "tea") == "b:tea"
    assert any(str(key).endswith("Shop.price:a/tea") for key in cache)
    with pytest.raises(TypeError, match="@memoize needs a function"):
        memoize(cache)(3)  # type: ignore[type-var]


def test_methods_are_memoized_by_a_key(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path)

    class User:
        def __init__(self, number: int) -> None:
            self.number = number

        @memoize(cache, key=lambda self, what: f"{self.number}:{what}")
        def fetch(self, what: str) -> str:
            return f"{what} of {self.number}"

    assert User(1).fetch("name") == "name of 1"  # type: ignore[call-arg,arg-type]
    assert User(2).fetch("name") == "name of 2"  # type: ignore[call-arg,arg-type]
