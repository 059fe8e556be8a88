"""The faces in the children of forks that happen while other threads are in the middle of something."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rustcache import cachetools

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def life(key: Any, value: Any, now: float) -> float:
    return now + 10


MAKE: list[Callable[[], Any]] = [
    lambda: cachetools.LFUCache(10),
    lambda: cachetools.RRCache(10),
    lambda: cachetools.TLRUCache(10, life),
]


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("make", MAKE, ids=["lfu", "rr", "tlru"])
@pytest.mark.parametrize(
    "change", [lambda cache: cache, copy.copy, lambda cache: pickle.loads(pickle.dumps(cache))], ids=["", "copy", "pickle"]
)
def test_a_child_waits_for_no_thread_that_it_does_not_have(make: Callable[[], Any], change: Callable[[Any], Any]) -> None:
    cache = change(make())
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with cache._lock:
            held.set()
            assert go_on.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    child = os.fork()
    if child == 0:
        # Ended by the alarm, if it has to wait.
        import signal

        signal.alarm(10)
        for number in range(20):
            cache[number] = number
        os._exit(0 if len(cache) == 10 else 1)
    go_on.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    cache["key"] = "value"
    assert cache["key"] == "value"


def test_a_cache_that_may_have_to_be_seen_to_after_a_fork_is_not_kept_alive_by_that() -> None:
    from rustcache.cachetools import _forks

    before = len(_forks._owners)
    cache: Any = cachetools.LFUCache(10)
    assert len(_forks._owners) == before + 1
    del cache
    assert len(_forks._owners) == before
