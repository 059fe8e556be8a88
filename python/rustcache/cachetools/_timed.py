"""`TTLCache` and `TLRUCache`: entries that are gone from a moment on, by any clock that can be compared. The moment is in the entry, and
every read compares it; what is queued up
here only says what to look at first when memory is to come back.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, cast

from rustcache._core import MISSING

from ._caches import Cache, K, V
from ._forks import new_lock

# What a clock shows: a number, a datetime, anything that can be compared.
M = TypeVar("M")

# Of what is queued, so much may be of entries that are not there any more, beyond as much again as there are entries.
_SPARE = 64


class _Timer(Generic[M]):
    """A clock that stands still within `with`, for the thread that is in there."""

    def __init__(self, timer: Callable[[], M]) -> None:
        self._timer = timer
        self._local = threading.local()

    def __call__(self) -> M:
        local = self._local
        return cast("M", local.time) if getattr(local, "nesting", 0) else self._timer()

    def __enter__(self) -> M:
        local = self._local
        nesting = getattr(local, "nesting", 0)
        if nesting == 0:
            local.time = self._timer()
        local.nesting = nesting + 1
        return cast("M", local.time)

    def __exit__(self, *exception: object) -> None:
        self._local.nesting -= 1

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._timer,)

    def __getattr__(self, name: str) -> Any:
        if name == "_timer":  # Not there yet, while it is copied.
            raise AttributeError(name)
        return getattr(self._timer, name)


class _TimedCache(Cache[K, V]):
    _reading_refreshes = True
    _notes_writes = True

    def __init__(self, maxsize: float, timer: Callable[[], Any], getsizeof: Callable[[V], float] | None = None) -> None:
        super().__init__(maxsize, getsizeof)
        self._timer = _Timer(timer)
        self._begin_queue()

    def __getitem__(self, key: K) -> V:
        found = self._table.get_timed(key)
        if found is not None:
            value, expires = found
            if self._timer() < expires:
                return value  # type: ignore[no-any-return]
        return self.__missing__(key)

    def __contains__(self, key: object) -> bool:
        found = self._table.peek_timed(key)
        return found is not None and bool(self._timer() < found[1])

    def __delitem__(self, key: K) -> None:
        taken = self._table.take_timed(key)
        # What has expired is taken out all the same.
        if taken is None or not self._timer() < taken[1]:
            raise KeyError(key)

    def __len__(self) -> int:
        with self._timer as now:
            self.expire(now)
            return super().__len__()

    def __iter__(self) -> Iterator[K]:
        for key, _, _, expires in self._table.entries():
            if self._timer() < expires:
                yield key

    @property
    def currsize(self) -> float:
        with self._timer as now:
            self.expire(now)
            return super().currsize

    @property
    def timer(self) -> Any:
        """The clock of the cache; `with cache.timer as now:` stops it for this thread."""
        return self._timer

    def get(self, key: K, default: Any = None) -> Any:
        with self._timer:
            return super().get(key, default)

    def pop(self, key: K, default: Any = MISSING) -> Any:
        with self._timer:
            return super().pop(key, default)

    def setdefault(self, key: K, default: Any = None) -> Any:
        with self._timer:
            return super().setdefault(key, default)

    def popitem(self) -> tuple[K, V]:
        with self._timer as now:
            self.expire(now)
            return super().popitem()

    def clear(self) -> None:
        super().clear()
        self._begin_queue()

    def expire(self, time: Any = None) -> list[tuple[K, V]]:
        """Takes out what has expired by now, or by `time`, and returns it."""
        now = self._timer() if time is None else time
        gone: list[tuple[K, V]] = []
        while (due := self._next_due(now)) is not None:
            key, number = due
            value = self._table.take_written(key, number)
            if value is not MISSING:
                gone.append((key, cast("V", value)))
        return gone

    def _make_way(self, key: K, now: Any) -> None:
        self.expire(now)
        # A clock that goes back may have left it in the queue behind what is due later.
        found = self._table.peek_timed(key)
        if found is not None and not now < found[1]:
            self._table.take(key)

    def _live(self) -> list[tuple[K, V]]:
        now = self._timer()
        return [(key, value) for key, value, _, expires in self._table.entries() if now < expires]

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_queue"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._begin_queue()
        super().__setstate__(state)
        self.expire()

    def _restore(self, key: Any, value: Any, size: float, expires: Any) -> int:
        number = super()._restore(key, value, size, expires)
        self._enqueue(expires, number, key)
        return number

    def _begin_queue(self) -> None:
        raise NotImplementedError

    def _enqueue(self, expires: Any, number: int, key: K) -> None:
        raise NotImplementedError

    def _next_due(self, now: Any) -> tuple[K, int] | None:
        """Takes what is due out of the queue: the key, and the number of the write that brought the moment."""
        raise NotImplementedError


class TTLCache(_TimedCache[K, V]):
    """Drops what was used least recently; and what was written more than `ttl` ago, by the clock `timer`, is gone."""

    def __init__(
        self, maxsize: float, ttl: Any, timer: Callable[[], Any] = time.monotonic, getsizeof: Callable[[V], float] | None = None
    ) -> None:
        super().__init__(maxsize, timer, getsizeof)
        self._ttl = ttl

    @property
    def ttl(self) -> Any:
        """How long entries live, in what the clock shows."""
        return self._ttl

    def _put(self, key: K, value: V, expires: Any = None, *, only_new: bool = False) -> int:
        with self._timer as now:
            expires = now + self._ttl
            self._make_way(key, now)
            number = super()._put(key, value, expires, only_new=only_new)
            if number:
                self._enqueue(expires, number, key)
            return number

    # One ttl for all: what was written first is due first.
    def _begin_queue(self) -> None:
        self._queue: deque[tuple[Any, int, K]] = deque()

    def _enqueue(self, expires: Any, number: int, key: K) -> None:
        queue = self._queue
        queue.append((expires, number, key))
        if len(queue) > 2 * len(self._table) + _SPARE:
            held = self._table
            self._queue = deque(due for due in list(queue) if held.is_written(due[2], due[1]))

    def _next_due(self, now: Any) -> tuple[K, int] | None:
        queue = self._queue
        try:
            if not queue or now < queue[0][0]:
                return None
            _, number, key = queue.popleft()
        except IndexError:  # Another thread was first.
            return None
        return key, number


class _Due(Generic[K]):
    __slots__ = ("expires", "key", "number")

    def __init__(self, expires: Any, number: int, key: K) -> None:
        self.expires = expires
        self.number = number
        self.key = key

    def __lt__(self, other: _Due[K]) -> bool:
        return bool(self.expires < other.expires)


class TLRUCache(_TimedCache[K, V]):
    """Drops what was used least recently; and what `ttu(key, value, now)` says is the moment at which an entry is gone."""

    def __init__(
        self,
        maxsize: float,
        ttu: Callable[[K, V, Any], Any],
        timer: Callable[[], Any] = time.monotonic,
        getsizeof: Callable[[V], float] | None = None,
    ) -> None:
        # Around the queue alone, and reentrant: all that runs of the user's in there is the < of what the clock shows.
        self._lock = new_lock(self)
        super().__init__(maxsize, timer, getsizeof)
        self._ttu = ttu

    @property
    def ttu(self) -> Callable[[K, V, Any], Any]:
        """The function that says until when an entry may be used."""
        return self._ttu

    def _put(self, key: K, value: V, expires: Any = None, *, only_new: bool = False) -> int:
        with self._timer as now:
            self._make_way(key, now)
            expires = self._ttu(key, value, now)
            if not now < expires:
                # Gone at once, and so is what it would have replaced.
                self._table.take(key)
                return -1
            number = super()._put(key, value, expires, only_new=only_new)
            if number:
                self._enqueue(expires, number, key)
            return number

    def _begin_queue(self) -> None:
        self._queue: list[_Due[K]] = []

    def _enqueue(self, expires: Any, number: int, key: K) -> None:
        with self._lock:
            heapq.heappush(self._queue, _Due(expires, number, key))
            is_long = len(self._queue) > 2 * len(self._table) + _SPARE
        if is_long:
            self._tidy()

    def _tidy(self) -> None:
        with self._lock:
            queued, self._queue = self._queue, []
        # Without the lock, since this compares keys.
        held = [due for due in queued if self._table.is_written(due.key, due.number)]
        with self._lock:
            self._queue.extend(held)
            heapq.heapify(self._queue)

    def _next_due(self, now: Any) -> tuple[K, int] | None:
        with self._lock:
            if not self._queue or now < self._queue[0].expires:
                return None
            due = heapq.heappop(self._queue)
        return due.key, due.number

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._lock = new_lock(self)
        super().__setstate__(state)
