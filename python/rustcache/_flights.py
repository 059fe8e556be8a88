"""Flights: one call of a cached function that others wait for. How they wait, how they are woken, and who must not wait since that would
never end. Knows nothing of caches.

Which flight waits for which is kept by the extension (`Flight`), where nothing that Python does can come in between.
"""

from __future__ import annotations

import asyncio
import enum
import os
import threading
from collections import deque
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, NoReturn

from ._core import Flight

if TYPE_CHECKING:
    from types import TracebackType


# So often is it looked after whether another's event loop is still there.
_LOOK_SECONDS = 0.5


class Outcome(enum.Enum):
    """How a flight ended for one who waits for it."""

    LANDED = 1
    FAILED = 2
    ABANDONED = 3
    """Nothing came of it: ask again."""
    CIRCLE = 4
    """It waits for the one who asks: waiting would never end."""


# The flight within which this thread or task runs. A context goes along into the tasks and threads that are made in it, so that what a
# loader has others do is seen as its own.
inside: ContextVar[Flight | None] = ContextVar("rustcache_inside", default=None)


class _Flight(Flight):
    __slots__ = ("error", "outcome", "traceback", "value")

    value: Any
    error: Exception | None
    traceback: TracebackType | None
    outcome: Outcome

    def __init__(self) -> None:
        self.value = None
        self.error = None
        self.traceback = None
        self.outcome = Outcome.ABANDONED

    def begin(self) -> Token[Flight | None]:
        """From here on it is the flight within which all runs."""
        self.enter(inside.get())
        return inside.set(self)

    def fail(self, error: Exception) -> None:
        self.error = error
        self.traceback = error.__traceback__
        self.outcome = Outcome.FAILED

    def raise_error(self) -> NoReturn:
        error = self.error
        assert error is not None
        try:
            # From the one who failed to this one: those between who have raised it as well are not in there.
            raise error.with_traceback(self.traceback)
        finally:
            # The traceback of the error has this frame, and the frame must not have the error.
            del error, self


class ThreadFlight(_Flight):
    """Others are threads, which block."""

    __slots__ = ("is_down", "pid", "turnstile", "unclaimed")

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.unclaimed: list[bool] = []
        self.turnstile = threading.Lock()
        self.turnstile.acquire()
        self.pid = os.getpid()

    def is_over(self) -> bool:
        # In the child of a fork the thread that would land it is not there.
        return self.is_down or self.pid != os.getpid()

    def offer(self) -> None:
        """Whoever comes first is to run it."""
        self.unclaimed.append(True)

    def claim(self) -> bool:
        """Of those who would run it, one is told that it may: as long as nobody has begun, nobody has to wait."""
        try:
            return self.unclaimed.pop()
        except IndexError:
            return False

    def wait(self) -> Outcome:
        within = inside.get()
        if within is None:
            self._pass()
        elif within.wait_for(self):
            try:
                self._pass()
            finally:
                within.stop_waiting(self)
        else:
            return Outcome.CIRCLE
        return self.outcome

    def _pass(self) -> None:
        # Taken and let go again by each who waited, one after the other. A signal's handler may raise from here.
        with self.turnstile:
            pass

    def land(self) -> None:
        """Lets go of all who wait."""
        if not self.is_down:
            self.is_down = True
            self.leave()
            self.turnstile.release()


class TaskFlight(_Flight):
    """Others are tasks, of this event loop or of others in other threads."""

    __slots__ = ("is_down", "loop", "waiting")

    loop: asyncio.AbstractEventLoop | None

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.loop = _running_loop()
        # Who came first takes over first.
        self.waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    def is_over(self) -> bool:
        return self.is_down or (self.loop is not None and self.loop.is_closed())

    async def wait(self) -> Outcome:
        loop = _running_loop()
        if loop is None:
            # Another kind of event loop, in which there is no way to be woken: better to compute it twice.
            return Outcome.CIRCLE
        within = inside.get()
        if within is not None and not within.wait_for(self):
            return Outcome.CIRCLE
        try:
            future = loop.create_future()
            self.waiting.append((loop, future))
            # Looked at after it was put there: who lands looks the other way round.
            if not self.is_down:
                await self._woken(loop, future)
        finally:
            if within is not None:
                within.stop_waiting(self)
        return self.outcome

    async def _woken(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
        if self.loop is loop:
            await future
            return
        # That of the one who flies may be closed, with its task in the middle: then nobody lands it.
        while not future.done() and not self.is_over():
            await asyncio.wait([future], timeout=_LOOK_SECONDS)

    def end(self, token: Token[Flight | None]) -> None:
        # A coroutine that is closed, by the garbage collector for one, ends in another context than it began in.
        with suppress(ValueError):
            inside.reset(token)

    def land(self) -> None:
        """Lets go of all who wait."""
        self.is_down = True
        self.leave()
        here = _running_loop()
        while self.waiting:
            loop, future = self.waiting.popleft()
            if loop is here:
                _wake(future)
            else:
                # A loop that is closed has nobody left to wake.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(_wake, future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
