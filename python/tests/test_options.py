"""Each option that is a number, a time or a path: what cannot be one is refused by an error that names the option."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import rust_cache
from rustcache import DEFAULT_TTL, Cache, KvStore, Storage, cached, memoize
from rustcache.functools import lru_cache

INTEGERS = ["size_limit_in_bytes", "max_items", "expiration_thread_max_checks_per_iteration"]
TIMES = ["default_ttl", "time_to_idle"]
OF_DIRECTORIES = ["snapshot_every", "last_snapshot_within", "lock_patience"]
HUGE = 10**5000
"""Too large for a float, and too long for a `repr`."""

Make = Callable[[Any], object]


def weighing(value: Any) -> Storage[object]:
    return Storage(max_weight=value, weigher=lambda key, value: 1)


def option(kind: type[Storage[Any]], name: str) -> Make:
    return lambda value: kind(**{name: value})


def in_directory(name: str) -> Make:
    # Never made: options are looked at before.
    return lambda value: Cache(dir="/dev/null/none", **{name: value})


def result(**options: Any) -> object:
    return cached(**options)(len)


integers: list[tuple[str, Make]] = [
    *[(name, option(kind, name)) for kind in (Storage, Cache) for name in INTEGERS],
    ("max_weight", weighing),
    ("snapshot_after", in_directory("snapshot_after")),
    ("capacity", KvStore),
    ("capacity", rust_cache.Cache),
    ("maxsize", lambda value: result(maxsize=value)),
]
times: list[tuple[str, Make]] = [
    *[(name, option(kind, name)) for kind in (Storage, Cache) for name in TIMES],
    *[(name, in_directory(name)) for name in OF_DIRECTORIES],
    ("TTL", lambda value: Storage().set("key", 1, ttl=value)),
    ("TTL", lambda value: KvStore(1).put("key", 1, value)),
]
delays: list[tuple[str, Make]] = [(name, option(kind, name)) for kind in (Storage, Cache) for name in ["expiration_thread_delay"]]
of_functions: list[tuple[str, Make]] = [
    ("ttl", lambda value: result(ttl=value)),
    ("stale_while_revalidate", lambda value: result(ttl=1, stale_while_revalidate=value)),
    ("ttl", lambda value: memoize(Cache(), ttl=value)),
]


@pytest.mark.parametrize(("name", "make"), integers)
def test_an_integer_that_is_too_large_is_an_overflow_error_that_names_the_option(name: str, make: Make) -> None:
    for value in (2**64, HUGE):
        with pytest.raises(
            OverflowError, match=rf"^{name} must be from [01] to 2\*\*6[34]( - 1)?(, or None for no limit)?, and is"
        ) as raised:
            make(value)
        assert str(raised.value).endswith(" 18446744073709551616" if value == 2**64 else " …")


@pytest.mark.parametrize(("name", "make"), integers)
def test_an_integer_that_is_too_small_is_refused_by_its_name(name: str, make: Make) -> None:
    for value in (-1, -(2**70)):
        with pytest.raises((ValueError, OverflowError), match=rf"^{name} (must|cannot) be"):
            make(value)


@pytest.mark.parametrize(("name", "make"), [*times, *delays])
def test_a_time_that_is_too_large_for_a_float_is_an_overflow_error_that_names_the_option(name: str, make: Make) -> None:
    with pytest.raises(OverflowError, match=rf"^{name} must be a number that a float can hold, and is …$"):
        make(HUGE)


@pytest.mark.parametrize(("name", "make"), times)
def test_a_time_that_is_no_finite_number_is_a_value_error_that_names_the_option(name: str, make: Make) -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"^{name} has to be a finite number of seconds, and is {value}"):
            make(value)


@pytest.mark.parametrize(("name", "make"), [*times, *delays, *of_functions])
def test_a_negative_time_is_a_value_error_that_names_the_option(name: str, make: Make) -> None:
    for value in (-0.1, -math.inf, -(2**70)):
        with pytest.raises(ValueError, match=rf"^{name} (must be positive|cannot be negative)"):
            make(value)


@pytest.mark.parametrize(("name", "make"), [*integers, *times, *delays, *of_functions])
def test_what_is_no_number_is_a_type_error_that_names_the_option(name: str, make: Make) -> None:
    for value in ("3", [1], {}):
        with pytest.raises(TypeError, match=rf"^{name}(:| must be)"):
            make(value)


@pytest.mark.parametrize(("name", "make"), delays)
def test_what_has_a_default_may_be_left_out_and_is_not_none(name: str, make: Make) -> None:
    with pytest.raises(TypeError, match=f"^{name}: "):
        make(None)


def test_times_of_functions_that_are_longer_than_can_be_counted_are_for_ever() -> None:
    for _, make in of_functions:
        make(HUGE)
        with pytest.raises(ValueError, match="cannot be negative"):
            make(-HUGE)


def test_what_an_argument_raises_when_it_is_asked_for_a_number_goes_to_the_caller() -> None:
    class Number:
        def __index__(self) -> int:
            return 1 // 0

        __float__ = __index__

    for _, make in [*integers[:4], *times]:
        with pytest.raises(ZeroDivisionError):
            make(Number())


def test_the_most_of_lru_cache_is_named_as_well() -> None:
    with pytest.raises(OverflowError, match="^maxsize must be"):
        lru_cache(2**64)(len)


def test_a_path_that_is_no_text_is_a_type_error_that_names_dir(tmp_path: Path) -> None:
    class OfBytes:
        def __fspath__(self) -> bytes:
            return os.fsencode(tmp_path)

        def __repr__(self) -> str:
            return "OfBytes()"

    for given, text in [(b"here", r"b'here': os\.fsdecode\(\)"), (OfBytes(), r"OfBytes\(\): os\.fsdecode\(\)"), (3, "3$")]:
        with pytest.raises(TypeError, match=f"^dir has to be a str, or a path that is one, and is {text}"):
            Cache(dir=given)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []
    with Cache(dir=os.fspath(tmp_path)) as cache:
        assert cache.dir == tmp_path


def test_a_directory_in_the_place_of_the_first_option_is_told_how_it_is_given(tmp_path: Path) -> None:
    for given in ("sessions", b"sessions", tmp_path):
        with pytest.raises(TypeError) as raised:
            Cache(given)  # type: ignore[arg-type]
        assert str(raised.value) == f"size_limit_in_bytes must be an integer, and is {given!r}: a directory is given as dir=…"


def test_memoize_looks_at_its_options_where_it_is_called() -> None:
    cache = Cache()
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"ttl": "x"}, TypeError, "^ttl must be a number of seconds or a timedelta, not 'x'$"),
        ({"ttl": timedelta(seconds=-1)}, ValueError, "^ttl cannot be negative"),
        ({"ttl": math.nan}, ValueError, "^ttl cannot be negative or NaN"),
        ({"name": b"x"}, TypeError, "^name must be a str, not b'x'$"),
        ({"name": "a:b"}, ValueError, "^name cannot have a colon, .*: 'a:b'$"),
        ({"key": "x"}, TypeError, "^key must be callable, not 'x'$"),
    ]
    for options, error, text in wrong:
        with pytest.raises(error, match=text):
            memoize(cache, **options)


def test_the_time_of_a_memoized_result_is_given_as_that_of_a_cached_one() -> None:
    cache = Cache(default_ttl=60)
    times: list[tuple[dict[str, Any], float | None]] = [
        ({"ttl": timedelta(hours=1)}, 3600),
        ({"ttl": 1800.5}, 1800.5),
        ({"ttl": math.inf}, None),
        ({"ttl": None}, None),
        ({"ttl": DEFAULT_TTL}, 60),
        ({}, 60),
    ]
    for options, longest in times:
        text = memoize(cache, name="text", **options)(str)
        text(1)
        left = cache.ttl(text.cache_key(1))
        if longest is None:
            assert left is None
        else:
            assert isinstance(left, float)
            # A busy machine may take its time between the two.
            assert longest - 60 < left <= longest
        cache.clear()
