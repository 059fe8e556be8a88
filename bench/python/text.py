"""What is printed: numbers, tables, and the section of docs/benchmarks.md that `--write` replaces."""

from __future__ import annotations

import os
import platform
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def digits(value: float) -> str:
    """Three digits that count, as in the other benches."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(value: float) -> str:
    return f"{digits(value)} ×"


def nanoseconds(value: float) -> str:
    return f"{digits(value)} ns" if value < 10_000 else f"{digits(value / 1000)} µs"


def _width(text: str) -> int:
    return sum(0 if unicodedata.combining(char) else 1 for char in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown: the first column is text, the others are numbers."""
    widths = [max(3, *(_width(row[at]) for row in (head, *rows))) for at in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * (width + 2)) if not at else "-" * (width + 1) + ":" for at, width in enumerate(widths)]
    return "\n".join([line(head), f"|{'|'.join(rule)}|", *map(line, rows)]) + "\n"


def machine() -> str:
    model = platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        names = [line.partition(":")[2].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    system = f"{platform.system()} {platform.release()}"
    return f"{model}, {os.cpu_count()} cores, {digits(memory)} GiB of memory, {system}, CPython {platform.python_version()}"


def rivals(names: Sequence[str]) -> str:
    return ", ".join(f"{name} {version(name)}" for name in names)


def heading(title: str, command: str) -> str:
    today = datetime.now(timezone.utc).date().isoformat()
    return f"## {title}\n\n- Command: `{command}`\n- Date: {today}\n- Machine: {machine()}\n"


def write_page(name: str, text: str) -> None:
    """Puts the text between the markers of that name; all around them stays as it is."""
    begin, end = f"<!-- {name} begin: written with --write -->", f"<!-- {name} end -->"
    page = PAGE.read_text()
    section = f"{begin}\n\n{text.rstrip()}\n\n{end}"
    start, stop = page.find(begin), page.find(end)
    if start < 0:
        page = f"{page.rstrip()}\n\n{section}\n"
    elif stop < start:
        raise SystemExit(f'{PAGE} holds "{begin}" without "{end}" behind it')
    else:
        page = page[:start] + section + page[stop + len(end) :]
    PAGE.write_text(page)
