"""The figures of the Python package, beside those of what its users would take instead. `node scripts/python.mjs bench` runs it, with
`--quick` to see whether it works, with `--only calls` for one part of it, with `--write` to put the figures into docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import calls
import disk
import memory
from contenders import CACHEBOX, CACHED, CACHETOOLS, CACHETOOLS_BARE, CACHETOOLS_FACE, DICT, FUNCTOOLS, MOKA, OURS
from mappings import (
    FULL,
    QUICK,
    SMALL,
    Effort,
    alone,
    measure,
    measure_threads,
    measures,
    table_of_gains,
    table_of_ratios,
    table_of_times,
    with_threads,
)
from text import digits, heading, nanoseconds, rivals, table, times, write_page

RIVALS = ("cachetools", "cachebox", "moka-py", "theine", "async-lru", "diskcache")

Target = tuple[str, str, bool]


def _say(text: str, into: list[str]) -> None:
    print(text, flush=True)
    into.append(text)


def _mappings(effort: Effort, into: list[str]) -> list[Target]:
    columns = {wanted.name: measure(effort, wanted) for wanted in measures(effort)}
    names, results = list(columns), list(columns.values())
    _say("### One thread: nanoseconds for each operation\n", into)
    _say(table_of_times(names, results), into)
    _say(f"How many times as long as {OURS} others take, medians of the rounds' ratios:\n", into)
    _say(table_of_ratios(names, results), into)
    sizes = (SMALL, effort.large)

    def targets(statement: str, other: str, at_least: float, says: str, mine: str = OURS, kind: str = "") -> list[Target]:
        """For each size, the least of the measures that are meant."""
        found = []
        for size in sizes:
            ratios = [
                columns[wanted.name].ratio(mine, other)
                for wanted in measures(effort)
                if wanted.statement == statement and wanted.entries == size and wanted.name.startswith(kind)
            ]
            found.append((f"{says}, {size:,} keys", times(min(ratios)), min(ratios) >= at_least))
        return found

    return [
        *targets("hit", CACHETOOLS, 5, "hit: at least 5 × cachetools.LRUCache with a lock"),
        *targets("write", CACHETOOLS, 5, "set: at least 5 × cachetools.LRUCache with a lock"),
        *targets("hit", MOKA, 2, "hit: at least 2 × moka-py"),
        *targets("write", MOKA, 2, "set: at least 2 × moka-py"),
        *targets("hit", CACHEBOX, 0.9, "hit: level with cachebox (0.9 ×)"),
        *targets("write", CACHEBOX, 0.9, "set: level with cachebox (0.9 ×)"),
        *targets(
            "write", CACHETOOLS_BARE, 0.9, "overwrite by rustcache.cachetools: level with cachetools (0.9 ×)", CACHETOOLS_FACE, "overwrite"
        ),
    ]


def _threads(effort: Effort, into: list[str]) -> list[Target]:
    columns = [measure_threads(effort, wanted) for wanted in with_threads(effort)]
    names = [wanted.name for wanted in with_threads(effort)]
    _say(f"### Two threads, {effort.large:,} keys: nanoseconds for each operation of either\n", into)
    _say(table_of_times(names, columns), into)
    _say(
        "How many times as much the two do as one alone, measured in the same rounds. Each has half of the keys, and with a global "
        "interpreter lock only one of them runs at a time, so that no lock of a cache is ever waited for. "
        f"A {DICT} has none: what it gains or loses is what the interpreter's turns and the processors' caches make of two threads.\n",
        into,
    )
    _say(table_of_gains(names, columns), into)

    def least(name: str) -> float:
        return min(results.ratio(name, alone(name)) for results in columns if name in results)

    says = f"two threads ÷ one, the least of all operations: at least 0.95 × ({DICT}: {times(least(DICT))})"
    return [(says, times(least(OURS)), least(OURS) >= 0.95)]


def _calls(effort: Effort, into: list[str]) -> list[Target]:
    kinds = {"function": calls.functions(effort), "method": calls.methods(effort), "coroutine function": calls.coroutines(effort)}
    names = list(dict.fromkeys(name for kind in kinds.values() for name in kind))
    rows = [[name, *(nanoseconds(kind.of(name)) if name in kind else "–" for kind in kinds.values())] for name in names]
    _say("### A call whose result is kept\n", into)
    _say(table(["", *kinds], rows), into)
    targets = []
    for kind in ("function", "method"):
        ratio = 1 / kinds[kind].ratio(CACHED, FUNCTOOLS)
        targets.append((f"@cached, {kind}: at most 2 × the time of functools.lru_cache", times(ratio), ratio <= 2))
    return targets


def _memory(effort: Effort, into: list[str]) -> list[Target]:
    if sys.platform != "linux":
        return []
    rounds, entries = (1, 20_000) if effort is QUICK else (5, 1_000_000)
    sizes = memory.measure(rounds, entries)
    of_dict = sizes[memory.DICT]
    payload = memory.VALUE_BYTES + len("user:000000000")
    rows = [[kind, digits(size), digits(size - payload), f"{size / of_dict:.2f}"] for kind, size in sizes.items()]
    _say(f"### {entries:,} entries: a key of {payload - memory.VALUE_BYTES} characters, a value of {memory.VALUE_BYTES} bytes\n", into)
    _say(table(["", "bytes an entry", "beyond key and value", f"of {memory.DICT}"], rows), into)
    ours = sizes[memory.OURS]
    least = payload / of_dict
    return [
        (
            f"an entry of Cache: at most 0.25 of {memory.DICT}'s (key and value alone are {least:.2f})",
            f"{ours / of_dict:.2f}",
            ours / of_dict <= 0.25,
        ),
        (
            f"beyond key and value: at most 0.25 of {memory.DICT}'s",
            f"{(ours - payload) / (of_dict - payload):.2f}",
            (ours - payload) / (of_dict - payload) <= 0.25,
        ),
    ]


def _disk(effort: Effort, into: list[str]) -> list[Target]:
    columns = {kind: disk.measure(effort, kind) for kind in disk.kinds()}
    names = [f"{statement}, {value}" for statement, value in columns]
    rows = [[name, *(nanoseconds(results.of(name)) for results in columns.values())] for name in (disk.OURS, disk.DISKCACHE)]
    ratios = {kind: results.ratio(disk.OURS, disk.DISKCACHE) for kind, results in columns.items()}
    _say("### In a directory\n", into)
    _say(table(["", *names], [*rows, [f"÷ {disk.DISKCACHE}", *map(times, ratios.values())]]), into)
    return [
        (f"in a directory, {statement} of {value}: at least {least} × {disk.DISKCACHE}", times(ratio), ratio >= least)
        for (statement, value), ratio in ratios.items()
        for least in [20 if statement == "set" else 10]
    ]


SECTIONS: dict[str, Callable[[Effort, list[str]], list[Target]]] = {
    "mappings": _mappings,
    "threads": _threads,
    "calls": _calls,
    "memory": _memory,
    "directory": _disk,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="PART", help=f"some of {', '.join(SECTIONS)}"
    )
    parser.add_argument("--quick", action="store_true", help="one round of little: whether it works, no figures")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("--quick gives no figures that could be written")
    if options.write and len(options.only) < len(SECTIONS):
        parser.error("--only gives a part of the figures, and all of them are written")
    effort = QUICK if options.quick else FULL
    command = " ".join(["node scripts/python.mjs bench", *sys.argv[1:]])
    text: list[str] = []
    _say(heading("Python: against what its users would take instead", command), text)
    _say(f"{rivals(RIVALS)}. Medians of {effort.rounds} rounds, in which all take turns; the garbage collector is off.\n", text)
    targets = [target for name, section in SECTIONS.items() if name in options.only for target in section(effort, text)]
    rows = [[name, measured, "reached" if is_reached else "**missed**"] for name, measured, is_reached in targets]
    if options.quick:
        return
    _say("### Targets\n", text)
    _say(table(["", "measured", "verdict"], rows), text)
    if options.write:
        write_page("bench/python", "\n".join(text))


if __name__ == "__main__":
    main()
