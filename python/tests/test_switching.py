"""The programs of docs/switching/python.md: that for another package and those in its place print the same. Where the other package is not
installed, its program is compiled alone."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "switching" / "python.md"
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
PROGRAMS = {name: re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) for name, text in SECTIONS.items()}
COMPARED = {name: programs for name, programs in PROGRAMS.items() if programs}


def printed(program: str) -> str:
    """By a process of its own, since Django is configured once in each."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{program}\n{done.stderr}"
    return done.stdout


def is_installed(program: str) -> bool:
    modules = re.findall(r"^(?:from|import) (\w+)", program, re.MULTILINE)
    return all(importlib.util.find_spec(module) for module in modules)


@pytest.mark.parametrize("name", COMPARED)
def test_what_comes_after_prints_what_came_before(name: str) -> None:
    before, *after = COMPARED[name]
    compile(before, str(PAGE), "exec")
    results = {printed(program) for program in after}
    if is_installed(before):
        results.add(printed(before))
    assert len(results) == 1, results
    assert results != {""}


def test_every_package_that_can_be_replaced_has_a_section() -> None:
    links = re.findall(r"\]\(#([\w-]+)\)", PAGE.read_text(encoding="utf-8"))
    anchors = {re.sub(r"[^\w -]", "", name).strip().lower().replace(" ", "-") for name in COMPARED}
    assert anchors == set(links)
