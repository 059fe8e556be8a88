"""Reads and writes of caches in memory, by one thread and by two."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from contenders import DICT, MAPPINGS, OURS, Contender
from rounds import Loop, Results, Sample, by_turns, in_threads, loop
from text import nanoseconds, table, times

VALUE = b"v" * 100


@dataclass(frozen=True)
class Effort:
    """How much is done: so many rounds, each sample of about so many operations for whoever is quick."""

    rounds: int
    operations: int
    large: int


SMALL = 1_000
FULL = Effort(rounds=7, operations=1_000_000, large=100_000)
QUICK = Effort(rounds=1, operations=2_000, large=2_000)


def keys(first: int, count: int) -> list[str]:
    """Text whose hash is known, in an order that has nothing to do with where it lies in memory."""
    made = [f"user:{number:09}" for number in range(first, first + count)]
    random.Random(first).shuffle(made)
    for key in made:
        hash(key)
    return made


def again(of: Sequence[str]) -> list[str]:
    """Equal keys that are other objects, as those that come out of a request."""
    return ["".join([key[:1], key[1:]]) for key in of]


@dataclass(frozen=True)
class Measure:
    name: str
    statement: str  # `hit` or `write`
    entries: int
    evicts: bool = False
    other_objects: bool = False
    threads: int = 1


THREADS = 2


def measures(effort: Effort) -> list[Measure]:
    large = effort.large
    return [
        Measure(f"hit, {SMALL:,} keys", "hit", SMALL),
        Measure("hit by equal keys", "hit", SMALL, other_objects=True),
        Measure(f"hit, {large:,} keys", "hit", large),
        Measure(f"overwrite, {SMALL:,}", "write", SMALL),
        Measure(f"overwrite, {large:,}", "write", large),
        Measure(f"evicting set, {SMALL:,}", "write", SMALL, evicts=True),
        Measure(f"evicting set, {large:,}", "write", large, evicts=True),
    ]


def with_threads(effort: Effort) -> list[Measure]:
    large = effort.large
    return [
        Measure("hit", "hit", large, threads=THREADS),
        Measure("overwrite", "write", large, threads=THREADS),
        Measure("evicting set", "write", large, evicts=True, threads=THREADS),
    ]


def _sample(contender: Contender, measure: Measure, effort: Effort) -> Sample:
    """Of a cache that is full."""
    stored = keys(0, measure.entries)
    cache = contender.make(measure.entries)
    fill: Loop = loop(contender.write, contender.prepare)
    run = fill if measure.statement == "write" else loop(contender.hit, contender.prepare)
    fill(cache, stored, VALUE)
    wanted = again(stored) if measure.other_objects else stored
    # As many new ones as there is room for: each of them has gone when its turn comes again.
    asked = keys(measure.entries, measure.entries) + stored if measure.evicts else wanted
    once = run(cache, asked, VALUE) / len(asked)
    # Whoever is slow does less: 100 ns an operation are taken for quick.
    count = max(1, round(effort.operations / len(asked) * min(1.0, 200 / once)))
    asked = asked * count

    def sample() -> float:
        is_alone = measure.threads == 1
        taken = run(cache, asked, VALUE) if is_alone else in_threads(run, measure.threads, cache, asked, VALUE)
        return taken / len(asked)

    return sample


def _takes_part(contender: Contender, wanted: Measure) -> bool:
    return (contender.is_bounded or not wanted.evicts) and (contender.survives_threads or wanted.threads == 1)


def measure(effort: Effort, wanted: Measure) -> Results:
    samples = {contender.name: _sample(contender, wanted, effort) for contender in MAPPINGS if _takes_part(contender, wanted)}
    return by_turns(samples, effort.rounds)


def alone(name: str) -> str:
    """What a contender is called in the results of `measure_threads` when one thread does all of it."""
    return f"{name}, one thread"


def measure_threads(effort: Effort, wanted: Measure) -> Results:
    """By several threads, and the same by one, in the same rounds: what the machine does meanwhile happens to both."""
    samples = {}
    for contender in MAPPINGS:
        if _takes_part(contender, wanted):
            samples[contender.name] = _sample(contender, wanted, effort)
            samples[alone(contender.name)] = _sample(contender, replace(wanted, threads=1), effort)
    return by_turns(samples, effort.rounds)


def _rows(columns: Sequence[Results], cell: Any) -> list[list[str]]:
    rows = []
    for contender in MAPPINGS:
        name = contender.name
        cells = [cell(results, name) if name in results else "–" for results in columns]
        if any(text != "–" for text in cells):
            rows.append([name, *cells])
    return rows


def table_of_times(names: Sequence[str], columns: Sequence[Results]) -> str:
    return table(["", *names], _rows(columns, lambda results, name: nanoseconds(results.of(name))))


def table_of_gains(names: Sequence[str], columns: Sequence[Results]) -> str:
    """How much more several threads do than one."""
    return table(["", *names], _rows(columns, lambda results, name: times(results.ratio(name, alone(name)))))


def table_of_ratios(names: Sequence[str], columns: Sequence[Results]) -> str:
    rows = _rows(columns, lambda results, name: times(results.ratio(OURS, name)))
    return table(
        ["", *names], [[f"÷ {name}" if name != DICT else "÷ dict, without a limit", *cells] for name, *cells in rows if name != OURS]
    )
