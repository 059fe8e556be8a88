"""Names by which the results of functions are found in a cache, by this process and by later ones. No two functions that are there at the
same time have one, unless they were given it."""

from __future__ import annotations

import gc
import inspect
import sys
import weakref
from types import MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._core import Cache


def check_name(name: object) -> None:
    """Of a name that was given. It ends at the first colon of a key, so that the keys of one never are those of another."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {name!r}")
    if ":" in name:
        raise ValueError(f"name cannot have a colon, which is what ends it in a key: {name!r}")


def name_of(function: Callable[..., Any], cache: Cache) -> str:
    """The name of a function itself, if no other one has it in this cache."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError(f"{function!r} has no name that results could be kept by: give memoize() a name")
    whole = f"{module}.{name}"
    if module == "__main__" or "<" in whole or ":" in whole:
        raise TypeError(
            f"other functions may have the name of {whole} as well, and would get its results: give memoize() a name that no other one has"
        )
    _claim(cache, whole, _Claim(function, _executions(module)))
    return whole


def _executions(module: str) -> dict[object, object]:
    """The specs, by their names, of a function's module and of the one whose execution decorates it: one that is executed again, to reload
    it, has another one."""
    specs: dict[object, object] = {module: getattr(sys.modules.get(module), "__spec__", None)}
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    if frame is not None:
        specs.setdefault(frame.f_globals.get("__name__"), frame.f_globals.get("__spec__"))
    return specs


class _Claim:
    """Of a function on its name."""

    def __init__(self, function: Callable[..., Any], executions: dict[object, object]) -> None:
        self.executions = executions
        self.function: Callable[[], Callable[..., Any] | None]
        try:
            self.function = weakref.ref(function)
        except TypeError:
            self.function = lambda: function

    def is_against(self, other: _Claim) -> bool:
        """Whether they are of two functions, and the other one is not there to replace this one."""
        mine, others = self.function(), other.function()
        # Each look at a method of an object makes another one.
        if mine is None or mine is others or (isinstance(mine, MethodType) and mine == others):
            return False
        return all(other.executions.get(module, spec) is spec for module, spec in self.executions.items())


_claims: dict[int, dict[str, _Claim]] = {}
"""By the id of the cache, whose class may have an `==` of its own, and the name. Ends with the cache."""


def _claim(cache: Cache, name: str, claim: _Claim) -> None:
    found = _claims.get(id(cache))
    if found is None:
        found = _claims.setdefault(id(cache), {})
        weakref.finalize(cache, _claims.pop, id(cache), None).atexit = False
    other = found.setdefault(name, claim)
    if other.is_against(claim):
        # It may be in a circle that nobody reaches any more.
        gc.collect()
        if other.is_against(claim):
            raise TypeError(
                f"there is another function of the name {name}, {other.function()!r}, and each would get the results of the other: "
                "give memoize() a name that no other one has"
            )
    found[name] = claim
