"""What `memoize` promises: results that outlive the process, computed once for all who ask."""

from __future__ import annotations

import asyncio
import datetime
import functools
import pickle
import re
import sys
import threading
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rustcache import Cache, DecodeError, DiskError, Storage, cached, memoize


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
    @memoize(Cache(dir=tmp_path), name="total")
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

    @memoize(cache, name="slow")
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

    @memoize(cache, ttl=3600, name="fetch")
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

    @memoize(Cache(dir=tmp_path), name="divide")
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
        memoize(cache, name="price")(Shop.price)(Shop("a"), "tea")
    priced = memoize(cache, name="price", key=lambda shop, item: f"{shop.name}/{item}")(Shop.price)
    assert priced(Shop("a"), "tea") == "a:tea"
    assert priced(Shop("b"), "tea") == "b:tea"
    assert "price:a/tea" in cache
    with pytest.raises(TypeError, match="@memoize needs a function"):
        memoize(cache)(3)  # type: ignore[type-var]


def test_what_is_no_cache_is_refused_where_the_function_is_decorated() -> None:
    with pytest.raises(TypeError, match=r"needs a Cache, not <function .*load.*: write @memoize\(cache\)"):

        @memoize  # type: ignore[arg-type]
        def load(n: int) -> int:
            return n

    for other in (Storage(), {}, None):
        with pytest.raises(TypeError, match=r"needs a Cache, not .*: results are kept as bytes"):
            memoize(other)  # type: ignore[arg-type]


def test_methods_are_memoized_by_a_key(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path)

    class User:
        def __init__(self, number: int) -> None:
            self.number = number

        @memoize(cache, name="User.fetch", key=lambda self, what: f"{self.number}:{what}")
        def fetch(self, what: str) -> str:
            return f"{what} of {self.number}"

    assert User(1).fetch("name") == "name of 1"  # type: ignore[call-arg,arg-type]
    assert User(2).fetch("name") == "name of 2"  # type: ignore[call-arg,arg-type]


def test_functions_that_may_share_a_name_are_refused_until_they_are_given_one() -> None:
    cache = Cache()

    def within(n: int) -> int:
        return n

    of_main = types.FunctionType(within.__code__, {"__name__": "__main__"}, "load")
    of_main.__qualname__ = "load"
    assert of_main.__module__ == "__main__"
    for function in (within, lambda n: n, of_main, functools.partial(within)):
        with pytest.raises(TypeError, match=r"give memoize\(\) a name"):
            memoize(cache)(function)
        assert memoize(cache, name="one")(function)(1) == 1

    def times(factor: int) -> Any:
        return memoize(cache, name=f"times {factor}")(lambda n: n * factor)

    assert (times(2)(10), times(3)(10)) == (20, 30)


def module_level(n: object) -> str:
    return str(n)


def test_a_function_of_a_module_has_a_name_that_is_its_own() -> None:
    cache = Cache()
    assert memoize(cache)(module_level)(1) == "1"
    assert cache.clear_prefix(f"{__name__}.module_level:") == 1


def test_all_results_of_a_name_are_cleared_by_it_whatever_their_arguments(tmp_path: Path) -> None:
    with Cache(dir=tmp_path) as cache:
        calls: list[object] = []
        name = "a long name" * 200
        for begin in ("size", name):
            size = memoize(cache, name=begin)(lambda text: calls.append(text) or len(text))
            other = memoize(cache, name=begin, key=lambda text: text)(len)
            assert [size("x"), size("x" * 2000), other("#" * 2000), size("x" * 2000)] == [1, 2000, 2000, 2000]
            assert len(calls) == 2
            assert cache.clear_prefix(begin + ":") == 3
            assert len(cache) == 0
            calls.clear()


def test_a_result_that_cannot_be_read_is_computed_again_and_written_over(tmp_path: Path) -> None:
    with Cache(dir=tmp_path, codec="pickle") as cache:
        key = memoize(cache, name="text")(str).cache_key(1)
        cache.set(key, 1)
    with Cache(dir=tmp_path) as cache:
        text = memoize(cache, name="text")(str)
        with pytest.raises(DecodeError):
            cache.get(key)
        assert text(1) == "1"
        assert cache.get(key) == "1"


class Renamed:
    """Of what is pickled nothing can be made any more, as of a class that has another name now."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


@pytest.mark.parametrize("options", [{"codec": "pickle"}, {"serializer": pickle.dumps, "deserializer": pickle.loads}])
@pytest.mark.parametrize("is_in_directory", [True, False])
def test_so_is_one_of_which_a_codec_of_ones_own_makes_nothing(tmp_path: Path, options: Any, is_in_directory: bool) -> None:
    with Cache(dir=tmp_path if is_in_directory else None, **options) as cache:
        results: list[Any] = [Renamed(), "new"]
        load = memoize(cache, name="load")(lambda: results.pop(0))
        load()
        with pytest.raises(DecodeError, match="^Failed to deserialize value$") as raised:
            cache.get(load.cache_key())
        assert isinstance(raised.value.__cause__, ValueError)
        assert [load(), load(), cache.get(load.cache_key())] == ["new"] * 3


def test_a_key_is_asked_for_once_for_each_call() -> None:
    asked: list[str] = []

    def key(text: str) -> str:
        asked.append(text)
        return text

    async def length(text: str) -> int:
        return len(text)

    now, later = memoize(Cache(), name="now", key=key)(len), memoize(Cache(), name="later", key=key)(length)
    assert [now("miss"), now("miss")] == [4, 4]
    assert [asyncio.run(later("later")), asyncio.run(later("later"))] == [5, 5]
    assert asked == ["miss", "miss", "later", "later"]


def test_a_key_that_is_neither_text_nor_bytes_is_a_type_error() -> None:
    same = memoize(Cache(), name="same", key=lambda given: given)(lambda given: given)
    assert [same("a"), same(b"b")] == ["a", b"b"]
    for given in (1, None, bytearray(b"c")):
        with pytest.raises(TypeError, match=rf"^key must give str or bytes, and gave {type(given).__name__}$"):
            same(given)


def test_a_result_is_returned_though_the_cache_is_closed(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path)
    text = memoize(cache, name="text")(str)

    @memoize(cache, name="later")
    async def later(n: int) -> int:
        return n

    assert text(1) == "1"
    cache.close()
    assert [text(1), text(2), text(2), asyncio.run(later(3))] == ["1", "2", "2", 3]


def test_results_are_returned_though_the_disk_has_failed_which_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Full(Cache):
        def set(self, *_: object, **__: object) -> None:
            raise DiskError("the disk is full", maybe_applied=True)

    text = memoize(Full(), name="text")(str)
    assert [text(1), text(2), text(2)] == ["1", "2", "2"]
    assert [record.name for record in caplog.records] == ["rustcache"]
    assert "the disk is full" in caplog.text


def depth(decorate: Any) -> int:
    """How deep a function gets that calls itself, on a stack of its own."""
    found = 0

    @decorate
    def down(level: int) -> None:
        nonlocal found
        found = level
        down(level + 1)

    def run() -> None:
        with suppress(RecursionError):
            down(1)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found


@pytest.mark.parametrize(
    ("decorate", "share", "since_3_12"),
    [
        (lambda function: cached(maxsize=None)(function), 0.32, 0.49),
        (lambda function: memoize(Cache(), name="down")(function), 0.19, 0.24),
    ],
    ids=["cached", "memoize"],
)
def test_functions_that_call_themselves_get_as_deep_as_the_documents_say(decorate: Any, share: float, since_3_12: float) -> None:
    text = (Path(__file__).parents[2] / "docs/python-faces.md").read_text()
    (said,) = re.findall(rf"({share:.0%})[^0-9]*({since_3_12:.0%})".replace("%", " %"), text)
    assert said
    expected = since_3_12 if sys.version_info >= (3, 12) else share
    assert depth(decorate) >= expected * sys.getrecursionlimit()
