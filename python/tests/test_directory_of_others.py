"""What a `Cache` does about what other languages have written in its directory."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import pytest

import journal
from rustcache import CACHE_MISS, Cache


def stale(value: bytes) -> bytes:
    """As Node wraps a text that was fresh until a second ago."""
    now = int(time.time() * 1000)
    return b"\x01" + struct.pack("<QQ", now - 5000, now - 1000) + b"\0" + value


def test_what_is_stale_is_absent_for_all_who_ask_and_is_written_over(tmp_path: Path) -> None:
    names = ["add", "default", "sees", "incr", "touch"]
    journal.write(tmp_path / "of node", [(name.encode(), 65, stale(b"old")) for name in names])
    with Cache(dir=tmp_path / "of node") as cache:
        assert "sees" not in cache
        assert cache.ttl("sees") is CACHE_MISS
        assert cache.get("sees") is CACHE_MISS
        assert cache.add("add", 1, ttl=60)
        assert not cache.add("add", 2)
        assert (cache.get("add"), cache.setdefault("default", 3), cache.setdefault("default", 4)) == (1, 3, 3)
        assert "add" in cache
        left = cache.ttl("add")
        assert isinstance(left, float)
        assert 0 < left <= 60
        assert cache.incr("incr") == 1
        assert not cache.touch("touch", ttl=60)
        cache.set("touch", "new")
        assert cache.touch("touch", ttl=60)
    with Cache(dir=tmp_path / "of node") as cache:
        assert cache.get_many(names) == {"add": 1, "default": 3, "incr": 1, "touch": "new"}


@pytest.mark.parametrize(
    ("value", "delta", "error"),
    [
        ("5", 0.5, TypeError),
        ("5", "1", TypeError),
        (str(2**63 - 1), 1, OverflowError),
        (str(-(2**63)), -1, OverflowError),
        ("0", 2**70, OverflowError),
    ],
)
def test_a_counter_in_text_stays_one_or_is_not_changed(tmp_path: Path, value: str, delta: Any, error: type[Exception]) -> None:
    with Cache(dir=tmp_path) as cache:
        cache.set("n", value)
        with pytest.raises(error, match="the counter under the key is text"):
            cache.incr("n", delta)
        assert cache.get("n") == value
        back = -1 if value.startswith("9") else 1
        assert cache.incr("n", back) == int(value) + back
        assert cache.get("n") == str(int(value) + back)


class Odd(int):
    def __add__(self, other: object) -> Any:
        return "no number"

    __radd__ = __add__

    def __str__(self) -> str:
        return "no number"

    __repr__ = __index__ = __int__ = __str__  # type: ignore[assignment]


def test_what_is_added_to_a_counter_in_text_is_an_int_whatever_its_class_makes_of_it(tmp_path: Path) -> None:
    with Cache(dir=tmp_path) as cache:
        cache.set("n", "5")
        for delta, expected in [(Odd(2), 7), (True, 8), (-(2**63), 8 - 2**63), (2**64 - 9, 2**63 - 1)]:
            assert cache.incr("n", delta) == expected
            assert type(cache.incr("n", 0)) is int
            assert cache.get("n") == str(expected)


def test_a_delta_that_is_too_long_to_print_is_cut_in_the_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Cache(dir=tmp_path) as cache:
        cache.set("n", "5")
        for delta in (10**5000, 10**100):
            with pytest.raises(OverflowError) as raised:
                cache.incr("n", delta)
            assert len(str(raised.value)) < 250
            assert str(raised.value).endswith("… is not")
    assert capsys.readouterr().err == ""
