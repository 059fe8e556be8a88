"""Arguments that make no sense, and calls with them: what comes of those has to be one of Python's own errors."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from rustcache import CACHE_MISS, DEFAULT_TTL, Storage


class Odd:
    """An object that raises from wherever it is asked to."""

    def __init__(self, where: str) -> None:
        self.where = where

    def _maybe(self, where: str) -> None:
        if self.where == where:
            raise ArithmeticError(where)

    def __hash__(self) -> int:
        self._maybe("hash")
        return 3

    def __eq__(self, other: object) -> bool:
        self._maybe("eq")
        return self is other

    def __bool__(self) -> bool:
        self._maybe("bool")
        return True

    def __add__(self, other: object) -> object:
        self._maybe("add")
        return self

    def __float__(self) -> float:
        self._maybe("float")
        return 1.0

    def __index__(self) -> int:
        self._maybe("index")
        return 1

    def __iter__(self) -> Any:
        self._maybe("iter")
        return iter([(self, self)])

    def __call__(self, *args: object) -> object:
        self._maybe("call")
        return {"negative": -5, "huge": 2**64 - 1}.get(self.where, self)

    def __sizeof__(self) -> int:
        self._maybe("sizeof")
        return {"negative": -5, "huge": 2**64 - 1}.get(self.where, 32)

    def __repr__(self) -> str:
        self._maybe("repr")
        return "odd"

    def __reduce__(self) -> Any:
        self._maybe("reduce")
        return (Odd, (self.where,))

    def __del__(self) -> None:
        if self.where == "del":
            SHARED.get(self)
            SHARED.set("grave", 1)


SHARED: Storage[Any] = Storage(max_items=5)

PLACES = ["hash", "eq", "bool", "add", "float", "index", "iter", "call", "sizeof", "negative", "huge", "repr", "reduce", "del", "nowhere"]

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(2**62, 2**66),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["\ud800", "\0", "lru", "x" * 5000]),
    st.binary(max_size=4),
    st.tuples(st.integers(), st.text(max_size=2)),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=1), st.integers(), max_size=2),
    st.sampled_from([2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**70]),
    st.sampled_from([CACHE_MISS, DEFAULT_TTL, math.inf, -1, 0, 1, 4096, len, object]),
    st.sampled_from(PLACES).map(Odd),
)

NAMES = ["key", "value", "ttl", "default", "delta", "wait", "other"]


def attempt(call: Any, *args: Any, **options: Any) -> Any:
    """What it gives, or `None` if it raises an error that Python has: no panic is one of those, whatever it is dressed as."""
    try:
        return call(*args, **options)
    except Exception as error:
        text = error.args[0] if error.args else None
        if isinstance(text, str) and "a fault in rustcache itself" in text:
            raise BaseException("a panic") from error
        return None
