"""Times as decorators are given them. What the methods of caches take is checked by the extension."""

from __future__ import annotations

import math
from datetime import timedelta


def seconds(name: str, given: object) -> float:
    """What was given for this argument, in seconds: not negative, and infinite if it is too large for a float."""
    if isinstance(given, timedelta):
        given = given.total_seconds()
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or a timedelta, not {given!r}")
    try:
        number = float(given)
    except OverflowError:
        # It has no repr either, if it is long enough.
        number = math.inf if given > 0 else -math.inf
    if math.isnan(number) or number < 0:
        raise ValueError(f"{name} cannot be negative or NaN: {number!r}")
    return number
