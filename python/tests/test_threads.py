"""Many threads, one cache."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from rustcache import CACHE_MISS, Cache, Storage

BOTH = pytest.mark.parametrize("kind", [Storage, Cache])


def together(count: int, work: Callable[[int], None]) -> None:
    failures: list[BaseException] = []
    begin = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            begin.wait(60)
            work(number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
        assert not thread.is_alive(), "a thread hangs"
    assert failures == []


@BOTH
def test_a_read_gives_a_value_that_was_written_under_that_key(kind: type[Storage]) -> None:
    storage = kind(max_items=100)

    def work(seed: int) -> None:
        for turn in range(3000):
            key = f"key:{(turn * 7 + seed) % 200}"
            if turn % 5 == 0:
                storage.set(key, (key, turn), ttl=None if turn % 2 else 0.001)
            elif turn % 11 == 0:
                storage.delete(key)
            elif turn % 501 == 0:
                assert len(list(storage.items())) <= 100
            else:
                found = storage.get(key)
                assert found is CACHE_MISS or found[0] == key

    together(4, work)
    assert len(storage) <= 100


@BOTH
def test_additions_are_not_lost(kind: type[Storage]) -> None:
    storage = kind()

    def work(seed: int) -> None:
        for _ in range(1000):
            storage.incr("count")

    together(4, work)
    assert storage.get("count") == 4000


@BOTH
def test_one_of_many_adds_and_one_pops(kind: type[Storage]) -> None:
    storage = kind()
    added: list[int] = []
    popped: list[Any] = []

    def work(number: int) -> None:
        for turn in range(300):
            if storage.add(f"key:{turn}", number):
                added.append(turn)
            value = storage.pop(f"other:{turn}")
            if value is not CACHE_MISS:
                popped.append(turn)

    storage.set_many({f"other:{turn}": turn for turn in range(300)})
    together(4, work)
    assert sorted(added) == sorted(popped) == list(range(300))
