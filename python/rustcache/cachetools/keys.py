"""What `cached` and `cachedmethod` keep results by: the names and results of `cachetools.keys`."""

from __future__ import annotations

from typing import Any

__all__ = ("hashkey", "methodkey", "typedkey", "typedmethodkey")


class _Keywords:
    """Stands between positional and keyword arguments in a key. The class itself does, which stays the same one when it is pickled."""


_MARK = (_Keywords,)


def hashkey(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """A key for these arguments; the order of keyword arguments is no matter."""
    return args + _MARK + tuple(sorted(kwargs.items())) if kwargs else args


def methodkey(self: Any, /, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """As `hashkey`, without the instance."""
    return hashkey(*args, **kwargs)


def typedkey(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """As `hashkey`, but arguments of different types are different."""
    values = [value for _, value in sorted(kwargs.items())]
    return hashkey(*args, **kwargs) + tuple(map(type, [*values, *args]))


def typedmethodkey(self: Any, /, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """As `typedkey`, without the instance."""
    return typedkey(*args, **kwargs)
