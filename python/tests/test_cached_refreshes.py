"""Refreshes in the background: the threads that do them, and what a refresh sees of who asked for it."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextvars import ContextVar, copy_context

import pytest

from rustcache import _background, cached
from waiting import until


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


tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


def test_a_refresh_by_a_thread_runs_in_a_copy_of_the_context_of_who_asked_for_it() -> None:
    seen: list[tuple[int, str]] = []

    @cached(ttl=0, stale_while_revalidate=3600)
    def function(number: int) -> None:
        if threading.current_thread().name.startswith("rustcache-refresh"):
            seen.append((number, tenant.get()))
            tenant.set("left by another")

    def call(number: int) -> None:
        tenant.set(f"tenant {number}")
        function(number)
        function(number)

    for number in range(2 * _background._MOST_THREADS):
        copy_context().run(call, number)
        until(lambda number=number: len(seen) > number)  # type: ignore[misc]
    assert seen == [(number, f"tenant {number}") for number in range(len(seen))]
    assert tenant.get() == "nobody"


def test_a_refresh_by_a_task_runs_in_a_copy_of_the_context_of_who_asked_for_it() -> None:
    seen: list[str] = []
    is_stale = False

    @cached(ttl=0, stale_while_revalidate=3600)
    async def function() -> None:
        if is_stale:
            seen.append(tenant.get())
            tenant.set("left by another")

    async def main() -> None:
        nonlocal is_stale
        await function()
        is_stale = True
        tenant.set("the caller")
        await function()
        while not seen:
            await asyncio.sleep(0)
        assert tenant.get() == "the caller"

    asyncio.run(main())
    assert seen == ["the caller"]
