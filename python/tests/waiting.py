"""Waiting for what another thread does, or for time to pass: never longer than needed, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT = 60.0


def until(condition: Callable[[], object]) -> None:
    """Returns once the condition holds."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"it did not happen within {LIMIT} seconds"
        time.sleep(0.001)
