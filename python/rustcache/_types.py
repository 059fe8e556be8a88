"""Types of what callers pass and are told. Nothing here does anything."""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

RemovalCause: TypeAlias = Literal["max_items", "max_weight", "expired", "replaced", "removed", "cleared"]
"""Why an entry left a cache."""


class Serializer(Protocol):
    """Makes bytes of a value."""

    def __call__(self, value: Any, /) -> bytes: ...


class Deserializer(Protocol):
    """Makes a value of bytes."""

    def __call__(self, value: bytes, /) -> Any: ...


class EvictionListener(Protocol):
    """Is told of each entry that leaves a cache, once, by the thread whose call made it leave; of what expired and nobody asked for, by a
    background thread."""

    def __call__(self, key: Any, value: Any, cause: RemovalCause, /) -> object: ...


class Weigher(Protocol):
    """Says what an entry weighs: an integer that is not negative."""

    def __call__(self, key: Any, value: Any, /) -> int: ...
