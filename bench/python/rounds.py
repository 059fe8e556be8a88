"""How time is taken: all contenders by turns, in each round in another order, without the garbage collector; and the medians."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Sample = Callable[[], float]
"""Runs something, and gives the nanoseconds that one operation took."""

Loop = Callable[[Any, Sequence[str], object], int]


def loop(statement: str, prepare: str = "pass") -> Loop:
    """A function that runs a statement for each key and gives the nanoseconds that all of them took."""
    return _compiled("def", statement, prepare)


def async_loop(statement: str) -> Callable[[Any, Sequence[str], object], Coroutine[Any, Any, int]]:
    """As `loop`, of a statement that awaits."""
    return _compiled("async def", statement, "pass")


def _compiled(define: str, statement: str, prepare: str) -> Any:
    source = f"""
{define} run(cache, keys, value):
    {prepare}
    began = now()
    for key in keys:
        {statement}
    return now() - began
"""
    names: dict[str, Any] = {"now": perf_counter_ns}
    exec(compile(source, f"<{statement}>", "exec"), names)
    return names["run"]


def in_threads(run: Loop, count: int, cache: object, keys: Sequence[str], value: object) -> int:
    """The nanoseconds until all of so many threads are through, each with its part of the keys."""
    parts = [keys[at::count] for at in range(count)]
    barrier = threading.Barrier(count + 1)

    def work(part: Sequence[str]) -> None:
        barrier.wait()
        run(cache, part, value)

    threads = [threading.Thread(target=work, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = perf_counter_ns()
    for thread in threads:
        thread.join()
    return perf_counter_ns() - began


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Results:
    """The samples of each contender, one for each round."""

    def __init__(self, samples: Mapping[str, Sequence[float]]) -> None:
        self._samples = samples

    def __iter__(self) -> Iterator[str]:
        return iter(self._samples)

    def __contains__(self, name: str) -> bool:
        return name in self._samples

    def of(self, name: str) -> float:
        return median(self._samples[name])

    def ratio(self, name: str, other: str) -> float:
        """How many times as long the other took: the median of the rounds' ratios."""
        pairs = zip(self._samples[name], self._samples[other], strict=True)
        return median(theirs / mine for mine, theirs in pairs)


def by_turns(samples: Mapping[str, Sample], rounds: int) -> Results:
    names = list(samples)
    taken: dict[str, list[float]] = {name: [] for name in names}
    with without_collector():
        for sample in samples.values():
            sample()  # What only the first call does is not measured.
        for number in range(rounds):
            start = number % len(names)
            for name in names[start:] + names[:start]:
                taken[name].append(samples[name]())
    return Results(taken)
