"""`LFUCache` and `RRCache`. How often an entry was read is in the entry; here is a heap of what was known of them some time ago, which is
brought up to date where it matters: at its top."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from typing import Any

from ._caches import Cache, K, V
from ._forks import new_lock

# Of what is remembered, so much may be of entries that are not there any more, beyond as much again as there are entries.
_SPARE = 64


class _Remembering(Cache[K, V]):
    """Keeps a list of all writes, some of them of entries that are not there any more."""

    _notes_writes = True

    def __init__(self, maxsize: float, getsizeof: Callable[[V], float] | None = None) -> None:
        super().__init__(maxsize, getsizeof)
        self._begin()

    def _begin(self) -> None:
        # Nothing of the user's runs while it is held. Reentrant, since a garbage collection may come in between.
        self._lock = new_lock(self)
        self._writes: list[Any] = []

    def _put(self, key: K, value: V, expires: Any = None, *, only_new: bool = False) -> int:
        number = super()._put(key, value, expires, only_new=only_new)
        if number:
            self._remember(number, key)
        return number

    def _restore(self, key: Any, value: Any, size: float, expires: Any) -> int:
        number = super()._restore(key, value, size, expires)
        self._remember(number, key)
        return number

    def _remember(self, number: int, key: K) -> None:
        raise NotImplementedError

    def clear(self) -> None:
        super().clear()
        with self._lock:
            self._writes = []

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_lock"], state["_writes"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._begin()
        super().__setstate__(state)


class LFUCache(_Remembering[K, V]):
    """Drops what was used least often; of those, what has been used so often for the longest time."""

    _reading_refreshes = True

    def _remember(self, number: int, key: K) -> None:
        # (uses, when the last one was, which write, key): the third is never twice the same, so that keys are never compared.
        uses = self._table.uses(key, number)
        if uses is None:
            return
        with self._lock:
            heapq.heappush(self._writes, (*uses, number, key))
            is_long = len(self._writes) > 2 * len(self._table) + _SPARE
        if is_long:
            with self._lock:
                writes, self._writes = self._writes, []
            held = [write for write in writes if self._table.is_written(write[3], write[2])]
            with self._lock:
                self._writes.extend(held)
                heapq.heapify(self._writes)

    def _next_to_go(self) -> tuple[K, V] | None:
        while True:
            with self._lock:
                top = self._writes[0] if self._writes else None
            if top is None:
                # What another thread is writing is not in there yet.
                return super()._next_to_go()
            uses, used, number, key = top
            now = self._table.uses(key, number)
            is_so = now == (uses, used)
            with self._lock:
                if not self._writes or self._writes[0] is not top:
                    continue
                if not is_so:
                    heapq.heappop(self._writes)
                    if now is not None:
                        # It was used since: there may be others that were used less.
                        heapq.heappush(self._writes, (*now, number, key))
                    continue
            found = self._table.peek_written(key, number)
            if found is not None:
                return key, found[0]


class RRCache(_Remembering[K, V]):
    """Drops whatever `choice` picks from the keys: any one, if not told otherwise."""

    def __init__(
        self,
        maxsize: float,
        choice: Callable[[Sequence[K]], K] = random.choice,
        getsizeof: Callable[[V], float] | None = None,
    ) -> None:
        super().__init__(maxsize, getsizeof)
        self._choice = choice

    @property
    def choice(self) -> Callable[[Sequence[K]], K]:
        """What picks a key."""
        return self._choice

    def _remember(self, number: int, key: K) -> None:
        if self._choice is not random.choice:
            return
        with self._lock:
            self._writes.append((number, key))
            is_long = len(self._writes) > 2 * len(self._table) + _SPARE
        if is_long:
            with self._lock:
                writes, self._writes = self._writes, []
            held = [write for write in writes if self._table.is_written(write[1], write[0])]
            with self._lock:
                self._writes.extend(held)

    def _next_to_go(self) -> tuple[K, V] | None:
        if self._choice is not random.choice:
            return self._chosen()
        while True:
            with self._lock:
                writes = self._writes
                at = random.randrange(len(writes)) if writes else -1
                write = writes[at] if writes else None
            if write is None:
                return super()._next_to_go()
            number, key = write
            found = self._table.peek_written(key, number)
            if found is not None:
                return key, found[0]
            with self._lock:
                if self._writes is writes and at < len(writes) and writes[at] is write:
                    writes[at] = writes[-1]
                    writes.pop()

    def _chosen(self) -> tuple[K, V] | None:
        held = self._table.items()
        if not held:
            return None
        key = self._choice([key for key, _ in held])
        for candidate, value in held:
            if candidate is key:
                return key, value
        return key, self[key]
