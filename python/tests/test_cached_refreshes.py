"""Refreshes in the background and the threads that do them."""

from __future__ import annotations

import logging
import threading

import pytest
from waiting import until

from rustcache import _background, cached


@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_threads_outlive_whatever_a_refresh_raises(exception: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    turns = _background._MOST_THREADS + 1
    fails = False

    @cached(ttl=0, stale_while_revalidate=3600)
    def function(number: int) -> str:
        if fails:
            raise exception(number)
        return threading.current_thread().name

    for number in range(turns):
        function(number)
    fails = True
    with caplog.at_level(logging.WARNING, "rustcache.cached"):
        for number in range(turns):
            function(number)
            until(lambda number=number: len(caplog.records) > number)  # type: ignore[misc]
    fails = False
    until(lambda: function(0).startswith("rustcache-refresh"))


def test_threads_outlive_a_logger_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr("threading.excepthook", lambda arguments: told.append(arguments.exc_type))
    fails = False

    class Handler(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise SystemExit

    @cached(ttl=0, stale_while_revalidate=3600)
    def function(number: int) -> str:
        if fails:
            raise ValueError
        return threading.current_thread().name

    logger, handler = logging.getLogger("rustcache.cached"), Handler()
    logger.addHandler(handler)
    try:
        turns = _background._MOST_THREADS + 1
        for number in range(turns):
            function(number)
        fails = True
        for number in range(turns):
            function(number)
            until(lambda number=number: len(told) > number)  # type: ignore[misc]
    finally:
        logger.removeHandler(handler)
    assert set(told) == {SystemExit}
    fails = False
    until(lambda: function(0).startswith("rustcache-refresh"))
