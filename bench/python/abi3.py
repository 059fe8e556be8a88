"""What one wheel for every Python costs: the extension built for all versions (`abi3`) beside the one built for this version alone, in one
process, by turns. `node scripts/python.mjs bench abi3` builds both and runs it."""

from __future__ import annotations

import argparse
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from mappings import QUICK, SMALL, VALUE, Effort, keys
from rounds import Results, Sample, by_turns, loop
from text import heading, table, times, write_page

ABI3, ALONE = "for all versions (abi3)", "for this version alone"
EFFORT = Effort(rounds=151, operations=100_000, large=SMALL)
"""Differences of a few percent are looked for: many short samples, each beside one of the other, tell them on a busy machine as well."""
MOST = 1.10

MEASURES = {
    "Storage.get": ("Storage", "call(key)", "call = cache.get"),
    "Storage.set": ("Storage", "call(key, value)", "call = cache.set"),
    "Cache.get": ("Cache", "call(key)", "call = cache.get"),
    "Cache.set": ("Cache", "call(key, value)", "call = cache.set"),
    "a call whose result is kept": ("Memo", "cache(key)", "pass"),
}


def load(wheel: Path, name: str) -> ModuleType:
    """The extension alone, under a name of its own: its Python modules know only one."""
    (file,) = [path for path in (wheel / "rustcache").glob("_core.*") if path.suffix in (".so", ".pyd")]
    loader = ExtensionFileLoader(f"{name}._core", str(file))
    spec = spec_from_file_location(loader.name, file, loader=loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def sample(core: ModuleType, measure: str, effort: Effort) -> Sample:
    kind, statement, prepare = MEASURES[measure]
    stored = keys(0, SMALL)
    cache: Any
    if kind == "Memo":
        cache = core.Memo(str.upper, maxsize=SMALL, is_plain=True)
        loop(statement)(cache, stored, VALUE)
    else:
        cache = getattr(core, kind)(max_items=SMALL)
        loop("call(key, value)", "call = cache.set")(cache, stored, VALUE)
    run = loop(statement, prepare)
    asked = stored * max(1, effort.operations // SMALL)
    return lambda: run(cache, asked, VALUE) / len(asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("abi3", type=Path, help="what the wheel for all versions holds")
    parser.add_argument("alone", type=Path, help="what the one for this version holds")
    parser.add_argument("--quick", action="store_true", help="one round of little: whether it works, no figures")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("--quick gives no figures that could be written")
    effort = QUICK if options.quick else EFFORT
    cores = {ABI3: load(options.abi3, "for_all"), ALONE: load(options.alone, "for_one")}
    results: dict[str, Results] = {}
    for measure in MEASURES:
        results[measure] = by_turns({name: sample(core, measure, effort) for name, core in cores.items()}, effort.rounds)
    ratios = {measure: found.ratio(ALONE, ABI3) for measure, found in results.items()}
    verdict = "reached" if max(ratios.values()) <= MOST else "**missed**"
    flags = [flag for flag in ("--quick", "--write") if flag in sys.argv]
    text = heading("Python: what one wheel for every version costs", " ".join(["node scripts/python.mjs bench abi3", *flags]))
    text += f"\nThe time of the extension {ABI3}, ÷ that of the one {ALONE}: medians of the ratios of {effort.rounds} rounds,"
    text += f" in which both take turns; {SMALL:,} keys; the garbage collector is off.\n\n"
    text += table(["", *MEASURES], [["time, ÷ without abi3", *map(times, ratios.values())]])
    if not options.quick:
        text += f"\nWanted is at most {times(MOST)}: {verdict}.\n"
    print(text)
    if options.write:
        write_page("bench/python/abi3", text)


if __name__ == "__main__":
    main()
