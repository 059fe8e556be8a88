"""The names by which `memoize` keeps results: no function gets those of another one, and one that was loaded anew finds its own."""

from __future__ import annotations

import functools
import gc
import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rustcache import Cache, memoize


def price(number: int, currency: str) -> str:
    return f"{number} {currency}"


def in_currency(currency: str) -> Callable[[int], str]:
    @functools.wraps(price)
    def inner(number: int) -> str:
        return price(number, currency)

    return inner


class Shop:
    def __init__(self, name: str) -> None:
        self.name = name

    def sells(self, what: str) -> str:
        return f"{self.name} sells {what}"


REFUSED = "there is another function of the name .*, <.*>, and each would get the results of the other: give memoize"


def test_a_function_that_has_the_name_of_another_one_is_refused_until_it_is_given_one() -> None:
    cache = Cache()
    dollars = memoize(cache)(in_currency("dollars"))
    with pytest.raises(TypeError, match=REFUSED):
        memoize(cache)(in_currency("euros"))
    euros = memoize(cache, name="euros")(in_currency("euros"))
    assert (dollars(1), euros(1)) == ("1 dollars", "1 euros")
    # Keys of other caches are no matter.
    assert memoize(Cache())(in_currency("euros"))(1) == "1 euros"


def test_so_is_a_method_of_another_object() -> None:
    cache, shop = Cache(), Shop("a")
    sells = memoize(cache)(shop.sells)
    with pytest.raises(TypeError, match=REFUSED):
        memoize(cache)(Shop("b").sells)
    # Each look at a method makes another one, of the same function.
    again = memoize(cache)(shop.sells)
    assert (sells("tea"), again("tea")) == ("a sells tea", "a sells tea")


def test_the_same_function_can_be_memoized_twice_and_shares_its_results() -> None:
    calls: list[str] = []

    def count(text: str) -> int:
        calls.append(text)
        return len(text)

    count.__qualname__ = "count"
    cache = Cache()
    first, second = memoize(cache)(count), memoize(cache)(count)
    assert (first("a"), second("a"), calls) == (1, 1, ["a"])


def test_the_name_of_a_function_that_nobody_can_call_any_more_is_free() -> None:
    cache = Cache()
    memoize(cache)(in_currency("dollars"))
    kept = in_currency("euros")
    kept.__dict__["itself"] = memoize(cache)(kept)
    gc.disable()
    try:
        # It is in a circle that the garbage collector has not come by yet.
        del kept
        assert memoize(cache)(in_currency("pounds"))(1) == "1 pounds"
    finally:
        gc.enable()


def test_what_was_claimed_in_a_cache_ends_with_it() -> None:
    from rustcache import _names

    class Alike(Cache):
        """All are equal, and none can be hashed."""

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    cache, other = Alike(), Alike()
    memoize(cache)(price)
    memoize(other)(in_currency("euros"))
    where = id(cache)
    assert where in _names._claims
    del cache
    gc.collect()
    assert where not in _names._claims
    assert id(other) in _names._claims


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes modules, which find `cache` and `wrapped` in another one that is not loaded anew."""
    shared: Any = types.ModuleType("shared_by_modules")
    shared.cache, shared.wrapped = Cache(), lambda function: functools.wraps(function)(lambda *given: function(*given))
    monkeypatch.setitem(sys.modules, "shared_by_modules", shared)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("functions_of_another", "memoized_module"):
        # Taken away at the end, whoever has put it there.
        monkeypatch.setitem(sys.modules, name, sys)
        del sys.modules[name]

    def write(name: str, text: str) -> None:
        begin = "from rustcache import memoize\nfrom shared_by_modules import cache, wrapped\n"
        (tmp_path / f"{name}.py").write_text(begin + text)
        importlib.invalidate_caches()

    return write


TWICE = """
@memoize(cache)
def load(number):
    return number

first = load

@memoize(cache)
def load(number):
    return -number
"""
IN_A_LOOP = """
functions = []
for factor in (1, 2):
    @memoize(cache)
    def load(number, factor=factor):
        return number * factor

    functions.append(load)
"""
BY_EXEC = """
for factor in (1, 2):
    names = {"__name__": __name__}
    exec(f"def load(number): return number * {factor}", names)
    globals()[f"load_{factor}"] = memoize(cache)(names["load"])
"""


@pytest.mark.parametrize("text", [TWICE, IN_A_LOOP, BY_EXEC], ids=["twice", "in a loop", "by exec"])
def test_two_functions_of_one_name_in_one_module_are_refused(text: str, write: Callable[[str, str], None]) -> None:
    write("memoized_module", text)
    with pytest.raises(TypeError, match=REFUSED):
        importlib.import_module("memoized_module")


LOAD = "def load(number):\n    return number * factor\n"


@pytest.mark.parametrize(
    "text",
    [
        f"@memoize(cache)\n{LOAD}",
        f"@memoize(cache)\n@wrapped\n{LOAD}",
        "from functions_of_another import load as original\nload = memoize(cache)(wrapped(original))\n",
    ],
    ids=["plain", "wrapped", "wrapped, of another module"],
)
def test_a_module_can_be_loaded_anew_and_finds_the_results_it_had(text: str, write: Callable[[str, str], None]) -> None:
    write("functions_of_another", f"factor = 2\n{LOAD}")
    write("memoized_module", f"factor = 2\n{text}")
    module = importlib.import_module("memoized_module")
    old = module.load
    assert old(2) == 4
    for begin in ("", "\n# The lines are others now.\n"):
        write("memoized_module", f"{begin}factor = 3\n{text}")
        assert importlib.reload(module).load is not old
        assert module.load(2) == 4
    # Without the old module being there.
    del sys.modules["memoized_module"]
    fresh = importlib.import_module("memoized_module")
    assert fresh is not module
    assert fresh.load(2) == 4


def test_a_name_without_a_colon_begins_no_other_one_and_is_cleared_alone() -> None:
    cache = Cache()
    short = memoize(cache, name="u", key=lambda text: "v:" + text)(lambda text: "short")
    longer = memoize(cache, name="u.v", key=lambda text: text)(lambda text: "longer")
    assert (short("1"), longer("1")) == ("short", "longer")
    assert cache.clear_prefix("u:") == 1
    assert longer.cache_key("1") in cache

    def odd() -> None: ...

    odd.__qualname__ = "odd:name"
    with pytest.raises(TypeError, match="give memoize\\(\\) a name"):
        memoize(cache)(odd)
