"""Threads and tasks that refresh what is stale. They never keep a program from ending."""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_MOST_THREADS = min(32, (os.cpu_count() or 1) + 4)
_IDLE_SECONDS = 5.0


class _Pool:
    """Threads that are made when they are needed and go when they have been idle for a while."""

    def __init__(self) -> None:
        self.work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        # Reentrant, since a garbage collection within may come back here.
        self.lock = threading.RLock()
        self.threads = 0
        self.idle = 0
        # Not the length of the queue: what a thread has just taken out of it still counts here, as that thread still counts as idle.
        self.waiting = 0

    def start(self, work: Callable[[], None]) -> bool:
        with self.lock:
            is_needed = self.idle <= self.waiting and self.threads < _MOST_THREADS
            if is_needed:
                try:
                    threading.Thread(target=self.serve, name="rustcache-refresh", daemon=True).start()
                except RuntimeError:
                    # No more threads, or the interpreter is about to end.
                    if self.threads == 0:
                        return False
                else:
                    self.threads += 1
            self.waiting += 1
            self.work.put(work)
            return True

    def serve(self) -> None:
        while True:
            with self.lock:
                self.idle += 1
            try:
                work = self.work.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self.lock:
                    self.idle -= 1
                    # What came in between is seen to.
                    if self.work.empty():
                        self.threads -= 1
                        return
                continue
            with self.lock:
                self.idle -= 1
                self.waiting -= 1
            _do(work)
            del work


def _do(work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException:
        # The thread goes on, whatever is raised: others count on it. It is told of as if it had ended by this.
        with suppress(BaseException):
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


_pool = _Pool()


def start(work: Callable[[], None]) -> bool:
    """Has a thread do this; whether it could."""
    return _pool.start(work)


def _forked() -> None:
    # The threads are not in the child.
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

# A loop holds its tasks weakly.
_tasks: set[asyncio.Task[None]] = set()


def start_task(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None], never_ran: Callable[[], None]) -> None:
    """Has a task of this loop do this. `never_ran` is called when it is over, whether it ever ran or not."""
    task = loop.create_task(work, name="rustcache-refresh")
    _tasks.add(task)

    def done(task: asyncio.Task[None]) -> None:
        _tasks.discard(task)
        never_ran()

    task.add_done_callback(done)
