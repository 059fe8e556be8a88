"""`Cache`, `FIFOCache` and `LRUCache`. All that they hold is in one table of the extension, each entry with its size, so that no thread
ever sees one without the other; what is done
to it is decided here, by the methods that subclasses override.
"""

from __future__ import annotations

import math
from collections.abc import Callable, ItemsView, Iterator, MutableMapping, ValuesView
from contextlib import suppress
from typing import Any, TypeVar, cast, overload

from rustcache._core import MISSING, Table

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

# What came of `Table.put_one`; anything else takes more than one step.
_WRITTEN, _TOO_MANY, _FULL = range(3)


class _Items(ItemsView[K, V]):
    def __iter__(self) -> Iterator[tuple[K, V]]:
        mapping: Any = self._mapping  # type: ignore[attr-defined]
        for key in mapping:
            try:
                value = mapping[key]
            except KeyError:
                continue  # Another thread has taken it away.
            yield key, value


class _Values(ValuesView[V]):
    def __iter__(self) -> Iterator[V]:
        items: ItemsView[Any, V] = _Items(self._mapping)  # type: ignore[attr-defined]
        return iter([value for _, value in items])


class Cache(MutableMapping[K, V]):
    """A mapping of limited size; also the base of those that say what goes first. This one drops what was written first."""

    # Whether reading an entry makes it the last to go.
    _reading_refreshes = False
    # Whether there is more to a write than to put it into the table.
    _notes_writes = False

    def __init__(self, maxsize: float, getsizeof: Callable[[V], float] | None = None) -> None:
        if maxsize < 0:
            raise ValueError(f"maxsize must be non-negative, not {maxsize!r}")
        if getsizeof is not None:
            self.__dict__["getsizeof"] = getsizeof
        self._weighs = self.getsizeof is not Cache.getsizeof
        self._maxsize = maxsize
        self._table = Table()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self._live())!r}, maxsize={self.maxsize!r}, currsize={self.currsize!r})"

    def __getitem__(self, key: K) -> V:
        value: Any = self._table.get(key) if self._reading_refreshes else self._table.peek(key)
        return self.__missing__(key) if value is MISSING else value

    def __setitem__(self, key: K, value: V) -> None:
        if self._weighs or self._notes_writes:
            self._put(key, value)
            return
        # What most writes are: one step, or one that makes room for another.
        done = self._table.put_one(key, value, self._maxsize)
        if done == _FULL and self._maxsize >= 1:
            with suppress(KeyError):  # Another thread has emptied it.
                self.popitem()
            done = self._table.put_one(key, value, self._maxsize)
        if done == _TOO_MANY:
            self._shrink()
        elif done != _WRITTEN:
            self._put(key, value)

    def __delitem__(self, key: K) -> None:
        if self._table.take(key) is MISSING:
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return key in self._table

    def __missing__(self, key: K) -> V:
        raise KeyError(key)

    def __iter__(self) -> Iterator[K]:
        """The keys, in the order in which they came. What is written or removed meanwhile may or may not be among them; it harms
        nothing."""
        return iter([key for key, _ in self._live()])

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def get(self, key: K, default: None = None) -> V | None: ...
    @overload
    def get(self, key: K, default: V | T) -> V | T: ...
    def get(self, key: K, default: Any = None) -> Any:
        # Not by __getitem__ alone: that of a subclass may make what is missing.
        if key in self:
            try:
                return self[key]
            except KeyError:
                pass  # It went in between.
        return default

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: V | T) -> V | T: ...
    def pop(self, key: K, default: Any = MISSING) -> Any:
        if key in self:
            try:
                value = self[key]
                # One of several threads succeeds in this.
                del self[key]
            except KeyError:
                pass
            else:
                return value
        if default is MISSING:
            raise KeyError(key)
        return default

    def setdefault(self, key: K, default: Any = None) -> Any:
        while True:
            if key in self:
                try:
                    return self[key]
                except KeyError:
                    continue
            if not self._overrides_setitem():
                if self._put(key, default, only_new=True):
                    return default
            else:
                self[key] = default
                return default

    def _overrides_setitem(self) -> bool:
        return any("__setitem__" in vars(base) for base in type(self).__mro__[: type(self).__mro__.index(Cache)])

    def popitem(self) -> tuple[K, V]:
        """Removes the entry that would be the next to go, and returns its key and value. `KeyError` if there is none. Where there is no
        room for a new entry, this is what is called: a
        subclass may override it to be told."""
        while True:
            found = self._next_to_go()
            if found is None:
                raise KeyError(f"{type(self).__name__} is empty") from None
            key, value = found
            try:
                del self[key]
            except KeyError:
                continue  # Another thread was first.
            return key, value

    def items(self) -> ItemsView[K, V]:
        return _Items(self)

    def values(self) -> ValuesView[V]:
        return _Values(self)

    def clear(self) -> None:
        self._table.clear()

    @property
    def maxsize(self) -> float:
        """The most that all values together may measure."""
        return self._maxsize

    @property
    def currsize(self) -> float:
        """What all values together measure."""
        return self._table.size()

    @staticmethod
    def getsizeof(value: Any) -> float:
        """What a value measures: 1, unless this is overridden or given to the constructor."""
        return 1

    def _live(self) -> list[tuple[K, V]]:
        return cast("list[tuple[K, V]]", self._table.items())

    def _next_to_go(self) -> tuple[K, V] | None:
        return self._table.coldest()

    def _put(self, key: K, value: V, expires: Any = None, *, only_new: bool = False) -> int:
        """Makes room and writes. Gives the number of the write; 0 if the key was there and was not to be."""
        maxsize = self._maxsize
        size = 1 if not self._weighs else self.getsizeof(value)
        if size > maxsize:
            raise ValueError(f"value too large: its size is {size!r}, and maxsize is {maxsize!r}")
        if size < 0:
            raise ValueError(f"value size must be non-negative, not {size!r}")
        table = self._table
        written = table.put(key, value, size, expires, only_new, maxsize)
        was_empty = False
        while written is None:
            try:
                self.popitem()
                was_empty = False
            except KeyError:
                # Another thread has emptied it: then there is room now.
                if was_empty:
                    raise
                was_empty = True
            written = table.put(key, value, size, expires, only_new, maxsize)
        self._shrink()
        return written

    def _shrink(self) -> None:
        """Other threads may have written as well."""
        while self._table.size() > self._maxsize:
            try:
                self.popitem()
            except KeyError:
                break

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_table": self._entries()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        entries = state.pop("_table")
        self.__dict__.update(state)
        self._table = Table()
        for key, value, size, expires in entries:
            self._restore(key, value, size, expires)

    def _entries(self) -> list[tuple[Any, Any, float, Any]]:
        return self._table.entries()

    def _restore(self, key: Any, value: Any, size: float, expires: Any) -> int:
        """The number of the write."""
        return self._table.put(key, value, size, expires, False, math.inf) or 0

    def __copy__(self) -> Cache[K, V]:
        copy = type(self).__new__(type(self))
        copy.__setstate__(self.__getstate__())
        return copy


class FIFOCache(Cache[K, V]):
    """Drops what was written first."""


class LRUCache(Cache[K, V]):
    """Drops what was used least recently."""

    _reading_refreshes = True
