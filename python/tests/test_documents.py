"""The Python of the README does what it says. Nothing but documents is tested here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

README = Path(__file__).parents[2] / "README.md"


def test_the_python_of_the_readme_prints_what_it_stored(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
    name, rest = capsys.readouterr().out.splitlines()
    assert name == "Ada"
    assert rest.startswith("{'a': 1, 'b': 2} 1 Stats("), rest
