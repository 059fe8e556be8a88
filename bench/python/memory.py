"""What an entry takes, each kind of cache in a process of its own: `python memory.py KIND ENTRIES` prints bytes."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import rustcache

VALUE_BYTES = 100
DICT = "OrderedDict"
OURS = "rustcache Cache"


def _ordered(capacity: int) -> Callable[[str, bytes], None]:
    entries: OrderedDict[str, bytes] = OrderedDict()

    def put(key: str, value: bytes) -> None:
        entries[key] = value
        entries.move_to_end(key)
        if len(entries) > capacity:
            entries.popitem(last=False)

    return put


def _cachetools(capacity: int) -> Callable[[str, bytes], None]:
    import cachetools

    return cachetools.LRUCache(capacity).__setitem__


def _cachebox(capacity: int) -> Callable[[str, bytes], None]:
    import cachebox

    return cachebox.LRUCache(capacity).__setitem__


KINDS: dict[str, Callable[[int], Callable[[str, bytes], Any]]] = {
    OURS: lambda capacity: rustcache.Cache(max_items=capacity).set,
    "rustcache Cache, serializer=bytes": lambda capacity: rustcache.Cache(max_items=capacity, serializer=bytes, deserializer=bytes).set,
    "rustcache Storage": lambda capacity: rustcache.Storage(max_items=capacity).set,
    DICT: _ordered,
    "cachebox": _cachebox,
    "cachetools": _cachetools,
}


def _resident() -> int:
    """Bytes of this process's own memory: what it shares with others counts in part."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/smaps_rollup has no line Pss")


def _fill(kind: str, entries: int) -> float:
    put = KINDS[kind](entries)
    gc.collect()
    before = _resident()
    for number in range(entries):
        put(f"user:{number:09}", number.to_bytes(8, "big") + bytes(VALUE_BYTES - 8))
    gc.collect()
    return (_resident() - before) / entries


def measure(rounds: int, entries: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind, samples in taken.items():
            command = [sys.executable, __file__, kind, str(entries)]
            samples.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return {kind: median(samples) for kind, samples in taken.items()}


if __name__ == "__main__":
    print(_fill(sys.argv[1], int(sys.argv[2])))
