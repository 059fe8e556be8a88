"""Reads and writes of caches that keep themselves in a directory. With each of them, as it is by default, what a write has returned from
is there after `kill -9`, and the last of it may be gone after a power failure."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import diskcache
from mappings import VALUE, Effort, keys
from rounds import Results, Sample, by_turns, loop

import rustcache

OURS = "rustcache Cache(dir=…)"
DISKCACHE = "diskcache.Cache"

_MAKE = {OURS: lambda directory: rustcache.Cache(dir=directory), DISKCACHE: lambda directory: diskcache.Cache(str(directory))}
_VALUES: dict[str, Any] = {
    "100 bytes": VALUE,
    "a dict": {"id": 1234567, "name": "Ada Lovelace", "tags": ["a", "b"], "ratio": 0.5, "is_admin": False},
}
_STATEMENTS = {"get": "get(key)", "set": "set(key, value)"}


def kinds() -> list[tuple[str, str]]:
    """Statements, each with the name of a value."""
    return [(statement, value) for statement in _STATEMENTS for value in _VALUES]


@contextmanager
def _sample(name: str, kind: tuple[str, str], effort: Effort) -> Iterator[Sample]:
    value = _VALUES[kind[1]]
    asked = keys(0, min(effort.large, 10_000))
    run, fill = (loop(_STATEMENTS[statement], "get, set = cache.get, cache.set") for statement in (kind[0], "set"))
    with tempfile.TemporaryDirectory(prefix="rustcache-bench-") as directory, _MAKE[name](Path(directory)) as cache:
        fill(cache, asked, value)
        once = run(cache, asked, value) / len(asked)
        # As for caches in memory: whoever is slow does less.
        wanted = asked * max(1, round(effort.operations / len(asked) * min(1.0, 200 / once)))
        yield lambda: run(cache, wanted, value) / len(wanted)


def measure(effort: Effort, kind: tuple[str, str]) -> Results:
    with ExitStack() as stack:
        samples = {name: stack.enter_context(_sample(name, kind, effort)) for name in _MAKE}
        return by_turns(samples, effort.rounds)
