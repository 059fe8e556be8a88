"""What a call takes whose result is kept: of a function, a method and a coroutine function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Any

from contenders import decorators, decorators_of_coroutines, decorators_of_methods
from mappings import SMALL, Effort, keys
from rounds import Results, async_loop, by_turns, loop


def _plain(cached: Callable[..., Any], wanted: list[str], statement: str) -> Callable[[], float]:
    run = loop(statement)
    run(cached, wanted[:SMALL], None)
    return lambda: run(cached, wanted, None) / len(wanted)


def functions(effort: Effort) -> Results:
    def load(key: str) -> str:
        return key.upper()

    wanted = keys(0, SMALL) * max(1, effort.operations // SMALL)
    samples = {name: _plain(decorate(load), wanted, "cache(key)") for name, decorate in decorators(SMALL).items()}
    return by_turns(samples, effort.rounds)


def methods(effort: Effort) -> Results:
    wanted = keys(0, SMALL) * max(1, effort.operations // SMALL)
    samples = {}
    for name, decorate in decorators_of_methods(SMALL).items():

        class Loader:
            @decorate
            def load(self, key: str) -> str:
                return key.upper()

        samples[name] = _plain(Loader(), wanted, "cache.load(key)")  # type: ignore[arg-type]
    return by_turns(samples, effort.rounds)


def coroutines(effort: Effort) -> Results:
    async def load(key: str) -> str:
        return key.upper()

    wanted = keys(0, SMALL) * max(1, effort.operations // SMALL // 4)
    run = async_loop("await cache(key)")
    # One for all: some keep results for one event loop only.
    events = asyncio.new_event_loop()

    def sample(cached: Callable[..., Any]) -> Callable[[], float]:
        return lambda: events.run_until_complete(run(cached, wanted, None)) / len(wanted)

    with closing(events):
        return by_turns({name: sample(decorate(load)) for name, decorate in decorators_of_coroutines(SMALL).items()}, effort.rounds)
